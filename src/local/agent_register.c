/* SPDX-License-Identifier: Apache-2.0 */

/* The agent's nodes: made or taken over at start, kept alive by a lease and a status. */

#include <stdio.h>
#include <sys/utsname.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "local/agent_private.h"

#define RETRY_AFTER (1 * USEC_PER_SEC)
#define LEASE_EVERY (10 * USEC_PER_SEC)
#define VERSION     "mobula://0.1.0"
#define LEASE_SPACE "kube-node-lease"
#define OS_RELEASE  "/etc/os-release"

static const KubeGvr NODES = { "", "v1", "nodes" };
static const KubeGvr LEASES = { "coordination.k8s.io", "v1", "leases" };
static const KubeGvr NAMESPACES = { "", "v1", "namespaces" };

const AgentNode *register_find(const Agent *agent, const char *name) {
    for (size_t i = 0; i < agent->shapes.len; i++)
        if (str_eq(agent->shapes.items[i].name, name))
            return &agent->nodes[i];
    return NULL;
}

static void node_failed(AgentNode *node, const KubeReply *reply) {
    log_warn("register node %s: %s; trying again", node->shape->name, reply->message);
    loop_timer_after(node->timer, RETRY_AFTER);
}

/* The taint goes a moment after our status has come. */
static bool was_lost(const json_t *node) {
    size_t i;
    json_t *taint;
    json_array_foreach(json_at(node, "spec", "taints"), i, taint)
        if (str_eq(json_str_at(taint, "key"), "node.kubernetes.io/unreachable"))
            return true;
    return false;
}

static void status_done(void *ctx, const KubeReply *reply) {
    AgentNode *node = ctx;
    node->call = NULL;
    if (reply->r != 0) {
        node->registered = false;
        node_failed(node, reply);
        return;
    }
    if (!node->registered)
        log_info("node %s is ready", node->shape->name);
    if (was_lost(reply->body))
        agent_node_found_again(node->agent, node->shape->name);
    node->registered = true;
    loop_timer_after(node->timer, LEASE_EVERY);
}

static void send_status(AgentNode *node) {
    Agent *agent = node->agent;
    _cleanup_json_ json_t *patch = json_object();
    json_object_set_new(patch, "status",
                        node_status(node->shape, &agent->facts, true, loop_wall_now(agent->loop)));
    KubeRequest request = { .verb = KUBE_PATCH,
                            .gvr = NODES,
                            .name = node->shape->name,
                            .subresource = "status",
                            .patch = KUBE_PATCH_MERGE,
                            .body = patch };
    node->call = kube_call(agent->client, &request, status_done, node);
}

/* A node that was there keeps its labels and taints; what is ours is set. */
static void taken_over(void *ctx, const KubeReply *reply) {
    AgentNode *node = ctx;
    node->call = NULL;
    if (reply->r != 0)
        node_failed(node, reply);
    else
        send_status(node);
}

static void created(void *ctx, const KubeReply *reply) {
    AgentNode *node = ctx;
    Agent *agent = node->agent;
    node->call = NULL;
    if (reply->r == 0) {
        send_status(node);
    } else if (reply->r == KUBE_EXISTS) {
        _cleanup_json_ json_t *object = node_object(node->shape, &agent->facts);
        _cleanup_json_ json_t *patch = json_object();
        json_object_set(patch, "metadata", json_object_get(object, "metadata"));
        node->call = kube_patch(agent->client, NODES, NULL, node->shape->name, KUBE_PATCH_MERGE,
                                patch, taken_over, node);
    } else {
        node_failed(node, reply);
    }
}

static void lease_made(void *ctx, const KubeReply *reply) {
    AgentNode *node = ctx;
    UNUSED(reply); /* the next renewal finds out */
    node->lease_call = NULL;
}

static void lease_renewed(void *ctx, const KubeReply *reply) {
    AgentNode *node = ctx;
    Agent *agent = node->agent;
    node->lease_call = NULL;
    if (reply->r != KUBE_NOT_FOUND)
        return;
    _cleanup_json_ json_t *lease = node_lease(node->shape, loop_wall_now(agent->loop));
    node->lease_call = kube_create(agent->client, LEASES, LEASE_SPACE, lease, lease_made, node);
}

static void renew_lease(AgentNode *node) {
    Agent *agent = node->agent;
    if (node->lease_call)
        return;
    _cleanup_json_ json_t *lease = node_lease(node->shape, loop_wall_now(agent->loop));
    node->lease_call = kube_patch(agent->client, LEASES, LEASE_SPACE, node->shape->name,
                                  KUBE_PATCH_MERGE, lease, lease_renewed, node);
}

static void beat(void *ctx) {
    AgentNode *node = ctx;
    Agent *agent = node->agent;
    if (node->call)
        return;
    renew_lease(node);
    if (node->registered) {
        send_status(node);
        return;
    }
    _cleanup_json_ json_t *object = node_object(node->shape, &agent->facts);
    json_object_set_new(object, "status",
                        node_status(node->shape, &agent->facts, true, loop_wall_now(agent->loop)));
    node->call = kube_create(agent->client, NODES, NULL, object, created, node);
}

/* The value of NAME="..." in os-release. */
static char *os_image(void) {
    _cleanup_buf_ Buf text = { 0 };
    if (file_read(OS_RELEASE, 65536, &text) < 0 || !text.data)
        return str_dup("Linux");
    const char *at = strstr(text.data, "PRETTY_NAME=\"");
    const char *end = at ? strchr(at + 13, '"') : NULL;
    return end ? str_dup_slice((Slice){ at + 13, (size_t)(end - at - 13) }) : str_dup("Linux");
}

static char *first_line(const char *path) {
    _cleanup_buf_ Buf text = { 0 };
    if (file_read(path, 4096, &text) < 0 || !text.data)
        return str_dup("");
    return str_dup_slice((Slice){ text.data, strcspn(text.data, "\n") });
}

static void learn_facts(Agent *agent) {
    struct utsname name = { 0 };
    uname(&name);
    bool arm = str_eq(name.machine, "aarch64");
    char *texts[] = { str_dup(name.release),
                      os_image(),
                      first_line("/etc/machine-id"),
                      first_line("/proc/sys/kernel/random/boot_id"),
                      NULL,
                      NULL };
    memcpy(agent->facts_text, texts, sizeof(texts));
    agent->facts = (NodeFacts){ .host_ip = agent->host->host_ip,
                                .agent_url = agent_endpoint_url(agent->endpoint),
                                .version = VERSION,
                                .kernel = texts[0],
                                .os_image = texts[1],
                                .machine_id = texts[2],
                                .boot_id = texts[3],
                                .architecture = arm ? "arm64" : "amd64",
                                .started = loop_wall_now(agent->loop) };
}

static void namespace_made(void *ctx, const KubeReply *reply) {
    UNUSED(ctx);
    UNUSED(reply); /* there already, or the lease will say what is wrong */
}

int register_start(Agent *agent) {
    learn_facts(agent);
    _cleanup_json_ json_t *space = json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind",
                                             "Namespace", "metadata", "name", LEASE_SPACE);
    kube_create(agent->client, NAMESPACES, NULL, space, namespace_made, agent);
    agent->nodes = mem_array(AgentNode, agent->shapes.len);
    for (size_t i = 0; i < agent->shapes.len; i++) {
        AgentNode *node = &agent->nodes[i];
        *node = (AgentNode){ .agent = agent,
                             .shape = &agent->shapes.items[i],
                             .timer = loop_timer_new(agent->loop, beat, node) };
        beat(node);
    }
    return 0;
}

void register_stop(Agent *agent) {
    for (size_t i = 0; agent->nodes && i < agent->shapes.len; i++) {
        kube_call_free(agent->nodes[i].call);
        kube_call_free(agent->nodes[i].lease_call);
        loop_timer_free(agent->nodes[i].timer);
    }
    agent->nodes = mem_free(agent->nodes);
    node_shapes_done(&agent->shapes);
    for (size_t i = 0; i < ARRAY_LEN(agent->facts_text); i++)
        mem_free(agent->facts_text[i]);
}
