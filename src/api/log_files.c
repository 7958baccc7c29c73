/* SPDX-License-Identifier: Apache-2.0 */
#include "api/log_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

enum {
    FILES_MAX = 100000,
    PIECE = 64 * 1024,
};
#define LAST_LINES_MAX ((size_t)64 << 20)

/* ---- names ------------------------------------------------------------------------------------- */

int log_files_list(const char *folder, const char *glob, json_t **ret_names) {
    DIR *dir = opendir(folder);
    if (!dir)
        return error_last("open %s", folder);
    _cleanup_strlist_ StrList names = { 0 };
    const struct dirent *entry;
    while ((entry = readdir(dir)) && names.len < FILES_MAX) {
        if (entry->d_name[0] == '.' || fnmatch(glob, entry->d_name, FNM_PERIOD) != 0)
            continue;
        strlist_printf(&names, "%s%s", entry->d_name, entry->d_type == DT_DIR ? "/" : "");
    }
    closedir(dir);
    strlist_sort(&names);
    json_t *list = json_array();
    for (size_t i = 0; i < names.len; i++)
        json_array_append_new(list, json_string(names.items[i]));
    *ret_names = list;
    return 0;
}

void log_files_respond(HttpRequest *request, const char *folder) {
    const char *glob = http_query_get(http_request_query(request), "glob");
    json_t *names;
    int r = log_files_list(folder, str_empty(glob) ? "*" : glob, &names);
    if (r < 0) {
        http_respond_error(request, r);
        return;
    }
    _cleanup_json_ json_t *answer = json_pack("{s:o}", "files", names);
    _cleanup_buf_ Buf body = { 0 };
    json_encode(answer, 0, &body);
    http_respond(request, 200, "application/json; charset=utf-8", buf_slice(&body));
}

/* ---- one file ------------------------------------------------------------------------------------ */

/* The path of a file inside the folder, links followed; owned. -ENOENT: there is none. */
static int file_path(const char *folder, const char *name, char **ret_path) {
    _cleanup_free_ char *joined =
        name[0] == '/' ? str_dup(name) : str_printf("%s/%s", folder, name);
    _cleanup_free_ char *root = realpath(folder, NULL), *path = realpath(joined, NULL);
    size_t len = root ? strlen(root) : 0;
    struct stat st;
    if (!path || !root || strncmp(path, root, len) != 0 || path[len] != '/' ||
        stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return error_origin(-ENOENT, "Could not find log file: %s", name);
    *ret_path = TAKE(path);
    return 0;
}

void log_plain(Slice text, Buf *out) {
    for (size_t i = 0; i < text.len;) {
        size_t end = i + 2;
        if (text.data[i] == '\x1b' && end < text.len && text.data[i + 1] == '[') {
            while (end < text.len && strchr("0123456789;", text.data[end]) && text.data[end])
                end++;
            if (end < text.len && text.data[end] == 'm' && end > i + 2) {
                i = end + 1;
                continue;
            }
        }
        buf_add_char(out, text.data[i++]);
    }
}

/* Where the last `lines` of a file begin, looked for from its end. */
static int lines_begin(int fd, uint64_t end, int64_t lines, uint64_t *ret_begin) {
    char piece[PIECE];
    uint64_t at = end, least = end > LAST_LINES_MAX ? end - LAST_LINES_MAX : 0;
    while (at > least && lines > 0) {
        size_t len = (size_t)MIN((uint64_t)sizeof(piece), at - least);
        ssize_t n = pread(fd, piece, len, (off_t)(at - len));
        if (n != (ssize_t)len)
            return n < 0 ? error_last("read a log") : error_origin(-EIO, "the log became shorter");
        for (; len > 0 && lines > 0; len--, at--)
            if (piece[len - 1] == '\n' && at < end && --lines == 0)
                break; /* what ends the last line does not end one before it */
    }
    *ret_begin = at;
    return 0;
}

typedef struct LogFollow {
    HttpRequest *request;
    LogTail *tail;
    LoopFinal *final;
    bool plain;
} LogFollow;

static void follow_free(LogFollow *follow) {
    log_tail_free(follow->tail);
    loop_final_free(follow->final);
    mem_free(follow);
}

static void on_gone(void *ctx) {
    LogFollow *follow = ctx;
    HttpRequest *request = follow->request;
    follow_free(follow);
    http_response_end(request);
}

static void on_final(void *ctx) {
    follow_free(ctx);
}

static void on_drained(void *ctx) {
    LogFollow *follow = ctx;
    log_tail_pause(follow->tail, false);
}

static void on_text(void *ctx, Slice text) {
    LogFollow *follow = ctx;
    _cleanup_buf_ Buf plain = { 0 };
    if (follow->plain)
        log_plain(text, &plain);
    http_response_write(follow->request, follow->plain ? buf_slice(&plain) : text);
    if (http_response_congested(follow->request))
        log_tail_pause(follow->tail, true);
}

static void follow_begin(HttpRequest *request, LogTails *tails, const char *path, uint64_t at,
                         bool plain) {
    LogFollow *follow = mem_new(LogFollow);
    follow->request = request;
    follow->plain = plain;
    follow->final = loop_final_new(http_request_loop(request), on_final, follow);
    if (log_tail_new(tails, path, at, on_text, follow, &follow->tail) < 0) {
        follow_free(follow);
        http_response_abort(request);
        return;
    }
    http_response_on_drain(request, on_drained, follow);
    http_request_on_gone(request, on_gone, follow);
}

typedef enum LogForm {
    FORM_RAW,
    FORM_PLAIN, /* without colours */
    FORM_JSON,  /* as the text in {"logs": "..."}, which ends with the last piece */
} LogForm;

/* A part of a file on its way, a piece a turn: neither the loop nor memory is held up by a long one. */
typedef struct LogCopy {
    HttpRequest *request;
    LoopTask *task;
    LoopFinal *final;
    char *path;
    int fd;
    uint64_t at, end;
    LogForm form;
    LogTails *follow;
} LogCopy;

static void copy_free(LogCopy *copy) {
    loop_task_free(copy->task);
    loop_final_free(copy->final);
    fd_close(copy->fd);
    mem_free(copy->path);
    mem_free(copy);
}

static void copy_final(void *ctx) {
    copy_free(ctx);
}

static void copy_gone(void *ctx) {
    LogCopy *copy = ctx;
    HttpRequest *request = copy->request;
    copy_free(copy);
    http_response_end(request);
}

static void copy_drained(void *ctx) {
    LogCopy *copy = ctx;
    loop_task_arm(copy->task);
}

static void copy_over(LogCopy *copy) {
    HttpRequest *request = copy->request;
    if (copy->follow)
        follow_begin(request, copy->follow, copy->path, copy->end, copy->form == FORM_PLAIN);
    else
        http_response_end(request);
    copy_free(copy);
}

/* Colours are not cut apart: a piece ends with a line, if it has one. */
static size_t whole_lines(Slice piece, bool last) {
    const char *end = last ? NULL : memrchr(piece.data, '\n', piece.len);
    return end ? (size_t)(end - piece.data) + 1 : piece.len;
}

static void add_json(Slice piece, bool last, Buf *out) {
    _cleanup_buf_ Buf clean = { 0 }, quoted = { 0 };
    utf8_clean(piece, &clean);
    _cleanup_json_ json_t *text = json_stringn(clean.data ? clean.data : "", clean.len);
    json_encode(text, 0, &quoted);
    buf_add(out, quoted.data + 1, quoted.len - 2);
    if (last)
        buf_add_str(out, "\"}");
}

/* What goes out for a piece; returns how much of it that is. */
static size_t copy_formed(const LogCopy *copy, Slice piece, bool last, Buf *out) {
    switch (copy->form) {
    case FORM_PLAIN:
        piece.len = whole_lines(piece, last);
        log_plain(piece, out);
        break;
    case FORM_JSON:
        piece.len -= last ? 0 : utf8_cut(piece);
        add_json(piece, last, out);
        break;
    case FORM_RAW:
        buf_add(out, piece.data, piece.len);
    }
    return piece.len;
}

static void copy_piece(void *ctx) {
    LogCopy *copy = ctx;
    char piece[PIECE];
    size_t len = (size_t)MIN((uint64_t)sizeof(piece), copy->end - copy->at);
    ssize_t n = len ? pread(copy->fd, piece, len, (off_t)copy->at) : 0;
    bool last = n < (ssize_t)len || copy->at + len == copy->end; /* less: it was cut meanwhile */
    _cleanup_buf_ Buf out = { 0 };
    copy->at += copy_formed(copy, (Slice){ piece, (size_t)MAX(n, 0) }, last, &out);
    if (out.len)
        http_response_write(copy->request, buf_slice(&out));
    if (last)
        copy_over(copy);
    else if (!http_response_congested(copy->request))
        loop_task_arm(copy->task);
}

static void copy_begin(const LogCopy *what, const char *content_type) {
    HttpRequest *request = what->request;
    LogCopy *copy = mem_new(LogCopy);
    *copy = *what;
    copy->task = loop_task_new(http_request_loop(request), copy_piece, copy);
    copy->final = loop_final_new(http_request_loop(request), copy_final, copy);
    http_response_start(request, 200, content_type, -1);
    if (copy->form == FORM_JSON)
        http_response_write(request, SLICE("{\"logs\":\""));
    http_response_on_drain(request, copy_drained, copy);
    http_request_on_gone(request, copy_gone, copy);
    loop_task_arm(copy->task);
}

static int range_of(int fd, int64_t lines, uint64_t *ret_begin, uint64_t *ret_end) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_last("look at a log");
    if (!S_ISREG(st.st_mode))
        return error_origin(-EINVAL, "this is no log file");
    *ret_end = (uint64_t)st.st_size;
    if (lines >= 0)
        return lines_begin(fd, *ret_end, lines, ret_begin);
    *ret_begin = *ret_end > LOG_WHOLE_MAX ? *ret_end - LOG_WHOLE_MAX : 0;
    return 0;
}

void log_file_serve(HttpRequest *request, const char *folder, const LogFileWanted *wanted) {
    _cleanup_free_ char *path = NULL;
    _cleanup_close_ int fd = -1;
    uint64_t begin = 0, end = 0;
    int r = file_path(folder, wanted->filename, &path);
    if (r == 0 && (fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
        r = error_last("open %s", path);
    if (r == 0 && wanted->follow)
        r = log_tails_room(wanted->follow);
    if (r == 0)
        r = range_of(fd, wanted->lines, &begin, &end);
    if (r < 0) {
        http_respond_error(request, r);
        return;
    }
    copy_begin(&(LogCopy){ .request = request,
                           .path = TAKE(path),
                           .fd = fd,
                           .at = begin,
                           .end = end,
                           .form = wanted->plain ? FORM_PLAIN : FORM_RAW,
                           .follow = wanted->follow },
               "text/plain");
    fd = -1;
}

void log_json_respond(HttpRequest *request, const char *path) {
    uint64_t begin = 0, end = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int r = fd >= 0           ? range_of(fd, -1, &begin, &end)
            : errno == ENOENT ? 0
                              : error_last("open %s", path);
    if (r < 0) {
        fd_close(fd);
        http_respond_error(request, r);
        return;
    }
    copy_begin(
        &(LogCopy){ .request = request, .fd = fd, .at = begin, .end = end, .form = FORM_JSON },
        "application/json; charset=utf-8");
}

void log_file_respond(HttpRequest *request, const char *folder, LogTails *tails) {
    const HttpQuery *query = http_request_query(request);
    const char *lines = http_query_get(query, "lines");
    LogFileWanted wanted = {
        .filename = http_query_get(query, "filename"),
        .lines = -1,
        .follow = str_eq(http_query_get(query, "follow"), "1") ? tails : NULL,
        .plain = str_eq(http_query_get(query, "plain"), "1"),
    };
    if (str_empty(wanted.filename) || (lines && str_to_i64(lines, &wanted.lines) < 0))
        http_respond_text(request, 400, "filename has to be given, and lines has to be a number");
    else
        log_file_serve(request, folder, &wanted);
}
