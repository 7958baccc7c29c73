/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A whole cluster in one process: the shipped gcs, raylets, store and ownership machine on a virtual
 * clock, a network in memory, and processes that are scripts. All that happens is drawn from a seed.
 * The seam is what a daemon touches of the outside, replaced at link time (meson.build lists it): connections
 * and listeners (net.c), processes, random bytes and folders (outside.c).
 */

#include <stdio.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "gcs/server.h"
#include "loop/loop.h"
#include "model/convert.h"
#include "model/ids.h"
#include "net/frame.h"
#include "own/own.h"
#include "raylet/raylet.h"
#include "rpc/rpc.h"
#include "store/client.h"
#include "wire/messages.h"

enum {
    NODES = 5,   /* the first is the head's */
    DRIVERS = 7, /* in all, a few at a time */
    SHAPES = 10, /* of requests */
    SHAPE_NESTED = SHAPES - 1,
    EVENTS_MIN = 500,
    NAME_MAX_LEN = 64,
};
#define CALM_PAUSE (100 * USEC_PER_MSEC) /* of those who wait until it is over */

typedef struct Proc Proc;
typedef struct Task Task;
typedef struct Actor Actor;

/* What may go wrong in this seed; drawn from it. */
typedef struct Faults {
    bool any, workers, drivers, raylets, gcs, links, stalls, disk, partitions;
    uint32_t rarity; /* steps between two, on average */
} Faults;

typedef struct Machine { /* one node's raylet, again and again */
    int index;
    char ip[NAME_MAX_LEN], socket[NAME_MAX_LEN * 2];
    Raylet *raylet;      /* NULL: down */
    LoopTask *down_task; /* it ends, outside of its own callbacks */
    LoopTimer *up_timer;
    bool graceful;
    uint32_t lives;
} Machine;

typedef struct Head {
    GcsServer *server;
    struct Gcs *gcs; /* of that server */
    LoopTimer *up_timer, *down_timer;
    bool doomed;     /* it is killed while the next thing is being written to its log */
    uint32_t lives;
} Head;

typedef struct World {
    Loop *loop;
    uint64_t random;
    uint32_t seed;
    uint64_t events;
    char failure[600];
    bool verbose, closing; /* closing: no more faults, everything ends */
    bool calm;             /* for a while: no faults, and nobody asks for more */
    uint32_t stay;         /* of two calls so many last as long as it is calm */
    Faults faults;
    char folder[NAME_MAX_LEN];
    bool disk_full;
    Head head;
    Machine machines[NODES];
    Vec(Proc *) procs; /* by pid - PID_FIRST; the dead stay */
    int drivers_started, drivers_alive;
    usec_t healed_at;
    uint32_t runtimes;            /* of four processes so many run on src/core */
    bool janitor;                 /* there is one */
    bool tidied;                  /* it has ended what was detached */
    Map tasks;                    /* TaskId -> Task, of every process */
    Map actors;                   /* ActorId -> Actor */
    Map groups;                   /* GroupId -> Group */
    Map objects;                  /* ObjectId -> Object: of scripts */
    uint32_t places;              /* of those, that drivers took */
    Map things;                   /* ObjectId -> Thing: of users of src/core */
    List works;                   /* blocking ones, under way */
    LoopTimer *fault_timer, *driver_timer;
    uint64_t nodes_ended, deaths; /* deaths: processes that did not end by themselves */
    struct Net *net;
    struct {
        uint64_t tasks, retried, failed, actors, restarts, groups, objects, copies, kills, cuts;
        uint64_t values, errors; /* read by users of src/core */
    } did;
} World;

/* The one that is simulated now: the replaced functions have no other way to it. */
extern World *sim;

/* Something may go wrong now. */
static inline bool faulty(void) {
    return !sim->closing && !sim->calm;
}

/* ---- main.c ---- */
uint32_t rnd(uint32_t n);               /* 0 .. n - 1 */
static inline bool chance(uint32_t n) { /* one in n */
    return rnd(n) == 0;
}
/* The first one is the seed's. */
void fault(const char *format, ...) _printf_(1, 2);
void note(const char *format, ...) _printf_(1, 2); /* --verbose */

/* ---- net.c: connections ---- */
void net_begin(void);
void net_end(void);
/* A process of node `index` dials its raylet. */
FrameConn *net_dial_local(const char *path, pid_t pid, const FrameEvents *events, void *ctx);
/* The end of a process: what it has sent arrives up to some frame, then the other side hears of it. */
void net_die(FrameConn *conn);
/* The same for all connections that this address has accepted; `machine`: it dies as a whole, what
 * has left its processes may not have left it. */
void net_die_accepted(const char *address, bool machine);
bool net_cut_some(void);   /* a connection breaks; false: there is none */
bool net_stall_some(void); /* one direction of one stands still for a while */
/* Both directions stand still. */
void net_stand_still(FrameConn *conn, usec_t for_time);
void net_heal(void);

/* ---- outside.c: processes ---- */
enum {
    PID_FIRST = 1000,
    PIDFD_FIRST = 1 << 20, /* what stands for a pidfd: no descriptor has such a number */
};
/* It has ended: what the raylet watches, and what its zygote tells, comes in any order. */
void outside_exited(Proc *proc);
/* What the loop's pool still has to do is done now. */
void outside_finish_works(void);
/* Of a process's timers. */
void outside_forked(void *proc);
void outside_exit_seen(void *proc);
void outside_status_told(void *proc);

/* ---- cluster.c ---- */
void gcs_init(void);
void gcs_done(void);
void gcs_up(void);
void gcs_down(usec_t pause); /* killed */
void machine_init(int index);
void machine_up(Machine *machine);
void machine_kill(Machine *machine, bool graceful); /* soon */
void machine_down(Machine *machine);                /* now */
Machine *machine_some_up(void);
void faults_begin(void);

/* ---- check.c ---- */
void check_raylet(const Machine *machine);
void check_groups(void); /* strict ones are, also when their makers are gone */
void check_gcs(void);
void check_quiet(void);  /* at the end */
void check_tell(void);   /* --verbose: what the nodes have and wait for */

/* ---- still.c: `why` is what is not so ---- */
bool still_views(Buf *why); /* everybody believes of each node what it has */
bool still_all(Buf *why);   /* and nothing moves that should not */
