/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this folder share. */

#include "api/logs.h"
#include "base/arena.h"
#include "codec/json.h"
#include "dashboard/dashboard.h"
#include "model/ids.h"
#include "net/http_client.h"
#include "net/http_router.h"
#include "rpc/dial.h"

struct Dashboard {
    Loop *loop;
    const Auth *auth;
    LogTails *tails;
    char *session_dir, *session_name, *ray_version, *ray_commit;
    Dial *gcs;
    HttpServer *server;
    HttpClient *client;
    HttpRouter *router;
    NetAddress bound;
};

#define CALL_TIMEOUT (10 * USEC_PER_SEC)

/* One question to gcs on behalf of a request. Where it changes nothing it is put once more when the
 * connection breaks. `then` gets the request back and owes its response;
 * the ask is gone after it. */
typedef struct Ask Ask;
typedef void AskFn(Ask *ask, const RpcReply *reply);
struct Ask {
    Dashboard *dashboard;
    HttpRequest *request;
    AskFn *then;
    void *more; /* of `then` */
    MessageType type;
    Buf body;   /* of a question that may be put again */
    bool repeated;
};
void ask(Dashboard *dashboard, HttpRequest *request, MessageType type, const Buf *body, AskFn *then,
         void *more);

/* 200 with a value (its reference is taken) as JSON. */
void respond_json(HttpRequest *request, int status, json_t *value);
/* {"result": …, "msg": …, "data": …}, the dashboard's other envelope. Takes `data`. */
void respond_envelope(HttpRequest *request, bool ok, const char *message, json_t *data);
/* A failed call: 404, 400 or 500 with its sentence. */
void respond_failure(HttpRequest *request, const RpcReply *reply);
/* Whether a reply is the message that was asked for; decodes nothing. */
static inline bool reply_ok(const RpcReply *reply) {
    return reply->result == 0 || (reply->result == 1 && reply->status.code == STATUS_CODE_OK);
}
static inline bool reply_is(const RpcReply *reply, StatusCode code) {
    return reply->result == 1 && reply->status.code == code;
}

/* Finds a job by submission id, by a driver's job id, or by the job id of a submission's driver.
 * `then` gets its JobDetails (borrowed); an unknown one is answered with 404 before. */
typedef void FoundFn(Dashboard *dashboard, HttpRequest *request, const json_t *details);
void job_find(Dashboard *dashboard, HttpRequest *request, FoundFn *then);

/* JobDetails of a driver; NULL for one of ours or of a submission. */
json_t *driver_details(const JobInfo *info);

/* An agent's answer becomes ours, piece by piece. */
typedef struct ProxySpec {
    bool endless;    /* it is followed for as long as it grows */
    bool failed_500; /* whatever the agent says of a failure, the status is 500 */
} ProxySpec;
void proxy_get(Dashboard *dashboard, HttpRequest *request, const char *url, ProxySpec spec);

void jobs_routes(Dashboard *dashboard);     /* jobs.c */
void logs_routes(Dashboard *dashboard);     /* logs.c */
void packages_routes(Dashboard *dashboard); /* packages.c */
void cluster_routes(Dashboard *dashboard);  /* cluster.c */
void state_routes(Dashboard *dashboard);    /* state.c */
void session_logs_routes(Dashboard *dashboard);
