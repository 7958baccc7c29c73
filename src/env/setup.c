/* SPDX-License-Identifier: Apache-2.0 */
#include "env/setup.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/vec.h"
#include "env/deadline.h"
#include "env/download.h"
#include "env/env.h"
#include "env/lock.h"
#include "env/package.h"
#include "env/pip.h"
#include "env/venv.h"

#define PIP_CACHE_MAX ((uint64_t)10 << 30) /* as the peer's RAY_RUNTIME_ENV_PIP_CACHE_SIZE_GB */

enum {
    ENV_BYTES_MAX = 1 << 20, /* of all values; Linux takes twice that beside the arguments */
};

typedef struct Run {
    const EnvSetup *setup;
    usec_t deadline;
    char *working_dir;
    StrList modules;
    StrList holds;
    Vec(int) locks; /* held until this process ends; the caller's env_hold() follows on */
    char *venv;
} Run;

static void run_done(Run *run) {
    VEC_EACH(lock, &run->locks)
        fd_close(*lock);
    vec_done(&run->locks);
    strlist_done(&run->modules);
    strlist_done(&run->holds);
    free(run->working_dir);
    free(run->venv);
}

static void run_keep(Run *run, const char *path, int lock) {
    vec_push(&run->locks, lock);
    strlist_printf(&run->holds, "%s.lock", path);
}

/* ----------------------------------------------------------------------------- packages */

/* What a URI names, here. */
typedef struct PackagePlace {
    char *file; /* the archive's name; its ending says what it is */
    char *dir;  /* the name of the directory with its content */
} PackagePlace;

static void place_done(PackagePlace *place) {
    free(place->file);
    free(place->dir);
}

static char *without_ending(const char *name) {
    const char *tar = strstr(name, ".tar.");
    const char *end = tar ? tar : strrchr(name, '.');
    return str_dup_slice((Slice){ name, (size_t)(end - name) });
}

static int bad_uri(const char *uri) {
    return error_origin(-EINVAL,
                        "Invalid package URI: %s. URI must have a file extension "
                        "and the URI must be valid.",
                        uri);
}

/* From the head: under its own name. A hash of the URI keeps others apart; pip reads what a
 * wheel is from its name. */
static int find_place(const char *uri, PackagePlace *ret_place) {
    static const char *const endings[] = { ".tar.gz", ".tar.xz", ".tar.bz2", ".tgz", ".zip" };
    if (env_uri_scheme(uri) == ENV_GCS) {
        const char *name = uri + strlen("gcs://");
        if (!env_package_name_ok(name))
            return bad_uri(uri);
        *ret_place = (PackagePlace){ str_dup(name), without_ending(name) };
        return 0;
    }
    _cleanup_free_ char *path = str_dup_slice((Slice){ uri, strcspn(uri, "?") });
    _cleanup_free_ char *dir =
        str_printf("uri_%016llx", (unsigned long long)XXH3_64bits(uri, strlen(uri)));
    const char *name = strrchr(path, '/') + 1;
    if (str_ends(path, ".whl")) {
        if (!env_package_name_ok(name))
            return bad_uri(uri);
        *ret_place = (PackagePlace){ str_dup(name), TAKE(dir) };
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        if (str_ends(path, endings[i])) {
            *ret_place = (PackagePlace){ str_printf("archive%s", endings[i]), TAKE(dir) };
            return 0;
        }
    }
    return error_origin(-EINVAL, "%s does not end in .zip, .tar.gz, .tgz, .tar.xz or .whl", uri);
}

static int fetch(Run *run, const char *uri, const char *path) {
    const EnvSetup *setup = run->setup;
    if (env_uri_scheme(uri) != ENV_GCS)
        return download(uri, path, PACKAGE_UNPACKED_MAX, run->deadline);
    if (!setup->fetch)
        return error_origin(-EINVAL, "%s: no head to fetch it from", uri);
    int r = setup->fetch(setup->fetch_ctx, uri + strlen("gcs://"), run->deadline, path);
    if (r == -ENOENT)
        return error_origin(
            r,
            "Failed to download runtime_env file package %s from the GCS to the "
            "Ray worker node. The head has no such package; submit the job again to "
            "upload it.",
            uri);
    return r;
}

static int install_wheel(Run *run, const char *wheel, const char *into) {
    _cleanup_(venv_run_done) VenvRun tool = { 0 };
    _cleanup_strlist_ StrList argv = { 0 };
    _cleanup_free_ char *cache =
        run->setup->cache_dir ? str_dup(run->setup->cache_dir) : env_cache_dir();
    _cleanup_free_ char *python = NULL, *output = NULL, *home = str_printf("%s/pip", cache);
    const PipSetup pip = { .cache_dir = cache, .log = run->setup->log, .deadline = run->deadline };
    int r = venv_find_python(run->setup->python, &python);
    if (r == 0)
        r = dir_make(home, 0755);
    if (r == 0)
        r = venv_run_init(&tool, &pip);
    if (r < 0)
        return r;
    static const char *const words[] = { "-m", "pip", "install", "--no-input",
                                         "--disable-pip-version-check" };
    strlist_add(&argv, python);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        strlist_add(&argv, words[i]);
    strlist_add(&argv, wheel);
    strlist_printf(&argv, "--target=%s", into);
    r = venv_run(&tool, &argv, &output);
    return r <= 0
               ? r
               : error_origin(-EINVAL, "Failed to install py_modules wheel %s:\n%s", wheel, output);
}

static int unpack(Run *run, const char *uri, const char *name, const char *dir) {
    _cleanup_free_ char *aside = str_printf("%s.building", dir);
    _cleanup_free_ char *content = str_printf("%s/content", aside);
    _cleanup_free_ char *file = str_printf("%s/%s", aside, name);
    int r = dir_remove(aside);
    if (r == 0)
        r = dir_make(aside, 0755);
    if (r == 0)
        r = fetch(run, uri, file);
    if (r == 0)
        r = str_ends(name, ".whl") ? install_wheel(run, file, content)
                                   : package_unpack(file, content, env_uri_scheme(uri) != ENV_GCS);
    if (r == 0 && rename(content, dir) < 0)
        r = error_last("rename %s", content);
    return r == 0 ? dir_remove(aside) : r;
}

/* The directory, owned, in which the content of `uri` lies. */
static int ensure_package(Run *run, const char *uri, const char *kind, char **ret_dir) {
    _cleanup_(place_done) PackagePlace place = { 0 };
    int r = find_place(uri, &place);
    if (r < 0)
        return r;
    _cleanup_free_ char *folder =
        str_printf("%s/runtime_resources/%s", run->setup->session_dir, kind);
    _cleanup_free_ char *dir = str_printf("%s/%s", folder, place.dir);
    _cleanup_(cache_lock_done) CacheLock lock = CACHE_LOCK_NONE;
    r = dir_make(folder, 0755);
    if (r == 0)
        r = cache_lock(dir, run->deadline, &lock);
    if (r == CACHE_ABSENT) {
        r = unpack(run, uri, place.file, dir);
        if (r == 0)
            r = cache_lock_share(&lock);
    }
    if (r < 0)
        return r;
    run_keep(run, dir, cache_lock_take(&lock));
    *ret_dir = TAKE(dir);
    return 0;
}

static int locate(Run *run, const char *uri, const char *field, const char *kind, char **ret_dir) {
    struct stat st;
    if (env_uri_scheme(uri) != ENV_LOCAL)
        return ensure_package(run, uri, kind, ret_dir);
    const char *path = uri + strlen("local://");
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return error_origin(-ENOENT,
                            "%s %s points to '%s', which must already exist on every node.", field,
                            uri, path);
    *ret_dir = str_dup(path);
    return 0;
}

static int setup_code(Run *run) {
    const json_t *env = run->setup->runtime_env;
    const char *uri = json_string_value(json_object_get(env, "working_dir"));
    size_t i;
    json_t *item;
    if (uri) {
        int r = locate(run, uri, "working_dir", "working_dir_files", &run->working_dir);
        if (r < 0)
            return r;
    }
    json_array_foreach(json_object_get(env, "py_modules"), i, item) {
        char *dir = NULL;
        int r = locate(run, json_string_value(item), "py_modules", "py_modules_files", &dir);
        if (r < 0)
            return r;
        strlist_take(&run->modules, dir);
    }
    return 0;
}

static int setup_pip(Run *run) {
    const EnvSetup *setup = run->setup;
    const json_t *pip = json_object_get(setup->runtime_env, "pip");
    if (!pip)
        return 0;
    _cleanup_free_ char *cache = setup->cache_dir ? str_dup(setup->cache_dir) : env_cache_dir();
    const PipSetup spec = {
        .python = setup->python,
        .cache_dir = cache,
        .env_vars = json_object_get(setup->runtime_env, "env_vars"),
        .working_dir = run->working_dir,
        .log = setup->log,
        .deadline = run->deadline,
    };
    int lock;
    int r = pip_ensure(pip, &spec, &run->venv, &lock);
    if (r < 0)
        return r;
    run_keep(run, run->venv, lock);
    /* A sweep that fails leaves more on the disk; the environment is there all the same. */
    r = pip_sweep(cache, PIP_CACHE_MAX);
    return 0;
}

/* ------------------------------------------------------------------------------- answer */

static const char *variable(const json_t *vars, const char *name) {
    const char *value = json_string_value(json_object_get(vars, name));
    return value ? value : getenv(name);
}

/* What `$NAME` or `${NAME}` at `text` becomes; *ret_end is behind it. NULL: it is no reference. An
 * unset one in braces and capitals becomes nothing, other unset ones stay. */
static char *expand_one(const char *text, const json_t *vars, const char **ret_end) {
    bool braces = text[1] == '{', capitals = true;
    const char *start = text + 1 + braces, *end = start;
    for (; isalnum((unsigned char)*end) || *end == '_'; end++)
        capitals &= !islower((unsigned char)*end);
    if (end == start || (braces && *end != '}'))
        return NULL;
    _cleanup_free_ char *name = str_dup_slice((Slice){ start, (size_t)(end - start) });
    const char *value = variable(vars, name);
    *ret_end = end + braces;
    if (value || (braces && capitals))
        return str_dup(value ? value : "");
    return str_dup_slice((Slice){ text, (size_t)(*ret_end - text) });
}

/* By what is set before. References that double a value again and again end at ENV_BYTES_MAX. */
static int expand(const char *text, const json_t *vars, size_t *left, char **ret_text) {
    _cleanup_buf_ Buf out = { 0 };
    while (*text && out.len <= *left) {
        const char *end = text + 1;
        _cleanup_free_ char *value = *text == '$' ? expand_one(text, vars, &end) : NULL;
        if (value)
            buf_add_str(&out, value);
        else
            buf_add_char(&out, *text);
        text = end;
    }
    if (out.len > *left)
        return error_origin(-E2BIG,
                            "runtime_env['env_vars'] is more than %d KiB with its references "
                            "expanded; a process can't be given that much.",
                            ENV_BYTES_MAX >> 10);
    *left -= out.len;
    *ret_text = buf_steal(&out);
    return 0;
}

static int expand_all(const json_t *env_vars, json_t **ret_vars) {
    _cleanup_json_ json_t *out = json_object();
    size_t left = ENV_BYTES_MAX;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)env_vars, key, value) {
        _cleanup_free_ char *text = NULL;
        int r = expand(json_string_value(value), out, &left, &text);
        if (r < 0)
            return r;
        json_object_set_new(out, key, json_string(text));
    }
    *ret_vars = TAKE(out);
    return 0;
}

static void prepend(json_t *vars, const char *name, const char *first) {
    const char *rest = variable(vars, name);
    _cleanup_free_ char *text =
        str_printf("%s%s%s", first, str_empty(rest) ? "" : ":", str_empty(rest) ? "" : rest);
    json_object_set_new(vars, name, json_string(text));
}

static json_t *strings(const StrList *list) {
    json_t *out = json_array();
    for (size_t i = 0; i < list->len; i++)
        json_array_append_new(out, json_string(list->items[i]));
    return out;
}

static void answer_python(const Run *run, json_t *vars, json_t *answer) {
    const char *executable =
        json_string_value(json_object_get(run->setup->runtime_env, "py_executable"));
    if (executable)
        json_object_set_new(answer, "python", json_string(executable));
    if (!run->venv)
        return;
    _cleanup_free_ char *bin = str_printf("%s/bin", run->venv);
    json_set_printf(answer, "python", "%s/python", bin);
    json_object_set_new(vars, "VIRTUAL_ENV", json_string(run->venv));
    prepend(vars, "PATH", bin);
}

static int make_answer(Run *run, json_t **ret_answer) {
    _cleanup_json_ json_t *answer = json_object(), *vars = NULL;
    int r = expand_all(json_object_get(run->setup->runtime_env, "env_vars"), &vars);
    if (r < 0)
        return r;
    if (run->working_dir) {
        json_object_set_new(answer, "cwd", json_string(run->working_dir));
        prepend(vars, "PYTHONPATH", run->working_dir);
        strlist_add(&run->modules, run->working_dir);
    }
    size_t n_modules = run->modules.len - (run->working_dir != NULL);
    for (size_t i = n_modules; i-- > 0;)
        prepend(vars, "PYTHONPATH", run->modules.items[i]);
    answer_python(run, vars, answer);
    if (run->modules.len)
        json_object_set_new(answer, "sys_path", strings(&run->modules));
    if (json_object_size(vars))
        json_object_set(answer, "env_vars", vars);
    json_object_set_new(answer, "holds", strings(&run->holds));
    *ret_answer = TAKE(answer);
    return 0;
}

/* `why`: what it was at. */
static int too_long(usec_t timeout, const char *why) {
    _cleanup_free_ char *last = str_dup(why);
    return error_origin(
        -ETIMEDOUT,
        "Failed to install runtime_env within the timeout of %lld seconds: %s. More "
        "time, where it is needed: runtime_env={\"config\": "
        "{\"setup_timeout_seconds\": 1800}, ...}; the default is 600 seconds.",
        (long long)(timeout / USEC_PER_SEC), last);
}

int env_setup(const EnvSetup *setup, json_t **ret_answer) {
    usec_t timeout = env_setup_timeout(setup->runtime_env), now = time_mono_now();
    _cleanup_(run_done) Run run = { .setup = setup };
    run.deadline = timeout > USEC_INFINITY - now ? USEC_INFINITY : now + timeout;
    int r = setup_code(&run);
    if (r == 0)
        r = setup_pip(&run);
    if (r < 0 && time_left(run.deadline) == 0)
        return too_long(timeout, error_text(r));
    return r == 0 ? make_answer(&run, ret_answer) : r;
}

char *env_cache_dir(void) {
    const char *dir = getenv("MOBULA_CACHE_DIR"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (!str_empty(dir))
        return str_dup(dir);
    if (!str_empty(cache))
        return str_printf("%s/mobula", cache);
    return str_printf("%s/.cache/mobula", str_empty(home) ? "/tmp" : home);
}
