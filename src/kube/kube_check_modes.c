/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "kube/informer.h"
#include "kube/kube_check.h"
#include "kube/leader.h"

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

int follow(Check *c, const char *namespace) {
    static const KubeInformerEvents events = { print_added, print_updated, print_deleted,
                                               print_synced, print_stuck };
    KubeInformerSpec spec = { .gvr = CHECK_CONFIGMAPS, .namespace = namespace };
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

int lead(Check *c, const char *identity) {
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
