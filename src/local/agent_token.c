/* SPDX-License-Identifier: Apache-2.0 */

/* Service account tokens of pods: asked for when a volume wants one, renewed at four fifths of
 * their life. */

#include "base/log.h"
#include "local/agent_private.h"

#define RETRY_AFTER (5 * USEC_PER_SEC)

static const KubeGvr ACCOUNTS = { "", "v1", "serviceaccounts" };

static void token_arrived(void *ctx, const KubeReply *reply) {
    AgentToken *token = ctx;
    AgentEntry *entry = token->entry;
    Loop *loop = entry->agent->loop;
    token->call = NULL;
    const char *value = json_str_at(reply->body, "status", "token");
    if (reply->r != 0 || !value) {
        const PodDef *def = agent_pod_def(entry->pod);
        log_warn("token for pod %s/%s: %s", def->ns, def->name, reply->message);
        token->refresh_at = loop_deadline(loop, RETRY_AFTER);
        return;
    }
    str_set(&token->value, value);
    token->refresh_at = loop_deadline(loop, token->seconds * USEC_PER_SEC * 4 / 5);
    agent_pod_objects_changed(entry->pod);
}

static void ask(AgentToken *token) {
    AgentEntry *entry = token->entry;
    const PodDef *def = agent_pod_def(entry->pod);
    const char *account = json_str_at(def->json, "spec", "serviceAccountName");
    _cleanup_json_ json_t *body = json_pack(
        "{s:s,s:s,s:{s:I,s:{s:s,s:s,s:s,s:s}}}", "apiVersion", "authentication.k8s.io/v1", "kind",
        "TokenRequest", "spec", "expirationSeconds", (json_int_t)token->seconds, "boundObjectRef",
        "apiVersion", "v1", "kind", "Pod", "name", def->name, "uid", def->uid);
    if (token->audience)
        json_set_at(body, json_pack("[s]", token->audience), "spec", "audiences");
    KubeRequest request = { .verb = KUBE_CREATE,
                            .gvr = ACCOUNTS,
                            .namespace = def->ns,
                            .name = account ? account : "default",
                            .subresource = "token",
                            .body = body };
    token->refresh_at = USEC_INFINITY;
    token->call = kube_call(entry->agent->client, &request, token_arrived, token);
}

static AgentToken *find(AgentEntry *entry, const char *audience, int64_t seconds) {
    LIST_EACH(item, &entry->tokens) {
        AgentToken *token = LIST_ITEM(item, AgentToken, all);
        if (str_eq(token->audience, audience) && token->seconds == seconds)
            return token;
    }
    return NULL;
}

int agent_token(void *ctx, AgentPod *pod, const char *audience, int64_t seconds, char **ret_token) {
    Agent *agent = ctx;
    AgentEntry *entry = agent_entry(agent, pod);
    if (!entry)
        return 1;
    AgentToken *token = find(entry, audience, seconds);
    if (!token) {
        token = mem_new(AgentToken);
        *token = (AgentToken){ .entry = entry, .audience = str_dup(audience), .seconds = seconds };
        list_push(&entry->tokens, &token->all);
    }
    if (!token->call && token->refresh_at <= loop_now(agent->loop))
        ask(token);
    if (!token->value)
        return 1;
    *ret_token = str_dup(token->value);
    return 0;
}

void agent_tokens_refresh(Agent *agent) {
    size_t pos = 0;
    for (AgentEntry *entry; (entry = strmap_next(&agent->entries, &pos, NULL));)
        LIST_EACH(item, &entry->tokens) {
            AgentToken *token = LIST_ITEM(item, AgentToken, all);
            if (!token->call && token->refresh_at <= loop_now(agent->loop))
                ask(token);
        }
}

void agent_tokens_free(AgentEntry *entry) {
    LIST_EACH_SAFE(item, &entry->tokens) {
        AgentToken *token = LIST_ITEM(item, AgentToken, all);
        kube_call_free(token->call);
        list_remove(&token->all);
        if (token->value)
            mem_wipe(token->value, strlen(token->value));
        mem_free(token->value);
        mem_free(token->audience);
        mem_free(token);
    }
}
