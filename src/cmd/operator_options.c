/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/operator_options.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "cmd/options.h"
#include "codec/yaml.h"

enum {
    CONFIG_MAX = 1 << 20
};

/* As given, before they mean anything. */
typedef struct Flags {
    const char *metrics_addr, *probe_addr, *leader_namespace, *watch_namespace, *config;
    const char *batch_scheduler, *feature_gates, *log_encoder;
    bool leader_election, proxy, enable_metrics, enable_batch_scheduler;
    /* taken, and of no meaning here: requests are paced by the server's own flow control */
    const char *ignored_text;
    int64_t ignored_int;
    double ignored_number;
    bool ignored_bool;
} Flags;

#define GO_BOOLS                                                                                   \
    "enable-leader-election", "forced-cluster-upgrade", "enable-batch-scheduler",                  \
        "use-kubernetes-proxy", "enable-metrics", "zap-devel"

/* "-flag" becomes "--flag", and a bare boolean gets its "=true". */
static char **go_arguments(int argc, char **argv, StrList *texts) {
    static const char *const BOOLS[] = { GO_BOOLS };
    char **out = mem_array(char *, (size_t)argc + 1);
    out[0] = argv[0];
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        bool single = name[0] == '-' && name[1] && name[1] != '-';
        const char *bare = single ? name + 1 : str_starts(name, "--") ? name + 2 : "";
        bool boolean = false;
        for (size_t k = 0; k < ARRAY_LEN(BOOLS); k++)
            boolean |= str_eq(bare, BOOLS[k]);
        strlist_printf(texts, "%s%s%s", single && name[2] ? "-" : "", name, boolean ? "=true" : "");
        out[i] = texts->items[texts->len - 1];
    }
    return out;
}

static int read_config(const char *path, OperatorArgs *args) {
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read(path, CONFIG_MAX, &text);
    if (r == 0)
        r = yaml_parse(text.data ? text.data : "", text.len, NULL, &args->config);
    if (r < 0)
        return error_context(r, "--config %s", path);
    const char *kind = json_str_at(args->config, "kind");
    if (!str_eq(kind, "Configuration"))
        return error_origin(-EINVAL, "--config %s: kind is %s, wanted Configuration", path,
                            kind ? kind : "missing");
    return 0;
}

/* The file replaces the flags, as in KubeRay. */
static void use_config(const json_t *config, Flags *flags, OperatorArgs *args) {
    OperatorSettings *settings = &args->options.settings;
    const struct {
        const char *key;
        const char **value;
    } texts[] = {
        { "metricsAddr", &flags->metrics_addr },
        { "probeAddr", &flags->probe_addr },
        { "leaderElectionNamespace", &flags->leader_namespace },
        { "watchNamespace", &flags->watch_namespace },
        { "batchScheduler", &flags->batch_scheduler },
        { "logFile", &args->log_file },
        { "logStdoutEncoder", &flags->log_encoder },
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const char *text = json_str_at(config, texts[i].key);
        if (text)
            *texts[i].value = text;
    }
    flags->leader_election = json_bool_at(config, true, "enableLeaderElection");
    flags->proxy = json_bool_at(config, false, "useKubernetesProxy");
    flags->enable_metrics = json_bool_at(config, false, "enableMetrics");
    flags->enable_batch_scheduler = json_bool_at(config, false, "enableBatchScheduler");
    settings->container_env = json_at(config, "defaultContainerEnvs");
    settings->head_sidecars = json_at(config, "headSidecarContainers");
    settings->worker_sidecars = json_at(config, "workerSidecarContainers");
    settings->pod_annotations = json_at(config, "defaultPodAnnotations");
    settings->pod_labels = json_at(config, "defaultPodLabels");
}

/* ":8080" is every address; "0" or "" serves nothing. */
static int read_address(const char *flag, const char *text, NetAddress *address,
                        const NetAddress **ret_address) {
    if (str_empty(text) || str_eq(text, "0"))
        return 0;
    _cleanup_free_ char *whole = str_printf("%s%s", *text == ':' ? "0.0.0.0" : "", text);
    int r = net_address_parse(whole, address);
    if (r < 0)
        return error_context(r, "--%s", flag);
    *ret_address = address;
    return 0;
}

static void read_namespaces(const char *text, StrList *out) {
    _cleanup_free_ char *copy = str_dup(text ? text : "");
    for (char *rest, *item = strtok_r(copy, ", ", &rest); item; item = strtok_r(NULL, ", ", &rest))
        strlist_add(out, item);
}

static int check_gates(const char *text) {
    static const char *const ABSENT[] = {
        "RayCronJob=true",
        "SidecarSubmitterRestart=true",
        "RayClusterNetworkPolicy=true",
        "GCSFaultToleranceEmbeddedStorage=true",
        "RayClusterMTLS=true",
        "RayClusterHistoryServer=true",
        "KubernetesWAS=true",
    };
    for (size_t i = 0; i < ARRAY_LEN(ABSENT); i++)
        if (text && strstr(text, ABSENT[i]))
            return error_origin(-ENOTSUP, "--feature-gates: %s is not there yet; leave it out",
                                ABSENT[i]);
    return 0;
}

static int resolve(Flags *flags, OperatorArgs *args) {
    OperatorOptions *options = &args->options;
    if (flags->enable_batch_scheduler || !str_empty(flags->batch_scheduler))
        return error_origin(-ENOTSUP,
                            "--batch-scheduler: integrations with other schedulers are not there "
                            "yet; leave it out");
    int r = check_gates(flags->feature_gates);
    if (r == 0)
        r = read_address("metrics-addr", flags->metrics_addr, &args->metrics, &options->metrics);
    if (r == 0)
        r = read_address("health-probe-bind-address", flags->probe_addr, &args->health,
                         &options->health);
    if (r == 0)
        r = settings_from_env(&options->settings, getenv);
    if (r < 0)
        return r;
    read_namespaces(flags->watch_namespace, &options->namespaces);
    options->leader_election = flags->leader_election;
    options->leader_namespace = flags->leader_namespace;
    options->kubernetes_proxy = flags->proxy;
    options->object_metrics = flags->enable_metrics;
    args->log_json = str_eq(flags->log_encoder, "json");
    char host[256] = "operator", random[9];
    uint32_t salt;
    (void)gethostname(host, sizeof(host) - 1);
    mem_random(&salt, sizeof(salt));
    hex_encode(&salt, sizeof(salt), random);
    args->identity = str_printf("%s_%s", host, random);
    options->identity = args->identity;
    return 0;
}

static const char ABOUT[] =
    "Makes RayClusters and RayJobs of a Kubernetes cluster real. Takes KubeRay's flags.";

int operator_args_parse(int argc, char **argv, OperatorArgs *ret_args) {
    OperatorArgs args = { 0 };
    Flags flags = {
        .metrics_addr = ":8080",
        .probe_addr = ":8082",
        .leader_election = true,
        .log_encoder = "json",
    };
    const Option options[] = {
        { "metrics-addr", OPTION_TEXT, &flags.metrics_addr, "Where /metrics is; 0: nowhere." },
        { "health-probe-bind-address", OPTION_TEXT, &flags.probe_addr,
          "Where /healthz and /readyz are; 0: nowhere." },
        { "enable-leader-election", OPTION_BOOL, &flags.leader_election,
          "Act only while holding the Lease ray-operator-leader." },
        { "leader-election-namespace", OPTION_TEXT, &flags.leader_namespace,
          "Namespace of the Lease; else the one this runs in." },
        { "watch-namespace", OPTION_TEXT, &flags.watch_namespace,
          "Namespaces to care for, comma-separated; else all." },
        { "use-kubernetes-proxy", OPTION_BOOL, &flags.proxy,
          "Reach Ray heads through the API server." },
        { "enable-metrics", OPTION_BOOL, &flags.enable_metrics, "Export kuberay_* metrics too." },
        { "config", OPTION_TEXT, &flags.config, "A Configuration file instead of flags." },
        { "kubeconfig", OPTION_TEXT, &args.kubeconfig, "How to reach the API server." },
        { "context", OPTION_TEXT, &args.context, "Context of the kubeconfig." },
        { "log-stdout-encoder", OPTION_TEXT, &flags.log_encoder, "json or console." },
        { "log-file-path", OPTION_TEXT, &args.log_file, "Log to this file." },
        { "print-crds", OPTION_FLAG, &args.print_crds, "Write the CRDs as YAML, and end." },
        { "zap-devel", OPTION_BOOL, &args.verbose, "Log more." },
        { "batch-scheduler", OPTION_TEXT, &flags.batch_scheduler, NULL },
        { "enable-batch-scheduler", OPTION_BOOL, &flags.enable_batch_scheduler, NULL },
        { "feature-gates", OPTION_TEXT, &flags.feature_gates, "Name=true or false, ..." },
        { "reconcile-concurrency", OPTION_INT, &flags.ignored_int, NULL },
        { "forced-cluster-upgrade", OPTION_BOOL, &flags.ignored_bool, NULL },
        { "log-file-encoder", OPTION_TEXT, &flags.ignored_text, NULL },
        { "qps", OPTION_NUMBER, &flags.ignored_number, NULL },
        { "burst", OPTION_INT, &flags.ignored_int, NULL },
        { "zap-encoder", OPTION_TEXT, &flags.ignored_text, NULL },
        { "zap-log-level", OPTION_TEXT, &flags.ignored_text, NULL },
        { "zap-stacktrace-level", OPTION_TEXT, &flags.ignored_text, NULL },
        { "zap-time-encoding", OPTION_TEXT, &flags.ignored_text, NULL },
    };
    const OptionTable table = {
        .command = "mobula operator", .about = ABOUT, .options = options, .len = ARRAY_LEN(options)
    };
    settings_default(&args.options.settings);
    _cleanup_free_ char **given = go_arguments(argc, argv, &args.texts);
    int first, r = options_parse(&table, argc, given, &first);
    if (r == 0 && flags.config) {
        r = read_config(flags.config, &args);
        if (r == 0)
            use_config(args.config, &flags, &args);
    }
    if (r == 0)
        r = resolve(&flags, &args);
    if (r < 0) {
        options_fail(&table, "%s", error_text(r));
        r = OPTIONS_BAD;
    }
    if (r != 0) {
        operator_args_done(&args);
        return r;
    }
    if (args.options.metrics)
        args.options.metrics = &ret_args->metrics;
    if (args.options.health)
        args.options.health = &ret_args->health;
    *ret_args = args;
    return 0;
}

void operator_args_done(OperatorArgs *args) {
    strlist_done(&args->options.namespaces);
    strlist_done(&args->texts);
    json_decref(args->config);
    args->config = NULL;
    args->identity = mem_free(args->identity);
}
