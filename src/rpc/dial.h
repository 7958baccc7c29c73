/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A connection dialled to gcs or to a raylet over a socket: frames, hello and calls put together,
 * for programs with a loop (dashboard, job-run, env-setup, the command line). Not part of what the
 * extension links. When the connection breaks it is dialled again, until dial_free().
 */

#include "loop/loop.h"
#include "rpc/rpc.h"
#include "wire/messages.h"

typedef struct Dial Dial;

typedef struct DialSpec {   /* everything is copied */
    const char *address;    /* "host:port", or the path of a unix socket */
    Role role;
    Slice token;            /* empty: none */
    const char *submission; /* JOB_RUN; may be NULL */
    usec_t connect_timeout; /* 0: 5 s; of one attempt, hello included */
    usec_t retry;           /* pause between attempts; 0: 200 ms */
} DialSpec;

typedef struct DialEvents { /* borrowed for life; each may be NULL */
    /* Welcomed; also after each reconnect. `welcome` is borrowed for the call. */
    void (*ready)(void *ctx, const Welcome *welcome);
    /* A frame that answers nothing: something published, a stop. */
    void (*frame)(void *ctx, const FrameHeader *header, Slice body);
    /* An attempt failed or the connection broke. The next attempt follows, except after
     * -EACCES (the token was refused) and -EPROTO (no version in common). */
    void (*lost)(void *ctx, int r, const char *sentence);
} DialEvents;

_must_check_ int dial_new(Loop *loop, const DialSpec *spec, const DialEvents *events, void *ctx,
                          Dial **ret_dial);
/* Ends open calls with -ECANCELED. */
Dial *dial_free(Dial *dial);
DEFINE_CLEANUP(Dial *, dial_free);

bool dial_is_ready(const Dial *dial);
/* Why the last attempt failed; "" if it did not. Borrowed until the next one. */
const char *dial_problem(const Dial *dial);

/* As rpc_call(); while not connected the call waits for the connection, within its timeout. Calls
 * that were under way when a connection breaks end with -ECONNRESET: they may have had their effect.
 * `done` is never called from inside this. */
void dial_call(Dial *dial, PeerId to, MessageType type, const Buf *body, usec_t timeout,
               RpcDone done, void *argument);

/* Blocking forms, for programs that do one thing: they run the loop until it is there.
 * -ETIMEDOUT with the reason of the last attempt in the sentence. */
_must_check_ int dial_wait_ready(Dial *dial, usec_t timeout);
/* The answer's body, owned; a Status that says no becomes rpc_status_error(). */
_must_check_ int dial_call_wait(Dial *dial, PeerId to, MessageType type, const Buf *body,
                                usec_t timeout, Buf *ret_body);
