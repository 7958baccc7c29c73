/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/run_manifests.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "codec/yaml.h"

enum {
    MANIFEST_MAX = 8 << 20
};

static int add_text(const char *name, const Buf *text, json_t *documents) {
    _cleanup_json_ json_t *found = NULL;
    _cleanup_strlist_ StrList notes = { 0 };
    size_t i;
    json_t *document;
    int r = yaml_parse_all_noting(text->data ? text->data : "", text->len, NULL, &notes, &found);
    for (size_t n = 0; n < notes.len; n++)
        fprintf(stderr, "%s: %s\n", name, notes.items[n]);
    if (r < 0)
        return error_context(r, "%s", name);
    json_array_foreach(found, i, document) {
        if (json_is_null(document))
            continue;
        if (!json_is_object(document) || !json_str_at(document, "kind") ||
            !json_str_at(document, "apiVersion"))
            return error_origin(-EINVAL,
                                "%s: document %zu is no Kubernetes object: it needs apiVersion "
                                "and kind",
                                name, i + 1);
        json_array_append(documents, document);
    }
    return 0;
}

static int add_file(const char *path, json_t *documents) {
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read(path, MANIFEST_MAX, &text);
    return r < 0 ? r : add_text(path, &text, documents);
}

static int add_input(json_t *documents) {
    _cleanup_buf_ Buf text = { 0 };
    for (;;) {
        char *to = buf_reserve(&text, 65536);
        ssize_t got = read(STDIN_FILENO, to, 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_last("standard input");
        if (got == 0)
            return add_text("standard input", &text, documents);
        text.len += (size_t)got;
        text.data[text.len] = 0;
        if (text.len > MANIFEST_MAX)
            return error_origin(-EFBIG, "standard input: more than %d bytes", MANIFEST_MAX);
    }
}

/* A folder below may have such a name, too: it is passed over. */
static bool is_manifest(int folder, const char *name) {
    struct stat info;
    return name[0] != '.' &&
           (str_ends(name, ".yaml") || str_ends(name, ".yml") || str_ends(name, ".json")) &&
           (fstatat(folder, name, &info, 0) < 0 || !S_ISDIR(info.st_mode));
}

static int add_folder(const char *path, json_t *documents) {
    _cleanup_strlist_ StrList names = { 0 };
    DIR *folder = opendir(path);
    if (!folder)
        return error_last("%s", path);
    for (struct dirent *entry; (entry = readdir(folder));)
        if (is_manifest(dirfd(folder), entry->d_name))
            strlist_add(&names, entry->d_name);
    closedir(folder);
    if (names.len == 0)
        return error_origin(-ENOENT, "%s: no .yaml, .yml or .json file in it", path);
    strlist_sort(&names);
    for (size_t i = 0; i < names.len; i++) {
        _cleanup_free_ char *file = str_printf("%s/%s", path, names.items[i]);
        int r = add_file(file, documents);
        if (r < 0)
            return r;
    }
    return 0;
}

int manifests_load(const char *path, json_t *documents) {
    struct stat info;
    if (str_eq(path, "-"))
        return add_input(documents);
    if (stat(path, &info) < 0)
        return error_last("%s", path);
    return S_ISDIR(info.st_mode) ? add_folder(path, documents) : add_file(path, documents);
}
