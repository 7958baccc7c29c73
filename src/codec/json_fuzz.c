/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever is accepted has to read back the same from our own encoding. */

#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const JsonLimits limits = { .bytes = 1u << 16, .values = 10000, .depth = 200 };
    _cleanup_strlist_ StrList repeated = { 0 };
    _cleanup_json_ json_t *value = NULL, *again = NULL;

    if (json_parse(data, size, &limits, 0, &value) < 0)
        return 0;
    json_find_duplicates(data, size, &repeated);
    _cleanup_json_ json_t *unique = NULL;
    ASSERT((json_parse(data, size, &limits, JSON_UNIQUE_KEYS, &unique) == 0) == !repeated.len);

    _cleanup_free_ char *text = json_text(value, size % 2 ? JSON_SORTED : JSON_PRETTY2);
    ASSERT(json_parse(text, strlen(text), NULL, JSON_UNIQUE_KEYS, &again) == 0);
    ASSERT(json_same(value, again));
    return 0;
}
