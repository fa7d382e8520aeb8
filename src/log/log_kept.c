/* log_kept.c - see log_kept.h. */
#include "log/log_kept.h"

#include "base/assert.h"
#include "base/mem.h"
#include "log/group.h"
#include <string.h>

enum {
    BLOCK_BYTES = 1 << 20,
    MOST_BYTES = 64 << 20 /* what upkeep lets a log run ahead of the storage before it syncs it */
};

struct kept_block {
    struct kept_block *next;
    kh_log_position first;
    size_t size_bytes; /* of the frames in it */
    size_t room;
    unsigned char frames[];
};

void log_kept_init(struct log_kept *kept, struct mem *mem) {
    *kept = (struct log_kept){.mem = mem};
}

void log_kept_fini(struct log_kept *kept) {
    while (kept->oldest != NULL) {
        struct kept_block *block = kept->oldest;
        kept->oldest = block->next;
        mem_free(kept->mem, NULL, block, sizeof *block + block->room);
    }
    log_kept_init(kept, kept->mem);
}

/* A block with room for so much; NULL: no memory. */
static struct kept_block *block_for(struct log_kept *kept, kh_log_position first, size_t needed) {
    struct kept_block *newest = kept->newest;
    if (newest != NULL && newest->room - newest->size_bytes >= needed) return newest;
    size_t room = needed > BLOCK_BYTES ? needed : BLOCK_BYTES;
    struct kept_block *block = mem_alloc(kept->mem, NULL, sizeof *block + room);
    if (block == NULL) return NULL;
    block->next = NULL;
    block->first = first;
    block->size_bytes = 0;
    block->room = room;
    if (newest == NULL)
        kept->oldest = block;
    else
        newest->next = block;
    kept->newest = block;
    return block;
}

void log_kept_add(struct log_kept *kept, kh_log_position first, uint64_t record_count,
                  kh_bytes body) {
    if (kept->is_over) return;
    kh_assert(kept->oldest == NULL || first == kept->next);
    kept->is_over = body.size_bytes > MOST_BYTES - kept->size_bytes;
    struct kept_block *block = kept->is_over ? NULL : block_for(kept, first, body.size_bytes);
    if (block == NULL) {
        kept->is_over = true;
        return;
    }
    memcpy(block->frames + block->size_bytes, body.data, body.size_bytes);
    block->size_bytes += body.size_bytes;
    kept->size_bytes += body.size_bytes;
    if (block == kept->oldest && block->size_bytes == body.size_bytes) kept->first = first;
    kept->next = first + record_count;
}

bool log_kept_visit(const struct log_kept *kept, kh_log_position from, kh_log_position end,
                    kh_log_visit_fn *visit, void *context) {
    for (const struct kept_block *block = kept->oldest; block != NULL; block = block->next) {
        kh_bytes body = {block->frames, block->size_bytes};
        kh_log_position position = block->first;
        kh_bytes frame;
        size_t at = 0;
        bool is_broken;
        while (group_next_frame(body, &at, &frame, &is_broken)) {
            if (position >= end) return true;
            if (position >= from && !visit(context, position, frame)) return false;
            position++;
        }
        kh_assert(!is_broken);
    }
    return true;
}
