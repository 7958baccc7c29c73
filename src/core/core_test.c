/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The runtime against a raylet in miniature. Several Cores live in this process, so the thread
 * sanitizer sees both ends of every ring.
 */

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/test.h"
#include "core/core_private.h"
#include "core/mini_raylet.h"

/* ---- a worker: echoes its arguments, or does what the first byte says ------------------------ */

typedef struct Worker {
    Core *core;
    pthread_t thread;
    _Atomic(CoreRef *) kept; /* a reference it retained */
    _Atomic int ran, yielded;
    _Atomic bool left;       /* by who read its stream */
    bool die_on_x;
} Worker;

static Core *connect_as(Mini *mini, Role role) {
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

static void worker_run(Worker *w, CoreTask *task) {
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

static CoreTemplate *echo_template(Core *core) {
    Resource cpu = { SLICE("CPU"), 10000 };
    CoreTemplateSpec spec = { .kind = CALL_KIND_TASK,
                              .name = "echo",
                              .num_returns = 1,
                              .resources = &cpu,
                              .resources_len = 1,
                              .max_retries = 3,
                              .strategy = { .bundle = -1 } };
    return core_template_new(core, &spec);
}

static void get_one(Core *core, CoreRef *ref, CoreValue *ret_value) {
    int r;
    while ((r = core_get(core, &ref, 1, 20 * USEC_PER_SEC, ret_value)) == CORE_INTERRUPTED)
        ;
    CHECK_INT(r, 0);
}

static void check_echo(Core *core, CoreRef *ref, const void *bytes, size_t len) {
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

static void counts_go_to_zero(Core *core) {
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

static void test_calls_one_by_one(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    for (int i = 0; i < 2000; i++) {
        CoreRef *ref;
        int bytes[2] = { 0, i };
        CHECK_OK(
            core_submit(core, t, &(CoreArgs){ .bytes = bytes, .bytes_len = sizeof(bytes) }, &ref));
        check_echo(core, ref, bytes, sizeof(bytes));
        core_ref_drop(ref);
    }
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

static void test_many_calls_large_and_small(void **state) {
    UNUSED(state);
    enum {
        N = 3000
    };
    Mini mini;
    Worker w[2];
    mini_start(&mini);
    worker_start(&w[0], &mini);
    worker_start(&w[1], &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    _cleanup_free_ char *bytes = mem_zalloc(2000000);
    CoreRef **refs = mem_array(CoreRef *, N);
    for (int i = 0; i < N; i++) {
        size_t len = i % 500 == 0 ? 2000000 : (size_t)i;
        CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = bytes, .bytes_len = len }, &refs[i]));
    }
    for (int i = N; i-- > 0;) {
        check_echo(core, refs[i], bytes, i % 500 == 0 ? 2000000 : (size_t)i);
        core_ref_drop(refs[i]);
    }
    CHECK_INT(w[0].ran + w[1].ran, N);
    mem_free(refs);
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w[0]);
    worker_stop(&w[1]);
    mini_stop(&mini);
}

static void test_arguments_by_reference_and_errors(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    CoreRef *a, *b, *c, *bad, *after;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "one", .bytes_len = 3 }, &a));
    CHECK_OK(core_submit(
        core, t, &(CoreArgs){ .bytes = "two", .bytes_len = 3, .top = &a, .top_len = 1 }, &b));
    CHECK_OK(core_submit(core, t,
                         &(CoreArgs){ .bytes = "3", .bytes_len = 1, .top = &b, .top_len = 1 }, &c));
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "e", .bytes_len = 1 }, &bad));
    CHECK_OK(core_submit(
        core, t, &(CoreArgs){ .bytes = "4", .bytes_len = 1, .top = &bad, .top_len = 1 }, &after));
    core_ref_drop(a);
    core_ref_drop(b);
    check_echo(core, c, "3twoone", 7);
    CoreValue value;
    get_one(core, after, &value);
    CHECK_INT(value.kind, VALUE_KIND_ERROR);
    core_value_release(&value);
    core_ref_drop(c);
    core_ref_drop(bad);
    core_ref_drop(after);
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

static void test_borrowed_references(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    /* The worker keeps an argument's reference: ours lives as long as it does. */
    CoreRef *put, *kept;
    struct iovec part = { (void *)(uintptr_t)"value", 5 };
    CHECK_OK(core_put(core, &(CoreBlob){ .parts = &part, .parts_len = 1 }, 0, &put));
    CHECK_OK(core_submit(
        core, t, &(CoreArgs){ .bytes = "k", .bytes_len = 1, .nested = &put, .nested_len = 1 },
        &kept));
    check_echo(core, kept, "k", 1);
    core_ref_drop(kept);
    core_ref_drop(put);
    CoreCounts c;
    core_counts(core, &c);
    CHECK_INT(c.refs_owned, 1);
    check_echo(w.core, w.kept, "value", 5);
    core_ref_drop(atomic_exchange(&w.kept, NULL));
    counts_go_to_zero(core);
    /* A value that contains a reference of the worker's: we borrow it, and let go. */
    CoreRef *outer;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "p!", .bytes_len = 2 }, &outer));
    check_echo(core, outer, "p!", 2);
    core_counts(core, &c);
    CHECK_INT(c.refs_borrowed, 1);
    core_ref_drop(outer);
    counts_go_to_zero(core);
    counts_go_to_zero(w.core);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

static void test_a_dead_worker_is_retried_elsewhere(void **state) {
    UNUSED(state);
    Mini mini;
    Worker bad, good;
    mini_start(&mini);
    worker_start(&good, &mini);
    worker_start(&bad, &mini); /* the newest gets the first lease */
    bad.die_on_x = true;
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    CoreRef *ref;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "x", .bytes_len = 1 }, &ref));
    check_echo(core, ref, "x", 1);
    CHECK_INT(good.ran, 1);
    core_ref_drop(ref);
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    pthread_join(bad.thread, NULL);
    core_disconnect(bad.core, 0);
    worker_stop(&good);
    mini_stop(&mini);
}

static void on_signal(int number) {
    UNUSED(number);
}

static void test_cancel(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGUSR1, &action, NULL);
    w.core->cancel_signal = SIGUSR1;
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    CoreArgs args = { .bytes = "c", .bytes_len = 1 };
    CoreRef *running, *queued;
    CHECK_OK(core_submit(core, t, &args, &running));
    CHECK_OK(core_submit(core, t, &args, &queued));
    while (!w.ran)
        usleep(1000);
    CoreValue value;
    for (int i = 0; i < 2; i++) {
        CoreRef *ref = i ? running : queued;
        CHECK_OK(core_cancel(core, ref, false, true));
        get_one(core, ref, &value);
        CHECK_INT(value.kind, VALUE_KIND_ERROR);
        core_value_release(&value);
        CHECK_OK(core_cancel(core, ref, false, true)); /* nothing is left to cancel */
        core_ref_drop(ref);
    }
    CHECK_INT(w.ran, 1);
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

static CoreTemplate *stream_template(Core *core, uint32_t limit) {
    CoreTemplateSpec spec = { .kind = CALL_KIND_TASK,
                              .name = "stream",
                              .num_returns = CORE_STREAMING,
                              .stream_limit = limit,
                              .strategy = { .bundle = -1 } };
    return core_template_new(core, &spec);
}

/* The next reference of a stream; NULL at its end. */
static CoreRef *next_of(Core *core, CoreRef *stream) {
    CoreRef *ref = NULL;
    CoreValue value;
    int r = core_stream_next(core, stream, &ref);
    while (r == CORE_TIMEOUT) {
        CoreRef *wanted = core_stream_peek(core, stream, 0);
        get_one(core, wanted, &value);
        core_value_release(&value);
        core_ref_drop(wanted);
        r = core_stream_next(core, stream, &ref);
    }
    CHECK(r == 0 || r == CORE_END);
    return r == 0 ? ref : NULL;
}

static CoreRef *stream_start(Core *core, CoreTemplate *t, const char *bytes, size_t len) {
    CoreRef *stream;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = bytes, .bytes_len = len }, &stream));
    CHECK(core_ref_streams(core, stream));
    return stream;
}

static void test_streams(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = stream_template(core, 0);
    CoreRef *stream = stream_start(core, t, "s\x3", 2), *ref;
    for (uint8_t i = 0; i < 3; i++) {
        ref = next_of(core, stream);
        check_echo(core, ref, &i, 1);
        core_ref_drop(ref);
    }
    CHECK(!next_of(core, stream));
    CHECK(core_stream_finished(core, stream));
    check_echo(core, stream, "-", 1); /* the whole */
    core_ref_drop(stream);

    /* An error of the call's own code is the last value; the whole is fine. */
    CoreValue value;
    stream = stream_start(core, t,
                          "s\x1"
                          "f",
                          3);
    core_ref_drop(next_of(core, stream));
    ref = next_of(core, stream);
    get_one(core, ref, &value);
    CHECK_INT(value.kind, VALUE_KIND_ERROR);
    core_value_release(&value);
    core_ref_drop(ref);
    CHECK(!next_of(core, stream));
    ref = core_stream_peek(core, stream, 2); /* beyond the end */
    CHECK(core_ref_ready(ref));
    core_ref_drop(ref);
    core_ref_drop(stream);

    /* Unread values hold the worker up, until the reader goes. */
    CoreTemplate *slow = stream_template(core, 2);
    stream = stream_start(core, slow, "s\x9", 2);
    ref = core_stream_peek(core, stream, 1);
    get_one(core, ref, &value);
    core_value_release(&value);
    core_ref_drop(ref);
    CHECK_INT(w.yielded, 2);
    core_ref_drop(next_of(core, stream));
    ref = core_stream_peek(core, stream, 1);
    get_one(core, ref, &value);
    core_value_release(&value);
    core_ref_drop(ref);
    CHECK_INT(w.yielded, 3);
    core_stream_close(core, stream);
    check_echo(core, stream, "-", 1);
    CHECK_INT(w.yielded, 9);
    core_ref_drop(stream);
    counts_go_to_zero(core);
    core_template_free(t);
    core_template_free(slow);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

static void test_the_reader_of_a_stream_dies(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = stream_template(core, 2);
    CoreRef *stream = stream_start(core, t, "s\x9", 2);
    CoreRef *ref = core_stream_peek(core, stream, 1);
    CoreValue value;
    get_one(core, ref, &value);
    core_value_release(&value);
    core_template_free(t);
    core_disconnect(core, 0);
    core_ref_drop(ref);
    core_ref_drop(stream);
    usec_t until = time_mono_now() + 10 * USEC_PER_SEC;
    while (!w.left && time_mono_now() < until)
        usleep(1000);
    CHECK(w.left);
    worker_stop(&w);
    mini_stop(&mini);
}

static void test_get_times_out_and_the_raylet_goes(void **state) {
    UNUSED(state);
    Mini mini;
    mini_start(&mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    CoreRef *ref;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "a", .bytes_len = 1 }, &ref));
    CoreValue value;
    CHECK_INT(core_get(core, &ref, 1, 20 * USEC_PER_MSEC, &value), CORE_TIMEOUT);
    bool ready = true;
    CHECK_INT(core_wait(core, &ref, 1, 1, 0, true, &ready), CORE_TIMEOUT);
    CHECK(!ready);
    mini_stop(&mini);
    get_one(core, ref, &value);
    CHECK_INT(value.kind, VALUE_KIND_ERROR);
    core_value_release(&value);
    core_template_free(t);
    core_disconnect(core, 0);
    core_ref_drop(ref); /* after the end: a no-op but for its memory */
}

/* Records that go to gcs in two parts, while more come than the first had room for. */
static void test_records_of_ended_calls(void **state) {
    UNUSED(state);
    Mini mini;
    mini_start(&mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    CorePending call = { .t = t };
    core_lock(core);
    uint32_t held = t->count;
    core->history.interval = USEC_PER_SEC * 3600; /* not told by the clock */
    for (uint32_t i = 0; i < 100; i++)
        events_ended(core, &call, NULL, 0, 1, NULL);
    events_flush(core, 40);
    CHECK_INT(core->history.len, 60);
    for (uint32_t i = 0; i < 200; i++)
        events_ended(core, &call, NULL, 0, 1, NULL);
    CHECK_INT(core->history.len, 260);
    CHECK_INT(t->count, held + 260);
    events_flush(core, SIZE_MAX);
    CHECK_INT(core->history.len, 0);
    CHECK_INT(t->count, held);
    CHECK_INT(core->history.dropped, 0);
    core_unlock(core);
    core_template_free(t);
    core_disconnect(core, 0);
    mini_stop(&mini);
}

/* A slab that came too late for who asked is given back; only the raylet grants some. */
static void test_a_late_slab(void **state) {
    UNUSED(state);
    Mini mini;
    mini_start(&mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    SlabGrant grant = { .offset = 65536, .size = 65536, .generation = 1 };
    _cleanup_buf_ Buf body = { 0 };
    slab_grant_encode(&grant, &body);
    FrameHeader h = { .length = (uint32_t)body.len,
                      .type = MSG_SLAB_GRANT,
                      .flags = FRAME_REPLY,
                      .stream = 4711,
                      .source = peer_raylet(core->info.peer) };
    CorePeer other = { .core = core };
    core_lock(core);
    uint64_t sent = core->counts.frames_sent;
    core_dispatch(core, &other, &h, body.data);
    CHECK_INT(core->counts.frames_sent, sent);
    core_dispatch(core, NULL, &h, body.data);
    CHECK_INT(core->counts.frames_sent, sent + 1);
    core_unlock(core);
    core_disconnect(core, 0);
    mini_stop(&mini);
}

/* A lease that others wait for goes back after its turn, however many calls are queued. */
static void test_a_recalled_lease_goes_back_while_calls_wait(void **state) {
    UNUSED(state);
    enum {
        N = 100
    };
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    CoreRef *refs[N];
    for (int i = 0; i < N; i++)
        CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "z", .bytes_len = 1 }, &refs[i]));
    check_echo(core, refs[0], "z", 1);
    core_lock(core);
    const CorePeer *peer = peer_find(core, w.core->info.peer);
    CHECK(peer && peer->leased);
    LeaseRecall recall = { .lease = peer->leased->lease, .worker = peer->id };
    lease_on_recall(core, &recall);
    core_unlock(core);
    for (int i = 1; i < N; i++)
        check_echo(core, refs[i], "z", 1);
    CHECK(mini.leases > 1); /* the rest was done by the next */
    for (int i = 0; i < N; i++)
        core_ref_drop(refs[i]);
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

/* What a raylet may ask for is no other process's to ask. */
static void test_only_the_raylet_wants_things_back(void **state) {
    UNUSED(state);
    Mini mini;
    mini_start(&mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    StateGet get = { .tasks = true, .limit = 10 };
    _cleanup_buf_ Buf body = { 0 };
    state_get_encode(&get, &body);
    FrameHeader h = { .length = (uint32_t)body.len,
                      .type = MSG_STATE_GET,
                      .flags = FRAME_CALL,
                      .stream = 4711,
                      .source = peer_raylet(core->info.peer) };
    CorePeer other = { .core = core };
    core_lock(core);
    uint64_t sent = core->counts.frames_sent;
    core_dispatch(core, &other, &h, body.data);
    CHECK_INT(core->counts.frames_sent, sent);
    core_dispatch(core, NULL, &h, body.data);
    CHECK_INT(core->counts.frames_sent, sent + 1);
    core_unlock(core);
    core_disconnect(core, 0);
    mini_stop(&mini);
}

/* ---- an event loop takes the calls ------------------------------------------------------------ */

static void *serve_main(void *data) {
    Worker *w = data;
    int fd;
    CHECK_OK(core_serve(w->core, &fd));
    w->yielded = 1; /* it serves */
    while (!w->left) {
        if (core_serve_sleep(w->core)) {
            struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
            core_serve_woken(w->core, poll(&poll_fd, 1, 10000) == 1);
        }
        CoreTask *task;
        while (core_task_next(w->core, 0, &task) == 0)
            worker_run(w, task);
    }
    return NULL;
}

static void *serve_wait_main(void *data) {
    Worker *w = data;
    int r;
    while ((r = core_serve_wait(w->core)) == CORE_INTERRUPTED)
        ;
    CHECK_INT(r, -ECONNRESET);
    w->left = true;
    doorbell_call(&w->core->bell);
    return NULL;
}

static void test_a_loop_serves(void **state) {
    UNUSED(state);
    Mini mini;
    mini_start(&mini);
    Worker w = { .core = connect_as(&mini, ROLE_WORKER) };
    pthread_t waits;
    CHECK(pthread_create(&w.thread, NULL, serve_main, &w) == 0);
    while (!w.yielded)
        sched_yield();
    CHECK(pthread_create(&waits, NULL, serve_wait_main, &w) == 0);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    for (int i = 0; i < 2000; i++) {
        CoreRef *refs[8];
        int count = i % 100 ? 1 : 8;
        if (i % 128 ==
            0) /* by now it does not spin any more, and the pump has nothing to look at */
            usleep(3000);
        for (int j = 0; j < count; j++)
            CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "abc", .bytes_len = 3 }, &refs[j]));
        for (int j = 0; j < count; j++) {
            check_echo(core, refs[j], "abc", 3);
            core_ref_drop(refs[j]);
        }
    }
    core_template_free(t);
    counts_go_to_zero(core);
    core_lock(w.core);
    w.core->exit_asked = true;
    core_happened(w.core);
    core_unlock(w.core);
    pthread_join(waits, NULL);
    pthread_join(w.thread, NULL);
    core_disconnect(w.core, 0);
    core_disconnect(core, 0);
    mini_stop(&mini);
}

static void test_functions(void **state) {
    UNUSED(state);
    Mini mini;
    mini_start(&mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    Hash hash;
    core_hash("body", 4, &hash);
    CHECK_OK(core_export(core, &hash, "body", 4, USEC_PER_SEC));
    _cleanup_buf_ Buf out = { 0 };
    CHECK_OK(core_import(core, &hash, USEC_PER_SEC, &out));
    CHECK_STR(out.data, "body");
    core_disconnect(core, 0);
    mini_stop(&mini);
}

int main(void) {
    return TEST_RUN(TEST(test_calls_one_by_one), TEST(test_many_calls_large_and_small),
                    TEST(test_arguments_by_reference_and_errors), TEST(test_borrowed_references),
                    TEST(test_a_dead_worker_is_retried_elsewhere), TEST(test_streams),
                    TEST(test_the_reader_of_a_stream_dies), TEST(test_cancel),
                    TEST(test_get_times_out_and_the_raylet_goes), TEST(test_functions),
                    TEST(test_records_of_ended_calls), TEST(test_a_late_slab),
                    TEST(test_only_the_raylet_wants_things_back), TEST(test_a_loop_serves),
                    TEST(test_a_recalled_lease_goes_back_while_calls_wait));
}
