/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A followed log of another node: a WebSocket to its agent, passed on to the client. */

#include "net/websocket.h"

/* Answers the upgrade and looks after itself. `token` may be NULL. */
void tail_relay_serve(HttpRequest *request, const char *url, const char *token);
