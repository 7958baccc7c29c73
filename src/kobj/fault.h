/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is wrong with an object, field by field, in the words of Kubernetes' field.Error, and the
 * metav1.Status that tells it. A Faults is a list that checks append to; empty is good.
 */

#include "base/base.h"
#include "base/str.h"
#include "codec/json.h"

typedef enum FaultType { /* reason of a StatusCause */
    FAULT_REQUIRED,      /* FieldValueRequired: "Required value" */
    FAULT_INVALID,       /* FieldValueInvalid: "Invalid value: ..." */
    FAULT_TYPE_INVALID,  /* FieldValueTypeInvalid: also "Invalid value: ..." */
    FAULT_NOT_SUPPORTED, /* FieldValueNotSupported: "Unsupported value: ..." */
    FAULT_DUPLICATE,     /* FieldValueDuplicate: "Duplicate value: ..." */
    FAULT_FORBIDDEN,     /* FieldValueForbidden: "Forbidden: ..." */
    FAULT_NOT_FOUND,     /* FieldValueNotFound: "Not found: ..." */
    FAULT_TOO_LONG,      /* FieldValueTooLong: "Too long: ..." */
    FAULT_TOO_MANY,      /* FieldValueTooMany: "Too many: ..." */
} FaultType;

typedef struct Fault {
    FaultType type;
    char *field;   /* "spec.containers[0].name" */
    char *message; /* all of it but the field */
} Fault;

typedef struct Faults {
    Fault *items;
    size_t len, cap; /* at most FAULTS_MAX are kept, the rest is counted */
    size_t dropped;
} Faults;

enum {
    FAULTS_MAX = 100
};

void faults_done(Faults *faults);
/* Whether one of them kept CRD rules from being checked, as Kubernetes decides it. */
bool faults_block_rules(const Faults *faults);
#define _cleanup_faults_ _cleanup_(faults_done)

/* `value` is shown as Go prints it (strings quoted, maps and lists as JSON); `detail` may be "". */
void faults_add_required(Faults *faults, const char *field, const char *detail);
void faults_add_invalid(Faults *faults, const char *field, const json_t *value, const char *detail);
void faults_add_type(Faults *faults, const char *field, const json_t *value, const char *detail);
/* `supported` is a JSON array; listed in its order. */
void faults_add_unsupported(Faults *faults, const char *field, const json_t *value,
                            const json_t *supported);
void faults_add_duplicate(Faults *faults, const char *field, const json_t *value);
void faults_add_forbidden(Faults *faults, const char *field, const char *detail);
void faults_add_not_found(Faults *faults, const char *field, const json_t *value);
void faults_add_too_long(Faults *faults, const char *field, int64_t max_bytes);
void faults_add_too_many(Faults *faults, const char *field, int64_t actual, int64_t max);

void faults_add_copy(Faults *faults, const Fault *fault);

/* All as one sentence: `[a: Required value, b: Invalid value: ...]`, one without brackets. Owned. */
char *faults_text(const Faults *faults);

/* A new metav1.Status of failure. `code` 404, `reason` "NotFound"; details are left out if NULL. */
json_t *status_new(int code, const char *reason, const char *message, const char *group,
                   const char *resource_or_kind, const char *name);
/* 422 Invalid: `KIND.GROUP "NAME" is invalid: ...` with a cause for each fault. */
json_t *status_new_invalid(const char *group, const char *kind, const char *name,
                           const Faults *faults);
