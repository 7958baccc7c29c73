/* SPDX-License-Identifier: Apache-2.0 */
#include "local/status.h"

#include <inttypes.h>
#include <stdlib.h>

#include "codec/json.h"

/* What a request named may be no text in UTF-8, and is repeated in the refusal. */
static void make_text(char *message) {
    _cleanup_json_ json_t *text = json_string(message);
    for (char *at = message; !text && *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
}

int status_make(json_t **ret_status, int code, const char *reason, json_t *details,
                const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *message = str_vprintf(format, ap);
    va_end(ap);
    make_text(message);
    *ret_status = status_new(code, reason, message, NULL, NULL, NULL);
    if (details)
        json_object_set_new(*ret_status, "details", details);
    return code;
}

static json_t *details_of(StatusSubject subject, const char *name) {
    json_t *details = json_object();
    if (!str_empty(name))
        json_object_set_new(details, "name", json_string(name));
    if (!str_empty(subject.group))
        json_object_set_new(details, "group", json_string(subject.group));
    if (!str_empty(subject.resource))
        json_object_set_new(details, "kind", json_string(subject.resource));
    return details;
}

/* "pods", "rayclusters.ray.io" */
static char *qualified(StatusSubject subject) {
    return str_empty(subject.group) ? str_dup(subject.resource)
                                    : str_printf("%s.%s", subject.resource, subject.group);
}

int status_not_found(json_t **ret_status, StatusSubject subject, const char *name) {
    _cleanup_free_ char *what = qualified(subject);
    return status_make(ret_status, 404, "NotFound", details_of(subject, name),
                       "%s \"%s\" not found", what, name);
}

int status_already_exists(json_t **ret_status, StatusSubject subject, const char *name) {
    _cleanup_free_ char *what = qualified(subject);
    return status_make(ret_status, 409, "AlreadyExists", details_of(subject, name),
                       "%s \"%s\" already exists", what, name);
}

int status_conflict(json_t **ret_status, StatusSubject subject, const char *name, const char *why) {
    _cleanup_free_ char *what = qualified(subject);
    return status_make(ret_status, 409, "Conflict", details_of(subject, name),
                       "Operation cannot be fulfilled on %s \"%s\": %s", what, name,
                       why ? why
                           : "the object has been modified; please apply your changes to the "
                             "latest version and try again");
}

int status_bad_request(json_t **ret_status, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *message = str_vprintf(format, ap);
    va_end(ap);
    return status_make(ret_status, 400, "BadRequest", NULL, "%s", message);
}

int status_forbidden(json_t **ret_status, StatusSubject subject, const char *name,
                     const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *why = str_vprintf(format, ap);
    va_end(ap);
    _cleanup_free_ char *what = qualified(subject);
    return status_make(ret_status, 403, "Forbidden", details_of(subject, name),
                       "%s \"%s\" is forbidden: %s", what, name, why);
}

int status_no_such_path(json_t **ret_status) {
    return status_make(ret_status, 404, "NotFound", json_object(),
                       "the server could not find the requested resource");
}

int status_method_not_allowed(json_t **ret_status) {
    return status_make(ret_status, 405, "MethodNotAllowed", json_object(),
                       "the server does not allow this method on the requested resource");
}

int status_unauthorized(json_t **ret_status) {
    return status_make(ret_status, 401, "Unauthorized", NULL, "Unauthorized");
}

int status_expired(json_t **ret_status, uint64_t asked, uint64_t oldest) {
    return status_make(ret_status, 410, "Expired", NULL,
                       "too old resource version: %" PRIu64 " (%" PRIu64 ")", asked, oldest);
}

int status_internal(json_t **ret_status, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *why = str_vprintf(format, ap);
    va_end(ap);
    json_t *details = json_pack("{s:[{s:s}]}", "causes", "message", why);
    return status_make(ret_status, 500, "InternalError", details, "Internal error occurred: %s",
                       why);
}

int status_unavailable(json_t **ret_status, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *why = str_vprintf(format, ap);
    va_end(ap);
    return status_make(ret_status, 503, "ServiceUnavailable", NULL, "%s", why);
}

int status_invalid(json_t **ret_status, const char *group, const char *kind, const char *name,
                   const Faults *faults) {
    *ret_status = status_new_invalid(group, kind, name, faults);
    return 422;
}
