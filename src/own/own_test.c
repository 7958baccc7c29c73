/* SPDX-License-Identifier: Apache-2.0 */
#include "own/own.h"

#include "base/test.h"

/*
 * Several processes as machines in one, messages as queues with a FIFO a pair, steps by a seed:
 * references are made, passed in calls and in values, dropped, processes die. At every step an
 * object that somebody references and whose owner lives must exist at its owner; at the end, when
 * all is dropped and delivered, nothing is left anywhere.
 */
enum {
    PEERS = 4,
    OBJECTS = 12,
    MESSAGES = 4096
};

typedef enum Kind {
    M_ADD,
    M_ADD_ACK,
    M_ACK,
    M_REMOVE,
    M_GOT,
    M_VALUE
} Kind;

typedef struct Message {
    Kind kind;
    int object, from;
} Message;

typedef struct Queue {
    Message items[MESSAGES];
    size_t head, tail;
} Queue;

typedef struct Peer {
    Own own;
    OwnRef ref[OBJECTS];
    bool known[OBJECTS];
    int kept[OBJECTS]; /* calls that may run again with it */
    bool dead;
} Peer;

static struct World {
    Peer peer[PEERS];
    Queue queue[PEERS][PEERS];
    int owner[OBJECTS];
    uint32_t seed;
} w;

static uint32_t rnd(uint32_t n) {
    w.seed = w.seed * 1664525u + 1013904223u;
    return (w.seed >> 8) % n;
}

static ObjectId id_of(int object) {
    ObjectId id = { { 0 } };
    id.byte[0] = (uint8_t)(object + 1);
    return id;
}

static PeerId peer_id(int p) {
    return (PeerId)p + 1;
}

static void post(int from, int to, Kind kind, int object) {
    Queue *q = &w.queue[from][to];
    if (w.peer[to].dead || w.peer[from].dead)
        return;
    ASSERT(q->tail - q->head < MESSAGES);
    q->items[q->tail++ % MESSAGES] = (Message){ kind, object, from };
}

static void drain(int p) {
    Own *own = &w.peer[p].own;
    for (size_t i = 0; i < own->actions.len; i++) {
        OwnAction a = own->actions.items[i];
        int object = a.object.byte[0] - 1, to = (int)a.peer - 1;
        switch (a.kind) {
        case OWN_GONE:
            w.peer[p].known[object] = false;
            break;
        case OWN_RELEASE:
            CHECK(w.peer[p].known[object]);
            break;
        case OWN_BORROW_ADD:
            post(p, to, a.ack ? M_ADD_ACK : M_ADD, object);
            break;
        case OWN_BORROW_REMOVE:
            post(p, to, M_REMOVE, object);
            break;
        case OWN_GOT:
            post(p, to, M_GOT, object);
            break;
        }
    }
    vec_clear(&own->actions);
}

static void learn(int p, int object) {
    Peer *peer = &w.peer[p];
    ObjectId id = id_of(object);
    if (peer->known[object])
        own_hold(&peer->ref[object]);
    else
        own_add(&peer->own, &peer->ref[object], &id, peer_id(w.owner[object]), NULL);
    peer->known[object] = true;
}

static void deliver(int from, int to) {
    Queue *q = &w.queue[from][to];
    if (q->head == q->tail)
        return;
    Message m = q->items[q->head++ % MESSAGES];
    Own *own = &w.peer[to].own;
    ObjectId id = id_of(m.object);
    switch (m.kind) {
    case M_ADD:
    case M_ADD_ACK:
        own_borrow_add(own, &id, peer_id(from));
        if (m.kind == M_ADD_ACK)
            post(to, from, M_ACK, m.object);
        break;
    case M_ACK:
        own_acknowledged(own, &id);
        break;
    case M_REMOVE:
        own_borrow_remove(own, &id, peer_id(from));
        break;
    case M_GOT:
        own_got(own, &id, peer_id(from));
        break;
    case M_VALUE:
        learn(to, m.object);
        own_received(own, &w.peer[to].ref[m.object], peer_id(from));
        break;
    }
    drain(to);
}

static void die(int p) {
    w.peer[p].dead = true;
    for (int other = 0; other < PEERS; other++) {
        w.queue[p][other].head = w.queue[p][other].tail;
        w.queue[other][p].head = w.queue[other][p].tail;
        if (other != p && !w.peer[other].dead) {
            own_peer_dead(&w.peer[other].own, peer_id(p));
            drain(other);
        }
    }
}

static void check_alive(void) {
    for (int p = 0; p < PEERS; p++)
        for (int o = 0; o < OBJECTS; o++) {
            int owner = w.owner[o];
            if (w.peer[p].dead || !w.peer[p].known[o] || w.peer[owner].dead ||
                own_released(&w.peer[p].ref[o]))
                continue;
            if (!w.peer[owner].known[o])
                fail_msg("seed object %d: %d references it, its owner %d freed it", o, p, owner);
        }
}

static void step(bool deaths) {
    int p = (int)rnd(PEERS), q = (int)rnd(PEERS), o = (int)rnd(OBJECTS);
    if (rnd(3)) {
        deliver(p, q);
        return;
    }
    Peer *peer = &w.peer[p];
    if (peer->dead)
        return;
    if (deaths && rnd(400) == 0) {
        die(p);
    } else if (peer->known[o] && peer->kept[o] && rnd(4) == 0) {
        peer->kept[o]--;
        own_unkeep(&peer->own, &peer->ref[o]);
        drain(p);
    } else if (peer->known[o] && peer->ref[o].local && rnd(8) == 0) {
        peer->kept[o]++;
        own_keep(&peer->ref[o]);
    } else if (peer->known[o] && peer->ref[o].local && rnd(2)) {
        if (q != p && !w.peer[q].dead && rnd(2)) {
            own_hand_over(&peer->ref[o], peer_id(q));
            post(p, q, M_VALUE, o);
        } else {
            own_drop(&peer->own, &peer->ref[o]);
            drain(p);
        }
    }
}

static void world_start(uint32_t seed) {
    memset(&w, 0, sizeof(w));
    w.seed = seed;
    for (int p = 0; p < PEERS; p++)
        own_init(&w.peer[p].own, peer_id(p));
    for (int o = 0; o < OBJECTS; o++) {
        w.owner[o] = (int)rnd(PEERS);
        learn(w.owner[o], o);
    }
}

static void let_go(int p, int o) {
    Peer *peer = &w.peer[p];
    for (; peer->known[o] && peer->kept[o]; peer->kept[o]--) {
        own_unkeep(&peer->own, &peer->ref[o]);
        drain(p);
    }
    while (peer->known[o] && peer->ref[o].local) {
        own_drop(&peer->own, &peer->ref[o]);
        drain(p);
    }
}

static void world_end(uint32_t seed) {
    for (int round = 0; round < 200; round++) {
        for (int p = 0; p < PEERS; p++) {
            for (int o = 0; o < OBJECTS && !w.peer[p].dead; o++)
                let_go(p, o);
            for (int q = 0; q < PEERS; q++)
                while (w.queue[p][q].head != w.queue[p][q].tail)
                    deliver(p, q);
        }
    }
    for (int p = 0; p < PEERS; p++)
        for (int o = 0; o < OBJECTS; o++)
            if (!w.peer[p].dead && w.peer[p].known[o])
                fail_msg("seed %u: object %d stays at peer %d", seed, o, p);
    for (int p = 0; p < PEERS; p++) {
        /* A dead peer's records go with its process. */
        for (int q = 0; q < PEERS; q++)
            own_peer_dead(&w.peer[p].own, peer_id(q));
        for (int o = 0; o < OBJECTS; o++)
            while (own_find(&w.peer[p].own, &(ObjectId){ { (uint8_t)(o + 1) } }) &&
                   w.peer[p].ref[o].local)
                own_drop(&w.peer[p].own, &w.peer[p].ref[o]);
        own_done(&w.peer[p].own);
    }
}

static void run_seeds(bool deaths) {
    for (uint32_t seed = 1; seed <= 300; seed++) {
        world_start(seed * 7919);
        for (int i = 0; i < 1500; i++) {
            step(deaths);
            check_alive();
        }
        world_end(seed);
    }
}

static void test_no_object_goes_early_and_none_stays(void **state) {
    UNUSED(state);
    run_seeds(false);
}

static void test_the_same_with_deaths(void **state) {
    UNUSED(state);
    run_seeds(true);
}

static void test_contents_live_as_long_as_their_value(void **state) {
    UNUSED(state);
    Own own;
    own_init(&own, 1);
    OwnRef list, item;
    ObjectId a = id_of(0), b = id_of(1);
    own_add(&own, &list, &a, 1, NULL);
    own_add(&own, &item, &b, 9, NULL);
    own_set_contents(&list, (OwnRef *[]){ &item }, 1);
    own_received(&own, &item, 9);
    own_drop(&own, &item);
    CHECK_INT(own.actions.len, 1);
    CHECK_INT(own.actions.items[0].kind, OWN_BORROW_ADD);
    vec_clear(&own.actions);
    own_drop(&own, &list);
    CHECK_INT(own.actions.len, 3);
    CHECK_INT(own.actions.items[0].kind, OWN_BORROW_REMOVE);
    CHECK(own.actions.items[1].ref == &item);
    CHECK(own.actions.items[2].ref == &list);
    own_done(&own);
}

static void test_retained_arguments(void **state) {
    UNUSED(state);
    Own own;
    own_init(&own, 2);
    OwnRef ref;
    ObjectId a = id_of(0);
    own_add(&own, &ref, &a, 9, NULL);
    CHECK(own_retain(&own, &ref, 1));
    CHECK(own.actions.items[0].kind == OWN_BORROW_ADD && own.actions.items[0].ack);
    own_acknowledged(&own, &a);
    CHECK(own.actions.items[1].kind == OWN_GOT && own.actions.items[1].peer == 1);
    CHECK(!own_retain(&own, &ref, 1));
    own_drop(&own, &ref);
    CHECK(own.actions.items[2].kind == OWN_BORROW_REMOVE);
    own_done(&own);
}

int main(void) {
    return TEST_RUN(TEST(test_contents_live_as_long_as_their_value), TEST(test_retained_arguments),
                    TEST(test_no_object_goes_early_and_none_stays),
                    TEST(test_the_same_with_deaths));
}
