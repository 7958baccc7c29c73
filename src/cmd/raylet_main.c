/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula raylet`: parse, wire up, run. */

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/life.h"
#include "cmd/options.h"
#include "cmd/program.h"
#include "codec/json.h"
#include "host/session.h"
#include "raylet/raylet.h"

typedef struct RayletArgs {
    const char *gcs_address, *temp_dir, *node_ip, *node_name, *listen, *resources, *labels, *python;
    const char *agent_listen, *metrics_listen, *socket, *gcs_socket, *spill_folder, *session_name;
    int64_t prestart, ready_fd, life_fd;
    bool head, verbose;
} RayletArgs;

typedef struct RayletMain {
    const RayletArgs *args;
    Loop *loop;
    int status;
} RayletMain;

static void on_ready(void *ctx, Raylet *raylet) {
    RayletMain *self = ctx;
    RayletInfo info;
    raylet_info(raylet, &info);
    char address[NET_ADDRESS_TEXT_MAX];
    net_address_format(info.address, address);
    log_info("raylet of node %s serves %s and %s", info.node_id, info.socket_path, address);
    life_say(self->args->ready_fd,
             json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i}", "session_dir", info.session_dir,
                       "session_name", info.session_name, "socket", info.socket_path, "node_id",
                       info.node_id, "address", address, "agent_port", (json_int_t)info.agent_port,
                       "metrics_port", (json_int_t)info.metrics_port, "pid", (int)getpid()));
}

static void on_failed(void *ctx, int r, const char *sentence) {
    RayletMain *self = ctx;
    UNUSED(r);
    log_error("this node ends: %s", sentence);
    life_say(self->args->ready_fd, json_pack("{s:s}", "error", sentence));
    self->status = 1;
    loop_stop(self->loop);
}

static void on_signal(void *ctx, int signo) {
    RayletMain *self = ctx;
    UNUSED(signo);
    loop_stop(self->loop);
}

static int parse_resources(const char *text, ResourceSet *out) {
    _cleanup_json_ json_t *object = NULL;
    int r = json_parse(text, strlen(text), NULL, 0, &object);
    if (r < 0)
        return error_context(r, "--resources");
    if (!json_is_object(object))
        return error_origin(-EINVAL, "--resources is a JSON object of numbers");
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        Quantity quantity;
        if (!json_is_number(value))
            return error_origin(-EINVAL, "--resources: %s is not a number", name);
        r = quantity_from_double(json_number_value(value), &quantity);
        if (r == 0)
            r = resources_set(out, name, quantity);
        if (r < 0)
            return error_context(r, "--resources");
    }
    return 0;
}

static int start(RayletMain *self, Raylet **ret_raylet) {
    const RayletArgs *args = self->args;
    _cleanup_resources_ ResourceSet total = { 0 };
    _cleanup_labels_ Labels labels = { 0 };
    const char *mode = getenv("RAY_AUTH_MODE"), *token = getenv("RAY_AUTH_TOKEN");
    RayletOptions options = {
        .gcs_address = args->gcs_address,
        .gcs_socket = args->gcs_socket,
        .temp_dir = args->temp_dir,
        .session_name = args->session_name,
        .node_ip = args->node_ip,
        .node_name = args->node_name,
        .socket_path = args->socket,
        .total = &total,
        .labels = &labels,
        .head = args->head,
        .python = args->python,
        .spill_folder = args->spill_folder,
        .token = str_eq(mode, "token") ? slice_str(token) : (Slice){ 0 },
        .prestart = (uint32_t)args->prestart,
    };
    _cleanup_free_ char *listen = str_printf("%s:0", args->node_ip);
    int r = parse_resources(args->resources, &total);
    if (r == 0)
        r = labels_parse(&labels, args->labels);
    if (r == 0)
        r = net_address_parse_listen(args->listen ? args->listen : listen, &options.listen);
    if (r == 0 && args->agent_listen)
        r = net_address_parse_listen(args->agent_listen, &options.agent_listen);
    if (r == 0 && args->metrics_listen)
        r = net_address_parse_listen(args->metrics_listen, &options.metrics_listen);
    RayletEvents events = { .ctx = self, .ready = on_ready, .failed = on_failed };
    return r < 0 ? r : raylet_new(self->loop, &options, &events, ret_raylet);
}

static int run(const RayletArgs *args) {
    _cleanup_(loop_freep) Loop *loop = NULL;
    _cleanup_(loop_signal_freep) LoopSignal *term = NULL, *interrupt = NULL;
    _cleanup_(loop_fd_freep) LoopFd *life = NULL;
    _cleanup_(raylet_freep) Raylet *raylet = NULL;
    int r = loop_new(&loop);
    RayletMain self = { .args = args, .loop = loop };
    if (r == 0)
        r = loop_signal_new(loop, SIGTERM, on_signal, &self, &term);
    if (r == 0)
        r = loop_signal_new(loop, SIGINT, on_signal, &self, &interrupt);
    if (r == 0)
        r = life_watch(loop, args->life_fd, &life);
    if (r == 0)
        r = start(&self, &raylet);
    if (r < 0) {
        on_failed(&self, r, error_text(r));
        return 1;
    }
    loop_run(loop);
    return self.status;
}

int cmd_raylet(int argc, char **argv) {
    _cleanup_free_ char *python = program_python();
    RayletArgs args = {
        .temp_dir = SESSION_TEMP_DEFAULT,
        .node_ip = "127.0.0.1",
        .resources = "{}",
        .labels = "",
        .python = python,
        .prestart = 2,
        .ready_fd = -1,
        .life_fd = -1,
    };
    const Option options[] = {
        { "gcs-address", OPTION_TEXT, &args.gcs_address, "HOST:PORT of the head's gcs." },
        { "gcs-socket", OPTION_TEXT, &args.gcs_socket,
          "Unix socket of a gcs on this host, tried before its address." },
        { "temp-dir", OPTION_TEXT, &args.temp_dir, "Where session folders are." },
        { "session-name", OPTION_TEXT, &args.session_name,
          "The cluster's session, where known: the node is ready sooner." },
        { "node-ip", OPTION_TEXT, &args.node_ip, "This node's address as others see it." },
        { "node-name", OPTION_TEXT, &args.node_name, "The node's name; its address else." },
        { "listen", OPTION_TEXT, &args.listen,
          "IP:PORT (port 0: a free one) or fd:N for other raylets." },
        { "socket", OPTION_TEXT, &args.socket, "Unix socket for processes of this node." },
        { "resources", OPTION_TEXT, &args.resources, "JSON object: what this node offers." },
        { "labels", OPTION_TEXT, &args.labels, "key=value,... of this node." },
        { "head", OPTION_FLAG, &args.head, "This is the head node." },
        { "python", OPTION_TEXT, &args.python, "Interpreter of workers." },
        { "object-spilling-directory", OPTION_TEXT, &args.spill_folder,
          "Where objects go that memory has no room for; the session's folder else." },
        { "prestart", OPTION_INT, &args.prestart, "Workers kept ready." },
        { "agent-listen", OPTION_TEXT, &args.agent_listen, "IP:PORT or fd:N of the agent's HTTP." },
        { "metrics-listen", OPTION_TEXT, &args.metrics_listen, "IP:PORT or fd:N of the metrics." },
        { "ready-fd", OPTION_INT, &args.ready_fd, "Gets one line of JSON when ready." },
        { "life-fd", OPTION_INT, &args.life_fd, "The process ends when this pipe does." },
        { "verbose", OPTION_FLAG, &args.verbose, "Log more." },
    };
    const OptionTable table = { .command = "mobula raylet",
                                .about = "The daemon of one Ray node.",
                                .options = options,
                                .len = ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    if (!args.gcs_address)
        return options_fail(&table, "--gcs-address is needed");
    log_setup("raylet", args.verbose ? LOG_DEBUG : LOG_INFO, false);
    signal(SIGPIPE, SIG_IGN);
    return run(&args);
}
