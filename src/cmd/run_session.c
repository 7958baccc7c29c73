/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/run_session.h"

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "cmd/run_folder.h"
#include "cmd/run_follow.h"
#include "cmd/run_local.h"
#include "kobj/kinds.h"
#include "kube/manifest.h"

#define START_LIMIT   (30 * USEC_PER_SEC)
#define START_POLL    (10 * USEC_PER_MSEC)
#define CLAIM_POLL    (50 * USEC_PER_MSEC)
#define DEATH_TELLS   (200 * USEC_PER_MSEC)
#define OPERATOR_NAME "ray-operator-leader"
#define RENEW_LIMIT   (5 * USEC_PER_SEC) /* a living operator renews its Lease every 2 s */
#define START_ONE     "Start one (`mobula operator`, or the kuberay-operator chart)"

typedef struct RunSession {
    const RunOptions *options;
    Loop *loop;
    HttpClient *http;
    KubeClient *client;
    KubeMapper *mapper;
    RunFolder folder;
    LocalCluster *local; /* NULL: outside */
    bool outside;
    usec_t begun, up, applied;
    LoopTimer *poll, *claim, *again, *failing;
    char *renewed; /* the operator's Lease, when it seemed to have run out */
    KubeCall *call;
    KubeManifest *manifest;
    const char *const *crd; /* the one that is being applied */
    json_t *objects;        /* as applied */
    Follow *follow;
    bool leaving;
    char *message; /* why it failed, if not by what it follows */
    int status;
} RunSession;

static void finish(RunSession *session, int status) {
    session->status = status;
    loop_stop(session->loop);
}

static void fail(RunSession *session, const char *message) {
    fprintf(stderr, "mobula run: %s\n", message);
    str_set(&session->message, message);
    finish(session, 1);
}

static void fail_now(void *ctx) {
    RunSession *session = ctx;
    _cleanup_free_ char *message = TAKE(session->message);
    fail(session, message);
}

/* Where the API server gave no answer, it may have died: on_died() knows a moment later, and better. */
static void fail_call(RunSession *session, int r, const char *message) {
    if (r > 0 || !session->local) {
        fail(session, message);
        return;
    }
    str_set(&session->message, message);
    loop_timer_after(session->failing, DEATH_TELLS);
}

static void on_signal(void *ctx, int signo) {
    finish(ctx, 128 + signo);
}

static void on_died(void *ctx, const char *name, const char *how, const char *log) {
    RunSession *session = ctx;
    if (session->leaving)
        return;
    _cleanup_free_ char *message = str_printf("the %s ended with %s", name, how);
    loop_timer_stop(session->failing);
    fail(session, message);
    fprintf(stderr, "The end of its log:\n%s\n", log);
}

static void on_done(void *ctx) {
    RunSession *session = ctx;
    finish(session, follow_status(session->follow));
}

static const FollowEvents FOLLOW_EVENTS = { .done = on_done };

static const char *outcome_text(KubeManifestOutcome outcome) {
    return outcome == KUBE_CREATED      ? "created"
           : outcome == KUBE_CONFIGURED ? "configured"
                                        : "unchanged";
}

static void on_applied_object(void *ctx, KubeManifestOutcome outcome, const KubeMapping *mapping,
                              json_t *object) {
    RunSession *session = ctx;
    const char *group = mapping->gvr.group;
    const char *namespace_ = json_str_at(object, "metadata", "namespace");
    json_array_append(session->objects, object);
    follow_say(session->loop, session->begun, "%s%s%s/%s %s%s%s", mapping->gvr.resource,
               *group ? "." : "", group, json_str_at(object, "metadata", "name"),
               outcome_text(outcome), namespace_ ? " in namespace " : "",
               namespace_ ? namespace_ : "");
}

static void on_applied(void *ctx, int r, const char *message) {
    RunSession *session = ctx;
    session->manifest = NULL;
    if (r != 0) {
        fail_call(session, r, message);
        return;
    }
    session->applied = loop_now(session->loop);
    FollowOptions options = { .begun = session->begun,
                              .log_to_stderr = session->options->json,
                              .local = !session->outside };
    session->follow =
        follow_new(session->client, session->objects, &options, &FOLLOW_EVENTS, session);
    if (!follow_any(session->follow))
        finish(session, 0);
}

static const KubeManifestEvents APPLY_EVENTS = {
    .object = on_applied_object,
    .done = on_applied,
};

static void apply(RunSession *session) {
    KubeManifestOptions options = {
        .namespace = session->options->namespace_,
        .field_manager = "mobula-run",
        .force = true,
        .make_namespaces = true,
    };
    session->manifest =
        kube_manifest_apply(session->client, session->mapper, session->options->documents, &options,
                            &APPLY_EVENTS, session);
}

/* The one that was renewed last: several namespaces may have one. NULL if nobody holds one. */
static const json_t *held_lease(const json_t *leases) {
    const json_t *found = NULL;
    const char *newest = "";
    size_t i;
    json_t *lease;
    json_array_foreach((json_t *)(uintptr_t)leases, i, lease) {
        const char *renewed = json_str_at(lease, "spec", "renewTime");
        renewed = renewed ? renewed : "";
        if (!str_eq(json_str_at(lease, "metadata", "name"), OPERATOR_NAME) ||
            str_empty(json_str_at(lease, "spec", "holderIdentity")) ||
            (found && strcmp(renewed, newest) < 0))
            continue;
        found = lease;
        newest = renewed;
    }
    return found;
}

/* Until when nobody else may take the Lease; USEC_INFINITY if it does not say. */
static usec_t lease_end(const json_t *lease) {
    const char *renewed = json_str_at(lease, "spec", "renewTime");
    int64_t seconds = json_int_at(lease, 0, "spec", "leaseDurationSeconds");
    usec_t at;
    if (!renewed || time_parse_rfc3339(renewed, &at) < 0)
        return USEC_INFINITY;
    return at + CLAMP(seconds, 0, INT32_MAX) * USEC_PER_SEC;
}

static void operator_ended(RunSession *session, const json_t *lease) {
    char end[TIME_TEXT_MAX];
    time_format_rfc3339(lease_end(lease), end);
    _cleanup_free_ char *message = str_printf(
        "the Lease " OPERATOR_NAME " is of an operator that ended at %s (%s). " START_ONE, end,
        json_str_at(lease, "spec", "holderIdentity"));
    fail(session, message);
}

/* An operator of the cluster's own does the work there; without one nobody would. Its clock and
 * ours may differ: a Lease that seems to have run out may still be renewed. */
static void on_lease(void *ctx, const KubeReply *reply) {
    RunSession *session = ctx;
    session->call = NULL;
    const json_t *lease = reply->r == 0 ? held_lease(json_at(reply->body, "items")) : NULL;
    const char *renewed = json_str_at(lease, "spec", "renewTime");
    if (reply->r != 0) {
        fail(session, reply->message);
    } else if (!lease) {
        fail(session,
             "the cluster has no operator for Ray: no Lease " OPERATOR_NAME " is held. " START_ONE);
    } else if (lease_end(lease) > loop_wall_now(session->loop) ||
               (session->renewed && !str_eq(renewed, session->renewed))) {
        follow_say(session->loop, session->begun, "operator there: %s",
                   json_str_at(lease, "spec", "holderIdentity"));
        apply(session);
    } else if (session->renewed) {
        operator_ended(session, lease);
    } else {
        session->renewed = str_dup(renewed);
        loop_timer_after(session->again, RENEW_LIMIT);
    }
}

static void look_for_operator(void *ctx) {
    RunSession *session = ctx;
    KubeRequest request = {
        .verb = KUBE_GET,
        .gvr = { "coordination.k8s.io", "v1", "leases" },
        .field_selector = "metadata.name=" OPERATOR_NAME,
    };
    session->call = kube_call(session->client, &request, on_lease, session);
}

static void apply_next_crd(RunSession *session);

static void on_crd(void *ctx, int r, const char *message) {
    RunSession *session = ctx;
    session->manifest = NULL;
    if (r == 0 && *++session->crd) {
        apply_next_crd(session);
        return;
    }
    int joined = r == 0 && session->local ? local_cluster_join_operator(session->local) : 0;
    if (r != 0)
        fail_call(session, r, message);
    else if (joined < 0)
        fail(session, error_text(joined));
    else
        apply(session);
}

static const KubeManifestEvents CRD_EVENTS = { .done = on_crd };

/* One after the other: as a tree each takes megabytes. */
static void apply_next_crd(RunSession *session) {
    _cleanup_json_ json_t *crd = NULL;
    int r = json_parse(*session->crd, strlen(*session->crd), NULL, 0, &crd);
    ASSERT(r == 0);
    _cleanup_json_ json_t *documents = json_pack("[O]", crd);
    KubeManifestOptions options = { .field_manager = "mobula-run", .force = true };
    session->manifest = kube_manifest_apply(session->client, session->mapper, documents, &options,
                                            &CRD_EVENTS, session);
}

static void apply_crds(RunSession *session) {
    session->crd = kinds_ray_crd_list();
    apply_next_crd(session);
}

static int connect_client(RunSession *session, const char *kubeconfig) {
    KubeConfig config = { 0 };
    int r = kube_config_load(kubeconfig, session->options->context, &config);
    if (r < 0)
        return r;
    r = kube_client_new(session->loop, session->http, &config, &session->client);
    if (r == 0)
        session->mapper = kube_mapper_new(session->client);
    return r;
}

/* This machine's kubectl reaches an API server that has a network of its own. */
static void let_in(RunSession *session) {
    RootlessNet *net = session->options->net;
    const char *server = kube_client_config(session->client)->server;
    const char *colon = strrchr(server, ':');
    int64_t port;
    if (!net || !net->socket[0] || !colon || str_to_i64(colon + 1, &port) < 0)
        return;
    int r = rootless_forward(net, (unsigned)port);
    if (r < 0)
        fprintf(stderr, "mobula run: kubectl does not reach the cluster: %s\n", error_text(r));
}

static void on_ready(void *ctx, const KubeRawReply *reply) {
    RunSession *session = ctx;
    session->call = NULL;
    if (reply->r != 0) {
        loop_timer_after(session->poll, START_POLL);
        return;
    }
    session->up = loop_now(session->loop);
    follow_say(session->loop, session->begun, "Kubernetes is up at %s",
               kube_client_config(session->client)->server);
    let_in(session);
    apply_crds(session);
    int r = local_cluster_join_nodes(session->local);
    if (r < 0)
        fail(session, error_text(r));
}

/* The API server writes its kubeconfig when it serves. */
static void poll_local(void *ctx) {
    RunSession *session = ctx;
    if (loop_now(session->loop) > session->begun + START_LIMIT) {
        fail(session, "the API server did not come up within 30 s");
        return;
    }
    const char *kubeconfig = local_cluster_kubeconfig(session->local);
    if (!session->client && connect_client(session, kubeconfig) < 0) {
        loop_timer_after(session->poll, START_POLL);
        return;
    }
    KubeRawRequest request = { .method = "GET", .path = "/readyz", .timeout = USEC_PER_SEC };
    session->call = kube_raw(session->client, &request, on_ready, session);
}

static void say_adopted(const RunSession *session) {
    const char *nodes = local_cluster_nodes(session->local);
    follow_say(session->loop, session->begun, "using the cluster in %s", session->folder.dir);
    if (session->options->nodes_given && !str_eq(session->options->nodes, nodes))
        follow_say(session->loop, session->begun,
                   "it keeps its nodes, %s: for other --nodes end it first, with `mobula down`",
                   nodes);
}

static int use_folder(RunSession *session) {
    const RunOptions *options = session->options;
    LocalOptions local = {
        .dir = session->folder.dir,
        .nodes = options->nodes,
        .keep = options->keep,
        .rootless = options->rootless,
        .helper = options->net ? options->net->helper : 0,
        .died = on_died,
        .ctx = session,
    };
    int r = local_cluster_new(session->loop, &local, &session->local);
    if (r < 0)
        return r;
    if (local_cluster_adopted(session->local))
        say_adopted(session);
    if (!local_cluster_ready(session->local)) {
        poll_local(session);
        return 0;
    }
    r = connect_client(session, local_cluster_kubeconfig(session->local));
    if (r == 0)
        apply(session);
    return r;
}

static int begin_local(RunSession *session) {
    RunFolder folder;
    int r = run_folder_claim(session->options->run_dir, &folder);
    if (r < 0)
        return r;
    run_folder_done(&session->folder);
    session->folder = folder;
    if (r != FOLDER_STARTING)
        return use_folder(session);
    if (loop_now(session->loop) > session->begun + START_LIMIT)
        return error_origin(-EBUSY, "another `mobula run` has %s, and does not get its cluster up",
                            folder.dir);
    loop_timer_after(session->claim, CLAIM_POLL);
    return 0;
}

static void claim_again(void *ctx) {
    RunSession *session = ctx;
    int r = begin_local(session);
    if (r < 0)
        fail(session, error_text(r));
}

static int begin(RunSession *session) {
    session->http = http_client_new(session->loop);
    if (!session->outside)
        return begin_local(session);
    int r = connect_client(session, session->options->kubeconfig);
    if (r == 0)
        look_for_operator(session);
    return r;
}

void run_print_summary(json_t *summary) {
    _cleanup_free_ char *text = json_text(summary, JSON_PRETTY4);
    printf("%s\n", text);
    json_decref(summary);
}

static void report(const RunSession *session) {
    if (session->follow) {
        if (session->up)
            fprintf(stderr, "Kubernetes up in %.2f s\n",
                    (double)(session->up - session->begun) / (double)USEC_PER_SEC);
        follow_print_phases(session->follow);
    }
    if (!session->options->json)
        return;
    json_t *summary = session->follow ? follow_summary(session->follow) : json_object();
    if (session->message)
        json_object_set_new(summary, "message", json_string(session->message));
    run_print_summary(summary);
}

/* What we started ends with us, unless it is to stay. */
static void leave(RunSession *session) {
    const RunOptions *options = session->options;
    const char *dir = session->folder.dir;
    session->leaving = true;
    if (!session->local)
        return;
    if (!options->keep && !local_cluster_adopted(session->local)) {
        int r = local_end(dir, session->status == 0);
        if (r < 0)
            fprintf(stderr, "mobula run: cannot end everything: %s\n", error_text(r));
        else if (session->status != 0)
            fprintf(stderr, "Logs are in %s\n", dir);
    } else if (options->keep) {
        fprintf(stderr, "The cluster stays; `mobula down` ends it. To use it:\n");
        fprintf(stderr, "export KUBECONFIG=%s\n", local_cluster_kubeconfig(session->local));
    }
}

static void session_done(RunSession *session) {
    follow_free(session->follow);
    kube_manifest_free(session->manifest);
    kube_call_free(session->call);
    kube_mapper_free(session->mapper);
    kube_client_free(session->client);
    http_client_free(session->http);
    local_cluster_free(session->local);
    loop_timer_free(session->poll);
    loop_timer_free(session->claim);
    loop_timer_free(session->again);
    loop_timer_free(session->failing);
    run_folder_done(&session->folder);
    json_decref(session->objects);
    free(session->renewed);
    free(session->message);
}

int run_session(const RunOptions *options) {
    _cleanup_(loop_freep) Loop *loop = NULL;
    LoopSignal *term = NULL, *interrupt = NULL;
    RunSession session = {
        .options = options,
        .outside = options->kubeconfig || options->context,
        .objects = json_array(),
        .folder = { .lock = -1 },
    };
    int r = loop_new(&loop);
    session.loop = loop;
    if (r == 0) {
        session.begun = loop_now(loop);
        session.poll = loop_timer_new(loop, poll_local, &session);
        session.claim = loop_timer_new(loop, claim_again, &session);
        session.again = loop_timer_new(loop, look_for_operator, &session);
        session.failing = loop_timer_new(loop, fail_now, &session);
        r = loop_signal_new(loop, SIGTERM, on_signal, &session, &term);
    }
    if (r == 0)
        r = loop_signal_new(loop, SIGINT, on_signal, &session, &interrupt);
    if (r == 0)
        r = begin(&session);
    if (r < 0)
        fail(&session, error_text(r));
    else
        loop_run(loop);
    report(&session);
    leave(&session);
    loop_signal_free(term);
    loop_signal_free(interrupt);
    session_done(&session);
    return session.status;
}
