/* hash.h - seeded 64-bit hash of bytes: XXH3 (xxhash library, Yann Collet), inlined.
 * The seed is drawn per database, so that keys chosen by an outsider do not collide on purpose. */
#ifndef KHONSU_BASE_HASH_H
#define KHONSU_BASE_HASH_H

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

static inline uint64_t hash_bytes(const void *data, size_t size_bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(data, size_bytes, seed);
}

#endif
