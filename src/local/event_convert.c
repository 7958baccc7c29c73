/* SPDX-License-Identifier: Apache-2.0 */
#include "local/event_convert.h"

#include "base/base.h"
#include "base/str.h"

typedef struct FieldPair {
    const char *core, *fresh;
} FieldPair;

/* Fields that are named alike in both are not listed. */
static const FieldPair PAIRS[] = {
    { "involvedObject", "regarding" },
    { "message", "note" },
    { "source", "deprecatedSource" },
    { "firstTimestamp", "deprecatedFirstTimestamp" },
    { "lastTimestamp", "deprecatedLastTimestamp" },
    { "count", "deprecatedCount" },
    { "reportingComponent", "reportingController" },
};

static const char *renamed(const char *key, bool to_core) {
    for (size_t i = 0; i < ARRAY_LEN(PAIRS); i++) {
        const char *from = to_core ? PAIRS[i].fresh : PAIRS[i].core;
        if (str_eq(key, from))
            return to_core ? PAIRS[i].core : PAIRS[i].fresh;
    }
    return key;
}

static json_t *convert(const json_t *event, bool to_core) {
    json_t *out = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)event, key, value)
        json_object_set(out, renamed(key, to_core), value);
    json_object_set_new(out, "apiVersion", json_string(to_core ? "v1" : "events.k8s.io/v1"));
    return out;
}

json_t *event_to_new(const json_t *core) {
    return convert(core, false);
}

json_t *event_to_core(const json_t *event) {
    return convert(event, true);
}
