/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The processes: drivers and workers that follow a script drawn from the seed. */

#include "sched/group.h"
#include "test/sim/sim.h"

typedef struct Shape { /* of what a lease asks for */
    Quantity cpu, gpu, custom;
    StrategyKind kind;
    NodeId node;
    bool soft, capture;
    GroupId group;
    int32_t bundle;
    const char *env;
} Shape;

typedef enum TaskPhase {
    TASK_QUEUED,
    TASK_SENT,
    TASK_DONE,
    TASK_FAILED,
} TaskPhase;

enum {
    RETURNS_MAX = 2
};

struct Task {
    TaskId id;
    List link; /* in Proc.tasks until it is DONE or FAILED */
    Proc *submitter;
    int shape;
    uint32_t retries, sent, runs;
    TaskPhase phase;
    PeerId worker;
    uint8_t depth;
    struct Run *parent; /* that waits for it */
    Actor *actor;
    uint64_t sequence;
    int32_t returns;        /* RETURNS_MAX at most */
    bool by_runtime;        /* src/core keeps it: of what is here it is only counted */
    bool raised, cancelled; /* it may end so */
};

typedef struct Hold { /* a lease, asked for or granted */
    List link;        /* in Proc.holds */
    Proc *proc;
    LeaseId id;
    int shape;
    PeerId worker;
    Task *task;
    bool granted, cancelled;
} Hold;

typedef struct Run { /* a call that runs here */
    List link;       /* in Proc.runs */
    Proc *proc;
    LoopTimer *timer;
    TaskId task;
    PeerId caller;
    CallKind kind;
    uint32_t attempt;
    uint64_t sequence;
    int children;
    bool blocked, stays; /* stays: as long as it is calm */
} Run;

struct Actor {
    ActorId id;
    Proc *owner;
    int shape;
    int32_t max_restarts;
    bool detached;
    ActorState state; /* as its owner has heard */
    PeerId worker;
    uint32_t restarts, births;
    bool registered, created, killed; /* acknowledged */
    bool let_go;
    usec_t asked_at;
    uint64_t sequence;
};

typedef struct Group {
    GroupId id;
    Proc *owner;
    int shape;
    bool detached, made, removed; /* acknowledged */
    bool early;                   /* its raylet has made it: gcs hears of it */
    bool let_go;
    GroupPolicy policy;
    GroupState state;
    usec_t asked_at;
} Group;

typedef struct Runtime Runtime;

struct Proc {
    Machine *machine;
    Runtime *runtime; /* its user runs on src/core; NULL: it is a script that speaks frames */
    uint32_t life;    /* of the machine, at its birth */
    pid_t pid;
    Role role;
    bool alive, welcomed, by_zygote, told_exit;
    int status; /* as waitpid gives it */
    LoopTask *end_task;
    LoopTimer *timer, *fork_timer, *exit_timer, *status_timer;
    struct LoopChild *watch; /* the raylet's */
    WorkerId id;
    uint64_t token;
    FrameConn *conn;
    Rpc *rpc;
    PeerId peer;
    JobId job;
    NodeId node;
    IdSource ids;
    /* what it runs */
    LeaseId lease;
    Actor *actor;
    usec_t born; /* as this actor; 0: not yet */
    Map callers; /* WorkerId -> the last sequence of its calls to this actor, as a pointer */
    List runs;
    /* what it has asked for */
    List tasks, holds;
    uint32_t steps;
    usec_t done_at;               /* its script is over; it waits for what it has asked for */
    bool janitor;
    usec_t waits_since;           /* its user, in one call; 0: it does not */
    const char *waits_for;
    uint64_t key_sent, key_acked; /* of its own in the key-value store */
    StoreClient *store;           /* its node's; NULL: none */
};

/* ---- proc.c ---- */
Proc *proc_new(Machine *machine, Role role);
void proc_connect(Proc *proc);
/* It ends, later in this tick: an exit code, or -signal. */
void proc_end(Proc *proc, int status);
void proc_free(Proc *proc);
void proc_send(Proc *proc, PeerId to, MessageType type, const Buf *body);
uint32_t proc_call(Proc *proc, PeerId to, MessageType type, const Buf *body, RpcDone done,
                   void *argument);
Proc *proc_some(Role role);
const char *proc_name(const Proc *proc);

void proc_dial(Proc *proc);

/* ---- runtime.c: a process on the shipped worker runtime ---- */
Runtime *runtime_new(Proc *proc);
Runtime *runtime_free(Runtime *runtime);
void runtime_begin(Proc *proc); /* runs user_main() */
void runtime_end(Proc *proc);   /* it is dead */
void runtime_frame(Proc *proc, FrameIn *in);
void runtime_cut(Proc *proc);   /* its connection is gone */
void runtimes_end(void);
/* For user.c, on its own stack. NULL: it is not wanted. */
struct Core *runtime_connect(Proc *proc);
void runtime_disconnect(Proc *proc);
void runtime_pause(Proc *proc, usec_t time);
void runtime_crash(Proc *proc, int status);
void runtime_tell(const Proc *proc);       /* --verbose: its references */
uint64_t runtime_leases(const Proc *proc); /* that it holds */
bool runtime_alive(const Proc *proc);      /* it has its raylet still */

/* ---- user.c: what runs on it ---- */
void user_main(Proc *proc);
void user_look(const Proc *proc); /* does it wait for ever? */

/* ---- truth.c ---- */
void truth_process_ended(Proc *proc, const struct Own *own);

/* ---- driver.c ---- */
void driver_welcomed(Proc *proc);
void driver_step(Proc *proc);
void drivers_begin(void);
void drivers_end(void);
/* Detached actors and groups outlive their drivers: the last process ends them. */
void janitor_start(void); /* sets sim->janitor if some node is up */

/* ---- task.c: submitting ---- */
int shape_add(const Shape *shape);
/* What it asks for, borrowed. */
size_t shape_fill(int index, Resource out[static 3], Strategy *ret_strategy, const char **ret_env);
void shapes_begin(void);
void shapes_end(void);
Task *task_submit(Proc *proc, int shape, uint8_t depth, Run *parent);
Task *task_new(Proc *proc, const TaskId *id, uint8_t depth, Run *parent);
Task *task_of_runtime(Proc *proc, const TaskId *id, uint32_t retries, int32_t returns);
bool shape_lends(int index); /* all that it takes while it waits */
void task_over(Task *task, TaskPhase phase);
void tasks_result(Proc *proc, const Result *result, PeerId from);
void tasks_taken_back(Proc *proc, const TakenBack *back, PeerId from);
void tasks_peer_dead(Proc *proc, const PeerDead *dead);
void tasks_cancel_some(Proc *proc);
void tasks_end(Proc *proc);
void lease_ensure(Proc *proc);

/* ---- work.c: running ---- */
void work_assign(Proc *proc, const TaskAssign *assign);
void work_call(Proc *proc, const FrameHeader *header, const Call *call);
/* A call begins: is it one that may run here now? */
void work_check(Proc *proc, const Call *call);
usec_t work_time(void);
void work_child_over(Run *run);
void work_end(Proc *proc);

/* ---- actor.c ---- */
void actor_make(Proc *proc, int shape); /* -1: any */
void actor_ask(Proc *proc);             /* a call of one of its actors */
void actor_kill_it(Proc *proc, Actor *actor, bool no_restart);
void actor_let_go(Actor *actor);
void actors_drop(Proc *proc); /* all that are not detached */
void actors_news(Proc *proc, const ActorInfo *info);
void actors_cut_off(Proc *proc, const PeerDead *dead);
void actors_serve(Proc *proc); /* their calls that wait */
void actors_tick(Proc *proc);
Actor *actor_find(const ActorId *id);

/* ---- object.c ---- */
void object_make(Proc *proc);
void object_read(void);
void objects_recall(Proc *proc);         /* its raylet wants back what it has kept */
void objects_drop(Proc *proc, bool all); /* of those that it owns */

/* ---- group.c ---- */
void group_make(Proc *proc);
void group_use(Proc *proc);
void group_remove_it(Proc *proc, Group *group);
void groups_drop(Proc *proc);
void groups_news(Proc *proc, const GroupInfo *info);
void groups_tick(Proc *proc);
