/* SPDX-License-Identifier: Apache-2.0 */
#include "gcs/gcs_private.h"
#include "gcs/gcs_world.h"

/* Placement groups: reserved in two phases on nodes that this test plays. */

enum {
    DRIVER = 7
};

static GroupId group_id(int i) {
    GroupId id;
    memset(&id, i, sizeof(id));
    return id;
}

/* `bundles` of one CPU each. */
static void create(World *w, PeerId raylet, int i, GroupStrategy strategy, size_t bundles,
                   const char *name, JobId job) {
    Resource cpu = { SLICE("CPU"), QUANTITY_ONE };
    Bundle list[8] = { 0 };
    for (size_t b = 0; b < bundles; b++)
        list[b] = (Bundle){ .index = (uint32_t)b, .resources = &cpu, .resources_len = 1 };
    GroupCreate message = { .info = { .group = group_id(i),
                                      .name = slice_str(name),
                                      .strategy = (uint8_t)strategy,
                                      .bundles = list,
                                      .bundles_len = bundles,
                                      .job = job } };
    ASK(w, 1, raylet | DRIVER, MSG_GROUP_CREATE, group_create_encode, &message);
}

/* Of the raylet itself, which has made it for one of its processes. */
static void made(World *w, PeerId raylet, int i, PeerId creator, JobId job) {
    Resource cpu = { SLICE("CPU"), QUANTITY_ONE };
    Bundle bundle = { .resources = &cpu, .resources_len = 1 };
    GroupCreate message = { .info = { .group = group_id(i),
                                      .bundles = &bundle,
                                      .bundles_len = 1,
                                      .job = job,
                                      .creator = creator } };
    ASK(w, 1, raylet, MSG_GROUP_CREATE, group_create_encode, &message);
}

static void remove_for(World *w, PeerId raylet, int i, PeerId by) {
    GroupRemove message = { .group = group_id(i), .by = by };
    ASK(w, 1, raylet, MSG_GROUP_REMOVE, group_remove_encode, &message);
}

/* What gcs knows of the group; with `wait` the answer may not have come. */
static GroupInfo info_of(World *w, int i) {
    hello(w, 99, ROLE_CLI, SLICE("secret"));
    GroupGet get = { .group = group_id(i) };
    ASK(w, 99, 0, MSG_GROUP_GET, group_get_encode, &get);
    GroupInfoReply reply;
    ANSWER(w, MSG_GROUP_INFO_REPLY, group_info_reply_decode, &reply);
    gcs_disconnected(w->gcs, 99);
    return reply.info;
}

static size_t sent_count(const World *w, MessageType type) {
    size_t count = 0;
    VEC_EACH(sent, &w->sent)
        count += sent->header.type == type;
    return count;
}

typedef Vec(Sent) Calls;

/* Every call of that type that was sent; nothing else of what was sent is kept. */
static void take_calls(World *w, MessageType type, Calls *out) {
    VEC_EACH(sent, &w->sent)
        if (sent->header.type == type && sent->header.flags & FRAME_CALL)
            vec_push(out, (Sent){ .conn = sent->conn, .header = sent->header });
    sent_clear(w);
}

/* By its node. */
static void answer(World *w, const Sent *call, StatusCode code) {
    Status status = { .code = (uint16_t)code };
    _cleanup_buf_ Buf body = { 0 };
    status_encode(&status, &body);
    FrameHeader header = { .type = MSG_STATUS,
                           .flags = (uint16_t)(FRAME_REPLY | (code ? FRAME_ERROR : 0)),
                           .stream = call->header.stream,
                           .source = call->header.destination,
                           .destination = PEER_GCS,
                           .length = (uint32_t)body.len };
    give(w, call->conn, &header, &body);
}

static size_t answer_all(World *w, MessageType type, StatusCode code) {
    Calls calls = { 0 };
    take_calls(w, type, &calls);
    VEC_EACH(call, &calls) {
        answer(w, call, code);
        pass(w, 0);
    }
    size_t count = calls.len;
    vec_done(&calls);
    return count;
}

static void test_one_node_needs_one_phase(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    create(&w, a, 1, GROUP_STRATEGY_PACK, 2, "", add_job(&w, 1, a | DRIVER));
    BundlesReserve reserve;
    ANSWER(&w, MSG_BUNDLES_RESERVE, bundles_reserve_decode, &reserve);
    CHECK(reserve.commit && reserve.bundles_len == 2);
    CHECK(reserve.creator == (a | DRIVER)); /* it hears from its raylet */
    CHECK_INT(info_of(&w, 1).state, GROUP_STATE_PENDING);
    create(&w, a, 2, GROUP_STRATEGY_PACK, 2, "", add_job(&w, 1, a | DRIVER)); /* no room: waits */
    CHECK_INT(sent_count(&w, MSG_BUNDLES_RESERVE), 0);
    world_done(&w);
}

static void test_waits_are_bounded(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    create(&w, a, 1, GROUP_STRATEGY_PACK, 3, "", add_job(&w, 1, a | DRIVER)); /* no room */
    GroupGet get = { .group = info_of(&w, 1).group, .wait = true };
    _cleanup_buf_ Buf body = { 0 };
    group_get_encode(&get, &body);
    uint32_t first = 0;
    for (int i = 0; i < GCS_GROUP_WAITS_MAX + 1; i++) {
        sent_clear(&w);
        uint32_t stream = feed(&w, 1, a, MSG_GROUP_GET, FRAME_CALL, &body);
        first = first ? first : stream;
        CHECK(i == GCS_GROUP_WAITS_MAX || !find_sent(&w, MSG_STATUS));
    }
    CHECK_INT(sent_of(&w, MSG_STATUS)->header.stream, first);
    check_status(&w, STATUS_CODE_BUSY);
    world_done(&w);
}

static void test_two_phases(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    join(&w, 2, false);
    JobId job = add_job(&w, 1, a | DRIVER);
    create(&w, a, 1, GROUP_STRATEGY_STRICT_SPREAD, 2, "", job);
    CHECK_INT(answer_all(&w, MSG_BUNDLES_RESERVE, STATUS_CODE_OK), 2);
    CHECK_INT(sent_count(&w, MSG_BUNDLES_COMMIT), 2);
    CHECK_INT(answer_all(&w, MSG_BUNDLES_COMMIT, STATUS_CODE_OK), 2);
    GroupInfo info = info_of(&w, 1);
    CHECK_INT(info.state, GROUP_STATE_CREATED);
    CHECK(!id_equal(&info.bundles[0].node, &info.bundles[1].node));
    world_done(&w);
}

static void test_a_refusal_returns_the_rest(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    PeerId b = join(&w, 2, false);
    create(&w, a, 1, GROUP_STRATEGY_STRICT_SPREAD, 2, "", add_job(&w, 1, a | DRIVER));
    CHECK_INT(answer_all(&w, MSG_BUNDLES_RESERVE, STATUS_CODE_BUSY), 2);
    CHECK_INT(sent_count(&w, MSG_BUNDLES_RETURN), 2);
    CHECK_INT(sent_count(&w, MSG_BUNDLES_COMMIT), 0);
    sent_clear(&w);
    report(&w, 1, a, 0.5); /* their true state: no room */
    report(&w, 2, b, 2);
    CHECK_INT(sent_count(&w, MSG_BUNDLES_RESERVE), 0);
    report(&w, 1, a, 2);
    CHECK_INT(sent_count(&w, MSG_BUNDLES_RESERVE), 2);
    world_done(&w);
}

static void test_a_node_dies_in_each_phase(void **state) {
    for (int phase = 0; phase < 2; phase++) {
        World w;
        world_init(&w);
        PeerId a = join(&w, 1, true);
        join(&w, 2, false);
        create(&w, a, 1, GROUP_STRATEGY_STRICT_SPREAD, 2, "", add_job(&w, 1, a | DRIVER));
        if (phase == 1)
            CHECK_INT(answer_all(&w, MSG_BUNDLES_RESERVE, STATUS_CODE_OK), 2);
        gcs_disconnected(w.gcs, 2);
        pass(&w, 2 * USEC_PER_SEC);
        answer_all(&w, phase ? MSG_BUNDLES_COMMIT : MSG_BUNDLES_RESERVE, STATUS_CODE_OK);
        CHECK_INT(sent_count(&w, MSG_BUNDLES_RETURN), 1);
        CHECK_INT(info_of(&w, 1).state, GROUP_STATE_PENDING);
        report(&w, 1, a, 2);
        PeerId c = join(&w, 3, false);
        CHECK(c != a);
        answer_all(&w, MSG_BUNDLES_RESERVE, STATUS_CODE_OK);
        answer_all(&w, MSG_BUNDLES_COMMIT, STATUS_CODE_OK);
        world_done(&w);
    }
}

/* It has answered, the other has not. */
static void test_a_node_dies_while_another_is_waited_for(void **state) {
    for (int phase = 0; phase < 2; phase++) {
        World w;
        Calls calls = { 0 };
        world_init(&w);
        PeerId a = join(&w, 1, true);
        join(&w, 2, false);
        create(&w, a, 1, GROUP_STRATEGY_STRICT_SPREAD, 2, "", add_job(&w, 1, a | DRIVER));
        if (phase == 1)
            answer_all(&w, MSG_BUNDLES_RESERVE, STATUS_CODE_OK);
        take_calls(&w, phase ? MSG_BUNDLES_COMMIT : MSG_BUNDLES_RESERVE, &calls);
        CHECK_INT(calls.len, 2);
        size_t dead = calls.items[0].conn == 2 ? 0 : 1;
        answer(&w, &calls.items[dead], STATUS_CODE_OK);
        pass(&w, 0);
        gcs_disconnected(w.gcs, 2);
        pass(&w, 2 * USEC_PER_SEC);
        sent_clear(&w);
        answer(&w, &calls.items[1 - dead], STATUS_CODE_OK);
        pass(&w, 0);
        CHECK_INT(sent_count(&w, MSG_BUNDLES_RETURN), 1);
        CHECK_INT(sent_count(&w, MSG_BUNDLES_COMMIT), 0);
        CHECK_INT(info_of(&w, 1).state, GROUP_STATE_PENDING);
        vec_done(&calls);
        world_done(&w);
    }
}

/* A watcher's first answer is not newer than what follows, though what it tells was not logged yet. */
static void test_news_come_after_the_answer(void **state) {
    World w;
    Calls calls = { 0 };
    world_init(&w);
    PeerId a = join(&w, 1, true);
    create(&w, a, 1, GROUP_STRATEGY_PACK, 1, "", add_job(&w, 1, a | DRIVER));
    take_calls(&w, MSG_BUNDLES_RESERVE, &calls);
    CHECK_INT(calls.len, 1);
    GroupGet get = { .group = group_id(1), .watch = true };
    _cleanup_buf_ Buf body = { 0 };
    group_get_encode(&get, &body);
    FrameHeader header = { .type = MSG_GROUP_GET,
                           .flags = FRAME_CALL,
                           .stream = ++w.stream,
                           .source = a,
                           .destination = PEER_GCS };
    give(&w, 1, &header, &body);
    answer(&w, &calls.items[0], STATUS_CODE_OK);
    pass(&w, 0);
    GroupInfoReply last;
    CHECK_INT(sent_count(&w, MSG_GROUP_INFO_REPLY), 2);
    ANSWER(&w, MSG_GROUP_INFO_REPLY, group_info_reply_decode, &last);
    CHECK_INT(last.info.state, GROUP_STATE_CREATED);
    vec_done(&calls);
    world_done(&w);
}

static void test_rescheduled_when_its_node_dies(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    join(&w, 2, false);
    create(&w, a, 1, GROUP_STRATEGY_STRICT_SPREAD, 2, "", add_job(&w, 1, a | DRIVER));
    answer_all(&w, MSG_BUNDLES_RESERVE, STATUS_CODE_OK);
    answer_all(&w, MSG_BUNDLES_COMMIT, STATUS_CODE_OK);
    gcs_disconnected(w.gcs, 2);
    pass(&w, 2 * USEC_PER_SEC);
    CHECK_INT(info_of(&w, 1).state, GROUP_STATE_RESCHEDULING);
    join(&w, 3, false);
    CHECK_INT(answer_all(&w, MSG_BUNDLES_RESERVE, STATUS_CODE_OK), 1); /* one bundle, one phase */
    GroupInfo info = info_of(&w, 1);
    CHECK_INT(info.state, GROUP_STATE_CREATED);
    NodeId nodes[] = { info.bundles[0].node, info.bundles[1].node }, third = node_id(3);
    CHECK(id_equal(&nodes[0], &third) || id_equal(&nodes[1], &third));
    world_done(&w);
}

static void test_removed_with_its_job(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    JobId job = add_job(&w, 1, a | DRIVER);
    create(&w, a, 1, GROUP_STRATEGY_PACK, 1, "n", job);
    answer_all(&w, MSG_BUNDLES_RESERVE, STATUS_CODE_OK);
    create(&w, a, 2, GROUP_STRATEGY_PACK, 1, "n", job);
    check_status(&w, STATUS_CODE_EXISTS);
    JobFinish finish = { .job = job };
    ASK(&w, 1, a, MSG_JOB_FINISH, job_finish_encode, &finish);
    CHECK_INT(sent_count(&w, MSG_BUNDLES_RETURN), 1);
    CHECK_INT(info_of(&w, 1).state, GROUP_STATE_REMOVED);
    create(&w, a, 3, GROUP_STRATEGY_PACK, 1, "n", add_job(&w, 1, a | 8));
    check_status(&w, STATUS_CODE_OK);
    world_done(&w);
}

static void test_waiting_calls_are_answered(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    JobId job = add_job(&w, 1, a | DRIVER);
    GroupGet get = { .group = group_id(1), .wait = true };
    ASK(&w, 1, a | DRIVER, MSG_GROUP_GET, group_get_encode, &get);
    check_status(&w, STATUS_CODE_NOT_FOUND);
    create(&w, a, 1, GROUP_STRATEGY_PACK, 1, "", job);
    Vec(Sent) kept = { 0 };
    VEC_EACH(sent, &w.sent)
        if (sent->header.type == MSG_BUNDLES_RESERVE)
            vec_push(&kept, (Sent){ .conn = sent->conn, .header = sent->header });
    CHECK_INT(kept.len, 1);
    ASK(&w, 1, a | DRIVER, MSG_GROUP_GET, group_get_encode, &get);
    CHECK_INT(w.sent.len, 0);
    vec_push(&w.sent, kept.items[0]);
    CHECK_INT(answer_all(&w, MSG_BUNDLES_RESERVE, STATUS_CODE_OK), 1);
    CHECK_INT(sent_count(&w, MSG_GROUP_INFO_REPLY),
              1); /* the answer; its raylet told the creator */
    vec_done(&kept);
    world_done(&w);
}

static void test_a_restart_keeps_groups(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    JobId job = add_job(&w, 1, a | DRIVER);
    create(&w, a, 1, GROUP_STRATEGY_PACK, 1, "kept", job);
    answer_all(&w, MSG_BUNDLES_RESERVE, STATUS_CODE_OK);
    create(&w, a, 2, GROUP_STRATEGY_PACK, 1, "", job); /* under way as gcs ends */
    restart(&w);
    hello(&w, 1, ROLE_RAYLET, SLICE("secret"));
    ask_register(&w, 1, 1, true);
    NodeRegistered registered;
    ANSWER(&w, MSG_NODE_REGISTERED, node_registered_decode, &registered);
    CHECK_INT(registered.bundles_len, 1);
    GroupId first = group_id(1);
    CHECK(id_equal(&registered.bundles[0].group, &first));
    CHECK_INT(answer_all(&w, MSG_BUNDLES_RESERVE, STATUS_CODE_OK), 1);
    CHECK_INT(info_of(&w, 1).state, GROUP_STATE_CREATED);
    CHECK_INT(info_of(&w, 2).state, GROUP_STATE_CREATED);
    create(&w, a, 3, GROUP_STRATEGY_PACK, 1, "kept", job);
    check_status(&w, STATUS_CODE_EXISTS);
    world_done(&w);
}

static void test_made_by_its_raylet(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    PeerId b = join(&w, 2, false);
    JobId job = add_job(&w, 1, a | DRIVER);
    made(&w, a, 1, b | DRIVER, job);
    check_status(&w, STATUS_CODE_INVALID); /* not a process of its own */
    made(&w, a, 1, a | DRIVER, job);
    check_status(&w, STATUS_CODE_OK);
    CHECK_INT(w.sent.len, 1); /* nobody else is told or asked */
    GroupInfo info = info_of(&w, 1);
    NodeId first = node_id(1);
    CHECK_INT(info.state, GROUP_STATE_CREATED);
    CHECK(id_equal(&info.bundles[0].node, &first) && info.creator == (a | DRIVER));
    /* Until its next report the node has that much less. */
    create(&w, a, 2, GROUP_STRATEGY_STRICT_PACK, 2, "", job);
    BundlesReserve reserve;
    ANSWER(&w, MSG_BUNDLES_RESERVE, bundles_reserve_decode, &reserve);
    CHECK(sent_of(&w, MSG_BUNDLES_RESERVE)->header.destination == b);
    restart(&w);
    hello(&w, 1, ROLE_RAYLET, SLICE("secret"));
    ask_register(&w, 1, 1, true);
    CHECK_INT(info_of(&w, 1).state, GROUP_STATE_CREATED);
    world_done(&w);
}

static void test_removed_by_its_raylet(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    JobId job = add_job(&w, 1, a | DRIVER);
    made(&w, a, 1, a | DRIVER, job);
    remove_for(&w, a, 1, a | DRIVER);
    check_status(&w, STATUS_CODE_OK);
    CHECK_INT(w.sent.len, 1);        /* it has the bundle back, the creator knows */
    made(&w, a, 1, a | DRIVER, job); /* sent again, after all */
    check_status(&w, STATUS_CODE_REMOVED);
    made(&w, a, 2, a | DRIVER, job);
    remove_for(&w, a, 2, a | (DRIVER + 1));
    CHECK_INT(sent_count(&w, MSG_BUNDLES_RETURN), 0);
    CHECK_INT(sent_count(&w, MSG_GROUP_INFO_REPLY),
              1); /* for the creator, who did not ask for it */
    made(&w, a, 3, a | DRIVER, job);
    remove_for(&w, a | DRIVER, 3, 0);
    CHECK_INT(sent_count(&w, MSG_BUNDLES_RETURN), 1);
    JobFinish finish = { .job = job };
    ASK(&w, 1, a, MSG_JOB_FINISH, job_finish_encode, &finish);
    made(&w, a, 4, a | DRIVER, job); /* nobody would remove it */
    check_status(&w, STATUS_CODE_REMOVED);
    world_done(&w);
}

int main(void) {
    return TEST_RUN(
        TEST(test_one_node_needs_one_phase), TEST(test_waits_are_bounded), TEST(test_two_phases),
        TEST(test_a_refusal_returns_the_rest), TEST(test_a_node_dies_in_each_phase),
        TEST(test_a_node_dies_while_another_is_waited_for), TEST(test_news_come_after_the_answer),
        TEST(test_rescheduled_when_its_node_dies), TEST(test_removed_with_its_job),
        TEST(test_waiting_calls_are_answered), TEST(test_a_restart_keeps_groups),
        TEST(test_made_by_its_raylet), TEST(test_removed_by_its_raylet));
}
