/* SPDX-License-Identifier: Apache-2.0 */

/* The processes of one node: started in order, each told ready by a line of JSON on a pipe. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/auth.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "cmd/cluster_address.h"
#include "cmd/start_process.h"
#include "host/session.h"
#include "net/listener.h"

enum {
    GCS_PORT = 6379,
    DASHBOARD_PORT = 8265,
    AGENT_PORT = 52365,
    PORTS_TRIED = 100,
};
#define HEAD_PATIENCE (60 * USEC_PER_SEC)

void started_node_done(StartedNode *node) {
    mem_free(node->gcs_address);
    mem_free(node->node_ip);
    mem_free(node->session_dir);
    mem_free(node->dashboard_url);
}

/* ------------------------------------------------------------------------------ addresses */

/* The address this machine would speak from toward another; no packet is sent. */
static bool ip_toward(const char *host, char text[static INET_ADDRSTRLEN]) {
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_family = AF_INET }, *found = NULL;
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    if (getaddrinfo(host, "80", &hints, &found) != 0)
        return false;
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool routed = fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0 &&
                  getsockname(fd, (struct sockaddr *)&own, &len) == 0;
    freeaddrinfo(found);
    return routed && inet_ntop(AF_INET, &own.sin_addr, text, INET_ADDRSTRLEN);
}

/* Where there is no route, what this host's name means; at last the loopback. Owned. */
static char *own_ip(const char *toward) {
    char text[INET_ADDRSTRLEN] = "127.0.0.1", name[HOST_NAME_MAX + 1] = "";
    if (!ip_toward(toward, text) && gethostname(name, sizeof(name) - 1) == 0)
        ip_toward(name, text);
    return str_dup(text);
}

static bool is_loopback(const char *ip) {
    return str_starts(ip, "127.") || str_eq(ip, "localhost") || str_eq(ip, "::1");
}

static char *node_ip(const StartArgs *args) {
    if (args->node_ip)
        return str_dup(str_eq(args->node_ip, "localhost") ? "127.0.0.1" : args->node_ip);
    _cleanup_free_ char *toward = str_dup(args->head ? "8.8.8.8" : args->address);
    char *colon = strrchr(toward, ':');
    if (colon)
        *colon = 0;
    return own_ip(toward);
}

/* Everywhere, or on this machine only. */
static const char *listen_host(const char *ip) {
    return is_loopback(ip) ? "127.0.0.1" : "0.0.0.0";
}

static bool port_is_free(const char *host, int64_t port) {
    NetAddress address, bound;
    int fd = -1;
    if (net_address_ip(host, (uint16_t)port, &address) < 0 || net_listen(&address, &fd, &bound) < 0)
        return false;
    fd_close(fd);
    return true;
}

/* The wanted port as it is; the usual one, or the next that is free. */
static int64_t dashboard_port(const StartArgs *args, const char *host) {
    if (args->dashboard_port_given)
        return args->dashboard_port;
    for (int64_t port = DASHBOARD_PORT; port < DASHBOARD_PORT + PORTS_TRIED; port++)
        if (port_is_free(host, port))
            return port;
    return DASHBOARD_PORT;
}

/* ---------------------------------------------------------------------------- permission */

static bool in_pod(void) {
    return getenv("KUBERNETES_SERVICE_HOST") || getenv("RAY_CLUSTER_NAME");
}

/* A cluster that others can reach runs anybody's code, unless it asks for a token. */
static int check_exposure(const char *ip, const char *dashboard_host, const Auth *auth) {
    const char *mode = getenv("RAY_AUTH_MODE");
    bool exposed = !is_loopback(ip) || !is_loopback(dashboard_host);
    if (!exposed || auth->token || (mode && str_eq_nocase(mode, "disabled")))
        return 0;
    if (in_pod()) {
        say_warning("Token authentication is disabled for this Ray cluster. Anyone with network "
                    "access to the cluster can run arbitrary code and access its data.");
        return 0;
    }
    return error_origin(-EACCES,
                        "this cluster would be open to the network at %s without a token. "
                        "Make one with `ray get-auth-token --generate`, or start with "
                        "--node-ip-address=127.0.0.1 (and no other --dashboard-host), or "
                        "say RAY_AUTH_MODE=disabled",
                        ip);
}

static void export_auth(const Auth *auth) {
    if (auth->token) {
        setenv("RAY_AUTH_MODE", "token", 1);
        setenv("RAY_AUTH_TOKEN", auth->token, 1);
    }
}

/* ----------------------------------------------------------------------------- processes */

static void add_gcs(NodeProcesses *all, const StartArgs *args, const Session *session,
                    const StartedNode *node, int64_t port) {
    NodeProcess *gcs = node_process_add(all, "gcs_server", "gcs", true);
    node_process_arg(gcs, "--listen", "%s:%lld", listen_host(node->node_ip), (long long)port);
    node_process_arg(gcs, "--temp-dir", "%s", all->temp_dir);
    node_process_arg(gcs, "--session-name", "%s", session->name);
    node_process_arg(gcs, "--node-ip", "%s", node->node_ip);
    node_process_arg(gcs, "--store", "%s/gcs.db", session->dir);
    if (node->dashboard_url)
        node_process_arg(gcs, "--dashboard-url", "%s", node->dashboard_url);
}

/* The first raylet of a session has the usual names; others on this machine get a number. */
static char *raylet_suffix(const char *session_dir) {
    for (unsigned n = 0;; n++) {
        _cleanup_free_ char *suffix = n ? str_printf(".%u", n) : str_dup("");
        _cleanup_free_ char *path = str_printf("%s/sockets/raylet%s", session_dir, suffix);
        if (access(path, F_OK) < 0)
            return TAKE(suffix);
    }
}

static int add_raylet(NodeProcesses *all, const StartArgs *args, const StartedNode *node) {
    _cleanup_json_ json_t *resources = NULL;
    _cleanup_free_ char *labels = NULL;
    int r = start_resources(args, &resources);
    if (r == 0)
        r = start_labels(args, &labels);
    if (r < 0)
        return r;
    _cleanup_free_ char *text = json_text(resources, 0);
    _cleanup_free_ char *suffix = raylet_suffix(node->session_dir);
    _cleanup_free_ char *name = str_printf("raylet%s", suffix);
    NodeProcess *raylet = node_process_add(all, name, "raylet", false);
    node_process_arg(raylet, "--socket", "%s/sockets/%s", node->session_dir, name);
    node_process_arg(raylet, "--gcs-address", "%s", node->gcs_address);
    node_process_arg(raylet, "--temp-dir", "%s", all->temp_dir);
    node_process_arg(raylet, "--node-ip", "%s", node->node_ip);
    node_process_arg(raylet, "--listen", "%s:%lld", node->node_ip,
                     (long long)args->node_manager_port);
    node_process_arg(raylet, "--resources", "%s", text);
    if (args->spill_folder)
        node_process_arg(raylet, "--object-spilling-directory", "%s", args->spill_folder);
    const char *host = listen_host(node->node_ip);
    node_process_arg(raylet, "--agent-listen", "%s:%lld", host,
                     (long long)(args->agent_port >= 0 ? args->agent_port : AGENT_PORT));
    if (args->node_name)
        node_process_arg(raylet, "--node-name", "%s", args->node_name);
    if (*labels)
        node_process_arg(raylet, "--labels", "%s", labels);
    if (args->metrics_port > 0)
        node_process_arg(raylet, "--metrics-listen", "%s:%lld", host,
                         (long long)args->metrics_port);
    if (args->head)
        node_process_flag(raylet, "--head");
    return 0;
}

static void add_dashboard(NodeProcesses *all, const StartedNode *node, const char *host,
                          int64_t port) {
    NodeProcess *dashboard = node_process_add(all, "dashboard", "dashboard", true);
    node_process_arg(dashboard, "--listen", "%s:%lld", host, (long long)port);
    node_process_arg(dashboard, "--gcs-address", "%s", node->gcs_address);
    node_process_arg(dashboard, "--session-dir", "%s", node->session_dir);
}

/* ---------------------------------------------------------------------------------- head */

static int refuse_second_head(const char *address, const char *temp_dir) {
    _cleanup_free_ char *running = NULL;
    _cleanup_(cluster_link_done) ClusterLink link = { 0 };
    if (session_address_read(temp_dir, &running) != 0 || !str_eq(running, address))
        return 0;
    int r = cluster_link(address, USEC_PER_SEC / 2, &link);
    if (r < 0 && r != -EACCES)
        return 0; /* nobody there: what the last one left */
    return error_origin(-EADDRINUSE,
                        "ConnectionError: Ray is trying to start at %s, but is already "
                        "running at %s. Please specify a different port using the "
                        "`--port` flag of `ray start` command.",
                        address, running);
}

static int head_start(const StartArgs *args, NodeProcesses *all, StartedNode *node) {
    _cleanup_session_ Session session = { 0 };
    _cleanup_free_ char *name = session_name_new(time_wall_now(), getpid());
    const char *host = args->dashboard_host ? args->dashboard_host : "127.0.0.1";
    int64_t port = args->port >= 0 ? args->port : GCS_PORT, web_port = 0;
    node->gcs_address = str_printf("%s:%lld", node->node_ip, (long long)port);
    int r = refuse_second_head(node->gcs_address, all->temp_dir);
    if (r == 0)
        r = session_open(all->temp_dir, name, &session);
    if (r < 0)
        return r;
    node->session_dir = str_dup(session.dir);
    node_processes_session(all, session.dir);
    if (!args->include_dashboard_given || args->include_dashboard) {
        web_port = dashboard_port(args, host);
        node->dashboard_url = str_printf("%s:%lld", str_eq(host, "0.0.0.0") ? node->node_ip : host,
                                         (long long)web_port);
    }
    add_gcs(all, args, &session, node, port);
    r = node_processes_launch(all);
    if (r == 0)
        r = add_raylet(all, args, node);
    if (r == 0 && node->dashboard_url)
        add_dashboard(all, node, host, web_port);
    return r == 0 ? node_processes_launch(all) : r;
}

/* -------------------------------------------------------------------------------- worker */

static int worker_start(const StartArgs *args, NodeProcesses *all, StartedNode *node) {
    _cleanup_(cluster_link_done) ClusterLink link = { 0 };
    _cleanup_session_ Session session = { 0 };
    int r = cluster_address(args->address, all->temp_dir, &node->gcs_address);
    if (r == 0)
        r = cluster_link(node->gcs_address, HEAD_PATIENCE, &link);
    if (r < 0)
        return error_context(r, "ConnectionError: head %s", args->address);
    r = session_open(all->temp_dir, link.session_name, &session);
    if (r < 0)
        return r;
    node->session_dir = str_dup(session.dir);
    node_processes_session(all, session.dir);
    r = add_raylet(all, args, node);
    return r == 0 ? node_processes_launch(all) : r;
}

int node_start(const StartArgs *args, NodeProcesses **ret_processes, StartedNode *ret_node) {
    _cleanup_(node_processes_freep) NodeProcesses *all = node_processes_new(args);
    _cleanup_(started_node_done) StartedNode node = { .node_ip = node_ip(args) };
    _cleanup_auth_ Auth auth = { 0 };
    say(0, "Local node IP: %s", node.node_ip);
    int r = auth_load(&auth);
    if (r == 0 && args->head)
        r = check_exposure(node.node_ip, args->dashboard_host ? args->dashboard_host : "127.0.0.1",
                           &auth);
    if (r < 0)
        return r;
    export_auth(&auth);
    r = args->head ? head_start(args, all, &node) : worker_start(args, all, &node);
    if (r == 0)
        r = session_address_write(all->temp_dir, node.gcs_address);
    if (r < 0) {
        _cleanup_free_ char *sentence = str_dup(error_text(r));
        node_processes_end(all);
        return error_origin(r, "%s", sentence);
    }
    *ret_processes = TAKE(all);
    *ret_node = node;
    node = (StartedNode){ 0 };
    return 0;
}
