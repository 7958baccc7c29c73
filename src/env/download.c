/* SPDX-License-Identifier: Apache-2.0 */
#include "env/download.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "env/deadline.h"
#include "env/env.h"
#include "net/http_client.h"

#define IDLE_TIMEOUT (60 * USEC_PER_SEC)

enum {
    REDIRECTS_MAX = 5,
    CHUNK = 256 * 1024,
};

typedef struct Download {
    Loop *loop;
    int fd;
    uint64_t left;
    usec_t deadline;
    int r, status;
    char *location; /* of a redirect */
    char *sentence;
} Download;

static void download_done(Download *d) {
    d->fd = fd_close(d->fd);
    free(d->location);
    free(d->sentence);
}

static void on_chunk(void *ctx, Slice data) {
    Download *d = ctx;
    if (d->r < 0 || d->status != 200)
        return;
    if (data.len > d->left)
        d->r = error_origin(-EFBIG, "the archive is too large");
    else
        d->r = fd_write_all(d->fd, data.data, data.len);
    d->left -= MIN(d->left, data.len);
    if (d->r < 0 && !d->sentence)
        d->sentence = str_dup(error_text(d->r));
}

static void on_head(void *ctx, int status, const HttpHeaders *headers) {
    Download *d = ctx;
    d->status = status;
    if (status >= 300 && status < 400)
        str_set(&d->location, http_headers_get(headers, "location"));
}

static void on_done(void *ctx, const HttpResult *result) {
    Download *d = ctx;
    if (result->r < 0 && d->r == 0) {
        d->r = result->r;
        str_set(&d->sentence, result->error);
    }
    loop_stop(d->loop);
}

static int get_once(HttpClient *client, const char *url, Download *d) {
    const usec_t left = time_left(d->deadline);
    if (left == 0) /* which a call takes for its own default */
        return error_origin(-ETIMEDOUT, "it had not begun");
    const HttpCallSpec spec = { .url = url, .timeout = left, .idle_timeout = IDLE_TIMEOUT };
    const HttpCallEvents events = { on_done, on_head, on_chunk };
    HttpCall *call;
    d->status = 0;
    int r = http_call_new(client, &spec, &events, d, &call);
    if (r < 0)
        return r;
    loop_run(d->loop);
    if (d->r < 0)
        return error_origin(d->r, "%s", d->sentence ? d->sentence : "the connection broke");
    return 0;
}

static int get_http(const char *uri, Download *d) {
    _cleanup_(loop_freep) Loop *loop = NULL;
    _cleanup_(http_client_freep) HttpClient *client = NULL;
    _cleanup_free_ char *url = str_dup(uri);
    int r = loop_new(&loop);
    if (r == 0)
        client = http_client_new(loop);
    d->loop = loop;
    for (int i = 0; r == 0 && i <= REDIRECTS_MAX; i++) {
        r = get_once(client, url, d);
        if (r == 0 && d->status == 200)
            return 0;
        if (r < 0 || d->status < 300 || d->status >= 400 || !d->location)
            break;
        bool secure = str_starts(d->location, "https://");
        if (!secure && (!str_starts(d->location, "http://") || str_starts(url, "https://")))
            break;
        str_set(&url, d->location);
    }
    return r < 0 ? r : error_origin(-EIO, "the server answered with status %d", d->status);
}

static int copy_file(const char *from, Download *d) {
    _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
    _cleanup_free_ char *chunk = mem_alloc(CHUNK);
    if (in < 0)
        return error_last("open %s", from);
    for (;;) {
        ssize_t n = read(in, chunk, CHUNK);
        if (n <= 0)
            return n < 0 ? error_last("read %s", from) : 0;
        if ((uint64_t)n > d->left)
            return error_origin(-EFBIG, "the archive is too large");
        d->left -= (uint64_t)n;
        if (time_left(d->deadline) == 0)
            return error_origin(-ETIMEDOUT, "%s was still being copied", from);
        int r = fd_write_all(d->fd, chunk, (size_t)n);
        if (r < 0)
            return r;
    }
}

int download(const char *uri, const char *path, uint64_t max, usec_t deadline) {
    _cleanup_(download_done) Download d = { .left = max, .deadline = deadline };
    d.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (d.fd < 0)
        return error_last("open %s", path);
    int r = env_uri_scheme(uri) == ENV_FILE ? copy_file(uri + strlen("file://"), &d)
                                            : get_http(uri, &d);
    if (r < 0)
        return error_context(r, "download %.*s", (int)strcspn(uri, "?"), uri);
    return 0;
}
