/* SPDX-License-Identifier: Apache-2.0 */
#include "host/memory.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/*
 * Before the kernel has to kill somebody: when the node's memory (or its container's) is nearly used
 * up, a worker is ended whose work can be repeated, the one that began last. One at a time: the
 * next is chosen when the last one is gone and memory is still short.
 */

#define REFRESH_MS 250
#define THRESHOLD  0.95
#define DOCUMENTATION                                                                              \
    "https://docs.ray.io/en/latest/ray-observability/user-guides/debug-apps/debug-memory.html"

struct MemoryWatch {
    LoopTimer *timer;
    double threshold;
    pid_t killed; /* not gone yet; 0: none */
    uint64_t kills;
};

static double setting(const char *name, double otherwise) {
    const char *text = getenv(name);
    char *end;
    double value = text ? strtod(text, &end) : otherwise;
    return text && (end == text || *end) ? otherwise : value;
}

/* ---- who ------------------------------------------------------------------------------------ */

static bool better_victim(const Lease *lease, const Lease *than) {
    if (!than)
        return true;
    if (lease->retriable != than->retriable)
        return lease->retriable;
    return lease->granted_at >= than->granted_at;
}

static Lease *choose_victim(const Raylet *raylet) {
    Lease *best = NULL;
    LIST_EACH(item, &raylet->granted) {
        Lease *lease = LIST_ITEM(item, Lease, link);
        if (lease->worker && lease->worker->pid > 0 && lease->worker->state == WORKER_LEASED &&
            better_victim(lease, best))
            best = lease;
    }
    return best;
}

static bool is_running(const Raylet *raylet, pid_t pid) {
    LIST_EACH(item, &raylet->workers)
        if (LIST_ITEM(item, Worker, link)->pid == pid)
            return true;
    return false;
}

/* ---- what is said ------------------------------------------------------------------------------- */

static double gigabytes(uint64_t bytes) {
    return (double)bytes / (1 << 30);
}

static void say_usage(const Raylet *raylet, const HostMemory *memory, double threshold, Buf *out) {
    uint64_t allowed = (uint64_t)(threshold * (double)memory->limit);
    buf_printf(out,
               "1 worker(s) were killed due to the node running low on memory. Memory on the node "
               "(IP: %s, ID: %s) was %.2fGB used / %.2fGB limit (%.6f)\n",
               raylet->node_ip, raylet->id_hex, gigabytes(memory->used), gigabytes(memory->limit),
               (double)memory->used / (double)memory->limit);
    buf_printf(out,
               "OOM kill reason: Memory usage %lluB exceeded threshold of %lluB (%.1f%% of %lluB "
               "limit)\n",
               (unsigned long long)memory->used, (unsigned long long)allowed, threshold * 100,
               (unsigned long long)memory->limit);
    buf_printf(out, "Object store memory usage: %.2fGB\n", gigabytes(objects_used(raylet)));
}

static void say_victim(const Lease *lease, Buf *out) {
    const Worker *worker = lease->worker;
    bool actor = !id_is_unset(&lease->actor);
    buf_printf(out, "Ray killed 1 worker(s) based on the killing policy\nConsidered workers: [\n");
    buf_printf(out,
               "Selected to kill: (%s: job ID=%s, lease ID=%s, %s name=%s, pid=%d, actual "
               "memory used=%.2fGB, worker ID=%s)\n]\n",
               actor ? "Actor" : "Task", ID_HEX(&lease->job), ID_HEX(&lease->id),
               actor ? "actor" : "task", lease->name ? lease->name : "", (int)worker->pid,
               gigabytes(host_memory_private(worker->pid)), ID_HEX(&worker->id));
}

static void say_remedies(const Raylet *raylet, const Lease *lease, Buf *out) {
    const char *retry = lease->retriable ? ""
                        : !id_is_unset(&lease->actor)
                            ? "Set max_restarts and max_task_retries to enable retry when the task "
                              "crashes due to OOM. "
                            : "Set max_retries to enable retry when the task crashes due to OOM. ";
    buf_printf(
        out,
        "To see more information about memory usage on this node, use `ray logs raylet.out "
        "-ip %s`\n"
        "Refer to the documentation on how to address the out of memory issue: " DOCUMENTATION
        ". Consider provisioning more memory on this node or reducing task parallelism by "
        "requesting more CPUs per task. %sTo adjust the kill threshold, set the environment "
        "variable `RAY_memory_usage_threshold` when starting Ray. To disable worker killing, "
        "set the environment variable `RAY_memory_monitor_refresh_ms` to zero.",
        raylet->node_ip, retry);
}

/* ---- the watch ------------------------------------------------------------------------------------- */

static void relieve(Raylet *raylet, const HostMemory *memory) {
    struct MemoryWatch *watch = raylet->memory;
    Lease *lease = choose_victim(raylet);
    if (!lease)
        return;
    _cleanup_buf_ Buf text = { 0 };
    say_usage(raylet, memory, watch->threshold, &text);
    say_victim(lease, &text);
    say_remedies(raylet, lease, &text);
    buf_add_char(&text, '\0');
    log_warn("%s", text.data);
    Worker *worker = lease->worker;
    watch->killed = worker->pid;
    watch->kills++;
    worker->oom = true;
    worker_end(worker, true, false, text.data);
}

static void on_tick(void *ctx) {
    Raylet *raylet = ctx;
    struct MemoryWatch *watch = raylet->memory;
    HostMemory memory;
    if (watch->killed && is_running(raylet, watch->killed))
        return;
    watch->killed = 0;
    if (host_memory(&memory) == 0 && memory.limit &&
        (double)memory.used > watch->threshold * (double)memory.limit)
        relieve(raylet, &memory);
}

void memory_init(Raylet *raylet) {
    double period = setting("RAY_memory_monitor_refresh_ms", REFRESH_MS);
    struct MemoryWatch *watch = raylet->memory = mem_new(struct MemoryWatch);
    watch->threshold = setting("RAY_memory_usage_threshold", THRESHOLD);
    watch->timer = loop_timer_new(raylet->loop, on_tick, raylet);
    if (period >= 1)
        loop_timer_every(watch->timer, (usec_t)(period * (double)USEC_PER_MSEC));
}

void memory_done(Raylet *raylet) {
    if (!raylet->memory)
        return;
    loop_timer_free(raylet->memory->timer);
    free(raylet->memory);
    raylet->memory = NULL;
}
