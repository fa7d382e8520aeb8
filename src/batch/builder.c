/* builder.c - a packed batch from typed scalars.
 *
 * Two passes over the scalars: the first checks every one and measures, the second writes and
 * cannot fail. Between them the one allocation. Failure: nothing was made; the message names column
 * and row. */
#include "base/limits.h"
#include "base/status.h"
#include "batch/half.h"
#include "batch/home.h"
#include "batch/pack.h"
#include "batch/schema_body.h"
#include "batch/type_words.h"
#include "batch/utf8.h"
#include <math.h>
#include <stdio.h>

enum { VIEW_BYTES = 16, VIEW_INLINE = 12, VIEW_PREFIX = 4 };

/* ---- checking -------------------------------------------------------------------------------- */

static bool fits_integer(const struct field *field, const kh_scalar *scalar) {
    if (scalar->kind == KH_SCALAR_INT64) {
        int64_t value = scalar->as.int64;
        if (!field->is_signed)
            return value >= 0 && (field->bits == 64 || value >> field->bits == 0);
        int64_t most = INT64_MAX >> (64 - field->bits);
        return value <= most && value >= -most - 1;
    }
    if (scalar->kind != KH_SCALAR_UINT64) return false;
    int room = field->bits - field->is_signed;
    return room == 64 || scalar->as.uint64 >> room == 0;
}

/* A finite value must not become infinite. */
static bool fits_float(const struct field *field, const kh_scalar *scalar) {
    if (scalar->kind != KH_SCALAR_DOUBLE) return false;
    double value = scalar->as.float64;
    if (!isfinite(value)) return true;
    if (field->bits == 16) return isfinite(half_to_double(half_from_double(value)));
    return field->bits == 64 || isfinite((float)value);
}

static bool is_kind_right(const struct field *field, const kh_scalar *scalar) {
    switch (field->value_class) {
    case VALUE_INTEGER:
        return fits_integer(field, scalar);
    case VALUE_FLOAT:
        return fits_float(field, scalar);
    case VALUE_RAW:
        return scalar->kind == KH_SCALAR_BYTES &&
               scalar->as.bytes.size_bytes == (size_t)field->bits / 8 &&
               (field->bits == 0 || scalar->as.bytes.data != NULL);
    case VALUE_BYTES:
        return scalar->kind == KH_SCALAR_BYTES && scalar->as.bytes.size_bytes <= INT32_MAX &&
               (scalar->as.bytes.size_bytes == 0 || scalar->as.bytes.data != NULL);
    case VALUE_NONE:
        break;
    }
    return false;
}

/* The value itself, where it is a number. */
static void describe(const kh_scalar *scalar, char *out, size_t room) {
    switch (scalar->kind) {
    case KH_SCALAR_INT64:
        (void)snprintf(out, room, "%lld", (long long)scalar->as.int64);
        break;
    case KH_SCALAR_UINT64:
        (void)snprintf(out, room, "%llu", (unsigned long long)scalar->as.uint64);
        break;
    case KH_SCALAR_DOUBLE:
        (void)snprintf(out, room, "%g", scalar->as.float64);
        break;
    case KH_SCALAR_BYTES:
        (void)snprintf(out, room, "a value of %zu bytes", scalar->as.bytes.size_bytes);
        break;
    default:
        (void)snprintf(out, room, "a scalar of kind %d", (int)scalar->kind);
        break;
    }
}

static kh_status misfit(const struct field *field, const kh_scalar *scalar, int64_t row,
                        kh_error *error) {
    char value[48];
    describe(scalar, value, sizeof value);
    return status_fail(error, KH_INVALID, "column '%.80s' (%s), row %lld: %s does not fit",
                       field->name, type_words(field).text, (long long)row, value);
}

static kh_status check_scalar(const struct field *field, const kh_scalar *scalar, int64_t row,
                              kh_error *error) {
    bool is_null = scalar->kind == KH_SCALAR_NULL;
    if (is_null && (field->layout == LAYOUT_NULL || (field->flags & ARROW_FLAG_NULLABLE) != 0))
        return KH_OK;
    if (is_null)
        return status_fail(error, KH_INVALID, "column '%.80s', row %lld: null, but not nullable",
                           field->name, (long long)row);
    if (!is_kind_right(field, scalar)) return misfit(field, scalar, row, error);
    if (field->is_utf8 && !utf8_is_valid(scalar->as.bytes.data, scalar->as.bytes.size_bytes))
        return status_fail(error, KH_INVALID_DATA, "column '%.80s', row %lld is not UTF-8",
                           field->name, (long long)row);
    return KH_OK;
}

static bool takes_heap(const struct field *field, const kh_scalar *scalar) {
    if (field->value_class != VALUE_BYTES || scalar->kind == KH_SCALAR_NULL) return false;
    return field->layout != LAYOUT_VIEW || scalar->as.bytes.size_bytes > VIEW_INLINE;
}

static kh_status measure(const kh_schema *schema, const kh_scalar *scalars, int64_t row_count,
                         struct pack_size *out, kh_error *error) {
    int64_t column_count = schema->root->child_count;
    struct pack_size size = {0, 0};
    kh_status status = KH_OK;
    for (int64_t i = 0; i < column_count; i++) {
        const struct field *field = &schema->root->children[i];
        bool has_nulls = false;
        for (int64_t row = 0; row < row_count; row++) {
            const kh_scalar *scalar = &scalars[row * column_count + i];
            KH_TRY(check_scalar(field, scalar, row, error));
            has_nulls |= scalar->kind == KH_SCALAR_NULL;
            if (takes_heap(field, scalar)) size.heap_bytes += scalar->as.bytes.size_bytes;
            if (size.heap_bytes > PACK_BLOCK_MAX)
                return status_fail(error, KH_TOO_BIG, "a batch beyond %llu bytes",
                                   (unsigned long long)PACK_BLOCK_MAX);
        }
        if (has_nulls && field->layout != LAYOUT_NULL) size.bitmap_count++;
    }
    *out = size;
done:
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

struct target {
    uint8_t *slot;
    uint8_t *heap;
    uint64_t used; /* of the heap */
};

static void put_integer(const struct field *field, const kh_scalar *scalar, int64_t row,
                        uint8_t *slot) {
    uint64_t bits =
        scalar->kind == KH_SCALAR_UINT64 ? scalar->as.uint64 : (uint64_t)scalar->as.int64;
    if (field->bits == 1) {
        if (bits != 0) raw_set_bit(slot, row);
    } else {
        size_t width = (size_t)field->bits / 8;
        memcpy(slot + (size_t)row * width, &bits, width); /* little-endian: the low bytes */
    }
}

static void put_float(const struct field *field, double value, int64_t row, uint8_t *slot) {
    if (field->bits == 64) {
        memcpy(slot + row * 8, &value, 8);
    } else if (field->bits == 32) {
        float single = (float)value;
        memcpy(slot + row * 4, &single, 4);
    } else {
        uint16_t half = half_from_double(value);
        memcpy(slot + row * 2, &half, 2);
    }
}

static void put_view(const kh_scalar *scalar, int64_t row, struct target *to) {
    kh_bytes bytes = scalar->as.bytes;
    uint8_t *view = to->slot + row * VIEW_BYTES;
    raw_put_i32(view, 0, (int32_t)bytes.size_bytes);
    if (bytes.size_bytes <= VIEW_INLINE) {
        if (bytes.size_bytes > 0) memcpy(view + 4, bytes.data, bytes.size_bytes);
        return;
    }
    memcpy(view + 4, bytes.data, VIEW_PREFIX);
    raw_put_i32(view, 3, (int32_t)to->used);
    memcpy(to->heap + to->used, bytes.data, bytes.size_bytes);
    to->used += bytes.size_bytes;
}

static void put_offset(const struct field *field, int64_t index, struct target *to) {
    if (field->layout == LAYOUT_VAR64) {
        raw_put_i64(to->slot, index, (int64_t)to->used);
    } else {
        raw_put_i32(to->slot, index, (int32_t)to->used);
    }
}

static void put_var(const struct field *field, const kh_scalar *scalar, int64_t row,
                    struct target *to) {
    if (scalar->kind != KH_SCALAR_NULL && scalar->as.bytes.size_bytes > 0) {
        memcpy(to->heap + to->used, scalar->as.bytes.data, scalar->as.bytes.size_bytes);
        to->used += scalar->as.bytes.size_bytes;
    }
    put_offset(field, row + 1, to);
}

static void put_scalar(const struct field *field, const kh_scalar *scalar, int64_t row,
                       struct target *to) {
    if (field->layout == LAYOUT_VAR32 || field->layout == LAYOUT_VAR64) {
        put_var(field, scalar, row, to);
        return;
    }
    if (scalar->kind == KH_SCALAR_NULL) return; /* the slot is zeroed */
    if (field->value_class == VALUE_INTEGER) {
        put_integer(field, scalar, row, to->slot);
    } else if (field->value_class == VALUE_FLOAT) {
        put_float(field, scalar->as.float64, row, to->slot);
    } else if (field->layout == LAYOUT_VIEW) {
        put_view(scalar, row, to);
    } else if (field->bits > 0) {
        size_t width = (size_t)field->bits / 8;
        memcpy(to->slot + (size_t)row * width, scalar->as.bytes.data, width);
    }
}

/* False, and nothing written: the column has no nulls. bitmap is zeroed. */
static bool put_bitmap(const kh_scalar *scalars, int64_t column_count, int64_t row_count,
                       uint8_t *bitmap) {
    bool has_nulls = false;
    for (int64_t row = 0; row < row_count; row++)
        has_nulls |= scalars[row * column_count].kind == KH_SCALAR_NULL;
    for (int64_t row = 0; has_nulls && row < row_count; row++)
        if (scalars[row * column_count].kind != KH_SCALAR_NULL) raw_set_bit(bitmap, row);
    return has_nulls;
}

static void put_rows(kh_batch *batch, const kh_scalar *scalars, const struct pack_size *size) {
    const struct plan *plan = plan_of(batch->schema);
    const struct field *root = schema_root(batch->schema);
    int64_t column_count = root->child_count;
    uint64_t slots_bytes = plan_slot_at(plan, plan->column_count, batch->row_count);
    struct target to = {.slot = packed_slots(batch)};
    uint8_t *mask = to.slot + slots_bytes;
    uint8_t *bitmap = mask + 8 * plan_mask_words(plan);
    batch->has_validity = size->bitmap_count > 0;
    to.heap = mask;
    if (batch->has_validity)
        to.heap = bitmap + 8 * size->bitmap_count * plan_bitmap_words(batch->row_count);
    memset(to.slot, 0, (size_t)(to.heap - to.slot));
    for (uint32_t i = 0; i < plan->column_count; i++) {
        const struct field *field = &root->children[i];
        bool is_var = field->layout == LAYOUT_VAR32 || field->layout == LAYOUT_VAR64;
        if (is_var) put_offset(field, 0, &to);
        for (int64_t row = 0; row < batch->row_count; row++)
            put_scalar(field, &scalars[row * column_count + i], row, &to);
        to.slot += plan_slot_bytes(&plan->columns[i], batch->row_count);
        if (batch->has_validity && field->layout != LAYOUT_NULL &&
            put_bitmap(scalars + i, column_count, batch->row_count, bitmap)) {
            raw_set_bit(mask, i);
            bitmap += 8 * plan_bitmap_words(batch->row_count);
        }
    }
}

kh_status kh_batch_build(kh_db *db, const kh_schema *schema, const kh_scalar *scalars,
                         int64_t row_count, kh_batch **out, kh_error *error) {
    const kh_schema *ours = NULL;
    struct pack_size size = {0};
    kh_status status = KH_OK;
    if (schema == NULL || out == NULL || row_count < 0 ||
        (row_count > 0 && schema->root->child_count > 0 && scalars == NULL))
        return status_fail(error, KH_INVALID, "schema, scalars, row_count or out");
    if (!schema->plan.is_flat)
        return status_fail(error, KH_UNSUPPORTED, "the schema has columns that are not flat");
    if (row_count > LIMIT_BATCH_ROWS)
        return status_fail(error, KH_TOO_BIG, "%lld rows", (long long)row_count);
    const struct batch_home *home;
    kh_status found_home = batch_home_find(db, &home, error);
    if (found_home != KH_OK) return found_home;
    KH_TRY(schema_intern(home->schemas, schema, &ours, error));
    KH_TRY(measure(ours, scalars, row_count, &size, error));
    uint64_t block_bytes = pack_block_bytes(&ours->plan, (uint64_t)row_count, &size);
    if (block_bytes > PACK_BLOCK_MAX || block_bytes > home->batch_bytes_max) {
        status = status_fail(error, KH_TOO_BIG, "a batch of %llu bytes",
                             (unsigned long long)block_bytes);
        goto done;
    }
    kh_batch *batch = pack_create(home->mem, NULL, ours, (uint64_t)row_count, block_bytes);
    if (batch == NULL) {
        status = status_no_memory(error, block_bytes);
        goto done;
    }
    put_rows(batch, scalars, &size);
    *out = batch;
done:
    if (ours != NULL) schema_drop(ours);
    return status;
}
