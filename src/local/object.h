/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One version of one object. It never changes: an update makes another Object. The JSON text is
 * made once, when the version is born, and serves the log, every reader and every watcher. The
 * tree, many times larger, is parsed on demand and kept beside it while the version is the newest,
 * small, and asked for now and then.
 */

#include <jansson.h>

#include "base/base.h"

typedef struct Object {
    unsigned refs;
    bool keeps_value; /* the newest version, and small enough */
    bool used;        /* the tree was asked for since object_rest() */
    uint64_t revision;
    const char *ns;   /* "" when the kind has no namespaces; part of this allocation */
    const char *name;
    json_t *value;    /* NULL when only the text is kept */
    char *text;
    size_t len;
} Object;

enum {
    OBJECT_TREE_MAX = 64 * 1024, /* text length up to which the newest version keeps its tree */
};

/* Takes `value` over and sets metadata.resourceVersion in it. */
Object *object_new(uint64_t revision, const char *ns, const char *name, json_t *value);
/* From the log: the text is copied, the tree is parsed when asked for. */
Object *object_new_text(uint64_t revision, const char *ns, const char *name, const char *text,
                        size_t len);
Object *object_ref(Object *object);
Object *object_unref(Object *object); /* takes NULL, returns NULL */
DEFINE_CLEANUP(Object *, object_unref);
#define _cleanup_object_ _cleanup_(object_unrefp)

/* The tree: a new reference, the caller's to drop. Shared, so never to be changed: who wants to
 * change it copies it. */
json_t *object_value(Object *object);
/* Drops the tree if nobody asked for it since the last call. */
void object_rest(Object *object);
/* A superseded version drops its tree. */
void object_retire(Object *object);
