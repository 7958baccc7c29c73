/* SPDX-License-Identifier: Apache-2.0 */
#include "api/state.h"
#include "base/str.h"
#include "model/ids.h"
#include "model/resources.h"

json_t *state_id(const void *id, size_t len) {
    if (id_bytes_are(id, len, 0) || id_bytes_are(id, len, 0xff))
        return json_null();
    return json_string(id_hex(id, len, (char[ID_HEX_MAX]){ 0 }));
}
#define ID(id) state_id((id), sizeof(*(id)))

json_t *state_text(Slice text) {
    json_t *value = json_stringn(text.data ? text.data : "", text.len);
    return value ? value : json_string(""); /* no UTF-8 */
}

static json_t *text_or_null(Slice text) {
    return text.len ? state_text(text) : json_null();
}

static json_t *amounts(const Resource *items, size_t len) {
    json_t *object = json_object();
    for (size_t i = 0; i < len; i++)
        json_object_setn_new(object, items[i].name.data, items[i].name.len,
                             json_real((double)items[i].amount / (double)QUANTITY_ONE));
    return object;
}

static json_t *pairs(const Pair *items, size_t len) {
    json_t *object = json_object();
    for (size_t i = 0; i < len; i++)
        json_object_setn_new(object, items[i].key.data, items[i].key.len,
                             state_text(items[i].value));
    return object;
}

static const NodeInfo *node_of(const StateWorld *world, PeerId peer) {
    for (size_t i = 0; i < world->nodes_len; i++)
        if (world->nodes[i].index == peer_node(peer) &&
            world->nodes[i].incarnation == peer_incarnation(peer))
            return &world->nodes[i];
    return NULL;
}

bool state_node_of(const StateWorld *world, PeerId peer, NodeId *ret_node) {
    const NodeInfo *node = node_of(world, peer);
    if (node)
        *ret_node = node->node;
    return node != NULL;
}

static const NodeInfo *node_by_id(const StateWorld *world, const NodeId *id) {
    for (size_t i = 0; i < world->nodes_len; i++)
        if (id_equal(&world->nodes[i].node, id))
            return &world->nodes[i];
    return NULL;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static json_t *node_row(const NodeInfo *node) {
    bool dead = node->state == NODE_STATE_DEAD;
    json_t *row = json_object();
    json_object_set_new(row, "node_id", ID(&node->node));
    json_object_set_new(row, "node_ip", state_text(node->ip));
    json_object_set_new(row, "is_head_node", json_boolean(node->head));
    json_object_set_new(row, "state", json_string(dead ? "DEAD" : "ALIVE"));
    json_object_set_new(row, "state_message",
                        dead ? text_or_null(node->death_reason) : json_null());
    json_object_set_new(row, "node_name", state_text(node->name.len ? node->name : node->ip));
    json_object_set_new(row, "resources_total", amounts(node->total, dead ? 0 : node->total_len));
    json_object_set_new(row, "labels", pairs(node->labels, node->labels_len));
    json_object_set_new(row, "start_time_ms", json_integer((json_int_t)node->started_wall));
    json_object_set_new(row, "end_time_ms", json_integer((json_int_t)node->ended_wall));
    return row;
}

json_t *state_nodes(const StateWorld *world) {
    json_t *rows = json_array();
    for (size_t i = 0; i < world->nodes_len; i++)
        json_array_append_new(rows, node_row(&world->nodes[i]));
    return rows;
}

/* ---- actors ---------------------------------------------------------------------------------- */

static const char *const actor_states[] = { "DEPENDENCIES_UNREADY", "PENDING_CREATION", "ALIVE",
                                            "RESTARTING", "DEAD" };

static json_t *death_cause(const ActorInfo *actor) {
    if (actor->state != ACTOR_STATE_DEAD)
        return json_null();
    json_t *context = json_object(), *cause = json_object();
    if (actor->death_kind == DEATH_KIND_INIT_FAILED) {
        json_object_set_new(context, "formatted_exception_string", state_text(actor->death_text));
        json_object_set_new(context, "language", json_string("PYTHON"));
        json_object_set_new(cause, "creation_task_failure_context", context);
        return cause;
    }
    json_object_set_new(context, "error_message", state_text(actor->death_text));
    json_object_set_new(context, "pid", json_integer(actor->pid));
    json_object_set_new(context, "name", state_text(actor->name));
    json_object_set_new(context, "ray_namespace", state_text(actor->namespace));
    json_object_set_new(context, "class_name", state_text(actor->class_name));
    json_object_set_new(context, "actor_id", ID(&actor->actor));
    json_object_set_new(context, "never_started",
                        json_boolean(id_is_unset(&actor->worker_id) && actor->pid == 0));
    json_object_set_new(context, "node_ip_address", state_text(actor->ip));
    json_object_set_new(cause, "actor_died_error_context", context);
    return cause;
}

static json_t *actor_row(const ActorInfo *actor) {
    json_t *row = json_object();
    size_t state = MIN((size_t)actor->state, ARRAY_LEN(actor_states) - 1);
    json_object_set_new(row, "actor_id", ID(&actor->actor));
    json_object_set_new(row, "class_name", state_text(actor->class_name));
    json_object_set_new(row, "state", json_string(actor_states[state]));
    json_object_set_new(row, "job_id", ID(&actor->job));
    json_object_set_new(row, "name", state_text(actor->name));
    json_object_set_new(row, "node_id", ID(&actor->node));
    json_object_set_new(row, "pid", json_integer(actor->pid));
    json_object_set_new(row, "ray_namespace", state_text(actor->namespace));
    json_object_set_new(row, "serialized_runtime_env",
                        state_text(actor->runtime_env.len ? actor->runtime_env : SLICE("{}")));
    json_object_set_new(row, "required_resources", amounts(actor->resources, actor->resources_len));
    json_object_set_new(row, "death_cause", death_cause(actor));
    json_object_set_new(row, "is_detached", json_boolean(actor->detached));
    json_object_set_new(row, "placement_group_id", ID(&actor->group));
    bool own_repr = !slice_eq(actor->repr, actor->class_name);
    json_object_set_new(row, "repr_name", state_text(own_repr ? actor->repr : (Slice){ 0 }));
    json_object_set_new(row, "num_restarts", json_integer(actor->restarts));
    json_object_set_new(row, "num_restarts_due_to_lineage_reconstruction", json_integer(0));
    json_object_set_new(row, "num_restarts_due_to_node_preemption", json_integer(0));
    json_object_set_new(row, "label_selector", pairs(actor->labels, actor->labels_len));
    return row;
}

json_t *state_actors(const StateWorld *world) {
    json_t *rows = json_array();
    for (size_t i = 0; i < world->actors.actors_len; i++)
        json_array_append_new(rows, actor_row(&world->actors.actors[i]));
    return rows;
}

/* ---- workers --------------------------------------------------------------------------------- */

static json_t *worker_row(const WorkerId *id, bool alive, uint8_t role, const NodeInfo *node,
                          uint32_t pid) {
    json_t *row = json_object();
    json_object_set_new(row, "worker_id", ID(id));
    json_object_set_new(row, "is_alive", json_boolean(alive));
    json_object_set_new(row, "worker_type", json_string(role == ROLE_DRIVER ? "DRIVER" : "WORKER"));
    json_object_set_new(row, "exit_type", json_null());
    json_object_set_new(row, "node_id", node ? ID(&node->node) : json_null());
    json_object_set_new(row, "ip", node ? state_text(node->ip) : json_string(""));
    json_object_set_new(row, "pid", json_integer(pid));
    json_object_set_new(row, "worker_launch_time_ms", json_integer(-1));
    json_object_set_new(row, "worker_launched_time_ms", json_integer(-1));
    json_object_set_new(row, "start_time_ms", json_integer(0));
    json_object_set_new(row, "end_time_ms", json_integer(0));
    return row;
}

static const char *exit_type(const DeadWorker *dead) {
    if (dead->intended)
        return dead->role == ROLE_DRIVER || dead->exit_code == 0 ? "INTENDED_USER_EXIT"
                                                                 : "INTENDED_SYSTEM_EXIT";
    return dead->oom ? "NODE_OUT_OF_MEMORY" : "SYSTEM_ERROR";
}

json_t *state_workers(const StateWorld *world) {
    json_t *rows = json_array();
    for (size_t i = 0; i < world->details_len; i++) {
        const NodeInfo *node = node_by_id(world, &world->details[i].node);
        for (size_t k = 0; k < world->details[i].processes_len; k++) {
            const ProcessEntry *p = &world->details[i].processes[k];
            json_t *row = worker_row(&p->worker_id, true, p->role, node, p->pid);
            json_object_set_new(row, "start_time_ms",
                                json_integer((json_int_t)(p->started_wall / USEC_PER_MSEC)));
            json_array_append_new(rows, row);
        }
    }
    for (size_t i = 0; i < world->dead.workers_len; i++) {
        const DeadWorker *dead = &world->dead.workers[i];
        json_t *row =
            worker_row(&dead->worker_id, false, dead->role, node_of(world, dead->peer), dead->pid);
        json_object_set_new(row, "exit_type", json_string(exit_type(dead)));
        json_object_set_new(row, "exit_detail", state_text(dead->text));
        json_object_set_new(row, "end_time_ms",
                            json_integer((json_int_t)(dead->ended_wall / USEC_PER_MSEC)));
        json_array_append_new(rows, row);
    }
    return rows;
}

/* ---- objects --------------------------------------------------------------------------------- */

static const char *const reference_kinds[] = { "UNKNOWN_STATUS",     "LOCAL_REFERENCE",
                                               "PINNED_IN_MEMORY",   "USED_BY_PENDING_TASK",
                                               "CAPTURED_IN_OBJECT", "ACTOR_HANDLE" };

static json_t *object_row(const ObjectEntry *object, const ProcessEntry *process,
                          const NodeInfo *node) {
    json_t *row = json_object();
    size_t kind = MIN((size_t)object->kind, ARRAY_LEN(reference_kinds) - 1);
    json_object_set_new(row, "object_id", ID(&object->object));
    json_object_set_new(row, "object_size",
                        json_integer(object->known ? (json_int_t)object->size : -1));
    json_object_set_new(row, "task_status", json_string(state_task_state(object->state)));
    json_object_set_new(row, "attempt_number", json_integer(object->attempts));
    json_object_set_new(row, "reference_type", json_string(reference_kinds[kind]));
    json_object_set_new(row, "call_site", json_string("disabled"));
    json_object_set_new(row, "type",
                        json_string(process->role == ROLE_DRIVER ? "DRIVER" : "WORKER"));
    json_object_set_new(row, "pid", json_integer(process->pid));
    json_object_set_new(row, "ip", node ? state_text(node->ip) : json_string(""));
    return row;
}

json_t *state_objects(const StateWorld *world) {
    json_t *rows = json_array();
    for (size_t i = 0; i < world->details_len; i++) {
        const NodeInfo *node = node_by_id(world, &world->details[i].node);
        for (size_t k = 0; k < world->details[i].processes_len; k++) {
            _cleanup_arena_ Arena arena = { 0 };
            const ProcessEntry *p = &world->details[i].processes[k];
            ProcessState state;
            if (!p->answered ||
                process_state_decode(&state, p->state.data, p->state.len, &arena) < 0)
                continue;
            for (size_t o = 0; o < state.objects_len; o++)
                json_array_append_new(rows, object_row(&state.objects[o], p, node));
        }
    }
    return rows;
}

/* ---- placement groups -------------------------------------------------------------------------- */

static const char *const group_states[] = { "PENDING", "PREPARED", "CREATED", "REMOVED",
                                            "RESCHEDULING" };

static const char *scheduling_state(const GroupInfo *group) {
    if (group->state == GROUP_STATE_REMOVED)
        return "REMOVED";
    if (group->state == GROUP_STATE_CREATED)
        return "FINISHED";
    return group->infeasible ? "INFEASIBLE" : group->attempts ? "NO_RESOURCES" : "QUEUED";
}

static json_t *group_row(const GroupInfo *group) {
    json_t *row = json_object(), *bundles = json_array();
    for (size_t i = 0; i < group->bundles_len; i++) {
        const Bundle *bundle = &group->bundles[i];
        json_t *id = json_pack("{s:o,s:i}", "placement_group_id", ID(&group->group), "bundle_index",
                               (int)bundle->index);
        json_array_append_new(bundles,
                              json_pack("{s:o,s:o,s:o,s:o}", "bundle_id", id, "unit_resources",
                                        amounts(bundle->resources, bundle->resources_len),
                                        "node_id", ID(&bundle->node), "label_selector",
                                        pairs(bundle->labels, bundle->labels_len)));
    }
    size_t state = MIN((size_t)group->state, ARRAY_LEN(group_states) - 1);
    json_object_set_new(row, "placement_group_id", ID(&group->group));
    json_object_set_new(row, "name", state_text(group->name));
    json_object_set_new(row, "creator_job_id", ID(&group->job));
    json_object_set_new(row, "state", json_string(group_states[state]));
    json_object_set_new(row, "bundles", bundles);
    json_object_set_new(row, "is_detached", json_boolean(group->detached));
    json_object_set_new(row, "stats",
                        json_pack("{s:f,s:f,s:i,s:f,s:s}", "end_to_end_creation_latency_ms",
                                  (double)group->created_usec / 1000, "scheduling_latency_ms",
                                  (double)group->reserve_usec / 1000, "scheduling_attempt",
                                  (int)group->attempts, "highest_retry_delay_ms", 0.0,
                                  "scheduling_state", scheduling_state(group)));
    json_object_set_new(row, "topology_strategy", json_object());
    json_object_set_new(row, "topology_assignments", json_object());
    return row;
}

json_t *state_groups(const StateWorld *world) {
    json_t *rows = json_array();
    for (size_t i = 0; i < world->groups.groups_len; i++)
        json_array_append_new(rows, group_row(&world->groups.groups[i]));
    return rows;
}

/* ---- runtime environments ------------------------------------------------------------------------ */

json_t *state_runtime_envs(const StateWorld *world) {
    json_t *rows = json_array();
    for (size_t i = 0; i < world->details_len; i++) {
        const NodeDetails *details = &world->details[i];
        for (size_t k = 0; k < details->envs_len; k++) {
            const EnvEntry *env = &details->envs[k];
            json_t *parsed = NULL, *row = json_object();
            if (json_parse(env->runtime_env.data, env->runtime_env.len, NULL, 0, &parsed) < 0)
                parsed = json_object();
            json_object_set_new(row, "runtime_env", parsed);
            json_object_set_new(row, "success", json_boolean(env->success));
            json_object_set_new(row, "creation_time_ms",
                                env->success ? json_real((double)env->creation_ms) : json_null());
            json_object_set_new(row, "node_id", ID(&details->node));
            json_object_set_new(row, "ref_cnt", json_integer(env->references));
            json_object_set_new(row, "error", text_or_null(env->error));
            json_array_append_new(rows, row);
        }
    }
    return rows;
}
