/* bytes.h - copying a few bytes without a call: keys are mostly two to four words long. */
#ifndef KHONSU_BASE_BYTES_H
#define KHONSU_BASE_BYTES_H

#include <stddef.h>
#include <string.h>

/* Up to 32 bytes by the two ends, which overlap; longer ones by memcpy. */
static inline void bytes_copy_short(void *to, const void *from, size_t size_bytes) {
    unsigned char *out = to;
    const unsigned char *in = from;
    if (size_bytes >= 16 && size_bytes <= 32) {
        unsigned char last[16];
        memcpy(last, in + size_bytes - 16, 16);
        memcpy(out, in, 16);
        memcpy(out + size_bytes - 16, last, 16);
    } else {
        memcpy(out, in, size_bytes);
    }
}

#endif
