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

/* The same hash under a secret made of a seed once, instead of the seed itself at each call: some
 * instructions less for each 16 bytes. Short keys, which most are, are hashed inline. */
struct hash_secret {
    unsigned char bytes[XXH3_SECRET_DEFAULT_SIZE];
};

static inline void hash_secret_init(struct hash_secret *secret, uint64_t seed) {
    XXH3_generateSecret_fromSeed(secret->bytes, seed);
}

uint64_t hash_keyed_any(const struct hash_secret *secret, const void *data, size_t size_bytes);

/* The library's own inner function for these lengths, because its outer one is too large to be
 * inlined; a test compares the two. */
__attribute__((always_inline)) static inline uint64_t
hash_keyed(const struct hash_secret *secret, const void *data, size_t size_bytes) {
    enum { INLINE_FROM = 17, INLINE_TO = 32 };
    if (size_bytes >= INLINE_FROM && size_bytes <= INLINE_TO)
        return XXH3_len_17to128_64b(data, size_bytes, secret->bytes, sizeof secret->bytes, 0);
    return hash_keyed_any(secret, data, size_bytes);
}

#endif
