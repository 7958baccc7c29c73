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

static void crd_names_validate(Place *place, const json_t *crd) {
    static const char *const lower[] = { "plural", "singular" };
    const json_t *names = json_at(crd, "spec", "names");
    const char *plural = json_str_at(names, "plural"), *group = json_str_at(crd, "spec", "group");
    _cleanup_free_ char *wanted = str_printf("%s.%s", plural ? plural : "", group ? group : "");

    if (obj_name(crd) && !str_eq(obj_name(crd), wanted))
        place_invalid_text(place, "metadata.name", obj_name(crd),
                           "must be spec.names.plural+\".\"+spec.group");
    size_t len = place_key(place, "spec.names");
    for (size_t i = 0; i < ARRAY_LEN(lower); i++) {
        const char *text = json_str_at(names, lower[i]);
        const char *why = str_empty(text) ? NULL : name_check_dns1035_label(text);
        if (why)
            place_invalid_text(place, lower[i], text, why);
    }
    place_pop(place, len);
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
        faults_add_required(place->faults, field, "schemas are required");
        return;
    }
    if (!str_eq(json_str_at(openapi, "type"), "object")) {
        _cleanup_free_ char *field = str_printf("%s.type", at);
        faults_add_invalid(place->faults, field, json_object_get(openapi, "type"),
                           "must be object at the root");
    }
    (void)!schema_from_openapi(&arena, openapi, at, place->faults, &schema);
}

void crd_validate(Place *place, const json_t *crd) {
    const json_t *versions = json_at(crd, "spec", "versions");
    size_t i, stored = 0;
    json_t *version;

    crd_names_validate(place, crd);
    json_array_foreach((json_t *)(uintptr_t)versions, i, version) {
        stored += json_bool_at(version, false, "storage");
        crd_schema_validate(place, version, i, json_array_size(versions) == 1);
    }
    if (stored != 1)
        place_invalid(place, "spec.versions", versions,
                      "must have exactly one version marked as storage version");
}
