/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One node among peers that say anything in any order (raylet_world.h). The input is a row of steps: a
 * byte says what (below), then its operands.
 */

#include <fcntl.h>

#include "base/fuzz_input.h"
#include "base/log.h"
#include "base/wrap.h"
#include "raylet/raylet_world.h"

enum {
    STEPS_MAX = 200,
};

enum Step {
    STEP_CONNECT,      /* slot */
    STEP_CLOSE,        /* slot: the process's end of its socket */
    STEP_HELLO,        /* slot, role; a worker's is that of a forked one */
    STEP_FRAME,        /* slot, type, flags, destination, stream, length, body */
    STEP_GCS,          /* the same without a slot, from gcs; a LinkFrame: see step_link() */
    STEP_REMOTE,       /* the same, from another node's process */
    STEP_ANSWER,       /* to a call of ours: stream, 0: a Status, else: length, body */
    STEP_LEASE,        /* from, id, amounts, strategy, runtime_env */
    STEP_LEASE_RETURN, /* slot, id, kill */
    STEP_LEASE_CANCEL, /* slot, id */
    STEP_BLOCKED,      /* slot, bool */
    STEP_PEER_CONNECT, /* slot, other */
    STEP_WORKER_KILL,  /* slot, other, force */
    STEP_ACTOR_START,  /* id, restarts, amounts */
    STEP_ACTOR_RESULT, /* slot, id, failed */
    STEP_NODE,         /* which, state */
    STEP_NODE_DEAD,    /* which */
    STEP_PROCESS_DEAD, /* which, worker: on another node */
    STEP_JOB_FINISHED,
    STEP_FORKED,       /* which, 0: it failed */
    STEP_EXIT,         /* which, status */
    STEP_HELPER_END,   /* which, status */
    STEP_WAIT,         /* seconds; from 128 on with little memory left, 128 less */
    STEP_GCS_LOST,
    STEP_GCS_BACK,     /* how */
    STEPS,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing comes from there: to look each time would be most of the work. */
WRAPPED(int, uv_run, void *loop, int mode) {
    const int nowait = 2; /* UV_RUN_NOWAIT */
    return mode == nowait ? 0 : __real_uv_run(loop, mode);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static Worker *worker_at(uint8_t which) {
    size_t len = world->raylet->workers_len, at = 0;
    LIST_EACH(item, &world->raylet->workers)
        if (at++ == which % MAX(len, (size_t)1))
            return LIST_ITEM(item, Worker, link);
    return NULL;
}

static void say_hello(uint8_t slot, uint8_t role) {
    Hello hello = { .version_low = WIRE_VERSION_LOW,
                    .version_high = WIRE_VERSION_HIGH,
                    .role = role % 10,
                    .job_config = SLICE("{}") };
    Worker *worker = worker_at(role / 10);
    if (hello.role == ROLE_WORKER && worker) {
        hello.startup_token = worker->token;
        hello.worker = worker->id;
    }
    _cleanup_buf_ Buf body = { 0 };
    hello_encode(&hello, &body);
    from_anyone(slot & 0x7f, MSG_HELLO, true, &body);
}

static LeaseRequest lease_request(Input *in) {
    static Pair label;
    uint8_t id = take(in), wants = take(in), strategy = take(in), env = take(in);
    label = (Pair){ SLICE("k"), strategy & 0x40 ? SLICE("!in(a,b)") : SLICE("v") };
    LeaseRequest request = {
        .lease = NAMED(LeaseId, id),
        .job = strategy & 0x80 ? NAMED(JobId, 1) : the_job(),
        .strategy = { .kind = strategy % 5,
                      .node = *node_named(strategy >> 3 & 3),
                      .soft = strategy & 0x20,
                      .labels = &label,
                      .labels_len = strategy & 0x40 ? 1 : 0 },
        .runtime_env = env == 1   ? SLICE("{\"env_vars\":{\"A\":\"b\"}}")
                       : env == 2 ? SLICE("{\"working_dir\":\"x\"}")
                       : env == 3 ? SLICE("{")
                                  : SLICE(""),
        .spilled = env >> 6,
        .name = SLICE("f"),
    };
    request.resources = amounts(wants, &request.resources_len);
    return request;
}

static void step_lease(Input *in, uint8_t who) {
    LeaseRequest request = lease_request(in);
    request.requester = who & 0x80 ? remote_process(who) : 0;
    _cleanup_buf_ Buf body = { 0 };
    lease_request_encode(&request, &body);
    from_anyone(who, MSG_LEASE_REQUEST, true, &body);
}

static void step_actor(Input *in) {
    Call call = { .task = NAMED(TaskId, take(in)) };
    ActorStart start = { .restarts = take(in) % 4 };
    _cleanup_buf_ Buf inner = { 0 }, body = { 0 };
    call_encode(&call, &inner);
    start.lease = lease_request(in);
    start.lease.actor = start.actor = NAMED(ActorId, 1);
    start.call = buf_slice(&inner);
    actor_start_encode(&start, &body);
    say_gcs(MSG_ACTOR_START, true, &body);
}

static void step_result(Input *in, uint8_t slot) {
    Result result = { .task = NAMED(TaskId, take(in)) };
    Value value = { .kind = take(in) % 3 };
    result.values = &value;
    result.values_len = 1;
    _cleanup_buf_ Buf body = { 0 };
    result_encode(&result, &body);
    from_anyone(slot & 0x7f, MSG_RESULT, false, &body);
}

static void step_node(Input *in) {
    uint8_t which = take(in) % 2, state = take(in);
    NodeInfo info = { .node = *node_named(2 + which),
                      .index = (uint16_t)(2 + which),
                      .incarnation = 1,
                      .state = state % 4,
                      .address = SLICE("10.0.0.2:1"),
                      .ip = SLICE("10.0.0.2") };
    info.total = info.available = amounts(state, &info.total_len);
    info.available_len = info.total_len;
    NodeView view = { .nodes = &info, .nodes_len = 1 };
    _cleanup_buf_ Buf body = { 0 };
    node_view_encode(&view, &body);
    say_gcs(MSG_NODE_VIEW, false, &body);
}

static void step_dead(Input *in, bool whole_node) {
    PeerDead dead = { .peer = remote_process(take(in)), .whole_node = whole_node };
    _cleanup_buf_ Buf body = { 0 };
    peer_dead_encode(&dead, &body);
    say_gcs(MSG_PEER_DEAD, false, &body);
}

/* Another node through gcs: which, the inner type, its flags, the way's name (0: the one that is), what
 * it says of the link, body. */
static void step_link(Input *in) {
    PeerId from = peer_raylet(remote_process(take(in)));
    uint8_t type = take(in), flags = take(in), name = take(in), say = take(in);
    const Remote *remote = peers_of(world->raylet, from);
    LinkHello ours = remote ? link_hello(remote->link) : (LinkHello){ 0 };
    FrameHeader inner = { .type = type,
                          .flags = flags & (FRAME_REPLY | FRAME_ERROR | FRAME_CALL),
                          .sequence = say ? say : (uint32_t)ours.received + 1,
                          .source = from | (flags >> 6),
                          .destination = world->raylet->self };
    _cleanup_buf_ Buf body = { 0 }, packed = { 0 }, outer = { 0 };
    if (type == MSG_HELLO)
        hello_encode(&(Hello){ .link = 1 + (flags & 8),
                               .link_other = ours.id + (flags & 16),
                               .link_received = say },
                     &body);
    else if (type == MSG_WELCOME)
        welcome_encode(&(Welcome){ .link = 1 + (flags & 8), .link_received = say }, &body);
    else {
        Slice rest = take_slice(in);
        buf_add(&body, rest.data, rest.len);
    }
    inner.length = (uint32_t)body.len + (flags & 32);
    buf_add(&packed, &inner, sizeof(inner));
    buf_add(&packed, body.data, body.len);
    link_frame_encode(&(LinkFrame){ .frame = buf_slice(&packed) }, &outer);
    FrameHeader header = { .type = MSG_LINK_FRAME,
                           .stream = name || !remote ? name : remote->way_name,
                           .sequence = world->gcs_sent + 1,
                           .source = from,
                           .destination = world->raylet->self };
    if (!world->gcs_there || !world->raylet->gcs.registered)
        return;
    world->gcs_sent++;
    frame_from_gcs(&header, buf_slice(&outer));
}

static void step_frame(Input *in, enum Step from) {
    uint8_t who = from == STEP_GCS ? 0 : take(in), type = take(in);
    if (from == STEP_GCS && type == MSG_LINK_FRAME) {
        step_link(in);
        return;
    }
    uint8_t flags = take(in);
    FrameHeader header = { .type = type,
                           .flags = flags & (FRAME_REPLY | FRAME_ERROR | FRAME_CALL),
                           .destination = flags & 0x80 ? someone(take(in)) : world->raylet->self,
                           .stream = take(in) };
    header.sequence = header.stream;
    Slice body = take_slice(in);
    if (from == STEP_GCS)
        from_gcs(&header, body);
    else if (from == STEP_REMOTE)
        from_remote(who, &header, body);
    else
        from_local(who % LOCALS, &header, body);
}

static void step_answer(Input *in) {
    FrameHeader header = { .flags = FRAME_REPLY,
                           .stream = take(in),
                           .destination = world->raylet->self };
    uint8_t what = take(in);
    _cleanup_buf_ Buf body = { 0 };
    if (what == 0) {
        header.type = MSG_STATUS;
        header.flags |= FRAME_ERROR;
        status_encode(&(Status){ .code = take(in) % 16, .text = SLICE("no") }, &body);
        from_gcs(&header, buf_slice(&body));
    } else if (what == MSG_JOB_ADDED) {
        header.type = what;
        job_added_encode(&(JobAdded){ .job = NAMED(JobId, take(in)) }, &body);
        from_gcs(&header, buf_slice(&body));
    } else {
        header.type = what;
        from_remote(take(in), &header, take_slice(in));
    }
}

static void step_process(Input *in, enum Step what) {
    uint8_t which = take(in), how = take(in);
    if (what == STEP_FORKED) {
        Worker *worker = worker_at(which);
        if (worker && worker->state == WORKER_FORKING && how)
            worker_forked(worker, 1000000 + which, open("/dev/null", O_RDONLY | O_CLOEXEC));
        else if (worker && worker->state == WORKER_FORKING)
            worker_fork_failed(worker, "so it is");
    } else if (what == STEP_EXIT) {
        LoopChild *child = world->children[which % CHILDREN_MAX];
        if (child && !child->gone) {
            child->gone = true;
            child->fn(child->ctx, &(LoopExit){ .known = true, .code = how });
        }
    } else {
        Helper *helper = world->helpers[which % HELPERS_MAX];
        Slice out = how & 1 ? SLICE("{\"holds\":[]}") : SLICE("{\"error\":\"no\"}");
        if (helper)
            helper->done(helper->ctx, how >> 1, out, SLICE("so it is"));
    }
    world_run(0);
}

static void step_small(Input *in, enum Step what) {
    uint8_t who = take(in), a = take(in), b = take(in);
    _cleanup_buf_ Buf body = { 0 };
    switch (what) {
    case STEP_LEASE_RETURN:
        lease_return_encode(&(LeaseReturn){ .lease = NAMED(LeaseId, a), .kill = b & 1 }, &body);
        from_anyone(who, MSG_LEASE_RETURN, false, &body);
        break;
    case STEP_LEASE_CANCEL:
        lease_cancel_encode(&(LeaseCancel){ .lease = NAMED(LeaseId, a) }, &body);
        from_anyone(who, MSG_LEASE_CANCEL, false, &body);
        break;
    case STEP_BLOCKED:
        blocked_encode(&(Blocked){ .blocked = a & 1 }, &body);
        from_anyone(who, MSG_BLOCKED, false, &body);
        break;
    case STEP_PEER_CONNECT:
        peer_connect_encode(&(PeerConnect){ .peer = someone(a) }, &body);
        from_anyone(who, MSG_PEER_CONNECT, true, &body);
        break;
    default:
        worker_kill_encode(&(WorkerKill){ .peer = someone(a), .force = b & 1 }, &body);
        from_anyone(who, MSG_WORKER_KILL, false, &body);
    }
}

static void step(Input *in) {
    enum Step what = take(in) % STEPS;
    _cleanup_buf_ Buf body = { 0 };
    switch (what) {
    case STEP_CONNECT:
        connect_process(take(in) % LOCALS);
        break;
    case STEP_CLOSE: {
        unsigned slot = take(in) % LOCALS;
        world->process[slot] = fuzz_stream_end(world->process[slot]);
        world_run(0);
        break;
    }
    case STEP_HELLO: {
        uint8_t slot = take(in);
        say_hello(slot, take(in));
        break;
    }
    case STEP_FRAME:
    case STEP_GCS:
    case STEP_REMOTE:
        step_frame(in, what);
        break;
    case STEP_ANSWER:
        step_answer(in);
        break;
    case STEP_LEASE:
        step_lease(in, take(in));
        break;
    case STEP_ACTOR_START:
        step_actor(in);
        break;
    case STEP_ACTOR_RESULT:
        step_result(in, take(in));
        break;
    case STEP_NODE:
        step_node(in);
        break;
    case STEP_NODE_DEAD:
    case STEP_PROCESS_DEAD:
        step_dead(in, what == STEP_NODE_DEAD);
        break;
    case STEP_JOB_FINISHED:
        job_finished_encode(&(JobFinished){ .job = the_job() }, &body);
        say_gcs(MSG_JOB_FINISHED, false, &body);
        break;
    case STEP_FORKED:
    case STEP_EXIT:
    case STEP_HELPER_END:
        step_process(in, what);
        break;
    case STEP_WAIT: {
        uint8_t seconds = take(in);
        world->memory_short = seconds & 0x80;
        world_run((seconds & 0x7f) * USEC_PER_SEC);
        world->memory_short = false;
        break;
    }
    case STEP_GCS_LOST:
        lose_gcs();
        break;
    case STEP_GCS_BACK:
        connect_gcs(take(in));
        break;
    default:
        step_small(in, what);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    log_setup("fuzz", (LogLevel)(LOG_ERROR + 1), false);
    world = fuzz_world_begin(&raylet_world);
    Input in = { data, size };
    for (int i = 0; i < STEPS_MAX && in.size > 0 && !world->failed; i++) {
        step(&in);
        world_check();
    }
    fuzz_world_end(&raylet_world, world);
    return 0;
}
