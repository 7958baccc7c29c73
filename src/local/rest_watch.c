/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/error.h"
#include "kobj/meta.h"
#include "local/server_private.h"

/*
 * Watches. What the client is to see first (the present state, or the events since its revision)
 * is gathered at once and sent when the log has caught up; from then on events come from the
 * store, each already durable. A watch ends by its timeout, by a client that does not read, or
 * when its resource is replaced; the client then resumes from its last revision.
 */

enum {
    WATCH_SECONDS_MIN = 1800, /* without timeoutSeconds: this and up to as much again */
    BOOKMARK_SECONDS = 60,
};

typedef struct RestWatch {
    List link; /* in ApiServer.watches */
    StoreWatch feed;
    Rest *rest;
    ApiSelection selection;
    RestList options;
    LoopTimer *deadline, *bookmark;
    Buf first; /* until the head is sent */
    bool started, headers_shown;
} RestWatch;

static void watch_free(RestWatch *watch) {
    store_unwatch(&watch->feed);
    list_remove(&watch->link);
    loop_timer_free(watch->deadline);
    loop_timer_free(watch->bookmark);
    api_selection_done(&watch->selection);
    buf_done(&watch->first);
    Rest *rest = watch->rest;
    store_forget(rest->server->api.store, watch);
    free(watch);
    rest_free(rest);
}

static void watch_end(RestWatch *watch) {
    HttpRequest *request = watch->rest->http;
    if (!watch->started) {
        http_respond(request, 200, "application/json", buf_slice(&watch->first));
    } else {
        http_response_end(request);
    }
    watch_free(watch);
}

static void on_gone(void *ctx) {
    RestWatch *watch = ctx;
    watch_end(watch);
}

static void emit(RestWatch *watch, Slice text) {
    if (!watch->started) {
        buf_add(&watch->first, text.data, text.len);
        return;
    }
    http_response_write(watch->rest->http, text);
}

/* What the client gets as the event's object: the text as stored where that is what it asked for. */
static void add_object(RestWatch *watch, Object *object, json_t *value, Buf *out) {
    Rest *rest = watch->rest;
    if (object && rest_wants_stored(rest)) {
        buf_add(out, object->text, object->len);
        return;
    }
    _cleanup_json_ json_t *shaped = NULL;
    if (rest->accept.shape == ACCEPT_TABLE) {
        _cleanup_json_ json_t *one = json_pack("[O]", value);
        shaped = table_render(resource_printer(rest->call.resource, rest->call.version), one, NULL,
                              rest_table_include(rest), watch->headers_shown,
                              loop_wall_now(rest->server->loop));
        watch->headers_shown = true;
    } else if (rest->accept.shape == ACCEPT_METADATA) {
        shaped = rest_metadata_of(value);
    } else {
        shaped = json_incref(value);
    }
    json_encode(shaped, 0, out);
}

static void emit_event(RestWatch *watch, const char *type, Object *object, json_t *value) {
    _cleanup_buf_ Buf line = { 0 };
    buf_printf(&line, "{\"type\":\"%s\",\"object\":", type);
    add_object(watch, object, value, &line);
    buf_add_str(&line, "}\n");
    emit(watch, buf_slice(&line));
}

static void emit_bookmark(RestWatch *watch, uint64_t revision, bool ends_initial) {
    const ApiCall *call = &watch->rest->call;
    json_t *metadata = json_object();
    json_set_printf(metadata, "resourceVersion", "%" PRIu64, revision);
    json_object_set_new(metadata, "creationTimestamp", json_null());
    if (ends_initial)
        json_set_at(metadata, json_string("true"), "annotations", "k8s.io/initial-events-end");
    _cleanup_json_ json_t *event = json_pack("{s:s, s:{s:s, s:s, s:o}}", "type", "BOOKMARK",
                                             "object", "kind", call->resource->kind, "apiVersion",
                                             call->version->api_version, "metadata", metadata);
    _cleanup_buf_ Buf line = { 0 };
    json_encode(event, 0, &line);
    buf_add_char(&line, '\n');
    emit(watch, buf_slice(&line));
}

static bool in_scope(const RestWatch *watch, const Object *object) {
    const ApiCall *call = &watch->rest->call;
    return (str_empty(call->ns) || str_eq(object->ns, call->ns)) &&
           (!call->name || str_eq(object->name, call->name));
}

static bool selects(const RestWatch *watch, const json_t *value) {
    return api_selection_matches(&watch->selection, value);
}

static json_t *present(const RestWatch *watch, Object *object) {
    const ApiCall *call = &watch->rest->call;
    _cleanup_json_ json_t *stored = object_value(object);
    return resource_present(call->resource, call->version, stored);
}

/* An object that an update takes out of the selection is deleted for this client, one that comes
 * in is added. */
static void deliver(RestWatch *watch, const StoreEvent *event) {
    if (!in_scope(watch, event->now))
        return;
    bool everything = selector_is_everything(watch->selection.labels) &&
                      field_selector_is_everything(watch->selection.fields);
    _cleanup_json_ json_t *now = present(watch, event->now), *before = NULL;
    bool matches = everything || selects(watch, now), matched = event->before && everything;
    if (event->before && !everything) {
        before = present(watch, event->before);
        matched = selects(watch, before);
    }
    if (event->type == STORE_DELETED) {
        if (matched)
            emit_event(watch, "DELETED", event->now, now);
        return;
    }
    if (matches)
        emit_event(watch, matched ? "MODIFIED" : "ADDED", event->now, now);
    else if (matched)
        emit_event(watch, "DELETED", event->now, now);
}

static void on_event(StoreWatch *feed, const StoreEvent *event) {
    RestWatch *watch = CONTAINER_OF(feed, RestWatch, feed);
    deliver(watch, event);
    bool stuck = watch->started && http_response_queued(watch->rest->http) > REST_WATCH_QUEUE_MAX;
    bool swollen = !watch->started && watch->first.len > REST_WATCH_QUEUE_MAX;
    if (stuck || swollen || watch->rest->call.resource->gone)
        watch_end(watch);
}

static void visit_past(void *userdata, const StoreEvent *event) {
    deliver(userdata, event);
}

static void emit_status(RestWatch *watch, json_t *status) {
    _cleanup_json_ json_t *event = json_pack("{s:s, s:O}", "type", "ERROR", "object", status);
    _cleanup_buf_ Buf line = { 0 };
    json_encode(event, 0, &line);
    buf_add_char(&line, '\n');
    emit(watch, buf_slice(&line));
}

static void emit_present_state(RestWatch *watch) {
    const ApiCall *call = &watch->rest->call;
    const StoreTable *table = call->resource->table;
    size_t at = store_lower_bound(table, call->ns, "");
    for (; at < table->objects.len; at++) {
        Object *object = table->objects.items[at];
        if (!str_empty(call->ns) && !str_eq(object->ns, call->ns))
            break;
        if (!in_scope(watch, object))
            continue;
        _cleanup_json_ json_t *value = present(watch, object);
        if (selects(watch, value))
            emit_event(watch, "ADDED", object, value);
    }
}

/* The log has what was gathered: the head goes out, and from now on events directly. */
static void start_stream(void *ctx) {
    RestWatch *watch = ctx;
    HttpRequest *request = watch->rest->http;
    http_response_start(request, 200, "application/json", -1);
    watch->started = true;
    if (watch->first.len > 0)
        http_response_write(request, buf_slice(&watch->first));
    buf_done(&watch->first);
    watch->first = (Buf){ 0 };
}

static void on_deadline(void *ctx) {
    watch_end(ctx);
}

static void on_bookmark(void *ctx) {
    RestWatch *watch = ctx;
    if (watch->started)
        emit_bookmark(watch, store_durable(watch->rest->server->api.store), false);
}

static usec_t watch_time(const RestWatch *watch) {
    int64_t seconds = watch->options.timeout_seconds;
    uint16_t random;
    if (seconds > 0 && seconds < 86400)
        return seconds * USEC_PER_SEC;
    mem_random(&random, sizeof(random));
    return (WATCH_SECONDS_MIN + random % WATCH_SECONDS_MIN) * USEC_PER_SEC;
}

static void arm_timers(RestWatch *watch) {
    Loop *loop = watch->rest->server->loop;
    watch->deadline = loop_timer_new(loop, on_deadline, watch);
    loop_timer_after(watch->deadline, watch_time(watch));
    watch->bookmark = loop_timer_new(loop, on_bookmark, watch);
    if (rest_query_flag(watch->rest, "allowWatchBookmarks"))
        loop_timer_every(watch->bookmark, BOOKMARK_SECONDS * USEC_PER_SEC);
}

/* Says from where: 0 and everything present, or what came after a revision. Positive: refused. */
static int gather_first(RestWatch *watch) {
    Rest *rest = watch->rest;
    Store *store = rest->server->api.store;
    bool initial = watch->options.initial_events;
    uint64_t since = watch->options.revision, now = store_revision(store);
    if (since == 0 || initial) {
        emit_present_state(watch);
        if (initial)
            emit_bookmark(watch, now, true);
        watch->feed.after = now;
        return 0;
    }
    watch->feed.after = MAX(since, store_durable(store));
    if (since <= now &&
        store_replay(store, rest->call.resource->table, since, visit_past, watch) == 0)
        return 0;
    /* Told inside the stream, as Kubernetes does: clients list again. */
    status_expired(&rest->call.status, since, store_oldest(store));
    emit_status(watch, rest->call.status);
    return 410;
}

void rest_watch(Rest *rest) {
    ApiSelection selection = { 0 };
    RestList options;
    int r = rest_read_list_options(rest, &options);
    if (r == 0)
        r = api_selection_parse(&rest->call, rest_query(rest, "labelSelector"),
                                rest_query(rest, "fieldSelector"), &selection);
    if (r != 0) {
        rest_reply_status(rest);
        return;
    }
    RestWatch *watch = mem_new(RestWatch);
    watch->rest = rest;
    watch->selection = selection;
    watch->options = options;
    watch->feed = (StoreWatch){ .table = rest->call.resource->table, .on_event = on_event };
    list_init(&watch->feed.link);
    list_init(&watch->link);
    list_push(&rest->server->watches, &watch->link);
    r = gather_first(watch);
    if (r != 0) {
        watch_end(watch);
        return;
    }
    arm_timers(watch);
    store_watch(rest->server->api.store, &watch->feed);
    http_request_on_gone(rest->http, on_gone, watch);
    store_when_durable(rest->server->api.store, start_stream, watch);
}

void rest_watch_end_all(ApiServer *server) {
    LIST_EACH_SAFE(item, &server->watches)
        watch_end(LIST_ITEM(item, RestWatch, link));
}
