/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The operator as a whole: waits to lead, then watches and acts; gives up everything when it does
 * not lead any more. Metrics and health are served in any case.
 */

#include "kube/client.h"
#include "net/address.h"
#include "operator/settings.h"

typedef struct Operator Operator;

typedef struct OperatorOptions { /* all of it is borrowed for life */
    OperatorSettings settings;
    StrList namespaces;          /* to watch; empty: all */
    bool leader_election;
    const char *leader_namespace;
    const char *identity;      /* of this process among replicas */
    bool kubernetes_proxy;     /* heads are reached through the API server */
    bool object_metrics;
    const NetAddress *metrics; /* NULL: not served */
    const NetAddress *health;
    /* It led and does not any more: most programs exit. */
    LoopFn *deposed;
    void *ctx;
} OperatorOptions;

/* `http` is for heads; `client` for Kubernetes. Both outlive the operator. -EADDRINUSE and the like
 * for the two listeners. */
_must_check_ int operator_new(Loop *loop, HttpClient *http, KubeClient *client,
                              const OperatorOptions *options, Operator **ret_operator);
Operator *operator_free(Operator *self);
DEFINE_CLEANUP(Operator *, operator_free);

/* Gives the lease back, so that the next one need not wait; `done` comes within seconds. */
void operator_release(Operator *self, LoopFn *done, void *ctx);
bool operator_leads(const Operator *self);
