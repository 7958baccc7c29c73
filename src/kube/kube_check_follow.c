/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/informer.h"
#include "kube/kube_check.h"
#include "kube/leader.h"

/* What goes on for a while: watches, informers, leaders. */

static const KubeGvr pods = { "", "v1", "pods" };

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

void check_watch(Check *c) {
    Watched w = { .check = c };
    EXPECT(c, create_map(c, "before", "1") == 0);
    _cleanup_free_ char *revision = str_dup(obj_resource_version(c->body));
    KubeRequest request = { .gvr = CHECK_CONFIGMAPS,
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

void check_informer(Check *c) {
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof(name), "item-%d", i);
        EXPECT(c, create_map(c, name, i < 2 ? "low" : "high") == 0);
    }
    Informed seen = { 0 };
    KubeInformerSpec spec = { .gvr = CHECK_CONFIGMAPS,
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

void check_leader(Check *c) {
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
