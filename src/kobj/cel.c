/* SPDX-License-Identifier: Apache-2.0 */

/* A Pratt parser into a small tree, and an evaluator over JSON values. Costs are bounded by a
 * count of steps, so a rule can't hold the server. */

#include "kobj/cel.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "kobj/schema_private.h"

typedef enum CelOp {
    CEL_LITERAL,
    CEL_SELF,
    CEL_OLD_SELF,
    CEL_SELECT, /* left.name */
    CEL_INDEX,  /* left[right] */
    CEL_HAS,    /* has(left.name) */
    CEL_CALL,   /* name(items), left.name(items) */
    CEL_LIST,
    CEL_NOT,
    CEL_NEGATE,
    CEL_OR,
    CEL_AND,
    CEL_EQUAL,
    CEL_UNEQUAL,
    CEL_LESS,
    CEL_LESS_EQUAL,
    CEL_MORE,
    CEL_MORE_EQUAL,
    CEL_IN,
    CEL_ADD,
    CEL_SUB,
    CEL_MUL,
    CEL_DIV,
    CEL_MOD,
    CEL_IF, /* left ? right : third */
} CelOp;

enum {
    CEL_TEXT_MAX = 16384,
    CEL_DEPTH_MAX = 100,
    CEL_ITEMS_MAX = 256,
    CEL_STEPS_MAX = 100000,
};

typedef struct Node Node;
struct Node {
    CelOp op;
    const Node *left, *right, *third;
    const char *name;    /* of a field or function */
    const char *literal; /* JSON text */
    const Node **items;
    size_t item_count;
};

struct CelExpr {
    const Node *root;
    bool old_self;
};

typedef struct Parser {
    Arena *arena;
    const char *text, *at;
    unsigned depth;
    bool old_self;
} Parser;

static int parse_expr(Parser *parser, int least, const Node **ret_node);

static int parse_fail(Parser *parser, const char *why) {
    return error_origin(-EINVAL, "ERROR: <input>:1:%zu: %s",
                        (size_t)(parser->at - parser->text) + 1, why);
}

static void skip_blanks(Parser *parser) {
    while (isspace((unsigned char)*parser->at))
        parser->at++;
}

static bool take(Parser *parser, const char *token) {
    skip_blanks(parser);
    size_t len = strlen(token);
    bool word = isalpha((unsigned char)*token);
    if (strncmp(parser->at, token, len) != 0)
        return false;
    if (word && (isalnum((unsigned char)parser->at[len]) || parser->at[len] == '_'))
        return false;
    parser->at += len;
    return true;
}

static int expect(Parser *parser, const char *token) {
    _cleanup_free_ char *why = str_printf("Syntax error: expected '%s'", token);

    return take(parser, token) ? 0 : parse_fail(parser, why);
}

static Node *node_new(Parser *parser, CelOp op) {
    Node *node = arena_new(parser->arena, Node);

    node->op = op;
    return node;
}

static const char *take_name(Parser *parser) {
    skip_blanks(parser);
    const char *start = parser->at;
    if (!isalpha((unsigned char)*start) && *start != '_')
        return NULL;
    while (isalnum((unsigned char)*parser->at) || *parser->at == '_')
        parser->at++;
    return arena_dup(parser->arena, start, (size_t)(parser->at - start));
}

/* Field names that CEL can't write are escaped: __dash__, __dot__, __slash__, __x__ for words. */
static const char *name_unescape(Parser *parser, const char *name) {
    static const char *const pairs[][2] = {
        { "__underscores__", "__" }, { "__dot__", "." }, { "__dash__", "-" }, { "__slash__", "/" }
    };
    _cleanup_buf_ Buf out = { 0 };

    for (const char *p = name; *p;) {
        size_t i = 0;
        while (i < ARRAY_LEN(pairs) && strncmp(p, pairs[i][0], strlen(pairs[i][0])) != 0)
            i++;
        if (i == ARRAY_LEN(pairs)) {
            buf_add_char(&out, *p++);
        } else {
            buf_add_str(&out, pairs[i][1]);
            p += strlen(pairs[i][0]);
        }
    }
    return arena_str(parser->arena, out.data ? out.data : "");
}

/* --- literals --- */

static int parse_string(Parser *parser, const Node **ret_node) {
    static const char escapes[] = "\"\"''\\\\??``a\ab\bf\fn\nr\rt\tv\v";
    char quote = *parser->at++;
    _cleanup_buf_ Buf out = { 0 };

    for (; *parser->at != quote; parser->at++) {
        if (!*parser->at || *parser->at == '\n')
            return parse_fail(parser, "Syntax error: a string does not end");
        if (*parser->at != '\\') {
            buf_add_char(&out, *parser->at);
            continue;
        }
        const char *pair = escapes;
        for (parser->at++; *pair && *pair != *parser->at; pair += 2)
            ;
        if (!*pair)
            return parse_fail(parser, "unsupported escape in a string");
        buf_add_char(&out, pair[1]);
    }
    parser->at++;
    _cleanup_json_ json_t *value = json_stringn(out.data ? out.data : "", out.len);
    if (!value)
        return parse_fail(parser, "a string is not UTF-8");
    _cleanup_free_ char *text = json_text(value, 0);
    Node *node = node_new(parser, CEL_LITERAL);
    node->literal = arena_str(parser->arena, text);
    *ret_node = node;
    return 0;
}

static int parse_number(Parser *parser, const Node **ret_node) {
    const char *start = parser->at;
    _cleanup_json_ json_t *value = NULL;

    while (isalnum((unsigned char)*parser->at) || *parser->at == '.' ||
           (strchr("+-", *parser->at) && parser->at > start && strchr("eE", parser->at[-1])))
        parser->at++;
    size_t len = (size_t)(parser->at - start);
    if (len > 0 && start[len - 1] == 'u')
        len--; /* unsigned literals are ordinary whole numbers here */
    value = json_loadb(start, len, JSON_DECODE_ANY, NULL);
    if (!value)
        return parse_fail(parser, "Syntax error: not a number");
    Node *node = node_new(parser, CEL_LITERAL);
    node->literal = arena_dup(parser->arena, start, len);
    *ret_node = node;
    return 0;
}

/* The expressions up to the closing token, which is taken. */
static int parse_items(Parser *parser, const char *close, Node *node) {
    const Node **items = arena_array(parser->arena, const Node *, CEL_ITEMS_MAX);

    node->items = items;
    if (take(parser, close))
        return 0;
    for (;;) {
        if (node->item_count == CEL_ITEMS_MAX)
            return parse_fail(parser, "too many items");
        int r = parse_expr(parser, 0, &items[node->item_count]);
        if (r < 0)
            return r;
        node->item_count++;
        if (take(parser, close))
            return 0;
        r = expect(parser, ",");
        if (r < 0)
            return r;
    }
}

/* --- primary and postfix --- */

static int parse_has(Parser *parser, const Node **ret_node) {
    Node *node = node_new(parser, CEL_HAS);
    const Node *argument;

    int r = parse_expr(parser, 0, &argument);
    if (r < 0)
        return r;
    if (argument->op != CEL_SELECT)
        return parse_fail(parser, "invalid argument to has() macro");
    node->left = argument->left;
    node->name = argument->name;
    *ret_node = node;
    return expect(parser, ")");
}

static bool is_function(const char *name, bool method) {
    static const char *const methods[] = { "startsWith", "endsWith", "contains", "matches",
                                           "size" };
    static const char *const functions[] = { "size", "string", "int", "double" };
    const char *const *list = method ? methods : functions;
    size_t count = method ? ARRAY_LEN(methods) : ARRAY_LEN(functions);

    for (size_t i = 0; i < count; i++)
        if (str_eq(list[i], name))
            return true;
    return false;
}

static int parse_call(Parser *parser, const char *name, const Node *target, const Node **ret_node) {
    Node *node = node_new(parser, CEL_CALL);
    _cleanup_free_ char *why = str_printf("undeclared reference to '%s' (in container '')", name);

    if (!is_function(name, target != NULL))
        return parse_fail(parser, why);
    node->name = name;
    node->left = target;
    *ret_node = node;
    int r = parse_items(parser, ")", node);
    if (r < 0)
        return r;
    size_t wanted = target && !str_eq(name, "size") ? 1 : target ? 0 : 1;
    return node->item_count == wanted ? 0 : parse_fail(parser, "found no matching overload");
}

static int parse_word(Parser *parser, const Node **ret_node) {
    const char *name = take_name(parser);

    if (!name)
        return parse_fail(parser, "Syntax error: mismatched input");
    if (str_eq(name, "self")) {
        *ret_node = node_new(parser, CEL_SELF);
    } else if (str_eq(name, "oldSelf")) {
        parser->old_self = true;
        *ret_node = node_new(parser, CEL_OLD_SELF);
    } else if (str_eq(name, "true") || str_eq(name, "false") || str_eq(name, "null")) {
        Node *node = node_new(parser, CEL_LITERAL);
        node->literal = name;
        *ret_node = node;
    } else if (take(parser, "(")) {
        return str_eq(name, "has") ? parse_has(parser, ret_node)
                                   : parse_call(parser, name, NULL, ret_node);
    } else {
        _cleanup_free_ char *why =
            str_printf("undeclared reference to '%s' (in container '')", name);
        return parse_fail(parser, why);
    }
    return 0;
}

static int parse_primary(Parser *parser, const Node **ret_node) {
    skip_blanks(parser);
    if (*parser->at == '\'' || *parser->at == '"')
        return parse_string(parser, ret_node);
    if (isdigit((unsigned char)*parser->at))
        return parse_number(parser, ret_node);
    if (take(parser, "(")) {
        int r = parse_expr(parser, 0, ret_node);
        return r < 0 ? r : expect(parser, ")");
    }
    if (take(parser, "[")) {
        Node *node = node_new(parser, CEL_LIST);
        *ret_node = node;
        return parse_items(parser, "]", node);
    }
    return parse_word(parser, ret_node);
}

static int parse_select(Parser *parser, const Node **node) {
    const char *name = take_name(parser);

    if (!name)
        return parse_fail(parser, "Syntax error: a field name was expected");
    if (take(parser, "("))
        return parse_call(parser, name, *node, node);
    Node *select = node_new(parser, CEL_SELECT);
    select->left = *node;
    select->name = name_unescape(parser, name);
    *node = select;
    return 0;
}

static int parse_postfix(Parser *parser, const Node **ret_node) {
    const Node *node;
    int r = parse_primary(parser, &node);

    for (int count = 0; r == 0; count++) {
        if (count > CEL_DEPTH_MAX)
            return parse_fail(parser, "the expression is nested too deeply");
        if (take(parser, ".")) {
            r = parse_select(parser, &node);
        } else if (take(parser, "[")) {
            Node *index = node_new(parser, CEL_INDEX);
            index->left = node;
            r = parse_expr(parser, 0, &index->right);
            if (r == 0)
                r = expect(parser, "]");
            node = index;
        } else {
            *ret_node = node;
            return 0;
        }
    }
    return r;
}

static int parse_unary(Parser *parser, const Node **ret_node) {
    skip_blanks(parser);
    bool negate = *parser->at == '-', not_op = *parser->at == '!' && parser->at[1] != '=';

    if (!negate && !not_op)
        return parse_postfix(parser, ret_node);
    if (++parser->depth > CEL_DEPTH_MAX)
        return parse_fail(parser, "the expression is nested too deeply");
    parser->at++;
    Node *node = node_new(parser, negate ? CEL_NEGATE : CEL_NOT);
    int r = parse_unary(parser, &node->left);
    parser->depth--;
    *ret_node = node;
    return r;
}

/* --- binary operators --- */

typedef struct Binary {
    const char *token;
    CelOp op;
    int strength;
} Binary;

static const Binary binaries[] = {
    { "||", CEL_OR, 2 },      { "&&", CEL_AND, 3 },        { "==", CEL_EQUAL, 4 },
    { "!=", CEL_UNEQUAL, 4 }, { "<=", CEL_LESS_EQUAL, 4 }, { ">=", CEL_MORE_EQUAL, 4 },
    { "<", CEL_LESS, 4 },     { ">", CEL_MORE, 4 },        { "in", CEL_IN, 4 },
    { "+", CEL_ADD, 5 },      { "-", CEL_SUB, 5 },         { "*", CEL_MUL, 6 },
    { "/", CEL_DIV, 6 },      { "%", CEL_MOD, 6 },
};

static const Binary *take_binary(Parser *parser, int least) {
    for (size_t i = 0; i < ARRAY_LEN(binaries); i++)
        if (binaries[i].strength >= least && take(parser, binaries[i].token))
            return &binaries[i];
    return NULL;
}

static int parse_condition(Parser *parser, const Node **node) {
    Node *condition = node_new(parser, CEL_IF);

    condition->left = *node;
    int r = parse_expr(parser, 0, &condition->right);
    if (r == 0)
        r = expect(parser, ":");
    if (r == 0)
        r = parse_expr(parser, 0, &condition->third);
    *node = condition;
    return r;
}

static int parse_expr(Parser *parser, int least, const Node **ret_node) {
    const Node *node;
    const Binary *binary;

    if (++parser->depth > CEL_DEPTH_MAX)
        return parse_fail(parser, "the expression is nested too deeply");
    int r = parse_unary(parser, &node);
    for (unsigned count = 0; r == 0 && (binary = take_binary(parser, least)); count++) {
        if (count > CEL_DEPTH_MAX)
            return parse_fail(parser, "the expression is nested too deeply");
        Node *both = node_new(parser, binary->op);
        both->left = node;
        r = parse_expr(parser, binary->strength + 1, &both->right);
        node = both;
    }
    if (r == 0 && least <= 1 && take(parser, "?"))
        r = parse_condition(parser, &node);
    parser->depth--;
    if (r == 0)
        *ret_node = node;
    return r;
}

int cel_compile(Arena *arena, const char *text, const CelExpr **ret_expr) {
    Parser parser = { .arena = arena, .text = text, .at = text };
    CelExpr *expr = arena_new(arena, CelExpr);

    if (strlen(text) > CEL_TEXT_MAX)
        return error_origin(-EINVAL, "ERROR: <input>:1:1: the expression is too long");
    int r = parse_expr(&parser, 0, &expr->root);
    if (r < 0)
        return r;
    skip_blanks(&parser);
    if (*parser.at)
        return parse_fail(&parser, "Syntax error: extraneous input");
    expr->old_self = parser.old_self;
    *ret_expr = expr;
    return 0;
}

bool cel_uses_old_self(const CelExpr *expr) {
    return expr->old_self;
}

/* --- evaluation --- */

typedef struct Run {
    const json_t *self, *old_self;
    unsigned steps;
} Run;

static int run(Run *at, const Node *node, json_t **ret_value);

static int no_overload(const char *what) {
    return error_origin(-EINVAL, "no such overload: %s", what);
}

static int run_bool(Run *at, const Node *node, bool *ret_value) {
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
static int run_logic(Run *at, const Node *node, json_t **ret_value) {
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

static int run_select(Run *at, const Node *node, json_t **ret_value) {
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
        if (json_string_length(a) + json_string_length(b) > CEL_STEPS_MAX)
            return error_origin(-E2BIG, "a string grows too long");
        *ret_value = json_sprintf("%s%s", json_string_value(a), json_string_value(b));
        return 0;
    }
    return no_overload("arithmetic");
}

static int run_binary(Run *at, const Node *node, json_t **ret_value) {
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

static int run_call(Run *at, const Node *node, json_t **ret_value) {
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

static int run_list(Run *at, const Node *node, json_t **ret_value) {
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

static int run_not(Run *at, const Node *node, json_t **ret_value) {
    bool value;

    int r = run_bool(at, node->left, &value);
    if (r == 0)
        *ret_value = json_boolean(!value);
    return r;
}

static int run_negate(Run *at, const Node *node, json_t **ret_value) {
    _cleanup_json_ json_t *value = NULL, *zero = json_integer(0);

    int r = run(at, node->left, &value);
    return r < 0 ? r : run_arithmetic(CEL_SUB, zero, value, ret_value);
}

static int run_if(Run *at, const Node *node, json_t **ret_value) {
    bool condition;

    int r = run_bool(at, node->left, &condition);
    return r < 0 ? r : run(at, condition ? node->right : node->third, ret_value);
}

/* *ret_value is a new reference. */
static int run(Run *at, const Node *node, json_t **ret_value) {
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
