/* SPDX-License-Identifier: Apache-2.0 */

/* One container of a pod: prepared, started, watched, ended, started again. */

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "kobj/meta.h"
#include "kobj/quantity.h"
#include "local/agent_file.h"
#include "local/agent_log.h"
#include "local/agent_pod_private.h"

#define RETRY_EVERY (10 * USEC_PER_SEC)
#define GRACE_LEAST (2 * USEC_PER_SEC) /* of a container that ends by itself alone */

enum {
    LOG_SIZE = 10 * 1024 * 1024,
    LOG_FILES = 5,
    SHM_DEFAULT = 64 * 1024 * 1024,
    LAST_WORDS_MAX = 4096,
    LAST_LOG_MAX = 2048,
    LAST_LOG_LINES = 80
};

char *container_dir(const PodContainer *container, int attempt) {
    return str_printf("%s/containers/%s/%d", container->pod->dir, container->def->name, attempt);
}

bool container_alive(const PodContainer *container) {
    return container->starting || container->run.now.state == RUN_RUNNING;
}

static void view_set(RunView *view, RunState state, const char *reason, const char *message) {
    RunView new_view = { .state = state, .reason = str_dup(reason), .message = str_dup(message) };
    run_view_done(view); /* `reason` may have been the old one's */
    *view = new_view;
}

static void set_waiting(PodContainer *container, const char *reason, const char *message) {
    view_set(&container->run.now, RUN_WAITING, reason, message);
}

/* What is now becomes the termination before. */
static void keep_last(PodContainer *container) {
    if (container->run.now.state != RUN_TERMINATED)
        return;
    run_view_done(&container->run.last);
    container->run.last = container->run.now;
    container->run.now = (RunView){ 0 };
    container->run.has_last = true;
}

static uint64_t amount(const json_t *json, const char *list, const char *name, bool milli) {
    json_t *value = json_at(json, "resources", list, name);
    Quantity quantity;
    if (!value || quantity_from_json(value, &quantity) < 0)
        return 0;
    int64_t number = milli ? quantity_ceil_milli(quantity) : quantity_ceil(quantity);
    return number > 0 ? (uint64_t)number : 0;
}

static void set_limits(PodContainer *container, ContainerSpec *spec) {
    const json_t *json = container->def->json;
    AgentPod *pod = container->pod;
    spec->limits = (CgroupLimits){ .memory_max = amount(json, "limits", "memory", false),
                                   .cpu_milli = amount(json, "limits", "cpu", true),
                                   .cpu_weight_milli = amount(json, "requests", "cpu", true),
                                   .pids_max = pod->host->pids_max };
    /* More than the machine has is a limit in name only: nodes may be larger than it. */
    if (spec->limits.cpu_milli >= pod->host->node_cpu_milli)
        spec->limits.cpu_milli = 0;
    if (spec->limits.memory_max >= pod->host->node_memory)
        spec->limits.memory_max = 0;
    if (!spec->limits.cpu_weight_milli)
        spec->limits.cpu_weight_milli = amount(json, "limits", "cpu", true);
    spec->cgroup = str_printf("%s/%s", pod->cgroup, container->def->name);
}

/* The container's own setting, else the pod's. */
static json_t *security(const PodContainer *container, const char *field) {
    json_t *own = json_at(container->def->json, "securityContext", field);
    return own ? own : json_at(container->pod->def.json, "spec", "securityContext", field);
}

static void set_capabilities(const PodContainer *container, ContainerSpec *spec) {
    static const char *const lists[] = { "drop", "add" };
    spec->capabilities = container_capabilities_default();
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        size_t i;
        json_t *item;
        json_array_foreach(
            json_at(container->def->json, "securityContext", "capabilities", lists[l]), i, item) {
            const char *name = json_string_value(item);
            uint64_t bits = name ? container_capability_bits(name) : 0;
            spec->capabilities = l == 0 ? spec->capabilities & ~bits : spec->capabilities | bits;
        }
    }
}

static int set_security(const PodContainer *container, ContainerSpec *spec) {
    json_t *user = security(container, "runAsUser"), *group = security(container, "runAsGroup");
    const json_t *pod = json_at(container->pod->def.json, "spec", "securityContext");
    json_t *fs_group = json_object_get(pod, "fsGroup"), *item;
    spec->uid = (uint32_t)json_integer_value(user);
    spec->gid = (uint32_t)json_integer_value(group);
    if (fs_group)
        vec_push(&spec->groups, (gid_t)json_integer_value(fs_group));
    size_t i;
    json_array_foreach(json_object_get(pod, "supplementalGroups"), i, item)
        vec_push(&spec->groups, (gid_t)json_integer_value(item));
    spec->privileged = json_is_true(security(container, "privileged"));
    spec->read_only_root = json_is_true(security(container, "readOnlyRootFilesystem"));
    spec->no_new_privileges = json_is_false(security(container, "allowPrivilegeEscalation"));
    set_capabilities(container, spec);
    if (spec->uid == 0 && json_is_true(security(container, "runAsNonRoot")))
        return error_origin(-ENOENT, user
                                         ? "container's runAsUser breaks non-root policy"
                                         : "container has runAsNonRoot and image will run as root");
    return 0;
}

static void add_mount(ContainerSpec *spec, char *source, const char *target, bool read_only) {
    vec_push(
        &spec->mounts,
        (ContainerMount){ .source = source, .target = str_dup(target), .read_only = read_only });
}

/* What every container gets, image or not: its own /tmp and home, names, shared memory. */
static int add_own_mounts(PodContainer *container, ContainerSpec *spec, const StrList *env) {
    AgentPod *pod = container->pod;
    const PodHost *host = pod->host;
    static const char *const files[] = { "hosts", "resolv.conf", "hostname" };
    const char *home = env_get(env, "HOME");
    _cleanup_free_ char *dir = container_dir(container, container->attempt);
    _cleanup_free_ char *tmp = str_printf("%s/tmp", dir), *own = str_printf("%s/home", dir);
    int r = dir_make(tmp, 0777);
    if (r == 0)
        r = dir_make(own, 0777);
    if (r < 0)
        return r;
    if (chmod(tmp, 01777) < 0 || chmod(own, 0777) < 0 ||
        (geteuid() == 0 && chown(own, spec->uid, spec->gid) < 0))
        return error_last("set up %s", dir);
    add_mount(spec, TAKE(tmp), "/tmp", false);
    for (size_t i = 0; host->keep && i < host->keep->len; i++)
        add_mount(spec, str_dup(host->keep->items[i]), host->keep->items[i], true);
    if (home && home[0] == '/' && home[1])
        add_mount(spec, TAKE(own), home, false);
    add_mount(spec, str_printf("%s/shm", pod->dir), "/dev/shm", false);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        _cleanup_free_ char *target = str_printf("/etc/%s", files[i]);
        add_mount(spec, str_printf("%s/etc/%s", pod->dir, files[i]), target, false);
    }
    if (host->links_dir) {
        add_mount(spec, str_dup(host->links_dir), AGENT_POD_LINKS, true);
        if (geteuid() == 0) /* in a user namespace nobody may add to the machine's folders */
            add_mount(spec, str_printf("%s/profile.sh", host->links_dir),
                      "/etc/profile.d/zz-mobula.sh", true);
    }
    if (host->share_dir)
        add_mount(spec, str_dup(host->share_dir), host->share_dir, false);
    return 0;
}

/* The file whose content becomes the reason of the end, for people. */
static int add_last_words(PodContainer *container, ContainerSpec *spec) {
    const char *target = json_str_at(container->def->json, "terminationMessagePath");
    _cleanup_free_ char *dir = container_dir(container, container->attempt);
    _cleanup_free_ char *path = str_printf("%s/last-words", dir);
    target = str_empty(target) ? "/dev/termination-log" : target;
    int r = state_write_text(path, slice_str(""), 0666);
    if (r == 0 && target[0] == '/')
        add_mount(spec, TAKE(path), target, false);
    return r;
}

static int build_spec(PodContainer *container, ContainerSpec *spec) {
    AgentPod *pod = container->pod;
    _cleanup_strlist_ StrList services = { 0 };
    EnvSource source = pod_env_source(pod, &services);
    VolumeContext volumes = pod_volume_context(pod, &source);
    const char *cwd = json_str_at(container->def->json, "workingDir");
    int r = env_resolve(&source, container->def, &spec->env);
    if (r == 0)
        r = env_command(container->def, &spec->env, &spec->argv);
    if (r < 0)
        return r;
    const char *home = env_get(&spec->env, "HOME");
    spec->cwd = str_dup(cwd ? cwd : home && home[0] == '/' ? home : "/");
    spec->shm_size = SHM_DEFAULT;
    spec->input = json_bool_at(container->def->json, false, "stdin");
    spec->input_once = json_bool_at(container->def->json, false, "stdinOnce");
    spec->tty = json_bool_at(container->def->json, false, "tty");
    set_limits(container, spec);
    r = set_security(container, spec);
    if (r == 0)
        r = add_own_mounts(container, spec, &spec->env);
    if (r == 0)
        r = add_last_words(container, spec);
    if (r == 0)
        r = volumes_mounts(&volumes, container->def, &spec->env, spec);
    for (size_t i = 0; pod->host->hide && i < pod->host->hide->len; i++)
        strlist_add(&spec->hide, pod->host->hide->items[i]);
    _cleanup_free_ char *dir = container_dir(container, container->attempt);
    spec->log = str_printf("%s/log", dir);
    spec->log_max = LOG_SIZE;
    spec->log_files = LOG_FILES;
    return r;
}

/* Two starts are kept: the last one and, for `logs --previous`, the one before. */
static void drop_old(const PodContainer *container) {
    if (container->attempt < 2)
        return;
    _cleanup_free_ char *dir = container_dir(container, container->attempt - 2);
    chores_remove(container->pod->host->chores, dir);
}

/* What a start that is over leaves beside its log. */
static void drop_files(const PodContainer *container) {
    static const char *const names[] = { "upper", "work", "root", "tmp", "home" };
    _cleanup_free_ char *dir = container_dir(container, container->attempt);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_free_ char *path = str_printf("%s/%s", dir, names[i]);
        chores_remove(container->pod->host->chores, path);
    }
}

static int prepare(PodContainer *container) {
    _cleanup_container_spec_ ContainerSpec spec = { 0 };
    _cleanup_free_ char *dir = container_dir(container, container->attempt);
    int r = dir_make(dir, 0755);
    if (r == 0)
        r = build_spec(container, &spec);
    if (r < 0)
        return r;
    _cleanup_json_ json_t *json = container_spec_encode(&spec);
    _cleanup_free_ char *path = str_printf("%s/spec.json", dir);
    return state_write(path, json);
}

static void say_image(PodContainer *container) {
    AgentPod *pod = container->pod;
    pod_event(pod, container, "Normal", "Pulled",
              "Container image \"%s\" is recorded and not pulled: the pod sees this host's system",
              container->def->image ? container->def->image : "");
}

static void start_failed(PodContainer *container, int r, usec_t now) {
    const char *reason = r == -ENOENT ? "CreateContainerConfigError" : "CreateContainerError";
    _cleanup_free_ char *text = str_dup(error_text(r));
    bool said = container->run.now.state == RUN_WAITING && str_eq(container->run.now.message, text);
    container->attempt--;
    container->retry_at = now + RETRY_EVERY;
    keep_last(container);
    set_waiting(container, reason, text);
    if (!said)
        pod_event(container->pod, container, "Warning", "Failed", "Error: %s", text);
}

void container_try_start(PodContainer *container, usec_t now) {
    if (container->starting || now < container->retry_at || now < container->restart_at)
        return;
    container->attempt++;
    int r = prepare(container);
    if (r == 0)
        r = keeper_start_container(container->pod->keeper, container->def->name,
                                   container->attempt);
    if (r < 0) {
        start_failed(container, r, now);
        return;
    }
    drop_old(container);
    keep_last(container);
    container->run.restarts = container->attempt;
    set_waiting(container,
                container->run.now.reason && container->run.has_last ? container->run.now.reason
                                                                     : "ContainerCreating",
                NULL);
    container->starting = true;
    container->killing = container->term_sent = false;
    container->retry_at = 0;
    say_image(container);
    pod_event(container->pod, container, "Normal", "Created", "Created container: %s",
              container->def->name);
}

bool container_restarts(const PodContainer *container) {
    const RunView *now = &container->run.now;
    switch (container->def->restart) {
    case RESTART_ALWAYS:
        return true;
    case RESTART_ON_FAILURE:
        return now->state != RUN_TERMINATED || now->exit_code != 0;
    case RESTART_NEVER:
        break;
    }
    return false;
}

static void running(PodContainer *container, const json_t *event, usec_t now) {
    /* Also when an adopted one is heard of for the first time: its probes do not run yet. */
    bool news = container->run.now.state != RUN_RUNNING || !container->started_mono;
    view_set(&container->run.now, RUN_RUNNING, NULL, NULL);
    container->run.now.started = json_int_at(event, 0, "startedAt");
    container->run.now.attempt = container->attempt;
    if (!news)
        return;
    container->started_mono = now;
    if (container->starting) {
        pod_event(container->pod, container, "Normal", "Started", "Started container %s",
                  container->def->name);
        hook_post_start(container);
    }
    container->starting = false;
    probes_begin(container, now);
}

/* Its end, with what comes next for it. */
static void ended(PodContainer *container, usec_t now) {
    RunView *view = &container->run.now;
    usec_t ran = view->finished - view->started;
    probes_end(container);
    container->hook = action_free(container->hook);
    container->starting = container->killing = false;
    container->started_mono = 0;
    container->run.started = container->run.ready = false;
    drop_files(container);
    if (container->pod->stage != STAGE_UP || !container_restarts(container))
        return;
    usec_t wait = backoff_wait(&container->backoff, ran);
    container->restart_at = now + wait;
    if (!wait)
        return;
    const PodDef *def = &container->pod->def;
    keep_last(container);
    char text[64];
    snprintf(text, sizeof(text), "back-off %llds", (long long)(wait / USEC_PER_SEC));
    _cleanup_free_ char *message =
        str_printf("%s restarting failed container=%s pod=%s_%s(%s)", text, container->def->name,
                   def->name, def->ns, def->uid);
    set_waiting(container, "CrashLoopBackOff", message);
    pod_event(container->pod, container, "Warning", "BackOff",
              "Back-off restarting failed container %s in pod %s_%s(%s)", container->def->name,
              def->name, def->ns, def->uid);
}

static const char *end_reason(const json_t *event, int code) {
    return json_bool_at(event, false, "startError") ? "StartError"
           : json_bool_at(event, false, "oom")      ? "OOMKilled"
           : code == 0                              ? "Completed"
                                                    : "Error";
}

/* The end of the log, for programs that say their last words there. */
static char *log_end(const char *dir) {
    _cleanup_free_ char *path = str_printf("%s/log", dir);
    _cleanup_buf_ Buf raw = { 0 }, text = { 0 };
    if (file_read(path, LOG_SIZE + LAST_WORDS_MAX, &raw) < 0 || !raw.data)
        return NULL;
    size_t start = log_tail_start(buf_slice(&raw), LAST_LOG_LINES);
    LogReader reader;
    log_reader_init(&reader, &(LogQuery){ .tail_lines = -1, .limit_bytes = -1 });
    log_reader_feed(&reader, (Slice){ raw.data + start, raw.len - start }, &text);
    log_reader_done(&reader);
    size_t skip = text.len > LAST_LOG_MAX ? text.len - LAST_LOG_MAX : 0;
    return text.len ? str_dup_slice((Slice){ text.data + skip, text.len - skip }) : NULL;
}

/* What the program left to be told; NULL: nothing. Owned. The file is the program's: it may be
 * anything by now, but no link, being a mount. */
static char *last_words(const PodContainer *container, int attempt, int code) {
    _cleanup_free_ char *dir = container_dir(container, attempt);
    _cleanup_free_ char *path = str_printf("%s/last-words", dir);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char text[LAST_WORDS_MAX];
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text));
    if (len > 0)
        return str_dup_slice((Slice){ text, strnlen(text, (size_t)len) });
    bool from_log = str_eq(json_str_at(container->def->json, "terminationMessagePolicy"),
                           "FallbackToLogsOnError");
    return from_log && code != 0 ? log_end(dir) : NULL;
}

static void exited(PodContainer *container, const json_t *event, usec_t now) {
    int code = (int)json_int_at(event, 0, "code");
    _cleanup_free_ char *words = last_words(container, container->attempt, code);
    const char *message = words ? words : json_str_at(event, "message");
    if (container->run.now.state == RUN_TERMINATED && !container->starting)
        return; /* known */
    if (json_bool_at(event, false, "startError"))
        pod_event(container->pod, container, "Warning", "Failed", "Error: %s",
                  message ? message : "");
    view_set(&container->run.now, RUN_TERMINATED, end_reason(event, code), message);
    container->run.now.exit_code = code;
    container->run.now.started = json_int_at(event, 0, "startedAt");
    container->run.now.finished = json_int_at(event, 0, "finishedAt");
    container->run.now.attempt = container->attempt;
    ended(container, now);
}

void container_event(PodContainer *container, const json_t *event, usec_t now) {
    if (json_int_at(event, -1, "attempt") != container->attempt)
        return; /* of a start that is history */
    if (str_eq(json_str_at(event, "state"), "running"))
        running(container, event, now);
    else
        exited(container, event, now);
}

void container_lost(PodContainer *container, usec_t now) {
    if (!container_alive(container))
        return;
    _cleanup_free_ char *dir = container_dir(container, container->attempt);
    _cleanup_free_ char *path = str_printf("%s/state.json", dir);
    _cleanup_json_ json_t *state = NULL;
    if (state_read(path, &state) == 0 && str_eq(json_str_at(state, "state"), "exited")) {
        exited(container, state, now);
        return;
    }
    usec_t wall = time_wall_now();
    json_t *event =
        json_pack("{s:I,s:I,s:i,s:s}", "startedAt",
                  (json_int_t)(container->run.now.started ? container->run.now.started : wall),
                  "finishedAt", (json_int_t)wall, "code", 137, "message",
                  "The pod's keeper process was killed, and the container with it");
    exited(container, event, now);
    json_decref(event);
}

static void closedir_p(DIR **dir) {
    if (*dir)
        closedir(*dir);
}

/* The highest number among the folders of starts (old ones are gone); -1: there is none. */
static int last_attempt(const PodContainer *container) {
    _cleanup_free_ char *path =
        str_printf("%s/containers/%s", container->pod->dir, container->def->name);
    _cleanup_(closedir_p) DIR *dir = opendir(path);
    int last = -1;
    int64_t number;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        _cleanup_free_ char *spec = str_printf("%s/%s/spec.json", path, entry->d_name);
        if (str_to_i64(entry->d_name, &number) == 0 && number > last && number < INT32_MAX &&
            access(spec, F_OK) == 0)
            last = (int)number;
    }
    return last;
}

/* After a restart of the agent: the last start that is on disk, and the one before. */
void container_adopt(PodContainer *container) {
    container->attempt = last_attempt(container);
    for (int i = MAX(container->attempt - 1, 0); i <= container->attempt; i++) {
        _cleanup_free_ char *dir = container_dir(container, i);
        _cleanup_free_ char *path = str_printf("%s/state.json", dir);
        _cleanup_json_ json_t *state = NULL;
        if (state_read(path, &state) < 0)
            continue;
        keep_last(container);
        int code = (int)json_int_at(state, 0, "code");
        bool over = str_eq(json_str_at(state, "state"), "exited");
        _cleanup_free_ char *words = over ? last_words(container, i, code) : NULL;
        view_set(&container->run.now, over ? RUN_TERMINATED : RUN_RUNNING,
                 over ? end_reason(state, code) : NULL,
                 words ? words : json_str_at(state, "message"));
        container->run.now.exit_code = code;
        container->run.now.attempt = i;
        container->run.now.started = json_int_at(state, 0, "startedAt");
        container->run.now.finished = json_int_at(state, 0, "finishedAt");
    }
    container->run.restarts = MAX(container->attempt, 0);
    container->run.ever_started = container->attempt >= 0;
}

void container_kill(PodContainer *container, usec_t grace, const char *why, usec_t now) {
    if (!container_alive(container))
        return;
    usec_t kill_at = now + MAX(grace, (usec_t)0);
    if (container->killing) { /* a shorter grace wins, as when a delete is forced */
        container->kill_at = MIN(container->kill_at, kill_at);
        return;
    }
    _cleanup_free_ char *text =
        why ? str_dup(why) : str_printf("Stopping container %s", container->def->name);
    pod_event(container->pod, container, "Normal", "Killing", "%s", text);
    probes_end(container);
    container->killing = true;
    container->term_sent = false;
    container->kill_at = kill_at;
    container->term_at = now;
    if (container->def->pre_stop_sleep >= 0)
        container->term_at = MIN(kill_at, now + container->def->pre_stop_sleep * USEC_PER_SEC);
    else if (hook_pre_stop(container, grace))
        container->term_at = kill_at;
    /* What preStop used up is not taken from the program entirely. */
    if (container->def->has_pre_stop && grace > 0)
        container->kill_at += GRACE_LEAST;
}

static void send_signal(PodContainer *container, int signal) {
    if (container->pod->keeper &&
        keeper_signal(container->pod->keeper, container->def->name, signal) < 0)
        return; /* a keeper that is gone took the container along; its end is on the way */
}

void container_step(PodContainer *container, usec_t now) {
    probes_step(container, now);
    if (!container->killing || !container_alive(container))
        return;
    if (now >= container->kill_at) {
        send_signal(container, SIGKILL);
        container->kill_at = now + USEC_PER_SEC;
        container->term_sent = true;
    } else if (!container->term_sent && now >= container->term_at) {
        container->hook = action_free(container->hook);
        send_signal(container, SIGTERM);
        container->term_sent = true;
    }
}

usec_t container_next(const PodContainer *container) {
    usec_t next = probes_next(container);
    if (container->killing && container_alive(container))
        next = MIN(next, container->term_sent ? container->kill_at
                                              : MIN(container->kill_at, container->term_at));
    if (!container_alive(container)) {
        if (container->retry_at)
            next = MIN(next, container->retry_at);
        if (container->run.now.state == RUN_WAITING && container->restart_at)
            next = MIN(next, container->restart_at);
    }
    return next;
}

void container_done(PodContainer *container) {
    probes_end(container);
    action_free(container->hook);
    run_record_done(&container->run);
}
