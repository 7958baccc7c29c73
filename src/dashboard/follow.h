/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A job's log followed over a WebSocket, wherever the log is: in this session's folder, at the agent
 * of another node, or nowhere yet. It closes after gcs knows the job's end, so that the client's
 * next question, for the status, gets the final one.
 */

#include "dashboard/dashboard_private.h"

/* Answers the upgrade (or refuses it) and looks after itself. */
void follow_serve(Dashboard *dashboard, HttpRequest *request, const char *submission);
