/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The runtime's inside. One lock guards everything here. Whoever holds it may read the rings.
 *
 * Waiting. A thread that waits is the leader (it sleeps on the doorbell and reads the rings
 * itself: a synchronous call changes no threads) or, when there is one already, a follower (it
 * sleeps on `changed`, which whoever made progress signals). The pump thread reads the socket
 * always, and the rings when nobody else has for a moment.
 */

#include <pthread.h>

#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "core/core.h"
#include "ipc/doorbell.h"
#include "ipc/ring.h"
#include "ipc/sock.h"
#include "own/own.h"
#include "rpc/rpc.h"
#include "store/client.h"

typedef struct CorePeer CorePeer;
typedef struct CoreClass CoreClass;
typedef struct CoreWorker CoreWorker;
typedef struct CorePending CorePending;
typedef struct CoreBytes CoreBytes;

enum {
    WINDOW_MAX = 256,      /* calls in flight to one leased worker */
    WINDOW_ACTOR = 1024,   /* and to one actor */
    LEASES_ASKED_MAX = 16, /* lease requests of one class at a time */
    LOG_FRAMES_MAX = 1024, /* kept for a driver that reads late */
    DRAIN_BATCH = 128,     /* frames read in one go under the lock */
    LOSSES_MAX = 100,      /* of one value, until it is given up */
    /* An error may lie behind them, and readers look further ahead: what is there has an id as well, of
     * which a call has 100 million (model/ids.c). */
    CALL_YIELDS_MAX = 98 * 1000 * 1000,
    DIED_MAX = 512, /* of the last deaths we were told of: what such a process said may come late */
};

#define WINDOW_TIME    (2 * USEC_PER_MSEC)  /* work in flight to one worker, by its mean call */
#define LINGER_TIME    (50 * USEC_PER_MSEC) /* an idle lease is kept this long */
#define TURN_TIME      (50 * USEC_PER_MSEC) /* and one that others wait for serves that long at least */
#define GRACE_TIME     (1 * USEC_PER_MSEC)   /* the pump leaves the rings to others this long */
#define LONG_CALL_TIME (10 * USEC_PER_MSEC)  /* after that, calls queued behind go back */
#define SIGNAL_SLICE   (100 * USEC_PER_MSEC) /* of a wait that no signal ends */
#define LEAD_SLICE     (1 * USEC_PER_SEC) /* of one that a signal ends, unless it came just before */

/* ---- values ---- */

/* Immutable bytes with a count; the count is atomic since values are released without the lock.
 * They lie in the place of what only those in a node's store have (large.c), whose `data` is NULL until
 * pinned: each queued call has some. */
struct CoreBytes {
    _Atomic uint32_t count;
    bool in_store;
    size_t size;
    const uint8_t *data;
    CoreBytes *aside; /* of an error: the value in whose place it stands, for want of room here */
    /* in_store: */
    Core *core;                  /* whose pin */
    uint32_t readers;            /* values given out by get; with the last of them the pin goes */
    uint8_t missed;              /* how often it was gone again before we could pin it */
    ObjectId object;
    PeerId location;             /* the raylet that has it */
    uint64_t offset, generation; /* there */
    uint64_t here_offset, here_generation; /* in this node's store, once it is here */
    PeerId pushed_to;                      /* the raylet that was last to get it before it asked */
};

CoreBytes *bytes_new(const void *data, size_t size);
CoreBytes *bytes_gather(const struct iovec *parts, size_t parts_len);
CoreBytes *bytes_hold(CoreBytes *bytes);
void bytes_drop(CoreBytes *bytes);

/* ---- references ---- */

typedef struct RemoteGet { /* a borrower's ObjectGet that waits here */
    PeerId peer;
    uint32_t stream;
} RemoteGet;

/* Who is told when a reference has its value. */
typedef struct RefWaiters {
    Vec(uint64_t) watches;         /* cookies of core_watch() */
    Vec(RemoteGet) remote;         /* other processes */
    Vec(CorePending *) dependents; /* calls that wait for it as an argument */
} RefWaiters;

struct CoreRef {                /* a queued call has one at least: kept small */
    OwnRef own;                 /* first: OwnRef * and CoreRef * are the same address */
    Core *core;
    _Atomic uint8_t kind;       /* ValueKind; PENDING until `value` is set */
    uint8_t losses;
    bool fetching : 1;          /* borrowed: asked its owner */
    bool is_actor : 1;          /* counts an actor's handles; never gets a value */
    bool released : 1;          /* owned: its value went when only calls to run again needed it */
    bool lineage_gone : 1;      /* owned: its call was kept until there were too many */
    uint32_t mark;              /* of the last wait that has seen it: finds duplicates */
    CoreBytes *value;
    PeerId lost_location;       /* where the value was missing last: its owner may not know */
    uint64_t lost_generation;
    CorePending *maker;         /* owned: the call in flight that makes it */
    CorePending *lineage;       /* owned: the ended call that may make it again */
    struct CoreActor *actor;
    struct CoreStream *stream;  /* of the streaming call that this stands for */
    struct RefWaiters *waiters; /* owned; most references never have any */
};

/* What a streaming call yields; kept by the record of the reference that stands for the call. */
typedef struct CoreStream {
    Vec(CoreRef *) items; /* from `head` on: those at the reader's place and after it, each held */
    size_t head;
    uint64_t next;        /* the reader's place */
    uint64_t end;         /* UINT64_MAX until the call has ended */
    bool closed;          /* nobody reads any more */
    CoreBytes *why;       /* the error of what lies beyond the end; NULL: END_OF_STREAM */
} CoreStream;

static inline CoreRef *ref_of(OwnRef *own) {
    return (CoreRef *)own;
}

/* ---- peers ---- */

typedef enum PeerState {
    PEER_ASKING,
    PEER_RING,
    PEER_RELAY,
    PEER_GONE
} PeerState;

typedef struct Outgoing { /* a frame that found no room */
    List link;
    FrameHeader header;
    size_t sent;
    CoreBytes *body;
} Outgoing;

struct CorePeer {
    Core *core;
    PeerId id;
    PeerState state;
    WorkerId worker;
    uint32_t pid;
    RingPair ring;
    Doorbell bell;
    List out; /* Outgoing, while asking or full */
    CoreWorker *leased;
    bool cut; /* broken protocol: closed by us */
};

/* ---- calls we sent ---- */

struct CoreTemplate {
    Core *core;
    uint32_t count;
    CallKind kind;
    Hash function;
    char *name, *method, *runtime_env, *options;
    int32_t num_returns, max_retries;
    uint32_t stream_limit;
    bool retry_exceptions, unlisted;
    char *title; /* the function's name, when `name` is another */
    Resource *resources, *placement;
    size_t resources_len, placement_len;
    Strategy strategy;
    CoreClass *class_; /* of calls that need not be near anything */
};

typedef enum PendingState {
    PENDING_DEPS,
    PENDING_QUEUED,
    PENDING_SENT,
    PENDING_KEPT, /* ended; it may run again (lineage.c) */
} PendingState;

struct CorePending {
    List link;           /* in its class's queue, its worker's or its actor's list */
    TaskId task, parent; /* parent: the call here that made this one */
    PendingState state;
    bool cancelled;
    bool ended;              /* streaming: it has run to its end before */
    bool yields_large;       /* streaming: some of what it yielded lies in a store */
    CoreTemplate *t;
    struct CoreActor *actor; /* ACTOR_TASK, ACTOR_CREATE */
    CoreWorker *worker;      /* SENT to a leased worker */
    CoreClass *class_;       /* QUEUED or SENT, of a task */
    CoreBytes *args;
    OwnRef **uses;           /* top-level first, then nested */
    uint32_t top_len, uses_len;
    uint32_t missing;        /* top-level arguments that are not there yet */
    uint32_t attempt, depth;
    uint32_t refs_len;
    uint32_t waited_usec; /* for its arguments */
    uint32_t yields;      /* streaming: how many there are, as far as it is known */
    uint32_t keepers;     /* KEPT: references that it may be needed for */
    uint64_t sequence;    /* ACTOR_TASK */
    usec_t created_at, sent_at;
    OwnRef *refs[];       /* what it makes; entries become NULL when their record goes */
};

struct CoreWorker { /* one we hold a lease of */
    List link;      /* in its class */
    CoreClass *class_;
    CorePeer *peer;
    LeaseId lease;
    NodeId node;
    List sent;
    uint32_t in_flight;
    uint32_t window;
    double mean_usec; /* of one call, smoothed; 0 unknown */
    usec_t last_result, idle_since;
    usec_t granted_at;
    /* Others wait for its place, or it is not near what its calls read: after its turn it gets no new
     * call; idle, it goes back. */
    bool recalled;
};

struct CoreClass { /* calls that may share workers: same resources, strategy, environment, `near` */
    char *key;
    PeerId near;   /* the raylet that has most of what they read; 0: ours, or it does not matter */
    Resource *resources;
    size_t resources_len;
    Strategy strategy;
    char *runtime_env;
    List queue;   /* CorePending, ready to go */
    List workers; /* CoreWorker */
    List asks;    /* lease requests on their way */
    size_t queued, asked;
};

/* ---- actors ---- */

struct CoreActor {
    List link; /* in Core.actors by id through `by_id` */
    Core *core;
    ActorId id;
    uint32_t count;  /* handles and calls */
    uint32_t strong; /* handles that keep the actor alive */
    CoreRef *ref;    /* counts the handles cluster-wide; NULL: all here are weak */
    bool owner;      /* made here */
    bool unordered, subscribed, out_of_scope_told;
    int32_t max_pending_calls;
    ActorState state;
    CorePeer *peer;
    uint32_t restarts;
    uint64_t next_sequence, sent;
    List queue; /* CorePending in order, also those that wait for arguments */
    List in_flight;
    size_t queued, flying;
    Buf death;             /* encoded ErrorInfo once DEAD */
    char *class_name, *name, *namespace_;
    CorePending *creation; /* until its arguments are there */
};

/* ---- calls to run ---- */

typedef struct RunTask {
    CoreTask task; /* first */
    List link;     /* in Core.calls, then in Core.active */
    Core *core;
    Arena arena;
    CoreBytes *body;
    CoreValue *values;
    PeerId caller;
    void *returned;  /* one Returned a value, in the arena */
    uint32_t stream; /* of the frame, for ACTOR_CREATE calls by a raylet */
    bool is_call;
    _Atomic bool cancelled;
    usec_t arrived, started;
    pthread_t thread;       /* that took it */
    bool detached;
    _Atomic bool ended;     /* a detached one that is not forgotten yet */
    uint64_t yielded, read; /* streaming */
} RunTask;

/* The result of an actor's creation while it waits for owners. A raylet asked for it, which keeps no
 * reference: the actor is not alive before the owners know of what it keeps, else its creator would
 * let go of the arguments first. */
typedef struct CoreCreated {
    Buf result;
    PeerId caller;
    unsigned flags;
    uint32_t stream;
    size_t missing; /* acknowledgements */
} CoreCreated;

/* ---- what users list ---- */

typedef struct CoreEvent CoreEvent; /* a call's attempt that has ended */
typedef struct CoreEvents {
    CoreEvent *items;               /* a ring of `cap` */
    size_t first, len, cap, max;
    size_t text_bytes;
    uint64_t dropped;     /* since gcs was told */
    usec_t interval, due; /* due: the next report; 0: there is nothing to tell */
} CoreEvents;

struct Core {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t pump;
    int wake_fd;               /* wakes the pump: eventfd */
    uint32_t generation;       /* of forks at connect */
    Role role;
    _Atomic bool closed, lost; /* written under the lock, looked at without it */
    bool stopping, exit_asked, leaving, pump_runs;
    bool exiting;              /* a call has ended this worker: none is run after it */
    uint32_t
        outstanding; /* references, actors, values of the store: the struct goes with the last */

    bool (*interrupted)(void *context);
    void *interrupted_context;
    CoreInfo info;
    Arena info_arena;
    Sock sock;
    Doorbell bell;                /* ours */
    StoreClient *store;
    Map fetches;                  /* ObjectId -> Fetching: copies on their way to this node */
    Rpc *rpc;
    bool leader;                  /* a thread sleeps, or is about to, on our doorbell */
    uint32_t followers;
    uint64_t progress;            /* counts drains: tells the pump that somebody reads */
    uint64_t events, events_told; /* counts what may have ended a wait */
    uint64_t readable, failed;    /* counts values that came or arrived here, and errors of them */
    uint32_t spin_budget, spin_skipped;
    usec_t grace_until;           /* the pump leaves the rings alone until then; 0: nobody rang */
    uint64_t grace_progress;
    bool acting;
    usec_t timer; /* next deadline the pump has to wake for */

    usec_t now;   /* the clock, at the submission (coarse) or the batch of frames at hand */
    uint32_t pid;
    CoreEvents history;
    Own own;
    IdSource ids;
    uint32_t put_index, mark;
    Map peers;               /* PeerId -> CorePeer */
    Vec(CorePeer *) rings;
    Vec(PeerId) unreachable; /* dead ones that were called: the pump ends the calls */
    Vec(PeerId) died;        /* the last of them, unknown here: the oldest is overwritten */
    size_t died_next;
    Map tasks;               /* TaskId -> CorePending */
    StrMap classes;
    Map actors;              /* ActorId -> CoreActor */
    Map exported;
    Map groups;              /* GroupId -> CoreGroup: placement groups made here */
    _Atomic uint32_t capture_epoch, assigned_count;
    TaskId main_task;

    List lineage; /* CorePending, the oldest first */
    size_t lineage_bytes, lineage_max;

    List calls;            /* RunTask */
    size_t calls_len;
    List active;           /* RunTask: taken and not done */
    RunTask *running;      /* what the main thread runs */
    Vec(TaskId) cancelled; /* detached ones, for core_task_take_cancelled() */
    int cancel_signal;
    bool signalled;        /* it was sent: the next wait is cut short */
    int over_fd;           /* a loop serves: readable when it is over; -1 */
    bool server_sleeps;    /* the loop does, on our doorbell's eventfd */
    uint32_t blocked;      /* threads of ours that wait while calls run here */
    ActorId self;          /* the actor that this process is */
    CoreCreated created;
    Buf assigned;          /* body of the last TaskAssign */
    Arena assigned_arena;
    TaskAssign assign;

    Vec(uint64_t) watch_done;
    int watch_fd;
    uint32_t watches;
    Vec(CoreBytes *) logs;
    int log_fd;
    CoreCounts counts;
    Buf scratch;
};

/* group.c */
void groups_done(Core *core);
void group_on_info(Core *core, const GroupInfo *info);

/* core.c: lock, waiting */
void core_lock(Core *core);
void core_unlock(Core *core); /* wakes followers when something happened */
void core_happened(Core *core);
int core_usable(const Core *core);
/* Holding the lock: waits for anything to happen. 0, CORE_TIMEOUT, CORE_INTERRUPTED, -ECONNRESET. */
int core_wait_event(Core *core, usec_t deadline);
/* How long to spin before a sleep, and what came of it. */
uint32_t core_spin_rounds(Core *core);
void core_spin_learn(Core *core, uint32_t rounds, bool paid);
/* The doorbell's mode while no thread leads. */
uint32_t core_idle_mode(const Core *core);
void core_timer_at(Core *core, usec_t when);
void core_fail_all(Core *core);
/* One turn of the pump, holding the lock: what came, what is due, what can leave. `rung`: our doorbell
 * was, while nobody slept. Returns when the next is due. */
usec_t core_turn(Core *core, bool rung);
void core_release(Core *core); /* one outstanding record less */
void core_run_actions(Core *core);

/* peer.c: everything holds the lock */
void peers_drain_rings(Core *core);
int peers_drain_sock(Core *core);
bool peers_ring_waiting(const Core *core);
CorePeer *peer_get(Core *core, PeerId id); /* made when unknown; asks the raylet for a ring */
CorePeer *peer_find(const Core *core, PeerId id);
/* A reference goes to `to` in a value. Of a dead process nobody would say that it has arrived. */
void peer_hand_over(Core *core, OwnRef *ref, PeerId to);
void peer_attach(Core *core, PeerId id, int side, const WorkerId *worker, uint32_t pid);
void peer_send(Core *core, PeerId to, MessageType type, unsigned flags, uint32_t stream,
               const void *body, size_t len);
void peer_dead(Core *core, const PeerDead *dead);
void peers_done(Core *core);
void raylet_send(Core *core, MessageType type, const Buf *body);
/* The raylet of `worker` ends it. */
void peer_kill(Core *core, PeerId worker, Slice text);
/* Negative: `from`, a process (NULL: a raylet, gcs), says what can't be read. */
_must_check_ int core_dispatch(Core *core, CorePeer *from, const FrameHeader *header,
                               const void *body);

/* ref.c */
CoreRef *ref_new(Core *core, const ObjectId *id, PeerId owner, const WorkerId *worker);
RefWaiters *ref_waiters(CoreRef *ref); /* made when there are none yet */
void ref_set_value(Core *core, CoreRef *ref, ValueKind kind, CoreBytes *value);
void ref_set_error(Core *core, CoreRef *ref, const ErrorInfo *error);
void ref_fetch(Core *core, CoreRef *ref);
void ref_gone(Core *core, CoreRef *ref);
/* A value from `from` for `ref`: takes its bytes and its contained references. */
void ref_take_value(Core *core, CoreRef *ref, const Value *value, PeerId from);
/* The same of a borrowed object, which is not ours to free when nobody wants it. */
void ref_take_borrowed(Core *core, CoreRef *ref, const Value *value, PeerId from);
/* What to put on the wire for `ref`, ready: refs go to `arena`; opens hand-overs to `to`. */
Value ref_wire_value(Core *core, CoreRef *ref, PeerId to, Arena *arena);
Ref *refs_wire(Core *core, OwnRef *const *refs, size_t len, Arena *arena);
void refs_owner_dead(Core *core, const PeerDead *dead);
void on_object_get(Core *core, const FrameHeader *h, const ObjectGet *m);
void on_borrow(Core *core, const FrameHeader *h, const Borrow *m);

/* submit.c */
void submit_dependency_ready(Core *core, CorePending *p);
/* False: one was there and got lost while the call waited for its turn (see lineage_requeue()). */
bool pending_has_arguments(const CorePending *p);
void submit_retry_or_fail(Core *core, CorePending *p, const ErrorInfo *error, bool may_retry);
void submit_fail(Core *core, CorePending *p, const ErrorInfo *error);
void submit_end(Core *core, CorePending *p);
void submit_on_result(Core *core, CorePeer *from, const Result *m);
void submit_on_taken_back(Core *core, CorePeer *from, const TakenBack *m);
void submit_worker_dead(Core *core, CoreWorker *worker, const PeerDead *dead);
void submit_cancel_children(Core *core, const TaskId *parent, bool force);
/* What a call is part of: its parent's id and depth; zero outside of calls. */
void pending_set_parent(Core *core, CorePending *p, const TaskId *parent);
void template_unref(CoreTemplate *t); /* holding the lock */
/* Of a task whose arguments are there: where it is queued. */
CoreClass *class_for(Core *core, const CorePending *p);
void class_free(CoreClass *c);
CorePending *pending_new(Core *core, CoreTemplate *t, const CoreArgs *args, uint32_t returns);
/* One whose values are references: those in ret_refs, owned by the caller. */
CorePending *pending_returning(Core *core, CoreTemplate *t, const CoreArgs *args,
                               const TaskId *task, CoreRef **ret_refs);
void pending_encode(Core *core, CorePending *p, PeerId to, Arena *arena, Buf *out);

/* lease.c */
/* Sends what waits to the workers that there are, and asks for more or fewer. */
void class_pump(Core *core, CoreClass *c);
void worker_free(Core *core, CoreWorker *w, bool give_back);
void lease_on_recall(Core *core, const LeaseRecall *m);
void leases_give_back(Core *core);
void leases_tick(Core *core, usec_t now);
void leases_done(Core *core); /* no call is left */

/* stream.c */
void yields_begin(CoreRef *whole);
void yields_free(Core *core, CoreRef *whole);
void yields_on_item(Core *core, CorePending *p, const Result *m, PeerId from);
/* The call has ended: `values` as in Result; or by `error`, an ErrorInfo. Sets the whole's value. */
void yields_on_end(Core *core, CorePending *p, const Result *m, PeerId from);
void yields_fail(Core *core, CoreRef *whole);
/* What it yielded at `place`; NULL: nobody needs it. */
CoreRef *yields_find(const Core *core, const CorePending *p, uint64_t place);
/* Those from `place` on that have no value, as they were lost, get the error. */
void yields_fail_lost(Core *core, const CorePending *p, uint64_t place, const ErrorInfo *error);
uint64_t yields_read(const CorePending *p);

void pending_free(CorePending *p);
/* Who has it; NULL: nobody. */
static inline const CorePeer *pending_peer(const CorePending *p) {
    return p->worker ? p->worker->peer : p->actor ? p->actor->peer : NULL;
}

/* lineage.c: calls that may run again */
void lineage_init(Core *core);
bool lineage_wanted(const Core *core, const CorePending *p);
/* Of a settled call that has run. */
void lineage_keep(Core *core, CorePending *p);
void lineage_ref_gone(Core *core, CoreRef *ref);
/* OWN_RELEASE: its value, if it is large, goes. */
void lineage_release(Core *core, CoreRef *ref);
/* `ref` is ours and has no value: the call that made it runs again, or it becomes an error. */
void lineage_make(Core *core, CoreRef *ref);
/* A call in no queue (an actor's: in the actor's): queued when its arguments are there. */
void lineage_requeue(Core *core, CorePending *p);
void lineage_done(Core *core);
/* Its value, which lies in a store, is let go: it has none any more. */
void ref_clear(Core *core, CoreRef *ref);
/* The value of `ref` is not where it was: made again if it is ours, asked for anew if not. */
void ref_lost(Core *core, CoreRef *ref);
bool ref_is_at(const CoreRef *ref, PeerId location, uint64_t generation);

/* events.c */
void events_init(Core *core);
/* An attempt has ended, by `error` if it is not NULL; `peer` ran it, for so long. */
void events_ended(Core *core, const CorePending *p, const CorePeer *peer, uint64_t ran_usec,
                  usec_t now, const ErrorInfo *error);
/* By what its worker answered. */
void events_result(Core *core, const CorePending *p, const Result *m, const CorePeer *from);
/* The same of an actor's creation, which ran here. */
void events_created(Core *core, const RunTask *run, usec_t now, const ErrorInfo *error);
void events_flush(Core *core, size_t limit);
void events_tick(Core *core, usec_t now);
void events_leave(Core *core);
void events_done(Core *core);
void events_on_state_get(Core *core, const FrameHeader *h, const StateGet *get);

/* large.c: values in the store */
CoreBytes *large_from_wire(Core *core, const Value *value);
void large_to_wire(const CoreBytes *bytes, Value *value);
void large_unpin(CoreBytes *bytes); /* holding the lock */
void large_free(Core *core, const CoreBytes *bytes);
/* The value will be wanted at another node: it may come there before it is asked for. */
void large_push(Core *core, CoreBytes *bytes, PeerId raylet);
/* Makes the bytes readable here: 0 they are; 1 they are on their way (core_happened() tells);
 * -ENOENT they are gone; -ENOSPC there is no room for them here now. */
int large_localize(Core *core, CoreBytes *bytes, PeerId owner);
/* Writes a value to the store. Takes and lets go of the lock itself. */
int large_write(Core *core, const CoreBlob *blob, size_t size, const ObjectId *id, PeerId owner,
                usec_t timeout, CoreBytes **ret_bytes);
/* The raylet wants what is kept mapped for the next values. Holding the lock. */
void large_on_recall(Core *core);
/* A slab came that nobody waits for any more (a timeout, a signal): the raylet has it back. Holding the
 * lock. */
void large_on_late_grant(Core *core, const FrameHeader *h, const void *body);
void large_done(Core *core);

/* copy.c: gathers `parts` (as long together as the block) there, by as many threads as help */
_must_check_ int large_copy(const StoreBlock *block, const struct iovec *parts, size_t parts_len);

/* actor.c */
void actor_on_info(Core *core, const ActorInfo *info);
void actor_on_result(Core *core, CorePending *p, CorePeer *from);
void actor_pump(Core *core, CoreActor *actor);
/* A call that ended badly is sent again, before those that have not been sent. */
void actor_requeue(Core *core, CorePending *p);
/* The same for one that is not ready to be sent. */
void actor_take_back(CorePending *p);
/* A call that was kept runs again, after those that wait already. */
void actor_queue_again(CorePending *p);
/* It fails if the actor is dead. */
bool actor_fail_dead(Core *core, CorePending *p);
/* An ended call keeps the actor's record (which does not keep the actor alive) until it is forgotten. */
void actor_remember(CoreActor *actor, CorePending *p);
void actor_forget(CorePending *p);
void actor_peer_dead(Core *core, const PeerDead *dead);
bool actor_lives_at(const Core *core, const CorePeer *peer);
void actor_ref_gone(Core *core, CoreRef *ref);
void actor_create_ready(Core *core, CorePending *p);
void actors_done(Core *core);

/* serve.c: something happened while a loop serves; holding the lock */
void serve_tell(Core *core);

/* argument.c */
void run_values(RunTask *run);
/* Large arguments in place before the call runs: 0 all are, 1 some are on their way, -ENOENT a
 * task's are gone: its submitter has them made again. */
int run_localize(Core *core, RunTask *run);

/* execute.c */
_must_check_ int execute_on_call(Core *core, CorePeer *from, const FrameHeader *h,
                                 const void *body);
void execute_on_cancel(Core *core, const Cancel *m, PeerId from);
void execute_on_stream_read(Core *core, const StreamRead *m, PeerId from);
void execute_on_take_back(Core *core, const FrameHeader *h, const TakeBack *m);
void execute_blocked(Core *core, bool blocked);
void execute_tick(Core *core, usec_t now);
void execute_give_back(Core *core);
RunTask *execute_find(const Core *core, const TaskId *task);
/* An owner has acknowledged what an actor keeps of its creation's arguments, or is dead. */
void execute_owner_knows(Core *core);
void execute_peer_dead(Core *core, PeerId peer);
void execute_done(Core *core);
bool execute_ready(Core *core); /* may the first call run now? */
void core_task_id(Core *core, TaskId *ret_task);
