/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Calls between our processes over any transport that takes frames: numbers them, matches
 * replies, ends them at their deadline or when the peer is lost. Pure: the owner gives the send
 * function, feeds replies and tells the time. Callbacks run from rpc_reply(), rpc_expire(),
 * rpc_peer_lost() and rpc_free(), never from rpc_call().
 */

#include "base/str.h"
#include "wire/frame.h"
#include "wire/messages.h"

typedef struct Rpc Rpc;

/* Takes the frame to its destination; header->source is filled in by the transport. */
typedef void (*RpcSend)(void *context, const FrameHeader *header, const Buf *body);

typedef struct RpcReply {
    int result;       /* 0: body is the answer. 1: `status` says why not. -ETIMEDOUT,
                            * -ECONNRESET, -ECANCELED (rpc_free) */
    Status status;    /* result 1: borrowed until the callback returns */
    const FrameHeader *header;
    const void *body; /* result 0: borrowed until the callback returns */
    size_t len;
} RpcReply;

typedef void (*RpcDone)(void *argument, const RpcReply *reply);

Rpc *rpc_new(RpcSend send, void *context);
/* Ends every call with -ECANCELED. */
void rpc_free(Rpc *rpc);
DEFINE_CLEANUP(Rpc *, rpc_free);

/* `body` may be NULL. USEC_INFINITY for no deadline. Returns the call's number (never 0). */
uint32_t rpc_call(Rpc *rpc, PeerId to, MessageType type, const Buf *body, usec_t deadline,
                  RpcDone done, void *argument);
/* Forgets the call; its callback will not run. False when it had ended. */
bool rpc_forget(Rpc *rpc, uint32_t call);
/* A frame with FRAME_REPLY: true when it answered a call of ours. Only who was asked answers (or its
 * raylet in its name): the transport vouches for header->source. */
bool rpc_reply(Rpc *rpc, const FrameHeader *header, const void *body);
/* Ends calls that are due; returns the next deadline, USEC_INFINITY if there is none. */
usec_t rpc_expire(Rpc *rpc, usec_t now);
/* Ends all calls to this peer, or to every peer (0), with -ECONNRESET. */
void rpc_peer_lost(Rpc *rpc, PeerId peer);
size_t rpc_pending(const Rpc *rpc);

/* The header of an answer to `call`. */
FrameHeader rpc_answer_header(const FrameHeader *call, MessageType type, const Buf *body);
/* A Status answer: fills `out` with the body. */
FrameHeader rpc_answer_status(const FrameHeader *call, StatusCode code, const char *text, Buf *out);
/* -errno for a StatusCode, with the status's sentence: for callers that only forward. */
int rpc_status_error(const Status *status);
