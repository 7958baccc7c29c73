/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a URL's path asks for, in parts. Pure; nothing is looked up.
 *
 *     /api/v1/namespaces/default/pods/x/log?follow=true
 *     /apis/ray.io/v1/rayclusters
 *     /api/v1/namespaces/ns/services/http:web:8265/proxy/api/jobs/
 */

#include "base/arena.h"
#include "base/base.h"
#include "net/http.h"

typedef struct Route {
    const char *path;     /* as it came, without the query */
    bool is_resource;     /* /api/… or /apis/… deep enough to name a resource */
    const char *group;    /* "" for the core group */
    const char *version;
    const char *ns;       /* "" when the path has none */
    const char *resource; /* "pods" */
    const char *name;     /* NULL: the collection */
    const char *subresource;
    const char *rest;     /* behind `proxy`, still encoded, with its leading slash or "" */
    const char *query;    /* behind the question mark, still encoded; NULL without one */
} Route;

enum {
    ROUTE_SEGMENTS_MAX = 512
};

/* A query flag: present and neither "0" nor "false", as Kubernetes reads one. */
bool query_true(const HttpQuery *query, const char *name);

/* -EINVAL for bad percent escapes, NULs or too many parts. */
_must_check_ int route_parse(Arena *arena, const char *target, Route *ret_route);
