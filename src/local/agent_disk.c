/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The disk that pods share with everything else here: an emptyDir has its sizeLimit, and when the
 * disk is nearly full the pod that uses most of it goes. As a kubelet does it, but that its threshold
 * is no tenth of the disk where that is more than this machine's own daemons need.
 */

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "kobj/quantity.h"
#include "local/agent_private.h"

enum {
    DEPTH_MAX = 100,     /* of folders that are counted: each is an open one */
    LIMITS_EVERY = 10,   /* looks */
    THRESHOLD_PART = 10, /* of the disk */
    THRESHOLD_MAX = 256 << 20,
};
#define LOOK_EVERY (1 * USEC_PER_SEC)
#define ROOM_TIME  (60 * USEC_PER_SEC)

typedef struct DiskVolume {
    char *name;
    uint64_t limit, used;
} DiskVolume;

/* One pod, measured on a thread: it has copies of all it needs. */
typedef struct DiskPod {
    char *uid, *dir;
    uint64_t used;
    Vec(DiskVolume) volumes; /* with a limit */
} DiskPod;

typedef struct DiskLook {
    Agent *agent;
    bool low; /* else only limits are looked after */
    uint64_t available, threshold;
    Vec(DiskPod) pods;
} DiskLook;

struct AgentDisk {
    Agent *agent;
    LoopTimer *timer;
    LoopWork *work; /* a look under way */
    unsigned looks;
};

/* ---- measuring, on a thread ---- */

static uint64_t usage_of(int at, const char *name, unsigned depth) {
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 || depth > DEPTH_MAX ? NULL : fdopendir(fd);
    uint64_t used = 0;
    if (!folder) {
        fd_close(fd);
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat st;
        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..") ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        used += (uint64_t)st.st_blocks * 512;
        if (S_ISDIR(st.st_mode))
            used += usage_of(fd, entry->d_name, depth + 1);
    }
    closedir(folder);
    return used;
}

static void look_run(void *ctx) {
    DiskLook *look = ctx;
    VEC_EACH(pod, &look->pods) {
        if (look->low)
            pod->used = usage_of(AT_FDCWD, pod->dir, 0);
        VEC_EACH(volume, &pod->volumes) {
            _cleanup_free_ char *path = str_printf("%s/volumes/%s", pod->dir, volume->name);
            volume->used = usage_of(AT_FDCWD, path, 0);
        }
    }
}

/* ---- deciding ---- */

static void bytes_text(uint64_t bytes, char out[static QUANTITY_TEXT_MAX]) {
    quantity_format(quantity_of((int64_t)(bytes / 1024 * 1024), QUANTITY_BINARY), out);
}

static void evict(Agent *agent, const DiskPod *pod, const char *why) {
    AgentEntry *entry = strmap_get(&agent->entries, pod->uid);
    if (!entry || entry->gone)
        return;
    log_warn("pod %s is evicted: %s", agent_pod_def(entry->pod)->name, why);
    agent_pod_evict(entry->pod, why);
}

static void check_limits(const DiskLook *look, const DiskPod *pod) {
    VEC_EACH(volume, &pod->volumes) {
        if (volume->used <= volume->limit)
            continue;
        char limit[QUANTITY_TEXT_MAX];
        bytes_text(volume->limit, limit);
        _cleanup_free_ char *why = str_printf("Usage of EmptyDir volume \"%s\" exceeds the limit "
                                              "\"%s\". ",
                                              volume->name, limit);
        evict(look->agent, pod, why);
        return;
    }
}

static void make_room(const DiskLook *look) {
    const DiskPod *largest = NULL;
    VEC_EACH(pod, &look->pods)
        if (!largest || pod->used > largest->used)
            largest = pod;
    if (!largest || largest->used < look->threshold)
        return; /* it is not the pods that fill it */
    char threshold[QUANTITY_TEXT_MAX], available[QUANTITY_TEXT_MAX], used[QUANTITY_TEXT_MAX];
    bytes_text(look->threshold, threshold);
    bytes_text(look->available, available);
    bytes_text(largest->used, used);
    _cleanup_free_ char *why =
        str_printf("The node was low on resource: ephemeral-storage. Threshold quantity: %s, "
                   "available: %s. The pod was using %s, more than any other. ",
                   threshold, available, used);
    evict(look->agent, largest, why);
}

static void look_free(DiskLook *look) {
    VEC_EACH(pod, &look->pods) {
        VEC_EACH(volume, &pod->volumes)
            mem_free(volume->name);
        vec_done(&pod->volumes);
        mem_free(pod->uid);
        mem_free(pod->dir);
    }
    vec_done(&look->pods);
    mem_free(look);
}

static void look_done(void *job, int r) {
    DiskLook *look = job;
    if (r == 0) {
        look->agent->disk->work = NULL;
        VEC_EACH(pod, &look->pods)
            check_limits(look, pod);
        if (look->low)
            make_room(look);
    }
    look_free(look);
}

/* ---- looking ---- */

static void add_volumes(const PodDef *def, DiskPod *pod) {
    size_t i;
    json_t *volume;
    json_array_foreach(json_at(def->json, "spec", "volumes"), i, volume) {
        const json_t *limit = json_at(volume, "emptyDir", "sizeLimit");
        Quantity quantity;
        if (!limit || !str_empty(json_str_at(volume, "emptyDir", "medium")) ||
            quantity_from_json(limit, &quantity) < 0 || quantity_ceil(quantity) <= 0)
            continue;
        vec_push(&pod->volumes, (DiskVolume){ .name = str_dup(json_str_at(volume, "name")),
                                              .limit = (uint64_t)quantity_ceil(quantity) });
    }
}

static void add_pods(DiskLook *look) {
    Agent *agent = look->agent;
    size_t pos = 0;
    for (AgentEntry *entry; (entry = strmap_next(&agent->entries, &pos, NULL));) {
        if (entry->gone || agent_pod_ending(entry->pod))
            continue;
        DiskPod pod = { .uid = str_dup(entry->uid) };
        pod.dir = str_printf("%s/pods/%s", agent->host->pods.state_dir, entry->uid);
        add_volumes(agent_pod_def(entry->pod), &pod);
        vec_push(&look->pods, pod);
    }
}

/* Room that is being made is not made a second time, but one folder may be stuck for ever. */
static bool room_is_made(const Agent *agent) {
    usec_t since = chores_since(agent->host->pods.chores);
    return since && loop_now(agent->loop) - since < ROOM_TIME;
}

static void look_now(void *ctx) {
    AgentDisk *disk = ctx;
    struct statvfs fs;
    bool limits = disk->looks++ % LIMITS_EVERY == 0;
    if (disk->work || statvfs(disk->agent->host->pods.state_dir, &fs) < 0)
        return;
    uint64_t total = (uint64_t)fs.f_blocks * fs.f_frsize;
    DiskLook look = { .agent = disk->agent,
                      .available = (uint64_t)fs.f_bavail * fs.f_frsize,
                      .threshold = MIN(total / THRESHOLD_PART, (uint64_t)THRESHOLD_MAX) };
    look.low = look.available < look.threshold && !room_is_made(disk->agent);
    if (!look.low && !limits)
        return;
    DiskLook *job = mem_new(DiskLook);
    *job = look;
    add_pods(job);
    disk->work = loop_work(disk->agent->loop, look_run, look_done, job);
}

AgentDisk *agent_disk_new(Agent *agent) {
    AgentDisk *disk = mem_new(AgentDisk);
    disk->agent = agent;
    disk->timer = loop_timer_new(agent->loop, look_now, disk);
    loop_timer_every(disk->timer, LOOK_EVERY);
    return disk;
}

AgentDisk *agent_disk_free(AgentDisk *disk) {
    if (!disk)
        return NULL;
    if (disk->work)
        loop_work_cancel(disk->work);
    loop_timer_free(disk->timer);
    return mem_free(disk);
}
