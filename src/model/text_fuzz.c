/* SPDX-License-Identifier: Apache-2.0 */

/* One text to each of the small parsers of this folder and of base/. What is read and written again
 * reads the same. */

#include "base/clock.h"
#include "base/error.h"
#include "model/labels.h"
#include "model/resources.h"

enum {
    TEXT_MAX = 512
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_quantity(const char *text) {
    _cleanup_buf_ Buf out = { 0 };
    Quantity once, again;
    if (resource_quantity_parse(text, &once) < 0)
        return;
    ASSERT(once >= 0);
    resource_quantity_format(once, &out);
    ASSERT(resource_quantity_parse(out.data, &again) == 0 && once == again);
}

static void try_labels(const char *text) {
    _cleanup_labels_ Labels labels = { 0 }, copy = { 0 };
    _cleanup_label_selector_ LabelSelector selector = { 0 };
    if (labels_parse(&labels, text) == 0) {
        _cleanup_buf_ Buf again = { 0 };
        for (uint32_t i = 0; i < labels.len; i++)
            buf_printf(&again, "%s%s=%s", i ? "," : "", labels.items[i].key, labels.items[i].value);
        ASSERT(labels_parse(&copy, again.data ? again.data : "") == 0);
        ASSERT(labels_equal(&labels, &copy));
    }
    if (label_selector_add(&selector, "k", text) == 0) {
        bool any = str_eq(text, "*") || str_eq(text, "!*");
        ASSERT(selector.len == 1 && (selector.terms[0].values.len > 0) == !any);
        bool absent = label_selector_matches(&selector, &(Labels){ 0 });
        ASSERT(absent == selector.terms[0].negated);
    }
}

static void try_resources(const char *text) {
    _cleanup_(resources_done) ResourceSet set = { 0 }, want = { 0 };
    _cleanup_buf_ Buf out = { 0 };
    if (resources_set(&set, text, 1) < 0)
        return;
    resources_copy(&want, &set);
    ASSERT(resources_fit(&set, &want));
    resources_add(&want, &set);
    ASSERT(!resources_fit(&set, &want));
    resources_format(&set, &out);
}

static void try_times(const char *text) {
    char out[TIME_TEXT_MAX];
    usec_t once, again;
    if (time_parse_rfc3339(text, &once) == 0 && text[0] != '0' && text[0] != '9') {
        time_format_rfc3339(once, out);
        ASSERT(time_parse_rfc3339(out, &again) == 0);
        usec_t fraction =
            (once % USEC_PER_SEC + USEC_PER_SEC) % USEC_PER_SEC; /* also before 1970 */
        ASSERT(once - fraction == again);
    }
    (void)!time_parse_duration(text, &once);
}

static void try_codes(const char *text, size_t len) {
    _cleanup_free_ void *bytes = NULL;
    size_t bytes_len;
    uint8_t raw[TEXT_MAX / 2];
    char hex[TEXT_MAX + 1];
    if (base64_decode(text, len, &bytes, &bytes_len) == 0) {
        _cleanup_free_ char *again = base64_encode(bytes, bytes_len);
        ASSERT(strlen(again) == len);
    }
    if (hex_decode(text, raw, len / 2) == 0) {
        hex_encode(raw, len / 2, hex);
        ASSERT(str_eq_nocase(text, hex));
    }
}

static void try_numbers(const char *text) {
    int64_t i64;
    uint64_t u64;
    double real;
    bool yes;
    if (str_to_i64(text, &i64) == 0 && i64 >= 0 && text[0] != '-')
        ASSERT(str_to_u64(text, &u64) == 0 && u64 == (uint64_t)i64);
    (void)!str_to_double(text, &real);
    (void)!str_to_bool(text, &yes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_free_ char *text =
        str_dup_slice((Slice){ (const char *)data, MIN(size, (size_t)TEXT_MAX) });
    try_quantity(text);
    try_labels(text);
    try_resources(text);
    try_times(text);
    try_codes(text, strlen(text));
    try_numbers(text);
    return 0;
}
