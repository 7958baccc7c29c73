/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/submit.h"

#include <inttypes.h>

#include "base/error.h"
#include "codec/yaml.h"
#include "operator/container.h"
#include "operator/names.h"
#include "operator/object.h"
#include "operator/pod.h"
#include "operator/spec.h"

const char *job_mode(const json_t *job) {
    const char *mode = json_str_at(job, "spec", "submissionMode");
    return str_empty(mode) ? "K8sJobMode" : mode;
}

bool job_is_mode(const json_t *job, const char *mode) {
    return str_eq(job_mode(job), mode);
}

bool job_has_submitter(const json_t *job) {
    return job_is_mode(job, "K8sJobMode") || job_is_mode(job, "SidecarMode");
}

/* One word for bash, whatever is in it. */
static void add_quoted(Buf *out, const char *text) {
    buf_add_char(out, '\'');
    for (const char *c = text; *c; c++) {
        if (*c == '\'')
            buf_add_str(out, "'\\''");
        else
            buf_add_char(out, *c);
    }
    buf_add_char(out, '\'');
}

static void add_json_option(Buf *out, const char *option, const json_t *value) {
    _cleanup_free_ char *text = json_text(value, JSON_GO | JSON_SORTED);
    buf_printf(out, " %s ", option);
    add_quoted(out, text);
}

/* NULL where nothing is asked for: no text, only comments, or null. */
static int runtime_env(const json_t *job, json_t **ret_env) {
    const char *yaml = json_str_at(job, "spec", "runtimeEnvYAML");
    _cleanup_json_ json_t *env = NULL;
    int r = str_empty(yaml) ? 0 : yaml_parse_or_null(yaml, strlen(yaml), NULL, &env);
    if (r < 0)
        return error_context(r, "spec.runtimeEnvYAML");
    *ret_env = json_is_null(env) ? NULL : TAKE(env);
    return 0;
}

static int check_metadata(const json_t *job) {
    int64_t major, minor;
    const char *version = json_str_at(job, "spec", "rayClusterSpec", "rayVersion");
    if (str_empty(version))
        return 0;
    if (!ray_version_parse(version, &major, &minor))
        return error_origin(-EINVAL, "failed to parse Ray version: %s", version);
    if (major < 2 || (major == 2 && minor < 6))
        return error_origin(-EINVAL,
                            "the Ray version must be at least 2.6.0 to use the metadata field");
    return 0;
}

static int add_submit_options(Buf *out, const json_t *job) {
    const json_t *spec = json_at(job, "spec");
    _cleanup_json_ json_t *env = NULL;
    int r = runtime_env(job, &env);
    if (r < 0)
        return r;
    if (env)
        add_json_option(out, "--runtime-env-json", env);
    const json_t *metadata = json_at(spec, "metadata");
    if (json_object_size(metadata) > 0) {
        r = check_metadata(job);
        if (r < 0)
            return r;
        add_json_option(out, "--metadata-json", metadata);
    }
    const char *id = json_str_at(job, "status", "jobId");
    if (!str_empty(id))
        buf_printf(out, " --submission-id %s", id);
    double cpus = json_number_value(json_at(spec, "entrypointNumCpus"));
    double gpus = json_number_value(json_at(spec, "entrypointNumGpus"));
    if (cpus > 0)
        buf_printf(out, " --entrypoint-num-cpus %f", cpus);
    if (gpus > 0)
        buf_printf(out, " --entrypoint-num-gpus %f", gpus);
    const char *resources = json_str_at(spec, "entrypointResources");
    if (!str_empty(resources)) {
        buf_add_str(out, " --entrypoint-resources ");
        add_quoted(out, resources);
    }
    return 0;
}

/* The dashboard answers before the GCS behind it does; submitting then would fail. */
static void add_wait(Buf *out, const char *address) {
    buf_printf(
        out,
        "until python -c \"from urllib.request import urlopen as get; "
        "raise SystemExit(b'success' not in get('%s/api/gcs_healthz', timeout=10).read())\" "
        ">/dev/null 2>&1; do echo 'Waiting for the Ray dashboard at %s ...'; sleep 1; done; ",
        address, address);
}

static void add_entrypoint(Buf *out, const json_t *job) {
    const char *text = json_str_at(job, "spec", "entrypoint");
    text = text ? text : "";
    text += strspn(text, " \t\r\n");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        len--;
    buf_printf(out, " -- %.*s", (int)len, text);
}

/* A Job's pod may be run again, so it asks first whether the job is there, then follows it; a
 * sidecar runs once and follows what it submits. */
static int submit_script(const json_t *job, const char *address, bool once, Buf *out) {
    const char *id = json_str_at(job, "status", "jobId");
    id = id ? id : "";
    add_wait(out, address);
    if (!once)
        buf_printf(out, "if ! ray job status --address %s %s >/dev/null 2>&1; then ", address, id);
    buf_printf(out, "ray job submit --address %s%s", address, once ? "" : " --no-wait");
    int r = add_submit_options(out, job);
    if (r < 0)
        return r;
    add_entrypoint(out, job);
    if (!once)
        buf_printf(out, "; fi; ray job logs --address %s --follow %s", address, id);
    return 0;
}

static json_t *default_container(const json_t *cluster) {
    const char *image = json_str_at(spec_head_container(json_at(cluster, "spec")), "image");
    json_t *container = json_object();
    json_object_set_new(container, "name", json_string(CONTAINER_SUBMIT));
    if (image)
        json_object_set_new(container, "image", json_string(image));
    json_set_at(container, json_string("1"), "resources", "limits", "cpu");
    json_set_at(container, json_string("1Gi"), "resources", "limits", "memory");
    json_set_at(container, json_string("500m"), "resources", "requests", "cpu");
    json_set_at(container, json_string("200Mi"), "resources", "requests", "memory");
    return container;
}

static int configure(json_t *container, const json_t *job, const json_t *cluster,
                     const char *address, bool once, const OperatorSettings *settings,
                     Arena *arena) {
    _cleanup_buf_ Buf script = { 0 };
    int r = submit_script(job, address, once, &script);
    if (r < 0)
        return r;
    if (once || json_array_size(json_object_get(container, "command")) == 0) {
        json_object_set_new(container, "command", bash_command(settings, "e"));
        json_object_set_new(container, "args", json_array());
        json_array_append_new(json_object_get(container, "args"), json_string(script.data));
    }
    const char *url = json_str_at(job, "status", "dashboardURL");
    const char *id = json_str_at(job, "status", "jobId");
    env_add(container, "PYTHONUNBUFFERED", "1");
    env_add(container, "RAY_DASHBOARD_ADDRESS", url ? url : "");
    env_add(container, "RAY_JOB_SUBMISSION_ID", id ? id : "");
    if (spec_token_auth(json_at(cluster, "spec")))
        container_add_auth(container, object_name(cluster), json_at(cluster, "spec", "authOptions"),
                           arena);
    return 0;
}

static void label_child(json_t *object, const json_t *job) {
    obj_set_label(object, LABEL_ORIGIN_NAME, object_name(job));
    obj_set_label(object, LABEL_ORIGIN_KIND, "RayJob");
}

static int build_template(const json_t *job, const json_t *cluster,
                          const OperatorSettings *settings, Arena *arena, json_t **ret_template) {
    _cleanup_json_ json_t *template = json_deep_copy(json_at(job, "spec", "submitterPodTemplate"));
    if (!template) {
        template = json_object();
        json_array_append_new(json_make_array(json_make_object(template, "spec"), "containers"),
                              default_container(cluster));
        json_set_at(template, json_string("Never"), "spec", "restartPolicy");
    }
    const char *url = json_str_at(job, "status", "dashboardURL");
    url = url ? url : "";
    const char *address =
        arena_printf(arena, "%s%s", str_starts(url, "http://") ? "" : "http://", url);
    int r = configure(pod_ray_container(template), job, cluster, address, false, settings, arena);
    if (r < 0)
        return r;
    if (spec_kubernetes_auth(json_at(cluster, "spec")))
        pod_add_token_volume(json_at(template, "spec"));
    label_child(template, job);
    obj_set_label(template, LABEL_CREATED_BY, CREATED_BY);
    *ret_template = TAKE(template);
    return 0;
}

int submit_build_job(const json_t *job, const json_t *cluster, const OperatorSettings *settings,
                     Arena *arena, json_t **ret_job) {
    _cleanup_json_ json_t *template = NULL;
    int r = build_template(job, cluster, settings, arena, &template);
    if (r < 0)
        return r;
    json_t *submitter = object_make("batch/v1", "Job", object_namespace(job), object_name(job));
    label_child(submitter, job);
    obj_set_label(submitter, LABEL_CREATED_BY, CREATED_BY);
    int64_t tries = json_int_at(job, 2, "spec", "submitterConfig", "backoffLimit");
    json_set_at(submitter, json_integer(tries), "spec", "backoffLimit");
    json_set_at(submitter, TAKE(template), "spec", "template");
    object_own(submitter, job);
    *ret_job = submitter;
    return 0;
}

static int add_sidecar(json_t *cluster, const json_t *job, const OperatorSettings *settings,
                       Arena *arena) {
    int64_t port =
        container_port(spec_head_container(json_at(cluster, "spec")), "dashboard", PORT_DASHBOARD);
    const char *address = arena_printf(arena, "http://127.0.0.1:%" PRId64, port);
    _cleanup_json_ json_t *container = default_container(cluster);
    int r = configure(container, job, cluster, address, true, settings, arena);
    if (r < 0)
        return r;
    json_t *pod = json_at(cluster, "spec", "headGroupSpec", "template", "spec");
    json_array_append_new(json_object_get(pod, "containers"), TAKE(container));
    json_object_set_new(pod, "restartPolicy", json_string("Never"));
    return 0;
}

int job_build_cluster(const json_t *job, const char *name, const OperatorSettings *settings,
                      Arena *arena, json_t **ret_cluster) {
    _cleanup_json_ json_t *cluster =
        object_make(RAY_API_VERSION, "RayCluster", object_namespace(job), name);
    json_t *metadata = json_make_object(cluster, "metadata");
    object_merge(json_make_object(metadata, "labels"), json_at(job, "metadata", "labels"), false);
    label_child(cluster, job);
    obj_set_label(cluster, LABEL_SUBMISSION_MODE, job_mode(job));
    object_merge(json_make_object(metadata, "annotations"), json_at(job, "metadata", "annotations"),
                 false);
    json_object_set_new(cluster, "spec", json_deep_copy(json_at(job, "spec", "rayClusterSpec")));
    object_own(cluster, job);
    if (job_is_mode(job, "SidecarMode")) {
        obj_set_annotation(cluster, ANNOTATION_NO_HEAD_RESTART, "true");
        int r = add_sidecar(cluster, job, settings, arena);
        if (r < 0)
            return r;
    }
    *ret_cluster = TAKE(cluster);
    return 0;
}

int submit_build_request(const json_t *job, json_t **ret_body) {
    const json_t *spec = json_at(job, "spec");
    const char *entrypoint = json_str_at(spec, "entrypoint");
    _cleanup_json_ json_t *body = json_object();
    _cleanup_json_ json_t *env = NULL;
    json_object_set_new(body, "entrypoint", json_string(entrypoint ? entrypoint : ""));
    json_object_set(body, "submission_id", json_at(job, "status", "jobId"));
    int r = runtime_env(job, &env);
    if (r < 0)
        return r;
    if (env)
        json_object_set(body, "runtime_env", env);
    if (json_object_size(json_at(spec, "metadata")) > 0)
        json_object_set(body, "metadata", json_at(spec, "metadata"));
    if (json_number_value(json_at(spec, "entrypointNumCpus")) > 0)
        json_object_set(body, "entrypoint_num_cpus", json_at(spec, "entrypointNumCpus"));
    if (json_number_value(json_at(spec, "entrypointNumGpus")) > 0)
        json_object_set(body, "entrypoint_num_gpus", json_at(spec, "entrypointNumGpus"));
    const char *resources = json_str_at(spec, "entrypointResources");
    if (!str_empty(resources)) {
        json_t *amounts = NULL;
        r = json_parse(resources, strlen(resources), NULL, 0, &amounts);
        if (r < 0)
            return error_context(r, "spec.entrypointResources");
        json_object_set_new(body, "entrypoint_resources", amounts);
    }
    *ret_body = TAKE(body);
    return 0;
}
