/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula gcs`: parse, wire up, run. */

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/life.h"
#include "cmd/options.h"
#include "codec/json.h"
#include "gcs/server.h"
#include "host/session.h"

typedef struct GcsArgs {
    const char *listen, *temp_dir, *session_name, *node_ip, *store, *dashboard_url, *settings;
    const char *socket;
    int64_t ready_fd, life_fd;
    bool durable, verbose;
} GcsArgs;

typedef struct GcsMain {
    Loop *loop;
    int status;
} GcsMain;

static void on_signal(void *ctx, int signo) {
    GcsMain *self = ctx;
    loop_stop(self->loop);
}

static void on_broken(void *ctx, int r) {
    GcsMain *self = ctx;
    self->status = 1;
    loop_stop(self->loop);
}

static usec_t job_start_timeout(void) {
    const char *text = getenv("RAY_JOB_START_TIMEOUT_SECONDS");
    char *end;
    double seconds = str_empty(text) ? 0 : strtod(text, &end);
    bool good = seconds > 0 && seconds < 1e9 && *end == 0;
    if (!str_empty(text) && !good)
        log_warn("RAY_JOB_START_TIMEOUT_SECONDS=%s is no number of seconds and is ignored", text);
    return good ? (usec_t)(seconds * (double)USEC_PER_SEC) : 0;
}

static int start(const GcsArgs *args, GcsMain *self, const Session *session,
                 GcsServer **ret_server) {
    const char *mode = getenv("RAY_AUTH_MODE"), *token = getenv("RAY_AUTH_TOKEN");
    GcsServerOptions options = {
        .store = args->store,
        .durable = args->durable,
        .broken = on_broken,
        .ctx = self,
        .gcs = {
            .session_name = session->name,
            .session_dir = session->dir,
            .settings = args->settings,
            .dashboard_url = args->dashboard_url,
            .node_ip = args->node_ip,
            .job_start_timeout = job_start_timeout(),
            .token = str_eq(mode, "token") ? slice_str(token) : (Slice){ 0 },
        },
    };
    int r = net_address_parse_listen(args->listen, &options.listen);
    if (r == 0 && args->socket)
        r = net_address_parse_listen(args->socket, &options.local);
    return r < 0 ? r : gcs_server_new(self->loop, &options, ret_server);
}

static int run(const GcsArgs *args, const Session *session) {
    _cleanup_(loop_freep) Loop *loop = NULL;
    _cleanup_(loop_signal_freep) LoopSignal *term = NULL, *interrupt = NULL;
    _cleanup_(loop_fd_freep) LoopFd *life = NULL;
    _cleanup_(gcs_server_freep) GcsServer *server = NULL;
    int r = loop_new(&loop);
    GcsMain self = { .loop = loop };
    if (r == 0)
        r = loop_signal_new(loop, SIGTERM, on_signal, &self, &term);
    if (r == 0)
        r = loop_signal_new(loop, SIGINT, on_signal, &self, &interrupt);
    if (r == 0)
        r = life_watch(loop, args->life_fd, &life);
    if (r == 0)
        r = start(args, &self, session, &server);
    if (r < 0) {
        log_error("cannot start: %s", error_text(r));
        life_say(args->ready_fd, json_pack("{s:s}", "error", error_text(r)));
        return 1;
    }
    char address[NET_ADDRESS_TEXT_MAX];
    net_address_format(gcs_server_address(server), address);
    log_info("gcs listens at %s, session %s", address, session->name);
    r = session_gcs_write(session, address);
    if (r < 0)
        log_warn("commands will not find this cluster by its session: %s", error_text(r));
    life_say(args->ready_fd, json_pack("{s:s, s:i, s:s}", "address", address, "pid", (int)getpid(),
                                       "session_dir", session->dir));
    loop_run(loop);
    return self.status;
}

int cmd_gcs(int argc, char **argv) {
    GcsArgs args = {
        .temp_dir = SESSION_TEMP_DEFAULT, .node_ip = "127.0.0.1", .ready_fd = -1, .life_fd = -1
    };
    const Option options[] = {
        { "listen", OPTION_TEXT, &args.listen,
          "IP:PORT to serve at (port 0: a free one), or fd:N, a socket that listens." },
        { "socket", OPTION_TEXT, &args.socket,
          "unix:PATH or fd:N to serve at as well, for the raylet of this host." },
        { "temp-dir", OPTION_TEXT, &args.temp_dir, "Where session folders are." },
        { "session-name", OPTION_TEXT, &args.session_name, "The session of this cluster." },
        { "node-ip", OPTION_TEXT, &args.node_ip, "The head's address as others see it." },
        { "store", OPTION_TEXT, &args.store, "SQLite file for the records; else memory." },
        { "durable", OPTION_FLAG, &args.durable, "Sync to disk before every answer." },
        { "dashboard-url", OPTION_TEXT, &args.dashboard_url, "Told to every process." },
        { "settings", OPTION_TEXT, &args.settings, "JSON handed to every process." },
        { "ready-fd", OPTION_INT, &args.ready_fd, "Gets one line of JSON when ready." },
        { "life-fd", OPTION_INT, &args.life_fd, "The process ends when this pipe does." },
        { "verbose", OPTION_FLAG, &args.verbose, "Log more." },
    };
    const OptionTable table = { .command = "mobula gcs",
                                .about = "The control plane of a Ray cluster.",
                                .options = options,
                                .len = ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    if (!args.listen || !args.session_name)
        return options_fail(&table, "--listen and --session-name are needed");
    log_setup("gcs", args.verbose ? LOG_DEBUG : LOG_INFO, false);
    signal(SIGPIPE, SIG_IGN);
    _cleanup_session_ Session session = { 0 };
    r = session_open(args.temp_dir, args.session_name, &session);
    if (r < 0) {
        log_error("cannot start: %s", error_text(r));
        life_say(args.ready_fd, json_pack("{s:s}", "error", error_text(r)));
        return 1;
    }
    return run(&args, &session);
}
