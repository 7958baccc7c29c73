/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_pod.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "kobj/meta.h"
#include "local/agent_file.h"
#include "local/agent_pod_private.h"

/* A program or socket somebody asked for. */
typedef struct PodRequest {
    List all;
    uint64_t id;
    PodExecFn *exec;
    PodSocketFn *socket;
    void *ctx;
} PodRequest;

void pod_event(AgentPod *pod, const PodContainer *container, const char *type, const char *reason,
               const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    pod->host->event(pod->host->ctx, pod, container ? container->def->name : NULL, type, reason,
                     text);
}

void pod_wake(AgentPod *pod) {
    loop_task_arm(pod->sync);
}

uint64_t pod_exec_id(AgentPod *pod) {
    return ++pod->next_id;
}

static const json_t *lookup(void *ctx, const char *kind, const char *name) {
    AgentPod *pod = ctx;
    return pod->host->object ? pod->host->object(pod->host->ctx, kind, pod->def.ns, name) : NULL;
}

static int token(void *ctx, const char *audience, int64_t seconds, char **ret_token) {
    AgentPod *pod = ctx;
    return pod->host->token ? pod->host->token(pod->host->ctx, pod, audience, seconds, ret_token)
                            : error_origin(-ENOTSUP, "there is no API server to ask for a token");
}

EnvSource pod_env_source(AgentPod *pod, StrList *services) {
    if (pod->host->services && json_bool_at(pod->def.json, true, "spec", "enableServiceLinks"))
        pod->host->services(pod->host->ctx, pod->def.ns, services);
    return (EnvSource){ .pod = &pod->def,
                        .pod_ip = agent_pod_address(pod),
                        .host_ip = pod->host->host_ip,
                        .base = pod->host->base_env,
                        .services = services,
                        .node_memory = pod->host->node_memory,
                        .node_cpu_milli = pod->host->node_cpu_milli,
                        .object = lookup,
                        .ctx = pod };
}

VolumeContext pod_volume_context(AgentPod *pod, const EnvSource *env) {
    return (VolumeContext){ .env = env,
                            .pod_dir = pod->dir,
                            .claims_dir = pod->host->claims_dir,
                            .token = token,
                            .ctx = pod };
}

const PodDef *agent_pod_def(const AgentPod *pod) {
    return &pod->def;
}

const char *agent_pod_address(const AgentPod *pod) {
    if (pod->def.host_network)
        return pod->host->host_ip;
    return pod->address[0] ? pod->address : NULL;
}

Keeper *agent_pod_keeper(AgentPod *pod) {
    return pod->stage == STAGE_UP || pod->stage == STAGE_ENDING ? pod->keeper : NULL;
}

/* ---- what the keeper says ---- */

static void on_ready(void *ctx, pid_t pid) {
    UNUSED(pid);
    AgentPod *pod = ctx;
    if (pod->stage == STAGE_SANDBOX)
        pod->stage = STAGE_UP;
    pod_wake(pod);
}

static void on_failed(void *ctx, const char *message) {
    AgentPod *pod = ctx;
    int r = error_origin(-EIO, "%s", message);
    sandbox_failed(pod, r);
    r = keeper_stop(pod->keeper);
    UNUSED(r);
}

static PodContainer *container_named(const AgentPod *pod, const char *name) {
    for (size_t i = 0; i < pod->def.containers.len; i++)
        if (str_eq(pod->containers[i].def->name, name))
            return &pod->containers[i];
    return NULL;
}

static void on_container(void *ctx, const json_t *event) {
    AgentPod *pod = ctx;
    PodContainer *container = container_named(pod, json_str_at(event, "name"));
    if (container)
        container_event(container, event, loop_now(pod->host->loop));
    pod_wake(pod);
}

static PodRequest *request_find(AgentPod *pod, uint64_t id) {
    LIST_EACH(item, &pod->requests) {
        PodRequest *request = LIST_ITEM(item, PodRequest, all);
        if (request->id == id)
            return request;
    }
    return NULL;
}

static void on_exec(void *ctx, uint64_t id, int code, const char *error) {
    AgentPod *pod = ctx;
    PodRequest *request = request_find(pod, id);
    if (request && request->exec) {
        list_remove(&request->all);
        request->exec(request->ctx, code, error);
        mem_free(request);
        return;
    }
    for (size_t i = 0; i < pod->def.containers.len; i++)
        if (probes_exec_ended(&pod->containers[i], id, code, error))
            return;
}

static void on_socket(void *ctx, uint64_t id, int fd) {
    AgentPod *pod = ctx;
    PodRequest *request = request_find(pod, id);
    if (!request || !request->socket) {
        fd_close(fd);
        return;
    }
    list_remove(&request->all);
    request->socket(request->ctx, fd);
    mem_free(request);
}

static void requests_fail(AgentPod *pod) {
    for (List *item; (item = list_pop(&pod->requests));) {
        PodRequest *request = LIST_ITEM(item, PodRequest, all);
        if (request->exec)
            request->exec(request->ctx, 137, NULL);
        else
            request->socket(request->ctx, -1);
        mem_free(request);
    }
}

static void on_gone(void *ctx) {
    AgentPod *pod = ctx;
    usec_t now = loop_now(pod->host->loop);
    pod->keeper = keeper_free(pod->keeper);
    requests_fail(pod);
    bool wanted = pod->stage == STAGE_STOPPING || pod->stage == STAGE_ENDING;
    if (!wanted && pod->stage == STAGE_UP)
        pod_event(pod, NULL, "Normal", "SandboxChanged",
                  "Pod sandbox changed, it will be killed and re-created.");
    for (size_t i = 0; i < pod->def.containers.len; i++)
        container_lost(&pod->containers[i], now);
    pod->stage = wanted ? STAGE_DOWN : STAGE_NEW;
    pod_wake(pod);
}

const KeeperEvents pod_keeper_events = { .ready = on_ready,
                                         .failed = on_failed,
                                         .container = on_container,
                                         .exec = on_exec,
                                         .socket = on_socket,
                                         .gone = on_gone };

/* ---- life ---- */

static void adopt_record(AgentPod *pod) {
    _cleanup_free_ char *path = str_printf("%s/pod.json", pod->dir);
    _cleanup_json_ json_t *json = NULL;
    if (state_read(path, &json) < 0)
        return;
    const char *address = json_str_at(json, "network", "address");
    const PodNetwork *network = &pod->host->network;
    if (address && network->bridge && network->take(network->ctx, address, pod->address) < 0)
        pod->address[0] = 0; /* another network by now: a new sandbox gets a new one */
    pod->start_time = json_int_at(json, pod->start_time, "startTime");
    for (size_t i = 0; i < pod->def.containers.len; i++)
        container_adopt(&pod->containers[i]);
}

static void adopt(AgentPod *pod) {
    const char *phase = json_str_at(pod->def.json, "status", "phase");
    adopt_record(pod);
    int r = keeper_connect(pod->host->loop, pod->dir, &pod_keeper_events, pod, &pod->keeper);
    if (r == 0) {
        pod->stage = STAGE_SANDBOX;
        return;
    }
    for (size_t i = 0; i < pod->def.containers.len; i++)
        container_lost(&pod->containers[i], loop_now(pod->host->loop));
    /* A pod that was over stays over. */
    if (str_eq(phase, "Succeeded") || str_eq(phase, "Failed")) {
        pod->finished = true;
        pod->stage = STAGE_DOWN;
        json_decref(pod->published);
        pod->published = json_incref(json_object_get(pod->def.json, "status"));
    }
}

static void containers_init(AgentPod *pod) {
    size_t count = pod->def.containers.len;
    pod->containers = mem_array(PodContainer, count + 1);
    pod->runs = mem_array(RunRecord, count + 1);
    bool inits = count && pod->def.containers.items[0].kind != CONTAINER_MAIN;
    for (size_t i = 0; i < count; i++) {
        PodContainer *container = &pod->containers[i];
        *container =
            (PodContainer){ .pod = pod, .def = &pod->def.containers.items[i], .attempt = -1 };
        container->run.now.reason = str_dup(inits ? "PodInitializing" : "ContainerCreating");
    }
}

int agent_pod_new(const PodHost *host, const json_t *object, AgentPod **ret_pod) {
    AgentPod *pod = mem_new(AgentPod);
    pod->host = host;
    list_init(&pod->requests);
    int r = pod_def_parse(object, &pod->def);
    if (r < 0) {
        mem_free(pod);
        return r;
    }
    pod->dir = str_printf("%s/pods/%s", host->state_dir, pod->def.uid);
    pod->cgroup = str_printf("%s/pod%s", host->cgroup_root, pod->def.uid);
    pod->start_time = loop_wall_now(host->loop);
    pod->sync = loop_task_new(host->loop, pod_sync, pod);
    pod->timer = loop_timer_new(host->loop, pod_sync, pod);
    containers_init(pod);
    adopt(pod);
    pod_wake(pod);
    *ret_pod = pod;
    return 0;
}

AgentPod *agent_pod_free(AgentPod *pod) {
    if (!pod)
        return NULL;
    requests_fail(pod);
    for (size_t i = 0; i < pod->def.containers.len; i++)
        container_done(&pod->containers[i]);
    keeper_free(pod->keeper);
    loop_task_free(pod->sync);
    loop_timer_free(pod->timer);
    json_decref(pod->published);
    mem_free(pod->containers);
    mem_free(pod->runs);
    pod_def_done(&pod->def);
    mem_free(pod->dir);
    mem_free(pod->cgroup);
    mem_free(pod->failed_reason);
    mem_free(pod->failed_message);
    mem_free(pod->setup_error);
    return mem_free(pod);
}

/* ConfigMaps, Secrets, labels that changed: their files follow. */
static void refresh_volumes(AgentPod *pod) {
    if (pod->stage != STAGE_UP)
        return;
    _cleanup_json_ json_t *unused = json_array();
    StrList services = { 0 };
    EnvSource env = pod_env_source(pod, &services);
    strlist_done(&services);
    VolumeContext volumes = pod_volume_context(pod, &env);
    int r = volumes_prepare(&volumes, unused);
    UNUSED(r); /* what was mounted stays as it is */
}

static bool described_alike(const json_t *before, const json_t *after) {
    static const char *const fields[] = { "labels", "annotations" };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        json_t *old = json_at(before, "metadata", fields[i]);
        json_t *new = json_at(after, "metadata", fields[i]);
        if (old != new && !(old && new && json_equal(old, new)))
            return false;
    }
    return true;
}

void agent_pod_update(AgentPod *pod, const json_t *object) {
    bool alike = described_alike(pod->def.json, object);
    pod_def_update(&pod->def, object);
    if (!alike)
        refresh_volumes(pod);
    pod_wake(pod);
}

void agent_pod_vanished(AgentPod *pod) {
    pod->vanished = true;
    pod_wake(pod);
}

void agent_pod_objects_changed(AgentPod *pod) {
    if (pod->stage == STAGE_NEW)
        pod->retry_at = 0;
    for (size_t i = 0; i < pod->def.containers.len; i++)
        pod->containers[i].retry_at = 0;
    refresh_volumes(pod);
    pod_wake(pod);
}

void agent_pod_say_again(AgentPod *pod) {
    pod->host->status(pod->host->ctx, pod, pod->published);
}

bool agent_pod_has_container(const AgentPod *pod, const char *name) {
    return container_named(pod, name) != NULL;
}

bool agent_pod_running(const AgentPod *pod, const char *name) {
    const PodContainer *container = container_named(pod, name);
    return container && container->run.now.state == RUN_RUNNING;
}

char *agent_pod_log(const AgentPod *pod, const char *name, bool previous) {
    const PodContainer *container = container_named(pod, name);
    int attempt = container ? container->attempt - previous : -1;
    /* Between two starts the last one that ran is meant, as `kubectl logs` of the kubelet does. */
    if (attempt < 0)
        return NULL;
    _cleanup_free_ char *dir = container_dir(container, attempt);
    return str_printf("%s/log", dir);
}

static void request_add(AgentPod *pod, const PodRequest *what) {
    PodRequest *request = mem_new(PodRequest);
    *request = *what;
    list_push(&pod->requests, &request->all);
}

int agent_pod_exec(AgentPod *pod, const char *container, json_t *argv, bool tty,
                   const int fds[static 3], PodExecFn *fn, void *ctx, uint64_t *ret_id) {
    Keeper *keeper = agent_pod_keeper(pod);
    if (!keeper)
        return error_origin(-ENOENT, "pod %s does not run", pod->def.name);
    uint64_t id = pod_exec_id(pod);
    int r = keeper_exec(keeper, id, container, argv, tty, fds);
    if (r < 0)
        return r;
    request_add(pod, &(PodRequest){ .id = id, .exec = fn, .ctx = ctx });
    *ret_id = id;
    return 0;
}

int agent_pod_attach(AgentPod *pod, const char *container, const int fds[static 3], PodExecFn *fn,
                     void *ctx, uint64_t *ret_id) {
    Keeper *keeper = agent_pod_keeper(pod);
    if (!keeper)
        return error_origin(-ENOENT, "pod %s does not run", pod->def.name);
    uint64_t id = pod_exec_id(pod);
    int r = keeper_attach(keeper, id, container, fds);
    if (r < 0)
        return r;
    request_add(pod, &(PodRequest){ .id = id, .exec = fn, .ctx = ctx });
    *ret_id = id;
    return 0;
}

void agent_pod_resize(AgentPod *pod, const char *container, int columns, int rows) {
    Keeper *keeper = agent_pod_keeper(pod);
    if (!keeper)
        return;
    int r = keeper_resize(keeper, container, columns, rows);
    UNUSED(r); /* a keeper that is gone has no terminal */
}

bool agent_pod_has_terminal(const AgentPod *pod, const char *container) {
    const PodContainer *named = container_named(pod, container);
    return named && json_bool_at(named->def->json, false, "tty");
}

int agent_pod_socket(AgentPod *pod, PodSocketFn *fn, void *ctx, uint64_t *ret_id) {
    Keeper *keeper = agent_pod_keeper(pod);
    if (!keeper)
        return error_origin(-ENOENT, "pod %s does not run", pod->def.name);
    uint64_t id = pod_exec_id(pod);
    int r = keeper_socket(keeper, id);
    if (r < 0)
        return r;
    request_add(pod, &(PodRequest){ .id = id, .socket = fn, .ctx = ctx });
    *ret_id = id;
    return 0;
}

static void request_cancel(AgentPod *pod, uint64_t id) {
    PodRequest *request = request_find(pod, id);
    if (!request)
        return;
    list_remove(&request->all);
    mem_free(request);
}

void agent_pod_exec_cancel(AgentPod *pod, uint64_t id) {
    if (request_find(pod, id) && pod->keeper) {
        int r = keeper_exec_kill(pod->keeper, id);
        UNUSED(r);
    }
    request_cancel(pod, id);
}

void agent_pod_detach(AgentPod *pod, uint64_t id) {
    if (request_find(pod, id) && pod->keeper) {
        int r = keeper_detach(pod->keeper, id);
        UNUSED(r);
    }
    request_cancel(pod, id);
}

void agent_pod_socket_cancel(AgentPod *pod, uint64_t id) {
    request_cancel(pod, id);
}
