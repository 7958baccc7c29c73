/* SPDX-License-Identifier: Apache-2.0 */

/* Calls that the user of the runtime waits for: generic ones, functions, log lines. */

#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/core_private.h"

enum {
    IMPORT_RETRY_USEC = 5 * 1000
};

typedef struct CallWait {
    bool done;
    int result;
    StatusCode code;
    char *text;
    Buf *out;
} CallWait;

static void on_call_answer(void *argument, const RpcReply *reply) {
    CallWait *wait = argument;
    wait->done = true;
    wait->result = reply->result;
    if (reply->result == 0) {
        buf_add(wait->out, reply->body, reply->len);
    } else if (reply->result == 1) {
        wait->code = reply->status.code;
        wait->text = str_dup_slice(reply->status.text);
    }
}

static int call_result(CallWait *wait) {
    _cleanup_free_ char *text = wait->text;
    if (wait->result == 0)
        return 0;
    if (wait->result == -ETIMEDOUT)
        return CORE_TIMEOUT;
    if (wait->result < 0)
        return error_origin(wait->result, "the connection was lost before the answer came");
    Status status = { .code = wait->code, .text = slice_str(text) };
    int r = rpc_status_error(&status); /* also keeps the sentence */
    if (wait->code == STATUS_CODE_NOT_FOUND)
        return CORE_NOT_FOUND;
    if (wait->code == STATUS_CODE_EXISTS)
        return CORE_EXISTS;
    return r;
}

/* Holding the lock, which it lets go meanwhile. */
static bool user_interrupts(Core *core) {
    if (!core->interrupted)
        return false;
    core_unlock(core);
    bool ends = core->interrupted(core->interrupted_context);
    core_lock(core);
    return ends;
}

int core_call(Core *core, PeerId to, MessageType type, const Buf *body, usec_t timeout, Buf *out) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    usec_t deadline = timeout == USEC_INFINITY ? timeout : time_mono_now() + timeout;
    CallWait wait = { .out = out };
    core_lock(core);
    uint32_t call = rpc_call(core->rpc, to, type, body, deadline, on_call_answer, &wait);
    while (!wait.done) {
        r = core_wait_event(core, deadline);
        if (r == CORE_INTERRUPTED && !wait.done && user_interrupts(core))
            r = error_origin(-EINTR, "interrupted by a signal");
        bool over = r < 0 || (r == CORE_TIMEOUT && time_mono_now() >= deadline);
        if (!wait.done && over) {
            rpc_forget(core->rpc, call);
            core_unlock(core);
            return r;
        }
    }
    core_unlock(core);
    return call_result(&wait);
}

int core_send(Core *core, PeerId to, MessageType type, const Buf *body) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    core_lock(core);
    peer_send(core, to, type, 0, 0, body ? body->data : NULL, body ? body->len : 0);
    core_unlock(core);
    return 0;
}

/* ---- functions ---------------------------------------------------------------------------- */

int core_export(Core *core, const Hash *hash, const void *data, size_t len, usec_t timeout) {
    core_lock(core);
    bool known = map_get(&core->exported, hash->byte) != NULL;
    core_unlock(core);
    if (known)
        return 0;
    KvPut m = { .space = SLICE("fun"),
                .key = { (const char *)hash->byte, sizeof(hash->byte) },
                .value = { data, len } };
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    kv_put_encode(&m, &body);
    int r = core_call(core, PEER_GCS, MSG_KV_PUT, &body, timeout, &out);
    if (r != 0)
        return r;
    core_lock(core);
    map_put(&core->exported, hash->byte, core);
    core_unlock(core);
    return 0;
}

int core_import(Core *core, const Hash *hash, usec_t timeout, Buf *out) {
    KvGet m = { .space = SLICE("fun"), .key = { (const char *)hash->byte, sizeof(hash->byte) } };
    usec_t deadline = time_mono_now() + timeout;
    _cleanup_buf_ Buf body = { 0 };
    kv_get_encode(&m, &body);
    for (;;) {
        _cleanup_buf_ Buf answer = { 0 };
        _cleanup_arena_ Arena arena = { 0 };
        usec_t left = MAX(deadline - time_mono_now(), (usec_t)0);
        int r = core_call(core, PEER_GCS, MSG_KV_GET, &body, left, &answer);
        if (r != 0)
            return r;
        KvReply reply;
        r = kv_reply_decode(&reply, answer.data, answer.len, &arena);
        if (r < 0)
            return r;
        if (reply.found) {
            buf_add(out, reply.value.data, reply.value.len);
            return 0;
        }
        /* The export waits for gcs before a call is sent, but gcs may have restarted since. */
        if (time_mono_now() >= deadline)
            return CORE_TIMEOUT;
        usleep(IMPORT_RETRY_USEC);
    }
}

/* ---- log lines and what the lease gave --------------------------------------------------------- */

int core_log_fd(Core *core) {
    return core->log_fd;
}

bool core_log_take(Core *core, Buf *out) {
    core_lock(core);
    bool any = core->logs.len > 0;
    if (any) {
        CoreBytes *log = core->logs.items[0];
        vec_remove(&core->logs, 0);
        buf_add(out, log->data, log->size);
        bytes_drop(log);
    }
    if (!core->logs.len) {
        uint64_t count;
        ssize_t n = read(core->log_fd, &count, sizeof(count));
        UNUSED(n);
    }
    core_unlock(core);
    return any;
}

static void add_json_text(Buf *out, Slice text) {
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20)
            buf_printf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else
            buf_add_char(out, (char)c);
    }
    buf_add_char(out, '"');
}

char *core_assigned(Core *core) {
    Buf out = { 0 };
    core_lock(core);
    const TaskAssign *m = &core->assign;
    buf_add_str(&out, "{\"resources\":{");
    for (size_t i = 0; i < m->resources_len; i++) {
        buf_add_str(&out, i ? "," : "");
        add_json_text(&out, m->resources[i].name);
        buf_printf(&out, ":%.4f", (double)m->resources[i].amount / 10000);
    }
    buf_add_str(&out, "},\"gpu_ids\":[");
    for (size_t i = 0; i < m->gpu_ids_len; i++)
        buf_printf(&out, "%s%u", i ? "," : "", m->gpu_ids[i]);
    buf_add_str(&out, "],\"group\":\"");
    if (!id_is_unset(&m->group))
        buf_add_str(&out, ID_HEX(&m->group));
    buf_printf(&out, "\",\"capture\":%s", m->capture ? "true" : "false");
    buf_add_str(&out, ",\"namespace\":");
    add_json_text(&out, m->namespace);
    buf_add_str(&out, ",\"job_config\":");
    if (m->job_config.len)
        buf_add(&out, m->job_config.data, m->job_config.len);
    else
        buf_add_str(&out, "{}");
    buf_add_char(&out, '}');
    core_unlock(core);
    return buf_steal(&out);
}
