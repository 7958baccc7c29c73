/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/settings.h"

#include "base/error.h"
#include "base/str.h"

void settings_default(OperatorSettings *settings) {
    *settings = (OperatorSettings){
        .cluster_domain = "cluster.local",
        .inject_wait = true,
        .inject_probes = true,
        .redis_cleanup = true,
        .job_grace = 300 * USEC_PER_SEC,
        .job_check_timeout = 300 * USEC_PER_SEC,
    };
}

/* KubeRay's reading: only the word that differs from the default counts, in any case. */
static void read_switch(char *(*lookup)(const char *), const char *name, bool *value) {
    const char *text = lookup(name);
    if (text && str_eq_nocase(text, *value ? "false" : "true"))
        *value = !*value;
}

static int read_seconds(char *(*lookup)(const char *), const char *name, usec_t *value) {
    const char *text = lookup(name);
    int64_t seconds;
    if (str_empty(text))
        return 0;
    if (str_to_i64(text, &seconds) < 0 || seconds <= 0 || seconds > INT32_MAX)
        return error_origin(-EINVAL, "%s=%s: wanted a positive number of seconds", name, text);
    *value = seconds * USEC_PER_SEC;
    return 0;
}

int settings_from_env(OperatorSettings *settings, char *(*lookup)(const char *name)) {
    const struct {
        const char *name;
        bool *value;
    } switches[] = {
        { "ENABLE_INIT_CONTAINER_INJECTION", &settings->inject_wait },
        { "ENABLE_PROBES_INJECTION", &settings->inject_probes },
        { "ENABLE_LOGIN_SHELL", &settings->login_shell },
        { "ENABLE_DETERMINISTIC_HEAD_POD_NAME", &settings->deterministic_head },
        { "ENABLE_RAY_HEAD_CLUSTER_IP_SERVICE", &settings->head_cluster_ip },
        { "ENABLE_RANDOM_POD_DELETE", &settings->random_pod_delete },
        { "ENABLE_GCS_FT_REDIS_CLEANUP", &settings->redis_cleanup },
        { "DELETE_RAYJOB_CR_AFTER_JOB_FINISHES", &settings->delete_job },
    };
    for (size_t i = 0; i < ARRAY_LEN(switches); i++)
        read_switch(lookup, switches[i].name, switches[i].value);
    const char *domain = lookup("CLUSTER_DOMAIN");
    if (!str_empty(domain))
        settings->cluster_domain = domain;
    int r = read_seconds(lookup, "RAYJOB_DEPLOYMENT_STATUS_TRANSITION_GRACE_PERIOD_SECONDS",
                         &settings->job_grace);
    if (r < 0)
        return r;
    return read_seconds(lookup, "RAYJOB_STATUS_CHECK_TIMEOUT_SECONDS",
                        &settings->job_check_timeout);
}
