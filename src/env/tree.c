/* SPDX-License-Identifier: Apache-2.0 */
#include "env/tree.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/vec.h"
#include "env/ignore.h"

enum {
    DEPTH_MAX = 64,
    IGNORE_FILE_MAX = 1024 * 1024,
};

static const char default_excludes[] = ".git,.venv,venv,__pycache__";

/* The rules of one ignore file; they see paths relative to its directory. */
typedef struct Layer {
    IgnoreRules rules;
    size_t prefix; /* bytes of the path to drop: the directory and its slash */
} Layer;

typedef struct Walk {
    const PackageOptions *options;
    TreeVisitFn *visit;
    void *ctx;
    Vec(Layer) layers;
    size_t files;
} Walk;

static void walk_pop_layers(Walk *walk, size_t keep) {
    while (walk->layers.len > keep)
        ignore_rules_done(&vec_pop(&walk->layers).rules);
}

static void walk_done(Walk *walk) {
    walk_pop_layers(walk, 0);
    vec_done(&walk->layers);
}

static void walk_add_excludes(Walk *walk) {
    Layer layer = { 0 };
    const PackageOptions *options = walk->options;
    _cleanup_free_ char *names = str_dup(options->defaults ? options->defaults : default_excludes);
    char *rest = names;
    for (char *name; (name = strsep(&rest, ","));)
        ignore_rules_add(&layer.rules, slice_str(name));
    for (size_t i = 0; options->excludes && i < options->excludes->len; i++)
        ignore_rules_add(&layer.rules, slice_str(options->excludes->items[i]));
    vec_push(&walk->layers, layer);
}

static int walk_add_ignore_file(Walk *walk, const char *full, const char *name, size_t prefix) {
    _cleanup_free_ char *path = str_printf("%s/%s", full, name);
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read(path, IGNORE_FILE_MAX, &text);
    if (r < 0)
        return r;
    Layer layer = { .prefix = prefix };
    ignore_rules_add_text(&layer.rules, buf_slice(&text));
    vec_push(&walk->layers, layer);
    return 0;
}

static bool walk_ignores(const Walk *walk, const char *path) {
    for (size_t i = 0; i < walk->layers.len; i++)
        if (ignore_rules_match(&walk->layers.items[i].rules, path + walk->layers.items[i].prefix))
            return true;
    return false;
}

static int list_names(const char *full, StrList *out) {
    DIR *dir = opendir(full);
    if (!dir)
        return error_last("read directory %s", full);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
            strlist_add(out, entry->d_name);
    closedir(dir);
    strlist_sort(out);
    return 0;
}

static int walk_directory(Walk *walk, const char *path, const char *full, unsigned depth);

static int walk_entry(Walk *walk, const char *path, const char *full, unsigned depth) {
    struct stat st;
    if (walk_ignores(walk, path) || stat(full, &st) < 0)
        return 0;
    if (++walk->files > PACKAGE_FILES_MAX)
        return error_origin(-EFBIG,
                            "more than %d files; exclude some with .gitignore, .rayignore or "
                            "runtime_env['excludes']",
                            PACKAGE_FILES_MAX);
    if (S_ISREG(st.st_mode))
        return walk->visit(walk->ctx, path, full, &st, false);
    if (!S_ISDIR(st.st_mode) || depth >= DEPTH_MAX)
        return 0;
    return walk_directory(walk, path, full, depth + 1);
}

static int walk_directory(Walk *walk, const char *path, const char *full, unsigned depth) {
    size_t layers = walk->layers.len, prefix = *path ? strlen(path) + 1 : 0;
    _cleanup_strlist_ StrList names = { 0 };
    int r = list_names(full, &names);
    if (r == 0 && !walk->options->no_gitignore)
        r = walk_add_ignore_file(walk, full, ".gitignore", prefix);
    if (r == 0)
        r = walk_add_ignore_file(walk, full, ".rayignore", prefix);
    if (r == 0 && *path) {
        struct stat st = { .st_mode = S_IFDIR | 0755 };
        r = walk->visit(walk->ctx, path, full, &st, names.len == 0);
    }
    for (size_t i = 0; r == 0 && i < names.len; i++) {
        _cleanup_free_ char *below = str_printf("%s%s%s", path, *path ? "/" : "", names.items[i]);
        _cleanup_free_ char *below_full = str_printf("%s/%s", full, names.items[i]);
        r = walk_entry(walk, below, below_full, depth);
    }
    walk_pop_layers(walk, layers);
    return r;
}

int tree_walk(const char *root, const PackageOptions *options, TreeVisitFn *visit, void *ctx) {
    static const PackageOptions none = { 0 };
    _cleanup_(walk_done) Walk walk = { options ? options : &none, visit, ctx };
    struct stat st;
    if (stat(root, &st) < 0 || !S_ISDIR(st.st_mode))
        return error_origin(-ENOTDIR, "directory %s must be an existing directory", root);
    walk_add_excludes(&walk);
    return walk_directory(&walk, "", root, 0);
}
