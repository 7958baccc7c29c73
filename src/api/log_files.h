/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files of a session's log folder over HTTP, as the agent of their node and a head's dashboard serve
 * them: which there are, one as a whole or its last lines, one followed. */

#include "api/logs.h"
#include "codec/json.h"
#include "net/http_server.h"

/* Names in `folder` that match `?glob=` ("*" without one), folders with a slash: {"files": [...]}. */
void log_files_respond(HttpRequest *request, const char *folder);
/* The same, an array of names. New reference; -ENOENT without the folder. */
_must_check_ int log_files_list(const char *folder, const char *glob, json_t **ret_names);

/* `?filename=` of `folder`: `?lines=` from its end (-1: all), then, with `?follow=1`, what is written as
 * it is written, until the client leaves. 404 when there is none such. */
void log_file_respond(HttpRequest *request, const char *folder, LogTails *tails);
typedef struct LogFileWanted {
    const char *filename; /* in the folder, or a path into it */
    int64_t lines;
    bool plain;           /* colours are taken out */
    LogTails *follow;     /* through which it is followed; NULL: it is not */
} LogFileWanted;
void log_file_serve(HttpRequest *request, const char *folder, const LogFileWanted *wanted);

/* A whole file, which need not be there yet, as {"logs": "..."}. */
void log_json_respond(HttpRequest *request, const char *path);

/* Takes out ANSI's escape sequences for colours. */
void log_plain(Slice text, Buf *out);
