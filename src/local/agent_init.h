/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The inside of a container: the processes between the pod's keeper and the user's program. Each
 * function forks in the keeper, which has one thread, and returns there at once.
 *
 * A container is a PID namespace of its own. Its process 1 is ours: it builds the root, starts the
 * program as process 2, hands signals on to it, collects orphans, and ends with the program's
 * status (128 + signal), which takes all that is left in the namespace along. So one pid and one
 * exit status stand for the container, and nothing of it outlives it.
 *
 * `report` is the write end of a pipe that closes on exec: what is written is the sentence of a
 * failure, nothing means that the program runs.
 */

#include <sys/types.h>

#include "host/cgroup.h"
#include "local/agent_container.h"

typedef struct ContainerPlace {
    const char *dir;      /* of this attempt: gets root/, upper/, work/ */
    const char *pod_name; /* for messages */
    bool shares_network;  /* of the host: /sys is bound, not mounted */
    const CgroupHost *cgroups;
} ContainerPlace;

/* `fds` become 0, 1 and 2, as for container_exec(); with spec->tty fds[0] is what the terminal's other
 * side is sent through. */
_must_check_ int container_start(const ContainerSpec *spec, const ContainerPlace *place,
                                 const Cgroup *group, const int fds[static 3], int report,
                                 pid_t *ret_pid);

/* Runs a program beside the container's own, in all its namespaces and its cgroup. `fds` become 0,
 * 1, 2 (-1: /dev/null); with `tty` they are a terminal of the container, whose other side is sent
 * through fds[0] (a packet without content, agent_packet.h). The process is the keeper's child; its
 * pid is written to `report` first, as "P<pid>\n". *ret_between is a child too, which ends at once. */
_must_check_ int container_exec(const ContainerSpec *spec, pid_t init, const Cgroup *group,
                                char *const *argv, const int fds[static 3], bool tty, int report,
                                pid_t *ret_between);
