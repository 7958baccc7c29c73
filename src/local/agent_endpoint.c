/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_endpoint.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "local/agent_endpoint_private.h"

enum {
    TOKEN_BYTES = 32,
    TOKEN_FILE_MAX = 4096
};

/* Made by whoever is first; the file appears whole, since O_EXCL decides on another name. */
static int token_make(const char *path) {
    uint8_t bytes[TOKEN_BYTES];
    char text[TOKEN_BYTES * 2 + 1];
    _cleanup_free_ char *beside = str_printf("%s.%d", path, getpid());
    mem_random(bytes, sizeof(bytes));
    hex_encode(bytes, sizeof(bytes), text);
    int r = file_write_atomic(beside, text, strlen(text), 0600);
    if (r == 0 && link(beside, path) < 0 && errno != EEXIST)
        r = error_last("create %s", path);
    unlink(beside);
    mem_wipe(bytes, sizeof(bytes));
    mem_wipe(text, sizeof(text));
    return r;
}

static int token_load(const char *path, char **ret_token) {
    _cleanup_buf_ Buf text = { 0 };
    int r = access(path, F_OK) < 0 ? token_make(path) : 0;
    if (r == 0)
        r = file_read(path, TOKEN_FILE_MAX, &text);
    if (r < 0)
        return r;
    size_t len = text.data ? strcspn(text.data, " \r\n") : 0;
    if (!len)
        return error_origin(-EINVAL, "%s is empty: remove it, and a new one is made", path);
    *ret_token = str_dup_slice((Slice){ text.data, len });
    return 0;
}

bool endpoint_flag(HttpRequest *request, const char *name) {
    const char *value = http_query_get(http_request_query(request), name);
    return str_eq(value, "true") || str_eq(value, "1");
}

AgentPod *endpoint_pod(AgentEndpoint *endpoint, HttpRequest *request, const char **ret_container) {
    const char *ns = http_request_param(request, "ns"), *name = http_request_param(request, "pod");
    const char *container = http_request_param(request, "container");
    AgentPod *pod = agent_find_pod(endpoint->agent, ns, name);
    if (!pod) {
        http_respond_text(request, 404, "pod \"%s\" not found", name);
        return NULL;
    }
    if (container && !agent_pod_has_container(pod, container)) {
        http_respond_text(request, 400, "container %s is not valid for pod %s", container, name);
        return NULL;
    }
    *ret_container = container;
    return pod;
}

static void healthz(void *ctx, HttpRequest *request) {
    UNUSED(ctx);
    http_respond_text(request, 200, "ok");
}

static void handle(void *ctx, HttpRequest *request) {
    AgentEndpoint *endpoint = ctx;
    const char *given = http_bearer(http_request_headers(request));
    if (!http_secret_equal(given, endpoint->token)) {
        http_response_header(request, "WWW-Authenticate", "Bearer");
        http_respond_text(request, 401, "Unauthorized");
        return;
    }
    http_router_handle(endpoint->router, request);
}

static int serve(AgentEndpoint *endpoint, uint16_t port) {
    NetAddress address, bound;
    char text[NET_ADDRESS_TEXT_MAX];
    int r = net_address_ip("127.0.0.1", port, &address);
    if (r == 0)
        r = http_server_listen(endpoint->server, &address, NULL, &bound);
    if (r < 0)
        return r;
    net_address_format(&bound, text);
    endpoint->url = str_printf("http://%s", text);
    return 0;
}

int agent_endpoint_new(Agent *agent, Loop *loop, const char *token_file, uint16_t port,
                       AgentEndpoint **ret_endpoint) {
    AgentEndpoint *endpoint = mem_new(AgentEndpoint);
    endpoint->agent = agent;
    endpoint->loop = loop;
    list_init(&endpoint->sessions);
    HttpRouter *router = endpoint->router = http_router_new();
    http_router_add(router, "GET", "/healthz", healthz, endpoint);
    http_router_add(router, "GET", "/containerLogs/{ns}/{pod}/{container}", endpoint_logs,
                    endpoint);
    http_router_add(router, "GET", "/exec/{ns}/{pod}/{container}", endpoint_exec, endpoint);
    http_router_add(router, "GET", "/attach/{ns}/{pod}/{container}", endpoint_attach, endpoint);
    http_router_add(router, "GET", "/portForward/{ns}/{pod}", endpoint_forward, endpoint);
    endpoint->server = http_server_new(loop, NULL, handle, endpoint);
    int r = token_load(token_file, &endpoint->token);
    if (r == 0)
        r = serve(endpoint, port);
    if (r < 0) {
        agent_endpoint_free(endpoint);
        return r;
    }
    *ret_endpoint = endpoint;
    return 0;
}

AgentEndpoint *agent_endpoint_free(AgentEndpoint *endpoint) {
    if (!endpoint)
        return NULL;
    for (List *item; (item = list_pop(&endpoint->sessions));) {
        EndpointSession *session = LIST_ITEM(item, EndpointSession, all);
        session->free(session);
    }
    http_server_free(endpoint->server);
    http_router_free(endpoint->router);
    if (endpoint->token)
        mem_wipe(endpoint->token, strlen(endpoint->token));
    mem_free(endpoint->token);
    mem_free(endpoint->url);
    return mem_free(endpoint);
}

const char *agent_endpoint_url(const AgentEndpoint *endpoint) {
    return endpoint->url;
}
