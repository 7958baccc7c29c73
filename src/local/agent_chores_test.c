/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_chores.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/test.h"

#define LIMIT (10 * USEC_PER_SEC)

typedef struct World {
    Loop *loop;
    Chores *chores;
    int gate[2]; /* a chore waits at it until the loop has opened it */
    int at_once, most;
    Buf order;
} World;

typedef struct Job {
    World *world;
    char name;
} Job;

static int wait_at_gate(void *ctx) {
    Job *job = ctx;
    World *world = job->world;
    char byte;
    int now = __atomic_add_fetch(&world->at_once, 1, __ATOMIC_SEQ_CST);
    world->most = MAX(world->most, now);
    bool opened = read(world->gate[0], &byte, 1) == 1;
    __atomic_sub_fetch(&world->at_once, 1, __ATOMIC_SEQ_CST);
    if (!opened)
        return error_last("read");
    return job->name == 'b' ? error_origin(-EBUSY, "%c does not go", job->name) : 0;
}

static void told(void *ctx, int r) {
    Job *job = ctx;
    buf_printf(&job->world->order, "%c %s;", job->name, r < 0 ? error_text(r) : "done");
    mem_free(job);
}

static void open_gate(void *ctx) {
    World *world = ctx;
    CHECK(write(world->gate[1], "123", 3) == 3);
}

/* A chore that waits for the loop would wait for ever if the loop waited for it. */
static void test_the_loop_goes_on(void **state) {
    UNUSED(state);
    World world = { 0 };
    CHECK_OK(loop_new(&world.loop));
    CHECK(pipe2(world.gate, O_CLOEXEC) == 0);
    world.chores = chores_new(world.loop);
    CHECK(!chores_busy(world.chores) && chores_since(world.chores) == 0);
    usec_t begin = loop_now(world.loop);
    for (char name = 'a'; name <= 'c'; name++) {
        Job *job = mem_new(Job);
        *job = (Job){ &world, name };
        chores_add(world.chores, wait_at_gate, told, job);
    }
    CHECK(chores_since(world.chores) >= begin);
    LoopTimer *timer = loop_timer_new(world.loop, open_gate, &world);
    loop_timer_after(timer, 0);
    usec_t limit = loop_deadline(world.loop, LIMIT);
    while (chores_busy(world.chores) && loop_now(world.loop) < limit)
        loop_tick(world.loop, limit);
    CHECK_STR(world.order.data, "a done;b b does not go;c done;");
    CHECK_INT(world.most, 1);
    buf_done(&world.order);
    chores_free(world.chores);
    loop_timer_free(timer);
    loop_free(world.loop);
    fd_close(world.gate[0]);
    fd_close(world.gate[1]);
}

static void test_nothing_is_dropped_at_the_end(void **state) {
    UNUSED(state);
    Loop *loop;
    char dir[] = "/tmp/agent-chores-XXXXXX";
    struct stat st;
    CHECK_OK(loop_new(&loop));
    CHECK(mkdtemp(dir));
    Chores *chores = chores_new(loop);
    for (int i = 0; i < 3; i++) {
        _cleanup_free_ char *path = str_printf("%s/%d/deep", dir, i);
        CHECK_OK(dir_make(path, 0755));
        *strrchr(path, '/') = 0;
        chores_remove(chores, path);
    }
    chores_free(chores);
    CHECK(rmdir(dir) == 0 && stat(dir, &st) < 0);
    loop_free(loop);
}

int main(void) {
    return TEST_RUN(TEST(test_the_loop_goes_on), TEST(test_nothing_is_dropped_at_the_end));
}
