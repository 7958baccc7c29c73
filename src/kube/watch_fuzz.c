/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An informer and its server, which says anything: lists, streams of events, cut anywhere. The input is
 * a row of steps. What handlers are told and what the cache has agree at any moment; an informer that is
 * told nothing useful asks less and less often.
 */

#include <errno.h>

#include "base/fuzz_input.h"
#include "base/map.h"
#include "base/wrap.h"
#include "kobj/meta.h"
#include "kube/informer.h"

enum {
    STEPS_MAX = 200,
    CALLS_AT_ONCE = 8, /* beside pages of lists: none is asked for again and again */
};

enum Step {
    STEP_HEAD,    /* status */
    STEP_BYTES,   /* length, bytes of a stream */
    STEP_MANY,    /* the same, a thousand times */
    STEP_EVENT,   /* type, object, revision */
    STEP_LINE_END,
    STEP_LIST,    /* status, count, first object, revision; 128 and more: there are more pages */
    STEP_BODY,    /* status, length, bytes: an answer */
    STEP_END,     /* of the answer; what went wrong */
    STEP_OBSERVE, /* object, revision */
    STEP_WAIT,    /* seconds */
    STEPS,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct HttpCall {
    HttpCallEvents events;
    void *ctx;
    int status;
};

typedef struct World {
    Loop *loop;
    KubeClient *client;
    KubeInformer *informer;
    HttpCall *call; /* the one under way */
    Map known;      /* as handlers were told: object -> itself */
    bool synced;
    int calls;      /* since time went on */
} World;

static World *world; /* this input's */

/* ---- the server ------------------------------------------------------------------------------- */

WRAPPED(int, http_call_new, HttpClient *client, const HttpCallSpec *spec,
        const HttpCallEvents *events, void *ctx, HttpCall **ret_call) {
    ASSERT(!world->call && str_starts(spec->url, "http://server/api/v1/things"));
    *ret_call = world->call = mem_new(HttpCall);
    *world->call = (HttpCall){ .events = *events, .ctx = ctx };
    if (!strstr(spec->url, "continue="))
        ASSERT(++world->calls <= CALLS_AT_ONCE);
    return 0;
}

WRAPPED(HttpCall *, http_call_free, HttpCall *call) {
    if (call && call == world->call)
        world->call = NULL;
    return mem_free(call);
}

static void done(int r, int status, Slice body) {
    HttpCall *call = world->call;
    HttpHeaders headers = { 0 };
    http_headers_add(&headers, "Content-Type", "application/json");
    HttpResult result = { .r = r,
                          .status = status,
                          .headers = &headers,
                          .body = body,
                          .error = r < 0 ? "so it is" : NULL };
    world->call = NULL;
    call->events.done(call->ctx, &result);
    http_headers_done(&headers);
    mem_free(call);
}

static void run(usec_t for_time) {
    loop_run_until(world->loop, loop_deadline(world->loop, for_time));
}

/* ---- the handlers ------------------------------------------------------------------------------ */

static uint64_t key_of(const json_t *object) {
    ASSERT(obj_name(object));
    _cleanup_free_ char *key = obj_key(object);
    return base_hash(key, strlen(key));
}

static void on_added(void *ctx, json_t *object) {
    uint64_t *key = mem_new(uint64_t);
    *key = key_of(object);
    ASSERT(!map_put(&world->known, key, key));
}

static void on_updated(void *ctx, json_t *old, json_t *object) {
    uint64_t key = key_of(object);
    ASSERT(map_get(&world->known, &key) && key_of(old) == key);
}

static void on_deleted(void *ctx, json_t *object) {
    uint64_t key = key_of(object);
    uint64_t *kept = map_get(&world->known, &key);
    ASSERT(kept);
    map_remove(&world->known, &key);
    mem_free(kept);
}

static void on_synced(void *ctx) {
    ASSERT(!world->synced);
    world->synced = true;
}

static void on_stuck(void *ctx, int r, const char *message) {
    ASSERT(r != 0 && !str_empty(message));
}

static const KubeInformerEvents events = { on_added, on_updated, on_deleted, on_synced, on_stuck };

static void check(void) {
    size_t pos = 0, count = 0;
    for (const json_t *object; (object = kube_informer_next(world->informer, &pos)); count++) {
        uint64_t key = key_of(object);
        ASSERT(map_get(&world->known, &key));
    }
    ASSERT(count == map_len(&world->known) && count == kube_informer_count(world->informer));
    ASSERT(kube_informer_synced(world->informer) == world->synced);
}

/* ---- the input ----------------------------------------------------------------------------------- */

/* Sixteen names; the rest of the byte is whose life of it, and what is missing. */
static json_t *object_of(uint8_t which, uint8_t revision) {
    json_t *meta = json_object();
    if (which < 250)
        json_set_printf(meta, "name", "n%d", which % 16);
    json_set_printf(meta, "uid", "%d-%d", which % 16, which / 16 % 4);
    if (which & 0x40)
        json_object_set_new(meta, "namespace", json_string("ns"));
    if (revision == 255)
        json_object_set_new(meta, "resourceVersion", json_integer(7));
    else if (revision)
        json_set_printf(meta, "resourceVersion", "%d", revision);
    return json_pack("{s:o}", "metadata", meta);
}

static void chunk(Slice data) {
    HttpCall *call = world->call;
    if (call && call->events.chunk && call->status && data.len)
        call->events.chunk(call->ctx, data);
}

static const uint16_t statuses[] = { 200, 410, 404, 401, 429, 500, 503, 403 };

static void step_head(Input *in) {
    HttpCall *call = world->call;
    int status = statuses[take(in) % ARRAY_LEN(statuses)];
    HttpHeaders none = { 0 };
    if (!call || call->status || !call->events.head)
        return;
    call->status = status;
    call->events.head(call->ctx, status, &none);
}

static void step_event(Input *in) {
    static const char *const types[] = { "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "x" };
    const char *type = types[take(in) % ARRAY_LEN(types)];
    uint8_t which = take(in), revision = take(in);
    json_t *object = str_eq(type, "ERROR")
                         ? json_pack("{s:i, s:s, s:s}", "code", statuses[which % 8], "reason",
                                     revision & 1 ? "Expired" : "Gone", "message", "no")
                         : object_of(which, revision);
    _cleanup_json_ json_t *event = json_pack("{s:s, s:o}", "type", type, "object", object);
    _cleanup_buf_ Buf line = { 0 };
    json_encode(event, 0, &line);
    buf_add(&line, "\n", 1);
    chunk(buf_slice(&line));
}

static void step_list(Input *in) {
    int status = statuses[take(in) % ARRAY_LEN(statuses)];
    uint8_t count = take(in), first = take(in), revision = take(in);
    json_t *items = json_array();
    for (int i = 0; i < count % 8; i++)
        json_array_append_new(items, object_of((uint8_t)(first + i), (uint8_t)(revision - i)));
    _cleanup_json_ json_t *list = json_pack("{s:s, s:s, s:o, s:{}}", "kind", "ThingList",
                                            "apiVersion", "v1", "items", items, "metadata");
    if (revision)
        json_set_at(list, json_sprintf("%d", revision), "metadata", "resourceVersion");
    if (count & 0x80)
        json_set_at(list, json_string("more"), "metadata", "continue");
    _cleanup_buf_ Buf body = { 0 };
    json_encode(list, 0, &body);
    if (world->call && !world->call->events.chunk)
        done(0, status, buf_slice(&body));
}

static void step(Input *in) {
    enum Step what = take(in) % STEPS;
    _cleanup_buf_ Buf bytes = { 0 };
    Slice text;
    int status;
    switch (what) {
    case STEP_HEAD:
        step_head(in);
        break;
    case STEP_BYTES:
        chunk(take_slice(in));
        break;
    case STEP_MANY:
        text = take_slice(in);
        for (int i = 0; i < 1000; i++)
            buf_add(&bytes, text.data, text.len);
        chunk(buf_slice(&bytes));
        break;
    case STEP_EVENT:
        step_event(in);
        break;
    case STEP_LINE_END:
        chunk(SLICE("\n"));
        break;
    case STEP_LIST:
        step_list(in);
        break;
    case STEP_BODY:
        status = statuses[take(in) % ARRAY_LEN(statuses)];
        text = take_slice(in);
        if (world->call && !world->call->events.chunk)
            done(0, status, text);
        break;
    case STEP_END:
        status = take(in);
        if (world->call)
            done(status & 1 ? -ECONNRESET : 0, world->call->status, (Slice){ "", 0 });
        break;
    case STEP_OBSERVE: {
        _cleanup_json_ json_t *object = object_of(take(in) % 128, take(in));
        kube_informer_observe(world->informer, object);
        break;
    }
    default:
        world->calls = 0;
        run((1 + take(in)) * USEC_PER_SEC);
    }
    run(0);
}

/* ---- one input ------------------------------------------------------------------------------------ */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Loop *loop; /* one for all inputs: making it costs more than an input */
    World it = { 0 };
    Input in = { data, size };
    KubeConfig config = { .server = str_dup("http://server"),
                          .namespace = str_dup("default"),
                          .context = str_dup("") };
    if (!loop)
        ASSERT(loop_new_virtual(0, 0, &loop) == 0);
    world = &it;
    it.loop = loop;
    map_init(&it.known, sizeof(uint64_t));
    ASSERT(kube_client_new(loop, NULL, &config, &it.client) == 0);
    KubeInformerSpec spec = { .gvr = { "", "v1", "things" } };
    it.informer = kube_informer_new(it.client, &spec, &events, NULL);
    kube_informer_start(it.informer);
    for (int i = 0; i < STEPS_MAX && in.size > 0; i++) {
        step(&in);
        check();
    }
    kube_informer_free(it.informer);
    ASSERT(!it.call);
    kube_client_free(it.client);
    uint64_t *key;
    MAP_EACH(&it.known, pos, key)
        mem_free(key);
    map_done(&it.known);
    return 0;
}
