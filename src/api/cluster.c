/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cluster.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/pyrepr.h"

#define UNIT 10000.0 /* of a resource amount on the wire */

/* --------------------------------------------------------------------------------- usage */

typedef struct Usage {
    char *name;
    int64_t total, available;
    int64_t reserved, reserved_used; /* by placement groups */
} Usage;

typedef Vec(Usage) UsageList;

static void usage_done(UsageList *list) {
    VEC_EACH(usage, list)
        free(usage->name);
    vec_done(list);
}

static Usage *usage_of(UsageList *list, Slice name) {
    VEC_EACH(usage, list) {
        if (slice_eq_str(name, usage->name))
            return usage;
    }
    Usage fresh = { .name = str_dup_slice(name) };
    vec_push(list, fresh);
    return &list->items[list->len - 1];
}

static void usage_add(UsageList *list, const NodeInfo *node) {
    for (size_t i = 0; i < node->total_len; i++)
        usage_of(list, node->total[i].name)->total += node->total[i].amount;
    for (size_t i = 0; i < node->available_len; i++)
        usage_of(list, node->available[i].name)->available += node->available[i].amount;
    for (size_t i = 0; i < node->reserved_len; i++)
        usage_of(list, node->reserved[i].name)->reserved += node->reserved[i].amount;
    for (size_t i = 0; i < node->reserved_used_len; i++)
        usage_of(list, node->reserved_used[i].name)->reserved_used += node->reserved_used[i].amount;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const Usage *)a)->name, ((const Usage *)b)->name);
}

static void usage_sort(UsageList *list) {
    if (list->len)
        qsort(list->items, list->len, sizeof(Usage), by_name);
}

static bool is_memory(const char *name) {
    return str_eq(name, "memory") || str_eq(name, "object_store_memory");
}

static void add_bytes(double bytes, Buf *out) {
    static const struct {
        const char *suffix;
        double size;
    } units[] = { { "TiB", 0x1p40 }, { "GiB", 0x1p30 }, { "MiB", 0x1p20 }, { "KiB", 0x1p10 } };
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (bytes >= units[i].size) {
            buf_printf(out, "%.2f%s", bytes / units[i].size, units[i].suffix);
            return;
        }
    }
    buf_printf(out, "%.0fB", bytes);
}

/* As Python prints a float: 1.0, 0.5, 0.0001. */
static void add_float(double value, Buf *out) {
    _cleanup_json_ json_t *number = json_real(value);
    json_encode(number, 0, out);
}

static void add_usage(const Usage *usage, const char *indent, Buf *out) {
    double total = (double)usage->total / UNIT;
    double reserved = (double)usage->reserved / UNIT;
    double reserved_used = (double)usage->reserved_used / UNIT;
    double used = (double)(usage->total - usage->available) / UNIT - reserved + reserved_used;
    void (*add)(double, Buf *) = is_memory(usage->name) ? add_bytes : add_float;
    buf_add_str(out, indent);
    add(used, out);
    buf_add_char(out, '/');
    add(total, out);
    buf_printf(out, " %s", usage->name);
    if (usage->reserved) {
        buf_add_str(out, " (");
        add(reserved_used, out);
        buf_add_str(out, " used of ");
        add(reserved, out);
        buf_add_str(out, " reserved in placement groups)");
    }
    buf_add_char(out, '\n');
}

static void add_usage_list(UsageList *list, bool verbose, const char *indent, Buf *out) {
    usage_sort(list);
    VEC_EACH(usage, list) {
        bool hidden =
            strstr(usage->name, "node:") || (!verbose && strstr(usage->name, "accelerator_type"));
        if (!hidden)
            add_usage(usage, indent, out);
    }
}

/* --------------------------------------------------------------------------------- nodes */

static const Slice *label_of(const NodeInfo *node, const char *key) {
    for (size_t i = 0; i < node->labels_len; i++)
        if (slice_eq_str(node->labels[i].key, key))
            return &node->labels[i].value;
    return NULL;
}

static char *node_hex(const NodeInfo *node) {
    char hex[2 * sizeof(node->node) + 1];
    hex_encode(node->node.byte, sizeof(node->node), hex);
    return str_dup(hex);
}

/* The group it was started for, else the peer's name for a node of no group. Owned. */
static char *node_type(const NodeInfo *node) {
    const Slice *group = label_of(node, "ray.io/node-group");
    if (group && group->len)
        return str_dup_slice(*group);
    _cleanup_free_ char *hex = node_hex(node);
    return str_printf("node_%s", hex);
}

static bool node_is_idle(const NodeInfo *node) {
    UsageList list = { 0 };
    bool idle = true;
    usage_add(&list, node);
    VEC_EACH(usage, &list)
        idle &= usage->available >= usage->total;
    usage_done(&list);
    return idle;
}

enum {
    NODES_BUSY = 1,
    NODES_IDLE = 2,
};

static bool node_is_of(const NodeInfo *node, unsigned which) {
    return node->state != NODE_STATE_DEAD &&
           (which & (node_is_idle(node) ? NODES_IDLE : NODES_BUSY));
}

/* " 2 small-group" for each type, in the order of their first node. */
static void add_node_counts(const ClusterStatus *status, unsigned which, const char *none,
                            Buf *out) {
    _cleanup_strlist_ StrList types = { 0 };
    size_t listed = 0;
    for (size_t i = 0; i < status->nodes_len; i++)
        if (node_is_of(&status->nodes[i], which))
            strlist_take(&types, node_type(&status->nodes[i]));
    for (size_t i = 0; i < types.len; i++) {
        size_t count = 0, before = 0;
        for (size_t k = 0; k < types.len; k++) {
            bool same = str_eq(types.items[k], types.items[i]);
            count += same;
            before += same && k < i;
        }
        if (before)
            continue;
        buf_printf(out, " %zu %s\n", count, types.items[i]);
        listed++;
    }
    if (!listed)
        buf_printf(out, " (%s)\n", none);
}

static void add_failures(const ClusterStatus *status, Buf *out) {
    enum {
        SHOWN = 20
    };
    size_t shown = 0;
    buf_add_str(out, "Recent failures:\n");
    for (size_t i = status->nodes_len; i-- > 0 && shown < SHOWN;) {
        const NodeInfo *node = &status->nodes[i];
        if (node->state != NODE_STATE_DEAD)
            continue;
        _cleanup_free_ char *type = node_type(node);
        buf_printf(out, " %s: NodeTerminated (ip: %.*s)\n", type, (int)node->ip.len, node->ip.data);
        shown++;
    }
    if (!shown)
        buf_add_str(out, " (no failures)\n");
}

/* ------------------------------------------------------------------------------- demands */

static void add_bundle(const Resource *resources, size_t len, Buf *out) {
    buf_add_char(out, '{');
    for (size_t i = 0; i < len; i++) {
        _cleanup_free_ char *name = str_dup_slice(resources[i].name);
        buf_add_str(out, i ? ", " : "");
        pyrepr_str(name, out);
        buf_add_str(out, ": ");
        add_float((double)resources[i].amount / UNIT, out);
    }
    buf_add_char(out, '}');
}

static bool same_bundle(const Bundle *a, const Bundle *b) {
    _cleanup_buf_ Buf x = { 0 }, y = { 0 };
    add_bundle(a->resources, a->resources_len, &x);
    add_bundle(b->resources, b->resources_len, &y);
    return slice_eq(buf_slice(&x), buf_slice(&y));
}

/* {'CPU': 1.0} * 2, {'GPU': 1.0} * 1 (PACK): 1+ pending placement groups */
static void add_groups(const ClusterStatus *status, Buf *out) {
    static const char *const strategies[] = { "PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD" };
    for (size_t g = 0; g < status->groups_len; g++) {
        const GroupDemand *group = &status->groups[g];
        for (size_t i = 0; i < group->bundles_len; i++) {
            size_t same = 0, before = 0;
            for (size_t k = 0; k < group->bundles_len; k++) {
                bool equal = same_bundle(&group->bundles[i], &group->bundles[k]);
                same += equal;
                before += equal && k < i;
            }
            if (before)
                continue;
            buf_add_str(out, i ? ", " : " ");
            add_bundle(group->bundles[i].resources, group->bundles[i].resources_len, out);
            buf_printf(out, " * %zu", same);
        }
        buf_printf(out, " (%s): %u+ pending placement groups\n",
                   strategies[MIN(group->strategy, (uint8_t)GROUP_STRATEGY_STRICT_SPREAD)],
                   group->count);
    }
}

/* The same bundle of several nodes is one line. */
static void add_demands(const ClusterStatus *status, Buf *out) {
    _cleanup_strlist_ StrList bundles = { 0 };
    Vec(uint64_t) counts = { 0 };
    for (size_t n = 0; n < status->nodes_len; n++) {
        const NodeInfo *node = &status->nodes[n];
        for (size_t i = 0; node->state != NODE_STATE_DEAD && i < node->demands_len; i++) {
            _cleanup_buf_ Buf text = { 0 };
            size_t at = 0;
            add_bundle(node->demands[i].resources, node->demands[i].resources_len, &text);
            while (at < bundles.len && !str_eq(bundles.items[at], text.data))
                at++;
            if (at == bundles.len) {
                strlist_add(&bundles, text.data);
                vec_push(&counts, (uint64_t)0);
            }
            counts.items[at] += node->demands[i].count;
        }
    }
    for (size_t i = 0; i < bundles.len; i++)
        buf_printf(out, " %s: %llu+ pending tasks/actors\n", bundles.items[i],
                   (unsigned long long)counts.items[i]);
    add_groups(status, out);
    if (!bundles.len && !status->groups_len)
        buf_add_str(out, " (no resource demands)\n");
    vec_done(&counts);
}

static void add_requested(const ClusterStatus *status, Buf *out) {
    for (size_t i = 0; i < status->requested_len; i++) {
        buf_add_char(out, ' ');
        add_bundle(status->requested[i].resources, status->requested[i].resources_len, out);
        buf_printf(out, ": %u from request_resources()\n", status->requested[i].count);
    }
    if (!status->requested_len)
        buf_add_str(out, " (none)\n");
}

/* ---------------------------------------------------------------------------------- text */

static void add_node_usage(const ClusterStatus *status, bool idle_apart, Buf *out) {
    for (size_t i = 0; i < status->nodes_len; i++) {
        const NodeInfo *node = &status->nodes[i];
        if (node->state == NODE_STATE_DEAD)
            continue;
        _cleanup_free_ char *hex = node_hex(node), *type = node_type(node);
        UsageList list = { 0 };
        usage_add(&list, node);
        if (idle_apart)
            buf_printf(out, "\nNode: %.*s (%s)\n Id: %s\n Usage:\n", (int)node->name.len,
                       node->name.data, type, hex);
        else
            buf_printf(out, "\nNode: %s (%s)\n Usage:\n", hex, type);
        add_usage_list(&list, true, "  ", out);
        if (idle_apart)
            buf_printf(out, " Activity:\n  %s\n",
                       node_is_idle(node) ? "(no activity)" : "Resources currently in use.");
        usage_done(&list);
    }
}

bool cluster_idle_apart(void) {
    const char *wanted = getenv("RAY_enable_autoscaler_v2");
    bool on = false;
    if (wanted)
        return str_to_bool(wanted, &on) == 0 && on;
    return getenv("RAY_USAGE_STATS_KUBERAY_IN_USE") && getenv("RAY_CLOUD_INSTANCE_ID") &&
           getenv("RAY_NODE_TYPE_NAME");
}

void cluster_status_text(const ClusterStatus *status, bool verbose, bool idle_apart, Buf *out) {
    char stamp[32], header[96], line[96];
    time_t seconds = (time_t)(status->wall_ms / 1000);
    struct tm parts;
    UsageList list = { 0 };
    localtime_r(&seconds, &parts);
    strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &parts);
    int len =
        snprintf(header, sizeof(header), "======== Autoscaler status: %s.%03u000 ========", stamp,
                 (unsigned)(status->wall_ms % 1000));
    memset(line, '-', sizeof(line));
    for (size_t i = 0; i < status->nodes_len; i++)
        if (status->nodes[i].state != NODE_STATE_DEAD)
            usage_add(&list, &status->nodes[i]);

    buf_printf(out, "%s\nNode status\n%.*s\nActive:\n", header, len, line);
    if (idle_apart) {
        add_node_counts(status, NODES_BUSY, "no active nodes", out);
        buf_add_str(out, "Idle:\n");
        add_node_counts(status, NODES_IDLE, "no idle nodes", out);
    } else {
        add_node_counts(status, NODES_BUSY | NODES_IDLE, "no active nodes", out);
    }
    buf_add_str(out, "Pending:\n (no pending nodes)\n");
    add_failures(status, out);
    buf_printf(out, "\nResources\n%.*s\nTotal Usage:\n", len, line);
    add_usage_list(&list, verbose, " ", out);
    buf_add_str(out, "\nFrom request_resources:\n");
    add_requested(status, out);
    buf_add_str(out, "Pending Demands:\n");
    add_demands(status, out);
    if (verbose)
        add_node_usage(status, idle_apart, out);
    usage_done(&list);
}

/* ---------------------------------------------------------------------------------- JSON */

static json_t *text_json(Slice text) {
    json_t *value = json_stringn(text.data ? text.data : "", text.len);
    return value ? value : json_string("");
}

static json_t *resources_json(const Resource *resources, size_t len) {
    json_t *object = json_object();
    for (size_t i = 0; i < len; i++) {
        _cleanup_free_ char *name = str_dup_slice(resources[i].name);
        json_object_set_new(object, name, json_real((double)resources[i].amount / UNIT));
    }
    return object;
}

static const char *state_text(const NodeInfo *node) {
    return node->state == NODE_STATE_DEAD ? "DEAD" : "ALIVE";
}

static json_t *raylet_json(const NodeInfo *node) {
    json_t *raylet = json_object(), *labels = json_object();
    _cleanup_free_ char *hex = node_hex(node);
    for (size_t i = 0; i < node->labels_len; i++) {
        _cleanup_free_ char *key = str_dup_slice(node->labels[i].key);
        json_object_set_new(labels, key, text_json(node->labels[i].value));
    }
    json_object_set_new(raylet, "nodeId", json_string(hex));
    json_object_set_new(raylet, "nodeManagerAddress", text_json(node->ip));
    json_object_set_new(raylet, "nodeManagerHostname", text_json(node->hostname));
    json_object_set_new(raylet, "rayletSocketName", text_json(node->raylet_socket));
    json_object_set_new(raylet, "metricsExportPort", json_integer(node->metrics_port));
    json_object_set_new(raylet, "resourcesTotal", resources_json(node->total, node->total_len));
    json_object_set_new(raylet, "nodeName", text_json(node->name));
    json_object_set_new(raylet, "isHeadNode", json_boolean(node->head));
    json_object_set_new(raylet, "state", json_string(state_text(node)));
    json_object_set_new(raylet, "stateMessage", text_json(node->death_reason));
    json_object_set_new(raylet, "startTimeMs", json_integer((json_int_t)node->started_wall));
    json_object_set_new(raylet, "endTimeMs", json_integer((json_int_t)node->ended_wall));
    json_object_set_new(raylet, "labels", labels);
    return raylet;
}

json_t *cluster_node_summaries(const ClusterStatus *status) {
    json_t *list = json_array();
    for (size_t i = 0; i < status->nodes_len; i++) {
        json_t *node = json_object();
        json_object_set_new(node, "now", json_real((double)status->wall_ms / 1000));
        json_object_set_new(node, "hostname", text_json(status->nodes[i].hostname));
        json_object_set_new(node, "ip", text_json(status->nodes[i].ip));
        json_object_set_new(node, "raylet", raylet_json(&status->nodes[i]));
        json_array_append_new(list, node);
    }
    return list;
}

json_t *cluster_node_resources(const ClusterStatus *status) {
    json_t *object = json_object();
    for (size_t i = 0; i < status->nodes_len; i++) {
        const NodeInfo *node = &status->nodes[i];
        _cleanup_free_ char *hex = node_hex(node);
        _cleanup_buf_ Buf text = { 0 };
        UsageList list = { 0 };
        if (node->state == NODE_STATE_DEAD)
            continue;
        usage_add(&list, node);
        add_usage_list(&list, false, "", &text);
        json_object_set_new(object, hex, json_string(text.data ? text.data : ""));
        usage_done(&list);
    }
    return object;
}

json_t *cluster_host_names(const ClusterStatus *status) {
    json_t *list = json_array();
    for (size_t i = 0; i < status->nodes_len; i++)
        if (status->nodes[i].state != NODE_STATE_DEAD)
            json_array_append_new(list, text_json(status->nodes[i].hostname));
    return list;
}

json_t *cluster_load(const ClusterStatus *status) {
    UsageList list = { 0 };
    json_t *load = json_object(), *usage_json = json_object(), *active = json_object();
    for (size_t i = 0; i < status->nodes_len; i++) {
        const NodeInfo *node = &status->nodes[i];
        if (node->state == NODE_STATE_DEAD)
            continue;
        _cleanup_free_ char *type = node_type(node);
        json_object_set_new(active, type, json_integer(json_int_at(active, 0, type) + 1));
        usage_add(&list, node);
    }
    usage_sort(&list);
    VEC_EACH(usage, &list) {
        json_t *pair = json_array();
        json_array_append_new(pair, json_real((double)(usage->total - usage->available) / UNIT));
        json_array_append_new(pair, json_real((double)usage->total / UNIT));
        json_object_set_new(usage_json, usage->name, pair);
    }
    usage_done(&list);
    json_set_at(load, usage_json, "loadMetricsReport", "usage");
    json_set_at(load, active, "autoscalerReport", "activeNodes");
    json_set_at(load, json_array(), "autoscalerReport", "pendingNodes");
    json_set_at(load, json_array(), "autoscalerReport", "failedNodes");
    json_object_set_new(load, "time", json_real((double)status->wall_ms / 1000));
    return load;
}

static json_t *demands_json(const ClusterStatus *status) {
    json_t *list = json_array();
    for (size_t n = 0; n < status->nodes_len; n++) {
        const NodeInfo *node = &status->nodes[n];
        for (size_t i = 0; node->state != NODE_STATE_DEAD && i < node->demands_len; i++) {
            const Demand *demand = &node->demands[i];
            json_t *item = json_object();
            json_object_set_new(item, "resources",
                                resources_json(demand->resources, demand->resources_len));
            json_object_set_new(item, "count", json_integer(demand->count));
            json_array_append_new(list, item);
        }
    }
    return list;
}

json_t *cluster_json(const ClusterStatus *status) {
    json_t *all = cluster_load(status);
    json_object_set_new(all, "nodes", cluster_node_summaries(status));
    json_object_set_new(all, "pendingDemands", demands_json(status));
    return all;
}
