/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts every Kubernetes object has. Getters are borrowed and tolerate any shape. */

#include "base/base.h"
#include "codec/json.h"

static inline const char *obj_api_version(const json_t *object) {
    return json_str_at(object, "apiVersion");
}
static inline const char *obj_kind(const json_t *object) {
    return json_str_at(object, "kind");
}
static inline const char *obj_name(const json_t *object) {
    return json_str_at(object, "metadata", "name");
}
static inline const char *obj_namespace(const json_t *object) {
    return json_str_at(object, "metadata", "namespace");
}
static inline const char *obj_uid(const json_t *object) {
    return json_str_at(object, "metadata", "uid");
}
static inline const char *obj_resource_version(const json_t *object) {
    return json_str_at(object, "metadata", "resourceVersion");
}
static inline int64_t obj_generation(const json_t *object) {
    return json_int_at(object, 0, "metadata", "generation");
}
static inline const char *obj_label(const json_t *object, const char *key) {
    return json_str_at(object, "metadata", "labels", key);
}
static inline const char *obj_annotation(const json_t *object, const char *key) {
    return json_str_at(object, "metadata", "annotations", key);
}
static inline bool obj_is_deleting(const json_t *object) {
    return json_str_at(object, "metadata", "deletionTimestamp") != NULL;
}

void obj_set_label(json_t *object, const char *key, const char *value);
void obj_set_annotation(json_t *object, const char *key, const char *value); /* NULL removes */

bool obj_has_finalizer(const json_t *object, const char *name);
/* Both say whether anything changed. */
bool obj_add_finalizer(json_t *object, const char *name);
bool obj_remove_finalizer(json_t *object, const char *name);

/* The owner reference with `controller: true`, or NULL. */
json_t *obj_controller_ref(const json_t *object);
/* Whether `owner` (by uid) is among the owner references. */
bool obj_is_owned_by(const json_t *object, const char *owner_uid);
/* A new owner reference to `owner`, controller and blockOwnerDeletion set. */
json_t *obj_make_controller_ref(const json_t *owner);

/* status.conditions[type], or NULL. */
json_t *obj_condition(const json_t *object, const char *type);
/* Sets a metav1.Condition in a list of them: lastTransitionTime changes only with `status`.
 * `observed_generation` 0 leaves the field out. Says whether anything changed. */
bool obj_set_condition(json_t *conditions, const char *type, const char *status, const char *reason,
                       const char *message, int64_t observed_generation, usec_t now);

/* "namespace/name" or "name": the key that caches use. Owned. */
char *obj_key(const json_t *object);

/* "group/version" into its parts; the core group is "". Owned. */
void api_version_split(const char *api_version, char **ret_group, char **ret_version);
