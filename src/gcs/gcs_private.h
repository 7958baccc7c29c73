/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this folder share. Each section names the file that owns it. */

#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "gcs/gcs.h"
#include "model/convert.h"
#include "net/link.h"
#include "rpc/rpc.h"
#include "sched/group.h"

enum {
    GCS_NODES_MAX = 65000, /* alive; a node's number has 16 bits */
    GCS_DEAD_NODES_KEPT = 1000,
    GCS_FINISHED_JOBS_KEPT = 10000,
    GCS_DEAD_ACTORS_KEPT = 100000,
    GCS_ACTORS_MAX = 1000000,
    GCS_EARLY_MAX = 100000,      /* subscriptions to actors that nobody registered yet */
    GCS_SUBMISSIONS_MAX = 10000,
    GCS_GROUPS_MAX = 100000,     /* placement groups that are not removed */
    GCS_REMOVED_GROUPS_KEPT = 1000,
    GCS_GROUP_WAITS_MAX = 10000, /* on one group; who asks again and again does not say so */
    GCS_SUBSCRIPTIONS_MAX = 1000000,
    GCS_TASKS_KEPT = 100000,     /* records of ended calls */
    GCS_NAME_MAX = 1024,         /* of actors, namespaces, channels, nodes */
};
#define GCS_KV_BYTES_MAX            ((size_t)4 << 30)
#define GCS_SUBSCRIPTIONS_BYTES_MAX ((size_t)256 << 20)

/* Of a raylet it lasts as long as that raylet's node, whatever connections break. */
typedef struct GcsConn {
    uint64_t id;              /* never used again */
    GcsConnId carrier;        /* the port's connection; 0: none now (raylets) */
    struct Gcs *gcs;
    Role role;                /* NONE until Hello */
    PeerId peer;              /* where frames for it are addressed */
    Link *link;               /* RAYLET */
    uint64_t link_name;       /* the raylet's name of it: in Gcs.links */
    struct GcsNode *node;     /* RAYLET: once it has asked to be registered */
    FrameHeader registration; /* that call */
} GcsConn;

/* One message on its way through a handler. */
typedef struct GcsCall {
    GcsConn *conn;
    const FrameHeader *header;
    Slice body;
    Arena *arena;
} GcsCall;

/* ---- deaths.c ---- */
typedef struct GcsDeath GcsDeath;
typedef struct GcsUntold {
    GcsDeath *death;
    uint64_t number; /* of the frame that tells it on the node's link; 0: not sent */
} GcsUntold;

/* ---- nodes.c ---- */
typedef struct GcsNode {
    SchedNode sched; /* id, resources, labels */
    uint16_t index, incarnation;
    NodeState state;
    GcsConn *conn;     /* NULL: not registered with this process yet */
    usec_t deadline;   /* of the next sign of life */
    uint64_t arriving; /* of a frame, when that was looked at last */
    char *address, *ip, *hostname, *name, *raylet_socket, *death_reason;
    bool head;
    uint32_t agent_port, metrics_port;
    uint64_t started_ms, ended_ms;
    ResourceSet reserved, reserved_used; /* by placement groups */
    Buf demands;                         /* encoded NodeReport with nothing but its demands */
    bool dirty;                          /* its view goes out at the end of the tick */
    Vec(GcsUntold) untold;               /* what it may not have heard, the oldest first */
    uint32_t told;                       /* how often it has said what is available */
} GcsNode;

/* ---- jobs.c ---- */
typedef struct GcsJob {
    JobId id;
    PeerId driver;
    WorkerId driver_worker;
    char *namespace_, *config, *ip, *submission, *entrypoint;
    uint32_t pid;
    uint64_t started_ms, ended_ms;
    bool finished;
} GcsJob;

/* ---- actors.c ---- */
typedef struct GcsActor {
    ActorId id;
    Buf record, create; /* the encoded ActorRegister.info and ActorCreate as they came */
    ActorState state;
    char *name, *namespace_, *class_name, *repr, *ip, *death_text;
    JobId job;
    bool detached;
    PeerId owner;
    int32_t max_restarts;
    uint32_t restarts, pid;
    DeathKind death_kind;
    Buf death_error;
    PeerId worker; /* ALIVE: indexed in by_worker */
    WorkerId worker_id;
    NodeId node;
    /* creation */
    ResourceSet placement, held;
    LabelSelector labels, *fallback;
    SchedRequest request; /* resources and labels point to the above */
    bool created;         /* ActorCreate has come */
    /* A start under way to `node`; once that is in the log it is tried there only until the node
     * has answered or is dead, so that an actor never runs twice. */
    struct ActorStarting *starting; /* NULL: none */
    uint32_t start_call;            /* 0: not sent yet */
    bool in_group;
    GroupId group;
    int32_t bundle; /* -1: any */
    List pending;   /* in Gcs.pending while it waits for a place */
    Vec(PeerId) subscribers;
} GcsActor;

/* Who asked for an actor before its owner's registration came: the handle was faster. */
typedef struct GcsEarly {
    ActorId actor;
    PeerId peer;
    usec_t until; /* then there is none */
} GcsEarly;

/* ---- groups.c ---- */
typedef struct GcsBundle {
    ResourceSet resources;
    LabelSelector labels;
    NodeId node;         /* that holds it; zero: none */
    NodeId planned;      /* in the attempt under way; zero: it takes no part */
    ResourceSet refused; /* what its node had no room for; empty: nothing since it told of room */
} GcsBundle;

/* A node's part in the attempt under way. */
typedef struct GroupPart {
    struct GcsGroup *group;
    NodeId node;
    uint32_t call; /* 0: answered */
} GroupPart;

typedef struct GcsGroup {
    Gcs *gcs;
    GroupId id;
    GroupState state;
    char *name, *namespace_, *topology;
    GroupPolicy policy;
    GcsBundle *bundles;
    size_t len;
    bool detached, infeasible;
    JobId job;
    ActorId actor;
    PeerId creator;
    NodeId soft_target;
    uint32_t attempts;
    usec_t asked_at, attempt_at;
    uint64_t created_usec, reserve_usec;
    /* the attempt under way */
    GroupPart *parts;
    size_t parts_len, awaited;
    bool refused, committing;
    bool told;     /* the creator hears of its success where the bundles are */
    uint32_t next; /* where the search of a place for an actor begins */
    Vec(PeerId) watchers;
    List waiting;  /* GroupGet calls, answered once it is created or removed; the oldest first */
    size_t waiting_len;
    List link;     /* in Gcs.groups_pending, or Gcs.groups_removed */
} GcsGroup;

/* ---- submissions.c, submission_place.c ---- */
typedef struct GcsSubmission {
    Gcs *gcs;
    char *id;
    struct json_t *record;
    NodeId node;       /* it was asked to run it; unset: not asked yet */
    uint32_t run_call; /* 0: none under way */
    ResourceSet resources;
    LabelSelector labels;
    bool placed;      /* has one of these: not bound to the head */
    bool asked;       /* its node may have begun it */
    bool stopping;    /* somebody wants it stopped; its node is told. In the record as well */
    uint32_t charged; /* its node with its resources, when that was picked */
    List waiting;     /* in Gcs.submissions_waiting while it has no node */
} GcsSubmission;

/* ---- tasks.c ---- */
typedef struct GcsTasks { /* what ended: calls, by batches as they came; processes */
    List batches, workers;
    size_t count, bytes, max, workers_len, workers_bytes;
    Map dropped; /* JobId -> how many records of it went, or never came */
    uint64_t dropped_total, workers_dropped;
} GcsTasks;

/* ---- pubsub.c ---- */
typedef struct GcsSubscription {
    PeerId peer;
    char *channel;
    Slice key;
} GcsSubscription;

struct Gcs {
    Loop *loop;
    Kv *kv;
    GcsPort port;
    char *session_name, *session_dir, *settings, *dashboard_url, *node_ip;
    Buf token;
    usec_t keepalive;
    Hash cluster;
    Rpc *rpc; /* our own calls, to raylets */
    LoopTimer *rpc_timer;
    int broken;
    List held; /* answers that wait for the log */

    uint64_t last_conn;
    Map conns;            /* GcsConn.id -> GcsConn */
    Map carriers;         /* GcsConnId -> GcsConn */
    Map links;            /* uint64_t: what the raylet calls it -> GcsConn */
    uint32_t next_direct; /* of peers connected to us directly */
    Map direct;           /* PeerId -> GcsConn */

    Map nodes;            /* NodeId -> GcsNode, dead ones too */
    Map by_index;         /* uint16_t -> GcsNode, those alive */
    uint16_t last_index;
    size_t nodes_alive, nodes_dead;
    LoopTimer *node_timer;
    usec_t nodes_tick_due;
    LoopTask *view_task;
    Vec(const SchedNode *) view;
    SchedState sched;

    Map deaths;  /* PeerId -> GcsDeath */

    Map jobs;    /* JobId -> GcsJob */
    Map drivers; /* PeerId -> GcsJob, running ones */
    uint32_t last_job;

    Map actors;          /* ActorId -> GcsActor */
    StrMap names;        /* "namespace/name" -> GcsActor */
    Map by_worker;       /* PeerId -> GcsActor */
    size_t actors_dead;
    List pending;        /* GcsActor.pending, the oldest first */
    List actor_news;     /* of changes, the oldest first: until they are logged */
    LoopTask *schedule_task;
    uint64_t last_start; /* of an actor */
    Vec(GcsEarly) early; /* the oldest first */
    LoopTimer *early_timer;

    Map groups;                          /* GroupId -> GcsGroup */
    StrMap group_names;                  /* "namespace/name" -> GcsGroup */
    List groups_pending, groups_removed; /* the oldest first */
    size_t groups_removed_len;

    StrMap submissions;       /* id -> GcsSubmission */
    List submissions_waiting; /* the oldest first */
    LoopTimer *submission_timer;
    usec_t job_start_timeout;

    GcsTasks tasks;

    Vec(GcsSubscription) subscriptions;
    size_t subscriptions_bytes;
    size_t kv_bytes;
};

/* ---- conns.c: connections, and the links of raylets ---- */
void conns_init(Gcs *gcs);
void conns_done(Gcs *gcs);
void conns_on_hello(Gcs *gcs, GcsCall *call);
/* Where frames for a peer go: its own, or its node's; NULL: nowhere. */
GcsConn *conns_to(const Gcs *gcs, PeerId peer);
/* From gcs where the header names no source. */
void conn_send(GcsConn *conn, const FrameHeader *header, Slice body);
/* Whether a frame that came on its carrier is to be looked at. */
bool conn_take(GcsConn *conn, const FrameHeader *header);
/* How far a frame is that has begun to come from there; 0: there is none. */
uint64_t conn_arriving(const GcsConn *conn);
void conns_on_progress(Gcs *gcs, GcsCall *call);
/* After what was sent. */
void conn_close(GcsConn *conn);

/* ---- actor_news.c ---- */
void actor_info(const GcsActor *actor, Arena *arena, ActorInfo *ret_info);
void actor_message(const GcsActor *actor, Buf *out);
_must_check_ int actor_store(Gcs *gcs, const GcsActor *actor);
/* Logs, then tells the subscribers and the channel. */
void actors_changed(Gcs *gcs, const GcsActor *actor);
/* How it is, to one that is no caller; also once that is logged. */
void actor_tell(Gcs *gcs, const GcsActor *actor, PeerId peer);
void actor_news_done(Gcs *gcs);

/* ---- gcs.c: frames in and out ---- */
/* The answer, now or (logged) once everything written so far is durable. */
void gcs_reply(Gcs *gcs, const GcsCall *call, MessageType type, const Buf *body);
void gcs_reply_status(Gcs *gcs, const GcsCall *call, StatusCode code, const char *format, ...)
    _printf_(4, 5);
void gcs_reply_logged(Gcs *gcs, const GcsCall *call, MessageType type, const Buf *body,
                      KvSync sync);
void gcs_ok_logged(Gcs *gcs, const GcsCall *call, KvSync sync);
/* A failed request: the code's status with error_text(r). */
void gcs_reply_error(Gcs *gcs, const GcsCall *call, int r);
/* To any peer, wherever it is connected; lost if it is nowhere. */
void gcs_send(Gcs *gcs, PeerId to, MessageType type, const Buf *body);
/* Logs what nobody waits for. */
void gcs_log(Gcs *gcs);
/* The same, then `then` with the key: what it sends comes after the answers held so far. Not called
 * when the store broke. */
typedef void GcsLoggedFn(Gcs *gcs, const char *key);
void gcs_log_then(Gcs *gcs, GcsLoggedFn *then, const char *key);
void gcs_arm_rpc(Gcs *gcs);
uint64_t gcs_wall_ms(const Gcs *gcs);
/* Writes one record; a failure (too large) is returned. */
_must_check_ int gcs_store(Gcs *gcs, const char *table, Slice key, const Buf *value);
void gcs_erase(Gcs *gcs, const char *table, Slice key);

/* Decodes call->body into `message` or answers INVALID and returns from the handler. */
#define GCS_DECODE(gcs, call, decode, message)                                                     \
    do {                                                                                           \
        int r_ = decode(message, (call)->body.data, (call)->body.len, (call)->arena);              \
        if (r_ < 0) {                                                                              \
            gcs_reply_error((gcs), (call), r_);                                                    \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define ID_SLICE(id) ((Slice){ (const char *)(id)->byte, sizeof(*(id)) })

/* ---- nodes.c ---- */
void nodes_init(Gcs *gcs);
_must_check_ int nodes_load(Gcs *gcs);
void nodes_done(Gcs *gcs);
void nodes_on_register(Gcs *gcs, GcsCall *call);
void nodes_on_report(Gcs *gcs, GcsCall *call);
void nodes_on_list(Gcs *gcs, GcsCall *call);
void nodes_on_drain(Gcs *gcs, GcsCall *call);
void nodes_on_cluster_status(Gcs *gcs, GcsCall *call);
void nodes_heard(Gcs *gcs, GcsNode *node);
void nodes_on_unreachable(Gcs *gcs, GcsCall *call);
/* Its raylet has lost the connection. */
void nodes_on_away(Gcs *gcs, GcsConn *conn);
/* For good, also for itself. */
void node_die(Gcs *gcs, GcsNode *node, const char *reason);
GcsNode *nodes_get(const Gcs *gcs, const NodeId *id);
GcsNode *nodes_by_peer(const Gcs *gcs, PeerId peer); /* alive and of this incarnation, or NULL */
GcsNode *nodes_head(const Gcs *gcs);
SchedView nodes_view(Gcs *gcs);
/* Takes `what` out of the view until the node's next report; returns what nodes_uncharge() wants. */
uint32_t nodes_charge(GcsNode *node, const ResourceSet *what);
/* What was charged was never asked of the node, which thus has nothing to report. One that has said
 * meanwhile what is available has said it without the charge. */
void nodes_uncharge(Gcs *gcs, const NodeId *id, const ResourceSet *what, uint32_t charged);
/* To every raylet but `except` (may be NULL). */
void nodes_broadcast(Gcs *gcs, MessageType type, const Buf *body, const GcsNode *except);

/* ---- deaths.c: of processes ---- */
void deaths_init(Gcs *gcs);
void deaths_done(Gcs *gcs);
/* Tells all nodes but the call's; it is answered when they have heard it. */
void deaths_add(Gcs *gcs, const GcsCall *call, PeerId peer, const Buf *body);
void deaths_node_joined(Gcs *gcs, GcsNode *node);
/* The node has got more of what it was sent. */
void deaths_acknowledged(Gcs *gcs, GcsNode *node);
void deaths_node_dead(Gcs *gcs, GcsNode *node);

/* ---- jobs.c ---- */
void jobs_init(Gcs *gcs);
_must_check_ int jobs_load(Gcs *gcs);
void jobs_done(Gcs *gcs);
void jobs_on_add(Gcs *gcs, GcsCall *call);
void jobs_on_finish(Gcs *gcs, GcsCall *call);
void jobs_on_table(Gcs *gcs, GcsCall *call);
void jobs_peer_dead(Gcs *gcs, PeerId peer);
void jobs_node_dead(Gcs *gcs, const GcsNode *node);
GcsJob *jobs_get(const Gcs *gcs, const JobId *id);

/* ---- actors.c, actor_schedule.c ---- */
void actors_init(Gcs *gcs);
_must_check_ int actors_load(Gcs *gcs);
void actors_done(Gcs *gcs);
void actors_on_register(Gcs *gcs, GcsCall *call);
void actors_on_create(Gcs *gcs, GcsCall *call);
void actors_on_get(Gcs *gcs, GcsCall *call);
void actors_on_subscribe(Gcs *gcs, GcsCall *call);
void actors_on_kill(Gcs *gcs, GcsCall *call);
void actors_on_out_of_scope(Gcs *gcs, GcsCall *call);
void actors_on_list(Gcs *gcs, GcsCall *call);
void actors_on_exited(Gcs *gcs, GcsCall *call);
void actors_peer_dead(Gcs *gcs, const PeerDead *dead);
void actors_node_dead(Gcs *gcs, const GcsNode *node, const char *reason);
/* The actors that live on a node or are being started there. */
KeptActor *actors_kept(const Gcs *gcs, const GcsNode *node, Arena *arena, size_t *ret_len);
void actors_job_ended(Gcs *gcs, const JobId *job);
void actor_kill(Gcs *gcs, GcsActor *actor, DeathKind kind, const char *text);
/* Its worker is gone or it could not start: begin again or die. */
void actor_lost(Gcs *gcs, GcsActor *actor, bool may_restart, DeathKind kind, const char *text);
void actor_set_worker(Gcs *gcs, GcsActor *actor, PeerId worker);
void actor_schedule(Gcs *gcs, GcsActor *actor);
void actor_unschedule(Gcs *gcs, GcsActor *actor);
/* The node where it was being started is dead. */
void actor_start_elsewhere(Gcs *gcs, GcsActor *actor);
void actors_schedule_pending(void *gcs);
/* What actors that have no place yet wait for, equal ones counted. */
size_t actors_demands(const Gcs *gcs, Arena *arena, Demand **ret_demands);
_must_check_ int actor_set_create(GcsActor *actor, const ActorCreate *create);

/* ---- groups.c: the table ---- */
void groups_init(Gcs *gcs);
_must_check_ int groups_load(Gcs *gcs);
void groups_done(Gcs *gcs);
void groups_on_create(Gcs *gcs, GcsCall *call);
void groups_on_remove(Gcs *gcs, GcsCall *call);
void groups_on_get(Gcs *gcs, GcsCall *call);
void groups_on_list(Gcs *gcs, GcsCall *call);
void groups_on_freed(Gcs *gcs, GcsCall *call);
void groups_job_ended(Gcs *gcs, const JobId *job);
void groups_actor_dead(Gcs *gcs, const ActorId *actor);
void groups_node_dead(Gcs *gcs, const GcsNode *node);
/* The bundles that a node holds. */
KeptBundle *groups_kept(const Gcs *gcs, const GcsNode *node, Arena *arena, size_t *ret_len);
GcsGroup *groups_get(const Gcs *gcs, const GroupId *id);
/* All bundles have a node: answers those that wait. */
void group_created(GcsGroup *group, bool told); /* told: the creator knows */
/* What groups that have no place yet wait for, equal ones counted. */
size_t groups_demands(const Gcs *gcs, Arena *arena, GroupDemand **ret_demands);

/* ---- group_reserve.c: finding a place ---- */
void group_schedule(GcsGroup *group);
/* Ends the attempt under way; what it has reserved is returned. */
void group_give_up(GcsGroup *group);
/* The same for one whose nodes have all answered: nothing is returned. */
void group_attempt_end(GcsGroup *group);
/* All bundles are returned; the raylet `has` (0: none) has its own back already. */
void group_return_all(GcsGroup *group, PeerId has);
void groups_schedule_pending(Gcs *gcs);
/* A node of the group that may have room for `want` in that bundle (-1: any), or NULL. */
GcsNode *group_place_in(GcsGroup *group, int32_t bundle, const ResourceSet *want);
/* The node had none after all: it is not asked again until it tells of room. */
void group_no_room(GcsGroup *group, int32_t bundle, const NodeId *node, const ResourceSet *want);

/* ---- submissions.c ---- */
_must_check_ int submissions_load(Gcs *gcs);
void submissions_done(Gcs *gcs);
void submissions_on_submit(Gcs *gcs, GcsCall *call);
void submissions_on_get(Gcs *gcs, GcsCall *call);
void submissions_on_list(Gcs *gcs, GcsCall *call);
void submissions_on_stop(Gcs *gcs, GcsCall *call);
void submissions_on_delete(Gcs *gcs, GcsCall *call);
void submissions_on_state(Gcs *gcs, GcsCall *call);
void submissions_node_dead(Gcs *gcs, const GcsNode *node);
void submissions_driver_joined(Gcs *gcs, const GcsJob *job);
bool submission_ended(const GcsSubmission *s);
_must_check_ int submission_store(const GcsSubmission *s);
void submission_fail(GcsSubmission *s, const char *error_type, const char *message);
/* In the record: nothing of it runs any more. */
void submission_stopped(GcsSubmission *s);

/* ---- submission_place.c ---- */
/* Of one that has a node. */
void submission_stop(GcsSubmission *s);
void submission_places_init(Gcs *gcs);
/* It has no node: tried at once, and whenever there are news of nodes. */
void submission_wait(GcsSubmission *s);
void submissions_schedule_pending(Gcs *gcs);
void submissions_node_joined(Gcs *gcs, const GcsNode *node);
/* What those that have no node yet wait for, equal ones counted. */
size_t submissions_demands(const Gcs *gcs, Arena *arena, Demand **ret_demands);

/* ---- space.c ---- */
_must_check_ int space_load(Gcs *gcs);
void space_on_put(Gcs *gcs, GcsCall *call);
void space_on_get(Gcs *gcs, GcsCall *call);
void space_on_del(Gcs *gcs, GcsCall *call);
void space_on_keys(Gcs *gcs, GcsCall *call);

/* ---- tasks.c ---- */
void tasks_init(Gcs *gcs);
void tasks_done(Gcs *gcs);
void tasks_on_events(Gcs *gcs, GcsCall *call);
void tasks_on_list(Gcs *gcs, GcsCall *call);
void tasks_worker_dead(Gcs *gcs, const PeerDead *dead);
void tasks_on_worker_list(Gcs *gcs, GcsCall *call);

/* ---- pubsub.c ---- */
void pubsub_done(Gcs *gcs);
void pubsub_on_subscribe(Gcs *gcs, GcsCall *call);
void pubsub_on_publish(Gcs *gcs, GcsCall *call);
void pubsub_publish(Gcs *gcs, const char *channel, Slice key, Slice payload);
void pubsub_peer_dead(Gcs *gcs, PeerId peer);
