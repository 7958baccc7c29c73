/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "codec/json.h"
#include "env/env.h"
#include "env/hold.h"
#include "raylet/raylet_private.h"

/*
 * Runtime environments of workers: each is built once by `mobula env-setup` (env/setup.h) before
 * a lease that wants it takes any resources, and held for as long as a lease or a worker has it,
 * and a while longer, so that the next one finds it.
 */

#define KEEP_UNUSED (2 * USEC_PER_SEC)
#define SETUP_GRACE (30 * USEC_PER_SEC)

struct WorkEnv {
    Raylet *raylet;
    unsigned refs;
    WorkEnvState state;
    char *text;       /* the runtime_env */
    json_t *answer;   /* READY */
    char *error;      /* FAILED */
    EnvHold hold;
    Helper *helper;   /* BUILDING */
    LoopTimer *timer; /* unused since a while */
    usec_t began, ready;
};

static void workenv_free(WorkEnv *env) {
    strmap_remove(&env->raylet->envs, env->text);
    helper_free(env->helper);
    loop_timer_free(env->timer);
    env_hold_done(&env->hold);
    json_decref(env->answer);
    free(env->text);
    free(env->error);
    free(env);
}

static void on_unused(void *ctx) {
    workenv_free(ctx);
}

WorkEnv *workenv_ref(WorkEnv *env) {
    if (!env)
        return NULL;
    env->refs++;
    loop_timer_stop(env->timer);
    return env;
}

WorkEnv *workenv_unref(WorkEnv *env) {
    if (!env || --env->refs > 0)
        return NULL;
    if (env->state == WORKENV_READY && !env->raylet->ending)
        loop_timer_after(env->timer, KEEP_UNUSED);
    else
        workenv_free(env); /* a failure is forgotten: the next one tries again */
    return NULL;
}

WorkEnv *workenv_get(Raylet *raylet, const char *runtime_env) {
    if (str_empty(runtime_env) || str_eq(runtime_env, "{}"))
        return NULL;
    WorkEnv *env = strmap_get(&raylet->envs, runtime_env);
    if (!env) {
        env = mem_new(WorkEnv);
        env->raylet = raylet;
        env->text = str_dup(runtime_env);
        env->timer = loop_timer_new(raylet->loop, on_unused, env);
        strmap_put(&raylet->envs, env->text, env);
    }
    return workenv_ref(env);
}

static void fail(WorkEnv *env, const char *text) {
    log_warn("a runtime environment could not be built: %s", text);
    env->state = WORKENV_FAILED;
    str_set(&env->error, text);
}

static void on_built(void *ctx, int status, Slice out, Slice err) {
    WorkEnv *env = ctx;
    env->helper = helper_free(env->helper);
    _cleanup_json_ json_t *answer = NULL;
    int r = json_parse(out.data ? out.data : "", out.len, NULL, 0, &answer);
    const char *error = json_str_at(answer, "error");
    if (r == 0 && status == 0 && !error)
        r = env_hold(answer, &env->hold);
    if (error) {
        fail(env, error);
    } else if (status != 0) {
        _cleanup_free_ char *text = str_printf("env-setup ended with %d: %.*s", status,
                                               (int)MIN(err.len, 4000u), err.data ? err.data : "");
        fail(env, text);
    } else if (r < 0) {
        fail(env, error_text(r));
    } else {
        env->answer = json_incref(answer);
        env->state = WORKENV_READY;
        env->ready = loop_now(env->raylet->loop);
    }
    loop_task_arm(env->raylet->dispatch_task);
}

/* Variables alone need nothing built. */
static bool only_variables(const json_t *wanted) {
    json_t *vars = json_at(wanted, "env_vars"), *value;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)wanted, key, value)
        if (!str_eq(key, "env_vars") && !str_eq(key, "config"))
            return false;
    json_object_foreach(vars, key, value)
        if (!json_is_string(value) || str_empty(key) || strchr(key, '='))
            return false;
    return json_is_object(vars);
}

static int build(WorkEnv *env) {
    Raylet *raylet = env->raylet;
    _cleanup_json_ json_t *wanted = NULL, *request = NULL;
    int r = json_parse(env->text, strlen(env->text), NULL, 0, &wanted);
    if (r < 0)
        return error_context(r, "runtime_env");
    if (str_eq(json_str_at(wanted, "worker"), "c")) {
        json_t *vars = json_at(wanted, "env_vars");
        env->answer = json_pack("{s:b, s:O?}", "native", true, "env_vars", vars);
        env->state = WORKENV_READY;
        return 0;
    }
    if (only_variables(wanted)) {
        env->answer = json_pack("{s:O}", "env_vars", json_at(wanted, "env_vars"));
        env->state = WORKENV_READY;
        return 0;
    }
    _cleanup_free_ char *log = str_printf("%s/runtime_env_setup.log", raylet->session.logs);
    request = json_pack("{s:O, s:s, s:s, s:s, s:s}", "runtime_env", wanted, "session_dir",
                        raylet->session.dir, "python", raylet->python, "gcs_address",
                        raylet->gcs_address, "log", log);
    _cleanup_buf_ Buf text = { 0 };
    json_encode(request, 0, &text);
    /* It keeps its time itself and says what took so long: this is for one that is stuck. */
    usec_t timeout = env_setup_timeout(wanted);
    timeout = timeout > USEC_INFINITY - SETUP_GRACE ? USEC_INFINITY : timeout + SETUP_GRACE;
    return helper_start(raylet, SPAWN_LIST("mobula", "env-setup"), buf_slice(&text), timeout,
                        on_built, env, &env->helper);
}

WorkEnvState workenv_ready(WorkEnv *env) {
    if (!env)
        return WORKENV_READY;
    if (env->state == WORKENV_NEW) {
        env->state = WORKENV_BUILDING;
        env->began = loop_now(env->raylet->loop);
        int r = build(env);
        if (r < 0)
            fail(env, error_text(r));
    }
    return env->state;
}

const char *workenv_error(const WorkEnv *env) {
    return env->error;
}

json_t *workenv_answer(const WorkEnv *env) {
    return env ? env->answer : NULL;
}

const char *workenv_python(const WorkEnv *env) {
    return json_str_at(workenv_answer(env), "python");
}

bool workenv_native(const WorkEnv *env) {
    return json_is_true(json_at(workenv_answer(env), "native"));
}

size_t workenvs_list(const Raylet *raylet, Arena *arena, EnvEntry **ret_envs) {
    size_t len = 0;
    WorkEnv *env;
    *ret_envs = arena_array(arena, EnvEntry, strmap_len(&raylet->envs) + 1);
    for (size_t pos = 0; (env = strmap_next(&raylet->envs, &pos, NULL)) != NULL;)
        (*ret_envs)[len++] = (EnvEntry){
            .runtime_env = slice_str(env->text),
            .success = env->state == WORKENV_READY,
            .building = env->state == WORKENV_BUILDING,
            .creation_ms = (uint64_t)(MAX(env->ready - env->began, 0) / USEC_PER_MSEC),
            .references = env->refs,
            .error = slice_str(env->error),
        };
    return len;
}

void workenvs_done(Raylet *raylet) {
    for (;;) {
        size_t pos = 0;
        WorkEnv *env = strmap_next(&raylet->envs, &pos, NULL);
        if (!env)
            break;
        workenv_free(env);
    }
    strmap_done(&raylet->envs);
}
