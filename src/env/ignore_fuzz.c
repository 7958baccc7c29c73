/* SPDX-License-Identifier: Apache-2.0 */

/* The first line is a path, the rest are patterns. A path that is ignored stays so under one more
 * pattern that takes everything in; nothing is ignored by no rules. */

#include "env/ignore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *end = size ? memchr(data, '\n', size) : NULL;
    if (!end || size > 4096)
        return 0;
    size_t len = (size_t)(end - (const char *)data);
    _cleanup_free_ char *path = str_dup_slice((Slice){ (const char *)data, len });
    _cleanup_(ignore_rules_done) IgnoreRules rules = { 0 };
    ASSERT(!ignore_rules_match(&rules, path));
    ignore_rules_add_text(&rules, (Slice){ end + 1, size - len - 1 });
    bool ignored = ignore_rules_match(&rules, path);
    ignore_rules_add(&rules, SLICE("*"));
    bool by_all = ignore_rules_match(&rules, path);
    ASSERT(by_all || !ignored);
    return 0;
}
