/* SPDX-License-Identifier: Apache-2.0 */
#include "api/log_files.h"

#include <dirent.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/logs.h"
#include "base/error.h"

enum {
    FILES_MAX = 100000,
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

static Slice last_lines(const Buf *raw, int64_t lines) {
    size_t at = raw->len;
    for (; lines > 0 && at > 0; lines--) {
        at--;
        while (at > 0 && raw->data[at - 1] != '\n')
            at--;
    }
    return (Slice){ raw->data + at, raw->len - at };
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

static void follow_begin(HttpRequest *request, const char *path, uint64_t at, bool plain) {
    Loop *loop = http_request_loop(request);
    LogFollow *follow = mem_new(LogFollow);
    follow->request = request;
    follow->plain = plain;
    follow->final = loop_final_new(loop, on_final, follow);
    if (log_tail_new_at(loop, path, at, on_text, follow, &follow->tail) < 0) {
        follow_free(follow);
        http_response_abort(request);
        return;
    }
    http_response_on_drain(request, on_drained, follow);
    http_request_on_gone(request, on_gone, follow);
}

void log_file_serve(HttpRequest *request, const char *folder, const LogFileWanted *wanted) {
    _cleanup_free_ char *path = NULL;
    _cleanup_buf_ Buf raw = { 0 }, plain = { 0 };
    uint64_t max = wanted->lines < 0 ? LOG_WHOLE_MAX : LAST_LINES_MAX;
    struct stat st = { 0 };
    int r = file_path(folder, wanted->filename, &path);
    if (r == 0 && stat(path, &st) < 0)
        r = error_last("look at %s", path);
    if (r == 0 && wanted->lines != 0)
        r = log_read(path, max, &raw);
    if (r < 0) {
        http_respond_error(request, r);
        return;
    }
    /* What came while it was read is part of what was read. */
    uint64_t end =
        wanted->lines == 0 ? (uint64_t)st.st_size : MAX((uint64_t)st.st_size, (uint64_t)raw.len);
    if ((uint64_t)st.st_size > max)
        end = (uint64_t)st.st_size - max + raw.len;
    Slice text = wanted->lines < 0 ? buf_slice(&raw) : last_lines(&raw, wanted->lines);
    if (wanted->plain) {
        log_plain(text, &plain);
        text = buf_slice(&plain);
    }
    if (!wanted->follow) {
        http_respond(request, 200, "text/plain", text);
        return;
    }
    http_response_start(request, 200, "text/plain", -1);
    if (text.len)
        http_response_write(request, text);
    follow_begin(request, path, end, wanted->plain);
}

void log_file_respond(HttpRequest *request, const char *folder) {
    const HttpQuery *query = http_request_query(request);
    const char *lines = http_query_get(query, "lines");
    LogFileWanted wanted = {
        .filename = http_query_get(query, "filename"),
        .lines = -1,
        .follow = str_eq(http_query_get(query, "follow"), "1"),
        .plain = str_eq(http_query_get(query, "plain"), "1"),
    };
    if (str_empty(wanted.filename) || (lines && str_to_i64(lines, &wanted.lines) < 0))
        http_respond_text(request, 400, "filename has to be given, and lines has to be a number");
    else
        log_file_serve(request, folder, &wanted);
}
