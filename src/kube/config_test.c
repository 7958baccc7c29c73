/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/test.h"

static int parse(const char *text, const char *context, KubeConfig *ret_config) {
    return kube_config_parse(text, strlen(text), "/nonexistent", context, ret_config);
}

static const char good[] =
    "apiVersion: v1\nkind: Config\ncurrent-context: one\n"
    "contexts:\n"
    "- {name: one, context: {cluster: c, user: u, namespace: ns}}\n"
    "- {name: two, context: {cluster: d, user: t}}\n"
    "clusters:\n"
    "- {name: c, cluster: {server: 'https://h:6443/', "
    "certificate-authority-data: Q0E=, tls-server-name: x}}\n"
    "- {name: d, cluster: {server: 'http://d', insecure-skip-tls-verify: true}}\n"
    "users:\n"
    "- {name: u, user: {client-certificate-data: Q0VSVA==, client-key-data: "
    "S0VZ}}\n"
    "- {name: t, user: {token: secret}}\n";

static void test_contexts(void **state) {
    UNUSED(state);
    KubeConfig config;
    CHECK_OK(parse(good, NULL, &config));
    CHECK_STR(config.server, "https://h:6443");
    CHECK_STR(config.namespace, "ns");
    CHECK_STR(config.context, "one");
    CHECK_STR(config.ca_pem, "CA");
    CHECK_STR(config.cert_pem, "CERT");
    CHECK_STR(config.key_pem, "KEY");
    CHECK_STR(config.tls_server_name, "x");
    CHECK(!kube_config_token(&config, 0));
    kube_config_done(&config);
    CHECK_OK(parse(good, "two", &config));
    CHECK_STR(config.namespace, "default");
    CHECK_STR(kube_config_token(&config, 0), "secret");
    CHECK(config.insecure);
    kube_config_done(&config);
}

static void test_what_is_wrong_is_named(void **state) {
    UNUSED(state);
#define REST(cluster, user)                                                                        \
    "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"                  \
    "clusters: [{name: c, cluster: " cluster "}]\nusers: [{name: u, user: " user "}]\n"
    static const struct {
        const char *text, *context;
        int r;
        const char *part;
    } bad[] = {
        { good, "three", -EINVAL, "no context \"three\"" },
        { "a: b\n", NULL, -EINVAL, "current-context" },
        { "{", NULL, -EINVAL, "kubeconfig" },
        { REST("{}", "{}"), NULL, -EINVAL, "clusters[c].cluster.server is missing" },
        { REST("{server: nonsense}", "{}"), NULL, -EINVAL, "is not a URL" },
        { REST("{server: 'http://h', proxy-url: x}", "{}"), NULL, -ENOTSUP, "proxy-url" },
        { REST("{server: 'http://h', certificate-authority-data: '%'}", "{}"), NULL, -EINVAL,
          "clusters[c].cluster.certificate-authority-data is not base64" },
        { REST("{server: 'http://h', certificate-authority: ca.crt}", "{}"), NULL, -ENOENT,
          "clusters[c].cluster.certificate-authority: open /nonexistent/ca.crt" },
        { REST("{server: 'http://h'}", "{exec: {command: aws}}"), NULL, -ENOTSUP,
          "users[u].user.exec" },
        { REST("{server: 'http://h'}", "{client-key-data: S0VZ}"), NULL, -EINVAL,
          "without the other" },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        KubeConfig config;
        int r = parse(bad[i].text, bad[i].context, &config);
        if (r != bad[i].r || !strstr(error_text(r), bad[i].part))
            fail_msg("text %zu gave %d: %s", i, r, error_text(r));
    }
}

static void test_token_file_is_read_again(void **state) {
    UNUSED(state);
    char path[] = "/tmp/token-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    fd_close(fd);
    CHECK_OK(file_write_atomic(path, "first\n", 6, 0600));
    _cleanup_free_ char *text =
        str_printf("current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
                   "clusters: [{name: c, cluster: {server: 'http://h'}}]\n"
                   "users: [{name: u, user: {tokenFile: %s}}]\n",
                   path);
    KubeConfig config;
    CHECK_OK(parse(text, NULL, &config));
    CHECK_STR(kube_config_token(&config, 100), "first");
    CHECK_OK(file_write_atomic(path, "second", 6, 0600));
    CHECK_STR(kube_config_token(&config, 200), "first");
    CHECK_STR(kube_config_token(&config, 61 * USEC_PER_SEC), "second");
    CHECK(remove(path) == 0);
    CHECK_STR(kube_config_token(&config, 200 * USEC_PER_SEC), "second");
    kube_config_done(&config);
}

int main(void) {
    return TEST_RUN(TEST(test_contexts), TEST(test_what_is_wrong_is_named),
                    TEST(test_token_file_is_read_again));
}
