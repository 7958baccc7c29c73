/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small readings and makings around metadata that kobj/meta.h leaves to the server. */

#include <jansson.h>

#include "base/base.h"
#include "kobj/meta.h"

/* A time written as RFC 3339; 0 when absent or unreadable. */
usec_t meta_time(const json_t *value);
usec_t meta_created(const json_t *object);
/* Seconds, RFC 3339: a new reference. */
json_t *meta_time_json(usec_t wall);

bool condition_is_true(const json_t *object, const char *type);
/* Sets a condition in a status (not the object). Says whether something changed. */
bool condition_set(json_t *status, const char *type, const char *value, const char *reason,
                   const char *message, usec_t now_wall);

/* A random UUID. */
void meta_random_uid(char out[static 37]);
