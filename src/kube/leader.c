/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/leader.h"

#include <stdio.h>

#include "base/clock.h"
#include "kobj/meta.h"

#define LEASE_DURATION (15 * USEC_PER_SEC)
#define RENEW_DEADLINE (10 * USEC_PER_SEC)
#define RETRY_PERIOD   (2 * USEC_PER_SEC)
#define RELEASE_TIME   (3 * USEC_PER_SEC)

static const KubeGvr leases = { "coordination.k8s.io", "v1", "leases" };

struct Leader {
    KubeClient *client;
    char *namespace, *name, *identity;
    usec_t lease_duration, renew_deadline, retry_period;
    const LeaderEvents *events;
    void *ctx;

    LeaderView view;
    json_t *lease;     /* as the server had it last; NULL: to be read first */
    char *renew_time;  /* of `lease`: what tells that the record has changed */
    bool leading;
    usec_t renewed_at; /* by our clock, when the request that succeeded was sent */
    usec_t sent_at;
    KubeCall *call;
    bool writing;        /* `call` is one that makes us the holder */
    LoopTimer *timer;    /* the next attempt */
    LoopTimer *deadline; /* leading without a renewal ends then */
    char *told;          /* observed() */

    LoopFn *released;    /* leader_release() goes on */
    void *released_ctx;
    LoopTimer *release_timer;
    int depth;
    bool freed;
};

LeaderStep leader_decide(const LeaderView *view, const char *identity, usec_t now) {
    if (!view->exists)
        return LEADER_CREATE;
    if (str_eq(view->holder, identity))
        return LEADER_RENEW;
    if (!view->holder[0] || now - view->observed_at >= view->lease_duration)
        return LEADER_TAKE;
    return LEADER_WAIT;
}

static usec_t now_of(const Leader *leader) {
    return loop_now(kube_client_loop(leader->client));
}

static void attempt(void *ctx);
static void too_late(void *ctx);

Leader *leader_new(KubeClient *client, const LeaderConfig *config, const LeaderEvents *events,
                   void *ctx) {
    Loop *loop = kube_client_loop(client);
    Leader *leader = mem_new(Leader);
    leader->client = client;
    leader->namespace = str_dup(config->namespace);
    leader->name = str_dup(config->name);
    leader->identity = str_dup(config->identity);
    leader->lease_duration = config->lease_duration ? config->lease_duration : LEASE_DURATION;
    leader->renew_deadline = config->renew_deadline ? config->renew_deadline : RENEW_DEADLINE;
    leader->retry_period = config->retry_period ? config->retry_period : RETRY_PERIOD;
    ASSERT(leader->renew_deadline < leader->lease_duration);
    ASSERT(strlen(config->identity) < sizeof(leader->view.holder));
    leader->events = events;
    leader->ctx = ctx;
    leader->timer = loop_timer_new(loop, attempt, leader);
    leader->deadline = loop_timer_new(loop, too_late, leader);
    loop_timer_after(leader->timer, 0);
    return leader;
}

static void memory_free(Leader *leader) {
    char *all[] = { leader->namespace, leader->name, leader->identity, leader->renew_time,
                    leader->told };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        mem_free(all[i]);
    json_decref(leader->lease);
    mem_free(leader);
}

Leader *leader_free(Leader *leader) {
    if (!leader)
        return NULL;
    leader->call = kube_call_free(leader->call);
    leader->timer = loop_timer_free(leader->timer);
    leader->deadline = loop_timer_free(leader->deadline);
    leader->release_timer = loop_timer_free(leader->release_timer);
    leader->freed = true;
    if (leader->depth == 0)
        memory_free(leader);
    return NULL;
}

bool leader_is_leading(const Leader *leader) {
    return leader->leading;
}

/* Events may free the leader: false then, touch nothing. */
static bool tell(Leader *leader, LoopFn *fn) {
    leader->depth++;
    fn(leader->ctx);
    leader->depth--;
    if (!leader->freed)
        return true;
    if (leader->depth == 0)
        memory_free(leader);
    return false;
}

static bool tell_observed(Leader *leader) {
    if (!leader->events->observed || str_eq(leader->told, leader->view.holder))
        return true;
    str_set(&leader->told, leader->view.holder);
    leader->depth++;
    leader->events->observed(leader->ctx, leader->told);
    leader->depth--;
    if (!leader->freed)
        return true;
    if (leader->depth == 0)
        memory_free(leader);
    return false;
}

static void again_after(Leader *leader, usec_t period) {
    uint8_t random;
    mem_random(&random, sizeof(random));
    loop_timer_after(leader->timer, period + period * random / 1280); /* up to a fifth more */
}

static void lose(Leader *leader) {
    if (!leader->leading)
        return;
    leader->leading = false;
    loop_timer_stop(leader->deadline);
    tell(leader, leader->events->stopped);
}

static void too_late(void *ctx) {
    lose(ctx);
}

/* Takes a Lease as seen now. */
static void observe(Leader *leader, json_t *lease) {
    LeaderView *view = &leader->view;
    const char *holder = json_str_at(lease, "spec", "holderIdentity");
    const char *renew = json_str_at(lease, "spec", "renewTime");
    bool same = view->exists && str_eq(view->holder, holder ? holder : "") &&
                str_eq(leader->renew_time, renew);
    if (!same)
        view->observed_at = now_of(leader);
    view->exists = true;
    snprintf(view->holder, sizeof(view->holder), "%s", holder ? holder : "");
    view->lease_duration =
        json_int_at(lease, leader->lease_duration / USEC_PER_SEC, "spec", "leaseDurationSeconds") *
        USEC_PER_SEC;
    str_set(&leader->renew_time, renew);
    json_decref(leader->lease);
    leader->lease = json_incref(lease);
}

static void got_it(Leader *leader, json_t *lease) {
    observe(leader, lease);
    leader->renewed_at = leader->sent_at;
    loop_timer_at(leader->deadline, leader->renewed_at + leader->renew_deadline);
    again_after(leader, leader->retry_period);
    bool first = !leader->leading;
    leader->leading = true;
    if (tell_observed(leader) && first)
        tell(leader, leader->events->started);
}

/* The Lease with us as the holder, renewed now. New reference. */
static json_t *make_lease(Leader *leader, bool transition) {
    char now[TIME_TEXT_MAX];
    time_format_iso(loop_wall_now(kube_client_loop(leader->client)), now);
    json_t *lease = leader->lease ? json_deep_copy(leader->lease)
                                  : json_pack("{s:s,s:s,s:{s:s,s:s}}", "apiVersion",
                                              "coordination.k8s.io/v1", "kind", "Lease", "metadata",
                                              "name", leader->name, "namespace", leader->namespace);
    int64_t transitions = json_int_at(lease, 0, "spec", "leaseTransitions");
    json_set_at(lease, json_string(leader->identity), "spec", "holderIdentity");
    json_set_at(lease, json_integer(leader->lease_duration / USEC_PER_SEC), "spec",
                "leaseDurationSeconds");
    json_set_at(lease, json_string(now), "spec", "renewTime");
    if (transition || !json_str_at(lease, "spec", "acquireTime"))
        json_set_at(lease, json_string(now), "spec", "acquireTime");
    json_set_at(lease, json_integer(transitions + transition), "spec", "leaseTransitions");
    json_remove_at(lease, "metadata", "managedFields");
    return lease;
}

static void tell_released(Leader *leader) {
    LoopFn *fn = TAKE(leader->released);
    void *ctx = leader->released_ctx;
    loop_timer_stop(leader->release_timer);
    if (fn)
        fn(ctx);
}

static void on_released(void *ctx, const KubeReply *reply) {
    Leader *leader = ctx;
    UNUSED(reply); /* if it failed the lease runs out by itself */
    leader->call = NULL;
    tell_released(leader);
}

static void release_late(void *ctx) {
    Leader *leader = ctx;
    leader->call = kube_call_free(leader->call);
    tell_released(leader);
}

static void let_go(Leader *leader) {
    if (!leader->leading || !leader->lease) {
        loop_timer_after(leader->release_timer, 0);
        return;
    }
    leader->leading = false;
    _cleanup_json_ json_t *lease = make_lease(leader, false);
    json_set_at(lease, json_string(""), "spec", "holderIdentity");
    json_set_at(lease, json_integer(1), "spec", "leaseDurationSeconds");
    leader->call = kube_update(leader->client, leases, lease, on_released, leader);
}

static void on_written(void *ctx, const KubeReply *reply) {
    Leader *leader = ctx;
    leader->call = NULL;
    leader->writing = false;
    if (leader->released) {
        if (reply->r == 0) {
            observe(leader, reply->body);
            leader->leading = true;
        }
        let_go(leader);
    } else if (reply->r == 0) {
        got_it(leader, reply->body);
    } else {
        /* Somebody was faster, or nobody answered: look again. */
        json_decref(TAKE(leader->lease));
        again_after(leader, reply->r == KUBE_CONFLICT ? 0 : leader->retry_period);
    }
}

static void write_lease(Leader *leader, LeaderStep step) {
    bool transition = step == LEADER_TAKE && leader->view.holder[0];
    _cleanup_json_ json_t *lease = make_lease(leader, transition);
    leader->sent_at = now_of(leader);
    KubeRequest request = { .verb = step == LEADER_CREATE ? KUBE_CREATE : KUBE_UPDATE,
                            .gvr = leases,
                            .namespace = leader->namespace,
                            .name = leader->name,
                            .body = lease,
                            .timeout = leader->renew_deadline / 2 };
    leader->writing = true;
    leader->call = kube_call(leader->client, &request, on_written, leader);
}

static void act(Leader *leader) {
    LeaderStep step = leader_decide(&leader->view, leader->identity, now_of(leader));
    if (step != LEADER_WAIT) {
        write_lease(leader, step);
        return;
    }
    if (!tell_observed(leader))
        return;
    again_after(leader, leader->retry_period);
    lose(leader);
}

static void on_read(void *ctx, const KubeReply *reply) {
    Leader *leader = ctx;
    leader->call = NULL;
    if (reply->r == 0) {
        observe(leader, reply->body);
    } else if (reply->r == KUBE_NOT_FOUND) {
        leader->view = (LeaderView){ .exists = false };
    } else {
        again_after(leader, leader->retry_period);
        return;
    }
    act(leader);
}

static void attempt(void *ctx) {
    Leader *leader = ctx;
    if (leader->leading && leader->lease) {
        act(leader); /* ours since a moment ago: the write itself checks that */
        return;
    }
    KubeRequest request = { .verb = KUBE_GET,
                            .gvr = leases,
                            .namespace = leader->namespace,
                            .name = leader->name,
                            .timeout = leader->renew_deadline / 2 };
    leader->call = kube_call(leader->client, &request, on_read, leader);
}

void leader_release(Leader *leader, LoopFn *done, void *ctx) {
    ASSERT(!leader->released);
    leader->released = done;
    leader->released_ctx = ctx;
    loop_timer_stop(leader->timer);
    loop_timer_stop(leader->deadline);
    leader->release_timer = loop_timer_new(kube_client_loop(leader->client), release_late, leader);
    loop_timer_after(leader->release_timer, RELEASE_TIME);
    if (leader->writing) /* we may hold it by then: on_written() goes on */
        return;
    leader->call = kube_call_free(leader->call);
    let_go(leader);
}
