/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* POSTs to subresources that act on an object without being a view of it: pods/binding,
 * pods/eviction, serviceaccounts/token. */

#include "local/api.h"

bool pod_door_takes(const ApiCall *call);
/* *ret_answer is what the client gets, a new reference. */
_must_check_ int pod_door_post(ApiCall *call, const json_t *body, json_t **ret_answer);

/* Binds a pod to a node and says so in its PodScheduled condition. Conflict if it has one. */
_must_check_ int pod_bind(ApiCall *call, const char *node);
