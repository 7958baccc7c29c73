/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The session folder: where one Ray cluster's processes on one machine keep logs, sockets and
 * unpacked environments, in the places and under the names that Ray's own tools look for.
 *     TEMP/session_2026-11-22_09-51-33_123456_4711/{logs,sockets,runtime_resources}
 *     TEMP/session_latest            link to the newest
 *     TEMP/ray_current_cluster       the address of the cluster started last
 * TEMP is /tmp/ray unless --temp-dir says otherwise. A node that joins a cluster uses the head's
 * session name.
 */

#include <sys/types.h>

#include "base/base.h"

#define SESSION_TEMP_DEFAULT "/tmp/ray"

typedef struct Session {
    char *name;      /* session_... */
    char *dir;       /* TEMP/name */
    char *logs;      /* dir/logs */
    char *sockets;   /* dir/sockets */
    char *resources; /* dir/runtime_resources */
} Session;

void session_done(Session *session);
#define _cleanup_session_ _cleanup_(session_done)

/* A new name, in local time as Ray writes it. Owned. */
char *session_name_new(usec_t wall, pid_t pid);

/* Whether `name` can be a session's: it becomes a folder's name, and comes from another machine. */
bool session_name_valid(const char *name);

/* Makes the folders (present ones are fine). Logs may be read by every user, as Ray's; sockets and
 * environments are this user's own. TEMP gets mode 01777, so that several users can share it, as
 * Ray does. -EINVAL for an invalid name. */
_must_check_ int session_make(const char *temp_dir, const char *name, Session *ret_session);

/* session_make(), and session_latest points to it: for a daemon, which lives in its session. A
 * command that has yet to start one would take the link from a session that runs. */
_must_check_ int session_open(const char *temp_dir, const char *name, Session *ret_session);

/* The newest session. -ENOENT if there is none. */
_must_check_ int session_latest(const char *temp_dir, Session *ret_session);

/* The address of a session's gcs, for commands that mean the cluster started last, be it a driver's own.
 * -ENOENT: nobody told. Owned. */
_must_check_ int session_gcs_write(const Session *session, const char *address);
_must_check_ int session_gcs_read(const Session *session, char **ret_address);

/* ray_current_cluster. Reading: 1 if there is none. */
_must_check_ int session_address_write(const char *temp_dir, const char *address);
_must_check_ int session_address_read(const char *temp_dir, char **ret_address);
/* Removes it if it still holds `address`. */
_must_check_ int session_address_clear(const char *temp_dir, const char *address);
