/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/discovery.h"

#include "base/list.h"
#include "base/map.h"
#include "kobj/meta.h"

/* What one group-version serves, and who waits to know. */
typedef struct Version {
    KubeMapper *mapper;
    char *api_version, *group, *version;
    StrMap kinds; /* kind to Mapping */
    KubeCall *call;
    List waiting; /* KubeQuestion.link */
} Version;

typedef struct Mapping {
    KubeMapping mapping;
    char *resource, *kind;
} Mapping;

struct KubeQuestion {
    List link;
    Version *version;
    char *kind;
    int r; /* why it could not be found out */
    char *message;
    KubeMapperFn *fn;
    void *ctx;
};

struct KubeMapper {
    KubeClient *client;
    StrMap versions; /* apiVersion to Version */
    LoopTask *task;  /* answers what is known */
    List known;      /* KubeQuestion.link */
};

static void answer_known(void *ctx);

KubeMapper *kube_mapper_new(KubeClient *client) {
    KubeMapper *mapper = mem_new(KubeMapper);
    mapper->client = client;
    mapper->task = loop_task_new(kube_client_loop(client), answer_known, mapper);
    list_init(&mapper->known);
    return mapper;
}

KubeQuestion *kube_question_free(KubeQuestion *question) {
    if (!question)
        return NULL;
    list_remove(&question->link);
    mem_free(question->kind);
    mem_free(question->message);
    return mem_free(question);
}

static void version_free(Version *version) {
    kube_call_free(version->call);
    LIST_EACH_SAFE(item, &version->waiting)
        kube_question_free(LIST_ITEM(item, KubeQuestion, link));
    size_t pos = 0;
    for (Mapping *mapping; (mapping = strmap_next(&version->kinds, &pos, NULL));) {
        mem_free(mapping->resource);
        mem_free(mapping->kind);
        mem_free(mapping);
    }
    strmap_done(&version->kinds);
    mem_free(version->api_version);
    mem_free(version->group);
    mem_free(version->version);
    mem_free(version);
}

KubeMapper *kube_mapper_free(KubeMapper *mapper) {
    if (!mapper)
        return NULL;
    LIST_EACH_SAFE(item, &mapper->known)
        kube_question_free(LIST_ITEM(item, KubeQuestion, link));
    size_t pos = 0;
    for (Version *version; (version = strmap_next(&mapper->versions, &pos, NULL));)
        version_free(version);
    strmap_done(&mapper->versions);
    loop_task_free(mapper->task);
    return mem_free(mapper);
}

static void answer(KubeQuestion *question) {
    const Mapping *mapping = strmap_get(&question->version->kinds, question->kind);
    _cleanup_free_ char *why = TAKE(question->message);
    KubeMapperFn *fn = question->fn;
    void *ctx = question->ctx;
    int r = mapping ? 0 : question->r;
    if (!mapping && (r == 0 || r == KUBE_NOT_FOUND)) {
        r = KUBE_NOT_FOUND;
        mem_free(why);
        why = str_printf("no matches for kind \"%s\" in version \"%s\"", question->kind,
                         question->version->api_version);
    }
    kube_question_free(question);
    if (r < 0)
        error_origin(r, "%s", why);
    fn(ctx, r, why, mapping ? &mapping->mapping : NULL);
}

static void answer_known(void *ctx) {
    KubeMapper *mapper = ctx;
    if (list_empty(&mapper->known))
        return;
    KubeQuestion *first = LIST_ITEM(mapper->known.next, KubeQuestion, link);
    if (mapper->known.next != mapper->known.prev)
        loop_task_arm(mapper->task); /* one a call: an answer may free the mapper */
    answer(first);
}

static void learn(Version *version, const json_t *list) {
    size_t i;
    json_t *item;
    json_array_foreach(json_at(list, "resources"), i, item) {
        const char *name = json_str_at(item, "name"), *kind = json_str_at(item, "kind");
        if (!name || !kind || strchr(name, '/') || strmap_get(&version->kinds, kind))
            continue;
        Mapping *mapping = mem_new(Mapping);
        mapping->resource = str_dup(name);
        mapping->kind = str_dup(kind);
        mapping->mapping =
            (KubeMapping){ .gvr = { version->group, version->version, mapping->resource },
                           .kind = mapping->kind,
                           .namespaced = json_bool_at(item, false, "namespaced") };
        strmap_put(&version->kinds, kind, mapping);
    }
}

static void on_resources(void *ctx, const KubeRawReply *reply) {
    Version *version = ctx;
    KubeMapper *mapper = version->mapper;
    _cleanup_json_ json_t *list = NULL;
    version->call = NULL;
    int r = reply->r;
    const char *message = reply->message;
    if (r == 0) {
        r = json_parse(reply->body.data, reply->body.len, NULL, 0, &list);
        if (r < 0)
            message = error_text(r);
        else
            learn(version, list);
    }
    LIST_EACH(item, &version->waiting) {
        KubeQuestion *question = LIST_ITEM(item, KubeQuestion, link);
        question->r = r;
        str_set(&question->message, message);
    }
    list_splice(&mapper->known, &version->waiting);
    loop_task_arm(mapper->task);
}

static Version *version_get(KubeMapper *mapper, const char *api_version) {
    Version *version = strmap_get(&mapper->versions, api_version);
    if (version)
        return version;
    version = mem_new(Version);
    version->mapper = mapper;
    version->api_version = str_dup(api_version);
    api_version_split(api_version, &version->group, &version->version);
    list_init(&version->waiting);
    strmap_put(&mapper->versions, api_version, version);
    return version;
}

static void ask(Version *version) {
    if (version->call)
        return;
    _cleanup_free_ char *group = http_encode(version->group, false);
    _cleanup_free_ char *name = http_encode(version->version, false);
    _cleanup_free_ char *path =
        *group ? str_printf("/apis/%s/%s", group, name) : str_printf("/api/%s", name);
    KubeRawRequest request = { .path = path };
    version->call = kube_raw(version->mapper->client, &request, on_resources, version);
}

KubeQuestion *kube_mapper_find(KubeMapper *mapper, const char *api_version, const char *kind,
                               KubeMapperFn *fn, void *ctx) {
    Version *version = version_get(mapper, api_version);
    KubeQuestion *question = mem_new(KubeQuestion);
    *question = (KubeQuestion){ .version = version, .kind = str_dup(kind), .fn = fn, .ctx = ctx };
    if (strmap_get(&version->kinds, kind)) {
        list_push(&mapper->known, &question->link);
        loop_task_arm(mapper->task);
        return question;
    }
    list_push(&version->waiting, &question->link);
    ask(version);
    return question;
}
