/* ipc_flat.c - flatbuffers: reading that proves each access, writing that appends.
 *
 * Invariants: a flat_table's own bytes and its vtable lie inside the buffer; a flat_vector's items
 * do. Happy path: root, then fields by number. Failure: see ipc_flat.h. The layout is that of the
 * FlatBuffers "internals" document: a table starts with the signed distance back to its vtable;
 * references are unsigned distances forward. */
#include "batch/ipc_flat.h"

#include "base/assert.h"
#include <string.h>

static uint16_t load16(const unsigned char *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t load32(const unsigned char *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* A table at position `at`, anywhere. */
static bool open_table(const unsigned char *bytes, uint32_t size, uint64_t at,
                       struct flat_table *out) {
    if (at + 4 > size)
        return false;
    int64_t vtable_at = (int64_t)at - (int32_t)load32(bytes + at);
    if (vtable_at < 0 || vtable_at + 4 > (int64_t)size)
        return false;
    uint16_t vtable_bytes = load16(bytes + vtable_at);
    uint16_t table_bytes = load16(bytes + vtable_at + 2);
    if (vtable_bytes < 4 || vtable_at + vtable_bytes > (int64_t)size)
        return false;
    if (table_bytes < 4 || at + table_bytes > size)
        return false;
    *out = (struct flat_table){.bytes = bytes, .size = size, .at = (uint32_t)at,
                               .vtable_at = (uint32_t)vtable_at, .vtable_bytes = vtable_bytes,
                               .table_bytes = table_bytes};
    return true;
}

/* Position of a field of `width` bytes. */
static enum flat_found find(const struct flat_table *table, unsigned field, unsigned width,
                            uint32_t *at) {
    unsigned entry = 4 + 2 * field;
    if (entry + 2 > table->vtable_bytes)
        return FLAT_ABSENT;
    uint16_t offset = load16(table->bytes + table->vtable_at + entry);
    if (offset == 0)
        return FLAT_ABSENT;
    if (offset < 4 || offset + width > table->table_bytes)
        return FLAT_BAD;
    *at = table->at + offset;
    return FLAT_PRESENT;
}

/* What the reference field points to: a position with 4 bytes behind it. */
static enum flat_found follow(const struct flat_table *table, unsigned field, uint64_t *target) {
    uint32_t at;
    enum flat_found found = find(table, field, 4, &at);
    if (found != FLAT_PRESENT)
        return found;
    *target = (uint64_t)at + load32(table->bytes + at);
    return *target + 4 <= table->size ? FLAT_PRESENT : FLAT_BAD;
}

bool flat_root(const void *bytes, size_t size_bytes, struct flat_table *out) {
    if (size_bytes < 8 || size_bytes > INT32_MAX)
        return false;
    return open_table(bytes, (uint32_t)size_bytes, load32(bytes), out);
}

bool flat_integer(const struct flat_table *table, unsigned field, unsigned width,
                  int64_t fallback, int64_t *out) {
    uint32_t at;
    enum flat_found found = find(table, field, width, &at);
    if (found == FLAT_ABSENT)
        *out = fallback;
    if (found != FLAT_PRESENT)
        return found == FLAT_ABSENT;
    uint64_t value = 0;
    memcpy(&value, table->bytes + at, width);
    unsigned unused_bits = 64 - 8 * width;
    *out = (int64_t)(value << unused_bits) >> unused_bits;
    return true;
}

enum flat_found flat_child(const struct flat_table *table, unsigned field,
                           struct flat_table *out) {
    uint64_t target = 0;
    enum flat_found found = follow(table, field, &target);
    if (found != FLAT_PRESENT)
        return found;
    return open_table(table->bytes, table->size, target, out) ? FLAT_PRESENT : FLAT_BAD;
}

bool flat_items(const struct flat_table *table, unsigned field, size_t item_bytes,
                struct flat_vector *out) {
    uint64_t target = 0;
    enum flat_found found = follow(table, field, &target);
    *out = (struct flat_vector){.items = NULL};
    if (found != FLAT_PRESENT)
        return found == FLAT_ABSENT;
    uint32_t count = load32(table->bytes + target);
    if ((uint64_t)count * item_bytes > table->size - (target + 4))
        return false;
    *out = (struct flat_vector){.items = table->bytes + target + 4, .count = count,
                                .at = (uint32_t)target + 4};
    return true;
}

bool flat_text(const struct flat_table *table, unsigned field, kh_bytes *out) {
    struct flat_vector text;
    if (!flat_items(table, field, 1, &text))
        return false;
    *out = (kh_bytes){.data = text.items, .size_bytes = text.count};
    return true;
}

bool flat_item_table(const struct flat_table *of, const struct flat_vector *vector, uint32_t index,
                     struct flat_table *out) {
    kh_assert_slow(index < vector->count);
    uint64_t at = (uint64_t)vector->at + 4 * (uint64_t)index;
    return open_table(of->bytes, of->size, at + load32(of->bytes + at), out);
}

void flat_begin(struct ipc_buffer *out, size_t base) {
    ipc_buffer_align(out, base, 8);
    ipc_buffer_extend(out, 4);
}

/* Widest fields first, so that each is aligned once the first is. Returns the table's size;
 * offsets[i] is where field i lies in it. */
static size_t lay_out(const struct flat_field *fields, unsigned field_count, uint16_t *offsets) {
    size_t size = 4;
    for (unsigned width = 8; width >= 1; width /= 2)
        for (unsigned i = 0; i < field_count; i++) {
            unsigned own = fields[i].width == FLAT_REF ? 4 : fields[i].width;
            if (own == width) {
                offsets[i] = (uint16_t)size;
                size += width;
            }
        }
    return size;
}

size_t flat_put_table(struct ipc_buffer *out, size_t base, struct flat_field *fields,
                      unsigned field_count) {
    uint16_t offsets[8] = {0};
    kh_assert(field_count <= 8);
    size_t table_bytes = lay_out(fields, field_count, offsets);
    size_t vtable_bytes = 4;
    for (unsigned i = 0; i < field_count; i++)
        if (vtable_bytes < 6 + 2 * (size_t)fields[i].field)
            vtable_bytes = 6 + 2 * (size_t)fields[i].field;
    /* The first field follows the table's first 4 bytes: it is aligned to 8 when they are not. */
    ipc_buffer_align(out, base, 4);
    ipc_buffer_extend(out, (base + 4 - out->size_bytes - vtable_bytes) % 8);
    unsigned char *vtable = ipc_buffer_extend(out, vtable_bytes + table_bytes);
    if (vtable == NULL)
        return 0;
    unsigned char *table = vtable + vtable_bytes;
    uint16_t sizes[2] = {(uint16_t)vtable_bytes, (uint16_t)table_bytes};
    uint32_t distance = (uint32_t)vtable_bytes;
    memcpy(vtable, sizes, sizeof sizes);
    memcpy(table, &distance, sizeof distance);
    for (unsigned i = 0; i < field_count; i++) {
        memcpy(vtable + 4 + 2 * fields[i].field, &offsets[i], sizeof offsets[i]);
        memcpy(table + offsets[i], &fields[i].value, fields[i].width);
        fields[i].at = (size_t)(table - out->bytes) + offsets[i];
    }
    return (size_t)(table - out->bytes);
}

size_t flat_put_text(struct ipc_buffer *out, size_t base, const void *bytes, size_t size_bytes) {
    size_t at = flat_put_vector(out, base, size_bytes, 1);
    unsigned char *nul = ipc_buffer_extend(out, 1);
    if (nul != NULL && size_bytes > 0)
        memcpy(nul - size_bytes, bytes, size_bytes);
    return at;
}

size_t flat_put_vector(struct ipc_buffer *out, size_t base, size_t count, size_t item_bytes) {
    kh_assert(count <= INT32_MAX);
    ipc_buffer_align(out, base, 4);
    if (item_bytes >= 8 && (out->size_bytes - base) % 8 == 0)
        ipc_buffer_extend(out, 4);
    size_t at = out->size_bytes;
    unsigned char *items = ipc_buffer_extend(out, 4 + count * item_bytes);
    uint32_t stored = (uint32_t)count;
    if (items != NULL)
        memcpy(items, &stored, sizeof stored);
    return at;
}

void flat_refer(struct ipc_buffer *out, size_t from, size_t to) {
    if (out->is_failed)
        return;
    uint32_t distance = (uint32_t)(to - from);
    memcpy(out->bytes + from, &distance, sizeof distance);
}
