/* SPDX-License-Identifier: Apache-2.0 */

/* What a pod needs before its first container: names, network, volumes, keeper; and its end. */

#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "host/netlink.h"
#include "local/agent_file.h"
#include "local/agent_pod_private.h"

#define SETUP_RETRY (2 * USEC_PER_SEC)

enum {
    SHM_SIZE = 64 * 1024 * 1024,
    HOSTNAME_MAX = 63
};

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

/* What a resolv.conf says, in the kubelet's order. */
typedef struct Resolv {
    StrList servers, searches, options;
} Resolv;

static void resolv_done(Resolv *resolv) {
    strlist_done(&resolv->servers);
    strlist_done(&resolv->searches);
    strlist_done(&resolv->options);
}

static void add_once(StrList *list, const char *word) {
    if (word && !strlist_has(list, word))
        strlist_add(list, word);
}

static void take_line(Resolv *resolv, char *line) {
    char *save = NULL;
    const char *key = strtok_r(line, " \t", &save);
    StrList *list = str_eq(key, "nameserver") ? &resolv->servers
                    : str_eq(key, "search")   ? &resolv->searches
                    : str_eq(key, "options")  ? &resolv->options
                                              : NULL;
    if (list == &resolv->searches)
        strlist_done(list); /* the last line of it counts */
    for (const char *word; list && (word = strtok_r(NULL, " \t", &save));)
        add_once(list, word);
}

static int resolv_of_machine(Resolv *resolv) {
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read("/etc/resolv.conf", 65536, &text);
    char *save = NULL;
    for (char *line = text.data ? strtok_r(text.data, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save))
        take_line(resolv, line);
    return r == -ENOENT ? 0 : r;
}

static void resolv_of_cluster(const AgentPod *pod, Resolv *resolv) {
    const char *domain = pod->host->cluster_domain;
    strlist_add(&resolv->servers, pod->host->network.dns);
    strlist_printf(&resolv->searches, "%s.svc.%s", pod->def.ns, domain);
    strlist_printf(&resolv->searches, "svc.%s", domain);
    strlist_add(&resolv->searches, domain);
    strlist_add(&resolv->options, "ndots:5");
}

/* An option of the pod's own takes the place of one with the same name. */
static void add_option(Resolv *resolv, const json_t *option) {
    const char *name = json_str_at(option, "name"), *value = json_str_at(option, "value");
    if (!name)
        return;
    _cleanup_free_ char *text = value ? str_printf("%s:%s", name, value) : str_dup(name);
    size_t len = strlen(name);
    for (size_t i = 0; i < resolv->options.len; i++) {
        char **there = &resolv->options.items[i];
        if (strncmp(*there, name, len) == 0 && (!(*there)[len] || (*there)[len] == ':')) {
            mem_free(*there);
            *there = TAKE(text);
            return;
        }
    }
    strlist_take(&resolv->options, TAKE(text));
}

static void resolv_extend(const json_t *config, Resolv *resolv) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(config, "nameservers"), i, item)
        add_once(&resolv->servers, json_string_value(item));
    json_array_foreach(json_object_get(config, "searches"), i, item)
        add_once(&resolv->searches, json_string_value(item));
    json_array_foreach(json_object_get(config, "options"), i, item)
        add_option(resolv, item);
}

static void add_line(Buf *text, const char *key, const StrList *words) {
    for (size_t i = 0; i < words->len; i++)
        buf_printf(text, "%s %s", i ? "" : key, words->items[i]);
    if (words->len)
        buf_add_char(text, '\n');
}

static int write_resolv(AgentPod *pod, const char *path) {
    const char *policy = json_str_at(pod->def.json, "spec", "dnsPolicy");
    bool cluster = pod->host->network.dns && !str_eq(policy, "None") &&
                   !str_eq(policy, "Default") &&
                   (!pod->def.host_network || str_eq(policy, "ClusterFirstWithHostNet"));
    _cleanup_(resolv_done) Resolv resolv = { 0 };
    _cleanup_buf_ Buf text = { 0 };
    int r = 0;
    if (cluster)
        resolv_of_cluster(pod, &resolv);
    else if (!str_eq(policy, "None"))
        r = resolv_of_machine(&resolv);
    if (r < 0)
        return r;
    resolv_extend(json_at(pod->def.json, "spec", "dnsConfig"), &resolv);
    add_line(&text, "search", &resolv.searches);
    for (size_t i = 0; i < resolv.servers.len; i++)
        buf_printf(&text, "nameserver %s\n", resolv.servers.items[i]);
    add_line(&text, "options", &resolv.options);
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

/* Names of links are short: the address is unique on the machine, so it names the link. */
static void link_name(const AgentPod *pod, char name[16]) {
    unsigned a, b, c, d;
    snprintf(name, 16, "veth");
    if (sscanf(pod->address, "%u.%u.%u.%u", &a, &b, &c, &d) == 4)
        snprintf(name, 16, "mp%02x%02x%02x%02x", a & 255, b & 255, c & 255, d & 255);
}

static json_t *network_json(const AgentPod *pod) {
    const PodNetwork *network = &pod->host->network;
    char link[16];
    if (!network->bridge || pod->def.host_network)
        return json_null();
    link_name(pod, link);
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

/* The kernel removes the link of an ended pod too, but may take long: the address is free now. */
static void release_address(AgentPod *pod) {
    const PodNetwork *network = &pod->host->network;
    if (pod->address[0] && network->bridge) {
        _cleanup_netlink_ Netlink netlink = { .fd = -1 };
        char link[16];
        link_name(pod, link);
        if (netlink_open(&netlink) == 0)
            (void)!netlink_link_remove(&netlink, link);
        network->release(network->ctx, pod->address);
    }
    pod->address[0] = 0;
}

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
        r = keeper_connect(pod->host->loop, pod->dir, &pod_keeper_events, pod, &pod->keeper);
    return r;
}

void sandbox_failed(AgentPod *pod, int r) {
    const char *text = error_text(r);
    if (!str_eq(pod->setup_error, text)) {
        bool mount = strstr(text, "MountVolume") != NULL;
        pod_event(pod, NULL, "Warning", mount ? "FailedMount" : "FailedCreatePodSandBox", "%s%s",
                  mount ? "" : "Failed to create pod sandbox: ", text);
        str_set(&pod->setup_error, text);
    }
    pod->retry_at = loop_deadline(pod->host->loop, SETUP_RETRY);
}

void sandbox_try(AgentPod *pod, usec_t now) {
    if (now < pod->retry_at)
        return;
    int r = launch(pod);
    if (r < 0)
        sandbox_failed(pod, r);
    else if (r > 0) /* a token is on its way; its arrival wakes us */
        pod->retry_at = loop_deadline(pod->host->loop, SETUP_RETRY);
    else {
        pod->stage = STAGE_SANDBOX;
        pod->setup_error = mem_free(pod->setup_error);
    }
}

/* What a pod leaves on disk beside logs, and its cgroup. */
void sandbox_release(AgentPod *pod) {
    static const char *const names[] = { "volumes", "shm", "etc" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_free_ char *path = str_printf("%s/%s", pod->dir, names[i]);
        chores_remove(pod->host->chores, path);
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
