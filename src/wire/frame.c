/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/frame.h"

#include "base/error.h"
#include "wire/messages.h"

int frame_check(const FrameHeader *h) {
    size_t max = message_max(h->type);
    /* An error reply carries the type of its call but a Status as body. */
    if (h->flags & FRAME_ERROR)
        max = MAX(max, message_max(MSG_STATUS));
    if (!max)
        return error_origin(-EPROTO, "frame of unknown type %u", h->type);
    if (h->length > max)
        return error_origin(-EPROTO, "%s frame of %u bytes is longer than its %zu",
                            message_name(h->type), h->length, max);
    return 0;
}

int frame_check_first(const FrameHeader *h) {
    if (h->type != MSG_HELLO)
        return error_origin(
            -EPROTO, "a connection begins with a Hello, not with a frame of type %u", h->type);
    return frame_check(h);
}
