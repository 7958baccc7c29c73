/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/run_local.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "cmd/program.h"
#include "cmd/run_folder.h"
#include "codec/json.h"
#include "host/process.h"
#include "host/spawn.h"

#define END_LIMIT    (10 * USEC_PER_SEC) /* after SIGTERM */
#define PURGE_LIMIT  (30 * USEC_PER_SEC)
#define PYTHON_LIMIT (10 * USEC_PER_SEC)

enum {
    LOG_TAIL = 2000 /* bytes of a dead process's log that are shown */
};

typedef struct LocalProcess {
    LocalCluster *cluster;
    const char *name;
    pid_t pid;
    uint64_t started;
    LoopChild *watch;
} LocalProcess;

typedef enum LocalRole {
    LOCAL_API,
    LOCAL_NODE,
    LOCAL_OPERATOR,
    LOCAL_ROLES,
} LocalRole;

static const char *const ROLE_NAMES[LOCAL_ROLES] = { "apiserver", "node-agent", "operator" };
static const char HELPER[] = "slirp4netns";

struct LocalCluster {
    Loop *loop;
    LocalOptions options;
    char *kubeconfig, *nodes;
    bool keep, ready, adopted, rootless;
    json_t *helper; /* its entry in the record */
    LocalProcess processes[LOCAL_ROLES];
};

static char *role_dir(const char *dir, LocalRole role) {
    return str_printf("%s/%s", dir, ROLE_NAMES[role]);
}

static json_t *entry_new(const char *name, pid_t pid, uint64_t started) {
    return json_pack("{s:s,s:i,s:I}", "name", name, "pid", (int)pid, "started",
                     (json_int_t)started);
}

static int record_write(const LocalCluster *cluster) {
    _cleanup_json_ json_t *record = json_object();
    json_object_set_new(record, "kubeconfig", json_string(cluster->kubeconfig));
    json_object_set_new(record, "nodes", json_string(cluster->nodes));
    json_object_set_new(record, "keep", json_boolean(cluster->keep));
    json_object_set_new(record, "ready", json_boolean(cluster->ready));
    json_object_set_new(record, "rootless", json_boolean(cluster->rootless));
    if (cluster->helper)
        json_array_append(json_make_array(record, "processes"), cluster->helper);
    for (size_t i = 0; i < LOCAL_ROLES; i++) {
        const LocalProcess *process = &cluster->processes[i];
        if (process->pid == 0)
            continue;
        json_array_append_new(json_make_array(record, "processes"),
                              entry_new(process->name, process->pid, process->started));
    }
    return run_record_write(cluster->options.dir, record);
}

static char *log_tail(const char *dir, LocalRole role) {
    _cleanup_free_ char *path = str_printf("%s/%s/log", dir, ROLE_NAMES[role]);
    _cleanup_buf_ Buf text = { 0 };
    if (file_read(path, 64u << 20, &text) < 0 || text.len == 0)
        return str_dup("");
    return str_dup(text.len > LOG_TAIL ? text.data + text.len - LOG_TAIL : text.data);
}

static void on_exit_of(void *ctx, const LoopExit *end) {
    LocalProcess *process = ctx;
    LocalCluster *cluster = process->cluster;
    char how[CHILD_EXIT_TEXT_MAX] = "an unknown status";
    if (end->known)
        child_exit_text((ChildExit){ .signaled = end->signal != 0,
                                     .core = end->dumped,
                                     .value = end->signal ? end->signal : end->code },
                        how);
    _cleanup_free_ char *log =
        log_tail(cluster->options.dir, (LocalRole)(process - cluster->processes));
    process->pid = 0;
    cluster->options.died(cluster->options.ctx, process->name, how, log);
}

/* Our own program in another role; its standard output and error go to its log. */
static int start_role(LocalCluster *cluster, LocalRole role, const StrList *arguments) {
    LocalProcess *process = &cluster->processes[role];
    _cleanup_free_ char *dir = role_dir(cluster->options.dir, role);
    _cleanup_free_ char *log = str_printf("%s/log", dir);
    int r = dir_make(dir, 0700);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_last("open %s", log);
    const SpawnFd fds[] = { { fd, STDOUT_FILENO }, { fd, STDERR_FILENO } };
    SpawnSpec spec = {
        .argv = arguments->items,
        .program = "/proc/self/exe",
        .fds = fds,
        .fd_count = ARRAY_LEN(fds),
        .group = SPAWN_NEW_SESSION,
        .death_signal = cluster->keep ? 0 : SIGTERM,
    };
    Child child;
    r = spawn_start(&spec, &child);
    if (r < 0)
        return error_context(r, "cannot start %s", ROLE_NAMES[role]);
    process->cluster = cluster;
    process->name = ROLE_NAMES[role];
    process->pid = child.pid;
    r = process_start_time(child.pid, &process->started);
    if (r < 0) { /* gone already: its watch tells */
        process->started = 0;
    }
    r = loop_child_new(cluster->loop, child.pidfd, on_exit_of, process, &process->watch);
    return r < 0 ? r : record_write(cluster);
}

/* What an earlier cluster left, such as its logs, goes when the next one starts. Pods of one that
 * was killed are ended. */
static int forget_former(const char *dir) {
    int r = local_end(dir, false);
    for (size_t i = 0; i < LOCAL_ROLES && r >= 0; i++) {
        _cleanup_free_ char *state = role_dir(dir, (LocalRole)i);
        if (access(state, F_OK) == 0)
            r = dir_remove(state);
    }
    return r < 0 ? error_context(r, "cannot remove what an earlier run left in %s", dir) : 0;
}

static void add_common(StrList *arguments, const LocalCluster *cluster, LocalRole role) {
    _cleanup_free_ char *dir = role_dir(cluster->options.dir, role);
    strlist_add(arguments, "mobula");
    strlist_add(arguments, ROLE_NAMES[role]);
    if (role != LOCAL_OPERATOR) {
        strlist_add(arguments, "--state");
        strlist_add(arguments, dir);
    }
    if (role != LOCAL_API) {
        strlist_add(arguments, "--kubeconfig");
        strlist_add(arguments, cluster->kubeconfig);
    }
}

/* Processes that live already; what happens to them is told as of our own. */
static int adopt(LocalCluster *cluster, const json_t *record) {
    for (size_t i = 0; i < LOCAL_ROLES; i++) {
        const json_t *entry = run_record_find(record, ROLE_NAMES[i]);
        LocalProcess *process = &cluster->processes[i];
        if (!run_entry_lives(entry))
            continue;
        *process = (LocalProcess){ .cluster = cluster,
                                   .name = ROLE_NAMES[i],
                                   .pid = (pid_t)json_int_at(entry, 0, "pid"),
                                   .started = (uint64_t)json_int_at(entry, 0, "started") };
        int pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
        int r = pidfd < 0
                    ? error_last("watch the %s", ROLE_NAMES[i])
                    : loop_child_new(cluster->loop, pidfd, on_exit_of, process, &process->watch);
        if (r < 0)
            return r;
        cluster->adopted = true;
    }
    return 0;
}

/* A cluster that is to stay is taken over as long as any of it lives. */
static int take_over(LocalCluster *cluster) {
    _cleanup_json_ json_t *record = run_record_read(cluster->options.dir);
    const char *nodes = json_str_at(record, "nodes");
    if (!json_bool_at(record, false, "keep"))
        return 0;
    int r = adopt(cluster, record);
    if (r < 0 || !cluster->adopted)
        return r;
    cluster->keep = true;
    cluster->rootless = json_bool_at(record, false, "rootless");
    cluster->helper = json_copy((json_t *)(uintptr_t)run_record_find(record, HELPER));
    if (nodes)
        str_set(&cluster->nodes, nodes);
    cluster->ready = json_bool_at(record, false, "ready");
    for (size_t i = 0; i < LOCAL_ROLES; i++)
        cluster->ready &= cluster->processes[i].pid != 0;
    return 0;
}

int local_cluster_new(Loop *loop, const LocalOptions *options, LocalCluster **ret_cluster) {
    _cleanup_(local_cluster_freep) LocalCluster *cluster = mem_new(LocalCluster);
    _cleanup_strlist_ StrList arguments = { 0 };
    *cluster = (LocalCluster){
        .loop = loop,
        .options = *options,
        .nodes = str_dup(options->nodes),
        .keep = options->keep,
        .rootless = options->rootless,
    };
    uint64_t started;
    if (options->helper && process_start_time(options->helper, &started) == 0)
        cluster->helper = entry_new(HELPER, options->helper, started);
    _cleanup_free_ char *dir = role_dir(options->dir, LOCAL_API);
    cluster->kubeconfig = str_printf("%s/kubeconfig", dir);
    int r = take_over(cluster);
    if (r == 0 && !cluster->adopted)
        r = forget_former(options->dir);
    if (r == 0)
        r = record_write(cluster);
    if (r == 0 && !cluster->processes[LOCAL_API].pid) {
        add_common(&arguments, cluster, LOCAL_API);
        if (cluster->rootless) { /* the network is its own; the helper comes from outside */
            strlist_add(&arguments, "--listen");
            strlist_add(&arguments, "0.0.0.0:0");
        }
        r = start_role(cluster, LOCAL_API, &arguments);
    }
    if (r < 0)
        return r;
    *ret_cluster = TAKE(cluster);
    return 0;
}

bool local_cluster_adopted(const LocalCluster *cluster) {
    return cluster->adopted;
}

bool local_cluster_ready(const LocalCluster *cluster) {
    return cluster->ready;
}

const char *local_cluster_nodes(const LocalCluster *cluster) {
    return cluster->nodes;
}

const char *local_cluster_kubeconfig(const LocalCluster *cluster) {
    return cluster->kubeconfig;
}

/* In a build folder programs and the Python package are not where they are once installed. */
static bool add_build_folder(StrList *arguments) {
    static const char BESIDE[] = "/src/cmd";
    _cleanup_free_ char *self = program_folder();
    if (!self || !str_ends(self, BESIDE))
        return false;
    self[strlen(self) - strlen(BESIDE)] = 0;
    strlist_add(arguments, "--bin-dir");
    strlist_printf(arguments, "%s/bin", self);
    strlist_add(arguments, "--env");
    strlist_printf(arguments, "PYTHONPATH=%s/python", self);
    return true;
}

/* Pods find the packages that this shell finds. */
static void add_python_path(StrList *arguments) {
    const char *path = getenv("PYTHONPATH");
    if (str_empty(path))
        return;
    strlist_add(arguments, "--env");
    strlist_printf(arguments, "PYTHONPATH=%s", path);
}

/* The user's Python, if workers can run with it; else the agent looks for one itself. */
static void add_python(StrList *arguments) {
    static const char PROBE[] = "import importlib.util as u, sys\n"
                                "if u.find_spec('cloudpickle'): sys.stdout.write(sys.executable)";
    _cleanup_buf_ Buf output = { 0 };
    _cleanup_free_ char *python = program_python();
    if (spawn_run(SPAWN_LIST(python, "-c", PROBE), NULL, PYTHON_LIMIT, &output) < 0 ||
        output.len == 0 || output.data[0] != '/')
        return;
    if (str_starts(output.data, "/tmp/") || str_starts(output.data, "/run/")) {
        fprintf(stderr,
                "mobula run: pods have a /tmp and a /run of their own, so they do not see %s and "
                "take the machine's python3\n",
                output.data);
        return;
    }
    strlist_add(arguments, "--python");
    strlist_add(arguments, output.data);
}

int local_cluster_join_nodes(LocalCluster *cluster) {
    _cleanup_strlist_ StrList arguments = { 0 };
    if (cluster->processes[LOCAL_NODE].pid)
        return 0;
    add_common(&arguments, cluster, LOCAL_NODE);
    strlist_add(&arguments, "--nodes");
    strlist_add(&arguments, cluster->nodes);
    strlist_add(&arguments, "--token-file");
    strlist_printf(&arguments, "%s/%s/agent.token", cluster->options.dir, ROLE_NAMES[LOCAL_API]);
    if (!add_build_folder(&arguments))
        add_python_path(&arguments);
    add_python(&arguments);
    if (!cluster->keep)
        strlist_add(&arguments, "--end-pods");
    return start_role(cluster, LOCAL_NODE, &arguments);
}

int local_cluster_join_operator(LocalCluster *cluster) {
    _cleanup_strlist_ StrList arguments = { 0 };
    static const char *const FLAGS[] = {
        "--use-kubernetes-proxy",
        "--metrics-addr=0",
        "--health-probe-bind-address=0",
        "--log-stdout-encoder=console",
        "--leader-election-namespace=default",
    };
    add_common(&arguments, cluster, LOCAL_OPERATOR);
    for (size_t i = 0; i < ARRAY_LEN(FLAGS); i++)
        strlist_add(&arguments, FLAGS[i]);
    int r = cluster->processes[LOCAL_OPERATOR].pid
                ? 0
                : start_role(cluster, LOCAL_OPERATOR, &arguments);
    cluster->ready = r == 0;
    return r < 0 ? r : record_write(cluster);
}

LocalCluster *local_cluster_free(LocalCluster *cluster) {
    if (!cluster)
        return NULL;
    for (size_t i = 0; i < LOCAL_ROLES; i++)
        loop_child_free(cluster->processes[i].watch);
    mem_free(cluster->kubeconfig);
    mem_free(cluster->nodes);
    json_decref(cluster->helper);
    mem_free(cluster);
    return NULL;
}

/* SIGTERM, a while, SIGKILL. */
static void end_entry(const json_t *entry) {
    pid_t pid = (pid_t)json_int_at(entry, 0, "pid");
    usec_t deadline = time_mono_now() + END_LIMIT;
    if (!entry || !run_entry_lives(entry))
        return;
    (void)kill(pid, SIGTERM);
    while (run_entry_lives(entry)) {
        if (time_mono_now() > deadline) {
            (void)kill(pid, SIGKILL);
            deadline = USEC_INFINITY;
        }
        (void)usleep(10 * 1000);
    }
}

/* Pods outlive their agent, as they would a kubelet; this ends them. */
static int purge_pods(const char *dir) {
    _cleanup_free_ char *state = role_dir(dir, LOCAL_NODE);
    _cleanup_buf_ Buf output = { 0 };
    if (access(state, F_OK) < 0)
        return 0;
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len < 0)
        return error_last("/proc/self/exe");
    self[len] = 0;
    return spawn_run(SPAWN_LIST(self, "node-agent", "--state", state, "--purge"), NULL, PURGE_LIMIT,
                     &output);
}

int local_end(const char *dir, bool remove) {
    _cleanup_json_ json_t *record = run_record_read(dir);
    if (!record)
        return LOCAL_NONE;
    end_entry(run_record_find(record, ROLE_NAMES[LOCAL_OPERATOR]));
    end_entry(run_record_find(record, ROLE_NAMES[LOCAL_NODE]));
    int r = purge_pods(dir);
    end_entry(run_record_find(record, ROLE_NAMES[LOCAL_API]));
    end_entry(run_record_find(record, HELPER));
    if (r < 0) /* the record stays: without it nobody would find what is left */
        return error_context(r,
                             "pods, mounts or networks of the cluster in %s are left; mend what is "
                             "in the way and run `mobula down --run-dir %s` again",
                             dir, dir);
    run_record_remove(dir);
    return remove ? dir_remove(dir) : 0;
}
