/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One list of git's ignore patterns (gitignore(5)), for paths relative to where the list lies. */

#include "base/base.h"
#include "base/str.h"

typedef struct IgnorePattern IgnorePattern;

typedef struct IgnoreRules {
    IgnorePattern *items;
    size_t len, cap;
} IgnoreRules;

void ignore_rules_done(IgnoreRules *rules);
/* A line of a file: blank lines and comments are nothing. */
void ignore_rules_add(IgnoreRules *rules, Slice line);
void ignore_rules_add_text(IgnoreRules *rules, Slice text);
/* The last pattern that matches the path, or a directory above it, decides. */
bool ignore_rules_match(const IgnoreRules *rules, const char *path);
