/* SPDX-License-Identifier: Apache-2.0 */

/* `driver SCENARIO LIBRARY`: prints what test_c_api.py compares. */

#include <mobula.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MINUTE = 60 * 1000000,
    LARGE = 3 * 1024 * 1024
};

static Mobula *mobula;
static MobulaLibrary *library;
static const char *library_path;

static void must(int r, const char *what) {
    if (r == 0)
        return;
    printf("%s: %d %s\n", what, r, r < 0 ? mobula_error_text(r) : "");
    exit(1);
}

static MobulaRef *call(const char *symbol, const char *text) {
    MobulaFunction *function;
    MobulaRef *ref;
    MobulaArg arg = { .data = text, .size = text ? strlen(text) : 0 };
    must(mobula_function_new(library, symbol, NULL, &function), symbol);
    must(mobula_submit(function, &arg, text != NULL, &ref), symbol);
    mobula_function_free(function);
    return ref;
}

static void show(MobulaRef *ref) {
    MobulaValue value;
    must(mobula_get(mobula, &ref, 1, MINUTE, &value), "get");
    if (value.error)
        printf("error: %s\n", value.error);
    else
        printf("%.*s\n", (int)value.size, (const char *)value.data);
    mobula_value_release(&value);
    mobula_ref_drop(ref);
}

static void tasks(void) {
    show(call("echo", "hello"));
    show(call("echo", ""));
    show(call("fail", NULL));
    show(call("echo", NULL));
    show(call("no_such_symbol", NULL));
    show(call("twice_removed", library_path));

    /* References as arguments, an error among them. */
    MobulaFunction *join;
    MobulaRef *parts[] = { call("echo", "a"), call("echo", "b") }, *all, *bad = call("fail", NULL);
    MobulaArg args[] = { { .ref = parts[0] }, { .data = "-", .size = 1 }, { .ref = parts[1] } };
    must(mobula_function_new(library, "join", NULL, &join), "join");
    must(mobula_submit(join, args, 3, &all), "join");
    show(all);
    args[1] = (MobulaArg){ .ref = bad };
    must(mobula_submit(join, args, 3, &all), "join");
    show(all);

    /* Errors and values of one get. */
    MobulaRef *mixed[] = { parts[0], bad, parts[1] };
    MobulaValue values[3];
    must(mobula_get(mobula, mixed, 3, MINUTE, values), "get");
    printf("%.*s %d %.*s\n", (int)values[0].size, (const char *)values[0].data,
           values[1].error != NULL, (int)values[2].size, (const char *)values[2].data);
    for (int i = 0; i < 3; i++) {
        mobula_value_release(&values[i]);
        mobula_ref_drop(mixed[i]);
    }
    mobula_function_free(join);

    MobulaFunction *two;
    MobulaRef *pair[2];
    MobulaCallOptions options = MOBULA_CALL_OPTIONS;
    options.num_returns = 2;
    must(mobula_function_new(library, "two", &options, &two), "two");
    must(mobula_submit(two, NULL, 0, pair), "two");
    show(pair[0]);
    show(pair[1]);
    mobula_function_free(two);
}

static void large(void) {
    MobulaFunction *echo;
    MobulaRef *ref, *put;
    MobulaValue value;
    char *data = malloc(LARGE);
    for (int i = 0; i < LARGE; i++)
        data[i] = (char)(i * 7);
    must(mobula_function_new(library, "echo", NULL, &echo), "echo");
    MobulaArg arg = { .data = data, .size = LARGE };
    must(mobula_submit(echo, &arg, 1, &ref), "echo");
    must(mobula_get(mobula, &ref, 1, MINUTE, &value), "get");
    printf("%s\n", !value.error && value.size == LARGE && memcmp(value.data, data, LARGE) == 0
                       ? "the same"
                       : "different");
    mobula_value_release(&value);
    mobula_ref_drop(ref);
    must(mobula_put(mobula, data, LARGE, &put), "put");
    arg = (MobulaArg){ .ref = put };
    must(mobula_submit(echo, &arg, 1, &ref), "echo");
    must(mobula_get(mobula, &ref, 1, MINUTE, &value), "get");
    printf("%s\n",
           value.size == LARGE && memcmp(value.data, data, LARGE) == 0 ? "the same" : "different");
    mobula_value_release(&value);
    mobula_ref_drop(ref);
    mobula_ref_drop(put);
    mobula_function_free(echo);
    free(data);
}

static void waits(void) {
    MobulaRef *refs[] = { call("until_cancelled", NULL), NULL };
    MobulaValue value;
    bool ready[2];
    must(mobula_put(mobula, "x", 1, &refs[1]), "put");
    must(mobula_wait(mobula, refs, 2, 2, 0, ready), "wait");
    printf("%d %d\n", ready[0], ready[1]);
    printf("%d\n", mobula_get(mobula, refs, 1, 10000, &value));
    refs[1] = (mobula_ref_drop(refs[1]), refs[0]);
    printf("%d\n", mobula_wait(mobula, refs, 2, 1, 0, ready) < 0);
    must(mobula_cancel(mobula, refs[0], false), "cancel");
    show(refs[0]);
}

static void crashes(void) {
    MobulaFunction *crash;
    MobulaRef *ref;
    MobulaCallOptions options = MOBULA_CALL_OPTIONS;
    options.max_retries = 1;
    must(mobula_function_new(library, "crash", &options, &crash), "crash");
    must(mobula_submit(crash, NULL, 0, &ref), "crash");
    show(ref);
    mobula_function_free(crash);
    show(call("echo", "still here"));
}

static int counted(MobulaActor *actor, MobulaMethod *method) {
    MobulaRef *ref;
    MobulaValue value;
    int number = -1;
    must(mobula_actor_submit(actor, method, NULL, 0, &ref), "count");
    must(mobula_get(mobula, &ref, 1, MINUTE, &value), "get");
    if (!value.error && value.size == sizeof(number))
        memcpy(&number, value.data, sizeof(number));
    mobula_value_release(&value);
    mobula_ref_drop(ref);
    return number;
}

static void actors(void) {
    MobulaActorOptions options = MOBULA_ACTOR_OPTIONS;
    MobulaActor *counter, *again, *bad;
    MobulaMethod *count, *die, *none;
    MobulaRef *ref;
    options.name = "counter";
    options.max_restarts = 1;
    must(mobula_method_new(mobula, "count", NULL, &count), "count");
    must(mobula_method_new(mobula, "die", NULL, &die), "die");
    must(mobula_method_new(mobula, "none", NULL, &none), "none");
    printf("%d\n", mobula_actor_find(mobula, "counter", NULL, &again) == MOBULA_NOT_FOUND);
    must(mobula_actor_new(library, "Counter", &options, NULL, 0, &counter), "Counter");
    printf("%d\n",
           mobula_actor_new(library, "Counter", &options, NULL, 0, &again) == MOBULA_EXISTS);
    must(mobula_actor_find(mobula, "counter", NULL, &again), "find");
    printf("%d", counted(counter, count));
    printf(" %d", counted(again, count));
    printf(" %d\n", counted(counter, count));
    must(mobula_actor_submit(counter, none, NULL, 0, &ref), "none");
    show(ref);
    must(mobula_actor_submit(counter, die, NULL, 0, &ref), "die");
    MobulaValue value;
    must(mobula_get(mobula, &ref, 1, MINUTE, &value), "get");
    printf("%d\n", value.error != NULL);
    mobula_value_release(&value);
    mobula_ref_drop(ref);
    printf("%d\n", counted(counter, count)); /* a new one, after its restart */
    must(mobula_actor_kill(counter, true), "kill");
    printf("%d\n", counted(counter, count));
    MobulaArg arg = { .data = "", .size = 0 };
    must(mobula_actor_new(library, "Counter", NULL, &arg, 1, &bad), "Counter");
    must(mobula_actor_submit(bad, count, NULL, 0, &ref), "count");
    show(ref);
    mobula_actor_drop(bad);
    mobula_actor_drop(again);
    mobula_actor_drop(counter);
    mobula_method_free(none);
    mobula_method_free(die);
    mobula_method_free(count);
}

static void misuse(void) {
    MobulaFunction *function;
    MobulaActor *actor;
    MobulaLibrary *none;
    MobulaCallOptions options = MOBULA_CALL_OPTIONS;
    MobulaActorOptions detached = MOBULA_ACTOR_OPTIONS;
    MobulaResource odd = { "CPU", -1 };
    int r = mobula_library_open(mobula, "/nonexistent", &none);
    printf("%s\n", mobula_error_text(r));
    r = mobula_library_open(mobula, "/etc/passwd", &none);
    printf("%s\n", mobula_error_text(r));
    r = mobula_function_new(library, "", NULL, &function);
    printf("%s\n", mobula_error_text(r));
    options.num_returns = 65;
    r = mobula_function_new(library, "echo", &options, &function);
    printf("%s\n", mobula_error_text(r));
    options = (MobulaCallOptions)MOBULA_CALL_OPTIONS;
    options.resources = &odd;
    options.resources_len = 1;
    r = mobula_function_new(library, "echo", &options, &function);
    printf("%s\n", mobula_error_text(r));
    detached.detached = true;
    r = mobula_actor_new(library, "Counter", &detached, NULL, 0, &actor);
    printf("%s\n", mobula_error_text(r));
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } scenarios[] = { { "tasks", tasks },     { "large", large },   { "waits", waits },
                      { "crashes", crashes }, { "actors", actors }, { "misuse", misuse } };
    if (argc != 3)
        return 2;
    library_path = argv[2];
    must(mobula_connect(NULL, &mobula), "connect");
    must(mobula_library_open(mobula, library_path, &library), "library");
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        if (strcmp(scenarios[i].name, argv[1]) == 0)
            scenarios[i].run();
    mobula_library_close(library);
    mobula_disconnect(mobula);
    return 0;
}
