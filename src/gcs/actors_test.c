/* SPDX-License-Identifier: Apache-2.0 */
#include "gcs/gcs_world.h"

/* Actors: one life on nodes that this test plays. */

typedef struct ActorWorld {
    World w;
    PeerId raylet, driver;
    JobId job;
    ActorId actor;
} ActorWorld;

static void actor_register_same(ActorWorld *a, const char *name, int32_t restarts, bool detached) {
    ActorRegister message = { .info = { .actor = a->actor,
                                        .name = slice_str(name),
                                        .namespace = SLICE("ns"),
                                        .class_name = SLICE("C"),
                                        .job = a->job,
                                        .max_restarts = restarts,
                                        .detached = detached } };
    ASK(&a->w, 1, a->driver, MSG_ACTOR_REGISTER, actor_register_encode, &message);
}

static void actor_register(ActorWorld *a, const char *name, int32_t restarts, bool detached) {
    a->actor = actor_id_make(&a->job);
    actor_register_same(a, name, restarts, detached);
}

static void actor_create(ActorWorld *a, double cpus) {
    Resource cpu = { SLICE("CPU"), (int64_t)(cpus * (double)QUANTITY_ONE) };
    ActorCreate message = {
        .actor = a->actor, .call = SLICE("call"), .resources = &cpu, .resources_len = cpus > 0
    };
    ASK(&a->w, 1, a->driver, MSG_ACTOR_CREATE, actor_create_encode, &message);
}

static void actor_world_init(ActorWorld *a) {
    world_init(&a->w);
    a->raylet = join(&a->w, 1, true);
    a->driver = a->raylet | 1;
    a->job = add_job(&a->w, 1, a->driver);
}

static ActorInfo actor_get(ActorWorld *a) {
    ActorGet get = { .actor = a->actor };
    ASK(&a->w, 1, a->raylet | 2, MSG_ACTOR_GET, actor_get_encode, &get);
    ActorInfoReply reply;
    ANSWER(&a->w, MSG_ACTOR_INFO_REPLY, actor_info_reply_decode, &reply);
    return reply.info;
}

/* Answers the start that was sent last. */
static void answer_start(ActorWorld *a, MessageType type, unsigned flags, const Buf *body) {
    const Sent *start = sent_of(&a->w, MSG_ACTOR_START);
    FrameHeader header = { .type = (uint16_t)type,
                           .flags = (uint16_t)(FRAME_REPLY | flags),
                           .length = (uint32_t)body->len,
                           .stream = start->header.stream,
                           .source = start->header.destination,
                           .destination = PEER_GCS };
    GcsConnId conn = start->conn;
    sent_clear(&a->w);
    give(&a->w, conn, &header, body);
    pass(&a->w, 0);
}

static void start_succeeds(ActorWorld *a, PeerId worker) {
    ActorStarted started = { .worker = worker, .pid = 11, .repr = SLICE("C()") };
    _cleanup_buf_ Buf body = { 0 };
    actor_started_encode(&started, &body);
    answer_start(a, MSG_ACTOR_STARTED, 0, &body);
}

static void start_refused(ActorWorld *a, StatusCode code) {
    Status status = { .code = (uint16_t)code, .text = SLICE("why") };
    _cleanup_buf_ Buf body = { 0 };
    status_encode(&status, &body);
    answer_start(a, MSG_STATUS, FRAME_ERROR, &body);
}

static void peer_dies(ActorWorld *a, PeerId peer, const char *text) {
    PeerDead dead = { .peer = peer, .text = slice_str(text) };
    _cleanup_buf_ Buf body = { 0 };
    peer_dead_encode(&dead, &body);
    sent_clear(&a->w);
    feed(&a->w, 1, a->raylet, MSG_PEER_DEAD, 0, &body);
}

/* A handle may arrive before the registration of its actor. */
static void test_subscription_before_registration(void **state) {
    UNUSED(state);
    ActorWorld a;
    actor_world_init(&a);
    a.actor = actor_id_make(&a.job);
    ActorSubscribe subscribe = { .actor = a.actor };
    ASK(&a.w, 1, a.driver, MSG_ACTOR_SUBSCRIBE, actor_subscribe_encode, &subscribe);
    sent_of(&a.w, MSG_ACTOR_INFO_REPLY);
    sent_clear(&a.w);
    actor_register_same(&a, "name", 1, false);
    actor_create(&a, 1);
    start_succeeds(&a, a.raylet | 9);
    CHECK_INT(sent_of(&a.w, MSG_ACTOR_INFO_REPLY)->header.destination, a.driver);
    world_done(&a.w);

    actor_world_init(&a);
    ASK(&a.w, 1, a.driver, MSG_ACTOR_SUBSCRIBE, actor_subscribe_encode, &subscribe);
    sent_clear(&a.w);
    pass(&a.w, 6 * USEC_PER_SEC); /* none came */
    ActorInfoReply reply;
    ANSWER(&a.w, MSG_ACTOR_INFO_REPLY, actor_info_reply_decode, &reply);
    CHECK_INT(reply.info.state, ACTOR_STATE_DEAD);
    world_done(&a.w);
}

static void test_actor_life(void **state) {
    ActorWorld a;
    actor_world_init(&a);
    actor_register(&a, "name", 1, false);
    sent_of(&a.w, MSG_ACTOR_INFO_REPLY);
    ActorSubscribe subscribe = { .actor = a.actor };
    ASK(&a.w, 1, a.driver, MSG_ACTOR_SUBSCRIBE, actor_subscribe_encode, &subscribe);
    actor_create(&a, 1);
    CHECK_INT(actor_get(&a).state, ACTOR_STATE_PENDING_CREATION);
    actor_create(&a, 1); /* a resend starts nothing */
    CHECK(!find_sent(&a.w, MSG_ACTOR_START));
    world_done(&a.w);

    actor_world_init(&a);
    actor_register(&a, "name", 1, false);
    ASK(&a.w, 1, a.driver, MSG_ACTOR_SUBSCRIBE, actor_subscribe_encode,
        &(ActorSubscribe){ .actor = a.actor });
    actor_create(&a, 1);
    start_succeeds(&a, a.raylet | 9);
    CHECK_INT(sent_of(&a.w, MSG_ACTOR_INFO_REPLY)->header.destination, a.driver);
    CHECK_INT(actor_get(&a).state, ACTOR_STATE_ALIVE);
    CHECK_INT(actor_get(&a).worker, a.raylet | 9);
    peer_dies(&a, a.raylet | 9, "crashed"); /* restarts once */
    start_succeeds(&a, a.raylet | 10);
    CHECK_INT(actor_get(&a).restarts, 1);
    CHECK_INT(actor_get(&a).state, ACTOR_STATE_ALIVE);
    peer_dies(&a, a.raylet | 10, "crashed again");
    ActorInfo info = actor_get(&a);
    CHECK_INT(info.state, ACTOR_STATE_DEAD);
    CHECK_INT(info.death_kind, DEATH_KIND_WORKER_DIED);
    CHECK(slice_eq_str(info.death_text,
                       "The actor is dead because its worker process has died. Worker exit type: "
                       "SYSTEM_ERROR Worker exit detail: crashed again"));
    world_done(&a.w);
}

static void test_actor_names(void **state) {
    ActorWorld a;
    actor_world_init(&a);
    actor_register(&a, "n", 0, false);
    ActorId first = a.actor;
    actor_register(&a, "n", 0, false);
    check_status(&a.w, STATUS_CODE_EXISTS);
    ActorKill kill = { .actor = first, .no_restart = true };
    ASK(&a.w, 1, a.driver, MSG_ACTOR_KILL, actor_kill_encode, &kill);
    check_status(&a.w, STATUS_CODE_OK);
    actor_register(&a, "n", 0, false); /* free again */
    sent_of(&a.w, MSG_ACTOR_INFO_REPLY);
    ActorList list = { .name_only = true, .all_namespaces = true };
    ASK(&a.w, 1, a.driver, MSG_ACTOR_LIST, actor_list_encode, &list);
    Actors actors;
    ANSWER(&a.w, MSG_ACTORS, actors_decode, &actors);
    CHECK_INT(actors.actors_len, 1);
    world_done(&a.w);
}

static void test_actor_waits_for_room(void **state) {
    ActorWorld a;
    actor_world_init(&a);
    actor_register(&a, "", 0, false);
    actor_create(&a, 3); /* the node has 2 */
    CHECK(!find_sent(&a.w, MSG_ACTOR_START));
    world_done(&a.w);

    actor_world_init(&a);
    report(&a.w, 1, a.raylet, 0.5);
    actor_register(&a, "", 0, false);
    actor_create(&a, 1);
    CHECK(!find_sent(&a.w, MSG_ACTOR_START));
    report(&a.w, 1, a.raylet, 2);
    start_refused(&a, STATUS_CODE_BUSY); /* the view was old */
    CHECK(!find_sent(&a.w, MSG_ACTOR_START));
    report(&a.w, 1, a.raylet, 2);
    start_succeeds(&a, a.raylet | 9);
    CHECK_INT(actor_get(&a).state, ACTOR_STATE_ALIVE);
    world_done(&a.w);
}

static void actor_kill_now(void *ctx) {
    ActorWorld *a = ctx;
    ActorKill kill = { .actor = a->actor, .no_restart = true };
    _cleanup_buf_ Buf body = { 0 };
    actor_kill_encode(&kill, &body);
    FrameHeader header = { .type = MSG_ACTOR_KILL,
                           .flags = FRAME_CALL,
                           .stream = ++a->w.stream,
                           .source = a->driver,
                           .destination = PEER_GCS };
    give(&a->w, 1, &header, &body);
}

/* After the pick of a node, before the log has it. */
static void actor_later(void *ctx) {
    ActorWorld *a = ctx;
    loop_defer(a->w.loop, actor_kill_now, a);
}

static void test_actor_killed_before_its_node_was_asked(void **state) {
    ActorWorld a;
    actor_world_init(&a);
    actor_register(&a, "", 0, false);
    sent_clear(&a.w);
    loop_defer(a.w.loop, actor_later, &a);
    actor_create(&a, 2); /* all that the node has */
    CHECK(!find_sent(&a.w, MSG_ACTOR_START));
    actor_register(&a, "", 0, false);
    actor_create(&a, 2); /* the node has nothing new to report */
    sent_of(&a.w, MSG_ACTOR_START);
    world_done(&a.w);
}

static void test_actor_start_fails(void **state) {
    ActorWorld a;
    actor_world_init(&a);
    actor_register(&a, "", 5, false);
    actor_create(&a, 0);
    ActorStarted started = { .failed = true, .error = SLICE("pickled"), .worker = a.raylet | 3 };
    _cleanup_buf_ Buf body = { 0 };
    actor_started_encode(&started, &body);
    answer_start(&a, MSG_ACTOR_STARTED, 0, &body);
    ActorInfo info = actor_get(&a);
    CHECK_INT(info.state, ACTOR_STATE_DEAD); /* __init__ is not tried again */
    CHECK_INT(info.death_kind, DEATH_KIND_INIT_FAILED);
    CHECK(slice_eq_str(info.death_error, "pickled"));

    actor_register(&a, "", 5, false);
    actor_create(&a, 0);
    start_refused(&a, STATUS_CODE_INVALID);
    CHECK_INT(actor_get(&a).death_kind, DEATH_KIND_ENV_FAILED);
    world_done(&a.w);
}

static void test_actor_ends_with_owner(void **state) {
    ActorWorld a;
    actor_world_init(&a);
    actor_register(&a, "mine", 5, false);
    ActorId mine = a.actor;
    actor_create(&a, 0);
    start_succeeds(&a, a.raylet | 9);
    actor_register(&a, "detached", 0, true);
    ActorId detached = a.actor;
    actor_create(&a, 0);
    start_succeeds(&a, a.raylet | 10);
    peer_dies(&a, a.driver, "the driver ended");
    sent_of(&a.w, MSG_WORKER_KILL);
    a.actor = mine;
    CHECK_INT(actor_get(&a).state, ACTOR_STATE_DEAD);
    a.actor = detached;
    CHECK_INT(actor_get(&a).state, ACTOR_STATE_ALIVE);
    world_done(&a.w);
}

static void test_actor_node_dies(void **state) {
    ActorWorld a;
    actor_world_init(&a);
    report(&a.w, 1, a.raylet, 0);
    PeerId other = join(&a.w, 2, false);
    actor_register(&a, "", 1, false);
    actor_create(&a, 1);
    CHECK_INT(sent_of(&a.w, MSG_ACTOR_START)->conn, 2);
    start_succeeds(&a, other | 4);
    gcs_disconnected(a.w.gcs, 2);
    report(&a.w, 1, a.raylet, 2);
    sent_clear(&a.w);
    pass(&a.w, 2 * USEC_PER_SEC);
    CHECK_INT(sent_of(&a.w, MSG_ACTOR_START)->conn, 1); /* begins again here */
    start_succeeds(&a, a.raylet | 4);
    CHECK_INT(actor_get(&a).restarts, 1);
    world_done(&a.w);
}

static void test_actor_out_of_scope(void **state) {
    ActorWorld a;
    actor_world_init(&a);
    actor_register(&a, "", -1, false);
    actor_create(&a, 0);
    start_succeeds(&a, a.raylet | 9);
    ActorOutOfScope message = { .actor = a.actor };
    ASK(&a.w, 1, a.raylet | 77, MSG_ACTOR_OUT_OF_SCOPE, actor_out_of_scope_encode, &message);
    CHECK_INT(actor_get(&a).state, ACTOR_STATE_ALIVE); /* not the owner's word */
    ASK(&a.w, 1, a.driver, MSG_ACTOR_OUT_OF_SCOPE, actor_out_of_scope_encode, &message);
    CHECK_INT(sent_of(&a.w, MSG_WORKER_EXIT)->header.destination, a.raylet | 9);
    CHECK_INT(actor_get(&a).death_kind, DEATH_KIND_OUT_OF_SCOPE);
    world_done(&a.w);
}

/* Its owner asks once. */
static void test_out_of_scope_is_logged_before_it_is_answered(void **state) {
    ActorWorld a;
    actor_world_init(&a);
    actor_register(&a, "", -1, false);
    ActorOutOfScope message = { .actor = a.actor };
    _cleanup_buf_ Buf body = { 0 };
    actor_out_of_scope_encode(&message, &body);
    FrameHeader header = { .type = MSG_ACTOR_OUT_OF_SCOPE,
                           .flags = FRAME_CALL,
                           .stream = ++a.w.stream,
                           .source = a.driver,
                           .destination = PEER_GCS };
    sent_clear(&a.w);
    give(&a.w, 1, &header, &body);
    CHECK(!find_sent(&a.w, MSG_STATUS));
    pass(&a.w, 0);
    check_status(&a.w, STATUS_CODE_OK);
    world_done(&a.w);
}

static void test_actor_survives_gcs(void **state) {
    ActorWorld a;
    actor_world_init(&a);
    actor_register(&a, "alive", 0, true);
    ActorId alive = a.actor;
    actor_create(&a, 0);
    start_succeeds(&a, a.raylet | 9);
    actor_register(&a, "starting", 0, true);
    ActorId starting = a.actor;
    actor_create(&a, 1);
    sent_of(&a.w, MSG_ACTOR_START);
    restart(&a.w);
    CHECK(join(&a.w, 1, true) == a.raylet);
    sent_of(&a.w, MSG_ACTOR_START); /* begun again; the raylet knows it */
    start_succeeds(&a, a.raylet | 10);
    a.actor = alive;
    CHECK_INT(actor_get(&a).worker, a.raylet | 9);
    a.actor = starting;
    CHECK_INT(actor_get(&a).worker, a.raylet | 10);
    world_done(&a.w);
}

int main(void) {
    return TEST_RUN(
        TEST(test_subscription_before_registration), TEST(test_actor_life), TEST(test_actor_names),
        TEST(test_actor_waits_for_room), TEST(test_actor_killed_before_its_node_was_asked),
        TEST(test_actor_start_fails), TEST(test_actor_ends_with_owner), TEST(test_actor_node_dies),
        TEST(test_actor_out_of_scope), TEST(test_out_of_scope_is_logged_before_it_is_answered),
        TEST(test_actor_survives_gcs));
}
