/* SPDX-License-Identifier: Apache-2.0 */

/* Evaluates CEL over JSON values. Steps are counted, so that a rule can't hold the server. */

#include <math.h>

#include "base/error.h"
#include "kobj/cel_private.h"
#include "kobj/schema_private.h"

enum {
    CEL_STEPS_MAX = 100000,
    CEL_TEXT_GROWN_MAX = 100000, /* characters that `+` may make */
};

typedef struct Run {
    const json_t *self, *old_self;
    unsigned steps;
} Run;

static int run(Run *at, const CelNode *node, json_t **ret_value);

static int no_overload(const char *what) {
    return error_origin(-EINVAL, "no such overload: %s", what);
}

static int run_bool(Run *at, const CelNode *node, bool *ret_value) {
    _cleanup_json_ json_t *value = NULL;

    int r = run(at, node, &value);
    if (r < 0)
        return r;
    if (!json_is_boolean(value))
        return no_overload("a boolean was expected");
    *ret_value = json_is_true(value);
    return 0;
}

/* `||` and `&&` are commutative in CEL: an error on one side is forgiven if the other decides. */
static int run_logic(Run *at, const CelNode *node, json_t **ret_value) {
    bool decides = node->op == CEL_OR, left = false, right = false;

    int left_r = run_bool(at, node->left, &left);
    if (left_r == 0 && left == decides) {
        *ret_value = json_boolean(decides);
        return 0;
    }
    int r = run_bool(at, node->right, &right);
    if (r < 0)
        return r;
    if (right != decides && left_r < 0)
        return error_origin(left_r, "no such overload");
    *ret_value = json_boolean(right == decides ? decides : !decides);
    return 0;
}

static int run_select(Run *at, const CelNode *node, json_t **ret_value) {
    _cleanup_json_ json_t *target = NULL;

    int r = run(at, node->left, &target);
    if (r < 0)
        return r;
    json_t *member = json_object_get(target, node->name);
    if (node->op == CEL_HAS) {
        *ret_value = json_boolean(member && !json_is_null(member));
        return 0;
    }
    if (!member)
        return error_origin(-EINVAL, "no such key: %s", node->name);
    *ret_value = json_incref(member);
    return 0;
}

static int run_index(const json_t *target, const json_t *index, json_t **ret_value) {
    json_t *item = NULL;

    if (json_is_string(index))
        item = json_object_get(target, json_string_value(index));
    else if (json_is_integer(index) && json_integer_value(index) >= 0)
        item = json_array_get(target, (size_t)json_integer_value(index));
    if (!item)
        return error_origin(-EINVAL,
                            json_is_array(target) ? "index out of bounds" : "no such key in a map");
    *ret_value = json_incref(item);
    return 0;
}

static int run_in(Run *at, const json_t *item, const json_t *list, json_t **ret_value) {
    bool found = json_is_string(item) && json_object_get(list, json_string_value(item));

    if (!json_is_array(list) && !json_is_object(list))
        return no_overload("in");
    for (size_t i = 0; i < json_array_size(list) && !found; i++) {
        at->steps++;
        found = json_same(item, json_array_get(list, i));
    }
    *ret_value = json_boolean(found);
    return 0;
}

static int compare(const json_t *a, const json_t *b, int *ret_order) {
    if (json_is_number(a) && json_is_number(b)) {
        double left = json_number_value(a), right = json_number_value(b);
        *ret_order = (left > right) - (left < right);
        return 0;
    }
    if (!json_is_string(a) || !json_is_string(b))
        return no_overload("<, <=, >, >=");
    *ret_order = strcmp(json_string_value(a), json_string_value(b));
    return 0;
}

static int run_compare(CelOp op, const json_t *a, const json_t *b, json_t **ret_value) {
    int order = 0;

    int r = compare(a, b, &order);
    if (r < 0)
        return r;
    *ret_value = json_boolean(op == CEL_LESS         ? order < 0
                              : op == CEL_LESS_EQUAL ? order <= 0
                              : op == CEL_MORE       ? order > 0
                                                     : order >= 0);
    return 0;
}

static int run_whole(CelOp op, int64_t a, int64_t b, json_t **ret_value) {
    int64_t result = 0;
    bool over = false;

    if ((op == CEL_DIV || op == CEL_MOD) && b == 0)
        return error_origin(-EINVAL, op == CEL_DIV ? "division by zero" : "modulus by zero");
    if (op == CEL_ADD)
        over = __builtin_add_overflow(a, b, &result);
    else if (op == CEL_SUB)
        over = __builtin_sub_overflow(a, b, &result);
    else if (op == CEL_MUL)
        over = __builtin_mul_overflow(a, b, &result);
    else if (a == INT64_MIN && b == -1)
        over = true;
    else
        result = op == CEL_DIV ? a / b : a % b;
    if (over)
        return error_origin(-EINVAL, "integer overflow");
    *ret_value = json_integer(result);
    return 0;
}

static int run_real(CelOp op, double a, double b, json_t **ret_value) {
    double result = op == CEL_ADD ? a + b : op == CEL_SUB ? a - b : op == CEL_MUL ? a * b : a / b;

    if (op == CEL_MOD || !isfinite(result))
        return no_overload("arithmetic on numbers");
    *ret_value = json_real(result);
    return 0;
}

static int run_arithmetic(CelOp op, const json_t *a, const json_t *b, json_t **ret_value) {
    if (json_is_integer(a) && json_is_integer(b))
        return run_whole(op, json_integer_value(a), json_integer_value(b), ret_value);
    if (json_is_number(a) && json_is_number(b))
        return run_real(op, json_number_value(a), json_number_value(b), ret_value);
    if (op == CEL_ADD && json_is_string(a) && json_is_string(b)) {
        if (json_string_length(a) + json_string_length(b) > CEL_TEXT_GROWN_MAX)
            return error_origin(-E2BIG, "a string grows too long");
        *ret_value = json_sprintf("%s%s", json_string_value(a), json_string_value(b));
        return 0;
    }
    return no_overload("arithmetic");
}

static int run_binary(Run *at, const CelNode *node, json_t **ret_value) {
    _cleanup_json_ json_t *left = NULL, *right = NULL;

    int r = run(at, node->left, &left);
    if (r == 0)
        r = run(at, node->right, &right);
    if (r < 0)
        return r;
    switch (node->op) {
    case CEL_EQUAL:
    case CEL_UNEQUAL:
        *ret_value = json_boolean(json_same(left, right) == (node->op == CEL_EQUAL));
        return 0;
    case CEL_IN:
        return run_in(at, left, right, ret_value);
    case CEL_INDEX:
        return run_index(left, right, ret_value);
    case CEL_LESS:
    case CEL_LESS_EQUAL:
    case CEL_MORE:
    case CEL_MORE_EQUAL:
        return run_compare(node->op, left, right, ret_value);
    default:
        return run_arithmetic(node->op, left, right, ret_value);
    }
}

static size_t characters(const json_t *text) {
    size_t count = 0;

    for (const char *p = json_string_value(text); *p; p++)
        count += ((unsigned char)*p & 0xc0) != 0x80;
    return count;
}

static int call_size(const json_t *value, json_t **ret_value) {
    size_t size;

    if (json_is_string(value))
        size = characters(value);
    else if (json_is_array(value))
        size = json_array_size(value);
    else if (json_is_object(value))
        size = json_object_size(value);
    else
        return no_overload("size");
    *ret_value = json_integer((json_int_t)size);
    return 0;
}

static int call_convert(const char *name, const json_t *value, json_t **ret_value) {
    _cleanup_free_ char *text =
        json_is_string(value) ? str_dup(json_string_value(value)) : json_text(value, JSON_GO);
    int64_t whole;
    double real;

    if (json_is_object(value) || json_is_array(value))
        return no_overload(name);
    if (str_eq(name, "string"))
        *ret_value = json_string(text);
    else if (str_eq(name, "int") && str_to_i64(text, &whole) == 0)
        *ret_value = json_integer(whole);
    else if (str_eq(name, "double") && str_to_double(text, &real) == 0)
        *ret_value = json_real(real);
    else
        return error_origin(-EINVAL, "type conversion error from '%s' to '%s'", text, name);
    return 0;
}

static int call_text(const char *name, const json_t *target, const json_t *argument,
                     json_t **ret_value) {
    const char *text = json_string_value(target), *part = json_string_value(argument);

    if (!text || !part)
        return no_overload(name);
    bool result = str_eq(name, "startsWith") ? str_starts(text, part)
                  : str_eq(name, "endsWith") ? str_ends(text, part)
                  : str_eq(name, "contains") ? strstr(text, part) != NULL
                                             : regex_matches(part, text, strlen(text));
    *ret_value = json_boolean(result);
    return 0;
}

static int run_call(Run *at, const CelNode *node, json_t **ret_value) {
    _cleanup_json_ json_t *target = NULL, *argument = NULL;
    int r = 0;

    if (node->left)
        r = run(at, node->left, &target);
    if (r == 0 && node->item_count > 0)
        r = run(at, node->items[0], &argument);
    if (r < 0)
        return r;
    if (str_eq(node->name, "size"))
        return call_size(target ? target : argument, ret_value);
    return target ? call_text(node->name, target, argument, ret_value)
                  : call_convert(node->name, argument, ret_value);
}

static int run_list(Run *at, const CelNode *node, json_t **ret_value) {
    _cleanup_json_ json_t *list = json_array();

    for (size_t i = 0; i < node->item_count; i++) {
        json_t *item = NULL;
        int r = run(at, node->items[i], &item);
        if (r < 0)
            return r;
        json_array_append_new(list, item);
    }
    *ret_value = TAKE(list);
    return 0;
}

static int run_not(Run *at, const CelNode *node, json_t **ret_value) {
    bool value;

    int r = run_bool(at, node->left, &value);
    if (r == 0)
        *ret_value = json_boolean(!value);
    return r;
}

static int run_negate(Run *at, const CelNode *node, json_t **ret_value) {
    _cleanup_json_ json_t *value = NULL, *zero = json_integer(0);

    int r = run(at, node->left, &value);
    return r < 0 ? r : run_arithmetic(CEL_SUB, zero, value, ret_value);
}

static int run_if(Run *at, const CelNode *node, json_t **ret_value) {
    bool condition;

    int r = run_bool(at, node->left, &condition);
    return r < 0 ? r : run(at, condition ? node->right : node->third, ret_value);
}

/* *ret_value is a new reference. */
static int run(Run *at, const CelNode *node, json_t **ret_value) {
    if (++at->steps > CEL_STEPS_MAX)
        return error_origin(-E2BIG, "operation cancelled: actual cost limit exceeded");
    switch (node->op) {
    case CEL_LITERAL:
        *ret_value = json_loads(node->literal, JSON_DECODE_ANY, NULL);
        return 0;
    case CEL_SELF:
        *ret_value = json_incref((json_t *)(uintptr_t)at->self);
        return 0;
    case CEL_OLD_SELF:
        *ret_value = at->old_self ? json_incref((json_t *)(uintptr_t)at->old_self) : json_null();
        return 0;
    case CEL_SELECT:
    case CEL_HAS:
        return run_select(at, node, ret_value);
    case CEL_CALL:
        return run_call(at, node, ret_value);
    case CEL_LIST:
        return run_list(at, node, ret_value);
    case CEL_NOT:
        return run_not(at, node, ret_value);
    case CEL_NEGATE:
        return run_negate(at, node, ret_value);
    case CEL_OR:
    case CEL_AND:
        return run_logic(at, node, ret_value);
    case CEL_IF:
        return run_if(at, node, ret_value);
    default:
        return run_binary(at, node, ret_value);
    }
}

int cel_evaluate(const CelExpr *expr, const json_t *self, const json_t *old_self,
                 bool *ret_result) {
    Run at = { .self = self, .old_self = old_self };

    return run_bool(&at, expr->root, ret_result);
}
