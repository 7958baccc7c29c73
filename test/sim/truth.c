/* SPDX-License-Identifier: Apache-2.0 */
#include "test/sim/truth.h"

#include "base/error.h"
#include "own/own.h"

typedef struct Front { /* a value's bytes begin with it; `refs` of Ref follow, then what fills it */
    uint64_t tag, size;
    uint32_t refs, pad;
} Front;

#define FILL 0x5a

/* ---- things ------------------------------------------------------------------------------------ */

Place place_next(Thing *parent) {
    Place place = parent ? parent->place : (Place){ 0 };
    ASSERT(place.len < ARRAY_LEN(place.at));
    place.at[place.len++] = parent ? ++parent->places : ++sim->places;
    return place;
}

bool place_before(const Place *a, const Place *b) {
    size_t i = 0;
    while (i < a->len && i < b->len && a->at[i] == b->at[i])
        i++;
    if (i == a->len || i == b->len)
        return a->len > b->len; /* inside of it */
    return a->at[i] < b->at[i];
}

Thing *thing_new(Proc *owner, const ObjectId *id, Task *task, uint64_t tag, const Place *place) {
    Thing *thing = mem_new(Thing);
    thing->id = *id;
    thing->place = *place;
    thing->tag = tag;
    thing->owner = owner;
    thing->task = task;
    if (map_put(&sim->things, thing->id.byte, thing))
        fault("two values have one id");
    return thing;
}

Thing *thing_find(const ObjectId *id) {
    return map_get(&sim->things, id->byte);
}

/* What others have only through it may go, and what it was about to say of it is lost. */
void truth_process_ended(Proc *proc, const struct Own *own) {
    const OwnRef *ref;
    MAP_EACH(&own->refs, pos, ref) {
        Thing *thing = thing_find(&ref->id);
        if (thing)
            thing->detached = true;
    }
}

/* ---- bytes ------------------------------------------------------------------------------------- */

static uint8_t filling[400 << 10];

void thing_bytes(uint64_t tag, CoreRef *const *refs, size_t refs_len, size_t size,
                 ThingBytes *ret_bytes) {
    ThingBytes *b = ret_bytes;
    *b = (ThingBytes){ 0 };
    ASSERT(size > 0 && size <= sizeof(filling) && refs_len <= INSIDE_MAX);
    memset(filling, FILL, size);
    Front head = { .tag = tag,
                   .size = sizeof(Front) + refs_len * sizeof(Ref) + size,
                   .refs = (uint32_t)refs_len };
    buf_add(&b->head, &head, sizeof(head));
    for (size_t i = 0; i < refs_len; i++) {
        Ref ref = { .object = *core_ref_id(refs[i]) };
        ref.owner = core_ref_owner(refs[i], &ref.owner_worker);
        buf_add(&b->head, &ref, sizeof(ref));
    }
    b->parts[0] = (struct iovec){ b->head.data, b->head.len };
    b->parts[1] = (struct iovec){ filling, size };
    b->blob = (CoreBlob){ .parts = b->parts, .parts_len = 2, .refs = refs, .refs_len = refs_len };
}

void thing_small(const TaskId *task, uint32_t index, Buf *out) {
    ObjectId id = object_id_return(task, index);
    ThingBytes bytes;
    thing_bytes(thing_find(&id)->tag, NULL, 0, 1, &bytes);
    buf_add(out, bytes.parts[0].iov_base, bytes.parts[0].iov_len);
    buf_add(out, bytes.parts[1].iov_base, bytes.parts[1].iov_len);
    thing_bytes_done(&bytes);
}

void thing_bytes_done(ThingBytes *bytes) {
    buf_done(&bytes->head);
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* gcs gives nodes up that it does not hear of. */
static bool nodes_may_be_given_up(void) {
    const Faults *f = &sim->faults;
    return f->partitions || f->links || f->stalls || f->gcs;
}

/* Whoever owns it may be dead, or about to be with its node, or be believed to be. */
static bool owner_may_be_dead(const Thing *thing) {
    const Proc *owner = thing->owner;
    return !runtime_alive(owner) || !owner->machine->raylet ||
           owner->machine->lives != owner->life || nodes_may_be_given_up();
}

/* NULL: it may be. */
static const char *objection(const Thing *thing, const ErrorInfo *error) {
    const Task *task = thing->task;
    switch (error->kind) {
    case ERROR_KIND_APPLICATION:
        return task && task->raised ? NULL : "its call raised nothing";
    case ERROR_KIND_TASK_CANCELLED:
        return task && task->cancelled ? NULL : "nobody cancelled it";
    case ERROR_KIND_OWNER_DIED:
        return owner_may_be_dead(thing) ? NULL : "its owner lives";
    case ERROR_KIND_OBJECT_LOST:
        return thing->detached || owner_may_be_dead(thing) ? NULL : "all that had it live";
    case ERROR_KIND_RECONSTRUCTION:
    case ERROR_KIND_NODE_DIED:
        return sim->nodes_ended || nodes_may_be_given_up() ? NULL : "no node died";
    case ERROR_KIND_RAYLET_DIED:
        return sim->nodes_ended || sim->faults.any ? NULL : "no raylet died";
    case ERROR_KIND_WORKER_CRASHED:
        return sim->deaths ? NULL : "no worker died";
    case ERROR_KIND_ACTOR_DIED:
    case ERROR_KIND_ACTOR_UNAVAILABLE:
        return task && task->actor ? NULL : "it is no actor's";
    case ERROR_KIND_STORE_FULL:
    case ERROR_KIND_OUT_OF_DISK:
        return NULL;
    case ERROR_KIND_TASK_UNSCHEDULABLE:
    case ERROR_KIND_ENV_SETUP:
    case ERROR_KIND_SYSTEM:
        return sim->faults.any ? NULL : "nothing went wrong";
    default:
        return "there is no such error here";
    }
}

static void error_seen(const Proc *proc, const Thing *thing, const CoreValue *value) {
    _cleanup_arena_ Arena arena = { 0 };
    ErrorInfo error;
    ASSERT(error_info_decode(&error, value->data, value->size, &arena) == 0);
    const char *why = objection(thing, &error);
    sim->did.errors++;
    note("%s reads object %s: error %u (%.*s)", proc_name(proc), ID_HEX(&thing->id), error.kind,
         (int)error.text.len, error.text.data);
    if (why)
        fault("%s reads object %s of %s: error %u (%.*s), but %s", proc_name(proc),
              ID_HEX(&thing->id), proc_name(thing->owner), error.kind, (int)error.text.len,
              error.text.data, why);
}

void thing_seen(Proc *proc, const ObjectId *id, const CoreValue *value, Inside *ret_inside) {
    const Thing *thing = thing_find(id);
    const uint8_t *bytes = value->data;
    Front head = { 0 };
    *ret_inside = (Inside){ 0 };
    ASSERT(thing);
    if (!proc->alive || !runtime_alive(proc))
        return; /* it is at its end, and hears no truth */
    if (value->kind == VALUE_KIND_ERROR) {
        error_seen(proc, thing, value);
        return;
    }
    sim->did.values++;
    if (value->size > sizeof(head))
        memcpy(&head, bytes, sizeof(head));
    if (head.tag != thing->tag || head.size != value->size || bytes[head.size - 1] != FILL) {
        fault("%s reads object %s, which is not what was written", proc_name(proc), ID_HEX(id));
        return;
    }
    ret_inside->len = head.refs;
    memcpy(ret_inside->refs, bytes + sizeof(head), head.refs * sizeof(Ref));
}
