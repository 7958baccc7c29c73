/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who owns which field. Each manager (name, operation, version, subresource) has a set of fields.
 * An update takes over what it changes; an apply states all that its manager wants, conflicts with
 * others' fields that it would change, and drops what the manager stated before and does no more.
 */

#include "kobj/apply.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/vec.h"
#include "kobj/apply_private.h"
#include "kobj/fieldset.h"
#include "kobj/kinds.h"
#include "kobj/meta.h"
#include "kobj/schema_private.h"

enum {
    APPLY_UPDATERS_MAX = 10 /* more are folded into "ancient-changes" */
};

static const char last_applied[] = "kubectl.kubernetes.io/last-applied-configuration";

typedef struct Manager {
    char *name, *version, *subresource, *time;
    bool applies; /* operation Apply, else Update */
    json_t *set;
} Manager;

typedef struct Managers {
    Manager *items;
    size_t len, cap;
} Managers;

static void manager_done(Manager *manager) {
    mem_free(manager->name);
    mem_free(manager->version);
    mem_free(manager->subresource);
    mem_free(manager->time);
    json_decref(manager->set);
}

static void managers_done(Managers *managers) {
    VEC_EACH(manager, managers)
        manager_done(manager);
    vec_done(managers);
}

/* --- reading and writing metadata.managedFields --- */

static void managers_read(const json_t *object, Managers *out) {
    size_t i;
    json_t *entry;

    json_array_foreach(json_at(object, "metadata", "managedFields"), i, entry) {
        const char *name = json_str_at(entry, "manager");
        const char *version = json_str_at(entry, "apiVersion");
        const char *subresource = json_str_at(entry, "subresource");
        if (!json_is_object(json_object_get(entry, "fieldsV1")))
            continue;
        vec_push(out, (Manager){ .name = str_dup(name ? name : ""),
                                 .version = str_dup(version ? version : ""),
                                 .subresource = str_dup(subresource ? subresource : ""),
                                 .time = str_dup(json_str_at(entry, "time")),
                                 .applies = str_eq(json_str_at(entry, "operation"), "Apply"),
                                 .set = fieldset_decode(json_object_get(entry, "fieldsV1")) });
    }
}

static int text_order(const char *a, const char *b) {
    return strcmp(a ? a : "", b ? b : "");
}

/* Applies first, then the oldest. */
static int manager_compare(const void *a, const void *b) {
    const Manager *left = a, *right = b;

    if (left->applies != right->applies)
        return left->applies ? -1 : 1;
    int order = text_order(left->time, right->time);
    if (order == 0)
        order = text_order(left->name, right->name);
    return order ? order : text_order(left->subresource, right->subresource);
}

static json_t *manager_entry(const Manager *manager) {
    json_t *entry =
        json_pack("{s:s, s:s, s:s}", "manager", manager->name, "operation",
                  manager->applies ? "Apply" : "Update", "apiVersion", manager->version);

    if (manager->time)
        json_object_set_new(entry, "time", json_string(manager->time));
    json_object_set_new(entry, "fieldsType", json_string("FieldsV1"));
    json_object_set_new(entry, "fieldsV1", fieldset_encode(manager->set));
    if (*manager->subresource)
        json_object_set_new(entry, "subresource", json_string(manager->subresource));
    return entry;
}

/* The oldest updaters become one, so that the list stays short. */
static void managers_cap(Managers *managers) {
    size_t updaters = 0, first = SIZE_MAX;

    for (size_t i = 0; i < managers->len; i++) {
        if (!managers->items[i].applies && first == SIZE_MAX)
            first = i;
        updaters += !managers->items[i].applies;
    }
    while (updaters > APPLY_UPDATERS_MAX) {
        Manager *into = &managers->items[first], *from = &managers->items[first + 1];
        json_t *both = fieldset_union(into->set, from->set);
        json_decref(into->set);
        into->set = both;
        str_set(&into->name, "ancient-changes");
        manager_done(from);
        vec_remove(managers, first + 1);
        updaters--;
    }
}

static void managers_write(Managers *managers, json_t *object) {
    json_t *list;

    if (managers->len > 1)
        qsort(managers->items, managers->len, sizeof(*managers->items), manager_compare);
    managers_cap(managers);
    list = json_array();
    VEC_EACH(manager, managers) {
        if (!fieldset_is_empty(manager->set) || manager->applies)
            json_array_append_new(list, manager_entry(manager));
    }
    if (json_array_size(list) > 0)
        json_set_at(object, list, "metadata", "managedFields");
    else {
        json_decref(list);
        json_remove_at(object, "metadata", "managedFields");
    }
}

/* --- one manager --- */

static Manager *manager_find(Managers *managers, const ApplyWho *who, bool applies) {
    VEC_EACH(manager, managers) {
        if (manager->applies == applies && str_eq(manager->name, who->manager) &&
            str_eq(manager->version, who->api_version) &&
            str_eq(manager->subresource, who->subresource ? who->subresource : ""))
            return manager;
    }
    return NULL;
}

static Manager *manager_make(Managers *managers, const ApplyWho *who, bool applies) {
    Manager *found = manager_find(managers, who, applies);

    if (found)
        return found;
    vec_push(managers, (Manager){ .name = str_dup(who->manager),
                                  .version = str_dup(who->api_version),
                                  .subresource = str_dup(who->subresource ? who->subresource : ""),
                                  .applies = applies,
                                  .set = json_object() });
    return &managers->items[managers->len - 1];
}

/* Takes the set; the time moves only if it is another one. */
static void manager_set(Manager *manager, json_t *set, usec_t now) {
    char text[TIME_TEXT_MAX];

    if (!manager->time || !fieldset_same(manager->set, set)) {
        time_format_rfc3339(now, text);
        str_set(&manager->time, text);
    }
    json_decref(manager->set);
    manager->set = set;
}

static void manager_lose(Manager *manager, const json_t *lost) {
    json_t *left = fieldset_difference(manager->set, lost);

    json_decref(manager->set);
    manager->set = left;
}

static void managers_drop_empty(Managers *managers) {
    for (size_t i = managers->len; i > 0; i--) {
        if (!fieldset_is_empty(managers->items[i - 1].set))
            continue;
        manager_done(&managers->items[i - 1]);
        vec_remove(managers, i - 1);
    }
}

/* --- the schema of a whole object --- */

/* CRDs leave metadata to the server; it is that of all objects. */
typedef struct Root {
    Schema schema;
    SchemaField *fields;
} Root;

static void root_done(Root *root) {
    mem_free(root->fields);
}

static int field_compare(const void *a, const void *b) {
    return strcmp(((const SchemaField *)a)->name, ((const SchemaField *)b)->name);
}

static void root_add(Root *root, const char *name, const Schema *schema) {
    SchemaField *field = &root->fields[root->schema.field_count];

    for (size_t i = 0; i < root->schema.field_count; i++)
        if (str_eq(root->fields[i].name, name))
            field = &root->fields[i];
    if (field == &root->fields[root->schema.field_count])
        root->schema.field_count++;
    *field = (SchemaField){ name, schema, false };
}

static Root root_of(const Schema *schema) {
    const Schema *pod = kinds_find("", "v1", "Pod")->schema;
    static const char *const heads[] = { "apiVersion", "kind", "metadata" };
    Root root = { .schema = *schema, .fields = mem_array(SchemaField, schema->field_count + 3) };

    if (schema->field_count)
        memcpy(root.fields, schema->fields, schema->field_count * sizeof(*root.fields));
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        root_add(&root, heads[i], schema_member(pod, heads[i]));
    qsort(root.fields, root.schema.field_count, sizeof(*root.fields), field_compare);
    root.schema.fields = root.fields;
    return root;
}

/* What nobody owns: identity and what the server keeps. */
static json_t *unowned_fields(void) {
    static const char *const meta[] = { "name",
                                        "namespace",
                                        "creationTimestamp",
                                        "selfLink",
                                        "uid",
                                        "generation",
                                        "managedFields",
                                        "resourceVersion",
                                        "deletionTimestamp",
                                        "deletionGracePeriodSeconds" };
    json_t *set = json_object();

    json_set_at(set, json_object(), "f:apiVersion", ".");
    json_set_at(set, json_object(), "f:kind", ".");
    json_set_at(set, json_object(), "f:metadata", ".");
    for (size_t i = 0; i < ARRAY_LEN(meta); i++) {
        _cleanup_free_ char *element = str_printf("f:%s", meta[i]);
        json_set_at(set, json_object(), "f:metadata", element, ".");
    }
    return set;
}

static json_t *owned_part(json_t *set) {
    _cleanup_json_ json_t *all = set, *unowned = unowned_fields();
    json_t *owned = fieldset_difference(all, unowned);
    /* Times of the server's clock have nothing below them; lists in them do not occur. */
    return owned;
}

/* The object without managedFields, which no set speaks of. */
static json_t *plain_object(const json_t *object) {
    json_t *copy = json_deep_copy(object);

    json_remove_at(copy, "metadata", "managedFields");
    return copy;
}

/* --- changes --- */

static void diff_owned(const Schema *schema, const json_t *before, const json_t *after,
                       FieldsetDiff *out) {
    fieldset_diff(schema, before, after, out);
    out->added = owned_part(out->added);
    out->modified = owned_part(out->modified);
    out->removed = owned_part(out->removed);
}

/* What a Go server sees before a create: the empty struct, where lists that are always told are
 * null and structs that are no pointers are there. */
static json_t *empty_object(const Schema *schema) {
    json_t *object = json_object();

    if (!(schema->flags & SCHEMA_BUILTIN))
        return object;
    for (size_t i = 0; i < schema->field_count; i++) {
        const SchemaField *field = &schema->fields[i];
        bool inlined = str_eq(field->schema->default_text, "{}") &&
                       !(field->schema->flags & SCHEMA_SERVER_DEFAULT);
        if (inlined && field->schema->type_name)
            json_object_set_new(object, field->name, empty_object(field->schema));
        else if (field->required && field->schema->type == SCHEMA_ARRAY)
            json_object_set_new(object, field->name, json_null());
    }
    return object;
}

/* Everybody but `except` loses what was changed or removed. */
static void others_lose(Managers *managers, const Manager *except, const FieldsetDiff *diff) {
    _cleanup_json_ json_t *changed = fieldset_union(diff->modified, diff->added);
    _cleanup_json_ json_t *lost = fieldset_union(changed, diff->removed);

    VEC_EACH(manager, managers) {
        if (manager != except)
            manager_lose(manager, lost);
    }
}

static void updater_takes(Manager *manager, const FieldsetDiff *diff, usec_t now) {
    _cleanup_json_ json_t *kept = fieldset_difference(manager->set, diff->removed);
    _cleanup_json_ json_t *changed = fieldset_union(diff->modified, diff->added);

    manager_set(manager, fieldset_union(kept, changed), now);
}

/* A list that is empty, or has one empty entry; clients that know nothing of it send none. */
static bool is_reset(const json_t *list) {
    const json_t *only = json_array_get(list, 0);

    return json_is_array(list) && (!only || (json_array_size(list) == 1 && json_is_object(only) &&
                                             json_object_size(only) == 0));
}

/* Managers as the client sent them back, if it did; else as they were. */
static void managers_start(const json_t *live, const json_t *object, Managers *out) {
    managers_read(object, out);
    if (out->len == 0)
        managers_read(live, out);
}

void apply_track_update(const Schema *schema, const json_t *live, json_t *object,
                        const ApplyWho *who) {
    const json_t *sent = json_at(object, "metadata", "managedFields");
    _cleanup_(root_done) Root root = root_of(schema);
    _cleanup_(managers_done) Managers managers = { 0 };
    _cleanup_(fieldset_diff_done) FieldsetDiff diff = { 0 };

    managers_start(live, object, &managers);
    bool reset = live && (is_reset(sent) || managers.len == 0);
    json_remove_at(object, "metadata", "managedFields");
    if (reset)
        return; /* nothing is tracked from here on, until somebody applies */
    _cleanup_json_ json_t *before = live ? plain_object(live) : empty_object(&root.schema);
    diff_owned(&root.schema, before, object, &diff);
    manager_make(&managers, who, false);
    others_lose(&managers, manager_find(&managers, who, false), &diff);
    updater_takes(manager_find(&managers, who, false), &diff, who->now);
    managers_drop_empty(&managers);
    managers_write(&managers, object);
}

/* --- apply: conflicts --- */

typedef struct Conflict {
    const Manager *manager; /* borrowed */
    json_t *set;
} Conflict;

typedef struct Conflicts {
    Conflict *items;
    size_t len, cap;
    size_t fields;
} Conflicts;

static void conflicts_done(Conflicts *conflicts) {
    VEC_EACH(conflict, conflicts)
        json_decref(conflict->set);
    vec_done(conflicts);
}

/* What kubectl apply stated on the client before is its own to take over. */
static json_t *client_applied(const Schema *schema, const json_t *live) {
    const char *text = obj_annotation(live, last_applied);
    _cleanup_json_ json_t *config = NULL;

    if (!text || json_parse(text, strlen(text), NULL, 0, &config) < 0 || !json_is_object(config))
        return json_object();
    return fieldset_of(schema, config);
}

static void conflicts_find(const Managers *managers, const Manager *own, const FieldsetDiff *diff,
                           const json_t *allowed, Conflicts *out) {
    _cleanup_json_ json_t *changed = fieldset_union(diff->modified, diff->added);

    VEC_EACH(manager, managers) {
        if (manager == own)
            continue;
        _cleanup_json_ json_t *both = fieldset_intersection(manager->set, changed);
        _cleanup_json_ json_t *left = fieldset_difference(both, allowed);
        _cleanup_strlist_ StrList paths = { 0 };
        if (fieldset_is_empty(left))
            continue;
        fieldset_paths(left, &paths);
        out->fields += paths.len;
        vec_push(out, (Conflict){ manager, TAKE(left) });
    }
}

/* `"u" with subresource "status" using v1`; appliers are named alone. */
static char *manager_text(const Manager *manager) {
    Buf out = { 0 };

    buf_printf(&out, "\"%s\"", manager->name);
    if (*manager->subresource)
        buf_printf(&out, " with subresource \"%s\"", manager->subresource);
    if (!manager->applies)
        buf_printf(&out, " using %s", manager->version);
    return buf_steal(&out);
}

static int conflict_compare(const void *a, const void *b) {
    return strcmp(((const Conflict *)a)->manager->name, ((const Conflict *)b)->manager->name);
}

static void conflict_tell(const Conflict *conflict, bool one, Buf *message, json_t *causes) {
    _cleanup_free_ char *who = manager_text(conflict->manager);
    _cleanup_strlist_ StrList paths = { 0 };

    fieldset_paths(conflict->set, &paths);
    buf_printf(message, "%sconflict%s with %s:%s", message->len ? "\n" : "", one ? "" : "s", who,
               one ? " " : "");
    for (size_t i = 0; i < paths.len; i++) {
        buf_printf(message, "%s%s", one ? "" : "\n- ", paths.items[i]);
        _cleanup_free_ char *text = str_printf("conflict with %s", who);
        json_array_append_new(causes, json_pack("{s:s, s:s, s:s}", "reason", "FieldManagerConflict",
                                                "message", text, "field", paths.items[i]));
    }
}

static json_t *conflicts_status(Conflicts *conflicts) {
    json_t *causes = json_array();
    _cleanup_buf_ Buf list = { 0 };

    qsort(conflicts->items, conflicts->len, sizeof(*conflicts->items), conflict_compare);
    VEC_EACH(conflict, conflicts)
        conflict_tell(conflict, conflicts->fields == 1, &list, causes);
    _cleanup_free_ char *message =
        str_printf("Apply failed with %zu conflict%s: %s", conflicts->fields,
                   conflicts->fields == 1 ? "" : "s", list.data);
    json_t *status = status_new(409, "Conflict", message, NULL, NULL, NULL);
    json_set_at(status, causes, "details", "causes");
    return status;
}

/* --- apply: what the manager states no more --- */

static json_t *all_owned(const Managers *managers) {
    json_t *all = json_object();

    VEC_EACH(manager, managers) {
        json_t *more = fieldset_union(all, manager->set);
        json_decref(all);
        all = more;
    }
    return all;
}

/* Removes what `last` stated, unless somebody owns it now or it holds what was never stated. */
static json_t *drop_unstated(const Schema *schema, const json_t *merged, const Managers *managers,
                             const json_t *last) {
    _cleanup_json_ json_t *stated = fieldset_with_parents(last);
    _cleanup_json_ json_t *first = fieldset_remove_from(schema, merged, stated);
    _cleanup_json_ json_t *everything = fieldset_of(schema, merged);
    _cleanup_json_ json_t *all = fieldset_with_parents(everything);
    _cleanup_json_ json_t *left = fieldset_of(schema, first);
    _cleanup_json_ json_t *kept = fieldset_with_parents(left);
    _cleanup_json_ json_t *owned = all_owned(managers);
    _cleanup_json_ json_t *owned_all = fieldset_with_parents(owned);
    _cleanup_json_ json_t *stay = fieldset_union(kept, owned_all);
    _cleanup_json_ json_t *going = fieldset_difference(all, stay);
    _cleanup_json_ json_t *gone = fieldset_intersection(going, stated);

    return fieldset_remove_from(schema, merged, gone);
}

/* --- apply --- */

/* An object that nobody tracked so far belongs to whoever was there before. */
static void adopt_untracked(const Schema *schema, const json_t *live, const ApplyWho *who,
                            Managers *managers) {
    const ApplyWho before = { .manager = "before-first-apply",
                              .api_version = who->api_version,
                              .subresource = "",
                              .now = who->now };
    _cleanup_(fieldset_diff_done) FieldsetDiff diff = { 0 };
    _cleanup_json_ json_t *nothing = empty_object(schema);

    if (!live || managers->len > 0)
        return;
    diff_owned(schema, nothing, live, &diff);
    updater_takes(manager_make(managers, &before, false), &diff, who->now);
}

typedef struct Apply {
    const Schema *schema;
    const json_t *live; /* without managedFields, or NULL */
    const ApplyWho *who;
    Managers managers;
} Apply;

/* The managers after the apply, or APPLY_CONFLICT. */
static int take_ownership(Apply *apply, const json_t *object, bool force, json_t **ret_status) {
    _cleanup_(fieldset_diff_done) FieldsetDiff diff = { 0 };
    _cleanup_(conflicts_done) Conflicts conflicts = { 0 };
    _cleanup_json_ json_t *nothing = json_object();
    const Manager *own = manager_find(&apply->managers, apply->who, true);

    diff_owned(apply->schema, apply->live ? apply->live : nothing, object, &diff);
    if (!force && apply->live) {
        _cleanup_json_ json_t *allowed = client_applied(apply->schema, apply->live);
        conflicts_find(&apply->managers, own, &diff, allowed, &conflicts);
    }
    if (conflicts.len > 0) {
        *ret_status = conflicts_status(&conflicts);
        return APPLY_CONFLICT;
    }
    others_lose(&apply->managers, own, &diff);
    return 0;
}

static int apply_run(Apply *apply, const json_t *applied, bool force, json_t **ret_object,
                     json_t **ret_status) {
    Manager *own = manager_make(&apply->managers, apply->who, true);
    _cleanup_json_ json_t *last = json_deep_copy(own->set);
    _cleanup_json_ json_t *merged =
        apply->live ? fieldset_merge(apply->schema, apply->live, applied) : json_deep_copy(applied);

    manager_set(own, owned_part(fieldset_of(apply->schema, applied)), apply->who->now);
    _cleanup_json_ json_t *object =
        fieldset_is_empty(last) ? json_incref(merged)
                                : drop_unstated(apply->schema, merged, &apply->managers, last);
    int r = take_ownership(apply, object, force, ret_status);
    if (r != 0)
        return r;
    managers_drop_empty(&apply->managers);
    managers_write(&apply->managers, object);
    *ret_object = TAKE(object);
    return 0;
}

int apply_merge(const Schema *schema, const json_t *live, const json_t *applied,
                const ApplyWho *who, bool force, json_t **ret_object, json_t **ret_status) {
    _cleanup_(root_done) Root root = root_of(schema);
    _cleanup_json_ json_t *plain = live ? plain_object(live) : NULL;
    Apply apply = { .schema = &root.schema, .live = plain, .who = who };

    if (json_is_array(json_at(applied, "metadata", "managedFields")))
        return error_origin(-EINVAL, "metadata.managedFields must be nil");
    int r = apply_check(&root.schema, applied);
    if (r < 0)
        return r;
    _cleanup_json_ json_t *config = plain_object(applied);
    schema_settle_quantities(&root.schema, config);
    if (live)
        managers_read(live, &apply.managers);
    adopt_untracked(&root.schema, plain, who, &apply.managers);
    r = apply_run(&apply, config, force, ret_object, ret_status);
    managers_done(&apply.managers);
    return r;
}

char *apply_manager_from_user_agent(const char *user_agent) {
    size_t len = strcspn(user_agent ? user_agent : "", "/");

    return len ? str_printf("%.*s", (int)MIN(len, (size_t)128), user_agent) : str_dup("unknown");
}
