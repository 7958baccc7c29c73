/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Service account tokens: JWTs signed with a key of this server (HS256). A token names the account
 * with its uid and, if it was made for one, the pod with its uid; it is good while both are there.
 */

#include "local/api.h"

typedef struct TokenSubject {
    char *ns, *account, *uid;
    char *pod, *pod_uid; /* or NULL */
} TokenSubject;

void token_subject_done(TokenSubject *subject);

enum {
    TOKEN_REFUSED = 1
};

/* `pod` (may be NULL) is the object the token is bound to. Owned. */
char *token_make(const Api *api, const json_t *account, const json_t *pod, const json_t *audiences,
                 int64_t seconds);
/* TOKEN_REFUSED: not ours, expired, or account or pod are gone. */
_must_check_ int token_check(Api *api, const char *token, TokenSubject *ret_subject);

/* POST serviceaccounts/NAME/token: *ret_answer is the TokenRequest with its status. */
_must_check_ int token_request(ApiCall *call, const json_t *body, json_t **ret_answer);
