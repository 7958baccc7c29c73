/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/options.h"

#include "base/test.h"

typedef struct Values {
    bool block, dashboard, has_port;
    const char *address, *output;
    int64_t port;
    double cpus;
    StrList labels;
} Values;

static int parse(Values *values, bool stop_early, const char **words, int *ret_first, int *argc) {
    const Option options[] = {
        { "block", OPTION_FLAG, &values->block, "stay", .letter = 'b' },
        { "address", OPTION_TEXT, &values->address, "where", .letter = 'a' },
        { "port", OPTION_INT, &values->port, "port", .given = &values->has_port },
        { "num-cpus", OPTION_NUMBER, &values->cpus, "cpus" },
        { "include-dashboard", OPTION_BOOL, &values->dashboard, "page" },
        { "label", OPTION_LIST, &values->labels, "label" },
        { "output", OPTION_CHOICE, &values->output, "how", .letter = 'o',
          .metavar = "[text|json]" },
    };
    const OptionTable table = {
        "t", "[ARGS]...", "A test.", options, ARRAY_LEN(options), stop_early
    };
    for (*argc = 0; words[*argc];)
        (*argc)++;
    return options_parse(&table, *argc, (char **)(uintptr_t)words, ret_first);
}

static void values_done(Values *values) {
    strlist_done(&values->labels);
}

static void test_every_kind_is_read(void **state) {
    _cleanup_(values_done) Values v = { 0 };
    const char *words[] = { "t",
                            "-b",
                            "--address=h:1",
                            "--port",
                            "6379",
                            "x",
                            "--num-cpus",
                            "0.5",
                            "--label",
                            "a",
                            "--include-dashboard",
                            "true",
                            "--label=b",
                            "-o",
                            "json",
                            "y",
                            "--",
                            "--block",
                            NULL };
    int first = 0, argc = 0;
    CHECK_INT(parse(&v, false, words, &first, &argc), 0);
    CHECK(v.block && v.dashboard && v.has_port);
    CHECK_STR(v.address, "h:1");
    CHECK_INT(v.port, 6379);
    CHECK(v.cpus == 0.5);
    CHECK_STR(v.output, "json");
    CHECK_INT(v.labels.len, 2);
    CHECK_INT(argc - first, 3);
    CHECK_STR(words[first], "x");
    CHECK_STR(words[first + 1], "y");
    CHECK_STR(words[first + 2], "--block");
}

static void test_bad_lines_are_refused(void **state) {
    static const char *const bad[][3] = {
        { "t", "--nope", NULL },
        { "t", "--addres=x", NULL },
        { "t", "--port=x", NULL },
        { "t", "--port", NULL },
        { "t", "-z", NULL },
        { "t", "--num-cpus=1.x", NULL },
        { "t", "--block=1", NULL },
        { "t", "--output=jso", NULL },
        { "t", "--output=text|json", NULL },
        { "t", "--output=", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        _cleanup_(values_done) Values v = { 0 };
        const char *words[] = { bad[i][0], bad[i][1], NULL };
        int first = 77, argc = 0;
        CHECK_INT(parse(&v, false, words, &first, &argc), OPTIONS_BAD);
        CHECK_INT(first, 77);
    }
}

static void test_stop_early_leaves_the_rest(void **state) {
    _cleanup_(values_done) Values v = { 0 };
    const char *words[] = { "t", "-b", "cmd", "--port", "x", NULL };
    int first = 0, argc = 0;
    CHECK_INT(parse(&v, true, words, &first, &argc), 0);
    CHECK_INT(first, 2);
    CHECK(!v.has_port);
}

int main(void) {
    return TEST_RUN(TEST(test_every_kind_is_read), TEST(test_bad_lines_are_refused),
                    TEST(test_stop_early_leaves_the_rest));
}
