/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ray's token authentication: where the token comes from, and whether an HTTP request carries it.
 *     RAY_AUTH_MODE        token, disabled; unset: token if one is found
 *     RAY_AUTH_TOKEN       the token itself, else
 *     RAY_AUTH_TOKEN_PATH  a file with it, else
 *     ~/.ray/auth_token
 */

#include "base/base.h"
#include "net/http_server.h"

typedef struct Auth {
    char *token; /* NULL: disabled */
} Auth;

void auth_done(Auth *auth);
#define _cleanup_auth_ _cleanup_(auth_done)

/* -EACCES with the peer's sentence when the mode is token and there is none; -EINVAL for another
 * mode or a token with odd characters. */
_must_check_ int auth_load(Auth *ret_auth);

/* Makes a token and writes it to ~/.ray/auth_token (0600) if there is none yet. */
_must_check_ int auth_load_or_make(Auth *ret_auth);

/* Where a path needs no token: health, the page, the question for the mode. */
bool auth_path_public(const char *path);

/* True: let it through. False: answered with 401 or 403. Looks at Authorization,
 * X-Ray-Authorization and the cookie ray-authentication-token, in this order. */
_must_check_ bool auth_admit(const Auth *auth, HttpRequest *request);

/* GET /api/authentication_mode and POST /api/authenticate. */
void auth_respond_mode(const Auth *auth, HttpRequest *request);
void auth_respond_authenticate(const Auth *auth, HttpRequest *request);

/* A browser's page of another site may not change anything: true and answered with 405 when the
 * request comes from a browser and its method is not GET, HEAD or OPTIONS. */
_must_check_ bool auth_refuse_browser(HttpRequest *request);
bool http_from_browser(const HttpRequest *request);
