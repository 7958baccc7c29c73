/* SPDX-License-Identifier: Apache-2.0 */

/* `ray start`: the peer's flags and text. */

#include "cmd/ray_start.h"

#include <stdio.h>

#include "base/error.h"

/* The peer looks at all processes of the machine; here a folder of one's own must be named. */
static void say_how_to_stop(int indent, const StartArgs *args) {
    say(indent, "To terminate the Ray runtime, run");
    if (args->temp_dir)
        say(indent, "  ray stop --temp-dir='%s'", args->temp_dir);
    else
        say(indent, "  ray stop");
}

static void say_head_started(const StartedNode *node, const StartArgs *args) {
    say(0, "Next steps");
    say(1, "Note: The following commands are intended for use on");
    say(1, "the head node or within the cluster network.");
    say(1, "To add another node to this Ray cluster, run");
    say(1, "  ray start --address='%s'",
        node->gcs_address); /* drivers of the peer parse this line */
    say_blank();
    say(1, "To connect to this Ray cluster:");
    say(2, "import ray");
    if (args->node_ip)
        say(2, "ray.init(_node_ip_address='%s')", args->node_ip);
    else
        say(2, "ray.init()");
    if (node->dashboard_url) {
        say_blank();
        say(1, "To submit a Ray job using the Ray Jobs CLI:");
        say(1,
            "  RAY_API_SERVER_ADDRESS='http://%s' ray job submit --working-dir . -- python "
            "my_script.py",
            node->dashboard_url);
        say_blank();
        say(1, "See https://docs.ray.io/en/latest/cluster/running-applications/job-submission/"
               "index.html ");
        say(1, "for more information on submitting Ray jobs to the Ray cluster.");
    }
    say_blank();
    say_how_to_stop(1, args);
    say_blank();
    say(1, "To view the status of the cluster, use");
    if (args->temp_dir)
        say(1, "  ray status --address='%s'", node->gcs_address);
    else
        say(1, "  ray status");
    if (node->dashboard_url) {
        say_blank();
        say(1, "To monitor and debug Ray, view the dashboard at ");
        say(1, "  %s", node->dashboard_url);
        say_blank();
        say(1, "If connection to the dashboard fails, check your firewall settings and network "
               "configuration.");
    }
}

static int start(const StartArgs *args) {
    _cleanup_(node_processes_freep) NodeProcesses *processes = NULL;
    _cleanup_(started_node_done) StartedNode node = { 0 };
    int r = start_check(args);
    if (r == 0 && args->head) {
        say(0, "Usage stats collection is disabled.");
        say_blank();
    }
    if (r == 0)
        r = node_start(args, &processes, &node);
    if (r < 0)
        return say_error("%s", error_text(r));
    say_box(false, "Ray runtime started.");
    if (args->head) {
        say_head_started(&node, args);
    } else {
        say_how_to_stop(0, args);
    }
    fflush(stdout);
    return args->block ? node_watch(processes, &node) : 0;
}

int ray_start(int argc, char **argv) {
    StartArgs a = {
        .port = START_NOT_GIVEN,
        .node_manager_port = START_NOT_GIVEN,
        .dashboard_port = START_NOT_GIVEN,
        .agent_port = START_NOT_GIVEN,
        .metrics_port = START_NOT_GIVEN,
        .num_cpus = START_NOT_GIVEN,
        .num_gpus = START_NOT_GIVEN,
        .memory = START_NOT_GIVEN,
        .object_store_memory = START_NOT_GIVEN,
        .unused = {
            .object_manager_port = START_NOT_GIVEN,
            .agent_grpc_port = START_NOT_GIVEN,
            .env_agent_port = START_NOT_GIVEN,
            .client_port = START_NOT_GIVEN,
            .min_worker_port = START_NOT_GIVEN,
            .max_worker_port = START_NOT_GIVEN,
        },
    };
    StartUnused *no = &a.unused;
    const Option options[] = {
        { "node-ip-address", OPTION_TEXT, &a.node_ip, "the IP address of this worker node" },
        { "address", OPTION_TEXT, &a.address,
          "the address to use for connecting to the Ray cluster" },
        { "port", OPTION_INT, &a.port,
          "the port of the head ray process. If not provided, defaults to 6379; 0 takes a free "
          "one" },
        { "node-name", OPTION_TEXT, &a.node_name, NULL },
        { "redis-username", OPTION_TEXT, &no->text, NULL },
        { "redis-password", OPTION_TEXT, &no->text, NULL },
        { "redis-shard-ports", OPTION_TEXT, &no->redis_shard_ports, NULL },
        { "object-manager-port", OPTION_INT, &no->object_manager_port,
          "no effect: --node-manager-port carries objects too" },
        { "node-manager-port", OPTION_INT, &a.node_manager_port,
          "the port of this node for other nodes; 0 takes a free one" },
        { "min-worker-port", OPTION_INT, &no->min_worker_port, "no effect: workers open no ports" },
        { "max-worker-port", OPTION_INT, &no->max_worker_port, "no effect: workers open no ports" },
        { "worker-port-list", OPTION_TEXT, &no->worker_port_list,
          "no effect: workers open no ports" },
        { "ray-client-server-port", OPTION_INT, &no->client_port,
          "no effect: there is no server of Ray Client" },
        { "memory", OPTION_INT, &a.memory, NULL },
        { "object-store-memory", OPTION_INT, &a.object_store_memory,
          "The amount of memory (in bytes) to start the object store with." },
        { "num-cpus", OPTION_INT, &a.num_cpus, "the number of CPUs on this node" },
        { "num-gpus", OPTION_INT, &a.num_gpus, "the number of GPUs on this node" },
        { "resources", OPTION_TEXT, &a.resources,
          "A JSON serialized dictionary mapping resource name to resource quantity." },
        { "head", OPTION_FLAG, &a.head, "provide this argument for the head node" },
        { "include-dashboard", OPTION_BOOL, &a.include_dashboard,
          "provide this argument to start the Ray dashboard GUI",
          .given = &a.include_dashboard_given },
        { "dashboard-host", OPTION_TEXT, &a.dashboard_host,
          "the host to bind the dashboard server to, either localhost (127.0.0.1) or 0.0.0.0 "
          "(available from all interfaces). By default, this is 127.0.0.1" },
        { "dashboard-port", OPTION_INT, &a.dashboard_port,
          "the port to bind the dashboard server to--defaults to 8265" },
        { "dashboard-agent-listen-port", OPTION_INT, &a.agent_port,
          "the port for dashboard agents to listen for http on. Defaults to 52365 or, where "
          "another node of this machine has it, the next free one" },
        { "dashboard-agent-grpc-port", OPTION_INT, &no->agent_grpc_port,
          "no effect: there is no such port" },
        { "runtime-env-agent-port", OPTION_INT, &no->env_agent_port,
          "no effect: there is no such port" },
        { "block", OPTION_FLAG, &a.block,
          "provide this argument to block forever in this command" },
        { "plasma-directory", OPTION_TEXT, &no->text,
          "no effect: objects lie in anonymous shared memory" },
        { "object-spilling-directory", OPTION_TEXT, &a.spill_folder,
          "the directory to spill objects to" },
        { "autoscaling-config", OPTION_TEXT, &no->text,
          "the file that contains the autoscaling config" },
        { "no-redirect-output", OPTION_FLAG, &a.no_redirect,
          "do not redirect non-worker stdout and stderr to files" },
        { "temp-dir", OPTION_TEXT, &a.temp_dir,
          "manually specify the root temporary dir of the Ray process" },
        { "system-config", OPTION_TEXT, &no->text, NULL },
        { "enable-object-reconstruction", OPTION_FLAG, &no->flag, NULL },
        { "metrics-export-port", OPTION_INT, &a.metrics_port,
          "the port to use to expose Ray metrics through a Prometheus endpoint." },
        { "no-monitor", OPTION_FLAG, &no->flag, NULL },
        { "tracing-startup-hook", OPTION_TEXT, &no->text, NULL },
        { "ray-debugger-external", OPTION_FLAG, &no->flag,
          "Make the Ray debugger available externally to the node." },
        { "disable-usage-stats", OPTION_FLAG, &no->flag,
          "no effect: no usage stats are collected" },
        { "labels", OPTION_TEXT, &a.labels,
          "a string list of key-value pairs mapping label name to label value" },
        { "labels-file", OPTION_TEXT, &a.labels_file,
          "a path to a YAML file containing a dictionary mapping of label keys to values" },
        { "include-log-monitor", OPTION_BOOL, &no->flag,
          "no effect: logs always reach their driver" },
        { "enable-resource-isolation", OPTION_FLAG, &no->flag,
          "Enable resource isolation through cgroupv2" },
        { "system-reserved-cpu", OPTION_NUMBER, &no->real,
          "CPU cores to reserve for Ray's own processes" },
        { "system-reserved-memory", OPTION_INT, &no->number,
          "bytes to reserve for Ray's own processes" },
        { "cgroup-path", OPTION_TEXT, &no->text, "the cgroup for resource isolation" },
        { "proxy-server-url", OPTION_TEXT, &no->text,
          "where the dashboard is reached through a proxy" },
        SAY_OPTIONS(&a.style),
    };
    const OptionTable table = { "ray start", NULL,
                                "Start Ray processes manually on the local machine.", options,
                                ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    say_setup(&a.style);
    return start(&a);
}
