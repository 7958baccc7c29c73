/* SPDX-License-Identifier: Apache-2.0 */

/* The first byte is a message's type, the rest its body. What decodes must say the same after it was
 * encoded again: our own bytes decode, and encode to themselves. */

#include "wire/messages.h"

#include "base/arena.h"
#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Generated beside the messages. */
int message_recode(unsigned type, const void *data, size_t len, Arena *arena, Buf *out);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_buf_ Buf once = { 0 }, twice = { 0 };
    if (message_recode(data[0], data + 1, size - 1, &arena, &once) < 0)
        return 0;
    ASSERT(message_recode(data[0], once.data, once.len, &arena, &twice) == 0);
    ASSERT(slice_eq(buf_slice(&once), buf_slice(&twice)));
    FrameHeader header = { .type = data[0], .length = (uint32_t)once.len };
    ASSERT(frame_check(&header) == 0);
    return 0;
}
