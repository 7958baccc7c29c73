/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTTP requests on the loop, by libcurl: TLS, client certificates, proxies, connections reused per
 * host. One HttpClient a daemon. A call ends with `done`, exactly once, unless it is freed before.
 * Redirects are not followed. Uploads use HTTP/1.1.
 */

#include "loop/loop.h"
#include "net/http.h"

typedef struct HttpClient HttpClient;
typedef struct HttpCall HttpCall;

/* How to trust a server, and what to show it. PEM texts. */
typedef struct HttpTrust {
    const char *ca_pem;      /* NULL: the system's */
    const char *cert_pem;    /* client certificate */
    const char *key_pem;
    const char *server_name; /* check the certificate against this name instead of the URL's host */
    bool insecure;
} HttpTrust;

typedef struct HttpCallSpec { /* all of it is copied */
    const char *method;       /* NULL: GET, or POST with a body */
    const char *url;
    const char *unix_path;    /* connect there instead */
    const HttpHeaders *headers;
    const char *bearer;       /* Authorization: Bearer … */
    const HttpTrust *trust;
    Slice body;
    /* Streaming upload: fills up to `room` bytes, returns how many; 0 is the end;
     * HTTP_UPLOAD_WAIT: nothing now, http_call_resume() follows; negative fails the call. */
    ssize_t (*read_body)(void *ctx, char *out, size_t room);
    int64_t body_length;    /* of a streaming upload; -1: unknown */
    usec_t connect_timeout; /* 0: 10 s */
    usec_t timeout;         /* whole call; 0: 60 s; USEC_INFINITY: none (watches) */
    usec_t idle_timeout;    /* no byte received for that long; 0: none */
    size_t body_max;        /* of a collected response; 0: 64 MiB. Beyond: -EFBIG */
    bool no_proxy;          /* straight to the host: our own processes, pods */
} HttpCallSpec;

enum {
    HTTP_UPLOAD_WAIT = 0x10000001
};

typedef struct HttpResult {
    int r;      /* 0: a response was received, whatever its status; negative: none, or not whole */
    int status; /* 0 before the head came */
    const HttpHeaders *headers; /* of the response; borrowed like all else here */
    Slice body;                 /* empty when `chunk` took it */
    const char *error;          /* sentence when r < 0 */
} HttpResult;

typedef struct HttpCallEvents { /* copied */
    void (*done)(void *ctx, const HttpResult *result);
    /* Optional: the head is there. */
    void (*head)(void *ctx, int status, const HttpHeaders *headers);
    /* Optional: body as it comes instead of in `done`. http_call_pause() holds the sender back. */
    void (*chunk)(void *ctx, Slice data);
} HttpCallEvents;

HttpClient *http_client_new(Loop *loop);
/* Ends open calls without `done`. Not from inside an event of a call. */
HttpClient *http_client_free(HttpClient *client);
DEFINE_CLEANUP(HttpClient *, http_client_free);

/* -EINVAL (with a sentence) for a bad URL or header, -ELIBACC without libcurl, which the first call
 * loads. The call frees itself after `done`. */
_must_check_ int http_call_new(HttpClient *client, const HttpCallSpec *spec,
                               const HttpCallEvents *events, void *ctx, HttpCall **ret_call);
void http_call_pause(HttpCall *call, bool paused); /* of the response body */
void http_call_resume(HttpCall *call);             /* of an upload that said HTTP_UPLOAD_WAIT */
/* Before `done`: cuts it off, `done` does not come. */
HttpCall *http_call_free(HttpCall *call);
