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

#define SETUP_RETRY (2 * USEC_PER_SEC)

enum {
    SHM_SIZE = 64 * 1024 * 1024,
    HOSTNAME_MAX = 63
};

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

/* ---- the sandbox ---- */

static char *pod_hostname(const AgentPod *pod) {
    const char *given = json_str_at(pod->def.json, "spec", "hostname");
    char *name = str_dup(given ? given : pod->def.name);
    if (strlen(name) > HOSTNAME_MAX) { /* as the kubelet cuts it: no dash or dot at the end */
        size_t len = HOSTNAME_MAX;
        while (len && (name[len - 1] == '-' || name[len - 1] == '.'))
            len--;
        name[len] = 0;
    }
    return name;
}

static int write_hosts(AgentPod *pod, const char *path, const char *hostname) {
    _cleanup_buf_ Buf text = { 0 };
    const char *subdomain = json_str_at(pod->def.json, "spec", "subdomain");
    buf_add_str(&text, "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost "
                       "ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n");
    if (subdomain)
        buf_printf(&text, "%s\t%s.%s.%s.svc.%s\t%s\n", pod->address, hostname, subdomain,
                   pod->def.ns, pod->host->cluster_domain, hostname);
    else if (pod->address[0])
        buf_printf(&text, "%s\t%s\n", pod->address, hostname);
    size_t i, j;
    json_t *alias, *name;
    json_array_foreach(json_at(pod->def.json, "spec", "hostAliases"), i, alias) {
        buf_printf(&text, "%s", json_str_at(alias, "ip") ? json_str_at(alias, "ip") : "");
        json_array_foreach(json_object_get(alias, "hostnames"), j, name)
            buf_printf(&text, "\t%s", json_string_value(name) ? json_string_value(name) : "");
        buf_add_char(&text, '\n');
    }
    return state_write_text(path, buf_slice(&text), 0644);
}

static void add_words(Buf *text, const char *key, const json_t *list) {
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
        buf_printf(text, "%s%s", i ? " " : key, json_string_value(item));
    if (json_array_size(list))
        buf_add_char(text, '\n');
}

static int copy_resolv(const char *path) {
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read("/etc/resolv.conf", 65536, &text);
    if (r < 0 && r != -ENOENT)
        return r;
    return state_write_text(path, buf_slice(&text), 0644);
}

static int write_resolv(AgentPod *pod, const char *path) {
    const char *policy = json_str_at(pod->def.json, "spec", "dnsPolicy");
    const json_t *config = json_at(pod->def.json, "spec", "dnsConfig");
    const char *dns = pod->host->network.dns, *domain = pod->host->cluster_domain;
    bool cluster = dns && !str_eq(policy, "None") && !str_eq(policy, "Default") &&
                   (!pod->def.host_network || str_eq(policy, "ClusterFirstWithHostNet"));
    if (!cluster && !str_eq(policy, "None"))
        return copy_resolv(path);
    _cleanup_buf_ Buf text = { 0 };
    if (cluster)
        buf_printf(&text, "search %s.svc.%s svc.%s %s\nnameserver %s\noptions ndots:5\n",
                   pod->def.ns, domain, domain, domain, dns);
    size_t i;
    json_t *server;
    json_array_foreach(json_object_get(config, "nameservers"), i, server)
        buf_printf(&text, "nameserver %s\n", json_string_value(server));
    add_words(&text, "search ", json_object_get(config, "searches"));
    return state_write_text(path, buf_slice(&text), 0644);
}

static int write_etc(AgentPod *pod, const char *hostname) {
    _cleanup_free_ char *dir = str_printf("%s/etc", pod->dir);
    _cleanup_free_ char *hosts = str_printf("%s/hosts", dir);
    _cleanup_free_ char *resolv = str_printf("%s/resolv.conf", dir);
    _cleanup_free_ char *name = str_printf("%s/hostname", dir);
    _cleanup_free_ char *line = str_printf("%s\n", hostname);
    int r = dir_make(dir, 0755);
    if (r == 0)
        r = write_hosts(pod, hosts, hostname);
    if (r == 0)
        r = write_resolv(pod, resolv);
    return r < 0 ? r : state_write_text(name, slice_str(line), 0644);
}

static json_t *network_json(const AgentPod *pod) {
    const PodNetwork *network = &pod->host->network;
    if (!network->bridge || pod->def.host_network)
        return json_null();
    /* Names of links are short: the address is unique on the machine, so it names the link. */
    unsigned a, b, c, d;
    char link[16] = "veth";
    if (sscanf(pod->address, "%u.%u.%u.%u", &a, &b, &c, &d) == 4)
        snprintf(link, sizeof(link), "mp%02x%02x%02x%02x", a & 255, b & 255, c & 255, d & 255);
    return json_pack("{s:s,s:s,s:s,s:s,s:i}", "address", pod->address, "gateway", network->gateway,
                     "bridge", network->bridge, "link", link, "mtu", (int)network->mtu);
}

static int write_pod(AgentPod *pod, json_t *tmpfs) {
    _cleanup_free_ char *hostname = pod_hostname(pod);
    _cleanup_free_ char *path = str_printf("%s/pod.json", pod->dir);
    _cleanup_free_ char *shm = str_printf("%s/shm", pod->dir);
    json_array_append_new(tmpfs, json_pack("{s:s,s:I}", "dir", shm, "size", (json_int_t)SHM_SIZE));
    char own[256] = { 0 };
    gethostname(own, sizeof(own) - 1);
    int r = write_etc(pod, pod->def.host_network ? own : hostname);
    if (r < 0)
        return r;
    _cleanup_json_ json_t *json = json_pack(
        "{s:s,s:s,s:s,s:s,s:b,s:I,s:o,s:O}", "uid", pod->def.uid, "namespace", pod->def.ns, "name",
        pod->def.name, "hostname", pod->def.host_network ? own : hostname, "hostNetwork",
        (int)pod->def.host_network, "startTime", (json_int_t)pod->start_time, "network",
        network_json(pod), "tmpfs", tmpfs);
    return state_write(path, json);
}

static int take_address(AgentPod *pod) {
    const PodNetwork *network = &pod->host->network;
    if (pod->address[0] || !network->bridge || pod->def.host_network)
        return 0;
    return network->take(network->ctx, NULL, pod->address);
}

static void release_address(AgentPod *pod) {
    const PodNetwork *network = &pod->host->network;
    if (pod->address[0] && network->bridge)
        network->release(network->ctx, pod->address);
    pod->address[0] = 0;
}

static const KeeperEvents keeper_events;

static int launch(AgentPod *pod) {
    _cleanup_json_ json_t *tmpfs = json_array();
    StrList services = { 0 };
    EnvSource env = pod_env_source(pod, &services);
    strlist_done(&services);
    VolumeContext volumes = pod_volume_context(pod, &env);
    int r = dir_make(pod->dir, 0700);
    if (r == 0)
        r = take_address(pod);
    env.pod_ip = agent_pod_address(pod);
    if (r == 0)
        r = volumes_prepare(&volumes, tmpfs);
    if (r == 0)
        r = write_pod(pod, tmpfs);
    if (r == 0)
        r = launcher_launch(pod->host->launcher, pod->dir);
    if (r == 0)
        r = keeper_connect(pod->host->loop, pod->dir, &keeper_events, pod, &pod->keeper);
    return r;
}

static void setup_failed(AgentPod *pod, int r) {
    const char *text = error_text(r);
    if (!str_eq(pod->setup_error, text)) {
        bool mount = strstr(text, "MountVolume") != NULL;
        pod_event(pod, NULL, "Warning", mount ? "FailedMount" : "FailedCreatePodSandBox", "%s%s",
                  mount ? "" : "Failed to create pod sandbox: ", text);
        str_set(&pod->setup_error, text);
    }
    pod->retry_at = loop_deadline(pod->host->loop, SETUP_RETRY);
}

static void try_setup(AgentPod *pod, usec_t now) {
    if (now < pod->retry_at)
        return;
    int r = launch(pod);
    if (r < 0)
        setup_failed(pod, r);
    else if (r > 0) /* a token is on its way; its arrival wakes us */
        pod->retry_at = loop_deadline(pod->host->loop, SETUP_RETRY);
    else {
        pod->stage = STAGE_SANDBOX;
        pod->setup_error = mem_free(pod->setup_error);
    }
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
    setup_failed(pod, r);
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

static const KeeperEvents keeper_events = { .ready = on_ready,
                                            .failed = on_failed,
                                            .container = on_container,
                                            .exec = on_exec,
                                            .socket = on_socket,
                                            .gone = on_gone };

/* ---- steps ---- */

static PodRecord pod_record(AgentPod *pod) {
    for (size_t i = 0; i < pod->def.containers.len; i++)
        pod->runs[i] = pod->containers[i].run;
    bool up = pod->stage == STAGE_UP || pod->stage == STAGE_ENDING;
    return (PodRecord){ .runs = pod->runs,
                        .start_time = pod->start_time,
                        .sandbox_ready = up,
                        .pod_ip = agent_pod_address(pod),
                        .host_ip = pod->host->host_ip,
                        .failed_reason = pod->failed_reason,
                        .failed_message = pod->failed_message,
                        .finished = pod->stage == STAGE_DOWN && pod->finished };
}

static void publish(AgentPod *pod) {
    PodRecord record = pod_record(pod);
    const json_t *before = json_object_get(pod->def.json, "status");
    json_t *status = status_compute(&pod->def, &record, pod->published ? pod->published : before,
                                    loop_wall_now(pod->host->loop));
    if (pod->published && json_equal(pod->published, status)) {
        json_decref(status);
        return;
    }
    json_decref(pod->published);
    pod->published = status;
    pod->host->status(pod->host->ctx, pod, status);
}

static bool deleting(const AgentPod *pod) {
    return pod->vanished || obj_is_deleting(pod->def.json);
}

static void begin_ending(AgentPod *pod, usec_t grace, usec_t now) {
    pod->end_by = now + grace;
    pod->finished = true;
    pod->stage = pod->keeper ? STAGE_ENDING : STAGE_DOWN;
}

/* The main containers first, then the sidecars, the last one first. */
static void end_containers(AgentPod *pod, usec_t now) {
    bool mains = false;
    for (size_t i = 0; i < pod->def.containers.len; i++) {
        PodContainer *container = &pod->containers[i];
        if (container->def->kind == CONTAINER_SIDECAR || !container_alive(container))
            continue;
        mains = true;
        container_kill(container, pod->end_by - now, NULL, now);
    }
    for (size_t i = pod->def.containers.len; !mains && i-- > 0;)
        if (container_alive(&pod->containers[i])) {
            container_kill(&pod->containers[i], MAX(pod->end_by - now, (usec_t)0), NULL, now);
            return;
        }
}

static bool any_alive(const AgentPod *pod) {
    for (size_t i = 0; i < pod->def.containers.len; i++)
        if (container_alive(&pod->containers[i]))
            return true;
    return false;
}

static void stop_keeper(AgentPod *pod) {
    int r = keeper_stop(pod->keeper);
    UNUSED(r); /* gone already: on_gone() follows */
    pod->stage = STAGE_STOPPING;
}

/* Brings init containers forward. True when the main containers may start. */
static bool advance_init(AgentPod *pod, usec_t now) {
    for (size_t i = 0; i < pod->def.containers.len; i++) {
        PodContainer *container = &pod->containers[i];
        if (container->def->kind == CONTAINER_MAIN)
            return true;
        if (container->def->kind == CONTAINER_INIT &&
            status_init_done(container->def, &container->run))
            continue;
        if (!container_alive(container)) {
            if (container->run.now.state == RUN_TERMINATED && !container_restarts(container)) {
                begin_ending(pod, pod->def.grace, now);
                return false;
            }
            container_try_start(container, now);
        }
        if (container->def->kind == CONTAINER_INIT ||
            !status_init_done(container->def, &container->run))
            return false;
    }
    return true;
}

static void advance(AgentPod *pod, usec_t now) {
    bool open = false;
    if (!advance_init(pod, now))
        return;
    for (size_t i = 0; i < pod->def.containers.len; i++) {
        PodContainer *container = &pod->containers[i];
        if (container->def->kind != CONTAINER_MAIN)
            continue;
        bool over = container->run.now.state == RUN_TERMINATED && !container->starting;
        if (over && !container_restarts(container))
            continue;
        open = true;
        if (!container_alive(container))
            container_try_start(container, now);
    }
    if (!open)
        begin_ending(pod, pod->def.grace, now);
}

/* What a pod leaves on disk beside logs, and its cgroup. */
static void release(AgentPod *pod) {
    static const char *const names[] = { "volumes", "shm", "etc" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_free_ char *path = str_printf("%s/%s", pod->dir, names[i]);
        (void)!dir_remove(path);
    }
    CgroupHost cgroups;
    if (cgroup_host_init(&cgroups) == 0) {
        Cgroup group;
        if (cgroup_open(&cgroups, pod->cgroup, &group) == 0) {
            if (cgroup_kill(&group) == 0)
                (void)!cgroup_remove(&group);
            cgroup_done(&group);
        }
        cgroup_host_done(&cgroups);
    }
    release_address(pod);
}

static void end_down(AgentPod *pod) {
    if (!deleting(pod) || pod->told_gone)
        return;
    pod->told_gone = true;
    (void)!dir_remove(pod->dir);
    pod->host->gone(pod->host->ctx, pod);
}

static void step(AgentPod *pod, usec_t now) {
    bool delete_now = deleting(pod);
    usec_t grace = pod->vanished ? 0 : pod_def_grace(&pod->def);
    if (delete_now && pod->stage < STAGE_ENDING)
        begin_ending(pod, grace, now);
    else if (delete_now && pod->stage == STAGE_ENDING && grace < pod->end_by - now)
        pod->end_by = now + grace;
    if (pod->stage == STAGE_NEW)
        try_setup(pod, now);
    if (pod->stage == STAGE_UP)
        advance(pod, now);
    if (pod->stage == STAGE_ENDING) {
        end_containers(pod, now);
        if (!any_alive(pod))
            stop_keeper(pod);
    }
    for (size_t i = 0; i < pod->def.containers.len; i++)
        container_step(&pod->containers[i], now);
}

static void arm(AgentPod *pod) {
    usec_t next = USEC_INFINITY;
    if (pod->stage == STAGE_NEW)
        next = pod->retry_at;
    if (pod->stage == STAGE_UP || pod->stage == STAGE_ENDING)
        for (size_t i = 0; i < pod->def.containers.len; i++)
            next = MIN(next, container_next(&pod->containers[i]));
    loop_timer_at(pod->timer, next);
}

static void pod_sync(void *ctx) {
    AgentPod *pod = ctx;
    step(pod, loop_now(pod->host->loop));
    if (pod->stage == STAGE_DOWN && pod->address[0])
        release(pod);
    publish(pod);
    arm(pod);
    if (pod->stage == STAGE_DOWN)
        end_down(pod); /* last: the pod may be gone after it */
}

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
    int r = keeper_connect(pod->host->loop, pod->dir, &keeper_events, pod, &pod->keeper);
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

void agent_pod_update(AgentPod *pod, const json_t *object) {
    pod_def_update(&pod->def, object);
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
    if (pod->stage == STAGE_UP) {
        _cleanup_json_ json_t *unused = json_array();
        StrList services = { 0 };
        EnvSource env = pod_env_source(pod, &services);
        strlist_done(&services);
        VolumeContext volumes = pod_volume_context(pod, &env);
        int r = volumes_prepare(&volumes, unused);
        UNUSED(r); /* what was mounted stays as it is */
    }
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

int agent_pod_exec(AgentPod *pod, const char *container, json_t *argv, bool tty,
                   const int fds[static 3], PodExecFn *fn, void *ctx, uint64_t *ret_id) {
    Keeper *keeper = agent_pod_keeper(pod);
    if (!keeper)
        return error_origin(-ENOENT, "pod %s does not run", pod->def.name);
    uint64_t id = pod_exec_id(pod);
    int r = keeper_exec(keeper, id, container, argv, tty, fds);
    if (r < 0)
        return r;
    PodRequest *request = mem_new(PodRequest);
    *request = (PodRequest){ .id = id, .exec = fn, .ctx = ctx };
    list_push(&pod->requests, &request->all);
    *ret_id = id;
    return 0;
}

int agent_pod_socket(AgentPod *pod, PodSocketFn *fn, void *ctx, uint64_t *ret_id) {
    Keeper *keeper = agent_pod_keeper(pod);
    if (!keeper)
        return error_origin(-ENOENT, "pod %s does not run", pod->def.name);
    uint64_t id = pod_exec_id(pod);
    int r = keeper_socket(keeper, id);
    if (r < 0)
        return r;
    PodRequest *request = mem_new(PodRequest);
    *request = (PodRequest){ .id = id, .socket = fn, .ctx = ctx };
    list_push(&pod->requests, &request->all);
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

void agent_pod_socket_cancel(AgentPod *pod, uint64_t id) {
    request_cancel(pod, id);
}
