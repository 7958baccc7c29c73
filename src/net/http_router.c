/* SPDX-License-Identifier: Apache-2.0 */
/* A tree of segments. A node has fixed children, one parameter child, and one rest. */
#include "net/http_router.h"

#include "base/map.h"
#include "base/vec.h"
#include "net/http_private.h"

enum {
    SEGMENTS_MAX = 32,
    PARAMS_MAX = 16
};

typedef struct Route {
    char *method;
    Vec(char *) names; /* of the parameters, in the order of the path */
    HttpHandlerFn *handler;
    void *ctx;
} Route;

typedef struct Node {
    StrMap fixed;        /* segment to Node */
    struct Node *param, *rest;
    Vec(Route *) routes; /* of paths that end here */
} Node;

struct HttpRouter {
    Node root;
    HttpHandlerFn *fallback;
    void *fallback_ctx;
};

static void route_free(Route *route) {
    VEC_EACH(name, &route->names)
        mem_free(*name);
    vec_done(&route->names);
    mem_free(route->method);
    mem_free(route);
}

static void node_done(Node *node) {
    size_t at = 0;
    for (Node *child; (child = strmap_next(&node->fixed, &at, NULL));) {
        node_done(child);
        mem_free(child);
    }
    strmap_done(&node->fixed);
    if (node->param)
        node_done(node->param);
    if (node->rest)
        node_done(node->rest);
    mem_free(node->param);
    mem_free(node->rest);
    VEC_EACH(route, &node->routes)
        route_free(*route);
    vec_done(&node->routes);
}

HttpRouter *http_router_new(void) {
    return mem_new(HttpRouter);
}

HttpRouter *http_router_free(HttpRouter *router) {
    if (!router)
        return NULL;
    node_done(&router->root);
    return mem_free(router);
}

void http_router_set_fallback(HttpRouter *router, HttpHandlerFn *handler, void *ctx) {
    router->fallback = handler;
    router->fallback_ctx = ctx;
}

static Node *child_get(Node **slot) {
    if (!*slot)
        *slot = mem_new(Node);
    return *slot;
}

/* One pattern segment further down; a parameter's name goes to the route. */
static Node *descend(Node *node, Slice segment, Route *route, bool last) {
    bool is_param =
        segment.len > 2 && segment.data[0] == '{' && segment.data[segment.len - 1] == '}';
    if (!is_param) {
        _cleanup_free_ char *text = str_dup_slice(segment);
        ASSERT(!strpbrk(text, "{}"));
        Node *child = strmap_get(&node->fixed, text);
        if (!child) {
            child = mem_new(Node);
            strmap_put(&node->fixed, text, child);
        }
        return child;
    }
    Slice name = { segment.data + 1, segment.len - 2 };
    bool is_rest = name.len > 3 && memcmp(name.data + name.len - 3, "...", 3) == 0;
    ASSERT(!is_rest || last);
    name.len -= is_rest ? 3 : 0;
    ASSERT(route->names.len < PARAMS_MAX);
    vec_push(&route->names, str_dup_slice(name));
    return child_get(is_rest ? &node->rest : &node->param);
}

/* Takes the next "/segment" off the front. */
static Slice next_segment(const char **at) {
    ASSERT(**at == '/');
    size_t len = strcspn(*at + 1, "/");
    Slice segment = { *at + 1, len };
    *at += 1 + len;
    return segment;
}

static Route *route_find(const Node *node, const char *method) {
    VEC_EACH(route, &node->routes)
        if (str_eq((*route)->method, method))
            return *route;
    return NULL;
}

void http_router_add(HttpRouter *router, const char *method, const char *pattern,
                     HttpHandlerFn *handler, void *ctx) {
    ASSERT(pattern[0] == '/');
    Route *route = mem_new(Route);
    route->method = str_dup(method);
    route->handler = handler;
    route->ctx = ctx;
    Node *node = &router->root;
    for (const char *at = pattern; *at;) {
        Slice segment = next_segment(&at);
        node = descend(node, segment, route, *at == 0);
    }
    ASSERT(!route_find(node, method));
    vec_push(&node->routes, route);
}

typedef struct Match {
    Slice params[PARAMS_MAX];
    size_t param_count;
    size_t depth;
    const Node *node;
} Match;

static bool match(const Node *node, const char *at, Match *m);

static bool match_fixed(const Node *node, Slice segment, const char *after, Match *m) {
    char text[256];
    if (segment.len >= sizeof(text) || strmap_len(&node->fixed) == 0)
        return false;
    memcpy(text, segment.data, segment.len);
    text[segment.len] = 0;
    const Node *child = strmap_get(&node->fixed, text);
    return child && match(child, after, m);
}

static bool match_param(const Node *node, Slice segment, const char *after, Match *m) {
    if (!node->param || segment.len == 0 || m->param_count == PARAMS_MAX)
        return false;
    m->params[m->param_count++] = segment;
    if (match(node->param, after, m))
        return true;
    m->param_count--;
    return false;
}

static bool match(const Node *node, const char *at, Match *m) {
    if (!*at && node->routes.len) {
        m->node = node;
        return true;
    }
    if (*at && m->depth < SEGMENTS_MAX) {
        const char *after = at;
        Slice segment = next_segment(&after);
        m->depth++;
        bool found = match_fixed(node, segment, after, m) || match_param(node, segment, after, m);
        m->depth--;
        if (found)
            return true;
    }
    if (!node->rest || m->param_count == PARAMS_MAX)
        return false;
    m->params[m->param_count++] = slice_str(*at ? at + 1 : at);
    m->node = node->rest;
    return true;
}

static int params_set(HttpRequest *request, const Route *route, const Match *m) {
    for (size_t i = 0; i < route->names.len; i++) {
        char *value = NULL;
        int r = http_decode(m->params[i], false, &value);
        if (r < 0)
            return r;
        vec_push(&request->params,
                 (struct HttpParam){ .name = str_dup(route->names.items[i]), .value = value });
    }
    return 0;
}

static void answer_405(HttpRequest *request, const Node *node) {
    _cleanup_buf_ Buf allow = { 0 };
    VEC_EACH(route, &node->routes)
        buf_printf(&allow, "%s%s", allow.len ? ", " : "", (*route)->method);
    http_response_header(request, "Allow", allow.data);
    http_respond_text(request, 405, "%s is not possible here, only %s\n",
                      http_request_method(request), allow.data);
}

void http_router_handle(void *ctx, HttpRequest *request) {
    HttpRouter *router = ctx;
    Match m = { 0 };
    if (request->raw_path[0] != '/' || !match(&router->root, request->raw_path, &m)) {
        if (router->fallback)
            router->fallback(router->fallback_ctx, request);
        else
            http_respond_text(request, 404, "there is nothing at %s\n", request->path);
        return;
    }
    const char *method = http_request_method(request);
    const Route *route = route_find(m.node, method);
    if (!route && str_eq(method, "HEAD"))
        route = route_find(m.node, "GET");
    if (!route)
        route = route_find(m.node, "*");
    if (!route) {
        answer_405(request, m.node);
        return;
    }
    int r = params_set(request, route, &m);
    if (r < 0)
        http_respond_error(request, r);
    else
        route->handler(route->ctx, request);
}
