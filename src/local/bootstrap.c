/* SPDX-License-Identifier: Apache-2.0 */
#include "local/bootstrap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "codec/yaml.h"
#include "kobj/meta.h"
#include "net/http.h"
#include "net/tls.h"

#define VALID_FOR ((usec_t)3650 * 24 * 3600 * USEC_PER_SEC)

enum {
    FILE_MAX = 64 * 1024
};

static int read_text(const char *dir, const char *name, char **ret_text) {
    _cleanup_free_ char *path = str_printf("%s/%s", dir, name);
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read(path, FILE_MAX, &text);
    if (r < 0)
        return r;
    *ret_text = buf_steal(&text);
    return 0;
}

static int write_text(const char *dir, const char *name, const char *text) {
    _cleanup_free_ char *path = str_printf("%s/%s", dir, name);
    return file_write_atomic(path, text, strlen(text), 0600);
}

/* A certificate and its key: both read, or both made and written. */
static int load_pair(const char *dir, const char *stem, const TlsCertSpec *spec, char **ret_cert,
                     char **ret_key) {
    _cleanup_free_ char *cert_name = str_printf("pki/%s.crt", stem);
    _cleanup_free_ char *key_name = str_printf("pki/%s.key", stem);
    _cleanup_free_ char *cert = NULL, *key = NULL;
    int r = read_text(dir, cert_name, &cert);
    if (r == 0)
        r = read_text(dir, key_name, &key);
    if (r == -ENOENT) {
        cert = mem_free(cert);
        r = tls_cert_make(spec, &cert, &key);
        if (r == 0)
            r = write_text(dir, key_name, key);
        if (r == 0)
            r = write_text(dir, cert_name, cert);
    }
    if (r < 0)
        return r;
    *ret_cert = TAKE(cert);
    *ret_key = TAKE(key);
    return 0;
}

static int load_certificates(const char *dir, usec_t now, Bootstrap *b) {
    static const char *const masters[] = { "system:masters", NULL };
    static const char *const hosts[] = { "127.0.0.1",
                                         "::1",
                                         "localhost",
                                         "10.96.0.1",
                                         "kubernetes",
                                         "kubernetes.default",
                                         "kubernetes.default.svc",
                                         "kubernetes.default.svc.cluster.local",
                                         NULL };
    /* Clocks differ a little between machines that share a state folder. */
    now -= 3600 * USEC_PER_SEC;
    TlsCertSpec ca = { .common_name = "mobula-ca", .wall_now = now, .valid = VALID_FOR };
    int r = load_pair(dir, "ca", &ca, &b->ca_cert, &b->ca_key);
    if (r < 0)
        return r;
    TlsCertSpec server = { .common_name = "kube-apiserver",
                           .hosts = hosts,
                           .server = true,
                           .wall_now = now,
                           .valid = VALID_FOR,
                           .issuer_cert_pem = b->ca_cert,
                           .issuer_key_pem = b->ca_key };
    r = load_pair(dir, "server", &server, &b->server_cert, &b->server_key);
    if (r < 0)
        return r;
    TlsCertSpec admin = { .common_name = "kubernetes-admin",
                          .organizations = masters,
                          .client = true,
                          .wall_now = now,
                          .valid = VALID_FOR,
                          .issuer_cert_pem = b->ca_cert,
                          .issuer_key_pem = b->ca_key };
    return load_pair(dir, "admin", &admin, &b->admin_cert, &b->admin_key);
}

/* A secret in hex that whoever comes first makes: the file appears whole or not at all. */
static int load_secret(const char *dir, const char *name, char **ret_hex) {
    _cleanup_free_ char *path = str_printf("%s/%s", dir, name);
    _cleanup_free_ char *fresh_path = str_printf("%s.%d", path, getpid());
    uint8_t secret[32];
    char hex[65];
    int r = read_text(dir, name, ret_hex);
    if (r != -ENOENT)
        return r;
    mem_random(secret, sizeof(secret));
    hex_encode(secret, sizeof(secret), hex);
    r = file_write_atomic(fresh_path, hex, strlen(hex), 0600);
    if (r < 0)
        return r;
    bool lost = link(fresh_path, path) < 0 && errno != EEXIST;
    unlink(fresh_path);
    return lost ? error_last("make %s", path) : read_text(dir, name, ret_hex);
}

/* The port of the last run, from its kubeconfig. */
static uint16_t read_last_port(const char *dir) {
    _cleanup_free_ char *text = NULL;
    _cleanup_json_ json_t *config = NULL;
    if (read_text(dir, "kubeconfig", &text) < 0 ||
        yaml_parse(text, strlen(text), NULL, &config) < 0)
        return 0;
    const char *url =
        json_str_at(json_array_get(json_object_get(config, "clusters"), 0), "cluster", "server");
    HttpUrl parsed;
    if (!url || http_url_parse(url, &parsed) < 0)
        return 0;
    uint16_t port = parsed.port;
    http_url_done(&parsed);
    return port;
}

int bootstrap_load(const char *state_dir, usec_t wall_now, Bootstrap *ret_bootstrap) {
    _cleanup_free_ char *pki = str_printf("%s/pki", state_dir);
    _cleanup_(bootstrap_done) Bootstrap b = { 0 };
    _cleanup_free_ char *key_hex = NULL;
    int r = dir_make(state_dir, 0700);
    if (r == 0)
        r = dir_make(pki, 0700);
    if (r == 0)
        r = load_certificates(state_dir, wall_now, &b);
    if (r == 0)
        r = load_secret(state_dir, "agent.token", &b.agent_token);
    if (r == 0)
        r = load_secret(state_dir, "pki/sa.key", &key_hex);
    if (r == 0)
        r = strlen(key_hex) == 64 ? hex_decode(key_hex, b.token_key, sizeof(b.token_key))
                                  : error_origin(-EINVAL, "%s/pki/sa.key is damaged", state_dir);
    if (r < 0)
        return r;
    b.last_port = read_last_port(state_dir);
    *ret_bootstrap = b;
    b = (Bootstrap){ 0 };
    return 0;
}

void bootstrap_done(Bootstrap *bootstrap) {
    char *secrets[] = { bootstrap->ca_key, bootstrap->server_key, bootstrap->admin_key,
                        bootstrap->agent_token };
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        if (secrets[i])
            mem_wipe(secrets[i], strlen(secrets[i]));
        free(secrets[i]);
    }
    free(bootstrap->ca_cert);
    free(bootstrap->server_cert);
    free(bootstrap->admin_cert);
    mem_wipe(bootstrap->token_key, sizeof(bootstrap->token_key));
    *bootstrap = (Bootstrap){ 0 };
}

static json_t *base64_json(const char *text) {
    _cleanup_free_ char *encoded = base64_encode(text, strlen(text));
    return json_string(encoded);
}

int bootstrap_write_kubeconfig(const Bootstrap *bootstrap, const char *state_dir, const char *url) {
    _cleanup_json_ json_t *config = json_pack(
        "{s:s, s:s, s:s, s:{}, s:[{s:s, s:{s:s, s:o}}], s:[{s:s, s:{s:o, s:o}}], s:[{s:s, s:{s:s, "
        "s:s}}]}",
        "apiVersion", "v1", "kind", "Config", "current-context", "mobula", "preferences",
        "clusters", "name", "mobula", "cluster", "server", url, "certificate-authority-data",
        base64_json(bootstrap->ca_cert), "users", "name", "kubernetes-admin", "user",
        "client-certificate-data", base64_json(bootstrap->admin_cert), "client-key-data",
        base64_json(bootstrap->admin_key), "contexts", "name", "mobula", "context", "cluster",
        "mobula", "user", "kubernetes-admin");
    _cleanup_buf_ Buf text = { 0 };
    yaml_encode(config, &text);
    return write_text(state_dir, "kubeconfig", text.data);
}

/* Objects. */

static void make_if_missing(Api *api, const char *group, const char *plural, const char *ns,
                            json_t *object) {
    _cleanup_call_ ApiCall call =
        api_call(api, "kube-apiserver", group, plural, ns, obj_name(object));
    if (api_find(&call)) {
        json_decref(object);
        return;
    }
    _cleanup_json_ json_t *made = NULL;
    int r = api_create(&call, object, NULL, &made);
    if (r != 0)
        log_warn("making %s: %s", plural, api_call_text(&call, r));
}

static void make_kubernetes_service(Api *api, const char *url) {
    struct in_addr first = { htonl(api->service_base + 1) };
    char address[INET_ADDRSTRLEN];
    HttpUrl parsed;
    inet_ntop(AF_INET, &first, address, sizeof(address));
    make_if_missing(api, "", "services", "default",
                    json_pack("{s:{s:s, s:{s:s, s:s}}, s:{s:s, s:s, s:[{s:s, s:i, s:s, s:i}]}}",
                              "metadata", "name", "kubernetes", "labels", "component", "apiserver",
                              "provider", "kubernetes", "spec", "type", "ClusterIP", "clusterIP",
                              address, "ports", "name", "https", "port", 443, "protocol", "TCP",
                              "targetPort", 443));
    if (http_url_parse(url, &parsed) < 0)
        return;
    json_t *slice = json_pack(
        "{s:{s:s, s:{s:s}}, s:s, s:[{s:[s], s:{s:b}}], s:[{s:s, s:i, s:s}]}", "metadata", "name",
        "kubernetes", "labels", "kubernetes.io/service-name", "kubernetes", "addressType", "IPv4",
        "endpoints", "addresses", parsed.host, "conditions", "ready", 1, "ports", "name", "https",
        "port", (int)parsed.port, "protocol", "TCP");
    http_url_done(&parsed);
    _cleanup_call_ ApiCall call = api_call(api, "kube-apiserver", "discovery.k8s.io",
                                           "endpointslices", "default", "kubernetes");
    _cleanup_json_ json_t *made = NULL;
    int r = api_find(&call) ? api_update(&call, slice, NULL, &made)
                            : api_create(&call, slice, NULL, &made);
    if (r != 0)
        log_warn("making the endpoints of kubernetes: %s", api_call_text(&call, r));
}

void bootstrap_objects(Api *api, const char *url) {
    static const char *const names[] = { "default", "kube-system", "kube-public",
                                         "kube-node-lease" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        make_if_missing(api, "", "namespaces", "",
                        json_pack("{s:{s:s}}", "metadata", "name", names[i]));
    make_kubernetes_service(api, url);
}
