/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The control plane of a cluster: nodes, jobs, actors, key-value, pub/sub. This is the state and
 * its transitions; it sends through a port that its owner gives (server.h: sockets; tests: a
 * list) and takes time from the loop, which may be virtual.
 *
 * What changes is logged in the Kv before the answer that tells of it leaves. A Gcs that is made on the
 * Kv of a former one goes on where that ended.
 */

#include "kv/kv.h"
#include "loop/loop.h"
#include "wire/frame.h"
#include "wire/messages.h"

typedef struct Gcs Gcs;

/* A connection, numbered by the owner; never reused, never 0. */
typedef uint64_t GcsConnId;

typedef struct GcsPort {
    void *ctx;
    void (*send)(void *ctx, GcsConnId conn, const FrameHeader *header, Slice body);
    /* Closes after what was sent; gcs_disconnected() does not come. */
    void (*close)(void *ctx, GcsConnId conn);
    /* frame_progress() and frame_arriving() of that connection. */
    uint64_t (*progress)(void *ctx, GcsConnId conn);
    uint64_t (*arriving)(void *ctx, GcsConnId conn);
    /* The store failed: nothing can be promised any more. The process ends. */
    void (*broken)(void *ctx, int r);
} GcsPort;

typedef struct GcsOptions {
    const char *session_name, *session_dir;
    const char *settings; /* JSON object, handed to every process */
    const char *dashboard_url;
    const char *node_ip;
    Slice token;              /* empty: none is asked for */
    usec_t keepalive;         /* of raylets; 0: 3 s */
    usec_t job_start_timeout; /* a submitted job finds a node by then, or has failed; 0: 15 min */
} GcsOptions;

/* Copies the options; borrows loop, kv and port for life. Reads the Kv. */
_must_check_ int gcs_new(Loop *loop, Kv *kv, const GcsOptions *options, const GcsPort *port,
                         Gcs **ret_gcs);
/* The Kv is closed first: it still knows of answers that wait for it. */
Gcs *gcs_free(Gcs *gcs);
DEFINE_CLEANUP(Gcs *, gcs_free);

void gcs_connected(Gcs *gcs, GcsConnId conn);
/* A frame that passed frame_check(). The first one must be Hello. */
void gcs_frame(Gcs *gcs, GcsConnId conn, const FrameHeader *header, Slice body);
void gcs_disconnected(Gcs *gcs, GcsConnId conn);
