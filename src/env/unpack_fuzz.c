/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An archive into a tree in memory that believes what the sink is told. At the end every link is
 * followed the way a kernel would: it leads to something inside, to nothing, or in a circle.
 */

#include "env/unpack.h"

#include <locale.h>

#include "base/error.h"
#include "base/map.h"

enum {
    HOPS_MAX = 40
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Tree {
    StrMap nodes; /* path -> Node */
    bool file_open;
    uint64_t bytes;
} Tree;

typedef struct Node {
    UnpackKind kind;
    char *target;
} Node;

static void check_name(const char *path) {
    ASSERT(*path && *path != '/' && strlen(path) <= UNPACK_PATH_MAX);
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        size_t len = strcspn(part, "/");
        ASSERT(len > 0 && len < 256 && memchr(part, '\\', len) == NULL);
        ASSERT(!(len == 1 && part[0] == '.') && !(len == 2 && !memcmp(part, "..", 2)));
    }
}

static const Node *parent_of(const Tree *tree, const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    _cleanup_free_ char *parent = str_dup_slice((Slice){ path, (size_t)(slash - path) });
    const Node *node = strmap_get(&tree->nodes, parent);
    ASSERT(node);
    return node;
}

static int on_entry(void *ctx, const UnpackEntry *entry) {
    Tree *tree = ctx;
    ASSERT(!tree->file_open);
    check_name(entry->path);
    const Node *parent = parent_of(tree, entry->path);
    ASSERT(!parent || parent->kind == UNPACK_DIRECTORY);
    Node *node = strmap_get(&tree->nodes, entry->path);
    ASSERT((node != NULL) == entry->replaces);
    ASSERT(!node || (node->kind != UNPACK_DIRECTORY && entry->kind != UNPACK_DIRECTORY));
    if (!node) {
        node = mem_new(Node);
        strmap_put(&tree->nodes, entry->path, node);
    }
    node->kind = entry->kind;
    if (entry->kind == UNPACK_HARDLINK) {
        const Node *linked = strmap_get(&tree->nodes, entry->target);
        ASSERT(linked && linked != node && linked->kind == UNPACK_FILE);
        node->kind = UNPACK_FILE;
    }
    str_set(&node->target, entry->kind == UNPACK_SYMLINK ? entry->target : NULL);
    tree->file_open = entry->kind == UNPACK_FILE;
    return 0;
}

static int on_data(void *ctx, Slice data, uint64_t offset) {
    Tree *tree = ctx;
    ASSERT(tree->file_open && data.len > 0);
    tree->bytes += data.len;
    return 0;
}

static int on_end(void *ctx, uint64_t size) {
    Tree *tree = ctx;
    ASSERT(tree->file_open);
    tree->file_open = false;
    return 0;
}

/* Walks `path` from the directory `at`, which is emptied on the way out of the tree. */
static void follow(const Tree *tree, Buf *at, const char *path, int *hops, size_t floor) {
    for (const char *part = path; *part;) {
        size_t len = strcspn(part, "/"), before = at->len;
        Slice name = { part, len };
        part += len + (part[len] == '/');
        if (len == 0 || slice_eq_str(name, "."))
            continue;
        if (slice_eq_str(name, "..")) {
            ASSERT(at->len > floor);
            const char *slash = strrchr(at->data, '/');
            at->len = slash ? (size_t)(slash - at->data) : 0;
            at->data[at->len] = 0;
            continue;
        }
        if (before)
            buf_add_char(at, '/');
        buf_add(at, name.data, name.len);
        const Node *node = strmap_get(&tree->nodes, at->data);
        if (!node || ++*hops > HOPS_MAX) {
            *hops = HOPS_MAX; /* nothing there, or a circle */
            return;
        }
        if (node->kind == UNPACK_SYMLINK) {
            at->len = before;
            at->data[before] = 0;
            follow(tree, at, node->target, hops, floor);
        }
        if (*hops >= HOPS_MAX)
            return;
    }
}

static void check_link(const Tree *tree, const char *path, const Node *node, const char *top) {
    const char *slash = strrchr(path, '/');
    _cleanup_buf_ Buf at = { 0 };
    int hops = 0;
    buf_add(&at, path, slash ? (size_t)(slash - path) : 0);
    bool below = top && str_starts(path, top) && path[strlen(top)] == '/';
    follow(tree, &at, node->target, &hops, below ? strlen(top) : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const UnpackLimits limits = { .bytes = 1 << 20, .files = 100, .names = 4000 };
    Tree tree = { 0 };
    const UnpackSink sink = { &tree, on_entry, on_data, on_end };
    static locale_t locale; /* held: glibc reads its files again when nobody has it */
    _cleanup_free_ char *top = NULL;
    Node *node;
    if (!locale)
        locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    int r = unpack_archive(NULL, (Slice){ (const char *)data, size }, &limits, &sink, &top);
    ASSERT(r == 0 || r == -EBADMSG || r == -EPERM || r == -EFBIG);
    ASSERT(strmap_len(&tree.nodes) <= limits.files && tree.bytes <= limits.bytes);
    const char *path;
    for (size_t at = 0; (node = strmap_next(&tree.nodes, &at, &path)) != NULL;) {
        if (node->target)
            check_link(&tree, path, node, top);
        ASSERT(!top || str_eq(path, top) || str_starts(path, "__MACOSX") || strchr(path, '/'));
    }
    for (size_t at = 0; (node = strmap_next(&tree.nodes, &at, NULL)) != NULL;) {
        free(node->target);
        mem_free(node);
    }
    strmap_done(&tree.nodes);
    return 0;
}
