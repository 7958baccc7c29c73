/* SPDX-License-Identifier: Apache-2.0 */
#include "api/auth.h"

#include "base/error.h"

static const char cookie_name[] = "ray-authentication-token";

bool auth_path_public(const char *path) {
    static const char *const paths[] = {
        "/",
        "/favicon.ico",
        "/api/authentication_mode",
        "/api/authenticate",
        "/api/healthz",
        "/api/gcs_healthz",
        "/api/local_raylet_healthz",
        "/-/healthz",
    };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (str_eq(path, paths[i]))
            return true;
    return str_starts(path, "/static/");
}

/* The value of our cookie, owned, or NULL. */
static char *cookie_token(const HttpRequest *request) {
    const char *at = http_request_header(request, "cookie");
    size_t len = strlen(cookie_name);
    while (at && *at) {
        at += strspn(at, " ;");
        size_t pair = strcspn(at, ";");
        if (pair > len && strncmp(at, cookie_name, len) == 0 && at[len] == '=')
            return str_dup_slice((Slice){ at + len + 1, pair - len - 1 });
        at += pair;
    }
    return NULL;
}

static const char *without_bearer(const char *header) {
    return strncasecmp(header, "Bearer ", 7) == 0 ? header + 7 : header;
}

/* Owned, or NULL. */
static char *request_token(const HttpRequest *request) {
    static const char *const names[] = { "authorization", "x-ray-authorization" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *header = http_request_header(request, names[i]);
        if (!str_empty(header))
            return str_dup(without_bearer(header));
    }
    return cookie_token(request);
}

bool auth_admit(const Auth *auth, HttpRequest *request) {
    if (!auth->token || auth_path_public(http_request_path(request)))
        return true;
    _cleanup_free_ char *token = request_token(request);
    if (str_empty(token)) {
        http_respond_text(request, 401, "Unauthorized: Missing authentication token");
        return false;
    }
    if (http_secret_equal(token, auth->token))
        return true;
    http_respond_text(request, 403, "Forbidden: Invalid authentication token");
    return false;
}

void auth_respond_mode(const Auth *auth, HttpRequest *request) {
    if (auth->token) {
        http_respond(request, 200, "application/json; charset=utf-8",
                     SLICE("{\"authentication_mode\": \"token\"}"));
        return;
    }
    http_response_header(request, "Set-Cookie", "ray-authentication-token=\"\"; Max-Age=0; Path=/");
    http_respond(request, 200, "application/json; charset=utf-8",
                 SLICE("{\"authentication_mode\": \"disabled\"}"));
}

void auth_respond_authenticate(const Auth *auth, HttpRequest *request) {
    const char *header = http_request_header(request, "authorization");
    if (!auth->token) {
        http_respond_text(request, 401, "Unauthorized: Token authentication is not enabled");
    } else if (str_empty(header)) {
        http_respond_text(request, 401, "Unauthorized: Missing authentication token");
    } else if (!http_secret_equal(without_bearer(header), auth->token)) {
        http_respond_text(request, 403, "Forbidden: Invalid authentication token");
    } else {
        _cleanup_free_ char *cookie = str_printf(
            "%s=%s; HttpOnly; Max-Age=2592000; Path=/; SameSite=Strict", cookie_name, auth->token);
        http_response_header(request, "Set-Cookie", cookie);
        http_respond(request, 200, "application/json; charset=utf-8",
                     SLICE("{\"status\": \"authenticated\", \"message\": \"Token is valid\"}"));
    }
}

bool http_from_browser(const HttpRequest *request) {
    static const char *const marks[] = { "sec-fetch-mode", "sec-fetch-dest", "sec-fetch-site",
                                         "sec-fetch-user", "origin",         "referer" };
    const char *agent = http_request_header(request, "user-agent");
    if (agent && str_starts(agent, "Mozilla"))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (http_request_header(request, marks[i]))
            return true;
    return false;
}

bool auth_refuse_browser(HttpRequest *request) {
    static const char *const harmless[] = { "GET", "HEAD", "OPTIONS" };
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
        if (http_request_is(request, harmless[i]))
            return false;
    if (!http_from_browser(request) || str_eq(http_request_path(request), "/api/authenticate"))
        return false;
    http_respond_text(request, 405, "Method Not Allowed for browser traffic.");
    return true;
}
