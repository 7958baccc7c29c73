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

static int read_limit(Rest *rest, int64_t *ret_limit) {
    const char *text = rest_query(rest, "limit");
    *ret_limit = 0;
    if (!text || (str_to_i64(text, ret_limit) == 0 && *ret_limit >= 0))
        return 0;
    return status_bad_request(&rest->call.status, "limit: \"%s\" is no number", text);
}

/* A list from the future: the client saw another store. */
static int check_revision(Rest *rest) {
    const char *text = rest_query(rest, "resourceVersion");
    uint64_t asked, now = store_revision(rest->server->api.store);
    if (str_empty(text))
        return 0;
    if (str_to_u64(text, &asked) < 0)
        return status_bad_request(&rest->call.status,
                                  "resourceVersion: Invalid value: \"%s\": strconv.ParseUint: "
                                  "parsing \"%s\": invalid syntax",
                                  text, text);
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

static int list(Rest *rest, ApiPage *page) {
    ApiCall *call = &rest->call;
    ApiSelection selection = { 0 };
    int64_t limit;
    int r = api_selection_parse(call, rest_query(rest, "labelSelector"),
                                rest_query(rest, "fieldSelector"), &selection);
    if (r == 0)
        r = read_limit(rest, &limit);
    if (r == 0)
        r = check_revision(rest);
    if (r == 0)
        r = api_list(call, &selection, limit, rest_query(rest, "continue"), page);
    api_selection_done(&selection);
    return r;
}

void rest_read(Rest *rest) {
    if (rest->call.name) {
        read_object(rest);
        return;
    }
    ApiPage page = { 0 };
    int r = list(rest, &page);
    if (r != 0) {
        rest_reply_status(rest);
        return;
    }
    _cleanup_json_ json_t *meta = page_meta(&page);
    json_t *answer = rest_shape(rest, page.items, meta, true);
    api_page_done(&page);
    rest_reply_value(rest, 200, answer);
}
