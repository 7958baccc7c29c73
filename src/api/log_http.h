/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A log that is followed over a WebSocket. */

#include "api/logs.h"
#include "net/websocket.h"

/* Asked every `period`; true: nothing more will be written. */
typedef bool LogOverFn(void *ctx, const char *submission);

/* Text as it is written, a normal close once the writer is done. Answers the upgrade (or refuses
 * it) and looks after itself from then on. `ctx` outlives the
 * server's loop. */
void log_socket_serve(HttpRequest *request, LogTails *tails, const char *path,
                      const char *submission, usec_t period, LogOverFn *over, void *ctx);
