/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Calls of remote functions and actor methods: what is the same in each, and sending one. */

#include "python/module.h"

enum {
    PARAMETERS_MAX = 64 /* of a signature that C checks; longer ones are checked by HOOK_BIND */
};

/* A callable that submits. `spec` is Python's: what HOOK_PREPARE needs to fill the rest in. */
typedef struct CallObject {
    PyObject_HEAD State *state;
    PyObject *spec, *dict;
    uint64_t session;       /* the prepared template's */
    uint32_t capture_epoch; /* likewise */
    CoreTemplate *template_;
    int32_t num_returns;

    /* The signature, checked at each call before anything is sent. */
    bool checked;        /* false: ask HOOK_BIND */
    bool any_positional, any_keyword;
    PyObject *names;     /* tuple of str: positional ones, then keyword-only ones */
    unsigned positional; /* how many of them may be given by position */
    unsigned positional_only;
    uint64_t required;   /* bit i: names[i] has no default */
} CallObject;

/* Arguments as CPython hands them over: a vector or a tuple, keyword names or a dict. */
typedef struct Arguments {
    PyObject *const *vector;
    PyObject *tuple;
    size_t len; /* positional ones */
    PyObject *names, *dict;
} Arguments;

PyObject *argument_at(const Arguments *arguments, size_t i);

/* The number of keyword arguments, and each: *pos starts at 0. */
size_t arguments_keywords(const Arguments *arguments);
bool arguments_next(const Arguments *arguments, Py_ssize_t *pos, PyObject **ret_name,
                    PyObject **ret_value);

/* Prepares the call for this session where that is not done, and checks the arguments. -1: raised. */
int call_ready(CallObject *call, const Arguments *arguments);

/* Arguments encoded for the core. */
typedef struct PackedArguments PackedArguments;
/* Sends: a plain task if `actor` is NULL. What .remote() returns. */
PyObject *call_send(CallObject *call, CoreActor *actor, const Arguments *arguments);
/* Packs them and calls `use` with them; for actor creation. */
int call_pack(CallObject *call, const Arguments *arguments,
              int (*use)(void *context, const CoreArgs *args), void *context);
