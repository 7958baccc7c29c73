/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What users list as tasks. The owner of a call knows when it was made, sent and answered, by whom, and
 * why it failed; its worker adds how long it ran. So an attempt costs one record, written at its
 * end, here. Once a second the oldest records go to gcs; those that find no room are counted. Calls that
 * have not ended are told when somebody asks (StateGet), and then the records go first.
 */

#include <stdlib.h>

#include "base/clock.h"
#include "core/core_private.h"

enum {
    EVENTS_MAX = 32768,        /* records, until they are sent */
    EVENTS_A_MESSAGE = 2048,
    EVENTS_A_REPORT = 4096,    /* so that many calls a second cost no more than few */
    ERROR_TEXT_MAX = 2000,
    ERROR_BYTES_MAX = 8 << 20, /* of all records' texts; beyond it they are left out */
    REPORT_INTERVAL_MSEC = 1000,
};

struct CoreEvent {
    TaskId task, parent;
    CoreTemplate *t; /* held */
    const CorePeer *peer;
    usec_t created, queued, sent, started, ended;
    uint32_t attempt;
    uint8_t error;
    char *error_text;
};

static uint64_t setting(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* Users set both by Ray's names. */
void events_init(Core *core) {
    CoreEvents *events = &core->history;
    events->interval =
        (usec_t)setting("RAY_task_events_report_interval_ms", REPORT_INTERVAL_MSEC) * USEC_PER_MSEC;
    events->max =
        events->interval > 0
            ? (size_t)setting("RAY_task_events_max_num_status_events_buffer_on_worker", EVENTS_MAX)
            : 0;
}

static void event_done(Core *core, CoreEvent *event) {
    if (event->error_text)
        core->history.text_bytes -= strlen(event->error_text);
    mem_free(event->error_text);
    template_unref(event->t);
}

static CoreEvent *event_at(CoreEvents *events, size_t i) {
    return &events->items[(events->first + i) % events->cap];
}

static void events_grow(CoreEvents *events) {
    size_t cap = MIN(MAX(events->cap * 2, (size_t)64), events->max);
    CoreEvent *items = mem_array(CoreEvent, cap);
    for (size_t i = 0; i < events->len; i++)
        items[i] = *event_at(events, i);
    mem_free(events->items);
    events->items = items;
    events->cap = cap;
    events->first = 0;
}

/* Room for one more: the oldest goes when there are too many. */
static CoreEvent *event_new(Core *core) {
    CoreEvents *events = &core->history;
    if (events->len == events->cap && events->cap < events->max)
        events_grow(events);
    if (events->len == events->cap) {
        event_done(core, event_at(events, 0));
        events->first = (events->first + 1) % events->cap;
        events->len--;
        events->dropped++;
    }
    return event_at(events, events->len++);
}

void events_ended(Core *core, const CorePending *p, const CorePeer *peer, uint64_t ran_usec,
                  usec_t now, const ErrorInfo *error) {
    CoreEvents *events = &core->history;
    if (!events->max || p->t->unlisted || core->lost)
        return;
    if (!events->due) {
        events->due = now + events->interval;
        core_timer_at(core, events->due);
    }
    CoreEvent *event = event_new(core);
    p->t->count++;
    *event = (CoreEvent){
        .task = p->task,
        .parent = p->parent,
        .t = p->t,
        .peer = peer,
        .created = p->created_at,
        .queued = p->missing ? 0 : p->created_at + p->waited_usec,
        .sent = p->state == PENDING_SENT ? MAX(p->sent_at, p->created_at) : 0,
        .started = ran_usec ? MAX(now - (usec_t)ran_usec, p->created_at) : 0,
        .ended = now,
        .attempt = p->attempt,
    };
    if (!error)
        return;
    event->error = error->kind;
    size_t len = MIN(error->text.len, (size_t)ERROR_TEXT_MAX);
    if (len && events->text_bytes + len <= ERROR_BYTES_MAX) {
        event->error_text = str_dup_slice((Slice){ error->text.data, len });
        events->text_bytes += strlen(event->error_text);
    }
}

void events_result(Core *core, const CorePending *p, const Result *m, const CorePeer *from) {
    _cleanup_arena_ Arena arena = { 0 };
    ErrorInfo error = { 0 };
    for (size_t i = 0; m->application_error && i < m->values_len; i++) {
        const Slice *data = &m->values[i].data;
        if (m->values[i].kind == VALUE_KIND_ERROR &&
            error_info_decode(&error, data->data, data->len, &arena) == 0)
            break;
    }
    if (m->application_error && !error.kind)
        error.kind = ERROR_KIND_APPLICATION;
    events_ended(core, p, from, m->ran_usec, core->now, error.kind ? &error : NULL);
}

/* ---- to gcs ------------------------------------------------------------------------------- */

/* Between the clock that never jumps and the one that users read. */
static usec_t wall_offset(void) {
    return time_wall_now() - time_mono_now();
}

static uint64_t wall(usec_t mono, usec_t offset) {
    return mono ? (uint64_t)(mono + offset) : 0;
}

static void tell_peer(TaskEvent *m, const CorePeer *peer) {
    if (!peer)
        return;
    m->worker = peer->id;
    m->worker_id = peer->worker;
    m->pid = peer->pid;
}

static void tell_template(TaskEvent *m, const CoreTemplate *t) {
    m->kind = (uint8_t)t->kind;
    m->name = slice_str(t->name);
    m->function = slice_str(t->title);
    m->resources = t->resources;
    m->resources_len = t->resources_len;
    m->runtime_env = slice_str(t->runtime_env);
    m->group = t->strategy.group;
    m->labels = t->strategy.labels;
    m->labels_len = t->strategy.labels_len;
}

static void event_encode(const CoreEvent *event, usec_t offset, Buf *out) {
    TaskEvent m = {
        .task = event->task,
        .parent = event->parent,
        .attempt = event->attempt,
        .state = event->error ? TASK_STATE_FAILED : TASK_STATE_FINISHED,
        .created_wall = wall(event->created, offset),
        .queued_wall = wall(event->queued, offset),
        .sent_wall = wall(event->sent, offset),
        .started_wall = wall(event->started, offset),
        .ended_wall = wall(event->ended, offset),
        .error = event->error,
        .error_text = slice_str(event->error_text),
    };
    tell_template(&m, event->t);
    tell_peer(&m, event->peer);
    task_event_encode(&m, out);
}

/* Records behind each other in one buffer: `ends[i]` is where the i-th ends. */
typedef struct Records {
    Buf bytes;
    Vec(size_t) ends;
} Records;

static Slice *records_slices(const Records *records, Arena *arena) {
    Slice *slices = arena_array(arena, Slice, records->ends.len + 1);
    size_t from = 0;
    for (size_t i = 0; i < records->ends.len; i++) {
        slices[i] = (Slice){ records->bytes.data + from, records->ends.items[i] - from };
        from = records->ends.items[i];
    }
    return slices;
}

static void records_done(Records *records) {
    buf_done(&records->bytes);
    vec_done(&records->ends);
}

static void send_records(Core *core, const Records *records) {
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_buf_ Buf body = { 0 };
    TaskEvents m = { .tasks = records_slices(records, &arena),
                     .tasks_len = records->ends.len,
                     .job = core->info.job,
                     .dropped = core->history.dropped };
    core->history.dropped = 0;
    task_events_encode(&m, &body);
    peer_send(core, PEER_GCS, MSG_TASK_EVENTS, 0, 0, body.data, body.len);
}

/* The oldest ones, `limit` at most. */
void events_flush(Core *core, size_t limit) {
    CoreEvents *events = &core->history;
    usec_t offset = wall_offset();
    while (events->len && limit) {
        Records records = { 0 };
        for (size_t i = 0; i < EVENTS_A_MESSAGE && events->len && limit; i++, limit--) {
            CoreEvent *event = event_at(events, 0);
            event_encode(event, offset, &records.bytes);
            vec_push(&records.ends, records.bytes.len);
            event_done(core, event);
            events->first = (events->first + 1) % events->cap;
            events->len--;
        }
        send_records(core, &records);
        records_done(&records);
    }
    if (!events->len) {
        events->first = 0;
        events->due = 0;
    }
}

void events_tick(Core *core, usec_t now) {
    CoreEvents *events = &core->history;
    if (!events->due)
        return;
    if (events->due <= now) {
        events_flush(core, EVENTS_A_REPORT);
        if (events->due)
            events->due = now + events->interval;
    }
    if (events->due)
        core->timer = MIN(core->timer, events->due);
}

/* A creation's owner is not told of it: its worker tells, at once, since it may end at any time. */
void events_created(Core *core, const RunTask *run, usec_t now, const ErrorInfo *error) {
    const Call *call = &run->task.call;
    if (!core->history.max)
        return;
    usec_t offset = wall_offset();
    Records records = { 0 };
    TaskEvent m = {
        .task = call->task,
        .attempt = call->attempt,
        .kind = call->kind,
        .state = error ? TASK_STATE_FAILED : TASK_STATE_FINISHED,
        .name = call->name,
        .parent = call->parent,
        .worker = core->info.peer,
        .worker_id = core->info.worker,
        .pid = core->pid,
        .created_wall = wall(run->arrived, offset),
        .queued_wall = wall(run->arrived, offset),
        .sent_wall = wall(run->arrived, offset),
        .started_wall = wall(run->started, offset),
        .ended_wall = wall(now, offset),
        .resources = core->assign.resources,
        .resources_len = core->assign.resources_len,
        .group = core->assign.group,
    };
    if (error) {
        m.error = error->kind;
        m.error_text = (Slice){ error->text.data, MIN(error->text.len, (size_t)ERROR_TEXT_MAX) };
    }
    task_event_encode(&m, &records.bytes);
    vec_push(&records.ends, records.bytes.len);
    send_records(core, &records);
    records_done(&records);
}

/* A driver ends: what has not ended will not. */
void events_leave(Core *core) {
    ErrorInfo error = { .kind = ERROR_KIND_WORKER_CRASHED,
                        .text = SLICE("The job ended while this task had not.") };
    usec_t now = time_mono_now();
    CorePending *p;
    size_t told = 0;
    MAP_EACH(&core->tasks, pos, p)
        if (p->t->kind != CALL_KIND_ACTOR_CREATE && told++ < core->history.max)
            events_ended(core, p, pending_peer(p), 0, now, &error);
    events_flush(core, SIZE_MAX);
}

void events_done(Core *core) {
    while (core->history.len)
        event_done(core, event_at(&core->history, --core->history.len));
    mem_free(core->history.items);
    core->history = (CoreEvents){ 0 }; /* and no more are taken */
}

/* ---- when asked ------------------------------------------------------------------------------ */

static TaskState pending_state(const CorePending *p) {
    if (p->state == PENDING_SENT && p->t->kind != CALL_KIND_ACTOR_CREATE)
        return TASK_STATE_SUBMITTED_TO_WORKER;
    return p->missing ? TASK_STATE_PENDING_ARGS_AVAIL : TASK_STATE_PENDING_NODE_ASSIGNMENT;
}

/* An actor's creation is kept for as long as it may be needed again. */
static bool pending_listed(const CorePending *p) {
    bool created = p->t->kind == CALL_KIND_ACTOR_CREATE && p->actor &&
                   p->actor->state > ACTOR_STATE_PENDING_CREATION;
    return !p->t->unlisted && !created;
}

static void pending_record(const CorePending *p, usec_t offset, Records *records) {
    TaskState state = pending_state(p);
    TaskEvent m = {
        .task = p->task,
        .parent = p->parent,
        .attempt = p->attempt,
        .state = (uint8_t)state,
        .created_wall = wall(p->created_at, offset),
    };
    if (state != TASK_STATE_PENDING_ARGS_AVAIL)
        m.queued_wall = wall(p->created_at + p->waited_usec, offset);
    if (state == TASK_STATE_SUBMITTED_TO_WORKER) {
        m.sent_wall = wall(MAX(p->sent_at, p->created_at), offset);
        tell_peer(&m, pending_peer(p));
    }
    tell_template(&m, p->t);
    task_event_encode(&m, &records->bytes);
    vec_push(&records->ends, records->bytes.len);
}

static void tell_tasks(Core *core, size_t limit, ProcessState *m, Records *records, Arena *arena) {
    usec_t offset = wall_offset();
    CorePending *p;
    MAP_EACH(&core->tasks, pos, p) {
        if (!pending_listed(p))
            continue;
        if (records->ends.len < limit)
            pending_record(p, offset, records);
        m->tasks_total++;
    }
    m->tasks = records_slices(records, arena);
    m->tasks_len = records->ends.len;
    size_t running = 0;
    LIST_EACH(item, &core->active)
        running++;
    m->running = arena_array(arena, RunningTask, running + 1);
    LIST_EACH(item, &core->active) {
        const RunTask *run = LIST_ITEM(item, RunTask, link);
        if (m->running_len < limit)
            m->running[m->running_len++] =
                (RunningTask){ .task = run->task.call.task,
                               .attempt = run->task.call.attempt,
                               .started_wall = wall(run->started, offset) };
    }
    m->blocked = core->blocked ? TASK_STATE_RUNNING_IN_RAY_GET : TASK_STATE_RUNNING;
}

static ReferenceKind reference_kind(const CoreRef *ref) {
    const CoreBytes *value = ref->value;
    if (ref->is_actor)
        return REFERENCE_KIND_ACTOR_HANDLE;
    if (value && value->in_store && value->data && value->count > 1)
        return REFERENCE_KIND_PINNED_IN_MEMORY;
    if (ref->own.uses)
        return REFERENCE_KIND_USED_BY_PENDING_TASK;
    if (ref->own.local)
        return REFERENCE_KIND_LOCAL_REFERENCE;
    return ref->own.inside ? REFERENCE_KIND_CAPTURED_IN_OBJECT : REFERENCE_KIND_UNKNOWN_STATUS;
}

static ObjectEntry object_entry(const Core *core, const CoreRef *ref) {
    bool owned = ref->own.owner == core->info.peer;
    ObjectEntry entry = {
        .object = ref->own.id,
        .kind = (uint8_t)reference_kind(ref),
        .known = ref->value && ref->kind != VALUE_KIND_ERROR,
        .size = ref->value ? ref->value->size : 0,
        .in_store = ref->value && ref->value->in_store,
        .owned = owned,
        .attempts = ref->maker ? ref->maker->attempt + 1 : 1,
    };
    if (ref->maker)
        entry.state = (uint8_t)pending_state(ref->maker);
    else if (owned && !ref->is_actor)
        entry.state = TASK_STATE_FINISHED;
    return entry;
}

static void tell_objects(Core *core, size_t limit, ProcessState *m, Arena *arena) {
    size_t len = MIN(map_len(&core->own.refs), limit);
    m->objects = arena_array(arena, ObjectEntry, len + 1);
    OwnRef *own;
    for (size_t pos = 0;
         m->objects_len < len && (own = map_next(&core->own.refs, &pos, NULL)) != NULL;)
        m->objects[m->objects_len++] = object_entry(core, ref_of(own));
}

void events_on_state_get(Core *core, const FrameHeader *h, const StateGet *get) {
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_buf_ Buf body = { 0 };
    Records records = { 0 };
    ProcessState m = {
        .leases = core->counts.leases,
        .refs_owned = core->own.owned,
        .refs_borrowed = core->own.borrowed,
        .values_bytes = core->counts.values_bytes,
    };
    events_flush(core, SIZE_MAX); /* on its way to gcs before the answer is */
    if (get->tasks)
        tell_tasks(core, get->limit, &m, &records, &arena);
    if (get->objects)
        tell_objects(core, get->limit, &m, &arena);
    process_state_encode(&m, &body);
    peer_send(core, h->source, MSG_PROCESS_STATE, FRAME_REPLY, h->stream, body.data, body.len);
    records_done(&records);
}
