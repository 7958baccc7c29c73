/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Events in their two spellings: v1 (as stored) and events.k8s.io/v1. New references. */

#include <jansson.h>

json_t *event_to_new(const json_t *core);
json_t *event_to_core(const json_t *event);
