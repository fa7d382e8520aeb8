/* home.c - see home.h. */
#include "support/home.h"

#include "batch/schema.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *count_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct home *home = context;
    if (++home->calls == home->fail_at) return NULL;
    size_t rounded = (size_bytes + alignment) & ~(alignment - 1);
    void *block = alignment <= 16 ? malloc(size_bytes) : aligned_alloc(alignment, rounded);
    assert(block != NULL);
    memset(block, 0xA5, size_bytes); /* nobody may count on zeros */
    home->live_blocks++;
    return block;
}

static void count_free(void *context, void *block, size_t size_bytes) {
    struct home *home = context;
    (void)size_bytes;
    home->live_blocks--;
    free(block);
}

kh_db *home_open(struct home *home) {
    struct mem_hooks hooks = {count_allocate, count_free, home};
    *home = (struct home){.batch = {.batch_bytes_max = (uint64_t)4 << 30}};
    home->batch.mem = mem_create(&hooks);
    assert(home->batch.mem != NULL);
    home->batch.schemas = schema_table_create(home->batch.mem);
    assert(home->batch.schemas != NULL);
    return (kh_db *)(void *)home;
}

void home_close(struct home *home) {
    mem_close(home->batch.mem);
}
