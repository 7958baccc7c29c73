/* SPDX-License-Identifier: Apache-2.0 */
#include "env/pip.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/test.h"
#include "env/lock.h"

/* An interpreter that knows as much of venv and pip as the cache uses, and counts its installs.
 * "slow" waits until it is killed; "bad" fails the way pip does. */
static const char fake_python[] =
    "#!/bin/sh\n"
    "home=$(dirname \"$FAKE_LOG\")\n"
    "case \"$1 $2\" in\n"
    "'-m venv') for dir; do :; done; mkdir -p \"$dir/bin\"; cp \"$0\" \"$dir/bin/python\"\n"
    "  echo \"command = $dir\" >\"$dir/pyvenv.cfg\"; echo \"#!$dir/bin/python\" "
    ">\"$dir/bin/tool\";;\n"
    "'-m pip') echo install >>\"$FAKE_LOG\"; for word; do case $word in */requirements.txt)\n"
    "  grep -q slow \"$word\" && { : >\"$home/started\"; exec sleep 100; }\n"
    "  grep -q bad \"$word\" && { echo 'ERROR: No matching distribution found for bad==9'; exit 1; "
    "}\n"
    "  esac; done;;\n"
    "esac\n"
    "exit 0\n";

typedef struct World {
    char dir[64];
    char *python, *log, *cache;
    json_t *vars;
    PipSetup setup;
} World;

static void world_init(World *world) {
    snprintf(world->dir, sizeof(world->dir), "/tmp/mobula-pip-XXXXXX");
    CHECK(mkdtemp(world->dir));
    world->python = str_printf("%s/python", world->dir);
    world->log = str_printf("%s/installs", world->dir);
    world->cache = str_printf("%s/cache", world->dir);
    world->vars = json_object();
    json_object_set_new(world->vars, "FAKE_LOG", json_string(world->log));
    CHECK_OK(file_write_atomic(world->python, fake_python, strlen(fake_python), 0755));
    world->setup = (PipSetup){ world->python, world->cache, world->vars };
}

static void world_done(World *world) {
    CHECK_OK(dir_remove(world->dir));
    free(world->python);
    free(world->log);
    free(world->cache);
    json_decref(world->vars);
}

static json_t *requirements(const char *package) {
    json_t *pip = json_object();
    json_set_at(pip, json_array(), "packages");
    json_array_append_new(json_object_get(pip, "packages"), json_string(package));
    return pip;
}

static size_t installs(const World *world) {
    _cleanup_buf_ Buf text = { 0 };
    if (file_read(world->log, 100000, &text) < 0)
        return 0;
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n';
    return n;
}

static int ensure(const World *world, const char *package, char **ret_dir, int *ret_lock) {
    _cleanup_json_ json_t *pip = requirements(package);
    return pip_ensure(pip, &world->setup, ret_dir, ret_lock);
}

static void test_the_second_use_builds_nothing(void **state) {
    _cleanup_(world_done) World world;
    _cleanup_free_ char *first = NULL, *second = NULL, *other = NULL;
    _cleanup_close_ int a = -1, b = -1, c = -1;
    world_init(&world);
    CHECK_OK(ensure(&world, "x==1", &first, &a));
    CHECK_OK(ensure(&world, "x==1", &second, &b));
    CHECK_STR(first, second);
    CHECK_INT(installs(&world), 1);
    CHECK_OK(ensure(&world, "x==2", &other, &c));
    CHECK(!str_eq(first, other));
    CHECK_INT(installs(&world), 2);

    _cleanup_free_ char *tool = str_printf("%s/bin/tool", first);
    _cleanup_free_ char *want = str_printf("#!%s/bin/python\n", first);
    _cleanup_buf_ Buf text = { 0 };
    CHECK_OK(file_read(tool, 1000, &text));
    CHECK_STR(text.data, want);
}

static void test_a_failure_names_the_requirement(void **state) {
    _cleanup_(world_done) World world;
    char *dir = NULL;
    int lock = -1;
    world_init(&world);
    int r = ensure(&world, "bad==9", &dir, &lock);
    CHECK_INT(r, -EINVAL);
    CHECK(strstr(error_text(r), "pip could not install bad==9:"));
    CHECK(strstr(error_text(r), "ERROR: No matching distribution found for bad==9"));
    CHECK(dir == NULL && lock == -1);
}

static pid_t build_in_child(const World *world, const char *package) {
    pid_t pid = fork();
    if (pid == 0) {
        char *dir;
        int lock;
        setpgid(0, 0);
        _exit(ensure(world, package, &dir, &lock) == 0 ? 0 : 1);
    }
    return pid;
}

static void test_two_at_once_build_once(void **state) {
    _cleanup_(world_done) World world;
    pid_t pids[4];
    world_init(&world);
    for (size_t i = 0; i < ARRAY_LEN(pids); i++)
        pids[i] = build_in_child(&world, "x==1");
    for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
        int status = 0;
        CHECK_INT(waitpid(pids[i], &status, 0), pids[i]);
        CHECK_INT(status, 0);
    }
    CHECK_INT(installs(&world), 1);
}

static void test_a_killed_build_leaves_nothing_half(void **state) {
    _cleanup_(world_done) World world;
    world_init(&world);
    _cleanup_free_ char *started = str_printf("%s/started", world.dir);
    _cleanup_free_ char *home = str_printf("%s/pip", world.cache);
    _cleanup_free_ char *find = str_printf("test -z \"$(ls %s | grep -v lock$)\"", home);
    pid_t pid = build_in_child(&world, "slow");
    while (access(started, F_OK) < 0)
        sched_yield();
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    CHECK_OK(pip_sweep(world.cache, UINT64_MAX));
    pid_t shell = fork();
    if (shell == 0)
        execl("/bin/sh", "sh", "-c", find, (char *)NULL);
    int status = -1;
    waitpid(shell, &status, 0);
    CHECK_INT(status, 0);
}

static void test_a_deadline_ends_the_build(void **state) {
    _cleanup_(world_done) World world;
    char *dir = NULL;
    int lock = -1;
    world_init(&world);
    world.setup.deadline = time_mono_now() + 300 * USEC_PER_MSEC;
    CHECK_INT(ensure(&world, "slow", &dir, &lock), -ETIMEDOUT);
}

static void test_the_sweep_spares_what_is_held(void **state) {
    _cleanup_(world_done) World world;
    _cleanup_free_ char *held = NULL, *loose = NULL;
    int held_lock = -1, loose_lock = -1;
    world_init(&world);
    CHECK_OK(ensure(&world, "x==1", &held, &held_lock));
    CHECK_OK(ensure(&world, "x==2", &loose, &loose_lock));
    fd_close(loose_lock);
    CHECK_OK(pip_sweep(world.cache, 0));
    CHECK_INT(access(held, F_OK), 0);
    CHECK_INT(access(loose, F_OK), -1);

    _cleanup_free_ char *gone = str_printf("%s.lock", loose);
    _cleanup_free_ char *there = str_printf("%s.lock", held);
    int fd = -1;
    CHECK_INT(cache_hold(gone, &fd), -ENOENT);
    CHECK_OK(cache_hold(there, &fd));
    fd_close(fd);
    fd_close(held_lock);
}

int main(void) {
    return TEST_RUN(TEST(test_the_second_use_builds_nothing),
                    TEST(test_a_failure_names_the_requirement), TEST(test_two_at_once_build_once),
                    TEST(test_a_killed_build_leaves_nothing_half),
                    TEST(test_a_deadline_ends_the_build), TEST(test_the_sweep_spares_what_is_held));
}
