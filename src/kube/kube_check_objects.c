/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/yaml.h"
#include "kube/kube_check.h"
#include "kube/manifest.h"

/* Requests one by one, and what `kubectl apply -f` does with them. */

void check_objects(Check *c) {
    EXPECT(c, get_map(c, "none") == KUBE_NOT_FOUND);
    EXPECT(c, str_eq(c->reason, "NotFound"));
    EXPECT(c, get_map(c, "a/b") == KUBE_INVALID);
    EXPECT(c, get_map(c, "") == KUBE_INVALID);
    EXPECT(c, create_map(c, "one", "1") == 0);
    EXPECT(c, c->status == 201);
    EXPECT(c, create_map(c, "one", "1") == KUBE_EXISTS);
    EXPECT(c, create_map(c, "Not Valid", "1") == KUBE_INVALID);
    EXPECT(c, json_array_size(json_object_get(c->details, "causes")) > 0);
    EXPECT(c, get_map(c, "one") == 0);
    _cleanup_json_ json_t *stale = json_deep_copy(c->body);
    _cleanup_json_ json_t *fresh = json_deep_copy(c->body);
    json_set_at(fresh, json_string("2"), "data", "key");
    EXPECT(c, ask(c, &(KubeRequest){ .verb = KUBE_UPDATE,
                                     .gvr = CHECK_CONFIGMAPS,
                                     .namespace = c->namespace,
                                     .name = "one",
                                     .body = fresh }) == 0);
    EXPECT(c, ask(c, &(KubeRequest){ .verb = KUBE_UPDATE,
                                     .gvr = CHECK_CONFIGMAPS,
                                     .namespace = c->namespace,
                                     .name = "one",
                                     .body = stale }) == KUBE_CONFLICT);
    EXPECT(c, delete_map(c, "one", "00000000-0000-0000-0000-000000000000") == KUBE_CONFLICT);
    EXPECT(c, delete_map(c, "one", obj_uid(stale)) == 0);
    EXPECT(c, delete_map(c, "one", NULL) == KUBE_NOT_FOUND);
}

void check_patches(Check *c) {
    EXPECT(c, create_map(c, "patched", "1") == 0);
    EXPECT(c, patch_map(c, "patched", KUBE_PATCH_MERGE, "{\"data\":{\"m\":\"1\",\"key\":null}}",
                        NULL, false) == 0);
    EXPECT(c,
           str_eq(json_str_at(c->body, "data", "m"), "1") && !json_str_at(c->body, "data", "key"));
    EXPECT(c, patch_map(c, "patched", KUBE_PATCH_JSON,
                        "[{\"op\":\"replace\",\"path\":\"/data/m\",\"value\":\"2\"}]", NULL,
                        false) == 0);
    EXPECT(c, str_eq(json_str_at(c->body, "data", "m"), "2"));
    EXPECT(c, patch_map(c, "patched", KUBE_PATCH_JSON, "[{\"op\":\"remove\",\"path\":\"/data/x\"}]",
                        NULL, false) == KUBE_INVALID);
    EXPECT(c, patch_map(c, "patched", KUBE_PATCH_STRATEGIC,
                        "{\"metadata\":{\"labels\":{\"s\":\"1\"}}}", NULL, false) == 0);
    EXPECT(c, str_eq(obj_label(c->body, "s"), "1") && str_eq(obj_label(c->body, "app"), "1"));
    static const char first[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"
                                "\"name\":\"applied\"},\"data\":{\"a\":\"1\"}}";
    static const char second[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"
                                 "\"name\":\"applied\"},\"data\":{\"a\":\"2\"}}";
    EXPECT(c, patch_map(c, "applied", KUBE_PATCH_APPLY, first, "alice", false) == 0);
    EXPECT(c, c->status == 201);
    EXPECT(c, patch_map(c, "applied", KUBE_PATCH_APPLY, second, "bob", false) == KUBE_CONFLICT);
    EXPECT(c, strstr(c->message, "alice") != NULL);
    EXPECT(c, patch_map(c, "applied", KUBE_PATCH_APPLY, second, "bob", true) == 0);
    EXPECT(c, str_eq(json_str_at(c->body, "data", "a"), "2"));
}

void check_lists(Check *c) {
    for (int i = 0; i < 7; i++) {
        char name[16];
        snprintf(name, sizeof(name), "page-%d", i);
        EXPECT(c, create_map(c, name, i % 2 ? "odd" : "even") == 0);
    }
    KubeRequest request = { .gvr = CHECK_CONFIGMAPS,
                            .namespace = c->namespace,
                            .label_selector = "app in (odd,even)",
                            .limit = 3 };
    size_t seen = 0, pages = 0;
    _cleanup_free_ char *token = NULL;
    do {
        request.continue_token = token;
        EXPECT(c, ask(c, &request) == 0);
        seen += json_array_size(json_at(c->body, "items"));
        pages++;
        str_set(&token, json_str_at(c->body, "metadata", "continue"));
    } while (!str_empty(token) && pages < 10);
    EXPECT(c, seen == 7 && pages == 3);
    EXPECT(c, ask(c, &(KubeRequest){ .gvr = CHECK_CONFIGMAPS,
                                     .namespace = c->namespace,
                                     .field_selector = "metadata.name=page-3" }) == 0);
    EXPECT(c, json_array_size(json_at(c->body, "items")) == 1);
    EXPECT(c, ask(c, &(KubeRequest){ .verb = KUBE_DELETE,
                                     .gvr = CHECK_CONFIGMAPS,
                                     .namespace = c->namespace,
                                     .label_selector = "app=odd" }) == 0);
    EXPECT(c, ask(c, &(KubeRequest){ .gvr = CHECK_CONFIGMAPS,
                                     .namespace = c->namespace,
                                     .label_selector = "app in (odd,even)" }) == 0);
    EXPECT(c, json_array_size(json_at(c->body, "items")) == 4);
}

static void on_raw(void *ctx, const KubeRawReply *reply) {
    Check *c = ctx;
    c->answered = true;
    c->r = reply->r;
    c->status = reply->status;
    str_set(&c->message, reply->r ? reply->message : reply->body.data);
}

void check_raw(Check *c) {
    c->answered = false;
    kube_raw(c->client, &(KubeRawRequest){ .path = "/version" }, on_raw, c);
    WAIT_FOR(c, c->answered);
    EXPECT(c, c->r == 0 && strstr(c->message, "gitVersion"));
    c->answered = false;
    kube_raw(c->client, &(KubeRawRequest){ .path = "/nothing/here" }, on_raw, c);
    WAIT_FOR(c, c->answered);
    EXPECT(c, c->r == KUBE_NOT_FOUND);
}

/* Manifests. */

typedef struct Applied {
    Check *check;
    int objects, done, r, outcomes[3];
    char *names;
} Applied;

static void on_object(void *ctx, KubeManifestOutcome outcome, const KubeMapping *mapping,
                      json_t *object) {
    Applied *a = ctx;
    a->objects++;
    a->outcomes[outcome]++;
    UNUSED(mapping);
    UNUSED(object);
}

static void on_applied(void *ctx, int r, const char *message) {
    Applied *a = ctx;
    a->done++;
    a->r = r;
    a->check->r = r;
    str_set(&a->check->message, message);
}

static const KubeManifestEvents manifest_events = { on_object, on_applied };

static Applied apply(Check *c, KubeMapper *mapper, const char *yaml, bool client_side) {
    Applied a = { .check = c };
    _cleanup_json_ json_t *documents = NULL;
    EXPECT(c, yaml_parse_all(yaml, strlen(yaml), NULL, &documents) == 0);
    KubeManifestOptions options = { .client_side = client_side, .make_namespaces = true };
    kube_manifest_apply(c->client, mapper, documents, &options, &manifest_events, &a);
    WAIT_FOR(c, a.done == 1);
    return a;
}

void check_manifests(Check *c) {
    KubeMapper *mapper = kube_mapper_new(c->client);
    for (int client_side = 0; client_side < 2; client_side++) {
        char plural[32], kind[32];
        snprintf(plural, sizeof(plural), "widgets%d", client_side);
        snprintf(kind, sizeof(kind), "Widget%d", client_side);
        _cleanup_free_ char *yaml = str_printf(
            "apiVersion: apiextensions.k8s.io/v1\n"
            "kind: CustomResourceDefinition\n"
            "metadata: {name: %s.check.example.org}\n"
            "spec:\n"
            "  group: check.example.org\n"
            "  scope: Namespaced\n"
            "  names: {plural: %s, kind: %s, listKind: %sList, singular: s%s}\n"
            "  versions:\n"
            "  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object,\n"
            "     properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}\n"
            "---\n"
            "apiVersion: check.example.org/v1\n"
            "kind: %s\n"
            "metadata: {name: w, namespace: %s-%d}\n"
            "spec: {size: 1}\n"
            "---\n"
            "apiVersion: v1\n"
            "kind: List\n"
            "items:\n"
            "- {apiVersion: v1, kind: ConfigMap, metadata: {name: m, namespace: %s-%d}, data: {a: "
            "b}}\n",
            plural, plural, kind, kind, plural, kind, c->namespace, client_side, c->namespace,
            client_side);
        Applied a = apply(c, mapper, yaml, client_side);
        EXPECT(c, a.r == 0 && a.outcomes[KUBE_CREATED] == 4); /* and the namespace */
        a = apply(c, mapper, yaml, client_side);
        EXPECT(c, a.r == 0 && a.outcomes[KUBE_UNCHANGED] == 3);
        char *size = strstr(yaml, "size: 1}");
        size[6] = '2';
        a = apply(c, mapper, yaml, client_side);
        EXPECT(c, a.r == 0 && a.outcomes[KUBE_CONFIGURED] == 1 && a.outcomes[KUBE_UNCHANGED] == 2);
        _cleanup_free_ char *crd = str_printf("%s.check.example.org", plural);
        _cleanup_free_ char *namespace = str_printf("%s-%d", c->namespace, client_side);
        ask(c, &(KubeRequest){ .verb = KUBE_DELETE,
                               .gvr = { "apiextensions.k8s.io", "v1", "customresourcedefinitions" },
                               .name = crd });
        EXPECT(c, c->r == 0);
        ask(c, &(KubeRequest){ .verb = KUBE_DELETE, .gvr = CHECK_NAMESPACES, .name = namespace });
        EXPECT(c, c->r == 0);
    }
    static const char generated[] =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: g-}\n";
    _cleanup_free_ char *old = str_dup(kube_client_config(c->client)->namespace);
    Applied a = apply(c, mapper, generated, false);
    EXPECT(c, a.r == 0 && a.outcomes[KUBE_CREATED] == 1);
    a = apply(c, mapper, "apiVersion: nonsense.example/v1\nkind: X\nmetadata: {name: x}\n", false);
    EXPECT(c, a.r == KUBE_NOT_FOUND);
    EXPECT(c, strstr(c->message, "document 1 (X x): no matches for kind \"X\""));
    a = apply(c, mapper, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: 1}\n",
              false);
    EXPECT(c, a.r != 0 && strstr(c->message, "data"));
    kube_mapper_free(mapper);
}
