/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/pod.h"

#include <inttypes.h>
#include <xxhash.h>

#include "operator/container.h"
#include "operator/names.h"
#include "operator/object.h"
#include "operator/ray_start.h"
#include "operator/spec.h"

json_t *bash_command(const OperatorSettings *settings, const char *options) {
    json_t *command = json_array();
    _cleanup_free_ char *flags = str_printf("-c%s%s", options, settings->login_shell ? "l" : "");
    json_array_append_new(command, json_string("/bin/bash"));
    json_array_append_new(command, json_string(flags));
    json_array_append_new(command, json_string("--"));
    return command;
}

const char *head_host(const json_t *cluster, const OperatorSettings *settings, Arena *arena) {
    return arena_printf(arena, "%s.%s.svc.%s", name_head_service(arena, cluster),
                        object_namespace(cluster), settings->cluster_domain);
}

/* All that the steps below share. */
typedef struct PodWork {
    RayNode node;
    const OperatorSettings *settings;
    const json_t *spec; /* the cluster's */
    const char *name;   /* the cluster's */
    const char *creator;
    json_t *pod;
    json_t *ray; /* its Ray container */
    Arena *arena;
} PodWork;

static const char *group_label(const PodWork *work) {
    const char *name = json_str_at(work->node.group, "groupName");
    return work->node.head ? GROUP_HEAD : name ? name : "";
}

/* The user's labels win, except over the three by which pods are found again. */
static void set_labels(PodWork *work) {
    const char *type = work->node.head ? NODE_HEAD : NODE_WORKER;
    json_t *labels = json_object();
    object_merge(labels, json_at(work->node.group, "template", "metadata", "labels"), false);
    object_merge(labels, json_at(work->node.group, "labels"), false);
    json_object_set_new(labels, LABEL_CLUSTER, json_string(work->name));
    json_object_set_new(labels, LABEL_NODE_TYPE, json_string(type));
    json_object_set_new(labels, LABEL_GROUP, json_string(group_label(work)));
    _cleanup_json_ json_t *ours = json_object();
    json_object_set_new(ours, LABEL_IS_NODE, json_string("yes"));
    json_object_set_new(
        ours, LABEL_IDENTIFIER,
        json_string(name_label(work->arena, arena_printf(work->arena, "%s-%s", work->name, type))));
    json_object_set_new(ours, LABEL_APP_NAME, json_string(APP_NAME));
    json_object_set_new(ours, LABEL_CREATED_BY, json_string(CREATED_BY));
    object_merge(labels, ours, true);
    if (str_eq(work->creator, "RayService")) /* the head gets traffic once Serve answers there */
        json_object_set_new(labels, LABEL_SERVE, json_string(work->node.head ? "false" : "true"));
    json_set_at(work->pod, labels, "metadata", "labels");
}

static void set_annotations(PodWork *work) {
    json_t *annotations = json_object();
    object_merge(annotations, json_at(work->node.group, "template", "metadata", "annotations"),
                 false);
    const char *overwrite = obj_annotation(work->node.cluster, ANNOTATION_OVERWRITE_COMMAND);
    if (overwrite && str_eq_nocase(overwrite, "true"))
        json_object_set_new(annotations, ANNOTATION_OVERWRITE_COMMAND, json_string("true"));
    if (work->node.head) {
        bool tolerant = cluster_fault_tolerant(work->spec, work->node.cluster);
        json_object_set_new(annotations, ANNOTATION_FT_ENABLED,
                            json_string(tolerant ? "true" : "false"));
    }
    json_set_at(work->pod, annotations, "metadata", "annotations");
}

/* The pod as the template has it, with our metadata. A name or namespace in the template is
 * ignored: pods live in the cluster's namespace under generated names. */
static void begin_pod(PodWork *work, const json_t *cluster, const json_t *group, bool head,
                      const OperatorSettings *settings, Arena *arena) {
    const json_t *spec = json_at(cluster, "spec");
    *work = (PodWork){
        .node = { .head = head,
                  .cluster = cluster,
                  .group = group,
                  .head_host = head_host(cluster, settings, arena),
                  .gcs_port = spec_gcs_port(spec) },
        .settings = settings,
        .spec = spec,
        .name = object_name(cluster),
        .creator = cluster_creator(cluster),
        .arena = arena,
    };
    work->pod = object_make("v1", "Pod", object_namespace(cluster), NULL);
    const char *prefix =
        name_pod_prefix(arena, work->name, head ? NULL : json_str_at(group, "groupName"));
    if (head && settings->deterministic_head)
        json_set_at(work->pod, json_string(arena_printf(arena, "%s-head", work->name)), "metadata",
                    "name");
    else
        json_set_at(work->pod, json_string(prefix), "metadata", "generateName");
    set_labels(work);
    set_annotations(work);
    json_object_set_new(work->pod, "spec", json_deep_copy(json_at(group, "template", "spec")));
    object_own(work->pod, cluster);
    work->ray = pod_ray_container(work->pod);
}

static void add_env_from(json_t *container, const char *name, const json_t *credential) {
    json_t *variable = json_object();
    json_object_set_new(variable, "name", json_string(name));
    object_merge(variable, credential, true);
    json_array_append_new(json_make_array(container, "env"), variable);
}

static void add_redis_options(PodWork *work, const json_t *options) {
    const char *address = json_str_at(options, "redisAddress");
    env_add(work->ray, "RAY_REDIS_ADDRESS", address ? address : "");
    if (json_at(options, "redisUsername"))
        add_env_from(work->ray, "REDIS_USERNAME", json_at(options, "redisUsername"));
    if (json_at(options, "redisPassword"))
        add_env_from(work->ray, "REDIS_PASSWORD", json_at(options, "redisPassword"));
}

/* GCS fault tolerance with Redis: the head keeps its state there; workers wait for it longer. */
static void add_fault_tolerance(PodWork *work) {
    if (!cluster_fault_tolerant(work->spec, work->node.cluster))
        return;
    if (!work->node.head) {
        env_add_default(work->ray, "RAY_gcs_rpc_server_reconnect_timeout_s", "600");
        return;
    }
    const json_t *options = json_at(work->spec, "gcsFaultToleranceOptions");
    const char *space = json_str_at(options, "externalStorageNamespace");
    if (str_empty(space))
        space = obj_annotation(work->node.cluster, ANNOTATION_STORAGE_NAMESPACE);
    if (!space)
        space = object_uid(work->node.cluster);
    obj_set_annotation(work->pod, ANNOTATION_STORAGE_NAMESPACE, space);
    env_add_default(work->ray, "RAY_external_storage_namespace", space);
    const char *password =
        json_str_at(work->spec, "headGroupSpec", "rayStartParams", "redis-password");
    if (options)
        add_redis_options(work, options);
    else if (password)
        env_add_default(work->ray, "REDIS_PASSWORD", password);
}

static void add_metrics_port(PodWork *work) {
    if (container_port(work->ray, "metrics", -1) != -1)
        return;
    json_t *port = json_object();
    json_object_set_new(port, "name", json_string("metrics"));
    json_object_set_new(port, "containerPort", json_integer(PORT_METRICS));
    json_array_append_new(json_make_array(work->ray, "ports"), port);
}

static void add_auth(PodWork *work) {
    if (!spec_token_auth(work->spec))
        return;
    const json_t *options = json_at(work->spec, "authOptions");
    container_add_auth(work->ray, work->name, options, work->arena);
    if (spec_kubernetes_auth(work->spec))
        pod_add_token_volume(json_at(work->pod, "spec"));
    size_t i;
    json_t *container;
    json_array_foreach(json_at(work->pod, "spec", "initContainers"), i, container) {
        if (str_eq(json_str_at(container, "name"), CONTAINER_WAIT))
            container_add_auth(container, work->name, options, work->arena);
    }
}

static void add_autoscaler(PodWork *work) {
    if (!spec_autoscaling(work->spec))
        return;
    const char *version = spec_autoscaler_version(work->spec);
    json_t *pod_spec = json_at(work->pod, "spec");
    bool v2 = str_eq(version, "v2");
    if (v2)
        json_object_set_new(pod_spec, "restartPolicy", json_string("Never"));
    if (!work->node.head)
        return;
    const char *account = name_short(work->arena, name_head_account(work->node.cluster));
    json_object_set_new(pod_spec, "serviceAccountName", json_string(account));
    pod_add_autoscaler(work->pod, work->node.cluster, work->settings, work->arena);
    if (v2 || str_eq(version, "v1"))
        env_add(work->ray, "RAY_enable_autoscaler_v2", v2 ? "true" : "false");
}

static void add_configured(PodWork *work) {
    const OperatorSettings *settings = work->settings;
    json_t *metadata = json_make_object(work->pod, "metadata");
    const json_t *sidecars = work->node.head ? settings->head_sidecars : settings->worker_sidecars;
    size_t i;
    json_t *sidecar;
    json_array_foreach(sidecars, i, sidecar)
        json_array_append_new(json_at(work->pod, "spec", "containers"), json_deep_copy(sidecar));
    object_merge(json_make_object(metadata, "annotations"), settings->pod_annotations, true);
    object_merge(json_make_object(metadata, "labels"), settings->pod_labels, true);
}

static void add_scratch(PodWork *work, const json_t *params) {
    if (!json_object_get(params, "plasma-directory"))
        pod_add_scratch(work->pod, work->ray, "shared-mem", "/dev/shm", true);
    if (!work->node.head || !spec_autoscaling(work->spec))
        return;
    pod_add_scratch(work->pod, work->ray, "ray-logs", "/tmp/ray",
                    false); /* the scaler logs there */
    size_t i;
    json_t *container;
    json_array_foreach(json_at(work->pod, "spec", "containers"), i, container) {
        if (str_eq(json_str_at(container, "name"), CONTAINER_SCALER))
            pod_add_scratch(work->pod, container, "ray-logs", "/tmp/ray", false);
    }
}

static void append_words(Buf *text, const json_t *words) {
    size_t i;
    json_t *word;
    json_array_foreach(words, i, word)
        buf_printf(text, " %s ", json_string_value(word) ? json_string_value(word) : "");
}

/* The container runs the user's command first and `ray start` behind it, since that one blocks;
 * a command that starts Ray itself, or is said to, stays as it is. */
static void set_command(PodWork *work, const char *start) {
    const char *overwrite = obj_annotation(work->pod, ANNOTATION_OVERWRITE_COMMAND);
    _cleanup_buf_ Buf text = { 0 };
    append_words(&text, json_object_get(work->ray, "command"));
    append_words(&text, json_object_get(work->ray, "args"));
    if ((overwrite && str_eq_nocase(overwrite, "true")) ||
        (text.data && strstr(text.data, "ray start")))
        return;
    if (text.len > 0)
        buf_add_str(&text, " && ");
    buf_printf(&text, "ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}; %s", start);
    json_object_set_new(work->ray, "command", bash_command(work->settings, ""));
    json_object_set_new(work->ray, "args", json_array());
    json_array_append_new(json_object_get(work->ray, "args"), json_string(text.data));
}

/* RAY_IP is the first label of the head's name. */
static const char *short_host(const PodWork *work) {
    const char *host = work->node.head_host;
    return arena_printf(work->arena, "%.*s", (int)strcspn(host, "."), host);
}

static void set_init_env(PodWork *work) {
    size_t i;
    json_t *container;
    json_array_foreach(json_at(work->pod, "spec", "initContainers"), i, container) {
        env_add(container, "FQ_RAY_IP", work->node.head_host);
        env_add(container, "RAY_IP", short_host(work));
    }
}

static void add_service_env(json_t *ray) {
    env_add_default(ray, "RAY_timeout_ms_task_wait_for_death_info", "0");
    env_add_default(ray, "RAY_gcs_server_request_timeout_seconds", "5");
    env_add_default(ray, "RAY_SERVE_KV_TIMEOUT_S", "5");
}

/* The order is part of the contract: a later entry may refer to an earlier one by $(NAME). */
static void set_env(PodWork *work, const char *start) {
    json_t *ray = work->ray;
    size_t i;
    json_t *variable;
    json_array_foreach(work->settings->container_env, i, variable) {
        if (!env_has(ray, json_str_at(variable, "name")))
            json_array_append_new(json_make_array(ray, "env"), json_deep_copy(variable));
    }
    if (!work->node.head) {
        env_add(ray, "FQ_RAY_IP", work->node.head_host);
        env_add(ray, "RAY_IP", short_host(work));
    }
    env_add_field(ray, "RAY_CLUSTER_NAME", "metadata.labels['" LABEL_CLUSTER "']");
    env_add_field(ray, "RAY_CLUSTER_NAMESPACE", "metadata.namespace");
    env_add_field(ray, "RAY_CLOUD_INSTANCE_ID", "metadata.name");
    env_add_field(ray, "RAY_NODE_TYPE_NAME", "metadata.labels['" LABEL_GROUP "']");
    env_add(ray, "KUBERAY_GEN_RAY_START_CMD", start);
    env_add_default(ray, "RAY_PORT", work->node.gcs_port);
    if (str_eq(work->creator, "RayService"))
        add_service_env(ray);
    const char *host = work->node.head ? "127.0.0.1" : work->node.head_host;
    env_add_default(ray, "RAY_ADDRESS",
                    arena_printf(work->arena, "%s:%s", host, work->node.gcs_port));
    env_add_default(ray, "RAY_USAGE_STATS_KUBERAY_IN_USE", "1");
    if (work->node.head)
        env_add(ray, "RAY_USAGE_STATS_EXTRA_TAGS",
                arena_printf(work->arena, "kuberay_version=" OPERATOR_VERSION ";kuberay_crd=%s",
                             work->creator));
    env_add_default(ray, "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE", "1");
}

static json_t *finish_pod(PodWork *work) {
    _cleanup_json_ json_t *params = ray_params_complete(&work->node, work->ray);
    _cleanup_buf_ Buf start = { 0 };
    ray_params_render(&work->node, params, &start);
    add_autoscaler(work);
    add_fault_tolerance(work);
    add_metrics_port(work);
    add_auth(work);
    add_configured(work);
    add_scratch(work, params);
    set_command(work, start.data);
    set_init_env(work);
    set_env(work, start.data);
    if (work->settings->inject_probes)
        container_add_probes(work->ray, &work->node, params, work->creator, work->arena);
    return work->pod;
}

json_t *pod_build_head(const json_t *cluster, const OperatorSettings *settings, Arena *arena) {
    PodWork work;
    begin_pod(&work, cluster, json_at(cluster, "spec", "headGroupSpec"), true, settings, arena);
    finish_pod(&work);
    obj_set_annotation(work.pod, ANNOTATION_HASH, cluster_spec_hash(work.spec, arena));
    obj_set_annotation(work.pod, ANNOTATION_VERSION, OPERATOR_VERSION);
    return work.pod;
}

json_t *pod_build_worker(const json_t *cluster, const json_t *group, const WorkerSlot *slot,
                         const OperatorSettings *settings, Arena *arena) {
    PodWork work;
    begin_pod(&work, cluster, group, false, settings, arena);
    obj_set_label(work.pod, LABEL_REPLICA_INDEX, arena_printf(arena, "%" PRId64, slot->replica));
    if (slot->replica_name) {
        obj_set_label(work.pod, LABEL_REPLICA_NAME, slot->replica_name);
        obj_set_label(work.pod, LABEL_HOST_INDEX, arena_printf(arena, "%" PRId64, slot->host));
    }
    if (settings->inject_wait)
        pod_add_wait(work.pod, &work.node, settings, arena);
    return finish_pod(&work);
}

/* Only Ray's own code knows how its keys lie in Redis, so the Job runs it from the user's image. */
static const char *cleanup_script(bool username, Arena *arena) {
    return arena_printf(
        arena,
        "python -c \"import os, sys, urllib.parse\n"
        "from ray._private.gcs_utils import cleanup_redis_storage\n"
        "address = os.environ.get('RAY_REDIS_ADDRESS', '').split(',')[0]\n"
        "url = urllib.parse.urlparse(address if '://' in address else 'redis://' + address)\n"
        "done = cleanup_redis_storage(host=url.hostname, port=url.port, %s"
        "password=os.environ.get('REDIS_PASSWORD', url.password or ''), "
        "use_ssl=url.scheme == 'rediss', "
        "storage_namespace=os.environ.get('RAY_external_storage_namespace'))\n"
        "sys.exit(0 if done else 1)\"",
        username ? "username=os.environ.get('REDIS_USERNAME', url.username), " : "");
}

json_t *pod_build_redis_cleanup(const json_t *cluster, const OperatorSettings *settings,
                                Arena *arena) {
    _cleanup_json_ json_t *pod = pod_build_head(cluster, settings, arena);
    obj_set_label(pod, LABEL_NODE_TYPE, NODE_REDIS);
    json_t *ray = pod_ray_container(pod);
    const char *script = cleanup_script(env_has(ray, "REDIS_USERNAME"), arena);
    json_object_set_new(ray, "command", bash_command(settings, ""));
    json_object_set_new(ray, "args", json_array());
    json_array_append_new(json_object_get(ray, "args"), json_string(script));
    json_object_del(ray, "livenessProbe");
    json_object_del(ray, "readinessProbe");
    env_add(ray, "RAY_redis_db_connect_retries", "120");
    env_add(ray, "RAY_redis_db_connect_wait_milliseconds", "500");
    json_object_set_new(ray, "resources", resources_fixed("200m", "256Mi"));
    json_t *spec = json_at(pod, "spec");
    json_t *containers = json_array();
    json_array_append(containers, ray);
    json_object_set_new(spec, "containers", containers);
    json_object_set_new(spec, "restartPolicy", json_string("Never"));
    json_t *job = object_make(
        "batch/v1", "Job", object_namespace(cluster),
        name_label(arena, arena_printf(arena, "%s-redis-cleanup", object_name(cluster))));
    json_set_at(job, json_deep_copy(json_at(pod, "metadata", "labels")), "metadata", "labels");
    json_set_at(job, json_deep_copy(json_at(pod, "metadata", "annotations")), "metadata",
                "annotations");
    json_set_at(job, json_integer(0), "spec", "backoffLimit");
    json_set_at(job, json_integer(300), "spec", "activeDeadlineSeconds");
    json_object_del(json_at(pod, "metadata"), "generateName");
    json_object_del(json_at(pod, "metadata"), "ownerReferences");
    json_set_at(job, json_deep_copy(json_at(pod, "metadata")), "spec", "template", "metadata");
    json_set_at(job, json_incref(spec), "spec", "template", "spec");
    object_own(job, cluster);
    return job;
}

static void mute(json_t *template) {
    json_remove_at(template, "spec", "tolerations");
    json_remove_at(template, "spec", "schedulingGates");
}

const char *cluster_spec_hash(const json_t *spec, Arena *arena) {
    static const char *const SCALE[] = { "replicas", "minReplicas", "maxReplicas",
                                         "scaleStrategy" };
    _cleanup_json_ json_t *kept = json_deep_copy(spec);
    json_object_del(kept, "upgradeStrategy");
    json_object_del(kept, "suspend");
    mute(json_at(kept, "headGroupSpec", "template"));
    size_t i;
    json_t *group;
    json_array_foreach(json_object_get(kept, "workerGroupSpecs"), i, group) {
        for (size_t k = 0; k < ARRAY_LEN(SCALE); k++)
            json_object_del(group, SCALE[k]);
        mute(json_at(group, "template"));
    }
    _cleanup_buf_ Buf text = { 0 };
    json_encode(kept, JSON_SORTED, &text);
    XXH128_hash_t hash = XXH3_128bits(text.data, text.len);
    return arena_printf(arena, "%016" PRIx64 "%016" PRIx64, hash.high64, hash.low64);
}
