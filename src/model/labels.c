/* SPDX-License-Identifier: Apache-2.0 */
#include "model/labels.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/map.h"

enum {
    NAME_MAX_LEN = 63,
    PREFIX_MAX_LEN = 253,
};

static bool alnum(char c) {
    return isalnum((unsigned char)c) && (unsigned char)c < 0x80;
}

/* Alphanumeric at both ends; dashes, underscores, dots and alphanumerics between; 1 to 63 long. */
static bool name_valid(Slice s) {
    if (s.len == 0 || s.len > NAME_MAX_LEN || !alnum(s.data[0]) || !alnum(s.data[s.len - 1]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!alnum(s.data[i]) && s.data[i] != '-' && s.data[i] != '_' && s.data[i] != '.')
            return false;
    return true;
}

/* A DNS subdomain; each part follows the rule of names. */
static bool prefix_valid(Slice s) {
    if (s.len == 0 || s.len > PREFIX_MAX_LEN)
        return false;
    size_t start = 0;
    for (size_t i = 0; i <= s.len; i++) {
        if (i < s.len && s.data[i] != '.')
            continue;
        if (!name_valid((Slice){ s.data + start, i - start }))
            return false;
        start = i + 1;
    }
    return true;
}

static int key_check(const char *key) {
    const char *slash = strrchr(key, '/');
    const char *name = slash ? slash + 1 : key;
    if (slash && !prefix_valid((Slice){ key, (size_t)(slash - key) }))
        return error_origin(-EINVAL,
                            "Invalid label key prefix `%.*s`. Prefix must be a series of DNS "
                            "labels separated by dots (.), not longer than 253 characters in "
                            "total.",
                            (int)MIN(slash - key, (ptrdiff_t)PREFIX_MAX_LEN), key);
    if (!name_valid(slice_str(name)))
        return error_origin(-EINVAL,
                            "Invalid label key name `%.80s`. Name must be 63 chars or less "
                            "beginning and ending with an alphanumeric character ([a-z0-9A-Z]) "
                            "with dashes (-), underscores (_),dots (.), and alphanumerics between.",
                            name);
    return 0;
}

static int value_check(Slice value) {
    if (value.len == 0 || name_valid(value))
        return 0;
    return error_origin(-EINVAL,
                        "Invalid label key value `%.*s`. Value must be 63 chars or less beginning "
                        "and ending with an alphanumeric character ([a-z0-9A-Z]) with dashes (-), "
                        "underscores (_),dots (.), and alphanumerics between.",
                        (int)MIN(value.len, (size_t)80), value.data);
}

void labels_done(Labels *labels) {
    for (uint32_t i = 0; i < labels->len; i++) {
        free(labels->items[i].key);
        free(labels->items[i].value);
    }
    free(labels->items);
    *labels = (Labels){ 0 };
}

void labels_copy(Labels *to, const Labels *from) {
    Labels copy = { .len = from->len, .cap = from->len };
    copy.items = from->len ? mem_array(Label, from->len) : NULL;
    for (uint32_t i = 0; i < from->len; i++)
        copy.items[i] =
            (Label){ .key = str_dup(from->items[i].key), .value = str_dup(from->items[i].value) };
    labels_done(to);
    *to = copy;
}

bool labels_equal(const Labels *a, const Labels *b) {
    if (a->len != b->len)
        return false;
    for (uint32_t i = 0; i < a->len; i++)
        if (!str_eq(a->items[i].key, b->items[i].key) ||
            !str_eq(a->items[i].value, b->items[i].value))
            return false;
    return true;
}

static uint32_t labels_lower_bound(const Labels *labels, const char *key, bool *ret_found) {
    uint32_t low = 0, high = labels->len;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int order = strcmp(labels->items[mid].key, key);
        if (order == 0) {
            *ret_found = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_found = false;
    return low;
}

const char *labels_get(const Labels *labels, const char *key) {
    bool found;
    uint32_t at = labels_lower_bound(labels, key, &found);
    return found ? labels->items[at].value : NULL;
}

int labels_set(Labels *labels, const char *key, const char *value) {
    int r = key_check(key);
    if (r < 0)
        return r;
    r = value_check(slice_str(value));
    if (r < 0)
        return r;
    bool found;
    uint32_t at = labels_lower_bound(labels, key, &found);
    if (found) {
        str_set(&labels->items[at].value, value);
        return 0;
    }
    if (labels->len >= LABELS_MAX)
        return error_origin(-E2BIG, "more than %d labels", LABELS_MAX);
    if (labels->len == labels->cap) {
        labels->cap = MAX(labels->cap * 2, 8u);
        labels->items = mem_realloc(labels->items, labels->cap * sizeof(Label));
    }
    memmove(&labels->items[at + 1], &labels->items[at], (labels->len - at) * sizeof(Label));
    labels->items[at] = (Label){ .key = str_dup(key), .value = str_dup(value) };
    labels->len++;
    return 0;
}

static Slice trim(Slice s) {
    while (s.len > 0 && isspace((unsigned char)s.data[0]))
        s = (Slice){ s.data + 1, s.len - 1 };
    while (s.len > 0 && isspace((unsigned char)s.data[s.len - 1]))
        s.len--;
    return s;
}

static int parse_pair(Labels *labels, Slice pair) {
    const char *eq = memchr(pair.data, '=', pair.len);
    size_t key_len = eq ? (size_t)(eq - pair.data) : 0;
    if (!eq || memchr(eq + 1, '=', pair.len - key_len - 1))
        return error_origin(-EINVAL, "Label string is not a key-value pair.");
    _cleanup_free_ char *key = str_dup_slice(trim((Slice){ pair.data, key_len }));
    _cleanup_free_ char *value = str_dup_slice(trim((Slice){ eq + 1, pair.len - key_len - 1 }));
    return labels_set(labels, key, value);
}

int labels_parse(Labels *labels, const char *text) {
    Slice rest = slice_str(text);
    if (rest.len > 1 && rest.data[0] == '"' && rest.data[rest.len - 1] == '"')
        rest = (Slice){ rest.data + 1, rest.len - 2 };
    _cleanup_labels_ Labels parsed = { 0 };
    labels_copy(&parsed, labels);
    while (rest.len > 0) {
        const char *comma = memchr(rest.data, ',', rest.len);
        size_t len = comma ? (size_t)(comma - rest.data) : rest.len;
        int r = parse_pair(&parsed, (Slice){ rest.data, len });
        if (r < 0)
            return r;
        if (comma && len + 1 == rest.len)
            return error_origin(-EINVAL, "Label string is not a key-value pair.");
        size_t step = MIN(len + 1, rest.len);
        rest = (Slice){ rest.data + step, rest.len - step };
    }
    labels_done(labels);
    *labels = parsed;
    parsed = (Labels){ 0 };
    return 0;
}

static void term_done(LabelTerm *term) {
    free(term->key);
    strlist_done(&term->values);
    *term = (LabelTerm){ 0 };
}

void label_selector_done(LabelSelector *selector) {
    for (uint32_t i = 0; i < selector->len; i++)
        term_done(&selector->terms[i]);
    free(selector->terms);
    *selector = (LabelSelector){ 0 };
}

void label_selector_copy(LabelSelector *to, const LabelSelector *from) {
    LabelSelector copy = { .len = from->len, .cap = from->len };
    copy.terms = from->len ? mem_array(LabelTerm, from->len) : NULL;
    for (uint32_t i = 0; i < from->len; i++) {
        const LabelTerm *term = &from->terms[i];
        copy.terms[i] = (LabelTerm){ .key = str_dup(term->key), .negated = term->negated };
        for (size_t j = 0; j < term->values.len; j++)
            strlist_add(&copy.terms[i].values, term->values.items[j]);
    }
    label_selector_done(to);
    *to = copy;
}

static bool terms_equal(const LabelTerm *a, const LabelTerm *b) {
    if (!str_eq(a->key, b->key) || a->negated != b->negated || a->values.len != b->values.len)
        return false;
    for (size_t i = 0; i < a->values.len; i++)
        if (!str_eq(a->values.items[i], b->values.items[i]))
            return false;
    return true;
}

bool label_selector_equal(const LabelSelector *a, const LabelSelector *b) {
    if (a->len != b->len)
        return false;
    for (uint32_t i = 0; i < a->len; i++)
        if (!terms_equal(&a->terms[i], &b->terms[i]))
            return false;
    return true;
}

uint64_t label_selector_hash(const LabelSelector *selector) {
    uint64_t hash = selector->len;
    for (uint32_t i = 0; i < selector->len; i++) {
        const LabelTerm *term = &selector->terms[i];
        hash = hash * 31 + base_hash(term->key, strlen(term->key)) + term->negated;
        for (size_t v = 0; v < term->values.len; v++)
            hash = hash * 31 + base_hash(term->values.items[v], strlen(term->values.items[v]));
    }
    return hash;
}

static int condition_fault(const char *condition) {
    return error_origin(-EINVAL,
                        "Invalid label selector value `%.80s`. The label selector value should "
                        "contain optional operators and a label value. Supported operators are: ! "
                        "and {'in'}. Value must be 63 chars or less beginning and ending with an "
                        "alphanumeric character ([a-z0-9A-Z]) with dashes (-), underscores "
                        "(_),dots (.), and alphanumerics between.",
                        condition);
}

/* The inside of in(...): values separated by a comma and at most one blank. */
static int parse_values(LabelTerm *term, Slice list, const char *condition) {
    for (;;) {
        const char *comma = memchr(list.data, ',', list.len);
        Slice value = { list.data, comma ? (size_t)(comma - list.data) : list.len };
        if (!name_valid(value))
            return condition_fault(condition);
        if (term->values.len >= LABEL_SELECTOR_VALUES)
            return error_origin(-E2BIG, "a label selector lists more than %d values",
                                LABEL_SELECTOR_VALUES);
        strlist_take(&term->values, str_dup_slice(value));
        if (!comma)
            return 0;
        list = (Slice){ comma + 1, list.len - value.len - 1 };
        if (list.len > 0 && list.data[0] == ' ')
            list = (Slice){ list.data + 1, list.len - 1 };
    }
}

static int parse_condition(LabelTerm *term, const char *condition) {
    Slice rest = slice_str(condition);
    if (rest.len == 0) {
        strlist_add(&term->values, "");
        return 0;
    }
    if (rest.data[0] == '!') {
        term->negated = true;
        rest = (Slice){ rest.data + 1, rest.len - 1 };
    }
    if (slice_eq_str(rest, "*"))
        return 0;
    if (rest.len > 0 && rest.data[rest.len - 1] == ')') {
        size_t skip = str_starts(rest.data, "in(") ? 3 : rest.data[0] == '(' ? 1 : 0;
        if (skip == 0)
            return condition_fault(condition);
        return parse_values(term, (Slice){ rest.data + skip, rest.len - skip - 1 }, condition);
    }
    if (!name_valid(rest))
        return condition_fault(condition);
    strlist_take(&term->values, str_dup_slice(rest));
    return 0;
}

int label_selector_add(LabelSelector *selector, const char *key, const char *condition) {
    int r = key_check(key);
    if (r < 0)
        return r;
    if (selector->len >= LABELS_MAX)
        return error_origin(-E2BIG, "more than %d label selector terms", LABELS_MAX);
    _cleanup_(term_done) LabelTerm term = { .key = str_dup(key) };
    r = parse_condition(&term, condition);
    if (r < 0)
        return r;
    if (selector->len == selector->cap) {
        selector->cap = MAX(selector->cap * 2, 4u);
        selector->terms = mem_realloc(selector->terms, selector->cap * sizeof(LabelTerm));
    }
    selector->terms[selector->len++] = term;
    term = (LabelTerm){ 0 };
    return 0;
}

bool label_selector_matches(const LabelSelector *selector, const Labels *labels) {
    for (uint32_t i = 0; i < selector->len; i++) {
        const LabelTerm *term = &selector->terms[i];
        const char *value = labels_get(labels, term->key);
        bool among = value && (term->values.len == 0 || strlist_has(&term->values, value));
        if (among == term->negated)
            return false;
    }
    return true;
}
