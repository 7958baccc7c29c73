/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "jobs/job_run.h"

enum {
    PROBLEM_MAX = 64 * 1024
};

/* Waits for the word of the grandchild: nothing is good, anything else is a sentence. */
static int wait_for_word(int fd) {
    _cleanup_buf_ Buf problem = { 0 };
    char chunk[4096];
    ssize_t n;
    while (problem.len < PROBLEM_MAX && (n = read(fd, chunk, sizeof(chunk))) > 0)
        buf_add(&problem, chunk, (size_t)n);
    if (problem.len == 1 && problem.data[0] == 0)
        return 0;
    fprintf(stderr, "job-run: %s\n", problem.len ? problem.data : "it ended before it began");
    return 1;
}

int job_run_detach(int *ret_ready, int *ret_status) {
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_last("pipe");
    pid_t child = fork();
    if (child < 0)
        return error_last("fork");
    if (child > 0) {
        close(pipe_fds[1]);
        *ret_status = wait_for_word(pipe_fds[0]);
        close(pipe_fds[0]);
        waitpid(child, NULL, 0);
        return JOB_RUN_PARENT;
    }
    close(pipe_fds[0]);
    setsid();
    /* The second fork: nobody we know is our parent, and we can't get a terminal. */
    pid_t grandchild = fork();
    if (grandchild != 0)
        _exit(grandchild < 0);
    setsid();
    *ret_ready = pipe_fds[1];
    return 0;
}

void job_run_ready(int ready, const char *problem) {
    int r = problem ? fd_write_all(ready, problem, strlen(problem)) : fd_write_all(ready, "", 1);
    UNUSED(r); /* whoever waited is gone: nothing depends on the word then */
    close(ready);
}
