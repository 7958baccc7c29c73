/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The verbs of the Kubernetes API on the store, without HTTP: controllers and the REST handlers
 * call the same ones. All are synchronous and pure memory; whoever tells the outside waits for
 * store_when_durable().
 *
 * A verb gives 0, or an HTTP code from 400 on with `call->status` set to the metav1.Status, or a
 * negative code when the log failed.
 */

#include "base/arena.h"
#include "kobj/selector.h"
#include "local/resource.h"
#include "local/status.h"
#include "local/store.h"
#include "loop/loop.h"

typedef struct ApiSettings {
    const char *state_dir;
    const char *service_cidr; /* "10.96.0.0/16": /8 to /28 */
    const char *issuer;       /* of service account tokens */
    usec_t event_ttl;
    usec_t node_grace;        /* a node's agent may be silent for so long */
    StoreLimits window;
} ApiSettings;

typedef struct Api {
    Loop *loop;
    Store *store;
    Registry registry;
    ApiSettings settings;
    char *ca_pem;          /* goes into kube-root-ca.crt */
    uint8_t token_key[32]; /* signs service account tokens */
    uint32_t service_base, service_count, service_next;
    bool closing;
} Api;

typedef enum ApiValidation {
    API_WARN, /* unknown and duplicate fields are dropped with a warning */
    API_IGNORE,
    API_STRICT,
} ApiValidation;

typedef enum ApiPropagation {
    API_DEFAULT,
    API_BACKGROUND,
    API_FOREGROUND,
    API_ORPHAN,
} ApiPropagation;

typedef struct ApiCall {
    Api *api;
    Resource *resource;
    ResourceVersion *version;
    const char *ns, *name, *subresource; /* "" and NULL where there is none */
    const char *user;
    const char *manager;                 /* field manager */
    ApiValidation validation;
    bool dry_run;
    bool force;            /* of an apply */
    bool keeps_generation; /* a change that counts for nobody: a binding */
    bool created;          /* out: an apply or update made the object */
    StrList warnings;
    json_t *status;        /* of a failure */
} ApiCall;

/* A call of a controller: current version, manager's name as user. */
ApiCall api_call(Api *api, const char *manager, const char *group, const char *plural,
                 const char *ns, const char *name);
void api_call_done(ApiCall *call);
#define _cleanup_call_ _cleanup_(api_call_done)
StatusSubject api_subject(const ApiCall *call);
/* Whether the answer of a verb is a negative one; controllers log those once. */
const char *api_call_text(const ApiCall *call, int r);

/* The stored object; NULL when absent. Borrowed until the next write. */
Object *api_find(const ApiCall *call);
/* A tree in the stored version, or NULL; a new reference. For controllers. */
json_t *api_peek(Api *api, const char *group, const char *plural, const char *ns, const char *name);

/* Results are trees in the stored version, new references. `body` is taken over, and is in the
 * call's version. `duplicates` are paths that the body's text repeated (may be NULL). */
_must_check_ int api_create(ApiCall *call, json_t *body, const StrList *duplicates,
                            json_t **ret_object);
_must_check_ int api_update(ApiCall *call, json_t *body, const StrList *duplicates,
                            json_t **ret_object);

typedef enum ApiPatch {
    API_PATCH_JSON,
    API_PATCH_MERGE,
    API_PATCH_STRATEGIC,
    API_PATCH_APPLY,
} ApiPatch;
_must_check_ int api_patch(ApiCall *call, ApiPatch kind, json_t *patch, const StrList *duplicates,
                           json_t **ret_object);

typedef struct ApiDelete {
    int64_t grace_seconds;      /* -1: the object's own */
    ApiPropagation propagation;
    const char *uid, *revision; /* preconditions, or NULL */
} ApiDelete;
#define API_DELETE_DEFAULT ((ApiDelete){ .grace_seconds = -1 })
/* *ret_gone: it is removed; else it stays with a deletionTimestamp. */
_must_check_ int api_delete(ApiCall *call, const ApiDelete *options, json_t **ret_object,
                            bool *ret_gone);

/* Which objects of a collection. */
typedef struct ApiSelection {
    Selector *labels;
    FieldSelector *fields;
} ApiSelection;
void api_selection_done(ApiSelection *selection);
/* NULL texts select all. 400 for what can't be read or is not supported. */
_must_check_ int api_selection_parse(ApiCall *call, const char *labels, const char *fields,
                                     ApiSelection *ret_selection);
/* `value` in the call's version. */
bool api_selection_matches(const ApiSelection *selection, const json_t *value);

typedef struct ApiPage {
    StoreSnapshot objects; /* those selected */
    uint64_t revision;     /* of the list: also for later pages the first page's */
    char *next;            /* continue token, or NULL */
    int64_t remaining;     /* -1: not known */
} ApiPage;
void api_page_done(ApiPage *page);

/* Which part of a list, and when. */
typedef struct ApiRange {
    int64_t limit;     /* 0: all */
    const char *token; /* a continue token, or NULL */
    uint64_t exact;    /* as it was at this revision; 0: as it is */
} ApiRange;
/* 410 when the events since then are forgotten. */
_must_check_ int api_list(ApiCall *call, const ApiSelection *selection, const ApiRange *range,
                          ApiPage *ret_page);
/* The page's objects as trees in the call's version: a new array. */
json_t *api_page_items(const ApiCall *call, const ApiPage *page);

/* Changes a stored object in place of a controller: `change` edits a copy of the tree and says
 * whether anything changed; then it is written without going through the client-side rules. */
typedef bool ApiChange(void *ctx, json_t *object);
_must_check_ int api_change(ApiCall *call, ApiChange *change, void *ctx);
