/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOBULA_H
#define MOBULA_H

/*
 * Mobula's C API: tasks, actors and objects of a Ray cluster, from C.
 *
 * A program connects to the cluster of its machine (mobula_connect), opens a shared object that
 * holds the code of its tasks and actors (mobula_library_open), and calls them. The shared object is
 * sent to whichever node runs a call; nothing need be installed there. Workers of C code are processes
 * of their own, started in milliseconds, without Python.
 *
 *     cc -shared -fPIC -o sums.so sums.c                 # the tasks: need no library
 *     cc -o main main.c $(pkg-config --cflags --libs mobula)
 *
 * Results. Every function that can fail returns 0 when it is done, a negative errno value when it
 * failed (mobula_error_text() has a sentence), or one of the positive MobulaAnswer values, which its
 * comment names. Out-parameters are last, called ret_, and written only when 0 is returned.
 *
 * Time. Timeouts are in microseconds; 0 looks without waiting, negative waits for ever.
 *
 * Threads. Any thread may call anything. A Mobula has one thread of its own, which runs none of
 * your code. In a child of fork() a Mobula is not usable.
 *
 * Ownership. What ret_ receives is yours; give it back with the function named beside its type. Bytes
 * that you pass in are copied before the call returns. Handles must not be used after
 * mobula_disconnect(); dropping them is still allowed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOBULA_API __attribute__((visibility("default")))

typedef struct Mobula Mobula;                 /* a connection: mobula_disconnect() */
typedef struct MobulaRef MobulaRef;           /* an object, here or to come: mobula_ref_drop() */
typedef struct MobulaLibrary MobulaLibrary;   /* code that workers run: mobula_library_close() */
typedef struct MobulaFunction MobulaFunction; /* a task: mobula_function_free() */
typedef struct MobulaActor MobulaActor;       /* a handle of an actor: mobula_actor_drop() */
typedef struct MobulaMethod MobulaMethod;     /* of an actor's class: mobula_method_free() */
typedef struct MobulaCall MobulaCall; /* a call that runs here: see "Code that workers run" */

typedef enum MobulaAnswer {
    MOBULA_TIMEOUT = 1,   /* the time was up first */
    MOBULA_EXISTS = 2,    /* an actor of this name lives already */
    MOBULA_NOT_FOUND = 3, /* nobody has this name */
    MOBULA_FULL = 4,      /* the actor has max_pending calls to do */
} MobulaAnswer;

/* What the negative `code` that a call on this thread just returned means. Borrowed until the next
 * failure on this thread. */
MOBULA_API const char *mobula_error_text(int code);

/* ---- the connection ------------------------------------------------------------------------ */

typedef struct MobulaOptions {
    /* The socket of this node's raylet; NULL: that of the session that was started last on this
     * machine (`ray start --head`, ray.init()), below $RAY_TMPDIR/ray or /tmp/ray. */
    const char *raylet_socket;
    const char *namespace_; /* of named actors; NULL: one of this program's own */
    const char *token;      /* of the cluster; NULL: that of $RAY_AUTH_TOKEN, of the file
                             $RAY_AUTH_TOKEN_PATH, or of ~/.ray/auth_token */
    int64_t timeout_us;     /* to be welcomed; 0: 30 s */
} MobulaOptions;

/* `options` may be NULL. -ENOENT: no cluster runs here. -ECONNREFUSED, -ETIMEDOUT, -EACCES. */
MOBULA_API int mobula_connect(const MobulaOptions *options, Mobula **ret_mobula);
/* Ends the job: tasks that still run, and actors that are not detached, end with it. NULL is fine. */
MOBULA_API void mobula_disconnect(Mobula *mobula);

/* ---- objects ------------------------------------------------------------------------------- */

/* Stores bytes: small ones in this process, from 100 KiB on in the node's shared memory.
 * -ENOSPC: the store is full and stayed so for 60 s. */
MOBULA_API int mobula_put(Mobula *mobula, const void *data, size_t size, MobulaRef **ret_ref);

typedef struct MobulaValue {
    const void *data;  /* borrowed until mobula_value_release(); large ones lie in shared memory */
    size_t size;       /* bytes */
    const char *error; /* not NULL: there is no value, and this is why; borrowed likewise */
    void *hold[2];     /* the runtime's */
} MobulaValue;

/* Waits for all of `refs`; ret_values gets one entry a ref, each of which you release. An entry
 * may be an error while the others are values. MOBULA_TIMEOUT: nothing was written. */
MOBULA_API int mobula_get(Mobula *mobula, MobulaRef *const *refs, size_t count, int64_t timeout_us,
                          MobulaValue *ret_values);
/* One that is zeros, or was released, is left alone. */
MOBULA_API void mobula_value_release(MobulaValue *value);

/* Waits until `wanted` of `refs` are ready (value or error) or the time is up; either is 0.
 * ret_ready gets one flag a ref, of which at most `wanted` are set. -EINVAL: a ref is there twice. */
MOBULA_API int mobula_wait(Mobula *mobula, MobulaRef *const *refs, size_t count, size_t wanted,
                           int64_t timeout_us, bool *ret_ready);

MOBULA_API MobulaRef *mobula_ref_hold(MobulaRef *ref); /* one count more; returns `ref` */
MOBULA_API void mobula_ref_drop(MobulaRef *ref);       /* NULL is fine */

/* ---- calling tasks ------------------------------------------------------------------------- */

/* Reads a shared object, at most 64 MiB, and makes it known to the cluster under its hash. */
MOBULA_API int mobula_library_open(Mobula *mobula, const char *path, MobulaLibrary **ret_library);
MOBULA_API void mobula_library_close(MobulaLibrary *library);

typedef struct MobulaResource {
    const char *name; /* "CPU", "GPU", "memory" (bytes) or one of your own */
    double amount;    /* to 1/10000 */
} MobulaResource;

/* Begin with MOBULA_CALL_OPTIONS. */
typedef struct MobulaCallOptions {
    const MobulaResource *resources; /* held while the call runs (an actor: while it lives) */
    size_t resources_len;            /* none: 1 CPU for a task, nothing for an actor */
    int num_returns;                 /* references that a call gives: 0 to 64 */
    int max_retries;                 /* after the death of its worker; -1: for ever */
} MobulaCallOptions;
#define MOBULA_CALL_OPTIONS { NULL, 0, 1, 3 }

/* The task whose function is `symbol` in the library (a MobulaTaskFn). `options` may be NULL. Prepare it
 * once and call it often. */
MOBULA_API int mobula_function_new(MobulaLibrary *library, const char *symbol,
                                   const MobulaCallOptions *options, MobulaFunction **ret_function);
MOBULA_API void mobula_function_free(MobulaFunction *function); /* calls in flight go on */

/* An argument: bytes, or a reference whose bytes the callee sees. A call waits for its references; one
 * that is an error ends the call with that error. */
typedef struct MobulaArg {
    const void *data;
    size_t size;
    MobulaRef *ref; /* instead of data */
} MobulaArg;

/* Calls the task: never waits for it. ret_refs gets num_returns references. */
MOBULA_API int mobula_submit(MobulaFunction *function, const MobulaArg *args, size_t count,
                             MobulaRef **ret_refs);
/* Takes the call back that makes `ref`, if it has not begun; `force` ends its worker if it has.
 * get() then tells that it was cancelled. */
MOBULA_API int mobula_cancel(Mobula *mobula, MobulaRef *ref, bool force);

/* ---- actors -------------------------------------------------------------------------------- */

/* Begin with MOBULA_ACTOR_OPTIONS. */
typedef struct MobulaActorOptions {
    const char *name;                /* NULL: none */
    bool detached;                   /* outlives this program; needs a name */
    bool get_if_exists;              /* the one that has the name, instead of MOBULA_EXISTS */
    int max_restarts;                /* after the death of its worker; -1: for ever */
    int max_task_retries;            /* of calls that a death interrupts */
    int max_pending;                 /* calls not answered yet; -1: any number */
    const MobulaResource *resources; /* as in MobulaCallOptions */
    size_t resources_len;
} MobulaActorOptions;
#define MOBULA_ACTOR_OPTIONS { NULL, false, false, 0, 0, -1, NULL, 0 }

/* An actor of the class that `symbol` is in the library (a MobulaClass). It lives until its last
 * handle is dropped, unless it is detached. MOBULA_EXISTS. */
MOBULA_API int mobula_actor_new(MobulaLibrary *library, const char *symbol,
                                const MobulaActorOptions *options, const MobulaArg *args,
                                size_t count, MobulaActor **ret_actor);
/* By name, in `namespace_` or, for NULL, this program's. Such a handle doesn't keep the actor alive.
 * MOBULA_NOT_FOUND. */
MOBULA_API int mobula_actor_find(Mobula *mobula, const char *name, const char *namespace_,
                                 MobulaActor **ret_actor);
MOBULA_API void mobula_actor_drop(MobulaActor *actor);
/* Ends it at once; its pending calls become errors. */
MOBULA_API int mobula_actor_kill(MobulaActor *actor, bool no_restart);

/* A method, for any actor that has it. `options` may be NULL; its resources and retries don't count. */
MOBULA_API int mobula_method_new(Mobula *mobula, const char *name, const MobulaCallOptions *options,
                                 MobulaMethod **ret_method);
MOBULA_API void mobula_method_free(MobulaMethod *method);
/* Calls it: never waits. Calls of one process run in the order in which it made them.
 * MOBULA_FULL. */
MOBULA_API int mobula_actor_submit(MobulaActor *actor, MobulaMethod *method, const MobulaArg *args,
                                   size_t count, MobulaRef **ret_refs);

/* ---- code that workers run ----------------------------------------------------------------- */

/*
 * A task is an exported function, a class an exported constant. Both return 0, or a negative errno
 * value: then the call failed, with the sentence of mobula_fail() or of the number. One call at a time
 * runs in a worker, on its main thread.
 */
typedef int MobulaTaskFn(MobulaCall *call);

typedef struct MobulaClassMethod {
    const char *name;
    int (*run)(MobulaCall *call, void *self);
} MobulaClassMethod;

typedef struct MobulaClass {
    int (*construct)(MobulaCall *call, void **ret_self);
    void (*destroy)(void *self);      /* at an orderly end; may be NULL */
    const MobulaClassMethod *methods; /* ends with a NULL name */
} MobulaClass;

MOBULA_API size_t mobula_args(const MobulaCall *call);
/* Borrowed for the call; aligned to nothing. NULL beyond the last. */
MOBULA_API const void *mobula_arg(const MobulaCall *call, size_t index, size_t *ret_size);
/* The value of return `index`, copied. One that is not set is no bytes. -EINVAL: beyond num_returns. */
MOBULA_API int mobula_return(MobulaCall *call, size_t index, const void *data, size_t size);
/* Says why the call fails; returns `code`, for `return mobula_fail(call, -EINVAL, "...")`. */
MOBULA_API int mobula_fail(MobulaCall *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Was this call cancelled? Long ones look now and then and return -ECANCELED. */
MOBULA_API bool mobula_cancelled(const MobulaCall *call);
/* For calls and objects of its own. Borrowed; not to be disconnected. */
MOBULA_API Mobula *mobula_session(const MobulaCall *call);

#ifdef __cplusplus
}
#endif

#endif
