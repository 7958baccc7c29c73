/* SPDX-License-Identifier: Apache-2.0 */

/* Pods of former agents, found on disk. */

#include <dirent.h>
#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "local/agent_file.h"
#include "local/agent_pod.h"

#define SWEEP_WAIT (2 * USEC_PER_SEC)

static void closedir_p(DIR **dir) {
    if (*dir)
        closedir(*dir);
}

typedef void DiskPodFn(const PodHost *host, const char *uid, const char *dir, void *ctx);

static void each_pod(const PodHost *host, DiskPodFn *fn, void *ctx) {
    _cleanup_free_ char *pods = str_printf("%s/pods", host->state_dir);
    _cleanup_(closedir_p) DIR *handle = opendir(pods);
    if (!handle)
        return;
    for (struct dirent *entry; (entry = readdir(handle));) {
        if (entry->d_name[0] == '.')
            continue;
        _cleanup_free_ char *dir = str_printf("%s/%s", pods, entry->d_name);
        fn(host, entry->d_name, dir, ctx);
    }
}

/* Owned; NULL if it has none. */
static char *disk_address(const char *dir) {
    _cleanup_free_ char *path = str_printf("%s/pod.json", dir);
    _cleanup_json_ json_t *json = NULL;
    if (state_read(path, &json) < 0)
        return NULL;
    return str_dup(json_str_at(json, "network", "address"));
}

static void reserve_one(const PodHost *host, const char *uid, const char *dir, void *ctx) {
    UNUSED(uid);
    UNUSED(ctx);
    char address[16];
    _cleanup_free_ char *wanted = disk_address(dir);
    if (wanted)
        (void)!host->network.take(host->network.ctx, wanted, address);
}

void agent_pods_reserve(const PodHost *host) {
    if (host->network.bridge)
        each_pod(host, reserve_one, NULL);
}

/* A pod that is to leave the machine. */
typedef struct Leaving {
    const PodHost *host; /* for `done` only */
    char *uid, *dir, *cgroup;
    char *address;       /* NULL: none */
} Leaving;

static Leaving *leaving_new(const PodHost *host, const char *uid, const char *dir) {
    Leaving *pod = mem_new(Leaving);
    *pod = (Leaving){ .host = host,
                      .uid = str_dup(uid),
                      .dir = str_dup(dir),
                      .cgroup = str_printf("%s/pod%s", host->cgroup_root, uid),
                      .address = disk_address(dir) };
    return pod;
}

static int end_group(const char *name) {
    CgroupHost host;
    Cgroup group;
    int r = cgroup_host_init(&host);
    if (r < 0)
        return r;
    bool exists = cgroup_open(&host, name, &group) == 0;
    cgroup_host_done(&host);
    if (!exists)
        return 0;
    usec_t deadline = time_mono_now() + SWEEP_WAIT;
    do /* a killed process is there until it has been reaped */
        r = cgroup_kill(&group);
    while (r == -EBUSY && time_mono_now() < deadline);
    if (r == 0)
        r = cgroup_remove(&group);
    cgroup_done(&group);
    return r;
}

/* What is left is left with its folder: by that its keeper is found again. */
static int leaving_run(void *ctx) {
    Leaving *pod = ctx;
    int keeper = keeper_end_now(pod->dir, SWEEP_WAIT);
    _cleanup_free_ char *why = keeper < 0 ? str_dup(error_text(keeper)) : NULL;
    int r = end_group(pod->cgroup);
    if (keeper < 0)
        return error_origin(keeper, "%s", why);
    return r < 0 ? r : dir_remove(pod->dir);
}

static void leaving_done(void *ctx, int r) {
    Leaving *pod = ctx;
    if (r < 0)
        log_warn("pod %s is not all gone: %s", pod->uid, error_text(r));
    else if (pod->address && pod->host->network.bridge)
        pod->host->network.release(pod->host->network.ctx, pod->address);
    mem_free(pod->uid);
    mem_free(pod->dir);
    mem_free(pod->cgroup);
    mem_free(pod->address);
    mem_free(pod);
}

typedef struct Sweep {
    bool (*known)(void *ctx, const char *uid);
    void *ctx;
} Sweep;

static void sweep_one(const PodHost *host, const char *uid, const char *dir, void *ctx) {
    const Sweep *sweep = ctx;
    if (!sweep->known(sweep->ctx, uid))
        chores_add(host->chores, leaving_run, leaving_done, leaving_new(host, uid, dir));
}

void agent_pods_sweep(const PodHost *host, bool (*known)(void *ctx, const char *uid), void *ctx) {
    each_pod(host, sweep_one, &(Sweep){ known, ctx });
}

static void end_one(const PodHost *host, const char *uid, const char *dir, void *ctx) {
    size_t *left = ctx;
    Leaving *pod = leaving_new(host, uid, dir);
    int r = leaving_run(pod);
    *left += r < 0;
    leaving_done(pod, r);
}

size_t agent_pods_end(const PodHost *host) {
    size_t left = 0;
    each_pod(host, end_one, &left);
    return left;
}
