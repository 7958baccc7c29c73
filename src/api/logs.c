/* SPDX-License-Identifier: Apache-2.0 */
#include "api/logs.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/vec.h"

enum {
    PIECE = 64 * 1024,
    EVENTS_MAX = 16 * 1024,
};

char *job_log_path(const char *session_dir, const char *submission) {
    return str_printf("%s/logs/job-driver-%s.log", session_dir, submission);
}

/* --------------------------------------------------------------------------------- UTF-8 */

/* The length of the character at `p`; 0 if it is none; -1 if it may be one that is cut off. */
static int utf8_length(const unsigned char *p, size_t left) {
    static const struct {
        unsigned char mask, lead;
        int len;
        uint32_t least;
    } forms[] = { { 0x80, 0x00, 1, 0 },
                  { 0xe0, 0xc0, 2, 0x80 },
                  { 0xf0, 0xe0, 3, 0x800 },
                  { 0xf8, 0xf0, 4, 0x10000 } };
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if ((p[0] & forms[i].mask) != forms[i].lead)
            continue;
        uint32_t code = p[0] & (unsigned char)~forms[i].mask;
        for (int n = 1; n < forms[i].len; n++) {
            if ((size_t)n >= left)
                return -1;
            if ((p[n] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (p[n] & 0x3fU);
        }
        bool surrogate = code >= 0xd800 && code < 0xe000;
        return code >= forms[i].least && code <= 0x10ffff && !surrogate ? forms[i].len : 0;
    }
    return 0;
}

/* Appends; returns how many bytes at the end are the beginning of a character. */
static size_t utf8_append(Slice text, Buf *out) {
    const unsigned char *p = (const unsigned char *)text.data;
    for (size_t i = 0; i < text.len;) {
        int len = utf8_length(p + i, text.len - i);
        if (len < 0)
            return text.len - i;
        if (len == 0 || p[i] == 0)
            buf_add_str(out, "\xef\xbf\xbd");
        else
            buf_add(out, p + i, (size_t)len);
        i += (size_t)MAX(len, 1);
    }
    return 0;
}

void utf8_clean(Slice text, Buf *out) {
    if (utf8_append(text, out) > 0)
        buf_add_str(out, "\xef\xbf\xbd");
}

size_t utf8_cut(Slice text) {
    const unsigned char *end = (const unsigned char *)text.data + text.len;
    for (size_t back = 1; back <= MIN(text.len, (size_t)3); back++)
        if ((end[-back] & 0xc0) != 0x80)
            return utf8_length(end - back, back) < 0 ? back : 0;
    return 0;
}

/* --------------------------------------------------------------------------------- whole */

int log_read(const char *path, uint64_t max, Buf *out) {
    struct stat st;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_last("open %s", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_origin(-EINVAL, "%s is no log file", path);
    off_t at = (uint64_t)st.st_size > max ? st.st_size - (off_t)max : 0;
    while (out->len < max) {
        ssize_t n = pread(fd, buf_reserve(out, PIECE), PIECE, at);
        if (n < 0)
            return error_last("read %s", path);
        if (n == 0)
            break;
        out->len += (size_t)n;
        out->data[out->len] = 0;
        at += n;
    }
    return 0;
}

char *log_last_lines(const char *path, size_t lines, size_t max_chars) {
    _cleanup_buf_ Buf raw = { 0 }, clean = { 0 };
    if (log_read(path, 4 * max_chars, &raw) < 0)
        return str_dup("");
    size_t at = raw.len;
    while (at > 0 && lines > 0) {
        at--;
        while (at > 0 && raw.data[at - 1] != '\n')
            at--;
        lines--;
    }
    utf8_clean((Slice){ raw.data + at, raw.len - at }, &clean);
    if (clean.len > max_chars) {
        buf_drop(&clean, clean.len - max_chars);
        while (clean.len && ((unsigned char)clean.data[0] & 0xc0) == 0x80)
            buf_drop(&clean, 1);
    }
    return buf_steal(&clean);
}

/* -------------------------------------------------------------------------------- follow */

struct LogTails {
    Loop *loop;
    int count, notify;
    LoopFd *notify_fd;
    Vec(LogTail *) list;
};

struct LogTail {
    LogTails *all;
    char *path;
    LogTailFn *fn;
    LoopFn *end;
    void *ctx;
    int fd, watch;
    LoopTask *read_task;
    bool paused, watches_file;
    uint64_t from; /* where reading begins */
    Buf rest;      /* the beginning of a character */
};

LogTails *log_tails_new(Loop *loop) {
    LogTails *all = mem_new(LogTails);
    *all = (LogTails){ .loop = loop, .count = 1, .notify = -1 };
    return all;
}

/* Nothing of followers that went stays open. */
static void tails_close(LogTails *all) {
    all->notify_fd = loop_fd_free(all->notify_fd);
    all->notify = fd_close(all->notify);
}

LogTails *log_tails_unref(LogTails *all) {
    if (!all || --all->count > 0)
        return NULL;
    tails_close(all);
    vec_done(&all->list);
    return mem_free(all);
}

int log_tails_room(const LogTails *all) {
    return all->list.len < LOG_TAILS_MAX
               ? 0
               : error_origin(-EBUSY,
                              "%d logs are followed through this process, its most; end one",
                              LOG_TAILS_MAX);
}

/* Two tails of one file, or of files that are not there yet in one folder, share their watch. */
static void tail_unwatch(LogTail *tail) {
    int watch = tail->watch;
    tail->watch = -1;
    VEC_EACH(other, &tail->all->list)
        if ((*other)->watch == watch)
            return;
    if (watch >= 0)
        inotify_rm_watch(tail->all->notify, watch);
}

/* The directory is watched until the file is there, then the file. */
static int tail_watch(LogTail *tail) {
    if (tail->watches_file)
        return 0;
    int watch = inotify_add_watch(tail->all->notify, tail->path, IN_MODIFY);
    tail->watches_file = watch >= 0;
    if (watch < 0) {
        _cleanup_free_ char *dir = str_dup(tail->path);
        *strrchr(dir, '/') = 0;
        watch = inotify_add_watch(tail->all->notify, dir, IN_CREATE | IN_MOVED_TO);
    }
    if (watch < 0)
        return error_last("watch %s", tail->path);
    if (watch != tail->watch)
        tail_unwatch(tail);
    tail->watch = watch;
    return 0;
}

static void tails_notified(LogTails *all, int watch) {
    VEC_EACH(each, &all->list) {
        LogTail *tail = *each;
        if (watch >= 0 && tail->watch != watch)
            continue;
        (void)!tail_watch(tail); /* a folder that goes leaves what was read of its file */
        loop_task_arm(tail->read_task);
    }
}

static void tails_on_notify(void *ctx, unsigned events) {
    LogTails *all = ctx;
    char bytes[EVENTS_MAX] __attribute__((aligned(8)));
    ssize_t n;
    while ((n = read(all->notify, bytes, sizeof(bytes))) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(bytes + at);
            tails_notified(all, event->wd); /* -1: some were lost */
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
}

static int tails_open(LogTails *all) {
    if (all->notify >= 0)
        return 0;
    all->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    return all->notify < 0 ? error_last("inotify")
                           : loop_fd_new(all->loop, all->notify, LOOP_READABLE, tails_on_notify,
                                         all, &all->notify_fd);
}

static void tail_deliver(LogTail *tail) {
    _cleanup_buf_ Buf clean = { 0 };
    size_t cut = utf8_append(buf_slice(&tail->rest), &clean);
    buf_drop(&tail->rest, tail->rest.len - cut);
    if (clean.len)
        tail->fn(tail->ctx, buf_slice(&clean));
}

static void tail_ended(LogTail *tail) {
    LoopFn *end = tail->end;
    tail->end = NULL;
    if (tail->rest.len)
        tail->fn(tail->ctx, SLICE("\xef\xbf\xbd"));
    buf_clear(&tail->rest);
    end(tail->ctx);
}

static void tail_open(LogTail *tail) {
    tail->fd = open(tail->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (tail->fd >= 0 && lseek(tail->fd, (off_t)tail->from, SEEK_SET) < 0)
        tail->fd = fd_close(tail->fd);
    if (tail->fd >= 0) /* it may have come just before its folder was watched */
        (void)!tail_watch(tail);
}

/* One piece a turn, so that a long log does not hold the loop up. */
static void tail_read(void *ctx) {
    LogTail *tail = ctx;
    if (tail->paused)
        return;
    if (tail->fd < 0)
        tail_open(tail);
    ssize_t n = tail->fd < 0 ? 0 : read(tail->fd, buf_reserve(&tail->rest, PIECE), PIECE);
    if (n <= 0) {
        if (tail->end)
            tail_ended(tail);
        return;
    }
    tail->rest.len += (size_t)n;
    tail->rest.data[tail->rest.len] = 0;
    loop_task_arm(tail->read_task);
    tail_deliver(tail);
}

int log_tail_new(LogTails *all, const char *path, uint64_t at, LogTailFn *fn, void *ctx,
                 LogTail **ret_tail) {
    int r = log_tails_room(all);
    if (r == 0)
        r = tails_open(all);
    if (r < 0)
        return r;
    LogTail *tail = mem_new(LogTail);
    *tail = (LogTail){
        .all = all, .path = str_dup(path), .fn = fn, .ctx = ctx, .fd = -1, .watch = -1, .from = at
    };
    all->count++;
    vec_push(&all->list, tail);
    tail->read_task = loop_task_new(all->loop, tail_read, tail);
    r = tail_watch(tail);
    if (r < 0) {
        log_tail_free(tail);
        return r;
    }
    loop_task_arm(tail->read_task);
    *ret_tail = tail;
    return 0;
}

LogTail *log_tail_free(LogTail *tail) {
    if (!tail)
        return NULL;
    LogTails *all = tail->all;
    tail_unwatch(tail);
    for (size_t i = 0; i < all->list.len; i++)
        if (all->list.items[i] == tail)
            vec_remove_swap(&all->list, i--);
    if (all->list.len == 0)
        tails_close(all);
    log_tails_unref(all);
    loop_task_free(tail->read_task);
    fd_close(tail->fd);
    buf_done(&tail->rest);
    free(tail->path);
    return mem_free(tail);
}

void log_tail_pause(LogTail *tail, bool paused) {
    tail->paused = paused;
    if (!paused)
        loop_task_arm(tail->read_task);
}

void log_tail_finish(LogTail *tail, LoopFn *end) {
    tail->end = end;
    loop_task_arm(tail->read_task);
}
