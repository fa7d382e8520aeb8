/* delta_codec.h - a delta as bytes: what the delta section of a log's record holds.
 *
 * Equal deltas give equal bytes, and only such bytes are decoded: what decodes encodes to the same
 * bytes again. There is no checksum: a record's covers its sections. docs/record-format.md has each
 * byte. */
#ifndef KHONSU_TXN_DELTA_CODEC_H
#define KHONSU_TXN_DELTA_CODEC_H

#include "txn/delta.h"

/* How many bytes it takes. */
size_t delta_codec_bytes(const kh_delta *delta);
/* Write that many. Cannot fail. */
void delta_codec_encode(const kh_delta *delta, unsigned char *out);
/* kh_delta_decode in this memory. */
kh_status delta_codec_decode(struct mem *mem, kh_bytes bytes, kh_delta **out, kh_error *error);

#endif
