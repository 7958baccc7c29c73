/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this folder share. Each section names the file that owns it. */

#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "host/session.h"
#include "host/spawn.h"
#include "ipc/doorbell.h"
#include "ipc/ring.h"
#include "loop/loop.h"
#include "model/convert.h"
#include "net/frame.h"
#include "net/link.h"
#include "net/listener.h"
#include "raylet/raylet.h"
#include "rpc/rpc.h"
#include "sched/devices.h"
#include "sched/pick.h"

enum {
    RAYLET_LOCALS_MAX = 16384,    /* connected processes */
    RAYLET_WORKERS_MAX = 16000,
    RAYLET_LEASES_MAX = 200000,   /* asked for or held */
    RAYLET_RINGS_MAX = 65536,
    RAYLET_HELD_BYTES = 64 << 20, /* frames for gcs while it is away */
    /* On their way to another daemon, beyond which who sends them waits: a link that is full ends, and
     * with it the node that it goes to. */
    RAYLET_CROWDED = 256 << 20,
};

typedef struct Worker Worker;
typedef struct Lease Lease;
typedef struct Zygote Zygote;
typedef struct LogFile LogFile;
typedef struct WorkEnv WorkEnv;
typedef struct Objects Objects;

/* ---- local.c: processes connected by the unix socket ---- */
typedef struct Local {
    Raylet *raylet;
    FrameConn *frames;
    LoopTask *close_task;
    Role role; /* NONE until its Hello was taken */
    PeerId peer;
    WorkerId worker_id;
    pid_t pid;
    LoopChild *exit;   /* drivers: their end; workers have theirs in the pool */
    Doorbell bell;
    Worker *worker;    /* WORKER */
    JobId job;         /* DRIVER: its job */
    char *namespace_, *config, *submission;
    FrameHeader hello; /* DRIVER: answered once gcs has numbered the job */
    bool welcomed, goodbye;
    PeerId waits_for;  /* a raylet, or gcs: nothing is read until less waits for it; 0: none */
    usec_t welcomed_wall;
    int exit_code;
    Vec(struct Ring *) rings;
    Map known;   /* PeerId -> anything: whose deaths it hears of */
    Buf metrics; /* the body of its last MetricsReport */
    List link;   /* in Raylet.locals */
} Local;

/* ---- ring.c ---- */
typedef struct Ring {
    Local *ends[2]; /* NULL once that end is gone */
    RingPair map;
} Ring;

/* ---- pool.c ---- */
typedef enum WorkerState {
    WORKER_FORKING,  /* the zygote was asked */
    WORKER_STARTING, /* it runs, its Hello has not come */
    WORKER_IDLE,
    WORKER_LEASED,
    WORKER_ENDING, /* told to exit or killed */
} WorkerState;

struct Worker {
    Raylet *raylet;
    WorkerState state;
    WorkerId id;
    uint64_t token;  /* of its Hello */
    uint32_t number; /* in peer ids */
    Zygote *zygote;  /* NULL once that is gone */
    pid_t pid;
    LoopChild *exit;
    LoopTimer *timer; /* start-up deadline; idle end; then SIGKILL */
    WorkEnv *env;     /* NULL: none; held */
    JobId job;        /* unset: nobody's yet */
    Lease *lease;
    Local *local;
    LogFile *out, *err;
    char *death_text; /* why we ended it */
    bool intended, have_status;
    bool oom;         /* memory.c ended it */
    int status;       /* as waitpid gives it */
    List link;        /* in Raylet.workers */
    List idle;        /* in Raylet.idle, the longest idle first */
};

/* ---- bundles.c: placement groups ---- */
typedef struct HeldBundle { /* resources set aside on this node */
    uint32_t index;
    bool committed;
    ResourceSet total, available;
    DeviceShare gpus; /* of the node's */
    Devices devices;  /* device i is gpus.index[i] */
} HeldBundle;

typedef struct BundlePlace { /* one bundle, as gcs told */
    NodeId node;
    ResourceSet total;
    ResourceSet refused; /* what its node had no room for; empty: nothing since it told of room */
} BundlePlace;

typedef struct RayletGroup {
    Raylet *raylet;
    GroupId id;
    Vec(HeldBundle *) held;
    uint32_t asked;      /* the call to gcs */
    bool known;          /* gcs has told where its bundles are */
    BundlePlace *places; /* by index */
    size_t places_len;
    Vec(PeerId) refused; /* who heard BUSY from us, and waits for room */
    PeerId creator;      /* made here (group.c): for this process */
    uint32_t telling;    /* and gcs has not answered that call yet */
} RayletGroup;

/* ---- lease.c ---- */
typedef enum LeaseState {
    LEASE_WAITING,  /* for resources */
    LEASE_SPILLED,  /* another raylet was asked */
    LEASE_STARTING, /* has resources, waits for a worker */
    LEASE_GRANTED,
} LeaseState;

struct Lease {
    Raylet *raylet;
    LeaseState state;
    LeaseId id;
    PeerId requester; /* whose it is: it ends with that process */
    PeerId asked_by;  /* where the answer goes: the requester, another raylet, or gcs */
    FrameHeader call;
    Buf request;      /* the encoded LeaseRequest, to pass it on */
    JobId job;
    ActorId actor;
    char *name;
    char *runtime_env; /* empty: the job's */
    WorkEnv *env;      /* NULL: none; held */
    uint8_t spilled;
    ResourceSet resources;
    LabelSelector labels, *fallback;
    SchedRequest sched; /* points to the above */
    PeerId near;        /* as asked for; it matters no more once that node was full */
    DeviceShare gpus;
    bool in_group;
    GroupId group;
    int32_t bundle;      /* -1: any */
    bool capture;        /* what it submits runs in the group as well */
    HeldBundle *held;    /* what its resources were taken from; NULL: the node */
    Worker *worker;
    bool retriable;      /* what it runs may run again */
    usec_t granted_at;
    bool feasible;       /* some node could take it with time */
    bool blocked;        /* its CPUs are lent out */
    bool recalled;       /* its holder was told that others wait */
    bool wants_room;     /* waits for what others hold here */
    bool waits_to_start; /* passed on, and all that it needs is that fewer workers start */
    uint32_t spill_call;
    NodeId spill_node;
    uint64_t spill_look;      /* Raylet.looks at that time */
    uint64_t shape;           /* equal ones find a place or not alike */
    struct ActorBirth *birth; /* actor.c: an actor's creation */
    List link;                /* in Raylet.waiting, or Raylet.granted */
};

/* ---- peers.c, ways.c: other raylets ---- */
typedef enum Way { /* to one, now */
    WAY_NONE,
    WAY_DIALLED,   /* directly, its Welcome has not come */
    WAY_DIRECT,
    WAY_ASKED,     /* through gcs, its Welcome has not come */
    WAY_GCS,
} Way;

typedef struct Remote {
    Raylet *raylet;
    SchedNode sched;
    uint16_t index, incarnation;
    char *address, *ip;
    Link *link;         /* lasts while both nodes live */
    Way way;
    FrameConn *frames;  /* DIALLED, DIRECT */
    uint32_t way_name;  /* ASKED, GCS */
    uint32_t look_call; /* GCS: to gcs, whether what is sent moves; 0: none */
    uint64_t relayed;   /* what that has told */
    LoopTimer *
        timer; /* NONE: the next attempt; DIALLED, ASKED: the end of this one; GCS: the next look */
    usec_t retry;       /* the pause before the next attempt */
    usec_t direct_at;   /* not dialled before: it could not be */
    usec_t direct_wait; /* the last time for that */
} Remote;

/* Its raylet. */
static inline PeerId remote_peer(const Remote *remote) {
    return peer_make(remote->index, remote->incarnation, 0);
}

/* ---- job_cache.c: what is known of jobs ---- */
typedef struct Job {
    JobId id;
    PeerId driver;
    char *config, *namespace_;
    char *runtime_env; /* of config; NULL: none */
} Job;

/* ---- route.c: frames that come before the news of their node ---- */
/* A process hears of another one's objects from a third, perhaps before gcs' news of that one's node
 * are here. What it sends waits for them, in order. */
typedef struct EarlyFrame {
    FrameHeader header;
    usec_t until;
    Buf body;
} EarlyFrame;
typedef Vec(EarlyFrame) EarlyFrames;

/* ---- upstream.c: the connection to gcs ---- */
typedef struct Upstream {
    Link *link;       /* lasts while that gcs does */
    FrameConn *frames;
    bool by_port;     /* its socket has just failed */
    bool asked;       /* to be registered */
    bool registered;
    LoopTimer *timer; /* the next dial, or the keep-alive */
    usec_t keepalive;
    usec_t lost_at;   /* 0: connected */
    usec_t heard_at;  /* it answered last */
    usec_t retry;     /* the pause before the next dial */
    Buf held;         /* frames that are no calls and wait until we are registered */
    LoopTimer *report_timer;
    usec_t reported_at;
    bool freed; /* leases came back since */
    Buf last_report;
} Upstream;

struct Raylet {
    Loop *loop;
    RayletEvents events;
    char *gcs_address, *gcs_socket, *temp_dir, *node_ip, *node_name, *hostname, *socket_path,
        *python;
    NetAddress agent_listen, metrics_listen;
    char *spill_folder;
    char *dashboard_url, *settings;
    Buf token;
    bool head, joined, ready, ending;
    uint32_t prestart;
    NodeId id;
    char id_hex[ID_HEX_MAX];
    Hash cluster;
    PeerId self; /* 0 until registered */
    Session session;
    Listener *peer_listener, *local_listener;
    Rpc *rpc;
    LoopTimer *rpc_timer;
    Upstream gcs;

    List locals;
    size_t locals_len, locals_waiting;
    Map local_by_peer; /* PeerId -> Local */
    uint32_t last_number;
    size_t rings_len;

    List workers, idle;
    size_t workers_len, idle_len, starting_len;
    Map worker_by_token;
    StrMap zygotes;     /* by interpreter and what it reads at its start */
    StrMap envs;        /* runtime_env's text -> WorkEnv */
    int start_failures; /* in a row */
    LoopTimer *pool_timer;

    SchedNode here; /* this node: what the scheduler sees of it */
    Devices gpus;
    SchedState sched;
    List waiting, granted;
    uint64_t looks;                      /* so often was looked for what has room */
    bool recalled;                       /* so is each of the granted ones */
    Map leases;                          /* LeaseId -> Lease */
    LoopTask *dispatch_task;
    Map groups;                          /* GroupId -> RayletGroup */
    ResourceSet reserved, reserved_used; /* by bundles held here; of that, by leases */
    Map births;                          /* TaskId -> Lease: creations under way */

    Map deaths;                          /* PeerId -> Death: of workers, the last ones */
    List deaths_kept;                    /* the oldest first */
    Map remotes;                         /* NodeId -> Remote */
    Remote **by_index;
    Vec(const SchedNode *) view;
    uint32_t newest_node; /* the highest number of a node that gcs has told of */
    EarlyFrames early;
    size_t early_bytes;
    LoopTimer *early_timer;
    List incoming;      /* connections of raylets that are not known yet */

    Map jobs;           /* JobId -> Job */
    uint32_t jobs_call; /* to gcs, for those that are not known */

    List questions;     /* state.c */
    size_t questions_len;

    List launches;           /* job-runs that are being started */
    List job_holds;          /* what submitted jobs have been given */
    LoopTimer *orphan_timer; /* jobrun.c */

    struct LogWatch *logs;
    struct Resend *resend;
    struct RayletHttp *http;
    Objects *objects;
    struct MemoryWatch *memory;
};

/* A message for this daemon. */
typedef struct RayletCall {
    Local *local; /* from a process here; else NULL */
    const FrameHeader *header;
    Slice body;
    Arena *arena;
} RayletCall;

#define RAYLET_DECODE(raylet, call, decode, message)                                               \
    do {                                                                                           \
        int r_ = decode(message, (call)->body.data, (call)->body.len, (call)->arena);              \
        if (r_ < 0) {                                                                              \
            raylet_reply_status((raylet), (call)->header, STATUS_CODE_INVALID, "%s",               \
                                error_text(r_));                                                   \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* ---- route.c ---- */
void route_init(Raylet *raylet);
void route_done(Raylet *raylet);
/* gcs has told of the node of this number; after some of those: frames that waited for that go on. */
void route_heard(Raylet *raylet, uint32_t node);
void route_early(Raylet *raylet);
/* To whoever it is addressed to; what can't be delivered is answered by DEAD or PeerDead. */
void route_frame(Raylet *raylet, const FrameHeader *header, Slice body);
/* The same for a frame of our own. */
void raylet_send(Raylet *raylet, PeerId to, MessageType type, const Buf *body);
void raylet_reply(Raylet *raylet, const FrameHeader *call, MessageType type, const Buf *body);
void raylet_reply_status(Raylet *raylet, const FrameHeader *call, StatusCode code,
                         const char *format, ...) _printf_(4, 5);
/* A frame that arrived and is ours or somebody's; `local` is where from, or NULL. */
void route_in(Raylet *raylet, Local *local, const FrameHeader *header, Slice body);
uint32_t raylet_call(Raylet *raylet, PeerId to, MessageType type, const Buf *body, usec_t timeout,
                     RpcDone done, void *argument);
void raylet_arm_rpc(Raylet *raylet);
void raylet_forget(Raylet *raylet, uint32_t call);

/* ---- local.c ---- */
_must_check_ int locals_listen(Raylet *raylet);
void locals_done(Raylet *raylet);
/* A process connected; its pid is the kernel's word. */
Local *local_new(Raylet *raylet, Stream *stream, pid_t pid);
Local *local_get(const Raylet *raylet, PeerId peer);
void local_send(Local *local, MessageType type, const Buf *body);
/* Its process is gone or its connection is: tells everybody and forgets it. */
void local_gone(Local *local, const char *text);
void local_on_goodbye(Raylet *raylet, RayletCall *call);
void local_fail_hello(Local *local, StatusCode code, const char *text);
/* `to`, a raylet or gcs, has taken more of what waited for it, or takes nothing any more. */
void locals_go_on(Raylet *raylet, PeerId to);
/* Nothing more is read of this one while too much waits for where it sends something. */
void local_wait_if_crowded(Local *local, PeerId destination);
PeerId local_number(Raylet *raylet);

/* ---- known.c: who hears of which death ---- */
void known_init(Raylet *raylet);
void known_done(Raylet *raylet);
void local_knows(Local *local, PeerId peer);
/* What it has sent was delivered; it may be dead by now. */
void local_heard_from(Local *local, PeerId peer);
/* `body` is `dead`, encoded. */
void locals_tell_dead(Raylet *raylet, const PeerDead *dead, const Buf *body);

/* ---- ring.c ---- */
void ring_on_connect(Raylet *raylet, RayletCall *call);
/* Makes the pair's ring and tells side 1; 1: there is one already, or `other` is
 * hardly there. The fds for side 0 (memfd, the
 * other's page, the other's eventfd) are borrowed but for fds[0], which the caller closes. */
_must_check_ int ring_make(Local *asker, Local *other, int ret_fds[static 3]);
void rings_drop(Local *local);

/* ---- pool.c, zygote.c ---- */
void pool_init(Raylet *raylet);
void pool_done(Raylet *raylet);
/* A worker for the lease: an idle one, or NULL while one is being started. */
Worker *pool_take(Raylet *raylet, const Lease *lease);
void pool_start_for(Raylet *raylet, Lease *lease);
void pool_give_back(Worker *worker);
Worker *pool_by_token(const Raylet *raylet, uint64_t token);
void worker_connected(Worker *worker, Local *local);
void worker_end(Worker *worker, bool kill, bool intended, const char *text);
/* Its connection broke: the process is gone, or as good as. */
void worker_disconnected(Worker *worker);
void worker_forked(Worker *worker, pid_t pid, int pidfd); /* takes the pidfd */
void worker_fork_failed(Worker *worker, const char *text);
void worker_exited(Worker *worker, int status);
void pool_on_job_finished(Raylet *raylet, const JobId *job);
void pool_on_kill(Raylet *raylet, RayletCall *call);
/* The zygote for an environment; made when there is none. */
_must_check_ int zygote_get(Raylet *raylet, const WorkEnv *env, Zygote **ret_zygote);
/* -EPIPE: it has ended; zygote_get() gives another one. */
_must_check_ int zygote_fork(Zygote *zygote, Worker *worker, int out_fd, int err_fd);
/* It does not fork when it is asked: it is killed, what it was asked for fails, and the next one who asks
 * gets another. */
void zygote_stuck(Zygote *zygote);
void zygotes_done(Raylet *raylet);
/* What a new worker is told of itself; a new reference. */
struct json_t *worker_config(const Worker *worker);
/* Our environment with those of `vars` in it that `counts` names; null takes one away. */
void environment_with(struct json_t *vars, bool (*counts)(const char *name), StrList *out);
/* Starts a worker that runs C code; its process is ours to reap. */
_must_check_ int native_start(const Worker *worker, int out_fd, int err_fd, Child *ret_child);

/* ---- workenv.c: runtime environments of workers ---- */
typedef enum WorkEnvState {
    WORKENV_NEW,
    WORKENV_BUILDING,
    WORKENV_READY,
    WORKENV_FAILED, /* until its last holder lets go */
} WorkEnvState;
/* Counts the caller in. NULL for no environment. */
WorkEnv *workenv_get(Raylet *raylet, const char *runtime_env);
WorkEnv *workenv_ref(WorkEnv *env);
WorkEnv *workenv_unref(WorkEnv *env);
/* READY at once for NULL; begins to build a new one; the leases are looked at again at its end. */
WorkEnvState workenv_ready(WorkEnv *env);
const char *workenv_error(const WorkEnv *env);
/* Of a ready one, all borrowed and perhaps NULL: what env-setup answered. */
const char *workenv_python(const WorkEnv *env);
bool workenv_native(const WorkEnv *env); /* its workers run C code */
struct json_t *workenv_answer(const WorkEnv *env);
void workenvs_done(Raylet *raylet);

/* How those that are there went; the list is the arena's, its texts are borrowed. */
size_t workenvs_list(const Raylet *raylet, Arena *arena, EnvEntry **ret_envs);

/* ---- helper.c: `mobula ROLE` run to its end ---- */
typedef struct Helper Helper;
/* `status` is 0, an exit code, or -signal; the texts are borrowed for the call. */
typedef void HelperDone(void *ctx, int status, Slice out, Slice err);
/* `argv` begins with "mobula"; `input` is its stdin. After `timeout` it is killed, with all that it has
 * started, and `err` says so. */
_must_check_ int helper_start(Raylet *raylet, char *const *argv, Slice input, usec_t timeout,
                              HelperDone *done, void *ctx, Helper **ret_helper);
/* Kills it if it runs; `done` does not come. Takes NULL. */
Helper *helper_free(Helper *helper);

/* ---- lease.c ---- */
void leases_init(Raylet *raylet);
void leases_done(Raylet *raylet);
void lease_on_request(Raylet *raylet, RayletCall *call);
void lease_on_return(Raylet *raylet, RayletCall *call);
void lease_on_cancel(Raylet *raylet, RayletCall *call);
void lease_on_blocked(Raylet *raylet, RayletCall *call);
void leases_requester_dead(Raylet *raylet, PeerId peer);
void leases_node_dead(Raylet *raylet, const Remote *remote);
/* A worker became ready for the lease that waits for it. */
void lease_worker_ready(Lease *lease, Worker *worker);
void lease_worker_failed(Lease *lease, StatusCode code, const char *text);
void lease_worker_gone(Lease *lease);
/* What it had been given while its worker starts is taken back: it waits anew. */
void lease_wait_again(Lease *lease);
/* Ends it; the worker goes back to the pool or is ended by the caller. */
void lease_free(Lease *lease);
_must_check_ int lease_add(Raylet *raylet, const LeaseRequest *request, const FrameHeader *call,
                           Lease **ret_lease);
/* Ends it with a status for whoever asked. */
void lease_refuse(Lease *lease, StatusCode code, const char *text);
/* By another raylet, or by gcs (an actor): it is served here or refused. */
bool lease_passed_on(const Lease *lease);
/* What it needs of this node, or of its group's bundle here; false: no room. */
bool lease_take_resources(Lease *lease);

/* ---- lease_place.c ---- */
/* Looks for a place for all that wait. */
void leases_dispatch(void *raylet);
/* Tells the node that it was passed on to. */
void lease_spill_cancel(const Lease *lease);
/* What those that wait want, a shape once; the list is the arena's. */
size_t leases_demands(const Raylet *raylet, Arena *arena, Demand **ret_demands);

/* ---- bundles.c ---- */
void bundles_init(Raylet *raylet);
void bundles_done(Raylet *raylet);
void bundles_on_reserve(Raylet *raylet, RayletCall *call);
void bundles_on_commit(Raylet *raylet, RayletCall *call);
void bundles_on_return(Raylet *raylet, RayletCall *call);
void bundles_on_freed(Raylet *raylet, RayletCall *call);
void bundles_on_group(Raylet *raylet, RayletCall *call);
/* After a registration: these are ours, all others are returned; what was asked is asked again. */
void bundles_registered(Raylet *raylet, const KeptBundle *kept, size_t len);
/* Takes the lease's resources from a bundle here; false: no room. */
bool bundle_take(Lease *lease);
void bundle_give(Lease *lease);
/* Something of the lease's bundle was given back, or lent out: who was refused looks again. */
void bundle_has_room(const Lease *lease);
/* The lease was refused here for want of room: whoever asked is told when there is some. */
void bundle_refused(Lease *lease);
/* A lease of the group is no more: perhaps nobody here needs to know of the group. */
void bundle_lease_gone(Raylet *raylet, const GroupId *id);
/* Another node that may have room for the lease, or NULL: it waits for news. */
const SchedNode *bundle_elsewhere(Lease *lease);
/* That node had none. */
void bundle_busy_elsewhere(Lease *lease);
/* Sets all of these aside, or none: 1, there is no room now. */
_must_check_ int bundles_reserve(Raylet *raylet, const GroupId *id, const Bundle *bundles,
                                 size_t len, bool commit, RayletGroup **ret_group);
RayletGroup *bundles_group(const Raylet *raylet, const GroupId *id);
/* It is no more: what is held here is given back, what runs in it ends, who waits for it is told. */
void bundles_group_removed(RayletGroup *group);

/* ---- group.c: placement groups that this node sees to by itself ---- */
/* Makes the group that a frame for gcs asks for, if that can be done here: the frame is done with. */
bool bundles_make_group(Raylet *raylet, const FrameHeader *header, Slice body);
void bundles_on_group_remove(Raylet *raylet, RayletCall *call);

/* ---- job_cache.c ---- */
void job_cache_init(Raylet *raylet);
void job_cache_done(Raylet *raylet);
/* NULL: gcs is asked, and the leases are looked at again when it has answered. */
const Job *job_cache_find(Raylet *raylet, const JobId *id);
void job_cache_learn(Raylet *raylet, const JobId *id, PeerId driver, Slice config,
                     Slice namespace_);
void job_cache_forget(Raylet *raylet, const JobId *id);

/* ---- actor.c ---- */
void actor_on_start(Raylet *raylet, RayletCall *call);
void actor_lease_ready(Lease *lease);
void actor_lease_failed(Lease *lease, StatusCode code, const char *text);
bool actor_on_result(Raylet *raylet, RayletCall *call);
void actor_worker_gone(Lease *lease);
void actor_birth_free(Lease *lease);
void actor_lease_end(Lease *lease, const char *text);
/* After a registration: these are ours, all others end. */
void actors_registered(Raylet *raylet, const KeptActor *kept, size_t len);

/* ---- upstream.c ---- */
/* The Hello that this raylet says on the link, to gcs or to another raylet. */
void upstream_hello(const Raylet *raylet, const Link *on, Buf *body);
void upstream_init(Raylet *raylet); /* and dials */
void upstream_done(Raylet *raylet);
/* Sends, or keeps it until the connection is back. */
void upstream_send(Raylet *raylet, const FrameHeader *header, Slice body);
/* So much (1 / `part` of what may) is kept for gcs that who sends it more has to wait. */
bool upstream_crowded(const Raylet *raylet, unsigned part);
bool upstream_connected(const Raylet *raylet);
void upstream_changed(Raylet *raylet); /* resources or demands: report soon */
/* The same, though what is told may be what was told last. */
void upstream_report_anew(Raylet *raylet);
/* A call whose answer says no more than that gcs has heard it: each new gcs is told until one has answered. */
void upstream_tell(Raylet *raylet, MessageType type, const Buf *body);
void upstream_peer_dead(Raylet *raylet, const PeerDead *dead);

/* ---- peers.c ---- */
void peers_init(Raylet *raylet);
void peers_done(Raylet *raylet);
void peers_update(Raylet *raylet, const NodeInfo *infos, size_t len);
void peers_on_view(Raylet *raylet, RayletCall *call);
void peers_on_dead(Raylet *raylet, RayletCall *call);
/* Its node is one that lives. */
bool peers_has(const Raylet *raylet, PeerId peer);
/* Bytes on their way to that node. */
size_t peers_queued(const Raylet *raylet, PeerId peer);
/* False: no way there. */
bool peers_send(Raylet *raylet, const FrameHeader *header, Slice body);
SchedView peers_view(Raylet *raylet);
Remote *peers_get(const Raylet *raylet, const NodeId *id);
Remote *peers_of(const Raylet *raylet, PeerId peer);

/* ---- ways.c ---- */
_must_check_ int ways_listen(Raylet *raylet, const NetAddress *address);
void ways_done(Raylet *raylet);
void way_init(Remote *remote);
void way_done(Remote *remote);
/* Something waits to be sent. */
void way_wanted(Remote *remote);
/* There are nodes now that have been waited for. */
void ways_nodes_known(Raylet *raylet);
/* gcs has begun anew: what was on its way through it is lost. */
void ways_gcs_lost(Raylet *raylet);
/* A LinkFrame for us from gcs. */
void ways_on_frame(Raylet *raylet, const FrameHeader *outer, Slice body);

/* ---- logs.c ---- */
_must_check_ int logs_init(Raylet *raylet);
void logs_done(Raylet *raylet);
/* Opens the file and gives its fd for writing (the caller closes it). */
_must_check_ int logfile_new(Raylet *raylet, const WorkerId *id, bool is_err, LogFile **ret_file,
                             int *ret_fd);
/* Gives it its final name and says whose lines these are. */
void logfile_assign(LogFile *file, const JobId *job, PeerId driver, pid_t pid, const char *name);
/* What is left in it by now is still read, then it is forgotten. */
LogFile *logfile_free(LogFile *file);

/* ---- resend.c ---- */
void resend_init(Raylet *raylet);
void resend_done(Raylet *raylet);
/* A frame on its way to gcs: calls are kept until they are answered, subscriptions for good. False: it is
 * one too many of those that wait for something to happen. */
_must_check_ bool resend_keep(Raylet *raylet, const FrameHeader *header, Slice body);
/* Calls of a part (1 / `part`) of what may be unanswered are. */
bool resend_crowded(const Raylet *raylet, unsigned part);
void resend_answered(Raylet *raylet, const FrameHeader *reply);
/* To a gcs that we have just been registered with. */
void resend_all(Raylet *raylet, Link *link);
void resend_forget(Raylet *raylet, PeerId source); /* the process is gone */

/* ---- state.c: what users list ---- */
void state_on_get(Raylet *raylet, RayletCall *call);
/* `done` is called once, perhaps from within; `details` is borrowed, NULL when the raylet ends first. */
typedef void StateDone(void *ctx, const NodeDetails *details);
void state_ask(Raylet *raylet, const StateGet *get, StateDone *done, void *ctx);
void state_done(Raylet *raylet);

/* ---- http.c, user_metrics.c ---- */
void metrics_on_report(Raylet *raylet, RayletCall *call);
/* What the processes here have reported, a family once. */
void metrics_add_user(const Raylet *raylet, Buf *out);
_must_check_ int http_init(Raylet *raylet);
void http_done(Raylet *raylet);

/* ---- raylet.c ---- */
/* gcs knows this node now: `raylet->self` is set. The first time processes are let in. */
void raylet_registered(Raylet *raylet);
/* It can't go on. */
void raylet_fail(Raylet *raylet, int r, const char *sentence);

/* ---- job_hold.c: what the node has set aside for submitted jobs ---- */
typedef struct JobHold JobHold;
/* NULL: there is no room. */
JobHold *job_hold_take(Raylet *raylet, const ResourceSet *what);
/* Kept from now on until that process is gone; given back at once if it is. */
void job_hold_until_exit(JobHold *hold, pid_t pid, uint64_t start_time);
JobHold *job_hold_give_back(JobHold *hold); /* takes NULL */
/* The node's numbers of its GPUs, borrowed. */
const DeviceShare *job_hold_gpus(const JobHold *hold);
void job_holds_done(Raylet *raylet);

/* ---- jobrun.c ---- */
void jobrun_done(Raylet *raylet);
void jobrun_on_run(Raylet *raylet, RayletCall *call);
void jobrun_on_stop(Raylet *raylet, RayletCall *call);
/* After a start and when a job-run's connection closed: reports in the place of those that died. */
void jobrun_look_for_orphans(Raylet *raylet);

/* ---- memory.c: the node's memory runs out ---- */
void memory_init(Raylet *raylet);
void memory_done(Raylet *raylet);

/* ---- objects.c: the node's store ---- */
/* `bytes` 0: none. */
_must_check_ int objects_init(Raylet *raylet, uint64_t bytes);
void objects_done(Raylet *raylet);
typedef struct ObjectsDoor { /* borrowed, but for pins_fd, which the caller closes */
    int arena_fd, pins_fd, disk_fd;
    uint64_t bytes, disk_bytes;
} ObjectsDoor;
/* A process joins: what its Welcome carries; `bytes` 0: no store. */
void objects_join(Raylet *raylet, PeerId peer, ObjectsDoor *ret_door);
void objects_leave(Raylet *raylet, PeerId peer);
void objects_owner_dead(Raylet *raylet, PeerId owner); /* a raylet: all of its node */
uint64_t objects_used(const Raylet *raylet);
void objects_count(const Raylet *raylet, uint64_t *ret_objects, uint64_t *ret_spilled,
                   uint64_t *ret_spilled_bytes);
void objects_on_slab(Raylet *raylet, RayletCall *call);
void objects_on_slab_return(Raylet *raylet, RayletCall *call);
void objects_on_unpin(Raylet *raylet, RayletCall *call);
void objects_on_free(Raylet *raylet, RayletCall *call);
void objects_on_fetch(Raylet *raylet, RayletCall *call);
void objects_on_pull(Raylet *raylet, RayletCall *call);
void objects_on_send(Raylet *raylet, RayletCall *call);
void objects_on_push(Raylet *raylet, RayletCall *call);
