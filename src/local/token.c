/* SPDX-License-Identifier: Apache-2.0 */
#include "local/token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "kobj/meta.h"
#include "local/meta.h"

enum {
    MAC_LEN = 32,
    SECONDS_MIN = 600,
    SECONDS_DEFAULT = 3600,
    SECONDS_MAX = 86400 * 365,
    TOKEN_TEXT_MAX = 8192,
};

/* base64url without padding, as JWTs want it. */
static char *encode_part(const void *data, size_t len) {
    char *text = base64_encode(data, len);
    size_t out = 0;
    for (char *p = text; *p && *p != '='; p++)
        text[out++] = *p == '+' ? '-' : *p == '/' ? '_' : *p;
    text[out] = 0;
    return text;
}

static int decode_part(Slice part, void **ret_data, size_t *ret_len) {
    _cleanup_buf_ Buf text = { 0 };
    for (size_t i = 0; i < part.len; i++) {
        char c = part.data[i];
        buf_add_char(&text, c == '-' ? '+' : c == '_' ? '/' : c);
    }
    while (text.len % 4)
        buf_add_char(&text, '=');
    return base64_decode(text.data ? text.data : "", text.len, ret_data, ret_len);
}

static void sign(const Api *api, Slice text, uint8_t out[static MAC_LEN]) {
    unsigned len = MAC_LEN;
    const unsigned char *data = (const unsigned char *)text.data;
    ASSERT(HMAC(EVP_sha256(), api->token_key, sizeof(api->token_key), data, text.len, out, &len));
    ASSERT(len == MAC_LEN);
}

char *token_make(const Api *api, const json_t *account, const json_t *pod, const json_t *audiences,
                 int64_t seconds) {
    int64_t now = loop_wall_now(api->loop) / USEC_PER_SEC;
    json_t *bound = json_pack("{s:s, s:{s:s, s:s}}", "namespace", obj_namespace(account),
                              "serviceaccount", "name", obj_name(account), "uid", obj_uid(account));
    if (pod)
        json_object_set_new(bound, "pod",
                            json_pack("{s:s, s:s}", "name", obj_name(pod), "uid", obj_uid(pod)));
    _cleanup_json_ json_t *claims =
        json_pack("{s:O?, s:I, s:I, s:I, s:s, s:o}", "aud", audiences, "exp",
                  (json_int_t)(now + seconds), "iat", (json_int_t)now, "nbf", (json_int_t)now,
                  "iss", api->settings.issuer, "kubernetes.io", bound);
    json_set_printf(claims, "sub", "system:serviceaccount:%s:%s", obj_namespace(account),
                    obj_name(account));
    _cleanup_free_ char *claims_text = json_text(claims, 0);
    _cleanup_free_ char *body = encode_part(claims_text, strlen(claims_text));
    static const char header_text[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    _cleanup_free_ char *header = encode_part(header_text, strlen(header_text));
    _cleanup_buf_ Buf token = { 0 };
    uint8_t mac[MAC_LEN];
    buf_printf(&token, "%s.%s", header, body);
    sign(api, buf_slice(&token), mac);
    _cleanup_free_ char *signature = encode_part(mac, sizeof(mac));
    buf_printf(&token, ".%s", signature);
    return buf_steal(&token);
}

void token_subject_done(TokenSubject *subject) {
    free(subject->ns);
    free(subject->account);
    free(subject->uid);
    free(subject->pod);
    free(subject->pod_uid);
    *subject = (TokenSubject){ 0 };
}

/* The claims of a token that we signed, or NULL. */
static json_t *verified_claims(const Api *api, const char *token) {
    const char *body = strchr(token, '.');
    const char *signature = body ? strchr(body + 1, '.') : NULL;
    uint8_t mac[MAC_LEN];
    _cleanup_free_ void *given = NULL, *text = NULL;
    size_t given_len = 0, text_len = 0;
    if (!signature || strlen(token) > TOKEN_TEXT_MAX)
        return NULL;
    sign(api, (Slice){ token, (size_t)(signature - token) }, mac);
    if (decode_part(slice_str(signature + 1), &given, &given_len) < 0 || given_len != MAC_LEN ||
        !mem_equal_secret(given, mac, MAC_LEN))
        return NULL;
    body++;
    if (decode_part((Slice){ body, (size_t)(signature - body) }, &text, &text_len) < 0)
        return NULL;
    return json_loadb(text, text_len, 0, NULL);
}

static bool still_there(Api *api, const char *plural, const char *ns, const char *name,
                        const char *uid) {
    _cleanup_json_ json_t *object = name ? api_peek(api, "", plural, ns, name) : NULL;
    return object && str_eq(obj_uid(object), uid);
}

int token_check(Api *api, const char *token, TokenSubject *ret_subject) {
    _cleanup_json_ json_t *claims = verified_claims(api, token);
    int64_t now = loop_wall_now(api->loop) / USEC_PER_SEC;
    if (!claims || json_int_at(claims, 0, "exp") <= now)
        return TOKEN_REFUSED;
    const json_t *bound = json_object_get(claims, "kubernetes.io");
    const char *ns = json_str_at(bound, "namespace");
    const char *account = json_str_at(bound, "serviceaccount", "name");
    const char *uid = json_str_at(bound, "serviceaccount", "uid");
    const char *pod = json_str_at(bound, "pod", "name"),
               *pod_uid = json_str_at(bound, "pod", "uid");
    if (!ns || !still_there(api, "serviceaccounts", ns, account, uid) ||
        (pod && !still_there(api, "pods", ns, pod, pod_uid)))
        return TOKEN_REFUSED;
    *ret_subject = (TokenSubject){ str_dup(ns), str_dup(account), str_dup(uid), str_dup(pod),
                                   str_dup(pod_uid) };
    return 0;
}

int token_request(ApiCall *call, const json_t *body, json_t **ret_answer) {
    Object *object = api_find(call);
    if (!object)
        return status_not_found(&call->status, api_subject(call), call->name);
    _cleanup_json_ json_t *account = object_value(object), *pod = NULL;
    const char *kind = json_str_at(body, "spec", "boundObjectRef", "kind");
    const char *name = json_str_at(body, "spec", "boundObjectRef", "name");
    int64_t seconds = json_int_at(body, SECONDS_DEFAULT, "spec", "expirationSeconds");
    if (seconds < SECONDS_MIN)
        return status_make(&call->status, 422, "Invalid", NULL,
                           "TokenRequest.authentication.k8s.io \"\" is invalid: "
                           "spec.expirationSeconds: Invalid value: %lld: may not specify a "
                           "duration less than 10 minutes",
                           (long long)seconds);
    if (str_eq(kind, "Pod") && name) {
        pod = api_peek(call->api, "", "pods", call->ns, name);
        if (!pod)
            return status_not_found(&call->status, (StatusSubject){ "", "pods" }, name);
    }
    seconds = MIN(seconds, SECONDS_MAX);
    json_t *audiences = json_at(body, "spec", "audiences");
    _cleanup_json_ json_t *own =
        audiences ? json_incref(audiences) : json_pack("[s]", call->api->settings.issuer);
    _cleanup_free_ char *token = token_make(call->api, account, pod, own, seconds);
    json_t *answer = json_deep_copy(body);
    json_set_at(answer, json_string(token), "status", "token");
    json_set_at(answer, meta_time_json(loop_wall_now(call->api->loop) + seconds * USEC_PER_SEC),
                "status", "expirationTimestamp");
    json_set_at(answer, json_integer(seconds), "spec", "expirationSeconds");
    json_set_at(answer, json_incref(own), "spec", "audiences");
    *ret_answer = answer;
    return 0;
}
