/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_once.h"

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "kobj/meta.h"
#include "local/agent_log.h"

enum {
    FILE_MAX = 3 * 1024 * 1024,
    LOG_MAX = 64 * 1024 * 1024
};

typedef struct Once {
    AgentHost *host;
    json_t *objects; /* array */
    Vec(AgentPod *) pods;
    size_t open;     /* pods that are not over */
    bool failed, keep;
} Once;

static const json_t *find_object(void *ctx, const char *kind, const char *ns, const char *name) {
    Once *once = ctx;
    size_t i;
    json_t *object;
    json_array_foreach(once->objects, i, object) {
        const char *own = obj_namespace(object);
        if (str_eq(obj_kind(object), kind) && str_eq(own ? own : "default", ns) &&
            str_eq(obj_name(object), name))
            return object;
    }
    return NULL;
}

/* The log, put together from its rotated files, as kubectl logs shows it. */
static void print_log(const AgentPod *pod, const char *container) {
    _cleanup_free_ char *path = agent_pod_log(pod, container, false);
    _cleanup_buf_ Buf raw = { 0 }, text = { 0 };
    if (!path || file_read(path, LOG_MAX, &raw) < 0)
        return;
    LogReader reader;
    log_reader_init(&reader, &(LogQuery){ .tail_lines = -1, .limit_bytes = -1 });
    log_reader_feed(&reader, buf_slice(&raw), &text);
    log_reader_done(&reader);
    printf("--- log of %s/%s\n%s", agent_pod_def(pod)->name, container, text.data ? text.data : "");
}

static void finish(Once *once, AgentPod *pod, const json_t *status) {
    const PodDef *def = agent_pod_def(pod);
    VEC_EACH(container, &def->containers)
        print_log(pod, container->name);
    once->failed |= !str_eq(json_str_at(status, "phase"), "Succeeded");
    json_set_at(def->json, json_string("now"), "metadata", "deletionTimestamp");
    json_set_at(def->json, json_integer(0), "metadata", "deletionGracePeriodSeconds");
    agent_pod_objects_changed(pod);
}

static void on_status(void *ctx, AgentPod *pod, const json_t *status) {
    Once *once = ctx;
    const PodDef *def = agent_pod_def(pod);
    const char *phase = json_str_at(status, "phase");
    _cleanup_free_ char *text = json_text(status, 0);
    printf("status %s/%s %s %s\n", def->ns, def->name, phase, text);
    fflush(stdout);
    if ((str_eq(phase, "Succeeded") || str_eq(phase, "Failed")) && !obj_is_deleting(def->json) &&
        !once->keep)
        finish(once, pod, status);
}

static void on_event(void *ctx, AgentPod *pod, const char *container, const char *type,
                     const char *reason, const char *message) {
    UNUSED(ctx);
    printf("event %s/%s %s %s %s: %s\n", agent_pod_def(pod)->ns, agent_pod_def(pod)->name,
           container ? container : "-", type, reason, message);
}

static void on_gone(void *ctx, AgentPod *pod) {
    Once *once = ctx;
    UNUSED(pod);
    if (--once->open == 0)
        loop_stop(once->host->pods.loop);
}

static void on_signal(void *ctx, int signo) {
    UNUSED(signo);
    Once *once = ctx;
    once->failed = true;
    if (once->keep) {
        loop_stop(once->host->pods.loop);
        return;
    }
    VEC_EACH(pod, &once->pods) {
        json_set_at(agent_pod_def(*pod)->json, json_string("now"), "metadata", "deletionTimestamp");
        agent_pod_objects_changed(*pod);
    }
}

static int load(const char *path, json_t **ret_objects) {
    _cleanup_buf_ Buf text = { 0 };
    _cleanup_json_ json_t *json = NULL;
    int r = file_read(path, FILE_MAX, &text);
    if (r == 0)
        r = json_parse(text.data, text.len, NULL, 0, &json);
    if (r < 0)
        return error_context(r, "%s", path);
    json_t *items = json_object_get(json, "items");
    *ret_objects = items ? json_incref(items) : json_pack("[O]", json);
    return 0;
}

/* What the API server would have filled in. */
static void complete(json_t *pod, size_t number) {
    if (!obj_namespace(pod))
        json_set_at(pod, json_string("default"), "metadata", "namespace");
    if (!obj_uid(pod))
        json_set_at(pod, json_sprintf("once-%zu-%s", number, obj_name(pod) ? obj_name(pod) : ""),
                    "metadata", "uid");
}

static int start(Once *once) {
    size_t i;
    json_t *object;
    json_array_foreach(once->objects, i, object) {
        AgentPod *pod;
        if (!str_eq(obj_kind(object), "Pod"))
            continue;
        complete(object, i);
        int r = agent_pod_new(&once->host->pods, object, &pod);
        if (r < 0)
            return r;
        vec_push(&once->pods, pod);
        once->open++;
    }
    return once->open ? 0 : error_origin(-EINVAL, "there is no Pod in the file");
}

int agent_once(AgentHost *host, const OnceOptions *options, int *ret_status) {
    Once once = { .host = host, .keep = options->keep };
    Loop *loop = host->pods.loop;
    int r = load(options->file, &once.objects);
    if (r < 0)
        return r;
    host->pods.object = find_object;
    host->pods.status = on_status;
    host->pods.event = on_event;
    host->pods.gone = on_gone;
    host->pods.ctx = &once;
    LoopSignal *interrupt = NULL, *terminate = NULL;
    r = loop_signal_new(loop, SIGINT, on_signal, &once, &interrupt);
    if (r == 0)
        r = loop_signal_new(loop, SIGTERM, on_signal, &once, &terminate);
    if (r == 0)
        r = start(&once);
    if (r == 0)
        loop_run(loop);
    VEC_EACH(pod, &once.pods)
        agent_pod_free(*pod);
    vec_done(&once.pods);
    loop_signal_free(interrupt);
    loop_signal_free(terminate);
    json_decref(once.objects);
    *ret_status = once.failed;
    return r;
}
