/* SPDX-License-Identifier: Apache-2.0 */

/* kubectl exec and attach: the streams of a program beside the container's own, or of that itself, over
 * a WebSocket (v5.channel.k8s.io). */

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "local/agent_endpoint_private.h"
#include "local/agent_packet.h"

#define OUTPUT_WAIT (200 * USEC_PER_MSEC) /* for output of others after the program's end */

enum {
    CHANNEL_STDIN = 0,
    CHANNEL_STDOUT = 1,
    CHANNEL_STDERR = 2,
    CHANNEL_ERROR = 3,
    CHANNEL_RESIZE = 4,
    CHANNEL_CLOSE = 255,
    CHUNK = 32 * 1024,
    INPUT_MAX = 1024 * 1024
};

static const char *const protocols[] = { "v5.channel.k8s.io", NULL };

/* One of the program's output streams. */
typedef struct ExecOutput {
    struct ExecSession *session;
    uint8_t channel;
    int fd;
    LoopFd *watch;
} ExecOutput;

typedef struct ExecSession {
    EndpointSession base;
    AgentEndpoint *endpoint;
    AgentPod *pod; /* NULL once the program has ended */
    uint64_t id;
    WebSocket *ws;
    int input; /* -1: closed; a terminal's is that of its output */
    LoopFd *input_watch;
    Buf pending;
    bool input_end, tty, paused, ended;
    char *attached; /* the container whose own streams these are; NULL: of a program we started */
    int terminal;   /* socket that the terminal comes through; -1: it has come, or none is wanted */
    LoopFd *terminal_watch;
    struct winsize window; /* asked for before there was a terminal */
    ExecOutput outputs[2];
    int code;
    char *error;
    LoopTimer *linger;
} ExecSession;

static void session_free(ExecSession *session) {
    list_remove(&session->base.all);
    if (session->pod && session->attached)
        agent_pod_detach(session->pod, session->id);
    else if (session->pod)
        agent_pod_exec_cancel(session->pod, session->id);
    loop_fd_free(session->input_watch);
    loop_fd_free(session->terminal_watch);
    fd_close(session->terminal);
    for (size_t i = 0; i < ARRAY_LEN(session->outputs); i++) {
        loop_fd_free(session->outputs[i].watch);
        fd_close(session->outputs[i].fd);
    }
    fd_close(session->input);
    loop_timer_free(session->linger);
    websocket_free(session->ws);
    buf_done(&session->pending);
    mem_free(session->error);
    mem_free(session->attached);
    mem_free(session);
}

static void session_drop(EndpointSession *base) {
    session_free(CONTAINER_OF(base, ExecSession, base));
}

/* ---- the end ---- */

static json_t *end_status(const ExecSession *session) {
    if (session->error)
        return json_pack("{s:{},s:s,s:s,s:s,s:i}", "metadata", "status", "Failure", "message",
                         session->error, "reason", "InternalError", "code", 500);
    if (!session->code)
        return json_pack("{s:{},s:s}", "metadata", "status", "Success");
    return json_pack(
        "{s:{},s:s,s:o,s:s,s:{s:[{s:s,s:o}]}}", "metadata", "status", "Failure", "message",
        json_sprintf("command terminated with non-zero exit code: exit status %d", session->code),
        "reason", "NonZeroExitCode", "details", "causes", "reason", "ExitCode", "message",
        json_sprintf("%d", session->code));
}

static void say_end(ExecSession *session) {
    static const char channel = CHANNEL_ERROR;
    _cleanup_json_ json_t *status = end_status(session);
    _cleanup_free_ char *text = json_text(status, 0);
    websocket_send_prefixed(session->ws, WEBSOCKET_BINARY, (Slice){ &channel, 1 }, slice_str(text));
    websocket_close(session->ws, WEBSOCKET_NORMAL, "");
}

/* When the program has ended and its output has. */
static void check_end(ExecSession *session) {
    for (size_t i = 0; i < ARRAY_LEN(session->outputs); i++)
        if (session->outputs[i].fd >= 0)
            return;
    if (session->ended)
        say_end(session);
}

static void linger_over(void *ctx) {
    ExecSession *session = ctx;
    for (size_t i = 0; i < ARRAY_LEN(session->outputs); i++) {
        ExecOutput *output = &session->outputs[i];
        output->watch = loop_fd_free(output->watch);
        output->fd = fd_close(output->fd);
    }
    check_end(session);
}

static void take_terminal(ExecSession *session);

static void program_ended(void *ctx, int code, const char *error) {
    ExecSession *session = ctx;
    take_terminal(session); /* what a short program wrote is still in it */
    session->pod = NULL;
    session->ended = true;
    session->code = code;
    session->error = str_dup(error);
    loop_timer_after(session->linger, OUTPUT_WAIT);
    check_end(session);
}

/* ---- output ---- */

static void output_ready(void *ctx, unsigned events) {
    UNUSED(events);
    ExecOutput *output = ctx;
    ExecSession *session = output->session;
    char chunk[CHUNK];
    while (!websocket_congested(session->ws)) {
        ssize_t n = read(output->fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) { /* a terminal says EIO when nobody has it open any more */
            output->watch = loop_fd_free(output->watch);
            output->fd = fd_close(output->fd);
            check_end(session);
            return;
        }
        char channel = (char)output->channel;
        websocket_send_prefixed(session->ws, WEBSOCKET_BINARY, (Slice){ &channel, 1 },
                                (Slice){ chunk, (size_t)n });
    }
    session->paused = true;
    for (size_t i = 0; i < ARRAY_LEN(session->outputs); i++)
        if (session->outputs[i].watch)
            loop_fd_set(session->outputs[i].watch, 0);
}

static void ws_drained(void *ctx, WebSocket *ws) {
    UNUSED(ws);
    ExecSession *session = ctx;
    session->paused = false;
    for (size_t i = 0; i < ARRAY_LEN(session->outputs); i++)
        if (session->outputs[i].watch)
            loop_fd_set(session->outputs[i].watch, LOOP_READABLE);
}

/* ---- input ---- */

static void input_close(ExecSession *session) {
    session->input_watch = loop_fd_free(session->input_watch);
    session->input = fd_close(session->input);
    buf_done(&session->pending);
}

static void input_ready(void *ctx, unsigned events) {
    UNUSED(events);
    ExecSession *session = ctx;
    while (session->pending.len) {
        ssize_t n = write(session->input, session->pending.data, session->pending.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) { /* the program does not read any more */
            input_close(session);
            return;
        }
        buf_drop(&session->pending, (size_t)n);
    }
    websocket_pause(session->ws, false);
    loop_fd_set(session->input_watch, 0);
    if (session->input_end)
        input_close(session);
}

static void take_input(ExecSession *session, Slice data) {
    if (session->input < 0 && session->terminal < 0)
        return;
    buf_add(&session->pending, data.data, data.len);
    if (session->pending.len > INPUT_MAX)
        websocket_pause(session->ws, true);
    if (session->input_watch)
        loop_fd_set(session->input_watch, LOOP_WRITABLE);
}

static void end_input(ExecSession *session) {
    session->input_end = true;
    if (session->input >= 0 && (!session->tty || session->attached))
        loop_fd_set(session->input_watch, LOOP_WRITABLE);
}

static void resize(ExecSession *session, Slice data) {
    _cleanup_json_ json_t *size = NULL;
    if (!session->tty || json_parse(data.data, data.len, NULL, 0, &size) < 0)
        return;
    session->window = (struct winsize){
        .ws_col = (unsigned short)CLAMP(json_int_at(size, 80, "Width"), (int64_t)1, (int64_t)10000),
        .ws_row = (unsigned short)CLAMP(json_int_at(size, 24, "Height"), (int64_t)1, (int64_t)10000)
    };
    if (session->attached && session->pod)
        agent_pod_resize(session->pod, session->attached, session->window.ws_col,
                         session->window.ws_row);
    else if (session->input >= 0)
        (void)!ioctl(session->input, TIOCSWINSZ, &session->window);
}

static void ws_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    UNUSED(ws);
    UNUSED(kind);
    ExecSession *session = ctx;
    if (!data.len)
        return;
    Slice rest = { data.data + 1, data.len - 1 };
    switch ((uint8_t)data.data[0]) {
    case CHANNEL_STDIN:
        take_input(session, rest);
        break;
    case CHANNEL_RESIZE:
        resize(session, rest);
        break;
    case CHANNEL_CLOSE:
        if (rest.len == 1 && rest.data[0] == CHANNEL_STDIN)
            end_input(session);
        break;
    default:
        break;
    }
}

static void ws_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    UNUSED(ws);
    UNUSED(code);
    UNUSED(reason);
    session_free(ctx);
}

static const WebSocketEvents ws_events = { .message = ws_message,
                                           .drained = ws_drained,
                                           .closed = ws_closed };

/* ---- the beginning ---- */

typedef struct ExecWant {
    bool input, output, error, tty;
} ExecWant;

static int watch_output(ExecSession *session, int index, int fd) {
    ExecOutput *output = &session->outputs[index];
    output->fd = fd;
    return loop_fd_new(session->endpoint->loop, fd, LOOP_READABLE, output_ready, output,
                       &output->watch);
}

static int watch_input(ExecSession *session, int fd) {
    session->input = fd;
    return loop_fd_new(session->endpoint->loop, fd, 0, input_ready, session, &session->input_watch);
}

/* The program's side of a terminal is in its container; ours comes when it has been made. */
static void take_terminal(ExecSession *session) {
    _cleanup_json_ json_t *nothing = NULL;
    int fds[PACKET_FDS];
    int r = session->terminal < 0 ? PACKET_NONE : packet_receive(session->terminal, &nothing, fds);
    if (r == PACKET_NONE)
        return;
    session->terminal_watch = loop_fd_free(session->terminal_watch);
    session->terminal = fd_close(session->terminal);
    if (r != 0)
        return; /* it could not be made: the keeper says why */
    for (int i = 1; i < PACKET_FDS; i++)
        fd_close(fds[i]);
    if (session->window.ws_col)
        (void)!ioctl(fds[0], TIOCSWINSZ, &session->window);
    r = watch_output(session, 0, fds[0]);
    if (r == 0)
        r = watch_input(session, fcntl(fds[0], F_DUPFD_CLOEXEC, 3));
    if (r < 0)
        websocket_close(session->ws, WEBSOCKET_INTERNAL, error_text(r));
    else if (session->pending.len)
        loop_fd_set(session->input_watch, LOOP_WRITABLE);
}

static void terminal_ready(void *ctx, unsigned events) {
    UNUSED(events);
    take_terminal(ctx);
}

static int await_terminal(ExecSession *session, int fds[static 3]) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_last("make a socket pair");
    session->terminal = pair[0];
    fds[0] = pair[1];
    return loop_fd_new(session->endpoint->loop, pair[0], LOOP_READABLE, terminal_ready, session,
                       &session->terminal_watch);
}

static int open_pipes(ExecSession *session, const ExecWant *want, int fds[static 3]) {
    int in[2], out[2], r = 0;
    if (want->input) {
        if (pipe2(in, O_CLOEXEC) < 0)
            return error_last("make a pipe");
        fds[0] = in[0];
        r = watch_input(session, in[1]);
    }
    for (int i = 1; r == 0 && i <= 2; i++) {
        if (!(i == 1 ? want->output : want->error))
            continue;
        if (pipe2(out, O_CLOEXEC) < 0)
            return error_last("make a pipe");
        fds[i] = out[1];
        r = watch_output(session, i - 1, out[0]);
    }
    return r;
}

/* `argv` NULL: the container's own program. */
static int start(ExecSession *session, AgentPod *pod, const char *container, json_t *argv,
                 const ExecWant *want) {
    int fds[3] = { -1, -1, -1 };
    int r = want->tty && argv ? await_terminal(session, fds) : open_pipes(session, want, fds);
    if (r == 0 && !argv)
        r = agent_pod_attach(pod, container, fds, program_ended, session, &session->id);
    else if (r == 0)
        r = agent_pod_exec(pod, container, argv, want->tty, fds, program_ended, session,
                           &session->id);
    if (r == 0)
        session->pod = pod;
    for (int i = 0; i < 3; i++)
        fd_close(fds[i]);
    return r;
}

static json_t *command_of(HttpRequest *request) {
    const HttpQuery *query = http_request_query(request);
    json_t *argv = json_array();
    for (size_t i = 0; i < query->len; i++)
        if (str_eq(query->items[i].name, "command"))
            json_array_append_new(argv, json_string(query->items[i].value));
    return argv;
}

static ExecSession *session_new(AgentEndpoint *endpoint, bool tty) {
    ExecSession *session = mem_new(ExecSession);
    *session = (ExecSession){ .base = { .free = session_drop },
                              .endpoint = endpoint,
                              .input = -1,
                              .tty = tty,
                              .terminal = -1 };
    for (int i = 0; i < 2; i++)
        session->outputs[i] =
            (ExecOutput){ .session = session, .channel = (uint8_t)(i + 1), .fd = -1 };
    session->linger = loop_timer_new(endpoint->loop, linger_over, session);
    list_push(&endpoint->sessions, &session->base.all);
    return session;
}

static ExecWant want_of(HttpRequest *request) {
    return (ExecWant){ .input = endpoint_flag(request, "input"),
                       .output = endpoint_flag(request, "output"),
                       .error = endpoint_flag(request, "error"),
                       .tty = endpoint_flag(request, "tty") };
}

static void serve(AgentEndpoint *endpoint, HttpRequest *request, AgentPod *pod,
                  const char *container, json_t *argv, const ExecWant *want) {
    if (!agent_pod_running(pod, container)) {
        http_respond_text(request, 500,
                          "unable to upgrade connection: container not found (\"%s\")", container);
        return;
    }
    ExecSession *session = session_new(endpoint, want->tty);
    session->attached = argv ? NULL : str_dup(container);
    int r = start(session, pod, container, argv, want);
    if (r < 0) {
        session_free(session);
        http_respond_error(request, r);
        return;
    }
    r = websocket_accept(request, protocols, NULL, &ws_events, session, &session->ws);
    if (r != 0)
        session_free(session);
}

void endpoint_exec(void *ctx, HttpRequest *request) {
    const char *container;
    AgentPod *pod = endpoint_pod(ctx, request, &container);
    if (!pod)
        return;
    const ExecWant want = want_of(request);
    _cleanup_json_ json_t *argv = command_of(request);
    if (json_array_size(argv))
        serve(ctx, request, pod, container, argv, &want);
    else
        http_respond_text(request, 400, "you must specify at least one command for the container");
}

void endpoint_attach(void *ctx, HttpRequest *request) {
    const char *container;
    AgentPod *pod = endpoint_pod(ctx, request, &container);
    if (!pod)
        return;
    ExecWant want = want_of(request);
    bool terminal = agent_pod_has_terminal(pod, container);
    want.tty &= terminal;
    want.error &= !terminal; /* all comes on one stream */
    serve(ctx, request, pod, container, NULL, &want);
}
