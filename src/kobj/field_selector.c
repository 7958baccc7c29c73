/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/vec.h"
#include "kobj/selector.h"

typedef struct FieldTerm {
    char *path, *value;
    bool equal;
} FieldTerm;

struct FieldSelector {
    FieldTerm *items;
    size_t len, cap;
};

FieldSelector *field_selector_free(FieldSelector *selector) {
    if (!selector)
        return NULL;
    VEC_EACH(term, selector) {
        mem_free(term->path);
        mem_free(term->value);
    }
    vec_done(selector);
    return mem_free(selector);
}

/* Undoes `\\`, `\,` and `\=`; other escapes and bare separators are refused. */
static int value_unescape(Slice raw, char **ret_value) {
    _cleanup_buf_ Buf out = { 0 };

    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.data[i];
        if (c == '=' || c == ',')
            return error_origin(-EINVAL, "invalid field selector: unescaped character in value: %c",
                                c);
        if (c == '\\') {
            if (++i == raw.len || !strchr("\\,=", raw.data[i]))
                return error_origin(-EINVAL,
                                    "invalid field selector: invalid escape sequence: "
                                    "\\%c",
                                    i < raw.len ? raw.data[i] : ' ');
            c = raw.data[i];
        }
        buf_add_char(&out, c);
    }
    *ret_value = buf_steal(&out);
    return 0;
}

static int term_parse(FieldSelector *selector, Slice term) {
    size_t at = 0;

    while (at < term.len && term.data[at] != '=' &&
           !(term.data[at] == '!' && at + 1 < term.len && term.data[at + 1] == '='))
        at++;
    if (at >= term.len)
        return error_origin(-EINVAL, "invalid selector: '%.*s'; can't understand '%.*s'",
                            (int)term.len, term.data, (int)term.len, term.data);
    bool equal = term.data[at] == '=';
    size_t op = !equal || (at + 1 < term.len && term.data[at + 1] == '=') ? 2 : 1;
    char *value = NULL;
    int r = value_unescape((Slice){ term.data + at + op, term.len - at - op }, &value);
    if (r < 0)
        return r;
    vec_push(selector, (FieldTerm){ str_dup_slice((Slice){ term.data, at }), value, equal });
    return 0;
}

/* The length up to the next comma that is not escaped. */
static size_t term_len(const char *text) {
    size_t len = 0;

    while (text[len] && text[len] != ',')
        len += text[len] == '\\' && text[len + 1] ? 2 : 1;
    return len;
}

int field_selector_parse(const char *text, FieldSelector **ret_selector) {
    _cleanup_(field_selector_freep) FieldSelector *selector = mem_new(FieldSelector);

    for (const char *at = text ? text : ""; *at;) {
        size_t len = term_len(at);
        int r = len ? term_parse(selector, (Slice){ at, len }) : 0;
        if (r < 0)
            return r;
        at += len + (at[len] == ',');
    }
    *ret_selector = TAKE(selector);
    return 0;
}

const char *field_selector_unknown(const FieldSelector *selector, const char *const *known) {
    VEC_EACH(term, selector) {
        const char *const *name = known;
        while (*name && !str_eq(*name, term->path))
            name++;
        if (!*name)
            return term->path;
    }
    return NULL;
}

static const json_t *path_value(const json_t *object, const char *path) {
    _cleanup_free_ char *copy = str_dup(path);
    char *rest = NULL;

    for (char *key = strtok_r(copy, ".", &rest); key && object; key = strtok_r(NULL, ".", &rest))
        object = json_object_get(object, key);
    return object;
}

static bool term_matches(const FieldTerm *term, const json_t *object) {
    const json_t *value = path_value(object, term->path);
    _cleanup_free_ char *text = NULL;

    if (!value || json_is_null(value))
        text = str_dup("");
    else if (json_is_string(value))
        text = str_dup(json_string_value(value));
    else
        text = json_text(value, JSON_GO);
    return str_eq(text, term->value) == term->equal;
}

bool field_selector_matches(const FieldSelector *selector, const json_t *object) {
    VEC_EACH(term, selector) {
        if (!term_matches(term, object))
            return false;
    }
    return true;
}

bool field_selector_is_everything(const FieldSelector *selector) {
    return selector->len == 0;
}

const char *field_selector_required(const FieldSelector *selector, const char *path) {
    VEC_EACH(term, selector) {
        if (term->equal && str_eq(term->path, path))
            return term->value;
    }
    return NULL;
}
