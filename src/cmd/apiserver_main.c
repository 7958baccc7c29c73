/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "local/server.h"
#include "loop/loop.h"

/* `mobula apiserver`: the embedded Kubernetes API server with its controllers and scheduler. */

static void on_signal(void *ctx, int signo) {
    loop_stop(ctx);
}

static int serve(const ApiServerOptions *options) {
    _cleanup_(loop_freep) Loop *loop = NULL;
    _cleanup_(loop_signal_freep) LoopSignal *term = NULL, *interrupt = NULL;
    _cleanup_(api_server_freep) ApiServer *server = NULL;
    int r = loop_new(&loop);
    if (r == 0)
        r = loop_signal_new(loop, SIGTERM, on_signal, loop, &term);
    if (r == 0)
        r = loop_signal_new(loop, SIGINT, on_signal, loop, &interrupt);
    if (r == 0)
        r = api_server_new(loop, options, &server);
    if (r < 0) {
        log_error("cannot start: %s", error_text(r));
        return 1;
    }
    log_info("serving on %s; export KUBECONFIG=%s", api_server_url(server),
             api_server_kubeconfig(server));
    loop_run(loop);
    return api_server_failed(server) ? 1 : 0;
}

int cmd_apiserver(int argc, char **argv) {
    ApiServerOptions options = { .listen = "127.0.0.1:0" };
    bool json = false, verbose = false;
    int64_t node_grace = 0;
    int first;
    const Option list[] = {
        { "state", OPTION_TEXT, &options.state_dir,
          "Folder for certificates, kubeconfig and objects. Required.", .metavar = "DIR" },
        { "listen", OPTION_TEXT, &options.listen,
          "Address and port; port 0 takes the last run's, or a free one.",
          .metavar = "ADDRESS:PORT" },
        { "service-cidr", OPTION_TEXT, &options.service_cidr,
          "Range of cluster addresses (10.96.0.0/16).", .metavar = "CIDR" },
        { "node-monitor-grace-period", OPTION_INT, &node_grace,
          "After how many silent seconds a node is taken for lost (40).", .metavar = "SECONDS" },
        { "durable", OPTION_FLAG, &options.durable, "Sync every write to the disk." },
        { "verbose", OPTION_FLAG, &verbose, "Log more." },
        { "log-json", OPTION_FLAG, &json, "Log JSON lines." },
    };
    const OptionTable table = { .command = "mobula apiserver",
                                .about = "An embedded Kubernetes API server for one machine.",
                                .options = list,
                                .len = ARRAY_LEN(list) };
    int r = options_parse(&table, argc, argv, &first);
    if (r != 0)
        return options_exit(r);
    if (!options.state_dir)
        return options_fail(&table, "Missing option '--state'.");
    if (node_grace < 0 || node_grace > 86400)
        return options_fail(&table,
                            "--node-monitor-grace-period: 1 to 86400 seconds, or 0 for 40.");
    options.node_grace = (usec_t)node_grace * USEC_PER_SEC;
    log_setup("apiserver", verbose ? LOG_DEBUG : LOG_INFO, json);
    return serve(&options);
}
