/* SPDX-License-Identifier: Apache-2.0 */

/* What is the same in every call of a remote function or method, and the classes of calls that may share
 * workers: same resources, strategy and environment, and the same node that they had best be near to. */

#include <inttypes.h>

#include "base/error.h"
#include "core/core_private.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

void core_hash(const void *data, size_t len, Hash *ret_hash) {
    XXH128_hash_t a = XXH3_128bits_withSeed(data, len, 0);
    XXH128_hash_t b = XXH3_128bits_withSeed(data, len, 0x6d6f62756c61u);
    memcpy(ret_hash->byte, &a, 16);
    memcpy(ret_hash->byte + 16, &b, sizeof(ret_hash->byte) - 16);
}

static Resource *resources_copy(const Resource *from, size_t len) {
    Resource *to = mem_array(Resource, len);
    for (size_t i = 0; i < len; i++)
        to[i] = (Resource){ { str_dup_slice(from[i].name), from[i].name.len }, from[i].amount };
    return to;
}

static void resources_free(Resource *resources, size_t len) {
    for (size_t i = 0; i < len; i++)
        mem_free((char *)(uintptr_t)resources[i].name.data);
    mem_free(resources);
}

static Pair *pairs_copy(const Pair *from, size_t len) {
    Pair *to = mem_array(Pair, len);
    for (size_t i = 0; i < len; i++) {
        to[i].key = (Slice){ str_dup_slice(from[i].key), from[i].key.len };
        to[i].value = (Slice){ str_dup_slice(from[i].value), from[i].value.len };
    }
    return to;
}

static void pairs_free(Pair *pairs, size_t len) {
    for (size_t i = 0; i < len; i++) {
        mem_free((char *)(uintptr_t)pairs[i].key.data);
        mem_free((char *)(uintptr_t)pairs[i].value.data);
    }
    mem_free(pairs);
}

static Strategy strategy_copy(const Strategy *from) {
    Strategy to = *from;
    to.labels = pairs_copy(from->labels, from->labels_len);
    to.fallback = mem_array(Selector, from->fallback_len);
    for (size_t i = 0; i < from->fallback_len; i++) {
        const Selector *selector = &from->fallback[i];
        to.fallback[i].terms = pairs_copy(selector->terms, selector->terms_len);
        to.fallback[i].terms_len = selector->terms_len;
    }
    return to;
}

static void strategy_free(Strategy *s) {
    pairs_free(s->labels, s->labels_len);
    for (size_t i = 0; i < s->fallback_len; i++)
        pairs_free(s->fallback[i].terms, s->fallback[i].terms_len);
    mem_free(s->fallback);
}

static char *class_key(const CoreTemplateSpec *spec) {
    LeaseRequest m = { .resources = (Resource *)(uintptr_t)spec->resources,
                       .resources_len = spec->resources_len,
                       .strategy = spec->strategy,
                       .runtime_env = slice_str(spec->runtime_env) };
    _cleanup_buf_ Buf body = { 0 };
    lease_request_encode(&m, &body);
    char *key = mem_alloc(2 * body.len + 1);
    hex_encode(body.data, body.len, key);
    return key;
}

/* Takes `key`. */
static CoreClass *class_new(Core *core, char *key, const CoreClass *like, PeerId near) {
    CoreClass *c = mem_new(CoreClass);
    c->key = key;
    c->near = near;
    c->resources = resources_copy(like->resources, like->resources_len);
    c->resources_len = like->resources_len;
    c->strategy = strategy_copy(&like->strategy);
    c->runtime_env = str_dup(like->runtime_env);
    list_init(&c->queue);
    list_init(&c->workers);
    list_init(&c->asks);
    strmap_put(&core->classes, key, c);
    return c;
}

static CoreClass *class_get(Core *core, const CoreTemplateSpec *spec) {
    _cleanup_free_ char *key = class_key(spec);
    CoreClass *c = strmap_get(&core->classes, key);
    if (c)
        return c;
    CoreClass like = { .resources = (Resource *)(uintptr_t)spec->resources,
                       .resources_len = spec->resources_len,
                       .strategy = spec->strategy,
                       .runtime_env = (char *)(uintptr_t)spec->runtime_env };
    return class_new(core, TAKE(key), &like, 0);
}

/* ---- near what a call reads ----------------------------------------------------------------- */

typedef struct Place {
    PeerId raylet;
    uint64_t bytes;
} Place;

enum {
    PLACES_MAX = 32 /* of one call's arguments: what lies elsewhere does not count */
};

static void place_add(Place *places, size_t *len, PeerId raylet, uint64_t bytes) {
    size_t i = 0;
    while (i < *len && places[i].raylet != raylet)
        i++;
    if (i == PLACES_MAX)
        return;
    if (i == *len)
        places[(*len)++] = (Place){ raylet, 0 };
    places[i].bytes += bytes;
}

/* Where most bytes of its arguments in stores are, as far as it is known here; 0: on this node, or
 * there are none. What is not in a store travels in the call. */
static PeerId pending_near(const Core *core, const CorePending *p) {
    Place places[PLACES_MAX];
    size_t len = 0;
    PeerId here = peer_raylet(core->info.peer);
    place_add(places, &len, here, 0);
    for (uint32_t i = 0; i < p->top_len; i++) {
        const CoreBytes *value = ref_of(p->uses[i])->value;
        if (!value || !value->in_store)
            continue;
        place_add(places, &len, value->location, value->size);
        if (value->data && value->location != here)
            place_add(places, &len, here, value->size); /* read here, so it is here as well */
    }
    const Place *most = &places[0];
    for (size_t i = 1; i < len; i++)
        if (places[i].bytes > most->bytes)
            most = &places[i];
    return most->raylet == here ? 0 : most->raylet;
}

CoreClass *class_for(Core *core, const CorePending *p) {
    CoreClass *c = p->t->class_;
    PeerId near =
        p->top_len && c->strategy.kind == STRATEGY_KIND_DEFAULT ? pending_near(core, p) : 0;
    if (!near)
        return c;
    _cleanup_free_ char *key = str_printf("%s near %" PRIx64, c->key, near);
    CoreClass *variant = strmap_get(&core->classes, key);
    return variant ? variant : class_new(core, TAKE(key), c, near);
}

CoreTemplate *core_template_new(Core *core, const CoreTemplateSpec *spec) {
    CoreTemplate *t = mem_new(CoreTemplate);
    t->core = core;
    t->count = 1;
    t->kind = spec->kind;
    t->function = spec->function;
    t->name = str_dup(spec->name);
    t->method = str_dup(spec->method);
    t->runtime_env = str_dup(spec->runtime_env);
    t->options = str_dup(spec->options);
    t->title = str_dup(spec->title);
    t->unlisted = spec->unlisted;
    t->num_returns = spec->num_returns;
    t->stream_limit = spec->stream_limit;
    t->max_retries = spec->max_retries;
    t->retry_exceptions = spec->retry_exceptions;
    t->resources = resources_copy(spec->resources, spec->resources_len);
    t->resources_len = spec->resources_len;
    t->placement = resources_copy(spec->placement, spec->placement_len);
    t->placement_len = spec->placement_len;
    t->strategy = strategy_copy(&spec->strategy);
    core_lock(core);
    core->outstanding++;
    if (spec->kind == CALL_KIND_TASK)
        t->class_ = class_get(core, spec);
    core_unlock(core);
    return t;
}

void template_unref(CoreTemplate *t) {
    if (--t->count)
        return;
    resources_free(t->resources, t->resources_len);
    resources_free(t->placement, t->placement_len);
    strategy_free(&t->strategy);
    mem_free(t->name);
    mem_free(t->method);
    mem_free(t->runtime_env);
    mem_free(t->options);
    mem_free(t->title);
    mem_free(t);
}

void core_template_free(CoreTemplate *t) {
    if (!t)
        return;
    Core *core = t->core;
    if (core_usable(core) == -ESTALE)
        return;
    core_lock(core);
    template_unref(t);
    bool last = core->outstanding == 1;
    if (!last)
        core->outstanding--;
    pthread_mutex_unlock(&core->lock);
    if (last)
        core_release(core);
}

void class_free(CoreClass *c) {
    resources_free(c->resources, c->resources_len);
    strategy_free(&c->strategy);
    mem_free(c->runtime_env);
    mem_free(c->key);
    mem_free(c);
}
