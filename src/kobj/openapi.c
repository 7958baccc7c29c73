/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/openapi.h"

#include <ctype.h>

#include "base/str.h"
#include "kobj/kinds.h"

static const char object_meta[] = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/* "ray.io", "v1", "RayJob" is "io.ray.v1.RayJob", as Kubernetes names CRD types. */
static char *component_name(const OpenapiKind *kind, const char *name) {
    _cleanup_free_ char *group = str_dup(kind->group);
    Buf out = { 0 };

    if (kind->schema && kind->schema->type_name && str_eq(name, kind->kind))
        return str_dup(kind->schema->type_name);
    if (kind->schema && kind->schema->type_name) {
        const char *dot = strrchr(kind->schema->type_name, '.');
        return str_printf("%.*s.%s", (int)(dot - kind->schema->type_name), kind->schema->type_name,
                          name);
    }
    for (char *dot; (dot = strrchr(group, '.')); *dot = 0)
        buf_printf(&out, "%s.", dot + 1);
    buf_printf(&out, "%s.%s.%s", group, kind->version, name);
    return buf_steal(&out);
}

static json_t *gvk(const OpenapiKind *kind, const char *name) {
    return json_pack("{s:s, s:s, s:s}", "group", kind->group, "kind", name, "version",
                     kind->version);
}

static json_t *reference(const char *name) {
    json_t *out = json_object();

    json_set_printf(out, "$ref", "#/components/schemas/%s", name);
    return out;
}

/* --- types --- */

static void meta_add(json_t *schemas) {
    const KindInfo *pod = kinds_find("", "v1", "Pod");

    json_decref(schema_to_openapi(schema_member(pod->schema, "metadata"), schemas));
}

/* The parts that all kinds have need not be told of kind by kind. */
static void describe_heads(json_t *type) {
    static const char *const heads[][2] = {
        { "apiVersion", "Which version of which API the object is in." },
        { "kind", "What kind of object it is." },
        { "metadata", "Name, labels and the like." },
        { "spec", "What is wanted." },
        { "status", "How it is." },
    };

    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        json_t *field = json_at(type, "properties", heads[i][0]);
        if (!field || json_object_get(field, "description"))
            continue;
        json_t *ref = json_object_get(field, "$ref");
        if (ref) { /* nothing may stand beside it */
            json_object_set_new(field, "allOf", json_pack("[{s:O}]", "$ref", ref));
            json_object_del(field, "$ref");
        }
        json_object_set_new(field, "description", json_string(heads[i][1]));
    }
}

static void kind_add(const OpenapiKind *kind, json_t *schemas) {
    _cleanup_free_ char *name = component_name(kind, kind->kind);
    json_t *type;

    if (kind->schema->type_name) {
        json_decref(schema_to_openapi(kind->schema, schemas));
        type = json_object_get(schemas, name);
    } else {
        type = schema_to_openapi(kind->schema, NULL);
        json_set_at(type, json_pack("{s:s}", "type", "string"), "properties", "apiVersion");
        json_set_at(type, json_pack("{s:s}", "type", "string"), "properties", "kind");
        json_set_at(type, reference(object_meta), "properties", "metadata");
        json_object_set_new(schemas, name, type);
    }
    describe_heads(type);
    json_object_set_new(type, "x-kubernetes-group-version-kind",
                        json_pack("[o]", gvk(kind, kind->kind)));
}

static void list_add(const OpenapiKind *kind, json_t *schemas) {
    _cleanup_free_ char *item = component_name(kind, kind->kind);
    _cleanup_free_ char *name = component_name(kind, kind->list_kind);
    json_t *type = json_pack("{s:s, s:[s]}", "type", "object", "required", "items");

    json_set_at(type, json_pack("{s:s}", "type", "string"), "properties", "apiVersion");
    json_set_at(type, json_pack("{s:s}", "type", "string"), "properties", "kind");
    json_set_at(type,
                json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s, s:s}}}", "type", "object",
                          "properties", "continue", "type", "string", "resourceVersion", "type",
                          "string", "remainingItemCount", "type", "integer", "format", "int64"),
                "properties", "metadata");
    json_set_at(type, json_pack("{s:s, s:o}", "type", "array", "items", reference(item)),
                "properties", "items");
    json_object_set_new(type, "x-kubernetes-group-version-kind",
                        json_pack("[o]", gvk(kind, kind->list_kind)));
    json_object_set_new(schemas, name, type);
}

/* --- paths --- */

static json_t *parameter(const char *name, const char *type) {
    return json_pack("{s:s, s:s, s:{s:s, s:b}}", "name", name, "in", "query", "schema", "type",
                     type, "uniqueItems", 1);
}

typedef struct Verb {
    const char *method, *action;
    const char *parameters; /* blank-separated; ? marks a boolean */
    const char *bodies;     /* content types */
} Verb;

static const char write_parameters[] = "dryRun fieldManager fieldValidation";
static const char json_body[] = "application/json application/yaml";

static const Verb collection_verbs[] = {
    { "get", "list",
      "allowWatchBookmarks? continue fieldSelector labelSelector limit resourceVersion "
      "resourceVersionMatch sendInitialEvents? timeoutSeconds watch?",
      NULL },
    { "post", "post", write_parameters, json_body },
    { "delete", "deletecollection", "dryRun fieldSelector labelSelector propagationPolicy", NULL },
};

static const Verb object_verbs[] = {
    { "get", "get", "", NULL },
    { "put", "put", write_parameters, json_body },
    { "patch", "patch", "dryRun fieldManager fieldValidation force?",
      "application/apply-patch+yaml application/json-patch+json application/merge-patch+json" },
    { "delete", "delete", "dryRun gracePeriodSeconds orphanDependents? propagationPolicy", NULL },
};

static json_t *parameters_of(const Verb *verb) {
    _cleanup_free_ char *copy = str_dup(verb->parameters);
    json_t *list = json_array();
    char *rest = NULL;

    for (char *name = strtok_r(copy, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
        size_t len = strlen(name);
        bool boolean = name[len - 1] == '?';
        if (boolean)
            name[len - 1] = 0;
        json_array_append_new(list, parameter(name, boolean ? "boolean" : "string"));
    }
    return list;
}

/* Only built-in kinds take strategic merge patches; kubectl looks here to know. */
static json_t *body_of(const OpenapiKind *kind, const Verb *verb) {
    _cleanup_free_ char *name = component_name(kind, kind->kind);
    bool patch = str_eq(verb->method, "patch");
    _cleanup_free_ char *copy = str_printf(
        "%s%s", verb->bodies,
        patch && kind->schema->type_name ? " application/strategic-merge-patch+json" : "");
    json_t *content = json_object();
    char *rest = NULL;

    for (char *type = strtok_r(copy, " ", &rest); type; type = strtok_r(NULL, " ", &rest))
        json_object_set_new(
            content, type,
            json_pack("{s:o}", "schema",
                      patch ? json_pack("{s:s}", "type", "object") : reference(name)));
    return json_pack("{s:o, s:b}", "content", content, "required", 1);
}

static json_t *operation(const OpenapiKind *kind, const Verb *verb) {
    bool list = str_eq(verb->action, "list");
    _cleanup_free_ char *name = component_name(kind, list ? kind->list_kind : kind->kind);
    json_t *out = json_object();

    json_set_printf(out, "operationId", "%s%s%s%s", verb->action, kind->version,
                    kind->namespaced ? "Namespaced" : "", kind->kind);
    json_object_set_new(out, "parameters", parameters_of(verb));
    if (verb->bodies)
        json_object_set_new(out, "requestBody", body_of(kind, verb));
    json_object_set_new(out, "responses",
                        json_pack("{s:{s:s, s:{s:{s:o}}}}", "200", "description", "OK", "content",
                                  "application/json", "schema", reference(name)));
    json_object_set_new(out, "x-kubernetes-action", json_string(verb->action));
    json_object_set_new(out, "x-kubernetes-group-version-kind", gvk(kind, kind->kind));
    return out;
}

static void path_add(const OpenapiKind *kind, const char *path, const Verb *verbs, size_t count,
                     json_t *paths) {
    json_t *item = json_object();

    for (size_t i = 0; i < count; i++)
        json_object_set_new(item, verbs[i].method, operation(kind, &verbs[i]));
    json_object_set_new(paths, path, item);
}

static void paths_add(const OpenapiKind *kind, json_t *paths) {
    const char *space = kind->namespaced ? "/namespaces/{namespace}" : "";
    _cleanup_free_ char *root = *kind->group ? str_printf("/apis/%s/%s", kind->group, kind->version)
                                             : str_printf("/api/%s", kind->version);
    _cleanup_free_ char *list = str_printf("%s%s/%s", root, space, kind->plural);
    _cleanup_free_ char *object = str_printf("%s/{name}", list);
    _cleanup_free_ char *status = str_printf("%s/status", object);
    _cleanup_free_ char *all = str_printf("%s/%s", root, kind->plural);

    path_add(kind, list, collection_verbs, ARRAY_LEN(collection_verbs), paths);
    path_add(kind, object, object_verbs, ARRAY_LEN(object_verbs), paths);
    if (kind->has_status)
        path_add(kind, status, object_verbs, ARRAY_LEN(object_verbs) - 1, paths);
    if (kind->namespaced)
        path_add(kind, all, collection_verbs, 1, paths);
}

json_t *openapi_document(const OpenapiKind *kinds, size_t count) {
    json_t *document = json_pack("{s:s, s:{s:s, s:s}}", "openapi", "3.0.0", "info", "title",
                                 "Kubernetes", "version", "1.34");
    json_t *paths = json_make_object(document, "paths");
    json_t *schemas = json_make_object(json_make_object(document, "components"), "schemas");

    meta_add(schemas);
    for (size_t i = 0; i < count; i++) {
        kind_add(&kinds[i], schemas);
        list_add(&kinds[i], schemas);
        paths_add(&kinds[i], paths);
    }
    return document;
}

void openapi_index_add(json_t *index, const char *group, const char *version, const char *hash) {
    _cleanup_free_ char *key =
        *group ? str_printf("apis/%s/%s", group, version) : str_printf("api/%s", version);
    json_t *entry = json_object();

    json_set_printf(entry, "serverRelativeURL", "/openapi/v3/%s?hash=%s", key, hash);
    json_object_set_new(json_make_object(index, "paths"), key, entry);
}
