/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the parts of the fuzz target share. */

#include "base/fuzz_input.h"
#include "core/core_private.h"

enum {
    REFS = 8,
    ACTORS = 3,
    TASKS = 3,
    PEERS = 4,
    SENT = 8, /* of the last calls and requests we remember so many */
    STEPS_MAX = 200,
    TEMPLATES = 7,
    LARGE = CORE_INLINE_MAX + 1,
    FD_NONE = 1 << 30, /* a descriptor that nobody has */
    DEPTH_MAX = 3,     /* of waits inside waits */
};

enum Step {
    STEP_FRAME,        /* from, type, flags, stream, body: any bytes */
    STEP_ANSWER,       /* which request, how: a Status or what was asked for */
    STEP_RESULT,       /* which call, how, values */
    STEP_TAKEN_BACK,   /* from, which call */
    STEP_CALL,         /* from, kind, returns, values */
    STEP_TASK_CANCEL,  /* from, which, recursive */
    STEP_OBJECT_GET,   /* from, object, lost */
    STEP_BORROW,       /* from, object, how */
    STEP_GOT,          /* from, object */
    STEP_PEER_RING,    /* which, descriptors */
    STEP_RING_STATE,   /* which: full, free, broken */
    STEP_PEER_DEAD,    /* which, how */
    STEP_ACTOR_INFO,   /* which, state, worker */
    STEP_GROUP_INFO,   /* state */
    STEP_ASSIGN,       /* capture; or what a raylet wants back or asks */
    STEP_WAIT,         /* milliseconds, to a power */
    STEP_LOST,         /* the raylet is gone, for 250 and above */
    STEP_SUBMIT,       /* template, arguments */
    STEP_ACTOR_NEW,    /* slot, how */
    STEP_ACTOR_SUBMIT, /* slot, template, arguments */
    STEP_ACTOR_DROP,   /* slot */
    STEP_PUT,          /* slot, large, contents */
    STEP_IMPORT,       /* slot, object, owner */
    STEP_DROP,         /* slot */
    STEP_GET,          /* slot, how */
    STEP_CANCEL,       /* slot, how */
    STEP_STREAM,       /* slot, how */
    STEP_TAKE,         /* slot: the next call to run here */
    STEP_RUN,          /* slot, how: what the call that runs does */
    STEP_GROUP,        /* how */
    STEP_ASK,          /* how: calls that wait for gcs */
    STEPS,
};

typedef struct Frame { /* on its way to us */
    FrameHeader header;
    CoreBytes *body;
    bool fds;
} Frame;

typedef struct Way { /* to one process: as if by its ring */
    bool full, broken;
    Vec(Frame) in;
    Frame in_hand;
} Way;

typedef struct Sent { /* by us */
    PeerId to;
    uint16_t type;
    uint32_t stream;
    TaskId task;
    uint32_t attempt;
} Sent;

typedef struct World {
    Core *core;
    Input *in;
    int steps, depth; /* so far; of waits now */
    usec_t now;
    uint64_t random;
    bool connecting, lost;
    int fds; /* of the frames that came last, not taken yet */
    Vec(Frame) sock;
    Frame in_hand;
    Way ways[PEERS + 1]; /* the last: all strangers */
    Sent requests[SENT], calls[SENT];
    size_t requests_len, calls_len;
    CoreRef *refs[REFS];
    CoreActor *actors[ACTORS];
    CoreTask *tasks[TASKS];
    bool returned[TASKS], detached[TASKS];
    CoreTemplate *templates[TEMPLATES];
    uint64_t room;  /* in the store for what we write */
    size_t pins;
    uint8_t groups; /* made so far */
} World;

extern World world;
extern uint8_t block[LARGE]; /* where written values lie */

/* core_fuzz_outside.c */
PeerId peer_at(uint8_t which);
Way *way_of(PeerId peer);
void frame_free(Frame *frame);

/* core_fuzz_others.c: who and what operands name, and what others say */
PeerId self(void);
PeerId someone(uint8_t which);
ObjectId object_at(uint8_t which);
GroupId group_at(uint8_t which);
ActorId actor_at(uint8_t which);
void step_others(Input *in, enum Step what);

/* core_fuzz.c: at most `max` steps */
void steps(Input *in, int max);

#define NAMED(Type, number)                                                                        \
    ({                                                                                             \
        Type id_;                                                                                  \
        memset(&id_, 1 + (number) % 4, sizeof(id_));                                               \
        id_;                                                                                       \
    })
