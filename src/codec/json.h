/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * JSON as jansson's json_t: bounded parsing of bytes from outside, encoding, and readable access.
 * Ownership is jansson's: *new reference* means the caller json_decref()s (or `_cleanup_json_`),
 * *borrowed* lives as long as the value it was read from. Allocation never fails (it aborts), so
 * json_object(), json_string() and the like need no NULL check for heap.
 *
 *     _cleanup_json_ json_t *pod = NULL;
 *     r = json_parse(body, len, NULL, 0, &pod);
 *     const char *node = json_str_at(pod, "spec", "nodeName");
 *     int64_t port = json_int_at(pod, 8265, "spec", "port");
 *     json_set_at(pod, json_string("Running"), "status", "phase");
 */

#include <jansson.h>

#include "base/base.h"
#include "base/str.h"

static inline void json_cleanup(json_t **value) {
    json_decref(*value);
}
#define _cleanup_json_ _cleanup_(json_cleanup)

/* What one document may cost before it is parsed. */
typedef struct JsonLimits {
    size_t bytes;
    size_t values;  /* every object, array, member and item counts */
    unsigned depth; /* nesting of objects and arrays; at most JSON_DEPTH_MAX */
} JsonLimits;

enum {
    JSON_DEPTH_MAX = 1024
};

/* 3 MiB (Kubernetes' own bound of a request), 1,000,000 values, depth 500. Used where NULL is given. */
extern const JsonLimits JSON_LIMITS_DEFAULT;

enum {                         /* flags of json_parse() */
    JSON_UNIQUE_KEYS = 1 << 0, /* refuse a repeated key (else the last one wins) */
};

/* Parses exactly one value, any type, surrounded by blanks only. Strict UTF-8; "\u0000" refused;
 * an integer beyond 64 bits becomes a real. *ret_value is a new reference.
 * -E2BIG: over a limit; -EINVAL: not JSON, the sentence has line and column. */
_must_check_ int json_parse(const void *data, size_t len, const JsonLimits *limits, unsigned flags,
                            json_t **ret_value);

/* Appends the dotted path of each repeated key in a text that json_parse() accepts, the way
 * Kubernetes writes it: `spec.containers[0].name`. Each path once, in order. */
void json_find_duplicates(const void *data, size_t len, StrList *out);

enum {                     /* flags of json_encode() */
    JSON_PRETTY4 = 1 << 0, /* four spaces, as kubectl -o json */
    JSON_PRETTY2 = 1 << 1,
    JSON_SORTED = 1 << 2,  /* keys in byte order, as Go writes maps; else insertion order */
    JSON_GO = 1 << 3, /* as Go's encoding/json: 1.0 is written 1; < > & U+2028 U+2029 escaped */
};

/* Appends the text of a value (compact without a PRETTY flag; no newline at the end). Reals are
 * written in the fewest digits that read back the same. */
void json_encode(const json_t *value, unsigned flags, Buf *out);
/* The same as an owned string. */
char *json_text(const json_t *value, unsigned flags);

/* Paths: object keys, one argument each. Wrong type on the way is the same as absent. */
#define JSON_PATH(...) ((const char *const[]){ __VA_ARGS__, NULL })

json_t *json_path_get(const json_t *value, const char *const *path);
int64_t json_path_int(const json_t *value, int64_t otherwise, const char *const *path);
bool json_path_bool(const json_t *value, bool otherwise, const char *const *path);
void json_path_set(json_t *object, json_t *new_value, const char *const *path);
bool json_path_remove(json_t *object, const char *const *path);

/* Borrowed, or NULL. */
#define json_at(value, ...) json_path_get((value), JSON_PATH(__VA_ARGS__))
/* Borrowed, or NULL when absent or no string. */
#define json_str_at(value, ...) json_string_value(json_path_get((value), JSON_PATH(__VA_ARGS__)))
/* `otherwise` when absent or no integer (a real without fraction counts as an integer). */
#define json_int_at(value, otherwise, ...)                                                         \
    json_path_int((value), (otherwise), JSON_PATH(__VA_ARGS__))
/* `otherwise` when absent or no boolean. */
#define json_bool_at(value, otherwise, ...)                                                        \
    json_path_bool((value), (otherwise), JSON_PATH(__VA_ARGS__))
/* Steals the reference `new_value`; makes missing objects (and replaces what is none) on the way. */
#define json_set_at(object, new_value, ...)                                                        \
    json_path_set((object), (new_value), JSON_PATH(__VA_ARGS__))
/* Says whether it was there. */
#define json_remove_at(object, ...) json_path_remove((object), JSON_PATH(__VA_ARGS__))

/* The member `key`, made as an empty object or array if absent or of another type. Borrowed. */
json_t *json_make_object(json_t *object, const char *key);
json_t *json_make_array(json_t *object, const char *key);

/* Deep equality where 1 equals 1.0, as Kubernetes compares. */
bool json_same(const json_t *a, const json_t *b);

/* Adds formatted text as a string member; "" keeps the member. */
void json_set_printf(json_t *object, const char *key, const char *format, ...) _printf_(3, 4);

/* "object", "array", "string", "integer", "number", "boolean", "null": JSON schema's words. */
const char *json_type_name(const json_t *value);
