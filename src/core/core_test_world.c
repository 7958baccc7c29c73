/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>
#include <unistd.h>

#include "core/core_test.h"

Core *connect_as(Mini *mini, Role role) {
    CoreOptions options = { .role = role,
                            .raylet_socket = mini->path,
                            .timeout = 5 * USEC_PER_SEC };
    Core *core = NULL;
    CHECK_OK(core_connect(&options, &core));
    return core;
}

static void worker_stream(Worker *w, CoreTask *task) {
    const Call *call = &task->call;
    bool fails = call->args.len > 2 && call->args.data[2] == 'f';
    for (uint8_t i = 0; i < (uint8_t)call->args.data[1]; i++) {
        struct iovec part = { &i, 1 };
        w->yielded = i + 1;
        CHECK_OK(core_task_yield(w->core, task, &(CoreBlob){ .parts = &part, .parts_len = 1 }));
        int r;
        while ((r = core_task_room(w->core, task, 20 * USEC_PER_SEC)) == CORE_INTERRUPTED)
            ;
        if (r == -ECONNRESET) {
            w->left = true;
            break;
        }
        CHECK_INT(r, 0);
    }
    char dash = '-';
    struct iovec none = { &dash, 1 };
    CHECK_OK(core_task_return(w->core, task, 0, &(CoreBlob){ .parts = &none, .parts_len = 1 }));
    ErrorInfo error = { .kind = ERROR_KIND_APPLICATION, .text = SLICE("raised") };
    _cleanup_buf_ Buf body = { 0 };
    error_info_encode(&error, &body);
    core_task_done(
        w->core, task,
        fails ? &(CoreTaskEnd){ .error = body.data, .error_len = body.len, .partial = true }
              : &(CoreTaskEnd){ 0 });
}

void worker_run(Worker *w, CoreTask *task) {
    const Call *call = &task->call;
    char first = call->args.len ? call->args.data[0] : 0;
    w->ran++;
    if (call->values_len && task->values[0].kind == VALUE_KIND_ERROR) {
        core_task_done(
            w->core, task,
            &(CoreTaskEnd){ .error = task->values[0].data, .error_len = task->values[0].size });
        return;
    }
    if (first == 'k' && call->refs_len) /* keep the reference */
        w->kept = core_ref_import(w->core, &call->refs[0].object, call->refs[0].owner,
                                  &call->refs[0].owner_worker);
    if (first == 's') { /* yield as many values as the second byte says, and fail on 'f' */
        worker_stream(w, task);
        return;
    }
    if (first == 'z')   /* for a while */
        usleep(3000);
    if (first == 'c') { /* until it is cancelled */
        usec_t until = time_mono_now() + 20 * USEC_PER_SEC;
        while (!core_task_cancelled(task) && time_mono_now() < until)
            usleep(100 * 1000); /* a signal cuts it short */
    }
    if (first == 'e' || first == 'c') {
        ErrorInfo error = { .kind = ERROR_KIND_APPLICATION, .text = SLICE("raised") };
        _cleanup_buf_ Buf body = { 0 };
        error_info_encode(&error, &body);
        core_task_done(w->core, task, &(CoreTaskEnd){ .error = body.data, .error_len = body.len });
        return;
    }
    struct iovec parts[2] = { { (void *)(uintptr_t)call->args.data, call->args.len }, { NULL, 0 } };
    CoreRef *made = NULL;
    if (first == 'p') { /* return a value that contains a reference of ours */
        CoreBlob inner = { .parts = parts, .parts_len = 1 };
        CHECK_OK(core_put(w->core, &inner, 0, &made));
    }
    if (call->values_len)
        parts[1] = (struct iovec){ (void *)(uintptr_t)task->values[0].data, task->values[0].size };
    CoreBlob blob = { .parts = parts, .parts_len = 2, .refs = &made, .refs_len = made ? 1 : 0 };
    CHECK_OK(core_task_return(w->core, task, 0, &blob));
    core_ref_drop(made);
    core_task_done(w->core, task, &(CoreTaskEnd){ 0 });
}

static void *worker_main(void *data) {
    Worker *w = data;
    for (;;) {
        CoreTask *task;
        int r = core_task_next(w->core, 100 * USEC_PER_MSEC, &task);
        if (r == CORE_INTERRUPTED)
            continue;
        if (r == CORE_TIMEOUT && !w->die_on_x)
            continue;
        if (r != 0)
            return NULL;
        if (w->die_on_x && task->call.args.len && task->call.args.data[0] == 'x') {
            shutdown(w->core->sock.fd, SHUT_RDWR); /* as kill -9 looks to the raylet */
            return NULL;
        }
        if (w->mad_on_x && task->call.args.len && task->call.args.data[0] == 'x') {
            core_lock(w->core);
            peer_send(w->core, ((const RunTask *)task->impl)->caller, MSG_RESULT, 0, 0, "\xff", 1);
            core_unlock(w->core);
            continue;
        }
        worker_run(w, task);
    }
}

static void worker_start(Worker *w, Mini *mini) {
    memset(w, 0, sizeof(*w));
    w->core = connect_as(mini, ROLE_WORKER);
    CHECK(pthread_create(&w->thread, NULL, worker_main, w) == 0);
}

static void worker_stop(Worker *w) {
    core_lock(w->core);
    w->core->exit_asked = true;
    core_happened(w->core);
    core_unlock(w->core);
    pthread_join(w->thread, NULL);
    core_ref_drop(w->kept);
    core_disconnect(w->core, 0);
}

void world_start(World *it, size_t workers) {
    Resource cpu = { SLICE("CPU"), 10000 };
    CoreTemplateSpec spec = { .kind = CALL_KIND_TASK,
                              .name = "echo",
                              .num_returns = 1,
                              .resources = &cpu,
                              .resources_len = 1,
                              .max_retries = 3,
                              .strategy = { .bundle = -1 } };
    ASSERT(workers <= ARRAY_LEN(it->workers));
    mini_start(&it->mini);
    for (size_t i = 0; i < workers; i++)
        worker_start(&it->workers[i], &it->mini);
    it->workers_len = workers;
    it->core = connect_as(&it->mini, ROLE_DRIVER);
    it->echo = core_template_new(it->core, &spec);
}

void world_stop(World *it) {
    core_template_free(it->echo);
    core_disconnect(it->core, 0);
    for (size_t i = 0; i < it->workers_len; i++)
        worker_stop(&it->workers[i]);
    mini_stop(&it->mini);
}

CoreRef *submit(Core *core, CoreTemplate *t, const void *bytes, size_t len) {
    CoreRef *ref;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = bytes, .bytes_len = len }, &ref));
    return ref;
}

static void get_one(Core *core, CoreRef *ref, CoreValue *ret_value) {
    int r;
    while ((r = core_get(core, &ref, 1, 20 * USEC_PER_SEC, ret_value)) == CORE_INTERRUPTED)
        ;
    CHECK_INT(r, 0);
}

void wait_for(Core *core, CoreRef *ref) {
    CoreValue value;
    get_one(core, ref, &value);
    core_value_release(&value);
}

void check_error(Core *core, CoreRef *ref) {
    CoreValue value;
    get_one(core, ref, &value);
    CHECK_INT(value.kind, VALUE_KIND_ERROR);
    core_value_release(&value);
}

void check_echo(Core *core, CoreRef *ref, const void *bytes, size_t len) {
    CoreValue value;
    get_one(core, ref, &value);
    if (value.kind == VALUE_KIND_ERROR) {
        Arena arena = { 0 };
        ErrorInfo error = { 0 };
        CHECK_OK(error_info_decode(&error, value.data, value.size, &arena));
        fail_msg("error %u: %.*s", error.kind, (int)error.text.len, error.text.data);
    }
    CHECK_INT(value.kind, VALUE_KIND_INLINE);
    CHECK_INT(value.size, len);
    CHECK_MEM(value.data, bytes, len);
    core_value_release(&value);
}

void counts_go_to_zero(Core *core) {
    CoreCounts c;
    usec_t until = time_mono_now() + 10 * USEC_PER_SEC;
    do
        core_counts(core, &c);
    while ((c.refs_owned || c.refs_borrowed || c.tasks_pending || c.leases) &&
           time_mono_now() < until);
    CHECK_INT(c.refs_owned, 0);
    CHECK_INT(c.refs_borrowed, 0);
    CHECK_INT(c.tasks_pending, 0);
    CHECK_INT(c.values_bytes, 0);
    CHECK_INT(c.leases, 0);
}
