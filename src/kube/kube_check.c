/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client against a living API server (whichever KUBECONFIG names): `kube-check [SCENARIO...]`.
 * Makes a namespace of its own and deletes it. Prints a line a scenario; exits 1 if one failed.
 */
#include "kube/kube_check.h"

#include <stdio.h>

#include "base/error.h"

void check_fault(Check *c, const char *file, int line, const char *what) {
    c->faults++;
    printf("  %s:%d: %s\n    last answer: %d (HTTP %d) %s\n", file, line, what, c->r, c->status,
           c->message ? c->message : "");
}

static void on_reply(void *ctx, const KubeReply *reply) {
    Check *c = ctx;
    json_decref(c->body);
    json_decref(c->details);
    c->answered = true;
    c->r = reply->r;
    c->status = reply->status;
    c->body = json_incref(reply->body);
    c->details = json_incref(reply->details);
    str_set(&c->message, reply->message);
    str_set(&c->reason, reply->reason);
}

int ask(Check *c, const KubeRequest *request) {
    c->answered = false;
    kube_call(c->client, request, on_reply, c);
    EXPECT(c, !c->answered);
    WAIT_FOR(c, c->answered);
    return c->r;
}

json_t *make_map(const Check *c, const char *name, const char *value) {
    return json_pack("{s:s,s:s,s:{s:s,s:s,s:{s:s}},s:{s:s}}", "apiVersion", "v1", "kind",
                     "ConfigMap", "metadata", "name", name, "namespace", c->namespace, "labels",
                     "app", value, "data", "key", value);
}

int create_map(Check *c, const char *name, const char *value) {
    _cleanup_json_ json_t *object = make_map(c, name, value);
    return ask(c, &(KubeRequest){ .verb = KUBE_CREATE,
                                  .gvr = CHECK_CONFIGMAPS,
                                  .namespace = c->namespace,
                                  .body = object });
}

int get_map(Check *c, const char *name) {
    return ask(c,
               &(KubeRequest){ .gvr = CHECK_CONFIGMAPS, .namespace = c->namespace, .name = name });
}

int delete_map(Check *c, const char *name, const char *uid) {
    return ask(c, &(KubeRequest){ .verb = KUBE_DELETE,
                                  .gvr = CHECK_CONFIGMAPS,
                                  .namespace = c->namespace,
                                  .name = name,
                                  .if_uid = uid });
}

int patch_map(Check *c, const char *name, KubePatch kind, const char *text, const char *manager,
              bool force) {
    _cleanup_json_ json_t *patch = NULL;
    EXPECT(c, json_parse(text, strlen(text), NULL, 0, &patch) == 0);
    return ask(c, &(KubeRequest){ .verb = KUBE_PATCH,
                                  .gvr = CHECK_CONFIGMAPS,
                                  .namespace = c->namespace,
                                  .name = name,
                                  .patch = kind,
                                  .body = patch,
                                  .field_manager = manager,
                                  .force = force });
}

static const struct {
    const char *name;
    void (*run)(Check *c);
} scenarios[] = {
    { "raw", check_raw },       { "objects", check_objects }, { "patches", check_patches },
    { "lists", check_lists },   { "watch", check_watch },     { "informer", check_informer },
    { "leader", check_leader }, { "events", check_events },   { "manifests", check_manifests }
};

static int setup(Check *c) {
    KubeConfig config;
    int r = kube_config_auto(NULL, NULL, &config);
    if (r == 0)
        r = loop_new(&c->loop);
    if (r < 0)
        return r;
    c->http = http_client_new(c->loop);
    return kube_client_new(c->loop, c->http, &config, &c->client);
}

static void namespace_make(Check *c) {
    _cleanup_json_ json_t *object =
        json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata",
                  "generateName", "kube-check-");
    if (ask(c, &(KubeRequest){ .verb = KUBE_CREATE, .gvr = CHECK_NAMESPACES, .body = object }) == 0)
        c->namespace = str_dup(obj_name(c->body));
    else
        check_fault(c, __FILE__, __LINE__, "make a namespace");
}

static bool wanted(const char *name, int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (str_eq(argv[i], name))
            return true;
    return argc == 1;
}

int main(int argc, char **argv) {
    Check c = { 0 };
    int passed = 0, failed = 0;
    int r = setup(&c);
    if (r < 0) {
        fprintf(stderr, "kube-check: %s\n", error_text(r));
        return 1;
    }
    bool following = argc == 3 && str_eq(argv[1], "--follow");
    bool leading = argc == 3 && str_eq(argv[1], "--lead");
    if (following)
        passed = follow(&c, argv[2]) == 0;
    if (leading)
        passed = lead(&c, argv[2]) == 0;
    for (size_t i = 0; !following && !leading && i < ARRAY_LEN(scenarios); i++) {
        if (!wanted(scenarios[i].name, argc, argv))
            continue;
        c.faults = 0;
        namespace_make(&c);
        if (c.namespace)
            scenarios[i].run(&c);
        printf("%s %s\n", c.faults ? "failed" : "passed", scenarios[i].name);
        passed += !c.faults;
        failed += c.faults > 0;
        if (c.namespace)
            ask(&c, &(KubeRequest){
                        .verb = KUBE_DELETE, .gvr = CHECK_NAMESPACES, .name = c.namespace });
        c.namespace = mem_free(c.namespace);
    }
    if (!following && !leading)
        printf("%d passed, %d failed\n", passed, failed);
    kube_client_free(c.client);
    http_client_free(c.http);
    json_decref(c.body);
    json_decref(c.details);
    mem_free(c.message);
    mem_free(c.reason);
    loop_free(c.loop);
    return failed || !passed;
}
