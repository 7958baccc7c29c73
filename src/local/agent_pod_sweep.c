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

typedef struct Sweep {
    bool (*known)(void *ctx, const char *uid);
    void *ctx;
    CgroupHost cgroups;
    size_t left;
} Sweep;

static int sweep_cgroup(const Sweep *sweep, const PodHost *host, const char *uid) {
    Cgroup group;
    _cleanup_free_ char *name = str_printf("%s/pod%s", host->cgroup_root, uid);
    if (cgroup_open(&sweep->cgroups, name, &group) < 0)
        return 0; /* it has none */
    int r;
    usec_t deadline = time_mono_now() + SWEEP_WAIT;
    do /* a killed process is there until it has been reaped */
        r = cgroup_kill(&group);
    while (r == -EBUSY && time_mono_now() < deadline);
    if (r == 0)
        r = cgroup_remove(&group);
    cgroup_done(&group);
    return r;
}

static bool failed(const char *uid, int r) {
    if (r < 0)
        log_warn("pod %s is not all gone: %s", uid, error_text(r));
    return r < 0;
}

/* False: something of it is left. Its folder, too, then: by that its keeper is found again. */
static bool end_pod(const Sweep *sweep, const PodHost *host, const char *uid, const char *dir) {
    bool left = failed(uid, keeper_end_now(dir, SWEEP_WAIT));
    left |= failed(uid, sweep_cgroup(sweep, host, uid));
    return !left && !failed(uid, dir_remove(dir));
}

static void sweep_one(const PodHost *host, const char *uid, const char *dir, void *ctx) {
    Sweep *sweep = ctx;
    if (sweep->known(sweep->ctx, uid))
        return;
    _cleanup_free_ char *address = disk_address(dir);
    if (!end_pod(sweep, host, uid, dir))
        sweep->left++;
    else if (address && host->network.bridge)
        host->network.release(host->network.ctx, address);
}

size_t agent_pods_sweep(const PodHost *host, bool (*known)(void *ctx, const char *uid), void *ctx) {
    Sweep sweep = { .known = known, .ctx = ctx };
    int r = cgroup_host_init(&sweep.cgroups);
    if (r < 0)
        log_warn("cgroups are left as they are: %s", error_text(r));
    each_pod(host, sweep_one, &sweep);
    cgroup_host_done(&sweep.cgroups);
    return sweep.left;
}
