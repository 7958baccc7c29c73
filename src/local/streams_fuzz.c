/* SPDX-License-Identifier: Apache-2.0 */

/*
 * exec, attach and port-forward, at the API server and at the node agent: what comes on their WebSockets
 * and from the pod, in any order. The first byte says which of them it is, the next eight how it was
 * asked for, then come steps. WebSockets are lists here (their bytes: src/net/http_conn_fuzz.c); the
 * program in the pod is us. Whatever comes, all is let go when the WebSockets have closed.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/fuzz_input.h"
#include "base/fuzz_world.h"
#include "base/wrap.h"
#include "local/agent_endpoint_private.h"
#include "local/agent_packet.h"
#include "local/rest_node.h"

enum {
    SOCKETS = 24,
    STEPS_MAX = 100,
};

enum Kind {
    KIND_EXEC_SERVER, /* here the API server's end, */
    KIND_FORWARD_SERVER,
    KIND_CHANNELS_SERVER,
    KIND_EXEC_AGENT, /* and here the agent's */
    KIND_ATTACH_AGENT,
    KIND_FORWARD_AGENT,
    KINDS,
};

enum Step {
    STEP_MESSAGE,  /* socket, kind, length, bytes */
    STEP_OPEN,     /* socket */
    STEP_CLOSE,    /* socket, code */
    STEP_CONGEST,  /* socket */
    STEP_DRAIN,    /* socket */
    STEP_GONE,     /* the client, before its upgrade */
    STEP_WRITE,    /* which, length, bytes: the program does */
    STEP_READ,     /* which of the program's streams */
    STEP_SHUT,     /* which of the program's streams */
    STEP_TERMINAL, /* the program's terminal has been made */
    STEP_ENDED,    /* code, 0: an error */
    STEP_SOCKET,   /* the pod's socket has come; 0: has not */
    STEP_WAIT,     /* tenths of a second */
    STEP_SYN, /* socket, stream (else the next), bits of what it says it is, request: opens a stream of SPDY */
    STEPS,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct WebSocket {
    const WebSocketEvents *events;
    void *ctx;
    bool dialled, open, closing, congested, paused;
    unsigned number;
};

typedef struct World {
    Loop *loop;
    ApiServer server;
    Resource pods;
    AgentEndpoint endpoint;
    WebSocket *sockets[SOCKETS];
    unsigned last_number;
    HttpQuery query;
    HttpHeaders headers;
    Rest *rest;
    void (*gone)(void *ctx);
    void *gone_ctx;
    uint8_t how[8];
    bool deflating;   /* SPDY's headers have begun */
    uint32_t streams; /* of SPDY: the last one opened */
    /* the program in the pod, and the socket asked of it */
    PodExecFn *ended;
    PodSocketFn *came;
    void *program;
    int fds[3];
} World;

static World *world; /* this input's */

/* ---- WebSockets ------------------------------------------------------------------------------ */

static int socket_new(const WebSocketEvents *events, void *ctx, bool dialled, WebSocket **ret_ws) {
    for (size_t i = 0; i < SOCKETS; i++) {
        if (world->sockets[i])
            continue;
        *ret_ws = world->sockets[i] = mem_new(WebSocket);
        **ret_ws =
            (WebSocket){ .events = events, .ctx = ctx, .dialled = dialled, .open = !dialled };
        (*ret_ws)->number = ++world->last_number;
        return 0;
    }
    return error_origin(-EMFILE, "enough sockets");
}

WRAPPED(int, websocket_accept, HttpRequest *request, const char *const *protocols,
        const WebSocketOptions *options, const WebSocketEvents *events, void *ctx,
        WebSocket **ret_ws) {
    world->gone = NULL;
    return world->how[0] & 1 ? WEBSOCKET_REFUSED : socket_new(events, ctx, false, ret_ws);
}

WRAPPED(int, websocket_connect, Loop *loop, const WebSocketTarget *target,
        const WebSocketOptions *options, const WebSocketEvents *events, void *ctx,
        WebSocket **ret_ws) {
    ASSERT(str_starts(target->url, "http://127.0.0.1:1/"));
    if (world->how[0] & 2)
        return error_origin(-ECONNREFUSED, "nobody is there");
    return socket_new(events, ctx, true, ret_ws);
}

WRAPPED(bool, websocket_requested, const HttpRequest *request) {
    return !(world->how[0] & 4);
}

static void check_alive(const WebSocket *ws) {
    bool there = false;
    for (size_t i = 0; i < SOCKETS; i++)
        there |= world->sockets[i] == ws;
    ASSERT(ws && there);
}

WRAPPED(void, websocket_send, WebSocket *ws, WebSocketKind kind, Slice data) {
    check_alive(ws);
    ASSERT(ws->open);
}

WRAPPED(void, websocket_send_prefixed, WebSocket *ws, WebSocketKind kind, Slice prefix,
        Slice data) {
    check_alive(ws);
    ASSERT(ws->open && prefix.len == 1);
}

WRAPPED(bool, websocket_congested, const WebSocket *ws) {
    check_alive(ws);
    return ws->congested;
}

WRAPPED(void, websocket_pause, WebSocket *ws, bool paused) {
    check_alive(ws);
    ws->paused = paused;
}

WRAPPED(void, websocket_close, WebSocket *ws, int code, const char *reason) {
    check_alive(ws);
    ws->closing = true;
}

WRAPPED(WebSocket *, websocket_free, WebSocket *ws) {
    for (size_t i = 0; i < SOCKETS; i++)
        if (world->sockets[i] == ws)
            world->sockets[i] = NULL;
    return mem_free(ws);
}

static void closed(WebSocket *ws, int code) {
    unsigned number = ws->number;
    ws->events->closed(ws->ctx, ws, code, code % 3 ? "so it is" : "");
    for (size_t i = 0; i < SOCKETS; i++) /* the callback frees it */
        ASSERT(!world->sockets[i] || world->sockets[i]->number != number);
}

/* ---- the API server's request ------------------------------------------------------------------ */

WRAPPED(Rest *, rest_free, Rest *rest) {
    if (!rest)
        return NULL;
    ASSERT(rest == world->rest);
    world->rest = NULL;
    json_decref(rest->call.status);
    return mem_free(rest);
}

WRAPPED(void, rest_reply_status, Rest *rest) {
    ASSERT(rest->call.status);
    __wrap_rest_free(rest);
}

WRAPPED(const char *, rest_query, const Rest *rest, const char *name) {
    return http_query_get(&world->query, name);
}

WRAPPED(bool, rest_query_flag, const Rest *rest, const char *name) {
    return query_true(&world->query, name);
}

WRAPPED(Object *, api_find, const ApiCall *call) {
    return world->how[1] & 1 ? NULL : (Object *)world; /* only object_value() looks */
}

WRAPPED(json_t *, object_value, Object *object) {
    return json_pack("{s:{s:[{s:s},{s:s}]}, s:{s:s}}", "spec", "containers", "name", "a", "name",
                     "b", "status", "phase", world->how[1] & 2 ? "Failed" : "Running");
}

WRAPPED(int, agent_url, ApiCall *call, const json_t *pod, char **ret_url) {
    *ret_url = str_dup("http://127.0.0.1:1");
    return 0;
}

WRAPPED(const HttpQuery *, http_request_query, const HttpRequest *request) {
    return &world->query;
}

WRAPPED(const HttpHeaders *, http_request_headers, const HttpRequest *request) {
    return &world->headers;
}

WRAPPED(void, http_request_on_gone, HttpRequest *request, void (*fn)(void *ctx), void *ctx) {
    world->gone = fn;
    world->gone_ctx = ctx;
}

WRAPPED(void, http_respond_text, HttpRequest *request, int status, const char *format, ...) {
}

WRAPPED(void, http_respond_error, HttpRequest *request, int r) {
    ASSERT(r < 0);
}

/* ---- the agent's pod ---------------------------------------------------------------------------- */

WRAPPED(AgentPod *, endpoint_pod, AgentEndpoint *endpoint, HttpRequest *request,
        const char **ret_container) {
    *ret_container = "main";
    return (AgentPod *)world;
}

WRAPPED(bool, agent_pod_running, const AgentPod *pod, const char *container) {
    return !(world->how[1] & 1);
}

WRAPPED(bool, agent_pod_has_terminal, const AgentPod *pod, const char *container) {
    return world->how[1] & 2;
}

static void streams_close(void) {
    for (int i = 0; i < 3; i++)
        world->fds[i] = fd_close(world->fds[i]);
}

static int program_start(const int fds[static 3], PodExecFn *fn, void *ctx, uint64_t *ret_id) {
    if (world->how[0] & 2)
        return error_origin(-EPIPE, "the keeper is gone");
    for (int i = 0; i < 3; i++)
        world->fds[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
    world->ended = fn;
    world->program = ctx;
    *ret_id = 1;
    return 0;
}

WRAPPED(int, agent_pod_exec, AgentPod *pod, const char *container, json_t *argv, bool tty,
        const int fds[static 3], PodExecFn *fn, void *ctx, uint64_t *ret_id) {
    ASSERT(json_array_size(argv) > 0);
    return program_start(fds, fn, ctx, ret_id);
}

WRAPPED(int, agent_pod_attach, AgentPod *pod, const char *container, const int fds[static 3],
        PodExecFn *fn, void *ctx, uint64_t *ret_id) {
    return program_start(fds, fn, ctx, ret_id);
}

static void forget_program(void) {
    ASSERT(world->ended || world->came); /* once, and not after its end */
    world->ended = NULL;
    world->came = NULL;
}

WRAPPED(void, agent_pod_exec_cancel, AgentPod *pod, uint64_t id) {
    forget_program();
}

WRAPPED(void, agent_pod_detach, AgentPod *pod, uint64_t id) {
    forget_program();
}

WRAPPED(void, agent_pod_socket_cancel, AgentPod *pod, uint64_t id) {
    forget_program();
}

WRAPPED(void, agent_pod_resize, AgentPod *pod, const char *container, int columns, int rows) {
    ASSERT(columns >= 1 && columns <= 10000 && rows >= 1 && rows <= 10000);
}

WRAPPED(int, agent_pod_socket, AgentPod *pod, PodSocketFn *fn, void *ctx, uint64_t *ret_id) {
    if (world->how[0] & 2)
        return error_origin(-EPIPE, "the keeper is gone");
    world->came = fn;
    world->program = ctx;
    *ret_id = 1;
    return 0;
}

/* The socket is a pair's end: connected already. */
WRAPPED(int, connect, int fd, const struct sockaddr *address, socklen_t len) {
    errno = world->how[1] & 4 ? ECONNREFUSED : EINPROGRESS;
    return -1;
}

/* ---- the input ----------------------------------------------------------------------------------- */

static void run(usec_t for_time) {
    loop_run_until(world->loop, loop_deadline(world->loop, for_time));
}

static WebSocket *socket_at(uint8_t which) {
    return world->sockets[which % SOCKETS];
}

static void step_message(Input *in) {
    WebSocket *ws = socket_at(take(in));
    uint8_t kind = take(in);
    Slice data = take_slice(in);
    _cleanup_buf_ Buf big = { 0 };
    for (int i = 0; i < (kind & 0x80 ? 2000 : 1); i++) /* some are long */
        buf_add(&big, data.data, data.len);
    if (ws && ws->open && !ws->closing && !ws->paused && ws->events->message)
        ws->events->message(ws->ctx, ws, kind & 1 ? WEBSOCKET_TEXT : WEBSOCKET_BINARY,
                            (Slice){ big.data ? big.data : "", big.len });
}

static void number_add(Buf *out, uint32_t number) {
    const uint8_t bytes[] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16),
                              (uint8_t)(number >> 8), (uint8_t)number };
    buf_add(out, bytes, sizeof(bytes));
}

static void text_add(Buf *out, const char *text) {
    number_add(out, (uint32_t)strlen(text));
    buf_add_str(out, text);
}

/* The headers are deflated as one stored block, the first behind zlib's own two bytes. */
static void step_syn(Input *in) {
    WebSocket *ws = socket_at(take(in));
    uint8_t stream = take(in), bits = take(in);
    const char request[2] = { (char)('a' + take(in) % 26), 0 };
    _cleanup_buf_ Buf headers = { 0 }, block = { 0 }, frame = { 0 };
    number_add(&headers, 3);
    text_add(&headers, "streamtype");
    text_add(&headers, bits & 1 ? "data" : "error");
    text_add(&headers, "port");
    text_add(&headers, bits & 2 ? "x" : "80");
    text_add(&headers, "requestid");
    text_add(&headers, request);
    if (!world->deflating)
        buf_add(&block, "\x78\x01", 2);
    const uint8_t stored[] = { 0, (uint8_t)headers.len, 0, (uint8_t)~headers.len, 0xff };
    buf_add(&block, stored, sizeof(stored));
    buf_add(&block, headers.data, headers.len);
    number_add(&frame, 0x80030001);
    number_add(&frame, (bits & 4 ? 1u << 24 : 0) | (uint32_t)(10 + block.len));
    world->streams = bits & 8 ? stream : world->streams ? world->streams + 2 : 1;
    number_add(&frame, world->streams);
    number_add(&frame, 0);
    buf_add(&frame, "\0\0", 2);
    buf_add(&frame, block.data, block.len);
    if (!ws || !ws->open || ws->closing || ws->dialled || ws->paused)
        return;
    world->deflating = true;
    ws->events->message(ws->ctx, ws, WEBSOCKET_BINARY, buf_slice(&frame));
}

static void step_socket(Input *in, enum Step what) {
    WebSocket *ws = socket_at(take(in));
    if (!ws)
        return;
    if (what == STEP_OPEN && ws->dialled && !ws->open && !ws->closing) {
        ws->open = true;
        if (ws->events->open)
            ws->events->open(ws->ctx, ws);
    } else if (what == STEP_CLOSE) {
        closed(ws, 995 + take(in) % 20);
    } else if (what == STEP_CONGEST) {
        ws->congested = true;
    } else if (what == STEP_DRAIN && ws->congested) {
        ws->congested = false;
        if (ws->events->drained && !ws->closing)
            ws->events->drained(ws->ctx, ws);
    }
}

static void terminal_comes(void) {
    int pair[2];
    if (world->fds[0] < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    _cleanup_json_ json_t *nothing = json_object();
    (void)!packet_send(world->fds[0], nothing, &pair[0], 1);
    fd_close(pair[0]);
    world->fds[0] = fd_close(world->fds[0]);
    fd_close(world->fds[1]);
    world->fds[1] = pair[1];
}

static void socket_comes(bool there) {
    PodSocketFn *came = world->came;
    int pair[2] = { -1, -1 };
    world->came = NULL;
    if (!came)
        return;
    if (there)
        ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    world->fds[1] = pair[1];
    came(world->program, pair[0]);
}

static void step_program(Input *in, enum Step what) {
    uint8_t which = take(in);
    int *fd = &world->fds[which % 3];
    char bytes[4096];
    if (what == STEP_WRITE) {
        Slice data = take_slice(in);
        if (*fd >= 0 && fd != &world->fds[0] && write(*fd, data.data, data.len) < 0)
            *fd = fd_close(*fd);
    } else if (what == STEP_READ) {
        struct pollfd now = { .fd = *fd, .events = POLLIN };
        if (poll(&now, 1, 0) > 0 && read(*fd, bytes, sizeof(bytes)) <= 0)
            *fd = fd_close(*fd);
    } else if (what == STEP_SHUT) {
        *fd = fd_close(*fd);
    } else if (what == STEP_TERMINAL) {
        terminal_comes();
    } else if (what == STEP_SOCKET) {
        socket_comes(which);
    } else if (world->ended) {
        PodExecFn *ended = TAKE(world->ended);
        streams_close();
        ended(world->program, which, which ? NULL : "no such program");
    }
}

static void step(Input *in) {
    enum Step what = take(in) % STEPS;
    if (what == STEP_MESSAGE) {
        step_message(in);
    } else if (what <= STEP_DRAIN) {
        step_socket(in, what);
    } else if (what == STEP_GONE) {
        void (*gone)(void *) = TAKE(world->gone);
        if (gone)
            gone(world->gone_ctx);
    } else if (what == STEP_SYN) {
        step_syn(in);
    } else if (what == STEP_WAIT) {
        run(take(in) * USEC_PER_SEC / 10);
    } else {
        step_program(in, what);
    }
    run(0);
}

/* A server's client is held back for an agent that does not take what is sent, and agents for their
 * client: for nobody else, or it would be for ever. */
static void check_pauses(void) {
    for (size_t i = 0; i < SOCKETS; i++) {
        const WebSocket *ws = world->sockets[i];
        bool for_one = false;
        for (size_t k = 0; k < SOCKETS; k++) {
            const WebSocket *other = world->sockets[k];
            for_one |= ws && other && other->dialled != ws->dialled &&
                       (other->congested || other->closing);
        }
        ASSERT(!ws || !ws->paused || ws->closing || for_one);
    }
}

/* ---- one input ------------------------------------------------------------------------------------ */

static void *begin(void) {
    signal(SIGPIPE, SIG_IGN);
    world = mem_new(World);
    ASSERT(loop_new_virtual(1000 * USEC_PER_SEC, 5000 * USEC_PER_SEC, &world->loop) == 0);
    world->pods = (Resource){ .group = "", .plural = "pods" };
    world->server.loop = world->endpoint.loop = world->loop;
    list_init(&world->endpoint.sessions);
    for (int i = 0; i < 3; i++)
        world->fds[i] = -1;
    return world;
}

static void end(void *ctx) {
    loop_free(world->loop);
    world = mem_free(world);
}

static const FuzzWorld fuzz_world = { .begin = begin, .end = end };

static Rest *rest_made(enum Kind kind) {
    Rest *rest = mem_new(Rest);
    rest->server = &world->server;
    rest->call.resource = &world->pods;
    rest->call.ns = "ns";
    rest->call.name = "pod";
    rest->call.subresource = kind != KIND_EXEC_SERVER ? "portforward"
                             : world->how[1] & 4      ? "attach"
                                                      : "exec";
    return world->rest = rest;
}

static void ask(enum Kind kind) {
    switch (kind) {
    case KIND_EXEC_SERVER:
        rest_exec(rest_made(kind));
        break;
    case KIND_CHANNELS_SERVER:
        http_headers_add(&world->headers, "Sec-WebSocket-Protocol", "v4.channel.k8s.io");
        rest_port_forward(rest_made(kind));
        break;
    case KIND_FORWARD_SERVER:
        rest_port_forward(rest_made(kind));
        break;
    case KIND_EXEC_AGENT:
        endpoint_exec(&world->endpoint, NULL);
        break;
    case KIND_ATTACH_AGENT:
        endpoint_attach(&world->endpoint, NULL);
        break;
    default:
        endpoint_forward(&world->endpoint, NULL);
    }
}

/* What was closed closes; then everything is. */
static void close_all(void) {
    run(10 * USEC_PER_SEC);
    for (size_t i = 0; i < SOCKETS; i++)
        if (world->sockets[i] && world->sockets[i]->closing)
            closed(world->sockets[i], WEBSOCKET_NORMAL);
    for (size_t i = 0; i < SOCKETS; i++)
        if (world->sockets[i] && !world->sockets[i]->dialled)
            closed(world->sockets[i], WEBSOCKET_ABNORMAL);
    for (int again = 0; again < 2; again++) /* one that waited for its agent answers its client */
        for (size_t i = 0; i < SOCKETS; i++)
            if (world->sockets[i])
                closed(world->sockets[i], WEBSOCKET_ABNORMAL);
    run(10 * USEC_PER_SEC);
    for (size_t i = 0; i < SOCKETS; i++)
        ASSERT(!world->sockets[i]);
    ASSERT(list_empty(&world->endpoint.sessions) && !world->rest);
    ASSERT(!world->ended && !world->came);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    world = fuzz_world_begin(&fuzz_world);
    Input in = { data, size };
    enum Kind kind = take(&in) % KINDS;
    for (size_t i = 0; i < ARRAY_LEN(world->how); i++)
        world->how[i] = take(&in);
    if (http_query_parse(take_slice(&in), &world->query) == 0)
        ask(kind);
    for (int i = 0; i < STEPS_MAX && in.size > 0; i++) {
        step(&in);
        if (kind <= KIND_CHANNELS_SERVER)
            check_pauses();
    }
    close_all();
    streams_close();
    http_query_done(&world->query);
    http_headers_done(&world->headers);
    world->query = (HttpQuery){ 0 };
    world->headers = (HttpHeaders){ 0 };
    fuzz_world_end(&fuzz_world, world);
    return 0;
}
