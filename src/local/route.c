/* SPDX-License-Identifier: Apache-2.0 */
#include "local/route.h"

#include "base/error.h"
#include "base/str.h"

bool query_true(const HttpQuery *query, const char *name) {
    const char *value = http_query_get(query, name);
    return value && !str_eq(value, "0") && !str_eq_nocase(value, "false");
}

typedef struct Segments {
    const char *text[10]; /* decoded; more than that only matters to a proxy's rest */
    const char *end[10];  /* in the path, behind the segment */
    size_t len;
} Segments;

static int split_path(Arena *arena, const char *path, Segments *segments) {
    size_t total = 0;
    for (const char *p = path; *p;) {
        while (*p == '/')
            p++;
        size_t len = strcspn(p, "/");
        if (len == 0)
            break;
        if (++total > ROUTE_SEGMENTS_MAX)
            return error_origin(-EINVAL, "the URL's path has too many parts");
        if (segments->len < ARRAY_LEN(segments->text)) {
            _cleanup_free_ char *text = NULL;
            int r = http_decode((Slice){ p, len }, false, &text);
            if (r < 0)
                return r;
            segments->text[segments->len] = arena_str(arena, text);
            segments->end[segments->len++] = p + len;
        }
        p += len;
    }
    return 0;
}

/* Segments from `at` on: [namespaces NS] RESOURCE [NAME [SUBRESOURCE]]. A namespace's own
 * subresources (status, finalize) are told from resources inside it by name. */
static void read_resource(const Segments *s, size_t at, Route *route) {
    if (s->len > at + 2 && str_eq(s->text[at], "namespaces") &&
        !(s->len == at + 3 &&
          (str_eq(s->text[at + 2], "status") || str_eq(s->text[at + 2], "finalize")))) {
        route->ns = s->text[at + 1];
        at += 2;
    }
    if (s->len <= at)
        return;
    route->is_resource = true;
    route->resource = s->text[at];
    if (s->len > at + 1)
        route->name = s->text[at + 1];
    if (s->len > at + 2) {
        route->subresource = s->text[at + 2];
        route->rest = s->end[at + 2];
    }
}

int route_parse(Arena *arena, const char *target, Route *ret_route) {
    Route route = { .group = "", .version = "", .ns = "", .rest = "" };
    const char *question = strchr(target, '?');
    size_t path_len = question ? (size_t)(question - target) : strlen(target);
    route.path = arena_dup(arena, target, path_len);
    route.query = question ? arena_str(arena, question + 1) : NULL;
    Segments s = { 0 };
    int r = split_path(arena, route.path, &s);
    if (r < 0)
        return r;
    if (s.len >= 3 && str_eq(s.text[0], "api")) {
        route.version = s.text[1];
        read_resource(&s, 2, &route);
    } else if (s.len >= 4 && str_eq(s.text[0], "apis")) {
        route.group = s.text[1];
        route.version = s.text[2];
        read_resource(&s, 3, &route);
    }
    *ret_route = route;
    return 0;
}
