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

static double rate(const Side *side, size_t window) {
    static MobulaRef *refs[WINDOW];
    static MobulaValue values[WINDOW];
    double begin = now(), end;
    size_t done = 0;
    do {
        for (size_t i = 0; i < window; i++)
            submit(side, &refs[i]);
        check(mobula_get(side->mobula, refs, window, MINUTE, values), "get");
        for (size_t i = 0; i < window; i++) {
            if (values[i].error) {
                fprintf(stderr, "%s\n", values[i].error);
                exit(1);
            }
            mobula_value_release(&values[i]);
            mobula_ref_drop(refs[i]);
        }
        done += window;
        end = now();
    } while (end - begin < SECONDS);
    return (double)done / (end - begin);
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
    rate(&task, 1); /* a worker is there */
    printf("{\"task_sync\": %.0f, ", rate(&task, 1));
    printf("\"task_async\": %.0f, ", rate(&task, WINDOW));
    printf("\"actor_sync\": %.0f, ", rate(&actor, 1));
    printf("\"actor_async\": %.0f}\n", rate(&actor, WINDOW));
    mobula_function_free(task.function);
    mobula_method_free(actor.method);
    mobula_actor_drop(actor.actor);
    mobula_library_close(library);
    mobula_disconnect(task.mobula);
    return 0;
}

#endif
