/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The worker runtime: what a driver or a worker process holds of the cluster. It knows no
 * language: values are bytes that its user (the Python extension, a C program) encodes.
 *
 * Threads. Any thread may call anything here unless a function says otherwise. The runtime has one
 * thread of its own, the pump, which never calls its user. Calls that may wait say so and take a
 * deadline; none calls back, but for CoreOptions.interrupted. A language with a global lock releases it around those.
 *
 * References. A CoreRef is one object as this process knows it, whoever owns it. Each pointer this
 * header returns as `owned` counts once; core_ref_drop() gives it back. When the last count here
 * goes, the owner is told (or, if it is this process, frees the value when no borrower is left).
 */

#include <sys/uio.h>

#include "base/base.h"
#include "base/str.h"
#include "model/ids.h"
#include "wire/messages.h"

typedef struct Core Core;
typedef struct CoreRef CoreRef;
typedef struct CoreActor CoreActor;       /* this process's way to one actor */
typedef struct CoreTemplate CoreTemplate; /* what is the same in every call of a remote function */
typedef struct CoreTask CoreTask;         /* a call to run here */

/* ---- life ------------------------------------------------------------------------------- */

typedef struct CoreOptions {
    Role role;              /* ROLE_DRIVER or ROLE_WORKER */
    const char *raylet_socket;
    const void *token;      /* of the cluster; may be NULL */
    size_t token_len;
    WorkerId worker;        /* worker: as given at its fork; driver: zero, made here */
    uint64_t startup_token; /* worker */
    const char *job_config; /* driver: JSON, see Hello */
    const char *namespace_; /* driver: NULL for an anonymous one */
    const char *submission; /* driver of a submitted job: its id, else NULL */
    usec_t timeout;         /* to connect and be welcomed */
    /* Asked, without any lock, when a signal interrupted a call that does not come back at signals by
     * itself (core_call and what is built on it); true ends the call with -EINTR. May be NULL. */
    bool (*interrupted)(void *context);
    /* Sent to the thread that took a normal task from core_task_next() when that task is cancelled
     * while it runs; 0 for none. It may arrive late: look at core_task_cancelled(). */
    int cancel_signal;
    void *interrupted_context;
} CoreOptions;

/* What the raylet told at the welcome; borrowed for the life of the Core. */
typedef struct CoreInfo {
    PeerId peer;
    WorkerId worker;
    NodeId node;
    JobId job; /* of a worker: of the task it runs, see core_current() */
    Hash cluster;
    const char *session_dir, *session_name, *node_ip, *gcs_address, *dashboard_url;
    const char *namespace_, *raylet_socket, *settings, *node_name, *hostname;
    uint32_t metrics_port, raylet_port;
} CoreInfo;

/* Waits up to options->timeout. -ECONNREFUSED, -ETIMEDOUT, -EACCES (token), -EPROTO. */
_must_check_ int core_connect(const CoreOptions *options, Core **ret_core);
const CoreInfo *core_info(const Core *core);
/* Says goodbye, ends the pump, frees everything. Outstanding CoreRef pointers may still be dropped
 * afterwards (that is then a no-op), nothing else. Waits at most 1 s. */
void core_disconnect(Core *core, int exit_code);
/* Before that, where other threads may be in the core: who waits for a call to run comes out of it, with
 * -ECONNRESET, or with a call that nobody will run. */
void core_leave(Core *core);
/* False once the raylet's connection is gone. */
bool core_alive(const Core *core);

/* ---- references and values --------------------------------------------------------------- */

/* The bytes behind a reference, kept until core_value_release(). `data` is borrowed until then. */
typedef struct CoreValue {
    ValueKind kind; /* INLINE and ARENA: encoded value; ERROR: an encoded ErrorInfo */
    const void *data;
    size_t size;
    void *hold; /* the runtime's */
} CoreValue;

const ObjectId *core_ref_id(const CoreRef *ref);
PeerId core_ref_owner(const CoreRef *ref, WorkerId *ret_owner_worker);
/* Is it of this Core? One of a Core that has been disconnected can be dropped, and nothing else. */
bool core_ref_belongs(const Core *core, const CoreRef *ref);
CoreRef *core_ref_hold(CoreRef *ref); /* one count more; returns it */
void core_ref_drop(CoreRef *ref);
/* A reference that arrived inside a value: becomes a borrowed one (owned pointer). */
CoreRef *core_ref_import(Core *core, const ObjectId *object, PeerId owner, const WorkerId *worker);
/* Where a value lies, as far as this process knows it. False: there is none yet. */
typedef struct CorePlace {
    size_t size;
    PeerId raylet; /* whose store has it; 0: it travels with its references */
} CorePlace;
bool core_ref_place(const CoreRef *ref, CorePlace *ret_place);
/* True when get would not wait. */
bool core_ref_ready(const CoreRef *ref);

void core_value_release(CoreValue *value);

enum {
    CORE_TIMEOUT = 1,     /* the deadline passed first */
    CORE_INTERRUPTED = 2, /* a signal arrived, or some time went by: look at signals, call again */
    CORE_DUPLICATE = 6,
    CORE_END = 7,
    CORE_CANCELLED = 8,
};

/*
 * Waits for all of `refs`, or until one of them is an error; `ret_values` has one entry a ref
 * (kind PENDING where it did not wait for it). The caller releases each. Call it again after
 * CORE_INTERRUPTED, with what is left of the time. timeout 0: only what is here now;
 * USEC_INFINITY: no limit.
 */
_must_check_ int core_get(Core *core, CoreRef *const *refs, size_t count, usec_t timeout,
                          CoreValue *ret_values);
/* The single value when it is here already: no lock is waited for. False: use core_get(). */
bool core_try_get(Core *core, CoreRef *ref, CoreValue *ret_value);
/* Waits until `wanted` of them are ready; ret_ready has one flag a ref, of which at most `wanted` are
 * set, the first ones. Same answers as get, and CORE_DUPLICATE when a ref is there twice. */
_must_check_ int core_wait(Core *core, CoreRef *const *refs, size_t count, size_t wanted,
                           usec_t timeout, bool fetch_local, bool *ret_ready);

/* For event loops: `cookie` is reported once, when `ref` is ready. One eventfd a process. */
void core_watch(Core *core, CoreRef *ref, uint64_t cookie);
int core_watch_fd(Core *core);
size_t core_watch_take(Core *core, uint64_t *ret_cookies, size_t max);

/* Bytes to store: small ones are copied into the process, large ones into shared memory. */
typedef struct CoreBlob {
    const struct iovec *parts; /* gathered in order */
    size_t parts_len;
    CoreRef *const *refs;      /* references contained in the value */
    size_t refs_len;
} CoreBlob;

/* -ENOSPC when the store is full and stays so for `timeout`. */
_must_check_ int core_put(Core *core, const CoreBlob *blob, usec_t timeout, CoreRef **ret_ref);

enum {
    CORE_INLINE_MAX = 100 * 1024
}; /* larger arguments and results go through the store */

/* ---- functions ------------------------------------------------------------------------------ */

/* Makes the bytes known to the cluster under their hash; once a process and hash. May wait. */
_must_check_ int core_export(Core *core, const Hash *hash, const void *data, size_t len,
                             usec_t timeout);
/* The exported bytes, appended. CORE_TIMEOUT when nobody exported them in time. */
_must_check_ int core_import(Core *core, const Hash *hash, usec_t timeout, Buf *out);
/* Of any bytes, as export wants it. */
void core_hash(const void *data, size_t len, Hash *ret_hash);

typedef struct CoreTemplateSpec {
    CallKind kind;
    Hash function;             /* TASK, ACTOR_CREATE */
    const char *name;          /* "module.function" or "Class.method", for messages */
    const char *method;        /* ACTOR_TASK */
    int32_t num_returns;       /* or CORE_STREAMING, CORE_DYNAMIC */
    uint32_t stream_limit;     /* CORE_STREAMING: unread values after which it waits; 0: never */
    const Resource *resources; /* held while it runs (ACTOR_CREATE: for its life) */
    size_t resources_len;
    const Resource *placement; /* ACTOR_CREATE: needed to be placed; NULL: the same */
    size_t placement_len;
    Strategy strategy;
    const char *runtime_env; /* canonical JSON, NULL for the job's */
    int32_t max_retries;     /* system failures; -1 for ever */
    bool retry_exceptions;   /* the executor's verdict `retry` counts */
    const char *options;     /* JSON for the executor, NULL for none */
    const char *title;       /* of the function, where `name` is one that the user gave; or NULL */
    bool unlisted;           /* its calls are not among the tasks that users list */
} CoreTemplateSpec;

/* Copies the spec. Owned; counted by every call in flight, so it may be freed at any time. */
CoreTemplate *core_template_new(Core *core, const CoreTemplateSpec *spec);
void core_template_free(CoreTemplate *t);

/*
 * The arguments of one call. `bytes` is opaque to the runtime. `top` are the references that stand
 * for an argument themselves: the executor finds their values in task->values, in this order.
 * `nested` are those inside encoded values. Both are borrowed for the call; the runtime keeps
 * them alive until the call has ended.
 */
typedef struct CoreArgs {
    const void *bytes;
    size_t bytes_len;
    CoreRef *const *top;
    size_t top_len;
    CoreRef *const *nested;
    size_t nested_len;
    const TaskId *parent; /* the call that makes this one; NULL: what the main thread runs */
} CoreArgs;

/* Never waits. ret_refs gets num_returns owned pointers; of a streaming call one, which stands for
 * the whole of it and is the handle of its stream. */
_must_check_ int core_submit(Core *core, CoreTemplate *t, const CoreArgs *args, CoreRef **ret_refs);

/* Takes a call back, or asks its worker to end it; `recursive`: and the calls that it has made.
 * force: kills the worker of a normal task. 0 also when it had ended. Never waits. */
_must_check_ int core_cancel(Core *core, CoreRef *ref, bool force, bool recursive);

/* ---- streams ---------------------------------------------------------------------------------- */

/*
 * What a streaming call yields, each value an object as soon as it is there. The reference of the
 * whole call gets its value when the call has ended: nothing of interest, or the error of a call
 * that was not run to its end (the error of the user's own code is the stream's last value).
 * One reader; its place moves with core_stream_next(). Values it has not taken go with the
 * reference of the whole, or with core_stream_close().
 */
enum {
    CORE_STREAMING = -1,
    CORE_DYNAMIC = -2, /* the whole call's value lists the references; nobody reads the stream */
};

/* Is this such a reference, of this Core? */
bool core_ref_streams(const Core *core, const CoreRef *ref);
/* The reference at the reader's place: owned. CORE_TIMEOUT: its value is not there yet;
 * CORE_END: the stream ended before it. */
_must_check_ int core_stream_next(Core *core, CoreRef *stream, CoreRef **ret_ref);
/* The reference `ahead` places further on, to wait for: owned. Beyond the end it is an error
 * (END_OF_STREAM, or why the call ended). */
CoreRef *core_stream_peek(Core *core, CoreRef *stream, uint32_t ahead);
/* The stream has ended and the reader has taken all of it. */
bool core_stream_finished(Core *core, CoreRef *stream);
/* The reader is gone: the call runs on, and what it yields is freed. */
void core_stream_close(Core *core, CoreRef *stream);

/* ---- actors ----------------------------------------------------------------------------------- */

typedef struct CoreActorSpec {
    const char *name, *namespace_; /* NULL: unnamed; the job's namespace */
    const char *class_name;
    bool detached, get_if_exists;
    int32_t max_restarts, max_task_retries, max_pending_calls; /* -1: no limit */
    bool unordered;   /* async and threaded actors: calls may overtake */
    const void *meta; /* what another process needs to make a handle; opaque */
    size_t meta_len;
} CoreActorSpec;

enum {
    CORE_EXISTS = 3,
    CORE_NOT_FOUND = 4,
    CORE_FULL = 5
};

/* A named one waits for gcs (CORE_EXISTS: the name is taken, and get_if_exists is false; with it
 * the existing one is returned). Owned. */
_must_check_ int core_actor_create(Core *core, CoreTemplate *t, const CoreActorSpec *spec,
                                   const CoreArgs *args, usec_t timeout, CoreActor **ret_actor);
const ActorId *core_actor_id(const CoreActor *actor);
CoreActor *core_actor_hold(CoreActor *actor);
void core_actor_drop(CoreActor *actor);
/* Of a weak handle: from core_actor_find(), or from core_actor_import() without a reference. */
void core_actor_drop_weak(CoreActor *actor);
/* The reference that counts this handle when it travels inside values: borrowed. NULL for a handle
 * that does not count (from core_actor_find or of the actor itself). */
CoreRef *core_actor_ref(CoreActor *actor);
/* A handle that arrived inside a value. `ref` may be NULL (weak). Owned. `unordered`: see
 * CoreActorSpec; said once is enough. */
CoreActor *core_actor_import(Core *core, const ActorId *id, CoreRef *ref, bool unordered);
/* By name; asks gcs. CORE_NOT_FOUND. *ret_info is decoded into `arena`. Owned, weak. */
_must_check_ int core_actor_find(Core *core, const char *name, const char *namespace_,
                                 usec_t timeout, Arena *arena, ActorInfo *ret_info,
                                 CoreActor **ret_actor);
/* CORE_FULL: max_pending_calls is reached. Never waits. */
_must_check_ int core_actor_submit(Core *core, CoreActor *actor, CoreTemplate *t,
                                   const CoreArgs *args, CoreRef **ret_refs);
_must_check_ int core_actor_kill(Core *core, const ActorId *id, bool no_restart);
/* Calls sent and not answered. */
size_t core_actor_pending(const CoreActor *actor);

/* ---- placement groups ------------------------------------------------------------------------- */

/* Asks gcs for a group: it gets its place in time. A named one waits for the answer (CORE_EXISTS: the
 * name is taken; error_text() is the sentence), others never wait. */
_must_check_ int core_group_create(Core *core, const GroupInfo *info, usec_t timeout);
/* Waits until gcs knows of a group that this process made, so that others may ask for it. */
_must_check_ int core_group_settle(Core *core, const GroupId *id, usec_t timeout);
/* Waits for the group's place. 0: it has one; CORE_TIMEOUT; CORE_NOT_FOUND: there is none such, any
 * more; CORE_INTERRUPTED as in get. */
_must_check_ int core_group_wait(Core *core, const GroupId *id, usec_t timeout);
/* A reference that gets the value once the group has its place, or an error when it is removed. The
 * value is small and contains no references. Owned. */
_must_check_ int core_group_ready(Core *core, const GroupId *id, const CoreBlob *value,
                                  CoreRef **ret_ref);
/* Never waits. */
_must_check_ int core_group_remove(Core *core, const GroupId *id);
/* Changes with the group that what this worker submits runs in; 0 on a driver. Cheap: one load. */
uint32_t core_capture_epoch(const Core *core);

/* ---- running calls (workers) --------------------------------------------------------------------- */

struct CoreTask {
    Call call;   /* decoded; slices and lists live as long as the task */
    CoreValue
        *values; /* of the top-level references, call.values_len of them; where one is an ERROR
                        * the executor answers with an error of its own instead of running it */
    void *impl;
};

/* The next call to run: waits (timeout 0: takes what is there). CORE_INTERRUPTED as in get; -ECONNRESET: the raylet is gone or told
 * us to end: leave the loop. Owned until core_task_done(). One thread at a time.
 * CORE_CANCELLED: there is a call for core_task_take_cancelled(). */
_must_check_ int core_task_next(Core *core, usec_t timeout, CoreTask **ret_task);
/*
 * A concurrent actor's event loop takes its calls itself, with core_task_next() and no timeout: its
 * thread sleeps on descriptors of its own, with the runtime's among them.
 */
/* From now on. *ret_fd: what to sleep on, valid as long as the Core. */
_must_check_ int core_serve(Core *core, int *ret_fd);
/* Before a sleep: watches for calls for a moment. True: none came, the caller sleeps now, and then says
 * core_serve_woken(), `rung` when the descriptor was readable. */
bool core_serve_sleep(Core *core);
void core_serve_woken(Core *core, bool rung);
/* The main thread, meanwhile: waits until the worker is to end. -ECONNRESET and CORE_INTERRUPTED as in
 * core_task_next(). */
_must_check_ int core_serve_wait(Core *core);
/* This thread does not run the call itself and takes the next one: another thread will end it. What
 * `call` says may be read until core_task_forget(), also when it has ended and the Core is gone
 * (`core` NULL). */
void core_task_detach(Core *core, CoreTask *task);
void core_task_forget(Core *core, CoreTask *task);
/* The next detached call that was cancelled and may run still. False when there is none. */
bool core_task_take_cancelled(Core *core, TaskId *ret_task);

/* The value of return `index` (from 0). Large blobs go to the store. */
_must_check_ int core_task_return(Core *core, CoreTask *task, uint32_t index, const CoreBlob *blob);

/* One value of a streaming call, sent at once; they are counted from 0 in order of these calls. */
_must_check_ int core_task_yield(Core *core, CoreTask *task, const CoreBlob *blob);
/* Waits until the reader lets the call yield again. CORE_TIMEOUT and CORE_INTERRUPTED as in get;
 * -ECONNRESET: also when the reader has died. */
_must_check_ int core_task_room(Core *core, CoreTask *task, usec_t timeout);
/* How many were yielded. */
uint32_t core_task_yields(const CoreTask *task);
/* CORE_DYNAMIC: the reference of the yielded value `index`, which the caller owns. Owned here. */
CoreRef *core_task_yielded(Core *core, CoreTask *task, uint32_t index);

typedef struct CoreTaskEnd {
    const void *error; /* an encoded ErrorInfo instead of values, or NULL */
    size_t error_len;
    CoreRef *const *error_refs;
    size_t error_refs_len;
    bool partial;     /* the values returned before stay, the error is for the others; of a
                       * streaming call: it is the last one yielded */
    bool retry;       /* the error matched retry_exceptions: the submitter may try again */
    bool exiting;     /* this worker ends after it (exit_actor, max_calls) */
    const char *repr; /* ACTOR_CREATE: the instance's name in logs, NULL for the class */
} CoreTaskEnd;

/* Sends the result and frees the task. */
void core_task_done(Core *core, CoreTask *task, const CoreTaskEnd *end);

/* Cancelled while it ran (not force): the executor raises in user code. Cheap: one load. */
bool core_task_cancelled(const CoreTask *task);

/* What this process works for now; zero ids on a driver's outside. Copied under the lock. */
typedef struct CoreCurrent {
    JobId job;
    TaskId task;
    ActorId actor;
    LeaseId lease;
    uint32_t restarts;
} CoreCurrent;
void core_current(Core *core, CoreCurrent *ret_current);
/* JSON {"resources":{..},"gpu_ids":[..],"group":hex,"capture":..,"namespace":..,"job_config":..} of the
 * lease. Owned. */
char *core_assigned(Core *core);
/* Counts the leases that this worker was given. Cheap: one load. */
uint32_t core_assigned_count(const Core *core);

/* ---- everything else ------------------------------------------------------------------------------ */

/* One call to any peer (PEER_GCS, the raylet, a worker); the reply's body is appended to `out`.
 * Waits. CORE_TIMEOUT; a Status answer with a code becomes CORE_NOT_FOUND, CORE_EXISTS or a
 * negative code with its sentence. */
_must_check_ int core_call(Core *core, PeerId to, MessageType type, const Buf *body, usec_t timeout,
                           Buf *out);
/* The same, one way. */
_must_check_ int core_send(Core *core, PeerId to, MessageType type, const Buf *body);

/* Lines that workers printed, for a driver that shows them: the bodies of LogLines frames, oldest
 * first; the fd is readable when there is one. At most `max` are kept, older ones are dropped. */
int core_log_fd(Core *core);
bool core_log_take(Core *core, Buf *out);

/* Counters that must be zero when nothing is alive: `ray memory`, tests. */
typedef struct CoreCounts {
    uint64_t refs_owned, refs_borrowed, tasks_pending, values_bytes, leases, peers, calls_waiting;
    uint64_t frames_sent, frames_received, frames_relayed;
} CoreCounts;
void core_counts(Core *core, CoreCounts *ret_counts);

/* In a child of fork(): the runtime is not usable there; every call then answers -ESTALE. */
