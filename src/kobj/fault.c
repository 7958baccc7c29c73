/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/fault.h"

#include "base/vec.h"

static const char *const reasons[] = {
    [FAULT_REQUIRED] = "FieldValueRequired",
    [FAULT_INVALID] = "FieldValueInvalid",
    [FAULT_TYPE_INVALID] = "FieldValueTypeInvalid",
    [FAULT_NOT_SUPPORTED] = "FieldValueNotSupported",
    [FAULT_DUPLICATE] = "FieldValueDuplicate",
    [FAULT_FORBIDDEN] = "FieldValueForbidden",
    [FAULT_NOT_FOUND] = "FieldValueNotFound",
    [FAULT_TOO_LONG] = "FieldValueTooLong",
    [FAULT_TOO_MANY] = "FieldValueTooMany",
};

void faults_done(Faults *faults) {
    VEC_EACH(fault, faults) {
        mem_free(fault->field);
        mem_free(fault->message);
    }
    vec_done(faults);
    faults->dropped = 0;
}

bool faults_block_rules(const Faults *faults) {
    VEC_EACH(fault, faults) {
        switch (fault->type) {
        case FAULT_REQUIRED:
        case FAULT_TYPE_INVALID:
        case FAULT_NOT_SUPPORTED:
        case FAULT_TOO_LONG:
        case FAULT_TOO_MANY:
            return true;
        case FAULT_INVALID:
        case FAULT_DUPLICATE:
        case FAULT_FORBIDDEN:
        case FAULT_NOT_FOUND:
            break;
        }
    }
    return faults->dropped > 0;
}

static void faults_take(Faults *faults, FaultType type, const char *field, char *message) {
    if (faults->len >= FAULTS_MAX) {
        faults->dropped++;
        mem_free(message);
        return;
    }
    vec_push(faults, (Fault){ type, str_dup(field), message });
}

/* Strings in Go's quotes, everything else as JSON. */
static char *value_text(const json_t *value) {
    return value ? json_text(value, JSON_GO) : str_dup("null");
}

static void add_value(Faults *faults, FaultType type, const char *field, const char *words,
                      const json_t *value, const char *detail) {
    _cleanup_free_ char *text = value_text(value);

    faults_take(faults, type, field,
                str_printf("%s: %s%s%s", words, text, *detail ? ": " : "", detail));
}

void faults_add_required(Faults *faults, const char *field, const char *detail) {
    faults_take(faults, FAULT_REQUIRED, field,
                str_printf("Required value%s%s", *detail ? ": " : "", detail));
}

void faults_add_invalid(Faults *faults, const char *field, const json_t *value,
                        const char *detail) {
    add_value(faults, FAULT_INVALID, field, "Invalid value", value, detail);
}

void faults_add_type(Faults *faults, const char *field, const json_t *value, const char *detail) {
    add_value(faults, FAULT_TYPE_INVALID, field, "Invalid value", value, detail);
}

void faults_add_unsupported(Faults *faults, const char *field, const json_t *value,
                            const json_t *supported) {
    _cleanup_buf_ Buf list = { 0 };
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)supported, i, item) {
        _cleanup_free_ char *text = value_text(item);
        buf_printf(&list, "%s%s", i ? ", " : "supported values: ", text);
    }
    add_value(faults, FAULT_NOT_SUPPORTED, field, "Unsupported value", value,
              list.data ? list.data : "");
}

void faults_add_duplicate(Faults *faults, const char *field, const json_t *value) {
    add_value(faults, FAULT_DUPLICATE, field, "Duplicate value", value, "");
}

void faults_add_forbidden(Faults *faults, const char *field, const char *detail) {
    faults_take(faults, FAULT_FORBIDDEN, field, str_printf("Forbidden: %s", detail));
}

void faults_add_not_found(Faults *faults, const char *field, const json_t *value) {
    add_value(faults, FAULT_NOT_FOUND, field, "Not found", value, "");
}

void faults_add_too_long(Faults *faults, const char *field, int64_t max_bytes) {
    faults_take(faults, FAULT_TOO_LONG, field,
                str_printf("Too long: may not be more than %lld bytes", (long long)max_bytes));
}

void faults_add_too_many(Faults *faults, const char *field, int64_t actual, int64_t max) {
    faults_take(faults, FAULT_TOO_MANY, field,
                str_printf("Too many: %lld: must have at most %lld items", (long long)actual,
                           (long long)max));
}

void faults_add_copy(Faults *faults, const Fault *fault) {
    faults_take(faults, fault->type, fault->field, str_dup(fault->message));
}

char *faults_text(const Faults *faults) {
    Buf out = { 0 };

    if (faults->len > 1)
        buf_add_char(&out, '[');
    for (size_t i = 0; i < faults->len; i++)
        buf_printf(&out, "%s%s: %s", i ? ", " : "", faults->items[i].field,
                   faults->items[i].message);
    if (faults->dropped)
        buf_printf(&out, ", and %zu more", faults->dropped);
    if (faults->len > 1)
        buf_add_char(&out, ']');
    return buf_steal(&out);
}

json_t *status_new(int code, const char *reason, const char *message, const char *group,
                   const char *resource_or_kind, const char *name) {
    json_t *status = json_pack("{s:s, s:s, s:{}, s:s, s:s}", "kind", "Status", "apiVersion", "v1",
                               "metadata", "status", "Failure", "message", message);

    if (!str_empty(reason))
        json_object_set_new(status, "reason", json_string(reason));
    if (name)
        json_set_at(status, json_string(name), "details", "name");
    if (!str_empty(group))
        json_set_at(status, json_string(group), "details", "group");
    if (resource_or_kind)
        json_set_at(status, json_string(resource_or_kind), "details", "kind");
    json_object_set_new(status, "code", json_integer(code));
    return status;
}

json_t *status_new_invalid(const char *group, const char *kind, const char *name,
                           const Faults *faults) {
    _cleanup_free_ char *text = faults_text(faults);
    _cleanup_free_ char *message = str_printf("%s%s%s \"%s\" is invalid: %s", kind,
                                              *group ? "." : "", group, name ? name : "", text);
    json_t *status =
        status_new(422, "Invalid", message, group, kind, str_empty(name) ? NULL : name);
    json_t *causes = json_make_array(json_object_get(status, "details"), "causes");

    VEC_EACH(fault, faults) {
        json_array_append_new(causes, json_pack("{s:s, s:s, s:s}", "reason", reasons[fault->type],
                                                "message", fault->message, "field", fault->field));
    }
    return status;
}
