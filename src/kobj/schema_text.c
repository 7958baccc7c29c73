/* SPDX-License-Identifier: Apache-2.0 */

/* What strings have to look like: patterns (PCRE2, bounded) and formats. */

#define PCRE2_CODE_UNIT_WIDTH 8
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>

#include "base/clock.h"
#include "kobj/quantity.h"
#include "kobj/schema_private.h"

enum {
    REGEX_MATCH_LIMIT = 100000,
    REGEX_DEPTH_LIMIT = 1000,
    REGEX_HEAP_KIB = 1024,
};

/* What KubeRay's CRDs ask of every resource: worth no regex engine. */
static const char quantity_pattern[] =
    "^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|"
    "([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$";

static const char *skip_number(const char *p) {
    size_t whole = strspn(p, "0123456789");
    const char *after = p + whole;
    size_t part = *after == '.' ? strspn(after + 1, "0123456789") : 0;

    if (whole == 0 && part == 0)
        return NULL;
    return after + (*after == '.' ? 1 + part : 0);
}

static bool quantity_matches(const char *text) {
    const char *p = skip_number(text + (*text == '+' || *text == '-'));

    if (!p)
        return false;
    if (*p == 'e' || *p == 'E') {
        const char *end = skip_number(p + 1 + (p[1] == '+' || p[1] == '-'));
        if (end)
            return !*end;
    }
    if (*p && strchr("KMGTPE", *p) && p[1] == 'i')
        return !p[2];
    return !*p || (strchr("numkMGTPE", *p) && !p[1]);
}

static pcre2_code *regex_compile(const char *pattern, int *ret_code, size_t *ret_at) {
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);

    pcre2_set_max_pattern_length(context, 10000);
    pcre2_set_parens_nest_limit(context, 100);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                     PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C,
                                     ret_code, ret_at, context);
    pcre2_compile_context_free(context);
    return code;
}

int regex_check(const char *pattern, char *why, size_t why_size) {
    PCRE2_UCHAR text[160];
    size_t at;
    int code;

    pcre2_code *compiled = regex_compile(pattern, &code, &at);
    if (compiled) {
        pcre2_code_free(compiled);
        return 0;
    }
    pcre2_get_error_message(code, text, sizeof(text));
    snprintf(why, why_size, "must be a valid regular expression, but isn't: %s at %zu",
             (const char *)text, at);
    return -EINVAL;
}

bool regex_matches(const char *pattern, const char *text, size_t len) {
    size_t at;
    int code;

    if (str_eq(pattern, quantity_pattern))
        return quantity_matches(text);
    pcre2_code *compiled = regex_compile(pattern, &code, &at);
    if (!compiled)
        return false;
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(context, REGEX_MATCH_LIMIT);
    pcre2_set_depth_limit(context, REGEX_DEPTH_LIMIT);
    pcre2_set_heap_limit(context, REGEX_HEAP_KIB);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int found = pcre2_match(compiled, (PCRE2_SPTR)text, len, 0, PCRE2_NO_UTF_CHECK, data, context);
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_code_free(compiled);
    return found >= 0;
}

static bool is_date_time(const char *text) {
    usec_t at;

    return time_parse_rfc3339(text, &at) == 0;
}

static bool is_date(const char *text) {
    _cleanup_free_ char *full = str_printf("%sT00:00:00Z", text);

    return strlen(text) == 10 && is_date_time(full);
}

/* Go's duration, or the looser "5 days" of go-openapi. */
static bool is_duration(const char *text) {
    static const char *const units[] = { "ns",    "us",  "ms",     "s",    "m",
                                         "h",     "d",   "w",      "nano", "micro",
                                         "milli", "sec", "second", "min",  "minute",
                                         "hour",  "hr",  "day",    "week", "wk" };
    usec_t duration;

    if (time_parse_duration(text, &duration) == 0)
        return true;
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits + strspn(text + digits, " ");
    for (size_t i = 0; digits > 0 && i < ARRAY_LEN(units); i++) {
        size_t len = strlen(units[i]);
        if (!strncmp(unit, units[i], len) && (!unit[len] || str_eq(unit + len, "s")))
            return true;
    }
    return false;
}

static bool is_byte(const char *text) {
    _cleanup_free_ void *bytes = NULL;
    size_t len;

    return base64_decode(text, strlen(text), &bytes, &len) == 0;
}

static bool is_ipv4(const char *text) {
    struct in_addr address;

    return inet_pton(AF_INET, text, &address) == 1;
}

static bool is_ipv6(const char *text) {
    struct in6_addr address;

    return inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_uuid(const char *text) {
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return !text[36];
}

bool format_matches(const char *format, const char *text) {
    static const struct {
        const char *format;
        bool (*matches)(const char *text);
    } known[] = { { "date-time", is_date_time }, { "datetime", is_date_time }, { "date", is_date },
                  { "duration", is_duration },   { "byte", is_byte },          { "ipv4", is_ipv4 },
                  { "ipv6", is_ipv6 },           { "uuid", is_uuid } };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(known[i].format, format))
            return known[i].matches(text);
    return true;
}
