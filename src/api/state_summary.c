/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "api/state.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"

static const char *text_at(const json_t *row, const char *key) {
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static void count(json_t *counts, const char *key) {
    json_int_t before = json_integer_value(json_object_get(counts, key));
    json_object_set_new(counts, key, json_integer(before + 1));
}

static void add(json_t *object, const char *key, json_int_t value) {
    json_int_t before = json_integer_value(json_object_get(object, key));
    json_object_set_new(object, key, json_integer(before + value));
}

/* {"node_id_to_summary": {"cluster": {...}}}; takes `summary`. */
static json_t *whole(json_t *cluster, json_t *summary, const char *by) {
    json_object_set_new(cluster, "summary", summary);
    json_object_set_new(cluster, "summary_by", json_string(by));
    return json_pack("{s:{s:o}}", "node_id_to_summary", "cluster", cluster);
}

/* ---- actors ------------------------------------------------------------------------------------ */

json_t *state_summarize_actors(const json_t *rows) {
    json_t *summary = json_object(), *cluster = json_object();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = text_at(row, "class_name");
        json_t *of_class = json_make_object(summary, name);
        json_object_set_new(of_class, "class_name", json_string(name));
        count(json_make_object(of_class, "state_counts"), text_at(row, "state"));
    }
    json_object_set_new(cluster, "total_actors", json_integer((json_int_t)json_array_size(rows)));
    return whole(cluster, summary, "class");
}

/* ---- objects ----------------------------------------------------------------------------------- */

static void add_size(json_t *object, const char *key, double size) {
    double before = json_number_value(json_object_get(object, key));
    json_object_set_new(object, key, json_real(before + size));
}

/* How many different values a column has, kept in `sets` while counting. */
static void count_distinct(json_t *sets, json_t *entry, const char *key, const char *column,
                           const json_t *row) {
    _cleanup_free_ char *value = json_text(json_object_get(row, column), 0);
    json_t *set = json_make_object(json_make_object(sets, text_at(row, "call_site")), column);
    json_object_set_new(set, value, json_true());
    json_object_set_new(entry, key, json_integer((json_int_t)json_object_size(set)));
}

json_t *state_summarize_objects(const json_t *rows) {
    _cleanup_json_ json_t *sets = json_object();
    json_t *summary = json_object(), *cluster = json_object();
    double total_size = 0;
    bool call_sites = true;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *site = text_at(row, "call_site");
        json_t *entry = json_make_object(summary, site);
        int64_t size = json_int_at(row, -1, "object_size");
        char attempt[24];
        snprintf(attempt, sizeof(attempt), "%lld",
                 (long long)json_int_at(row, 0, "attempt_number"));
        call_sites &= !str_eq(site, "disabled");
        add(entry, "total_objects", 1);
        add_size(entry, "total_size_mb", size < 0 ? 0 : (double)size / (1024 * 1024));
        total_size += size < 0 ? 0 : (double)size / (1024 * 1024);
        count_distinct(sets, entry, "total_num_workers", "pid", row);
        count_distinct(sets, entry, "total_num_nodes", "ip", row);
        count(json_make_object(entry, "task_state_counts"), text_at(row, "task_status"));
        count(json_make_object(entry, "task_attempt_number_counts"), attempt);
        count(json_make_object(entry, "ref_type_counts"), text_at(row, "reference_type"));
    }
    json_object_set_new(cluster, "total_objects", json_integer((json_int_t)json_array_size(rows)));
    json_object_set_new(cluster, "total_size_mb", json_real(total_size));
    json_object_set_new(cluster, "callsite_enabled", json_boolean(call_sites));
    return whole(cluster, summary, "callsite");
}

/* ---- tasks ------------------------------------------------------------------------------------- */

static void count_kind(json_t *cluster, const json_t *row) {
    const char *type = text_at(row, "type");
    add(cluster, "total_tasks", str_eq(type, "NORMAL_TASK"));
    add(cluster, "total_actor_tasks", str_eq(type, "ACTOR_TASK"));
    add(cluster, "total_actor_scheduled", str_eq(type, "ACTOR_CREATION_TASK"));
}

static const char *task_name(const json_t *row) {
    const char *name = text_at(row, "name");
    return *name ? name : text_at(row, "func_or_class_name");
}

static json_t *tasks_by_name(const json_t *rows, json_t *cluster) {
    json_t *summary = json_object();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        json_t *entry = json_object_get(summary, task_name(row));
        if (!entry) {
            entry = json_make_object(summary, task_name(row));
            json_object_set_new(entry, "func_or_class_name", json_string(task_name(row)));
            json_object_set_new(entry, "type", json_string(text_at(row, "type")));
        }
        count(json_make_object(entry, "state_counts"), text_at(row, "state"));
        count_kind(cluster, row);
    }
    return summary;
}

/* ---- tasks by lineage: who called whom ----------------------------------------------------------- */

typedef struct Lineage {
    const json_t *rows, *actors;
    StrMap tasks;          /* id -> row, the last attempt */
    StrMap creations;      /* actor's id -> row of its creation */
    StrMap infos;          /* actor's id -> its row */
    StrMap groups;         /* id or "actor:id" -> group (borrowed) */
    json_t *top, *orphans; /* whose parents nobody knows: counted, not shown */
} Lineage;

enum {
    LINEAGE_DEPTH_MAX = 200, /* a cycle, or deeper than anybody reads */
};

static json_t *group_new(const char *name, const char *key, const char *type, const char *link,
                         const char *id, const json_t *created) {
    json_t *group = json_object();
    json_object_set_new(group, "name", json_string(name));
    json_object_set_new(group, "key", json_string(key));
    json_object_set_new(group, "type", json_string(type));
    json_object_set_new(group, "timestamp",
                        json_is_number(created) ? json_deep_copy(created) : json_null());
    json_object_set_new(group, "state_counts", json_object());
    json_object_set_new(group, "children", json_array());
    json_object_set_new(group, "link",
                        link ? json_pack("{s:s,s:s}", "type", link, "id", id) : json_null());
    return group;
}

static json_t *task_group(Lineage *l, const char *id, int depth);

/* A group that looks for its own place takes no children: they would be its ancestors. */
static bool put_under(json_t *above, json_t *group) {
    if (!above || json_object_get(above, "open"))
        return false;
    json_array_append(json_object_get(above, "children"), group);
    return true;
}

/* Puts it under its parent's children or, where the parent is the driver, on top. False: the parent is
 * not known. */
static bool adopt(Lineage *l, const char *parent, json_t *group, int depth) {
    if (!*parent || str_starts(parent, "ffffffffffffffffffffffffffffffffffffffff")) {
        json_array_append(l->top, group);
        return true;
    }
    return put_under(task_group(l, parent, depth + 1), group);
}

static json_t *actor_group(Lineage *l, const char *actor, int depth) {
    _cleanup_free_ char *key = str_printf("actor:%s", actor);
    json_t *group = strmap_get(&l->groups, key);
    const json_t *creation = strmap_get(&l->creations, actor);
    const json_t *info = strmap_get(&l->infos, actor);
    if (group || !creation || depth > LINEAGE_DEPTH_MAX)
        return group;
    _cleanup_free_ char *name = str_dup(text_at(creation, "func_or_class_name"));
    name[strcspn(name, ".")] = 0;
    const char *repr = text_at(info, "repr_name");
    const char *shown = !info ? name : *repr ? repr : text_at(info, "class_name");
    group = group_new(shown, key, "ACTOR", "actor", actor,
                      json_object_get(creation, "creation_time_ms"));
    strmap_put(&l->groups, key, group);
    json_object_set_new(group, "open", json_true());
    if (!adopt(l, text_at(creation, "parent_task_id"), group, depth))
        json_array_append(l->orphans, group);
    json_object_del(group, "open");
    json_decref(group);
    return group;
}

static json_t *task_group(Lineage *l, const char *id, int depth) {
    json_t *group = strmap_get(&l->groups, id);
    const json_t *row = strmap_get(&l->tasks, id);
    if (group || !row || depth > LINEAGE_DEPTH_MAX)
        return group;
    const char *type = text_at(row, "type");
    group =
        group_new(task_name(row), id, type, "task", id, json_object_get(row, "creation_time_ms"));
    strmap_put(&l->groups, id, group);
    bool kept;
    json_object_set_new(group, "open", json_true());
    if (str_eq(type, "ACTOR_TASK") || str_eq(type, "ACTOR_CREATION_TASK")) {
        kept = put_under(actor_group(l, text_at(row, "actor_id"), depth + 1), group);
    } else {
        kept = adopt(l, text_at(row, "parent_task_id"), group, depth);
    }
    json_object_del(group, "open");
    if (!kept)
        json_array_append(l->orphans, group);
    json_decref(group);
    return group;
}

static double timestamp(const json_t *group) {
    const json_t *value = json_object_get(group, "timestamp");
    return json_is_number(value) ? json_number_value(value) : 1e300;
}

/* Siblings of one name become a group; the earliest time goes up. */
static json_t *merge(json_t *siblings) {
    json_t *by_name = json_object(), *result = json_array();
    for (size_t i = 0; i < json_array_size(siblings); i++) {
        json_t *child = json_array_get(siblings, i);
        json_object_set_new(child, "children", merge(json_object_get(child, "children")));
        const json_t *children = json_object_get(child, "children");
        for (size_t k = 0; k < json_array_size(children); k++)
            if (timestamp(json_array_get(children, k)) < timestamp(child))
                json_object_set(child, "timestamp",
                                json_object_get(json_array_get(children, k), "timestamp"));
        const char *name = text_at(child, "name");
        json_t *group = json_object_get(by_name, name);
        if (!group) {
            group = group_new(name, name, "GROUP", NULL, NULL, NULL);
            json_object_set_new(by_name, name, group);
        }
        json_array_append(json_object_get(group, "children"), child);
        if (timestamp(child) < timestamp(group))
            json_object_set(group, "timestamp", json_object_get(child, "timestamp"));
    }
    const char *name;
    json_t *group;
    json_object_foreach(by_name, name, group) {
        json_t *children = json_object_get(group, "children");
        json_array_append(result,
                          json_array_size(children) > 1 ? group : json_array_get(children, 0));
    }
    json_decref(by_name);
    return result;
}

static int64_t states(const json_t *group, bool pending) {
    static const char *const names[2][4] = {
        { "RUNNING", "RUNNING_IN_RAY_GET", "RUNNING_IN_RAY_WAIT", NULL },
        { "PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT", "PENDING_OBJ_STORE_MEM_AVAIL",
          "PENDING_ARGS_FETCH" },
    };
    int64_t sum = 0;
    for (size_t i = 0; i < 4 && names[pending][i]; i++)
        sum += json_int_at(group, 0, "state_counts", names[pending][i]);
    return sum;
}

static int compare(int64_t a, int64_t b) { /* more first */
    return a > b ? -1 : a < b;
}

static int compare_groups(const void *a, const void *b) {
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int r = compare(states(x, false), states(y, false));
    if (r == 0)
        r = compare(states(x, true), states(y, true));
    if (r == 0)
        r = compare(json_int_at(x, 0, "state_counts", "FAILED"),
                    json_int_at(y, 0, "state_counts", "FAILED"));
    if (r == 0)
        r = timestamp(x) < timestamp(y) ? -1 : timestamp(x) > timestamp(y);
    if (r == 0)
        r = compare(str_eq(text_at(x, "type"), "ACTOR_CREATION_TASK"),
                    str_eq(text_at(y, "type"), "ACTOR_CREATION_TASK"));
    return r;
}

static void sort_groups(json_t *groups) {
    Vec(json_t *) list = { 0 };
    for (size_t i = 0; i < json_array_size(groups); i++)
        vec_push(&list, json_incref(json_array_get(groups, i)));
    if (list.len)
        qsort(list.items, list.len, sizeof(*list.items), compare_groups);
    json_array_clear(groups);
    VEC_EACH(group, &list)
        json_array_append_new(groups, *group);
    vec_done(&list);
}

static void total(json_t *group) {
    json_t *children = json_object_get(group, "children");
    for (size_t i = 0; i < json_array_size(children); i++) {
        json_t *child = json_array_get(children, i), *value;
        const char *state;
        total(child);
        json_object_foreach(json_object_get(child, "state_counts"), state, value)
            add(json_object_get(group, "state_counts"), state, json_integer_value(value));
    }
    sort_groups(children);
}

static json_t *tasks_by_lineage(const json_t *rows, const json_t *actors, json_t *cluster) {
    Lineage l = { .rows = rows, .actors = actors, .top = json_array(), .orphans = json_array() };
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        strmap_put(&l.tasks, text_at(row, "task_id"), row);
        if (str_eq(text_at(row, "type"), "ACTOR_CREATION_TASK"))
            strmap_put(&l.creations, text_at(row, "actor_id"), row);
    }
    for (size_t i = 0; i < json_array_size(actors); i++)
        strmap_put(&l.infos, text_at(json_array_get(actors, i), "actor_id"),
                   json_array_get(actors, i));
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        json_t *group = task_group(&l, text_at(row, "task_id"), 0);
        if (!group)
            continue;
        count(json_object_get(group, "state_counts"), text_at(row, "state"));
        count_kind(cluster, row);
    }
    json_t *summary = merge(l.top);
    for (size_t i = 0; i < json_array_size(summary); i++)
        total(json_array_get(summary, i));
    sort_groups(summary);
    json_decref(l.top);
    json_decref(l.orphans);
    strmap_done(&l.tasks);
    strmap_done(&l.creations);
    strmap_done(&l.infos);
    strmap_done(&l.groups);
    return summary;
}

int state_summarize_tasks(const json_t *rows, const json_t *actors, const char *by,
                          json_t **ret_summary) {
    bool lineage = str_eq(by, "lineage");
    if (by && !lineage && !str_eq(by, "func_name") && !str_eq(by, "task_name"))
        return error_origin(-EINVAL, "summary_by must be one of \"func_name\", \"task_name\", or "
                                     "\"lineage\".");
    json_t *cluster = json_pack("{s:i,s:i,s:i}", "total_tasks", 0, "total_actor_tasks", 0,
                                "total_actor_scheduled", 0);
    json_t *summary =
        lineage ? tasks_by_lineage(rows, actors, cluster) : tasks_by_name(rows, cluster);
    *ret_summary = whole(cluster, summary, lineage ? "lineage" : "func_name");
    return 0;
}

/* ---- timeline ---------------------------------------------------------------------------------- */

/* The number that stands for a name, from 0 on. */
static json_int_t number_of(json_t *numbers, const char *name) {
    json_t *number = json_object_get(numbers, name);
    if (!number) {
        number = json_integer((json_int_t)json_object_size(numbers));
        json_object_set_new(numbers, name, number);
    }
    return json_integer_value(number);
}

static json_t *trace_event(const json_t *row, const json_t *event, json_int_t node,
                           json_int_t worker) {
    static const char *const passed_on[] = { "task_id", "job_id", "attempt_number",
                                             "func_or_class_name", "actor_id" };
    double start = json_number_value(json_object_get(event, "start_time")) * 1e3;
    double end = json_number_value(json_object_get(event, "end_time")) * 1e3;
    json_t *args = json_deep_copy(json_object_get(event, "extra_data"));
    for (size_t i = 0; i < ARRAY_LEN(passed_on); i++)
        json_object_set(args, passed_on[i], json_object_get(row, passed_on[i]));
    const char *category = text_at(event, "event_name"), *name = text_at(args, "name");
    return json_pack("{s:s,s:s,s:I,s:I,s:f,s:f,s:s,s:o,s:s}", "cat", category, "name",
                     *name ? name : category, "pid", node, "tid", worker, "ts", start, "dur",
                     end - start, "cname",
                     str_eq(category, "task:execute") ? "rail_animation" : "generic_work", "args",
                     args, "ph", "X");
}

json_t *state_timeline(const json_t *rows) {
    _cleanup_json_ json_t *nodes = json_object(), *workers = json_object(),
                          *worker_nodes = json_object();
    json_t *trace = json_array(), *value;
    const char *name;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i), *data = json_object_get(row, "profiling_data");
        const json_t *events = json_object_get(data, "events");
        if (!json_array_size(events))
            continue;
        const char *ip = text_at(data, "node_ip_address");
        _cleanup_free_ char *component =
            str_printf("%s:%s", text_at(data, "component_type"), text_at(data, "component_id"));
        json_int_t node = number_of(nodes, ip), worker = number_of(workers, component);
        json_object_set_new(worker_nodes, component, json_integer(node));
        for (size_t k = 0; k < json_array_size(events); k++)
            json_array_append_new(trace, trace_event(row, json_array_get(events, k), node, worker));
    }
    json_object_foreach(nodes, name, value) {
        _cleanup_free_ char *shown = str_printf("Node %s", name);
        json_array_append_new(trace, json_pack("{s:s,s:{s:s},s:I,s:n,s:s}", "name", "process_name",
                                               "args", "name", shown, "pid",
                                               json_integer_value(value), "tid", "ph", "M"));
    }
    json_object_foreach(workers, name, value)
        json_array_append_new(
            trace, json_pack("{s:s,s:{s:s},s:I,s:I,s:s}", "name", "thread_name", "args", "name",
                             name, "pid", json_integer_value(json_object_get(worker_nodes, name)),
                             "tid", json_integer_value(value), "ph", "M"));
    return trace;
}
