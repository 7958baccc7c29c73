/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * For this folder's fuzz target and tests: one node among peers that say anything. Processes are streams
 * in memory whose other end is the test's (raylet_fuzz_stream.h); what the node would start or dial
 * outside is a list here (meson.build: --wrap), and ends when the test says so. Time is virtual.
 */

#include <string.h>

#include "base/fuzz_world.h"
#include "raylet/raylet_fuzz_stream.h"
#include "raylet/raylet_private.h"
#include "wire/messages.h"

enum {
    LOCALS = 6,
    CHILDREN_MAX = 64,
    HELPERS_MAX = 8,
};

struct LoopChild {
    LoopChildFn *fn;
    void *ctx;
    bool gone;
};
struct Helper {
    HelperDone *done;
    void *ctx;
};

typedef struct World {
    Loop *loop;
    Raylet *raylet;
    Stream *process[LOCALS]; /* the other ends of the locals' streams */
    Local *local[LOCALS];
    Stream *gcs;             /* the other end of gcs's */
    uint64_t gcs_name;       /* of its end of the link */
    uint32_t gcs_sent;       /* on it */
    LoopChild *children[CHILDREN_MAX];
    Helper *helpers[HELPERS_MAX];
    bool gcs_there, failed, memory_short;
} World;

extern World *world; /* the one that is */
/* begin() sets it, too. */
extern const FuzzWorld raylet_world;

/* Whatever happened, what is lent out and what is there add up. */
void world_check(void);

/* ---- names ---- */

#define NAMED(Type, number)                                                                        \
    ({                                                                                             \
        Type id_;                                                                                  \
        memset(&id_, 1 + (number) % 8, sizeof(id_));                                               \
        id_;                                                                                       \
    })

const NodeId *node_named(unsigned number); /* 0: this node; 2, 3: the two others */
PeerId remote_process(uint8_t which);      /* of the two others */
JobId the_job(void);
PeerId someone(uint8_t which);             /* anybody who can be addressed */
/* CPUs and GPUs, in halves. */
Resource *amounts(uint8_t from, size_t *ret_len);

/* ---- what happens ---- */

void world_run(usec_t for_time);
void connect_process(unsigned slot);
void from_local(unsigned slot, const FrameHeader *header, Slice body);
void from_gcs(const FrameHeader *header, Slice body);
void from_remote(uint8_t which, const FrameHeader *header, Slice body);
/* From a process here, or from elsewhere when the byte says so. */
void from_anyone(uint8_t who, MessageType type, bool call, const Buf *body);
void say_gcs(MessageType type, bool call, const Buf *body);
void lose_gcs(void);
/* Bits of `how`: 1 another process than before, 2 it has all that was sent, 4 a node that was
 * forgotten, 8 and more: it says that it has so many frames. */
void connect_gcs(uint8_t how);
/* A frame on gcs' connection, as the caller has made it but for its length. */
void frame_from_gcs(const FrameHeader *header, Slice body);
