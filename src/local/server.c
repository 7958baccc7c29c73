/* SPDX-License-Identifier: Apache-2.0 */
#include "local/server.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "local/bootstrap.h"
#include "local/server_private.h"

#define SECONDS_OF_EVENTS  3600
#define SECONDS_OF_SILENCE 40
#define STORE_RESERVE      (16u << 20)

static int parse_range(Api *api, const char *text) {
    _cleanup_free_ char *address = str_dup(text);
    char *slash = strchr(address, '/');
    int64_t bits = 0;
    struct in_addr base;
    if (slash)
        *slash++ = 0;
    if (!slash || str_to_i64(slash, &bits) < 0 || bits < 8 || bits > 28 ||
        inet_pton(AF_INET, address, &base) != 1)
        return error_origin(-EINVAL, "service range \"%s\": must be IPv4 with /8 to /28", text);
    api->service_count = 1u << (32 - bits);
    api->service_base = ntohl(base.s_addr) & ~(api->service_count - 1);
    return 0;
}

/* A tree is some twenty times its text in small pieces, which the allocator keeps. */
static void tidy_up(void *ctx) {
    malloc_trim(0);
}

static void rest_store(void *ctx) {
    ApiServer *server = ctx;
    store_rest(server->api.store);
    if (!loop_timer_armed(server->tidy))
        tidy_up(server);
}

static void on_broken(void *ctx, int r) {
    ApiServer *server = ctx;
    log_error("the log of objects can't be written, ending: %s", error_text(r));
    loop_stop(server->loop);
}

static int open_store(ApiServer *server) {
    _cleanup_free_ char *path = str_printf("%s/objects.db", server->options.state_dir);
    KvOptions options = { .path = server->options.memory ? NULL : path,
                          .always_sync = server->options.durable,
                          .reserve = STORE_RESERVE };
    int r = kv_open(server->loop, &options, &server->kv);
    if (r < 0)
        return r;
    r = store_open(server->kv, &server->api.settings.window, &server->api.store);
    if (r == 0)
        store_on_broken(server->api.store, on_broken, server);
    return r;
}

static int listen_tls(ApiServer *server, const Bootstrap *bootstrap) {
    HttpServerOptions options = { .body_max = 64 * 1024 * 1024, .connections_max = 4096 };
    server->http = http_server_new(server->loop, &options, rest_handle, server);
    NetAddress address, bound;
    _cleanup_(tls_context_unrefp) TlsContext *tls = NULL;
    TlsOptions trust = { .server = true,
                         .cert_pem = bootstrap->server_cert,
                         .key_pem = bootstrap->server_key,
                         .ca_pem = bootstrap->ca_cert,
                         .alpn = "http/1.1" };
    int r = tls_context_new(&trust, &tls);
    if (r == 0)
        r = net_address_parse(server->options.listen, &address);
    if (r == 0 && net_address_port(&address) == 0)
        net_address_set_port(&address, bootstrap->last_port);
    if (r == 0)
        r = http_server_listen(server->http, &address, tls, &bound);
    if (r == -EADDRINUSE && bootstrap->last_port && str_ends(server->options.listen, ":0")) {
        net_address_set_port(&address, 0);
        r = http_server_listen(server->http, &address, tls, &bound);
    }
    if (r < 0)
        return r;
    char text[NET_ADDRESS_TEXT_MAX];
    net_address_format(&bound, text);
    if (str_starts(text, "0.0.0.0:")) /* everywhere: so also here */
        server->url = str_printf("https://127.0.0.1:%u", net_address_port(&bound));
    else
        server->url = str_printf("https://%s", text);
    return bootstrap_write_kubeconfig(bootstrap, server->options.state_dir, server->url);
}

static void keep_own_copies(ApiServer *server, const Bootstrap *bootstrap) {
    server->agent_token = str_dup(bootstrap->agent_token);
    server->api.ca_pem = str_dup(bootstrap->ca_cert);
    memcpy(server->api.token_key, bootstrap->token_key, sizeof(server->api.token_key));
    server->kubeconfig_path = str_printf("%s/kubeconfig", server->options.state_dir);
}

static int start(ApiServer *server) {
    _cleanup_(bootstrap_done) Bootstrap bootstrap = { 0 };
    Api *api = &server->api;
    int r = bootstrap_load(server->options.state_dir, loop_wall_now(server->loop), &bootstrap);
    if (r == 0)
        r = parse_range(api, api->settings.service_cidr);
    if (r < 0)
        return r;
    server->client = http_client_new(server->loop);
    r = open_store(server);
    if (r < 0)
        return r;
    keep_own_copies(server, &bootstrap);
    registry_init(&api->registry, api->store);
    crd_serve_all(api);
    r = listen_tls(server, &bootstrap);
    if (r < 0)
        return r;
    bootstrap_objects(api, server->url);
    server->controllers = controllers_new(api);
    loop_timer_after(server->tidy, REST_TIDY_AFTER); /* CRDs were read */
    loop_timer_every(server->rest, REST_TREES_AFTER);
    return 0;
}

int api_server_new(Loop *loop, const ApiServerOptions *options, ApiServer **ret_server) {
    _cleanup_(api_server_freep) ApiServer *server = mem_new(ApiServer);
    server->loop = loop;
    server->options = *options;
    list_init(&server->watches);
    server->tidy = loop_timer_new(loop, tidy_up, server);
    server->rest = loop_timer_new(loop, rest_store, server);
    server->api = (Api){
        .loop = loop,
        .settings = { .state_dir = options->state_dir,
                      .service_cidr =
                          options->service_cidr ? options->service_cidr : "10.96.0.0/16",
                      .issuer = "https://kubernetes.default.svc.cluster.local",
                      .event_ttl = SECONDS_OF_EVENTS * USEC_PER_SEC,
                      .node_grace = options->node_grace ? options->node_grace
                                                        : SECONDS_OF_SILENCE * USEC_PER_SEC,
                      .window = { .window_events = 2048, .window_bytes = 4 * 1024 * 1024 } },
    };
    int r = start(server);
    if (r < 0)
        return r;
    *ret_server = TAKE(server);
    return 0;
}

ApiServer *api_server_free(ApiServer *server) {
    if (!server)
        return NULL;
    server->api.closing = true;
    if (server->api.store)
        rest_watch_end_all(server);
    server->http = http_server_free(server->http);
    server->client = http_client_free(server->client);
    server->controllers = controllers_free(server->controllers);
    server->tidy = loop_timer_free(server->tidy);
    server->rest = loop_timer_free(server->rest);
    server->kv = kv_close(server->kv);
    server->api.store = store_close(server->api.store);
    registry_done(&server->api.registry);
    json_decref(server->openapi_index);
    free(server->api.ca_pem);
    mem_wipe(server->api.token_key, sizeof(server->api.token_key));
    free(server->agent_token);
    free(server->url);
    free(server->kubeconfig_path);
    free(server);
    return NULL;
}

const char *api_server_kubeconfig(const ApiServer *server) {
    return server->kubeconfig_path;
}

bool api_server_failed(const ApiServer *server) {
    return store_failure(server->api.store) != 0;
}

const char *api_server_url(const ApiServer *server) {
    return server->url;
}
