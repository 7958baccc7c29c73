/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/list.h"
#include "kube/client.h"

struct KubeClient {
    Loop *loop;
    HttpClient *http;
    KubeConfig config;
    HttpTrust trust;
    List calls;   /* KubeCall.link */
    List watches; /* KubeWatch.link */
};

enum {
    KUBE_RESPONSE_MAX = 256 * 1024 * 1024
};

/* What an HTTP answer means. Texts are borrowed from `body` (which the caller keeps) or static;
 * `room` takes a message that had to be made. */
typedef struct KubeVerdict {
    int r;
    const char *reason, *message;
    json_t *details;
    usec_t retry_after;
    char room[512];
} KubeVerdict;

void kube_verdict(KubeVerdict *verdict, const HttpResult *result, const json_t *body);
/* Of a Status object, as watches carry them. */
int kube_verdict_of_status(int status, const char *reason);

/* The URL of a request with its query. KUBE_INVALID with a sentence in *ret_message (static) if
 * its names can't be part of a path. */
_must_check_ int kube_url(const KubeClient *client, const KubeRequest *request, bool watch,
                          Buf *out, const char **ret_message);
/* Starts an HTTP call with our credentials. */
_must_check_ int kube_http_start(KubeClient *client, HttpCallSpec *spec, HttpHeaders *headers,
                                 const HttpCallEvents *events, void *ctx, HttpCall **ret_call);
