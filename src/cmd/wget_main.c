/* SPDX-License-Identifier: Apache-2.0 */

/* The part of wget that probes in KubeRay's pods use, for machines that have none:
 *     wget --tries 1 -T 2 -q -O- http://localhost:52365/api/local_raylet_healthz */

#include <stdio.h>

#include "base/error.h"
#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "net/http_client.h"

enum { /* wget's exit statuses */
    WGET_FILE = 3,
    WGET_NETWORK = 4,
    WGET_SERVER = 8,
};

typedef struct Wget {
    Loop *loop;
    const char *output;
    char *problem;
    int status, r;
    Buf body;
} Wget;

static void on_done(void *ctx, const HttpResult *result) {
    Wget *wget = ctx;
    wget->r = result->r;
    wget->status = result->status;
    if (result->r < 0)
        wget->problem = str_dup(result->error);
    else
        buf_add(&wget->body, result->body.data, result->body.len);
    loop_stop(wget->loop);
}

static int get_once(Wget *wget, const char *url, usec_t timeout, bool insecure) {
    static const HttpCallEvents events = { .done = on_done };
    _cleanup_(loop_freep) Loop *loop = NULL;
    _cleanup_(http_client_freep) HttpClient *client = NULL;
    const HttpTrust trust = { .insecure = insecure };
    const HttpCallSpec spec = {
        .url = url, .trust = &trust, .timeout = timeout, .connect_timeout = timeout
    };
    HttpCall *call;
    int r = loop_new(&loop);
    if (r == 0)
        client = http_client_new(loop);
    wget->loop = loop;
    if (r == 0)
        r = http_call_new(client, &spec, &events, wget, &call);
    if (r < 0) {
        wget->problem = str_dup(error_text(r));
        return r;
    }
    loop_run(loop);
    return wget->r;
}

static int write_body(const Wget *wget, const char *url) {
    const char *slash = strrchr(url, '/');
    const char *path = wget->output ? wget->output : slash && slash[1] ? slash + 1 : "index.html";
    Slice body = buf_slice(&wget->body);
    int r = str_eq(path, "-") ? fd_write_all(1, body.data, body.len)
                              : file_write_atomic(path, body.len ? body.data : "", body.len, 0644);
    return r < 0 ? WGET_FILE : 0;
}

int cmd_wget(int argc, char **argv) {
    Wget wget = { 0 };
    bool quiet = false, insecure = false;
    int64_t seconds = 900, tries = 20;
    const Option options[] = {
        { "quiet", OPTION_FLAG, &quiet, "Say nothing.", .letter = 'q' },
        { "output-document", OPTION_TEXT, &wget.output, "Where to write; '-' is stdout.",
          .letter = 'O' },
        { "timeout", OPTION_INT, &seconds, "Seconds to wait.", .letter = 'T' },
        { "tries", OPTION_INT, &tries, "How often to try.", .letter = 't' },
        { "no-check-certificate", OPTION_FLAG, &insecure, "Take any certificate." },
    };
    const OptionTable table = { "wget", "URL", "Gets one URL.", options, ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    if (first + 1 != argc)
        return options_fail(&table, "One URL is needed.");
    _cleanup_free_ char *url =
        strstr(argv[first], "://") ? str_dup(argv[first]) : str_printf("http://%s", argv[first]);
    for (int64_t i = 0; i < MAX(tries, 1); i++) {
        wget.problem = mem_free(wget.problem);
        r = get_once(&wget, url, CLAMP(seconds, 1, 86400) * USEC_PER_SEC, insecure);
        if (r == 0)
            break;
    }
    _cleanup_free_ char *problem = wget.problem;
    _cleanup_buf_ Buf body = wget.body;
    if (r < 0 && !quiet)
        fprintf(stderr, "wget: %s: %s\n", url, problem);
    if (r < 0)
        return WGET_NETWORK;
    if (wget.status != 200) {
        if (!quiet)
            fprintf(stderr, "wget: %s: status %d\n", url, wget.status);
        return WGET_SERVER;
    }
    return write_body(&wget, url);
}
