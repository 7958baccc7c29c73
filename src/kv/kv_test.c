/* SPDX-License-Identifier: Apache-2.0 */
#include "kv/kv.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"
#include "kv/tree.h"
#include "loop/loop.h"

typedef struct World {
    char dir[64];
    char *path;
    Loop *loop;
    Kv *kv;
} World;

static void world_open(World *world) {
    CHECK_OK(kv_open(world->loop, &(KvOptions){ .path = world->path }, &world->kv));
}

static void world_init(World *world, bool file) {
    *world = (World){ .dir = "/tmp/kv_test.XXXXXX" };
    CHECK_OK(loop_new(&world->loop));
    if (file) {
        CHECK(mkdtemp(world->dir));
        world->path = str_printf("%s/store.db", world->dir);
    }
    world_open(world);
}

static void world_done(World *world) {
    kv_close(world->kv);
    loop_free(world->loop);
    if (world->path)
        CHECK_OK(dir_remove(world->dir));
    free(world->path);
}

static void world_reopen(World *world) {
    kv_close(world->kv);
    world_open(world);
}

static void put(Kv *kv, const char *key, const char *value) {
    CHECK_OK(kv_put(kv, "t", slice_str(key), slice_str(value)));
}

static void del(Kv *kv, const char *key) {
    CHECK_OK(kv_del(kv, "t", slice_str(key)));
}

static void on_commit(void *userdata, int result) {
    *(int *)userdata = result == 0 ? 1 : result;
}

static void wait_commit(World *world, KvSync sync) {
    int done = 0;
    kv_commit(world->kv, sync, on_commit, &done);
    CHECK_INT(done, 0);
    while (!done)
        loop_tick(world->loop, USEC_INFINITY);
    CHECK_INT(done, 1);
}

static int visit_text(void *userdata, Slice key, Slice value) {
    buf_printf(userdata, "%.*s=%.*s ", (int)key.len, key.data, (int)value.len, value.data);
    return 0;
}

static void check_scan(Kv *kv, const char *prefix, const char *start, const char *want) {
    _cleanup_buf_ Buf out = { 0 };
    buf_add_str(&out, "");
    CHECK_OK(kv_scan(kv, "t", slice_str(prefix), slice_str(start), visit_text, &out));
    CHECK_STR(out.data, want);
}

static void check_get(Kv *kv, const char *key, const char *want) {
    _cleanup_buf_ Buf value = { 0 };
    int r = kv_get(kv, "t", slice_str(key), &value);
    CHECK_INT(r, want ? 0 : KV_ABSENT);
    if (want)
        CHECK(slice_eq_str(buf_slice(&value), want));
}

static void basics(World *world) {
    Kv *kv = world->kv;
    put(kv, "b", "2");
    put(kv, "a/x", "1");
    put(kv, "a/y", "old");
    put(kv, "a/y", "");
    put(kv, "gone", "x");
    del(kv, "gone");
    del(kv, "never");
    CHECK_OK(kv_put(kv, "t2", SLICE("a/z"), SLICE("other table")));
    for (int round = 0; round < 2; round++) { /* before and after the commit */
        check_get(kv, "a/x", "1");
        check_get(kv, "a/y", "");
        check_get(kv, "gone", NULL);
        check_get(kv, "", NULL);
        check_scan(kv, "", "", "a/x=1 a/y= b=2 ");
        check_scan(kv, "a/", "", "a/x=1 a/y= ");
        check_scan(kv, "a/", "a/xx", "a/y= ");
        check_scan(kv, "", "c", "");
        wait_commit(world, KV_LOGGED);
        CHECK_INT(kv_pending_bytes(kv), 0);
    }
    /* an open batch hides what is below it */
    del(kv, "a/x");
    put(kv, "a/w", "new");
    put(kv, "b", "3");
    check_scan(kv, "", "", "a/w=new a/y= b=3 ");
    wait_commit(world, KV_SYNCED);
    check_scan(kv, "", "", "a/w=new a/y= b=3 ");
}

static void test_memory(void **state) {
    World world;
    world_init(&world, false);
    basics(&world);
    world_done(&world);
}

static void test_file(void **state) {
    World world;
    world_init(&world, true);
    basics(&world);
    world_reopen(&world);
    check_scan(world.kv, "", "", "a/w=new a/y= b=3 ");
    put(world.kv, "late", "written by close");
    world_reopen(&world);
    check_get(world.kv, "late", "written by close");
    world_done(&world);
}

static void test_close_during_flight(void **state) {
    World world;
    world_init(&world, true);
    int done = 0;
    put(world.kv, "k", "first");
    kv_commit(world.kv, KV_SYNCED, on_commit, &done);
    loop_tick(world.loop, 0); /* the flight starts, and may or may not be over */
    put(world.kv, "k", "second");
    world_reopen(&world);
    check_get(world.kv, "k", "second");
    world_done(&world);
}

static void test_bounds(void **state) {
    World world;
    world_init(&world, false);
    _cleanup_free_ char *big = mem_zalloc(KV_KEY_MAX);
    CHECK_INT(kv_put(world.kv, "t", (Slice){ big, KV_KEY_MAX - 1 }, SLICE("")), -EMSGSIZE);
    CHECK_OK(kv_put(world.kv, "t", (Slice){ big, KV_KEY_MAX - 2 }, SLICE("")));
    CHECK_INT(kv_put(world.kv, "t", SLICE("k"), (Slice){ big, (size_t)KV_VALUE_MAX + 1 }),
              -EMSGSIZE);
    world_done(&world);
}

static void test_second_process(void **state) {
    World world;
    world_init(&world, true);
    Kv *other = NULL;
    CHECK_INT(kv_open(world.loop, &(KvOptions){ .path = world.path }, &other), -EBUSY);
    world_done(&world);
}

static void test_foreign_file(void **state) {
    World world;
    world_init(&world, true);
    kv_close(TAKE(world.kv));
    CHECK_OK(file_write_atomic(world.path, "no store at all, sorry, but long", 32, 0600));
    CHECK_INT(kv_open(world.loop, &(KvOptions){ .path = world.path }, &world.kv), -EBADMSG);
    world_done(&world);
}

/* A child writes until it is killed; each number it reported as committed must be there. */
static void kill_child(const char *path, int out) {
    Loop *loop;
    Kv *kv;
    if (loop_new(&loop) < 0 || kv_open(loop, &(KvOptions){ .path = path }, &kv) < 0)
        _exit(1);
    for (uint32_t i = 0;; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%08u", i);
        put(kv, key, "x");
        int done = 0;
        kv_commit(kv, KV_LOGGED, on_commit, &done);
        while (!done)
            loop_tick(loop, USEC_INFINITY);
        if (done != 1 || write(out, &i, sizeof(i)) != sizeof(i))
            _exit(1);
    }
}

static void test_kill_nine(void **state) {
    World world;
    world_init(&world, true);
    kv_close(TAKE(world.kv));
    int pipe_fds[2];
    CHECK_INT(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0)
        kill_child(world.path, pipe_fds[1]);
    close(pipe_fds[1]);
    uint32_t last = 0;
    while (last < 50)
        CHECK_INT(read(pipe_fds[0], &last, sizeof(last)), sizeof(last));
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    while (read(pipe_fds[0], &last, sizeof(last)) == sizeof(last))
        ;
    close(pipe_fds[0]);
    world_open(&world);
    for (uint32_t i = 0; i <= last; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%08u", i);
        check_get(world.kv, key, "x");
    }
    world_done(&world);
}

/* Many commits in one tick and while a batch flies: called once each, in order. */
typedef struct Order {
    int next;
    int done;
} Order;
typedef struct Ticket {
    Order *order;
    int number;
} Ticket;

static void on_ticket(void *userdata, int result) {
    Ticket *ticket = userdata;
    CHECK_INT(result, 0);
    CHECK_INT(ticket->number, ticket->order->done++);
}

static void test_order(void **state) {
    World world;
    world_init(&world, true);
    enum {
        COUNT = 300
    };
    Order order = { 0 };
    Ticket tickets[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        tickets[i] = (Ticket){ &order, i };
        if (i % 3 == 0)
            put(world.kv, key, key);
        kv_commit(world.kv, i % 7 ? KV_LOGGED : KV_SYNCED, on_ticket, &tickets[i]);
        if (i % 10 == 0)
            loop_tick(world.loop, 0);
    }
    while (order.done < COUNT)
        loop_tick(world.loop, USEC_INFINITY);
    world_done(&world);
}

/* The tree against a plain table of 256 slots. */
static void test_tree_random(void **state) {
    KvTree tree = { 0 };
    char model[256] = { 0 };
    uint64_t seed = 42;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned char slot = (unsigned char)(seed >> 40);
        char value = (char)(seed >> 50 | 1);
        Slice key = { (const char *)&slot, 1 };
        if (seed >> 62 == 0) {
            kv_tree_remove(&tree, key);
            model[slot] = 0;
        } else {
            kv_tree_put(&tree, key, (Slice){ &value, 1 }, false);
            model[slot] = value;
        }
    }
    size_t count = 0;
    const KvNode *node = kv_tree_seek(&tree, (Slice){ 0 }, false);
    for (int slot = 0; slot < 256; slot++) {
        if (!model[slot])
            continue;
        count++;
        CHECK(node && (unsigned char)node->key[0] == slot && node->value[0] == model[slot]);
        node = kv_tree_seek(&tree, kv_node_key(node), true);
    }
    CHECK(!node);
    CHECK_INT(tree.len, count);
    CHECK_INT(tree.bytes, 2 * count);
    kv_tree_done(&tree);
}

int main(void) {
    return TEST_RUN(TEST(test_memory), TEST(test_file), TEST(test_close_during_flight),
                    TEST(test_bounds), TEST(test_second_process), TEST(test_foreign_file),
                    TEST(test_kill_nine), TEST(test_order), TEST(test_tree_random));
}
