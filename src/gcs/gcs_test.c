/* SPDX-License-Identifier: Apache-2.0 */
#include "gcs/gcs_private.h"
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
        if (message_max(type) == 0 || type == MSG_HELLO || type == MSG_LINK_ACK)
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
    Buf body = { .data = (char[]){ "body" }, .len = 4 };
    give(&w, 1, &header, &body);
    const Sent *sent = sent_of(&w, MSG_CALL);
    CHECK_INT(sent->conn, 2);
    CHECK(sent->header.source == (a | 5) && slice_eq_str(buf_slice(&sent->body), "body"));
    sent_clear(&w);
    header.source = b | 5; /* node 1 does not speak for node 2 */
    give(&w, 1, &header, &body);
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

/* On a slow line its keep-alives are behind a frame that takes its time. */
static void test_a_long_frame_is_a_sign_of_life(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true), b = join(&w, 2, false);
    for (int i = 0; i < 20; i++) {
        w.arriving[1] += 100000;
        pass(&w, 3 * USEC_PER_SEC);
        FrameHeader header = { .type = MSG_CALL, .source = b, .destination = a };
        give(&w, 2, &header, NULL); /* what is for others as well */
    }
    CHECK_INT(state_of(&w, 1), NODE_STATE_ALIVE);
    CHECK_INT(state_of(&w, 2), NODE_STATE_ALIVE);
    for (int i = 0; i < 20; i++) { /* it does not move any more */
        pass(&w, USEC_PER_SEC);
        feed(&w, 2, b, MSG_PING, FRAME_CALL, NULL);
    }
    CHECK_INT(state_of(&w, 1), NODE_STATE_DEAD);
    CHECK_INT(state_of(&w, 2), NODE_STATE_ALIVE);
    world_done(&w);
}

static void test_progress(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true), b = join(&w, 2, false);
    w.progress[2] = 12345;
    ASK(&w, 1, a, MSG_LINK_PROGRESS, link_progress_encode, &(LinkProgress){ .peer = b });
    LinkProgress progress;
    ANSWER(&w, MSG_LINK_PROGRESS, link_progress_decode, &progress);
    CHECK_INT(progress.progress, 12345);
    gcs_disconnected(w.gcs, 2);
    ASK(&w, 1, a, MSG_LINK_PROGRESS, link_progress_encode, &(LinkProgress){ .peer = b });
    ANSWER(&w, MSG_LINK_PROGRESS, link_progress_decode, &progress);
    CHECK_INT(progress.progress, 0);
    PeerId nobody = peer_make(7, 1, 0);
    ASK(&w, 1, a, MSG_LINK_PROGRESS, link_progress_encode, &(LinkProgress){ .peer = nobody });
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

/* What a node is sent while it has no connection comes when it has one again, once. */
static void test_link_goes_on(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true), b = join(&w, 2, false);
    acknowledge(&w, 2);
    End link = w.ends[2];
    gcs_disconnected(w.gcs, 2);
    sent_clear(&w);
    FrameHeader header = { .type = MSG_CALL, .source = a | 5, .destination = b | 6 };
    give(&w, 1, &header, NULL);
    CHECK(!find_sent(&w, MSG_CALL));
    pass(&w, 500 * USEC_PER_MSEC);
    hello_on(&w, 3, ROLE_RAYLET, SLICE("secret"), &link);
    CHECK_INT(sent_of(&w, MSG_CALL)->conn, 3);
    pass(&w, 2 * USEC_PER_SEC);
    CHECK_INT(state_of(&w, 2), NODE_STATE_ALIVE);
    link = w.ends[3];
    acknowledge(&w, 3);
    hello_on(&w, 4, ROLE_RAYLET, SLICE("secret"), &link); /* the former is not known to be broken */
    CHECK(!find_sent(&w, MSG_CALL));
    CHECK_INT(w.closed.items[w.closed.len - 1], 3);
    header.source = b | 6;
    header.destination = a | 5;
    sent_clear(&w);
    give(&w, 4, &header, NULL);
    CHECK_INT(sent_of(&w, MSG_CALL)->conn, 1);
    world_done(&w);
}

static void test_link_rules(void **state) {
    World w;
    world_init(&w);
    join(&w, 1, true);
    PeerId b = join(&w, 2, false);
    acknowledge(&w, 2);
    End link = w.ends[2], wrong = link;
    wrong.received++;
    hello_on(&w, 3, ROLE_RAYLET, SLICE("secret"), &wrong); /* it can't have that */
    check_status(&w, STATUS_CODE_INVALID);
    CHECK_INT(w.closed.items[0], 3);
    feed(&w, 2, b, MSG_PING, FRAME_CALL, NULL); /* who that was did no harm */
    check_status(&w, STATUS_CODE_OK);
    End none = { 0 };
    hello_on(&w, 4, ROLE_RAYLET, SLICE("secret"), &none);
    check_status(&w, STATUS_CODE_INVALID);
    w.ends[2].sent++; /* one is missing */
    vec_clear(&w.closed);
    feed(&w, 2, b, MSG_PING, FRAME_CALL, NULL);
    CHECK_INT(w.closed.items[0], 2);
    link.received = w.ends[2].received;
    hello_on(&w, 5, ROLE_RAYLET, SLICE("secret"), &link);
    feed(&w, 5, b, MSG_PING, FRAME_CALL, NULL);
    check_status(&w, STATUS_CODE_OK);
    FrameHeader ack = { .type = MSG_LINK_ACK, .sequence = 1000 };
    vec_clear(&w.closed);
    gcs_frame(w.gcs, 5, &ack, (Slice){ 0 }); /* of what was not sent */
    CHECK_INT(w.closed.items[0], 5);
    hello(&w, 7, ROLE_CLI, SLICE("secret")); /* it has no link, and speaks for none */
    ack.destination = b;
    vec_clear(&w.closed);
    gcs_frame(w.gcs, 7, &ack, (Slice){ 0 });
    CHECK_INT(w.closed.items[0], 7);
    link.other++; /* it was with another gcs meanwhile: a new link, and a new registration */
    hello_on(&w, 6, ROLE_RAYLET, SLICE("secret"), &link);
    CHECK_INT(w.ends[6].sent, 0);
    w.ends[6].received = w.ends[6].told = 0;
    ask_register(&w, 6, 2, false);
    sent_of(&w, MSG_NODE_REGISTERED);
    world_done(&w);
}

/* Who reported a death is answered when all have heard of it. */
static void test_deaths_are_heard(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    join(&w, 2, false);
    join(&w, 3, false);
    for (GcsConnId conn = 1; conn <= 3; conn++)
        acknowledge(&w, conn);
    PeerDead dead = { .peer = a | 5 };
    ASK(&w, 1, a, MSG_PEER_DEAD, peer_dead_encode, &dead);
    acknowledge(&w, 2);
    pass(&w, 0);
    CHECK(!find_sent(&w, MSG_STATUS));
    End link = w.ends[3];
    link.received--; /* it was on its way */
    gcs_disconnected(w.gcs, 3);
    hello_on(&w, 4, ROLE_RAYLET, SLICE("secret"), &link);
    sent_of(&w, MSG_PEER_DEAD);
    pass(&w, 0);
    CHECK(!find_sent(&w, MSG_STATUS));
    acknowledge(&w, 4);
    pass(&w, 0);
    check_status(&w, STATUS_CODE_OK);
    dead.peer = a | 6;
    ASK(&w, 1, a, MSG_PEER_DEAD, peer_dead_encode, &dead);
    acknowledge(&w, 2);
    gcs_disconnected(w.gcs, 4); /* nobody waits for the dead */
    pass(&w, 2 * USEC_PER_SEC);
    check_status(&w, STATUS_CODE_OK);
    world_done(&w);
}

/* A node that another one says takes nothing of what it is sent. */
static void test_unreachable(void **state) {
    World w;
    world_init(&w);
    PeerId a = join(&w, 1, true);
    join(&w, 2, false);
    NodeUnreachable message = { .node = node_id(2), .reason = SLICE("it is stuck") };
    ASK(&w, 1, a | 1, MSG_NODE_UNREACHABLE, node_unreachable_encode, &message);
    CHECK_INT(state_of(&w, 2), NODE_STATE_ALIVE); /* a process said so, not its raylet */
    ASK(&w, 1, a, MSG_NODE_UNREACHABLE, node_unreachable_encode, &message);
    CHECK(!(sent_of(&w, MSG_STATUS)->header.flags & FRAME_ERROR));
    CHECK_INT(state_of(&w, 2), NODE_STATE_DEAD);
    message.node = node_id(1);
    ASK(&w, 1, a, MSG_NODE_UNREACHABLE, node_unreachable_encode, &message);
    CHECK_INT(state_of(&w, 1), NODE_STATE_ALIVE);
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
    CHECK_INT(w.gcs->subscriptions_bytes, 0);
    w.gcs->subscriptions_bytes = GCS_SUBSCRIPTIONS_BYTES_MAX; /* others have so many */
    ASK(&w, 51, 0, MSG_SUBSCRIBE, subscribe_encode, &subscribe);
    check_status(&w, STATUS_CODE_FULL);
    world_done(&w);
}

/* What was never asked for is given back once, and not on top of what the node itself says is free. */
static void test_charges(void **state) {
    World w;
    world_init(&w);
    PeerId raylet = join(&w, 1, true); /* 2 CPUs */
    const NodeId id = node_id(1);
    GcsNode *node = nodes_get(w.gcs, &id);
    const Quantity *free = &node->sched.available.known[RESOURCE_CPU];
    ResourceSet one = { 0 };
    one.known[RESOURCE_CPU] = QUANTITY_ONE;
    uint32_t charged = nodes_charge(node, &one);
    CHECK_INT(*free, QUANTITY_ONE);
    nodes_uncharge(w.gcs, &id, &one, charged);
    CHECK_INT(*free, 2 * QUANTITY_ONE);
    charged = nodes_charge(node, &one);
    report(&w, 1, raylet, 2);
    nodes_uncharge(w.gcs, &id, &one, charged);
    CHECK_INT(*free, 2 * QUANTITY_ONE);
    charged = nodes_charge(node, &one);
    gcs_disconnected(w.gcs, 1);
    join(&w, 1, true); /* again: it says so anew */
    nodes_uncharge(w.gcs, &id, &one, charged);
    CHECK_INT(*free, 2 * QUANTITY_ONE);
    charged = nodes_charge(node, &one);
    gcs_disconnected(w.gcs, 1);
    pass(&w, 10 * USEC_PER_SEC); /* dead */
    nodes_uncharge(w.gcs, &id, &one, charged);
    CHECK_INT(nodes_view(w.gcs).len, 0);
    world_done(&w);
}

int main(void) {
    return TEST_RUN(TEST(test_hello), TEST(test_bad_bodies), TEST(test_relay_and_false_source),
                    TEST(test_node_life), TEST(test_a_long_frame_is_a_sign_of_life),
                    TEST(test_progress), TEST(test_lost_connection), TEST(test_link_goes_on),
                    TEST(test_link_rules), TEST(test_deaths_are_heard), TEST(test_unreachable),
                    TEST(test_jobs), TEST(test_space), TEST(test_publish), TEST(test_charges));
}
