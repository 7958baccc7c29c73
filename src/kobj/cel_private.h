/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The tree between CEL's parser and its evaluator. */

#include "kobj/cel.h"

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

typedef struct CelNode CelNode;
struct CelNode {
    CelOp op;
    const CelNode *left, *right, *third;
    const char *name;    /* of a field or function */
    const char *literal; /* JSON text */
    const CelNode **items;
    size_t item_count;
};

struct CelExpr {
    const CelNode *root;
    bool old_self;
};
