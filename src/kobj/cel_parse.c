/* SPDX-License-Identifier: Apache-2.0 */

/* CEL's text into a tree, by operator precedence. */

#include <ctype.h>

#include "base/error.h"
#include "kobj/cel_private.h"

enum {
    CEL_TEXT_MAX = 16384,
    CEL_DEPTH_MAX = 100,
    CEL_ITEMS_MAX = 256,
};

typedef struct Parser {
    Arena *arena;
    const char *text, *at;
    unsigned depth;
    bool old_self;
} Parser;

static int parse_expr(Parser *parser, int least, const CelNode **ret_node);

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

static CelNode *node_new(Parser *parser, CelOp op) {
    CelNode *node = arena_new(parser->arena, CelNode);

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

static int parse_string(Parser *parser, const CelNode **ret_node) {
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
    CelNode *node = node_new(parser, CEL_LITERAL);
    node->literal = arena_str(parser->arena, text);
    *ret_node = node;
    return 0;
}

/* Digits, letters of bases and exponents, and a sign behind an exponent's letter. */
static bool is_number_part(const char *start, const char *at) {
    if (isalnum((unsigned char)*at) || *at == '.')
        return true;
    return (*at == '+' || *at == '-') && at > start && (at[-1] == 'e' || at[-1] == 'E');
}

static int parse_number(Parser *parser, const CelNode **ret_node) {
    const char *start = parser->at;
    _cleanup_json_ json_t *value = NULL;

    while (is_number_part(start, parser->at))
        parser->at++;
    size_t len = (size_t)(parser->at - start);
    if (len > 0 && start[len - 1] == 'u')
        len--; /* unsigned literals are ordinary whole numbers here */
    value = json_loadb(start, len, JSON_DECODE_ANY, NULL);
    if (!value)
        return parse_fail(parser, "Syntax error: not a number");
    CelNode *node = node_new(parser, CEL_LITERAL);
    node->literal = arena_dup(parser->arena, start, len);
    *ret_node = node;
    return 0;
}

/* The expressions up to the closing token, which is taken. */
static int parse_items(Parser *parser, const char *close, CelNode *node) {
    const CelNode **items = arena_array(parser->arena, const CelNode *, CEL_ITEMS_MAX);

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

static int parse_has(Parser *parser, const CelNode **ret_node) {
    CelNode *node = node_new(parser, CEL_HAS);
    const CelNode *argument;

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

static int parse_call(Parser *parser, const char *name, const CelNode *target,
                      const CelNode **ret_node) {
    CelNode *node = node_new(parser, CEL_CALL);
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

static int parse_word(Parser *parser, const CelNode **ret_node) {
    const char *name = take_name(parser);

    if (!name)
        return parse_fail(parser, "Syntax error: mismatched input");
    if (str_eq(name, "self")) {
        *ret_node = node_new(parser, CEL_SELF);
    } else if (str_eq(name, "oldSelf")) {
        parser->old_self = true;
        *ret_node = node_new(parser, CEL_OLD_SELF);
    } else if (str_eq(name, "true") || str_eq(name, "false") || str_eq(name, "null")) {
        CelNode *node = node_new(parser, CEL_LITERAL);
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

static int parse_primary(Parser *parser, const CelNode **ret_node) {
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
        CelNode *node = node_new(parser, CEL_LIST);
        *ret_node = node;
        return parse_items(parser, "]", node);
    }
    return parse_word(parser, ret_node);
}

static int parse_select(Parser *parser, const CelNode **node) {
    const char *name = take_name(parser);

    if (!name)
        return parse_fail(parser, "Syntax error: a field name was expected");
    if (take(parser, "("))
        return parse_call(parser, name, *node, node);
    CelNode *select = node_new(parser, CEL_SELECT);
    select->left = *node;
    select->name = name_unescape(parser, name);
    *node = select;
    return 0;
}

static int parse_postfix(Parser *parser, const CelNode **ret_node) {
    const CelNode *node;
    int r = parse_primary(parser, &node);

    for (int count = 0; r == 0; count++) {
        if (count > CEL_DEPTH_MAX)
            return parse_fail(parser, "the expression is nested too deeply");
        if (take(parser, ".")) {
            r = parse_select(parser, &node);
        } else if (take(parser, "[")) {
            CelNode *index = node_new(parser, CEL_INDEX);
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

static int parse_unary(Parser *parser, const CelNode **ret_node) {
    skip_blanks(parser);
    bool negate = *parser->at == '-', not_op = *parser->at == '!' && parser->at[1] != '=';

    if (!negate && !not_op)
        return parse_postfix(parser, ret_node);
    if (++parser->depth > CEL_DEPTH_MAX)
        return parse_fail(parser, "the expression is nested too deeply");
    parser->at++;
    CelNode *node = node_new(parser, negate ? CEL_NEGATE : CEL_NOT);
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

static int parse_condition(Parser *parser, const CelNode **node) {
    CelNode *condition = node_new(parser, CEL_IF);

    condition->left = *node;
    int r = parse_expr(parser, 0, &condition->right);
    if (r == 0)
        r = expect(parser, ":");
    if (r == 0)
        r = parse_expr(parser, 0, &condition->third);
    *node = condition;
    return r;
}

static int parse_expr(Parser *parser, int least, const CelNode **ret_node) {
    const CelNode *node;
    const Binary *binary;

    if (++parser->depth > CEL_DEPTH_MAX)
        return parse_fail(parser, "the expression is nested too deeply");
    int r = parse_unary(parser, &node);
    for (unsigned count = 0; r == 0 && (binary = take_binary(parser, least)); count++) {
        if (count > CEL_DEPTH_MAX)
            return parse_fail(parser, "the expression is nested too deeply");
        CelNode *both = node_new(parser, binary->op);
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
