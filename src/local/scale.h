/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The scale subresource of custom resources: autoscaling/v1 Scale made of two paths of the object.
 * Pure. */

#include "local/api.h"

/* A new reference; `stored` is the object. */
json_t *scale_of(const ApiCall *call, const json_t *stored);
/* Sets spec.replicas of a Scale into a copy of the object: a new reference. */
json_t *scale_apply(const ApiCall *call, const json_t *stored, const json_t *scale);
