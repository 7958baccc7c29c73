/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One node's processes: command lines, log files, the line that says ready, ends and restarts. */

#include "cmd/ray_start.h"
#include "host/spawn.h"

/* A socket that listens, opened before the process that serves at it. */
typedef struct Door {
    int fd;
    uint16_t port; /* 0: a unix socket */
} Door;

enum {
    NODE_PROCESSES_MAX = 3,
    NODE_DOORS_MAX = 2,
};

typedef struct NodeProcess {
    char *name;       /* the peer's: gcs_server, raylet, dashboard; also of its log files */
    StrList argv;
    bool restartable; /* keeps nothing that its successor lacks */
    int doors[NODE_DOORS_MAX]; /* kept open, for a successor; freed with the rest */
    size_t doors_len;
    Child child;
    int ready;         /* reading end of the pipe; -1 */
    bool launched, over;
    unsigned restarts; /* within the last minute */
    usec_t restarted;
} NodeProcess;

struct NodeProcesses {
    NodeProcess items[NODE_PROCESSES_MAX];
    size_t len;
    char *temp_dir, *session_dir;
    bool block, no_redirect;
};

NodeProcesses *node_processes_new(const StartArgs *args);
/* The session is known: log files go there, the environment names it. */
void node_processes_session(NodeProcesses *all, const char *session_dir);

/* Borrowed until all are freed. `role` is mobula's subcommand. */
NodeProcess *node_process_add(NodeProcesses *all, const char *name, const char *role,
                              bool restartable);
void node_process_arg(NodeProcess *process, const char *option, const char *format, ...)
    _printf_(3, 4);
void node_process_flag(NodeProcess *process, const char *option);
/* The process serves `option` at the door, which it takes: no client is refused while it starts. */
void node_process_door(NodeProcess *process, const char *option, Door door);

/* Starts those that do not run yet, all at once, and waits until each is ready. */
_must_check_ int node_processes_launch(NodeProcesses *all);
_must_check_ int node_process_launch(NodeProcesses *all, NodeProcess *process);
/* It has ended and is not started again: nobody may wait at its doors. */
void node_process_over(NodeProcess *process);
/* SIGTERM, then SIGKILL to what is left. */
void node_processes_end(NodeProcesses *all);

/* ------------------------------------------------------------------------ addresses and doors */

/* A host's number; names are resolved (this blocks). `flag` is for the sentence. Owned. */
_must_check_ int start_host_ip(const char *flag, const char *host, char **ret_ip);
/* What --node-ip-address says, or the address by which others reach this machine. Owned. */
_must_check_ int start_node_ip(const StartArgs *args, char **ret_ip);
bool start_is_loopback(const char *ip);
/* Everywhere, or on this machine only. */
const char *start_listen_host(const char *ip);
/* Port 0 takes a free one; `or_next`: where somebody has the port, the next that is free. */
_must_check_ int start_door_open(const char *flag, const char *ip, int64_t port, bool or_next,
                                 Door *ret_door);
