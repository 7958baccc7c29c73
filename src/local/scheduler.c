/* SPDX-License-Identifier: Apache-2.0 */
#include "local/scheduler.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/vec.h"
#include "codec/json.h"
#include "kobj/quantity.h"
#include "kobj/selector.h"

typedef struct Amount {
    const char *name; /* borrowed from the object that states it */
    int64_t milli;
} Amount;

typedef struct Amounts {
    Vec(Amount) list;
} Amounts;

typedef struct PlacementNode {
    const char *name;
    json_t *object;
    Amounts capacity, taken;
    int64_t pods;
    Vec(json_t *) placed;
} PlacementNode;

struct Placement {
    Vec(PlacementNode *) nodes; /* by name */
    StrMap by_name;
};

/* Amounts. */

static int64_t *amount_at(Amounts *amounts, const char *name) {
    VEC_EACH(amount, &amounts->list)
        if (str_eq(amount->name, name))
            return &amount->milli;
    vec_push(&amounts->list, (Amount){ name, 0 });
    return &amounts->list.items[amounts->list.len - 1].milli;
}

static int64_t amount_get(const Amounts *amounts, const char *name) {
    VEC_EACH(amount, &amounts->list)
        if (str_eq(amount->name, name))
            return amount->milli;
    return 0;
}

static int64_t milli_of(const json_t *quantity) {
    Quantity amount;
    return quantity_from_json(quantity, &amount) < 0 ? 0 : quantity_ceil_milli(amount);
}

static void amounts_add(Amounts *amounts, const json_t *list) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)list, name, value) {
        int64_t *milli = amount_at(amounts, name);
        if (__builtin_add_overflow(*milli, milli_of(value), milli))
            *milli = INT64_MAX;
    }
}

static void amounts_raise(Amounts *amounts, const Amounts *other) {
    VEC_EACH(amount, &other->list) {
        int64_t *milli = amount_at(amounts, amount->name);
        *milli = MAX(*milli, amount->milli);
    }
}

static void amounts_done(Amounts *amounts) {
    vec_done(&amounts->list);
}

/* Containers add up. Init containers run one after another beside the sidecars (restartPolicy
 * Always) that started before them. */
static void pod_requests(const json_t *pod, Amounts *out) {
    const json_t *spec = json_object_get(pod, "spec"), *container;
    _cleanup_(amounts_done) Amounts sidecars = { 0 };
    size_t i;
    json_array_foreach(json_object_get(spec, "containers"), i, container)
        amounts_add(out, json_at(container, "resources", "requests"));
    json_array_foreach(json_object_get(spec, "initContainers"), i, container) {
        const json_t *requests = json_at(container, "resources", "requests");
        if (str_eq(json_str_at(container, "restartPolicy"), "Always")) {
            amounts_add(&sidecars, requests);
            amounts_add(out, requests);
        }
    }
    json_array_foreach(json_object_get(spec, "initContainers"), i, container) {
        _cleanup_(amounts_done) Amounts step = { 0 };
        if (str_eq(json_str_at(container, "restartPolicy"), "Always"))
            continue;
        amounts_raise(&step, &sidecars);
        amounts_add(&step, json_at(container, "resources", "requests"));
        amounts_raise(out, &step);
    }
    amounts_add(out, json_object_get(spec, "overhead"));
}

void pod_requests_each(const json_t *pod, void (*visit)(void *ctx, const char *name, int64_t milli),
                       void *ctx) {
    _cleanup_(amounts_done) Amounts requests = { 0 };
    pod_requests(pod, &requests);
    VEC_EACH(amount, &requests.list)
        visit(ctx, amount->name, amount->milli);
}

/* The snapshot. */

Placement *placement_new(void) {
    return mem_new(Placement);
}

Placement *placement_free(Placement *placement) {
    if (!placement)
        return NULL;
    VEC_EACH(item, &placement->nodes) {
        PlacementNode *node = *item;
        amounts_done(&node->capacity);
        amounts_done(&node->taken);
        vec_done(&node->placed);
        free(node);
    }
    vec_done(&placement->nodes);
    strmap_done(&placement->by_name);
    free(placement);
    return NULL;
}

void placement_add_node(Placement *placement, json_t *object) {
    PlacementNode *node = mem_new(PlacementNode);
    node->name = json_str_at(object, "metadata", "name");
    node->object = object;
    const json_t *allocatable = json_at(object, "status", "allocatable");
    amounts_add(&node->capacity, allocatable ? allocatable : json_at(object, "status", "capacity"));
    vec_push(&placement->nodes, node);
    strmap_put(&placement->by_name, node->name, node);
}

static bool pod_is_over(const json_t *pod) {
    const char *phase = json_str_at(pod, "status", "phase");
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

static void node_take(PlacementNode *node, json_t *pod) {
    _cleanup_(amounts_done) Amounts requests = { 0 };
    pod_requests(pod, &requests);
    VEC_EACH(amount, &requests.list)
        *amount_at(&node->taken, amount->name) += amount->milli;
    node->pods++;
    vec_push(&node->placed, pod);
}

void placement_add_pod(Placement *placement, json_t *pod) {
    const char *name = json_str_at(pod, "spec", "nodeName");
    PlacementNode *node = name ? strmap_get(&placement->by_name, name) : NULL;
    if (node && !pod_is_over(pod))
        node_take(node, pod);
}

/* Filters: each appends its reasons and says whether the node is left. */

typedef struct Reasons {
    StrList list;
} Reasons;

bool toleration_matches(const json_t *toleration, const json_t *taint) {
    const char *key = json_str_at(toleration, "key");
    const char *effect = json_str_at(toleration, "effect");
    const char *operator= json_str_at(toleration, "operator");
    if (!str_empty(effect) && !str_eq(effect, json_str_at(taint, "effect")))
        return false;
    if (str_empty(key))
        return str_eq(operator, "Exists");
    if (!str_eq(key, json_str_at(taint, "key")))
        return false;
    if (str_eq(operator, "Exists"))
        return true;
    const char *want = json_str_at(toleration, "value"), *have = json_str_at(taint, "value");
    return str_eq(want ? want : "", have ? have : "");
}

static bool pod_tolerates(const json_t *pod, const json_t *taint) {
    const json_t *toleration;
    size_t i;
    json_array_foreach(json_at(pod, "spec", "tolerations"), i, toleration)
        if (toleration_matches(toleration, taint))
            return true;
    return false;
}

static bool filter_taints(const PlacementNode *node, const json_t *pod, StrList *reasons) {
    const json_t *taint;
    size_t i;
    json_array_foreach(json_at(node->object, "spec", "taints"), i, taint) {
        const char *effect = json_str_at(taint, "effect"), *value = json_str_at(taint, "value");
        if (str_eq(effect, "PreferNoSchedule") || pod_tolerates(pod, taint))
            continue;
        strlist_printf(reasons, "node(s) had untolerated taint {%s: %s}", json_str_at(taint, "key"),
                       value ? value : "");
        return false;
    }
    return true;
}

static bool filter_unschedulable(const PlacementNode *node, const json_t *pod, StrList *reasons) {
    if (!json_bool_at(node->object, false, "spec", "unschedulable"))
        return true;
    _cleanup_json_ json_t *taint =
        json_pack("{s:s, s:s}", "key", "node.kubernetes.io/unschedulable", "effect", "NoSchedule");
    if (pod_tolerates(pod, taint))
        return true;
    strlist_add(reasons, "node(s) were unschedulable");
    return false;
}

static bool label_selector_matches(const json_t *selector, const json_t *labels) {
    _cleanup_(selector_freep) Selector *parsed = NULL;
    if (selector_from_json(selector, &parsed) < 0)
        return false; /* was validated when it was written; a broken one takes nothing */
    return selector_matches(parsed, labels);
}

/* Node selector requirements have the shape of a LabelSelector's. */
static bool expressions_match(const json_t *expressions, const json_t *labels) {
    if (json_array_size(expressions) == 0)
        return true;
    _cleanup_json_ json_t *selector = json_pack("{s:O}", "matchExpressions", expressions);
    return label_selector_matches(selector, labels);
}

/* One term: its expressions on labels and its fields (only metadata.name exists) all hold. */
static bool node_term_matches(const PlacementNode *node, const json_t *term) {
    const json_t *expressions = json_object_get(term, "matchExpressions");
    const json_t *fields = json_object_get(term, "matchFields");
    if (json_array_size(expressions) == 0 && json_array_size(fields) == 0)
        return false; /* an empty term matches nothing */
    const json_t *labels = json_at(node->object, "metadata", "labels");
    _cleanup_json_ json_t *names = json_pack("{s:s}", "metadata.name", node->name);
    return expressions_match(expressions, labels) && expressions_match(fields, names);
}

static bool node_affinity_matches(const PlacementNode *node, const json_t *pod) {
    const char *key;
    json_t *want;
    const json_t *labels = json_at(node->object, "metadata", "labels");
    json_object_foreach(json_at(pod, "spec", "nodeSelector"), key, want)
        if (!str_eq(json_string_value(want), json_str_at(labels, key)))
            return false;
    const json_t *required = json_at(pod, "spec", "affinity", "nodeAffinity",
                                     "requiredDuringSchedulingIgnoredDuringExecution");
    if (!required)
        return true;
    const json_t *term;
    size_t i;
    json_array_foreach(json_object_get(required, "nodeSelectorTerms"), i, term)
        if (node_term_matches(node, term))
            return true;
    return false;
}

static bool filter_affinity(const PlacementNode *node, const json_t *pod, StrList *reasons) {
    if (node_affinity_matches(node, pod))
        return true;
    strlist_add(reasons, "node(s) didn't match Pod's node affinity/selector");
    return false;
}

static bool ports_clash(const json_t *a, const json_t *b) {
    const json_t *ca, *cb, *pa, *pb;
    size_t i, j, k, l;
    json_array_foreach(json_at(a, "spec", "containers"), i, ca)
        json_array_foreach(json_object_get(ca, "ports"), j, pa) {
            int64_t port = json_int_at(pa, 0, "hostPort");
            const char *protocol = json_str_at(pa, "protocol");
            if (port == 0)
                continue;
            json_array_foreach(json_at(b, "spec", "containers"), k, cb)
                json_array_foreach(json_object_get(cb, "ports"), l, pb) {
                    const char *other = json_str_at(pb, "protocol");
                    if (json_int_at(pb, 0, "hostPort") == port &&
                        str_eq(protocol ? protocol : "TCP", other ? other : "TCP"))
                        return true;
                }
        }
    return false;
}

static bool filter_ports(const PlacementNode *node, const json_t *pod, StrList *reasons) {
    VEC_EACH(placed, &node->placed) {
        if (ports_clash(pod, *placed)) {
            strlist_add(reasons, "node(s) didn't have free ports for the requested pod ports");
            return false;
        }
    }
    return true;
}

static bool filter_resources(const PlacementNode *node, const json_t *pod, StrList *reasons) {
    _cleanup_(amounts_done) Amounts requests = { 0 };
    bool fits = true;
    pod_requests(pod, &requests);
    int64_t pods_max = amount_get(&node->capacity, "pods") / 1000;
    if (pods_max > 0 && node->pods + 1 > pods_max) {
        strlist_add(reasons, "Too many pods");
        fits = false;
    }
    VEC_EACH(want, &requests.list) {
        int64_t free_milli =
            amount_get(&node->capacity, want->name) - amount_get(&node->taken, want->name);
        if (want->milli == 0 || want->milli <= free_milli)
            continue;
        strlist_printf(reasons, "Insufficient %s", want->name);
        fits = false;
    }
    return fits;
}

/* Pod affinity: a term holds for a node if a pod that its selector takes runs in the node's
 * topology domain. */
static bool term_takes(const json_t *term, const json_t *own, const json_t *other) {
    const json_t *namespaces = json_object_get(term, "namespaces"), *ns;
    const char *other_ns = json_str_at(other, "metadata", "namespace");
    bool in_namespace = json_array_size(namespaces) == 0 &&
                        (json_object_get(term, "namespaceSelector") ||
                         str_eq(other_ns, json_str_at(own, "metadata", "namespace")));
    size_t i;
    json_array_foreach(namespaces, i, ns)
        in_namespace |= str_eq(json_string_value(ns), other_ns);
    return in_namespace && label_selector_matches(json_object_get(term, "labelSelector"),
                                                  json_at(other, "metadata", "labels"));
}

static bool domain_has(const Placement *placement, const PlacementNode *node, const json_t *term,
                       const json_t *pod, bool *ret_anywhere) {
    const char *key = json_str_at(term, "topologyKey");
    const char *domain = key ? json_str_at(node->object, "metadata", "labels", key) : NULL;
    bool found = false;
    VEC_EACH(item, &placement->nodes) {
        const PlacementNode *other = *item;
        VEC_EACH(placed, &other->placed) {
            if (!term_takes(term, pod, *placed))
                continue;
            *ret_anywhere = true;
            found |=
                domain && str_eq(domain, json_str_at(other->object, "metadata", "labels", key));
        }
    }
    return found;
}

static bool filter_pod_affinity(const Placement *placement, const PlacementNode *node,
                                const json_t *pod, StrList *reasons) {
    static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution";
    const json_t *term;
    size_t i;
    json_array_foreach(json_at(pod, "spec", "affinity", "podAffinity", required), i, term) {
        bool anywhere = false;
        if (domain_has(placement, node, term, pod, &anywhere))
            continue;
        if (!anywhere && term_takes(term, pod, pod))
            continue; /* the first pod of a group that wants to be together */
        strlist_add(reasons, "node(s) didn't match pod affinity rules");
        return false;
    }
    json_array_foreach(json_at(pod, "spec", "affinity", "podAntiAffinity", required), i, term) {
        bool anywhere = false;
        if (!domain_has(placement, node, term, pod, &anywhere))
            continue;
        strlist_add(reasons, "node(s) didn't match pod anti-affinity rules");
        return false;
    }
    return true;
}

static bool filter_name(const PlacementNode *node, const json_t *pod, StrList *reasons) {
    const char *name = json_str_at(pod, "spec", "nodeName");
    if (str_empty(name) || str_eq(name, node->name))
        return true;
    strlist_add(reasons, "node(s) didn't match the requested node name");
    return false;
}

/* `helpless` is set where evicting others would not help. */
static bool node_passes(const Placement *placement, const PlacementNode *node, const json_t *pod,
                        StrList *reasons, bool *helpless) {
    *helpless = true;
    if (!filter_unschedulable(node, pod, reasons) || !filter_name(node, pod, reasons) ||
        !filter_taints(node, pod, reasons) || !filter_affinity(node, pod, reasons))
        return false;
    *helpless = false;
    return filter_ports(node, pod, reasons) && filter_resources(node, pod, reasons) &&
           filter_pod_affinity(placement, node, pod, reasons);
}

/* Scores. */

static int64_t preference(const PlacementNode *node, const json_t *pod) {
    const json_t *preferred = json_at(pod, "spec", "affinity", "nodeAffinity",
                                      "preferredDuringSchedulingIgnoredDuringExecution");
    const json_t *item;
    int64_t score = 0;
    size_t i;
    json_array_foreach(preferred, i, item)
        if (node_term_matches(node, json_object_get(item, "preference")))
            score += json_int_at(item, 0, "weight");
    return score;
}

/* Share of CPU and memory that stays free with the pod, in thousandths of both added. */
static int64_t free_share(const PlacementNode *node, const Amounts *requests) {
    static const char *const names[] = { "cpu", "memory" };
    int64_t score = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int64_t capacity = amount_get(&node->capacity, names[i]);
        int64_t left =
            capacity - amount_get(&node->taken, names[i]) - amount_get(requests, names[i]);
        if (capacity > 0 && left > 0)
            score += (int64_t)((double)left / (double)capacity * 1000);
    }
    return score;
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "1 Insufficient cpu, 2 Insufficient memory": reasons counted, in order of the text. */
static void add_counted(Buf *out, StrList *reasons) {
    _cleanup_strlist_ StrList counted = { 0 };
    strlist_sort(reasons);
    for (size_t i = 0; i < reasons->len;) {
        size_t same = 1;
        while (i + same < reasons->len && str_eq(reasons->items[i], reasons->items[i + same]))
            same++;
        strlist_printf(&counted, "%zu %s", same, reasons->items[i]);
        i += same;
    }
    if (counted.len > 1)
        qsort(counted.items, counted.len, sizeof(char *), compare_texts);
    for (size_t i = 0; i < counted.len; i++)
        buf_printf(out, "%s%s", i ? ", " : "", counted.items[i]);
}

static void explain(const Placement *placement, StrList *reasons, size_t helpless, Buf *why) {
    size_t count = placement->nodes.len;
    buf_clear(why);
    if (count == 0) {
        buf_add_str(why, "no nodes available to schedule pods");
        return;
    }
    buf_printf(why, "0/%zu nodes are available: ", count);
    add_counted(why, reasons);
    buf_printf(why, ". preemption: 0/%zu nodes are available: ", count);
    _cleanup_strlist_ StrList outcomes = { 0 };
    for (size_t i = 0; i < count; i++)
        strlist_add(&outcomes, i < helpless ? "Preemption is not helpful for scheduling"
                                            : "No preemption victims found for incoming pod");
    add_counted(why, &outcomes);
    buf_add_char(why, '.');
}

int placement_choose(Placement *placement, json_t *pod, const char **ret_node, Buf *why) {
    _cleanup_(amounts_done) Amounts requests = { 0 };
    _cleanup_strlist_ StrList reasons = { 0 };
    PlacementNode *best = NULL;
    int64_t best_preference = 0, best_share = 0;
    size_t helpless_count = 0;
    pod_requests(pod, &requests);
    VEC_EACH(item, &placement->nodes) {
        PlacementNode *node = *item;
        bool helpless;
        if (!node_passes(placement, node, pod, &reasons, &helpless)) {
            helpless_count += helpless;
            continue;
        }
        int64_t wish = preference(node, pod), share = free_share(node, &requests);
        if (best && (wish < best_preference || (wish == best_preference && share <= best_share)))
            continue;
        best = node;
        best_preference = wish;
        best_share = share;
    }
    if (!best) {
        explain(placement, &reasons, helpless_count, why);
        return PLACEMENT_NOWHERE;
    }
    node_take(best, pod);
    *ret_node = best->name;
    return 0;
}
