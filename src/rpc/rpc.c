/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/rpc.h"

#include "base/error.h"
#include "base/list.h"
#include "base/map.h"

typedef struct RpcCall {
    List link;  /* in Rpc.calls, oldest first */
    List timed; /* in Rpc.timed, if it has a deadline */
    uint32_t number;
    PeerId to;
    usec_t deadline;
    RpcDone done;
    void *argument;
} RpcCall;

struct Rpc {
    RpcSend send;
    void *context;
    uint32_t last;
    Map by_number;
    List calls;
    List timed; /* few: most calls have no deadline, and there may be very many */
};

Rpc *rpc_new(RpcSend send, void *context) {
    Rpc *rpc = mem_new(Rpc);
    rpc->send = send;
    rpc->context = context;
    map_init(&rpc->by_number, sizeof(uint32_t));
    list_init(&rpc->calls);
    list_init(&rpc->timed);
    return rpc;
}

static void call_take(Rpc *rpc, RpcCall *call) {
    map_remove(&rpc->by_number, &call->number);
    list_remove(&call->link);
    list_remove(&call->timed);
}

static void rpc_end(Rpc *rpc, RpcCall *call, const RpcReply *reply) {
    call_take(rpc, call);
    call->done(call->argument, reply);
    mem_free(call);
}

void rpc_free(Rpc *rpc) {
    if (!rpc)
        return;
    List *item;
    while ((item = rpc->calls.next) != &rpc->calls)
        rpc_end(rpc, LIST_ITEM(item, RpcCall, link), &(RpcReply){ .result = -ECANCELED });
    map_done(&rpc->by_number);
    mem_free(rpc);
}

uint32_t rpc_call(Rpc *rpc, PeerId to, MessageType type, const Buf *body, usec_t deadline,
                  RpcDone done, void *argument) {
    RpcCall *call = mem_new(RpcCall);
    do
        call->number = ++rpc->last;
    while (!call->number || map_get(&rpc->by_number, &call->number));
    call->to = to;
    call->deadline = deadline;
    call->done = done;
    call->argument = argument;
    map_put(&rpc->by_number, &call->number, call);
    list_push(&rpc->calls, &call->link);
    list_init(&call->timed);
    if (deadline != USEC_INFINITY)
        list_push(&rpc->timed, &call->timed);
    FrameHeader header = { .length = body ? (uint32_t)body->len : 0,
                           .type = (uint16_t)type,
                           .flags = FRAME_CALL,
                           .stream = call->number,
                           .destination = to };
    uint32_t number = call->number;
    rpc->send(rpc->context, &header, body);
    return number;
}

bool rpc_forget(Rpc *rpc, uint32_t number) {
    RpcCall *call = map_get(&rpc->by_number, &number);
    if (!call)
        return false;
    call_take(rpc, call);
    mem_free(call);
    return true;
}

bool rpc_reply(Rpc *rpc, const FrameHeader *header, const void *body) {
    RpcCall *call = map_get(&rpc->by_number, &header->stream);
    if (!call || !(header->flags & FRAME_REPLY))
        return false;
    if (call->to && header->source != call->to) /* 0: whoever is at the other end of the line */
        return false;
    _cleanup_arena_ Arena arena = { 0 };
    RpcReply reply = { .header = header, .body = body, .len = header->length };
    if ((header->flags & FRAME_ERROR) || header->type == MSG_STATUS) {
        int r = status_decode(&reply.status, body, header->length, &arena);
        bool failed = r == 0 && reply.status.code != STATUS_CODE_OK;
        reply.result = r < 0 ? r : failed ? 1 : 0;
    }
    rpc_end(rpc, call, &reply);
    return true;
}

usec_t rpc_expire(Rpc *rpc, usec_t now) {
    usec_t next = USEC_INFINITY;
    for (bool again = true; again;) {
        again = false;
        next = USEC_INFINITY;
        LIST_EACH(item, &rpc->timed) {
            RpcCall *call = LIST_ITEM(item, RpcCall, timed);
            if (call->deadline <= now) {
                rpc_end(rpc, call, &(RpcReply){ .result = -ETIMEDOUT });
                again = true; /* the callback may have changed the list */
                break;
            }
            next = MIN(next, call->deadline);
        }
    }
    return next;
}

void rpc_peer_lost(Rpc *rpc, PeerId peer) {
    for (bool again = true; again;) {
        again = false;
        LIST_EACH(item, &rpc->calls) {
            RpcCall *call = LIST_ITEM(item, RpcCall, link);
            if (peer && call->to != peer)
                continue;
            rpc_end(rpc, call, &(RpcReply){ .result = -ECONNRESET });
            again = true;
            break;
        }
    }
}

size_t rpc_pending(const Rpc *rpc) {
    return map_len(&rpc->by_number);
}

FrameHeader rpc_answer_header(const FrameHeader *call, MessageType type, const Buf *body) {
    return (FrameHeader){ .length = body ? (uint32_t)body->len : 0,
                          .type = (uint16_t)type,
                          .flags = FRAME_REPLY,
                          .stream = call->stream,
                          .source = call->destination,
                          .destination = call->source };
}

FrameHeader rpc_answer_status(const FrameHeader *call, StatusCode code, const char *text,
                              Buf *out) {
    Status status = { .code = (uint16_t)code, .text = slice_str(text) };
    status_encode(&status, out);
    FrameHeader header = rpc_answer_header(call, MSG_STATUS, out);
    if (code != STATUS_CODE_OK)
        header.flags |= FRAME_ERROR;
    return header;
}

int rpc_status_error(const Status *status) {
    static const int codes[] = {
        [STATUS_CODE_INVALID] = -EINVAL,    [STATUS_CODE_NOT_FOUND] = -ENOENT,
        [STATUS_CODE_EXISTS] = -EEXIST,     [STATUS_CODE_BUSY] = -EBUSY,
        [STATUS_CODE_FULL] = -ENOSPC,       [STATUS_CODE_DENIED] = -EACCES,
        [STATUS_CODE_DEAD] = -ECONNRESET,   [STATUS_CODE_UNSUPPORTED] = -EOPNOTSUPP,
        [STATUS_CODE_TIMEOUT] = -ETIMEDOUT, [STATUS_CODE_INTERNAL] = -EIO,
        [STATUS_CODE_INFEASIBLE] = -ERANGE, [STATUS_CODE_CANCELLED] = -ECANCELED,
        [STATUS_CODE_REMOTE] = -EREMOTE,
    };
    int code = status->code < ARRAY_LEN(codes) && codes[status->code] ? codes[status->code] : -EIO;
    return error_origin(code, "%.*s", (int)status->text.len,
                        status->text.data ? status->text.data : "");
}
