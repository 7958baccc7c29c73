/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keeper process: its state, between the loop (agent_keeper_main.c) and what it does to
 * containers (agent_keeper_containers.c). One thread, poll(), no loop library: it is forked. */

#include <sys/types.h>

#include "base/list.h"
#include "host/cgroup.h"
#include "local/agent_container.h"
#include "local/agent_log.h"

enum {
    KEEPER_CONTAINERS_MAX = 256,
    KEEPER_EXECS_MAX = 256,
    REPORT_MAX = 4096
};

typedef enum KeptState {
    KEPT_STARTING, /* the report is open */
    KEPT_RUNNING,
    KEPT_EXITED
} KeptState;

/* A container's latest start. */
typedef struct Kept {
    List all;
    char *name, *dir;
    int attempt;
    KeptState state;
    ContainerSpec spec;
    Cgroup group;
    pid_t init;
    int out, err, report; /* read ends; -1: at their end */
    Buf report_text;
    LogFile log;
    LogStream streams[2];
    usec_t started, finished; /* wall */
    int code;
    uint64_t oom_before;
    bool oom, start_error;
    char *message;
} Kept;

typedef struct KeptExec {
    List all;
    uint64_t id;
    char *container;
    int attempt;
    pid_t between; /* makes the process and ends; 0: reaped */
    pid_t pid;     /* 0: not known yet, or reaped */
    bool known;
    bool over;     /* told; only what is still a child is waited for */
    int report;
    Buf report_text;
    bool kill; /* asked for before the pid was known */
} KeptExec;

typedef struct KeeperProcess {
    const char *dir;
    CgroupHost cgroups;
    List containers, execs;
    size_t container_count, exec_count;
    int listener, connection, signals; /* -1: none */
    bool failed, stopping;
    char *failure;
} KeeperProcess;

/* agent_keeper_main.c */
void keeper_tell(KeeperProcess *keeper, json_t *event, int fd); /* takes event */

/* agent_keeper_containers.c */
Kept *kept_find(KeeperProcess *keeper, const char *name);
_must_check_ int kept_start(KeeperProcess *keeper, const char *name, int attempt);
void kept_tell(KeeperProcess *keeper, const Kept *kept);
void kept_report_ready(KeeperProcess *keeper, Kept *kept);
void kept_output_ready(Kept *kept, int stream);
void kept_reap(KeeperProcess *keeper);
void kept_free(Kept *kept);
_must_check_ int exec_start(KeeperProcess *keeper, uint64_t id, const char *container,
                            const json_t *argv, bool tty, const int fds[static 3]);
void exec_report_ready(KeeperProcess *keeper, KeptExec *exec);
void exec_kill(KeeperProcess *keeper, uint64_t id);
void exec_reap(KeeperProcess *keeper);
