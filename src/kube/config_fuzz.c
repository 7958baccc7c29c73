/* SPDX-License-Identifier: Apache-2.0 */

/* A kubeconfig from anywhere: refused with a sentence, or whole. */

#include "kube/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    KubeConfig config = { 0 };
    if (size > 8192 ||
        kube_config_parse((const char *)data, size, "/nonexistent", NULL, &config) < 0)
        return 0;
    HttpUrl url;
    ASSERT(config.server && http_url_parse(config.server, &url) == 0);
    http_url_done(&url);
    ASSERT(config.context && config.namespace);
    ASSERT(!config.cert_pem == !config.key_pem);
    (void)kube_config_token(&config, 0);
    kube_config_done(&config);
    return 0;
}
