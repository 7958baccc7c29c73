/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/names.h"

#include <ctype.h>

#include "base/str.h"

/* The sentences are Kubernetes' own: users and tests know them by heart. */
#define LABEL_1123                                                                                 \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "   \
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "     \
    "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define SUBDOMAIN_1123                                                                             \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "  \
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define LABEL_1035                                                                                 \
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "   \
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "           \
    "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
#define LABEL_VALUE                                                                                \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "    \
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value', " \
    " or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
#define QUALIFIED_PART                                                                             \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "    \
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "         \
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define ENV_VAR                                                                                    \
    "a valid environment variable name must consist only of printable ASCII characters other "     \
    "than '='"
#define CONFIG_KEY                                                                                 \
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "           \
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
#define NO_MORE(n) "must be no more than " #n " characters"

static bool is_lower_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c) {
    return is_lower_digit(c) || (c >= 'A' && c <= 'Z');
}

/* [first]([inner]*[last])? with the same class at both ends. */
static bool matches(const char *text, size_t len, bool (*end)(char), const char *inner) {
    if (len == 0 || !end(text[0]) || !end(text[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!end(text[i]) && !strchr(inner, text[i]))
            return false;
    return true;
}

static bool labels_match(const char *text) {
    for (;;) {
        size_t len = strcspn(text, ".");
        if (!matches(text, len, is_lower_digit, "-"))
            return false;
        if (!text[len])
            return true;
        text += len + 1;
    }
}

const char *name_check_dns1123_label(const char *text) {
    if (strlen(text) > 63)
        return NO_MORE(63);
    if (matches(text, strlen(text), is_lower_digit, "-"))
        return NULL;
    return labels_match(text) && strlen(text) <= 253 ? "must not contain dots" : LABEL_1123;
}

const char *name_check_dns1123_subdomain(const char *text) {
    if (strlen(text) > 253)
        return NO_MORE(253);
    return labels_match(text) ? NULL : SUBDOMAIN_1123;
}

const char *name_check_dns1035_label(const char *text) {
    if (strlen(text) > 63)
        return NO_MORE(63);
    bool good = matches(text, strlen(text), is_lower_digit, "-") && !isdigit((unsigned char)*text);
    return good ? NULL : LABEL_1035;
}

const char *name_check_path_segment(const char *text) {
    if (str_eq(text, "."))
        return "may not be '.'";
    if (str_eq(text, ".."))
        return "may not be '..'";
    if (strchr(text, '/'))
        return "may not contain '/'";
    return strchr(text, '%') ? "may not contain '%'" : NULL;
}

const char *name_check_port_name(const char *text, size_t n) {
    static const char lower_digits[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    size_t len = strlen(text), digits = strcspn(text, "abcdefghijklmnopqrstuvwxyz");
    const struct {
        bool broken;
        const char *why;
    } rules[] = {
        { len > 15, NO_MORE(15) },
        { strspn(text, lower_digits) < len,
          "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)" },
        { digits == len, "must contain at least one letter (a-z)" },
        { strstr(text, "--") != NULL, "must not contain consecutive hyphens" },
        { len > 0 && (*text == '-' || text[len - 1] == '-'),
          "must not begin or end with a hyphen" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (rules[i].broken && n-- == 0)
            return rules[i].why;
    return NULL;
}

const char *name_check_env_var(const char *text) {
    for (const char *p = text; *p; p++)
        if (*p < ' ' || *p > '~' || *p == '=')
            return ENV_VAR;
    return *text ? NULL : "environment variable name must not be empty";
}

const char *name_check_config_key(const char *text) {
    if (strlen(text) > 253)
        return NO_MORE(253);
    if (!*text)
        return CONFIG_KEY;
    for (const char *p = text; *p; p++)
        if (!is_alnum(*p) && !strchr("-._", *p))
            return CONFIG_KEY;
    if (str_eq(text, "."))
        return "must not be '.'";
    if (str_eq(text, ".."))
        return "must not be '..'";
    return str_starts(text, "..") ? "must not start with '..'" : NULL;
}

/* The prefix of "prefix/name" is a subdomain. */
static const char *check_prefix(const char *text, size_t len) {
    _cleanup_free_ char *prefix = str_dup_slice((Slice){ text, len });

    if (len == 0)
        return "prefix part must be non-empty";
    const char *why = name_check_dns1123_subdomain(prefix);
    if (why && len > 253)
        return "prefix part must be no more than 253 characters";
    return why ? "prefix part " SUBDOMAIN_1123 : NULL;
}

const char *name_check_qualified(const char *text) {
    const char *slash = strchr(text, '/'), *name = slash ? slash + 1 : text;

    if (strchr(name, '/'))
        return "a qualified name " QUALIFIED_PART " with an optional DNS subdomain prefix and '/' "
               "(e.g. 'example.com/MyName')";
    const char *why = slash ? check_prefix(text, (size_t)(slash - text)) : NULL;
    if (why)
        return why;
    if (!*name)
        return "name part must be non-empty";
    if (strlen(name) > 63)
        return "name part must be no more than 63 characters";
    return matches(name, strlen(name), is_alnum, "-_.") ? NULL : "name part " QUALIFIED_PART;
}

const char *name_check_label_value(const char *text) {
    if (strlen(text) > 63)
        return NO_MORE(63);
    return !*text || matches(text, strlen(text), is_alnum, "-_.") ? NULL : LABEL_VALUE;
}

char *name_generate(const char *base, uint64_t random) {
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    char tail[6] = { 0 };

    for (int i = 0; i < 5; i++) {
        tail[i] = alphabet[random % (sizeof(alphabet) - 1)];
        random /= sizeof(alphabet) - 1;
    }
    return str_printf("%.58s%s", base, tail);
}
