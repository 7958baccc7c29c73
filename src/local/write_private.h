/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What create, update, patch and delete share. */

#include "local/api.h"
#include "local/strategy.h"

/* apiVersion, kind, namespace and name agree with the URL; sets absent ones but the name. */
_must_check_ int write_check_identity(ApiCall *call, json_t *body);
/* Decoding rules: wrong types, unknown and repeated fields; prunes. */
_must_check_ int write_check_fields(ApiCall *call, json_t *body, const StrList *duplicates);
/* Repeated fields alone. */
_must_check_ int write_check_duplicates(ApiCall *call, const StrList *duplicates);
/* Defaults of schema and kind. */
void write_default(ApiCall *call, json_t *object);
/* What the server decides from the object alone. */
void write_prepare(ApiCall *call, json_t *object);
/* 422 if something is wrong. */
_must_check_ int write_validate(ApiCall *call, const json_t *object, const json_t *old);

/* Creates from a body that is checked and, if `tracked`, has its managedFields already. */
_must_check_ int write_new(ApiCall *call, json_t *body, bool tracked, json_t **ret_object);
/* Replaces `old` by `object` (in the call's version, taken over). */
_must_check_ int write_over(ApiCall *call, Object *old, json_t *object, bool tracked,
                            json_t **ret_object);
/* Puts a tree in the stored version (taken over) in the place of `old`, or removes the object if
 * it only waited for that. */
_must_check_ int write_stored(ApiCall *call, Object *old, json_t *stored, json_t **ret_object);
