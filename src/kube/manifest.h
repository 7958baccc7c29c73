/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Applying manifests as kubectl does: documents in order, Lists unfolded, namespaces made when
 * missing, `generateName` created, the rest applied; CRDs are waited for until they are served.
 */

#include "kube/discovery.h"

typedef struct KubeManifest KubeManifest;

typedef struct KubeManifestOptions {
    const char *namespace;     /* for objects without one; NULL: the config's */
    const char *field_manager; /* NULL: "mobula" */
    bool client_side;          /* create, or a merge patch from the last-applied annotation */
    bool force;                /* server-side: take over conflicting fields */
    bool make_namespaces;
    bool dry_run;
    usec_t timeout; /* of it all; 0: 60 s */
} KubeManifestOptions;

typedef enum KubeManifestOutcome {
    KUBE_CREATED,
    KUBE_CONFIGURED,
    KUBE_UNCHANGED,
} KubeManifestOutcome;

typedef struct KubeManifestEvents { /* borrowed for life */
    /* Each object as it is done (also namespaces that were made). Borrowed; as the server has it. */
    void (*object)(void *ctx, KubeManifestOutcome outcome, const KubeMapping *mapping,
                   json_t *object);
    /* Once, the last call. r as in client.h; `message` names the document and the field. */
    void (*done)(void *ctx, int r, const char *message);
} KubeManifestEvents;

/* `documents`: an array of objects (codec's yaml_parse_all()); null items are skipped; more than
 * 4096 objects are refused. Stops at the first failure. The run is gone after `done`. */
KubeManifest *kube_manifest_apply(KubeClient *client, KubeMapper *mapper, json_t *documents,
                                  const KubeManifestOptions *options,
                                  const KubeManifestEvents *events, void *ctx);
KubeManifest *kube_manifest_free(KubeManifest *manifest); /* `done` does not come */
