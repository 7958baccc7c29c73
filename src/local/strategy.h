/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a kind does with the cluster around it when it is written: initial status, fields the server
 * sets or keeps, allocation, admission. What an object says of itself is kobj's (kinds_default(),
 * kinds_validate()). One entry a kind that needs it.
 */

#include "local/api.h"

typedef struct Strategy {
    const char *group, *plural;
    bool keeps_status; /* given when it is created: who registers a node says all at once */
    /* Sets what the server decides. The object has its metadata. */
    void (*prepare_create)(ApiCall *call, json_t *object);
    void (*prepare_update)(ApiCall *call, const json_t *old, json_t *object);
    /* 0 or a status: may refuse, may fill in from other objects. */
    int (*admit_create)(ApiCall *call, json_t *object);
    /* 0 or a status: may refuse. */
    int (*admit_delete)(ApiCall *call, const json_t *object);
    void (*validate)(ApiCall *call, const json_t *object, const json_t *old, Faults *faults);
    /* After the object is in the store. */
    void (*created)(ApiCall *call, const json_t *object);
} Strategy;

/* Never NULL. */
const Strategy *strategy_find(const Resource *resource);

/* The pod's grace period for a deletion in seconds: what was asked for (-1: nothing), else its
 * own; 0 when nothing runs. */
int64_t strategy_pod_grace(const json_t *pod, int64_t asked);

/* What every namespace has: its default account and the CA's certificate. Makes what is missing. */
void strategy_fill_namespace(Api *api, const char *ns);

/* Judges a CRD's names and says so in its status. */
void strategy_crd_accept(Api *api, json_t *crd);
#define STRATEGY_CRD_TABLE "customresourcedefinitions.apiextensions.k8s.io"

/* In their own files. */
extern const Strategy strategy_pod, strategy_service, strategy_crd;
