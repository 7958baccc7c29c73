/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/apply.h"

#include "base/test.h"
#include "kobj/kinds.h"
#include "kobj/meta.h"
#include "kobj/patch.h"
#include "kobj/testdata.h"

/* A server of one object: what the recorded requests do to it. */
typedef struct Server {
    Arena arena;
    const Schema *probe; /* the CRD of the recording */
    Schema template;     /* PodTemplate, made of a Job's parts */
    SchemaField fields[4];
    json_t *live;
} Server;

static void server_init(Server *server, const json_t *data) {
    const json_t *crd = json_array_get(json_array_get(json_object_get(data, "setup"), 0), 2);
    const json_t *version = json_array_get(json_at(crd, "spec", "versions"), 0);
    const Schema *job = kinds_find("batch", "v1", "Job")->schema;
    _cleanup_faults_ Faults faults = { 0 };

    *server = (Server){ 0 };
    CHECK_OK(schema_from_openapi(&server->arena, json_at(version, "schema", "openAPIV3Schema"), "x",
                                 &faults, &server->probe));
    server->fields[0] = (SchemaField){ "apiVersion", schema_member(job, "apiVersion"), false };
    server->fields[1] = (SchemaField){ "kind", schema_member(job, "kind"), false };
    server->fields[2] = (SchemaField){ "metadata", schema_member(job, "metadata"), false };
    server->fields[3] =
        (SchemaField){ "template", schema_member(schema_member(job, "spec"), "template"), false };
    server->template = (Schema){ .type = SCHEMA_OBJECT,
                                 .flags = SCHEMA_BUILTIN,
                                 .max_count = -1,
                                 .fields = server->fields,
                                 .field_count = 4 };
}

static void server_done(Server *server) {
    json_decref(server->live);
    arena_done(&server->arena);
}

static const Schema *schema_of(const Server *server, const json_t *object) {
    if (str_eq(obj_kind(object), "Probe"))
        return server->probe;
    if (str_eq(obj_kind(object), "PodTemplate"))
        return &server->template;
    return kinds_find("", "v1", obj_kind(object))->schema;
}

static void settle(const Schema *schema, json_t *object) {
    schema_normalize(schema, object);
    schema_prune(schema, object, NULL);
    schema_default(schema, object);
    if (!json_object_get(object, "metadata"))
        json_object_set_new(object, "metadata", json_object());
}

/* A query parameter, or "". Owned. */
static char *query(const char *url, const char *name) {
    const char *at = strchr(url, '?');

    for (; at; at = strchr(at + 1, '&')) {
        size_t len = strlen(name);
        if (!strncmp(at + 1, name, len) && at[1 + len] == '=')
            return str_printf("%.*s", (int)strcspn(at + 2 + len, "&"), at + 2 + len);
    }
    return str_dup("");
}

/* 0, an error or APPLY_CONFLICT. */
static int request(Server *server, const json_t *request, json_t **ret_status) {
    const char *method = json_string_value(json_array_get(request, 0));
    const char *url = json_string_value(json_array_get(request, 1));
    const char *type = json_string_value(json_array_get(request, 3));
    json_t *body = json_array_get(request, 2), *object = NULL;
    const json_t *typed = server->live ? server->live : body;
    _cleanup_free_ char *manager = query(url, "fieldManager"), *force = query(url, "force");
    const Schema *schema = schema_of(server, typed);
    const ApplyWho who = { .manager = manager,
                           .api_version = obj_api_version(typed),
                           .subresource = strstr(url, "/status") ? "status" : "" };

    if (type && strstr(type, "apply-patch")) {
        int r = apply_merge(schema, server->live, body, &who, *force, &object, ret_status);
        if (r != 0)
            return r;
        settle(schema, object);
    } else {
        object = str_eq(method, "PATCH") ? patch_merge(server->live, body) : json_deep_copy(body);
        if (str_eq(method, "PUT"))
            json_set_at(object, json_deep_copy(json_at(server->live, "metadata", "managedFields")),
                        "metadata", "managedFields");
        settle(schema, object);
        apply_track_update(schema, server->live, object, &who);
    }
    json_decref(server->live);
    server->live = object;
    return 0;
}

static StrList manager_texts(const json_t *object) {
    StrList out = { 0 };
    size_t i;
    json_t *entry;

    json_array_foreach(json_at(object, "metadata", "managedFields"), i, entry) {
        json_t *copy = json_deep_copy(entry);
        json_object_del(copy, "time");
        strlist_take(&out, json_text(copy, JSON_SORTED));
        json_decref(copy);
    }
    strlist_sort(&out);
    return out;
}

static bool same_managers(const json_t *a, const json_t *b) {
    _cleanup_strlist_ StrList left = manager_texts(a), right = manager_texts(b);
    bool same = left.len == right.len;

    for (size_t i = 0; same && i < left.len; i++)
        same = str_eq(left.items[i], right.items[i]);
    return same;
}

static bool same_object(const json_t *came, const json_t *wanted) {
    static const char *const parts[] = { "data", "template" };
    bool same = same_managers(came, wanted);

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const json_t *have = json_object_get(came, parts[i]);
        const json_t *want = json_object_get(wanted, parts[i]);
        if (str_eq(parts[i], "data"))
            same = same && (json_same(have, want) || (!have && json_object_size(want) == 0));
    }
    if (str_eq(obj_kind(came), "Probe"))
        same = same && json_same(json_object_get(came, "spec"), json_object_get(wanted, "spec"));
    return same;
}

static void check_step(Server *server, const json_t *item, size_t step) {
    const json_t *wanted = json_array_get(json_object_get(item, "answers"), step);
    const json_t *body = json_object_get(wanted, "body");
    const json_t *asked = json_array_get(json_object_get(item, "requests"), step);
    int64_t code = json_int_at(wanted, 0, "code");
    _cleanup_json_ json_t *status = NULL;

    if (code == 422)
        return; /* refused for another reason than fields */
    int r = request(server, asked, &status);
    bool good = code == 409
                    ? r == APPLY_CONFLICT && testdata_same_causes(status, body) &&
                          str_eq(json_str_at(status, "message"), json_str_at(body, "message"))
                : code >= 400 ? r == (code == 500 ? -EBADMSG : -EINVAL) &&
                                    str_eq(error_text(r), json_str_at(body, "message"))
                              : r == 0 && same_object(server->live, body);
    if (good)
        return;
    fprintf(stderr, "step %zu: %d %s\n", step, r, r < 0 ? error_text(r) : "");
    testdata_fail(item, wanted, r, r == APPLY_CONFLICT ? status : server->live);
}

static void test_as_recorded(void **state) {
    _cleanup_json_ json_t *data = testdata_load("apply.json");
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(data, "cases"), i, item) {
        Server server;
        server_init(&server, data);
        for (size_t step = 0; step < json_array_size(json_object_get(item, "requests")); step++)
            check_step(&server, item, step);
        server_done(&server);
    }
}

static json_t *configmap(const char *key, const char *value) {
    return json_pack("{s:s, s:s, s:{s:s}, s:{s:s}}", "apiVersion", "v1", "kind", "ConfigMap",
                     "metadata", "name", "c", "data", key, value);
}

static void test_time_moves_with_the_set(void **state) {
    const Schema *schema = kinds_find("", "v1", "ConfigMap")->schema;
    ApplyWho who = { .manager = "a", .api_version = "v1", .subresource = "", .now = 0 };
    _cleanup_json_ json_t *config = configmap("k", "1"), *first = NULL, *again = NULL;
    json_t *status = NULL;

    CHECK_OK(apply_merge(schema, NULL, config, &who, false, &first, &status));
    who.now = 60 * USEC_PER_SEC;
    CHECK_OK(apply_merge(schema, first, config, &who, false, &again, &status));
    CHECK(json_same(first, again));
}

static void test_untracked_objects_belong_to_before(void **state) {
    const Schema *schema = kinds_find("", "v1", "ConfigMap")->schema;
    const ApplyWho who = { .manager = "a", .api_version = "v1", .subresource = "" };
    _cleanup_json_ json_t *live = configmap("k", "1"), *config = configmap("k", "2"), *out = NULL;
    _cleanup_json_ json_t *status = NULL;

    CHECK_INT(apply_merge(schema, live, config, &who, false, &out, &status), APPLY_CONFLICT);
    CHECK_STR(
        json_str_at(status, "message"),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.k");
}

static void test_updaters_are_capped(void **state) {
    const Schema *schema = kinds_find("", "v1", "ConfigMap")->schema;
    _cleanup_json_ json_t *live = NULL;

    for (int i = 0; i < 30; i++) {
        _cleanup_free_ char *name = str_printf("m%02d", i), *key = str_printf("k%d", i);
        const ApplyWho who = { .manager = name, .api_version = "v1", .now = i * USEC_PER_SEC };
        json_t *object = live ? json_deep_copy(live) : configmap("z", "1");
        json_set_at(object, json_string("1"), "data", key);
        apply_track_update(schema, live, object, &who);
        json_decref(live);
        live = object;
    }
    const json_t *list = json_at(live, "metadata", "managedFields");
    CHECK_INT(json_array_size(list), 10);
    CHECK_STR(json_str_at(json_array_get(list, 0), "manager"), "ancient-changes");
}

static void test_user_agents(void **state) {
    _cleanup_free_ char *kubectl = apply_manager_from_user_agent("kubectl/v1.32.0 (linux/amd64)");
    _cleanup_free_ char *none = apply_manager_from_user_agent(NULL);

    CHECK_STR(kubectl, "kubectl");
    CHECK_STR(none, "unknown");
}

int main(void) {
    return TEST_RUN(TEST(test_as_recorded), TEST(test_time_moves_with_the_set),
                    TEST(test_untracked_objects_belong_to_before), TEST(test_updaters_are_capped),
                    TEST(test_user_agents));
}
