/* ipc_buffer.c - bytes that grow at the end.
 *
 * Invariants: size <= capacity, but for a message that is counted only (ipc_message.c); bytes is
 * NULL only while capacity is 0. Happy path: the room is there and a pointer moves. Failure:
 * is_failed is set, contents stay, later calls do nothing. */
#include "batch/ipc.h"

#include "base/assert.h"
#include <string.h>

/* The first block: a record-batch message of a few flat columns fits. */
#define FIRST_BYTES 1024u

void ipc_buffer_init(struct ipc_buffer *buffer, struct mem *mem) {
    memset(buffer, 0, sizeof *buffer);
    buffer->mem = mem;
}

void ipc_buffer_fini(struct ipc_buffer *buffer) {
    if (!buffer->is_fixed) mem_free(buffer->mem, NULL, buffer->bytes, buffer->capacity_bytes);
    ipc_buffer_init(buffer, buffer->mem);
}

void ipc_buffer_fix(struct ipc_buffer *buffer, void *bytes, size_t capacity_bytes) {
    *buffer = (struct ipc_buffer){
        .mem = buffer->mem, .bytes = bytes, .capacity_bytes = capacity_bytes, .is_fixed = true};
}

static bool move_to(struct ipc_buffer *buffer, size_t capacity) {
    unsigned char *bytes;
    if (buffer->bytes == NULL)
        bytes = mem_alloc(buffer->mem, NULL, capacity);
    else
        bytes = mem_resize(buffer->mem, NULL, buffer->bytes, buffer->capacity_bytes, capacity);
    if (bytes == NULL) return false;
    buffer->bytes = bytes;
    buffer->capacity_bytes = capacity;
    return true;
}

static bool grow(struct ipc_buffer *buffer, size_t needed_bytes) {
    size_t capacity = buffer->capacity_bytes < FIRST_BYTES ? FIRST_BYTES : buffer->capacity_bytes;
    while (capacity < needed_bytes)
        capacity = capacity > SIZE_MAX / 2 ? needed_bytes : capacity * 2;
    if (buffer->is_fixed || !move_to(buffer, capacity)) buffer->is_failed = true;
    return !buffer->is_failed;
}

void ipc_buffer_reserve(struct ipc_buffer *buffer, size_t more_bytes) {
    if (buffer->is_failed || more_bytes <= buffer->capacity_bytes - buffer->size_bytes ||
        more_bytes > SIZE_MAX - buffer->size_bytes)
        return;
    (void)move_to(buffer, buffer->size_bytes + more_bytes);
}

/* Room for size_bytes more, not zeroed. NULL: none. */
static unsigned char *make_room(struct ipc_buffer *buffer, size_t size_bytes) {
    if (buffer->is_failed)
        return NULL;
    if (KH_UNLIKELY(size_bytes > SIZE_MAX - buffer->size_bytes)) {
        buffer->is_failed = true;
        return NULL;
    }
    size_t needed = buffer->size_bytes + size_bytes;
    if ((needed > buffer->capacity_bytes || buffer->bytes == NULL) && !grow(buffer, needed))
        return NULL;
    unsigned char *room = buffer->bytes + buffer->size_bytes;
    buffer->size_bytes = needed;
    return room;
}

void *ipc_buffer_extend(struct ipc_buffer *buffer, size_t size_bytes) {
    unsigned char *room = make_room(buffer, size_bytes);
    if (room != NULL) memset(room, 0, size_bytes);
    return room;
}

void ipc_buffer_append(struct ipc_buffer *buffer, const void *bytes, size_t size_bytes) {
    unsigned char *room = make_room(buffer, size_bytes);
    if (room != NULL && size_bytes > 0)
        memcpy(room, bytes, size_bytes);
}

void ipc_buffer_align(struct ipc_buffer *buffer, size_t base, size_t alignment) {
    size_t over = (buffer->size_bytes - base) & (alignment - 1);
    if (over != 0)
        ipc_buffer_extend(buffer, alignment - over);
}
