/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between Python's values and the records of the wire, and questions to gcs. */

#include "python/module.h"

/* From {name: number}; the names are borrowed from the dict's keys. -1: raised. */
int resources_argument(PyObject *dict, Arena *arena, const Resource **ret, size_t *ret_len);
/* From {key: condition} or [(key, condition)]; borrowed likewise. */
int labels_argument(PyObject *labels, Arena *arena, Pair **ret, size_t *ret_len);

PyObject *text_object(Slice slice);
PyObject *resources_dict(const Resource *list, size_t len);
PyObject *labels_dict(const Pair *list, size_t len);

/* One call, waiting for its answer. 0, CORE_NOT_FOUND, or -1 with an exception. */
int ask_gcs(State *state, MessageType type, const Buf *body, Buf *out);
