/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula node-agent`: runs the pods of one machine as isolated processes. */

#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "local/agent.h"
#include "local/agent_once.h"

typedef struct AgentCommand {
    HostOptions host;
    AgentOptions agent;
    OnceOptions once;
    StrList env;
    bool purge, end_pods;
} AgentCommand;

static void stop(void *ctx, int signo) {
    log_info("signal %d: the agent ends", signo);
    loop_stop(ctx);
}

static int serve(AgentHost *host, const AgentOptions *options) {
    Loop *loop = host->pods.loop;
    Agent *agent = NULL;
    LoopSignal *interrupt = NULL, *terminate = NULL;
    int r = loop_signal_new(loop, SIGINT, stop, loop, &interrupt);
    if (r == 0)
        r = loop_signal_new(loop, SIGTERM, stop, loop, &terminate);
    if (r == 0)
        r = agent_new(host, options, &agent);
    if (r == 0)
        loop_run(loop);
    agent_free(agent);
    loop_signal_free(interrupt);
    loop_signal_free(terminate);
    return r;
}

static int run(AgentCommand *command, Loop *loop, int launcher) {
    AgentHost host;
    int status = 0;
    int r = agent_host_init(loop, launcher, &command->host, &host);
    if (r < 0) {
        log_error("%s", error_text(r));
        return 1;
    }
    if (host.notes)
        log_warn("%s", host.notes);
    if (command->once.file)
        r = agent_once(&host, &command->once, &status);
    else if (!command->purge)
        r = serve(&host, &command->agent);
    if (r < 0)
        log_error("%s", error_text(r));
    bool purge = command->purge || command->end_pods || (command->once.file && !command->once.keep);
    int left = purge ? agent_host_purge(&host) : 0;
    if (left < 0)
        log_error("%s", error_text(left));
    agent_host_done(&host);
    return r < 0 || left < 0 ? 1 : status;
}

int cmd_node_agent(int argc, char **argv) {
    AgentCommand command = { .host = { .state_dir = "/var/lib/mobula" },
                             .agent = { .nodes = "3x8cpu,32Gi" } };
    HostOptions *host = &command.host;
    host->env = &command.env;
    AgentOptions *agent = &command.agent;
    const Option options[] = {
        { "kubeconfig", OPTION_TEXT, &agent->kubeconfig, "How to reach the API server.",
          .metavar = "FILE" },
        { "context", OPTION_TEXT, &agent->context, "Context of the kubeconfig.",
          .metavar = "NAME" },
        { "nodes", OPTION_TEXT, &agent->nodes, "The nodes to be, [3x8cpu,32Gi].",
          .metavar = "SHAPE" },
        { "token-file", OPTION_TEXT, &agent->token_file,
          "Token of the endpoint, [STATE/agent.token].", .metavar = "FILE" },
        { "port", OPTION_INT, &agent->port, "Port of the endpoint on loopback, [a free one].",
          .metavar = "N" },
        { "state", OPTION_TEXT, &host->state_dir, "Folder for pods and their state.",
          .metavar = "DIR" },
        { "bin-dir", OPTION_TEXT, &host->bin_dir, "Folder that comes first in PATH of pods.",
          .metavar = "DIR" },
        { "python", OPTION_TEXT, &host->python, "Interpreter that pods see as python.",
          .metavar = "FILE" },
        { "cache-dir", OPTION_TEXT, &host->cache_dir, "Folder that all pods share.",
          .metavar = "DIR" },
        { "home", OPTION_TEXT, &host->home, "HOME of pods.", .metavar = "DIR" },
        { "env", OPTION_LIST, &command.env, "Environment variable of all pods.",
          .metavar = "NAME=VALUE" },
        { "pod-cidr", OPTION_TEXT, &host->pod_range, "Addresses of pods.", .metavar = "RANGE" },
        { "service-cidr", OPTION_TEXT, &host->service_range, "Addresses of services.",
          .metavar = "RANGE" },
        { "cluster-domain", OPTION_TEXT, &host->cluster_domain, "Domain of service names.",
          .metavar = "NAME" },
        { "max-pids", OPTION_INT, &host->max_pids,
          "Processes and threads a container may have, [8192].", .metavar = "N" },
        { "no-network", OPTION_FLAG, &host->no_network, "Do not connect pods." },
        { "pod", OPTION_TEXT, &command.once.file, "Run the pods of a JSON file, then end.",
          .metavar = "FILE" },
        { "keep", OPTION_FLAG, &command.once.keep, "With --pod: leave pods as they are." },
        { "end-pods", OPTION_FLAG, &command.end_pods,
          "End all pods when the agent ends; else they go on." },
        { "purge", OPTION_FLAG, &command.purge,
          "End all pods of the state folder, then exit; status 1 if something of one is left." },
    };
    const OptionTable table = { .command = "mobula node-agent",
                                .about = "Run the pods of one machine as isolated processes.",
                                .options = options,
                                .len = ARRAY_LEN(options) };
    int first, launcher;
    int r = options_parse(&table, argc, argv, &first);
    if (r != 0)
        return options_exit(r);
    if (agent->port < 0 || agent->port > UINT16_MAX)
        return options_fail(&table, "--port: wanted 0 to 65535, got %lld", (long long)agent->port);
    log_setup("node-agent", LOG_INFO, false);
    r = launcher_start(&launcher); /* before threads and secrets */
    Loop *loop = NULL;
    if (r == 0)
        r = loop_new(&loop);
    if (r < 0) {
        log_error("%s", error_text(r));
        return 1;
    }
    int status = run(&command, loop, launcher);
    loop_free(loop);
    strlist_done(&command.env);
    return status;
}
