/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One node among peers that say anything in any order. The input is a row of steps: a byte says
 * what (below), then its operands. Processes are streams in memory whose other end nobody reads
 * (raylet_fuzz_stream.c); what the node would start or dial outside (link_args: --wrap) is a list
 * here, and ends when the input says so. Time is virtual.
 */

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/fuzz_world.h"
#include "base/log.h"
#include "host/memory.h"
#include "model/ids.h"
#include "raylet/objects_private.h"
#include "raylet/raylet_fuzz_stream.h"
#include "raylet/raylet_private.h"
#include "wire/messages.h"

enum {
    LOCALS = 6,
    CHILDREN_MAX = 64,
    HELPERS_MAX = 8,
    STEPS_MAX = 200,
    STORE_BYTES = 4 << 20,
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

/* ---- the outside ------------------------------------------------------------------------- */

struct LoopChild {
    LoopChildFn *fn;
    void *ctx;
    bool gone;
};
struct Helper {
    HelperDone *done;
    void *ctx;
};

typedef struct World {
    Loop *loop;
    Raylet *raylet;
    Stream *process[LOCALS]; /* the other ends of the locals' streams */
    Local *local[LOCALS];
    Stream *gcs;             /* the other end of gcs's */
    uint64_t gcs_name;       /* of its end of the link */
    uint32_t gcs_sent;       /* on it */
    LoopChild *children[CHILDREN_MAX];
    Helper *helpers[HELPERS_MAX];
    bool gcs_there, failed, memory_short;
} World;

static World *world; /* this input's */

#define WRAPPED(type, name, ...)                                                                   \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

WRAPPED(int, loop_child_new, Loop *loop, int pidfd, LoopChildFn *fn, void *ctx, LoopChild **ret) {
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (world->children[i])
            continue;
        fd_close(pidfd);
        *ret = world->children[i] = mem_new(LoopChild);
        **ret = (LoopChild){ fn, ctx };
        return 0;
    }
    return error_origin(-EMFILE, "enough children");
}

WRAPPED(LoopChild *, loop_child_free, LoopChild *child) {
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        if (world->children[i] == child)
            world->children[i] = NULL;
    return mem_free(child);
}

WRAPPED(int, loop_child_kill, LoopChild *child, int signo) {
    return 0;
}

WRAPPED(bool, loop_child_gone, const LoopChild *child) {
    return child->gone;
}

WRAPPED(int, helper_start, Raylet *raylet, char *const *argv, Slice input, HelperDone *done,
        void *ctx, Helper **ret) {
    for (size_t i = 0; i < HELPERS_MAX; i++) {
        if (world->helpers[i])
            continue;
        *ret = world->helpers[i] = mem_new(Helper);
        **ret = (Helper){ done, ctx };
        return 0;
    }
    return error_origin(-EAGAIN, "enough helpers");
}

WRAPPED(Helper *, helper_free, Helper *helper) {
    for (size_t i = 0; i < HELPERS_MAX; i++)
        if (world->helpers[i] == helper)
            world->helpers[i] = NULL;
    return mem_free(helper);
}

WRAPPED(int, zygote_get, Raylet *raylet, const WorkEnv *env, Zygote **ret) {
    *ret = NULL;
    return 0;
}

WRAPPED(int, zygote_fork, Zygote *zygote, Worker *worker, int out_fd, int err_fd) {
    return 0;
}

WRAPPED(int, native_start, const Worker *worker, int out_fd, int err_fd, Child *ret_child) {
    *ret_child = (Child){ .pid = INT_MAX, .pidfd = -1 }; /* nobody: it is only counted */
    return 0;
}

WRAPPED(int, logfile_new, Raylet *raylet, const WorkerId *id, bool is_err, LogFile **ret, int *fd) {
    *ret = NULL;
    *fd = -1;
    return 0;
}

WRAPPED(void, logfile_assign, LogFile *file, const JobId *job, PeerId driver, pid_t pid,
        const char *name) {
}

WRAPPED(LogFile *, logfile_free, LogFile *file) {
    return NULL;
}

/* gcs, when the input says that it is there. */
WRAPPED(int, stream_connect_host, Loop *loop, const char *host, uint16_t port, usec_t timeout,
        StreamFn *fn, void *ctx, Stream **ret) {
    if (!world->gcs_there)
        return error_origin(-ENETUNREACH, "nothing is dialled");
    fuzz_stream_end(world->gcs);
    *ret = world->gcs = fuzz_stream_new(loop, fn, ctx);
    return 0;
}

WRAPPED(int, host_memory, HostMemory *ret_memory) {
    *ret_memory = (HostMemory){ .limit = 100, .used = world->memory_short ? 99 : 1 };
    return 0;
}

WRAPPED(uint64_t, host_memory_private, pid_t pid) {
    return 1;
}

/* ---- the input ----------------------------------------------------------------------------- */

typedef struct Input {
    const uint8_t *data;
    size_t size;
} Input;

static uint8_t take(Input *in) {
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->data++;
}

static Slice take_slice(Input *in) {
    size_t len = take(in);
    len = MIN(len, in->size);
    Slice slice = { (const char *)in->data, len };
    in->data += len;
    in->size -= len;
    return slice;
}

#define NAMED(Type, number)                                                                        \
    ({                                                                                             \
        Type id_;                                                                                  \
        memset(&id_, 1 + (number) % 8, sizeof(id_));                                               \
        id_;                                                                                       \
    })

static const NodeId *node_named(unsigned number) {
    static NodeId id;
    id = NAMED(NodeId, number);
    return &id;
}

/* Processes of two other nodes. */
static PeerId remote_process(uint8_t which) {
    return peer_make((uint16_t)(2 + which % 2), 1, which >> 4);
}

static JobId the_job(void) {
    return NAMED(JobId, 0);
}

/* Anybody who can be addressed. */
static PeerId someone(uint8_t which) {
    Local *local = world->local[which % LOCALS];
    if (which & 0x80)
        return which & 0x40 ? remote_process(which & 0x3f) : PEER_GCS;
    if (which & 0x40)
        return world->raylet->self | (which & 0x3f);
    return local ? local->peer : world->raylet->self;
}

static Resource *amounts(uint8_t from, size_t *ret_len) {
    static Resource list[2];
    list[0] = (Resource){ SLICE("CPU"), (from & 15) * 5000 };
    list[1] = (Resource){ SLICE("GPU"), (from >> 4) * 5000 };
    *ret_len = 2;
    return list;
}

/* ---- peers --------------------------------------------------------------------------------- */

/* Slots whose process the node has forgotten are free again. */
static void look_at_locals(void) {
    for (size_t i = 0; i < LOCALS; i++) {
        bool there = false;
        LIST_EACH(item, &world->raylet->locals)
            there |= LIST_ITEM(item, Local, link) == world->local[i];
        if (!there)
            world->local[i] = NULL;
    }
}

static void run(usec_t for_time) {
    loop_run_until(world->loop, loop_deadline(world->loop, for_time));
    look_at_locals();
}

static void connect_process(unsigned slot) {
    if (world->local[slot])
        return;
    fuzz_stream_end(world->process[slot]);
    world->process[slot] = fuzz_stream_new(world->loop, NULL, NULL);
    world->local[slot] = local_new(world->raylet, world->process[slot], getpid());
}

/* As it would come through the socket; that way itself is src/net/frame_fuzz.c's. */
static void from_local(unsigned slot, const FrameHeader *header, Slice body) {
    uint8_t bytes[FRAME_HEADER_SIZE];
    FrameHeader out = *header;
    out.length = (uint32_t)body.len;
    frame_pack(&out, bytes);
    if (!world->process[slot])
        return;
    fuzz_stream_feed(world->process[slot], bytes, sizeof(bytes));
    fuzz_stream_feed(world->process[slot], body.data, body.len);
    run(0);
}

static void gcs_says(const FrameHeader *header, Slice body) {
    uint8_t bytes[FRAME_HEADER_SIZE];
    FrameHeader out = *header;
    out.length = (uint32_t)body.len;
    out.source = PEER_GCS;
    frame_pack(&out, bytes);
    fuzz_stream_feed(world->gcs, bytes, sizeof(bytes));
    fuzz_stream_feed(world->gcs, body.data, body.len);
    run(0);
}

static void from_gcs(const FrameHeader *header, Slice body) {
    FrameHeader in = *header;
    in.length = (uint32_t)body.len;
    if (!world->raylet->gcs.registered || !world->gcs_there || frame_check(&in) < 0)
        return;
    if (in.type != MSG_LINK_ACK) /* else its sequence is the input's */
        in.sequence = ++world->gcs_sent;
    gcs_says(&in, body);
}

static void lose_gcs(void) {
    world->gcs_there = false;
    world->gcs = fuzz_stream_end(world->gcs);
    run(0);
}

/* Bits of `how`: 1 another process than before, 2 it has all that was sent, 4 a node that was
 * forgotten, 8 and more: it says that it has so many frames. */
static void connect_gcs(uint8_t how) {
    Raylet *raylet = world->raylet;
    if (world->gcs_there)
        return;
    world->gcs_there = true;
    loop_timer_at(raylet->gcs.timer, 0);
    run(0);
    if (how & 1)
        world->gcs_name++;
    Welcome welcome = { .version = WIRE_VERSION_HIGH, .link = world->gcs_name };
    welcome.link_other = how & 1 ? 0 : link_hello(raylet->gcs.link).id;
    if (!(how & 1))
        welcome.link_received = how >= 8  ? how >> 3
                                : how & 2 ? link_sent(raylet->gcs.link)
                                          : link_acknowledged(raylet->gcs.link);
    _cleanup_buf_ Buf body = { 0 };
    welcome_encode(&welcome, &body);
    gcs_says(&(FrameHeader){ .type = MSG_WELCOME, .flags = FRAME_REPLY }, buf_slice(&body));
    world->gcs_sent = (uint32_t)link_hello(raylet->gcs.link).received;
    if (raylet->gcs.registered || world->failed)
        return;
    NodeRegistered registered = { .index = 1, .incarnation = how & 4 ? 2 : 1 };
    _cleanup_buf_ Buf answer = { 0 };
    node_registered_encode(&registered, &answer);
    FrameHeader header = { .type = MSG_NODE_REGISTERED,
                           .flags = FRAME_REPLY,
                           .sequence = ++world->gcs_sent };
    gcs_says(&header, buf_slice(&answer));
}

static void from_remote(uint8_t which, const FrameHeader *header, Slice body) {
    FrameHeader in = *header;
    in.length = (uint32_t)body.len;
    in.source = remote_process(which);
    if (frame_check(&in) == 0)
        route_in(world->raylet, NULL, &in, body);
    run(0);
}

/* From a process here, or from elsewhere when the byte says so. */
static void from_anyone(uint8_t who, MessageType type, bool call, const Buf *body) {
    FrameHeader header = { .type = (uint16_t)type,
                           .flags = call ? FRAME_CALL : 0,
                           .stream = who,
                           .destination = world->raylet->self };
    if (who & 0x80)
        from_remote(who, &header, buf_slice(body));
    else
        from_local(who % LOCALS, &header, buf_slice(body));
}

static void say_gcs(MessageType type, bool call, const Buf *body) {
    FrameHeader header = { .type = (uint16_t)type,
                           .flags = call ? FRAME_CALL : 0,
                           .stream = 9,
                           .destination = world->raylet->self };
    from_gcs(&header, buf_slice(body));
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
                           .length = (uint32_t)outer.len,
                           .stream = name || !remote ? name : remote->way_name,
                           .sequence = world->gcs_sent + 1,
                           .source = from,
                           .destination = world->raylet->self };
    if (!world->gcs_there || !world->raylet->gcs.registered)
        return;
    world->gcs_sent++;
    uint8_t bytes[FRAME_HEADER_SIZE];
    frame_pack(&header, bytes);
    fuzz_stream_feed(world->gcs, bytes, sizeof(bytes));
    fuzz_stream_feed(world->gcs, outer.data, outer.len);
    run(0);
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
    run(0);
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
        run(0);
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
        run((seconds & 0x7f) * USEC_PER_SEC);
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

/* ---- one input ------------------------------------------------------------------------------- */

static void on_ready(void *ctx, Raylet *raylet) {
}
static void on_failed(void *ctx, int r, const char *sentence) {
    world->failed = true;
}

static void *begin(void) {
    world = mem_new(World);
    ASSERT(loop_new_virtual(1000 * USEC_PER_SEC, 5000 * USEC_PER_SEC, &world->loop) == 0);
    _cleanup_(resources_done) ResourceSet total = { 0 };
    total.known[RESOURCE_CPU] = 4 * QUANTITY_ONE;
    total.known[RESOURCE_GPU] = 2 * QUANTITY_ONE;
    total.known[RESOURCE_OBJECT_STORE_MEMORY] = (Quantity)STORE_BYTES * QUANTITY_ONE;
    RayletOptions options = {
        .gcs_address = "127.0.0.1:1",
        .temp_dir = "/proc/none",
        .node_ip = "10.0.0.1",
        .socket_path = "/proc/none/raylet",
        .total = &total,
    };
    ASSERT(net_address_parse("127.0.0.1:0", &options.listen) == 0);
    ASSERT(raylet_new(world->loop, &options, &(RayletEvents){ NULL, on_ready, on_failed },
                      &world->raylet) == 0);
    Raylet *raylet = world->raylet;
    raylet->id = raylet->here.id = *node_named(0);
    raylet->self = peer_make(1, 1, 0);
    raylet->ready = true;
    raylet->session.dir = str_dup("/proc/none");
    raylet->session.logs = str_dup("/proc/none");
    raylet->joined = true;
    connect_gcs(1);
    ASSERT(raylet->gcs.registered && !world->failed);
    JobId job = the_job();
    job_cache_learn(raylet, &job, peer_make(1, 1, 1), SLICE("{}"), SLICE("ns"));
    return world;
}

static void end(void *ctx) {
    world->raylet = raylet_free(world->raylet);
    for (size_t i = 0; i < LOCALS; i++)
        fuzz_stream_end(world->process[i]);
    fuzz_stream_end(world->gcs);
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        ASSERT(!world->children[i]);
    for (size_t i = 0; i < HELPERS_MAX; i++)
        ASSERT(!world->helpers[i]);
    loop_free(world->loop);
    world = mem_free(world);
}

static void clean(void *ctx) {
    int fd = store_server_fd(world->raylet->objects->store);
    ASSERT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, STORE_BYTES) == 0);
}

static const FuzzWorld fuzz_world = { begin, end, clean };

/* Whatever happened, what is lent out and what is there add up. */
static void check(void) {
    const Raylet *raylet = world->raylet;
    Quantity cpu = raylet->here.available.known[RESOURCE_CPU];
    size_t starting = 0, idle = 0;
    LIST_EACH(item, &raylet->granted) {
        const Lease *lease = LIST_ITEM(item, Lease, link);
        if (lease->state != LEASE_SPILLED && !lease->blocked)
            cpu += lease->resources.known[RESOURCE_CPU];
    }
    ASSERT(cpu == raylet->here.total.known[RESOURCE_CPU]);
    LIST_EACH(item, &raylet->workers) {
        const Worker *worker = LIST_ITEM(item, Worker, link);
        starting += worker->state == WORKER_FORKING || worker->state == WORKER_STARTING;
        idle += worker->state == WORKER_IDLE;
        ASSERT(!worker->lease || worker->lease->worker == worker);
        ASSERT(!worker->local || worker->local->worker == worker);
    }
    ASSERT(starting == raylet->starting_len && idle == raylet->idle_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    log_setup("fuzz", (LogLevel)(LOG_ERROR + 1), false);
    world = fuzz_world_begin(&fuzz_world);
    Input in = { data, size };
    for (int i = 0; i < STEPS_MAX && in.size > 0 && !world->failed; i++) {
        step(&in);
        check();
    }
    fuzz_world_end(&fuzz_world, world);
    return 0;
}
