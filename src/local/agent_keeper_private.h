/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keeper process: its state, between the loop (agent_keeper_main.c) and what it does to
 * containers (agent_keeper_containers.c). One thread, poll(), no loop library: it is forked. */

#include <poll.h>
#include <sys/types.h>

#include "base/list.h"
#include "host/cgroup.h"
#include "local/agent_container.h"
#include "local/agent_log.h"

enum {
    KEEPER_CONTAINERS_MAX = 256,
    KEEPER_EXECS_MAX = 256,
    KEEPER_ATTACHED_MAX = 256, /* in a pod */
    REPORT_MAX = 4096
};

typedef enum KeptState {
    KEPT_STARTING, /* the report is open */
    KEPT_RUNNING,
    KEPT_EXITED
} KeptState;

typedef struct Attached Attached;

/* A container's latest start. */
typedef struct Kept {
    List all;
    char *name, *dir;
    int attempt;
    KeptState state;
    ContainerSpec spec;
    Cgroup group;
    pid_t init;
    int out, err, report; /* read ends; -1: at their end; a terminal's only one is `out` */
    int in;               /* write end; -1: it reads /dev/null, or its input is over */
    int terminal;         /* that the terminal comes through; -1: none is wanted, or it has come */
    int columns, rows;    /* of the terminal; 0: not said yet */
    Buf input;            /* not taken yet */
    bool input_end;       /* `in` is closed after that */
    List attached;
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
    size_t container_count, exec_count, attached_count;
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
void kept_free(KeeperProcess *keeper, Kept *kept);
_must_check_ int exec_start(KeeperProcess *keeper, uint64_t id, const char *container,
                            const json_t *argv, bool tty, const int fds[static 3]);
void exec_report_ready(KeeperProcess *keeper, KeptExec *exec);
void exec_kill(KeeperProcess *keeper, uint64_t id);
void exec_reap(KeeperProcess *keeper);

/* agent_keeper_attach.c */
_must_check_ int attach_start(KeeperProcess *keeper, const json_t *message,
                              const int fds[static 3]);
void attach_stop(KeeperProcess *keeper, uint64_t id);
void kept_input_ready(Kept *kept);
void kept_terminal_ready(Kept *kept);
void kept_resize(Kept *kept, int columns, int rows);
void kept_attached_output(Kept *kept, int stream, const char *data, size_t len);
bool kept_output_waits(const Kept *kept, int stream);
/* The container has ended: sessions end once they have its last output. */
void kept_attached_end(KeeperProcess *keeper, Kept *kept);
/* At once. */
void kept_attached_drop(KeeperProcess *keeper, Kept *kept);
Attached *attached_item(List *item);
/* How many of `fds` it fills. */
size_t attached_watch(const Kept *kept, const Attached *attached, struct pollfd fds[static 3]);
/* False: it is over, and gone. */
bool attached_ready(KeeperProcess *keeper, Kept *kept, Attached *attached,
                    const struct pollfd *ready);
