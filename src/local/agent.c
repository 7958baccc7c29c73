/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent.h"

#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "kobj/meta.h"
#include "local/agent_private.h"

#define REFRESH_EVERY (60 * USEC_PER_SEC)
#define RETRY_FIRST   (200 * USEC_PER_MSEC)
#define RETRY_MOST    (10 * USEC_PER_SEC)
#define DNS_PORT      53

static const KubeGvr PODS = { "", "v1", "pods" };

AgentEntry *agent_entry(Agent *agent, const AgentPod *pod) {
    return strmap_get(&agent->entries, agent_pod_def(pod)->uid);
}

/* ---- what goes to the API server ---- */

static void send_status(AgentEntry *entry, json_t *status);
static void send_delete(AgentEntry *entry);

static void retry_later(AgentEntry *entry) {
    entry->retry_wait = entry->retry_wait ? MIN(entry->retry_wait * 2, RETRY_MOST) : RETRY_FIRST;
    loop_timer_after(entry->retry, entry->retry_wait);
}

static void retry(void *ctx) {
    AgentEntry *entry = ctx;
    if (entry->call)
        return;
    if (entry->waiting)
        send_status(entry, TAKE(entry->waiting));
    else if (entry->gone)
        send_delete(entry);
}

/* The next one that waits, the newest status first, the deletion last. */
static void send_next(AgentEntry *entry) {
    entry->retry_wait = 0;
    retry(entry);
}

static void status_answered(void *ctx, const KubeReply *reply) {
    AgentEntry *entry = ctx;
    entry->call = NULL;
    if (reply->r == 0 || reply->r == KUBE_NOT_FOUND || reply->r == KUBE_CONFLICT ||
        reply->r == KUBE_INVALID) {
        if (reply->r == KUBE_INVALID)
            log_error("status of pod %s: %s", entry->uid, reply->message);
        send_next(entry);
        return;
    }
    log_warn("status of pod %s: %s; trying again", entry->uid, reply->message);
    retry_later(entry);
    if (!entry->waiting) /* what stands now, kept until then */
        agent_pod_say_again(entry->pod);
}

static void send_status(AgentEntry *entry, json_t *status) {
    const PodDef *def = agent_pod_def(entry->pod);
    _cleanup_json_ json_t *patch =
        json_pack("{s:{s:s},s:o}", "metadata", "uid", def->uid, "status", status);
    KubeRequest request = { .verb = KUBE_PATCH,
                            .gvr = PODS,
                            .namespace = def->ns,
                            .name = def->name,
                            .subresource = "status",
                            .patch = KUBE_PATCH_MERGE,
                            .body = patch };
    entry->call = kube_call(entry->agent->client, &request, status_answered, entry);
}

static void deleted(void *ctx, const KubeReply *reply) {
    AgentEntry *entry = ctx;
    Agent *agent = entry->agent;
    entry->call = NULL;
    if (reply->r < 0 || reply->r == KUBE_BUSY || reply->r == KUBE_FORBIDDEN) {
        log_warn("delete pod %s: %s; trying again", entry->uid, reply->message);
        retry_later(entry);
        return;
    }
    strmap_remove(&agent->entries, entry->uid);
    list_push(&agent->done, &entry->all);
    loop_task_arm(agent->reap);
}

static void send_delete(AgentEntry *entry) {
    const PodDef *def = agent_pod_def(entry->pod);
    KubeRequest request = { .verb = KUBE_DELETE,
                            .gvr = PODS,
                            .namespace = def->ns,
                            .name = def->name,
                            .if_uid = def->uid,
                            .has_grace = true };
    entry->call = kube_call(entry->agent->client, &request, deleted, entry);
}

/* ---- what pods tell ---- */

static void on_status(void *ctx, AgentPod *pod, const json_t *status) {
    AgentEntry *entry = agent_entry(ctx, pod);
    if (!entry)
        return;
    json_t *copy = json_deep_copy(status);
    if (entry->call || loop_timer_armed(entry->retry)) {
        json_decref(entry->waiting);
        entry->waiting = copy;
        return;
    }
    send_status(entry, copy);
}

static void on_event(void *ctx, AgentPod *pod, const char *container, const char *type,
                     const char *reason, const char *message) {
    Agent *agent = ctx;
    const PodDef *def = agent_pod_def(pod);
    _cleanup_json_ json_t *regarding =
        json_pack("{s:s,s:s,s:{s:s,s:s,s:s}}", "apiVersion", "v1", "kind", "Pod", "metadata",
                  "namespace", def->ns, "name", def->name, "uid", def->uid);
    if (container)
        json_object_set_new(regarding, "fieldPath", json_sprintf("spec.containers{%s}", container));
    event_record(agent->events, regarding, NULL,
                 str_eq(type, "Warning") ? EVENT_WARNING : EVENT_NORMAL, reason, NULL, "%s",
                 message);
}

static void on_gone(void *ctx, AgentPod *pod) {
    AgentEntry *entry = agent_entry(ctx, pod);
    if (!entry)
        return;
    entry->gone = true;
    if (!entry->call && !loop_timer_armed(entry->retry))
        send_next(entry);
}

/* ---- pods that come and go ---- */

static void entry_free(AgentEntry *entry) {
    agent_pod_free(entry->pod);
    agent_tokens_free(entry);
    kube_call_free(entry->call);
    loop_timer_free(entry->retry);
    json_decref(entry->waiting);
    mem_free(entry->uid);
    mem_free(entry);
}

static void reap(void *ctx) {
    Agent *agent = ctx;
    for (List *item; (item = list_pop(&agent->done));)
        entry_free(LIST_ITEM(item, AgentEntry, all));
    loop_task_arm(agent->sweep_claims);
}

static void refused(void *ctx, const KubeReply *reply) {
    UNUSED(ctx);
    UNUSED(reply); /* the pod is seen again after a restart */
}

/* A pod that cannot be run says so in its status, once. */
static void refuse(Agent *agent, const json_t *object, int r) {
    _cleanup_json_ json_t *patch = json_pack("{s:{s:s,s:s,s:s}}", "status", "phase", "Failed",
                                             "reason", "InvalidPod", "message", error_text(r));
    KubeRequest request = { .verb = KUBE_PATCH,
                            .gvr = PODS,
                            .namespace = obj_namespace(object),
                            .name = obj_name(object),
                            .subresource = "status",
                            .patch = KUBE_PATCH_MERGE,
                            .body = patch };
    log_warn("pod %s/%s: %s", obj_namespace(object), obj_name(object), error_text(r));
    kube_call(agent->client, &request, refused, NULL);
}

static void entry_new(Agent *agent, json_t *object) {
    AgentPod *pod;
    int r = agent_pod_new(&agent->host->pods, object, &pod);
    if (r < 0) {
        if (!str_eq(json_str_at(object, "status", "phase"), "Failed"))
            refuse(agent, object, r);
        return;
    }
    AgentEntry *entry = mem_new(AgentEntry);
    *entry = (AgentEntry){ .agent = agent, .pod = pod, .uid = str_dup(obj_uid(object)) };
    entry->retry = loop_timer_new(agent->loop, retry, entry);
    list_init(&entry->tokens);
    list_init(&entry->all);
    strmap_put(&agent->entries, entry->uid, entry);
}

void agent_pod_seen(Agent *agent, json_t *object) {
    const char *node = json_str_at(object, "spec", "nodeName"), *uid = obj_uid(object);
    if (!node || !uid || !register_find(agent, node))
        return;
    AgentEntry *entry = strmap_get(&agent->entries, uid);
    if (entry)
        agent_pod_update(entry->pod, object);
    else
        entry_new(agent, object);
}

void agent_pod_deleted(Agent *agent, json_t *object) {
    AgentEntry *entry = obj_uid(object) ? strmap_get(&agent->entries, obj_uid(object)) : NULL;
    if (entry)
        agent_pod_vanished(entry->pod);
}

static bool known(void *ctx, const char *uid) {
    Agent *agent = ctx;
    return strmap_get(&agent->entries, uid) != NULL;
}

/* The first complete list: what runs here and is in no list is a dead pod's. */
void agent_pods_synced(Agent *agent) {
    if (!agent->swept)
        agent_pods_sweep(&agent->host->pods, known, agent);
    agent->swept = true;
    loop_task_arm(agent->sweep_claims);
}

void agent_node_found_again(Agent *agent, const char *node) {
    size_t pos = 0;
    for (AgentEntry *entry; (entry = strmap_next(&agent->entries, &pos, NULL));)
        if (str_eq(agent_pod_def(entry->pod)->node, node))
            agent_pod_say_again(entry->pod);
}

static void wake_pods(void *ctx) {
    Agent *agent = ctx;
    size_t pos = 0;
    for (AgentEntry *entry; (entry = strmap_next(&agent->entries, &pos, NULL));)
        agent_pod_objects_changed(entry->pod);
}

static void refresh(void *ctx) {
    Agent *agent = ctx;
    agent_tokens_refresh(agent);
    wake_pods(agent);
}

AgentPod *agent_find_pod(Agent *agent, const char *ns, const char *name) {
    size_t pos = 0;
    for (AgentEntry *entry; (entry = strmap_next(&agent->entries, &pos, NULL));) {
        const PodDef *def = agent_pod_def(entry->pod);
        if (str_eq(def->ns, ns) && str_eq(def->name, name) && !entry->gone)
            return entry->pod;
    }
    return NULL;
}

/* ---- life ---- */

static int connect_api(Agent *agent, const AgentOptions *options) {
    KubeConfig config;
    int r = kube_config_auto(options->kubeconfig, options->context, &config);
    if (r < 0)
        return r;
    agent->http = http_client_new(agent->loop);
    r = kube_client_new(agent->loop, agent->http, &config, &agent->client);
    if (r < 0) {
        kube_config_done(&config);
        return r;
    }
    agent->events = event_recorder_new(agent->client, "kubelet", agent->shapes.items[0].name);
    event_recorder_use_core(agent->events);
    return 0;
}

static int start_dns(Agent *agent) {
    AgentHost *host = agent->host;
    if (!host->has_network)
        return 0;
    int r = dns_server_new(agent->loop, host->network.gateway, DNS_PORT, host->pods.cluster_domain,
                           "/etc/resolv.conf", &agent->view, &agent->dns);
    return r < 0 ? error_context(r, "names for pods") : 0;
}

static void take_callbacks(Agent *agent) {
    PodHost *pods = &agent->host->pods;
    pods->status = on_status;
    pods->event = on_event;
    pods->gone = on_gone;
    pods->ctx = agent;
}

static int start(Agent *agent, const AgentOptions *options) {
    _cleanup_free_ char *token = str_printf("%s/agent.token", agent->host->pods.state_dir);
    int r = node_shapes_parse(options->nodes, &agent->shapes);
    if (r == 0)
        r = connect_api(agent, options);
    if (r == 0)
        r = agent_endpoint_new(agent, agent->loop,
                               options->token_file ? options->token_file : token,
                               (uint16_t)options->port, &agent->endpoint);
    if (r == 0)
        r = register_start(agent);
    if (r == 0)
        r = watch_start(agent);
    return r < 0 ? r : start_dns(agent);
}

int agent_new(AgentHost *host, const AgentOptions *options, Agent **ret_agent) {
    Agent *agent = mem_new(Agent);
    Loop *loop = host->pods.loop;
    agent->host = host;
    agent->loop = loop;
    list_init(&agent->done);
    agent->reap = loop_task_new(loop, reap, agent);
    agent->rules = loop_task_new(loop, agent_rules_changed, agent);
    agent->wake_pods = loop_task_new(loop, wake_pods, agent);
    agent->sweep_claims = loop_task_new(loop, agent_claims_sweep, agent);
    agent->refresh = loop_timer_new(loop, refresh, agent);
    agent->rules_retry = loop_timer_new(loop, agent_rules_changed, agent);
    loop_timer_every(agent->refresh, REFRESH_EVERY);
    agent->disk = agent_disk_new(agent);
    take_callbacks(agent);
    int r = start(agent, options);
    if (r < 0) {
        agent_free(agent);
        return r;
    }
    _cleanup_free_ char *logical = node_shapes_logical(
        &agent->shapes, host->pods.node_cpu_milli / 1000, host->pods.node_memory);
    if (logical)
        log_info("%s", logical);
    *ret_agent = agent;
    return 0;
}

Agent *agent_free(Agent *agent) {
    if (!agent)
        return NULL;
    agent_disk_free(agent->disk);
    size_t pos = 0;
    for (AgentEntry *entry; (entry = strmap_next(&agent->entries, &pos, NULL));)
        entry_free(entry);
    strmap_done(&agent->entries);
    reap(agent);
    agent_endpoint_free(agent->endpoint);
    dns_server_free(agent->dns);
    watch_stop(agent);
    register_stop(agent);
    event_recorder_free(agent->events);
    kube_client_free(agent->client);
    http_client_free(agent->http);
    loop_task_free(agent->reap);
    loop_task_free(agent->rules);
    loop_task_free(agent->wake_pods);
    loop_task_free(agent->sweep_claims);
    loop_timer_free(agent->refresh);
    loop_timer_free(agent->rules_retry);
    mem_free(agent->applied);
    return mem_free(agent);
}
