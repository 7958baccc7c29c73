/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the builders and plans need of Kubernetes objects beyond kobj/meta.h. Borrowed results live
 * as long as the object. */

#include "base/base.h"
#include "codec/json.h"
#include "kobj/meta.h"

const char *object_name(const json_t *object);      /* "" when absent */
const char *object_namespace(const json_t *object); /* "default" when absent, as KubeRay reads it */
const char *object_uid(const json_t *object);       /* "" when absent */
/* Microseconds since 1970 of an RFC 3339 text; -1 when absent or unreadable. */
usec_t object_time(const json_t *text);
json_t *object_time_text(usec_t wall); /* new reference: to the second, as metav1.Time */

/* New object with apiVersion, kind and metadata {name, namespace}; `name` may be NULL. */
json_t *object_make(const char *api_version, const char *kind, const char *namespace_,
                    const char *name);
/* Makes `owner` the controller of `object`, for the garbage collector. */
void object_own(json_t *object, const json_t *owner);
/* Whether the object's controller is `owner` (by uid: a new object of an old name is another). */
bool object_owned_by(const json_t *object, const json_t *owner);
/* Copies the members of `from` into `to`, except those that `to` has when `keep`. */
void object_merge(json_t *to, const json_t *from, bool keep);

/* Lists of metav1.Condition; obj_set_condition() writes them. */
const json_t *condition_find(const json_t *conditions, const char *type);
bool condition_holds(const json_t *conditions, const char *type);
void condition_remove(json_t *conditions, const char *type);

/* The Ray container: the first one of a pod's (or a template's) spec. NULL when there is none. */
json_t *pod_ray_container(const json_t *pod_or_template);
bool env_has(const json_t *container, const char *name);
const char *env_value(const json_t *container, const char *name); /* NULL: absent or valueFrom */
int64_t container_port(const json_t *container, const char *name, int64_t otherwise);
