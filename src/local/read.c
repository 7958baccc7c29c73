/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/error.h"
#include "local/api.h"

/*
 * Lists. A page's continue token names the revision of the first page and the key to go on from.
 * Later pages show the present state but carry the first page's revision: who lists in pages and
 * then watches from that revision sees every change, at worst twice.
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
static int refuse_field(ApiCall *call, const char *labels, const char *fields,
                        const char *unknown) {
    const ResourceVersion *version = call->version;
    _cleanup_buf_ Buf why = { 0 };
    if (knows_own_fields(version) || call->resource->custom)
        buf_printf(&why, "field label not supported: %s", unknown);
    else
        buf_printf(&why,
                   "\"%s\" is not a known field selector: only \"metadata.name\", "
                   "\"metadata.namespace\"",
                   unknown);
    return status_bad_request(&call->status,
                              "Unable to find \"%s/%s, Resource=%s\" that match label selector "
                              "\"%s\", field selector \"%s\": %s",
                              call->resource->group, version->version, call->resource->plural,
                              labels ? labels : "", fields ? fields : "", why.data);
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
        return refuse_field(call, labels, fields, unknown);
    *ret_selection = (ApiSelection){ TAKE(selection.labels), TAKE(selection.fields) };
    return 0;
}

bool api_selection_matches(const ApiSelection *selection, const json_t *value) {
    return selector_matches(selection->labels, json_at(value, "metadata", "labels")) &&
           field_selector_matches(selection->fields, value);
}

void api_page_done(ApiPage *page) {
    json_decref(page->items);
    free(page->next);
    *page = (ApiPage){ 0 };
}

static char *make_token(uint64_t revision, const Object *next) {
    _cleanup_buf_ Buf text = { 0 };
    buf_printf(&text, "%" PRIu64 "/%s/%s", revision, next->ns, next->name);
    return base64_encode(text.data, text.len);
}

static int read_token(ApiCall *call, const char *token, uint64_t *ret_revision, char **ret_ns,
                      char **ret_name) {
    _cleanup_free_ void *data = NULL;
    size_t len = 0;
    if (base64_decode(token, strlen(token), &data, &len) < 0)
        return status_bad_request(&call->status, "continue key is not valid");
    _cleanup_free_ char *text = str_dup_slice((Slice){ data, len });
    char *ns = strchr(text, '/'), *name = ns ? strchr(ns + 1, '/') : NULL;
    if (!name)
        return status_bad_request(&call->status, "continue key is not valid");
    *ns++ = 0;
    *name++ = 0;
    if (str_to_u64(text, ret_revision) < 0)
        return status_bad_request(&call->status, "continue key is not valid");
    *ret_ns = str_dup(ns);
    *ret_name = str_dup(name);
    return 0;
}

static bool in_scope(const ApiCall *call, const Object *object) {
    return str_empty(call->ns) || str_eq(object->ns, call->ns);
}

static void collect(ApiCall *call, const ApiSelection *selection, size_t at, int64_t limit,
                    ApiPage *page) {
    const StoreTable *table = call->resource->table;
    for (; at < table->objects.len; at++) {
        Object *object = table->objects.items[at];
        if (!in_scope(call, object))
            break;
        if (limit > 0 && (int64_t)json_array_size(page->items) == limit) {
            bool all = selector_is_everything(selection->labels) &&
                       field_selector_is_everything(selection->fields);
            size_t end = str_empty(call->ns)
                             ? table->objects.len
                             : store_lower_bound(table, call->ns, "\xff\xff\xff\xff");
            page->next = make_token(page->revision, object);
            page->remaining = all ? (int64_t)(end - at) : -1;
            break;
        }
        _cleanup_json_ json_t *stored = object_value(object);
        _cleanup_json_ json_t *value = resource_present(call->resource, call->version, stored);
        if (api_selection_matches(selection, value))
            json_array_append(page->items, value);
    }
}

int api_list(ApiCall *call, const ApiSelection *selection, int64_t limit, const char *token,
             ApiPage *ret_page) {
    ApiPage page = { .revision = store_revision(call->api->store), .remaining = -1 };
    _cleanup_free_ char *ns = NULL, *name = NULL;
    if (!str_empty(token)) {
        int r = read_token(call, token, &page.revision, &ns, &name);
        if (r != 0)
            return r;
    }
    size_t at = store_lower_bound(call->resource->table, ns ? ns : call->ns, name ? name : "");
    page.items = json_array();
    collect(call, selection, at, limit, &page);
    *ret_page = page;
    return 0;
}
