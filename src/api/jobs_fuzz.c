/* SPDX-License-Identifier: Apache-2.0 */

/* Requests and records from outside, and text that becomes part of a JSON answer. */

#include "api/jobs.h"

#include "api/logs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const JsonLimits limits = { .bytes = 1u << 16, .values = 10000, .depth = 64 };
    _cleanup_json_ json_t *json = NULL, *details = NULL, *text = NULL;
    _cleanup_buf_ Buf clean = { 0 };
    utf8_clean((Slice){ (const char *)data, size }, &clean);
    text = json_stringn(clean.data ? clean.data : "", clean.len);
    ASSERT(text);
    if (json_parse(data, size, &limits, 0, &json) < 0)
        return 0;
    if (job_request_check(json) == 0)
        ASSERT(json_is_string(json_object_get(json, "entrypoint")));
    if (json_is_object(json)) {
        details = job_details(json);
        job_redact(details);
        ASSERT(json_object_size(details) == 15);
    }
    return 0;
}
