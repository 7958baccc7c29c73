/* SPDX-License-Identifier: Apache-2.0 */
#include "local/resource.h"

#include <stdlib.h>

#include "base/error.h"
#include "local/event_convert.h"

static const char *const NO_STRINGS[] = { NULL };

static Resource *resource_new(void) {
    Resource *resource = mem_new(Resource);
    resource->refs = 1;
    resource->short_names = resource->categories = NO_STRINGS;
    return resource;
}

Resource *resource_ref(Resource *resource) {
    ASSERT(resource->refs > 0);
    resource->refs++;
    return resource;
}

Resource *resource_unref(Resource *resource) {
    if (!resource || --resource->refs > 0)
        return NULL;
    for (size_t i = 0; i < resource->version_count; i++)
        table_printer_free(resource->versions[i].printer);
    json_decref(resource->columns);
    arena_done(&resource->arena);
    free(resource);
    return NULL;
}

static char *registry_key(const char *group, const char *plural) {
    return str_printf("%s.%s", plural, group);
}

static void registry_add(Registry *registry, Resource *resource) {
    _cleanup_free_ char *key = registry_key(resource->group, resource->plural);
    strmap_put(&registry->by_name, key, resource);
    vec_push(&registry->all, resource);
    registry->generation++;
}

static void name_resource(Resource *resource) {
    resource->qualified =
        str_empty(resource->group)
            ? resource->plural
            : arena_printf(&resource->arena, "%s.%s", resource->plural, resource->group);
}

static const char *make_api_version(Arena *arena, const char *group, const char *version) {
    return str_empty(group) ? arena_str(arena, version)
                            : arena_printf(arena, "%s/%s", group, version);
}

static void fill_builtin_version(Resource *resource, const KindInfo *info,
                                 ResourceVersion *version) {
    *version = (ResourceVersion){
        .version = info->version,
        .api_version = make_api_version(&resource->arena, info->group, info->version),
        .schema = info->schema,
        .info = info,
        .select_fields = info->select_fields ? info->select_fields : NO_STRINGS,
        .served = true,
        .storage = resource->version_count == 0,
        .has_status = info->flags & KIND_STATUS,
        .has_scale = info->flags & KIND_SCALE,
    };
    resource->version_count++;
}

static Resource *make_builtin(const KindInfo *info, Store *store) {
    Resource *resource = resource_new();
    resource->group = info->group;
    resource->plural = info->plural;
    resource->singular = info->singular;
    resource->kind = info->kind;
    resource->list_kind = info->list_kind;
    if (info->short_names)
        resource->short_names = info->short_names;
    if (info->categories)
        resource->categories = info->categories;
    resource->namespaced = info->flags & KIND_NAMESPACED;
    resource->counts_generation = info->flags & KIND_GENERATION;
    name_resource(resource);
    /* Both event resources are views of the same objects. */
    resource->table =
        store_table(store, str_eq(info->plural, "events") ? "events" : resource->qualified);
    resource->versions = arena_array(&resource->arena, ResourceVersion, 4);
    return resource;
}

void registry_init(Registry *registry, Store *store) {
    *registry = (Registry){ .store = store };
    for (size_t i = 0; i < kinds_count(); i++) {
        const KindInfo *info = kinds_at(i);
        if (str_empty(info->plural) || str_eq(info->group, "ray.io"))
            continue;
        Resource *resource = registry_find(registry, info->group, info->plural);
        if (!resource) {
            resource = make_builtin(info, store);
            registry_add(registry, resource);
        }
        ASSERT(resource->version_count < 4);
        fill_builtin_version(resource, info, &resource->versions[resource->version_count]);
    }
}

void registry_done(Registry *registry) {
    VEC_EACH(resource, &registry->all)
        resource_unref(*resource);
    vec_done(&registry->all);
    strmap_done(&registry->by_name);
}

Resource *registry_find(const Registry *registry, const char *group, const char *plural) {
    _cleanup_free_ char *key = registry_key(group, plural);
    return strmap_get(&registry->by_name, key);
}

Resource *registry_find_kind(const Registry *registry, const char *group, const char *kind) {
    VEC_EACH(item, &registry->all) {
        if (str_eq((*item)->kind, kind) && str_eq((*item)->group, group))
            return *item;
    }
    return NULL;
}

Resource *registry_of_table(const Registry *registry, const StoreTable *table) {
    VEC_EACH(item, &registry->all) {
        if ((*item)->table == table)
            return *item;
    }
    return NULL;
}

ResourceVersion *resource_version(const Resource *resource, const char *version) {
    for (size_t i = 0; i < resource->version_count; i++)
        if (resource->versions[i].served && str_eq(resource->versions[i].version, version))
            return &resource->versions[i];
    return NULL;
}

ResourceVersion *resource_storage(const Resource *resource) {
    for (size_t i = 0; i < resource->version_count; i++)
        if (resource->versions[i].storage)
            return &resource->versions[i];
    return &resource->versions[0];
}

TablePrinter *resource_printer(Resource *resource, ResourceVersion *version) {
    if (!version->printer)
        version->printer = table_printer_new(resource->group, resource->kind, version->columns);
    return version->printer;
}

static bool is_foreign_event(const Resource *resource) {
    return !resource->custom && str_eq(resource->plural, "events") &&
           str_eq(resource->group, "events.k8s.io");
}

json_t *resource_present(const Resource *resource, const ResourceVersion *to, json_t *stored) {
    if (is_foreign_event(resource))
        return event_to_new(stored);
    if (to->storage || str_eq(json_str_at(stored, "apiVersion"), to->api_version))
        return json_incref(stored);
    json_t *value = json_copy(stored);
    json_object_set_new(value, "apiVersion", json_string(to->api_version));
    return value;
}

json_t *resource_absorb(const Resource *resource, const ResourceVersion *from, json_t *value) {
    if (is_foreign_event(resource))
        return event_to_core(value);
    if (from->storage)
        return json_incref(value);
    json_t *stored = json_copy(value);
    json_object_set_new(stored, "apiVersion", json_string(resource_storage(resource)->api_version));
    return stored;
}

/* CRDs. */

static const char *const *copy_strings(Arena *arena, const json_t *array) {
    size_t count = json_array_size(array);
    const char **list = arena_array(arena, const char *, count + 1);
    for (size_t i = 0; i < count; i++)
        list[i] = arena_str(arena, json_string_value(json_array_get(array, i)));
    return list;
}

static const char *copy_text(Arena *arena, const json_t *value) {
    const char *text = json_string_value(value);
    return text ? arena_str(arena, text) : NULL;
}

static const char *const *copy_select_fields(Arena *arena, const json_t *fields) {
    size_t count = json_array_size(fields);
    const char **list = arena_array(arena, const char *, count + 1);
    for (size_t i = 0; i < count; i++) {
        const char *path = json_str_at(json_array_get(fields, i), "jsonPath");
        list[i] = arena_str(arena, path && *path == '.' ? path + 1 : "");
    }
    return list;
}

static int fill_crd_version(Resource *resource, const json_t *spec, ResourceVersion *version) {
    Arena *arena = &resource->arena;
    const json_t *status = json_at(spec, "subresources", "status");
    const json_t *scale = json_at(spec, "subresources", "scale");
    const char *name = json_str_at(spec, "name");
    version->version = arena_str(arena, name);
    version->api_version = make_api_version(arena, resource->group, name);
    version->served = json_bool_at(spec, false, "served");
    version->storage = json_bool_at(spec, false, "storage");
    version->has_status = json_is_object(status);
    version->has_scale = json_is_object(scale);
    version->scale_spec = copy_text(arena, json_object_get(scale, "specReplicasPath"));
    version->scale_status = copy_text(arena, json_object_get(scale, "statusReplicasPath"));
    version->scale_selector = copy_text(arena, json_object_get(scale, "labelSelectorPath"));
    const json_t *columns = json_object_get(spec, "additionalPrinterColumns");
    if (columns) {
        /* A copy: the CRD's tree is large and not kept. */
        json_t *copy = json_deep_copy(columns);
        json_array_append_new(resource->columns, copy);
        version->columns = copy;
    }
    version->select_fields = copy_select_fields(arena, json_object_get(spec, "selectableFields"));
    if (json_bool_at(spec, false, "deprecated")) {
        const char *warning = json_str_at(spec, "deprecationWarning");
        version->deprecation = warning ? arena_str(arena, warning)
                                       : arena_printf(arena, "%s %s is deprecated",
                                                      version->api_version, resource->kind);
    }
    _cleanup_faults_ Faults faults = { 0 };
    return schema_from_openapi(arena, json_at(spec, "schema", "openAPIV3Schema"), "schema", &faults,
                               &version->schema);
}

/* Kubernetes' priority of version names: v2 before v1 before v1beta2 before v1alpha1. */
static int version_rank(const char *version) {
    int major = 0, minor = 0, kind = 3;
    const char *p = version;
    if (*p++ != 'v')
        return 0;
    while (*p >= '0' && *p <= '9' && major < 1000)
        major = major * 10 + (*p++ - '0');
    if (str_starts(p, "beta"))
        kind = 2, p += 4;
    else if (str_starts(p, "alpha"))
        kind = 1, p += 5;
    while (*p >= '0' && *p <= '9' && minor < 1000)
        minor = minor * 10 + (*p++ - '0');
    return *p ? 0 : kind * 100000000 + major * 10000 + minor;
}

static int compare_versions(const void *a, const void *b) {
    const ResourceVersion *left = a, *right = b;
    int lr = version_rank(left->version), rr = version_rank(right->version);
    return lr != rr ? (lr < rr) - (lr > rr) : strcmp(left->version, right->version);
}

static int make_crd(Store *store, const json_t *crd, Resource **ret_resource) {
    _cleanup_(resource_unrefp) Resource *resource = resource_new();
    Arena *arena = &resource->arena;
    resource->columns = json_array();
    const json_t *spec = json_object_get(crd, "spec"), *names = json_object_get(spec, "names"),
                 *version;
    resource->custom = resource->counts_generation = true;
    resource->group = copy_text(arena, json_object_get(spec, "group"));
    resource->plural = copy_text(arena, json_object_get(names, "plural"));
    resource->singular = copy_text(arena, json_object_get(names, "singular"));
    resource->kind = copy_text(arena, json_object_get(names, "kind"));
    resource->list_kind = copy_text(arena, json_object_get(names, "listKind"));
    if (!resource->group || !resource->plural || !resource->kind)
        return error_origin(-EINVAL, "a CRD without group, plural or kind");
    if (!resource->singular)
        resource->singular = resource->kind;
    if (!resource->list_kind)
        resource->list_kind = arena_printf(arena, "%sList", resource->kind);
    resource->short_names = copy_strings(arena, json_object_get(names, "shortNames"));
    resource->categories = copy_strings(arena, json_object_get(names, "categories"));
    resource->namespaced = str_eq(json_str_at(spec, "scope"), "Namespaced");
    name_resource(resource);
    resource->table = store_table(store, resource->qualified);
    const json_t *versions = json_object_get(spec, "versions");
    resource->versions = arena_array(arena, ResourceVersion, json_array_size(versions) + 1);
    size_t i;
    json_array_foreach(versions, i, version) {
        int r = fill_crd_version(resource, version, &resource->versions[i]);
        if (r < 0)
            return r;
        resource->version_count++;
    }
    if (resource->version_count == 0)
        return error_origin(-EINVAL, "a CRD without versions");
    qsort(resource->versions, resource->version_count, sizeof(ResourceVersion), compare_versions);
    *ret_resource = TAKE(resource);
    return 0;
}

int registry_put_crd(Registry *registry, const json_t *crd) {
    Resource *resource = NULL;
    int r = make_crd(registry->store, crd, &resource);
    if (r < 0)
        return r;
    const Resource *there = registry_find(registry, resource->group, resource->plural);
    if (there && !there->custom) {
        resource_unref(resource);
        return error_origin(-EEXIST, "the server has that resource itself");
    }
    registry_remove(registry, resource->group, resource->plural);
    registry_add(registry, resource);
    return 0;
}

void registry_remove(Registry *registry, const char *group, const char *plural) {
    _cleanup_free_ char *key = registry_key(group, plural);
    Resource *resource = strmap_get(&registry->by_name, key);
    if (!resource || !resource->custom)
        return;
    strmap_remove(&registry->by_name, key);
    for (size_t i = 0; i < registry->all.len; i++) {
        if (registry->all.items[i] != resource)
            continue;
        vec_remove(&registry->all, i);
        break;
    }
    registry->generation++;
    resource->gone = true;
    resource_unref(resource);
}
