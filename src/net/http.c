/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http.h"

#include <ctype.h>
#include <strings.h>

#include "base/vec.h"

void http_headers_done(HttpHeaders *headers) {
    for (size_t i = 0; i < headers->len; i++) {
        mem_free(headers->items[i].name);
        mem_free(headers->items[i].value);
    }
    vec_done(headers);
}

void http_headers_add(HttpHeaders *headers, const char *name, const char *value) {
    vec_push(headers, (struct HttpHeader){ .name = str_dup(name), .value = str_dup(value) });
}

static struct HttpHeader *find(const HttpHeaders *headers, const char *name) {
    for (size_t i = 0; i < headers->len; i++)
        if (strcasecmp(headers->items[i].name, name) == 0)
            return &headers->items[i];
    return NULL;
}

void http_headers_set(HttpHeaders *headers, const char *name, const char *value) {
    struct HttpHeader *found = find(headers, name);
    if (found)
        str_set(&found->value, value);
    else
        http_headers_add(headers, name, value);
}

const char *http_headers_get(const HttpHeaders *headers, const char *name) {
    const struct HttpHeader *found = find(headers, name);
    return found ? found->value : NULL;
}

static bool list_has_token(const char *list, const char *token) {
    size_t len = strlen(token);
    while (*list) {
        list += strspn(list, ", \t");
        size_t part = strcspn(list, ",");
        size_t trimmed = part;
        while (trimmed && (list[trimmed - 1] == ' ' || list[trimmed - 1] == '\t'))
            trimmed--;
        if (trimmed == len && strncasecmp(list, token, len) == 0)
            return true;
        list += part;
    }
    return false;
}

bool http_headers_has_token(const HttpHeaders *headers, const char *name, const char *token) {
    for (size_t i = 0; i < headers->len; i++)
        if (strcasecmp(headers->items[i].name, name) == 0 &&
            list_has_token(headers->items[i].value, token))
            return true;
    return false;
}

const char *http_status_text(int status) {
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        { 100, "Continue" },
        { 101, "Switching Protocols" },
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 206, "Partial Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 411, "Length Required" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 416, "Range Not Satisfiable" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" },
        { 426, "Upgrade Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Unknown";
}

static bool token_char(unsigned char c) {
    return isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool http_token_valid(Slice token) {
    for (size_t i = 0; i < token.len; i++)
        if (!token_char((unsigned char)token.data[i]))
            return false;
    return token.len > 0;
}

bool http_value_valid(Slice value) {
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int http_decode(Slice text, bool plus_is_space, char **ret_text) {
    _cleanup_free_ char *out = mem_alloc(text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return error_origin(-EINVAL, "bad percent-escape in URL");
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == 0)
            return error_origin(-EINVAL, "NUL in URL");
        out[len++] = c;
    }
    out[len] = 0;
    *ret_text = TAKE(out);
    return 0;
}

static void encode_into(Buf *out, const char *text, bool keep_slash) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (isalnum(c) || strchr("-._~", c) || (c == '/' && keep_slash))
            buf_add_char(out, (char)c);
        else
            buf_printf(out, "%%%02X", c);
    }
}

char *http_encode(const char *text, bool keep_slash) {
    Buf out = { 0 };
    encode_into(&out, text, keep_slash);
    return buf_steal(&out);
}

enum {
    QUERY_PARAMS_MAX = 256
};

static int param_add(HttpQuery *query, Slice pair) {
    const char *equals = memchr(pair.data, '=', pair.len);
    size_t name_len = equals ? (size_t)(equals - pair.data) : pair.len;
    Slice value = equals ? (Slice){ equals + 1, pair.len - name_len - 1 } : (Slice){ "", 0 };
    if (query->len == QUERY_PARAMS_MAX)
        return error_origin(-EINVAL, "more than %d query parameters", QUERY_PARAMS_MAX);
    _cleanup_free_ char *name = NULL;
    char *decoded = NULL;
    int r = http_decode((Slice){ pair.data, name_len }, true, &name);
    if (r == 0)
        r = http_decode(value, true, &decoded);
    if (r < 0)
        return r;
    vec_push(query, (struct HttpParam){ .name = TAKE(name), .value = decoded });
    return 0;
}

int http_query_parse(Slice text, HttpQuery *ret_query) {
    HttpQuery query = { 0 };
    while (text.len) {
        const char *end = memchr(text.data, '&', text.len);
        size_t len = end ? (size_t)(end - text.data) : text.len;
        int r = len ? param_add(&query, (Slice){ text.data, len }) : 0;
        if (r < 0) {
            http_query_done(&query);
            return r;
        }
        text.data += len + (end != NULL);
        text.len -= len + (end != NULL);
    }
    *ret_query = query;
    return 0;
}

const char *http_query_get(const HttpQuery *query, const char *name) {
    for (size_t i = 0; i < query->len; i++)
        if (str_eq(query->items[i].name, name))
            return query->items[i].value;
    return NULL;
}

void http_query_done(HttpQuery *query) {
    for (size_t i = 0; i < query->len; i++) {
        mem_free(query->items[i].name);
        mem_free(query->items[i].value);
    }
    vec_done(query);
}

void http_query_add(Buf *url, const char *name, const char *value) {
    buf_add_char(url, url->data && strchr(url->data, '?') ? '&' : '?');
    encode_into(url, name, false);
    buf_add_char(url, '=');
    encode_into(url, value, false);
}

/* "host", "host:port", "[v6]:port". */
static int authority_parse(Slice text, HttpUrl *url) {
    const char *end = text.data + text.len, *host = text.data, *after;
    if (text.len && *host == '[') {
        const char *close = memchr(host, ']', text.len);
        if (!close)
            return -EINVAL;
        host++;
        url->host = str_dup_slice((Slice){ host, (size_t)(close - host) });
        after = close + 1;
    } else {
        const char *colon = memchr(host, ':', text.len);
        after = colon ? colon : end;
        url->host = str_dup_slice((Slice){ host, (size_t)(after - host) });
    }
    if (after < end) {
        uint64_t port = 0;
        _cleanup_free_ char *digits =
            *after == ':' ? str_dup_slice((Slice){ after + 1, (size_t)(end - after - 1) }) : NULL;
        if (!digits || str_to_u64(digits, &port) < 0 || port == 0 || port > UINT16_MAX)
            return -EINVAL;
        url->port = (uint16_t)port;
    }
    return url->host[0] && !strpbrk(url->host, "@ \t\\") ? 0 : -EINVAL;
}

static int url_rest(const char *rest, HttpUrl *url) {
    for (const char *c = rest; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
            return -EINVAL;
    size_t len = strcspn(rest, "#");
    url->target =
        *rest == '/' ? str_dup_slice((Slice){ rest, len }) : str_printf("/%.*s", (int)len, rest);
    return 0;
}

static int url_parse_into(const char *text, HttpUrl *url) {
    if (str_starts(text, "unix:")) {
        const char *path = text + strlen("unix:"), *colon = strrchr(path, ':');
        if (!colon || colon == path)
            return -EINVAL;
        url->unix_path = str_dup_slice((Slice){ path, (size_t)(colon - path) });
        url->host = str_dup("localhost");
        url->port = 80;
        return url_rest(colon + 1, url);
    }
    url->tls = str_starts(text, "https://") || str_starts(text, "wss://");
    if (!url->tls && !str_starts(text, "http://") && !str_starts(text, "ws://"))
        return -EINVAL;
    url->port = url->tls ? 443 : 80;
    const char *authority = strstr(text, "://") + 3;
    size_t len = strcspn(authority, "/?#");
    int r = authority_parse((Slice){ authority, len }, url);
    return r < 0 ? r : url_rest(authority + len, url);
}

int http_url_parse(const char *text, HttpUrl *ret_url) {
    HttpUrl url = { 0 };
    if (url_parse_into(text, &url) < 0) {
        http_url_done(&url);
        return error_origin(-EINVAL, "\"%s\" is not a URL like http://host:port/path", text);
    }
    *ret_url = url;
    return 0;
}

void http_url_done(HttpUrl *url) {
    mem_free(url->host);
    mem_free(url->unix_path);
    mem_free(url->target);
    *url = (HttpUrl){ 0 };
}

const char *http_bearer(const HttpHeaders *headers) {
    const char *value = http_headers_get(headers, "Authorization");
    if (!value || strncasecmp(value, "Bearer ", 7) != 0)
        return NULL;
    value += 7 + strspn(value + 7, " ");
    return *value ? value : NULL;
}

bool http_secret_equal(const char *given, const char *secret) {
    if (!given || !secret)
        return false;
    size_t len = strlen(secret);
    /* The length of the secret is no secret; its bytes are. */
    return strlen(given) == len && mem_equal_secret(given, secret, len);
}
