/* SPDX-License-Identifier: Apache-2.0 */

/* The processes of one node: started in order, each told ready by a line of JSON on a pipe. */

#include <fcntl.h>
#include <unistd.h>

#include "api/auth.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "cmd/cluster_address.h"
#include "cmd/start_process.h"
#include "host/session.h"

enum {
    GCS_PORT = 6379,
    DASHBOARD_PORT = 8265,
    AGENT_PORT = 52365,
};
#define HEAD_PATIENCE (60 * USEC_PER_SEC)

void started_node_done(StartedNode *node) {
    mem_free(node->gcs_address);
    mem_free(node->node_ip);
    mem_free(node->session_dir);
    mem_free(node->dashboard_url);
    mem_free(node->gcs_socket);
}

/* ---------------------------------------------------------------------------- permission */

static bool in_pod(void) {
    return getenv("KUBERNETES_SERVICE_HOST") || getenv("RAY_CLUSTER_NAME");
}

/* A cluster that others can reach runs anybody's code, unless it asks for a token. */
static int check_exposure(const char *ip, const char *dashboard_host, const Auth *auth) {
    const char *mode = getenv("RAY_AUTH_MODE");
    bool exposed = !start_is_loopback(ip) || !start_is_loopback(dashboard_host);
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

/* Where there can be none, as at a path that is too long for one, the port does. */
static void add_gcs_socket(NodeProcess *gcs, const Session *session, StartedNode *node) {
    _cleanup_free_ char *path = str_printf("%s/gcs", session->sockets);
    NetAddress address, bound;
    Door door = { 0 };
    int r = net_address_unix(path, &address);
    if (r == 0)
        r = net_listen(&address, &door.fd, &bound);
    if (r < 0)
        return;
    node_process_door(gcs, "--socket", door);
    node->gcs_socket = TAKE(path);
}

static void add_gcs(NodeProcesses *all, const Session *session, StartedNode *node, Door door) {
    NodeProcess *gcs = node_process_add(all, "gcs_server", "gcs", true);
    node_process_door(gcs, "--listen", door);
    node_process_arg(gcs, "--temp-dir", "%s", all->temp_dir);
    node_process_arg(gcs, "--session-name", "%s", session->name);
    node_process_arg(gcs, "--node-ip", "%s", node->node_ip);
    node_process_arg(gcs, "--store", "%s/gcs.db", session->dir);
    add_gcs_socket(gcs, session, node);
    if (node->dashboard_url)
        node_process_arg(gcs, "--dashboard-url", "%s", node->dashboard_url);
}

/* The first raylet of a session has the usual name; others on this machine get a number. Who makes
 * the log file has the name: several nodes may start at once. */
static int raylet_name(const char *session_dir, char **ret_name) {
    for (unsigned n = 0;; n++) {
        _cleanup_free_ char *name = n ? str_printf("raylet.%u", n) : str_dup("raylet");
        _cleanup_free_ char *path = str_printf("%s/logs/%s.out", session_dir, name);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0)
            return error_last("make %s", path);
        *ret_name = TAKE(name);
        return 0;
    }
}

/* Other nodes of this machine may have the agent's usual port. */
static int open_raylet_doors(NodeProcess *raylet, const StartArgs *args, const StartedNode *node) {
    const char *host = start_listen_host(node->node_ip);
    bool usual = args->agent_port < 0;
    Door agent, metrics;
    int r = start_door_open("--dashboard-agent-listen-port", host,
                            usual ? AGENT_PORT : args->agent_port, usual, &agent);
    if (r == 0)
        node_process_door(raylet, "--agent-listen", agent);
    if (r < 0 || args->metrics_port < 0)
        return r;
    r = start_door_open("--metrics-export-port", host, args->metrics_port, false, &metrics);
    if (r == 0)
        node_process_door(raylet, "--metrics-listen", metrics);
    return r;
}

static int add_raylet(NodeProcesses *all, const StartArgs *args, const Session *session,
                      const StartedNode *node) {
    _cleanup_json_ json_t *resources = NULL;
    _cleanup_free_ char *labels = NULL, *name = NULL;
    int r = start_resources(args, &resources);
    if (r == 0)
        r = start_labels(args, &labels);
    if (r == 0)
        r = raylet_name(session->dir, &name);
    if (r < 0)
        return r;
    _cleanup_free_ char *text = json_text(resources, 0);
    NodeProcess *raylet = node_process_add(all, name, "raylet", false);
    node_process_arg(raylet, "--socket", "%s/%s", session->sockets, name);
    node_process_arg(raylet, "--gcs-address", "%s", node->gcs_address);
    node_process_arg(raylet, "--temp-dir", "%s", all->temp_dir);
    node_process_arg(raylet, "--session-name", "%s", session->name);
    node_process_arg(raylet, "--node-ip", "%s", node->node_ip);
    node_process_arg(raylet, "--listen", "%s:%lld", node->node_ip,
                     (long long)MAX(args->node_manager_port, 0));
    node_process_arg(raylet, "--resources", "%s", text);
    if (args->spill_folder)
        node_process_arg(raylet, "--object-spilling-directory", "%s", args->spill_folder);
    if (args->node_name)
        node_process_arg(raylet, "--node-name", "%s", args->node_name);
    if (*labels)
        node_process_arg(raylet, "--labels", "%s", labels);
    if (args->head)
        node_process_flag(raylet, "--head");
    if (node->gcs_socket)
        node_process_arg(raylet, "--gcs-socket", "%s", node->gcs_socket);
    return open_raylet_doors(raylet, args, node);
}

static void add_dashboard(NodeProcesses *all, const StartedNode *node, Door door) {
    NodeProcess *dashboard = node_process_add(all, "dashboard", "dashboard", true);
    node_process_door(dashboard, "--listen", door);
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

/* The wanted port as it is; the usual one, or the next that is free. */
static int open_dashboard(const StartArgs *args, const char *host, StartedNode *node,
                          Door *ret_door) {
    bool usual = args->dashboard_port < 0;
    int r = start_door_open("--dashboard-port", host, usual ? DASHBOARD_PORT : args->dashboard_port,
                            usual, ret_door);
    if (r < 0)
        return r;
    bool everywhere = str_eq(host, "0.0.0.0") || str_eq(host, "::");
    const char *ip = everywhere ? node->node_ip : host;
    node->dashboard_url = str_printf(strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, ret_door->port);
    return 0;
}

static int head_processes(const StartArgs *args, const char *dashboard_host, const Session *session,
                          NodeProcesses *all, StartedNode *node) {
    bool with_dashboard = !args->include_dashboard_given || args->include_dashboard;
    Door gcs, dashboard;
    int r = start_door_open("--port", start_listen_host(node->node_ip),
                            args->port >= 0 ? args->port : GCS_PORT, false, &gcs);
    if (r < 0)
        return r;
    str_set(&node->gcs_address, NULL);
    node->gcs_address = str_printf("%s:%u", node->node_ip, gcs.port);
    if (with_dashboard)
        r = open_dashboard(args, dashboard_host, node, &dashboard);
    add_gcs(all, session, node, gcs);
    if (r == 0)
        r = add_raylet(all, args, session, node);
    if (r == 0 && with_dashboard)
        add_dashboard(all, node, dashboard);
    return r;
}

static int head_start(const StartArgs *args, const char *dashboard_host, NodeProcesses *all,
                      StartedNode *node) {
    _cleanup_session_ Session session = { 0 };
    _cleanup_free_ char *name = session_name_new(time_wall_now(), getpid());
    node->gcs_address =
        str_printf("%s:%lld", node->node_ip, (long long)(args->port >= 0 ? args->port : GCS_PORT));
    int r = refuse_second_head(node->gcs_address, all->temp_dir);
    if (r == 0)
        r = session_make(all->temp_dir, name, &session);
    if (r < 0)
        return r;
    node->session_dir = str_dup(session.dir);
    node_processes_session(all, session.dir);
    r = head_processes(args, dashboard_host, &session, all, node);
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
        return r == -EACCES ? error_context(r, "ray.exceptions.AuthenticationError")
                            : error_context(r, "ConnectionError: head %s", args->address);
    r = session_make(all->temp_dir, link.session_name, &session);
    if (r < 0)
        return r;
    node->session_dir = str_dup(session.dir);
    node_processes_session(all, session.dir);
    r = add_raylet(all, args, &session, node);
    return r == 0 ? node_processes_launch(all) : r;
}

static int prepare(const StartArgs *args, StartedNode *node, Auth *auth, char **ret_dashboard) {
    const char *host = args->dashboard_host ? args->dashboard_host : "127.0.0.1";
    int r = start_node_ip(args, &node->node_ip);
    if (r == 0)
        r = start_host_ip("--dashboard-host", host, ret_dashboard);
    if (r < 0)
        return r;
    say(0, "Local node IP: %s", node->node_ip);
    r = auth_load(auth);
    if (r == -EACCES)
        return error_context(r, "ray.exceptions.AuthenticationError");
    if (args->head && args->address)
        say_warning("Specifying `--address` with `--head` named an external Redis. There is "
                    "none to run here: it is not used.");
    if (r == 0 && args->head)
        r = check_exposure(node->node_ip, *ret_dashboard, auth);
    if (r == 0)
        export_auth(auth);
    return r;
}

int node_start(const StartArgs *args, NodeProcesses **ret_processes, StartedNode *ret_node) {
    _cleanup_(node_processes_freep) NodeProcesses *all = node_processes_new(args);
    _cleanup_(started_node_done) StartedNode node = { 0 };
    _cleanup_free_ char *dashboard_host = NULL;
    _cleanup_auth_ Auth auth = { 0 };
    int r = prepare(args, &node, &auth, &dashboard_host);
    if (r == 0)
        r = args->head ? head_start(args, dashboard_host, all, &node)
                       : worker_start(args, all, &node);
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
