/* SPDX-License-Identifier: Apache-2.0 */
#include "env/env.h"

#include <unistd.h>
#include <xxhash.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/map.h"
#include "codec/pyrepr.h"

enum {
    REQUIREMENTS_MAX = 1024 * 1024,
    TIMEOUT_SECONDS = 600,
};

typedef int CheckFn(const json_t *value, unsigned flags, json_t **ret_value);

/* An answer of a CheckFn: the field says nothing and goes. */
enum {
    CHECK_DROP = 1
};

static int wrong_type(const char *what, const json_t *value) {
    return error_origin(-EINVAL, "%s%s", what, pyrepr_class(value));
}

/* --------------------------------------------------------------- working_dir, py_modules */

static int check_archive_ending(const char *uri, const char *field) {
    _cleanup_free_ char *path = str_dup(uri);
    path[strcspn(path, "?")] = 0;
    const char *slash = strrchr(path, '/');
    if (env_package_name_ok(slash ? slash + 1 : path) || (slash && slash[1] == 0))
        return 0;
    return error_origin(-EINVAL,
                        "%s: %s is no archive; a package of '%s' ends in .zip, .tar.gz, "
                        ".tgz or .tar.xz%s",
                        field, path, field, str_eq(field, "py_modules") ? " or .whl" : "");
}

static int check_location(const char *text, const char *field, unsigned flags) {
    switch (env_uri_scheme(text)) {
    case ENV_PATH:
        if (!(flags & ENV_LOCAL_PATHS))
            return error_origin(-EINVAL,
                                "%s is not a valid URI. Passing directories or modules to "
                                "be dynamically uploaded is only supported at the job level (i.e., "
                                "passed to `ray.init`).",
                                text);
        if (access(text, F_OK) < 0)
            return error_origin(-EINVAL, "%s is not a valid path.", text);
        return 0;
    case ENV_GCS:
    case ENV_HTTP:
    case ENV_FILE:
        return check_archive_ending(text, field);
    case ENV_LOCAL:
        if (text[strlen("local://")] != '/')
            return error_origin(-EINVAL,
                                "Invalid \"local://\" runtime_env URI \"%s\": the path "
                                "must be absolute. Write local:///path/in/image.",
                                text);
        return 0;
    case ENV_CLOUD:
        return error_origin(-EINVAL,
                            "%s: '%s' can't be fetched from there; put the archive behind "
                            "an https:// URI or upload it with the job",
                            text, field);
    case ENV_OTHER:
        break;
    }
    return error_origin(-EINVAL,
                        "%s is not a valid URI. Passing directories or modules to be "
                        "dynamically uploaded is only supported at the job level (i.e., passed to "
                        "`ray.init`).",
                        text);
}

static int check_working_dir(const json_t *value, unsigned flags, json_t **ret_value) {
    if (!json_is_string(value))
        return wrong_type("`working_dir` must be a string, got ", value);
    int r = check_location(json_string_value(value), "working_dir", flags);
    if (r < 0)
        return r;
    *ret_value = json_copy((json_t *)(uintptr_t)value);
    return 0;
}

static int check_py_modules(const json_t *value, unsigned flags, json_t **ret_value) {
    size_t i;
    json_t *item;
    if (!json_is_array(value))
        return wrong_type("`py_modules` must be a list of strings, got ", value);
    json_array_foreach(value, i, item) {
        if (!json_is_string(item))
            return wrong_type("`py_module` must be a string, got ", item);
        int r = check_location(json_string_value(item), "py_modules", flags);
        if (r < 0)
            return r;
    }
    if (json_array_size(value) == 0)
        return CHECK_DROP;
    *ret_value = json_deep_copy(value);
    return 0;
}

/* ------------------------------------------------------------------------ small fields */

static bool all_strings(const json_t *list) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        if (!json_is_string(item))
            return false;
    }
    return true;
}

static int check_excludes(const json_t *value, unsigned flags, json_t **ret_value) {
    if (!json_is_array(value) || !all_strings(value))
        return wrong_type("runtime_env['excludes'] must be of type List[str], got ", value);
    if (json_array_size(value) == 0)
        return CHECK_DROP;
    *ret_value = json_deep_copy(value);
    return 0;
}

static int check_env_vars(const json_t *value, unsigned flags, json_t **ret_value) {
    const char *key;
    json_t *member;
    if (!json_is_object(value))
        return wrong_type("runtime_env['env_vars'] must be of type Dict[str, str], got ", value);
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        if (json_is_string(member)) {
            if (*key == 0 || strchr(key, '='))
                return error_origin(-EINVAL,
                                    "runtime_env['env_vars'] has the name '%s'; a "
                                    "variable's name is not empty and has no '='",
                                    key);
            continue;
        }
        _cleanup_buf_ Buf text = { 0 };
        pyrepr(member, &text);
        return error_origin(-EINVAL,
                            "runtime_env['env_vars'] must be of type Dict[str, str], but "
                            "the value %s is of type %s",
                            text.data, pyrepr_class(member));
    }
    if (json_object_size(value) == 0)
        return CHECK_DROP;
    *ret_value = json_deep_copy(value);
    return 0;
}

static int check_config(const json_t *value, unsigned flags, json_t **ret_value) {
    if (!json_is_object(value))
        return wrong_type("runtime_env['config'] must be of type dict or RuntimeEnvConfig, got: ",
                          value);
    const json_t *timeout = json_object_get(value, "setup_timeout_seconds");
    if (timeout && !json_is_integer(timeout))
        return wrong_type("setup_timeout_seconds must be of type int, got: ", timeout);
    if (timeout && json_integer_value(timeout) <= 0 && json_integer_value(timeout) != -1)
        return error_origin(-EINVAL,
                            "setup_timeout_seconds must be greater than zero or equals to -1, got: "
                            "%lld",
                            (long long)json_integer_value(timeout));
    const json_t *eager = json_object_get(value, "eager_install");
    if (eager && !json_is_boolean(eager))
        return wrong_type("eager_install must be a boolean. got ", eager);
    *ret_value = json_deep_copy(value);
    return 0;
}

usec_t env_setup_timeout(const json_t *env) {
    int64_t seconds = json_int_at(env, TIMEOUT_SECONDS, "config", "setup_timeout_seconds");
    return seconds < 0 || seconds > USEC_INFINITY / USEC_PER_SEC ? USEC_INFINITY
                                                                 : seconds * USEC_PER_SEC;
}

/* --------------------------------------------------------------------------------- pip */

/* Lines end as Python's text files have it: "\n", "\r\n" or "\r". */
static size_t line_length(const char *text, size_t len) {
    size_t at = 0;
    while (at < len && text[at] != '\n' && text[at] != '\r')
        at++;
    return at;
}

static int add_requirement(json_t *list, const char *path, Slice line) {
    json_t *text = memchr(line.data, 0, line.len) ? NULL : json_stringn(line.data, line.len);
    if (!text)
        return error_origin(-EINVAL, "line %zu of %s is no text in UTF-8",
                            json_array_size(list) + 1, path);
    json_array_append_new(list, text);
    return 0;
}

static int read_requirements(const char *path, unsigned flags, json_t **ret_list) {
    _cleanup_buf_ Buf text = { 0 };
    if (!(flags & ENV_LOCAL_PATHS))
        return error_origin(-EINVAL,
                            "runtime_env['pip'] names the file %s; here it has to be a list "
                            "of requirements, since the file is on the client's machine",
                            path);
    int r = file_read(path, REQUIREMENTS_MAX, &text);
    if (r < 0)
        return error_origin(-EINVAL, "%s is not a valid file", path);
    _cleanup_json_ json_t *list = json_array();
    for (size_t at = 0; r >= 0 && at < text.len;) {
        const char *line = text.data + at;
        size_t len = line_length(line, text.len - at);
        at += len;
        if (at < text.len)
            at += line[len] == '\r' && at + 1 < text.len && line[len + 1] == '\n' ? 2 : 1;
        if (len || at < text.len)
            r = add_requirement(list, path, (Slice){ line, len });
    }
    if (r < 0)
        return r;
    *ret_list = TAKE(list);
    return 0;
}

/* pip trips over a requirement that is there twice. */
static json_t *without_repeats(const json_t *list) {
    json_t *once = json_array();
    _cleanup_(strmap_done) StrMap seen = { 0 };
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        if (!strmap_put(&seen, json_string_value(item), item))
            json_array_append(once, item);
    }
    return once;
}

static int pip_packages(const json_t *pip, unsigned flags, json_t **ret_list) {
    const json_t *packages = json_object_get(pip, "packages");
    if (!packages) {
        _cleanup_buf_ Buf text = { 0 };
        pyrepr(pip, &text);
        return error_origin(-EINVAL, "runtime_env['pip'] must include field 'packages', but got %s",
                            text.data);
    }
    if (json_is_string(packages))
        return read_requirements(json_string_value(packages), flags, ret_list);
    if (!json_is_array(packages))
        return wrong_type("runtime_env['pip']['packages'] must be of type str of list, got: ",
                          packages);
    if (!all_strings(packages))
        return error_origin(-EINVAL, "runtime_env['pip']['packages'] must be a list of strings");
    *ret_list = json_deep_copy(packages);
    return 0;
}

static int check_pip_fields(const json_t *pip) {
    const char *key;
    json_t *member;
    _cleanup_json_ json_t *keys = json_array();
    bool unknown = false;
    json_object_foreach((json_t *)(uintptr_t)pip, key, member) {
        json_array_append_new(keys, json_string(key));
        if (!str_eq(key, "packages") && !str_eq(key, "pip_check") &&
            !str_eq(key, "pip_install_options") && !str_eq(key, "pip_version"))
            unknown = true;
    }
    if (unknown) {
        _cleanup_buf_ Buf text = { 0 };
        pyrepr(keys, &text);
        return error_origin(-EINVAL,
                            "runtime_env['pip'] can only have these fields: packages, "
                            "pip_check, pip_install_options and pip_version, but got: %s",
                            text.data);
    }
    const json_t *check = json_object_get(pip, "pip_check");
    if (check && !json_is_boolean(check))
        return wrong_type("runtime_env['pip']['pip_check'] must be of type bool, got ", check);
    const json_t *version = json_object_get(pip, "pip_version");
    if (version && !json_is_string(version))
        return wrong_type("runtime_env['pip']['pip_version'] must be of type str, got ", version);
    const json_t *options = json_object_get(pip, "pip_install_options");
    if (options && (!json_is_array(options) || !all_strings(options)))
        return wrong_type(
            "runtime_env['pip']['pip_install_options'] must be of type list[str] got ", options);
    return 0;
}

static int check_pip(const json_t *value, unsigned flags, json_t **ret_value) {
    _cleanup_json_ json_t *packages = NULL, *pip = NULL;
    int r = 0;
    if (json_is_string(value)) {
        r = read_requirements(json_string_value(value), flags, &packages);
        pip = json_object();
    } else if (json_is_array(value) && all_strings(value)) {
        packages = json_deep_copy(value);
        pip = json_object();
    } else if (json_is_object(value)) {
        r = check_pip_fields(value);
        if (r == 0)
            r = pip_packages(value, flags, &packages);
        pip = json_deep_copy(value);
    } else {
        return wrong_type("runtime_env['pip'] must be of type str or List[str], got ", value);
    }
    if (r < 0)
        return r;
    if (json_array_size(packages) == 0)
        return CHECK_DROP;
    json_object_set_new(pip, "packages", without_repeats(packages));
    if (!json_object_get(pip, "pip_check"))
        json_object_set_new(pip, "pip_check", json_false());
    *ret_value = TAKE(pip);
    return 0;
}

/* ------------------------------------------------------------------------- the whole */

static bool present(const json_t *env, const char *field) {
    const json_t *value = json_object_get(env, field);
    return value && !json_is_null(value);
}

static int check_together(const json_t *env) {
    if (present(env, "conda") + present(env, "pip") + present(env, "uv") > 1) {
        _cleanup_buf_ Buf pip = { 0 }, conda = { 0 }, uv = { 0 };
        pyrepr(json_object_get(env, "pip"), &pip);
        pyrepr(json_object_get(env, "conda"), &conda);
        pyrepr(json_object_get(env, "uv"), &uv);
        return error_origin(-EINVAL,
                            "The 'pip' field, 'uv' field, and 'conda' field of runtime_env "
                            "cannot be specified at the same time.\nspecified pip field: %s\n"
                            "specified conda field: %s\nspecified uv field: %s",
                            pip.data, conda.data, uv.data);
    }
    static const char *const missing[] = { "conda", "uv", "container", "image_uri", "java_jars" };
    for (size_t i = 0; i < ARRAY_LEN(missing); i++)
        if (present(env, missing[i]))
            return error_origin(-EINVAL,
                                "runtime_env['%s'] is not supported here; python packages "
                                "come with 'pip', code with 'working_dir' and 'py_modules'",
                                missing[i]);
    return 0;
}

static int normalize_field(const char *field, const json_t *value, unsigned flags, json_t *out) {
    static const struct {
        const char *field;
        CheckFn *check;
    } checks[] = {
        { "py_modules", check_py_modules }, { "working_dir", check_working_dir },
        { "excludes", check_excludes },     { "pip", check_pip },
        { "env_vars", check_env_vars },     { "config", check_config },
    };
    if (json_is_null(value))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        if (!str_eq(checks[i].field, field))
            continue;
        json_t *checked = NULL;
        int r = checks[i].check(value, flags, &checked);
        if (r == 0)
            json_object_set_new(out, field, checked);
        return r < 0 ? r : 0;
    }
    json_object_set_new(out, field, json_deep_copy(value));
    return 0;
}

int env_normalize(const json_t *env, unsigned flags, json_t **ret_env) {
    if (!env || json_is_null(env)) {
        *ret_env = json_object();
        return 0;
    }
    if (!json_is_object(env))
        return wrong_type("runtime_env must be a dictionary (a JSON object), got ", env);
    int r = check_together(env);
    if (r < 0)
        return r;
    _cleanup_json_ json_t *out = json_object();
    const char *field;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)env, field, value) {
        r = normalize_field(field, value, flags, out);
        if (r < 0)
            return r;
    }
    *ret_env = TAKE(out);
    return 0;
}

int env_parse(const char *text, unsigned flags, json_t **ret_env) {
    if (str_empty(text))
        return env_normalize(NULL, flags, ret_env);
    static const JsonLimits limits = { ENV_TEXT_MAX, 100000, 64 };
    _cleanup_json_ json_t *env = NULL;
    int r = json_parse(text, strlen(text), &limits, 0, &env);
    if (r < 0)
        return error_context(r, "runtime_env");
    return env_normalize(env, flags, ret_env);
}

char *env_canonical(const json_t *env) {
    _cleanup_json_ json_t *worker = json_copy((json_t *)(uintptr_t)env);
    json_object_del(worker, "config");
    return json_object_size(worker) ? json_text(worker, JSON_SORTED) : str_dup("");
}

uint64_t env_hash(const json_t *env) {
    _cleanup_free_ char *text = env_canonical(env);
    return *text ? XXH3_64bits(text, strlen(text)) : 0;
}

/* ------------------------------------------------------------------------------- merge */

static bool share_a_key(const json_t *a, const json_t *b, const char *except) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)a, key, value) {
        if (json_object_get(b, key) && !(except && str_eq(key, except)))
            return true;
    }
    return false;
}

int env_merge(const json_t *parent, const json_t *child, bool child_wins, json_t **ret_env) {
    const json_t *parent_vars = json_object_get(parent, "env_vars");
    const json_t *child_vars = json_object_get(child, "env_vars");
    if (!child_wins &&
        (share_a_key(parent, child, "env_vars") || share_a_key(parent_vars, child_vars, NULL)))
        return ENV_E_CONFLICT;

    json_t *merged = parent ? json_deep_copy(parent) : json_object();
    _cleanup_json_ json_t *vars = parent_vars ? json_deep_copy(parent_vars) : json_object();
    if (child)
        json_object_update(merged, (json_t *)(uintptr_t)child);
    if (child_vars)
        json_object_update(vars, (json_t *)(uintptr_t)child_vars);
    if (json_object_size(vars) > 0)
        json_object_set(merged, "env_vars", vars);
    *ret_env = merged;
    return 0;
}
