/* SPDX-License-Identifier: Apache-2.0 */

/* Does the command line of `ray start` make sense? Before anything is touched. */

#include <limits.h>

#include "base/error.h"
#include "cmd/ray_start.h"

enum {
    PORT_MAX = 65535,
    PORT_UNPRIVILEGED = 1024,
    WORKER_PORT_MIN = 10002, /* where nothing else is given */
    WORKER_PORT_MAX = 19999,
};

static bool given(int64_t value) {
    return value != START_NOT_GIVEN;
}

static int check_ports(const StartArgs *args) {
    const struct {
        const char *flag;
        int64_t value;
    } ports[] = {
        { "--port", args->port },
        { "--node-manager-port", args->node_manager_port },
        { "--object-manager-port", args->unused.object_manager_port },
        { "--dashboard-port", args->dashboard_port },
        { "--dashboard-agent-listen-port", args->agent_port },
        { "--dashboard-agent-grpc-port", args->unused.agent_grpc_port },
        { "--metrics-export-port", args->metrics_port },
    };
    for (size_t i = 0; i < ARRAY_LEN(ports); i++)
        if (given(ports[i].value) && (ports[i].value < 0 || ports[i].value > PORT_MAX))
            return error_origin(-EINVAL, "`%s=%lld`: a port is a number between 0 and 65535.",
                                ports[i].flag, (long long)ports[i].value);
    return 0;
}

static bool out_of_range(int64_t port) {
    return port < PORT_UNPRIVILEGED || port > PORT_MAX;
}

static int check_worker_port_list(const char *text) {
    while (text && *text) {
        size_t len = strcspn(text, ",");
        _cleanup_free_ char *word = str_dup_slice((Slice){ text, len });
        int64_t port;
        if (str_to_i64(word, &port) < 0)
            return error_origin(-EINVAL,
                                "ValueError: worker_port_list must be a comma-separated list of "
                                "integers: '%s' is none",
                                word);
        if (out_of_range(port))
            return error_origin(-EINVAL,
                                "ValueError: Ports in worker_port_list must be between 1024 and "
                                "65535. Got: %lld",
                                (long long)port);
        text += len + (text[len] == ',');
    }
    return 0;
}

/* Nothing here opens such ports; what the peer refuses is a mistake all the same. */
static int check_worker_ports(const StartArgs *args) {
    int64_t min =
        given(args->unused.min_worker_port) ? args->unused.min_worker_port : WORKER_PORT_MIN;
    int64_t max =
        given(args->unused.max_worker_port) ? args->unused.max_worker_port : WORKER_PORT_MAX;
    if (min != 0 && out_of_range(min))
        return error_origin(-EINVAL, "ValueError: min_worker_port must be 0 or an integer between "
                                     "1024 and 65535.");
    if (max != 0 && out_of_range(max))
        return error_origin(-EINVAL, "ValueError: max_worker_port must be 0 or an integer between "
                                     "1024 and 65535.");
    if (max != 0 && max <= min)
        return error_origin(-EINVAL,
                            "ValueError: max_worker_port must be higher than min_worker_port.");
    if (given(args->unused.client_port) && out_of_range(args->unused.client_port))
        return error_origin(-EINVAL, "ValueError: ray_client_server_port must be an integer "
                                     "between 1024 and 65535.");
    int64_t env_agent = args->unused.env_agent_port;
    if (given(env_agent) && env_agent != 0 && out_of_range(env_agent))
        return error_origin(-EINVAL, "ValueError: runtime_env_agent_port must be 0 (auto-assign) "
                                     "or an integer between 1024 and 65535.");
    return check_worker_port_list(args->unused.worker_port_list);
}

static int check_quantities(const StartArgs *args) {
    const struct {
        const char *flag;
        int64_t value;
    } quantities[] = { { "--num-cpus", args->num_cpus },
                       { "--num-gpus", args->num_gpus },
                       { "--memory", args->memory },
                       { "--object-store-memory", args->object_store_memory } };
    for (size_t i = 0; i < ARRAY_LEN(quantities); i++)
        if (given(quantities[i].value) && quantities[i].value < 0)
            return error_origin(-EINVAL,
                                "ValueError: Resource quantities may not be negative. Violated by "
                                "`%s=%lld`.",
                                quantities[i].flag, (long long)quantities[i].value);
    return 0;
}

static int check_head_or_worker(const StartArgs *args) {
    const struct {
        const char *flag;
        bool given;
    } head_only[] = { { "--port", given(args->port) },
                      { "--redis-shard-ports", args->unused.redis_shard_ports != NULL },
                      { "--include-dashboard", args->include_dashboard_given } };
    if (args->head)
        return 0;
    if (!args->address)
        return error_origin(-EINVAL,
                            "`--address` is a required flag unless starting a head node with "
                            "`--head`.");
    for (size_t i = 0; i < ARRAY_LEN(head_only); i++)
        if (head_only[i].given)
            return error_origin(
                -EINVAL, "`%s` should only be specified when starting head node with `--head`.",
                head_only[i].flag);
    return 0;
}

int start_check(const StartArgs *args) {
    int r = check_head_or_worker(args);
    if (r == 0)
        r = check_ports(args);
    if (r == 0)
        r = check_worker_ports(args);
    if (r == 0)
        r = check_quantities(args);
    if (r == 0 && args->temp_dir && args->temp_dir[0] != '/')
        r = error_origin(-EINVAL, "ValueError: temp_dir must be absolute path or None.");
    return r;
}
