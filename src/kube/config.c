/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/config.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/yaml.h"

#define ACCOUNT_FOLDER "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_FRESH    (60 * USEC_PER_SEC)

enum {
    FILE_MAX = 1024 * 1024
};

void kube_config_done(KubeConfig *config) {
    if (config->key_pem)
        mem_wipe(config->key_pem, strlen(config->key_pem));
    if (config->token)
        mem_wipe(config->token, strlen(config->token));
    char *all[] = { config->server, config->namespace,  config->context,
                    config->ca_pem, config->cert_pem,   config->key_pem,
                    config->token,  config->token_file, config->tls_server_name };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        mem_free(all[i]);
    *config = (KubeConfig){ 0 };
}

static int read_text(const char *path, char **ret_text) {
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read(path, FILE_MAX, &text);
    if (r < 0)
        return r;
    *ret_text = buf_steal(&text);
    return 0;
}

/* The entry called `name` of one of kubeconfig's three lists: its part that is named like the list
 * without the s. Borrowed. */
static json_t *find_named(const json_t *doc, const char *list, const char *part, const char *name) {
    size_t i;
    json_t *item;
    json_array_foreach(json_at(doc, list), i, item) {
        if (str_eq(json_str_at(item, "name"), name))
            return json_object_get(item, part);
    }
    return NULL;
}

/* `key`-data (base64) or the file that `key` names. */
static int read_pem(const json_t *object, const char *key, const char *folder, const char *where,
                    char **ret_pem) {
    _cleanup_free_ char *data_key = str_printf("%s-data", key);
    const char *data = json_string_value(json_object_get(object, data_key));
    const char *path = json_string_value(json_object_get(object, key));
    if (data) {
        void *bytes = NULL;
        size_t len = 0;
        if (base64_decode(data, strlen(data), &bytes, &len) < 0)
            return error_origin(-EINVAL, "kubeconfig: %s.%s is not base64", where, data_key);
        *ret_pem = str_dup_slice((Slice){ bytes, len });
        mem_wipe(bytes, len);
        mem_free(bytes);
        return 0;
    }
    if (!path)
        return 0;
    _cleanup_free_ char *full = path[0] == '/' ? str_dup(path) : str_printf("%s/%s", folder, path);
    int r = read_text(full, ret_pem);
    return r < 0 ? error_context(r, "kubeconfig: %s.%s", where, key) : 0;
}

static int read_cluster(const json_t *cluster, const char *name, const char *folder,
                        KubeConfig *config) {
    _cleanup_free_ char *where = str_printf("clusters[%s].cluster", name);
    const char *server = json_str_at(cluster, "server");
    HttpUrl url;
    if (!server)
        return error_origin(-EINVAL, "kubeconfig: %s.server is missing", where);
    if (http_url_parse(server, &url) < 0)
        return error_origin(-EINVAL, "kubeconfig: %s.server \"%s\" is not a URL", where, server);
    http_url_done(&url);
    config->server = str_dup(server);
    for (size_t len = strlen(config->server); len && config->server[len - 1] == '/'; len--)
        config->server[len - 1] = 0;
    if (json_str_at(cluster, "proxy-url"))
        return error_origin(-ENOTSUP,
                            "kubeconfig: %s.proxy-url is not supported; set https_proxy in "
                            "the environment instead",
                            where);
    config->tls_server_name = str_dup(json_str_at(cluster, "tls-server-name"));
    config->insecure = json_bool_at(cluster, false, "insecure-skip-tls-verify");
    return read_pem(cluster, "certificate-authority", folder, where, &config->ca_pem);
}

static int read_user(const json_t *user, const char *name, const char *folder, KubeConfig *config) {
    static const char *const unsupported[] = { "exec", "auth-provider", "username" };
    _cleanup_free_ char *where = str_printf("users[%s].user", name);
    for (size_t i = 0; i < ARRAY_LEN(unsupported); i++)
        if (json_object_get(user, unsupported[i]))
            return error_origin(-ENOTSUP,
                                "kubeconfig: %s.%s is not supported; use a client certificate, "
                                "token or tokenFile",
                                where, unsupported[i]);
    const char *file = json_str_at(user, "tokenFile");
    config->token = str_dup(json_str_at(user, "token"));
    if (file)
        config->token_file = file[0] == '/' ? str_dup(file) : str_printf("%s/%s", folder, file);
    int r = read_pem(user, "client-certificate", folder, where, &config->cert_pem);
    if (r == 0)
        r = read_pem(user, "client-key", folder, where, &config->key_pem);
    if (r == 0 && !config->cert_pem != !config->key_pem)
        return error_origin(
            -EINVAL, "kubeconfig: %s has a client certificate or key without the other", where);
    return r;
}

static int read_context(const json_t *doc, const char *name, const char *folder,
                        KubeConfig *config) {
    const json_t *context = find_named(doc, "contexts", "context", name);
    if (!context)
        return error_origin(-EINVAL, "kubeconfig: there is no context \"%s\"", name);
    const char *cluster_name = json_str_at(context, "cluster");
    const char *user_name = json_str_at(context, "user");
    const char *namespace = json_str_at(context, "namespace");
    const json_t *cluster =
        cluster_name ? find_named(doc, "clusters", "cluster", cluster_name) : NULL;
    const json_t *user = user_name ? find_named(doc, "users", "user", user_name) : NULL;
    if (!cluster)
        return error_origin(-EINVAL, "kubeconfig: contexts[%s].context.cluster names no cluster",
                            name);
    if (user_name && *user_name && !user)
        return error_origin(-EINVAL, "kubeconfig: contexts[%s].context.user names no user", name);
    config->context = str_dup(name);
    config->namespace = str_dup(str_empty(namespace) ? "default" : namespace);
    int r = read_cluster(cluster, cluster_name, folder, config);
    return r < 0 || !user ? r : read_user(user, user_name, folder, config);
}

int kube_config_parse(const char *text, size_t len, const char *folder, const char *context,
                      KubeConfig *ret_config) {
    _cleanup_json_ json_t *doc = NULL;
    int r = yaml_parse(text, len, NULL, &doc);
    if (r < 0)
        return error_context(r, "kubeconfig");
    const char *name = context ? context : json_str_at(doc, "current-context");
    if (str_empty(name))
        return error_origin(-EINVAL, "kubeconfig: current-context is not set");
    KubeConfig config = { 0 };
    r = read_context(doc, name, folder, &config);
    if (r < 0) {
        kube_config_done(&config);
        return r;
    }
    *ret_config = config;
    return 0;
}

/* $KUBECONFIG's first file that exists, or ~/.kube/config. Owned. */
static char *default_path(void) {
    const char *list = getenv("KUBECONFIG"), *home = getenv("HOME");
    while (list && *list) {
        size_t len = strcspn(list, ":");
        _cleanup_free_ char *path = str_dup_slice((Slice){ list, len });
        if (len && access(path, F_OK) == 0)
            return TAKE(path);
        list += len + (list[len] == ':');
    }
    return str_printf("%s/.kube/config", home ? home : "");
}

int kube_config_load(const char *path, const char *context, KubeConfig *ret_config) {
    _cleanup_free_ char *chosen = path ? str_dup(path) : default_path();
    _cleanup_free_ char *text = NULL;
    int r = read_text(chosen, &text);
    if (r < 0)
        return error_context(r, "kubeconfig");
    char *slash = strrchr(chosen, '/');
    if (slash)
        *slash = 0;
    return kube_config_parse(text, strlen(text), slash ? chosen : ".", context, ret_config);
}

int kube_config_in_cluster(KubeConfig *ret_config) {
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    if (str_empty(host) || str_empty(port) || access(ACCOUNT_FOLDER "/token", R_OK) < 0)
        return error_origin(-ENOENT, "not inside a pod with a service account");
    KubeConfig config = { 0 };
    bool v6 = strchr(host, ':') != NULL;
    config.server = str_printf("https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    config.context = str_dup("");
    config.token_file = str_dup(ACCOUNT_FOLDER "/token");
    int r = read_text(ACCOUNT_FOLDER "/ca.crt", &config.ca_pem);
    if (r == 0)
        r = read_text(ACCOUNT_FOLDER "/namespace", &config.namespace);
    if (r < 0) {
        kube_config_done(&config);
        return r;
    }
    *ret_config = config;
    return 0;
}

int kube_config_auto(const char *path, const char *context, KubeConfig *ret_config) {
    if (!path && !context && kube_config_in_cluster(ret_config) == 0)
        return 0;
    return kube_config_load(path, context, ret_config);
}

const char *kube_config_token(KubeConfig *config, usec_t now) {
    if (!config->token_file || (config->token && now - config->token_read < TOKEN_FRESH))
        return config->token;
    char *text = NULL;
    if (read_text(config->token_file, &text) < 0)
        return config->token; /* the old one may still be good; the server says so */
    size_t len = strlen(text);
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' '))
        text[--len] = 0;
    mem_free(config->token);
    config->token = text;
    config->token_read = now;
    return config->token;
}
