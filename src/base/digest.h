/* digest.h - SHA-256 (OpenSSL's libcrypto), for what outsiders check: the history's hashes. For
 * damage by accident hash.h is faster. */
#ifndef KHONSU_BASE_DIGEST_H
#define KHONSU_BASE_DIGEST_H

#include "base/mem.h"
#include "khonsu/status.h"

enum { DIGEST_BYTES = 32 };

struct digest {
    unsigned char bytes[DIGEST_BYTES];
};

/* One at a time in one thread; reusable, so that many small digests cost no allocation each.
 * Memory of mem's own (mem_own_alloc): destroyed before the context goes. Besides, libcrypto
 * allocates for itself, here only. NULL: no memory, or a libcrypto that is configured not to offer
 * SHA-256. */
struct digester;
struct digester *digester_create(struct mem *mem);
void digester_destroy(struct digester *digester); /* NULL is allowed */
/* The digest of a prefix byte and up to two spans, in this order. A span of size 0 is left out.
 * Cannot fail. out may be one of the spans. */
void digest_of(struct digester *digester, unsigned char prefix, kh_bytes first, kh_bytes second,
               struct digest *out);
bool digest_is_equal(const struct digest *one, const struct digest *other);

#endif
