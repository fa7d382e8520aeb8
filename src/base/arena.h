/* arena.h - bump allocation that is freed all at once: what lives as long as one call or one
 * transaction. Not thread-safe. Blocks are aligned to 16 bytes. */
#ifndef KHONSU_BASE_ARENA_H
#define KHONSU_BASE_ARENA_H

#include "base/assert.h"
#include "base/mem.h"

struct arena_chunk;

struct arena {
    struct mem *mem;
    struct mem_cache *cache;
    struct arena_chunk *chunk; /* newest; older ones are linked behind it */
    unsigned char *next;
    unsigned char *start; /* of the newest chunk's room */
    unsigned char *end;
    size_t total_bytes; /* of all chunks */
};

/* Nothing is allocated before the first use. */
void arena_init(struct arena *arena, struct mem *mem, struct mem_cache *cache);
void arena_fini(struct arena *arena);
/* The first chunk: most transactions need less. */
enum { ARENA_FIRST_BYTES = 4096 };
/* Free all but one chunk of at most 16 KiB, for the next use. */
void arena_reset_slow(struct arena *arena);
static inline void arena_reset(struct arena *arena) {
    arena->next = arena->start;
    if (KH_UNLIKELY(arena->total_bytes > ARENA_FIRST_BYTES)) arena_reset_slow(arena);
}
void *arena_alloc_slow(struct arena *arena, size_t size_bytes);

/* NULL: no memory. size_bytes 0 is allowed (a unique block). */
static inline void *arena_alloc(struct arena *arena, size_t size_bytes) {
    size_t room = (size_t)(arena->end - arena->next);
    if (KH_LIKELY(size_bytes <= SIZE_MAX - 15)) {
        size_t rounded = (size_bytes + (size_bytes == 0) + 15) & ~(size_t)15;
        if (KH_LIKELY(rounded <= room)) {
            void *block = arena->next;
            arena->next += rounded;
            return block;
        }
    }
    return arena_alloc_slow(arena, size_bytes);
}
void *arena_alloc_zeroed(struct arena *arena, size_t size_bytes);
void *arena_copy(struct arena *arena, const void *bytes, size_t size_bytes);

#endif
