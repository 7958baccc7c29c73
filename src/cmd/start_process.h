/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One node's processes: command lines, log files, the line that says ready, ends and restarts. */

#include "cmd/ray_start.h"
#include "host/spawn.h"

typedef struct NodeProcess {
    char *name;        /* the peer's: gcs_server, raylet, dashboard; also of its log files */
    StrList argv;
    bool restartable;  /* keeps nothing that its successor lacks */
    Child child;
    int ready;         /* reading end of the pipe; -1 */
    bool launched, over;
    unsigned restarts; /* within the last minute */
    usec_t restarted;
} NodeProcess;

enum {
    NODE_PROCESSES_MAX = 3
};

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

/* Starts those that do not run yet, all at once, and waits until each is ready. */
_must_check_ int node_processes_launch(NodeProcesses *all);
_must_check_ int node_process_launch(NodeProcesses *all, NodeProcess *process);
/* SIGTERM, then SIGKILL to what is left. */
void node_processes_end(NodeProcesses *all);
