/* SPDX-License-Identifier: Apache-2.0 */

/* Any request line and any Accept header: parts are found or refused, never made up. */

#include "local/route.h"

#include "local/negotiate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_free_ char *text = str_dup_slice((Slice){ (const char *)data, size });
    _cleanup_arena_ Arena arena = { 0 };
    Route route;
    Accept accept;
    BodyKind kind;
    if (route_parse(&arena, text, &route) == 0) {
        ASSERT(strlen(route.path) <= size);
        ASSERT(!route.is_resource || route.resource);
        ASSERT(!route.subresource || route.name);
    }
    if (accept_parse(text, &accept) == 0)
        ASSERT(accept.shape != ACCEPT_DISCOVERY || accept.discovery_version);
    (void)!body_kind_parse(text, &kind);
    return 0;
}
