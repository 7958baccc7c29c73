/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * metav1.Status bodies in Kubernetes' words: kubectl prints them and clients match on `reason`.
 * Every maker sets *ret_status to a new reference and gives the HTTP code, so that a handler says
 * `return status_not_found(&status, resource, name);`.
 */

#include <jansson.h>

#include "base/base.h"
#include "base/str.h"
#include "kobj/fault.h"

/* What a Status says about itself: `group` "" is the core group. */
typedef struct StatusSubject {
    const char *group;
    const char *resource; /* plural */
} StatusSubject;

/* code, reason and a sentence; `details` (may be NULL) is taken over. */
int status_make(json_t **ret_status, int code, const char *reason, json_t *details,
                const char *format, ...) _printf_(5, 6);

int status_not_found(json_t **ret_status, StatusSubject subject, const char *name);
int status_already_exists(json_t **ret_status, StatusSubject subject, const char *name);
int status_conflict(json_t **ret_status, StatusSubject subject, const char *name,
                    const char *why); /* NULL: the object has been modified … */
int status_bad_request(json_t **ret_status, const char *format, ...) _printf_(2, 3);
int status_forbidden(json_t **ret_status, StatusSubject subject, const char *name,
                     const char *format, ...) _printf_(4, 5);
/* The URL leads nowhere. */
int status_no_such_path(json_t **ret_status);
int status_method_not_allowed(json_t **ret_status);
int status_unauthorized(json_t **ret_status);
int status_expired(json_t **ret_status, uint64_t asked, uint64_t oldest);
int status_internal(json_t **ret_status, const char *format, ...) _printf_(2, 3);
int status_unavailable(json_t **ret_status, const char *format, ...) _printf_(2, 3);

/* 422 with a cause for each fault. */
int status_invalid(json_t **ret_status, const char *group, const char *kind, const char *name,
                   const Faults *faults);
