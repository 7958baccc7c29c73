/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Control groups, v1 and v2, whichever holds each controller on this machine (a hybrid has both).
 * A Cgroup is one named group over all hierarchies we use; what cannot be made for lack of rights
 * or of a controller is left out, and `lacks` says so in words, so that the caller can tell its
 * user once. Names are relative ("mobula/pod1/main") to the place this process may make groups in.
 */

#include <sys/types.h>

#include "base/base.h"

enum {
    CGROUP_PLACES = 4 /* memory, cpu, pids, freezer; one place under v2 */
};

/* Where groups can be made: found once. */
typedef struct CgroupHost {
    char *memory, *cpu, *pids; /* folders to make groups in; NULL: not available */
    bool memory_v2, cpu_v2, pids_v2;
    char *lacks;               /* NULL, or why something is missing */
} CgroupHost;

/* Always 0 or a failure to read /proc; missing controllers are no failure. */
_must_check_ int cgroup_host_init(CgroupHost *ret_host);
void cgroup_host_done(CgroupHost *host);

typedef struct CgroupLimits {
    uint64_t memory_max;       /* bytes; 0: none */
    uint64_t cpu_milli;        /* the most, in thousandths of a CPU; 0: none */
    uint64_t cpu_weight_milli; /* the share under contention (a request); 0: the least */
    uint64_t pids_max;         /* 0: none */
} CgroupLimits;

typedef struct Cgroup {
    char *memory, *cpu, *pids; /* folders of this group; NULL: not limited by that */
    bool memory_v2, cpu_v2;
} Cgroup;

/* Makes it (parents too) and sets its limits. A limit the kernel refuses is a failure. */
_must_check_ int cgroup_make(const CgroupHost *host, const char *name, const CgroupLimits *limits,
                             Cgroup *ret_group);
/* An existing one, or what is left of it. */
_must_check_ int cgroup_open(const CgroupHost *host, const char *name, Cgroup *ret_group);
void cgroup_done(Cgroup *group); /* frees the names; the group stays */
#define _cleanup_cgroup_ _cleanup_(cgroup_done)

/* Moves a process (0: the caller) in. */
_must_check_ int cgroup_enter(const Cgroup *group, pid_t pid);

typedef struct CgroupStats {
    uint64_t memory_bytes, memory_peak;
    uint64_t oom_kills;
    usec_t cpu_time;
} CgroupStats;

/* What cannot be read is 0. */
void cgroup_stats(const Cgroup *group, CgroupStats *ret_stats);

/* SIGKILL to every process in it and below; 0 once a pass found nobody, -EBUSY after `passes`. */
_must_check_ int cgroup_kill(const Cgroup *group);
/* Removes it and what is below. -EBUSY while a process is in it. 0 if it was gone. */
_must_check_ int cgroup_remove(const Cgroup *group);
