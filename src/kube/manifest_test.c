/* SPDX-License-Identifier: Apache-2.0 */
/* What ends a run before anything is sent; the rest is in test/kube. */
#include "kube/manifest.h"

#include "base/test.h"
#include "net/http_client.h"

enum {
    OBJECTS_MAX = 4096
};

typedef struct Applied {
    Loop *loop;
    size_t objects;
    int r;
    char *message;
} Applied;

static void on_object(void *ctx, KubeManifestOutcome outcome, const KubeMapping *mapping,
                      json_t *object) {
    Applied *applied = ctx;
    applied->objects++;
}

static void on_done(void *ctx, int r, const char *message) {
    Applied *applied = ctx;
    applied->r = r;
    applied->message = str_dup(message);
    loop_stop(applied->loop);
}

static const KubeManifestEvents EVENTS = { on_object, on_done };

/* Nobody listens there: an object would fail for that. */
static void apply(json_t *documents, Applied *ret_applied) {
    Applied applied = { 0 };
    KubeConfig config = { .server = str_dup("http://127.0.0.1:1"),
                          .namespace = str_dup("default"),
                          .context = str_dup("") };
    KubeManifestOptions options = { .field_manager = "test" };
    KubeClient *client;
    CHECK_OK(loop_new(&applied.loop));
    HttpClient *http = http_client_new(applied.loop);
    CHECK_OK(kube_client_new(applied.loop, http, &config, &client));
    KubeMapper *mapper = kube_mapper_new(client);
    kube_manifest_apply(client, mapper, documents, &options, &EVENTS, &applied);
    loop_run(applied.loop);
    kube_mapper_free(mapper);
    kube_client_free(client);
    http_client_free(http);
    loop_free(applied.loop);
    *ret_applied = applied;
}

/* A List of objects without a name, which is told when the first one's turn comes. */
static json_t *list_of(size_t count) {
    json_t *list = json_pack("{s:s,s:s,s:[]}", "apiVersion", "v1", "kind", "List", "items");
    for (size_t i = 0; i < count; i++)
        json_array_append_new(json_object_get(list, "items"),
                              json_pack("{s:s,s:s}", "apiVersion", "v1", "kind", "ConfigMap"));
    return list;
}

static void test_too_many_objects_are_refused(void **state) {
    Applied applied;
    _cleanup_json_ json_t *many = json_pack("[o,n,o]", list_of(OBJECTS_MAX), list_of(1));
    apply(many, &applied);
    CHECK_INT(applied.r, KUBE_INVALID);
    CHECK_STR(applied.message, "more than 4096 objects at once: apply them in parts");
    free(applied.message);

    _cleanup_json_ json_t *most = json_pack("[o]", list_of(OBJECTS_MAX));
    apply(most, &applied);
    CHECK_INT(applied.r, KUBE_INVALID);
    CHECK(strstr(applied.message, "document 1 (ConfigMap ?): metadata.name or") != NULL);
    CHECK_INT(applied.objects, 0);
    free(applied.message);
}

static void test_nothing_is_nothing(void **state) {
    Applied applied;
    _cleanup_json_ json_t *none = json_pack("[n]");
    apply(none, &applied);
    CHECK_INT(applied.r, 0);
    free(applied.message);
}

int main(void) {
    return TEST_RUN(TEST(test_too_many_objects_are_refused), TEST(test_nothing_is_nothing));
}
