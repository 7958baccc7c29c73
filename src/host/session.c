/* SPDX-License-Identifier: Apache-2.0 */
#include "host/session.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"

enum {
    NAME_MAX_LEN = 128,
    ADDRESS_MAX = 512
};

void session_done(Session *session) {
    mem_free(session->name);
    mem_free(session->dir);
    mem_free(session->logs);
    mem_free(session->sockets);
    mem_free(session->resources);
    *session = (Session){ 0 };
}

char *session_name_new(usec_t wall, pid_t pid) {
    time_t seconds = (time_t)(wall / USEC_PER_SEC);
    struct tm local;
    char text[64];
    localtime_r(&seconds, &local);
    strftime(text, sizeof(text), "%Y-%m-%d_%H-%M-%S", &local);
    return str_printf("session_%s_%06d_%d", text, (int)(wall % USEC_PER_SEC), pid);
}

bool session_name_valid(const char *name) {
    if (!str_starts(name, "session_") || strlen(name) > NAME_MAX_LEN)
        return false;
    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_' && *at != '-' && *at != '.')
            return false;
    return !str_eq(name, "session_latest");
}

static Session session_paths(const char *temp_dir, const char *name) {
    return (Session){
        .name = str_dup(name),
        .dir = str_printf("%s/%s", temp_dir, name),
        .logs = str_printf("%s/%s/logs", temp_dir, name),
        .sockets = str_printf("%s/%s/sockets", temp_dir, name),
        .resources = str_printf("%s/%s/runtime_resources", temp_dir, name),
    };
}

/* Replaces the link in one step: another session may do the same at this moment. */
static int point_latest(const char *temp_dir, const Session *session) {
    _cleanup_free_ char *link = str_printf("%s/session_latest", temp_dir);
    _cleanup_free_ char *beside = str_printf("%s.%d", link, getpid());
    unlink(beside);
    if (symlink(session->dir, beside) < 0)
        return error_last("link %s", beside);
    if (rename(beside, link) < 0) {
        int r = error_last("link %s", link);
        unlink(beside);
        return r;
    }
    return 0;
}

/* For all users, as /tmp is. One that is there already keeps its rights: it is somebody's. */
static int make_temp_dir(const char *temp_dir) {
    bool there = access(temp_dir, F_OK) == 0;
    int r = dir_make(temp_dir, 01777);
    if (r == 0 && !there && chmod(temp_dir, 01777) < 0) /* against our umask */
        r = error_last("open %s to all users", temp_dir);
    return r;
}

int session_make(const char *temp_dir, const char *name, Session *ret_session) {
    if (!session_name_valid(name))
        return error_origin(-EINVAL, "'%s' is no session name", name);
    int r = make_temp_dir(temp_dir);
    if (r < 0)
        return r;
    _cleanup_session_ Session session = session_paths(temp_dir, name);
    r = dir_make(session.logs, 0755);
    if (r == 0)
        r = dir_make(session.sockets, 0700);
    if (r == 0)
        r = dir_make(session.resources, 0700);
    if (r < 0)
        return r;
    *ret_session = session;
    session = (Session){ 0 };
    return 0;
}

int session_open(const char *temp_dir, const char *name, Session *ret_session) {
    _cleanup_session_ Session session = { 0 };
    int r = session_make(temp_dir, name, &session);
    if (r == 0)
        r = point_latest(temp_dir, &session);
    if (r < 0)
        return r;
    *ret_session = session;
    session = (Session){ 0 };
    return 0;
}

int session_latest(const char *temp_dir, Session *ret_session) {
    _cleanup_free_ char *link = str_printf("%s/session_latest", temp_dir);
    char target[4096];
    ssize_t len = readlink(link, target, sizeof(target) - 1);
    if (len < 0)
        return error_last("read link %s", link);
    target[len] = 0;
    const char *slash = strrchr(target, '/');
    const char *name = slash ? slash + 1 : target;
    if (!session_name_valid(name))
        return error_origin(-ENOENT, "%s points to %s, which is no session", link, target);
    *ret_session = session_paths(temp_dir, name);
    return 0;
}

int session_gcs_write(const Session *session, const char *address) {
    _cleanup_free_ char *path = str_printf("%s/gcs_address", session->dir);
    return file_write_atomic(path, address, strlen(address), 0644);
}

int session_gcs_read(const Session *session, char **ret_address) {
    _cleanup_free_ char *path = str_printf("%s/gcs_address", session->dir);
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read(path, ADDRESS_MAX, &text);
    if (r < 0)
        return r;
    *ret_address = buf_steal(&text);
    return 0;
}

int session_address_write(const char *temp_dir, const char *address) {
    _cleanup_free_ char *path = str_printf("%s/ray_current_cluster", temp_dir);
    int r = make_temp_dir(temp_dir);
    return r < 0 ? r : file_write_atomic(path, address, strlen(address), 0644);
}

int session_address_read(const char *temp_dir, char **ret_address) {
    _cleanup_free_ char *path = str_printf("%s/ray_current_cluster", temp_dir);
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read(path, ADDRESS_MAX, &text);
    if (r == -ENOENT)
        return 1;
    if (r < 0)
        return r;
    while (text.len && isspace((unsigned char)text.data[text.len - 1]))
        text.data[--text.len] = 0;
    if (!text.len)
        return 1;
    *ret_address = buf_steal(&text);
    return 0;
}

int session_address_clear(const char *temp_dir, const char *address) {
    _cleanup_free_ char *present = NULL;
    int r = session_address_read(temp_dir, &present);
    if (r != 0 || !str_eq(present, address))
        return r < 0 ? r : 0;
    _cleanup_free_ char *path = str_printf("%s/ray_current_cluster", temp_dir);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_last("remove %s", path);
    return 0;
}
