/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/dial.h"

#include <unistd.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/list.h"
#include "model/ids.h"
#include "net/frame.h"

#define CONNECT_TIMEOUT (5 * USEC_PER_SEC)
#define RETRY_PAUSE     (200 * USEC_PER_MSEC)

enum {
    HELD_MAX = 1024 /* calls that wait for a connection; more fail at once */
};

/* A call made while there was no connection. */
typedef struct Held {
    List link;
    PeerId to;
    MessageType type;
    Buf body;
    usec_t deadline;
    RpcDone done;
    void *argument;
} Held;

struct Dial {
    Loop *loop;
    char *host, *path, *submission;
    uint16_t port;
    Role role;
    Buf token;
    usec_t connect_timeout, retry;
    const DialEvents *events;
    void *ctx;

    Stream *stream;  /* while it connects */
    FrameConn *conn; /* from then on */
    bool ready, given_up;
    char *problem;
    Rpc *rpc;
    LoopTimer *retry_timer, *rpc_timer, *held_timer;
    List held;
    size_t held_len;
};

static void dial_start(void *ctx);

/* ---------------------------------------------------------------------------------- loss */

static void dial_disconnect(Dial *dial) {
    dial->stream = stream_free(dial->stream);
    dial->conn = frame_conn_free(dial->conn);
    dial->ready = false;
}

static void dial_lost(Dial *dial, int r, const char *sentence) {
    str_set(&dial->problem, sentence);
    dial_disconnect(dial);
    dial->given_up = r == -EACCES || r == -EPROTO;
    if (dial->given_up)
        loop_timer_after(dial->held_timer, 0);
    else
        loop_timer_after(dial->retry_timer, dial->retry);
    rpc_peer_lost(dial->rpc, 0);
    if (dial->events->lost)
        dial->events->lost(dial->ctx, r, dial->problem);
}

/* --------------------------------------------------------------------------------- calls */

static void dial_arm(Dial *dial) {
    loop_timer_at(dial->rpc_timer, rpc_expire(dial->rpc, loop_now(dial->loop)));
}

static void dial_expire(void *ctx) {
    dial_arm(ctx);
}

static void dial_send(void *ctx, const FrameHeader *header, const Buf *body) {
    Dial *dial = ctx;
    frame_send(dial->conn, header, body ? buf_slice(body) : (Slice){ 0 });
}

static void held_end(Dial *dial, Held *call, int r) {
    const RpcReply reply = { .result = r };
    list_remove(&call->link);
    dial->held_len--;
    call->done(call->argument, &reply);
    buf_done(&call->body);
    mem_free(call);
}

static void held_end_all(Dial *dial, int r) {
    while (!list_empty(&dial->held))
        held_end(dial, LIST_ITEM(dial->held.next, Held, link), r);
}

/* Ends those that are due; they are in the order of their making, not of their deadlines. */
static void on_held_timer(void *ctx) {
    Dial *dial = ctx;
    usec_t next = USEC_INFINITY;
    if (dial->given_up) {
        held_end_all(dial, -ECONNRESET);
        return;
    }
    LIST_EACH_SAFE(item, &dial->held) {
        Held *call = LIST_ITEM(item, Held, link);
        if (call->deadline <= loop_now(dial->loop))
            held_end(dial, call, -ETIMEDOUT);
        else
            next = MIN(next, call->deadline);
    }
    loop_timer_at(dial->held_timer, next);
}

static void held_send_all(Dial *dial) {
    for (List *item; dial->ready && (item = list_pop(&dial->held));) {
        Held *call = LIST_ITEM(item, Held, link);
        dial->held_len--;
        rpc_call(dial->rpc, call->to, call->type, &call->body, call->deadline, call->done,
                 call->argument);
        buf_done(&call->body);
        mem_free(call);
    }
    loop_timer_stop(dial->held_timer);
    dial_arm(dial);
}

static void hold(Dial *dial, PeerId to, MessageType type, const Buf *body, usec_t deadline,
                 RpcDone done, void *argument) {
    Held *call = mem_new(Held);
    *call =
        (Held){ .to = to, .type = type, .deadline = deadline, .done = done, .argument = argument };
    if (body)
        buf_add(&call->body, body->data, body->len);
    if (dial->held_len >= HELD_MAX || dial->given_up)
        call->deadline = loop_now(dial->loop);
    list_push(&dial->held, &call->link);
    dial->held_len++;
    if (call->deadline < loop_timer_deadline(dial->held_timer))
        loop_timer_at(dial->held_timer, call->deadline);
}

void dial_call(Dial *dial, PeerId to, MessageType type, const Buf *body, usec_t timeout,
               RpcDone done, void *argument) {
    usec_t deadline = loop_deadline(dial->loop, timeout);
    if (!dial->ready) {
        hold(dial, to, type, body, deadline, done, argument);
        return;
    }
    rpc_call(dial->rpc, to, type, body, deadline, done, argument);
    dial_arm(dial);
}

/* --------------------------------------------------------------------------------- hello */

static void dial_welcomed(void *argument, const RpcReply *reply) {
    Dial *dial = argument;
    if (reply->result == -ECONNRESET || reply->result == -ECANCELED)
        return; /* told already */
    if (reply->result == 1) {
        int r = rpc_status_error(&reply->status);
        dial_lost(dial, reply->status.code == STATUS_CODE_DENIED ? -EACCES : r, error_text(r));
        return;
    }
    _cleanup_arena_ Arena arena = { 0 };
    Welcome welcome;
    int r = reply->result;
    if (r == 0)
        r = welcome_decode(&welcome, reply->body, reply->len, &arena);
    if (r < 0) {
        dial_lost(dial, r, r == -ETIMEDOUT ? "no answer to our hello" : error_text(r));
        return;
    }
    dial->ready = true;
    str_set(&dial->problem, "");
    held_send_all(dial);
    if (dial->events->ready)
        dial->events->ready(dial->ctx, &welcome);
}

static void dial_hello(Dial *dial) {
    _cleanup_buf_ Buf body = { 0 };
    const Hello hello = {
        .version_low = WIRE_VERSION_LOW,
        .version_high = WIRE_VERSION_HIGH,
        .role = (uint8_t)dial->role,
        .token = buf_slice(&dial->token),
        .pid = (uint32_t)getpid(),
        .submission = slice_str(dial->submission),
    };
    hello_encode(&hello, &body);
    rpc_call(dial->rpc, 0, MSG_HELLO, &body, loop_deadline(dial->loop, dial->connect_timeout),
             dial_welcomed, dial);
    dial_arm(dial);
}

/* -------------------------------------------------------------------------------- socket */

static void on_frame(void *ctx, FrameConn *conn, FrameIn *frame) {
    Dial *dial = ctx;
    if (frame->header.flags & FRAME_REPLY) {
        rpc_reply(dial->rpc, &frame->header, frame->body.data);
        if (dial->conn)
            dial_arm(dial);
        return;
    }
    if (dial->events->frame)
        dial->events->frame(dial->ctx, &frame->header, frame->body);
}

static void on_closed(void *ctx, FrameConn *conn, int r) {
    dial_lost(ctx, r < 0 ? r : -ECONNRESET, r < 0 ? error_text(r) : "the connection was closed");
}

static const FrameEvents frame_events = { .frame = on_frame, .closed = on_closed };

static void on_stream(void *ctx, Stream *stream, StreamEvent event) {
    Dial *dial = ctx;
    if (event == STREAM_FAILED) {
        _cleanup_free_ char *sentence = str_dup(stream_error_text(stream));
        dial_lost(dial, stream_error(stream), sentence);
        return;
    }
    if (event != STREAM_CONNECTED)
        return;
    dial->conn = frame_conn_new(dial->stream, &frame_events, dial);
    dial->stream = NULL;
    dial_hello(dial);
}

static int dial_connect(Dial *dial) {
    if (!dial->path)
        return stream_connect_host(dial->loop, dial->host, dial->port, dial->connect_timeout,
                                   on_stream, dial, &dial->stream);
    NetAddress address;
    int r = net_address_unix(dial->path, &address);
    if (r < 0)
        return r;
    return stream_connect(dial->loop, &address, dial->connect_timeout, on_stream, dial,
                          &dial->stream);
}

static void dial_start(void *ctx) {
    Dial *dial = ctx;
    int r = dial_connect(dial);
    if (r < 0)
        dial_lost(dial, r, error_text(r));
}

/* ---------------------------------------------------------------------------------- life */

static int parse_address(Dial *dial, const char *address) {
    if (address[0] == '/') {
        dial->path = str_dup(address);
        return 0;
    }
    const char *colon = strrchr(address, ':');
    uint64_t port = 0;
    if (!colon || colon == address || str_to_u64(colon + 1, &port) < 0 || port == 0 || port > 65535)
        return error_origin(-EINVAL, "'%s' is no address; it looks like 10.0.0.1:6379", address);
    Slice host = { address, (size_t)(colon - address) };
    if (host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
        host = (Slice){ host.data + 1, host.len - 2 };
    dial->host = str_dup_slice(host);
    dial->port = (uint16_t)port;
    return 0;
}

int dial_new(Loop *loop, const DialSpec *spec, const DialEvents *events, void *ctx,
             Dial **ret_dial) {
    static const DialEvents none = { 0 };
    Dial *dial = mem_new(Dial);
    dial->loop = loop;
    dial->role = spec->role;
    dial->events = events ? events : &none;
    dial->ctx = ctx;
    dial->connect_timeout = spec->connect_timeout ? spec->connect_timeout : CONNECT_TIMEOUT;
    dial->retry = spec->retry ? spec->retry : RETRY_PAUSE;
    dial->submission = str_dup(spec->submission);
    dial->problem = str_dup("");
    buf_add(&dial->token, spec->token.data, spec->token.len);
    list_init(&dial->held);
    dial->rpc = rpc_new(dial_send, dial);
    dial->retry_timer = loop_timer_new(loop, dial_start, dial);
    dial->rpc_timer = loop_timer_new(loop, dial_expire, dial);
    dial->held_timer = loop_timer_new(loop, on_held_timer, dial);
    int r = parse_address(dial, spec->address);
    if (r < 0) {
        dial_free(dial);
        return r;
    }
    loop_timer_after(dial->retry_timer, 0);
    *ret_dial = dial;
    return 0;
}

Dial *dial_free(Dial *dial) {
    if (!dial)
        return NULL;
    dial_disconnect(dial);
    held_end_all(dial, -ECANCELED);
    rpc_free(dial->rpc);
    loop_timer_free(dial->retry_timer);
    loop_timer_free(dial->rpc_timer);
    loop_timer_free(dial->held_timer);
    mem_wipe(dial->token.data, dial->token.len);
    buf_done(&dial->token);
    mem_free(dial->host);
    mem_free(dial->path);
    mem_free(dial->submission);
    mem_free(dial->problem);
    return mem_free(dial);
}

bool dial_is_ready(const Dial *dial) {
    return dial->ready;
}

const char *dial_problem(const Dial *dial) {
    return dial->problem;
}

/* ------------------------------------------------------------------------------ blocking */

int dial_wait_ready(Dial *dial, usec_t timeout) {
    usec_t deadline = loop_deadline(dial->loop, timeout);
    while (!dial->ready) {
        if (dial->given_up)
            return error_origin(-EACCES, "%s", dial->problem);
        if (loop_now(dial->loop) >= deadline)
            return error_origin(-ETIMEDOUT, "%s",
                                *dial->problem ? dial->problem : "nobody answers there");
        loop_tick(dial->loop, deadline);
    }
    return 0;
}

typedef struct Waiting {
    bool ended;
    int r;
    Buf *body;
    char *sentence;
} Waiting;

static void on_waited(void *argument, const RpcReply *reply) {
    Waiting *waiting = argument;
    waiting->ended = true;
    waiting->r = reply->result == 1 ? rpc_status_error(&reply->status) : reply->result;
    if (reply->result == 1)
        waiting->sentence = str_dup(error_text(waiting->r));
    else if (reply->result == 0)
        buf_add(waiting->body, reply->body, reply->len);
}

int dial_call_wait(Dial *dial, PeerId to, MessageType type, const Buf *body, usec_t timeout,
                   Buf *ret_body) {
    _cleanup_buf_ Buf answer = { 0 };
    Waiting waiting = { .body = &answer };
    dial_call(dial, to, type, body, timeout, on_waited, &waiting);
    while (!waiting.ended)
        loop_tick(dial->loop, USEC_INFINITY);
    _cleanup_free_ char *sentence = waiting.sentence;
    if (waiting.r < 0)
        return error_origin(waiting.r, "%s",
                            sentence                  ? sentence
                            : waiting.r == -ETIMEDOUT ? "no answer in time"
                                                      : "the connection broke");
    *ret_body = answer;
    answer = (Buf){ 0 };
    return 0;
}
