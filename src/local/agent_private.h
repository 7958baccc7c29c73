/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The agent's own state, shared by agent.c, agent_register.c and agent_watch.c. */

#include "base/list.h"
#include "base/map.h"
#include "kube/client.h"
#include "kube/event.h"
#include "kube/informer.h"
#include "local/agent.h"
#include "local/agent_dns.h"
#include "local/agent_endpoint.h"
#include "local/agent_nodes.h"
#include "local/agent_service.h"

/* A service account token somebody mounts. */
typedef struct AgentToken {
    List all;
    struct AgentEntry *entry;
    char *audience, *value; /* value NULL: not there yet */
    int64_t seconds;
    usec_t refresh_at;      /* monotonic */
    KubeCall *call;
} AgentToken;

/* A pod of ours: the worker, and what is on its way to the API server. */
typedef struct AgentEntry {
    List all; /* in agent->done once it is to be freed */
    struct Agent *agent;
    AgentPod *pod;
    char *uid;
    KubeCall *call;
    json_t *waiting; /* a newer status than the one being sent */
    LoopTimer *retry;
    usec_t retry_wait;
    bool gone; /* has left the machine */
    List tokens;
} AgentEntry;

typedef struct AgentNode {
    struct Agent *agent;
    const NodeShape *shape;
    KubeCall *call, *lease_call;
    LoopTimer *timer; /* next heartbeat, or the next attempt to register */
    bool registered;
} AgentNode;

typedef struct AgentDisk AgentDisk;

struct Agent {
    AgentHost *host;
    Loop *loop;
    HttpClient *http;
    KubeClient *client;
    EventRecorder *events;
    KubeInformer *pods, *services, *slices, *config_maps, *secrets, *claims;
    StrMap entries; /* uid: AgentEntry */
    List done;
    LoopTask *reap, *rules, *wake_pods, *sweep_claims;
    LoopTimer *refresh, *rules_retry;
    ServiceView view;
    DnsServer *dns;
    AgentEndpoint *endpoint;
    AgentDisk *disk;
    char *applied; /* packet rules in place or being put there */
    bool applying, swept;
    NodeShapes shapes;
    AgentNode *nodes;
    NodeFacts facts;
    char *facts_text[6]; /* what facts point to */
};

/* agent_watch.c: informers, services, what pods may wait for */
_must_check_ int watch_start(Agent *agent);
void watch_stop(Agent *agent);
void agent_pod_seen(Agent *agent, json_t *object);
void agent_pod_deleted(Agent *agent, json_t *object);
void agent_pods_synced(Agent *agent);
void agent_rules_changed(void *ctx);
/* The API server took the node for lost and told so in its pods' statuses. */
void agent_node_found_again(Agent *agent, const char *node);

/* agent_disk.c: evicts pods for the room they use */
AgentDisk *agent_disk_new(Agent *agent);
AgentDisk *agent_disk_free(AgentDisk *disk);

/* agent_claims.c: a LoopFn */
void agent_claims_sweep(void *ctx);

/* agent_register.c: nodes, leases */
_must_check_ int register_start(Agent *agent);
void register_stop(Agent *agent);
const AgentNode *register_find(const Agent *agent, const char *name);

/* agent_token.c */
int agent_token(void *ctx, AgentPod *pod, const char *audience, int64_t seconds, char **ret_token);
void agent_tokens_refresh(Agent *agent);
void agent_tokens_free(AgentEntry *entry);
AgentEntry *agent_entry(Agent *agent, const AgentPod *pod);
