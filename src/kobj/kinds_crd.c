/* SPDX-License-Identifier: Apache-2.0 */

/* CustomResourceDefinition: names, versions and the schemas in it. */

#include "kobj/kinds_private.h"
#include "kobj/meta.h"
#include "kobj/names.h"

void crd_fill(json_t *crd) {
    json_t *names = json_make_object(json_make_object(crd, "spec"), "names");
    const char *kind = json_str_at(names, "kind");
    json_t *stored = json_at(crd, "status", "storedVersions"), *version;
    size_t i;

    if (kind && str_empty(json_str_at(names, "singular"))) {
        _cleanup_free_ char *singular = str_dup(kind);
        for (char *p = singular; *p; p++)
            *p |= *p >= 'A' && *p <= 'Z' ? 0x20 : 0;
        json_set_at(names, json_string(singular), "singular");
    }
    if (kind && str_empty(json_str_at(names, "listKind")))
        json_set_printf(names, "listKind", "%sList", kind);
    if (json_array_size(stored) > 0)
        return;
    json_array_foreach(json_at(crd, "spec", "versions"), i, version)
        if (json_bool_at(version, false, "storage") && json_str_at(version, "name"))
            json_array_append(json_make_array(json_make_object(crd, "status"), "storedVersions"),
                              json_object_get(version, "name"));
}

/* Kinds are DNS labels in mixed case. */
static const char *check_kind(const char *text) {
    _cleanup_free_ char *lower = str_dup(text);

    for (char *p = lower; *p; p++)
        *p |= *p >= 'A' && *p <= 'Z' ? 0x20 : 0;
    return name_check_dns1035_label(lower);
}

static void crd_names_validate(Place *place, const json_t *crd) {
    static const char *const lower[] = { "plural", "singular" };
    static const char *const mixed[] = { "kind", "listKind" };
    const json_t *names = json_at(crd, "spec", "names");
    const char *plural = json_str_at(names, "plural"), *group = json_str_at(crd, "spec", "group");
    _cleanup_free_ char *wanted = str_printf("%s.%s", plural ? plural : "", group ? group : "");
    bool is_new = str_empty(obj_resource_version(crd));

    if (is_new && obj_name(crd) && !str_eq(obj_name(crd), wanted))
        place_invalid_text(place, "metadata.name", obj_name(crd),
                           "must be spec.names.plural+\".\"+spec.group");
    size_t len = place_key(place, "spec.names");
    for (size_t i = 0; i < ARRAY_LEN(lower); i++) {
        const char *text = json_str_at(names, lower[i]);
        const char *why = str_empty(text) ? NULL : name_check_dns1035_label(text);
        if (why)
            place_invalid_text(place, lower[i], text, why);
    }
    for (size_t i = 0; i < ARRAY_LEN(mixed); i++) {
        const char *text = json_str_at(names, mixed[i]);
        const char *why = str_empty(text) ? NULL : check_kind(text);
        _cleanup_free_ char *told =
            why ? str_printf("may have mixed case, but should otherwise match: %s", why) : NULL;
        if (told)
            place_invalid_text(place, mixed[i], text, told);
    }
    place_pop(place, len);
}

/* Groups of the community need its word. */
static void crd_group_validate(Place *place, const json_t *crd) {
    static const char approved[] = "api-approved.kubernetes.io";
    const char *group = json_str_at(crd, "spec", "group");
    bool protected = str_eq(group, "k8s.io") || str_eq(group, "kubernetes.io") ||
                     str_ends(group ? group : "", ".k8s.io") ||
                     str_ends(group ? group : "", ".kubernetes.io");

    if (protected && !obj_annotation(crd, approved))
        place_required(place, "metadata.annotations[api-approved.kubernetes.io]",
                       "protected groups must have approval annotation "
                       "\"api-approved.kubernetes.io\", see "
                       "https://github.com/kubernetes/enhancements/pull/1111");
    if (json_bool_at(crd, false, "spec", "preserveUnknownFields"))
        place_invalid(place, "spec.preserveUnknownFields",
                      json_at(crd, "spec", "preserveUnknownFields"),
                      "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                      "spec.versions[*].schema instead");
}

static void column_validate(Place *place, const json_t *column) {
    static const char *const types[] = { "boolean", "date", "integer", "number", "string" };
    const char *type = json_str_at(column, "type"), *path = json_str_at(column, "jsonPath");
    bool known = str_empty(type);

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        known |= str_eq(type, types[i]);
    if (!known)
        place_invalid_text(place, "type", type,
                           "must be one of boolean,date,integer,number,string");
    if (!str_empty(path) && *path != '.')
        place_invalid_text(place, "JSONPath", path, "must be a simple json path starting with .");
}

static void crd_columns_validate(Place *place, const json_t *version, size_t index, bool only) {
    _cleanup_free_ char *at =
        only ? str_dup("spec.additionalPrinterColumns")
             : str_printf("spec.versions[%zu].additionalPrinterColumns", index);
    size_t i, len = place_key(place, at);
    json_t *column;

    json_array_foreach(json_object_get(version, "additionalPrinterColumns"), i, column) {
        size_t below = place_index(place, i);
        column_validate(place, column);
        place_pop(place, below);
    }
    place_pop(place, len);
}

static void crd_version_name_validate(Place *place, const json_t *version, size_t index) {
    const char *name = json_str_at(version, "name");
    const char *why = str_empty(name) ? NULL : name_check_dns1035_label(name);
    _cleanup_free_ char *field = str_printf("spec.versions[%zu].name", index);

    if (why)
        place_invalid_text(place, field, name, why);
}

/* One version's schema is told of at spec.validation, as the server's internal form has it. */
static void crd_schema_validate(Place *place, const json_t *version, size_t index, bool only) {
    const json_t *openapi = json_at(version, "schema", "openAPIV3Schema");
    _cleanup_arena_ Arena arena = { 0 };
    const Schema *schema;
    _cleanup_free_ char *at = only ? str_dup("spec.validation.openAPIV3Schema")
                                   : str_printf("spec.versions[%zu].schema.openAPIV3Schema", index);

    if (!openapi) {
        _cleanup_free_ char *field = str_printf("spec.versions[%zu].schema.openAPIV3Schema", index);
        faults_add_required(place->faults, field, "");
        return;
    }
    _cleanup_free_ char *field = str_printf("%s.type", at);
    if (str_empty(json_str_at(openapi, "type")))
        faults_add_required(place->faults, field, "must not be empty at the root");
    else if (!str_eq(json_str_at(openapi, "type"), "object"))
        faults_add_invalid(place->faults, field, json_object_get(openapi, "type"),
                           "must be object at the root");
    (void)!schema_from_openapi(&arena, openapi, at, place->faults, &schema);
}

void crd_validate(Place *place, const json_t *crd) {
    const json_t *versions = json_at(crd, "spec", "versions");
    size_t i, stored = 0;
    json_t *version;

    crd_names_validate(place, crd);
    crd_group_validate(place, crd);
    json_array_foreach((json_t *)(uintptr_t)versions, i, version) {
        stored += json_bool_at(version, false, "storage");
        crd_version_name_validate(place, version, i);
        crd_columns_validate(place, version, i, json_array_size(versions) == 1);
        crd_schema_validate(place, version, i, json_array_size(versions) == 1);
    }
    if (stored != 1)
        place_invalid(place, "spec.versions", versions,
                      "must have exactly one version marked as storage version");
}

void crd_validate_update(Place *place, const json_t *crd, const json_t *old) {
    size_t len = place_key(place, "spec");

    place_immutable(place, "group", json_object_get(crd, "spec"), json_object_get(old, "spec"));
    place_immutable(place, "scope", json_object_get(crd, "spec"), json_object_get(old, "spec"));
    size_t names = place_key(place, "names");
    place_immutable(place, "plural", json_at(crd, "spec", "names"), json_at(old, "spec", "names"));
    place_immutable(place, "kind", json_at(crd, "spec", "names"), json_at(old, "spec", "names"));
    place_pop(place, names);
    place_pop(place, len);
}
