/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What one container of a pod is made of, all decided: the agent computes it from the pod, writes
 * it to a file, and the pod's keeper reads it there, now or after a restart of the agent.
 */

#include <sys/types.h>

#include "base/str.h"
#include "base/vec.h"
#include "codec/json.h"
#include "host/cgroup.h"

typedef struct ContainerMount {
    char *source; /* of the host; NULL: a tmpfs of `size` bytes (0: no bound) */
    char *sub;    /* what below it; NULL: all of it. A memory volume exists at the keeper only */
    char *target; /* in the container */
    uint64_t size;
    bool read_only;
} ContainerMount;

typedef struct ContainerSpec {
    StrList argv, env;
    char *cwd;
    uint32_t uid, gid;
    Vec(gid_t) groups;
    Vec(ContainerMount) mounts; /* in the order in which they are made */
    StrList hide;               /* paths of the host that the container sees as empty */
    uint64_t shm_size;
    uint64_t capabilities;      /* bit by number */
    bool privileged, no_new_privileges, read_only_root;
    bool input;                 /* whoever is attached writes it; else it is /dev/null */
    bool input_once;            /* it ends with the first of them */
    bool tty;                   /* one terminal for all three streams */
    char *cgroup;
    CgroupLimits limits;
    char *log; /* file that gets its output */
    uint64_t log_max;
    unsigned log_files;
} ContainerSpec;

void container_spec_done(ContainerSpec *spec);
#define _cleanup_container_spec_ _cleanup_(container_spec_done)

/* New reference. */
json_t *container_spec_encode(const ContainerSpec *spec);
/* -EINVAL with the field that is wrong. */
_must_check_ int container_spec_decode(const json_t *json, ContainerSpec *ret_spec);

/* What an unprivileged container may do as root, as container runtimes agree on it, less making
 * device files: there is no device cgroup to hold them back. */
uint64_t container_capabilities_default(void);
/* "NET_ADMIN", "CAP_NET_ADMIN" or "ALL" to bits; 0 for an unknown name. */
uint64_t container_capability_bits(const char *name);
