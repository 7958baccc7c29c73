/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The names that make our objects KubeRay's: label and annotation keys, environment variables, and
 * the rules by which object names are formed. Users' scripts, the autoscaler, `kubectl ray`, Kueue
 * and KubeRay itself read them. Results live in the arena.
 */

#include "base/arena.h"
#include "base/base.h"
#include "codec/json.h"

#define RAY_API_VERSION "ray.io/v1"
#define OPERATOR_LEASE  "ray-operator-leader"
/* What `ray.io/kuberay-version` says of our pods. KubeRay adopts pods of another version than its
 * own instead of recreating them, and so do we: an exchange of operators restarts nothing. */
#define OPERATOR_VERSION "mobula-" MOBULA_VERSION

#define LABEL_CLUSTER         "ray.io/cluster"
#define LABEL_NODE_TYPE       "ray.io/node-type"
#define LABEL_GROUP           "ray.io/group"
#define LABEL_IS_NODE         "ray.io/is-ray-node"
#define LABEL_IDENTIFIER      "ray.io/identifier"
#define LABEL_SERVE           "ray.io/serve"
#define LABEL_HEADLESS        "ray.io/headless-worker-svc"
#define LABEL_ORIGIN_NAME     "ray.io/originated-from-cr-name"
#define LABEL_ORIGIN_KIND     "ray.io/originated-from-crd"
#define LABEL_SUBMISSION_MODE "ray.io/job-submission-mode"
#define LABEL_REPLICA_NAME    "ray.io/worker-group-replica-name"
#define LABEL_REPLICA_INDEX   "ray.io/worker-group-replica-index"
#define LABEL_HOST_INDEX      "ray.io/replica-host-index"
#define LABEL_APP_NAME        "app.kubernetes.io/name"
#define LABEL_CREATED_BY      "app.kubernetes.io/created-by"

#define ANNOTATION_FT_ENABLED        "ray.io/ft-enabled"
#define ANNOTATION_STORAGE_NAMESPACE "ray.io/external-storage-namespace"
#define ANNOTATION_FT_TIMEOUT        "ray.io/gcs-ft-deletion-timeout"
#define ANNOTATION_OVERWRITE_COMMAND "ray.io/overwrite-container-cmd"
#define ANNOTATION_SERVE_SERVICE     "ray.io/enable-serve-service"
#define ANNOTATION_NO_HEAD_RESTART   "ray.io/disable-provisioned-head-restart"
#define ANNOTATION_HASH              "ray.io/upgrade-strategy-recreate-hash"
#define ANNOTATION_VERSION           "ray.io/kuberay-version"
#define ANNOTATION_INGRESS_CLASS     "kubernetes.io/ingress.class"

#define FINALIZER_JOB   "ray.io/rayjob-finalizer"
#define FINALIZER_REDIS "ray.io/gcs-ft-redis-cleanup-finalizer"

#define CREATED_BY       "kuberay-operator" /* KubeRay's watches select by it */
#define APP_NAME         "kuberay"
#define GROUP_HEAD       "headgroup"
#define NODE_HEAD        "head"
#define NODE_WORKER      "worker"
#define NODE_REDIS       "redis-cleanup"
#define CONTAINER_SUBMIT "ray-job-submitter"
#define CONTAINER_SCALER "autoscaler"
#define CONTAINER_WAIT   "wait-gcs-ready"

#define AUTH_SECRET_KEY "auth_token"

enum {
    PORT_CLIENT = 10001,
    PORT_GCS = 6379,
    PORT_DASHBOARD = 8265,
    PORT_METRICS = 8080,
    PORT_SERVE = 8000,
    PORT_AGENT = 52365,

    NAME_CLUSTER_MAX = 53, /* so that "-serve-svc" still fits a DNS label */
    NAME_JOB_MAX = 47,     /* so that "-xxxxx" still fits a cluster name */
};

/* Letters for names, which have to differ and not to be secret. A seed gives a run that repeats. */
typedef struct NameRandom {
    uint64_t state;
} NameRandom;

/* "{base}-xxxxx", or base itself with five letters when it ends in a dash. */
const char *name_random(Arena *arena, NameRandom *random, const char *base);

/* For ServiceAccount, Role, Secret, Ingress: the last 50 characters, a letter first. */
const char *name_short(Arena *arena, const char *name);
/* For label values: the last 63 characters, no punctuation first. */
const char *name_label(Arena *arena, const char *name);
/* "{cluster}-head-" or "{cluster}-{group}-worker-": lower case, the first 50 characters before the
 * node type. `group` is NULL for the head. */
const char *name_pod_prefix(Arena *arena, const char *cluster, const char *group);
/* ray.io/identifier of a cluster's head. */
const char *name_head_identifier(Arena *arena, const char *cluster);
/* The head Service of a RayCluster: headService.metadata.name, or "{cluster}-head-svc". */
const char *name_head_service(Arena *arena, const json_t *cluster);
/* The submitter's and the head's ServiceAccount: the user's, or the cluster's name; not yet short. */
const char *name_head_account(const json_t *cluster);
/* The Secret with the token: authOptions.secretName, or the short cluster name. */
const char *name_auth_secret(Arena *arena, const char *cluster, const json_t *auth_options);
