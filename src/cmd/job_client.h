/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Jobs REST API as `ray job` uses it: blocking calls, one client a command. */

#include "base/base.h"
#include "cmd/options.h"
#include "codec/json.h"
#include "net/http_client.h"

typedef struct JobClientOptions {
    const char *address, *headers, *verify;
    bool quiet; /* does not say where the server is */
} JobClientOptions;

#define JOB_CLIENT_OPTIONS(o)                                                                      \
    { "address", OPTION_TEXT, &(o)->address,                                                       \
      "Address of the Ray cluster to connect to. Can also be specified using the "                 \
      "RAY_API_SERVER_ADDRESS environment variable (falls back to RAY_ADDRESS)." },                \
        { "verify", OPTION_TEXT, &(o)->verify,                                                     \
          "Boolean indication to verify the server's TLS certificate or a path to a file or "      \
          "directory of trusted certificates.",                                                    \
          .metavar = "BOOL | TEXT" },                                                              \
        { "headers", OPTION_TEXT, &(o)->headers,                                                   \
          "Used to pass headers through http/s to the Ray Cluster. please follow JSON "            \
          "formatting {\"key\": \"value\"}" }

typedef struct JobClient {
    char *address; /* "http://host:port", no slash at the end */
    Loop *loop;
    HttpClient *http;
    HttpHeaders headers;
    HttpTrust trust;
    char *ca_pem;
    char *token;  /* or NULL */
    bool reached; /* the server has answered once */
    bool quiet;   /* where it is was said, or shall not be */
} JobClient;

/* Finds the server (RAY_API_SERVER_ADDRESS, RAY_ADDRESS, the option, a local cluster's gcs). Where it
 * is is printed when it answers for the first time. */
_must_check_ int job_client_open(const JobClientOptions *options, JobClient *ret_client);
void job_client_done(JobClient *client);
#define _cleanup_job_client_ _cleanup_(job_client_done)

typedef struct JobResponse {
    int status;
    Buf body;
} JobResponse;
void job_response_done(JobResponse *response);

/* Any status is an answer. A GET to a server that was there before is repeated for a while when the
 * connection fails or 503 is the answer: a dashboard or a gcs that crashed comes again. -ECONNREFUSED and the like carry "Failed to connect to Ray at address".
 * `target` begins with a slash. `json` may be NULL. */
_must_check_ int job_client_call(JobClient *client, const char *method, const char *target,
                                 const json_t *json, JobResponse *ret_response);
/* PUT of a file's bytes. */
_must_check_ int job_client_put_file(JobClient *client, const char *target, const char *path,
                                     JobResponse *ret_response);
/* The same as job_client_call(), but another status than 200 is a failure in the peer's words. */
_must_check_ int job_client_get(JobClient *client, const char *method, const char *target,
                                const json_t *json, json_t **ret_answer);
/* The sentence for a status that is not 200. Negative. */
int job_client_refused(const JobResponse *response);

/* Follows a job's log to its end on stdout. A connection that breaks, or is silent to pings, is made
 * again and what was printed is skipped; gives up when that fails for a minute. */
_must_check_ int job_client_tail(JobClient *client, const char *job);
