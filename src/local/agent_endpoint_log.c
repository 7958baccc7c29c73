/* SPDX-License-Identifier: Apache-2.0 */

/* Logs of a container: what there is, and with `follow` what comes until it ends. */

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "local/agent_endpoint_private.h"
#include "local/agent_file.h"
#include "local/agent_log.h"

enum {
    CHUNK = 64 * 1024,
    TAIL_MAX = 12 * 1024 * 1024 /* a log file is rotated before it is that long */
};

typedef struct LogSession {
    EndpointSession base;
    AgentEndpoint *endpoint;
    HttpRequest *request;
    char *path, *dir;
    int fd, notify;
    LoopFd *watch;
    LogReader reader;
    bool follow;
} LogSession;

static void session_free(LogSession *session) {
    list_remove(&session->base.all);
    loop_fd_free(session->watch);
    fd_close(session->notify);
    fd_close(session->fd);
    log_reader_done(&session->reader);
    mem_free(session->path);
    mem_free(session->dir);
    mem_free(session);
}

static void session_drop(EndpointSession *base) {
    LogSession *session = CONTAINER_OF(base, LogSession, base);
    http_response_end(session->request);
    session_free(session);
}

static void session_end(LogSession *session) {
    HttpRequest *request = session->request;
    session_free(session);
    http_response_end(request);
}

/* The keeper replaces state.json when the container has ended and its output is written. */
static bool container_over(const LogSession *session) {
    _cleanup_free_ char *path = str_printf("%s/state.json", session->dir);
    _cleanup_json_ json_t *state = NULL;
    if (state_read(path, &state) < 0)
        return access(session->dir, F_OK) < 0;
    return str_eq(json_str_at(state, "state"), "exited");
}

/* After a rotation the name leads to a new file; the old one was read to its end before. */
static bool reopen(LogSession *session) {
    struct stat old, now;
    if (fstat(session->fd, &old) < 0 || stat(session->path, &now) < 0 || old.st_ino == now.st_ino)
        return false;
    int fd = open(session->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    fd_close(session->fd);
    session->fd = fd;
    return true;
}

/* Sends what there is. False once nothing more is wanted. */
static bool send_more(LogSession *session) {
    char chunk[CHUNK];
    _cleanup_buf_ Buf out = { 0 };
    while (!http_response_congested(session->request)) {
        ssize_t n = read(session->fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (reopen(session))
                continue;
            return true;
        }
        int enough = log_reader_feed(&session->reader, (Slice){ chunk, (size_t)n }, &out);
        if (out.len)
            http_response_write(session->request, buf_slice(&out));
        buf_clear(&out);
        if (enough)
            return false;
    }
    return true;
}

/* Whether it is over is asked before the last read, so that nothing written before is missed. */
static void advance(LogSession *session) {
    bool over = !session->follow || container_over(session);
    bool more = send_more(session);
    if (http_request_gone(session->request) || !more ||
        (over && !http_response_congested(session->request)))
        session_end(session);
}

static void notified(void *ctx, unsigned events) {
    UNUSED(events);
    LogSession *session = ctx;
    char ignored[4096];
    while (read(session->notify, ignored, sizeof(ignored)) > 0)
        ;
    advance(session);
}

static void drained(void *ctx) {
    advance(ctx);
}

static void gone(void *ctx) {
    session_end(ctx);
}

static int watch_folder(LogSession *session) {
    session->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (session->notify < 0 ||
        inotify_add_watch(session->notify, session->dir,
                          IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF) < 0)
        return error_last("watch %s", session->dir);
    return loop_fd_new(session->endpoint->loop, session->notify, LOOP_READABLE, notified, session,
                       &session->watch);
}

static int64_t number(HttpRequest *request, const char *name, int64_t otherwise) {
    const char *text = http_query_get(http_request_query(request), name);
    int64_t value;
    return text && str_to_i64(text, &value) == 0 && value >= 0 ? value : otherwise;
}

static LogQuery parse_query(HttpRequest *request) {
    LogQuery query = { .tail_lines = number(request, "tailLines", -1),
                       .limit_bytes = number(request, "limitBytes", -1),
                       .timestamps = endpoint_flag(request, "timestamps") };
    const char *since = http_query_get(http_request_query(request), "sinceTime");
    int64_t seconds = number(request, "sinceSeconds", 0);
    usec_t wall;
    if (since && time_parse_rfc3339(since, &wall) == 0)
        query.since = wall;
    else if (seconds)
        query.since = loop_wall_now(http_request_loop(request)) - seconds * USEC_PER_SEC;
    return query;
}

/* Puts the file where the last lines begin. */
static int seek_tail(LogSession *session, int64_t lines) {
    if (lines < 0)
        return 0;
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read(session->path, TAIL_MAX, &text);
    if (r < 0)
        return r;
    size_t start = log_tail_start(buf_slice(&text), lines);
    return lseek(session->fd, (off_t)start, SEEK_SET) < 0 ? error_last("seek %s", session->path)
                                                          : 0;
}

static int session_open_log(LogSession *session, const LogQuery *query) {
    session->fd = open(session->path, O_RDONLY | O_CLOEXEC);
    if (session->fd < 0)
        return error_last("open the log");
    log_reader_init(&session->reader, query);
    int r = seek_tail(session, query->tail_lines);
    return r == 0 && session->follow ? watch_folder(session) : r;
}

static void refuse(HttpRequest *request, const AgentPod *pod, const char *container,
                   bool previous) {
    const char *name = agent_pod_def(pod)->name;
    if (previous)
        http_respond_text(request, 400,
                          "previous terminated container \"%s\" in pod \"%s\" not found", container,
                          name);
    else
        http_respond_text(request, 400,
                          "container \"%s\" in pod \"%s\" is waiting to start: ContainerCreating",
                          container, name);
}

void endpoint_logs(void *ctx, HttpRequest *request) {
    AgentEndpoint *endpoint = ctx;
    const char *container;
    AgentPod *pod = endpoint_pod(endpoint, request, &container);
    if (!pod)
        return;
    bool previous = endpoint_flag(request, "previous");
    _cleanup_free_ char *path = agent_pod_log(pod, container, previous);
    if (!path || access(path, R_OK) < 0) {
        refuse(request, pod, container, previous);
        return;
    }
    LogQuery query = parse_query(request);
    LogSession *session = mem_new(LogSession);
    *session = (LogSession){ .base = { .free = session_drop },
                             .endpoint = endpoint,
                             .request = request,
                             .fd = -1,
                             .notify = -1,
                             .follow = endpoint_flag(request, "follow") && !previous };
    list_push(&endpoint->sessions, &session->base.all);
    session->dir = str_dup_slice((Slice){ path, (size_t)(strrchr(path, '/') - path) });
    session->path = TAKE(path);
    int r = session_open_log(session, &query);
    if (r < 0) {
        http_respond_error(request, r);
        session_free(session);
        return;
    }
    http_request_on_gone(request, gone, session);
    http_response_on_drain(request, drained, session);
    http_response_start(request, 200, "text/plain", -1);
    advance(session);
}
