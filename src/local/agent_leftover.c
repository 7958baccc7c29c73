/* SPDX-License-Identifier: Apache-2.0 */

/* What agents left on this machine that were killed and whose state folder nobody opens again. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "host/cgroup.h"
#include "host/spawn.h"
#include "local/agent_network.h"

#define HELPER_TIMEOUT (10 * USEC_PER_SEC)
#define CGROUP_AGE     USEC_PER_MIN /* of one that somebody may be about to use */

static const char bridge_prefix[] = "mb-", table_prefix[] = "table ip mobula_",
                  group_prefix[] = "mobula-";

static void closedir_p(DIR **dir) {
    if (*dir)
        closedir(*dir);
}

static bool is_empty(const char *folder) {
    _cleanup_(closedir_p) DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            return false;
    return true;
}

static bool link_exists(const char *name) {
    _cleanup_free_ char *path = str_printf("/sys/class/net/%s", name);
    return access(path, F_OK) == 0;
}

/* Nobody holds the lock of the state folder that the bridge names, and no pod hangs on it. */
static bool bridge_abandoned(const char *bridge) {
    _cleanup_free_ char *alias_path = str_printf("/sys/class/net/%s/ifalias", bridge);
    _cleanup_free_ char *ports = str_printf("/sys/class/net/%s/brif", bridge);
    _cleanup_buf_ Buf alias = { 0 };
    if (file_read(alias_path, 4096, &alias) < 0 || !alias.len || !is_empty(ports))
        return false;
    alias.data[strcspn(alias.data, "\n")] = 0;
    _cleanup_free_ char *lock = str_printf("%s/agent.lock", alias.data);
    _cleanup_close_ int fd = open(lock, O_RDWR | O_CLOEXEC);
    return fd < 0 ? errno == ENOENT : flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void remove_network(const char *tag) {
    AgentNetwork other = { 0 };
    snprintf(other.tag, sizeof(other.tag), "%s", tag);
    snprintf(other.bridge, sizeof(other.bridge), "%s%s", bridge_prefix, tag);
    network_remove(&other);
}

static void sweep_bridges(const char *own) {
    _cleanup_(closedir_p) DIR *dir = opendir("/sys/class/net");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *tag = entry->d_name + strlen(bridge_prefix);
        if (str_starts(entry->d_name, bridge_prefix) && strlen(tag) < NETWORK_TAG_MAX &&
            !str_eq(tag, own) && bridge_abandoned(entry->d_name))
            remove_network(tag);
    }
}

/* A table is made after its agent's bridge and removed after it. */
static void sweep_tables(const char *own) {
    _cleanup_buf_ Buf text = { 0 };
    if (spawn_run(SPAWN_LIST("nft", "list", "tables"), NULL, HELPER_TIMEOUT, &text) < 0)
        return;
    char *save = NULL;
    for (char *line = text.data ? strtok_r(text.data, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        if (!str_starts(line, table_prefix))
            continue;
        const char *tag = line + strlen(table_prefix);
        _cleanup_free_ char *bridge = str_printf("%s%s", bridge_prefix, tag);
        if (strlen(tag) < NETWORK_TAG_MAX && !str_eq(tag, own) && !link_exists(bridge))
            remove_network(tag);
    }
}

/* Only one without processes can be removed; who needs it makes it again. */
static void sweep_group(const CgroupHost *host, const char *where, const char *name) {
    _cleanup_free_ char *path = str_printf("%s/%s", where, name);
    _cleanup_free_ char *bridge = str_printf("%s%s", bridge_prefix, name + strlen(group_prefix));
    struct stat st;
    Cgroup group;
    if (link_exists(bridge) || stat(path, &st) < 0 ||
        st.st_mtim.tv_sec * USEC_PER_SEC + CGROUP_AGE > time_wall_now() ||
        cgroup_open(host, name, &group) < 0)
        return;
    (void)!cgroup_remove(&group);
    cgroup_done(&group);
}

static void sweep_cgroups(const char *own) {
    CgroupHost host;
    if (cgroup_host_init(&host) < 0)
        return;
    const char *places[] = { host.memory, host.cpu, host.pids };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        _cleanup_(closedir_p) DIR *dir = places[i] ? opendir(places[i]) : NULL;
        for (struct dirent *entry; dir && (entry = readdir(dir));)
            if (str_starts(entry->d_name, group_prefix) &&
                !str_eq(entry->d_name + strlen(group_prefix), own))
                sweep_group(&host, places[i], entry->d_name);
    }
    cgroup_host_done(&host);
}

void network_sweep(const char *own) {
    sweep_bridges(own);
    sweep_tables(own);
    sweep_cgroups(own);
}
