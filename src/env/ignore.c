/* SPDX-License-Identifier: Apache-2.0 */
#include "env/ignore.h"

#include "base/vec.h"

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
    if (pattern.segments.len == 0)
        return;
    /* At the end it stands for what is below, not for nothing. */
    if (str_eq(pattern.segments.items[pattern.segments.len - 1], "**"))
        strlist_add(&pattern.segments, "*");
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

/* [a-z], [!a-z]: *at is behind the bracket and moves behind the set. -1 if it has no end. */
static int set_match(const char **at, char c) {
    const char *p = *at;
    bool negated = *p == '!' || *p == '^', found = false;
    p += negated;
    for (const char *first = p; *p && (*p != ']' || p == first);) {
        p += *p == '\\' && p[1];
        unsigned char low = (unsigned char)*p++, high = low;
        if (*p == '-' && p[1] && p[1] != ']') {
            p += 1 + (p[1] == '\\' && p[2]);
            high = (unsigned char)*p++;
        }
        found |= (unsigned char)c >= low && (unsigned char)c <= high;
    }
    if (*p != ']')
        return -1;
    *at = p + 1;
    return found != negated;
}

/* Matches one character of `c` against what stands at *at, which moves on. */
static bool char_match(const char **at, char c) {
    char p = *(*at)++;
    if (p == '?')
        return true;
    if (p == '[') {
        int r = set_match(at, c);
        return r < 0 ? c == '[' : r;
    }
    if (p == '\\' && **at)
        p = *(*at)++;
    return p == c;
}

/* One segment. Only the last star is ever tried again, so the work is at most the product of the
 * lengths. */
static bool glob_match(const char *pattern, const char *text) {
    const char *star = NULL, *resume = NULL;
    while (*text) {
        const char *at = pattern;
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*pattern && char_match(&at, *text)) {
            pattern = at;
            text++;
        } else if (star) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

/* The same with segments for characters and "**" for the star. */
static bool segments_match(char *const *pattern, size_t n_pattern, char *const *path,
                           size_t n_path) {
    size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;
    while (t < n_path) {
        if (p < n_pattern && str_eq(pattern[p], "**")) {
            star = ++p;
            resume = t;
        } else if (p < n_pattern && glob_match(pattern[p], path[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < n_pattern && str_eq(pattern[p], "**"))
        p++;
    return p == n_pattern;
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
