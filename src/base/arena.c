/* arena.c - chunks of doubling size (4 KiB to 256 KiB), linked newest first. A request beyond half
 * a chunk gets a chunk of its own size. Failure: NULL, what was allocated before stays. */
#include "base/arena.h"

#include <string.h>

struct arena_chunk {
    struct arena_chunk *older;
    size_t size_bytes; /* whole chunk, this header included */
};

enum {
    CHUNK_LAST = 256 * 1024, /* doubling beyond would only waste the tail */
    CHUNK_KEPT = 16 * 1024   /* kept by a reset: a pooled transaction's next use */
};

#define HEADER ((sizeof(struct arena_chunk) + 15) & ~(size_t)15)

void arena_init(struct arena *arena, struct mem *mem, struct mem_cache *cache) {
    *arena = (struct arena){.mem = mem, .cache = cache};
}

static void use_chunk(struct arena *arena, struct arena_chunk *chunk) {
    arena->chunk = chunk;
    arena->next = arena->start = (unsigned char *)chunk + HEADER;
    arena->end = (unsigned char *)chunk + chunk->size_bytes;
}

void *arena_alloc_slow(struct arena *arena, size_t size_bytes) {
    if (size_bytes > SIZE_MAX / 2) return NULL;
    size_t rounded = (size_bytes + (size_bytes == 0) + 15) & ~(size_t)15;
    size_t chunk_bytes = arena->chunk == NULL ? ARENA_FIRST_BYTES : arena->chunk->size_bytes * 2;
    if (chunk_bytes > CHUNK_LAST) chunk_bytes = CHUNK_LAST;
    if (chunk_bytes < rounded + HEADER) chunk_bytes = rounded + HEADER;
    struct arena_chunk *chunk = mem_alloc(arena->mem, arena->cache, chunk_bytes);
    if (chunk == NULL) return NULL;
    chunk->older = arena->chunk;
    chunk->size_bytes = chunk_bytes;
    arena->total_bytes += chunk_bytes;
    use_chunk(arena, chunk);
    void *block = arena->next;
    arena->next += rounded;
    return block;
}

void *arena_alloc_zeroed(struct arena *arena, size_t size_bytes) {
    void *block = arena_alloc(arena, size_bytes);
    if (block != NULL) memset(block, 0, size_bytes);
    return block;
}

void *arena_copy(struct arena *arena, const void *bytes, size_t size_bytes) {
    void *block = arena_alloc(arena, size_bytes);
    if (block != NULL && size_bytes > 0) memcpy(block, bytes, size_bytes);
    return block;
}

static void free_chain(struct arena *arena, struct arena_chunk *chunk) {
    while (chunk != NULL) {
        struct arena_chunk *older = chunk->older;
        arena->total_bytes -= chunk->size_bytes;
        mem_free(arena->mem, arena->cache, chunk, chunk->size_bytes);
        chunk = older;
    }
}

void arena_reset_slow(struct arena *arena) {
    struct arena_chunk *chunk = arena->chunk;
    if (chunk == NULL) return;
    if (chunk->older == NULL && chunk->size_bytes <= CHUNK_KEPT) {
        use_chunk(arena, chunk);
        return;
    }
    struct arena_chunk *kept = NULL;
    while (chunk != NULL) {
        struct arena_chunk *older = chunk->older;
        if (older == NULL && chunk->size_bytes <= CHUNK_KEPT) {
            kept = chunk;
        } else {
            chunk->older = NULL;
            free_chain(arena, chunk);
        }
        chunk = older;
    }
    arena->chunk = NULL;
    arena->next = arena->start = arena->end = NULL;
    if (kept != NULL) use_chunk(arena, kept);
}

void arena_fini(struct arena *arena) {
    free_chain(arena, arena->chunk);
    arena_init(arena, arena->mem, arena->cache);
}
