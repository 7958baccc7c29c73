/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/jsonpath.h"

#include <ctype.h>

#include "base/error.h"
#include "base/vec.h"

typedef enum StepKind {
    STEP_KEY,
    STEP_INDEX,
    STEP_ALL,
    STEP_FILTER,
} StepKind;

typedef enum FilterOp {
    FILTER_EXISTS,
    FILTER_EQUAL,
    FILTER_UNEQUAL,
    FILTER_LESS,
    FILTER_LESS_EQUAL,
    FILTER_MORE,
    FILTER_MORE_EQUAL,
} FilterOp;

typedef struct Step {
    StepKind kind;
    char *key;       /* STEP_KEY; the dotted path below @ for STEP_FILTER */
    int64_t index;   /* STEP_INDEX; negative counts from the end */
    FilterOp op;     /* STEP_FILTER */
    json_t *operand; /* what the filter compares with */
} Step;

struct JsonPath {
    Step *items;
    size_t len, cap;
};

enum {
    JSONPATH_STEPS_MAX = 64
};

JsonPath *jsonpath_free(JsonPath *path) {
    if (!path)
        return NULL;
    VEC_EACH(step, path) {
        mem_free(step->key);
        json_decref(step->operand);
    }
    vec_done(path);
    return mem_free(path);
}

static int bad(const char *text, const char *why) {
    return error_origin(-EINVAL, "JSONPath %s: %s", text, why);
}

static void skip_blanks(const char **p) {
    while (isspace((unsigned char)**p))
        (*p)++;
}

/* 'text' or "text" with backslash escapes. */
static int take_quoted(const char **p, char **ret_text) {
    char quote = *(*p)++;
    _cleanup_buf_ Buf out = { 0 };

    for (; **p != quote; (*p)++) {
        if (!**p)
            return -EINVAL;
        if (**p == '\\' && (*p)[1])
            (*p)++;
        buf_add_char(&out, **p);
    }
    (*p)++;
    *ret_text = buf_steal(&out);
    return 0;
}

static int take_operator(const char **p, FilterOp *ret_op) {
    static const struct {
        const char *text;
        FilterOp op;
    } known[] = { { "==", FILTER_EQUAL },      { "!=", FILTER_UNEQUAL },
                  { "<=", FILTER_LESS_EQUAL }, { ">=", FILTER_MORE_EQUAL },
                  { "<", FILTER_LESS },        { ">", FILTER_MORE } };

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_starts(*p, known[i].text)) {
            *p += strlen(known[i].text);
            *ret_op = known[i].op;
            return 0;
        }
    }
    return -EINVAL;
}

static int take_operand(const char **p, json_t **ret_value) {
    _cleanup_free_ char *text = NULL;

    skip_blanks(p);
    if (**p == '\'' || **p == '"') {
        int r = take_quoted(p, &text);
        if (r < 0)
            return r;
        *ret_value = json_string(text);
        return *ret_value ? 0 : -EINVAL;
    }
    size_t len = strcspn(*p, " )");
    *ret_value = json_loadb(*p, len, JSON_DECODE_ANY, NULL);
    *p += len;
    return *ret_value ? 0 : -EINVAL;
}

/* `?(@.a.b=="x")` behind the bracket; ends behind the parenthesis. */
static int take_filter(const char **p, Step *step) {
    if (!str_starts(*p, "?("))
        return -EINVAL;
    *p += 2;
    skip_blanks(p);
    if (*(*p)++ != '@')
        return -EINVAL;
    if (**p == '.')
        (*p)++;
    size_t len = strcspn(*p, " =!<>)");
    step->key = str_dup_slice((Slice){ *p, len });
    *p += len;
    skip_blanks(p);
    step->kind = STEP_FILTER;
    if (**p != ')') {
        int r = take_operator(p, &step->op);
        if (r == 0)
            r = take_operand(p, &step->operand);
        if (r < 0)
            return r;
        skip_blanks(p);
    }
    return *(*p)++ == ')' ? 0 : -EINVAL;
}

static int take_bracket(const char **p, Step *step) {
    int r = 0;

    (*p)++;
    if (**p == '\'' || **p == '"') {
        r = take_quoted(p, &step->key);
    } else if (**p == '*') {
        (*p)++;
        step->kind = STEP_ALL;
    } else if (**p == '?') {
        r = take_filter(p, step);
    } else {
        size_t len = strcspn(*p, "]");
        _cleanup_free_ char *number = str_dup_slice((Slice){ *p, len });
        step->kind = STEP_INDEX;
        r = str_to_i64(number, &step->index);
        *p += len;
    }
    if (r < 0 || **p != ']')
        return -EINVAL;
    (*p)++;
    return 0;
}

static int take_key(const char **p, Step *step) {
    _cleanup_buf_ Buf out = { 0 };

    if (**p == '*') {
        (*p)++;
        step->kind = STEP_ALL;
        return 0;
    }
    for (; **p && !strchr(".[", **p); (*p)++) {
        if (**p == '\\' && (*p)[1])
            (*p)++;
        buf_add_char(&out, **p);
    }
    if (out.len == 0)
        return -EINVAL;
    step->key = buf_steal(&out);
    return 0;
}

static int take_step(const char **p, Step *step) {
    if (**p == '[')
        return take_bracket(p, step);
    if (**p != '.')
        return -EINVAL;
    (*p)++;
    return **p == '[' ? take_bracket(p, step) : take_key(p, step);
}

int jsonpath_compile(const char *text, JsonPath **ret_path) {
    _cleanup_(jsonpath_freep) JsonPath *path = mem_new(JsonPath);
    size_t len = strlen(text);
    bool braces = len > 1 && text[0] == '{' && text[len - 1] == '}';
    _cleanup_free_ char *inner = str_dup_slice((Slice){ text + braces, len - (braces ? 2 : 0) });
    const char *p = inner;

    if (*p == '$')
        p++;
    if (*p && *p != '.' && *p != '[')
        return bad(text, "has to start with a dot");
    while (*p && !str_eq(p, ".")) {
        Step step = { .kind = STEP_KEY };
        if (path->len == JSONPATH_STEPS_MAX)
            return bad(text, "has too many steps");
        int r = take_step(&p, &step);
        vec_push(path, step);
        if (r < 0)
            return bad(text, "can't be understood");
    }
    *ret_path = TAKE(path);
    return 0;
}

/* Says whether the two have an order, and which: -1, 0, 1. */
static bool compare(const json_t *a, const json_t *b, int *ret_order) {
    if (json_is_number(a) && json_is_number(b)) {
        double left = json_number_value(a), right = json_number_value(b);
        *ret_order = (left > right) - (left < right);
        return true;
    }
    if (!json_is_string(a) || !json_is_string(b))
        return false;
    int order = strcmp(json_string_value(a), json_string_value(b));
    *ret_order = (order > 0) - (order < 0);
    return true;
}

static bool filter_holds(const Step *step, const json_t *item) {
    _cleanup_free_ char *copy = str_dup(step->key);
    char *rest = NULL;

    for (char *key = strtok_r(copy, ".", &rest); key && item; key = strtok_r(NULL, ".", &rest))
        item = json_object_get(item, key);
    if (step->op == FILTER_EXISTS || !item)
        return item != NULL && step->op == FILTER_EXISTS;
    int order = 0;
    bool ordered = compare(item, step->operand, &order);
    switch (step->op) {
    case FILTER_EXISTS:
        return true;
    case FILTER_EQUAL:
        return json_same(item, step->operand);
    case FILTER_UNEQUAL:
        return !json_same(item, step->operand);
    case FILTER_LESS:
        return ordered && order < 0;
    case FILTER_LESS_EQUAL:
        return ordered && order <= 0;
    case FILTER_MORE:
        return ordered && order > 0;
    case FILTER_MORE_EQUAL:
        return ordered && order >= 0;
    }
    return false;
}

static void find(const Step *step, size_t left, json_t *value, json_t *out);

static void find_all(const Step *step, size_t left, json_t *value, json_t *out, bool filtered) {
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_array(value)) {
        json_array_foreach(value, i, item)
            if (!filtered || filter_holds(step, item))
                find(step + 1, left - 1, item, out);
    } else if (json_is_object(value)) {
        json_object_foreach(value, key, item)
            if (!filtered || filter_holds(step, item))
                find(step + 1, left - 1, item, out);
    }
}

static void find(const Step *step, size_t left, json_t *value, json_t *out) {
    json_t *below = NULL;
    int64_t size = (int64_t)json_array_size(value);

    if (left == 0) {
        json_array_append(out, value);
        return;
    }
    switch (step->kind) {
    case STEP_KEY:
        below = json_object_get(value, step->key);
        break;
    case STEP_INDEX:
        below = json_array_get(value, (size_t)(step->index < 0 ? step->index + size : step->index));
        break;
    case STEP_ALL:
    case STEP_FILTER:
        find_all(step, left, value, out, step->kind == STEP_FILTER);
        return;
    }
    if (below)
        find(step + 1, left - 1, below, out);
}

void jsonpath_find(const JsonPath *path, const json_t *value, json_t *out) {
    find(path->items, path->len, (json_t *)(uintptr_t)value, out);
}
