/* ipc_encode.c - columns as the nodes and buffers of a record batch: flat types and views.
 * ipc_encode_nested.c has the nested ones.
 *
 * Elements are named by their position in the column's buffers (its offset included), so that a
 * slice writes its own rows and nothing else: offsets are rebased to 0, bitmaps shifted to bit 0.
 * Invariants: between open and shut of a buffer nothing else is appended; the places of nodes and
 * buffers were reserved by ipc_message_put. Dry: places and sizes are found as ever, and nothing is
 * written. Failure: the first is kept in status, all later calls do nothing. */
#include "batch/ipc_wire.h"

#include "batch/raw.h"
#include <string.h>

static void fail(struct ipc_encoding *e, kh_status status) {
    if (e->status == KH_OK)
        e->status = status;
}

static void put_pair(struct ipc_encoding *e, size_t *at, int64_t first, int64_t second) {
    if (!e->is_dry) {
        raw_put_i64(e->out->bytes + *at, 0, first);
        raw_put_i64(e->out->bytes + *at, 1, second);
    }
    *at += IPC_PAIR_BYTES;
}

void ipc_encode_node(struct ipc_encoding *e, int64_t length, int64_t null_count) {
    if (e->status == KH_OK)
        put_pair(e, &e->node_at, length, null_count);
}

void ipc_encode_align(struct ipc_encoding *e) {
    if (e->is_dry)
        e->out->size_bytes += (e->body - e->out->size_bytes) & (e->alignment - 1);
    else
        ipc_buffer_align(e->out, e->body, e->alignment);
}

void *ipc_encode_open(struct ipc_encoding *e, uint64_t size_bytes) {
    if (e->status != KH_OK)
        return NULL;
    void *room = NULL;
    ipc_encode_align(e);
    e->open_at = e->out->size_bytes;
    if (size_bytes > LIMIT_BATCH_BYTES)
        fail(e, KH_TOO_BIG);
    else if (e->is_dry)
        e->out->size_bytes += size_bytes;
    else if (e->codec == NULL)
        room = ipc_buffer_extend(e->out, size_bytes);
    else
        room = ipc_buffer_extend(&e->scratch, size_bytes);
    if (e->out->is_failed || e->scratch.is_failed)
        fail(e, KH_NO_MEMORY);
    return size_bytes == 0 || e->status != KH_OK ? NULL : room;
}

/* A compressed buffer: its size before compression, then the compressed bytes; or -1 and the bytes
 * as they are when compression gains nothing. */
static void shut_compressed(struct ipc_encoding *e) {
    size_t size_bytes = e->scratch.size_bytes;
    int64_t prefix = (int64_t)size_bytes;
    if (size_bytes == 0)
        return;
    ipc_buffer_append(e->out, &prefix, sizeof prefix);
    kh_status status = ipc_compress(e->codec, e->scratch.bytes, size_bytes, e->out);
    if (status != KH_OK) {
        fail(e, status);
        return;
    }
    if (e->out->size_bytes - e->open_at - sizeof prefix >= size_bytes) {
        e->out->size_bytes = e->open_at;
        prefix = -1;
        ipc_buffer_append(e->out, &prefix, sizeof prefix);
        ipc_buffer_append(e->out, e->scratch.bytes, size_bytes);
    }
    e->scratch.size_bytes = 0;
    if (e->out->is_failed)
        fail(e, KH_NO_MEMORY);
}

void ipc_encode_shut(struct ipc_encoding *e) {
    if (e->status == KH_OK && e->codec != NULL)
        shut_compressed(e);
    if (e->status == KH_OK)
        put_pair(e, &e->buffer_at, (int64_t)(e->open_at - e->body),
                 (int64_t)(e->out->size_bytes - e->open_at));
}

void ipc_encode_empty(struct ipc_encoding *e) {
    (void)ipc_encode_open(e, 0);
    ipc_encode_shut(e);
}

void ipc_encode_bytes(struct ipc_encoding *e, const void *bytes, uint64_t size_bytes) {
    bool is_appended = !e->is_dry && size_bytes <= LIMIT_BATCH_BYTES;
    (void)ipc_encode_open(e, is_appended ? 0 : size_bytes);
    if (is_appended && e->status == KH_OK)
        ipc_buffer_append(e->codec == NULL ? e->out : &e->scratch, bytes, size_bytes);
    if (e->out->is_failed || e->scratch.is_failed)
        fail(e, KH_NO_MEMORY);
    ipc_encode_shut(e);
}

void ipc_encode_validity(struct ipc_encoding *e, const struct column *c, int64_t first,
                         int64_t count) {
    int64_t null_count = 0;
    if (c->validity != NULL)
        null_count = count - raw_count_bits(c->validity, first, count);
    ipc_encode_node(e, count, null_count);
    if (null_count == 0) {
        ipc_encode_empty(e);
        return;
    }
    void *bits = ipc_encode_open(e, ((uint64_t)count + 7) / 8);
    if (bits != NULL)
        raw_copy_bits(bits, c->validity, first, count);
    ipc_encode_shut(e);
}

/* Indices into a dictionary of which the writer has put others in front. */
static void shift_indices(const struct column *c, int64_t first, int64_t count, int64_t shift,
                          unsigned char *out) {
    size_t width = (size_t)c->field->bits / 8;
    for (int64_t i = 0; i < count; i++) {
        bool is_null = column_is_null_bit(c->validity, first + i);
        int64_t index = raw_integer(c->values, first + i, c->field->bits, c->field->is_signed);
        int64_t shifted = is_null ? 0 : index + shift;
        memcpy(out + (size_t)i * width, &shifted, width);
    }
}

static void encode_fixed(struct ipc_encoding *e, const struct column *c, int64_t first,
                         int64_t count) {
    uint64_t bits = (uint64_t)c->field->bits;
    int64_t shift = 0;
    if (c->field->dictionary != NULL) {
        shift = e->shifts == NULL ? 0 : e->shifts[e->slot];
        e->slot += 1 + ipc_slot_count(c->field->dictionary);
    }
    ipc_encode_validity(e, c, first, count);
    if (bits > 8 && (uint64_t)count > LIMIT_BATCH_BYTES / (bits / 8)) {
        fail(e, KH_TOO_BIG);
        return;
    }
    if (bits > 1 && shift == 0) {
        uint64_t width = bits / 8;
        const unsigned char *values = c->values;
        ipc_encode_bytes(e, count == 0 ? NULL : values + (uint64_t)first * width,
                         (uint64_t)count * width);
        return;
    }
    unsigned char *out = ipc_encode_open(e, ((uint64_t)count * bits + 7) / 8);
    if (out != NULL && bits == 1)
        raw_copy_bits(out, c->values, first, count);
    else if (out != NULL)
        shift_indices(c, first, count, shift, out);
    ipc_encode_shut(e);
}

static void encode_var(struct ipc_encoding *e, const struct column *c, int64_t first,
                       int64_t count) {
    bool is_wide = c->field->layout == LAYOUT_VAR64;
    int64_t begin = 0;
    int64_t end = 0;
    ipc_encode_validity(e, c, first, count);
    if (count > 0) {
        begin = is_wide ? raw_i64(c->offsets, first) : raw_i32(c->offsets, first);
        end = is_wide ? raw_i64(c->offsets, first + count) : raw_i32(c->offsets, first + count);
    }
    ipc_encode_offsets(e, c, first, count);
    ipc_encode_bytes(e, end == begin ? NULL : (const unsigned char *)c->values + begin,
                     (uint64_t)(end - begin));
}

void ipc_encode_offsets(struct ipc_encoding *e, const struct column *c, int64_t first,
                        int64_t count) {
    bool is_wide = c->field->layout == LAYOUT_VAR64 || c->field->layout == LAYOUT_LIST64;
    void *out = ipc_encode_open(e, ((uint64_t)count + 1) * (is_wide ? 8 : 4));
    if (out != NULL && count > 0 && is_wide) {
        int64_t base = raw_i64(c->offsets, first);
        for (int64_t i = 0; i <= count; i++)
            raw_put_i64(out, i, raw_i64(c->offsets, first + i) - base);
    } else if (out != NULL && count > 0) {
        int32_t base = raw_i32(c->offsets, first);
        for (int64_t i = 0; i <= count; i++)
            raw_put_i32(out, i, raw_i32(c->offsets, first + i) - base);
    }
    ipc_encode_shut(e);
}

/* ---- views: size, 4 bytes of prefix, buffer, offset; or size and up to 12 bytes ---- */

#define VIEW_BYTES 16
#define VIEW_INLINE_BYTES 12

/* A view that points into a buffer. */
static bool is_long(const struct column *c, int64_t index) {
    return !column_is_null_bit(c->validity, index) &&
           raw_i32(c->values, 4 * index) > VIEW_INLINE_BYTES;
}

/* The bytes that the long views name, each counted once for every view. */
static uint64_t sum_long(const struct column *c, int64_t first, int64_t count) {
    uint64_t sum = 0;
    for (int64_t i = first; i < first + count; i++)
        if (is_long(c, i))
            sum += (uint32_t)raw_i32(c->values, 4 * i);
    return sum;
}

/* Views as they are, but for what lies under nulls; long ones point into one new buffer when
 * pack_bytes is not 0. */
static void put_views(const struct column *c, int64_t first, int64_t count, uint64_t pack_bytes,
                      unsigned char *out) {
    int32_t next = 0;
    for (int64_t i = 0; i < count; i++) {
        unsigned char *view = out + VIEW_BYTES * i;
        if (column_is_null_bit(c->validity, first + i))
            continue;
        memcpy(view, (const unsigned char *)c->values + VIEW_BYTES * (first + i), VIEW_BYTES);
        if (pack_bytes == 0 || raw_i32(view, 0) <= VIEW_INLINE_BYTES)
            continue;
        raw_put_i32(view, 2, 0);
        raw_put_i32(view, 3, next);
        next += raw_i32(view, 0);
    }
}

static void pack_long(const struct column *c, int64_t first, int64_t count, unsigned char *out) {
    for (int64_t i = first; i < first + count; i++) {
        if (!is_long(c, i))
            continue;
        size_t size_bytes = (size_t)raw_i32(c->values, 4 * i);
        const unsigned char *buffer = c->view_buffers[raw_i32(c->values, 4 * i + 2)];
        memcpy(out, buffer + raw_i32(c->values, 4 * i + 3), size_bytes);
        out += size_bytes;
    }
}

/* The used bytes are packed into one buffer, unless views share bytes so much that this would be
 * larger than the buffers themselves, or too large for one buffer: then those are written whole. */
static void encode_views(struct ipc_encoding *e, const struct column *c, int64_t first,
                         int64_t count) {
    uint64_t long_bytes = sum_long(c, first, count);
    uint64_t buffer_bytes = 0;
    for (int64_t i = 0; i < c->view_buffer_count; i++)
        buffer_bytes += (uint64_t)c->view_sizes[i];
    bool is_packed = long_bytes <= buffer_bytes && long_bytes <= INT32_MAX;
    int64_t buffer_count = long_bytes == 0 ? 0 : is_packed ? 1 : c->view_buffer_count;
    ipc_encode_validity(e, c, first, count);
    unsigned char *views = ipc_encode_open(e, (uint64_t)count * VIEW_BYTES);
    if (views != NULL)
        put_views(c, first, count, is_packed ? long_bytes : 0, views);
    ipc_encode_shut(e);
    for (int64_t i = 0; i < buffer_count; i++) {
        if (!is_packed) {
            ipc_encode_bytes(e, c->view_buffers[i], (uint64_t)c->view_sizes[i]);
            continue;
        }
        unsigned char *out = ipc_encode_open(e, long_bytes);
        if (out != NULL)
            pack_long(c, first, count, out);
        ipc_encode_shut(e);
    }
    if (e->status != KH_OK)
        return;
    if (!e->is_dry)
        raw_put_i64(e->out->bytes + e->variadic_at, 0, buffer_count);
    e->variadic_at += 8;
}

void ipc_encode_column(struct ipc_encoding *e, const struct column *c, int64_t first,
                       int64_t count) {
    if (e->status != KH_OK)
        return;
    switch (c->field->layout) {
    case LAYOUT_NULL:
        ipc_encode_node(e, count, count);
        break;
    case LAYOUT_FIXED:
        encode_fixed(e, c, first, count);
        break;
    case LAYOUT_VAR32:
    case LAYOUT_VAR64:
        encode_var(e, c, first, count);
        break;
    case LAYOUT_VIEW:
        encode_views(e, c, first, count);
        break;
    default:
        ipc_encode_nested(e, c, first, count);
        break;
    }
}
