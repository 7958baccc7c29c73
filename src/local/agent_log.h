/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A container's log in the format of the Kubernetes container runtime interface, one line each:
 *     2026-11-22T09:51:33.123456Z stdout F the text
 * F ends a line of the program; P is a piece of one, so that what a reader puts together is what
 * the program wrote, to the byte. Reading: kubectl logs with its options.
 */

#include "base/str.h"
#include "host/logfile.h"

enum {
    LOG_PIECE_MAX = 16 * 1024
};

/* One of a container's two streams. */
typedef struct LogStream {
    const char *name; /* "stdout" or "stderr" */
    Buf rest;         /* what came after the last newline */
} LogStream;

_must_check_ int log_stream_feed(LogStream *stream, LogFile *file, const void *data, size_t len,
                                 usec_t wall);
/* The end of the stream: what is left is written as a piece. */
_must_check_ int log_stream_end(LogStream *stream, LogFile *file, usec_t wall);

/* What of a log is wanted. */
typedef struct LogQuery {
    int64_t tail_lines;  /* negative: all */
    int64_t limit_bytes; /* negative: no bound */
    usec_t since;        /* wall time; 0: from the start */
    bool timestamps;
} LogQuery;

/*
 * Turns raw log text into what kubectl shows. Feed it whole or in pieces; what can be shown is
 * appended to `out`. `query->tail_lines` is not looked at here: see log_tail_start().
 */
typedef struct LogReader {
    LogQuery query;
    Buf rest;     /* an unfinished line of the file */
    bool in_line; /* the last record was a piece: the next one goes on */
    int64_t left; /* bytes that may still be shown */
} LogReader;

void log_reader_init(LogReader *reader, const LogQuery *query);
void log_reader_done(LogReader *reader);
/* 1 once limit_bytes is reached: nothing more will come. */
int log_reader_feed(LogReader *reader, Slice data, Buf *out);

/* Where in `text` (a whole log file) the last `lines` lines of the program begin. */
size_t log_tail_start(Slice text, int64_t lines);
