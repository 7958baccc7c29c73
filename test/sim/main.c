/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/seeds.h"
#include "test/sim/proc.h"

/*
 *     cluster_sim [--seeds N] [--first SEED] [--expect-found] [--verbose]
 *
 * One world a seed. A seed that fails is printed with the command that replays it exactly.
 * --expect-found: of a build with a planted bug at least one seed must fail.
 */

#define ACTIVE_TIME (20 * USEC_PER_SEC) /* of faults, by the virtual clock */
#define BUSY_TIME   (1 * USEC_PER_SEC)  /* at most, from one calm to the next */
#define CALM_LEAST  (8 * USEC_PER_SEC)  /* what was killed is back, what runs ends */
#define CALM_MOST   (120 * USEC_PER_SEC) /* gcs waits for a minute for nodes that a former one knew */
#define QUIET_TIME  (200 * USEC_PER_SEC) /* at the end: idle workers are gone by then */
#define END_TIME    (3000 * USEC_PER_SEC)

enum {
    CALMS = 4
};

World *sim;

uint32_t rnd(uint32_t n) {
    sim->random += 0x9e3779b97f4a7c15u;
    uint64_t z = sim->random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % n);
}

static void vnote(const char *format, va_list ap) {
    printf("%12.6f  ", (double)(sim->loop ? loop_now(sim->loop) : 0) / (double)USEC_PER_SEC);
    vprintf(format, ap);
    putchar('\n');
}

void fault(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    if (sim->verbose)
        vnote(format, ap);
    else if (!*sim->failure)
        vsnprintf(sim->failure, sizeof(sim->failure), format, ap);
    va_end(ap);
    if (sim->verbose && !*sim->failure)
        snprintf(sim->failure, sizeof(sim->failure), "see above");
}

void note(const char *format, ...) {
    va_list ap;
    if (!sim->verbose)
        return;
    va_start(ap, format);
    vnote(format, ap);
    va_end(ap);
}

/* ---- one world ---------------------------------------------------------------------------------------- */

static void world_begin(uint32_t seed) {
    sim->seed = seed;
    sim->random = seed * 0x9e3779b97f4a7c15u;
    map_init(&sim->tasks, sizeof(TaskId));
    map_init(&sim->actors, sizeof(ActorId));
    map_init(&sim->groups, sizeof(GroupId));
    map_init(&sim->objects, sizeof(ObjectId));
    map_init(&sim->things, sizeof(ObjectId));
    ASSERT(loop_new_virtual(1000 * USEC_PER_SEC, 5000 * USEC_PER_SEC, &sim->loop) == 0);
    list_init(&sim->works);
    net_begin();
    shapes_begin();
    faults_begin();
    gcs_init();
    for (int i = 0; i < NODES; i++)
        machine_init(i);
    sim->runtimes = rnd(5);
    drivers_begin();
}

static void map_free_all(Map *map) {
    void *each;
    MAP_EACH(map, pos, each)
        free(each);
    map_done(map);
}

static void world_end(void) {
    VEC_EACH(proc, &sim->procs)
        proc_end(*proc, 0);
    loop_run_until(sim->loop, loop_now(sim->loop));
    for (int i = 0; i < NODES; i++) {
        Machine *machine = &sim->machines[i];
        machine_down(machine);
        loop_timer_free(machine->up_timer);
        loop_task_free(machine->down_task);
    }
    gcs_done();
    outside_finish_works();
    loop_timer_free(sim->fault_timer);
    drivers_end();
    VEC_EACH(proc, &sim->procs)
        proc_free(*proc);
    vec_done(&sim->procs);
    net_end();
    shapes_end();
    map_free_all(&sim->tasks);
    map_free_all(&sim->actors);
    map_free_all(&sim->groups);
    map_free_all(&sim->objects);
    map_free_all(&sim->things);
    sim->loop = loop_free(sim->loop);
}

static void run_for(usec_t time) {
    usec_t until = loop_now(sim->loop) + time;
    while (loop_now(sim->loop) < until && !*sim->failure) {
        uint64_t before = sim->events;
        loop_tick(sim->loop, until);
        for (int i = 0; i < NODES && sim->events != before; i++)
            check_raylet(&sim->machines[i]);
        if (sim->events != before)
            check_groups();
    }
}

static void heal(void) {
    sim->head.doomed = false;
    sim->disk_full = false;
    net_heal();
}

/* Everybody keeps what he has, and what he waits for. */
static void stand_still(void) {
    _cleanup_buf_ Buf why = { 0 };
    usec_t end = loop_now(sim->loop) + CALM_MOST;
    note("nobody asks for more");
    sim->calm = true;
    sim->stay = rnd(3);
    heal();
    run_for(CALM_LEAST);
    while (!*sim->failure && !still_all(&why)) {
        if (loop_now(sim->loop) >= end)
            fault("after %d s in which nobody asked for more, %s", (int)(CALM_MOST / USEC_PER_SEC),
                  why.data);
        run_for(CALM_PAUSE);
    }
    sim->calm = false;
    note("all go on");
}

/* Everything works again from here on. */
static void close_down(void) {
    sim->closing = true;
    sim->healed_at = loop_now(sim->loop);
    note("no more faults");
    heal();
}

/* A janitor may go down with a node that had been given up before: then it is another's turn. */
static void run_drivers_out(usec_t limit) {
    while (!*sim->failure && (!sim->tidied || sim->drivers_alive > 0)) {
        if (!sim->tidied && !sim->janitor)
            janitor_start();
        run_for(100 * USEC_PER_MSEC);
        VEC_EACH(proc, &sim->procs)
            user_look(*proc);
        if (loop_now(sim->loop) > limit)
            fault("after %d s a driver has not ended", (int)(END_TIME / USEC_PER_SEC));
    }
}

static void world_run(void) {
    usec_t limit = loop_now(sim->loop) + END_TIME;
    usec_t left = ACTIVE_TIME;
    for (int i = 0; i < CALMS; i++) {
        usec_t busy = rnd(BUSY_TIME);
        run_for(busy);
        left -= busy;
        stand_still();
    }
    run_for(left);
    close_down();
    run_drivers_out(limit);
    run_for(QUIET_TIME);
    if (!*sim->failure)
        check_quiet();
    if (!*sim->failure && sim->events < EVENTS_MIN)
        fault("nothing happened: %llu events", (unsigned long long)sim->events);
}

static bool run_seed(World *world, uint32_t seed, const char *program) {
    bool verbose = world->verbose;
    char folder[NAME_MAX_LEN];
    snprintf(folder, sizeof(folder), "%s", world->folder);
    uint64_t events = world->events;
    __typeof__(world->did) did = world->did;
    *world = (World){ .verbose = verbose, .did = did };
    snprintf(world->folder, sizeof(world->folder), "%s/w", folder);
    ASSERT(dir_make(world->folder, 0700) == 0);
    world_begin(seed);
    world_run();
    bool ok = !*world->failure;
    if (!ok)
        check_tell();
    if (!ok)
        printf("seed %u: %s\n    again: %s --first %u --seeds 1 --verbose\n", seed, world->failure,
               program, seed);
    fflush(stdout);
    world_end();
    ASSERT(dir_remove(world->folder) == 0);
    snprintf(world->folder, sizeof(world->folder), "%s", folder);
    world->events += events;
    return ok;
}

static void folder_make(char *out) {
    static const char *const roots[] = { "/dev/shm", "/tmp" };
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        snprintf(out, NAME_MAX_LEN, "%s/mobula-sim-XXXXXX", roots[i]);
        if (mkdtemp(out))
            return;
    }
    ASSERT(!"a folder for the stores");
}

int main(int argc, char **argv) {
    static World world;
    sim = &world;
    const Seeds seeds = seeds_read(argc, argv);
    uint32_t failed = 0;
    world.verbose = seeds.verbose;
    setenv("RAY_memory_monitor_refresh_ms", "0", 1);
    log_setup("sim", world.verbose ? LOG_INFO : (LogLevel)(LOG_ERROR + 1), false);
    base_hash("", 0); /* its seed is drawn once a process: before any world's numbers */
    setvbuf(stdout, NULL, _IOLBF, 0);
    folder_make(world.folder);
    for (uint32_t s = 0; s < seeds.count && !seeds_enough(&seeds, failed); s++)
        failed += !run_seed(&world, seeds.first + s, argv[0]);
    ASSERT(dir_remove(world.folder) == 0);
    printf("%u seeds, %llu events, %llu tasks (%llu again, %llu failed), %llu actors (%llu "
           "restarts), %llu groups, %llu objects (%llu read elsewhere), %llu values and %llu "
           "errors read, %llu kills, %llu broken "
           "connections, %u failed\n",
           seeds.count, (unsigned long long)world.events, (unsigned long long)world.did.tasks,
           (unsigned long long)world.did.retried, (unsigned long long)world.did.failed,
           (unsigned long long)world.did.actors, (unsigned long long)world.did.restarts,
           (unsigned long long)world.did.groups, (unsigned long long)world.did.objects,
           (unsigned long long)world.did.copies, (unsigned long long)world.did.values,
           (unsigned long long)world.did.errors, (unsigned long long)world.did.kills,
           (unsigned long long)world.did.cuts, failed);
    return seeds_status(&seeds, failed);
}
