/* SPDX-License-Identifier: Apache-2.0 */

/* What the agent watches: pods of its nodes, what they mount, services and their endpoints. */

#include "base/error.h"
#include "base/log.h"
#include "kobj/meta.h"
#include "local/agent_private.h"

#define RULES_RETRY (10 * USEC_PER_SEC)

static const char slice_index[] = "service";

static void stuck(void *ctx, int r, const char *message) {
    UNUSED(ctx);
    UNUSED(r);
    log_warn("watch: %s", message);
}

/* ---- pods ---- */

static void pod_added(void *ctx, json_t *object) {
    agent_pod_seen(ctx, object);
}

static void pod_updated(void *ctx, json_t *old, json_t *object) {
    Agent *agent = ctx;
    if (!str_eq(obj_uid(old), obj_uid(object)))
        agent_pod_deleted(agent, old);
    agent_pod_seen(agent, object);
}

static void pod_deleted(void *ctx, json_t *object) {
    agent_pod_deleted(ctx, object);
}

static void pods_synced(void *ctx) {
    agent_pods_synced(ctx);
}

static const KubeInformerEvents pod_events = { .added = pod_added,
                                               .updated = pod_updated,
                                               .deleted = pod_deleted,
                                               .synced = pods_synced,
                                               .stuck = stuck };

/* ---- what pods mount and read ---- */

static void object_changed(void *ctx, json_t *object) {
    UNUSED(object);
    Agent *agent = ctx;
    loop_task_arm(agent->wake_pods);
}

static void object_updated(void *ctx, json_t *old, json_t *object) {
    UNUSED(old);
    object_changed(ctx, object);
}

static const KubeInformerEvents object_events = {
    .added = object_changed, .updated = object_updated, .deleted = object_changed, .stuck = stuck
};

static void claim_deleted(void *ctx, json_t *object) {
    Agent *agent = ctx;
    loop_task_arm(agent->sweep_claims);
    object_changed(ctx, object);
}

static void claims_synced(void *ctx) {
    Agent *agent = ctx;
    loop_task_arm(agent->sweep_claims);
}

static const KubeInformerEvents claim_events = { .added = object_changed,
                                                 .updated = object_updated,
                                                 .deleted = claim_deleted,
                                                 .synced = claims_synced,
                                                 .stuck = stuck };

static const json_t *find_object(void *ctx, const char *kind, const char *ns, const char *name) {
    Agent *agent = ctx;
    KubeInformer *informer = str_eq(kind, "ConfigMap")               ? agent->config_maps
                             : str_eq(kind, "Secret")                ? agent->secrets
                             : str_eq(kind, "PersistentVolumeClaim") ? agent->claims
                                                                     : NULL;
    return informer ? kube_informer_get(informer, ns, name) : NULL;
}

/* ---- services ---- */

static void service_changed(void *ctx, json_t *object) {
    UNUSED(object);
    Agent *agent = ctx;
    loop_task_arm(agent->rules);
}

static void service_updated(void *ctx, json_t *old, json_t *object) {
    UNUSED(old);
    service_changed(ctx, object);
}

static void services_synced(void *ctx) {
    Agent *agent = ctx;
    loop_task_arm(agent->rules);
}

static const KubeInformerEvents service_events = { .added = service_changed,
                                                   .updated = service_updated,
                                                   .deleted = service_changed,
                                                   .synced = services_synced,
                                                   .stuck = stuck };

static void index_slice(const json_t *slice, StrList *keys) {
    char *key = service_slice_key(slice);
    if (key)
        strlist_take(keys, key);
}

static const json_t *next_service(void *ctx, size_t *pos) {
    Agent *agent = ctx;
    return kube_informer_next(agent->services, pos);
}

static const json_t *get_service(void *ctx, const char *ns, const char *name) {
    Agent *agent = ctx;
    return kube_informer_get(agent->services, ns, name);
}

static json_t *const *service_slices(void *ctx, const char *ns, const char *name,
                                     size_t *ret_count) {
    Agent *agent = ctx;
    _cleanup_free_ char *key = str_printf("%s/%s", ns, name);
    return kube_informer_by(agent->slices, slice_index, key, ret_count);
}

static void pod_variables(void *ctx, const char *ns, StrList *env) {
    Agent *agent = ctx;
    service_variables(&agent->view, ns, env);
}

/* ---- packet rules, put in place on the pool: the helper program takes milliseconds ---- */

typedef struct RulesJob {
    Agent *agent;
    char *text, *error;
    bool nft;
    int r;
} RulesJob;

static void rules_run(void *data) {
    RulesJob *job = data;
    job->r = network_put_rules(job->nft, job->text);
    if (job->r < 0)
        job->error = str_dup(error_text(job->r));
}

static void rules_done(void *data, int r) {
    RulesJob *job = data;
    Agent *agent = job->agent;
    if (r == 0) { /* else the agent is going */
        agent->applying = false;
        if (job->r < 0) {
            log_error("packet rules of services: %s", job->error);
            agent->applied = mem_free(agent->applied);
            loop_timer_after(agent->rules_retry, RULES_RETRY);
        } else {
            loop_task_arm(agent->rules); /* what changed meanwhile */
        }
    }
    mem_free(job->text);
    mem_free(job->error);
    mem_free(job);
}

void agent_rules_changed(void *ctx) {
    Agent *agent = ctx;
    AgentNetwork *network = &agent->host->network;
    if (agent->applying || loop_timer_armed(agent->rules_retry) || !agent->host->has_network ||
        network->lacks || !kube_informer_synced(agent->services) ||
        !kube_informer_synced(agent->slices))
        return;
    ServicePorts ports = { 0 };
    service_rules(&agent->view, &ports);
    _cleanup_free_ char *text =
        network->nft ? network_rules_nft(network, &ports) : network_rules_iptables(network, &ports);
    service_ports_done(&ports);
    if (str_eq(text, agent->applied))
        return;
    RulesJob *job = mem_new(RulesJob);
    *job = (RulesJob){ .agent = agent, .text = str_dup(text), .nft = network->nft };
    mem_free(agent->applied);
    agent->applied = TAKE(text);
    agent->applying = true;
    loop_work(agent->loop, rules_run, rules_done, job);
}

/* ---- life ---- */

static KubeInformer *informer(Agent *agent, const char *group, const char *version,
                              const char *resource, const KubeInformerEvents *events) {
    KubeInformerSpec spec = { .gvr = { group, version, resource } };
    return kube_informer_new(agent->client, &spec, events, agent);
}

int watch_start(Agent *agent) {
    agent->config_maps = informer(agent, "", "v1", "configmaps", &object_events);
    agent->secrets = informer(agent, "", "v1", "secrets", &object_events);
    agent->claims = informer(agent, "", "v1", "persistentvolumeclaims", &claim_events);
    agent->services = informer(agent, "", "v1", "services", &service_events);
    agent->slices = informer(agent, "discovery.k8s.io", "v1", "endpointslices", &service_events);
    agent->pods = informer(agent, "", "v1", "pods", &pod_events);
    kube_informer_add_index(agent->slices, slice_index, index_slice);
    agent->view = (ServiceView){
        .next = next_service, .get = get_service, .slices = service_slices, .ctx = agent
    };
    PodHost *pods = &agent->host->pods;
    pods->object = find_object;
    pods->services = pod_variables;
    pods->token = agent_token;
    KubeInformer *all[] = { agent->config_maps, agent->secrets, agent->claims,
                            agent->services,    agent->slices,  agent->pods };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        kube_informer_start(all[i]);
    return 0;
}

void watch_stop(Agent *agent) {
    agent->pods = kube_informer_free(agent->pods);
    agent->slices = kube_informer_free(agent->slices);
    agent->services = kube_informer_free(agent->services);
    agent->claims = kube_informer_free(agent->claims);
    agent->secrets = kube_informer_free(agent->secrets);
    agent->config_maps = kube_informer_free(agent->config_maps);
}
