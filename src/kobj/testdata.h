/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For this folder's tests: what test/kube/record.py wrote down from a real kube-apiserver. */

#include "codec/json.h"

/* A file of src/kobj/testdata/. New reference. */
json_t *testdata_load(const char *name);
/* The case of that name, borrowed; fails the test if there is none. */
json_t *testdata_case(const json_t *data, const char *name);
/* Whether two Status values have the same causes, in any order. */
bool testdata_same_causes(const json_t *a, const json_t *b);
/* Fails the test, printing what was wanted and what came. */
void testdata_fail(const json_t *item, const json_t *wanted, int code, const json_t *body);
