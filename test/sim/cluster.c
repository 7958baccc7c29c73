/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/wrap.h"
#include "gcs/gcs_private.h"
#include "raylet/raylet_private.h"
#include "test/sim/proc.h"

/* The daemons, up and down, and what happens to them. */

#define GCS_ADDRESS "10.1.0.100:6379"

/* raylet_private.h and gcs_private.h both are read here: nothing of the same name in them differs. */

/* ---- gcs -------------------------------------------------------------------------------------------- */

WRAPPED(int, gcs_new, Loop *loop, Kv *kv, const GcsOptions *options, const GcsPort *port,
        Gcs **ret_gcs) {
    int r = __real_gcs_new(loop, kv, options, port, ret_gcs);
    sim->head.gcs = r == 0 ? *ret_gcs : NULL;
    return r;
}

static char *store_path(uint32_t life, const char *suffix) {
    return str_printf("%s/gcs-%u%s", sim->folder, life, suffix);
}

static void on_broken(void *ctx, int r) {
    fault("gcs' store broke: %d", r);
}

void gcs_up(void) {
    _cleanup_free_ char *store = store_path(sim->head.lives, "");
    GcsServerOptions options = {
        .store = store,
        .gcs = { .session_name = "session_sim",
                 .session_dir = sim->folder,
                 .node_ip = "10.1.0.100" },
        .broken = on_broken,
    };
    ASSERT(net_address_parse(GCS_ADDRESS, &options.listen) == 0);
    int r = gcs_server_new(sim->loop, &options, &sim->head.server);
    if (r < 0) {
        fault("gcs does not start: %s", error_text(r));
        return;
    }
    note("gcs is up (%u)", sim->head.lives);
    if (sim->head.lives > 0)
        check_gcs();
}

static void on_gcs_up(void *ctx) {
    gcs_up();
}

/* What a kill leaves: the files as they are now. */
static void copy_store(uint32_t from, uint32_t to) {
    static const char *const suffixes[] = { "", "-wal" };
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        _cleanup_free_ char *a = store_path(from, suffixes[i]), *b = store_path(to, suffixes[i]);
        _cleanup_buf_ Buf bytes = { 0 };
        if (file_read(a, (size_t)64 << 20, &bytes) == 0)
            ASSERT(file_write_atomic(b, bytes.data, bytes.len, 0600) == 0);
    }
}

void gcs_down(usec_t pause) {
    if (!sim->head.server)
        return;
    note("gcs is killed");
    copy_store(sim->head.lives, sim->head.lives + 1);
    sim->head.lives++;
    net_die_accepted(GCS_ADDRESS, false);
    sim->head.server = gcs_server_free(sim->head.server);
    sim->head.gcs = NULL;
    loop_timer_after(sim->head.up_timer, pause);
}

static void on_gcs_down(void *ctx) {
    if (faulty())
        gcs_down((1 + rnd(3000)) * USEC_PER_MSEC);
}

void gcs_init(void) {
    sim->head.up_timer = loop_timer_new(sim->loop, on_gcs_up, NULL);
    sim->head.down_timer = loop_timer_new(sim->loop, on_gcs_down, NULL);
    gcs_up();
}

void gcs_done(void) {
    gcs_down(0);
    loop_timer_free(sim->head.up_timer);
    loop_timer_free(sim->head.down_timer);
}

/* ---- raylets ---------------------------------------------------------------------------------------- */

static void on_ready(void *ctx, Raylet *raylet) {
    Machine *machine = ctx;
    note("node %d is ready", machine->index);
}

/* gcs is gone for long, or has declared the node dead. */
static void on_failed(void *ctx, int r, const char *sentence) {
    Machine *machine = ctx;
    note("node %d fails: %s", machine->index, sentence);
    machine_kill(machine, false);
}

static void total_of(int index, ResourceSet *out) {
    *out = (ResourceSet){ 0 };
    out->known[RESOURCE_CPU] = QUANTITY_ONE * (index == 0 ? 2 : 4);
    out->known[RESOURCE_GPU] = QUANTITY_ONE * (index % 3);
    out->known[RESOURCE_OBJECT_STORE_MEMORY] = (Quantity)(1 << 20) * QUANTITY_ONE;
    ASSERT(resources_set(out, "x", QUANTITY_ONE * (index % 4)) == 0);
}

void machine_up(Machine *machine) {
    _cleanup_resources_ ResourceSet total;
    total_of(machine->index, &total);
    RayletOptions options = {
        .gcs_address = GCS_ADDRESS,
        .temp_dir = sim->folder,
        .spill_folder = sim->folder,
        .node_ip = machine->ip,
        .socket_path = machine->socket,
        .total = &total,
        .head = machine->index == 0,
        .hostname = "sim",
        .python = "python3",
    };
    ASSERT(net_address_ip(machine->ip, 0, &options.listen) == 0);
    machine->lives++;
    RayletEvents events = { machine, on_ready, on_failed };
    int r = raylet_new(sim->loop, &options, &events, &machine->raylet);
    if (r < 0)
        fault("raylet %d does not start: %s", machine->index, error_text(r));
}

static void on_machine_up(void *ctx) {
    Machine *machine = ctx;
    if (!machine->raylet)
        machine_up(machine);
}

void machine_down(Machine *machine) {
    Raylet *raylet = machine->raylet;
    if (!raylet)
        return;
    note("node %d goes down%s", machine->index, machine->graceful ? ", as told" : "");
    sim->nodes_ended++;
    if (!machine->graceful) {
        char text[NET_ADDRESS_TEXT_MAX + 8];
        Remote *remote;
        net_die(raylet->gcs.frames);
        MAP_EACH(&raylet->remotes, pos, remote)
            net_die(remote->frames);
        snprintf(text, sizeof(text), "%s:", machine->ip);
        net_die_accepted(text, true);
        snprintf(text, sizeof(text), "unix:%s", machine->socket);
        net_die_accepted(text, true);
    }
    outside_finish_works(); /* of it: the loop, which is not its own, lives on */
    machine->raylet = raylet_free(raylet);
    loop_timer_after(machine->up_timer, (100 + rnd(4000)) * USEC_PER_MSEC);
}

static void on_machine_down(void *ctx) {
    machine_down(ctx);
}

void machine_kill(Machine *machine, bool graceful) {
    machine->graceful = graceful;
    loop_task_arm(machine->down_task);
}

void machine_init(int index) {
    Machine *machine = &sim->machines[index];
    machine->index = index;
    snprintf(machine->ip, sizeof(machine->ip), "10.1.0.%d", index + 1);
    snprintf(machine->socket, sizeof(machine->socket), "/sim/raylet-%d", index);
    machine->down_task = loop_task_new(sim->loop, on_machine_down, machine);
    machine->up_timer = loop_timer_new(sim->loop, on_machine_up, machine);
    loop_timer_after(machine->up_timer, rnd(50000));
}

Machine *machine_some_up(void) {
    uint32_t at = rnd(NODES);
    for (uint32_t i = 0; i < NODES; i++) {
        Machine *machine = &sim->machines[(at + i) % NODES];
        if (machine->raylet && machine->raylet->ready)
            return machine;
    }
    return NULL;
}

/* ---- faults ------------------------------------------------------------------------------------------- */

static void kill_some(Role role) {
    Proc *proc = proc_some(role);
    if (!proc || proc->janitor)
        return;
    note("%s is killed", proc_name(proc));
    sim->did.kills++;
    proc_end(proc, -9);
}

static void kill_raylet(void) {
    Machine *machine = machine_some_up();
    if (!machine)
        return;
    sim->did.kills++;
    machine_kill(machine, chance(4));
}

/* A node and gcs, or another node, don't hear of each other for a while, perhaps for so long that
 * it is given up. */
static void partition(void) {
    const Machine *machine = machine_some_up();
    if (!machine)
        return;
    FrameConn *frames = machine->raylet->gcs.frames;
    Remote *remote;
    MAP_EACH(&machine->raylet->remotes, pos, remote)
        if (remote->frames && chance(2))
            frames = remote->frames;
    if (frames)
        net_stand_still(frames, rnd(20000) * USEC_PER_MSEC);
}

static void happen(void) {
    const Faults *f = &sim->faults;
    switch (rnd(10)) {
    case 0:
    case 1:
        if (f->workers)
            kill_some(ROLE_WORKER);
        break;
    case 2:
        if (f->drivers && chance(2))
            kill_some(ROLE_DRIVER);
        break;
    case 3:
    case 9:
        if (f->raylets)
            kill_raylet();
        break;
    case 4:
        if (f->gcs) {
            sim->did.kills++;
            sim->head.doomed = chance(2);
            if (!sim->head.doomed)
                on_gcs_down(NULL);
        }
        break;
    case 5:
        if (f->links)
            net_cut_some();
        break;
    case 6:
        if (f->stalls)
            net_stall_some();
        break;
    case 7:
        sim->disk_full = f->disk && chance(2);
        break;
    default:
        if (f->partitions && chance(3))
            partition();
    }
}

static void on_fault_timer(void *ctx) {
    if (sim->closing)
        return;
    if (faulty())
        happen();
    loop_timer_after(sim->fault_timer, (1 + rnd(2 * sim->faults.rarity)) * USEC_PER_MSEC);
}

/* A third of the seeds has none but delays; each of the others some. */
void faults_begin(void) {
    Faults *f = &sim->faults;
    bool any = rnd(3) > 0;
    *f = (Faults){ .any = any,
                   .workers = any && chance(2),
                   .drivers = any && chance(2),
                   .raylets = any && chance(2),
                   .gcs = any && chance(2),
                   .links = any && chance(3),
                   .stalls = any && chance(3),
                   .disk = any && chance(3),
                   .partitions = any && chance(4),
                   .rarity = 50 + rnd(1000) };
    sim->fault_timer = loop_timer_new(sim->loop, on_fault_timer, NULL);
    loop_timer_after(sim->fault_timer, 300 * USEC_PER_MSEC);
}
