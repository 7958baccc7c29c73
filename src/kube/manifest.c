/* SPDX-License-Identifier: Apache-2.0 */
/* One object after the other: its resource, what is there, the write; its namespace if it lacks. */
#include "kube/manifest.h"

#include "base/vec.h"
#include "kobj/meta.h"
#include "kobj/patch.h"

#define LAST_APPLIED    "kubectl.kubernetes.io/last-applied-configuration"
#define TIMEOUT         USEC_PER_MIN
#define CRD_RETRY       (100 * USEC_PER_MSEC)
#define DEFAULT_MANAGER "mobula"

enum {
    OBJECTS_MAX = 4096
};

static const KubeMapping namespace_mapping = { .gvr = { "", "v1", "namespaces" },
                                               .kind = "Namespace",
                                               .namespaced = false };

struct KubeManifest {
    KubeClient *client;
    KubeMapper *mapper;
    char *namespace, *field_manager;
    bool client_side, force, make_namespaces, dry_run;
    const KubeManifestEvents *events;
    void *ctx;
    Vec(json_t *) objects; /* references of ours */
    size_t at;
    KubeMapping mapping;   /* of the object that is being done */
    json_t *existing;      /* as it was before; NULL: it was not there */
    bool namespace_tried;  /* made for this object: once is enough */
    bool crd_applied;      /* kinds may take a moment to be served */
    bool too_many;         /* more than OBJECTS_MAX: none is applied */
    int r;                 /* the end, told by `finish` */
    char *message;
    KubeQuestion *question;
    KubeCall *call;
    LoopTask *next, *finish;
    LoopTimer *retry, *deadline;
    int depth;
    bool freed;
};

static json_t *current(const KubeManifest *m) {
    return m->objects.items[m->at];
}

static void memory_free(KubeManifest *m) {
    VEC_EACH(object, &m->objects)
        json_decref(*object);
    vec_done(&m->objects);
    json_decref(m->existing);
    mem_free(m->namespace);
    mem_free(m->field_manager);
    mem_free(m->message);
    mem_free(m);
}

KubeManifest *kube_manifest_free(KubeManifest *m) {
    if (!m)
        return NULL;
    ASSERT(!m->freed);
    kube_question_free(m->question);
    kube_call_free(m->call);
    loop_task_free(m->next);
    loop_task_free(m->finish);
    loop_timer_free(m->retry);
    loop_timer_free(m->deadline);
    m->freed = true;
    if (m->depth == 0)
        memory_free(m);
    return NULL;
}

static void end(KubeManifest *m, int r, const char *message) {
    if (loop_task_armed(m->finish))
        return;
    m->question = kube_question_free(m->question);
    m->call = kube_call_free(m->call);
    loop_task_disarm(m->next);
    loop_timer_stop(m->retry);
    m->r = r;
    str_set(&m->message, message);
    loop_task_arm(m->finish);
}

static void finish(void *ctx) {
    KubeManifest *m = ctx;
    const KubeManifestEvents *events = m->events;
    void *user = m->ctx;
    int r = m->r;
    _cleanup_free_ char *message = TAKE(m->message);
    kube_manifest_free(m);
    if (r < 0)
        error_origin(r, "%s", message);
    events->done(user, r, message ? message : "");
}

/* Names the object in front of what is wrong with it. */
static void fail(KubeManifest *m, int r, const char *message) {
    const json_t *object = current(m);
    const char *kind = obj_kind(object), *name = obj_name(object);
    name = name ? name : json_str_at(object, "metadata", "generateName");
    _cleanup_free_ char *text = str_printf("document %zu (%s %s): %s", m->at + 1, kind ? kind : "?",
                                           name ? name : "?", message);
    end(m, r, text);
}

static void time_is_up(void *ctx) {
    KubeManifest *m = ctx;
    if (m->at < m->objects.len)
        fail(m, -ETIMEDOUT, "not applied in time");
    else
        end(m, -ETIMEDOUT, "not applied in time");
}

static void tell_object(KubeManifest *m, KubeManifestOutcome outcome, const KubeMapping *mapping,
                        json_t *object) {
    m->depth++;
    if (m->events->object)
        m->events->object(m->ctx, outcome, mapping, object);
    m->depth--;
}

static bool gone(KubeManifest *m) {
    if (m->freed && m->depth == 0)
        memory_free(m);
    return m->freed;
}

static void object_done(KubeManifest *m, KubeManifestOutcome outcome, json_t *object) {
    m->crd_applied |= str_eq(m->mapping.kind, "CustomResourceDefinition");
    tell_object(m, outcome, &m->mapping, object);
    if (gone(m))
        return;
    m->at++;
    m->namespace_tried = false;
    loop_task_arm(m->next);
}

/* The write. */

static void write_object(KubeManifest *m);

static void on_namespace(void *ctx, const KubeReply *reply) {
    KubeManifest *m = ctx;
    m->call = NULL;
    if (reply->r != 0 && reply->r != KUBE_EXISTS) {
        fail(m, reply->r, reply->message);
        return;
    }
    if (reply->r == 0)
        tell_object(m, KUBE_CREATED, &namespace_mapping, reply->body);
    if (!gone(m))
        write_object(m);
}

static void make_namespace(KubeManifest *m) {
    _cleanup_json_ json_t *object =
        json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata", "name",
                  obj_namespace(current(m)));
    m->namespace_tried = true;
    m->call = kube_create(m->client, namespace_mapping.gvr, NULL, object, on_namespace, m);
}

static bool namespace_missing(const KubeManifest *m, const KubeReply *reply) {
    return reply->r == KUBE_NOT_FOUND && m->make_namespaces && !m->namespace_tried && !m->dry_run &&
           m->mapping.namespaced && str_eq(json_str_at(reply->details, "kind"), "namespaces");
}

static void on_written(void *ctx, const KubeReply *reply) {
    KubeManifest *m = ctx;
    m->call = NULL;
    if (namespace_missing(m, reply)) {
        make_namespace(m);
        return;
    }
    if (reply->r != 0) {
        fail(m, reply->r, reply->message);
        return;
    }
    bool same =
        m->existing && str_eq(obj_resource_version(m->existing), obj_resource_version(reply->body));
    object_done(m,
                !m->existing ? KUBE_CREATED
                : same       ? KUBE_UNCHANGED
                             : KUBE_CONFIGURED,
                reply->body);
}

/* The object with its own text as an annotation, as kubectl's client-side apply keeps it. */
static json_t *with_last_applied(const json_t *object) {
    json_t *annotated = json_deep_copy(object);
    _cleanup_json_ json_t *plain = json_deep_copy(object);
    obj_set_annotation(plain, LAST_APPLIED, NULL);
    _cleanup_free_ char *text = json_text(plain, JSON_SORTED);
    obj_set_annotation(annotated, LAST_APPLIED, text);
    return annotated;
}

/* What was set the last time and is not any more: null. What the server added stays. */
static void add_removals(const json_t *last, const json_t *wanted, json_t *patch) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)last, key, value) {
        const json_t *now = json_object_get(wanted, key);
        if (!now)
            json_object_set_new(patch, key, json_null());
        else if (json_is_object(value) && json_is_object(now))
            add_removals(value, now, json_make_object(patch, key));
    }
}

/* Keeps of a merge patch what it sets: a diff from the live object also names what others added. */
static void drop_removals(json_t *patch) {
    const char *key;
    json_t *value;
    void *next_item;
    json_object_foreach_safe(patch, next_item, key, value) {
        if (json_is_null(value))
            json_object_del(patch, key);
        else if (json_is_object(value))
            drop_removals(value);
    }
}

static void drop_empty(json_t *patch) {
    const char *key;
    json_t *value;
    void *next_item;
    json_object_foreach_safe(patch, next_item, key, value) {
        if (!json_is_object(value))
            continue;
        drop_empty(value);
        if (json_object_size(value) == 0)
            json_object_del(patch, key);
    }
}

static json_t *three_way(const json_t *live, const json_t *wanted) {
    _cleanup_json_ json_t *last = NULL;
    const char *text = obj_annotation(live, LAST_APPLIED);
    json_t *patch = patch_merge_diff(live, wanted);
    drop_removals(patch);
    if (text && json_parse(text, strlen(text), NULL, 0, &last) == 0)
        add_removals(last, wanted, patch);
    drop_empty(patch);
    return patch;
}

static void write_client_side(KubeManifest *m, KubeRequest *request) {
    _cleanup_json_ json_t *wanted = with_last_applied(current(m));
    _cleanup_json_ json_t *patch = NULL;
    if (!m->existing) {
        request->verb = KUBE_CREATE;
        request->body = wanted;
    } else {
        patch = three_way(m->existing, wanted);
        if (json_object_size(patch) == 0) {
            object_done(m, KUBE_UNCHANGED, m->existing);
            return;
        }
        request->verb = KUBE_PATCH;
        request->patch = KUBE_PATCH_MERGE;
        request->body = patch;
    }
    m->call = kube_call(m->client, request, on_written, m);
}

static void write_object(KubeManifest *m) {
    json_t *object = current(m);
    KubeRequest request = { .gvr = m->mapping.gvr,
                            .namespace = m->mapping.namespaced ? obj_namespace(object) : NULL,
                            .name = obj_name(object),
                            .body = object,
                            .field_manager = m->field_manager,
                            .field_validation = "Strict",
                            .dry_run = m->dry_run };
    if (!request.name) {
        request.verb = KUBE_CREATE;
    } else if (m->client_side) {
        write_client_side(m, &request);
        return;
    } else {
        request.verb = KUBE_PATCH;
        request.patch = KUBE_PATCH_APPLY;
        request.force = m->force;
    }
    m->call = kube_call(m->client, &request, on_written, m);
}

static void on_existing(void *ctx, const KubeReply *reply) {
    KubeManifest *m = ctx;
    m->call = NULL;
    if (reply->r != 0 && reply->r != KUBE_NOT_FOUND) {
        fail(m, reply->r, reply->message);
        return;
    }
    m->existing = reply->r == 0 ? json_incref(reply->body) : NULL;
    write_object(m);
}

/* Which resource it is. */

static void ask_again(void *ctx) {
    loop_task_arm(((KubeManifest *)ctx)->next);
}

static void on_mapping(void *ctx, int r, const char *message, const KubeMapping *mapping) {
    KubeManifest *m = ctx;
    m->question = NULL;
    if (r == KUBE_NOT_FOUND && m->crd_applied) {
        loop_timer_after(m->retry, CRD_RETRY); /* until the deadline of it all */
        return;
    }
    if (r != 0) {
        fail(m, r, message);
        return;
    }
    json_t *object = current(m);
    m->mapping = *mapping;
    if (mapping->namespaced && str_empty(obj_namespace(object)))
        json_set_at(object, json_string(m->namespace), "metadata", "namespace");
    json_decref(TAKE(m->existing));
    const char *name = obj_name(object);
    if (!name)
        write_object(m);
    else
        m->call =
            kube_get(m->client, mapping->gvr, mapping->namespaced ? obj_namespace(object) : NULL,
                     name, on_existing, m);
}

static void next(void *ctx) {
    KubeManifest *m = ctx;
    if (m->too_many) {
        _cleanup_free_ char *text =
            str_printf("more than %d objects at once: apply them in parts", OBJECTS_MAX);
        end(m, KUBE_INVALID, text);
        return;
    }
    if (m->at == m->objects.len) {
        end(m, 0, "");
        return;
    }
    const json_t *object = current(m);
    if (str_empty(obj_api_version(object)) || str_empty(obj_kind(object)))
        fail(m, KUBE_INVALID, "apiVersion and kind must be set");
    else if (str_empty(obj_name(object)) &&
             str_empty(json_str_at(object, "metadata", "generateName")))
        fail(m, KUBE_INVALID, "metadata.name or metadata.generateName must be set");
    else
        m->question =
            kube_mapper_find(m->mapper, obj_api_version(object), obj_kind(object), on_mapping, m);
}

/* Lists are unfolded; what is no object is told when its turn comes. */
static void flatten(KubeManifest *m, json_t *value) {
    size_t i;
    json_t *item;
    const char *kind = obj_kind(value);
    if (json_is_null(value) || m->too_many)
        return;
    if (kind && str_ends(kind, "List") && json_is_array(json_object_get(value, "items"))) {
        json_array_foreach(json_object_get(value, "items"), i, item)
            flatten(m, item);
        return;
    }
    m->too_many = m->objects.len == OBJECTS_MAX;
    if (!m->too_many)
        vec_push(&m->objects, json_deep_copy(value));
}

KubeManifest *kube_manifest_apply(KubeClient *client, KubeMapper *mapper, json_t *documents,
                                  const KubeManifestOptions *options,
                                  const KubeManifestEvents *events, void *ctx) {
    Loop *loop = kube_client_loop(client);
    KubeManifest *m = mem_new(KubeManifest);
    m->client = client;
    m->mapper = mapper;
    m->events = events;
    m->ctx = ctx;
    m->client_side = options->client_side;
    m->force = options->force;
    m->make_namespaces = options->make_namespaces;
    m->dry_run = options->dry_run;
    m->namespace =
        str_dup(options->namespace ? options->namespace : kube_client_config(client)->namespace);
    m->field_manager = str_dup(options->field_manager ? options->field_manager : DEFAULT_MANAGER);
    m->next = loop_task_new(loop, next, m);
    m->finish = loop_task_new(loop, finish, m);
    m->retry = loop_timer_new(loop, ask_again, m);
    m->deadline = loop_timer_new(loop, time_is_up, m);
    loop_timer_after(m->deadline, options->timeout ? options->timeout : TIMEOUT);
    size_t i;
    json_t *document;
    json_array_foreach(documents, i, document)
        flatten(m, document);
    loop_task_arm(m->next);
    return m;
}
