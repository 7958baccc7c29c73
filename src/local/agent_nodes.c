/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_nodes.h"

#include <ctype.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"

enum {
    NODES_MAX = 1000,
    PODS_MAX = 250,
    LEASE_SECONDS = 40
};

static int bad(const char *text) {
    return error_origin(-EINVAL,
                        "--nodes %s: write it like 3x8cpu,32Gi (three nodes of 8 CPUs and "
                        "32 GiB), further resources as nvidia.com/gpu=1",
                        text);
}

/* One item of a group: "8cpu", "32Gi", "name=amount". */
static int parse_item(const char *item, NodeShape *shape) {
    const char *equals = strchr(item, '=');
    Quantity amount;
    if (equals && equals != item) {
        _cleanup_free_ char *name = str_dup_slice((Slice){ item, (size_t)(equals - item) });
        if (quantity_parse(equals + 1, &amount) < 0)
            return -EINVAL;
        json_object_set_new(shape->extra, name, json_string(equals + 1));
        return 0;
    }
    if (str_ends(item, "cpu")) {
        _cleanup_free_ char *number = str_dup_slice((Slice){ item, strlen(item) - 3 });
        return quantity_parse(number, &shape->cpu);
    }
    return quantity_parse(item, &shape->memory);
}

static int parse_group(char *group, NodeShapes *nodes) {
    int count = 1, used = 0;
    if (sscanf(group, "%dx%n", &count, &used) == 1 && used)
        group += used;
    else
        count = 1;
    NodeShape shape = { .extra = json_object() };
    char *save = NULL;
    int r = 0;
    for (char *item = strtok_r(group, ",", &save); r == 0 && item;
         item = strtok_r(NULL, ",", &save))
        r = parse_item(item, &shape);
    if (r < 0 || count < 1 || nodes->len + (size_t)count > NODES_MAX || shape.cpu.nano <= 0 ||
        shape.memory.nano <= 0) {
        json_decref(shape.extra);
        return -EINVAL;
    }
    for (int i = 0; i < count; i++) {
        char *name = str_printf("node-%zu", nodes->len);
        vec_push(nodes, (NodeShape){ .name = name,
                                     .cpu = shape.cpu,
                                     .memory = shape.memory,
                                     .extra = json_incref(shape.extra) });
    }
    json_decref(shape.extra);
    return 0;
}

int node_shapes_parse(const char *text, NodeShapes *ret_nodes) {
    NodeShapes nodes = { 0 };
    _cleanup_free_ char *copy = str_dup(text);
    char *save = NULL;
    int r = 0;
    for (char *group = strtok_r(copy, "+", &save); r == 0 && group;
         group = strtok_r(NULL, "+", &save))
        r = parse_group(group, &nodes);
    if (r < 0 || !nodes.len) {
        node_shapes_done(&nodes);
        return bad(text);
    }
    *ret_nodes = nodes;
    return 0;
}

void node_shapes_done(NodeShapes *nodes) {
    VEC_EACH(node, nodes) {
        mem_free(node->name);
        json_decref(node->extra);
    }
    vec_done(nodes);
}

char *node_shapes_logical(const NodeShapes *nodes, uint64_t machine_cpus, uint64_t machine_memory) {
    double cpus = 0, memory = 0;
    VEC_EACH(node, nodes) {
        cpus += quantity_double(node->cpu);
        memory += quantity_double(node->memory);
    }
    if (cpus <= (double)machine_cpus && memory <= (double)machine_memory)
        return NULL;
    const double gib = 1024.0 * 1024 * 1024;
    return str_printf("the nodes are logical: together %g CPUs and %.1f GiB, this machine has %llu "
                      "and %.1f GiB",
                      cpus, memory / gib, (unsigned long long)machine_cpus,
                      (double)machine_memory / gib);
}

json_t *node_object(const NodeShape *node, const NodeFacts *facts) {
    return json_pack("{s:s,s:s,s:{s:s,s:{s:s,s:s,s:s,s:s,s:s},s:{s:s}},s:{}}", "apiVersion", "v1",
                     "kind", "Node", "metadata", "name", node->name, "labels",
                     "kubernetes.io/hostname", node->name, "kubernetes.io/os", "linux",
                     "kubernetes.io/arch", facts->architecture, "beta.kubernetes.io/os", "linux",
                     "beta.kubernetes.io/arch", facts->architecture, "annotations",
                     "mobula.io/agent-url", facts->agent_url, "spec");
}

static json_t *resources(const NodeShape *node) {
    char cpu[QUANTITY_TEXT_MAX], memory[QUANTITY_TEXT_MAX], pods[16];
    quantity_format(node->cpu, cpu);
    quantity_format(node->memory, memory);
    snprintf(pods, sizeof(pods), "%d", PODS_MAX);
    json_t *json = json_pack("{s:s,s:s,s:s}", "cpu", cpu, "memory", memory, "pods", pods);
    json_object_update(json, node->extra);
    return json;
}

static void condition(json_t *list, const char *type, bool status, const char *reason,
                      const char *message, usec_t since, usec_t now) {
    char since_text[TIME_TEXT_MAX], now_text[TIME_TEXT_MAX];
    time_format_rfc3339(since, since_text);
    time_format_rfc3339(now, now_text);
    json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "type", type, "status",
                                          status ? "True" : "False", "reason", reason, "message",
                                          message, "lastTransitionTime", since_text,
                                          "lastHeartbeatTime", now_text));
}

json_t *node_status(const NodeShape *node, const NodeFacts *facts, bool ready, usec_t now_wall) {
    json_t *conditions = json_array();
    condition(conditions, "MemoryPressure", false, "KubeletHasSufficientMemory",
              "kubelet has sufficient memory available", facts->started, now_wall);
    condition(conditions, "DiskPressure", false, "KubeletHasNoDiskPressure",
              "kubelet has no disk pressure", facts->started, now_wall);
    condition(conditions, "PIDPressure", false, "KubeletHasSufficientPID",
              "kubelet has sufficient PID available", facts->started, now_wall);
    condition(conditions, "Ready", ready, ready ? "KubeletReady" : "NodeStatusNeverUpdated",
              ready ? "mobula node-agent is posting ready status" : "mobula node-agent has ended",
              facts->started, now_wall);
    return json_pack(
        "{s:o,s:o,s:o,s:[{s:s,s:s},{s:s,s:s}],s:{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}}",
        "capacity", resources(node), "allocatable", resources(node), "conditions", conditions,
        "addresses", "type", "InternalIP", "address", facts->host_ip, "type", "Hostname", "address",
        node->name, "nodeInfo", "machineID", facts->machine_id, "systemUUID", facts->machine_id,
        "bootID", facts->boot_id, "kernelVersion", facts->kernel, "osImage", facts->os_image,
        "containerRuntimeVersion", facts->version, "kubeletVersion", "v1.34.0", "kubeProxyVersion",
        "", "operatingSystem", "linux", "architecture", facts->architecture);
}

json_t *node_lease(const NodeShape *node, usec_t now_wall) {
    char now[TIME_TEXT_MAX];
    time_format_iso(now_wall, now);
    return json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:s,s:i,s:s}}", "apiVersion",
                     "coordination.k8s.io/v1", "kind", "Lease", "metadata", "name", node->name,
                     "namespace", "kube-node-lease", "spec", "holderIdentity", node->name,
                     "leaseDurationSeconds", LEASE_SECONDS, "renewTime", now);
}
