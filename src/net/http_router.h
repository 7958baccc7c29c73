/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Method and path to handler. Patterns: "/api/jobs/{id}/logs"; "{id}" is one segment (never empty),
 * "{rest...}" at the end is all that remains (may be empty). A fixed segment wins over a
 * parameter, a parameter over a rest. Segments are matched before percent-decoding, so an id may
 * hold an escaped slash. No match: 404; another method would match: 405 with Allow. GET serves
 * HEAD. Method "*" matches any.
 */

#include "net/http_server.h"

typedef struct HttpRouter HttpRouter;

HttpRouter *http_router_new(void);
HttpRouter *http_router_free(HttpRouter *router);
DEFINE_CLEANUP(HttpRouter *, http_router_free);
/* Asserts that the pattern is well-formed and new. */
void http_router_add(HttpRouter *router, const char *method, const char *pattern,
                     HttpHandlerFn *handler, void *ctx);
/* Called for what no route matches, instead of the plain 404 (405 stays). */
void http_router_set_fallback(HttpRouter *router, HttpHandlerFn *handler, void *ctx);
/* An HttpHandlerFn whose ctx is the router. */
void http_router_handle(void *router, HttpRequest *request);
