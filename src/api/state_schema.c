/* SPDX-License-Identifier: Apache-2.0 */
#include "api/state.h"
#include "base/str.h"

#define TEXT(name)        { name, STATE_TEXT, .filter = true }
#define OTHER(name)       { name, STATE_OTHER, .filter = true }
#define DETAIL(name, ...) { name, STATE_OTHER, .detail = true, ##__VA_ARGS__ }

static const StateColumn actors[] = {
    TEXT("actor_id"),
    TEXT("class_name"),
    OTHER("state"),
    TEXT("job_id"),
    OTHER("name"),
    OTHER("node_id"),
    OTHER("pid"),
    OTHER("ray_namespace"),
    DETAIL("serialized_runtime_env"),
    DETAIL("required_resources"),
    DETAIL("death_cause"),
    DETAIL("is_detached"),
    DETAIL("placement_group_id", .filter = true),
    DETAIL("repr_name", .filter = true),
    DETAIL("num_restarts"),
    DETAIL("num_restarts_due_to_lineage_reconstruction"),
    DETAIL("num_restarts_due_to_node_preemption"),
    DETAIL("call_site"),
    DETAIL("label_selector"),
    DETAIL("fallback_strategy"),
};

static const StateColumn placement_groups[] = {
    TEXT("placement_group_id"),
    TEXT("name"),
    TEXT("creator_job_id"),
    OTHER("state"),
    DETAIL("bundles"),
    DETAIL("is_detached", .filter = true),
    DETAIL("stats"),
    DETAIL("topology_strategy"),
    DETAIL("topology_assignments"),
};

static const StateColumn nodes[] = {
    TEXT("node_id"),
    TEXT("node_ip"),
    { "is_head_node", STATE_BOOL, .filter = true },
    OTHER("state"),
    { "state_message", STATE_OTHER },
    TEXT("node_name"),
    { "resources_total", STATE_OTHER, .shown = SHOWN_RESOURCES },
    { "labels", STATE_OTHER },
    DETAIL("start_time_ms", .shown = SHOWN_TIME),
    DETAIL("end_time_ms", .shown = SHOWN_TIME),
};

static const StateColumn jobs[] = {
    TEXT("job_id"),
    TEXT("submission_id"),
    { "entrypoint", STATE_TEXT },
    TEXT("type"),
    TEXT("status"),
    { "message", STATE_TEXT },
    { "error_type", STATE_TEXT },
    { "driver_info", STATE_OTHER },
    DETAIL("start_time"),
    DETAIL("end_time"),
    DETAIL("metadata"),
    DETAIL("runtime_env"),
    DETAIL("driver_agent_http_address"),
    DETAIL("driver_node_id"),
    DETAIL("driver_exit_code"),
};

static const StateColumn workers[] = {
    TEXT("worker_id"),
    { "is_alive", STATE_BOOL, .filter = true },
    OTHER("worker_type"),
    OTHER("exit_type"),
    TEXT("node_id"),
    TEXT("ip"),
    { "pid", STATE_INT, .filter = true },
    DETAIL("exit_detail"),
    DETAIL("worker_launch_time_ms", .shown = SHOWN_TIME_IF_KNOWN),
    DETAIL("worker_launched_time_ms", .shown = SHOWN_TIME_IF_KNOWN),
    DETAIL("start_time_ms", .shown = SHOWN_TIME),
    DETAIL("end_time_ms", .shown = SHOWN_TIME),
    DETAIL("debugger_port", .filter = true),
    DETAIL("num_paused_threads", .filter = true),
};

static const StateColumn tasks[] = {
    TEXT("task_id"),
    { "attempt_number", STATE_INT, .filter = true },
    TEXT("name"),
    OTHER("state"),
    TEXT("job_id"),
    OTHER("actor_id"),
    OTHER("type"),
    TEXT("func_or_class_name"),
    TEXT("parent_task_id"),
    OTHER("node_id"),
    OTHER("worker_id"),
    OTHER("worker_pid"),
    OTHER("error_type"),
    DETAIL("language", .filter = true),
    DETAIL("required_resources"),
    DETAIL("runtime_env_info"),
    DETAIL("placement_group_id", .filter = true),
    DETAIL("events", .shown = SHOWN_EVENTS),
    DETAIL("profiling_data"),
    DETAIL("creation_time_ms", .shown = SHOWN_TIME),
    DETAIL("start_time_ms", .shown = SHOWN_TIME),
    DETAIL("end_time_ms", .shown = SHOWN_TIME),
    DETAIL("task_log_info"),
    DETAIL("error_message"),
    DETAIL("is_debugger_paused", .filter = true),
    DETAIL("call_site"),
    DETAIL("label_selector"),
    DETAIL("fallback_strategy"),
};

static const StateColumn objects[] = {
    TEXT("object_id"),
    { "object_size", STATE_INT, .filter = true, .shown = SHOWN_MEMORY },
    OTHER("task_status"),
    { "attempt_number", STATE_INT, .filter = true },
    OTHER("reference_type"),
    TEXT("call_site"),
    OTHER("type"),
    { "pid", STATE_INT, .filter = true },
    TEXT("ip"),
};

static const StateColumn runtime_envs[] = {
    OTHER("runtime_env"),
    { "success", STATE_BOOL, .filter = true },
    { "creation_time_ms", STATE_OTHER, .shown = SHOWN_DURATION },
    TEXT("node_id"),
    DETAIL("ref_cnt"),
    DETAIL("error", .filter = true),
};

static const StateColumn cluster_events[] = {
    TEXT("severity"),          { "time", STATE_TEXT }, TEXT("source_type"),
    { "message", STATE_TEXT }, TEXT("event_id"),       DETAIL("custom_fields"),
};

#define SCHEMA(name, id) { #name, id, name, ARRAY_LEN(name) }

static const StateSchema schemas[] = {
    SCHEMA(actors, "actor_id"),
    SCHEMA(jobs, "job_id"),
    SCHEMA(placement_groups, "placement_group_id"),
    SCHEMA(nodes, "node_id"),
    SCHEMA(workers, "worker_id"),
    SCHEMA(tasks, "task_id"),
    SCHEMA(objects, "object_id"),
    SCHEMA(runtime_envs, "creation_time_ms"),
    SCHEMA(cluster_events, "event_id"),
};

const StateSchema *state_schemas(size_t *ret_len) {
    *ret_len = ARRAY_LEN(schemas);
    return schemas;
}

static bool same_but_dashes(const char *name, const char *wanted) {
    for (; *name && *wanted; name++, wanted++)
        if (*name != (*wanted == '-' ? '_' : *wanted))
            return false;
    return *name == *wanted;
}

const StateSchema *state_schema(const char *name) {
    for (size_t i = 0; name && i < ARRAY_LEN(schemas); i++)
        if (same_but_dashes(schemas[i].name, name))
            return &schemas[i];
    return NULL;
}
