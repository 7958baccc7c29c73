/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/job_client.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/auth.h"
#include "base/error.h"
#include "base/fd.h"
#include "cmd/cluster_address.h"
#include "cmd/say.h"

enum {
    CA_MAX = 4 * 1024 * 1024,
    STATUS_UNAVAILABLE = 503,
};
#define CALL_TIMEOUT   (60 * USEC_PER_SEC)
#define UPLOAD_TIMEOUT (3600 * USEC_PER_SEC)
#define AGAIN_PATIENCE (15 * USEC_PER_SEC)
#define AGAIN_PAUSE    (250 * USEC_PER_MSEC)

/* ---------------------------------------------------------------------------------- open */

static int find_address(const char *option, char **ret_address) {
    const char *api = getenv("RAY_API_SERVER_ADDRESS"), *ray = getenv("RAY_ADDRESS");
    const char *wanted = !str_empty(api) ? api : !str_empty(ray) ? ray : option;
    const char *colon = wanted ? strstr(wanted, "://") : NULL;
    if (!colon) {
        int r = cluster_dashboard(wanted, ret_address);
        if (r < 0)
            return error_context(r, r == -EACCES ? "ray.exceptions.AuthenticationError"
                                                 : "ConnectionError");
        return 0;
    }
    if (str_starts(wanted, "ray://"))
        return error_origin(-EINVAL,
                            "%s: ray:// addresses can't take jobs; use the dashboard's "
                            "http:// address",
                            wanted);
    if (!str_starts(wanted, "http://") && !str_starts(wanted, "https://"))
        return error_origin(-EINVAL,
                            "RuntimeError: Module: %.*s does not exist.\nThis module was parsed "
                            "from address: %s",
                            (int)(colon - wanted), wanted, wanted);
    *ret_address = str_dup(wanted);
    return 0;
}

static int take_headers(JobClient *client, const char *option) {
    const char *text = option ? option : getenv("RAY_JOB_HEADERS"), *name;
    _cleanup_json_ json_t *json = NULL;
    json_t *value;
    if (str_empty(text))
        return 0;
    if (json_parse(text, strlen(text), NULL, 0, &json) < 0 || !json_is_object(json))
        return error_origin(-EINVAL,
                            "ValueError: Failed to parse headers into JSON. Expected "
                            "format: {\"KEY\": \"VALUE\"}, got %s",
                            text);
    json_object_foreach(json, name, value) {
        if (!json_is_string(value))
            return error_origin(-EINVAL, "ValueError: header %s is no string", name);
        http_headers_add(&client->headers, name, json_string_value(value));
    }
    return 0;
}

static int take_verify(JobClient *client, const char *option) {
    if (!option || str_eq_nocase(option, "true") || str_eq(option, "1"))
        return 0;
    if (str_eq_nocase(option, "false") || str_eq(option, "0")) {
        client->trust.insecure = true;
        return 0;
    }
    _cleanup_buf_ Buf pem = { 0 };
    int r = file_read(option, CA_MAX, &pem);
    if (r < 0)
        return error_context(r, "--verify");
    client->ca_pem = buf_steal(&pem);
    client->trust.ca_pem = client->ca_pem;
    return 0;
}

static int take_token(JobClient *client) {
    Auth auth = { 0 };
    int r = http_headers_get(&client->headers, "authorization") ? 0 : auth_load(&auth);
    client->token = auth.token;
    return r == -EACCES ? error_context(r, "ray.exceptions.AuthenticationError") : r;
}

int job_client_open(const JobClientOptions *options, JobClient *ret_client) {
    *ret_client = (JobClient){ .quiet = options->quiet };
    int r = find_address(options->address, &ret_client->address);
    if (r == 0)
        r = take_headers(ret_client, options->headers);
    if (r == 0)
        r = take_verify(ret_client, options->verify);
    if (r == 0)
        r = take_token(ret_client);
    if (r == 0)
        r = loop_new(&ret_client->loop);
    if (r < 0)
        return r;
    ret_client->http = http_client_new(ret_client->loop);
    char *slash = ret_client->address + strlen(ret_client->address);
    while (slash > ret_client->address && slash[-1] == '/')
        *--slash = 0;
    return 0;
}

void job_client_done(JobClient *client) {
    http_client_free(client->http);
    loop_free(client->loop);
    http_headers_done(&client->headers);
    if (client->token)
        mem_wipe(client->token, strlen(client->token));
    mem_free(client->token);
    mem_free(client->ca_pem);
    mem_free(client->address);
}

void job_response_done(JobResponse *response) {
    buf_done(&response->body);
}

/* ---------------------------------------------------------------------------------- call */

typedef struct Waiting {
    JobClient *client;
    JobResponse *response;
    char *sentence;
    int r, file;
    bool ended;
} Waiting;

static void on_done(void *ctx, const HttpResult *result) {
    Waiting *waiting = ctx;
    waiting->ended = true;
    waiting->r = result->r;
    if (result->r < 0) {
        waiting->sentence = str_dup(result->error);
        return;
    }
    waiting->response->status = result->status;
    buf_add(&waiting->response->body, result->body.data, result->body.len);
}

static ssize_t on_read(void *ctx, char *out, size_t room) {
    Waiting *waiting = ctx;
    ssize_t n = read(waiting->file, out, room);
    return n < 0 ? error_last("read the package") : n;
}

static int call(JobClient *client, HttpCallSpec *spec, const char *target, Waiting *waiting) {
    static const HttpCallEvents events = { .done = on_done };
    _cleanup_free_ char *url = str_printf("%s%s", client->address, target);
    HttpCall *handle;
    spec->url = url;
    spec->bearer = client->token;
    spec->trust = &client->trust;
    spec->headers = &client->headers;
    spec->body_max = (size_t)512 << 20;
    int r = http_call_new(client->http, spec, &events, waiting, &handle);
    if (r < 0)
        return r;
    while (!waiting->ended)
        loop_tick(client->loop, USEC_INFINITY);
    _cleanup_free_ char *sentence = waiting->sentence;
    if (waiting->r < 0)
        return error_origin(waiting->r,
                            "%s\nConnectionError: Failed to connect to Ray at address: %s.",
                            sentence ? sentence : "no answer", client->address);
    if (!client->quiet)
        say(0, "Job submission server address: %s", client->address);
    client->quiet = true;
    return 0;
}

static int call_once(JobClient *client, const char *method, const char *target, const json_t *json,
                     JobResponse *ret_response) {
    _cleanup_(job_response_done) JobResponse response = { 0 };
    _cleanup_free_ char *body = json ? json_text(json, 0) : NULL;
    Waiting waiting = { client, &response };
    HttpCallSpec spec = { .method = method, .body = slice_str(body), .timeout = CALL_TIMEOUT };
    if (json)
        http_headers_set(&client->headers, "Content-Type", "application/json");
    int r = call(client, &spec, target, &waiting);
    if (r == 0) {
        *ret_response = response;
        response = (JobResponse){ 0 };
    }
    return r;
}

int job_client_call(JobClient *client, const char *method, const char *target, const json_t *json,
                    JobResponse *ret_response) {
    usec_t give_up = loop_deadline(client->loop, client->reached ? AGAIN_PATIENCE : 0);
    for (;;) {
        int r = call_once(client, method, target, json, ret_response);
        client->reached |= r == 0;
        bool away = r < 0 || ret_response->status == STATUS_UNAVAILABLE;
        if (!away || !str_eq(method, "GET") || loop_now(client->loop) >= give_up)
            return r;
        if (r == 0)
            job_response_done(ret_response);
        usec_t next = loop_deadline(client->loop, AGAIN_PAUSE);
        while (loop_now(client->loop) < next)
            loop_tick(client->loop, next);
    }
}

int job_client_put_file(JobClient *client, const char *target, const char *path,
                        JobResponse *ret_response) {
    struct stat st;
    _cleanup_(job_response_done) JobResponse response = { 0 };
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_last("open %s", path);
    Waiting waiting = { client, &response, .file = fd };
    HttpCallSpec spec = {
        .method = "PUT",
        .read_body = on_read,
        .body_length = st.st_size,
        .timeout = UPLOAD_TIMEOUT,
    };
    http_headers_set(&client->headers, "Content-Type", "application/octet-stream");
    int r = call(client, &spec, target, &waiting);
    if (r == 0) {
        *ret_response = response;
        response = (JobResponse){ 0 };
    }
    return r;
}

int job_client_refused(const JobResponse *response) {
    const char *text = response->body.data ? response->body.data : "";
    if (response->status == 401)
        return error_origin(
            -EACCES,
            "ray.exceptions.AuthenticationError: Authentication required: %s\n\nToken "
            "authentication is enabled but no authentication token was "
            "found",
            text);
    if (response->status == 403)
        return error_origin(
            -EACCES,
            "ray.exceptions.AuthenticationError: Authentication failed: %s\n\nToken "
            "authentication is enabled but the authentication token is "
            "invalid or incorrect.",
            text);
    return error_origin(-EREMOTEIO, "RuntimeError: Request failed with status code %d: %s.",
                        response->status, text);
}

int job_client_get(JobClient *client, const char *method, const char *target, const json_t *json,
                   json_t **ret_answer) {
    static const JsonLimits limits = { (size_t)512 << 20, 10000000, 128 };
    _cleanup_(job_response_done) JobResponse response = { 0 };
    int r = job_client_call(client, method, target, json, &response);
    if (r < 0)
        return r;
    if (response.status != 200)
        return job_client_refused(&response);
    return json_parse(response.body.data ? response.body.data : "", response.body.len, &limits, 0,
                      ret_answer);
}
