/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The vocabulary of HTTP that servers and clients share: headers, targets, status texts, secrets. */

#include "base/base.h"
#include "base/error.h"
#include "base/str.h"

/* Header fields in order; names compare without case. Zero-initialised is empty. */
typedef struct HttpHeaders {
    struct HttpHeader {
        char *name, *value;
    } *items;
    size_t len, cap;
} HttpHeaders;

void http_headers_done(HttpHeaders *headers);
void http_headers_add(HttpHeaders *headers, const char *name, const char *value);
void http_headers_set(HttpHeaders *headers, const char *name, const char *value); /* replaces */
const char *http_headers_get(const HttpHeaders *headers, const char *name); /* first, or NULL */
/* True if the comma-separated list in any `name` header has `token` (case ignored). */
bool http_headers_has_token(const HttpHeaders *headers, const char *name, const char *token);

const char *http_status_text(int status); /* "OK"; "Unknown" for what RFC 9110 does not name */
bool http_token_valid(Slice token);       /* field names, methods */
bool http_value_valid(Slice value);       /* field values: no CR, LF, NUL */

/* Percent-decoding into a new string. -EINVAL on a bad escape or an escaped NUL. */
_must_check_ int http_decode(Slice text, bool plus_is_space, char **ret_text);
/* Encodes all but unreserved characters (and '/' if `keep_slash`). */
char *http_encode(const char *text, bool keep_slash);

/* Query parameters: "a=1&b&a=2". */
typedef struct HttpQuery {
    struct HttpParam {
        char *name, *value;
    } *items;
    size_t len, cap;
} HttpQuery;
_must_check_ int http_query_parse(Slice text, HttpQuery *ret_query);
const char *http_query_get(const HttpQuery *query, const char *name); /* first, or NULL */
void http_query_done(HttpQuery *query);
/* Appends "name=value" encoded, with '?' or '&' before it as `url` needs. */
void http_query_add(Buf *url, const char *name, const char *value);

/* "http://host:port/path?query", "https://…"; also "unix:/path.sock:/target". Owned parts. */
typedef struct HttpUrl {
    bool tls;
    char *host;      /* without brackets; "localhost" for unix */
    uint16_t port;   /* 80 or 443 unless given */
    char *unix_path; /* or NULL */
    char *target;    /* path and query, "/" at least */
} HttpUrl;
_must_check_ int http_url_parse(const char *url, HttpUrl *ret_url);
void http_url_done(HttpUrl *url);

/* The token of "Authorization: Bearer …", borrowed, or NULL. */
const char *http_bearer(const HttpHeaders *headers);
/* Compares in a time that does not tell where they differ. NULL matches nothing. */
bool http_secret_equal(const char *given, const char *secret);
