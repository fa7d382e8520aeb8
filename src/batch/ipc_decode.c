/* ipc_decode.c - a record batch's metadata and body as an Arrow array.
 *
 * Invariants: nodes, buffers and variadic counts are exactly as many as the schema and each other
 * ask for, checked before the first is used; every buffer lies inside the body, is aligned to 8
 * (copied if need be) and is as long as its column's length requires. Buffers point into the body
 * without a copy when they are neither compressed nor misaligned nor a big-endian machine's; what
 * is copied is no more than the body, whatever the buffers share. What needs the buffers' contents
 * is the import's to prove, but for the last offset of variable-size values, whose buffer's size
 * is known here only. Failure: the array is destroyed with the body and all that it was given. */
#include "batch/ipc_array.h"

#include "base/status.h"
#include "batch/raw.h"
#include <string.h>

/* What empty buffers point to. */
static const int64_t nothing[8];

struct work {
    const struct ipc_decoding *request;
    struct ipc_array *array;
    struct flat_vector nodes;
    struct flat_vector buffers;
    struct flat_vector variadic;
    uint32_t next_node;
    uint32_t next_buffer;
    uint32_t next_variadic;
    uint32_t slot;
    kh_compression compression;
    uint64_t packed_bytes;   /* of the compressed buffers seen so far */
    uint64_t expanded_bytes; /* that they became */
    uint64_t copied_bytes;   /* of buffers that are not used where they lie */
    bool is_body_used;
    kh_error *error;
};

struct span {
    const unsigned char *bytes;
    uint64_t size_bytes;
    unsigned char *own; /* the same bytes where they belong to this buffer alone; NULL: body */
};

static kh_status corrupt(const struct work *w, const char *what) {
    return status_fail(w->error, KH_CORRUPT, "IPC batch: %s", what);
}

static kh_status too_short(const struct work *w, const struct field *field, const char *what) {
    return status_fail(w->error, KH_CORRUPT, "IPC batch: column '%.80s': %s shorter than its rows",
                       field->name, what);
}

/* ---- buffers ---- */

static kh_status expand(struct work *w, struct span packed, struct span *out) {
    int64_t declared;
    if (packed.size_bytes < 8)
        return corrupt(w, "compressed buffer without its size");
    memcpy(&declared, packed.bytes, sizeof declared);
    packed.bytes += 8;
    packed.size_bytes -= 8;
    if (declared == -1 || declared == 0) {
        *out = declared == 0 ? (struct span){.bytes = NULL} : packed;
        return KH_OK;
    }
    w->packed_bytes += packed.size_bytes;
    if (declared < 0 || w->packed_bytes > w->request->body.size_bytes ||
        (uint64_t)declared > ipc_expansion_max(w->compression, packed.size_bytes))
        return corrupt(w, "compressed buffer of an impossible size");
    if ((uint64_t)declared > w->request->bytes_max - w->expanded_bytes)
        return status_fail(w->error, KH_TOO_BIG, "IPC batch: more than %llu bytes decompressed",
                           (unsigned long long)w->request->bytes_max);
    w->expanded_bytes += (uint64_t)declared;
    void *bytes = ipc_array_bytes(w->array, (size_t)declared);
    if (bytes == NULL)
        return status_no_memory(w->error, (size_t)declared);
    *out = (struct span){.bytes = bytes, .size_bytes = (uint64_t)declared, .own = bytes};
    return ipc_decompress(w->request->mem, w->compression,
                          (kh_bytes){.data = packed.bytes, .size_bytes = packed.size_bytes}, bytes,
                          (size_t)declared, w->error);
}

/* A copy that belongs to the buffer. Many buffers may name the same bytes; those of a writer do
 * not, so that the copies are bounded by the body. */
static kh_status own(struct work *w, struct span *span) {
    if (span->own != NULL)
        return KH_OK;
    if (span->size_bytes > w->request->body.size_bytes - w->copied_bytes)
        return corrupt(w, "buffers that overlap");
    w->copied_bytes += span->size_bytes;
    span->own = ipc_array_bytes(w->array, span->size_bytes);
    if (span->own == NULL)
        return status_no_memory(w->error, span->size_bytes);
    memcpy(span->own, span->bytes, span->size_bytes);
    span->bytes = span->own;
    return KH_OK;
}

/* The next buffer, expanded and aligned. */
static kh_status take_buffer(struct work *w, struct span *out) {
    *out = (struct span){.bytes = NULL};
    if (w->request->record == NULL)
        return KH_OK;
    kh_assert(w->next_buffer < w->buffers.count);
    int64_t offset = raw_i64(w->buffers.items, 2 * (int64_t)w->next_buffer);
    int64_t length = raw_i64(w->buffers.items, 2 * (int64_t)w->next_buffer + 1);
    int64_t body_bytes = (int64_t)w->request->body.size_bytes;
    w->next_buffer++;
    if (offset < 0 || length < 0 || offset > body_bytes || length > body_bytes - offset)
        return corrupt(w, "buffer outside the body");
    if (length == 0)
        return KH_OK;
    struct span span = {.bytes = w->request->body.bytes + offset, .size_bytes = (uint64_t)length};
    kh_status status = KH_OK;
    *out = span;
    if (w->compression != KH_COMPRESS_NONE)
        status = expand(w, span, out);
    if (status == KH_OK && ((uintptr_t)out->bytes & 7) != 0)
        status = own(w, out);
    w->is_body_used = w->is_body_used || (out->size_bytes > 0 && out->own == NULL);
    return status;
}

/* The next buffer as buffer `index` of out; it must have count elements of `bits` bits. */
static kh_status take_elements(struct work *w, const struct field *field, struct ArrowArray *out,
                               int index, uint64_t count, uint64_t bits, uint64_t *size_bytes) {
    struct span span;
    kh_status status = take_buffer(w, &span);
    if (status != KH_OK)
        return status;
    if (bits != 0 && count > span.size_bytes * 8 / bits)
        return too_short(w, field, "buffer");
    if (w->request->is_big_endian && span.size_bytes > 0 && ipc_swap_width(field, index) > 1) {
        status = own(w, &span);
        if (status != KH_OK)
            return status;
        ipc_swap(field, index, span.own, span.size_bytes);
    }
    out->buffers[index] = span.size_bytes == 0 ? (const void *)nothing : span.bytes;
    *size_bytes = span.size_bytes;
    return KH_OK;
}

static kh_status take_validity(struct work *w, const struct field *field, struct ArrowArray *out) {
    struct span span;
    kh_status status = take_buffer(w, &span);
    if (status != KH_OK)
        return status;
    out->buffers[0] = NULL;
    if (span.size_bytes == 0)
        return out->null_count == 0 ? KH_OK : too_short(w, field, "validity bitmap");
    if ((uint64_t)out->length > span.size_bytes * 8)
        return too_short(w, field, "validity bitmap");
    out->buffers[0] = span.bytes;
    return KH_OK;
}

/* Offsets of variable-size values or of a list: one more than rows, or none when there are none.
 * *last: the last one. */
static kh_status take_offsets(struct work *w, const struct field *field, struct ArrowArray *out,
                              bool is_wide, int64_t *last) {
    uint64_t size_bytes;
    kh_status status = take_elements(w, field, out, 1, 0, 0, &size_bytes);
    *last = 0;
    if (status != KH_OK || (out->length == 0 && size_bytes == 0))
        return status;
    if ((uint64_t)out->length >= size_bytes / (is_wide ? 8 : 4))
        return too_short(w, field, "offsets");
    int64_t first = is_wide ? raw_i64(out->buffers[1], 0) : raw_i32(out->buffers[1], 0);
    *last = is_wide ? raw_i64(out->buffers[1], out->length)
                    : raw_i32(out->buffers[1], out->length);
    if (first < 0 || *last < first)
        return corrupt(w, "offsets fall");
    return KH_OK;
}

/* ---- columns ---- */

static kh_status take_var(struct work *w, const struct field *field, struct ArrowArray *out) {
    int64_t last;
    uint64_t size_bytes;
    kh_status status = take_offsets(w, field, out, field->layout == LAYOUT_VAR64, &last);
    if (status == KH_OK)
        status = take_elements(w, field, out, 2, (uint64_t)last, 8, &size_bytes);
    return status;
}

/* The views' buffers, of which the message says how many, and their sizes behind them. */
static kh_status take_views(struct work *w, const struct field *field, struct ArrowArray *out) {
    uint64_t size_bytes = 0;
    int64_t buffer_count = out->n_buffers - 3;
    kh_status status =
        take_elements(w, field, out, 1, (uint64_t)out->length, 128, &size_bytes);
    int64_t *sizes = w->array->next_size;
    w->array->next_size += buffer_count;
    for (int64_t i = 0; i < buffer_count && status == KH_OK; i++) {
        status = take_elements(w, field, out, 2 + (int)i, 0, 0, &size_bytes);
        sizes[i] = (int64_t)size_bytes;
    }
    out->buffers[2 + buffer_count] = buffer_count == 0 ? nothing : sizes;
    return status;
}

static kh_status take_values(struct work *w, const struct field *field, struct ArrowArray *out) {
    uint64_t size_bytes;
    kh_status status = take_elements(w, field, out, 1, (uint64_t)out->length,
                                     (uint64_t)field->bits, &size_bytes);
    if (status != KH_OK || field->dictionary == NULL)
        return status;
    uint32_t slot = w->slot;
    w->slot += 1 + ipc_slot_count(field->dictionary);
    out->dictionary = w->array->next_dictionary++;
    return w->request->values(w->request->context, slot, out->null_count == out->length,
                              out->dictionary, w->error);
}

/* Two buffers of as many elements as rows: what list views and dense unions have. */
static kh_status take_both(struct work *w, const struct field *field, struct ArrowArray *out,
                           int first, uint64_t first_bits, uint64_t second_bits) {
    uint64_t size_bytes;
    uint64_t count = (uint64_t)out->length;
    kh_status status = take_elements(w, field, out, first, count, first_bits, &size_bytes);
    if (status == KH_OK)
        status = take_elements(w, field, out, first + 1, count, second_bits, &size_bytes);
    return status;
}

/* All buffers but the validity bitmap. */
static kh_status take_buffers(struct work *w, const struct field *field, struct ArrowArray *out) {
    uint64_t size_bytes;
    int64_t last;
    switch (field->layout) {
    case LAYOUT_FIXED:
        return take_values(w, field, out);
    case LAYOUT_VAR32:
    case LAYOUT_VAR64:
        return take_var(w, field, out);
    case LAYOUT_VIEW:
        return take_views(w, field, out);
    case LAYOUT_LIST32:
        return take_offsets(w, field, out, false, &last);
    case LAYOUT_LIST64:
        return take_offsets(w, field, out, true, &last);
    case LAYOUT_LISTVIEW32:
        return take_both(w, field, out, 1, 32, 32);
    case LAYOUT_LISTVIEW64:
        return take_both(w, field, out, 1, 64, 64);
    case LAYOUT_SPARSE_UNION:
        return take_elements(w, field, out, 0, (uint64_t)out->length, 8, &size_bytes);
    case LAYOUT_DENSE_UNION:
        return take_both(w, field, out, 0, 8, 32);
    default: /* null, fixed-size list, struct, run-end encoded: none */
        return KH_OK;
    }
}

static bool has_validity(enum layout layout) {
    return layout != LAYOUT_NULL && layout != LAYOUT_RUN_END && layout != LAYOUT_SPARSE_UNION &&
           layout != LAYOUT_DENSE_UNION;
}

static bool is_union(const struct field *field) {
    return field->layout == LAYOUT_SPARSE_UNION || field->layout == LAYOUT_DENSE_UNION;
}

/* Buffers of an Arrow C array of this layout; views have their data buffers on top. */
static int64_t buffers_of(enum layout layout) {
    static const uint8_t counts[] = {
        [LAYOUT_NULL] = 0,       [LAYOUT_FIXED] = 2,        [LAYOUT_VAR32] = 3,
        [LAYOUT_VAR64] = 3,      [LAYOUT_VIEW] = 3,         [LAYOUT_LIST32] = 2,
        [LAYOUT_LIST64] = 2,     [LAYOUT_LISTVIEW32] = 3,   [LAYOUT_LISTVIEW64] = 3,
        [LAYOUT_FIXED_LIST] = 1, [LAYOUT_STRUCT] = 1,       [LAYOUT_SPARSE_UNION] = 1,
        [LAYOUT_DENSE_UNION] = 2, [LAYOUT_RUN_END] = 0,
    };
    return counts[layout];
}

/* Whether a buffer whose size is known bounds the column's length. */
static bool is_bounded(const struct field *field) {
    switch (field->layout) {
    case LAYOUT_FIXED:
        return field->bits != 0;
    case LAYOUT_NULL:
    case LAYOUT_FIXED_LIST:
    case LAYOUT_STRUCT:
    case LAYOUT_RUN_END:
        return false;
    default:
        return true;
    }
}

/* The next node's length and nulls. Lengths that no buffer bounds are bounded here. */
static kh_status take_node(struct work *w, const struct field *field, struct ArrowArray *out) {
    if (w->request->record == NULL)
        return KH_OK;
    kh_assert(w->next_node < w->nodes.count);
    out->length = raw_i64(w->nodes.items, 2 * (int64_t)w->next_node);
    out->null_count = raw_i64(w->nodes.items, 2 * (int64_t)w->next_node + 1);
    w->next_node++;
    if (out->length < 0 || out->null_count < 0 || out->null_count > out->length)
        return corrupt(w, "node with an impossible length or null count");
    int64_t most = is_bounded(field) ? (int64_t)LIMIT_BATCH_BYTES * 8 : LIMIT_BATCH_ROWS;
    if (out->length > most)
        return status_fail(w->error, KH_TOO_BIG, "IPC batch: column '%.80s' has %lld rows",
                           field->name, (long long)out->length);
    if (is_union(field) && w->request->has_union_bitmaps && out->null_count != 0)
        return status_fail(w->error, KH_UNSUPPORTED,
                           "IPC batch: nulls of the union '%.80s' itself (metadata version 4)",
                           field->name);
    if (field->layout == LAYOUT_NULL)
        out->null_count = out->length;
    else if (!has_validity(field->layout))
        out->null_count = 0;
    return KH_OK;
}

static kh_status take_column(struct work *w, const struct field *field, struct ArrowArray *out) {
    int64_t variadic = 0;
    if (field->layout == LAYOUT_VIEW && w->request->record != NULL)
        variadic = raw_i64(w->variadic.items, w->next_variadic++);
    ipc_array_shape(w->array, out, buffers_of(field->layout) + variadic, field->child_count);
    kh_status status = take_node(w, field, out);
    struct span skipped;
    if (status == KH_OK && has_validity(field->layout))
        status = take_validity(w, field, out);
    else if (status == KH_OK && is_union(field) && w->request->has_union_bitmaps)
        status = take_buffer(w, &skipped);
    if (status == KH_OK)
        status = take_buffers(w, field, out);
    for (int32_t i = 0; i < field->child_count && status == KH_OK; i++) {
        out->children[i] = ipc_array_next(w->array);
        status = take_column(w, &field->children[i], out->children[i]);
    }
    return status;
}

/* ---- the whole ---- */

/* Fields that have other buffers in a message than in an array. */
struct odd_fields {
    uint64_t views;
    uint64_t unions;
};

static void count_fields(const struct field *field, struct ipc_array_counts *counts,
                         struct odd_fields *odd) {
    counts->arrays++;
    counts->buffers += (uint64_t)buffers_of(field->layout);
    counts->dictionaries += field->dictionary != NULL;
    odd->views += field->layout == LAYOUT_VIEW;
    odd->unions += is_union(field);
    for (int32_t i = 0; i < field->child_count; i++)
        count_fields(&field->children[i], counts, odd);
}

/* The message's vectors, as many as the schema needs: a root, a node for every other array, its
 * buffers, and for every view column a count of the buffers that it has on top. */
static kh_status check_counts(struct work *w, struct ipc_array_counts *counts,
                              const struct odd_fields *odd) {
    const struct flat_table *record = w->request->record;
    uint64_t variadic = 0;
    if (!flat_items(record, RECORD_NODES, IPC_PAIR_BYTES, &w->nodes) ||
        !flat_items(record, RECORD_BUFFERS, IPC_PAIR_BYTES, &w->buffers) ||
        !flat_items(record, RECORD_VARIADIC, 8, &w->variadic))
        return corrupt(w, "malformed metadata");
    if (w->nodes.count != counts->arrays - 1)
        return corrupt(w, "another number of nodes than the schema's");
    if (w->variadic.count != odd->views)
        return corrupt(w, "another number of variadic counts than the schema's view columns");
    for (uint32_t i = 0; i < w->variadic.count; i++) {
        int64_t count = raw_i64(w->variadic.items, i);
        if (count < 0 || count > (int64_t)w->buffers.count)
            return corrupt(w, "impossible variadic count");
        variadic += (uint64_t)count;
    }
    /* The root's validity and the views' sizes are no buffers of the message. */
    uint64_t bitmaps = w->request->has_union_bitmaps ? odd->unions : 0;
    if (w->buffers.count != counts->buffers - 1 - odd->views + variadic + bitmaps)
        return corrupt(w, "another number of buffers than the schema's");
    counts->buffers += variadic;
    counts->sizes = variadic;
    return KH_OK;
}

static kh_status check_compression(struct work *w) {
    struct flat_table compression;
    int64_t codec;
    int64_t method;
    enum flat_found found = flat_child(w->request->record, RECORD_COMPRESSION, &compression);
    w->compression = KH_COMPRESS_NONE;
    if (found == FLAT_ABSENT)
        return KH_OK;
    if (found == FLAT_BAD || !flat_integer(&compression, COMPRESSION_CODEC, 1, 0, &codec) ||
        !flat_integer(&compression, COMPRESSION_METHOD, 1, 0, &method))
        return corrupt(w, "malformed compression");
    if (method != 0 || codec < 0 || codec > 1)
        return status_fail(w->error, KH_UNSUPPORTED, "IPC batch: compression %lld of method %lld",
                           (long long)codec, (long long)method);
    w->compression = codec == 0 ? KH_COMPRESS_LZ4 : KH_COMPRESS_ZSTD;
    return KH_OK;
}

static kh_status take_root(struct work *w, int64_t length, struct ArrowArray *out) {
    const struct field *root = w->request->root;
    kh_status status = KH_OK;
    ipc_array_shape(w->array, out, 1, root->child_count);
    out->length = length;
    for (int32_t i = 0; i < root->child_count && status == KH_OK; i++) {
        out->children[i] = ipc_array_next(w->array);
        status = take_column(w, &root->children[i], out->children[i]);
        if (status == KH_OK && out->children[i]->length != length)
            status = corrupt(w, "columns of different lengths");
    }
    return status;
}

static kh_status decode(struct work *w, struct ArrowArray *out) {
    struct ipc_array_counts counts = {0};
    struct odd_fields odd = {0, 0};
    int64_t length = 0;
    kh_status status = KH_OK;
    count_fields(w->request->root, &counts, &odd);
    if (w->request->record != NULL) {
        if (!flat_integer(w->request->record, RECORD_LENGTH, 8, 0, &length) || length < 0)
            return corrupt(w, "malformed length");
        if (length > LIMIT_BATCH_ROWS)
            return status_fail(w->error, KH_TOO_BIG, "IPC batch: %lld rows", (long long)length);
        status = check_counts(w, &counts, &odd);
        if (status == KH_OK)
            status = check_compression(w);
        if (status != KH_OK)
            return status;
    }
    w->array = ipc_array_create(w->request->mem, w->request->cache, &counts);
    if (w->array == NULL)
        return status_no_memory(w->error, 0);
    w->array->has_proved_values = w->request->has_proved_values;
    struct ArrowArray *root = ipc_array_next(w->array);
    status = take_root(w, length, root);
    if (status == KH_OK)
        *out = *root;
    return status;
}

kh_status ipc_decode_record(const struct ipc_decoding *request, struct ArrowArray *out,
                            kh_error *error) {
    struct work w = {.request = request, .slot = request->slot, .error = error};
    struct ipc_block body = request->body;
    kh_status status = decode(&w, out);
    if (status == KH_OK && w.is_body_used)
        w.array->body = body;
    else
        mem_free(request->mem, request->cache, body.bytes, body.size_bytes);
    if (status != KH_OK && w.array != NULL)
        ipc_array_destroy(w.array);
    return status;
}

struct field ipc_wrap_values(const struct field *of) {
    return (struct field){.name = "", .format = "+s", .layout = LAYOUT_STRUCT, .child_count = 1,
                          .children = (struct field *)(uintptr_t)of};
}

kh_status ipc_decode_values(const struct ipc_decoding *request, struct ArrowArray *out,
                            kh_error *error) {
    struct ArrowArray root;
    kh_status status = ipc_decode_record(request, &root, error);
    if (status != KH_OK)
        return status;
    *out = *root.children[0];
    root.children[0]->release = NULL;
    root.release(&root);
    return KH_OK;
}
