/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_chores.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"

typedef struct Chore {
    List link; /* in Chores.all */
    Chores *chores;
    ChoreFn *run;
    ChoreDoneFn *done;
    void *job;
    int r;
    char *why; /* the sentence of `r`: another thread's */
} Chore;

struct Chores {
    Loop *loop;
    List all;     /* the first is under way */
    usec_t since; /* when that began */
};

static void next(Chores *chores);

static void chore_run(void *ctx) {
    Chore *chore = ctx;
    chore->r = chore->run(chore->job);
    if (chore->r < 0)
        chore->why = str_dup(error_text(chore->r));
}

static void chore_done(void *ctx, int r) {
    Chore *chore = ctx;
    UNUSED(r); /* nothing cancels it: chores_free() waits */
    list_remove(&chore->link);
    next(chore->chores);
    int result = chore->r < 0 ? error_origin(chore->r, "%s", chore->why) : chore->r;
    chore->done(chore->job, result);
    mem_free(chore->why);
    mem_free(chore);
}

static void next(Chores *chores) {
    if (!chores_busy(chores))
        return;
    chores->since = loop_now(chores->loop);
    loop_work(chores->loop, chore_run, chore_done, LIST_ITEM(chores->all.next, Chore, link));
}

void chores_add(Chores *chores, ChoreFn *run, ChoreDoneFn *done, void *job) {
    Chore *chore = mem_new(Chore);
    *chore = (Chore){ .chores = chores, .run = run, .done = done, .job = job };
    bool first = !chores_busy(chores);
    list_push(&chores->all, &chore->link);
    if (first)
        next(chores);
}

static int remove_run(void *job) {
    return dir_remove(job);
}

static void remove_done(void *job, int r) {
    if (r < 0)
        log_warn("%s", error_text(r));
    mem_free(job);
}

void chores_remove(Chores *chores, const char *folder) {
    LIST_EACH(item, &chores->all) {
        const Chore *chore = LIST_ITEM(item, Chore, link);
        if (chore->run == remove_run && str_eq(chore->job, folder))
            return;
    }
    chores_add(chores, remove_run, remove_done, str_dup(folder));
}

bool chores_busy(const Chores *chores) {
    return !list_empty(&chores->all);
}

usec_t chores_since(const Chores *chores) {
    return chores_busy(chores) ? chores->since : 0;
}

Chores *chores_new(Loop *loop) {
    Chores *chores = mem_new(Chores);
    chores->loop = loop;
    list_init(&chores->all);
    return chores;
}

Chores *chores_free(Chores *chores) {
    while (chores && chores_busy(chores))
        loop_tick(chores->loop, USEC_INFINITY);
    return mem_free(chores);
}
