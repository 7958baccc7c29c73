/* SPDX-License-Identifier: Apache-2.0 */
#include "test/sim/proc.h"

#include <signal.h>
#include <stdlib.h>

#include "base/error.h"

/* A process's life: it connects to its raylet, says who it is, hears, ends. */

const char *proc_name(const Proc *proc) {
    static char text[2][NAME_MAX_LEN];
    static int turn;
    char *out = text[turn = 1 - turn];
    snprintf(out, NAME_MAX_LEN, "%s %d of node %d", proc->role == ROLE_DRIVER ? "driver" : "worker",
             (int)proc->pid, proc->machine->index);
    return out;
}

/* ---- out ---------------------------------------------------------------------------------------- */

static void rpc_out(void *context, const FrameHeader *header, const Buf *body) {
    Proc *proc = context;
    FrameHeader out = *header;
    out.source = proc->peer;
    if (proc->conn)
        frame_send(proc->conn, &out, body ? buf_slice(body) : (Slice){ 0 });
}

void proc_send(Proc *proc, PeerId to, MessageType type, const Buf *body) {
    FrameHeader header = { .type = (uint16_t)type, .source = proc->peer, .destination = to };
    if (proc->conn)
        frame_send(proc->conn, &header, body ? buf_slice(body) : (Slice){ 0 });
}

uint32_t proc_call(Proc *proc, PeerId to, MessageType type, const Buf *body, RpcDone done,
                   void *argument) {
    return rpc_call(proc->rpc, to, type, body, USEC_INFINITY, done, argument);
}

/* ---- the end ----------------------------------------------------------------------------------------- */

static void on_end(void *ctx) {
    Proc *proc = ctx;
    if (!proc->alive)
        return;
    note("%s ends (%d)", proc_name(proc), proc->status);
    proc->alive = false;
    sim->drivers_alive -= proc->role == ROLE_DRIVER;
    sim->deaths += proc->status != 0;
    sim->janitor &= !proc->janitor;
    net_die(proc->conn);
    proc->conn = frame_conn_free(proc->conn);
    if (proc->runtime)
        runtime_end(proc);
    work_end(proc);
    tasks_end(proc);
    rpc_free(TAKE(proc->rpc));
    proc->store = store_client_free(proc->store);
    loop_timer_stop(proc->timer);
    outside_exited(proc);
}

void proc_end(Proc *proc, int status) {
    if (!proc->alive || loop_task_armed(proc->end_task))
        return;
    proc->status = status;
    loop_task_arm(proc->end_task);
}

void proc_free(Proc *proc) {
    loop_task_free(proc->end_task);
    loop_timer_free(proc->timer);
    loop_timer_free(proc->fork_timer);
    loop_timer_free(proc->exit_timer);
    loop_timer_free(proc->status_timer);
    runtime_free(proc->runtime);
    free(proc);
}

/* ---- in ----------------------------------------------------------------------------------------------- */

static void say_goodbye(Proc *proc) {
    _cleanup_buf_ Buf body = { 0 };
    goodbye_encode(&(Goodbye){ .reason = SLICE("told to") }, &body);
    proc_send(proc, peer_raylet(proc->peer), MSG_GOODBYE, &body);
    stream_flush(frame_conn_stream(proc->conn));
    proc_end(proc, 0);
}

/* The door's descriptors are ours from here on. */
static void join_store(Proc *proc, FrameIn *frame, const Welcome *welcome) {
    StoreDoor door = { .disk_fd = -1,
                       .bytes = welcome->arena_bytes,
                       .disk_bytes = welcome->disk_bytes };
    if (!welcome->arena_bytes || frame->fd_count < 2)
        return;
    door.arena_fd = frame->fds[0];
    door.pins_fd = frame->fds[1];
    door.disk_fd = frame->fd_count > 2 ? frame->fds[2] : -1;
    for (size_t i = 0; i < frame->fd_count; i++)
        frame->fds[i] = -1;
    ASSERT(store_client_open(&door, &proc->store) == 0);
}

static void on_welcome(Proc *proc, FrameIn *frame, Arena *arena) {
    Welcome welcome;
    if (frame->header.type != MSG_WELCOME ||
        welcome_decode(&welcome, frame->body.data, frame->body.len, arena) < 0) {
        proc_end(proc, 1); /* a Status: it is not wanted */
        return;
    }
    proc->welcomed = true;
    proc->peer = welcome.peer;
    proc->job = welcome.job;
    proc->node = welcome.node;
    join_store(proc, frame, &welcome);
    if (proc->role == ROLE_DRIVER)
        driver_welcomed(proc);
}

static void on_peer_dead(Proc *proc, const PeerDead *dead) {
    rpc_peer_lost(proc->rpc, dead->peer);
    actors_cut_off(proc, dead);
    tasks_peer_dead(proc, dead);
}

/* Decodes into `message`, which must succeed: it comes from a daemon or a script. */
#define DECODE(decode, message)                                                                    \
    ASSERT(decode(message, frame->body.data, frame->body.len, arena) == 0)

static void on_message(Proc *proc, const FrameIn *frame, Arena *arena) {
    switch (frame->header.type) {
    case MSG_TASK_ASSIGN: {
        TaskAssign assign;
        DECODE(task_assign_decode, &assign);
        work_assign(proc, &assign);
        break;
    }
    case MSG_CALL: {
        Call call;
        DECODE(call_decode, &call);
        work_call(proc, &frame->header, &call);
        break;
    }
    case MSG_RESULT: {
        Result result;
        DECODE(result_decode, &result);
        tasks_result(proc, &result, frame->header.source);
        break;
    }
    case MSG_TAKEN_BACK: {
        TakenBack back;
        DECODE(taken_back_decode, &back);
        tasks_taken_back(proc, &back, frame->header.source);
        break;
    }
    case MSG_PEER_DEAD: {
        PeerDead dead;
        DECODE(peer_dead_decode, &dead);
        on_peer_dead(proc, &dead);
        break;
    }
    case MSG_ACTOR_INFO_REPLY: {
        ActorInfoReply reply;
        DECODE(actor_info_reply_decode, &reply);
        actors_news(proc, &reply.info);
        break;
    }
    case MSG_GROUP_INFO_REPLY: {
        GroupInfoReply reply;
        DECODE(group_info_reply_decode, &reply);
        groups_news(proc, &reply.info);
        break;
    }
    case MSG_SLAB_RECALL:
        objects_recall(proc);
        break;
    case MSG_WORKER_EXIT:
        if (proc->role == ROLE_WORKER)
            say_goodbye(proc);
        break;
    default:
        break; /* rings, log lines, metrics */
    }
}

static void on_frame(void *ctx, FrameConn *conn, FrameIn *frame) {
    Proc *proc = ctx;
    _cleanup_arena_ Arena arena = { 0 };
    if (loop_task_armed(proc->end_task))
        return;
    if (proc->runtime)
        runtime_frame(proc, frame);
    else if (!proc->welcomed)
        on_welcome(proc, frame, &arena);
    else if (frame->header.flags & FRAME_REPLY)
        rpc_reply(proc->rpc, &frame->header, frame->body.data);
    else
        on_message(proc, frame, &arena);
}

/* Without its raylet a process can do nothing. */
static void on_closed(void *ctx, FrameConn *conn, int r) {
    Proc *proc = ctx;
    if (proc->runtime)
        runtime_cut(proc);
    else
        proc_end(proc, 1);
}

static const FrameEvents proc_events = { .frame = on_frame, .closed = on_closed };

/* ---- the beginning --------------------------------------------------------------------------------------- */

void proc_dial(Proc *proc) {
    proc->conn = net_dial_local(proc->machine->socket, proc->pid, &proc_events, proc);
}

void proc_connect(Proc *proc) {
    proc_dial(proc);
    Hello hello = { .version_low = WIRE_VERSION_LOW,
                    .version_high = WIRE_VERSION_HIGH,
                    .role = (uint8_t)proc->role,
                    .pid = (uint32_t)proc->pid,
                    .worker = proc->id,
                    .startup_token = proc->token,
                    .job_config = SLICE("{}") };
    _cleanup_buf_ Buf body = { 0 };
    hello_encode(&hello, &body);
    FrameHeader header = { .type = MSG_HELLO, .flags = FRAME_CALL, .stream = 1 };
    frame_send(proc->conn, &header, buf_slice(&body));
}

static void on_timer(void *ctx) {
    Proc *proc = ctx;
    if (proc->alive && proc->runtime)
        runtime_begin(proc);
    else if (proc->alive && !proc->conn)
        proc_connect(proc);
    else if (proc->alive && proc->role == ROLE_DRIVER)
        driver_step(proc);
}

Proc *proc_new(Machine *machine, Role role) {
    Proc *proc = mem_new(Proc);
    proc->machine = machine;
    proc->life = machine->lives;
    proc->role = role;
    proc->alive = true;
    proc->pid = PID_FIRST + (pid_t)sim->procs.len;
    vec_push(&sim->procs, proc);
    id_random(&proc->id);
    id_source_init(&proc->ids);
    list_init(&proc->runs);
    list_init(&proc->tasks);
    list_init(&proc->holds);
    proc->rpc = rpc_new(rpc_out, proc);
    proc->end_task = loop_task_new(sim->loop, on_end, proc);
    proc->timer = loop_timer_new(sim->loop, on_timer, proc);
    proc->fork_timer = loop_timer_new(sim->loop, outside_forked, proc);
    proc->exit_timer = loop_timer_new(sim->loop, outside_exit_seen, proc);
    proc->status_timer = loop_timer_new(sim->loop, outside_status_told, proc);
    return proc;
}

Proc *proc_some(Role role) {
    uint32_t count = 0;
    VEC_EACH(proc, &sim->procs)
        count += (*proc)->alive && (*proc)->role == role;
    uint32_t at = count ? rnd(count) : 0;
    VEC_EACH(proc, &sim->procs)
        if ((*proc)->alive && (*proc)->role == role && at-- == 0)
            return *proc;
    return NULL;
}
