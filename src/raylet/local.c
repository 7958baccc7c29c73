/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/pidfd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/* Processes of this node that are connected to us: drivers, workers, job-runs. */

#define HELLO_TIMEOUT   (10 * USEC_PER_SEC)
#define JOB_ADD_TIMEOUT (60 * USEC_PER_SEC)
#define LINGER          (1 * USEC_PER_SEC)

enum {
    COMMAND_LINE_MAX = 64 << 10
};

Local *local_get(const Raylet *raylet, PeerId peer) {
    return map_get(&raylet->local_by_peer, &peer);
}

static void local_free(Local *local) {
    if (local->hello.sequence) /* gcs' answer is still to come */
        raylet_forget(local->raylet, local->hello.sequence);
    list_remove(&local->link);
    local->raylet->locals_len--;
    local->raylet->locals_waiting -= local->waits_for != 0;
    if (local->peer && map_get(&local->raylet->local_by_peer, &local->peer) == local)
        map_remove(&local->raylet->local_by_peer, &local->peer);
    rings_drop(local);
    map_done(&local->known);
    buf_done(&local->metrics);
    frame_conn_free(local->frames);
    loop_task_free(local->close_task);
    loop_child_free(local->exit);
    if (local->bell.page)
        doorbell_done(&local->bell);
    free(local->namespace_);
    free(local->config);
    free(local->submission);
    free(local);
}

void local_send(Local *local, MessageType type, const Buf *body) {
    FrameHeader header = { .type = (uint16_t)type,
                           .source = local->raylet->self,
                           .destination = local->peer };
    frame_send(local->frames, &header, body ? buf_slice(body) : (Slice){ 0 });
}

/* ---- death ---- */

static int32_t wait_status_code(int status) {
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* It said goodbye; a worker whose user's code asked for a bad exit status did not mean well. */
static bool ended_well(const Local *local) {
    return local->goodbye && (local->role != ROLE_WORKER || local->exit_code == 0);
}

static void tell_all(Local *local, const char *text) {
    Raylet *raylet = local->raylet;
    Worker *worker = local->worker;
    PeerDead dead = {
        .peer = local->peer,
        .worker_id = local->worker_id,
        .node = raylet->id,
        .text = slice_str(text),
        .intended = ended_well(local) || (worker && worker->intended),
        .role = (uint8_t)local->role,
        .pid = (uint32_t)local->pid,
        .oom = worker && worker->oom,
        .exit_code =
            worker && worker->have_status ? wait_status_code(worker->status) : local->exit_code,
    };
    _cleanup_buf_ Buf body = { 0 };
    peer_dead_encode(&dead, &body);
    upstream_peer_dead(raylet, &dead);
    locals_tell_dead(raylet, &dead, &body);
}

void local_gone(Local *local, const char *text) {
    Raylet *raylet = local->raylet;
    if (!local->peer || !local->welcomed) {
        if (local->peer && local->role == ROLE_DRIVER)
            tell_all(local, text); /* gcs has numbered its job, or will */
        local_free(local);
        return;
    }
    PeerId peer = local->peer;
    resend_forget(raylet, peer);
    locals_go_on(raylet, PEER_GCS);
    local->welcomed = false; /* it hears of nothing any more */
    if (local->worker)
        local->worker->local = NULL;
    rings_drop(local);
    tell_all(local, text);
    if (local->role == ROLE_DRIVER) {
        log_info("driver %d of job %u ended", (int)local->pid, job_id_number(&local->job));
        pool_on_job_finished(raylet, &local->job);
    }
    if (local->role == ROLE_JOB_RUN)
        jobrun_look_for_orphans(raylet);
    local_free(local);
    leases_requester_dead(raylet, peer);
    objects_leave(raylet, peer);
    objects_owner_dead(raylet, peer);
}

void local_on_goodbye(Raylet *raylet, RayletCall *call) {
    Goodbye message;
    RAYLET_DECODE(raylet, call, goodbye_decode, &message);
    if (!call->local)
        return;
    call->local->goodbye = true;
    call->local->exit_code = message.exit_code;
    if (call->local->worker && message.exit_code == 0)
        call->local->worker->intended = true;
}

/* ---- hello ---- */

static void close_later(void *ctx) {
    Local *local = ctx;
    frame_conn_free_later(TAKE(local->frames), LINGER);
    if (local->worker)
        worker_disconnected(local->worker);
    else
        local_gone(local, "Its connection was closed.");
}

void local_fail_hello(Local *local, StatusCode code, const char *text) {
    _cleanup_buf_ Buf body = { 0 };
    FrameHeader header = rpc_answer_status(&local->hello, code, text, &body);
    frame_send(local->frames, &header, buf_slice(&body));
    loop_task_arm(local->close_task);
}

static void welcome(Local *local) {
    Raylet *raylet = local->raylet;
    Welcome message = {
        .version = WIRE_VERSION_HIGH,
        .peer = local->peer,
        .node = raylet->id,
        .job = local->job,
        .session_dir = slice_str(raylet->session.dir),
        .session_name = slice_str(raylet->session.name),
        .node_ip = slice_str(raylet->node_ip),
        .gcs_address = slice_str(raylet->gcs_address),
        .dashboard_url = slice_str(raylet->dashboard_url),
        .cluster = raylet->cluster,
        .namespace = slice_str(local->namespace_),
        .raylet_socket = slice_str(raylet->socket_path),
        .settings = slice_str(raylet->settings),
        .node_name = slice_str(raylet->node_name),
        .metrics_port = net_address_port(&raylet->metrics_listen),
        .raylet_port = net_address_port(listener_address(raylet->peer_listener)),
        .hostname = slice_str(raylet->hostname),
    };
    int fds[5] = { local->bell.memfd, local->bell.eventfd };
    size_t count = local->bell.page ? 2 : 0;
    ObjectsDoor door = { .pins_fd = -1 };
    if (count)
        objects_join(raylet, local->peer, &door);
    _cleanup_close_ int pins = door.pins_fd;
    if (door.bytes) {
        message.arena_bytes = door.bytes;
        message.disk_bytes = door.disk_bytes;
        fds[count++] = door.arena_fd;
        fds[count++] = pins;
        if (door.disk_bytes)
            fds[count++] = door.disk_fd;
    }
    _cleanup_buf_ Buf body = { 0 };
    welcome_encode(&message, &body);
    FrameHeader header = rpc_answer_header(&local->hello, MSG_WELCOME, &body);
    header.source = raylet->self;
    header.destination = local->peer;
    int r = frame_send_fds(local->frames, &header, buf_slice(&body), fds, count);
    if (r < 0) {
        log_warn("a process could not be welcomed: %s", error_text(r));
        loop_task_arm(local->close_task);
        return;
    }
    local->welcomed = true;
    local->welcomed_wall = loop_wall_now(raylet->loop);
}

PeerId local_number(Raylet *raylet) {
    PeerId peer;
    do
        peer = raylet->self | ++raylet->last_number;
    while (peer_worker(peer) == 0 || local_get(raylet, peer));
    return peer;
}

static void set_peer(Local *local, PeerId peer) {
    local->peer = peer;
    map_put(&local->raylet->local_by_peer, &local->peer, local);
}

static void on_job_added(void *argument, const RpcReply *reply) {
    Local *local = argument;
    Raylet *raylet = local->raylet;
    local->hello.sequence = 0; /* the call has ended */
    if (reply->result == -ECANCELED)
        return;
    _cleanup_arena_ Arena arena = { 0 };
    JobAdded added;
    if (reply->result == 1) {
        _cleanup_free_ char *text = str_dup_slice(reply->status.text);
        local_fail_hello(local, (StatusCode)reply->status.code, text);
        return;
    }
    if (reply->result < 0 || job_added_decode(&added, reply->body, reply->len, &arena) < 0) {
        local_fail_hello(local, STATUS_CODE_TIMEOUT,
                         "the head did not answer: look at gcs's log in the session's folder");
        return;
    }
    local->job = added.job;
    free(local->namespace_);
    local->namespace_ = str_dup_slice(added.namespace);
    job_cache_learn(raylet, &local->job, local->peer, slice_str(local->config), added.namespace);
    log_info("driver %d is job %u", (int)local->pid, job_id_number(&local->job));
    welcome(local);
}

static void watch_exit(void *ctx, const LoopExit *end) {
    Local *local = ctx;
    UNUSED(end);
    local_gone(local, "The driver process has ended.");
}

/* A child forked from a driver may hold its socket open: the process's own end counts. */
static void watch_process(Local *local) {
    int pidfd = pidfd_open(local->pid, 0);
    if (pidfd < 0)
        return; /* gone already, or of another PID namespace: the connection's end tells */
    if (loop_child_new(local->raylet->loop, pidfd, watch_exit, local, &local->exit) < 0)
        close(pidfd);
}

/* The command line of a driver, as users see it in lists. */
static char *command_line(pid_t pid) {
    _cleanup_free_ char *path = str_printf("/proc/%d/cmdline", (int)pid);
    _cleanup_buf_ Buf text = { 0 };
    if (file_read(path, COMMAND_LINE_MAX, &text) < 0)
        return str_dup("");
    while (text.len && !text.data[text.len - 1])
        text.len--;
    for (size_t i = 0; i < text.len; i++)
        if (!text.data[i])
            text.data[i] = ' ';
    return buf_steal(&text);
}

static void hello_driver(Local *local, const Hello *hello) {
    Raylet *raylet = local->raylet;
    set_peer(local, local_number(raylet));
    local->worker_id = hello->worker;
    local->config = str_dup_slice(hello->job_config);
    local->submission = str_dup_slice(hello->submission);
    watch_process(local);
    _cleanup_free_ char *entrypoint = command_line(local->pid);
    JobAdd add = {
        .driver = local->peer,
        .driver_worker = hello->worker,
        .config = hello->job_config,
        .namespace = hello->namespace,
        .pid = (uint32_t)local->pid,
        .ip = slice_str(raylet->node_ip),
        .submission = hello->submission,
        .entrypoint = slice_str(entrypoint),
    };
    _cleanup_buf_ Buf body = { 0 };
    job_add_encode(&add, &body);
    local->hello.sequence =
        raylet_call(raylet, PEER_GCS, MSG_JOB_ADD, &body, JOB_ADD_TIMEOUT, on_job_added, local);
}

static void hello_worker(Local *local, const Hello *hello) {
    Worker *worker = pool_by_token(local->raylet, hello->startup_token);
    if (!worker || worker->local || !id_equal(&worker->id, &hello->worker)) {
        local_fail_hello(local, STATUS_CODE_DENIED, "this worker was not started by this raylet");
        return;
    }
    set_peer(local, local->raylet->self | worker->number);
    local->worker_id = worker->id;
    local->worker = worker;
    welcome(local);
    worker_connected(worker, local);
}

static bool token_right(const Raylet *raylet, Slice token) {
    return raylet->token.len == 0 || (token.len == raylet->token.len &&
                                      mem_equal_secret(token.data, raylet->token.data, token.len));
}

static void on_hello(Local *local, const FrameHeader *header, Slice body) {
    _cleanup_arena_ Arena arena = { 0 };
    Hello hello;
    int r = hello_decode(&hello, body.data, body.len, &arena);
    local->hello = *header;
    local->hello.sequence = 0;
    stream_set_deadline(frame_conn_stream(local->frames), USEC_INFINITY);
    if (r < 0) {
        local_fail_hello(local, STATUS_CODE_INVALID, error_text(r));
        return;
    }
    if (hello.version_low > WIRE_VERSION_HIGH || hello.version_high < WIRE_VERSION_LOW) {
        local_fail_hello(local, STATUS_CODE_UNSUPPORTED,
                         "this node runs another release: no protocol version in common");
        return;
    }
    if (hello.role == ROLE_NONE || hello.role > ROLE_AUTOSCALER) {
        local_fail_hello(local, STATUS_CODE_INVALID, "a process has to say what it is");
        return;
    }
    local->role = (Role)hello.role;
    if (local->role == ROLE_DRIVER || local->role == ROLE_WORKER) {
        r = doorbell_create(&local->bell);
        if (r < 0) {
            local_fail_hello(local, STATUS_CODE_INTERNAL, error_text(r));
            return;
        }
    }
    if (local->role == ROLE_WORKER) { /* its startup token says more than the cluster's */
        hello_worker(local, &hello);
        return;
    }
    if (!token_right(local->raylet, hello.token)) {
        local_fail_hello(local, STATUS_CODE_DENIED,
                         "the cluster's token is missing or wrong: set RAY_AUTH_TOKEN or "
                         "RAY_AUTH_TOKEN_PATH to the head's token");
        return;
    }
    if (local->role == ROLE_DRIVER) {
        hello_driver(local, &hello);
        return;
    }
    local->submission = str_dup_slice(hello.submission);
    set_peer(local, local_number(local->raylet));
    welcome(local);
}

/* ---- connections ---- */

static bool crowded(const Raylet *raylet, PeerId to, unsigned part) {
    return to == PEER_GCS ? upstream_crowded(raylet, part)
                          : peers_queued(raylet, to) >= RAYLET_CROWDED / part;
}

void local_wait_if_crowded(Local *local, PeerId destination) {
    PeerId to = peer_node(destination) ? peer_raylet(destination) : PEER_GCS;
    if (destination == 0 || local->waits_for || !crowded(local->raylet, to, 1))
        return;
    local->waits_for = to;
    local->raylet->locals_waiting++;
    frame_conn_pause(local->frames, true);
}

void locals_go_on(Raylet *raylet, PeerId to) {
    if (raylet->locals_waiting == 0 || crowded(raylet, to, 2))
        return;
    LIST_EACH(item, &raylet->locals) {
        Local *local = LIST_ITEM(item, Local, link);
        if (local->waits_for != to)
            continue;
        local->waits_for = 0;
        raylet->locals_waiting--;
        if (local->frames)
            frame_conn_pause(local->frames, false);
    }
}

static void on_frame(void *ctx, FrameConn *frames, FrameIn *frame) {
    Local *local = ctx;
    UNUSED(frames);
    if (!local->welcomed || link_is_own(frame->header.type)) {
        loop_task_arm(local->close_task);
        return;
    }
    frame->header.source = local->peer; /* nobody speaks for another */
    local_wait_if_crowded(local, frame->header.destination);
    local_knows(local, frame->header.destination);
    route_in(local->raylet, local, &frame->header, frame->body);
}

static void on_closed(void *ctx, FrameConn *frames, int r) {
    Local *local = ctx;
    UNUSED(frames);
    if (r == -EPROTO)
        log_warn("process %d broke the protocol: %s", (int)local->pid, error_text(r));
    Worker *worker = local->worker;
    if (worker)
        worker_disconnected(worker);
    else
        local_gone(local, "The process has ended.");
}

static const FrameEvents frame_events = { .frame = on_frame, .closed = on_closed };

static void on_first_frame(void *ctx, FrameConn *frames, FrameIn *frame) {
    Local *local = ctx;
    frame_conn_set_ctx(frames, &frame_events, local);
    on_hello(local, &frame->header, frame->body);
}

static const FrameEvents first_events = { .frame = on_first_frame,
                                          .closed = on_closed,
                                          .check = frame_check_first };

Local *local_new(Raylet *raylet, Stream *stream, pid_t pid) {
    Local *local = mem_new(Local);
    local->raylet = raylet;
    local->pid = pid;
    local->bell = (Doorbell){ .memfd = -1, .eventfd = -1 };
    local->close_task = loop_task_new(raylet->loop, close_later, local);
    map_init(&local->known, sizeof(PeerId));
    list_push(&raylet->locals, &local->link);
    raylet->locals_len++;
    stream_set_deadline(stream, loop_deadline(raylet->loop, HELLO_TIMEOUT));
    stream_set_output_marks(stream, 1 << 20, (size_t)2 << 30);
    local->frames = frame_conn_new(stream, &first_events, local);
    return local;
}

static void on_accept(void *ctx, Stream *stream) {
    Raylet *raylet = ctx;
    pid_t pid;
    int r = stream_peer_pid(stream, &pid);
    if (r < 0) {
        log_warn("a connection was refused: %s", error_text(r));
        stream_free(stream);
        return;
    }
    local_new(raylet, stream, pid);
}

int locals_listen(Raylet *raylet) {
    NetAddress address;
    int r = net_address_unix(raylet->socket_path, &address);
    if (r < 0)
        return r;
    return listener_new(raylet->loop, &address, RAYLET_LOCALS_MAX, on_accept, raylet,
                        &raylet->local_listener);
}

void locals_done(Raylet *raylet) {
    raylet->local_listener = listener_free(raylet->local_listener);
    LIST_EACH_SAFE(item, &raylet->locals)
        local_free(LIST_ITEM(item, Local, link));
    map_done(&raylet->local_by_peer);
}
