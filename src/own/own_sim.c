/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The ownership machine in a world of its own: processes on four nodes, a queue of messages between
 * each two, time that is a count of steps, everything that happens drawn from a seed. References
 * are made, passed in calls and in values, put inside other values, kept for calls that may run
 * again, dropped; processes and whole nodes die, and what they had sent and what was on its way to
 * them is lost with the connection; the others hear of a death each at its own time.
 *
 *     own_sim [--seeds N] [--first SEED] [--expect-found]
 *
 * Checked at every step, deaths or not: what a live process needs, and whose owner lives, is at its
 * owner, unless a process died that had that object or to which it was on its way (then its reader
 * may get an error). At the end, when all is dropped and delivered: nothing is left anywhere. A seed
 * that fails is printed; --first SEED --seeds 1 replays it exactly.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/seeds.h"
#include "base/str.h"
#include "own/own.h"

enum {
    NODES = 4,
    PER_NODE = 2,
    PEERS = NODES * PER_NODE,
    OBJECTS = 5, /* few, so that much happens to each */
    STEPS = 6000,
    MESSAGES = 1 << 14,
    CALLS = 64,
};

typedef enum Kind {
    M_ADD,
    M_ADD_ACK,
    M_ACK,
    M_REMOVE,
    M_GOT,
    M_VALUE,  /* a reference inside a value */
    M_CALL,   /* a reference among a call's arguments */
    M_RESULT, /* of such a call: `retained` or not */
    M_DEAD,   /* `object` is the peer that died */
} Kind;

typedef struct Message {
    Kind kind;
    int object, call;
    bool retained, got;
    uint64_t sequence;
} Message;

typedef struct Queue {
    Message items[MESSAGES];
    size_t head, tail;
} Queue;

typedef struct Call { /* in flight, or running */
    bool used;
    int caller, callee, object;
} Call;

typedef struct Peer {
    Own own;
    OwnRef ref[OBJECTS];
    bool known[OBJECTS];
    int kept[OBJECTS];
    bool running[CALLS]; /* it runs here, and holds its argument */
    bool dead, hears[PEERS];
} Peer;

typedef struct World {
    Peer peer[PEERS];
    Queue *queue[PEERS][PEERS];
    int owner[OBJECTS];
    Call call[CALLS];
    bool broken[OBJECTS]; /* one that had it, or was about to, has died: some may have lost it */
    uint64_t random;
    uint32_t seed;
    unsigned long long events;
    char failure[256];
} World;

static uint32_t rnd(World *w, uint32_t n) {
    w->random += 0x9e3779b97f4a7c15u;
    uint64_t z = w->random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % n);
}

static void fault(World *w, const char *format, ...) _printf_(2, 3);

/* The first one is the seed's. */
static void fault(World *w, const char *format, ...) {
    va_list ap;
    if (*w->failure)
        return;
    va_start(ap, format);
    vsnprintf(w->failure, sizeof(w->failure), format, ap);
    va_end(ap);
}

static ObjectId id_of(int object) {
    ObjectId id = { { 0 } };
    id.byte[0] = (uint8_t)(object + 1);
    return id;
}

static PeerId peer_id(int p) {
    return (PeerId)p + 1;
}

/* ---- messages ------------------------------------------------------------------------------- */

static void post(World *w, int from, int to, Message m) {
    Queue *q = w->queue[from][to];
    if (w->peer[from].dead)
        return;
    if (w->peer[to].dead) { /* the raylet answers that it is gone */
        q = w->queue[to][from];
        m = (Message){ M_DEAD, to, 0, false, false, 0 };
    }
    ASSERT(q->tail - q->head < MESSAGES);
    q->items[q->tail++ % MESSAGES] = m;
}

static void drain(World *w, int p) {
    Own *own = &w->peer[p].own;
    for (size_t i = 0; i < own->actions.len; i++) {
        OwnAction a = own->actions.items[i];
        int object = a.object.byte[0] - 1, to = (int)a.peer - 1;
        switch (a.kind) {
        case OWN_GONE:
            w->peer[p].known[object] = false;
            break;
        case OWN_RELEASE:
            break;
        case OWN_BORROW_ADD:
            post(w, p, to,
                 (Message){ a.ack ? M_ADD_ACK : M_ADD, object, 0, false, a.got, a.sequence });
            break;
        case OWN_BORROW_REMOVE:
            post(w, p, to, (Message){ M_REMOVE, object, 0, false, false, 0 });
            break;
        case OWN_GOT:
            post(w, p, to, (Message){ M_GOT, object, 0, false, false, 0 });
            break;
        }
    }
    vec_clear(&own->actions);
}

static OwnRef *learn(World *w, int p, int object) {
    Peer *peer = &w->peer[p];
    ObjectId id = id_of(object);
    if (peer->known[object])
        own_hold(&peer->ref[object]);
    else
        own_add(&peer->own, &peer->ref[object], &id, peer_id(w->owner[object]), NULL);
    peer->known[object] = true;
    return &peer->ref[object];
}

static void drop(World *w, int p, int object) {
    own_drop(&w->peer[p].own, &w->peer[p].ref[object]);
    drain(w, p);
}

/* ---- calls ------------------------------------------------------------------------------------ */

static void call_send(World *w, int p, int q, int object) {
    for (int c = 0; c < CALLS; c++) {
        if (w->call[c].used)
            continue;
        w->call[c] = (Call){ true, p, q, object };
        own_use(&w->peer[p].ref[object]);
        post(w, p, q, (Message){ M_CALL, object, c, false, false, 0 });
        return;
    }
}

/* The callee is done: it may have put the reference aside. */
static void call_end(World *w, int c) {
    Call *call = &w->call[c];
    Peer *peer = &w->peer[call->callee];
    OwnRef *ref = &peer->ref[call->object];
    bool stays = rnd(w, 2);
    peer->running[c] = false;
    if (!stays)
        drop(w, call->callee, call->object);
    bool retained = peer->known[call->object] && own_retain(&peer->own, ref, peer_id(call->caller));
    drain(w, call->callee);
    post(w, call->callee, call->caller, (Message){ M_RESULT, call->object, c, retained, false, 0 });
}

static void call_over(World *w, int c, bool may_run_again) {
    Call *call = &w->call[c];
    Peer *peer = &w->peer[call->caller];
    call->used = false;
    if (peer->dead)
        return;
    OwnRef *ref = &peer->ref[call->object];
    if (may_run_again && rnd(w, 3) == 0) {
        own_keep(ref);
        peer->kept[call->object]++;
    }
    own_unuse(&peer->own, ref);
    drain(w, call->caller);
}

/* ---- deaths ------------------------------------------------------------------------------------ */

/* What is on its way to the dead: also what it would have said of it is lost. */
static void break_sent(World *w, const Queue *q) {
    for (size_t i = q->head; i < q->tail; i++)
        if (q->items[i % MESSAGES].kind != M_DEAD)
            w->broken[q->items[i % MESSAGES].object] = true;
}

/* What it had sent arrives up to some message; then the others hear that it is gone. */
static void die(World *w, int p) {
    w->peer[p].dead = true;
    for (int o = 0; o < OBJECTS; o++)
        w->broken[o] |= w->peer[p].known[o];
    for (int q = 0; q < PEERS; q++) {
        Queue *from = w->queue[p][q], *to = w->queue[q][p];
        break_sent(w, to);
        to->head = to->tail;
        from->tail = from->head + rnd(w, (uint32_t)(from->tail - from->head) + 1);
        if (q != p && !w->peer[q].dead)
            from->items[from->tail++ % MESSAGES] = (Message){ M_DEAD, p, 0, false, false, 0 };
    }
}

static void hear_of_death(World *w, int q, int dead) {
    own_peer_dead(&w->peer[q].own, peer_id(dead));
    drain(w, q);
    for (int c = 0; c < CALLS; c++) {
        Call *call = &w->call[c];
        if (call->used && call->caller == q && call->callee == dead)
            call_over(w, c, false);
        if (call->used && call->callee == q && call->caller == dead && w->peer[q].running[c]) {
            w->peer[q].running[c] = false;
            drop(w, q, call->object);
        }
        if (call->used && call->caller == dead && call->callee == q)
            call->used = false;
    }
}

/* ---- what arrives -------------------------------------------------------------------------------- */

static void take(World *w, int from, int to, const Message *m) {
    Own *own = &w->peer[to].own;
    ObjectId id = id_of(m->object);
    switch (m->kind) {
    case M_ADD:
    case M_ADD_ACK:
        own_borrow_add(own, &id, peer_id(from), m->got);
        if (m->kind == M_ADD_ACK)
            post(w, to, from, (Message){ M_ACK, m->object, 0, false, false, m->sequence });
        break;
    case M_ACK:
        own_acknowledged(own, &id, m->sequence);
        break;
    case M_REMOVE:
        own_borrow_remove(own, &id, peer_id(from));
        break;
    case M_GOT:
        own_got(own, &id, peer_id(from));
        break;
    case M_VALUE:
        own_received(own, learn(w, to, m->object), peer_id(from));
        break;
    case M_CALL:
        learn(w, to, m->object);
        w->peer[to].running[m->call] = true;
        break;
    case M_RESULT:
        if (m->retained)
            own_hand_over(&w->peer[to].ref[m->object], peer_id(from));
        call_over(w, m->call, true);
        break;
    case M_DEAD:
        hear_of_death(w, to, m->object);
        break;
    }
    drain(w, to);
}

static bool deliver(World *w, int from, int to) {
    Queue *q = w->queue[from][to];
    if (q->head == q->tail || w->peer[to].dead)
        return false;
    Message m = q->items[q->head++ % MESSAGES];
    w->events++;
    take(w, from, to, &m);
    return true;
}

/* ---- one step ------------------------------------------------------------------------------------- */

static void pass_on(World *w, int p, int q, int object) {
    if (rnd(w, 2)) {
        own_hand_over(&w->peer[p].ref[object], peer_id(q));
        post(w, p, q, (Message){ M_VALUE, object, 0, false, false, 0 });
    } else {
        call_send(w, p, q, object);
    }
}

/* The value of one that is owned here contains another; of a later one, so that there is no ring. */
static void put_inside(World *w, int p, int object) {
    Peer *peer = &w->peer[p];
    OwnRef *ref = &peer->ref[object], *inner;
    OwnRef *const *contents;
    int other = object + 1 + (int)rnd(w, OBJECTS);
    if (own_contents(ref, &contents) > 0) {
        own_forget_contents(&peer->own, ref);
        drain(w, p);
    } else if (other < OBJECTS && peer->known[other] && peer->ref[other].local > 0) {
        inner = &peer->ref[other];
        own_set_contents(ref, &inner, 1);
    }
}

static void act(World *w, int p, int q, int object) {
    Peer *peer = &w->peer[p];
    bool held = peer->known[object] && peer->ref[object].local > 0;
    w->events++;
    if (held && w->owner[object] == p && w->seed % 4 < 2 && rnd(w, 4) == 0) {
        put_inside(w, p, object);
    } else if (peer->known[object] && peer->kept[object] && rnd(w, 3) == 0) {
        peer->kept[object]--;
        own_unkeep(&peer->own, &peer->ref[object]);
        drain(w, p);
    } else if (held && q != p && !w->peer[q].dead && rnd(w, 2)) {
        pass_on(w, p, q, object);
    } else if (held) {
        int running = 0; /* what calls hold they drop themselves */
        for (int c = 0; c < CALLS; c++)
            running += peer->running[c] && w->call[c].object == object;
        if ((uint32_t)running < peer->ref[object].local)
            drop(w, p, object);
    }
}

static bool is_anywhere(const World *w, int object) {
    for (int p = 0; p < PEERS; p++) {
        if (!w->peer[p].dead && w->peer[p].known[object])
            return true;
        for (int q = 0; q < PEERS; q++)
            for (size_t i = w->queue[p][q]->head; i < w->queue[p][q]->tail; i++) {
                const Message *m = &w->queue[p][q]->items[i % MESSAGES];
                if (m->kind != M_DEAD && m->object == object)
                    return true;
            }
    }
    return false;
}

/* One that nobody has any more is made anew. */
static void make(World *w, int p, int object) {
    if (w->peer[p].dead || is_anywhere(w, object))
        return;
    w->owner[object] = p;
    w->broken[object] = false;
    learn(w, p, object);
}

/* In some worlds a quarter of the ways between two is slow: what goes by a third overtakes. */
static bool is_slow(const World *w, int p, int q) {
    return w->seed / 16 % 2 && (w->seed / 4 + (uint32_t)(5 * p + 3 * q)) % 4 == 0;
}

static void step(World *w, bool deaths) {
    int p = (int)rnd(w, PEERS), q = (int)rnd(w, PEERS), c = (int)rnd(w, CALLS);
    if (rnd(w, 64) == 0) {
        make(w, p, (int)rnd(w, OBJECTS));
    } else if (rnd(w, 8) < 2 + w->seed / 4 % 4) { /* messages linger more in some worlds */
        if (!is_slow(w, p, q) || rnd(w, 32) == 0)
            deliver(w, p, q);
    } else if (deaths && rnd(w, 400) == 0) {
        for (int i = 0; i < PER_NODE && rnd(w, 4) == 0; i++) /* a whole node */
            if (!w->peer[p / PER_NODE * PER_NODE + i].dead)
                die(w, p / PER_NODE * PER_NODE + i);
        if (!w->peer[p].dead)
            die(w, p);
    } else if (rnd(w, 3) == 0) {
        if (w->call[c].used && !w->peer[w->call[c].callee].dead &&
            w->peer[w->call[c].callee].running[c])
            call_end(w, c);
    } else if (!w->peer[p].dead) {
        act(w, p, q, (int)rnd(w, OBJECTS));
    }
}

static void check_alive(World *w) {
    for (int p = 0; p < PEERS; p++)
        for (int o = 0; o < OBJECTS; o++) {
            int owner = w->owner[o];
            if (!w->broken[o] && !w->peer[p].dead && w->peer[p].known[o] &&
                !own_released(&w->peer[p].ref[o]) && !w->peer[owner].dead &&
                !w->peer[owner].known[o])
                fault(w, "object %d: %d needs it, its owner %d freed it", o, p, owner);
        }
}

/* ---- a world's life --------------------------------------------------------------------------------- */

static void world_start(World *w, uint32_t seed) {
    w->seed = seed;
    w->random = seed * 0x9e3779b97f4a7c15u;
    memset(w->broken, 0, sizeof(w->broken));
    w->failure[0] = '\0';
    memset(w->peer, 0, sizeof(w->peer));
    memset(w->call, 0, sizeof(w->call));
    for (int p = 0; p < PEERS; p++) {
        own_init(&w->peer[p].own, peer_id(p));
        for (int q = 0; q < PEERS; q++)
            w->queue[p][q]->head = w->queue[p][q]->tail = 0;
    }
    for (int o = 0; o < OBJECTS; o++) {
        w->owner[o] = (int)rnd(w, PEERS);
        learn(w, w->owner[o], o);
    }
}

static void let_go(World *w, int p) {
    Peer *peer = &w->peer[p];
    for (int o = 0; o < OBJECTS; o++) {
        for (; peer->known[o] && peer->kept[o]; peer->kept[o]--) {
            own_unkeep(&peer->own, &peer->ref[o]);
            drain(w, p);
        }
        while (peer->known[o] && peer->ref[o].local)
            drop(w, p, o);
    }
}

/* All calls end, all messages arrive, all lets go. */
static void world_settle(World *w) {
    for (bool moved = true; moved;) {
        moved = false;
        for (int c = 0; c < CALLS; c++)
            if (w->call[c].used && !w->peer[w->call[c].callee].dead &&
                w->peer[w->call[c].callee].running[c])
                call_end(w, c);
        for (int p = 0; p < PEERS; p++)
            for (int q = 0; q < PEERS; q++)
                while (deliver(w, p, q))
                    moved = true;
    }
}

static void world_end(World *w) {
    for (int round = 0; round < 10; round++) {
        world_settle(w);
        for (int p = 0; p < PEERS; p++)
            if (!w->peer[p].dead)
                let_go(w, p);
    }
    for (int p = 0; p < PEERS; p++) {
        for (int o = 0; o < OBJECTS && !w->peer[p].dead; o++)
            if (w->peer[p].known[o])
                fault(w, "object %d stays at %d (its owner is %d)", o, p, w->owner[o]);
    }
    for (int c = 0; c < CALLS; c++)
        if (w->call[c].used && !w->peer[w->call[c].caller].dead)
            fault(w, "a call of %d to %d never ends (%d)", w->call[c].caller, w->call[c].callee, c);
}

/* What a failed or dead world left is not looked at again. */
static void world_forget(World *w) {
    for (int p = 0; p < PEERS; p++)
        own_reset(&w->peer[p].own);
}

static bool run_seed(World *w, uint32_t seed) {
    world_start(w, seed);
    bool deaths = seed % 2 != 0;
    for (int i = 0; i < STEPS && !*w->failure; i++) {
        step(w, deaths);
        check_alive(w);
    }
    if (!*w->failure)
        world_end(w);
    if (*w->failure)
        printf("seed %u: %s\n", seed, w->failure);
    world_forget(w);
    return *w->failure == '\0';
}

int main(int argc, char **argv) {
    const Seeds seeds = seeds_read(argc, argv);
    uint32_t failed = 0;
    World *w = mem_new(World);
    for (int p = 0; p < PEERS; p++)
        for (int q = 0; q < PEERS; q++)
            w->queue[p][q] = mem_new(Queue);
    for (uint32_t s = 0; s < seeds.count && !seeds_enough(&seeds, failed); s++)
        failed += !run_seed(w, seeds.first + s);
    printf("%u seeds, %llu events, %u failed\n", seeds.count, w->events, failed);
    for (int p = 0; p < PEERS; p++)
        for (int q = 0; q < PEERS; q++)
            mem_free(w->queue[p][q]);
    mem_free(w);
    return seeds_status(&seeds, failed);
}
