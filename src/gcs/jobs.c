/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "gcs/gcs_private.h"

/* Jobs of drivers: one a driver process, numbered; over when the driver is gone. */

enum {
    CONFIG_MAX = 1 << 20
};

static void job_free(GcsJob *job) {
    char *texts[] = { job->namespace_, job->config, job->ip, job->submission, job->entrypoint };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    free(job);
}

GcsJob *jobs_get(const Gcs *gcs, const JobId *id) {
    return map_get(&gcs->jobs, id);
}

static JobInfo job_info(const GcsJob *job) {
    return (JobInfo){
        .job = job->id,
        .driver = job->driver,
        .namespace = slice_str(job->namespace_),
        .config = slice_str(job->config),
        .pid = job->pid,
        .ip = slice_str(job->ip),
        .started_wall = job->started_ms,
        .ended_wall = job->ended_ms,
        .finished = job->finished,
        .submission = slice_str(job->submission),
        .entrypoint = slice_str(job->entrypoint),
    };
}

static int job_store(Gcs *gcs, const GcsJob *job) {
    _cleanup_buf_ Buf body = { 0 };
    JobInfo info = job_info(job);
    job_info_encode(&info, &body);
    pubsub_publish(gcs, "job", ID_SLICE(&job->id), buf_slice(&body));
    return gcs_store(gcs, "job", ID_SLICE(&job->id), &body);
}

static int job_set(GcsJob *job, Slice namespace_, Slice config, Slice ip, Slice submission,
                   Slice entrypoint) {
    int r = text_from_wire(namespace_, GCS_NAME_MAX, "the namespace", &job->namespace_);
    if (r == 0)
        r = text_from_wire(config, CONFIG_MAX, "the job's config", &job->config);
    if (r == 0)
        r = text_from_wire(ip, GCS_NAME_MAX, "the driver's ip", &job->ip);
    if (r == 0)
        r = text_from_wire(submission, GCS_NAME_MAX, "the submission id", &job->submission);
    if (r == 0)
        r = text_from_wire(entrypoint, CONFIG_MAX, "the entrypoint", &job->entrypoint);
    return r;
}

/* A namespace of its own for a driver that named none: a random UUID, as Ray makes up. */
static char *namespace_new(void) {
    uint8_t b[16];
    char hex[33];
    mem_random(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    hex_encode(b, sizeof(b), hex);
    return str_printf("%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* Forgets finished jobs that are too many, the oldest (lowest number) first. */
static void forget_old(Gcs *gcs) {
    while (map_len(&gcs->jobs) - map_len(&gcs->drivers) > GCS_FINISHED_JOBS_KEPT) {
        GcsJob *job, *oldest = NULL;
        MAP_EACH(&gcs->jobs, pos, job)
            if (job->finished && (!oldest || job_id_number(&job->id) < job_id_number(&oldest->id)))
                oldest = job;
        gcs_erase(gcs, "job", ID_SLICE(&oldest->id));
        map_remove(&gcs->jobs, &oldest->id);
        job_free(oldest);
    }
}

static void job_finish(Gcs *gcs, GcsJob *job) {
    if (job->finished)
        return;
    job->finished = true;
    job->ended_ms = gcs_wall_ms(gcs);
    map_remove(&gcs->drivers, &job->driver);
    if (job_store(gcs, job) == 0)
        gcs_log(gcs);
    actors_job_ended(gcs, &job->id);
    groups_job_ended(gcs, &job->id);
    JobFinished message = { .job = job->id };
    _cleanup_buf_ Buf body = { 0 };
    job_finished_encode(&message, &body);
    nodes_broadcast(gcs, MSG_JOB_FINISHED, &body, NULL);
    forget_old(gcs);
}

static int number_store(Gcs *gcs) {
    return kv_put(gcs->kv, "meta", SLICE("last_job"),
                  (Slice){ (const char *)&gcs->last_job, sizeof(gcs->last_job) });
}

static int job_add(Gcs *gcs, const JobAdd *add, GcsJob **ret_job) {
    GcsJob *job = mem_new(GcsJob);
    int r = job_set(job, add->namespace, add->config, add->ip, add->submission, add->entrypoint);
    if (r == 0) {
        job->id = job_id_from_number(gcs->last_job + 1);
        job->driver = add->driver;
        job->driver_worker = add->driver_worker;
        job->pid = add->pid;
        job->started_ms = gcs_wall_ms(gcs);
        if (str_empty(job->namespace_)) {
            free(job->namespace_);
            job->namespace_ = namespace_new();
        }
        r = job_store(gcs, job);
    }
    if (r < 0) {
        job_free(job);
        return r;
    }
    gcs->last_job++;
    map_put(&gcs->jobs, &job->id, job);
    map_put(&gcs->drivers, &job->driver, job);
    *ret_job = job;
    return number_store(gcs);
}

void jobs_on_add(Gcs *gcs, GcsCall *call) {
    JobAdd add;
    GCS_DECODE(gcs, call, job_add_decode, &add);
    if (!call->conn->node || peer_node(add.driver) != call->conn->node->index) {
        gcs_reply_status(gcs, call, STATUS_CODE_DENIED, "a raylet adds jobs of its own drivers");
        return;
    }
    GcsJob *job = map_get(&gcs->drivers, &add.driver);
    int r = job ? 0 : job_add(gcs, &add, &job); /* a resend changes nothing */
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        return;
    }
    submissions_driver_joined(gcs, job);
    JobAdded added = { .job = job->id, .namespace = slice_str(job->namespace_) };
    _cleanup_buf_ Buf body = { 0 };
    job_added_encode(&added, &body);
    gcs_reply_logged(gcs, call, MSG_JOB_ADDED, &body, KV_SYNCED);
}

void jobs_on_finish(Gcs *gcs, GcsCall *call) {
    JobFinish finish;
    GCS_DECODE(gcs, call, job_finish_decode, &finish);
    GcsJob *job = jobs_get(gcs, &finish.job);
    if (job && call->conn->node && peer_node(job->driver) == call->conn->node->index)
        job_finish(gcs, job);
    gcs_ok_logged(gcs, call, KV_LOGGED);
}

void jobs_on_table(Gcs *gcs, GcsCall *call) {
    JobTable table = { .jobs = arena_array(call->arena, JobInfo, map_len(&gcs->jobs) + 1) };
    GcsJob *job;
    MAP_EACH(&gcs->jobs, pos, job)
        table.jobs[table.jobs_len++] = job_info(job);
    _cleanup_buf_ Buf body = { 0 };
    job_table_encode(&table, &body);
    gcs_reply(gcs, call, MSG_JOB_TABLE, &body);
}

void jobs_peer_dead(Gcs *gcs, PeerId peer) {
    GcsJob *job = map_get(&gcs->drivers, &peer);
    if (job)
        job_finish(gcs, job);
}

void jobs_node_dead(Gcs *gcs, const GcsNode *node) {
    for (bool again = true; again;) {
        again = false;
        GcsJob *job;
        MAP_EACH(&gcs->drivers, pos, job) {
            if (peer_node(job->driver) != node->index ||
                peer_incarnation(job->driver) != node->incarnation)
                continue;
            job_finish(gcs, job);
            again = true; /* the map has changed */
            break;
        }
    }
}

void jobs_init(Gcs *gcs) {
    map_init(&gcs->jobs, sizeof(JobId));
    map_init(&gcs->drivers, sizeof(PeerId));
}

static int load_one(void *userdata, Slice key, Slice value) {
    Gcs *gcs = userdata;
    _cleanup_arena_ Arena arena = { 0 };
    JobInfo info;
    int r = job_info_decode(&info, value.data, value.len, &arena);
    if (r < 0)
        return r;
    GcsJob *job = mem_new(GcsJob);
    r = job_set(job, info.namespace, info.config, info.ip, info.submission, info.entrypoint);
    if (r < 0) {
        job_free(job);
        return r;
    }
    job->id = info.job;
    job->driver = info.driver;
    job->pid = info.pid;
    job->started_ms = info.started_wall;
    job->ended_ms = info.ended_wall;
    job->finished = info.finished;
    map_put(&gcs->jobs, &job->id, job);
    if (!job->finished)
        map_put(&gcs->drivers, &job->driver, job);
    gcs->last_job = MAX(gcs->last_job, job_id_number(&job->id));
    return 0;
}

int jobs_load(Gcs *gcs) {
    _cleanup_buf_ Buf last = { 0 };
    int r = kv_get(gcs->kv, "meta", SLICE("last_job"), &last);
    if (r < 0)
        return r;
    if (r == 0 && last.len == sizeof(gcs->last_job))
        memcpy(&gcs->last_job, last.data, last.len);
    return kv_scan(gcs->kv, "job", (Slice){ 0 }, (Slice){ 0 }, load_one, gcs);
}

void jobs_done(Gcs *gcs) {
    GcsJob *job;
    MAP_EACH(&gcs->jobs, pos, job)
        job_free(job);
    map_done(&gcs->jobs);
    map_done(&gcs->drivers);
}
