/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/error.h"
#include "local/api.h"

/*
 * Lists. A page's continue token names the revision of the first page and the key to go on from:
 * later pages are of that revision too, as long as the window of events reaches back to it. The
 * answer that says it no longer does has a token with revision 0, which goes on with the present.
 */

void api_selection_done(ApiSelection *selection) {
    selection->labels = selector_free(selection->labels);
    selection->fields = field_selector_free(selection->fields);
}

static const char *unknown_field(const ApiCall *call, const FieldSelector *fields) {
    size_t count = 0;
    while (call->version->select_fields[count])
        count++;
    const char **known = mem_array(const char *, count + 3);
    memcpy(known, call->version->select_fields, count * sizeof(*known));
    known[count++] = "metadata.name";
    known[count] = "metadata.namespace";
    const char *unknown = field_selector_unknown(fields, known);
    free(known);
    return unknown;
}

static bool knows_own_fields(const ResourceVersion *version) {
    for (size_t i = 0; version->select_fields[i]; i++)
        if (!str_starts(version->select_fields[i], "metadata."))
            return true;
    return false;
}

/* Kinds that know fields of their own say it otherwise than those that know none. */
static int refuse_field(ApiCall *call, const char *unknown) {
    if (knows_own_fields(call->version) || call->resource->custom)
        return status_bad_request(&call->status, "field label not supported: %s", unknown);
    return status_bad_request(&call->status,
                              "\"%s\" is not a known field selector: only \"metadata.name\", "
                              "\"metadata.namespace\"",
                              unknown);
}

int api_selection_parse(ApiCall *call, const char *labels, const char *fields,
                        ApiSelection *ret_selection) {
    _cleanup_(api_selection_done) ApiSelection selection = { 0 };
    int r = selector_parse(labels, &selection.labels);
    if (r == 0)
        r = field_selector_parse(fields, &selection.fields);
    if (r < 0)
        return status_bad_request(&call->status, "%s", error_text(r));
    const char *unknown = unknown_field(call, selection.fields);
    if (unknown)
        return refuse_field(call, unknown);
    *ret_selection = (ApiSelection){ TAKE(selection.labels), TAKE(selection.fields) };
    return 0;
}

bool api_selection_matches(const ApiSelection *selection, const json_t *value) {
    return selector_matches(selection->labels, json_at(value, "metadata", "labels")) &&
           field_selector_matches(selection->fields, value);
}

void api_page_done(ApiPage *page) {
    store_snapshot_done(&page->objects);
    free(page->next);
    *page = (ApiPage){ 0 };
}

json_t *api_page_items(const ApiCall *call, const ApiPage *page) {
    json_t *items = json_array();
    VEC_EACH(object, &page->objects) {
        _cleanup_json_ json_t *stored = object_value(*object);
        json_array_append_new(items, resource_present(call->resource, call->version, stored));
    }
    return items;
}

typedef struct Token {
    uint64_t revision;
    char *ns, *name;
} Token;

static void token_done(Token *token) {
    free(token->ns);
    free(token->name);
}

static char *make_token(uint64_t revision, const char *ns, const char *name) {
    _cleanup_buf_ Buf text = { 0 };
    buf_printf(&text, "%" PRIu64 "/%s/%s", revision, ns, name);
    return base64_encode(text.data, text.len);
}

static int read_token(ApiCall *call, const char *given, Token *ret_token) {
    _cleanup_free_ void *data = NULL;
    size_t len = 0;
    Token token;
    if (base64_decode(given, strlen(given), &data, &len) < 0)
        return status_bad_request(&call->status, "continue key is not valid");
    _cleanup_free_ char *text = str_dup_slice((Slice){ data, len });
    char *ns = strchr(text, '/'), *name = ns ? strchr(ns + 1, '/') : NULL;
    if (!name)
        return status_bad_request(&call->status, "continue key is not valid");
    *ns++ = 0;
    *name++ = 0;
    if (str_to_u64(text, &token.revision) < 0)
        return status_bad_request(&call->status, "continue key is not valid");
    token.ns = str_dup(ns);
    token.name = str_dup(name);
    *ret_token = token;
    return 0;
}

static int too_old(ApiCall *call, const ApiRange *range, const Token *token) {
    if (!range->token)
        return status_make(&call->status, 410, "Expired", NULL,
                           "The resourceVersion for the provided list is too old.");
    int code = status_make(
        &call->status, 410, "Expired", NULL,
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted between "
        "the time the first chunk was returned and now may show up in the list.");
    _cleanup_free_ char *present = make_token(0, token->ns, token->name);
    json_set_at(call->status, json_string(present), "metadata", "continue");
    return code;
}

static bool in_scope(const ApiCall *call, const Object *object) {
    return str_empty(call->ns) || str_eq(object->ns, call->ns);
}

static bool is_everything(const ApiSelection *selection) {
    return selector_is_everything(selection->labels) &&
           field_selector_is_everything(selection->fields);
}

static bool is_selected(const ApiCall *call, const ApiSelection *selection, Object *object) {
    if (is_everything(selection))
        return true;
    _cleanup_json_ json_t *stored = object_value(object);
    _cleanup_json_ json_t *value = resource_present(call->resource, call->version, stored);
    return api_selection_matches(selection, value);
}

/* Objects [at, len), as many as the limit says. */
static void collect(const ApiCall *call, const ApiSelection *selection, Object *const *items,
                    size_t at, size_t len, const ApiRange *range, ApiPage *page) {
    for (; at < len && in_scope(call, items[at]); at++) {
        if (range->limit > 0 && (int64_t)page->objects.len == range->limit) {
            size_t end = at;
            while (end < len && in_scope(call, items[end]))
                end++;
            page->next = make_token(page->revision, items[at]->ns, items[at]->name);
            page->remaining = is_everything(selection) ? (int64_t)(end - at) : -1;
            break;
        }
        if (is_selected(call, selection, items[at]))
            vec_push(&page->objects, object_ref(items[at]));
    }
}

int api_list(ApiCall *call, const ApiSelection *selection, const ApiRange *range,
             ApiPage *ret_page) {
    Store *store = call->api->store;
    StoreTable *table = call->resource->table;
    ApiPage page = { .revision = store_revision(store), .remaining = -1 };
    _cleanup_(token_done) Token token = { .revision = range->exact };
    _cleanup_(store_snapshot_done) StoreSnapshot past = { 0 };
    int r = range->token ? read_token(call, range->token, &token) : 0;
    if (r != 0)
        return r;
    bool present = token.revision == 0 || token.revision == page.revision;
    if (!present && store_snapshot(store, table, token.revision, &past) != 0)
        return too_old(call, range, &token);
    if (!present)
        page.revision = token.revision;
    Object *const *items = present ? table->objects.items : past.items;
    size_t len = present ? table->objects.len : past.len;
    size_t at =
        store_find(items, len, token.ns ? token.ns : call->ns, token.name ? token.name : "");
    collect(call, selection, items, at, len, range, &page);
    *ret_page = page;
    return 0;
}
