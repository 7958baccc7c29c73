/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as paths and queries. */
#include <stdio.h>

#include "kube/client_private.h"

static void add_segment(Buf *out, const char *text) {
    _cleanup_free_ char *encoded = http_encode(text, false);
    buf_add_char(out, '/');
    buf_add_str(out, encoded);
}

static void add_path(Buf *out, KubeGvr gvr, const char *namespace, const char *name,
                     const char *subresource) {
    buf_add_str(out, str_empty(gvr.group) ? "/api" : "/apis");
    if (!str_empty(gvr.group))
        add_segment(out, gvr.group);
    add_segment(out, gvr.version);
    if (!str_empty(namespace)) {
        buf_add_str(out, "/namespaces");
        add_segment(out, namespace);
    }
    add_segment(out, gvr.resource);
    if (name)
        add_segment(out, name);
    if (subresource)
        add_segment(out, subresource);
}

char *kube_path(KubeGvr gvr, const char *namespace, const char *name, const char *subresource) {
    Buf out = { 0 };
    add_path(&out, gvr, namespace, name, subresource);
    return buf_steal(&out);
}

static char *proxy_path(const char *resource, const char *namespace, const char *name,
                        const char *port, const char *rest) {
    Buf out = { 0 };
    _cleanup_free_ char *target = str_printf("%s:%s", name, port);
    buf_printf(&out, "/api/v1/namespaces");
    add_segment(&out, namespace);
    buf_printf(&out, "/%s/%s/proxy%s", resource, target, rest);
    return buf_steal(&out);
}

char *kube_path_service_proxy(const char *namespace, const char *service, const char *port,
                              const char *rest) {
    return proxy_path("services", namespace, service, port, rest);
}

char *kube_path_pod_proxy(const char *namespace, const char *pod, const char *port,
                          const char *rest) {
    return proxy_path("pods", namespace, pod, port, rest);
}

char *kube_path_pod_log(const char *namespace, const char *pod, const char *container, bool follow,
                        bool previous, int64_t tail_lines) {
    Buf out = { 0 };
    char number[24];
    add_path(&out, (KubeGvr){ "", "v1", "pods" }, namespace, pod, "log");
    if (container)
        http_query_add(&out, "container", container);
    if (follow)
        http_query_add(&out, "follow", "true");
    if (previous)
        http_query_add(&out, "previous", "true");
    if (tail_lines >= 0) {
        snprintf(number, sizeof(number), "%lld", (long long)tail_lines);
        http_query_add(&out, "tailLines", number);
    }
    return buf_steal(&out);
}

/* A name that is a path of its own would reach another object than was meant. */
static bool segment_good(const char *text) {
    return *text && !strpbrk(text, "/%") && !str_eq(text, ".") && !str_eq(text, "..");
}

static void add_number(Buf *url, const char *name, int64_t value) {
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    http_query_add(url, name, text);
}

static void add_text(Buf *url, const char *name, const char *value) {
    if (value)
        http_query_add(url, name, value);
}

static void add_query(Buf *url, const KubeRequest *request, bool watch) {
    bool writes = request->verb != KUBE_GET;
    add_text(url, "labelSelector", request->label_selector);
    add_text(url, "fieldSelector", request->field_selector);
    add_text(url, "continue", request->continue_token);
    if (request->limit)
        add_number(url, "limit", request->limit);
    if (!writes)
        add_text(url, "resourceVersion", request->resource_version);
    if (watch) {
        http_query_add(url, "watch", "true");
        http_query_add(url, "allowWatchBookmarks", "true");
    }
    if (request->verb == KUBE_CREATE || request->verb == KUBE_UPDATE ||
        request->verb == KUBE_PATCH) {
        add_text(url, "fieldManager", request->field_manager);
        add_text(url, "fieldValidation", request->field_validation);
    }
    if (request->verb == KUBE_PATCH && request->force)
        http_query_add(url, "force", "true");
    if (writes && request->verb != KUBE_DELETE && request->dry_run)
        http_query_add(url, "dryRun", "All");
}

int kube_url(const KubeClient *client, const KubeRequest *request, bool watch, Buf *out,
             const char **ret_message) {
    bool single = request->verb == KUBE_UPDATE || request->verb == KUBE_PATCH;
    if (request->name && !segment_good(request->name)) {
        *ret_message = "the object's name is empty or not one path segment";
        return KUBE_INVALID;
    }
    if (request->namespace && *request->namespace && !segment_good(request->namespace)) {
        *ret_message = "the namespace is not one path segment";
        return KUBE_INVALID;
    }
    if ((single || request->subresource) && !request->name) {
        *ret_message = "the object has no name";
        return KUBE_INVALID;
    }
    buf_add_str(out, client->config.server);
    const char *name = request->verb == KUBE_CREATE && !request->subresource ? NULL : request->name;
    add_path(out, request->gvr, request->namespace, name, request->subresource);
    add_query(out, request, watch);
    return 0;
}
