/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_log.h"

#include "base/clock.h"
#include "base/error.h"

static int write_record(LogStream *stream, LogFile *file, Slice text, bool whole, usec_t wall) {
    char when[TIME_TEXT_MAX];
    time_format_iso(wall, when);
    _cleanup_buf_ Buf record = { 0 };
    buf_printf(&record, "%s %s %c ", when, stream->name, whole ? 'F' : 'P');
    buf_add(&record, text.data, text.len);
    buf_add_char(&record, '\n');
    return logfile_write(file, record.data, record.len);
}

int log_stream_feed(LogStream *stream, LogFile *file, const void *data, size_t len, usec_t wall) {
    buf_add(&stream->rest, data, len);
    size_t at = 0;
    int r = 0;
    while (r == 0 && at < stream->rest.len) {
        const char *start = stream->rest.data + at;
        size_t left = stream->rest.len - at;
        const char *newline = memchr(start, '\n', left);
        size_t piece = newline ? (size_t)(newline - start) : left;
        if (piece > LOG_PIECE_MAX) {
            r = write_record(stream, file, (Slice){ start, LOG_PIECE_MAX }, false, wall);
            at += LOG_PIECE_MAX;
        } else if (newline) {
            r = write_record(stream, file, (Slice){ start, piece }, true, wall);
            at += piece + 1;
        } else {
            break;
        }
    }
    buf_drop(&stream->rest, at);
    return r;
}

int log_stream_end(LogStream *stream, LogFile *file, usec_t wall) {
    int r =
        stream->rest.len ? write_record(stream, file, buf_slice(&stream->rest), false, wall) : 0;
    buf_done(&stream->rest);
    return r;
}

void log_reader_init(LogReader *reader, const LogQuery *query) {
    *reader = (LogReader){ .query = *query,
                           .left = query->limit_bytes < 0 ? INT64_MAX : query->limit_bytes };
}

void log_reader_done(LogReader *reader) {
    buf_done(&reader->rest);
}

/* The parts of "TIME STREAM TAG text". */
typedef struct LogRecord {
    Slice time, text;
    bool whole;
} LogRecord;

static bool record_parse(Slice line, LogRecord *ret_record) {
    const char *end = line.data + line.len;
    const char *time_end = memchr(line.data, ' ', line.len);
    const char *stream_end =
        time_end ? memchr(time_end + 1, ' ', (size_t)(end - time_end - 1)) : NULL;
    if (!stream_end || end - stream_end < 3 || stream_end[2] != ' ')
        return false;
    *ret_record = (LogRecord){ .time = { line.data, (size_t)(time_end - line.data) },
                               .text = { stream_end + 3, (size_t)(end - stream_end - 3) },
                               .whole = stream_end[1] == 'F' };
    return true;
}

static bool too_old(const LogReader *reader, Slice time) {
    if (!reader->query.since)
        return false;
    char text[TIME_TEXT_MAX];
    usec_t wall;
    if (time.len >= sizeof(text))
        return false;
    memcpy(text, time.data, time.len);
    text[time.len] = 0;
    return time_parse_rfc3339(text, &wall) == 0 && wall < reader->query.since;
}

static void show(LogReader *reader, const char *data, size_t len, Buf *out) {
    len = (size_t)MIN((int64_t)len, reader->left);
    buf_add(out, data, len);
    reader->left -= (int64_t)len;
}

static void show_record(LogReader *reader, Slice line, Buf *out) {
    LogRecord record;
    if (!record_parse(line, &record) || too_old(reader, record.time))
        return;
    if (reader->query.timestamps && !reader->in_line) {
        show(reader, record.time.data, record.time.len, out);
        show(reader, " ", 1, out);
    }
    show(reader, record.text.data, record.text.len, out);
    if (record.whole)
        show(reader, "\n", 1, out);
    reader->in_line = !record.whole;
}

int log_reader_feed(LogReader *reader, Slice data, Buf *out) {
    buf_add(&reader->rest, data.data, data.len);
    size_t at = 0;
    while (reader->left > 0 && at < reader->rest.len) {
        const char *start = reader->rest.data + at;
        const char *newline = memchr(start, '\n', reader->rest.len - at);
        if (!newline)
            break;
        show_record(reader, (Slice){ start, (size_t)(newline - start) }, out);
        at += (size_t)(newline - start) + 1;
    }
    buf_drop(&reader->rest, at);
    return reader->left <= 0;
}

/* Counts records that end a line, from the end; a last piece without an end is a line too. */
size_t log_tail_start(Slice text, int64_t lines) {
    if (lines < 0)
        return 0;
    size_t end = text.len, start = text.len;
    int64_t seen = 0;
    bool last = true;
    while (end > 0) {
        const char *before = memrchr(text.data, '\n', end - 1);
        size_t begin = before ? (size_t)(before - text.data) + 1 : 0;
        LogRecord record;
        bool parsed = record_parse((Slice){ text.data + begin, end - begin - 1 }, &record);
        if (parsed && (record.whole || last) && seen++ == lines)
            return start;
        start = begin;
        end = begin;
        last = false;
    }
    return start;
}
