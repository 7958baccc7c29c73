/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>

#include "base/error.h"
#include "gcs/gcs_private.h"

/*
 * What users list as tasks that have ended. Owners send their records in batches; a batch is kept as
 * it came, so that taking it costs one copy, and goes as a whole, the oldest first. Nothing is
 * logged: after a restart the list begins anew. What a record says is only read when somebody asks.
 */

enum {
    TASKS_ANSWERED_MAX = 10000,
    WORKERS_KEPT = 10000,
};
#define BATCHES_BYTES_MAX ((size_t)64 << 20)
#define WORKERS_BYTES_MAX ((size_t)32 << 20) /* an answer with all of them fits its message */

typedef struct TaskBatch {
    List link; /* in GcsTasks.batches, the oldest first */
    JobId job;
    size_t count;
    Buf body; /* the TaskEvents */
} TaskBatch;

typedef struct DroppedTasks { /* of one job */
    uint64_t count;
} DroppedTasks;

typedef struct WorkerEnd { /* an encoded DeadWorker */
    List link;
    Buf body;
} WorkerEnd;

void tasks_init(Gcs *gcs) {
    GcsTasks *tasks = &gcs->tasks;
    const char *max = getenv("RAY_task_events_max_num_task_in_gcs");
    tasks->max = max ? strtoull(max, NULL, 10) : GCS_TASKS_KEPT;
    list_init(&tasks->batches);
    list_init(&tasks->workers);
    map_init(&tasks->dropped, sizeof(JobId));
}

static void batch_free(Gcs *gcs, TaskBatch *batch) {
    list_remove(&batch->link);
    gcs->tasks.count -= batch->count;
    gcs->tasks.bytes -= batch->body.len;
    buf_done(&batch->body);
    free(batch);
}

static void worker_end_free(Gcs *gcs, WorkerEnd *end) {
    list_remove(&end->link);
    gcs->tasks.workers_len--;
    gcs->tasks.workers_bytes -= end->body.len;
    buf_done(&end->body);
    free(end);
}

void tasks_done(Gcs *gcs) {
    GcsTasks *tasks = &gcs->tasks;
    while (!list_empty(&tasks->batches))
        batch_free(gcs, LIST_ITEM(tasks->batches.next, TaskBatch, link));
    while (!list_empty(&tasks->workers))
        worker_end_free(gcs, LIST_ITEM(tasks->workers.next, WorkerEnd, link));
    DroppedTasks *dropped;
    MAP_EACH(&tasks->dropped, pos, dropped)
        free(dropped);
    map_done(&tasks->dropped);
}

static void count_dropped(GcsTasks *tasks, const JobId *job, uint64_t count) {
    if (!count)
        return;
    DroppedTasks *dropped = map_get(&tasks->dropped, job);
    if (!dropped && map_len(&tasks->dropped) < GCS_FINISHED_JOBS_KEPT) {
        dropped = mem_new(DroppedTasks);
        map_put(&tasks->dropped, job, dropped);
    }
    if (dropped)
        dropped->count += count;
    tasks->dropped_total += count;
}

/* A process tells of its own calls. */
void tasks_on_events(Gcs *gcs, GcsCall *call) {
    GcsTasks *tasks = &gcs->tasks;
    TaskEvents m;
    GCS_DECODE(gcs, call, task_events_decode, &m);
    if (!call->conn->node)
        return;
    count_dropped(tasks, &m.job, m.dropped);
    if (!m.tasks_len)
        return;
    TaskBatch *batch = mem_new(TaskBatch);
    batch->job = m.job;
    batch->count = m.tasks_len;
    buf_add(&batch->body, call->body.data, call->body.len);
    list_push(&tasks->batches, &batch->link);
    tasks->count += batch->count;
    tasks->bytes += batch->body.len;
    while (tasks->count > tasks->max || tasks->bytes > BATCHES_BYTES_MAX) {
        TaskBatch *oldest = LIST_ITEM(tasks->batches.next, TaskBatch, link);
        count_dropped(tasks, &oldest->job, oldest->count);
        batch_free(gcs, oldest);
    }
}

static bool same_name(Slice wanted, Slice name) {
    if (wanted.len != name.len)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (tolower((unsigned char)wanted.data[i]) != tolower((unsigned char)name.data[i]))
            return false;
    return true;
}

static bool record_wanted(const TaskList *list, const TaskEvent *event) {
    JobId job = task_id_job(&event->task);
    ActorId actor = task_id_actor(&event->task);
    return (id_is_unset(&list->job) || id_equal(&list->job, &job)) &&
           (id_is_unset(&list->task) || id_equal(&list->task, &event->task)) &&
           (id_is_unset(&list->actor) || id_equal(&list->actor, &actor)) &&
           (!list->name.len || same_name(list->name, event->name) ||
            same_name(list->name, event->function));
}

typedef Vec(Slice) SliceList;

/* The wanted records of one batch, the last one first. */
static void batch_select(const TaskBatch *batch, const TaskList *list, size_t limit, Arena *arena,
                         SliceList *out) {
    TaskEvents m;
    if (task_events_decode(&m, batch->body.data, batch->body.len, arena) < 0)
        return;
    for (size_t i = m.tasks_len; i-- > 0 && out->len < limit;) {
        _cleanup_arena_ Arena scratch = { 0 };
        TaskEvent event;
        if (task_event_decode(&event, m.tasks[i].data, m.tasks[i].len, &scratch) == 0 &&
            record_wanted(list, &event))
            vec_push(out, m.tasks[i]);
    }
}

void tasks_on_list(Gcs *gcs, GcsCall *call) {
    GcsTasks *tasks = &gcs->tasks;
    TaskList list;
    GCS_DECODE(gcs, call, task_list_decode, &list);
    size_t limit =
        list.limit ? MIN((size_t)list.limit, (size_t)TASKS_ANSWERED_MAX) : TASKS_ANSWERED_MAX;
    SliceList found = { 0 };
    for (List *item = tasks->batches.prev; item != &tasks->batches && found.len < limit;
         item = item->prev) {
        const TaskBatch *batch = LIST_ITEM(item, TaskBatch, link);
        if (id_is_unset(&list.job) || id_equal(&list.job, &batch->job))
            batch_select(batch, &list, limit, call->arena, &found);
    }
    const DroppedTasks *dropped = map_get(&tasks->dropped, &list.job);
    TaskEvents answer = { .tasks = found.items,
                          .tasks_len = found.len,
                          .job = list.job,
                          .dropped = id_is_unset(&list.job) ? tasks->dropped_total
                                     : dropped              ? dropped->count
                                                            : 0,
                          .kept = tasks->count };
    _cleanup_buf_ Buf body = { 0 };
    task_events_encode(&answer, &body);
    gcs_reply(gcs, call, MSG_TASK_EVENTS, &body);
    vec_done(&found);
}

/* ---- processes that have ended ---------------------------------------------------------- */

void tasks_worker_dead(Gcs *gcs, const PeerDead *dead) {
    GcsTasks *tasks = &gcs->tasks;
    if (dead->role != ROLE_WORKER && dead->role != ROLE_DRIVER)
        return;
    WorkerEnd *end = mem_new(WorkerEnd);
    DeadWorker m = {
        .worker_id = dead->worker_id,
        .peer = dead->peer,
        .node = dead->node,
        .pid = dead->pid,
        .role = dead->role,
        .exit_code = dead->exit_code,
        .intended = dead->intended,
        .oom = dead->oom,
        .text = dead->text,
        .ended_wall = (uint64_t)loop_wall_now(gcs->loop),
    };
    dead_worker_encode(&m, &end->body);
    list_push(&tasks->workers, &end->link);
    tasks->workers_len++;
    tasks->workers_bytes += end->body.len;
    while (tasks->workers_len > WORKERS_KEPT || tasks->workers_bytes > WORKERS_BYTES_MAX) {
        worker_end_free(gcs, LIST_ITEM(tasks->workers.next, WorkerEnd, link));
        tasks->workers_dropped++;
    }
}

void tasks_on_worker_list(Gcs *gcs, GcsCall *call) {
    const GcsTasks *tasks = &gcs->tasks;
    DeadWorkers answer = { .workers = arena_array(call->arena, DeadWorker, tasks->workers_len + 1),
                           .dropped = tasks->workers_dropped };
    LIST_EACH(item, &tasks->workers) {
        const Buf *body = &LIST_ITEM(item, WorkerEnd, link)->body;
        if (dead_worker_decode(&answer.workers[answer.workers_len], body->data, body->len,
                               call->arena) == 0)
            answer.workers_len++;
    }
    _cleanup_buf_ Buf body = { 0 };
    dead_workers_encode(&answer, &body);
    gcs_reply(gcs, call, MSG_DEAD_WORKERS, &body);
}
