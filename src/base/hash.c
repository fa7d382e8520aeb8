/* hash.c - keyed hashes of any length; the usual ones are inlined. */
#include "base/hash.h"

uint64_t hash_keyed_any(const struct hash_secret *secret, const void *data, size_t size_bytes) {
    return XXH3_64bits_withSecret(data, size_bytes, secret->bytes, sizeof secret->bytes);
}
