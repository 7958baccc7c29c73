/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Server-side apply and field ownership (metadata.managedFields, FieldsV1). Every write goes
 * through here: apply merges, everything else records which fields it changed.
 */

#include "base/base.h"
#include "codec/json.h"
#include "kobj/fault.h"
#include "kobj/schema.h"

typedef struct ApplyWho {
    const char *manager;     /* fieldManager parameter, or made from the user agent */
    const char *api_version; /* "v1", "ray.io/v1" */
    const char *subresource; /* "" or "status" */
    usec_t now;
} ApplyWho;

enum {
    APPLY_CONFLICT = 1 /* 409; *ret_status is the metav1.Status that names managers and fields */
};

/* Merges the applied configuration into `live` (NULL: create). Conflicts unless `force`. The result
 * has managedFields. `applied` must not have managedFields itself (-EINVAL with the sentence) and
 * must be of its type (-EBADMSG with all that is wrong: Kubernetes answers 500). */
_must_check_ int apply_merge(const Schema *schema, const json_t *live, const json_t *applied,
                             const ApplyWho *who, bool force, json_t **ret_object,
                             json_t **ret_status);

/* After create, update or another patch made `object` of `live` (NULL: create): sets managedFields
 * of `object` so that `who` owns what changed and nobody owns what is gone. Keeps what `object`
 * carries only if the client did not touch it; `[{}]` from the client resets. */
void apply_track_update(const Schema *schema, const json_t *live, json_t *object,
                        const ApplyWho *who);

/* "kubectl/v1.32.0 (linux/amd64) ..." gives "kubectl". Owned. */
char *apply_manager_from_user_agent(const char *user_agent);
