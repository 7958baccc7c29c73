/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From a pod to the node agent that runs it: which URL, and whether the request makes sense at all.
 * The paths are those of local/agent_endpoint.h.
 */

#include "local/server_private.h"

/* The pod must have been placed and its container exist. `container` NULL or "": the only one, or
 * what the pod's annotation names. *ret_container is borrowed from `pod`. A status else. */
_must_check_ int agent_pick_container(ApiCall *call, const json_t *pod, const char *container,
                                      const char **ret_container);
/* "http://127.0.0.1:PORT" of the pod's node, owned. A status if the pod runs nowhere. */
_must_check_ int agent_url(ApiCall *call, const json_t *pod, char **ret_url);
