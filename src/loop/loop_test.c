/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"

#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/test.h"

typedef struct Trace {
    Loop *loop;
    Buf text;
    LoopTimer *timer;
    LoopTask *task;
    LoopFd *watch;
    LoopChild *child;
    int count, fd;
} Trace;

static Loop *real_loop(void) {
    Loop *loop = NULL;
    CHECK_OK(loop_new(&loop));
    return loop;
}

static Loop *virtual_loop(void) {
    Loop *loop = NULL;
    CHECK_OK(loop_new_virtual(1000, 5000, &loop));
    return loop;
}

static void count(void *ctx) {
    ((Trace *)ctx)->count++;
}

static void note_a(void *ctx) {
    buf_add_char(&((Trace *)ctx)->text, 'a');
}

static void note_b(void *ctx) {
    buf_add_char(&((Trace *)ctx)->text, 'b');
}

static void stop(void *ctx) {
    loop_stop(ctx);
}

static void test_timers_fire_in_order_of_time_then_of_arming(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = virtual_loop();
    Trace trace = { .loop = loop };
    LoopTimer *first = loop_timer_new(loop, note_a, &trace);
    LoopTimer *second = loop_timer_new(loop, note_b, &trace);
    LoopTimer *third = loop_timer_new(loop, note_a, &trace);
    loop_timer_at(third, 3000);
    loop_timer_at(second, 2000);
    loop_timer_at(first, 2000);
    CHECK(trace.text.len == 0);
    loop_run(loop);
    CHECK_STR(trace.text.data, "baa");
    CHECK_INT(loop_now(loop), 3000);
    CHECK_INT(loop_wall_now(loop), 7000);
    loop_timer_free(first);
    loop_timer_free(second);
    loop_timer_free(third);
    buf_done(&trace.text);
}

static void test_timer_heap_against_a_model(void **state) {
    UNUSED(state);
    enum {
        N = 200
    };
    _cleanup_(loop_freep) Loop *loop = virtual_loop();
    Trace traces[N] = { 0 };
    LoopTimer *timers[N];
    uint32_t random = 7;
    for (int i = 0; i < N; i++)
        timers[i] = loop_timer_new(loop, count, &traces[i]);
    usec_t due[N];
    for (int i = 0; i < N; i++)
        due[i] = USEC_INFINITY;
    for (int step = 0; step < 5000; step++) {
        random = random * 1664525u + 1013904223u;
        int i = (int)(random >> 8) % N;
        due[i] = random >> 30 ? 2000 + (usec_t)(random >> 20) : USEC_INFINITY;
        loop_timer_at(timers[i], due[i]);
        CHECK(loop_timer_deadline(timers[i]) == due[i]);
    }
    for (usec_t until = 2000; until < 8000; until += 100) {
        loop_run_until(loop, until);
        for (int i = 0; i < N; i++)
            CHECK_INT(traces[i].count, due[i] <= until);
    }
    for (int i = 0; i < N; i++)
        loop_timer_free(timers[i]);
}

static void test_periodic_timer_skips_missed_periods(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = virtual_loop();
    Trace trace = { .loop = loop };
    _cleanup_(loop_timer_freep) LoopTimer *timer = loop_timer_new(loop, count, &trace);
    loop_timer_every(timer, 10);
    loop_run_until(loop, 1055);
    CHECK_INT(trace.count, 5);
    CHECK_INT(loop_timer_deadline(timer), 1060);
    CHECK_INT(loop_now(loop), 1055);
}

static void free_own_timer(void *ctx) {
    Trace *trace = ctx;
    trace->count++;
    trace->timer = loop_timer_free(trace->timer);
}

static void test_timer_frees_itself(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = virtual_loop();
    Trace trace = { .loop = loop };
    trace.timer = loop_timer_new(loop, free_own_timer, &trace);
    loop_timer_every(trace.timer, 10);
    loop_run(loop);
    CHECK_INT(trace.count, 1);
}

static void arm_for_now(void *ctx) {
    Trace *trace = ctx;
    if (++trace->count < 5)
        loop_timer_after(trace->timer, 0);
}

static void test_timer_armed_for_now_waits_for_the_next_tick(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = virtual_loop();
    Trace trace = { .loop = loop };
    trace.timer = loop_timer_new(loop, arm_for_now, &trace);
    loop_timer_after(trace.timer, 0);
    loop_tick(loop, 0);
    CHECK_INT(trace.count, 1);
    loop_run(loop);
    CHECK_INT(trace.count, 5);
    CHECK_INT(loop_now(loop), 1000);
    loop_timer_free(trace.timer);
}

static void hook_arms_once(void *ctx) {
    Trace *trace = ctx;
    buf_add_char(&trace->text, 'h');
    if (trace->count++ == 0)
        loop_task_arm(trace->task);
}

static void test_defer_runs_later_and_hooks_see_a_quiet_tick(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = virtual_loop();
    Trace trace = { .loop = loop };
    trace.task = loop_task_new(loop, note_a, &trace);
    LoopHook *hook = loop_hook_new(loop, hook_arms_once, &trace);
    loop_defer(loop, note_b, &trace);
    loop_task_arm(trace.task);
    loop_task_arm(trace.task);
    CHECK(trace.text.len == 0);
    loop_tick(loop, 0);
    CHECK(str_starts(trace.text.data, "bahah"));
    loop_task_arm(trace.task);
    loop_task_free(trace.task);
    size_t before = trace.text.len;
    loop_hook_free(hook);
    loop_tick(loop, 0);
    CHECK_INT(trace.text.len, before);
    buf_done(&trace.text);
}

static void read_byte(void *ctx, unsigned events) {
    Trace *trace = ctx;
    char byte;
    CHECK(events & LOOP_READABLE);
    if (read(trace->fd, &byte, 1) == 1) {
        trace->count++;
        return;
    }
    trace->watch = loop_fd_free(trace->watch);
    loop_stop(trace->loop);
}

static void test_fd_readiness_and_end(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = real_loop();
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    Trace trace = { .loop = loop, .fd = pair[0] };
    CHECK_OK(loop_fd_new(loop, pair[0], LOOP_READABLE, read_byte, &trace, &trace.watch));
    CHECK(write(pair[1], "xyz", 3) == 3);
    loop_tick(loop, 0);
    CHECK_INT(trace.count, 1);
    fd_close(pair[1]);
    loop_run(loop);
    CHECK_INT(trace.count, 3);
    CHECK(trace.watch == NULL);
    fd_close(pair[0]);
}

static void test_plain_file_cannot_be_watched(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = real_loop();
    FILE *file = tmpfile();
    LoopFd *watch = NULL;
    CHECK_INT(loop_fd_new(loop, fileno(file), LOOP_READABLE, read_byte, NULL, &watch), -EPERM);
    CHECK(watch == NULL);
    fclose(file);
}

static void record_exit(void *ctx, const LoopExit *ended) {
    Trace *trace = ctx;
    trace->count = ended->known ? ended->code + 1000 * ended->signal : -1;
    trace->child = loop_child_free(trace->child);
    loop_stop(trace->loop);
}

static void watch_child(Trace *trace, pid_t pid) {
    int pidfd = pidfd_open(pid, 0);
    CHECK(pidfd >= 0);
    CHECK_OK(loop_child_new(trace->loop, pidfd, record_exit, trace, &trace->child));
}

static void test_child_exit_code_and_signal(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = real_loop();
    Trace trace = { .loop = loop };
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    watch_child(&trace, pid);
    loop_run(loop);
    CHECK_INT(trace.count, 7);
    pid = fork();
    if (pid == 0) {
        pause();
        _exit(1);
    }
    watch_child(&trace, pid);
    CHECK_OK(loop_child_kill(trace.child, SIGTERM));
    loop_run(loop);
    CHECK_INT(trace.count, 1000 * SIGTERM);
    CHECK(waitpid(pid, NULL, 0) < 0 && errno == ECHILD);
}

static void signalled(void *ctx, int signo) {
    Trace *trace = ctx;
    trace->count = signo;
    loop_stop(trace->loop);
}

static void test_signal(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = real_loop();
    Trace trace = { .loop = loop };
    LoopSignal *signal = NULL;
    CHECK_OK(loop_signal_new(loop, SIGUSR2, signalled, &trace, &signal));
    CHECK(kill(getpid(), SIGUSR2) == 0);
    loop_run(loop);
    CHECK_INT(trace.count, SIGUSR2);
    loop_signal_free(signal);
}

typedef struct Job {
    Trace *trace;
    LoopWake *wake;
    bool ran;
    int result;
} Job;

static void job_run(void *ctx) {
    Job *job = ctx;
    job->ran = true;
    if (job->wake)
        loop_wake_send(job->wake);
}

static void job_done(void *ctx, int r) {
    Job *job = ctx;
    job->result = r;
    job->trace->count++;
}

static void test_work_and_wake_from_its_thread(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = real_loop();
    Trace trace = { .loop = loop };
    Job job = { .trace = &trace, .result = 1 };
    CHECK_OK(loop_wake_new(loop, stop, loop, &job.wake));
    loop_work(loop, job_run, job_done, &job);
    CHECK_INT(job.result, 1);
    loop_run(loop);
    while (trace.count == 0)
        loop_tick(loop, loop_deadline(loop, USEC_PER_SEC));
    CHECK(job.ran);
    CHECK_INT(job.result, 0);
    loop_wake_free(job.wake);
}

static void test_work_is_done_exactly_once_when_cancelled(void **state) {
    UNUSED(state);
    for (int virtual_clock = 0; virtual_clock < 2; virtual_clock++) {
        Loop *loop = virtual_clock ? virtual_loop() : real_loop();
        Trace trace = { .loop = loop };
        Job job = { .trace = &trace, .result = 1 }, left = job;
        loop_work_cancel(loop_work(loop, job_run, job_done, &job));
        while (trace.count == 0)
            loop_tick(loop, loop_deadline(loop, USEC_PER_SEC));
        CHECK_INT(job.result, -ECANCELED);
        loop_work(loop, job_run, job_done, &left);
        loop_free(loop);
        CHECK_INT(left.result, -ECANCELED);
        CHECK_INT(trace.count, 2);
    }
}

static void test_virtual_time_waits_for_descriptors(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = virtual_loop();
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    Trace trace = { .loop = loop, .fd = pair[0] }, timed = { .loop = loop };
    CHECK_OK(loop_fd_new(loop, pair[0], LOOP_READABLE, read_byte, &trace, &trace.watch));
    _cleanup_(loop_timer_freep) LoopTimer *timer = loop_timer_new(loop, count, &timed);
    loop_timer_after(timer, 50);
    CHECK(write(pair[1], "xyz", 3) == 3);
    while (timed.count == 0) {
        CHECK_INT(loop_now(loop), 1000);
        loop_tick(loop, USEC_INFINITY);
    }
    CHECK_INT(trace.count, 3);
    CHECK_INT(loop_now(loop), 1050);
    loop_fd_free(trace.watch);
    fd_close(pair[0]);
    fd_close(pair[1]);
}

static void test_real_sleep_is_never_early(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = real_loop();
    _cleanup_(loop_timer_freep) LoopTimer *timer = loop_timer_new(loop, stop, loop);
    usec_t start = loop_now(loop);
    loop_timer_after(timer, 2500);
    loop_run(loop);
    CHECK(loop_now(loop) >= start + 2500);
}

int main(void) {
    return TEST_RUN(
        TEST(test_timers_fire_in_order_of_time_then_of_arming),
        TEST(test_timer_heap_against_a_model), TEST(test_periodic_timer_skips_missed_periods),
        TEST(test_timer_frees_itself), TEST(test_timer_armed_for_now_waits_for_the_next_tick),
        TEST(test_defer_runs_later_and_hooks_see_a_quiet_tick), TEST(test_fd_readiness_and_end),
        TEST(test_plain_file_cannot_be_watched), TEST(test_child_exit_code_and_signal),
        TEST(test_signal), TEST(test_work_and_wake_from_its_thread),
        TEST(test_work_is_done_exactly_once_when_cancelled),
        TEST(test_virtual_time_waits_for_descriptors), TEST(test_real_sleep_is_never_early));
}
