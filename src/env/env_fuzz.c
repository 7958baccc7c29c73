/* SPDX-License-Identifier: Apache-2.0 */

/* What is accepted is canonical: normalising it again changes nothing. */

#include "env/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_json_ json_t *env = NULL, *again = NULL, *merged = NULL;
    _cleanup_free_ char *text = str_dup_slice((Slice){ (const char *)data, size });
    if (env_parse(text, 0, &env) < 0)
        return 0;
    _cleanup_free_ char *once = env_canonical(env);
    ASSERT(env_parse(once, 0, &again) == 0);
    _cleanup_free_ char *twice = env_canonical(again);
    ASSERT(str_eq(once, twice));
    ASSERT(env_hash(env) == env_hash(again));
    ASSERT(env_merge(env, again, true, &merged) == 0);
    ASSERT(env_hash(merged) == env_hash(env));
    return 0;
}
