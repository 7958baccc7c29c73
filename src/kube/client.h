/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kubernetes' REST API: any resource by group, version and plural; objects are json_t.
 *
 * A request is answered once through its KubeFn, never from inside the call that starts it, unless
 * it is freed before. Outcomes keep the three ways of base/error.h: 0; a positive KUBE_* that the
 * caller handles; negative when there was no usable answer (network, 5xx, nonsense).
 */

#include "codec/json.h"
#include "kube/config.h"
#include "loop/loop.h"

typedef struct KubeClient KubeClient;
typedef struct KubeCall KubeCall;

/* Texts are borrowed; static ones are usual. The core group is "". */
typedef struct KubeGvr {
    const char *group, *version, *resource;
} KubeGvr;

enum {                  /* answers */
    KUBE_OK = 0,
    KUBE_NOT_FOUND = 1, /* 404 */
    KUBE_EXISTS,        /* 409 AlreadyExists */
    KUBE_CONFLICT,      /* 409: read again, decide again (also apply conflicts) */
    KUBE_GONE,          /* 410: the revision or the continue token is too old: list anew */
    KUBE_INVALID,       /* 400, 405, 406, 413, 415, 422: this object or request will never do */
    KUBE_FORBIDDEN,     /* 401, 403 */
    KUBE_BUSY,          /* 429, or 503/504 with Retry-After: ask again, see retry_after */
};

typedef enum KubeVerb {
    KUBE_GET, /* with a name: one object; without: a list */
    KUBE_CREATE,
    KUBE_UPDATE,
    KUBE_PATCH,
    KUBE_DELETE, /* without a name: the collection */
} KubeVerb;

typedef enum KubePatch {
    KUBE_PATCH_MERGE,
    KUBE_PATCH_JSON,
    KUBE_PATCH_STRATEGIC,
    KUBE_PATCH_APPLY, /* server-side apply; needs field_manager */
} KubePatch;

typedef struct KubeRequest { /* copied; zero and NULL are the server's defaults */
    KubeVerb verb;
    KubeGvr gvr;
    const char *namespace;   /* NULL: cluster-scoped, or all namespaces in a list */
    const char *name;
    const char *subresource; /* "status", "scale", "eviction" */
    json_t *body; /* borrowed for the call that starts it: object, patch, or DeleteOptions */
    KubePatch patch;
    const char *label_selector, *field_selector;
    int64_t limit;
    const char *continue_token;
    const char *resource_version;
    const char *field_manager;
    bool force;                   /* apply: take over conflicting fields */
    bool dry_run;
    const char *field_validation; /* "Strict", "Warn", "Ignore" */
    /* deletes */
    const char *propagation; /* "Background", "Foreground", "Orphan" */
    const char *if_uid;      /* preconditions: delete only exactly this object */
    int64_t grace_seconds;   /* with has_grace */
    bool has_grace;
    usec_t timeout;          /* 0: 30 s */
} KubeRequest;

typedef struct KubeReply {
    int r;               /* as above */
    int status;          /* HTTP, 0 without an answer */
    json_t *body;        /* borrowed: the object or list when r is 0, else the Status or NULL */
    const char *reason;  /* of a Status: "NotFound", "Invalid"...; "" else */
    const char *message; /* a sentence in any case of r != 0 */
    json_t *details;     /* of a Status, borrowed, or NULL: details.causes has the fields */
    usec_t retry_after;  /* KUBE_BUSY: at least this long */
} KubeReply;

typedef void KubeFn(void *ctx, const KubeReply *reply);

/* Takes over what `config` holds. */
_must_check_ int kube_client_new(Loop *loop, HttpClient *http, KubeConfig *config,
                                 KubeClient **ret_client);
/* Ends open calls without an answer. */
KubeClient *kube_client_free(KubeClient *client);
DEFINE_CLEANUP(KubeClient *, kube_client_free);
Loop *kube_client_loop(const KubeClient *client);
const KubeConfig *kube_client_config(const KubeClient *client);

/* Starts a request. What is wrong with it already (an empty name, a "/" in it) is answered with
 * KUBE_INVALID as well. The call is gone after its answer. */
KubeCall *kube_call(KubeClient *client, const KubeRequest *request, KubeFn *fn, void *ctx);
KubeCall *kube_call_free(KubeCall *call); /* no answer comes; NULL is fine */

/* The usual ones in a line. */
KubeCall *kube_get(KubeClient *client, KubeGvr gvr, const char *namespace, const char *name,
                   KubeFn *fn, void *ctx);
KubeCall *kube_create(KubeClient *client, KubeGvr gvr, const char *namespace, json_t *object,
                      KubeFn *fn, void *ctx);
/* With the object's resourceVersion: KUBE_CONFLICT if it changed meanwhile. Name and namespace are
 * the object's. */
KubeCall *kube_update(KubeClient *client, KubeGvr gvr, json_t *object, KubeFn *fn, void *ctx);
KubeCall *kube_update_status(KubeClient *client, KubeGvr gvr, json_t *object, KubeFn *fn,
                             void *ctx);
KubeCall *kube_patch(KubeClient *client, KubeGvr gvr, const char *namespace, const char *name,
                     KubePatch kind, json_t *patch, KubeFn *fn, void *ctx);
KubeCall *kube_apply(KubeClient *client, KubeGvr gvr, json_t *object, const char *field_manager,
                     bool force, KubeFn *fn, void *ctx);
/* `uid` (may be NULL): only this very object. */
KubeCall *kube_delete(KubeClient *client, KubeGvr gvr, const char *namespace, const char *name,
                      const char *uid, KubeFn *fn, void *ctx);

/* Any path below the server ("/version", "/healthz"): raw bytes both ways. */
typedef struct KubeRawReply {
    int r; /* as KubeReply.r: 0 for 2xx */
    int status;
    Slice body;
    const char *content_type; /* "" if none */
    const char *message;
} KubeRawReply;
typedef void KubeRawFn(void *ctx, const KubeRawReply *reply);
typedef struct KubeRawRequest {
    const char *method, *path;  /* path with its query, encoded */
    const char *content_type;
    const char *bearer;         /* for what is behind a proxy: sent as X-Ray-Authorization */
    const HttpHeaders *headers; /* more of them, or NULL */
    Slice body;
    usec_t timeout;             /* 0: 30 s */
    /* Optional: pieces as they come (log following), `timeout` then USEC_INFINITY. */
    void (*chunk)(void *ctx, Slice data);
} KubeRawRequest;
KubeCall *kube_raw(KubeClient *client, const KubeRawRequest *request, KubeRawFn *fn, void *ctx);

/* Paths for kube_raw(). Owned. `port` is a name or number; `rest` begins with "/" and is encoded. */
char *kube_path_service_proxy(const char *namespace, const char *service, const char *port,
                              const char *rest);
char *kube_path_pod_proxy(const char *namespace, const char *pod, const char *port,
                          const char *rest);
char *kube_path_pod_log(const char *namespace, const char *pod, const char *container, bool follow,
                        bool previous, int64_t tail_lines /* < 0: all */);
/* The path of a resource as KubeRequest would use it, without query. Owned. */
char *kube_path(KubeGvr gvr, const char *namespace, const char *name, const char *subresource);

/* A line of the event stream that a watch is. */
typedef struct KubeWatch KubeWatch;
typedef struct KubeWatchEvents { /* borrowed for life */
    /* type: "ADDED", "MODIFIED", "DELETED", "BOOKMARK"; object is borrowed. */
    void (*event)(void *ctx, const char *type, json_t *object);
    /* Once, the last call: 0 the server ended it (its time was over), KUBE_GONE, other KUBE_*, or
     * negative. The watch is gone after it. */
    void (*ended)(void *ctx, int r, const char *message);
} KubeWatchEvents;
/* Of `request`: gvr, namespace, name, selectors, resource_version. Bookmarks are asked for. */
KubeWatch *kube_watch(KubeClient *client, const KubeRequest *request, const KubeWatchEvents *events,
                      void *ctx);
KubeWatch *kube_watch_free(KubeWatch *watch); /* `ended` does not come */
