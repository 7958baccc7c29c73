/* SPDX-License-Identifier: Apache-2.0 */

/* What others say: the raylet that grants and wants back, processes that say what is not theirs to say. */

#include "base/clock.h"
#include "core/core_test.h"

/* Records that go to gcs in two parts, while more come than the first had room for. */
static void test_records_of_ended_calls(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 0);
    Core *core = it.core;
    const CoreTemplate *t = it.echo;
    CorePending call = { .t = it.echo };
    core_lock(core);
    uint32_t held = t->count;
    core->history.interval = USEC_PER_SEC * 3600; /* not told by the clock */
    for (uint32_t i = 0; i < 100; i++)
        events_ended(core, &call, NULL, 0, 1, NULL);
    events_flush(core, 40);
    CHECK_INT(core->history.len, 60);
    for (uint32_t i = 0; i < 200; i++)
        events_ended(core, &call, NULL, 0, 1, NULL);
    CHECK_INT(core->history.len, 260);
    CHECK_INT(t->count, held + 260);
    events_flush(core, SIZE_MAX);
    CHECK_INT(core->history.len, 0);
    CHECK_INT(t->count, held);
    CHECK_INT(core->history.dropped, 0);
    core_unlock(core);
    world_stop(&it);
}

/* One frame answers it when the raylet says it, none when another process does. */
static void check_only_the_raylet_says(MessageType type, unsigned flags, const Buf *body) {
    World it;
    world_start(&it, 0);
    Core *core = it.core;
    FrameHeader h = { .length = (uint32_t)body->len,
                      .type = (uint16_t)type,
                      .flags = (uint16_t)flags,
                      .stream = 4711,
                      .source = peer_raylet(core->info.peer) };
    CorePeer other = { .core = core };
    core_lock(core);
    uint64_t sent = core->counts.frames_sent;
    CHECK_OK(core_dispatch(core, &other, &h, body->data));
    CHECK_INT(core->counts.frames_sent, sent);
    CHECK_OK(core_dispatch(core, NULL, &h, body->data));
    CHECK_INT(core->counts.frames_sent, sent + 1);
    core_unlock(core);
    world_stop(&it);
}

/* A slab that came too late for who asked is given back; only the raylet grants some. */
static void test_a_late_slab(void **state) {
    UNUSED(state);
    SlabGrant grant = { .offset = 65536, .size = 65536, .generation = 1 };
    _cleanup_buf_ Buf body = { 0 };
    slab_grant_encode(&grant, &body);
    check_only_the_raylet_says(MSG_SLAB_GRANT, FRAME_REPLY, &body);
}

/* A lease that others wait for goes back after its turn, however many calls are queued. */
static void test_a_recalled_lease_goes_back_while_calls_wait(void **state) {
    UNUSED(state);
    enum {
        N = 100
    };
    World it;
    world_start(&it, 1);
    Core *core = it.core;
    CoreRef *refs[N];
    for (int i = 0; i < N; i++)
        refs[i] = submit(core, it.echo, "z", 1);
    check_echo(core, refs[0], "z", 1);
    core_lock(core);
    const CorePeer *peer = peer_find(core, it.workers[0].core->info.peer);
    CHECK(peer && peer->leased);
    LeaseRecall recall = { .lease = peer->leased->lease, .worker = peer->id };
    lease_on_recall(core, &recall);
    core_unlock(core);
    for (int i = 1; i < N; i++)
        check_echo(core, refs[i], "z", 1);
    CHECK(it.mini.leases > 1); /* the rest was done by the next */
    for (int i = 0; i < N; i++)
        core_ref_drop(refs[i]);
    counts_go_to_zero(core);
    world_stop(&it);
}

/* The record of a value in the store of a node. */
static CoreRef *lies_at(Core *core, uint8_t name, PeerId raylet, uint64_t size) {
    Value value = { .location = raylet, .size = size };
    memset(&value.object, name, sizeof(value.object));
    CoreRef *ref = ref_new(core, &value.object, core->info.peer, NULL);
    ref_set_value(core, ref, VALUE_KIND_ARENA, large_from_wire(core, &value));
    return ref;
}

static PeerId queued_near(World *it, CoreRef **top, size_t len) {
    CoreRef *ref;
    CHECK_OK(core_submit(it->core, it->echo, &(CoreArgs){ .top = top, .top_len = len }, &ref));
    core_lock(it->core);
    CHECK_INT(ref->maker->state, PENDING_QUEUED);
    PeerId near = ref->maker->class_->near;
    CHECK_INT(strmap_len(&it->core->classes), near ? 2 : 1);
    core_unlock(it->core);
    CHECK_OK(core_cancel(it->core, ref, false, false));
    core_ref_drop(ref);
    usec_t until = time_mono_now() + 10 * USEC_PER_SEC;
    size_t left;
    do { /* the lease requests are answered */
        core_lock(it->core);
        leases_tick(it->core, time_mono_now());
        left = strmap_len(&it->core->classes);
        core_unlock(it->core);
    } while (left > 1 && time_mono_now() < until);
    CHECK_INT(left, 1);
    return near;
}

/* A call is queued for the node that has most of its arguments, unless that is its own. */
static void test_calls_go_near_their_arguments(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 0);
    Core *core = it.core;
    PeerId here = peer_raylet(core->info.peer), far = peer_make(7, 1, 0),
           other = peer_make(8, 1, 0);
    core_lock(core);
    CoreRef *refs[] = { lies_at(core, 1, here, 30), lies_at(core, 2, far, 20),
                        lies_at(core, 3, far, 20), lies_at(core, 4, other, 39) };
    core_unlock(core);
    CHECK_INT(queued_near(&it, refs, 0), 0);
    CHECK_INT(queued_near(&it, refs, 1), 0);
    CHECK_INT(queued_near(&it, refs, 2), 0);
    CHECK_INT(queued_near(&it, refs, 3), far);
    CHECK_INT(it.mini.near, far); /* and its raylet was told */
    CHECK_INT(queued_near(&it, refs, 4), far);
    CHECK_INT(queued_near(&it, refs + 2, 2), other);
    for (size_t i = 0; i < ARRAY_LEN(refs); i++)
        core_ref_drop(refs[i]);
    counts_go_to_zero(core);
    world_stop(&it);
}

/* What a process said may come after the news of its death: nothing is kept for it. */
static void test_nothing_is_kept_for_the_dead(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 0);
    Core *core = it.core;
    char byte = 'v';
    struct iovec part = { &byte, 1 };
    CoreRef *ref;
    CHECK_OK(core_put(core, &(CoreBlob){ .parts = &part, .parts_len = 1 }, 0, &ref));
    core_lock(core);
    for (uint16_t node = 7; node <= 8; node++) { /* one process; a whole node */
        PeerId process = peer_make(node, 1, 3);
        PeerDead dead = { .peer = node == 7 ? process : peer_raylet(process),
                          .whole_node = node == 8 };
        peer_dead(core, &dead);
        CHECK_INT(peer_get(core, process)->state, PEER_GONE);
        peer_hand_over(core, &ref->own, process);
    }
    CHECK_INT(peer_get(core, peer_make(9, 1, 3))->state, PEER_RELAY);
    core_unlock(core);
    core_ref_drop(ref);
    counts_go_to_zero(core);
    world_stop(&it);
}

/* What a raylet may ask for is no other process's to ask. */
static void test_only_the_raylet_wants_things_back(void **state) {
    UNUSED(state);
    StateGet get = { .tasks = true, .limit = 10 };
    _cleanup_buf_ Buf body = { 0 };
    state_get_encode(&get, &body);
    check_only_the_raylet_says(MSG_STATE_GET, FRAME_CALL, &body);
}

/* Who is rung while it is busy looks after a moment, once: it does not go on looking for ever. */
static void test_the_pump_looks_once(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 0);
    Core *core = it.core;
    core_lock(core);
    core_turn(core, true);
    CHECK(core->grace_until > 0);
    while (time_mono_now() < core->grace_until)
        ;
    core_turn(core, false);
    CHECK_INT(core->grace_until, 0);
    core_unlock(core);
    world_stop(&it);
}

/* It has its place as soon as the raylet says so; others may ask gcs for it once gcs was asked behind
 * that. */
static void test_a_group_of_the_raylet(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 0);
    Core *core = it.core;
    GroupInfo info = { .bundles_len = 0 };
    memset(&info.group, 7, sizeof(info.group));
    CHECK_OK(core_group_create(core, &info, 5 * USEC_PER_SEC));
    CHECK_INT(core_group_wait(core, &info.group, 5 * USEC_PER_SEC), 0);
    CHECK_INT(it.mini.pings, 0);
    CHECK_OK(core_group_settle(core, &info.group, 5 * USEC_PER_SEC));
    CHECK_OK(core_group_settle(core, &info.group, 5 * USEC_PER_SEC));
    CHECK_INT(it.mini.pings, 1);
    CHECK_OK(core_group_remove(core, &info.group));
    CHECK_OK(core_group_create(core, &info, 5 * USEC_PER_SEC));
    CHECK_INT(core_group_wait(core, &info.group, 5 * USEC_PER_SEC), 0);
    CHECK_INT(it.mini.groups_removed, 1); /* in order */
    world_stop(&it);
}

int main(void) {
    return TEST_RUN(TEST(test_records_of_ended_calls), TEST(test_a_late_slab),
                    TEST(test_only_the_raylet_wants_things_back),
                    TEST(test_nothing_is_kept_for_the_dead),
                    TEST(test_a_recalled_lease_goes_back_while_calls_wait),
                    TEST(test_calls_go_near_their_arguments), TEST(test_the_pump_looks_once),
                    TEST(test_a_group_of_the_raylet));
}
