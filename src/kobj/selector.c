/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/selector.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/vec.h"
#include "kobj/names.h"

typedef enum Operator {
    OP_IN,
    OP_EQUALS, /* in with one value; kept apart for selector_text() */
    OP_NOT_IN,
    OP_NOT_EQUALS,
    OP_EXISTS,
    OP_NOT_EXISTS,
    OP_GREATER,
    OP_LESS,
} Operator;

typedef struct Requirement {
    char *key;
    Operator op;
    StrList values; /* sorted */
} Requirement;

struct Selector {
    Requirement *items; /* sorted by key */
    size_t len, cap;
    bool nothing;
};

Selector *selector_free(Selector *selector) {
    if (!selector)
        return NULL;
    VEC_EACH(item, selector) {
        mem_free(item->key);
        strlist_done(&item->values);
    }
    vec_done(selector);
    return mem_free(selector);
}

static int requirement_check(const Requirement *item) {
    int64_t number;
    const char *why = name_check_qualified(item->key);

    if (why)
        return error_origin(-EINVAL, "key: Invalid value: \"%s\": %s", item->key, why);
    for (size_t i = 0; i < item->values.len; i++) {
        why = name_check_label_value(item->values.items[i]);
        if (why)
            return error_origin(-EINVAL, "values[%zu][%s]: Invalid value: \"%s\": %s", i, item->key,
                                item->values.items[i], why);
    }
    if (item->op != OP_GREATER && item->op != OP_LESS)
        return 0;
    if (item->values.len != 1 || str_to_i64(item->values.items[0], &number) < 0)
        return error_origin(-EINVAL,
                            "values[0]: Invalid value: \"%s\": for 'Gt', 'Lt' operators, "
                            "the value must be an integer",
                            item->values.len ? item->values.items[0] : "");
    return 0;
}

static int requirement_compare(const void *a, const void *b) {
    return strcmp(((const Requirement *)a)->key, ((const Requirement *)b)->key);
}

/* Takes the requirement; sorted insertion comes at the end. */
static int selector_add(Selector *selector, Requirement item) {
    strlist_sort(&item.values);
    vec_push(selector, item);
    return requirement_check(&selector->items[selector->len - 1]);
}

static void selector_settle(Selector *selector) {
    if (selector->len > 1)
        qsort(selector->items, selector->len, sizeof(*selector->items), requirement_compare);
}

/* --- query text --- */

typedef struct Lexer {
    const char *at;
    char *word; /* the current token if it is one; else its characters in `op` */
    char op[3];
} Lexer;

static bool is_special(char c) {
    return c && strchr("=!(),<>", c);
}

/* Words run to a blank or special character; operators are = == != ! ( ) , > <. */
static void lexer_next(Lexer *lexer) {
    lexer->word = mem_free(lexer->word);
    memset(lexer->op, 0, sizeof(lexer->op));
    while (*lexer->at && strchr(" \t\r\n", *lexer->at))
        lexer->at++;
    if (!*lexer->at)
        return;
    if (is_special(*lexer->at)) {
        lexer->op[0] = *lexer->at++;
        if (strchr("=!", lexer->op[0]) && *lexer->at == '=')
            lexer->op[1] = *lexer->at++;
        return;
    }
    size_t len = strcspn(lexer->at, " \t\r\n=!(),<>");
    lexer->word = str_dup_slice((Slice){ lexer->at, len });
    lexer->at += len;
}

static bool lexer_is(const Lexer *lexer, const char *op) {
    return !lexer->word && str_eq(lexer->op, op);
}

static int lexer_fail(const Lexer *lexer, const char *expected) {
    return error_origin(-EINVAL, "unable to parse requirement: found '%s', expected: %s",
                        lexer->word ? lexer->word : lexer->op, expected);
}

static int parse_values(Lexer *lexer, StrList *values) {
    lexer_next(lexer);
    if (!lexer_is(lexer, "("))
        return lexer_fail(lexer, "'('");
    lexer_next(lexer);
    for (;;) {
        strlist_add(values, lexer->word ? lexer->word : "");
        if (lexer->word)
            lexer_next(lexer);
        if (lexer_is(lexer, ")"))
            break;
        if (!lexer_is(lexer, ","))
            return lexer_fail(lexer, "',' or ')'");
        lexer_next(lexer);
    }
    lexer_next(lexer);
    return 0;
}

/* The word behind = != > <; absent means "". */
static void parse_one_value(Lexer *lexer, StrList *values) {
    lexer_next(lexer);
    strlist_add(values, lexer->word ? lexer->word : "");
    if (lexer->word)
        lexer_next(lexer);
}

static int parse_operator(Lexer *lexer, Requirement *item) {
    static const struct {
        const char *text;
        Operator op;
    } known[] = { { "=", OP_EQUALS },
                  { "==", OP_EQUALS },
                  { "!=", OP_NOT_EQUALS },
                  { ">", OP_GREATER },
                  { "<", OP_LESS } };

    if (lexer->word && (str_eq(lexer->word, "in") || str_eq(lexer->word, "notin"))) {
        item->op = str_eq(lexer->word, "in") ? OP_IN : OP_NOT_IN;
        return parse_values(lexer, &item->values);
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (lexer_is(lexer, known[i].text)) {
            item->op = known[i].op;
            parse_one_value(lexer, &item->values);
            return 0;
        }
    }
    if (!lexer_is(lexer, "") && !lexer_is(lexer, ","))
        return lexer_fail(lexer, "in, notin, =, ==, !=, gt, lt");
    item->op = OP_EXISTS;
    return 0;
}

static int parse_requirement(Lexer *lexer, Selector *selector) {
    bool negated = lexer_is(lexer, "!");
    Requirement item = { 0 };

    if (negated)
        lexer_next(lexer);
    if (!lexer->word)
        return lexer_fail(lexer, negated ? "identifier" : "!, identifier, or 'end of string'");
    item.key = TAKE(lexer->word);
    lexer_next(lexer);
    int r = 0;
    if (negated)
        item.op = OP_NOT_EXISTS;
    else
        r = parse_operator(lexer, &item);
    int added = selector_add(selector, item);
    return r < 0 ? r : added;
}

static int parse_requirements(Lexer *lexer, Selector *selector) {
    lexer_next(lexer);
    while (!lexer_is(lexer, "")) {
        int r = parse_requirement(lexer, selector);
        if (r < 0)
            return r;
        if (lexer_is(lexer, ""))
            break;
        if (!lexer_is(lexer, ","))
            return lexer_fail(lexer, "',' or 'end of string'");
        lexer_next(lexer);
        if (!lexer->word && !lexer_is(lexer, "!"))
            return lexer_fail(lexer, "identifier after ','");
    }
    return 0;
}

int selector_parse(const char *text, Selector **ret_selector) {
    _cleanup_(selector_freep) Selector *selector = mem_new(Selector);
    Lexer lexer = { .at = text ? text : "" };

    int r = parse_requirements(&lexer, selector);
    mem_free(lexer.word);
    if (r < 0)
        return r;
    selector_settle(selector);
    *ret_selector = TAKE(selector);
    return 0;
}

/* --- LabelSelector --- */

static int expression_operator(const char *text, size_t values, Operator *ret_op) {
    static const struct {
        const char *text;
        Operator op;
        bool has_values;
    } known[] = { { "In", OP_IN, true },
                  { "NotIn", OP_NOT_IN, true },
                  { "Exists", OP_EXISTS, false },
                  { "DoesNotExist", OP_NOT_EXISTS, false } };

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!str_eq(text, known[i].text))
            continue;
        if (known[i].has_values && values == 0)
            return error_origin(-EINVAL, "values: Invalid value: []: for 'in', 'notin' operators, "
                                         "values set can't be empty");
        if (!known[i].has_values && values > 0)
            return error_origin(-EINVAL, "values: Invalid value: values set must be empty for "
                                         "exists and does not exist");
        *ret_op = known[i].op;
        return 0;
    }
    return error_origin(-EINVAL, "\"%s\" is not a valid label selector operator", text ? text : "");
}

static int add_expression(Selector *selector, const json_t *expression) {
    const json_t *values = json_object_get(expression, "values");
    const char *key = json_str_at(expression, "key");
    Operator op = OP_IN;
    size_t i;
    json_t *value;

    int r = expression_operator(json_str_at(expression, "operator"), json_array_size(values), &op);
    if (r < 0)
        return r;
    Requirement item = { .key = str_dup(key ? key : ""), .op = op };
    json_array_foreach((json_t *)(uintptr_t)values, i, value)
        strlist_add(&item.values, json_is_string(value) ? json_string_value(value) : "");
    return selector_add(selector, item);
}

static int add_equal(Selector *selector, const char *key, const json_t *value) {
    Requirement item = { .key = str_dup(key), .op = OP_EQUALS };

    strlist_add(&item.values, json_is_string(value) ? json_string_value(value) : "");
    return selector_add(selector, item);
}

int selector_from_json(const json_t *label_selector, Selector **ret_selector) {
    _cleanup_(selector_freep) Selector *selector = mem_new(Selector);
    json_t *value;
    const char *key;
    size_t i;
    int r;

    selector->nothing = !json_is_object(label_selector);
    json_object_foreach(json_at(label_selector, "matchLabels"), key, value) {
        r = add_equal(selector, key, value);
        if (r < 0)
            return r;
    }
    json_array_foreach(json_at(label_selector, "matchExpressions"), i, value) {
        r = add_expression(selector, value);
        if (r < 0)
            return r;
    }
    selector_settle(selector);
    *ret_selector = TAKE(selector);
    return 0;
}

Selector *selector_from_labels(const json_t *labels) {
    Selector *selector = mem_new(Selector);
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
        (void)!add_equal(selector, key, value); /* an impossible label matches nothing */
    selector_settle(selector);
    return selector;
}

/* --- use --- */

static bool number_matches(const Requirement *item, const char *value) {
    int64_t have, bound;

    if (!value || str_to_i64(value, &have) < 0 || str_to_i64(item->values.items[0], &bound) < 0)
        return false;
    return item->op == OP_GREATER ? have > bound : have < bound;
}

static bool requirement_matches(const Requirement *item, const char *value) {
    switch (item->op) {
    case OP_IN:
    case OP_EQUALS:
        return value && strlist_has(&item->values, value);
    case OP_NOT_IN:
    case OP_NOT_EQUALS:
        return !value || !strlist_has(&item->values, value);
    case OP_EXISTS:
        return value != NULL;
    case OP_NOT_EXISTS:
        return value == NULL;
    case OP_GREATER:
    case OP_LESS:
        return number_matches(item, value);
    }
    return false;
}

bool selector_matches(const Selector *selector, const json_t *labels) {
    if (selector->nothing)
        return false;
    VEC_EACH(item, selector) {
        if (!requirement_matches(item, json_str_at(labels, item->key)))
            return false;
    }
    return true;
}

bool selector_is_everything(const Selector *selector) {
    return !selector->nothing && selector->len == 0;
}

static void values_text(const StrList *values, Buf *out) {
    for (size_t i = 0; i < values->len; i++)
        buf_printf(out, "%s%s", i ? "," : "", values->items[i]);
}

static void requirement_text(const Requirement *item, Buf *out) {
    static const char *const words[] = {
        [OP_IN] = " in (", [OP_EQUALS] = "=",    [OP_NOT_IN] = " notin (", [OP_NOT_EQUALS] = "!=",
        [OP_EXISTS] = "",  [OP_NOT_EXISTS] = "", [OP_GREATER] = ">",       [OP_LESS] = "<",
    };
    buf_printf(out, "%s%s%s", item->op == OP_NOT_EXISTS ? "!" : "", item->key, words[item->op]);
    values_text(&item->values, out);
    if (item->op == OP_IN || item->op == OP_NOT_IN)
        buf_add_char(out, ')');
}

char *selector_text(const Selector *selector) {
    Buf out = { 0 };

    for (size_t i = 0; i < selector->len; i++) {
        if (i > 0)
            buf_add_char(&out, ',');
        requirement_text(&selector->items[i], &out);
    }
    return buf_steal(&out);
}
