/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client against a living API server (whichever KUBECONFIG names): `kube-check [SCENARIO...]`.
 * Makes a namespace of its own and deletes it. Prints a line a scenario; exits 1 if one failed.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "codec/yaml.h"
#include "kobj/meta.h"
#include "kube/event.h"
#include "kube/informer.h"
#include "kube/leader.h"
#include "kube/manifest.h"

#define PATIENCE (20 * USEC_PER_SEC)

static const KubeGvr configmaps = { "", "v1", "configmaps" };
static const KubeGvr namespaces = { "", "v1", "namespaces" };
static const KubeGvr pods = { "", "v1", "pods" };
static const KubeGvr events_gvr = { "events.k8s.io", "v1", "events" };

typedef struct Check {
    Loop *loop;
    HttpClient *http;
    KubeClient *client;
    char *namespace;
    int faults;
    /* The last answer. */
    bool answered;
    int r, status;
    json_t *body, *details;
    char *message, *reason;
} Check;

static void fault(Check *c, int line, const char *what) {
    c->faults++;
    printf("  line %d: %s\n    last answer: %d (HTTP %d) %s\n", line, what, c->r, c->status,
           c->message ? c->message : "");
}

#define EXPECT(c, condition)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fault((c), __LINE__, #condition);                                                      \
    } while (0)

#define WAIT_FOR(c, condition)                                                                     \
    do {                                                                                           \
        usec_t until_ = loop_deadline((c)->loop, PATIENCE);                                        \
        while (!(condition) && loop_now((c)->loop) < until_)                                       \
            loop_tick((c)->loop, until_);                                                          \
        EXPECT(c, condition);                                                                      \
    } while (0)

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

static int ask(Check *c, const KubeRequest *request) {
    c->answered = false;
    kube_call(c->client, request, on_reply, c);
    EXPECT(c, !c->answered);
    WAIT_FOR(c, c->answered);
    return c->r;
}

static json_t *make_map(const Check *c, const char *name, const char *value) {
    return json_pack("{s:s,s:s,s:{s:s,s:s,s:{s:s}},s:{s:s}}", "apiVersion", "v1", "kind",
                     "ConfigMap", "metadata", "name", name, "namespace", c->namespace, "labels",
                     "app", value, "data", "key", value);
}

static int create_map(Check *c, const char *name, const char *value) {
    _cleanup_json_ json_t *object = make_map(c, name, value);
    return ask(
        c, &(KubeRequest){
               .verb = KUBE_CREATE, .gvr = configmaps, .namespace = c->namespace, .body = object });
}

static int get_map(Check *c, const char *name) {
    return ask(c, &(KubeRequest){ .gvr = configmaps, .namespace = c->namespace, .name = name });
}

static int delete_map(Check *c, const char *name, const char *uid) {
    return ask(c, &(KubeRequest){ .verb = KUBE_DELETE,
                                  .gvr = configmaps,
                                  .namespace = c->namespace,
                                  .name = name,
                                  .if_uid = uid });
}

static int patch_map(Check *c, const char *name, KubePatch kind, const char *text,
                     const char *manager, bool force) {
    _cleanup_json_ json_t *patch = NULL;
    EXPECT(c, json_parse(text, strlen(text), NULL, 0, &patch) == 0);
    return ask(c, &(KubeRequest){ .verb = KUBE_PATCH,
                                  .gvr = configmaps,
                                  .namespace = c->namespace,
                                  .name = name,
                                  .patch = kind,
                                  .body = patch,
                                  .field_manager = manager,
                                  .force = force });
}

static void check_objects(Check *c) {
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
                                     .gvr = configmaps,
                                     .namespace = c->namespace,
                                     .name = "one",
                                     .body = fresh }) == 0);
    EXPECT(c, ask(c, &(KubeRequest){ .verb = KUBE_UPDATE,
                                     .gvr = configmaps,
                                     .namespace = c->namespace,
                                     .name = "one",
                                     .body = stale }) == KUBE_CONFLICT);
    EXPECT(c, delete_map(c, "one", "00000000-0000-0000-0000-000000000000") == KUBE_CONFLICT);
    EXPECT(c, delete_map(c, "one", obj_uid(stale)) == 0);
    EXPECT(c, delete_map(c, "one", NULL) == KUBE_NOT_FOUND);
}

static void check_patches(Check *c) {
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

static void check_lists(Check *c) {
    for (int i = 0; i < 7; i++) {
        char name[16];
        snprintf(name, sizeof(name), "page-%d", i);
        EXPECT(c, create_map(c, name, i % 2 ? "odd" : "even") == 0);
    }
    KubeRequest request = { .gvr = configmaps,
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
    EXPECT(c, ask(c, &(KubeRequest){ .gvr = configmaps,
                                     .namespace = c->namespace,
                                     .field_selector = "metadata.name=page-3" }) == 0);
    EXPECT(c, json_array_size(json_at(c->body, "items")) == 1);
    EXPECT(c, ask(c, &(KubeRequest){ .verb = KUBE_DELETE,
                                     .gvr = configmaps,
                                     .namespace = c->namespace,
                                     .label_selector = "app=odd" }) == 0);
    EXPECT(c, ask(c, &(KubeRequest){ .gvr = configmaps,
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

static void check_raw(Check *c) {
    c->answered = false;
    kube_raw(c->client, &(KubeRawRequest){ .path = "/version" }, on_raw, c);
    WAIT_FOR(c, c->answered);
    EXPECT(c, c->r == 0 && strstr(c->message, "gitVersion"));
    c->answered = false;
    kube_raw(c->client, &(KubeRawRequest){ .path = "/nothing/here" }, on_raw, c);
    WAIT_FOR(c, c->answered);
    EXPECT(c, c->r == KUBE_NOT_FOUND);
}

/* Watches. */

typedef struct Watched {
    Check *check;
    int added, modified, deleted, ended, r;
    KubeWatch *watch;
} Watched;

static void on_watch_event(void *ctx, const char *type, json_t *object) {
    Watched *w = ctx;
    UNUSED(object);
    w->added += str_eq(type, "ADDED");
    w->modified += str_eq(type, "MODIFIED");
    w->deleted += str_eq(type, "DELETED");
}

static void on_watch_ended(void *ctx, int r, const char *message) {
    Watched *w = ctx;
    w->watch = NULL;
    w->ended++;
    w->r = r;
    w->check->r = r;
    str_set(&w->check->message, message);
}

static const KubeWatchEvents watch_events = { on_watch_event, on_watch_ended };

static void check_watch(Check *c) {
    Watched w = { .check = c };
    EXPECT(c, create_map(c, "before", "1") == 0);
    _cleanup_free_ char *revision = str_dup(obj_resource_version(c->body));
    KubeRequest request = { .gvr = configmaps,
                            .namespace = c->namespace,
                            .name = "watched",
                            .resource_version = revision };
    w.watch = kube_watch(c->client, &request, &watch_events, &w);
    EXPECT(c, create_map(c, "watched", "1") == 0);
    EXPECT(c,
           patch_map(c, "watched", KUBE_PATCH_MERGE, "{\"data\":{\"m\":\"1\"}}", NULL, false) == 0);
    EXPECT(c, delete_map(c, "watched", NULL) == 0);
    WAIT_FOR(c, w.deleted == 1 || w.ended);
    EXPECT(c, w.added == 1 && w.modified == 1 && w.ended == 0);
    w.watch = kube_watch_free(w.watch);
    request.gvr.resource = "nonsense";
    w.watch = kube_watch(c->client, &request, &watch_events, &w);
    WAIT_FOR(c, w.ended == 1);
    EXPECT(c, w.r == KUBE_NOT_FOUND);
    request.gvr = pods;
    request.name = NULL;
    request.resource_version = "1";
    w.watch = kube_watch(c->client, &request, &watch_events, &w);
    usec_t until = loop_deadline(c->loop, USEC_PER_SEC);
    while (w.ended == 1 && loop_now(c->loop) < until)
        loop_tick(c->loop, until);
    /* Servers may keep all revisions since their start; if they do not, they must say so. */
    EXPECT(c, w.ended == 1 || w.r == KUBE_GONE);
    kube_watch_free(w.watch);
}

/* Informers. */

typedef struct Informed {
    int added, updated, deleted, synced, stuck;
} Informed;

static void on_added(void *ctx, json_t *object) {
    UNUSED(object);
    ((Informed *)ctx)->added++;
}
static void on_updated(void *ctx, json_t *old, json_t *object) {
    UNUSED(old);
    UNUSED(object);
    ((Informed *)ctx)->updated++;
}
static void on_deleted(void *ctx, json_t *object) {
    UNUSED(object);
    ((Informed *)ctx)->deleted++;
}
static void on_synced(void *ctx) {
    ((Informed *)ctx)->synced++;
}
static void on_stuck(void *ctx, int r, const char *message) {
    UNUSED(r);
    UNUSED(message);
    ((Informed *)ctx)->stuck++;
}
static void drop_data(json_t *object) {
    json_object_del(object, "data");
}
static void by_app(const json_t *object, StrList *keys) {
    strlist_add(keys, obj_label(object, "app"));
}

static const KubeInformerEvents informer_events = { on_added, on_updated, on_deleted, on_synced,
                                                    on_stuck };

static void check_informer(Check *c) {
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof(name), "item-%d", i);
        EXPECT(c, create_map(c, name, i < 2 ? "low" : "high") == 0);
    }
    Informed seen = { 0 };
    KubeInformerSpec spec = { .gvr = configmaps,
                              .namespace = c->namespace,
                              .label_selector = "app in (low,high)",
                              .page = 2,
                              .trim = drop_data };
    KubeInformer *informer = kube_informer_new(c->client, &spec, &informer_events, &seen);
    kube_informer_add_index(informer, "app", by_app);
    kube_informer_start(informer);
    WAIT_FOR(c, seen.synced == 1);
    EXPECT(c, seen.added == 5 && kube_informer_count(informer) == 5);
    size_t count = 0;
    json_t *const *found = kube_informer_by(informer, "app", "low", &count);
    EXPECT(c, count == 2 && str_eq(obj_name(found[0]), "item-0"));
    json_t *first = kube_informer_get(informer, c->namespace, "item-0");
    EXPECT(c, first && !json_at(first, "data") && str_eq(obj_kind(first), "ConfigMap"));
    EXPECT(c, patch_map(c, "item-0", KUBE_PATCH_MERGE,
                        "{\"metadata\":{\"labels\":{\"app\":\"high\"}}}", NULL, false) == 0);
    kube_informer_observe(informer, c->body);
    EXPECT(c, seen.updated == 1);
    kube_informer_by(informer, "app", "low", &count);
    EXPECT(c, count == 1);
    _cleanup_json_ json_t *last = json_incref(c->body);
    EXPECT(c, delete_map(c, "item-0", NULL) == 0);
    WAIT_FOR(c, seen.deleted == 1);
    EXPECT(c, seen.updated == 1);                  /* the watch told nothing twice */
    kube_informer_observe(informer, last);
    EXPECT(c, kube_informer_count(informer) == 4); /* the dead stay dead */
    EXPECT(c, create_map(c, "item-9", "low") == 0);
    WAIT_FOR(c, seen.added == 6);
    kube_informer_free(informer);
    Informed none = { 0 };
    spec.gvr.resource = "nonsense";
    informer = kube_informer_new(c->client, &spec, &informer_events, &none);
    kube_informer_start(informer);
    WAIT_FOR(c, none.stuck == 1);
    kube_informer_free(informer);
}

/* Leaders. */

typedef struct Candidate {
    int started, stopped, released;
    Leader *leader;
} Candidate;

static void on_started(void *ctx) {
    ((Candidate *)ctx)->started++;
}
static void on_stopped(void *ctx) {
    ((Candidate *)ctx)->stopped++;
}
static void on_lease_released(void *ctx) {
    ((Candidate *)ctx)->released++;
}

static void check_leader(Check *c) {
    static const LeaderEvents leader_events = { .started = on_started, .stopped = on_stopped };
    Candidate a = { 0 }, b = { 0 };
    LeaderConfig config = { .namespace = c->namespace,
                            .name = "lock",
                            .identity = "a",
                            .lease_duration = 3 * USEC_PER_SEC,
                            .renew_deadline = 2 * USEC_PER_SEC,
                            .retry_period = 200 * USEC_PER_MSEC };
    a.leader = leader_new(c->client, &config, &leader_events, &a);
    WAIT_FOR(c, a.started == 1);
    config.identity = "b";
    b.leader = leader_new(c->client, &config, &leader_events, &b);
    usec_t until = loop_deadline(c->loop, 4 * USEC_PER_SEC);
    while (loop_now(c->loop) < until)
        loop_tick(c->loop, until);
    EXPECT(c, leader_is_leading(a.leader) && b.started == 0 && a.stopped == 0);
    leader_release(a.leader, on_lease_released, &a);
    WAIT_FOR(c, a.released == 1);
    WAIT_FOR(c, b.started == 1);
    a.leader = leader_free(a.leader);
    config.identity = "c"; /* b vanishes without a word: c takes over when the lease has run out */
    b.leader = leader_free(b.leader);
    a = (Candidate){ 0 };
    a.leader = leader_new(c->client, &config, &leader_events, &a);
    usec_t began = loop_now(c->loop);
    WAIT_FOR(c, a.started == 1);
    EXPECT(c, loop_now(c->loop) - began >= 3 * USEC_PER_SEC);
    leader_free(a.leader);
}

/* Events. */

static json_t *find_event(Check *c, const KubeGvr gvr, const char *reason) {
    size_t i;
    json_t *item;
    ask(c, &(KubeRequest){ .gvr = gvr, .namespace = c->namespace });
    json_array_foreach(json_at(c->body, "items"), i, item) {
        if (str_eq(json_str_at(item, "reason"), reason))
            return item;
    }
    return NULL;
}

static void check_events(Check *c) {
    EXPECT(c, create_map(c, "subject", "1") == 0);
    _cleanup_json_ json_t *subject = json_incref(c->body);
    EventRecorder *recorder = event_recorder_new(c->client, "example.org/checker", "me");
    for (int i = 0; i < 3; i++)
        event_record(recorder, subject, EVENT_WARNING, "Checked", "Check", "try %d", i);
    json_t *event = NULL;
    WAIT_FOR(c, (event = find_event(c, events_gvr, "Checked")) &&
                    json_int_at(event, 0, "series", "count") == 3);
    EXPECT(c, event && str_eq(json_str_at(event, "note"), "try 0"));
    EXPECT(c, event && str_eq(json_str_at(event, "regarding", "name"), "subject"));
    event_recorder_free(recorder);
    static const KubeGvr core = { "", "v1", "events" };
    recorder = event_recorder_new(c->client, "checker", "");
    event_recorder_use_core(recorder);
    event_record(recorder, subject, EVENT_NORMAL, "Older", NULL, "same");
    event_record(recorder, subject, EVENT_NORMAL, "Older", NULL, "same");
    WAIT_FOR(c, (event = find_event(c, core, "Older")) && json_int_at(event, 0, "count") == 2);
    EXPECT(c, event_recorder_dropped(recorder) == 0);
    event_recorder_free(recorder);
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

static void check_manifests(Check *c) {
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
        ask(c, &(KubeRequest){ .verb = KUBE_DELETE, .gvr = namespaces, .name = namespace });
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

static const struct {
    const char *name;
    void (*run)(Check *c);
} scenarios[] = {
    { "raw", check_raw },       { "objects", check_objects }, { "patches", check_patches },
    { "lists", check_lists },   { "watch", check_watch },     { "informer", check_informer },
    { "leader", check_leader }, { "events", check_events },   { "manifests", check_manifests }
};

/* `--follow NAMESPACE`: prints what an informer of ConfigMaps tells, until it is ended. */

static void print_event(const char *what, const json_t *object) {
    _cleanup_free_ char *key = object ? obj_key(object) : NULL;
    if (key && str_ends(key, "/kube-root-ca.crt"))
        return; /* every namespace of a full cluster has it */
    printf("%s%s%s\n", what, key ? " " : "", key ? key : "");
    fflush(stdout);
}
static void print_added(void *ctx, json_t *object) {
    UNUSED(ctx);
    print_event("added", object);
}
static void print_updated(void *ctx, json_t *old, json_t *object) {
    UNUSED(ctx);
    UNUSED(old);
    print_event("updated", object);
}
static void print_deleted(void *ctx, json_t *object) {
    UNUSED(ctx);
    print_event("deleted", object);
}
static void print_synced(void *ctx) {
    UNUSED(ctx);
    print_event("synced", NULL);
}
static void print_stuck(void *ctx, int r, const char *message) {
    UNUSED(ctx);
    fprintf(stderr, "stuck: %d %s\n", r, message);
}
static void on_end_signal(void *ctx, int signo) {
    UNUSED(signo);
    loop_stop(ctx);
}

static int follow(Check *c, const char *namespace) {
    static const KubeInformerEvents events = { print_added, print_updated, print_deleted,
                                               print_synced, print_stuck };
    KubeInformerSpec spec = { .gvr = configmaps, .namespace = namespace };
    LoopSignal *term = NULL;
    int r = loop_signal_new(c->loop, SIGTERM, on_end_signal, c->loop, &term);
    if (r < 0)
        return r;
    KubeInformer *informer = kube_informer_new(c->client, &spec, &events, c);
    kube_informer_start(informer);
    loop_run(c->loop);
    kube_informer_free(informer);
    loop_signal_free(term);
    return 0;
}

/* `--lead IDENTITY`: prints when it begins and ceases to lead. */

static void print_started(void *ctx) {
    UNUSED(ctx);
    print_event("started", NULL);
}
static void print_stopped(void *ctx) {
    UNUSED(ctx);
    print_event("stopped", NULL);
}

static int lead(Check *c, const char *identity) {
    static const LeaderEvents events = { .started = print_started, .stopped = print_stopped };
    LeaderConfig config = { .namespace = "default",
                            .name = "kube-check",
                            .identity = identity,
                            .lease_duration = 3 * USEC_PER_SEC,
                            .renew_deadline = 2 * USEC_PER_SEC,
                            .retry_period = 200 * USEC_PER_MSEC };
    LoopSignal *term = NULL;
    int r = loop_signal_new(c->loop, SIGTERM, on_end_signal, c->loop, &term);
    if (r < 0)
        return r;
    Leader *leader = leader_new(c->client, &config, &events, c);
    loop_run(c->loop);
    leader_free(leader);
    loop_signal_free(term);
    return 0;
}

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
    if (ask(c, &(KubeRequest){ .verb = KUBE_CREATE, .gvr = namespaces, .body = object }) == 0)
        c->namespace = str_dup(obj_name(c->body));
    else
        fault(c, __LINE__, "make a namespace");
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
            ask(&c, &(KubeRequest){ .verb = KUBE_DELETE, .gvr = namespaces, .name = c.namespace });
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
