/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "codec/json.h"
#include "raylet/raylet_private.h"

/* What a worker must be told of the job it works for: told by the job's driver if that is here,
 * asked of gcs if a lease came from another node. */

#define TABLE_TIMEOUT (10 * USEC_PER_SEC)

static void job_free(Job *job) {
    free(job->config);
    free(job->namespace_);
    free(job->runtime_env);
    free(job);
}

static char *runtime_env_of(const char *config) {
    _cleanup_json_ json_t *value = NULL;
    if (json_parse(config, strlen(config), NULL, 0, &value) < 0)
        return NULL;
    json_t *env = json_at(value, "runtime_env");
    return json_object_size(env) ? json_text(env, JSON_SORTED) : NULL;
}

void job_cache_learn(Raylet *raylet, const JobId *id, PeerId driver, Slice config,
                     Slice namespace_) {
    if (map_get(&raylet->jobs, id))
        return;
    Job *job = mem_new(Job);
    job->id = *id;
    job->driver = driver;
    job->config = str_dup_slice(config);
    job->namespace_ = str_dup_slice(namespace_);
    job->runtime_env = runtime_env_of(job->config);
    map_put(&raylet->jobs, id, job);
}

void job_cache_forget(Raylet *raylet, const JobId *id) {
    Job *job = map_remove(&raylet->jobs, id);
    if (job)
        job_free(job);
}

static void on_table(void *argument, const RpcReply *reply) {
    Raylet *raylet = argument;
    raylet->jobs_call = 0;
    if (reply->result != 0)
        return; /* the next lease asks again */
    _cleanup_arena_ Arena arena = { 0 };
    JobTable table;
    if (job_table_decode(&table, reply->body, reply->len, &arena) < 0)
        return;
    /* Finished ones too: their detached actors may start anew here. */
    for (size_t i = 0; i < table.jobs_len; i++)
        job_cache_learn(raylet, &table.jobs[i].job, table.jobs[i].driver, table.jobs[i].config,
                        table.jobs[i].namespace);
    loop_task_arm(raylet->dispatch_task);
}

const Job *job_cache_find(Raylet *raylet, const JobId *id) {
    Job *job = map_get(&raylet->jobs, id);
    if (!job && !raylet->jobs_call)
        raylet->jobs_call =
            raylet_call(raylet, PEER_GCS, MSG_JOB_TABLE_GET, NULL, TABLE_TIMEOUT, on_table, raylet);
    return job;
}

void job_cache_init(Raylet *raylet) {
    map_init(&raylet->jobs, sizeof(JobId));
}

void job_cache_done(Raylet *raylet) {
    Job *job;
    MAP_EACH(&raylet->jobs, pos, job)
        job_free(job);
    map_done(&raylet->jobs);
}
