/* SPDX-License-Identifier: Apache-2.0 */
#include "env/ignore.h"

#include "base/test.h"

static bool ignored(const char *patterns, const char *path) {
    _cleanup_(ignore_rules_done) IgnoreRules rules = { 0 };
    ignore_rules_add_text(&rules, slice_str(patterns));
    return ignore_rules_match(&rules, path);
}

static void test_names_hold_at_every_depth(void **state) {
    CHECK(ignored("*.pyc\n", "a.pyc"));
    CHECK(ignored("*.pyc\n", "x/y/a.pyc"));
    CHECK(ignored("venv\n", "venv/lib/a.py"));
    CHECK(!ignored("venv\n", "myvenv/a.py"));
    CHECK(ignored("a?c\n", "abc"));
    CHECK(ignored("[ab].txt\n", "x/b.txt"));
    CHECK(ignored("[!a-c]x\n", "dx") && !ignored("[!a-c]x\n", "bx"));
    CHECK(ignored("[]]\n", "]") && ignored("[a\n", "[a") && ignored("a\\*\n", "a*"));
    CHECK(!ignored("a\\*\n", "ab"));
    CHECK(!ignored("*a*a*a*a*a*a*a*b\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void test_slashes_anchor(void **state) {
    CHECK(ignored("/build\n", "build/x"));
    CHECK(!ignored("/build\n", "src/build/x"));
    CHECK(ignored("doc/*.txt\n", "doc/a.txt"));
    CHECK(!ignored("doc/*.txt\n", "doc/sub/a.txt"));
    CHECK(!ignored("doc/*.txt\n", "x/doc/a.txt"));
}

static void test_directories_only(void **state) {
    CHECK(ignored("logs/\n", "logs/a"));
    CHECK(!ignored("logs/\n", "logs"));
}

static void test_double_stars(void **state) {
    CHECK(ignored("**/foo\n", "a/b/foo"));
    CHECK(ignored("a/**/b\n", "a/b"));
    CHECK(ignored("a/**/b\n", "a/x/y/b"));
    CHECK(ignored("abc/**\n", "abc/x/y"));
    CHECK(!ignored("abc/**\n", "abc"));
}

static void test_last_match_decides(void **state) {
    CHECK(!ignored("*.log\n!keep.log\n", "keep.log"));
    CHECK(ignored("!keep.log\n*.log\n", "keep.log"));
    CHECK(ignored("# comment\n\n  \\\n\\#x\n", "#x"));
    CHECK(!ignored("# comment\n", "# comment"));
    CHECK(ignored("a  \n", "a"));
}

int main(void) {
    return TEST_RUN(TEST(test_names_hold_at_every_depth), TEST(test_slashes_anchor),
                    TEST(test_directories_only), TEST(test_double_stars),
                    TEST(test_last_match_decides));
}
