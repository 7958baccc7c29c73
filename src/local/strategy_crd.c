/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "local/meta.h"
#include "local/strategy.h"

/*
 * CRDs: which names they get. The first that asks for a name has it; a later one of the same group
 * is told so by its conditions and not served, until the first is gone.
 */

static void add_stored_version(json_t *status, const json_t *versions) {
    json_t *stored = json_make_array(status, "storedVersions");
    const json_t *version, *item;
    size_t i, j;
    json_array_foreach(versions, i, version) {
        const char *name = json_str_at(version, "name");
        bool known = false;
        json_array_foreach(stored, j, item)
            known |= str_eq(json_string_value(item), name);
        if (json_bool_at(version, false, "storage") && !known)
            json_array_append_new(stored, json_string(name));
    }
}

/* All that a CRD is called by, but its kinds. */
static bool is_called(const json_t *names, const char *text) {
    const json_t *item;
    size_t i;
    bool found =
        str_eq(json_str_at(names, "plural"), text) || str_eq(json_str_at(names, "singular"), text);
    json_array_foreach(json_object_get(names, "shortNames"), i, item)
        found |= str_eq(json_string_value(item), text);
    return found;
}

typedef struct Conflict {
    const char *reason;
    const char *name; /* borrowed from the names that are asked for */
} Conflict;

/* Of several the last is told, as Kubernetes does. */
static Conflict find_conflict(const json_t *wanted, const json_t *taken) {
    static const char *const texts[][2] = { { "plural", "PluralConflict" },
                                            { "singular", "SingularConflict" } };
    static const char *const kinds[][2] = { { "kind", "KindConflict" },
                                            { "listKind", "ListKindConflict" } };
    Conflict found = { 0 };
    const json_t *item;
    size_t i;
    for (i = 0; i < ARRAY_LEN(texts); i++)
        if (is_called(taken, json_str_at(wanted, texts[i][0])))
            found = (Conflict){ texts[i][1], json_str_at(wanted, texts[i][0]) };
    json_array_foreach(json_object_get(wanted, "shortNames"), i, item)
        if (is_called(taken, json_string_value(item)))
            found = (Conflict){ "ShortNamesConflict", json_string_value(item) };
    for (i = 0; i < ARRAY_LEN(kinds); i++) {
        const char *name = json_str_at(wanted, kinds[i][0]);
        if (str_eq(json_str_at(taken, "kind"), name) ||
            str_eq(json_str_at(taken, "listKind"), name))
            found = (Conflict){ kinds[i][1], name };
    }
    return found;
}

static Conflict conflict_of(Api *api, const json_t *crd) {
    const json_t *wanted = json_at(crd, "spec", "names");
    const char *group = json_str_at(crd, "spec", "group");
    StoreTable *table = store_table(api->store, STRATEGY_CRD_TABLE);
    VEC_EACH(item, &table->objects) {
        if (str_eq((*item)->name, obj_name(crd)) || !str_ends((*item)->name, group ? group : ""))
            continue;
        _cleanup_json_ json_t *other = object_value(*item);
        const json_t *taken = json_at(other, "status", "acceptedNames");
        if (!str_eq(json_str_at(other, "spec", "group"), group) ||
            !str_eq(json_str_at(obj_condition(other, "Established"), "status"), "True"))
            continue;
        Conflict conflict = find_conflict(wanted, taken);
        if (conflict.name)
            return conflict;
    }
    return (Conflict){ 0 };
}

void strategy_crd_accept(Api *api, json_t *crd) {
    usec_t now = loop_wall_now(api->loop);
    json_t *status = json_make_object(crd, "status");
    Conflict conflict = conflict_of(api, crd);
    if (!conflict.name) {
        condition_set(status, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now);
        condition_set(status, "Established", "True", "InitialNamesAccepted",
                      "the initial names have been accepted", now);
        json_object_set(status, "acceptedNames", json_at(crd, "spec", "names"));
        return;
    }
    _cleanup_free_ char *why = str_printf("\"%s\" is already in use", conflict.name);
    condition_set(status, "NamesAccepted", "False", conflict.reason, why, now);
    condition_set(status, "Established", "False", "NotAccepted", "not all names are accepted", now);
    json_object_set_new(status, "acceptedNames", json_pack("{s:s, s:s}", "plural", "", "kind", ""));
}

/* Accepted and served within the same call: the conditions say so from the start. */
static void prepare_create(ApiCall *call, json_t *crd) {
    if (!json_at(crd, "spec", "conversion"))
        json_set_at(crd, json_string("None"), "spec", "conversion", "strategy");
    if (!obj_is_deleting(crd))
        obj_add_finalizer(crd, "customresourcecleanup.apiextensions.k8s.io");
    strategy_crd_accept(call->api, crd);
    add_stored_version(json_make_object(crd, "status"), json_at(crd, "spec", "versions"));
}

static void prepare_update(ApiCall *call, const json_t *old, json_t *crd) {
    prepare_create(call, crd);
}

const Strategy strategy_crd = {
    .plural = "customresourcedefinitions",
    .group = "apiextensions.k8s.io",
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
};
