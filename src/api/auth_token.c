/* SPDX-License-Identifier: Apache-2.0 */

/* Where the token comes from. Programs that speak no HTTP need no more of auth.h than this. */

#include <fcntl.h>
#include <unistd.h>

#include "api/auth.h"
#include "base/error.h"
#include "base/fd.h"

enum {
    TOKEN_MAX = 4096,
    TOKEN_BYTES = 32,
};

void auth_done(Auth *auth) {
    if (auth->token)
        mem_wipe(auth->token, strlen(auth->token));
    auth->token = mem_free(auth->token);
}

/* ---------------------------------------------------------------------------------- load */

static char *default_path(void) {
    const char *home = getenv("HOME");
    return str_printf("%s/.ray/auth_token", str_empty(home) ? "/root" : home);
}

static int check_token(const char *token, const char *source) {
    for (const char *p = token; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
            return error_origin(-EINVAL,
                                "the token from %s has a character that no HTTP header may "
                                "carry",
                                source);
    return 0;
}

/* 1: there is none. */
static int read_token_file(const char *path, char **ret_token) {
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read(path, TOKEN_MAX, &text);
    if (r == -ENOENT)
        return 1;
    if (r < 0)
        return r;
    while (text.len && (unsigned char)text.data[text.len - 1] <= ' ')
        text.data[--text.len] = 0;
    if (text.len == 0)
        return 1;
    r = check_token(text.data, path);
    if (r == 0)
        *ret_token = buf_steal(&text);
    return r;
}

static int find_token(char **ret_token) {
    const char *token = getenv("RAY_AUTH_TOKEN"), *path = getenv("RAY_AUTH_TOKEN_PATH");
    if (!str_empty(token)) {
        int r = check_token(token, "RAY_AUTH_TOKEN");
        if (r == 0)
            *ret_token = str_dup(token);
        return r;
    }
    if (!str_empty(path)) {
        int r = read_token_file(path, ret_token);
        return r <= 0 ? r
                      : error_origin(-EACCES, "RAY_AUTH_TOKEN_PATH names %s, which has no token",
                                     path);
    }
    _cleanup_free_ char *own = default_path();
    return read_token_file(own, ret_token);
}

int auth_load(Auth *ret_auth) {
    const char *mode = getenv("RAY_AUTH_MODE");
    bool required = !str_empty(mode) && str_eq_nocase(mode, "token");
    if (!str_empty(mode) && !required && !str_eq_nocase(mode, "disabled"))
        return error_origin(-EINVAL, "RAY_AUTH_MODE is '%s'; it can be token or disabled", mode);
    char *token = NULL;
    int r = !str_empty(mode) && !required ? 1 : find_token(&token);
    if (r < 0)
        return r;
    if (!token && required)
        return error_origin(-EACCES, "Token authentication is enabled but no authentication token "
                                     "was found. Set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, or run "
                                     "`ray get-auth-token --generate`");
    *ret_auth = (Auth){ token };
    return 0;
}

static int write_token(const char *path, const char *token) {
    _cleanup_free_ char *dir = str_dup(path);
    *strrchr(dir, '/') = 0;
    int r = dir_make(dir, 0700);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_last("create %s", path);
    return fd_write_all(fd, token, strlen(token));
}

int auth_load_or_make(Auth *ret_auth) {
    const char *mode = getenv("RAY_AUTH_MODE");
    if (!str_empty(mode) && str_eq_nocase(mode, "disabled"))
        return auth_load(ret_auth);
    char *token = NULL;
    int r = find_token(&token);
    if (r <= 0) {
        if (r == 0)
            *ret_auth = (Auth){ token };
        return r;
    }
    uint8_t bytes[TOKEN_BYTES];
    char text[2 * TOKEN_BYTES + 1];
    _cleanup_free_ char *path = default_path();
    mem_random(bytes, sizeof(bytes));
    hex_encode(bytes, sizeof(bytes), text);
    r = write_token(path, text);
    if (r == -EEXIST) /* another process was faster: its token is everybody's */
        return auth_load(ret_auth);
    if (r == 0)
        *ret_auth = (Auth){ str_dup(text) };
    return r;
}
