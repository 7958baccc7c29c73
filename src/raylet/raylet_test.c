/* SPDX-License-Identifier: Apache-2.0 */

/* What a node does when gcs or the way to another node fails it (raylet_world.h). */

#include <sys/resource.h>

#include "base/test.h"
#include "raylet/raylet_world.h"

/* ---- a bundle that is taken back while a worker starts in it ---------------------------------- */

static void reserve(void) {
    Resource cpu = { SLICE("CPU"), 10000 };
    Bundle bundle = { .resources = &cpu, .resources_len = 1 };
    BundlesReserve message = {
        .group = NAMED(GroupId, 1), .bundles = &bundle, .bundles_len = 1, .commit = true
    };
    _cleanup_buf_ Buf body = { 0 };
    bundles_reserve_encode(&message, &body);
    say_gcs(MSG_BUNDLES_RESERVE, true, &body);
}

static Lease *ask(uint8_t id, uint8_t spilled, const Strategy *strategy) {
    Resource cpu = { SLICE("CPU"), 5000 };
    LeaseRequest request = {
        .lease = NAMED(LeaseId, id),
        .job = the_job(),
        .requester = world->raylet->self | 1,
        .spilled = spilled,
        .resources = &cpu,
        .resources_len = 1,
        .strategy = *strategy,
    };
    FrameHeader call = { .type = MSG_LEASE_REQUEST, .source = request.requester, .stream = id };
    Lease *lease;
    CHECK_OK(lease_add(world->raylet, &request, &call, &lease));
    world_run(0);
    CHECK_INT(lease->state, LEASE_STARTING);
    return lease;
}

static Lease *ask_in_group(uint8_t id, uint8_t spilled) {
    Strategy strategy = { .kind = STRATEGY_KIND_PLACEMENT_GROUP,
                          .group = NAMED(GroupId, 1),
                          .bundle = -1 };
    return ask(id, spilled, &strategy);
}

static const Lease *lease_named(uint8_t id) {
    LeaseId name = NAMED(LeaseId, id);
    return map_get(&world->raylet->leases, &name);
}

static void return_bundles(size_t len) {
    uint32_t index = 0;
    BundlesReturn message = { .group = NAMED(GroupId, 1), .indexes = &index, .indexes_len = len };
    _cleanup_buf_ Buf body = { 0 };
    bundles_return_encode(&message, &body);
    say_gcs(MSG_BUNDLES_RETURN, false, &body);
}

/* It was killed before it logged that it had reserved it. */
static void forgotten_by_gcs(void) {
    lose_gcs();
    connect_gcs(1);
}

static void given_up_by_gcs(void) {
    return_bundles(1);
}

static void test_leases_wait_for_bundles_to_come(void **state) {
    void (*const ways[])(void) = { forgotten_by_gcs, given_up_by_gcs };
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        void *made = raylet_world.begin();
        reserve();
        const Lease *ours = ask_in_group(1, 0);
        ask_in_group(2, 1);
        ways[i]();
        CHECK(lease_named(1) == ours);
        CHECK_INT(ours->state, LEASE_WAITING);
        CHECK(!ours->worker && !ours->held);
        CHECK(!lease_named(2)); /* whoever passed it on has heard BUSY */
        world_check();
        reserve();
        CHECK_INT(ours->state, LEASE_STARTING);
        raylet_world.end(made);
    }
}

static void test_leases_end_with_their_group(void **state) {
    void *made = raylet_world.begin();
    reserve();
    ask_in_group(1, 0);
    return_bundles(0);
    CHECK(!lease_named(1));
    world_check();
    raylet_world.end(made);
}

/* ---- what others count in ------------------------------------------------------------------------ */

/* Who passes a lease on takes it that the node has that much less, until its next report: that comes, also
 * when as much was given back meanwhile. */
static void test_a_lease_that_was_passed_on_is_reported(void **state) {
    for (uint8_t spilled = 0; spilled < 2; spilled++) {
        void *made = raylet_world.begin();
        Lease *ours = ask(1, 0, &(Strategy){ 0 });
        world_run(USEC_PER_SEC);
        usec_t reported = world->raylet->gcs.reported_at;
        lease_refuse(ours, STATUS_CODE_CANCELLED, "not needed");
        ask(2, spilled, &(Strategy){ 0 });
        world_run(USEC_PER_SEC);
        CHECK_INT(world->raylet->gcs.reported_at > reported, spilled);
        raylet_world.end(made);
    }
}

/* ---- a long frame on its way through gcs -------------------------------------------------------- */

static Remote *other_node(void) {
    return peers_get(world->raylet, node_named(2));
}

static void tell_of_other_node(void) {
    NodeInfo info = { .node = *node_named(2),
                      .index = 2,
                      .incarnation = 1,
                      .state = NODE_STATE_ALIVE,
                      .address = SLICE("10.0.0.2:1") };
    NodeView view = { .nodes = &info, .nodes_len = 1 };
    _cleanup_buf_ Buf body = { 0 };
    node_view_encode(&view, &body);
    say_gcs(MSG_NODE_VIEW, false, &body);
}

/* The other node answers by the way that it was asked on. */
static void answer_through_gcs(void) {
    const Remote *remote = other_node();
    _cleanup_buf_ Buf body = { 0 }, packed = { 0 }, outer = { 0 };
    welcome_encode(&(Welcome){ .link = 7, .link_other = link_hello(remote->link).id }, &body);
    FrameHeader inner = { .type = MSG_WELCOME,
                          .flags = FRAME_REPLY,
                          .length = (uint32_t)body.len,
                          .source = peer_make(2, 1, 0),
                          .destination = world->raylet->self };
    buf_add(&packed, &inner, sizeof(inner));
    buf_add(&packed, body.data, body.len);
    link_frame_encode(&(LinkFrame){ .frame = buf_slice(&packed) }, &outer);
    FrameHeader header = { .type = MSG_LINK_FRAME,
                           .stream = remote->way_name,
                           .sequence = ++world->gcs_sent,
                           .source = peer_make(2, 1, 0),
                           .destination = world->raylet->self };
    frame_from_gcs(&header, buf_slice(&outer));
}

/* Time goes on at a gcs that takes all; `moves`: so does what it passes on. */
static void pass_seconds(int seconds, bool moves) {
    Raylet *raylet = world->raylet;
    for (int i = 0; i < seconds; i++) {
        world_run(USEC_PER_SEC);
        FrameHeader taken = { .type = MSG_LINK_ACK,
                              .sequence = (uint32_t)link_sent(raylet->gcs.link) };
        if (link_sent(raylet->gcs.link) > link_acknowledged(raylet->gcs.link))
            from_gcs(&taken, (Slice){ 0 });
        if (!other_node()->look_call)
            continue;
        LinkProgress progress = { .progress = moves ? (uint64_t)i + 1 : 1 };
        _cleanup_buf_ Buf body = { 0 };
        link_progress_encode(&progress, &body);
        FrameHeader header = { .type = MSG_LINK_PROGRESS,
                               .flags = FRAME_REPLY,
                               .stream = other_node()->look_call,
                               .destination = raylet->self };
        from_gcs(&header, buf_slice(&body));
    }
}

static void test_what_moves_at_gcs_is_not_sent_again(void **state) {
    void *made = raylet_world.begin();
    tell_of_other_node();
    raylet_send(world->raylet, peer_make(2, 1, 5), MSG_PING, NULL);
    CHECK_INT(other_node()->way, WAY_ASKED);
    answer_through_gcs();
    CHECK_INT(other_node()->way, WAY_GCS);
    uint32_t name = other_node()->way_name;
    pass_seconds(60, true);
    CHECK_INT(other_node()->way, WAY_GCS);
    CHECK_INT(other_node()->way_name, name);
    pass_seconds(20, false); /* lost on the way: it is asked for again */
    CHECK(other_node()->way != WAY_GCS || other_node()->way_name != name);
    raylet_world.end(made);
}

/* ---- who hears of a death ----------------------------------------------------------------------- */

static void join(unsigned slot) {
    connect_process(slot);
    Hello hello = { .version_low = WIRE_VERSION_LOW,
                    .version_high = WIRE_VERSION_HIGH,
                    .role = ROLE_CLI };
    _cleanup_buf_ Buf body = { 0 };
    hello_encode(&hello, &body);
    FrameHeader header = { .type = MSG_HELLO, .flags = FRAME_CALL, .stream = 1 };
    from_local(slot, &header, buf_slice(&body));
    CHECK(world->local[slot]->welcomed);
}

static size_t told(unsigned slot) {
    return fuzz_stream_written(world->process[slot]);
}

static void tell_of_death(PeerId peer) {
    PeerDead dead = { .peer = peer, .role = ROLE_WORKER, .text = SLICE("it is gone") };
    _cleanup_buf_ Buf body = { 0 };
    peer_dead_encode(&dead, &body);
    say_gcs(MSG_PEER_DEAD, false, &body);
}

static void test_deaths_are_told_to_who_knows_the_dead(void **state) {
    void *made = raylet_world.begin();
    PeerId worker = peer_make(2, 1, 5);
    tell_of_other_node();
    join(0);
    join(1);
    FrameHeader question = { .type = MSG_PING, .flags = FRAME_CALL, .destination = worker };
    from_local(0, &question, (Slice){ 0 });
    size_t first = told(0), second = told(1);
    tell_of_death(worker);
    CHECK(told(0) > first);
    CHECK_INT(told(1), second);
    first = told(0);
    tell_of_death(worker); /* once is enough */
    CHECK_INT(told(0), first);
    FrameHeader late = { .type = MSG_PING, .destination = world->local[1]->peer };
    from_remote(5 << 4, &late, (Slice){ 0 }); /* what it has sent comes behind the news */
    CHECK(told(1) > second + FRAME_HEADER_SIZE);
    raylet_world.end(made);
}

/* ---- descriptors --------------------------------------------------------------------------------- */

static void test_a_node_takes_the_descriptors_it_may_have(void **state) {
    struct rlimit before, now;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &before));
    struct rlimit few = { .rlim_cur = 256, .rlim_max = before.rlim_max };
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &few));
    void *made = raylet_world.begin();
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &now));
    CHECK_INT(now.rlim_cur, MIN(before.rlim_max, (rlim_t)65536));
    raylet_world.end(made);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &before));
}

int main(void) {
    return TEST_RUN(TEST(test_leases_wait_for_bundles_to_come),
                    TEST(test_leases_end_with_their_group),
                    TEST(test_a_lease_that_was_passed_on_is_reported),
                    TEST(test_what_moves_at_gcs_is_not_sent_again),
                    TEST(test_deaths_are_told_to_who_knows_the_dead),
                    TEST(test_a_node_takes_the_descriptors_it_may_have));
}
