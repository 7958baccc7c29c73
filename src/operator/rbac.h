/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the autoscaler beside the head may do, and the token that a cluster authenticates with.
 * New references, owned by the cluster. */

#include "base/arena.h"
#include "codec/json.h"

json_t *rbac_build_account(const json_t *cluster, Arena *arena);
json_t *rbac_build_role(const json_t *cluster, Arena *arena);
json_t *rbac_build_binding(const json_t *cluster, Arena *arena);
/* A fresh random token each time; made only where none exists. */
json_t *auth_build_secret(const json_t *cluster, Arena *arena);
