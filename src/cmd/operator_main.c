/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula operator`: parse, wire up, run. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/operator_options.h"
#include "cmd/options.h"
#include "codec/yaml.h"
#include "kobj/kinds.h"
#include "kube/config.h"

typedef struct OperatorMain {
    Loop *loop;
    Operator *operator;
    bool leaving;
    int status;
} OperatorMain;

static void stop(void *ctx) {
    OperatorMain *self = ctx;
    loop_stop(self->loop);
}

/* The first signal hands the lease over; the second does not wait for that. */
static void on_signal(void *ctx, int signo) {
    OperatorMain *self = ctx;
    if (self->leaving) {
        loop_stop(self->loop);
        return;
    }
    self->leaving = true;
    operator_release(self->operator, stop, self);
}

/* Another replica leads: start anew, with nothing remembered. */
static void on_deposed(void *ctx) {
    OperatorMain *self = ctx;
    self->status = 1;
    loop_stop(self->loop);
}

static int log_to_file(const char *path) {
    if (!path)
        return 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_last("open %s", path);
    int r = dup2(fd, STDERR_FILENO) < 0 ? error_last("dup2") : 0;
    close(fd);
    return r;
}

static int connect_client(const OperatorArgs *args, Loop *loop, HttpClient *http,
                          KubeClient **ret_client) {
    KubeConfig config = { 0 };
    int r = kube_config_auto(args->kubeconfig, args->context, &config);
    return r < 0 ? r : kube_client_new(loop, http, &config, ret_client);
}

static int run(OperatorArgs *args) {
    _cleanup_(loop_freep) Loop *loop = NULL;
    _cleanup_(loop_signal_freep) LoopSignal *term = NULL, *interrupt = NULL;
    _cleanup_(http_client_freep) HttpClient *http = NULL;
    _cleanup_(kube_client_freep) KubeClient *client = NULL;
    _cleanup_(operator_freep) Operator *operator= NULL;
    OperatorMain self = { 0 };
    args->options.deposed = on_deposed;
    args->options.ctx = &self;
    int r = log_to_file(args->log_file);
    if (r == 0)
        r = loop_new(&loop);
    if (r == 0) {
        http = http_client_new(loop);
        r = connect_client(args, loop, http, &client);
    }
    if (r == 0 && str_empty(args->options.leader_namespace))
        args->options.leader_namespace = kube_client_config(client)->namespace;
    if (r == 0)
        r = operator_new(loop, http, client, &args->options, &operator);
    self.loop = loop;
    self.operator= operator;
    if (r == 0)
        r = loop_signal_new(loop, SIGTERM, on_signal, &self, &term);
    if (r == 0)
        r = loop_signal_new(loop, SIGINT, on_signal, &self, &interrupt);
    if (r < 0) {
        log_error("cannot start: %s", error_text(r));
        return 1;
    }
    log_info("watching %s", kube_client_config(client)->server);
    loop_run(loop);
    return self.status;
}

/* For `kubectl apply -f -`. */
static int print_crds(void) {
    _cleanup_json_ json_t *crds = kinds_ray_crds();
    size_t i;
    json_t *crd;
    json_array_foreach(crds, i, crd) {
        _cleanup_buf_ Buf text = { 0 };
        yaml_encode(crd, &text);
        printf("---\n%s", text.data);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

int cmd_operator(int argc, char **argv) {
    _cleanup_operator_args_ OperatorArgs args = { 0 };
    int r = operator_args_parse(argc, argv, &args);
    if (r != 0)
        return options_exit(r);
    if (args.print_crds)
        return print_crds();
    log_setup("operator", args.verbose ? LOG_DEBUG : LOG_INFO, args.log_json);
    signal(SIGPIPE, SIG_IGN);
    return run(&args);
}
