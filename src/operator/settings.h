/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the operator was told by flags, config file and environment; a value that nobody changes
 * after the start. settings_default() is KubeRay's default. */

#include "base/base.h"
#include "codec/json.h"

typedef struct OperatorSettings {
    const char *cluster_domain; /* CLUSTER_DOMAIN */
    bool inject_wait;           /* ENABLE_INIT_CONTAINER_INJECTION */
    bool inject_probes;         /* ENABLE_PROBES_INJECTION */
    bool login_shell;           /* ENABLE_LOGIN_SHELL: bash -l */
    bool deterministic_head;    /* ENABLE_DETERMINISTIC_HEAD_POD_NAME */
    bool head_cluster_ip; /* ENABLE_RAY_HEAD_CLUSTER_IP_SERVICE: the head Service is not headless */
    bool random_pod_delete;   /* ENABLE_RANDOM_POD_DELETE: scale down beside the autoscaler */
    bool redis_cleanup;       /* ENABLE_GCS_FT_REDIS_CLEANUP */
    bool delete_job;          /* DELETE_RAYJOB_CR_AFTER_JOB_FINISHES */
    usec_t job_grace;         /* RAYJOB_DEPLOYMENT_STATUS_TRANSITION_GRACE_PERIOD_SECONDS */
    usec_t job_check_timeout; /* RAYJOB_STATUS_CHECK_TIMEOUT_SECONDS */

    /* From the config file; NULL when absent. Borrowed for the life of the settings. */
    const json_t *container_env;   /* array */
    const json_t *head_sidecars;   /* array */
    const json_t *worker_sidecars; /* array */
    const json_t *pod_annotations; /* object */
    const json_t *pod_labels;      /* object */
} OperatorSettings;

void settings_default(OperatorSettings *settings);
/* Applies the environment (`lookup` is getenv, or a test's). -EINVAL for a number that is none. */
_must_check_ int settings_from_env(OperatorSettings *settings, char *(*lookup)(const char *name));
