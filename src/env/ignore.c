/* SPDX-License-Identifier: Apache-2.0 */
#include "env/ignore.h"

#include <fnmatch.h>

#include "base/vec.h"

enum {
    STARS_MAX = 8 /* "**" in one pattern; each may double the work of a match */
};

struct IgnorePattern {
    StrList segments; /* the pattern between its slashes */
    bool negated;
    bool directories; /* had a slash at its end: matches directories only */
};

void ignore_rules_done(IgnoreRules *rules) {
    for (size_t i = 0; i < rules->len; i++)
        strlist_done(&rules->items[i].segments);
    vec_done(rules);
}

static Slice trimmed(Slice line) {
    while (line.len && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r'))
        line.len--;
    /* A blank at the end counts only behind a backslash. */
    while (line.len && line.data[line.len - 1] == ' ' &&
           !(line.len > 1 && line.data[line.len - 2] == '\\'))
        line.len--;
    return line;
}

static void split_segments(Slice text, StrList *out) {
    while (text.len) {
        const char *slash = memchr(text.data, '/', text.len);
        size_t len = slash ? (size_t)(slash - text.data) : text.len;
        if (len)
            strlist_take(out, str_dup_slice((Slice){ text.data, len }));
        len += slash != NULL;
        text = (Slice){ text.data + len, text.len - len };
    }
}

static size_t count_stars(const StrList *segments) {
    size_t n = 0;
    for (size_t i = 0; i < segments->len; i++)
        n += str_eq(segments->items[i], "**");
    return n;
}

void ignore_rules_add(IgnoreRules *rules, Slice line) {
    IgnorePattern pattern = { 0 };
    line = trimmed(line);
    if (line.len == 0 || line.data[0] == '#')
        return;
    if (line.data[0] == '!') {
        pattern.negated = true;
        line = (Slice){ line.data + 1, line.len - 1 };
    }
    if (line.len && line.data[line.len - 1] == '/') {
        pattern.directories = true;
        line.len--;
    }
    /* Without a slash inside, a pattern holds at every depth. */
    if (line.len && !memchr(line.data, '/', line.len))
        strlist_add(&pattern.segments, "**");
    split_segments(line, &pattern.segments);
    if (pattern.segments.len == 0 || count_stars(&pattern.segments) > STARS_MAX) {
        strlist_done(&pattern.segments);
        return;
    }
    vec_push(rules, pattern);
}

void ignore_rules_add_text(IgnoreRules *rules, Slice text) {
    while (text.len) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end ? (size_t)(end - text.data) : text.len;
        ignore_rules_add(rules, (Slice){ text.data, len });
        len += end != NULL;
        text = (Slice){ text.data + len, text.len - len };
    }
}

static bool segments_match(char *const *pattern, size_t n_pattern, char *const *path,
                           size_t n_path) {
    if (n_pattern == 0)
        return n_path == 0;
    if (str_eq(pattern[0], "**")) {
        if (n_pattern == 1)
            return n_path > 0;
        for (size_t skip = 0; skip <= n_path; skip++)
            if (segments_match(pattern + 1, n_pattern - 1, path + skip, n_path - skip))
                return true;
        return false;
    }
    return n_path > 0 && fnmatch(pattern[0], path[0], 0) == 0 &&
           segments_match(pattern + 1, n_pattern - 1, path + 1, n_path - 1);
}

static bool pattern_match(const IgnorePattern *pattern, const StrList *path) {
    const StrList *segments = &pattern->segments;
    /* A matched directory takes what is below with it. */
    size_t longest = pattern->directories ? path->len - 1 : path->len;
    for (size_t len = 1; len <= longest; len++)
        if (segments_match(segments->items, segments->len, path->items, len))
            return true;
    return false;
}

bool ignore_rules_match(const IgnoreRules *rules, const char *path) {
    _cleanup_strlist_ StrList segments = { 0 };
    split_segments(slice_str(path), &segments);
    if (segments.len == 0)
        return false;
    for (size_t i = rules->len; i-- > 0;)
        if (pattern_match(&rules->items[i], &segments))
            return !rules->items[i].negated;
    return false;
}
