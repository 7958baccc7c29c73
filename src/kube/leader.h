/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Leader election on a coordination.k8s.io/v1 Lease, compatible with client-go: one holder at a
 * time, judged by when WE last saw the record change, never by the holder's clock.
 *
 * leader_decide() is the pure half; Leader does the I/O.
 */

#include "kube/client.h"

typedef struct LeaderConfig { /* 0 is the default in brackets */
    const char *namespace, *name, *identity;
    usec_t lease_duration;    /* others wait that long before they take over [15 s] */
    usec_t renew_deadline;    /* the leader gives up when it could not renew for that long [10 s] */
    usec_t retry_period;      /* between attempts, with jitter [2 s] */
} LeaderConfig;

/* What is known of the Lease, and what to do now. */
typedef struct LeaderView {
    bool exists;
    char holder[256];      /* "" if released */
    usec_t observed_at;    /* when this record was first seen, by our monotonic clock */
    usec_t lease_duration; /* as the record says */
} LeaderView;
typedef enum LeaderStep {
    LEADER_WAIT,   /* somebody else holds it */
    LEADER_CREATE, /* there is none */
    LEADER_TAKE,   /* it has run out or was released */
    LEADER_RENEW,  /* it is ours */
} LeaderStep;
LeaderStep leader_decide(const LeaderView *view, const char *identity, usec_t now);

typedef struct Leader Leader;
typedef struct LeaderEvents {   /* borrowed for life */
    void (*started)(void *ctx); /* we lead now */
    /* We do not any more: stop acting at once. Election goes on; most programs exit. */
    void (*stopped)(void *ctx);
    void (*observed)(void *ctx, const char *identity); /* may be NULL: who leads, when it changes */
} LeaderEvents;
Leader *leader_new(KubeClient *client, const LeaderConfig *config, const LeaderEvents *events,
                   void *ctx);
bool leader_is_leading(const Leader *leader);
/* Gives the lease back (others need not wait for it to run out); `done` is called within 3 s. */
void leader_release(Leader *leader, LoopFn *done, void *ctx);
Leader *leader_free(Leader *leader);
DEFINE_CLEANUP(Leader *, leader_free);
