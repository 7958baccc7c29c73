/* SPDX-License-Identifier: Apache-2.0 */
#include "local/negotiate.h"

#include "base/str.h"

/* Cuts the next piece up to `separator` off, blanks trimmed. */
static Slice next_piece(Slice *rest, char separator) {
    const char *end = memchr(rest->data, separator, rest->len);
    Slice piece = { rest->data, end ? (size_t)(end - rest->data) : rest->len };
    size_t used = piece.len + (end != NULL);
    rest->data += used;
    rest->len -= used;
    while (piece.len > 0 && (*piece.data == ' ' || *piece.data == '\t'))
        piece.data++, piece.len--;
    while (piece.len > 0 && (piece.data[piece.len - 1] == ' ' || piece.data[piece.len - 1] == '\t'))
        piece.len--;
    return piece;
}

typedef struct MediaRange {
    Slice type, as, version, group;
} MediaRange;

static MediaRange parse_range(Slice text) {
    MediaRange range = { .type = next_piece(&text, ';') };
    while (text.len > 0) {
        Slice parameter = next_piece(&text, ';');
        Slice name = next_piece(&parameter, '=');
        if (slice_eq_str(name, "as"))
            range.as = parameter;
        else if (slice_eq_str(name, "v"))
            range.version = parameter;
        else if (slice_eq_str(name, "g"))
            range.group = parameter;
    }
    return range;
}

static bool range_shape(const MediaRange *range, Accept *accept) {
    if (range->as.len == 0)
        return true;
    if (slice_eq_str(range->group, "meta.k8s.io") && slice_eq_str(range->version, "v1")) {
        if (slice_eq_str(range->as, "Table"))
            accept->shape = ACCEPT_TABLE;
        else if (slice_eq_str(range->as, "PartialObjectMetadata") ||
                 slice_eq_str(range->as, "PartialObjectMetadataList"))
            accept->shape = ACCEPT_METADATA;
        return accept->shape != ACCEPT_OBJECT;
    }
    if (!slice_eq_str(range->group, "apidiscovery.k8s.io") ||
        !slice_eq_str(range->as, "APIGroupDiscoveryList"))
        return false;
    accept->shape = ACCEPT_DISCOVERY;
    accept->discovery_version = slice_eq_str(range->version, "v2")        ? "v2"
                                : slice_eq_str(range->version, "v2beta1") ? "v2beta1"
                                                                          : NULL;
    return accept->discovery_version != NULL;
}

static bool range_accepts(const MediaRange *range, Accept *accept) {
    *accept = (Accept){ 0 };
    if (slice_eq_str(range->type, "application/yaml"))
        accept->yaml = true;
    else if (!slice_eq_str(range->type, "application/json") && !slice_eq_str(range->type, "*/*") &&
             !slice_eq_str(range->type, "application/*") &&
             !slice_eq_str(range->type, "text/plain") && !slice_eq_str(range->type, "text/html"))
        return false;
    return range_shape(range, accept);
}

int accept_parse(const char *header, Accept *ret_accept) {
    Slice rest = slice_str(header);
    if (rest.len == 0) {
        *ret_accept = (Accept){ 0 };
        return 0;
    }
    while (rest.len > 0) {
        MediaRange range = parse_range(next_piece(&rest, ','));
        Accept accept;
        if (!range_accepts(&range, &accept))
            continue;
        *ret_accept = accept;
        return 0;
    }
    return NEGOTIATE_NONE;
}

int body_kind_parse(const char *content_type, BodyKind *ret_kind) {
    static const struct {
        const char *type;
        BodyKind kind;
    } kinds[] = {
        { "application/json", BODY_JSON },
        { "application/yaml", BODY_YAML },
        { "application/vnd.kubernetes.protobuf", BODY_PROTOBUF },
        { "application/json-patch+json", BODY_JSON_PATCH },
        { "application/merge-patch+json", BODY_MERGE_PATCH },
        { "application/strategic-merge-patch+json", BODY_STRATEGIC_PATCH },
        { "application/apply-patch+yaml", BODY_APPLY_PATCH },
    };
    Slice rest = slice_str(content_type);
    if (rest.len == 0) {
        *ret_kind = BODY_JSON;
        return 0;
    }
    Slice type = next_piece(&rest, ';');
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!slice_eq_str(type, kinds[i].type))
            continue;
        *ret_kind = kinds[i].kind;
        return 0;
    }
    return NEGOTIATE_NONE;
}
