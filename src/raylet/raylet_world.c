/* SPDX-License-Identifier: Apache-2.0 */
#include "raylet/raylet_world.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/wrap.h"
#include "host/memory.h"
#include "raylet/objects_private.h"

enum {
    STORE_BYTES = 4 << 20,
};

/* ---- the outside ------------------------------------------------------------------------- */

World *world;

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

WRAPPED(int, helper_start, Raylet *raylet, char *const *argv, Slice input, usec_t timeout,
        HelperDone *done, void *ctx, Helper **ret) {
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

/* ---- names ------------------------------------------------------------------------------- */

const NodeId *node_named(unsigned number) {
    static NodeId id;
    id = NAMED(NodeId, number);
    return &id;
}

/* Processes of two other nodes. */
PeerId remote_process(uint8_t which) {
    return peer_make((uint16_t)(2 + which % 2), 1, which >> 4);
}

JobId the_job(void) {
    return NAMED(JobId, 0);
}

/* Anybody who can be addressed. */
PeerId someone(uint8_t which) {
    Local *local = world->local[which % LOCALS];
    if (which & 0x80)
        return which & 0x40 ? remote_process(which & 0x3f) : PEER_GCS;
    if (which & 0x40)
        return world->raylet->self | (which & 0x3f);
    return local ? local->peer : world->raylet->self;
}

Resource *amounts(uint8_t from, size_t *ret_len) {
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

void world_run(usec_t for_time) {
    loop_run_until(world->loop, loop_deadline(world->loop, for_time));
    look_at_locals();
}

void connect_process(unsigned slot) {
    if (world->local[slot])
        return;
    fuzz_stream_end(world->process[slot]);
    world->process[slot] = fuzz_stream_new(world->loop, NULL, NULL);
    world->local[slot] = local_new(world->raylet, world->process[slot], getpid());
}

/* As it would come through the socket; that way itself is src/net/frame_fuzz.c's. */
void from_local(unsigned slot, const FrameHeader *header, Slice body) {
    uint8_t bytes[FRAME_HEADER_SIZE];
    FrameHeader out = *header;
    out.length = (uint32_t)body.len;
    frame_pack(&out, bytes);
    if (!world->process[slot])
        return;
    fuzz_stream_feed(world->process[slot], bytes, sizeof(bytes));
    fuzz_stream_feed(world->process[slot], body.data, body.len);
    world_run(0);
}

void frame_from_gcs(const FrameHeader *header, Slice body) {
    uint8_t bytes[FRAME_HEADER_SIZE];
    FrameHeader out = *header;
    out.length = (uint32_t)body.len;
    frame_pack(&out, bytes);
    fuzz_stream_feed(world->gcs, bytes, sizeof(bytes));
    fuzz_stream_feed(world->gcs, body.data, body.len);
    world_run(0);
}

static void gcs_says(const FrameHeader *header, Slice body) {
    FrameHeader out = *header;
    out.source = PEER_GCS;
    frame_from_gcs(&out, body);
}

void from_gcs(const FrameHeader *header, Slice body) {
    FrameHeader in = *header;
    in.length = (uint32_t)body.len;
    if (!world->raylet->gcs.registered || !world->gcs_there || frame_check(&in) < 0)
        return;
    if (in.type != MSG_LINK_ACK) /* else its sequence is the input's */
        in.sequence = ++world->gcs_sent;
    gcs_says(&in, body);
}

void lose_gcs(void) {
    world->gcs_there = false;
    world->gcs = fuzz_stream_end(world->gcs);
    world_run(0);
}

void connect_gcs(uint8_t how) {
    Raylet *raylet = world->raylet;
    if (world->gcs_there)
        return;
    world->gcs_there = true;
    loop_timer_at(raylet->gcs.timer, 0);
    world_run(0);
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

void from_remote(uint8_t which, const FrameHeader *header, Slice body) {
    FrameHeader in = *header;
    in.length = (uint32_t)body.len;
    in.source = remote_process(which);
    if (frame_check(&in) == 0)
        route_in(world->raylet, NULL, &in, body);
    world_run(0);
}

void from_anyone(uint8_t who, MessageType type, bool call, const Buf *body) {
    FrameHeader header = { .type = (uint16_t)type,
                           .flags = call ? FRAME_CALL : 0,
                           .stream = who,
                           .destination = world->raylet->self };
    if (who & 0x80)
        from_remote(who, &header, buf_slice(body));
    else
        from_local(who % LOCALS, &header, buf_slice(body));
}

void say_gcs(MessageType type, bool call, const Buf *body) {
    FrameHeader header = { .type = (uint16_t)type,
                           .flags = call ? FRAME_CALL : 0,
                           .stream = 9,
                           .destination = world->raylet->self };
    from_gcs(&header, buf_slice(body));
}

/* ---- life ---------------------------------------------------------------------------------- */

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

const FuzzWorld raylet_world = { begin, end, clean };

void world_check(void) {
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
