/* SPDX-License-Identifier: Apache-2.0 */
#include "own/own.h"

#include "base/mem.h"
#include "base/plant.h"

typedef Vec(PeerId) PeerSet;

struct OwnExtra {
    WorkerId owner_worker;
    PeerSet borrowers; /* owner: who registered */
    PeerSet handovers; /* sender: one entry for each that is open */
    PeerSet waiting;   /* borrower: whom to tell Got once the owner has acknowledged */
    OwnRef **contents;
    size_t contents_len;
    bool registered, acknowledged; /* borrower */
    uint64_t sequence;             /* borrower: of its registration */
};

void own_init(Own *own, PeerId self) {
    *own = (Own){ .self = self };
    map_init_inside(&own->refs, sizeof(ObjectId), offsetof(OwnRef, id));
}

void own_done(Own *own) {
    map_done(&own->refs);
    vec_done(&own->actions);
}

static OwnExtra *own_extra(OwnRef *ref) {
    if (!ref->extra)
        ref->extra = mem_new(OwnExtra);
    return ref->extra;
}

void own_add(Own *own, OwnRef *ref, const ObjectId *id, PeerId owner, const WorkerId *worker) {
    ref->id = *id;
    ref->owner = owner;
    ref->local = 1;
    ref->uses = ref->inside = ref->again = 0;
    ref->extra = NULL;
    if (owner == own->self) {
        own->owned++;
    } else {
        own->borrowed++;
        if (worker)
            own_extra(ref)->owner_worker = *worker;
    }
    ASSERT(map_put(&own->refs, id->byte, ref) == NULL);
}

OwnRef *own_find(const Own *own, const ObjectId *id) {
    return map_get(&own->refs, id->byte);
}

WorkerId own_owner_worker(const OwnRef *ref) {
    return ref->extra ? ref->extra->owner_worker : (WorkerId){ 0 };
}

static size_t peer_index(const PeerSet *set, PeerId peer) {
    for (size_t i = 0; i < set->len; i++)
        if (set->items[i] == peer)
            return i;
    return SIZE_MAX;
}

static bool peer_take(PeerSet *set, PeerId peer) {
    size_t i = peer_index(set, peer);
    if (i == SIZE_MAX)
        return false;
    vec_remove_swap(set, i);
    return true;
}

static void own_act(Own *own, OwnActionKind kind, PeerId peer, OwnRef *ref) {
    bool whole = kind == OWN_GONE || kind == OWN_RELEASE;
    vec_push(
        &own->actions,
        (OwnAction){ .kind = kind, .peer = peer, .object = ref->id, .ref = whole ? ref : NULL });
}

static bool own_needed(const OwnRef *ref) {
    if (ref->local || ref->uses || ref->inside)
        return true;
    return ref->extra && (ref->extra->borrowers.len || ref->extra->handovers.len);
}

static void own_check(Own *own, OwnRef *ref);

static void own_drop_contents(Own *own, OwnExtra *extra) {
    for (size_t i = 0; i < extra->contents_len; i++) {
        ASSERT(extra->contents[i]->inside > 0);
        extra->contents[i]->inside--;
        own_check(own, extra->contents[i]);
    }
    extra->contents_len = 0;
    extra->contents = mem_free(extra->contents);
}

void own_forget_contents(Own *own, OwnRef *ref) {
    if (ref->extra)
        own_drop_contents(own, ref->extra);
}

static void extra_free(OwnExtra *extra) {
    if (!extra)
        return;
    vec_done(&extra->borrowers);
    vec_done(&extra->handovers);
    vec_done(&extra->waiting);
    mem_free(extra->contents);
    mem_free(extra);
}

/* A borrower leaves its owner, and whoever waits to hear that it has arrived there. */
static void own_unregister(Own *own, OwnRef *ref) {
    OwnExtra *extra = ref->extra;
    if (extra->registered)
        own_act(own, OWN_BORROW_REMOVE, ref->owner, ref);
    /* Whoever waits for our Got may stop keeping it: we do not need it either. */
    for (size_t i = 0; i < extra->waiting.len; i++)
        own_act(own, OWN_GOT, extra->waiting.items[i], ref);
    vec_clear(&extra->waiting);
    extra->registered = extra->acknowledged = false;
    extra->sequence = 0; /* its acknowledgement may come yet: it is not the next one's */
}

bool own_released(const OwnRef *ref) {
    return !own_needed(ref) && ref->again > 0;
}

/* The end of a record, when nothing needs it; or of its value. */
static void own_check(Own *own, OwnRef *ref) {
    if (own_needed(ref))
        return;
    OwnExtra *extra = ref->extra;
    if (ref->again) {
        if (extra)
            own_unregister(own, ref);
        own_act(own, OWN_RELEASE, 0, ref);
        return;
    }
    if (extra)
        own_unregister(own, ref);
    ref->extra = NULL;
    map_remove(&own->refs, ref->id.byte);
    if (ref->owner == own->self)
        own->owned--;
    else
        own->borrowed--;
    if (extra) {
        own_drop_contents(own, extra);
        extra_free(extra);
    }
    own_act(own, OWN_GONE, 0, ref);
}

void own_hold(OwnRef *ref) {
    ref->local++;
}

void own_drop(Own *own, OwnRef *ref) {
    ASSERT(ref->local > 0);
    if (--ref->local == 0)
        own_check(own, ref);
}

void own_use(OwnRef *ref) {
    ref->uses++;
}

void own_unuse(Own *own, OwnRef *ref) {
    ASSERT(ref->uses > 0);
    if (--ref->uses == 0)
        own_check(own, ref);
}

void own_keep(OwnRef *ref) {
    ref->again++;
}

void own_unkeep(Own *own, OwnRef *ref) {
    ASSERT(ref->again > 0);
    if (--ref->again == 0)
        own_check(own, ref);
}

void own_set_contents(OwnRef *ref, OwnRef *const *contents, size_t len) {
    if (!len)
        return;
    OwnExtra *extra = own_extra(ref);
    ASSERT(!extra->contents);
    extra->contents = mem_dup(contents, len * sizeof(*contents));
    extra->contents_len = len;
    for (size_t i = 0; i < len; i++)
        contents[i]->inside++;
}

size_t own_contents(const OwnRef *ref, OwnRef *const **ret_contents) {
    *ret_contents = ref->extra ? ref->extra->contents : NULL;
    return ref->extra ? ref->extra->contents_len : 0;
}

/* False: it was registered before. */
static bool own_register(Own *own, OwnRef *ref, bool ack, bool got) {
    OwnExtra *extra = own_extra(ref);
    if (extra->registered)
        return false;
    extra->registered = true;
    extra->sequence = ++own->sequence;
    vec_push(&own->actions, (OwnAction){ .kind = OWN_BORROW_ADD,
                                         .peer = ref->owner,
                                         .object = ref->id,
                                         .ack = ack,
                                         .got = got,
                                         .sequence = extra->sequence });
    return true;
}

void own_received(Own *own, OwnRef *ref, PeerId from) {
    if (ref->owner == own->self) {
        own_act(own, OWN_GOT, from, ref);
        return;
    }
    OwnExtra *extra = own_extra(ref);
    if (ref->owner == from) {
        if (!own_register(own, ref, false, true))
            own_act(own, OWN_GOT, from, ref);
        extra->acknowledged = true; /* one channel: nothing we send can overtake it */
        return;
    }
    own_register(own, ref, true, false);
    if (extra->acknowledged || PLANTED(2))
        own_act(own, OWN_GOT, from, ref);
    else
        vec_push(&extra->waiting, from);
}

bool own_retain(Own *own, OwnRef *ref, PeerId caller) {
    if (ref->owner == own->self)
        return false;
    OwnExtra *extra = own_extra(ref);
    if (ref->owner == caller) {
        own_register(own, ref, false, false);
        extra->acknowledged = true;
        return false;
    }
    own_register(own, ref, true, false);
    if (extra->acknowledged)
        return false;
    vec_push(&extra->waiting, caller);
    return true;
}

/* Nobody has to keep it for us any longer. */
static void own_confirm(Own *own, OwnRef *ref) {
    OwnExtra *extra = ref->extra;
    extra->acknowledged = true;
    for (size_t i = 0; i < extra->waiting.len; i++)
        own_act(own, OWN_GOT, extra->waiting.items[i], ref);
    vec_clear(&extra->waiting);
}

void own_acknowledged(Own *own, const ObjectId *id, uint64_t sequence) {
    OwnRef *ref = own_find(own, id);
    if (ref && ref->extra && ref->owner != own->self && ref->extra->sequence == sequence)
        own_confirm(own, ref);
}

void own_hand_over(OwnRef *ref, PeerId to) {
    vec_push(&own_extra(ref)->handovers, to);
}

void own_got(Own *own, const ObjectId *id, PeerId from) {
    OwnRef *ref = own_find(own, id);
    if (ref && ref->extra && peer_take(&ref->extra->handovers, from))
        own_check(own, ref);
}

bool own_borrow_add(Own *own, const ObjectId *id, PeerId borrower, bool got) {
    OwnRef *ref = own_find(own, id);
    if (!ref || ref->owner != own->self)
        return false;
    OwnExtra *extra = own_extra(ref);
    if (peer_index(&extra->borrowers, borrower) == SIZE_MAX)
        vec_push(&extra->borrowers, borrower);
    if (got || PLANTED(3)) /* it may borrow what reached it another way, with ours still to come */
        peer_take(&extra->handovers, borrower);
    return true;
}

void own_borrow_remove(Own *own, const ObjectId *id, PeerId borrower) {
    OwnRef *ref = own_find(own, id);
    if (ref && ref->extra && peer_take(&ref->extra->borrowers, borrower))
        own_check(own, ref);
}

static bool own_close_peer(OwnExtra *extra, PeerId peer) {
    bool closed = peer_take(&extra->borrowers, peer);
    while (!PLANTED(1) && peer_take(&extra->handovers, peer))
        closed = true;
    while (peer_take(&extra->waiting, peer))
        ;
    return closed;
}

void own_peer_dead(Own *own, PeerId peer) {
    /* Collected first: ending a record changes the map. Held, so that none ends twice. */
    Vec(OwnRef *) closed = { 0 };
    OwnRef *ref;
    MAP_EACH(&own->refs, pos, ref) {
        if (ref->extra && ref->owner == peer)
            own_confirm(own, ref); /* an acknowledgement will not come: nobody waits for it */
        if (ref->extra && own_close_peer(ref->extra, peer)) {
            ref->local++;
            vec_push(&closed, ref);
        }
    }
    VEC_EACH(each, &closed)
        own_drop(own, *each);
    vec_done(&closed);
}

void own_reset(Own *own) {
    OwnRef *ref;
    MAP_EACH(&own->refs, pos, ref) {
        extra_free(ref->extra);
        ref->extra = NULL;
    }
    own_done(own);
    own_init(own, own->self);
}

size_t own_borrowers(const OwnRef *ref) {
    return ref->extra ? ref->extra->borrowers.len : 0;
}
