/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `ray start` and `ray stop`. */

#include "base/base.h"
#include "cmd/say.h"
#include "codec/json.h"

int ray_start(int argc, char **argv);
int ray_stop(int argc, char **argv);

#define START_NOT_GIVEN INT64_MIN

/* Flags that the peer knows and that have nothing to set here: one port a node carries everything,
 * logs are always collected, no usage is reported. They are taken so that command lines stay valid,
 * and refused where the peer would. */
typedef struct StartUnused {
    const char *text, *redis_shard_ports, *worker_port_list;
    int64_t number, object_manager_port, agent_grpc_port, env_agent_port, client_port;
    int64_t min_worker_port, max_worker_port;
    double real;
    bool flag;
} StartUnused;

/* What the command line says; NULL and START_NOT_GIVEN: it doesn't. */
typedef struct StartArgs {
    SayStyle style;
    const char *node_ip, *address, *node_name, *resources, *labels, *labels_file, *temp_dir;
    const char *dashboard_host, *spill_folder;
    int64_t port, node_manager_port, dashboard_port, agent_port, metrics_port;
    int64_t num_cpus, num_gpus, memory, object_store_memory;
    bool head, block, include_dashboard, include_dashboard_given, no_redirect;
    StartUnused unused;
} StartArgs;

/* -EINVAL names what is wrong. Touches nothing. */
_must_check_ int start_check(const StartArgs *args);

/* What this machine offers unless the arguments say otherwise: a JSON object for the raylet. CPUs
 * and memory are the container's where it has limits. -EINVAL names the option. */
_must_check_ int start_resources(const StartArgs *args, json_t **ret_resources);
/* --labels and --labels-file as "k=v,k=v"; owned, "" for none. */
_must_check_ int start_labels(const StartArgs *args, char **ret_labels);

/* A node's processes, once they run. */
typedef struct StartedNode {
    char *gcs_address, *node_ip, *session_dir;
    char *dashboard_url; /* host:port; NULL: none */
    char *gcs_socket;    /* by which the head's raylet reaches gcs; NULL: none */
} StartedNode;
void started_node_done(StartedNode *node);

/* Starts what the arguments ask for and waits until it is ready. What had started is ended again
 * when something fails. */
typedef struct NodeProcesses NodeProcesses;
_must_check_ int node_start(const StartArgs *args, NodeProcesses **ret_processes,
                            StartedNode *ret_node);
/* Watches until a signal or a death that can't be mended. The exit status. gcs and dashboard are
 * started again when they crash; a raylet that crashes takes the node with it. */
int node_watch(NodeProcesses *processes, const StartedNode *node);
/* Leaves the processes running. */
NodeProcesses *node_processes_free(NodeProcesses *processes);
DEFINE_CLEANUP(NodeProcesses *, node_processes_free);
