/* SPDX-License-Identifier: Apache-2.0 */

/* Repeated keys with their paths. jansson can refuse one, but names no path and stops at the
 * first, and Kubernetes lists them all; so this walks the text itself, known to be valid JSON. */

#include <ctype.h>

#include "base/map.h"
#include "codec/json.h"

typedef struct Walk {
    const char *at, *end;
    Buf path;
    StrMap seen; /* paths reported */
    StrList *out;
} Walk;

static void walk_value(Walk *walk);

static char walk_peek(Walk *walk) {
    while (walk->at < walk->end && isspace((unsigned char)*walk->at))
        walk->at++;
    return walk->at < walk->end ? *walk->at : 0;
}

/* The raw text between the quotes. */
static Slice walk_string(Walk *walk) {
    const char *start = ++walk->at;

    while (walk->at < walk->end && *walk->at != '"')
        walk->at += *walk->at == '\\' ? 2 : 1;
    walk->at = MIN(walk->at, walk->end);
    Slice raw = { start, (size_t)(walk->at - start) };
    walk->at = MIN(walk->at + 1, walk->end);
    return raw;
}

/* The key with its escapes resolved, owned. */
static char *key_decode(Slice raw) {
    _cleanup_buf_ Buf quoted = { 0 };
    _cleanup_json_ json_t *key = NULL;

    if (!memchr(raw.data, '\\', raw.len))
        return str_dup_slice(raw);
    buf_printf(&quoted, "\"%.*s\"", (int)raw.len, raw.data);
    key = json_loadb(quoted.data, quoted.len, JSON_DECODE_ANY, NULL);
    return key ? str_dup(json_string_value(key)) : str_dup_slice(raw);
}

static void report(Walk *walk) {
    if (!strmap_put(&walk->seen, walk->path.data, walk))
        strlist_add(walk->out, walk->path.data);
}

static void walk_member(Walk *walk, StrMap *keys) {
    size_t path_len = walk->path.len;
    _cleanup_free_ char *key = key_decode(walk_string(walk));

    buf_printf(&walk->path, "%s%s", path_len ? "." : "", key);
    if (strmap_put(keys, key, walk))
        report(walk);
    if (walk_peek(walk) == ':')
        walk->at++;
    walk_value(walk);
    walk->path.len = path_len;
}

static void walk_object(Walk *walk) {
    _cleanup_(strmap_done) StrMap keys = { 0 };

    for (walk->at++; walk_peek(walk) && *walk->at != '}';) {
        if (*walk->at == '"')
            walk_member(walk, &keys);
        else
            walk->at++;
    }
    walk->at = MIN(walk->at + 1, walk->end);
}

static void walk_array(Walk *walk) {
    size_t path_len = walk->path.len, index = 0;

    for (walk->at++; walk_peek(walk) && *walk->at != ']';) {
        if (*walk->at == ',') {
            walk->at++;
            continue;
        }
        buf_printf(&walk->path, "[%zu]", index++);
        walk_value(walk);
        walk->path.len = path_len;
    }
    walk->at = MIN(walk->at + 1, walk->end);
}

static void walk_value(Walk *walk) {
    switch (walk_peek(walk)) {
    case '{':
        return walk_object(walk);
    case '[':
        return walk_array(walk);
    case '"':
        walk_string(walk);
        return;
    default:
        while (walk->at < walk->end && !strchr(",]}", *walk->at))
            walk->at++;
    }
}

void json_find_duplicates(const void *data, size_t len, StrList *out) {
    Walk walk = { .at = data, .end = (const char *)data + len, .out = out };

    buf_reserve(&walk.path, 256);
    walk_value(&walk);
    buf_done(&walk.path);
    strmap_done(&walk.seen);
}
