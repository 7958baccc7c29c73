/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/openapi.h"

#include "base/test.h"
#include "kobj/kinds.h"
#include "kobj/meta.h"

static OpenapiKind described(const KindInfo *info) {
    return (OpenapiKind){ .group = info->group,
                          .version = info->version,
                          .kind = info->kind,
                          .list_kind = info->list_kind,
                          .plural = info->plural,
                          .namespaced = info->flags & KIND_NAMESPACED,
                          .has_status = info->flags & KIND_STATUS,
                          .schema = info->schema };
}

/* Every "$ref" names a type that is there. */
static void check_references(const json_t *value, const json_t *schemas) {
    static const char prefix[] = "#/components/schemas/";
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_object(value)) {
        const char *ref = json_str_at(value, "$ref");
        if (ref &&
            (!str_starts(ref, prefix) || !json_object_get(schemas, ref + sizeof(prefix) - 1)))
            fail_msg("%s leads nowhere", ref);
        json_object_foreach((json_t *)(uintptr_t)value, key, item)
            check_references(item, schemas);
    } else if (json_is_array(value)) {
        json_array_foreach((json_t *)(uintptr_t)value, i, item)
            check_references(item, schemas);
    }
}

static void test_built_in_document(void **state) {
    OpenapiKind kinds[] = { described(kinds_find("", "v1", "Pod")),
                            described(kinds_find("", "v1", "Node")) };
    _cleanup_json_ json_t *document = openapi_document(kinds, ARRAY_LEN(kinds));
    const json_t *schemas = json_at(document, "components", "schemas");
    const json_t *container = json_at(schemas, "io.k8s.api.core.v1.Container", "properties");

    check_references(document, schemas);
    CHECK_STR(json_str_at(container, "env", "x-kubernetes-patch-merge-key"), "name");
    CHECK_STR(json_str_at(container, "ports", "x-kubernetes-list-type"), "map");
    CHECK(json_at(container, "terminationMessagePath", "default") == NULL);
    const json_t *patch =
        json_at(document, "paths", "/api/v1/namespaces/{namespace}/pods/{name}", "patch");
    CHECK_STR(json_str_at(patch, "x-kubernetes-group-version-kind", "kind"), "Pod");
    CHECK(json_at(patch, "requestBody", "content", "application/strategic-merge-patch+json"));
    CHECK(json_at(document, "paths", "/api/v1/nodes/{name}/status", "put"));
    const json_t *pod = json_at(schemas, "io.k8s.api.core.v1.Pod", "properties");
    CHECK_STR(json_str_at(pod, "kind", "description"), "What kind of object it is.");
    CHECK_STR(json_str_at(pod, "spec", "description"), "What should run.");
}

static void test_crd_document(void **state) {
    _cleanup_json_ json_t *crds = kinds_ray_crds();
    const json_t *version = json_array_get(json_at(json_array_get(crds, 0), "spec", "versions"), 0);
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_faults_ Faults faults = { 0 };
    OpenapiKind kind = { .group = "ray.io",
                         .version = "v1",
                         .kind = "RayCluster",
                         .list_kind = "RayClusterList",
                         .plural = "rayclusters",
                         .namespaced = true,
                         .has_status = true };

    CHECK_OK(schema_from_openapi(&arena, json_at(version, "schema", "openAPIV3Schema"), "x",
                                 &faults, &kind.schema));
    _cleanup_json_ json_t *document = openapi_document(&kind, 1);
    const json_t *schemas = json_at(document, "components", "schemas");
    check_references(document, schemas);
    const json_t *spec = json_at(schemas, "io.ray.v1.RayCluster", "properties", "spec");
    CHECK(json_at(spec, "properties", "headGroupSpec", "properties", "template"));
    CHECK(json_at(document, "paths", "/apis/ray.io/v1/rayclusters"));
    const json_t *meta = json_at(schemas, "io.ray.v1.RayCluster", "properties", "metadata");
    CHECK_STR(json_str_at(meta, "description"), "Name, labels and the like.");
    CHECK_INT(json_array_size(json_object_get(meta, "allOf")), 1);
    /* What a CRD says comes back as it was. */
    _cleanup_json_ json_t *again = schema_to_openapi(kind.schema, NULL);
    CHECK(json_same(json_at(again, "properties", "spec", "properties", "managedBy"),
                    json_at(version, "schema", "openAPIV3Schema", "properties", "spec",
                            "properties", "managedBy")));
}

static void test_index(void **state) {
    _cleanup_json_ json_t *index = json_object();

    openapi_index_add(index, "", "v1", "AB");
    openapi_index_add(index, "batch", "v1", "CD");
    CHECK_STR(json_str_at(index, "paths", "api/v1", "serverRelativeURL"),
              "/openapi/v3/api/v1?hash=AB");
    CHECK(json_at(index, "paths", "apis/batch/v1"));
}

int main(void) {
    return TEST_RUN(TEST(test_built_in_document), TEST(test_crd_document), TEST(test_index));
}
