/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/container.h"

#include <inttypes.h>

#include "operator/names.h"
#include "operator/object.h"
#include "operator/pod.h"
#include "operator/spec.h"

void env_add(json_t *container, const char *name, const char *value) {
    json_t *variable = json_object();
    json_object_set_new(variable, "name", json_string(name));
    json_object_set_new(variable, "value", json_string(value));
    json_array_append_new(json_make_array(container, "env"), variable);
}

void env_add_default(json_t *container, const char *name, const char *value) {
    if (!env_has(container, name))
        env_add(container, name, value);
}

void env_add_field(json_t *container, const char *name, const char *field) {
    json_t *variable = json_object();
    json_object_set_new(variable, "name", json_string(name));
    json_set_at(variable, json_string(field), "valueFrom", "fieldRef", "fieldPath");
    json_array_append_new(json_make_array(container, "env"), variable);
}

json_t *resources_fixed(const char *cpu, const char *memory) {
    json_t *amounts = json_object(), *resources = json_object();
    json_object_set_new(amounts, "cpu", json_string(cpu));
    json_object_set_new(amounts, "memory", json_string(memory));
    json_object_set_new(resources, "limits", json_copy(amounts));
    json_object_set_new(resources, "requests", amounts);
    return resources;
}

static bool list_names(const json_t *list, const char *name) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        if (str_eq(json_str_at(item, "name"), name))
            return true;
    }
    return false;
}

static void add_mount(json_t *container, const char *volume, const char *path, bool read_only) {
    json_t *mount = json_object();
    json_object_set_new(mount, "name", json_string(volume));
    json_object_set_new(mount, "mountPath", json_string(path));
    if (read_only)
        json_object_set_new(mount, "readOnly", json_true());
    json_array_append_new(json_make_array(container, "volumeMounts"), mount);
}

void container_add_auth(json_t *container, const char *cluster, const json_t *options,
                        Arena *arena) {
    env_add_default(container, "RAY_AUTH_MODE", "token");
    if (json_bool_at(options, false, "enableK8sTokenAuth")) {
        env_add_default(container, "RAY_ENABLE_K8S_TOKEN_AUTH", "true");
        if (!list_names(json_at(container, "volumeMounts"), "ray-token"))
            add_mount(container, "ray-token", "/var/run/secrets/ray.io/serviceaccount", true);
        return;
    }
    if (env_has(container, "RAY_AUTH_TOKEN"))
        return;
    json_t *variable = json_object();
    json_object_set_new(variable, "name", json_string("RAY_AUTH_TOKEN"));
    json_set_at(variable, json_string(name_auth_secret(arena, cluster, options)), "valueFrom",
                "secretKeyRef", "name");
    json_set_at(variable, json_string(AUTH_SECRET_KEY), "valueFrom", "secretKeyRef", "key");
    json_array_append_new(json_make_array(container, "env"), variable);
}

void pod_add_token_volume(json_t *pod_spec) {
    json_t *volumes = json_make_array(pod_spec, "volumes");
    if (list_names(volumes, "ray-token"))
        return;
    json_t *source = json_object(), *volume = json_object();
    json_set_at(source, json_string("token"), "serviceAccountToken", "path");
    json_object_set_new(volume, "name", json_string("ray-token"));
    json_array_append_new(json_make_array(json_make_object(volume, "projected"), "sources"),
                          source);
    json_array_append_new(volumes, volume);
}

/* One try of `ray health-check` a second; after two minutes its own words are shown too. */
static const char *wait_script(const RayNode *node, Arena *arena) {
    const char *address = arena_printf(arena, "%s:%s", node->head_host, node->gcs_port);
    return arena_printf(arena,
                        "exec 3>/dev/null\n"
                        "until ray health-check --address %s >&3 2>&1; do\n"
                        "  echo \"waiting for the GCS at %s, ${SECONDS} s so far\"\n"
                        "  if ((SECONDS > 120)); then exec 3>&1; fi\n"
                        "  sleep 1\n"
                        "done\n"
                        "echo \"The GCS at %s is ready.\"\n",
                        address, address, address);
}

void pod_add_wait(json_t *pod, const RayNode *node, const OperatorSettings *settings,
                  Arena *arena) {
    static const char *const INHERITED[] = { "image", "imagePullPolicy", "securityContext", "env",
                                             "volumeMounts" };
    const json_t *ray = pod_ray_container(pod);
    json_t *wait = json_object();
    json_object_set_new(wait, "name", json_string(CONTAINER_WAIT));
    for (size_t i = 0; i < ARRAY_LEN(INHERITED); i++) {
        json_t *value = json_object_get(ray, INHERITED[i]);
        if (value)
            json_object_set_new(wait, INHERITED[i], json_deep_copy(value));
    }
    json_object_set_new(wait, "command", bash_command(settings, ""));
    json_array_append_new(json_make_array(wait, "args"), json_string(wait_script(node, arena)));
    json_object_set_new(wait, "resources", resources_fixed("200m", "256Mi"));
    json_t *list = json_make_array(json_make_object(pod, "spec"), "initContainers");
    json_array_append_new(list, wait);
}

static void autoscaler_override(json_t *scaler, const json_t *options) {
    static const char *const REPLACED[] = { "resources", "image", "imagePullPolicy",
                                            "securityContext" };
    static const char *const APPENDED[] = { "env", "envFrom", "volumeMounts" };
    static const char *const REPLACED_LISTS[] = { "command", "args" };
    for (size_t i = 0; i < ARRAY_LEN(REPLACED); i++) {
        json_t *value = json_object_get(options, REPLACED[i]);
        if (value)
            json_object_set_new(scaler, REPLACED[i], json_deep_copy(value));
    }
    for (size_t i = 0; i < ARRAY_LEN(APPENDED); i++) {
        json_t *value = json_object_get(options, APPENDED[i]);
        if (json_array_size(value) > 0)
            json_array_extend(json_make_array(scaler, APPENDED[i]), value);
    }
    for (size_t i = 0; i < ARRAY_LEN(REPLACED_LISTS); i++) {
        json_t *value = json_object_get(options, REPLACED_LISTS[i]);
        if (json_array_size(value) > 0)
            json_object_set_new(scaler, REPLACED_LISTS[i], json_deep_copy(value));
    }
}

void pod_add_autoscaler(json_t *pod, const json_t *cluster, const OperatorSettings *settings,
                        Arena *arena) {
    static const char START[] = "ray kuberay-autoscaler --cluster-name $(RAY_CLUSTER_NAME) "
                                "--cluster-namespace $(RAY_CLUSTER_NAMESPACE)";
    const json_t *spec = json_at(cluster, "spec");
    const char *image = json_str_at(pod_ray_container(pod), "image");
    json_t *scaler = json_object();
    json_object_set_new(scaler, "name", json_string(CONTAINER_SCALER));
    if (image)
        json_object_set_new(scaler, "image", json_string(image));
    json_object_set_new(scaler, "imagePullPolicy", json_string("IfNotPresent"));
    env_add_field(scaler, "RAY_CLUSTER_NAME", "metadata.labels['" LABEL_CLUSTER "']");
    env_add_field(scaler, "RAY_CLUSTER_NAMESPACE", "metadata.namespace");
    env_add_field(scaler, "RAY_HEAD_POD_NAME", "metadata.name");
    env_add(scaler, "KUBERAY_CRD_VER", "v1");
    env_add(scaler, "KUBERAY_GEN_AUTOSCALER_START_CMD", START);
    json_object_set_new(scaler, "command", bash_command(settings, ""));
    json_array_append_new(json_make_array(scaler, "args"), json_string(START));
    json_object_set_new(scaler, "resources", resources_fixed("500m", "512Mi"));
    if (spec_token_auth(spec))
        container_add_auth(scaler, object_name(cluster), json_at(spec, "authOptions"), arena);
    autoscaler_override(scaler, json_at(spec, "autoscalerOptions"));
    json_array_append_new(json_at(pod, "spec", "containers"), scaler);
}

/* A port that `ray start` was told, if it is a number. */
static int64_t param_port(const json_t *params, const char *key, int64_t otherwise) {
    int64_t port;
    const char *text = json_str_at(params, key);
    return text && str_to_i64(text, &port) == 0 && port >= INT32_MIN && port <= INT32_MAX
               ? port
               : otherwise;
}

/* A probe of a Ray that has no single health endpoint: wget in the container. */
static json_t *wget_probe(const RayNode *node, const json_t *params, int64_t serve_port,
                          Arena *arena) {
    static const char WGET[] =
        "wget --tries 1 -T %d -q -O- http://localhost:%" PRId64 "/%s | grep success";
    _cleanup_buf_ Buf script = { 0 };
    buf_printf(&script, WGET, 2, param_port(params, "dashboard-agent-listen-port", PORT_AGENT),
               "api/local_raylet_healthz");
    if (node->head) {
        buf_add_str(&script, " && ");
        buf_printf(&script, WGET, 10, param_port(params, "dashboard-port", PORT_DASHBOARD),
                   "api/gcs_healthz");
    }
    if (serve_port) {
        buf_add_str(&script, " && ");
        buf_printf(&script, WGET, 10, serve_port, "-/healthz");
    }
    json_t *command = json_array(), *probe = json_object();
    json_array_append_new(command, json_string("bash"));
    json_array_append_new(command, json_string("-c"));
    json_array_append_new(command, json_string(arena_str(arena, script.data)));
    json_set_at(probe, command, "exec", "command");
    return probe;
}

static json_t *http_probe(const json_t *params) {
    json_t *probe = json_object();
    json_set_at(probe, json_string("/api/healthz"), "httpGet", "path");
    json_set_at(probe, json_integer(param_port(params, "dashboard-agent-listen-port", PORT_AGENT)),
                "httpGet", "port");
    return probe;
}

static void set_timing(json_t *probe, int delay, int timeout, int period, int failures) {
    json_object_set_new(probe, "initialDelaySeconds", json_integer(delay));
    json_object_set_new(probe, "timeoutSeconds", json_integer(timeout));
    json_object_set_new(probe, "periodSeconds", json_integer(period));
    json_object_set_new(probe, "successThreshold", json_integer(1));
    json_object_set_new(probe, "failureThreshold", json_integer(failures));
}

/* Readiness is asked each second from the start, so that a cluster is ready when it is; it and
 * liveness still tolerate silence for as long as KubeRay's do (50 s and 10 minutes). */
void container_add_probes(json_t *container, const RayNode *node, const json_t *params,
                          const char *creator, Arena *arena) {
    bool http = spec_ray_at_least(json_at(node->cluster, "spec"), 2, 53);
    int timeout = node->head ? 5 : 2;
    if (!json_object_get(container, "livenessProbe")) {
        json_t *probe = http ? http_probe(params) : wget_probe(node, params, 0, arena);
        set_timing(probe, 30, timeout, 5, 120);
        json_object_set_new(container, "livenessProbe", probe);
    }
    if (json_object_get(container, "readinessProbe"))
        return;
    bool serves = str_eq(creator, "RayService") && !node->head;
    json_t *probe;
    if (serves)
        probe = wget_probe(node, params, container_port(container, "serve", PORT_SERVE), arena);
    else
        probe = http ? http_probe(params) : wget_probe(node, params, 0, arena);
    set_timing(probe, 0, timeout, 1, serves ? 1 : 50);
    json_object_set_new(container, "readinessProbe", probe);
}

static bool mounts_at(const json_t *container, const char *path) {
    size_t i;
    json_t *mount;
    json_array_foreach(json_at(container, "volumeMounts"), i, mount) {
        if (str_eq(json_str_at(mount, "mountPath"), path))
            return true;
    }
    return false;
}

void pod_add_scratch(json_t *pod, json_t *container, const char *volume, const char *path,
                     bool memory) {
    if (mounts_at(container, path))
        return;
    json_t *volumes = json_make_array(json_make_object(pod, "spec"), "volumes");
    if (!list_names(volumes, volume)) {
        json_t *scratch = json_object();
        json_object_set_new(scratch, "name", json_string(volume));
        json_t *kind = json_make_object(scratch, "emptyDir");
        if (memory) {
            json_t *size = json_at(container, "resources", "limits", "memory");
            if (!size)
                size = json_at(container, "resources", "requests", "memory");
            json_object_set_new(kind, "medium", json_string("Memory"));
            if (size)
                json_object_set(kind, "sizeLimit", size);
        }
        json_array_append_new(volumes, scratch);
    }
    add_mount(container, volume, path, false);
}
