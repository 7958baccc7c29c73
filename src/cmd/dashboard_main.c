/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula dashboard`: parse, wire up, run. */

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/life.h"
#include "cmd/options.h"
#include "cmd/version.h"
#include "codec/json.h"
#include "dashboard/dashboard.h"

typedef struct DashboardArgs {
    const char *listen, *gcs_address, *session_dir;
    int64_t ready_fd, life_fd;
} DashboardArgs;

static void on_signal(void *ctx, int signo) {
    loop_stop(ctx);
}

static int run(const DashboardArgs *args, const Auth *auth) {
    _cleanup_(loop_freep) Loop *loop = NULL;
    _cleanup_(loop_signal_freep) LoopSignal *term = NULL, *interrupt = NULL;
    _cleanup_(loop_fd_freep) LoopFd *life = NULL;
    _cleanup_(dashboard_freep) Dashboard *dashboard = NULL;
    const char *slash = strrchr(args->session_dir, '/');
    DashboardOptions options = {
        .gcs_address = args->gcs_address,
        .session_dir = args->session_dir,
        .session_name = slash ? slash + 1 : args->session_dir,
        .ray_version = RAY_VERSION,
        .ray_commit = RAY_COMMIT,
        .auth = auth,
    };
    int r = loop_new(&loop);
    if (r == 0)
        r = loop_signal_new(loop, SIGTERM, on_signal, loop, &term);
    if (r == 0)
        r = loop_signal_new(loop, SIGINT, on_signal, loop, &interrupt);
    if (r == 0)
        r = life_watch(loop, args->life_fd, &life);
    if (r == 0)
        r = net_address_parse_listen(args->listen, &options.listen);
    if (r == 0)
        r = dashboard_new(loop, &options, &dashboard);
    if (r < 0)
        return r;
    char address[NET_ADDRESS_TEXT_MAX];
    net_address_format(dashboard_address(dashboard), address);
    log_info("dashboard listens at %s", address);
    life_say(args->ready_fd, json_pack("{s:s}", "address", address));
    loop_run(loop);
    return 0;
}

int cmd_dashboard(int argc, char **argv) {
    DashboardArgs args = { .listen = "127.0.0.1:8265", .ready_fd = -1, .life_fd = -1 };
    const Option options[] = {
        { "listen", OPTION_TEXT, &args.listen,
          "IP:PORT to serve at (port 0: a free one), or fd:N, a socket that listens." },
        { "gcs-address", OPTION_TEXT, &args.gcs_address, "IP:PORT of the cluster's gcs." },
        { "session-dir", OPTION_TEXT, &args.session_dir, "The session's folder." },
        { "ready-fd", OPTION_INT, &args.ready_fd, "Gets one line of JSON when ready." },
        { "life-fd", OPTION_INT, &args.life_fd, "The process ends when this pipe does." },
    };
    const OptionTable table = { "mobula dashboard", NULL, "The HTTP server of a Ray head.", options,
                                ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    if (!args.gcs_address || !args.session_dir)
        return options_fail(&table, "--gcs-address and --session-dir are needed");
    log_setup("dashboard", LOG_INFO, false);
    signal(SIGPIPE, SIG_IGN);
    _cleanup_auth_ Auth auth = { 0 };
    r = auth_load(&auth);
    if (r == 0)
        r = run(&args, &auth);
    if (r < 0) {
        log_error("cannot start: %s", error_text(r));
        life_say(args.ready_fd, json_pack("{s:s}", "error", error_text(r)));
    }
    return r < 0;
}
