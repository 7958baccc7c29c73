/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the API server has of the objects this operator works with: informers over the watched
 * namespaces, corrected by what we ourselves have written since, so that the next plan never
 * looks at a world before our last action.
 */

#include "kube/client.h"
#include "operator/plan.h"

typedef struct Stock Stock;

typedef struct StockEvents { /* borrowed for life */
    /* An object came, changed or went; borrowed. Also after stock_observe(). */
    void (*changed)(void *ctx, Resource resource, const json_t *object);
    /* All kinds that plans depend on are complete. */
    void (*synced)(void *ctx);
} StockEvents;

/* Group, version and plural of a resource. */
KubeGvr resource_gvr(Resource resource);

/* `namespaces`: empty for all. Begins at once to watch what every plan needs; Secrets, accounts,
 * roles, bindings and ingresses only from stock_want() on. */
Stock *stock_new(KubeClient *client, const StrList *namespaces, const StockEvents *events,
                 void *ctx);
Stock *stock_free(Stock *stock);
DEFINE_CLEANUP(Stock *, stock_free);
bool stock_synced(const Stock *stock);
/* Plans ask for this resource from now on. */
void stock_want(Stock *stock, Resource resource);

/* New reference, or NULL. */
json_t *stock_get(const Stock *stock, Resource resource, const char *namespace_, const char *name);
/* New array of what is labelled with the cluster's name in its namespace, or owned by it. */
json_t *stock_of_cluster(const Stock *stock, Resource resource, const json_t *cluster);
/* New array of the RayJobs whose status names this RayCluster. */
json_t *stock_jobs_on(const Stock *stock, const char *namespace_, const char *cluster);
/* Calls `fn` for all of a resource. */
void stock_each(const Stock *stock, Resource resource, void (*fn)(void *ctx, const json_t *object),
                void *ctx);

/* The API server answered a write of ours with this object. */
void stock_observe(Stock *stock, Resource resource, json_t *object);
/* It accepted our deletion of the object of this uid: from now on it is on its way out. */
void stock_doom(Stock *stock, const char *uid);
