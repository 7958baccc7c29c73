/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_action.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "net/stream.h"

enum {
    OUTPUT_MAX = 10 * 1024
};

struct Action {
    ActionPlace place;
    const ActionSpec *spec;
    usec_t timeout;
    ActionFn *done;
    void *ctx;
    LoopTimer *deadline;
    LoopTask *finish;
    bool ok, ended;
    Buf text; /* what will be told */
    /* exec */
    int output;
    LoopFd *watch;
    /* http, tcp */
    Stream *stream;
    bool secure; /* TLS has been put on the stream */
    char *url;
};

/* `done` is always called from the loop, never from inside action_start(). */
static void finished(Action *action, bool ok) {
    if (action->ended)
        return;
    action->ended = true;
    action->ok = ok;
    loop_timer_stop(action->deadline);
    loop_task_arm(action->finish);
}

static void tell(void *ctx) {
    Action *action = ctx;
    action->done(action->ctx, action->ok, action->text.data ? action->text.data : "");
}

static void failed_text(Action *action, const char *format, ...) _printf_(2, 3);
static void failed_text(Action *action, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    buf_clear(&action->text);
    buf_add_str(&action->text, text);
    finished(action, false);
}

static void timed_out(void *ctx) {
    Action *action = ctx;
    if (action->spec->kind == PROBE_EXEC) {
        int r = keeper_exec_kill(action->place.keeper, action->place.exec_id);
        UNUSED(r); /* a keeper that is gone has killed it */
        failed_text(action, "command timed out after %llds",
                    (long long)(action->timeout / USEC_PER_SEC));
    } else if (action->spec->kind == PROBE_HTTP) {
        failed_text(action,
                    "Get \"%s\": context deadline exceeded (Client.Timeout exceeded while awaiting "
                    "headers)",
                    action->url);
    } else {
        failed_text(action, "dial tcp %s: i/o timeout", action->url);
    }
}

static void take_output(Action *action) {
    char chunk[4096];
    for (;;) {
        ssize_t n = read(action->output, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                action->watch = loop_fd_free(action->watch);
            return;
        }
        if (action->text.len < OUTPUT_MAX)
            buf_add(&action->text, chunk, MIN((size_t)n, OUTPUT_MAX - action->text.len));
    }
}

static void output_ready(void *ctx, unsigned events) {
    UNUSED(events);
    take_output(ctx);
}

void action_exec_ended(Action *action, int code, const char *error) {
    if (action->watch)
        take_output(action);
    if (error)
        failed_text(action, "%s", error);
    else
        finished(action, code == 0);
}

uint64_t action_exec_id(const Action *action) {
    return action->spec->kind == PROBE_EXEC ? action->place.exec_id : 0;
}

static int start_exec(Action *action) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_last("make a pipe");
    action->output = ends[0];
    int r = loop_fd_new(action->place.loop, ends[0], LOOP_READABLE, output_ready, action,
                        &action->watch);
    if (r == 0)
        r = keeper_exec(action->place.keeper, action->place.exec_id, action->place.container,
                        (json_t *)(uintptr_t)action->spec->command, false,
                        (int[]){ -1, ends[1], ends[1] });
    fd_close(ends[1]);
    return r;
}

static const char *target_host(const Action *action) {
    const ActionSpec *spec = action->spec;
    return !str_empty(spec->host) ? spec->host : action->place.pod_ip ? action->place.pod_ip : "";
}

static bool is_https(const ActionSpec *spec) {
    return str_eq_nocase(spec->scheme, "HTTPS");
}

static void send_request(Action *action) {
    const ActionSpec *spec = action->spec;
    _cleanup_buf_ Buf request = { 0 };
    bool host = false;
    buf_printf(&request, "GET %s%s HTTP/1.1\r\n", spec->path && spec->path[0] == '/' ? "" : "/",
               spec->path ? spec->path : "");
    size_t i;
    json_t *header;
    json_array_foreach((json_t *)(uintptr_t)spec->headers, i, header) {
        const char *name = json_str_at(header, "name"), *value = json_str_at(header, "value");
        if (!name || !value || strpbrk(name, "\r\n: ") || strpbrk(value, "\r\n"))
            continue;
        host |= str_eq_nocase(name, "host");
        buf_printf(&request, "%s: %s\r\n", name, value);
    }
    if (!host)
        buf_printf(&request, "Host: %s:%d\r\n", target_host(action), spec->port);
    buf_add_str(&request,
                "User-Agent: kube-probe/1.34\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    stream_write(action->stream, request.data, request.len);
}

/* The status line is all that counts. */
static void read_status(Action *action) {
    Slice input = stream_input(action->stream);
    const char *newline = memchr(input.data, '\n', input.len);
    char line[64] = { 0 };
    int status = 0;
    if (!newline && input.len < OUTPUT_MAX)
        return;
    memcpy(line, input.data, MIN(input.len, sizeof(line) - 1));
    if (sscanf(line, "HTTP/1.%*1[01] %3d", &status) != 1)
        failed_text(action, "Get \"%s\": malformed HTTP response", action->url);
    else if (status >= 200 && status < 400)
        finished(action, true);
    else
        failed_text(action, "HTTP probe failed with statuscode: %d", status);
}

/* As the kubelet: whoever answers is taken for the pod, whatever its certificate says. */
static void begin_tls(Action *action) {
    TlsOptions options = { .insecure = true };
    _cleanup_(tls_context_unrefp) TlsContext *tls = NULL;
    action->secure = true;
    int r = tls_context_new(&options, &tls);
    if (r == 0)
        r = stream_start_tls(action->stream, tls, target_host(action), action->timeout);
    if (r < 0)
        failed_text(action, "Get \"%s\": %s", action->url, error_text(r));
}

static void stream_event(void *ctx, Stream *stream, StreamEvent event) {
    Action *action = ctx;
    bool http = action->spec->kind == PROBE_HTTP;
    if (action->ended)
        return;
    if (event == STREAM_CONNECTED && !http)
        finished(action, true);
    else if (event == STREAM_CONNECTED && is_https(action->spec) && !action->secure)
        begin_tls(action);
    else if (event == STREAM_CONNECTED)
        send_request(action);
    else if (event == STREAM_DATA)
        read_status(action);
    else if (event == STREAM_EOF)
        failed_text(action, "Get \"%s\": EOF", action->url);
    else if (event == STREAM_FAILED && http)
        failed_text(action, "Get \"%s\": %s", action->url, stream_error_text(stream));
    else if (event == STREAM_FAILED)
        failed_text(action, "dial tcp %s: %s", action->url, stream_error_text(stream));
}

static int start_network(Action *action) {
    const ActionSpec *spec = action->spec;
    bool http = spec->kind == PROBE_HTTP;
    action->url =
        http ? str_printf("%s://%s:%d%s%s", is_https(spec) ? "https" : "http", target_host(action),
                          spec->port, spec->path && spec->path[0] == '/' ? "" : "/",
                          spec->path ? spec->path : "")
             : str_printf("%s:%d", target_host(action), spec->port);
    return stream_connect_host(action->place.loop, target_host(action), spec->port, action->timeout,
                               stream_event, action, &action->stream);
}

Action *action_start(const ActionPlace *place, const ActionSpec *spec, usec_t timeout,
                     ActionFn *done, void *ctx) {
    Action *action = mem_new(Action);
    *action = (Action){
        .place = *place, .spec = spec, .timeout = timeout, .done = done, .ctx = ctx, .output = -1
    };
    action->deadline = loop_timer_new(place->loop, timed_out, action);
    action->finish = loop_task_new(place->loop, tell, action);
    loop_timer_after(action->deadline, timeout);
    int r = spec->kind == PROBE_EXEC ? start_exec(action) : start_network(action);
    if (r < 0)
        failed_text(action, "%s", error_text(r));
    return action;
}

Action *action_free(Action *action) {
    if (!action)
        return NULL;
    if (!action->ended && action->spec->kind == PROBE_EXEC) {
        int r = keeper_exec_kill(action->place.keeper, action->place.exec_id);
        UNUSED(r);
    }
    loop_timer_free(action->deadline);
    loop_task_free(action->finish);
    loop_fd_free(action->watch);
    fd_close(action->output);
    stream_free(action->stream);
    buf_done(&action->text);
    mem_free(action->url);
    return mem_free(action);
}
