/* SPDX-License-Identifier: Apache-2.0 */

/* Calls of C code from C, by one program to one worker: `calls LIBRARY`, whose library is this file
 * with -DTASKS. Prints JSON: calls a second, pipelined and one at a time, of a task and of an actor. */

#include <mobula.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef TASKS

MobulaTaskFn nothing;
int nothing(MobulaCall *call) {
    (void)call;
    return 0;
}

static int method(MobulaCall *call, void *self) {
    (void)call;
    (void)self;
    return 0;
}

static const MobulaClassMethod methods[] = { { "nothing", method }, { NULL, NULL } };
const MobulaClass Nobody = { .methods = methods };

#else

enum {
    WINDOW = 1000,
    MINUTE = 60 * 1000000
};
#    define SECONDS 3.0

typedef struct Side { /* a task or an actor's method */
    Mobula *mobula;
    MobulaFunction *function;
    MobulaActor *actor;
    MobulaMethod *method;
} Side;

static void check(int r, const char *what) {
    if (r == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, r < 0 ? mobula_error_text(r) : "it took too long");
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void submit(const Side *side, MobulaRef **ret_ref) {
    check(side->actor ? mobula_actor_submit(side->actor, side->method, NULL, 0, ret_ref)
                      : mobula_submit(side->function, NULL, 0, ret_ref),
          "call");
}

/* Waits for calls and lets go of what they gave. */
static void collect(Mobula *mobula, MobulaRef **refs, size_t n) {
    static MobulaValue values[WINDOW];
    check(mobula_get(mobula, refs, n, MINUTE, values), "get");
    for (size_t i = 0; i < n; i++) {
        if (values[i].error) {
            fprintf(stderr, "%s\n", values[i].error);
            exit(1);
        }
        mobula_value_release(&values[i]);
        mobula_ref_drop(refs[i]);
    }
}

/* One call at a time. */
static double rate_sync(const Side *side) {
    MobulaRef *ref;
    double begin = now(), end;
    size_t done = 0;
    do {
        submit(side, &ref);
        collect(side->mobula, &ref, 1);
        done++;
        end = now();
    } while (end - begin < SECONDS);
    return (double)done / (end - begin);
}

/* A window of calls is on its way while the one before it is collected. */
static double rate_async(const Side *side) {
    static MobulaRef *refs[2][WINDOW];
    double begin = now(), end;
    size_t done = 0;
    for (size_t i = 0; i < WINDOW; i++)
        submit(side, &refs[0][i]);
    for (size_t round = 1;; round++) {
        for (size_t i = 0; i < WINDOW; i++)
            submit(side, &refs[round % 2][i]);
        collect(side->mobula, refs[(round - 1) % 2], WINDOW);
        done += WINDOW;
        end = now();
        if (end - begin < SECONDS)
            continue;
        collect(side->mobula, refs[round % 2], WINDOW);
        return (double)(done + WINDOW) / (now() - begin);
    }
}

int main(int argc, char **argv) {
    MobulaLibrary *library;
    Side task = { 0 };
    if (argc != 2) {
        fprintf(stderr, "usage: calls LIBRARY\n");
        return 2;
    }
    check(mobula_connect(NULL, &task.mobula), "connect");
    check(mobula_library_open(task.mobula, argv[1], &library), "open the library");
    Side actor = { .mobula = task.mobula };
    check(mobula_function_new(library, "nothing", NULL, &task.function), "nothing");
    check(mobula_actor_new(library, "Nobody", NULL, NULL, 0, &actor.actor), "make the actor");
    check(mobula_method_new(task.mobula, "nothing", NULL, &actor.method), "nothing");
    rate_sync(&task); /* a worker is there */
    printf("{\"task_sync\": %.0f, ", rate_sync(&task));
    printf("\"task_async\": %.0f, ", rate_async(&task));
    printf("\"actor_sync\": %.0f, ", rate_sync(&actor));
    printf("\"actor_async\": %.0f}\n", rate_async(&actor));
    mobula_function_free(task.function);
    mobula_method_free(actor.method);
    mobula_actor_drop(actor.actor);
    mobula_library_close(library);
    mobula_disconnect(task.mobula);
    return 0;
}

#endif
