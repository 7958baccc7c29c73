/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The part of CEL that CRD rules of the KubeRay family use: self and oldSelf with field selection
 * and indexing, has(), size(), == != < <= > >=, in, && || !, ?:, + - * / %, lists, literals, and
 * the string functions startsWith, endsWith, contains, matches. Compiling refuses the rest by name.
 */

#include "base/arena.h"
#include "base/base.h"
#include "codec/json.h"

typedef struct CelExpr CelExpr;

/* -EINVAL: "ERROR: <input>:1:5: ...". The expression lives as long as the arena. */
_must_check_ int cel_compile(Arena *arena, const char *text, const CelExpr **ret_expr);
bool cel_uses_old_self(const CelExpr *expr);
/* Evaluates to a boolean. -EINVAL: a failure at run time ("no such key: x"); -E2BIG: too costly. */
_must_check_ int cel_evaluate(const CelExpr *expr, const json_t *self, const json_t *old_self,
                              bool *ret_result);
