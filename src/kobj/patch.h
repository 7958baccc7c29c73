/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Patches. None changes its inputs; each gives a new value. -EINVAL is the client's mistake (400,
 * or 422 for a JSON patch that does not apply) with the sentence to answer.
 */

#include "base/base.h"
#include "codec/json.h"
#include "kobj/schema.h"

enum {
    PATCH_TEST_FAILED = 1, /* a JSON patch's `test` did not hold */
    PATCH_OPERATIONS_MAX = 10000,
};

/* RFC 6902, as lenient as kube-apiserver's library: `replace` of an absent object key adds it, and
 * `remove` of an absent key fails with "Unable to remove nonexistent key". */
_must_check_ int patch_json(const json_t *object, const json_t *operations, json_t **ret_object);

/* RFC 7386. */
json_t *patch_merge(const json_t *object, const json_t *patch);
/* The merge patch that makes `to` from `from`; {} if they are equal. */
json_t *patch_merge_diff(const json_t *from, const json_t *to);

/* Kubernetes' strategic merge: merge keys, $patch (replace, delete, merge), $retainKeys,
 * $setElementOrder/x, $deleteFromPrimitiveList/x. */
_must_check_ int patch_strategic(const Schema *schema, const json_t *object, const json_t *patch,
                                 json_t **ret_object);
