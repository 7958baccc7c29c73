/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who keeps an object alive: the reference counting of one process, as a pure machine. Events go
 * in as function calls, what has to be sent or freed comes out as actions; no I/O, no clock.
 *
 * The process that made a reference owns its object. It frees the value when nothing here needs it
 * (local references, calls in flight that use it, values that contain it), no borrower is
 * registered and no hand-over is open. A borrower registers with the owner; the owner keeps a set
 * of peers, never a count, so a repeated message changes nothing.
 *
 * Passing on. Whoever passes a reference keeps it until the receiver has it for sure:
 *   in a call's arguments   the caller keeps its use until the result; what the callee retained
 *                           without the owner's acknowledgement is kept as a hand-over until Got;
 *                           an actor's creation is asked for by a raylet, which keeps nothing: its
 *                           result waits for the Gots;
 *   in a value              the sender opens a hand-over to the receiver; the receiver registers
 *                           with the owner and then says Got (to the owner itself both at once).
 * A peer's death closes its borrows and hand-overs; what it owned needs no keeping any more. Whoever
 * sends to a dead peer, or hears from it, says so once more, so also what was learnt later is let go.
 *
 * Lineage. A call whose result may be lost keeps what it used, so that it can run again (`again`). That
 * keeps the record, not the value: when nothing else needs it the value is released, and is made
 * anew (or found missing) when the call runs again.
 */

#include "base/map.h"
#include "base/vec.h"
#include "model/ids.h"

typedef struct OwnRef OwnRef;
typedef struct OwnExtra OwnExtra;

/* Embedded by its user at the start of its own record; one a known object. */
struct OwnRef {
    ObjectId id;
    uint32_t local;  /* references the language (or the runtime for it) holds */
    uint32_t uses;   /* calls in flight with it among their arguments */
    uint32_t inside; /* values here that contain it */
    uint32_t again;  /* ended calls that may run again and would need it */
    PeerId owner;
    OwnExtra *extra; /* what few objects need: borrowers, hand-overs, contents */
};

typedef enum OwnActionKind {
    OWN_GONE,          /* nothing needs it: free the value, then the record */
    OWN_RELEASE,       /* only `again` needs it: free the value if it is large, keep the record */
    OWN_BORROW_ADD,    /* tell `peer` (the owner) that we borrow it; `ack` wants an answer; `got`
                        * says as well that we have what the owner itself passed on */
    OWN_BORROW_REMOVE, /* tell `peer` (the owner) that we no longer do */
    OWN_GOT,           /* tell `peer` (who passed it on) that we have it */
} OwnActionKind;

typedef struct OwnAction {
    OwnActionKind kind;
    PeerId peer;
    ObjectId object;
    OwnRef *ref;       /* OWN_GONE, OWN_RELEASE */
    bool ack, got;
    uint64_t sequence; /* OWN_BORROW_ADD: comes back with the acknowledgement */
} OwnAction;

typedef struct Own {
    PeerId self;
    Map refs;               /* ObjectId -> OwnRef */
    Vec(OwnAction) actions; /* drained by the user after each event */
    uint64_t owned, borrowed;
    uint64_t sequence;      /* of registrations */
} Own;

void own_init(Own *own, PeerId self);
/* The records are the user's; they must be gone. */
void own_done(Own *own);

/* A new record in `ref`, with local = 1. `worker` names a foreign owner, NULL for self. */
void own_add(Own *own, OwnRef *ref, const ObjectId *id, PeerId owner, const WorkerId *worker);
OwnRef *own_find(const Own *own, const ObjectId *id);
WorkerId own_owner_worker(const OwnRef *ref);

/* Counts. A drop to nothing at all yields OWN_GONE (with BORROW_REMOVE when it was registered). */
void own_hold(OwnRef *ref);
void own_drop(Own *own, OwnRef *ref);
void own_use(OwnRef *ref);
void own_unuse(Own *own, OwnRef *ref);

/* A call that ended may run again with it, and may not any more. */
void own_keep(OwnRef *ref);
void own_unkeep(Own *own, OwnRef *ref);
/* Nothing but `again` needs it: to be asked again when OWN_RELEASE is carried out. */
bool own_released(const OwnRef *ref);

/* The value of `ref` contains these (each counted `inside` until the value goes). Once a ref. */
void own_set_contents(OwnRef *ref, OwnRef *const *contents, size_t len);

/* The value is gone, the record stays: what it contained is let go. */
void own_forget_contents(Own *own, OwnRef *ref);
/* What the value contains: borrowed until it goes. Returns how many. */
size_t own_contents(const OwnRef *ref, OwnRef *const **ret_contents);

/* Borrower: `ref` came inside a value that `from` sent. Registers with the owner and confirms. */
void own_received(Own *own, OwnRef *ref, PeerId from);
/* Borrower, at the end of a call from `caller` that had this reference among its arguments: true
 * when it stays here unconfirmed, so that the result must list it as retained. */
bool own_retain(Own *own, OwnRef *ref, PeerId caller);
/* The owner acknowledged our borrow: that of this sequence, it may be an earlier one's by now. */
void own_acknowledged(Own *own, const ObjectId *id, uint64_t sequence);

/* Sender: opens and closes hand-overs. */
void own_hand_over(OwnRef *ref, PeerId to);
void own_got(Own *own, const ObjectId *id, PeerId from);

/* Owner: a borrower registers or leaves. False when the object is not here any more. */
bool own_borrow_add(Own *own, const ObjectId *id, PeerId borrower, bool got);
void own_borrow_remove(Own *own, const ObjectId *id, PeerId borrower);

/* Closes what the peer held. What it owned is the caller's to fail. */
void own_peer_dead(Own *own, PeerId peer);

/* Forgets everything at once, as the death of the process does. */
void own_reset(Own *own);

/* For tests and `ray memory`. */
size_t own_borrowers(const OwnRef *ref);
