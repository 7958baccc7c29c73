/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A cluster's API as its users see it, without HTTP: [{"verb": …, "resource": "pods", "group": "",
 * "ns": …, "name": …, "sub": …, "body": …}, …]. Controllers and the scheduler work between the
 * steps. Whatever is stored can be read, and reading changes nothing.
 */

#include "local/api.h"

#include "base/error.h"
#include "base/fuzz_world.h"
#include "base/log.h"
#include "base/wrap.h"
#include "codec/json.h"
#include "kobj/meta.h"
#include "local/bootstrap.h"
#include "local/controllers.h"
#include "local/token.h"

enum {
    STEPS_MAX = 12
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing comes from outside: to look each time would be most of the work. */
WRAPPED(int, uv_run, void *loop, int mode) {
    const int nowait = 2; /* UV_RUN_NOWAIT */
    return mode == nowait ? 0 : __real_uv_run(loop, mode);
}

typedef struct Cluster {
    Loop *loop;
    Kv *kv;
    Api api;
    Controllers *controllers;
} Cluster;

static void run(Cluster *cluster, usec_t for_time) {
    loop_run_until(cluster->loop, loop_deadline(cluster->loop, for_time));
}

static void *cluster_begin(void) {
    Cluster *cluster = mem_new(Cluster);
    Api *api = &cluster->api;
    ASSERT(loop_new_virtual(1000 * USEC_PER_SEC, 1800000000 * USEC_PER_SEC, &cluster->loop) == 0);
    *api = (Api){
        .loop = cluster->loop,
        .settings = { .state_dir = "/proc/none",
                      .issuer = "https://kubernetes.default.svc.cluster.local",
                      .event_ttl = 3600 * USEC_PER_SEC,
                      .node_grace = 40 * USEC_PER_SEC,
                      .window = { .window_events = 64, .window_bytes = 1 << 20 } },
        .ca_pem = str_dup("PEM"),
        .service_base = 0x0a600000,
        .service_count = 256,
    };
    ASSERT(kv_open(cluster->loop, &(KvOptions){ 0 }, &cluster->kv) == 0);
    ASSERT(store_open(cluster->kv, &api->settings.window, &api->store) == 0);
    registry_init(&api->registry, api->store);
    bootstrap_objects(api, "https://127.0.0.1:6443");
    cluster->controllers = controllers_new(api);
    run(cluster, 0);
    return cluster;
}

static void cluster_end(void *world) {
    Cluster *cluster = world;
    cluster->api.closing = true;
    controllers_free(cluster->controllers);
    kv_close(cluster->kv);
    store_close(cluster->api.store);
    registry_done(&cluster->api.registry);
    free(cluster->api.ca_pem);
    loop_free(cluster->loop);
    mem_free(cluster);
}

static const FuzzWorld cluster_world = { .begin = cluster_begin, .end = cluster_end };

static ApiPatch patch_kind(const char *verb, const Resource *resource) {
    if (str_eq(verb, "json-patch"))
        return API_PATCH_JSON;
    if (str_eq(verb, "apply"))
        return API_PATCH_APPLY;
    return str_eq(verb, "strategic") && !resource->custom ? API_PATCH_STRATEGIC : API_PATCH_MERGE;
}

static int list(ApiCall *call, const json_t *step) {
    ApiSelection selection = { 0 };
    ApiPage page = { 0 };
    int r = api_selection_parse(call, json_str_at(step, "labels"), json_str_at(step, "fields"),
                                &selection);
    const ApiRange range = { .limit = json_int_at(step, 0, "limit"),
                             .token = json_str_at(step, "token") };
    if (r == 0)
        r = api_list(call, &selection, &range, &page);
    if (r == 0) {
        json_decref(api_page_items(call, &page));
        api_page_done(&page);
    }
    api_selection_done(&selection);
    return r;
}

/* What the REST handlers let through. */
static bool allowed(const ApiCall *call, const char *verb) {
    const char *sub = call->subresource;
    if (!call->resource || !call->version)
        return false;
    if (sub && !(str_eq(sub, "status") && call->version->has_status))
        return false;
    if (str_eq(verb, "create"))
        return !call->name && !sub && (!call->resource->namespaced || !str_empty(call->ns));
    return str_eq(verb, "list") || (call->name && !(sub && str_eq(verb, "delete")));
}

static void act(Cluster *cluster, const json_t *step, const char *verb) {
    const char *ns = json_str_at(step, "ns"), *group = json_str_at(step, "group"),
               *plural = json_str_at(step, "resource"), *token = json_str_at(step, "token");
    TokenSubject subject;
    if (str_eq(verb, "token") && token_check(&cluster->api, token ? token : "", &subject) == 0)
        token_subject_done(&subject);
    if (!registry_find(&cluster->api.registry, group ? group : "", plural ? plural : ""))
        return;
    _cleanup_call_ ApiCall call =
        api_call(&cluster->api, "fuzz", group ? group : "", plural ? plural : "", ns ? ns : "",
                 json_str_at(step, "name"));
    _cleanup_json_ json_t *object = NULL;
    json_t *body = json_deep_copy(json_object_get(step, "body"));
    bool gone;
    int r = 0;
    call.subresource = json_str_at(step, "sub");
    call.validation = json_is_true(json_object_get(step, "strict")) ? API_STRICT : API_WARN;
    call.force = json_is_true(json_object_get(step, "force"));
    call.dry_run = json_is_true(json_object_get(step, "dry"));
    if (!allowed(&call, verb) || (!body && !str_eq(verb, "list") && !str_eq(verb, "delete"))) {
        json_decref(body);
        return;
    }
    if (str_eq(verb, "list") || str_eq(verb, "delete"))
        json_decref(body);
    if (str_eq(verb, "create"))
        r = api_create(&call, body, NULL, &object);
    else if (str_eq(verb, "update"))
        r = api_update(&call, body, NULL, &object);
    else if (str_eq(verb, "delete"))
        r = api_delete(&call, &API_DELETE_DEFAULT, &object, &gone);
    else if (str_eq(verb, "list"))
        r = list(&call, step);
    else
        r = api_patch(&call, patch_kind(verb, call.resource), body, NULL, &object);
    ASSERT(r == 0 || (r >= 400 && call.status));
    ASSERT(r != 0 || !object || (json_is_object(object) && obj_uid(object)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const JsonLimits limits = { .bytes = 1u << 14, .values = 2000, .depth = 60 };
    _cleanup_json_ json_t *steps = NULL;
    log_setup("fuzz", (LogLevel)(LOG_ERROR + 1), false);
    if (json_parse(data, size, &limits, 0, &steps) < 0 || !json_is_array(steps))
        return 0;
    Cluster *cluster = fuzz_world_begin(&cluster_world);
    for (size_t i = 0; i < MIN(json_array_size(steps), (size_t)STEPS_MAX); i++) {
        const json_t *step = json_array_get(steps, i);
        const char *verb = json_str_at(step, "verb");
        if (verb)
            act(cluster, step, verb);
        run(cluster, CLAMP(json_int_at(step, 0, "wait"), 0, 100) * USEC_PER_SEC);
    }
    fuzz_world_end(&cluster_world, cluster);
    return 0;
}
