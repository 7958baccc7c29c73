/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever is accepted has to read back the same from our own YAML. */

#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const YamlLimits limits = { .bytes = 1u << 16, .documents = 16, .values = 5000, .depth = 50 };
    _cleanup_json_ json_t *documents = NULL, *again = NULL;
    _cleanup_buf_ Buf text = { 0 };

    if (yaml_parse_all(data, size, &limits, &documents) < 0)
        return 0;
    yaml_encode(documents, &text);
    ASSERT(yaml_parse(text.data, text.len, NULL, &again) == 0);
    ASSERT(json_same(documents, again));
    return 0;
}
