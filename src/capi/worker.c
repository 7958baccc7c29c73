/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Running C code. Functions and classes are found by the hash of a call: under it lies a text with
 * the library's hash and the symbol; under the library's hash, its bytes. Those are written once a
 * session and opened from there.
 */

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/auth.h"
#include "base/arena.h"
#include "base/fd.h"
#include "base/map.h"
#include "capi/capi_private.h"
#include "model/ids.h"

#define IMPORT_TIMEOUT (60 * USEC_PER_SEC)

typedef struct Worker {
    Mobula mobula;
    Map symbols; /* Hash of a call's function -> its address */
    const MobulaClass *class;
    void *self;  /* the actor that this worker is */
    bool leaving;
} Worker;

struct MobulaCall {
    Worker *worker;
    CoreTask *task;
    Slice *args;
    size_t args_len;
    uint64_t returned; /* a bit a return that is set */
    char *why;         /* it failed */
};

/* ---- what to run ---- */

static int write_library(Core *core, const Hash *hash, const char *path) {
    _cleanup_buf_ Buf data = { 0 };
    Hash found;
    int r = core_import(core, hash, IMPORT_TIMEOUT, &data);
    if (r == CORE_TIMEOUT)
        return error_origin(-ETIMEDOUT, "the library of the call did not come in time");
    if (r != 0)
        return r;
    core_hash(data.data, data.len, &found);
    if (memcmp(&found, hash, sizeof(found)) != 0)
        return error_origin(-EPROTO, "the library of the call is not what its hash says");
    return file_write_atomic(path, data.data, data.len, 0700);
}

static int open_library(Core *core, const Hash *hash, void **ret_library) {
    _cleanup_free_ char *dir =
        str_printf("%s/runtime_resources/c_libraries", core_info(core)->session_dir);
    _cleanup_free_ char *path = str_printf("%s/%s.so", dir, ID_HEX(hash));
    int r = dir_make(dir, 0700);
    if (r == 0 && access(path, F_OK) < 0)
        r = write_library(core, hash, path);
    if (r < 0)
        return r;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_origin(-ELIBACC, "the library of the call cannot be loaded: %s", dlerror());
    *ret_library = library;
    return 0;
}

/* Under a call's hash lies MAGIC \n the library's hash \n the symbol. Splits `text` in place. */
static int read_export(Buf *text, Hash *ret_library, char **ret_symbol) {
    char *hash = text->len && !memchr(text->data, 0, text->len) ? strchr(text->data, '\n') : NULL;
    char *symbol = hash ? strchr(hash + 1, '\n') : NULL;
    if (hash)
        *hash++ = 0;
    if (symbol)
        *symbol++ = 0;
    if (!symbol || !str_eq(text->data, CAPI_MAGIC) || strlen(symbol) > CAPI_SYMBOL_MAX ||
        hex_decode(hash, ret_library, sizeof(*ret_library)) < 0)
        return error_origin(-EPROTO, "the call is not for code of a C library");
    *ret_symbol = symbol;
    return 0;
}

static int find_symbol(Worker *worker, const Hash *hash, void **ret_symbol) {
    _cleanup_buf_ Buf text = { 0 };
    char *name = NULL;
    Core *core = worker->mobula.core;
    Hash library_hash;
    void *library = NULL, *symbol = map_get(&worker->symbols, hash);
    if (symbol) {
        *ret_symbol = symbol;
        return 0;
    }
    int r = core_import(core, hash, IMPORT_TIMEOUT, &text);
    if (r == CORE_TIMEOUT)
        r = error_origin(-ETIMEDOUT, "nobody exported the function of the call");
    if (r == 0)
        r = read_export(&text, &library_hash, &name);
    if (r == 0)
        r = open_library(core, &library_hash, &library);
    if (r < 0)
        return r;
    symbol = dlsym(library, name);
    if (!symbol)
        return error_origin(-ENOENT,
                            "the library has no symbol \"%s\": it must be exported and, "
                            "in C++, extern \"C\"",
                            name);
    map_put(&worker->symbols, hash, symbol);
    *ret_symbol = symbol;
    return 0;
}

/* ---- with what ---- */

/* 1: an argument is the error *ret_error. */
static int read_args(MobulaCall *call, Arena *arena, const CoreValue **ret_error) {
    const Call *wire = &call->task->call;
    const uint8_t *at = (const uint8_t *)wire->args.data, *end = at + wire->args.len;
    uint32_t counts[2];
    size_t next = 0;
    if (wire->args.len < sizeof(counts))
        return error_origin(-EPROTO, "malformed call: no arguments");
    memcpy(counts, at, sizeof(counts));
    at += sizeof(counts);
    if (counts[0] > (size_t)(end - at) || counts[1])
        return error_origin(-EPROTO, counts[1] ? "C code takes no arguments by name"
                                               : "malformed call: more arguments than bytes");
    call->args = arena_array(arena, Slice, counts[0]);
    for (; call->args_len < counts[0]; call->args_len++) {
        Slice *out = &call->args[call->args_len];
        int r;
        if (at < end && *at == 'A') {
            at++;
            if (next >= wire->values_len)
                return error_origin(-EPROTO, "malformed call: fewer values than references");
            const CoreValue *value = &call->task->values[next++];
            const uint8_t *data = value->data;
            if (value->kind == VALUE_KIND_ERROR) {
                *ret_error = value;
                return 1;
            }
            r = capi_value_decode(&data, data + value->size, out);
        } else {
            r = capi_value_decode(&at, end, out);
        }
        if (r < 0)
            return error_context(r, "argument %zu", call->args_len);
    }
    return 0;
}

size_t mobula_args(const MobulaCall *call) {
    return call->args_len;
}

const void *mobula_arg(const MobulaCall *call, size_t index, size_t *ret_size) {
    if (index >= call->args_len)
        return NULL;
    if (ret_size)
        *ret_size = call->args[index].len;
    return call->args[index].data;
}

/* ---- with what result ---- */

int mobula_return(MobulaCall *call, size_t index, const void *data, size_t size) {
    uint8_t head[CAPI_HEAD_MAX];
    const struct iovec parts[] = { { head, capi_value_head(size, head) },
                                   { (void *)(uintptr_t)data, size } };
    if ((int64_t)index >= call->task->call.num_returns || index >= CAPI_RETURNS_MAX)
        return error_origin(-EINVAL, "return %zu of a call that gives %d", index,
                            (int)call->task->call.num_returns);
    int r = core_task_return(call->worker->mobula.core, call->task, (uint32_t)index,
                             &(CoreBlob){ .parts = parts, .parts_len = size ? 2 : 1 });
    if (r == 0)
        call->returned |= UINT64_C(1) << index;
    return capi_answer(r);
}

int mobula_fail(MobulaCall *call, int code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    free(call->why);
    if (vasprintf(&call->why, format, ap) < 0)
        call->why = NULL;
    va_end(ap);
    return code;
}

bool mobula_cancelled(const MobulaCall *call) {
    return core_task_cancelled(call->task);
}

Mobula *mobula_session(const MobulaCall *call) {
    return &call->worker->mobula;
}

static void finish(MobulaCall *call, const CoreTaskEnd *end) {
    call->worker->leaving |= end->exiting;
    core_task_done(call->worker->mobula.core, call->task, end);
}

static void end_well(MobulaCall *call) {
    int32_t count = call->task->call.num_returns;
    for (int32_t i = 0; i < count && i < CAPI_RETURNS_MAX; i++)
        if (!(call->returned >> i & 1) && mobula_return(call, (size_t)i, NULL, 0) < 0)
            break; /* it needs no room but this process's own */
    finish(call, &(CoreTaskEnd){ 0 });
}

static void end_failed(MobulaCall *call, int code) {
    const Call *wire = &call->task->call;
    const CoreInfo *self = core_info(call->worker->mobula.core);
    bool creation = wire->kind == CALL_KIND_ACTOR_CREATE;
    const char *why = call->why ? call->why : error_text(code);
    Slice what = wire->method.len ? wire->method : wire->name;
    _cleanup_free_ char *text = str_printf("%.*s failed: %s", (int)what.len, what.data, why);
    ErrorInfo info = {
        .kind = creation             ? ERROR_KIND_ACTOR_DIED
                : code == -ECANCELED ? ERROR_KIND_TASK_CANCELLED
                                     : ERROR_KIND_APPLICATION,
        .text = slice_str(text),
        .name = wire->name,
        .task = wire->task,
        .actor = wire->actor,
        .pid = (uint32_t)getpid(),
        .ip = slice_str(self->node_ip),
        .node = self->node,
    };
    _cleanup_buf_ Buf body = { 0 };
    error_info_encode(&info, &body);
    finish(call, &(CoreTaskEnd){ .error = body.data, .error_len = body.len, .exiting = creation });
}

/* ---- one call ---- */

static int run_method(MobulaCall *call) {
    const Worker *worker = call->worker;
    const Call *wire = &call->task->call;
    if (!worker->class)
        return error_origin(-EPROTO, "this worker is no actor");
    for (const MobulaClassMethod *m = worker->class->methods; m && m->name; m++)
        if (slice_eq_str(wire->method, m->name))
            return m->run(call, worker->self);
    return error_origin(-ENOSYS, "its class has no method of this name");
}

static int construct(MobulaCall *call) {
    Worker *worker = call->worker;
    void *symbol = NULL;
    int r = find_symbol(worker, &call->task->call.function, &symbol);
    if (r < 0)
        return r;
    worker->class = symbol;
    return worker->class->construct ? worker->class->construct(call, &worker->self) : 0;
}

static int run_function(MobulaCall *call) {
    void *symbol = NULL;
    MobulaTaskFn *function;
    int r = find_symbol(call->worker, &call->task->call.function, &symbol);
    if (r < 0)
        return r;
    memcpy(&function, &symbol, sizeof(function)); /* what ISO C has no cast for */
    return function(call);
}

static void run(Worker *worker, CoreTask *task) {
    _cleanup_arena_ Arena arena = { 0 };
    MobulaCall call = { .worker = worker, .task = task };
    const CoreValue *failed = NULL;
    int r = read_args(&call, &arena, &failed);
    if (r > 0) { /* the argument's error is the call's */
        finish(&call, &(CoreTaskEnd){ .error = failed->data,
                                      .error_len = failed->size,
                                      .exiting = task->call.kind == CALL_KIND_ACTOR_CREATE });
        return;
    }
    if (r == 0)
        r = task->call.kind == CALL_KIND_TASK           ? run_function(&call)
            : task->call.kind == CALL_KIND_ACTOR_CREATE ? construct(&call)
                                                        : run_method(&call);
    fflush(stdout);
    if (r < 0)
        end_failed(&call, r);
    else
        end_well(&call);
    free(call.why);
}

/* ---- life ---- */

static int serve(Worker *worker) {
    while (!worker->leaving) {
        CoreTask *task = NULL;
        int r = core_task_next(worker->mobula.core, USEC_INFINITY, &task);
        if (r == -ECONNRESET)
            return 0;
        if (r < 0)
            return r;
        if (task)
            run(worker, task);
    }
    return 0;
}

/* Serves until the raylet says that it is over. Found by name by `mobula c-worker`, not part of the public
 * API: `worker_id` is hex. 0, or negative with a sentence in *ret_why, borrowed. */
MOBULA_API int mobula_worker_run(const char *raylet_socket, const char *worker_id,
                                 uint64_t startup_token, const char **ret_why);
int mobula_worker_run(const char *raylet_socket, const char *worker_id, uint64_t startup_token,
                      const char **ret_why) {
    _cleanup_auth_ Auth auth = { 0 };
    CoreOptions options = {
        .role = ROLE_WORKER,
        .raylet_socket = raylet_socket,
        .startup_token = startup_token,
        .timeout = 30 * USEC_PER_SEC,
    };
    Worker worker = { 0 };
    int r = hex_decode(worker_id, &options.worker, sizeof(options.worker));
    if (r == 0)
        r = auth_load(&auth);
    options.token = auth.token;
    options.token_len = auth.token ? strlen(auth.token) : 0;
    if (r == 0)
        r = core_connect(&options, &worker.mobula.core);
    if (r < 0) {
        *ret_why = error_text(r);
        return r;
    }
    map_init(&worker.symbols, sizeof(Hash));
    r = serve(&worker);
    *ret_why = error_text(r);
    if (worker.self && worker.class->destroy)
        worker.class->destroy(worker.self);
    fflush(NULL);
    core_disconnect(worker.mobula.core, r < 0 ? 1 : 0);
    map_done(&worker.symbols);
    return r;
}
