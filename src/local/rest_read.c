/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/error.h"
#include "kobj/jsonpath.h"
#include "local/scale.h"
#include "local/server_private.h"

/* GET of one object, of a subresource, of a list. */

static void read_object(Rest *rest) {
    ApiCall *call = &rest->call;
    Object *object = api_find(call);
    if (!object) {
        status_not_found(&call->status, api_subject(call), call->name);
        rest_reply_status(rest);
        return;
    }
    if (str_eq(call->subresource, "scale") && call->version->has_scale) {
        _cleanup_json_ json_t *stored = object_value(object);
        rest_reply_value(rest, 200, scale_of(call, stored));
        return;
    }
    if (call->subresource && !(str_eq(call->subresource, "status") && call->version->has_status)) {
        status_no_such_path(&call->status);
        rest_reply_status(rest);
        return;
    }
    rest_reply_object(rest, 200, object_value(object));
}

/* From the future: the client saw another store. */
static int check_revision(Rest *rest, uint64_t asked) {
    uint64_t now = store_revision(rest->server->api.store);
    if (asked <= now)
        return 0;
    return status_make(
        &rest->call.status, 504, "Timeout",
        json_pack("{s:[{s:s, s:s}], s:i}", "causes", "reason", "ResourceVersionTooLarge", "message",
                  "Too large resource version", "retryAfterSeconds", 1),
        "Timeout: Too large resource version: %" PRIu64 ", current: %" PRIu64, asked, now);
}

static json_t *page_meta(const ApiPage *page) {
    json_t *meta = json_object();
    json_set_printf(meta, "resourceVersion", "%" PRIu64, page->revision);
    if (page->next)
        json_object_set_new(meta, "continue", json_string(page->next));
    if (page->next && page->remaining >= 0)
        json_object_set_new(meta, "remainingItemCount", json_integer(page->remaining));
    return meta;
}

static int list(Rest *rest, const RestList *options, ApiPage *page) {
    ApiCall *call = &rest->call;
    ApiSelection selection = { 0 };
    ApiRange range = { options->limit, options->token, options->exact ? options->revision : 0 };
    int r = api_selection_parse(call, rest_query(rest, "labelSelector"),
                                rest_query(rest, "fieldSelector"), &selection);
    if (r == 0)
        r = check_revision(rest, options->revision);
    if (r == 0)
        r = api_list(call, &selection, &range, page);
    api_selection_done(&selection);
    return r;
}

/* The texts as they are stored, without a tree: what most clients ask for. */
static void reply_texts(Rest *rest, const ApiPage *page, const json_t *meta) {
    Buf *out = &rest->body;
    buf_printf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":",
               rest->call.resource->list_kind, rest->call.version->api_version);
    json_encode(meta, 0, out);
    buf_add_str(out, ",\"items\":[");
    for (size_t i = 0; i < page->objects.len; i++) {
        const Object *object = page->objects.items[i];
        buf_add_str(out, i ? "," : "");
        buf_add(out, object->text, object->len);
    }
    buf_add_str(out, "]}\n");
    rest_reply_buffer(rest, 200, "application/json");
}

void rest_read(Rest *rest) {
    RestList options;
    ApiPage page = { 0 };
    int r = rest_read_list_options(rest, &options);
    if (r == 0 && rest->call.name)
        r = check_revision(rest, options.revision);
    if (r == 0 && !rest->call.name)
        r = list(rest, &options, &page);
    if (r != 0) {
        rest_reply_status(rest);
        return;
    }
    if (rest->call.name) {
        read_object(rest);
        return;
    }
    _cleanup_json_ json_t *meta = page_meta(&page);
    if (rest_wants_stored(rest)) {
        reply_texts(rest, &page, meta);
        api_page_done(&page);
        return;
    }
    _cleanup_json_ json_t *items = api_page_items(&rest->call, &page);
    api_page_done(&page);
    rest_reply_value(rest, 200, rest_shape(rest, items, meta, true));
}
