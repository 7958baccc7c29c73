/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Starting, watching and ending processes.
 *
 * spawn_start() runs a program without copying this process's memory (clone with VM and VFORK), so
 * it costs the same however large the caller is. What the child gets is what the spec says and
 * nothing else: only the named fds, default signal handling, an empty signal mask. A failure on
 * the child's side, up to and including exec, is returned by spawn_start() with its sentence; then
 * there is no child.
 *
 * A child is held by pid and pidfd. The pidfd polls readable (POLLIN) once the process is a
 * zombie; give it to the loop, then call child_reap(). A pid may be reused after that call, never
 * before.
 */

#include <sys/types.h>

#include "base/base.h"
#include "base/str.h"

/* An argument or environment list from literals: SPAWN_LIST("ip", "link"). Lives as long as the
 * enclosing block. A StrList's `items` is one as it is. */
#define SPAWN_LIST(...) ((char *const *)(uintptr_t)(const char *const[]){ __VA_ARGS__, NULL })

typedef struct SpawnFd {
    int from; /* ours */
    int to;   /* the child's, below SPAWN_FD_LIMIT */
} SpawnFd;

typedef struct SpawnLimit {
    int resource; /* RLIMIT_* */
    uint64_t soft, hard;
} SpawnLimit;

enum {
    SPAWN_FD_LIMIT = 1024
};

typedef enum SpawnGroup {
    SPAWN_SAME_GROUP,
    SPAWN_NEW_GROUP,  /* leads its own process group */
    SPAWN_NEW_SESSION /* leads its own session (and group): no controlling terminal */
} SpawnGroup;

/* Everything is borrowed for the call. Zero is the default of every field but `argv`. */
typedef struct SpawnSpec {
    char *const *argv; /* NULL-terminated; argv[0] is also the program unless `program` is set */
    const char *program;
    char *const *env;  /* NULL-terminated; NULL: this process's environment */
    const char *cwd;

    const SpawnFd *fds; /* 0, 1 and 2 become /dev/null where no entry names them */
    size_t fd_count;

    SpawnGroup group;
    int death_signal; /* sent to the child when the calling *thread* ends; 0: none */

    bool set_ids;     /* uid, gid and exactly these supplementary groups */
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t group_count;

    const SpawnLimit *limits;
    size_t limit_count;
    int nice;              /* added to ours */
    const char *oom_score; /* text for /proc/self/oom_score_adj; a refusal is ignored */
    const int *cgroup_fds; /* open cgroup.procs files the child enters before it runs */
    size_t cgroup_count;
} SpawnSpec;

typedef struct Child {
    pid_t pid; /* 0: none */
    int pidfd;
} Child;

#define CHILD_NONE ((Child){ 0, -1 })

/* A program name without a slash is looked up in PATH of `env`. -ENOENT, -EACCES, -E2BIG, ... with
 * a sentence naming the program. */
_must_check_ int spawn_start(const SpawnSpec *spec, Child *ret_child);

/* How a process ended. */
typedef struct ChildExit {
    bool signaled;
    bool core;
    int value; /* exit code, or the signal's number */
} ChildExit;

/* The shell's number for it: the code, or 128 + signal. */
static inline int child_exit_code(ChildExit end) {
    return end.signaled ? 128 + end.value : end.value;
}

/* "exit status 3", "signal 9 (Killed)": as Go and Ray word it. */
enum {
    CHILD_EXIT_TEXT_MAX = 64
};
void child_exit_text(ChildExit end, char out[static CHILD_EXIT_TEXT_MAX]);

/* Does not block. 0: ended and reaped, the pidfd is closed and *child is CHILD_NONE; 1: still runs. */
_must_check_ int child_reap(Child *child, ChildExit *ret_end);

/* Waits (blocks) at most `timeout`, then as child_reap(): 1 if it still runs. For tests, short
 * helper programs and launchers, never on a loop. */
_must_check_ int child_wait(Child *child, usec_t timeout, ChildExit *ret_end);

/* 0 also if it has ended already. */
int child_signal(const Child *child, int signal);

/* Adopts a process that is not our child (after a restart): its end can be seen, not its code.
 * -ESRCH if there is none. `start_time` (from process_start_time) guards against a reused pid; 0
 * skips the check. */
_must_check_ int child_open(pid_t pid, uint64_t start_time, Child *ret_child);

/* Closes the pidfd; the process goes on. */
void child_release(Child *child);

/* Runs a short helper program to its end with `input` (may be NULL) on its stdin and collects at
 * most 64 KiB of its stdout and stderr together. 0: exit code 0; else negative with its last words. */
_must_check_ int spawn_run(char *const *argv, const char *input, usec_t timeout, Buf *ret_output);
