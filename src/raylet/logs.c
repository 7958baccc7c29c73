/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/*
 * What workers print: their stdout and stderr are files in the session's logs folder; inotify says
 * when one has grown, and new whole lines go to the driver of the job. A file is named by worker,
 * job and pid once these are known (renaming does not disturb who writes or watches). It is open
 * only while it is read: descriptors bound how many workers a node has.
 */

#define CROWD_PAUSE (50 * USEC_PER_MSEC)
#define LEAVE_TIME  (60 * USEC_PER_SEC) /* for what a dead worker has left to be read */

enum {
    READ_MAX = 256 * 1024,      /* of one file in one go */
    READ_SIZE = 16 * 1024,
    CROWDED = 8 << 20,          /* more on its way to a driver: what follows stays in the file */
    LINE_BYTES_MAX = 64 * 1024, /* a longer line is cut into pieces */
    LINES_MAX = 4096,
    SEND_BYTES_MAX = 1 << 20,
};

struct LogFile {
    Raylet *raylet;
    WorkerId worker;
    bool is_err;
    char *path;
    int watch;     /* inotify's, -1: none */
    Buf partial;   /* the beginning of a line */
    JobId job;
    PeerId driver; /* 0: nobody's yet */
    pid_t pid;
    char *name;
    LoopTask *more;
    LoopTimer *pause; /* for the driver to take what it was sent, or for a descriptor */
    uint64_t at, end; /* so much was read; is to be read, once its worker is gone */
    usec_t leave_by;  /* 0: its worker lives */
    List link;        /* in LogWatch.leaving */
};

typedef struct LogWatch {
    int inotify;
    LoopFd *fd;
    Map by_watch; /* int -> LogFile */
    List leaving; /* of workers that are gone */
} LogWatch;

/* ---- lines ---- */

static void lines_send(LogFile *file, Slice *lines, size_t len) {
    if (len == 0 || file->driver == 0)
        return;
    LogLines message = {
        .pid = (uint32_t)file->pid,
        .ip = slice_str(file->raylet->node_ip),
        .lines = lines,
        .lines_len = len,
        .is_err = file->is_err,
        .name = slice_str(file->name),
        .job = file->job,
    };
    _cleanup_buf_ Buf body = { 0 };
    log_lines_encode(&message, &body);
    raylet_send(file->raylet, file->driver, MSG_LOG_LINES, &body);
}

/* A line by which the worker says whose lines follow (python/ray/_private/worker_output.py). */
static bool naming_line(Slice line, Slice *ret_name) {
    static const Slice tokens[] = { { ":task_name:", 11 }, { ":actor_name:", 12 } };
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        if (line.len < tokens[i].len || memcmp(line.data, tokens[i].data, tokens[i].len) != 0)
            continue;
        *ret_name = (Slice){ line.data + tokens[i].len, line.len - tokens[i].len };
        return true;
    }
    return false;
}

/* Cuts the next line off; a line that is too long comes in pieces. False: none is whole yet. */
static bool next_line(const Buf *text, bool all, size_t *at, Slice *ret_line) {
    if (*at >= text->len)
        return false;
    const char *start = text->data + *at, *end = memchr(start, '\n', text->len - *at);
    size_t len = end ? (size_t)(end - start) : text->len - *at;
    if (!end && !all && len < LINE_BYTES_MAX)
        return false;
    len = MIN(len, (size_t)LINE_BYTES_MAX);
    *ret_line = (Slice){ start, len };
    *at += len;
    *at += *at < text->len && text->data[*at] == '\n';
    return true;
}

/* Sends the whole lines of `partial`, and all of it at the end of the file's life. */
static void lines_take(LogFile *file, bool all) {
    _cleanup_free_ Slice *lines = mem_array(Slice, LINES_MAX);
    size_t at = 0, len = 0, bytes = 0;
    Slice line, name;
    while (next_line(&file->partial, all, &at, &line)) {
        bool names = naming_line(line, &name);
        if (names || len == LINES_MAX || bytes > SEND_BYTES_MAX) {
            lines_send(file, lines, len);
            len = bytes = 0;
        }
        if (names) {
            free(file->name);
            file->name = str_dup_slice(name);
            continue;
        }
        lines[len++] = line;
        bytes += line.len + 8;
    }
    lines_send(file, lines, len);
    buf_drop(&file->partial, at);
}

/* Reads what is new; says whether there may be more. A file that is gone has nothing. */
static int file_pull(LogFile *file, bool *ret_more) {
    _cleanup_close_ int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        return error_last("open %s", file->path);
    size_t got = 0;
    while (fd >= 0 && got < READ_MAX) {
        size_t want = (size_t)MIN((uint64_t)READ_SIZE, file->end - file->at);
        char *to = buf_reserve(&file->partial, READ_SIZE);
        ssize_t n = want ? pread(fd, to, want, (off_t)file->at) : 0;
        if (n <= 0)
            break;
        file->partial.len += (size_t)n;
        file->partial.data[file->partial.len] = 0;
        file->at += (size_t)n;
        got += (size_t)n;
    }
    if (got)
        lines_take(file, false);
    *ret_more = got >= READ_MAX;
    return 0;
}

/* A link or connection that is full ends, and with it the driver or its node. */
static bool crowded(const LogFile *file) {
    const Local *local = local_get(file->raylet, file->driver);
    if (!local)
        return peers_queued(file->raylet, file->driver) > CROWDED;
    return local->frames && stream_queued(frame_conn_stream(local->frames)) > CROWDED;
}

static void file_release(LogFile *file);

static void pull_more(void *ctx) {
    LogFile *file = ctx;
    bool late = file->leave_by && loop_now(file->raylet->loop) >= file->leave_by, more = false;
    if (file->driver == 0)
        return;
    if (!late && (crowded(file) || file_pull(file, &more) < 0)) {
        loop_timer_after(file->pause, CROWD_PAUSE);
        return;
    }
    if (more) {
        loop_task_arm(file->more);
        return;
    }
    if (!file->leave_by)
        return;
    if (late)
        log_warn("the end of %s is not shown: its driver takes nothing", file->path);
    else
        lines_take(file, true);
    file_release(file);
}

/* ---- the watch ---- */

static void on_inotify(void *ctx, unsigned events) {
    LogWatch *logs = ctx;
    UNUSED(events);
    _Alignas(struct inotify_event) char buffer[8192];
    for (;;) {
        ssize_t n = read(logs->inotify, buffer, sizeof(buffer));
        if (n <= 0)
            return;
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(buffer + at);
            LogFile *file = map_get(&logs->by_watch, &event->wd);
            if (file)
                loop_task_arm(file->more);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
}

int logs_init(Raylet *raylet) {
    LogWatch *logs = mem_new(LogWatch);
    raylet->logs = logs;
    map_init(&logs->by_watch, sizeof(int));
    list_init(&logs->leaving);
    logs->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (logs->inotify < 0)
        return error_last("watch log files (inotify)");
    return loop_fd_new(raylet->loop, logs->inotify, LOOP_READABLE, on_inotify, logs, &logs->fd);
}

void logs_done(Raylet *raylet) {
    LogWatch *logs = raylet->logs;
    if (!logs)
        return;
    LIST_EACH_SAFE(item, &logs->leaving)
        file_release(LIST_ITEM(item, LogFile, link));
    loop_fd_free(logs->fd);
    fd_close(logs->inotify);
    map_done(&logs->by_watch);
    raylet->logs = mem_free(logs);
}

/* ---- files ---- */

static char *file_path(const LogFile *file) {
    const char *suffix = file->is_err ? "err" : "out";
    if (file->pid == 0)
        return str_printf("%s/worker-%s.%s", file->raylet->session.logs, ID_HEX(&file->worker),
                          suffix);
    return str_printf("%s/worker-%s-%s-%d.%s", file->raylet->session.logs, ID_HEX(&file->worker),
                      ID_HEX(&file->job), (int)file->pid, suffix);
}

int logfile_new(Raylet *raylet, const WorkerId *id, bool is_err, LogFile **ret_file, int *ret_fd) {
    LogFile *file = mem_new(LogFile);
    file->raylet = raylet;
    file->worker = *id;
    file->is_err = is_err;
    file->watch = -1;
    file->path = file_path(file);
    file->end = UINT64_MAX;
    file->more = loop_task_new(raylet->loop, pull_more, file);
    file->pause = loop_timer_new(raylet->loop, pull_more, file);
    list_init(&file->link);
    _cleanup_close_ int out =
        open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (out < 0) {
        int r = error_last("open %s", file->path);
        file->path = mem_free(file->path);
        logfile_free(file);
        return r;
    }
    *ret_file = file;
    *ret_fd = out;
    out = -1;
    return 0;
}

static void file_watch(LogFile *file) {
    LogWatch *logs = file->raylet->logs;
    file->watch = inotify_add_watch(logs->inotify, file->path, IN_MODIFY);
    if (file->watch < 0)
        log_warn("lines of %s are not shown: %s", file->path,
                 error_text(error_last("inotify_add_watch")));
    else
        map_put(&logs->by_watch, &file->watch, file);
}

void logfile_assign(LogFile *file, const JobId *job, PeerId driver, pid_t pid, const char *name) {
    str_set(&file->name, name);
    file->driver = driver;
    if (file->pid == 0) {
        file->pid = pid;
        file->job = *job;
        char *path = file_path(file);
        if (rename(file->path, path) < 0) {
            log_warn("%s keeps its name: %s", file->path, error_text(error_last("rename")));
            free(path);
        } else {
            free(file->path);
            file->path = path;
        }
        file_watch(file);
    }
    loop_task_arm(file->more);
}

static void file_release(LogFile *file) {
    struct stat st;
    if (file->path && file->pid == 0 && lstat(file->path, &st) == 0 && st.st_size == 0)
        unlink(file->path); /* of a worker that never worked and said nothing */
    list_remove(&file->link);
    loop_task_free(file->more);
    loop_timer_free(file->pause);
    buf_done(&file->partial);
    free(file->path);
    free(file->name);
    free(file);
}

LogFile *logfile_free(LogFile *file) {
    if (!file)
        return NULL;
    if (file->watch >= 0) {
        inotify_rm_watch(file->raylet->logs->inotify, file->watch);
        map_remove(&file->raylet->logs->by_watch, &file->watch);
    }
    struct stat st;
    if (!file->path || file->driver == 0 || file->raylet->ending || lstat(file->path, &st) < 0) {
        file_release(file);
        return NULL;
    }
    /* No more than that: what the worker started may go on to write, for ever. */
    file->end = MAX((uint64_t)st.st_size, file->at);
    file->leave_by = loop_deadline(file->raylet->loop, LEAVE_TIME);
    list_push(&file->raylet->logs->leaving, &file->link);
    loop_task_arm(file->more);
    return NULL;
}
