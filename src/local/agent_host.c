/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_host.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "local/agent_env.h"
#include "local/agent_file.h"

#define USUAL_PATH        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SERVICE_RANGE     "10.96.0.0/16"
#define PIP_CONFIG_MAX    (64 * 1024)
#define NETWORK_MTU_LEAST 576
#define PIDS_MAX          8192

/* ---- the machine ---- */

/* The address others on the network know this machine by; loopback if it has none. */
static char *find_host_ip(unsigned *ret_mtu) {
    struct ifaddrs *all = NULL;
    char text[INET_ADDRSTRLEN] = "127.0.0.1";
    *ret_mtu = 1500;
    if (getifaddrs(&all) < 0)
        return str_dup(text);
    for (struct ifaddrs *at = all; at; at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET || !(at->ifa_flags & IFF_UP) ||
            (at->ifa_flags & IFF_LOOPBACK) || str_starts(at->ifa_name, "mb-"))
            continue;
        struct sockaddr_in address;
        memcpy(&address, at->ifa_addr, sizeof(address));
        inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
        _cleanup_free_ char *path = str_printf("/sys/class/net/%s/mtu", at->ifa_name);
        _cleanup_buf_ Buf mtu = { 0 };
        unsigned value;
        if (file_read(path, 32, &mtu) == 0 && sscanf(mtu.data, "%u", &value) == 1 &&
            value >= NETWORK_MTU_LEAST && value < 65536)
            *ret_mtu = value;
        break;
    }
    freeifaddrs(all);
    return str_dup(text);
}

static bool find_program(const char *name, const char *path, char **ret_full) {
    for (const char *at = path; at;) {
        size_t len = strcspn(at, ":");
        _cleanup_free_ char *full = str_printf("%.*s/%s", (int)len, at, name);
        if (access(full, X_OK) == 0) {
            *ret_full = TAKE(full);
            return true;
        }
        at = at[len] ? at + len + 1 : NULL;
    }
    return false;
}

static void note(AgentHost *host, const char *text) {
    char *more = host->notes ? str_printf("%s; %s", host->notes, text) : str_dup(text);
    mem_free(host->notes);
    host->notes = more;
}

/* ---- programs ---- */

/* A program under another name. Not a link: an interpreter would take the link's folder for its
 * own, and that changes from one state folder to the next. */
static int write_wrapper(const AgentHost *host, const char *name, const char *command) {
    _cleanup_free_ char *path = str_printf("%s/%s", host->links_dir, name);
    _cleanup_free_ char *text = str_printf("#!/bin/sh\nexec %s \"$@\"\n", command);
    return state_write_text(path, slice_str(text), 0755);
}

static int write_programs(AgentHost *host, const HostOptions *options) {
    _cleanup_free_ char *python = NULL, *found = NULL;
    int r = 0;
    if (options->python) {
        python = str_dup(options->python);
        r = write_wrapper(host, "python3", python);
    } else if (!find_program("python3", USUAL_PATH, &python)) {
        note(host, "there is no python3 on this machine, so no Python program can run in pods");
        python = NULL;
    }
    if (r == 0 && python && (options->python || !find_program("python", USUAL_PATH, &found)))
        r = write_wrapper(host, "python", python);
    found = mem_free(found);
    if (r == 0 && !find_program("wget", USUAL_PATH, &found)) {
        _cleanup_free_ char *command = str_printf("%s/mobula wget", host->bin_dir);
        r = write_wrapper(host, "wget", command);
    }
    return r;
}

/* A pod has a /tmp of its own. What lies in the machine's and is needed in pods stays visible: whole, as
 * installations have links from folder to folder, but never together with our state. */
static void keep_visible(AgentHost *host, const char *path) {
    static const char tmp[] = "/tmp/";
    if (!path || !str_starts(path, tmp))
        return;
    size_t top = strlen(tmp) + strcspn(path + strlen(tmp), "/");
    _cleanup_free_ char *folder = str_dup_slice((Slice){ path, top });
    _cleanup_free_ char *inside = str_printf("%s/", folder);
    const char *kept = str_starts(host->state_dir, inside) ? path : folder;
    for (size_t i = 0; i < host->keep.len; i++)
        if (str_eq(host->keep.items[i], kept))
            return;
    strlist_add(&host->keep, kept);
}

static void keep_programs(AgentHost *host, const HostOptions *options) {
    const char *path = env_get(&host->base_env, "PYTHONPATH");
    keep_visible(host, host->bin_dir);
    keep_visible(host, options->python);
    while (path && *path) {
        size_t len = strcspn(path, ":");
        _cleanup_free_ char *one = str_dup_slice((Slice){ path, len });
        keep_visible(host, one);
        path += len + (path[len] == ':');
    }
}

/* A login shell starts its PATH over; what is ours is put back in front. */
static int write_profile(const AgentHost *host) {
    _cleanup_free_ char *path = str_printf("%s/profile.sh", host->links_dir);
    _cleanup_free_ char *text =
        str_printf("PATH=%s:%s:$PATH\nexport PATH\n", AGENT_POD_LINKS, host->bin_dir);
    return state_write_text(path, slice_str(text), 0644);
}

/* ---- environment ---- */

static void pass_on(AgentHost *host, const char *name) {
    const char *value = getenv(name);
    if (value)
        env_set(&host->base_env, name, value);
}

extern char **environ;

/* What decides how this machine reaches package registries decides it for pods too. */
static void pass_registry_settings(AgentHost *host) {
    static const char *const names[] = { "http_proxy",
                                         "https_proxy",
                                         "all_proxy",
                                         "no_proxy",
                                         "HTTP_PROXY",
                                         "HTTPS_PROXY",
                                         "ALL_PROXY",
                                         "NO_PROXY",
                                         "SSL_CERT_FILE",
                                         "SSL_CERT_DIR",
                                         "REQUESTS_CA_BUNDLE",
                                         "CURL_CA_BUNDLE",
                                         "UV_INDEX_URL",
                                         "UV_DEFAULT_INDEX",
                                         "LANG",
                                         "LC_ALL",
                                         "TZ" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        pass_on(host, names[i]);
    for (char **at = environ; *at; at++)
        if (str_starts(*at, "PIP_")) {
            _cleanup_free_ char *name = str_dup_slice((Slice){ *at, strcspn(*at, "=") });
            pass_on(host, name);
        }
#ifdef __SANITIZE_ADDRESS__
    /* Without LD_PRELOAD, under which some programs hang: an interpreter in a pod is to be let load
     * the sanitizer late, with our extension. */
    pass_on(host, "ASAN_OPTIONS");
    pass_on(host, "UBSAN_OPTIONS");
#endif
}

/* Addresses inside the cluster never go through a proxy. */
static void extend_no_proxy(AgentHost *host, const HostOptions *options) {
    static const char *const names[] = { "no_proxy", "NO_PROXY" };
    if (!env_get(&host->base_env, "http_proxy") && !env_get(&host->base_env, "https_proxy") &&
        !env_get(&host->base_env, "HTTP_PROXY") && !env_get(&host->base_env, "HTTPS_PROXY"))
        return;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *before = env_get(&host->base_env, names[i]);
        _cleanup_free_ char *value =
            str_printf("%s%slocalhost,127.0.0.1,.svc,.%s,%s,%s", before ? before : "",
                       str_empty(before) ? "" : ",", host->pods.cluster_domain,
                       host->has_network ? host->network.pod_range : "10.0.0.0/8",
                       options->service_range ? options->service_range : SERVICE_RANGE);
        env_set(&host->base_env, names[i], value);
    }
}

/* The user's own pip configuration lies in a home that pods do not have. */
static void pass_pip_config(AgentHost *host) {
    static const char *const places[] = { ".config/pip/pip.conf", ".pip/pip.conf" };
    const char *home = getenv("HOME");
    if (!home || env_get(&host->base_env, "PIP_CONFIG_FILE"))
        return;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        _cleanup_free_ char *from = str_printf("%s/%s", home, places[i]);
        _cleanup_free_ char *to = str_printf("%s/pip.conf", host->links_dir);
        _cleanup_buf_ Buf text = { 0 };
        if (file_read(from, PIP_CONFIG_MAX, &text) < 0 ||
            state_write_text(to, buf_slice(&text), 0644) < 0)
            continue;
        env_set(&host->base_env, "PIP_CONFIG_FILE", AGENT_POD_LINKS "/pip.conf");
        return;
    }
}

static void build_env(AgentHost *host, const HostOptions *options) {
    _cleanup_free_ char *path = str_printf("%s:%s:%s", AGENT_POD_LINKS, host->bin_dir, USUAL_PATH);
    env_set(&host->base_env, "PATH", path);
    env_set(&host->base_env, "HOME",
            options->home    ? options->home
            : geteuid() == 0 ? "/home/ray"
                             : "/tmp/home");
    env_set(&host->base_env, "MOBULA_CACHE_DIR", host->cache_dir);
    pass_registry_settings(host);
    pass_pip_config(host);
    extend_no_proxy(host, options);
    for (size_t i = 0; options->env && i < options->env->len; i++) {
        const char *entry = options->env->items[i], *equals = strchr(entry, '=');
        if (!equals)
            continue;
        _cleanup_free_ char *name = str_dup_slice((Slice){ entry, (size_t)(equals - entry) });
        env_set(&host->base_env, name, equals + 1);
    }
}

/* ---- folders ---- */

static char *default_cache(void) {
    const char *own = getenv("MOBULA_CACHE_DIR"), *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (!str_empty(own))
        return str_dup(own);
    if (!str_empty(cache))
        return str_printf("%s/mobula", cache);
    return str_printf("%s/.cache/mobula", str_empty(home) ? "" : home);
}

/* Where this program lies: `mobula` and `ray` lie beside it. */
static char *own_folder(void) {
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (len <= 0)
        return str_dup("/usr/bin");
    path[len] = 0;
    char *slash = strrchr(path, '/');
    *slash = 0;
    return str_dup(path);
}

static int take_lock(AgentHost *host, const char *state_dir) {
    _cleanup_free_ char *path = str_printf("%s/agent.lock", state_dir);
    host->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (host->lock < 0)
        return error_last("open %s", path);
    if (flock(host->lock, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? error_origin(-EBUSY, "another node agent has the state folder %s", state_dir)
                   : error_last("lock %s", path);
    return 0;
}

/* Made if missing; as an absolute path, since keepers stand elsewhere. Owned. */
static int make_absolute(const char *path, unsigned mode, char **ret_path) {
    int r = dir_make(path, mode);
    if (r < 0)
        return r;
    char *real = realpath(path, NULL);
    if (!real)
        return error_last("find %s", path);
    *ret_path = real;
    return 0;
}

static int make_folders(AgentHost *host, const HostOptions *options) {
    _cleanup_free_ char *cache = options->cache_dir ? str_dup(options->cache_dir) : default_cache();
    int r = make_absolute(options->state_dir, 0700, &host->state_dir);
    if (r == 0)
        r = take_lock(host, host->state_dir);
    if (r == 0)
        r = make_absolute(cache, 0755, &host->cache_dir);
    if (r < 0)
        return r;
    char *bin = options->bin_dir ? realpath(options->bin_dir, NULL) : own_folder();
    if (!bin)
        return error_last("find %s", options->bin_dir);
    host->bin_dir = bin;
    host->claims_dir = str_printf("%s/claims", host->state_dir);
    host->links_dir = str_printf("%s/bin", host->state_dir);
    _cleanup_free_ char *pods = str_printf("%s/pods", host->state_dir);
    r = dir_make(pods, 0700);
    if (r == 0)
        r = dir_make(host->claims_dir, 0755);
    return r < 0 ? r : dir_make(host->links_dir, 0755);
}

/* ---- network ---- */

/* A short name that stays the same for this state folder. */
static void state_tag(const char *state_dir, char out[static NETWORK_TAG_MAX]) {
    uint32_t hash = 2166136261u; /* FNV-1a: the same in every process */
    for (const char *at = state_dir; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    snprintf(out, NETWORK_TAG_MAX, "%08x", hash);
}

static int take_address(void *ctx, const char *wanted, char ret_address[static 16]) {
    AgentHost *host = ctx;
    return network_take(&host->network, wanted, ret_address);
}

static void release_address(void *ctx, const char *address) {
    AgentHost *host = ctx;
    network_release(&host->network, address);
}

static int make_network(AgentHost *host, const HostOptions *options, const char *tag) {
    unsigned mtu;
    host->host_ip = find_host_ip(&mtu);
    host->pods.host_ip = host->host_ip;
    if (options->no_network)
        return 0;
    network_sweep(tag);
    int r = network_open(tag, host->state_dir, options->pod_range,
                         options->service_range ? options->service_range : SERVICE_RANGE,
                         &host->network);
    if (r == -EPERM || r == -EOPNOTSUPP) {
        note(host, "making a bridge is not permitted (run as root), so each pod has a network that "
                   "leads nowhere: pods do not reach each other, services or the outside, HTTP "
                   "probes fail, and a mountPath must lie under /tmp, /run, / or exist");
        return 0;
    }
    if (r < 0)
        return r;
    host->has_network = true;
    if (host->network.lacks)
        note(host, host->network.lacks);
    host->pods.network = (PodNetwork){ .bridge = host->network.bridge,
                                       .gateway = host->network.gateway,
                                       .dns = host->network.gateway,
                                       .mtu = mtu,
                                       .take = take_address,
                                       .release = release_address,
                                       .ctx = host };
    return 0;
}

static void find_limits(AgentHost *host) {
    struct sysinfo info;
    CgroupHost cgroups;
    if (sysinfo(&info) == 0)
        host->pods.node_memory = (uint64_t)info.totalram * info.mem_unit;
    host->pods.node_cpu_milli = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) * 1000;
    if (cgroup_host_init(&cgroups) < 0)
        return;
    if (cgroups.lacks)
        note(host, cgroups.lacks);
    cgroup_host_done(&cgroups);
}

static void tell_pods(AgentHost *host, Loop *loop, int launcher, const HostOptions *options) {
    PodHost *pods = &host->pods;
    pods->loop = loop;
    pods->launcher = launcher;
    pods->chores = chores_new(loop);
    pods->state_dir = host->state_dir;
    pods->claims_dir = host->claims_dir;
    pods->share_dir = host->cache_dir;
    pods->pids_max = options->max_pids > 0 ? (uint64_t)options->max_pids : PIDS_MAX;
    pods->links_dir = host->links_dir;
    pods->cgroup_root = host->cgroup_root;
    pods->cluster_domain = options->cluster_domain ? options->cluster_domain : "cluster.local";
    pods->base_env = &host->base_env;
    pods->hide = &host->hide;
    pods->keep = &host->keep;
    strlist_add(&host->hide, host->state_dir);
}

int agent_host_init(Loop *loop, int launcher, const HostOptions *options, AgentHost *ret_host) {
    AgentHost *host = ret_host;
    char tag[NETWORK_TAG_MAX];
    *host = (AgentHost){ .lock = -1 };
    int r = make_folders(host, options);
    if (r == 0) {
        state_tag(host->state_dir, tag);
        host->cgroup_root = str_printf("mobula-%s", tag);
        tell_pods(host, loop, launcher, options);
        r = make_network(host, options, tag);
    }
    if (r == 0)
        r = write_programs(host, options);
    if (r == 0)
        r = write_profile(host);
    if (r < 0) {
        agent_host_done(host);
        return r;
    }
    agent_pods_reserve(&host->pods);
    find_limits(host);
    build_env(host, options);
    keep_programs(host, options);
    return 0;
}

void agent_host_done(AgentHost *host) {
    host->pods.chores = chores_free(host->pods.chores);
    network_done(&host->network);
    strlist_done(&host->base_env);
    strlist_done(&host->hide);
    strlist_done(&host->keep);
    mem_free(host->state_dir);
    mem_free(host->claims_dir);
    mem_free(host->links_dir);
    mem_free(host->cgroup_root);
    mem_free(host->bin_dir);
    mem_free(host->cache_dir);
    mem_free(host->host_ip);
    mem_free(host->notes);
    fd_close(host->lock);
    *host = (AgentHost){ .lock = -1 };
}

static int remove_cgroup(const AgentHost *host) {
    CgroupHost cgroups;
    Cgroup group;
    int r = cgroup_host_init(&cgroups);
    if (r < 0)
        return r;
    if (cgroup_open(&cgroups, host->cgroup_root, &group) == 0) {
        r = cgroup_remove(&group);
        cgroup_done(&group);
    }
    cgroup_host_done(&cgroups);
    return r;
}

int agent_host_purge(AgentHost *host) {
    host->pods.chores = chores_free(host->pods.chores); /* nothing removes the same meanwhile */
    size_t left = agent_pods_end(&host->pods);
    if (host->has_network)
        network_remove(&host->network);
    int r = remove_cgroup(host);
    if (left)
        return error_origin(-EBUSY,
                            "of %zu pods in %s something is left (see above): mend what is in the "
                            "way and run `mobula node-agent --state %s --purge`",
                            left, host->state_dir, host->state_dir);
    return r;
}
