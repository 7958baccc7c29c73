/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The streams of the fuzz target: bytes in memory where sockets would be (meson.build: --wrap). What
 * the node writes is only counted. */

#include "net/stream.h"

/* The far end holds the stream too: `feed` and `end` after the node has freed it do nothing. `fn` as for stream_new(). */
Stream *fuzz_stream_new(Loop *loop, StreamFn *fn, void *ctx);
void fuzz_stream_feed(Stream *stream, const void *data, size_t len);
Stream *fuzz_stream_end(Stream *stream); /* takes NULL */
size_t fuzz_stream_written(const Stream *stream);
