/* SPDX-License-Identifier: Apache-2.0 */

/* What is decoded is JSON that can be written: an object with kind and apiVersion. */

#include "local/protobuf.h"

#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_json_ json_t *object = NULL;
    if (protobuf_decode((Slice){ (const char *)data, size }, &object) != 0)
        return 0;
    _cleanup_free_ char *text = json_text(object, 0);
    ASSERT(*text == '{');
    ASSERT(json_is_string(json_object_get(object, "kind")));
    return 0;
}
