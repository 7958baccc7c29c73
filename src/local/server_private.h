/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the HTTP side share. */

#include "local/api.h"
#include "local/controllers.h"
#include "local/negotiate.h"
#include "local/route.h"
#include "local/server.h"
#include "net/http_client.h"
#include "net/http_server.h"

struct ApiServer {
    Api api;
    ApiServerOptions options;
    Loop *loop;
    Kv *kv;
    HttpServer *http;
    HttpClient *client; /* to pods and to the node agent */
    Controllers *controllers;
    char *url, *kubeconfig_path;
    char *agent_token;
    List watches;          /* of RestWatch */
    LoopTimer *tidy;       /* gives memory back, at most once a second while there are requests */
    LoopTimer *rest;       /* has the store drop trees that nobody reads */
    uint64_t openapi_generation;
    json_t *openapi_index; /* of that registry generation, or NULL */
};

typedef struct RestUser {
    const char *name, *uid;
    StrList groups;
} RestUser;

/* One request, from its head to its answer. */
typedef struct Rest {
    ApiServer *server;
    HttpRequest *http;
    Route route;
    Accept accept;
    RestUser user;
    ApiCall call;
    /* The answer while it waits for the log. */
    int code;
    Buf body;
    const char *content_type;
} Rest;

enum {
    REST_BODY_MAX = 3 * 1024 * 1024,
    REST_LARGE = 64 * 1024,                  /* a text whose tree is worth giving back */
    REST_WATCH_QUEUE_MAX = 16 * 1024 * 1024, /* a slower watcher is cut off and lists again */
};

#define REST_TIDY_AFTER USEC_PER_SEC
#define REST_TREES_AFTER                                                                           \
    (5 * USEC_PER_SEC) /* and up to twice as long trees that nobody reads stay */

Rest *rest_free(Rest *rest);

/* Answers, each of which ends and frees the request. Those about objects wait for the log. */
void rest_reply_value(Rest *rest, int code, json_t *value);                 /* takes it; as it is */
void rest_reply_typed(Rest *rest, json_t *value, const char *content_type); /* JSON of that type */
void rest_reply_object(Rest *rest, int code, json_t *stored); /* takes it; in version and shape */
void rest_reply_buffer(Rest *rest, int code, const char *content_type); /* `body`, filled */
void rest_reply_status(Rest *rest);                                     /* call.status */
void rest_reply_failure(Rest *rest, int r); /* negative: the log broke */
void rest_reply_text(Rest *rest, int code, const char *text);
/* 0: done, answered by `object`; else the failure's status. */
void rest_reply_result(Rest *rest, int r, int code, json_t *object);

/* The server's HttpHandlerFn; ctx is the ApiServer. */
void rest_handle(void *ctx, HttpRequest *request);

/* Handlers by kind of path. Each owes the answer. */
void rest_discovery(Rest *rest);
bool rest_is_discovery(const Rest *rest);
void rest_openapi(Rest *rest);
void rest_resource(Rest *rest);
void rest_read(Rest *rest);  /* GET of an object or list */
void rest_write(Rest *rest); /* POST, PUT, PATCH, DELETE */
void rest_watch(Rest *rest);
void rest_watch_end_all(ApiServer *server);
void rest_proxy(Rest *rest); /* pods/proxy, services/proxy */
void rest_log(Rest *rest);
void rest_exec(Rest *rest);  /* exec and attach */
void rest_port_forward(Rest *rest);
/* The same as channels; `base_url` is the agent's door of the pod. */
void rest_port_channels(Rest *rest, const char *base_url);
/* Reviews and tokens: POSTs that store nothing. False: none of these. */
bool rest_is_review(const Rest *rest);
void rest_review(Rest *rest, json_t *body);

/* Options of a request (rest_options.c): 0, or the refusal in call.status. */
_must_check_ int rest_read_write_options(Rest *rest);
_must_check_ int rest_read_delete_options(Rest *rest, const json_t *body, ApiDelete *options);

typedef struct RestList {
    int64_t limit;
    int64_t timeout_seconds; /* -1: not said */
    uint64_t revision;
    const char *token;       /* or NULL */
    bool watches, has_revision;
    bool exact;              /* resourceVersionMatch */
    bool initial_events;
} RestList;
_must_check_ int rest_read_list_options(Rest *rest, RestList *ret_options);

/* Who asks, by client certificate or token. False: nobody we know. */
bool rest_authenticate(Rest *rest);
const char *rest_query(const Rest *rest, const char *name);
bool rest_query_flag(const Rest *rest, const char *name);
/* A value as the Table or the metadata the client asked for, new reference; `value` in the call's
 * version. */
json_t *rest_shape(Rest *rest, json_t *objects, const json_t *list_meta, bool is_list);
/* Whether an object's stored text is what the client asked for. */
bool rest_wants_stored(const Rest *rest);
json_t *rest_metadata_of(const json_t *object);
TableInclude rest_table_include(const Rest *rest);
