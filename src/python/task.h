/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Running calls: what task.c (the main thread) and concurrent.c (other threads) share. */

#include "python/module.h"

typedef struct Running {
    State *state;
    CoreTask *task;
    uint64_t session;
    bool partial; /* a generator runs: values that it has yielded stay, also if it fails */
} Running;

enum {
    YIELD = UINT32_MAX, /* instead of an index: the next value of a streaming call */
    DISPATCH_MAX = 256, /* calls of a concurrent actor that are handed over at once */
};

/* Runs it, or collects it if it is a concurrent actor's. -1: the process must end, with the exception that
 * is set. */
int run_task(State *state, CoreTask *task);
/* Its own code has called ray.shutdown(): there is nobody to tell how it ended, and nothing of `task` is
 * left, unless it was detached. */
bool running_lost(const Running *run);
/* What Python's hooks and the runtime context want to know of a call: a dict. */
PyObject *task_info(State *state, const CoreTask *task);
/* Its arguments, unpickled: by user code, maybe. *ret_kwargs is NULL where there are none. -1 with an
 * exception; *ret_failed: and it is since one of them is this error. */
int task_arguments(State *state, const CoreTask *task, PyObject **ret_args, PyObject **ret_kwargs,
                   PyObject **ret_failed);
int return_one(Running *run, uint32_t index, PyObject *value);
/* Waits until the reader of a stream has room. */
int await_room(Running *run);
/* Stores the result. -1 with an exception, which then is the task's. */
int store_result(Running *run, PyObject *value);
int end_well(Running *run, PyObject *value);
/* Takes the exception that is set. -1: it was one that ends the process, and is set again. */
int end_failed(Running *run, Hook hook, PyObject *argument_error);

/* ---- concurrent.c ---- */

int concurrent_init(PyObject *module, State *state);
/* Collects a call that other threads run; task.c's thread is done with it. */
int dispatch_add(State *state, CoreTask *task, PyObject *method);
/* Hands them over. */
int dispatch_flush(State *state);
/* Those that were cancelled: whoever runs them is told. */
int dispatch_cancelled(State *state);
