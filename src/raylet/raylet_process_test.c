/* SPDX-License-Identifier: Apache-2.0 */

/* The processes that start workers, and the files that workers write: real ones (the rest is
 * raylet_world.h's). */

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"
#include "raylet/raylet_world.h"

#define STUCK "stuck"

typedef struct Place {
    char folder[64];
    void *world;
} Place;

static void place_begin(Place *place, const char *python) {
    *place = (Place){ .folder = "/tmp/mobula-raylet-XXXXXX" };
    CHECK(mkdtemp(place->folder));
    place->world = raylet_world.begin();
    Raylet *raylet = world->raylet;
    free(raylet->session.logs);
    raylet->session.logs = str_dup(place->folder);
    free(raylet->python);
    raylet->python = str_printf("%s/python", place->folder);
    CHECK_OK(file_write_atomic(raylet->python, python, strlen(python), 0755));
}

static void place_end(Place *place) {
    raylet_world.end(place->world);
    CHECK_OK(dir_remove(place->folder));
}

/* Real events come while the virtual clock stands. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        for (int i_ = 0; i_ < 20000 && !(condition); i_++) {                                       \
            world_run(0);                                                                          \
            usleep(1000);                                                                          \
        }                                                                                          \
        CHECK(condition);                                                                          \
    } while (0)

static Lease *ask(uint8_t id) {
    Resource cpu = { SLICE("CPU"), 10000 };
    LeaseRequest request = { .lease = NAMED(LeaseId, id),
                             .job = the_job(),
                             .requester = world->raylet->self | 1,
                             .resources = &cpu,
                             .resources_len = 1 };
    FrameHeader call = { .type = MSG_LEASE_REQUEST, .source = request.requester, .stream = id };
    Lease *lease;
    CHECK_OK(lease_add(world->raylet, &request, &call, &lease));
    world_run(0);
    return lease;
}

static void test_a_zygote_that_does_not_fork_is_replaced(void **state) {
    Place place;
    place_begin(&place, "#!/bin/sh\nexec sleep 1000\n");
    Raylet *raylet = world->raylet;
    const Lease *lease = ask(1);
    for (int i = 0; i < 3; i++) { /* killed and reaped each time; then the lease fails */
        CHECK_INT(lease->state, LEASE_STARTING);
        CHECK(lease->worker->zygote && lease->worker->state == WORKER_FORKING);
        uint64_t former = lease->worker->token;
        world_run(59 * USEC_PER_SEC);
        CHECK(lease->worker->token == former);
        world_run(2 * USEC_PER_SEC);
        AWAIT(map_len(&raylet->leases) == 0 || (lease->worker && lease->worker->token != former));
    }
    CHECK_INT(map_len(&raylet->leases), 0);
    CHECK_INT(raylet->workers_len, 0);
    CHECK_INT(strmap_len(&raylet->zygotes), 0);
    CHECK_INT(ask(2)->state, LEASE_STARTING);
    CHECK_INT(strmap_len(&raylet->zygotes), 1);
    world_check();
    place_end(&place);
}

static void test_a_dead_workers_log_is_read_to_where_it_ended(void **state) {
    Place place;
    place_begin(&place, "");
    Raylet *raylet = world->raylet;
    WorkerId id = NAMED(WorkerId, 1);
    JobId job = the_job();
    LogFile *file;
    int fd;
    CHECK_OK(logs_init(raylet));
    CHECK_OK(logfile_new(raylet, &id, false, &file, &fd));
    logfile_assign(file, &job, peer_make(2, 1, 5), 77, "f"); /* a driver on a node yet to come */
    world_run(0);
    _cleanup_free_ char *line = mem_alloc(1 << 20);
    memset(line, 'x', 1 << 20);
    line[(1 << 20) - 1] = '\n';
    CHECK_OK(fd_write_all(fd, line, 1 << 20));
    logfile_free(file);
    size_t before = raylet->early_bytes;
    for (int i = 0; i < 100; i++) { /* what it started goes on, as fast as it is read */
        CHECK_OK(fd_write_all(fd, line, 1 << 20));
        world_run(0);
    }
    CHECK(raylet->early_bytes - before >= 1 << 20);
    CHECK(raylet->early_bytes - before < 2 << 20);
    close(fd);
    place_end(&place);
}

/* An interpreter that hears nothing until there is a file "go" beside it; then it writes down how large
 * what it hears is, and how many descriptors come with it. */
static const char deaf[] = "#!/usr/bin/env python3\n"
                           "import os, socket, time\n"
                           "here = os.path.dirname(__file__)\n"
                           "parent = os.getppid()\n"
                           "while not os.path.exists(here + '/go') and os.getppid() == parent:\n"
                           "    time.sleep(0.001)\n"
                           "asks = socket.socket(fileno=3)\n"
                           "with open(here + '/heard', 'w', buffering=1) as heard:\n"
                           "    while True:\n"
                           "        text, fds, _, _ = socket.recv_fds(asks, 200000, 4)\n"
                           "        if not text: break\n"
                           "        heard.write(f'{len(text)} {len(fds)}\\n')\n"
                           "        for fd in fds: os.close(fd)\n";

static size_t lines_of(const char *path) {
    _cleanup_buf_ Buf text = { 0 };
    size_t lines = 0;
    if (file_read(path, 4096, &text) < 0)
        return 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    return lines;
}

/* As many workers at once as may start, each of whose variables nearly fill a packet. */
static void test_what_finds_no_room_in_a_zygotes_socket_is_not_lost(void **state) {
    enum {
        WORKERS = 12,
        LARGE = 185 * 1024
    };
    Place place;
    place_begin(&place, deaf);
    _cleanup_free_ char *value = mem_alloc(LARGE + 1);
    memset(value, 'x', LARGE);
    value[LARGE] = 0;
    _cleanup_free_ char *env = str_printf("{\"env_vars\":{\"A\":\"%s\"}}", value);
    Lease *leases[WORKERS];
    for (uint8_t i = 0; i < WORKERS; i++) {
        LeaseRequest request = { .job = the_job(),
                                 .requester = world->raylet->self | 1,
                                 .runtime_env = slice_str(env) };
        memset(&request.lease, i + 1, sizeof(request.lease));
        FrameHeader call = { .type = MSG_LEASE_REQUEST, .source = request.requester, .stream = i };
        CHECK_OK(lease_add(world->raylet, &request, &call, &leases[i]));
        world_run(0);
    }
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(leases[i]->worker && leases[i]->worker->state == WORKER_FORKING);
    _cleanup_free_ char *go = str_printf("%s/go", place.folder);
    _cleanup_free_ char *heard = str_printf("%s/heard", place.folder);
    CHECK_OK(file_write_atomic(go, "", 0, 0644));
    AWAIT(lines_of(heard) == WORKERS);
    _cleanup_buf_ Buf text = { 0 };
    CHECK_OK(file_read(heard, 4096, &text));
    char *save = NULL;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        int size, fds;
        CHECK_INT(sscanf(line, "%d %d", &size, &fds), 2);
        CHECK(size > LARGE && fds == 2);
    }
    world_check();
    place_end(&place);
}

typedef struct Said {
    int status;
    char *err;
} Said;

static void on_helper_done(void *ctx, int status, Slice out, Slice err) {
    Said *said = ctx;
    UNUSED(out);
    *said = (Said){ status, str_dup_slice(err) };
}

static void test_a_helper_that_is_stuck_is_killed(void **state) {
    Place place;
    place_begin(&place, "");
    Said said = { 0 };
    Helper *helper;
    CHECK_OK(helper_start(world->raylet, SPAWN_LIST("mobula", STUCK), (Slice){ 0 },
                          5 * USEC_PER_SEC, on_helper_done, &said, &helper));
    world_run(4 * USEC_PER_SEC);
    CHECK_INT(said.status, 0);
    world_run(2 * USEC_PER_SEC);
    AWAIT(said.status);
    CHECK_INT(said.status, -SIGKILL);
    CHECK_STR(said.err, "it had not ended after 5 s and was killed");
    helper_free(helper);
    free(said.err);
    place_end(&place);
}

int main(int argc, char **argv) {
    if (argc > 1 && str_eq(argv[1], STUCK)) /* a helper is this program */
        return sleep(1000) > 0;
    return TEST_RUN(TEST(test_a_zygote_that_does_not_fork_is_replaced),
                    TEST(test_a_dead_workers_log_is_read_to_where_it_ended),
                    TEST(test_what_finds_no_room_in_a_zygotes_socket_is_not_lost),
                    TEST(test_a_helper_that_is_stuck_is_killed));
}
