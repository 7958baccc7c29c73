/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Log files: one read as a whole, its end, and one that is followed while it grows. */

#include "base/base.h"
#include "base/str.h"
#include "loop/loop.h"

#define LOG_WHOLE_MAX ((uint64_t)256 << 20) /* more of a file than that is cut at the front */

/* SESSION/logs/job-driver-ID.log, owned. */
char *job_log_path(const char *session_dir, const char *submission);

/* Appends the file, cut at the front to about `max` bytes; a missing file is an empty log. */
_must_check_ int log_read(const char *path, uint64_t max, Buf *out);

/* Appends `text`, bytes that are no UTF-8 replaced by U+FFFD. */
void utf8_clean(Slice text, Buf *out);
/* How many bytes at its end are the beginning of a character. */
size_t utf8_cut(Slice text);

/* The files that one server follows: watched through one descriptor, at most LOG_TAILS_MAX. Counted:
 * each tail holds it. */
enum {
    LOG_TAILS_MAX = 256
};
typedef struct LogTails LogTails;
LogTails *log_tails_new(Loop *loop);
LogTails *log_tails_unref(LogTails *tails);
/* -EBUSY when there are so many that another one is refused. */
_must_check_ int log_tails_room(const LogTails *tails);

/* Follows a file from byte `at` on; it need not exist yet. `fn` gets whole characters of clean UTF-8,
 * at most 64 KiB at a time, from the loop. -EBUSY: see log_tails_room(). */
typedef struct LogTail LogTail;
typedef void LogTailFn(void *ctx, Slice text);
_must_check_ int log_tail_new(LogTails *tails, const char *path, uint64_t at, LogTailFn *fn,
                              void *ctx, LogTail **ret_tail);
LogTail *log_tail_free(LogTail *tail);
DEFINE_CLEANUP(LogTail *, log_tail_free);
void log_tail_pause(LogTail *tail, bool paused);
/* The writer is done: `end` is called once, after `fn` had the rest. */
void log_tail_finish(LogTail *tail, LoopFn *end);

/* The last `lines` lines, at most `max_chars` bytes. Owned; "" when there is nothing. */
char *log_last_lines(const char *path, size_t lines, size_t max_chars);
