/* SPDX-License-Identifier: Apache-2.0 */
#include "env/venv.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "env/deadline.h"
#include "host/process.h"
#include "host/spawn.h"

extern char **environ;

enum {
    OUTPUT_LINES = 6,
    LINE_MAX_SHOWN = 160,
    OUTPUT_MAX = 16 * 1024,
    SCRIPT_MAX = 1024 * 1024,
};

/* ---------------------------------------------------------------------------------- run */

static bool names_variable(const char *entry, const char *name) {
    size_t len = strlen(name);
    return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

/* Our environment without what would make another interpreter see our modules, then the user's. */
static void fill_env(const PipSetup *setup, StrList *env) {
    const char *key;
    json_t *value;
    for (char **entry = environ; *entry; entry++)
        if (!names_variable(*entry, "PYTHONPATH") && !names_variable(*entry, "PYTHONHOME"))
            strlist_add(env, *entry);
    if (setup->working_dir)
        strlist_printf(env, "RAY_RUNTIME_ENV_CREATE_WORKING_DIR=%s", setup->working_dir);
    json_object_foreach((json_t *)(uintptr_t)setup->env_vars, key, value) {
        for (size_t i = 0; i < env->len; i++) {
            if (names_variable(env->items[i], key)) {
                free(env->items[i]);
                env->items[i] = env->items[--env->len];
                env->items[env->len] = NULL;
                break;
            }
        }
        strlist_printf(env, "%s=%s", key, json_string_value(value));
    }
}

int venv_run_init(VenvRun *run, const PipSetup *setup) {
    *run = (VenvRun){ .log = -1, .deadline = USEC_INFINITY };
    if (setup->deadline > 0)
        run->deadline = setup->deadline;
    fill_env(setup, &run->env);
    _cleanup_free_ char *own = str_printf("%s/pip/output-%d.log", setup->cache_dir, getpid());
    const char *path = setup->log ? setup->log : own;
    run->log = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (run->log < 0)
        return error_last("open %s", path);
    if (!setup->log)
        unlink(own); /* nothing stays, however this process ends */
    return 0;
}

void venv_run_done(VenvRun *run) {
    strlist_done(&run->env);
    run->log = fd_close(run->log);
}

/* Cuts what is too long in a line: pip lists every version of a package in one. */
static void add_line(const char *line, size_t len, Buf *out) {
    bool cut = len > LINE_MAX_SHOWN;
    buf_printf(out, "%.*s%s\n", (int)MIN(len, (size_t)LINE_MAX_SHOWN), line, cut ? " ..." : "");
}

/* What was written behind `start`: the last lines of it. Owned. */
static char *last_lines(int log, off_t start) {
    off_t end = lseek(log, 0, SEEK_END);
    off_t from = MAX(start, end - OUTPUT_MAX);
    _cleanup_free_ char *text = mem_zalloc(OUTPUT_MAX + 1);
    ssize_t len = pread(log, text, (size_t)MIN(end - from, OUTPUT_MAX), from);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
        text[--len] = 0;
    if (len <= 0)
        return str_dup("(it printed nothing)");
    size_t lines = 0;
    char *at = text + len;
    while (at > text && (at[-1] != '\n' || ++lines < OUTPUT_LINES))
        at--;
    _cleanup_buf_ Buf out = { 0 };
    while (*at) {
        size_t line = strcspn(at, "\n");
        add_line(at, line, &out);
        at += line + (at[line] == '\n');
    }
    out.data[--out.len] = 0;
    return buf_steal(&out);
}

int venv_run(VenvRun *run, const StrList *argv, char **ret_output) {
    const SpawnFd fds[] = { { run->log, 1 }, { run->log, 2 } };
    const SpawnSpec spec = {
        .argv = argv->items,
        .env = run->env.items,
        .cwd = "/",
        .fds = fds,
        .fd_count = ARRAY_LEN(fds),
        .group = SPAWN_NEW_SESSION,
        .death_signal = SIGKILL,
    };
    off_t start = lseek(run->log, 0, SEEK_END);
    Child child;
    ChildExit end;
    int r = spawn_start(&spec, &child);
    if (r < 0)
        return r;
    r = child_wait(&child, time_left(run->deadline), &end);
    if (r > 0) {
        process_kill_tree(child.pid, SIGKILL);
        r = child_wait(&child, 5 * USEC_PER_SEC, &end);
        return error_origin(-ETIMEDOUT, "%s was still running", argv->items[0]);
    }
    if (r < 0 || child_exit_code(end) == 0)
        return r;
    *ret_output = last_lines(run->log, start);
    return 1;
}

/* -------------------------------------------------------------------------- interpreter */

int venv_find_python(const char *python, char **ret_path) {
    const char *name = python ? python : "python3";
    if (strchr(name, '/')) {
        *ret_path = str_dup(name);
        return 0;
    }
    const char *search = getenv("PATH");
    _cleanup_free_ char *path = str_dup(search ? search : "/usr/local/bin:/usr/bin:/bin");
    char *rest = path;
    for (char *dir; (dir = strsep(&rest, ":"));) {
        _cleanup_free_ char *candidate = str_printf("%s/%s", *dir ? dir : ".", name);
        if (access(candidate, X_OK) == 0) {
            *ret_path = TAKE(candidate);
            return 0;
        }
    }
    return error_origin(-ENOENT, "there is no %s in PATH; install python3", name);
}

/* -------------------------------------------------------------------------------- create */

static int run_or_fail(VenvRun *run, const StrList *argv, const char *what) {
    _cleanup_free_ char *output = NULL;
    int r = venv_run(run, argv, &output);
    return r <= 0 ? r : error_origin(-EINVAL, "%s:\n%s", what, output);
}

/* A venv of a venv sees the base interpreter only; this adds what the outer one has, behind its
 * own. The first line the program prints is where it goes, the rest are the outer's folders. */
static const char outer_packages[] =
    "import os, site, sys\n"
    "inner = sys.argv[1]\n"
    "if sys.prefix != sys.base_prefix:\n"
    "    name = 'python%d.%d' % sys.version_info[:2]\n"
    "    path = os.path.join(inner, 'lib', name, 'site-packages', 'outer_environment.pth')\n"
    "    with open(path, 'w') as out:\n"
    "        out.write('\\n'.join(site.getsitepackages()) + '\\n')\n";

static int link_outer(VenvRun *run, const char *python, const char *dir) {
    _cleanup_strlist_ StrList argv = { 0 };
    strlist_add(&argv, python);
    strlist_add(&argv, "-c");
    strlist_add(&argv, outer_packages);
    strlist_add(&argv, dir);
    return run_or_fail(run, &argv, "Failed to look at the interpreter's packages");
}

static int ensure_pip(VenvRun *run, const char *dir) {
    _cleanup_strlist_ StrList probe = { 0 }, install = { 0 };
    _cleanup_free_ char *output = NULL;
    strlist_printf(&probe, "%s/bin/python", dir);
    strlist_add(&probe, "-c");
    strlist_add(&probe, "import pip");
    int r = venv_run(run, &probe, &output);
    if (r <= 0)
        return r;
    strlist_printf(&install, "%s/bin/python", dir);
    strlist_add(&install, "-m");
    strlist_add(&install, "ensurepip");
    strlist_add(&install, "--default-pip");
    return run_or_fail(run, &install,
                       "The interpreter has no pip; install python3-pip or "
                       "python3-venv");
}

int venv_create(VenvRun *run, const char *python, const char *dir) {
    _cleanup_strlist_ StrList argv = { 0 };
    static const char *const words[] = { "-m", "venv", "--system-site-packages", "--without-pip" };
    strlist_add(&argv, python);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        strlist_add(&argv, words[i]);
    strlist_add(&argv, dir);
    int r = run_or_fail(run, &argv, "Failed to make a virtual environment");
    if (r == 0)
        r = link_outer(run, python, dir);
    if (r == 0)
        r = ensure_pip(run, dir);
    return r;
}

/* ------------------------------------------------------------------------------ relocate */

static int replace_in_file(const char *path, const char *from, const char *to) {
    struct stat st;
    if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > SCRIPT_MAX)
        return 0;
    _cleanup_buf_ Buf old = { 0 }, new = { 0 };
    int r = file_read(path, SCRIPT_MAX, &old);
    if (r < 0)
        return r;
    if (!old.len || memchr(old.data, 0, old.len) || !strstr(old.data, from))
        return 0;
    const char *at = old.data;
    for (const char *found; (found = strstr(at, from)); at = found + strlen(from)) {
        buf_add(&new, at, (size_t)(found - at));
        buf_add_str(&new, to);
    }
    buf_add_str(&new, at);
    return file_write_atomic(path, new.data, new.len, st.st_mode & 07777);
}

int venv_relocate(const char *dir, const char *final) {
    _cleanup_free_ char *bin = str_printf("%s/bin", dir);
    _cleanup_free_ char *settings = str_printf("%s/pyvenv.cfg", dir);
    int r = replace_in_file(settings, dir, final);
    DIR *scripts = opendir(bin);
    if (!scripts)
        return error_last("read directory %s", bin);
    for (struct dirent *entry; r == 0 && (entry = readdir(scripts));) {
        _cleanup_free_ char *path = str_printf("%s/%s", bin, entry->d_name);
        r = replace_in_file(path, dir, final);
    }
    closedir(scripts);
    return r;
}
