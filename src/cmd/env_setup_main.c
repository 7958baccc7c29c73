/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula env-setup`: one request on stdin, one answer on stdout (env/setup.h). */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "api/packages.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/program.h"
#include "env/deadline.h"
#include "env/env.h"
#include "env/setup.h"
#include "model/ids.h"
#include "rpc/dial.h"

enum {
    REQUEST_MAX = 4 * 1024 * 1024
};
#define CALL_TIMEOUT (60 * USEC_PER_SEC)

/* ----------------------------------------------------------------------- packages of gcs */

typedef struct Head {
    const char *address;
    Slice token;
    Loop *loop;
    Dial *dial;
    usec_t deadline; /* of the package that is fetched */
} Head;

static usec_t call_timeout(const Head *head) {
    return MIN(CALL_TIMEOUT, time_left(head->deadline));
}

static int head_connect(Head *head) {
    if (head->dial)
        return 0;
    if (!head->address)
        return error_origin(-EINVAL, "the request has no gcs_address to fetch packages from");
    const DialSpec spec = { .address = head->address, .role = ROLE_CLI, .token = head->token };
    int r = loop_new(&head->loop);
    if (r == 0)
        r = dial_new(head->loop, &spec, NULL, NULL, &head->dial);
    return r < 0 ? r : dial_wait_ready(head->dial, call_timeout(head));
}

/* 1: there is no such key. The value is appended. */
static int head_get(Head *head, const char *space, const char *key, Buf *out) {
    _cleanup_buf_ Buf body = { 0 }, answer = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    KvReply reply;
    const KvGet get = { .space = slice_str(space), .key = slice_str(key) };
    kv_get_encode(&get, &body);
    int r = dial_call_wait(head->dial, PEER_GCS, MSG_KV_GET, &body, call_timeout(head), &answer);
    if (r == 0)
        r = kv_reply_decode(&reply, answer.data, answer.len, &arena);
    if (r < 0 || !reply.found)
        return r < 0 ? r : 1;
    buf_add(out, reply.value.data, reply.value.len);
    return 0;
}

static int write_pieces(Head *head, const char *name, uint64_t pieces, int fd) {
    for (uint64_t i = 0; i < pieces; i++) {
        _cleanup_free_ char *key = package_piece_key(name, i);
        _cleanup_buf_ Buf piece = { 0 };
        int r = head_get(head, PACKAGE_SPACE, key, &piece);
        if (r == 0)
            r = fd_write_all(fd, piece.data, piece.len);
        if (r != 0)
            return r < 0 ? r
                         : error_origin(-EIO, "package %s lost piece %llu", name,
                                        (unsigned long long)i);
    }
    return 0;
}

static int fetch(void *ctx, const char *name, usec_t deadline, const char *path) {
    Head *head = ctx;
    head->deadline = deadline;
    _cleanup_free_ char *key = package_key(name);
    _cleanup_buf_ Buf value = { 0 };
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint64_t pieces;
    if (fd < 0)
        return error_last("open %s", path);
    int r = head_connect(head);
    if (r == 0)
        r = head_get(head, PACKAGE_SPACE, key, &value);
    if (r == 0) {
        r = str_to_u64(value.data ? value.data : "", &pieces);
        if (r < 0 || pieces > PACKAGE_PIECES_MAX)
            return error_origin(-EBADMSG, "package %s has a broken index", name);
        return write_pieces(head, name, pieces, fd);
    }
    if (r > 0)
        r = head_get(head, "", key, &value);
    if (r == 0)
        r = fd_write_all(fd, value.data, value.len);
    return r > 0 ? error_origin(-ENOENT, "no package %s", name) : r;
}

/* --------------------------------------------------------------------------------- main */

static int setup(Head *head, json_t **ret_answer) {
    _cleanup_buf_ Buf text = { 0 };
    _cleanup_json_ json_t *request = NULL, *env = NULL;
    const JsonLimits limits = { REQUEST_MAX, 100000, 64 };
    int r = file_read("/proc/self/fd/0", REQUEST_MAX, &text);
    if (r == 0)
        r = json_parse(text.data ? text.data : "", text.len, &limits, 0, &request);
    if (r == 0)
        r = env_normalize(json_object_get(request, "runtime_env"), 0, &env);
    if (r < 0)
        return r;
    /* The interpreter is a part of a pip environment's name: a job's and its workers' are one. */
    const char *given = json_str_at(request, "python");
    _cleanup_free_ char *python = given ? str_dup(given) : program_python();
    const EnvSetup spec = {
        .runtime_env = env,
        .session_dir = json_str_at(request, "session_dir"),
        .python = python,
        .log = json_str_at(request, "log"),
        .fetch = fetch,
        .fetch_ctx = head,
    };
    if (!spec.session_dir)
        return error_origin(-EINVAL, "the request has no session_dir");
    _cleanup_free_ char *token = str_dup(json_str_at(request, "token"));
    head->address = json_str_at(request, "gcs_address");
    head->token = slice_str(token);
    r = env_setup(&spec, ret_answer);
    dial_free(head->dial);
    loop_free(head->loop);
    return r;
}

int cmd_env_setup(int argc, char **argv) {
    const OptionTable table = { "mobula env-setup", NULL,
                                "Builds a runtime environment: a JSON request on stdin, a JSON "
                                "answer on stdout." };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    signal(SIGPIPE, SIG_IGN);
    Head head = { 0 };
    _cleanup_json_ json_t *answer = NULL;
    r = setup(&head, &answer);
    if (r < 0)
        answer = json_pack("{s:s}", "error", error_text(r));
    _cleanup_free_ char *text =
        answer ? json_text(answer, 0) : str_dup("{\"error\":\"unreadable\"}");
    puts(text);
    return r < 0;
}
