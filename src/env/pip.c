/* SPDX-License-Identifier: Apache-2.0 */
#include "env/pip.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/map.h"
#include "env/lock.h"
#include "env/venv.h"

enum {
    KEY_LEN = 32,
    REQUIREMENT_FILE_MAX = 1024 * 1024,
    SCRIPT_MAX = 4096,
};

static const char working_dir_variable[] = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}";

/* ---------------------------------------------------------------------------------- key */

/* The file a "-r FILE" requirement names, owned; NULL for any other requirement. */
static char *requirement_file(const char *package, const char *working_dir) {
    const char *path = NULL;
    if (str_starts(package, "-r"))
        path = package + 2;
    else if (str_starts(package, "--requirement"))
        path = package + strlen("--requirement");
    if (!path)
        return NULL;
    path += strspn(path, " \t=");
    if (str_starts(path, working_dir_variable) && working_dir)
        return str_printf("%s%s", working_dir, path + strlen(working_dir_variable));
    return str_dup(path);
}

static void hash_text(XXH3_state_t *hash, const char *text) {
    XXH3_128bits_update(hash, text ? text : "", (text ? strlen(text) : 0) + 1);
}

static void hash_packages(XXH3_state_t *hash, const json_t *pip, const PipSetup *setup) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(pip, "packages"), i, item) {
        const char *package = json_string_value(item);
        _cleanup_free_ char *file = requirement_file(package, setup->working_dir);
        _cleanup_buf_ Buf content = { 0 };
        if (file && file_read(file, REQUIREMENT_FILE_MAX, &content) == 0)
            hash_text(hash, content.data);
        /* What lies in the working directory is part of what gets installed. */
        if (strstr(package, working_dir_variable))
            hash_text(hash, setup->working_dir);
    }
}

/* The interpreter by what is cheap to see: starting it would cost a hit its speed. */
static int hash_interpreter(XXH3_state_t *hash, const char *python) {
    struct stat st;
    struct utsname host;
    _cleanup_free_ char *real = realpath(python, NULL);
    if (!real || stat(real, &st) < 0)
        return error_last("interpreter %s", python);
    uname(&host);
    hash_text(hash, python);
    hash_text(hash, real);
    hash_text(hash, host.machine);
    _cleanup_buf_ Buf script = { 0 };
    int64_t marks[] = { st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec };
    /* A pod's python may be a script that its agent writes anew; what it says is what counts. */
    if (st.st_size <= SCRIPT_MAX && file_read(real, SCRIPT_MAX, &script) == 0)
        hash_text(hash, script.data);
    else
        XXH3_128bits_update(hash, marks, sizeof(marks));
    return 0;
}

static int pip_key(const json_t *pip, const PipSetup *setup, const char *python,
                   char ret_key[static KEY_LEN + 1]) {
    XXH3_state_t *hash = XXH3_createState();
    _cleanup_free_ char *text = json_text(pip, JSON_SORTED);
    XXH3_128bits_reset(hash);
    hash_text(hash, text);
    hash_packages(hash, pip, setup);
    int r = hash_interpreter(hash, python);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
    XXH3_freeState(hash);
    if (r == 0)
        hex_encode(canonical.digest, KEY_LEN / 2, ret_key);
    return r;
}

/* -------------------------------------------------------------------------------- build */

static int write_requirements(const json_t *pip, const char *path) {
    _cleanup_buf_ Buf text = { 0 };
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(pip, "packages"), i, item) {
        buf_printf(&text, "%s\n", json_string_value(item));
    }
    return file_write_atomic(path, text.data ? text.data : "", text.len, 0644);
}

/* The requirement that pip names as the culprit, else all of them. Owned. */
static char *blamed_requirement(const json_t *pip, const char *output) {
    static const char *const marks[] = { "No matching distribution found for ",
                                         "that satisfies the requirement ",
                                         "Invalid requirement: " };
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        const char *found = strstr(output, marks[i]);
        if (found) {
            found += strlen(marks[i]);
            return str_dup_slice((Slice){ found, strcspn(found, " \n") });
        }
    }
    _cleanup_buf_ Buf all = { 0 };
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(pip, "packages"), i, item) {
        buf_printf(&all, "%s%s", i ? ", " : "", json_string_value(item));
    }
    return buf_steal(&all);
}

static int install(const json_t *pip, VenvRun *run, const char *dir) {
    _cleanup_free_ char *requirements = str_printf("%s/requirements.txt", dir);
    _cleanup_free_ char *python = str_printf("%s/bin/python", dir);
    _cleanup_strlist_ StrList argv = { 0 };
    const json_t *options = json_object_get(pip, "pip_install_options");
    size_t i;
    json_t *item;
    int r = write_requirements(pip, requirements);
    if (r < 0)
        return r;
    static const char *const start[] = { "-m", "pip", "install", "--no-input", "-r" };
    strlist_add(&argv, python);
    for (i = 0; i < ARRAY_LEN(start); i++)
        strlist_add(&argv, start[i]);
    strlist_add(&argv, requirements);
    if (!options)
        strlist_add(&argv, "--disable-pip-version-check");
    json_array_foreach(options, i, item) {
        strlist_add(&argv, json_string_value(item));
    }
    _cleanup_free_ char *output = NULL;
    r = venv_run(run, &argv, &output);
    if (r <= 0)
        return r;
    _cleanup_free_ char *blamed = blamed_requirement(pip, output);
    return error_origin(-EINVAL, "Failed to install pip packages: pip could not install %s:\n%s",
                        blamed, output);
}

static int pip_module(VenvRun *run, const char *dir, const char *what, const char *last) {
    _cleanup_strlist_ StrList argv = { 0 };
    _cleanup_free_ char *output = NULL;
    strlist_printf(&argv, "%s/bin/python", dir);
    strlist_add(&argv, "-m");
    strlist_add(&argv, "pip");
    strlist_add(&argv, what);
    strlist_add(&argv, "--disable-pip-version-check");
    if (last)
        strlist_add(&argv, last);
    int r = venv_run(run, &argv, &output);
    return r <= 0 ? r
                  : error_origin(-EINVAL, "pip %s%s%s failed:\n%s", what, last ? " " : "",
                                 last ? last : "", output);
}

static int build(const json_t *pip, const PipSetup *setup, const char *python, const char *aside,
                 const char *final) {
    _cleanup_(venv_run_done) VenvRun run = { 0 };
    const char *version = json_string_value(json_object_get(pip, "pip_version"));
    int r = venv_run_init(&run, setup);
    if (r == 0)
        r = dir_remove(aside);
    if (r == 0)
        r = venv_create(&run, python, aside);
    if (r == 0 && version) {
        _cleanup_free_ char *wanted = str_printf("pip%s", version);
        r = pip_module(&run, aside, "install", wanted);
    }
    if (r == 0)
        r = install(pip, &run, aside);
    if (r == 0 && json_is_true(json_object_get(pip, "pip_check")))
        r = pip_module(&run, aside, "check", NULL);
    if (r == 0)
        r = venv_relocate(aside, final);
    if (r == 0 && rename(aside, final) < 0)
        r = error_last("rename %s", aside);
    return r;
}

/* -------------------------------------------------------------------------------- cache */

int pip_ensure(const json_t *pip, const PipSetup *setup, char **ret_dir, int *ret_lock) {
    char key[KEY_LEN + 1];
    _cleanup_free_ char *python = NULL, *home = str_printf("%s/pip", setup->cache_dir);
    int r = venv_find_python(setup->python, &python);
    if (r == 0)
        r = pip_key(pip, setup, python, key);
    if (r == 0)
        r = dir_make(home, 0755);
    if (r < 0)
        return r;

    _cleanup_free_ char *final = str_printf("%s/%s", home, key);
    _cleanup_free_ char *aside = str_printf("%s.building", final);
    _cleanup_(cache_lock_done) CacheLock lock = CACHE_LOCK_NONE;
    r = cache_lock(final, setup->deadline > 0 ? setup->deadline : USEC_INFINITY, &lock);
    if (r == CACHE_ABSENT) {
        r = build(pip, setup, python, aside, final);
        if (r < 0) {
            _cleanup_free_ char *sentence = str_dup(error_text(r));
            int ignored = dir_remove(aside);
            UNUSED(ignored); /* the sweep finds what is left */
            return error_origin(r, "%s", sentence);
        }
        r = cache_lock_share(&lock);
    }
    if (r < 0)
        return r;
    *ret_dir = TAKE(final);
    *ret_lock = cache_lock_take(&lock);
    return 0;
}

int pip_sweep(const char *cache_dir, uint64_t max_bytes) {
    _cleanup_free_ char *home = str_printf("%s/pip", cache_dir);
    return cache_sweep(home, max_bytes);
}
