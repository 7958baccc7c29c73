/* SPDX-License-Identifier: Apache-2.0 */
#include "gcs/gcs_world.h"

/* ---- connections ---- */

static void test_hello(void **state) {
    World w;
    world_init(&w);
    hello(&w, 1, ROLE_CLI, SLICE("secret"));
    Welcome welcome;
    ANSWER(&w, MSG_WELCOME, welcome_decode, &welcome);
    CHECK(slice_eq_str(welcome.session_name, "session_x"));
    hello(&w, 2, ROLE_CLI, SLICE("secreT"));
    check_status(&w, STATUS_CODE_DENIED);
    CHECK_INT(w.closed.len, 1);
    gcs_connected(w.gcs, 3);
    feed(&w, 3, 0, MSG_NODE_LIST, FRAME_CALL, NULL); /* nothing before hello */
    CHECK_INT(w.closed.len, 2);
    gcs_connected(w.gcs, 4);
    Hello old = { .version_low = 7, .version_high = 9, .role = ROLE_CLI };
    ASK(&w, 4, 0, MSG_HELLO, hello_encode, &old);
    check_status(&w, STATUS_CODE_UNSUPPORTED);
    world_done(&w);
}

static void test_bad_bodies(void **state) {
    World w;
    world_init(&w);
    PeerId raylet = join(&w, 1, true);
    _cleanup_buf_ Buf junk = { 0 };
    buf_add(&junk, "\1\0\377\377\377\377\377\377", 8);
    for (unsigned type = 1; type < 256; type++) {
        if (message_max(type) == 0 || type == MSG_HELLO)
            continue;
        sent_clear(&w);
        feed(&w, 1, raylet, (MessageType)type, FRAME_CALL, &junk);
    }
    sent_clear(&w);
    feed(&w, 1, raylet, MSG_PING, FRAME_CALL, NULL);
    check_status(&w, STATUS_CODE_OK);
    world_done(&w);
}

static void test_relay_and_false_source(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true), b = join(&w, 2, false);
    sent_clear(&w);
    FrameHeader header = { .type = MSG_CALL, .source = a | 5, .destination = b | 6 };
    gcs_frame(w.gcs, 1, &header, SLICE("body"));
    const Sent *sent = sent_of(&w, MSG_CALL);
    CHECK_INT(sent->conn, 2);
    CHECK(sent->header.source == (a | 5) && slice_eq_str(buf_slice(&sent->body), "body"));
    sent_clear(&w);
    header.source = b | 5; /* node 1 does not speak for node 2 */
    gcs_frame(w.gcs, 1, &header, SLICE("body"));
    CHECK_INT(w.sent.len, 0);
    world_done(&w);
}

/* ---- nodes ---- */

static NodeState state_of(World *w, int i) {
    hello(w, 99, ROLE_CLI, SLICE("secret"));
    sent_clear(w);
    feed(w, 99, 0, MSG_NODE_LIST, FRAME_CALL, NULL);
    NodeView view;
    ANSWER(w, MSG_NODE_VIEW, node_view_decode, &view);
    gcs_disconnected(w->gcs, 99);
    NodeId id = node_id(i);
    for (size_t n = 0; n < view.nodes_len; n++)
        if (id_equal(&view.nodes[n].node, &id))
            return (NodeState)view.nodes[n].state;
    fail_msg("node %d is not listed", i);
    return 0;
}

static void test_node_life(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true), b = join(&w, 2, false);
    CHECK(a != b);
    sent_clear(&w);
    report(&w, 2, b, 1.5);
    const Sent *view = sent_of(&w, MSG_NODE_VIEW); /* the other hears, it itself does not */
    CHECK_INT(view->conn, 1);
    for (int i = 0; i < 10; i++) {                 /* only node 1 keeps alive */
        pass(&w, 3 * USEC_PER_SEC);
        feed(&w, 1, a, MSG_PING, FRAME_CALL, NULL);
    }
    CHECK_INT(state_of(&w, 1), NODE_STATE_ALIVE);
    CHECK_INT(state_of(&w, 2), NODE_STATE_DEAD);
    CHECK_INT(w.closed.items[0], 2);
    hello(&w, 3, ROLE_RAYLET, SLICE("secret")); /* dead is for good */
    ask_register(&w, 3, 2, false);
    check_status(&w, STATUS_CODE_DEAD);
    world_done(&w);
}

static void test_lost_connection(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    gcs_disconnected(w.gcs, 1);
    pass(&w, 500 * USEC_PER_MSEC);
    PeerId again = join(&w, 1, true);
    CHECK(again == a);
    pass(&w, 2 * USEC_PER_SEC);
    CHECK_INT(state_of(&w, 1), NODE_STATE_ALIVE);
    gcs_disconnected(w.gcs, 1);
    pass(&w, 2 * USEC_PER_SEC);
    CHECK_INT(state_of(&w, 1), NODE_STATE_DEAD);
    world_done(&w);
}

/* ---- jobs ---- */

static void test_jobs(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    JobId one = add_job(&w, 1, a | 1), same = add_job(&w, 1, a | 1), two = add_job(&w, 1, a | 2);
    CHECK_INT(job_id_number(&one), 1);
    CHECK(id_equal(&one, &same));
    CHECK_INT(job_id_number(&two), 2);
    JobFinish finish = { .job = one };
    ASK(&w, 1, a, MSG_JOB_FINISH, job_finish_encode, &finish);
    sent_of(&w, MSG_JOB_FINISHED);
    restart(&w);
    a = join(&w, 1, true);
    JobId three = add_job(&w, 1, a | 3);
    CHECK_INT(job_id_number(&three), 3);
    sent_clear(&w);
    feed(&w, 1, a, MSG_JOB_TABLE_GET, FRAME_CALL, NULL);
    JobTable table;
    ANSWER(&w, MSG_JOB_TABLE, job_table_decode, &table);
    CHECK_INT(table.jobs_len, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(table.jobs[i].finished, id_equal(&table.jobs[i].job, &one));
    world_done(&w);
}

/* ---- key-value ---- */

static KvReply kv_answer(World *w) {
    KvReply reply;
    ANSWER(w, MSG_KV_REPLY, kv_reply_decode, &reply);
    return reply;
}

static KvReply space_put(World *w, const char *key, const char *value, bool overwrite) {
    KvPut put = { .space = SLICE("s"),
                  .key = slice_str(key),
                  .value = slice_str(value),
                  .overwrite = overwrite };
    ASK(w, 50, 0, MSG_KV_PUT, kv_put_encode, &put);
    return kv_answer(w);
}

static void test_space(void **state) {
    World w;
    world_init(&w);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    CHECK_INT(space_put(&w, "a1", "x", false).count, 1);
    CHECK_INT(space_put(&w, "a1", "y", false).count, 0);
    CHECK_INT(space_put(&w, "a2", "z", true).count, 1);
    CHECK_INT(space_put(&w, "b", "z", true).count, 1);
    KvGet get = { .space = SLICE("s"), .key = SLICE("a1") };
    ASK(&w, 50, 0, MSG_KV_GET, kv_get_encode, &get);
    CHECK(slice_eq_str(kv_answer(&w).value, "x"));
    KvKeys keys = { .space = SLICE("s"), .prefix = SLICE("a") };
    ASK(&w, 50, 0, MSG_KV_KEYS, kv_keys_encode, &keys);
    KvReply found = kv_answer(&w);
    CHECK_INT(found.keys_len, 2);
    CHECK(slice_eq_str(found.keys[1], "a2"));
    KvDel del = { .space = SLICE("s"), .key = SLICE("a") };
    ASK(&w, 50, 0, MSG_KV_DEL, kv_del_encode, &del);
    CHECK_INT(kv_answer(&w).count, 0);
    del.prefix = true;
    ASK(&w, 50, 0, MSG_KV_DEL, kv_del_encode, &del);
    CHECK_INT(kv_answer(&w).count, 2);
    get.space = SLICE("s\0t");
    ASK(&w, 50, 0, MSG_KV_GET, kv_get_encode, &get);
    check_status(&w, STATUS_CODE_INVALID);
    world_done(&w);
}

/* ---- pub/sub ---- */

static void test_publish(void **state) {
    World w;
    world_init(&w);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    hello(&w, 51, ROLE_CLI, SLICE("secret"));
    Subscribe subscribe = { .channel = SLICE("c"), .key = SLICE("k") };
    ASK(&w, 50, 0, MSG_SUBSCRIBE, subscribe_encode, &subscribe);
    check_status(&w, STATUS_CODE_OK);
    Publish publish = { .channel = SLICE("c"), .key = SLICE("k"), .payload = SLICE("p") };
    ASK(&w, 51, 0, MSG_PUBLISH, publish_encode, &publish);
    CHECK_INT(sent_of(&w, MSG_PUBLISH)->conn, 50);
    publish.key = SLICE("other");
    ASK(&w, 51, 0, MSG_PUBLISH, publish_encode, &publish);
    CHECK(!find_sent(&w, MSG_PUBLISH));
    gcs_disconnected(w.gcs, 50);
    publish.key = SLICE("k");
    ASK(&w, 51, 0, MSG_PUBLISH, publish_encode, &publish);
    CHECK(!find_sent(&w, MSG_PUBLISH));
    world_done(&w);
}

/* ---- actors ---- */

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
    gcs_frame(a->w.gcs, conn, &header, buf_slice(body));
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
    gcs_frame(a->w.gcs, 1, &header, buf_slice(&body));
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

/* ---- submitted jobs ---- */

static void submit(World *w, const char *id, const char *entrypoint) {
    SubmitJob message = { .submission = slice_str(id), .entrypoint = slice_str(entrypoint) };
    ASK(w, 50, 0, MSG_SUBMIT_JOB, submit_job_encode, &message);
}

static const char *record(World *w, const char *id) {
    SubmissionGet get = { .submission = slice_str(id) };
    ASK(w, 50, 0, MSG_SUBMISSION_GET, submission_get_encode, &get);
    SubmittedJob job;
    ANSWER(w, MSG_SUBMITTED_JOB, submitted_job_decode, &job);
    return arena_dup(&w->arena, job.record.data, job.record.len);
}

static void report_state(World *w, PeerId raylet, const char *status, int code) {
    JobRunState message = { .submission = SLICE("j1"),
                            .status = slice_str(status),
                            .message = SLICE("as it is"),
                            .exit_code = code,
                            .has_exit_code = true };
    ASK(w, 1, raylet, MSG_JOB_RUN_STATE, job_run_state_encode, &message);
}

static void run_state(World *w, PeerId raylet, const char *status, int code) {
    report_state(w, raylet, status, code);
    check_status(w, STATUS_CODE_OK);
}

static void test_submission(void **state) {
    World w;
    world_init(&w);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    submit(&w, "j1", "python x.py");
    sent_of(&w, MSG_SUBMITTED_JOB);
    CHECK(!find_sent(&w, MSG_JOB_RUN)); /* no head yet */
    submit(&w, "j1", "python x.py");
    check_status(&w, STATUS_CODE_EXISTS);
    submit(&w, "a/b", "x");
    check_status(&w, STATUS_CODE_INVALID);
    submit(&w, "", "");
    check_status(&w, STATUS_CODE_INVALID);
    restart(&w);
    PeerId raylet = join(&w, 1, true);
    CHECK_INT(sent_of(&w, MSG_JOB_RUN)->conn, 1);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    CHECK(strstr(record(&w, "j1"), "\"status\":\"PENDING\""));
    run_state(&w, raylet, "RUNNING", 0);
    SubmissionDelete del = { .submission = SLICE("j1") };
    ASK(&w, 50, 0, MSG_SUBMISSION_DELETE, submission_delete_encode, &del);
    check_status(&w, STATUS_CODE_BUSY);
    SubmissionStop stop = { .submission = SLICE("j1") };
    ASK(&w, 50, 0, MSG_SUBMISSION_STOP, submission_stop_encode, &stop);
    CHECK_INT(sent_of(&w, MSG_JOB_RUN_STOP)->conn, 1);
    run_state(&w, raylet, "FAILED", 3);
    report_state(&w, raylet, "RUNNING", 0); /* over is over */
    check_status(&w, STATUS_CODE_DEAD);
    const char *text = record(&w, "j1");
    CHECK(strstr(text, "\"status\":\"FAILED\"") && strstr(text, "\"driver_exit_code\":3"));
    ASK(&w, 50, 0, MSG_SUBMISSION_STOP, submission_stop_encode, &stop);
    check_status(&w, STATUS_CODE_BUSY);
    ASK(&w, 50, 0, MSG_SUBMISSION_DELETE, submission_delete_encode, &del);
    check_status(&w, STATUS_CODE_OK);
    world_done(&w);
}

static void test_submission_node_dies(void **state) {
    World w;
    world_init(&w);
    join(&w, 1, true);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    submit(&w, "j1", "python x.py");
    gcs_disconnected(w.gcs, 1);
    pass(&w, 2 * USEC_PER_SEC);
    CHECK(strstr(record(&w, "j1"), "\"status\":\"FAILED\""));
    world_done(&w);
}

static void submit_cpus(World *w, const char *id, double cpus) {
    Resource cpu = { SLICE("CPU"), (int64_t)(cpus * (double)QUANTITY_ONE) };
    SubmitJob message = { .submission = slice_str(id),
                          .entrypoint = SLICE("python x.py"),
                          .resources = &cpu,
                          .resources_len = 1 };
    ASK(w, 50, 0, MSG_SUBMIT_JOB, submit_job_encode, &message);
}

/* The raylet's answer to the newest JobRun. */
static void answer_run(World *w, PeerId raylet, StatusCode code) {
    const Sent *run = sent_of(w, MSG_JOB_RUN);
    Status status = { .code = code, .text = SLICE("no room") };
    _cleanup_buf_ Buf body = { 0 };
    status_encode(&status, &body);
    FrameHeader header = { .type = MSG_STATUS,
                           .flags = FRAME_REPLY | FRAME_ERROR,
                           .length = (uint32_t)body.len,
                           .stream = run->header.stream,
                           .source = raylet,
                           .destination = PEER_GCS };
    sent_clear(w);
    gcs_frame(w->gcs, 1, &header, buf_slice(&body));
    pass(w, 0);
}

static void test_submission_waits_for_room(void **state) {
    World w;
    world_init(&w);
    PeerId raylet = join(&w, 1, true); /* 2 CPUs */
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    submit_cpus(&w, "j1", 2);
    JobRun run;
    ANSWER(&w, MSG_JOB_RUN, job_run_decode, &run);
    CHECK_INT(run.resources_len, 1);
    CHECK_INT(run.resources[0].amount, 2 * QUANTITY_ONE);
    answer_run(&w, raylet, STATUS_CODE_OK);
    submit_cpus(&w, "j2", 1); /* the first is counted in although the node has not said so yet */
    CHECK(!find_sent(&w, MSG_JOB_RUN));
    CHECK(strstr(record(&w, "j2"), "It may be waiting for resources (CPUs, GPUs, memory, custom "
                                   "resources) to become available.\""));
    sent_clear(&w);
    report(&w, 1, raylet, 2);
    CHECK(sent_of(&w, MSG_JOB_RUN));
    answer_run(&w, raylet, STATUS_CODE_BUSY); /* the view was old */
    CHECK(strstr(record(&w, "j2"), "\"driver_node_id\":null"));
    report(&w, 1, raylet, 0);
    CHECK(!find_sent(&w, MSG_JOB_RUN));
    restart(&w); /* it waits on */
    raylet = join(&w, 1, true);
    CHECK(sent_of(&w, MSG_JOB_RUN));
    world_done(&w);
}

static void test_submission_asked_for_is_asked_again(void **state) {
    World w;
    world_init(&w);
    join(&w, 1, true);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    submit(&w, "j1", "python x.py");
    sent_of(&w, MSG_JOB_RUN);
    restart(&w); /* without the answer */
    PeerId raylet = join(&w, 1, true);
    answer_run(&w, raylet, STATUS_CODE_OK);
    run_state(&w, raylet, "RUNNING", 0);
    restart(&w);
    join(&w, 1, true);
    CHECK(!find_sent(&w, MSG_JOB_RUN));
    world_done(&w);
}

static void test_submission_stopped_before_it_began(void **state) {
    World w;
    world_init(&w);
    PeerId raylet = join(&w, 1, true);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    submit_cpus(&w, "j1", 1);
    SubmissionStop stop = { .submission = SLICE("j1") };
    _cleanup_buf_ Buf body = { 0 };
    submission_stop_encode(&stop, &body);
    feed(&w, 50, 0, MSG_SUBMISSION_STOP, FRAME_CALL, &body);
    answer_run(&w, raylet, STATUS_CODE_BUSY);
    CHECK(strstr(record(&w, "j1"), "\"status\":\"STOPPED\""));
    world_done(&w);
}

static void test_submission_stop_is_told_again(void **state) {
    World w;
    world_init(&w);
    PeerId raylet = join(&w, 1, true);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    submit(&w, "j1", "python x.py");
    answer_run(&w, raylet, STATUS_CODE_OK);
    run_state(&w, raylet, "RUNNING", 0);
    SubmissionStop stop = { .submission = SLICE("j1") };
    ASK(&w, 50, 0, MSG_SUBMISSION_STOP, submission_stop_encode, &stop);
    sent_of(&w, MSG_JOB_RUN_STOP);
    gcs_disconnected(w.gcs, 1); /* and it was on its way */
    raylet = join(&w, 1, true);
    sent_of(&w, MSG_JOB_RUN_STOP);
    CHECK(!find_sent(&w, MSG_JOB_RUN));
    run_state(&w, raylet, "STOPPED", 0);
    CHECK(strstr(record(&w, "j1"), "\"status\":\"STOPPED\""));
    world_done(&w);
}

/* Its node's connection broke with the question on its way: a stop before the question says nothing. */
static void test_submission_stop_follows_the_question(void **state) {
    World w;
    world_init(&w);
    join(&w, 1, true);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    submit(&w, "j1", "python x.py");
    sent_of(&w, MSG_JOB_RUN);
    gcs_disconnected(w.gcs, 1);
    SubmissionStop stop = { .submission = SLICE("j1") };
    ASK(&w, 50, 0, MSG_SUBMISSION_STOP, submission_stop_encode, &stop);
    sent_clear(&w);
    join(&w, 1, true);
    const Sent *run = sent_of(&w, MSG_JOB_RUN), *told = sent_of(&w, MSG_JOB_RUN_STOP);
    CHECK(told > run); /* as they were sent */
    world_done(&w);
}

static void test_submission_that_nothing_can_take(void **state) {
    World w;
    world_init(&w);
    PeerId raylet = join(&w, 1, true);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    submit_cpus(&w, "j1", 64);
    CHECK(strstr(record(&w, "j1"), "The entrypoint needs 64.0 CPU where no node has more than 2.0: "
                                   "add a node that has it, or stop the job and ask for less."));
    for (int i = 0; i < 16 * 60; i++) {
        pass(&w, USEC_PER_SEC);
        feed(&w, 1, raylet, MSG_PING, FRAME_CALL, NULL);
    }
    CHECK(strstr(record(&w, "j1"), "\"status\":\"FAILED\""));
    CHECK(strstr(record(&w, "j1"), "failed to start within 900 seconds."));
    world_done(&w);
}

int main(void) {
    return TEST_RUN(
        TEST(test_hello), TEST(test_bad_bodies), TEST(test_relay_and_false_source),
        TEST(test_node_life), TEST(test_lost_connection), TEST(test_jobs), TEST(test_space),
        TEST(test_publish), TEST(test_subscription_before_registration), TEST(test_actor_life),
        TEST(test_actor_names), TEST(test_actor_waits_for_room),
        TEST(test_actor_killed_before_its_node_was_asked), TEST(test_actor_start_fails),
        TEST(test_actor_ends_with_owner), TEST(test_actor_node_dies), TEST(test_actor_out_of_scope),
        TEST(test_actor_survives_gcs), TEST(test_submission), TEST(test_submission_node_dies),
        TEST(test_submission_waits_for_room), TEST(test_submission_asked_for_is_asked_again),
        TEST(test_submission_stopped_before_it_began), TEST(test_submission_stop_is_told_again),
        TEST(test_submission_stop_follows_the_question),
        TEST(test_submission_that_nothing_can_take));
}
