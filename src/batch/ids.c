/* ids.c - see ids.h: which types can be ids, and their bytes. */
#include "batch/ids.h"

#include "base/status.h"
#include "batch/cell.h"
#include "batch/gather.h"
#include "batch/type_words.h"

#include <stdio.h>
#include <string.h>

/* Types that compare by their bytes. Not: booleans (two rows at most), floats (-0, NaN), intervals
 * (a month has no fixed number of days), nested types. */
static bool is_id_format(const char *format) {
    if (format[0] == 'v')
        return format[1] == 'u' || format[1] == 'z';
    if (format[0] == 't')
        return format[1] != 'i';
    return strchr("cCsSiIlLuUzZwd", format[0]) != NULL;
}

static bool is_integer_format(const char *format) {
    return strchr("cCsSiIlL", format[0]) != NULL || format[0] == 't';
}

static kh_status find_column(const struct column *root, const char *name,
                             const struct column **out, kh_error *error) {
    for (int32_t i = 0; i < root->field->child_count; i++) {
        const struct field *field = &root->field->children[i];
        if (strcmp(field->name, name) != 0)
            continue;
        const struct field *value = field->dictionary != NULL ? field->dictionary : field;
        if (value->dictionary != NULL || !is_id_format(value->format))
            return status_fail(error, KH_NO_ID_COLUMN,
                               "column \"%.80s\" of type %s cannot be an id", name,
                               type_words(field).text);
        *out = &root->children[i];
        return KH_OK;
    }
    return status_fail(error, KH_NO_ID_COLUMN, "no id column \"%s\"", name);
}

static enum ids_kind kind_of(enum layout layout) {
    switch (layout) {
    case LAYOUT_VAR32:
        return IDS_VAR32;
    case LAYOUT_VAR64:
        return IDS_VAR64;
    case LAYOUT_VIEW:
        return IDS_VIEW;
    default:
        return IDS_FIXED;
    }
}

/* No null ids; dictionary indexes that name a value. */
static kh_status check_ids(const struct ids *ids, const struct column *column, kh_error *error) {
    bool is_proved = column->validity == NULL || column->null_count == 0;
    if (is_proved && ids->indexes == NULL)
        return KH_OK;
    for (int64_t row = 0; row < ids->row_count; row++) {
        int64_t index = ids->first + row;
        if (column_is_null_bit(column->validity, index))
            return status_fail(error, KH_NULL_ID, "row %lld has a null id", (long long)row);
        if (ids->indexes == NULL)
            continue;
        int64_t value = gather_integer(column->values, index, column->field->bits,
                                       column->field->is_signed);
        if (value < 0 || value >= ids->column->length)
            return status_fail(error, KH_INVALID_DATA,
                               "row %lld's dictionary index names no value", (long long)row);
        if (cell_is_null(ids->column, ids->column->offset + value))
            return status_fail(error, KH_NULL_ID, "row %lld has a null id", (long long)row);
    }
    return KH_OK;
}

kh_status ids_open(const struct column *root, const char *name, struct ids *out, kh_error *error) {
    const struct column *column = NULL;
    kh_status status = find_column(root, name, &column, error);
    if (status != KH_OK)
        return status;
    struct ids ids = {.column = column, .field = column->field, .row_count = root->length};
    ids.first = root->offset + column->offset;
    if (column->dictionary != NULL) {
        ids.indexes = column;
        ids.column = column->dictionary;
    }
    const struct field *field = ids.column->field;
    ids.kind = kind_of(field->layout);
    ids.width = ids.kind == IDS_FIXED ? (uint32_t)field->bits / 8 : 0;
    ids.is_integer = ids.indexes == NULL && is_integer_format(field->format);
    status = check_ids(&ids, column, error);
    if (status == KH_OK)
        *out = ids;
    return status;
}

kh_bytes ids_at(const struct ids *ids, int64_t row) {
    const struct column *column = ids->column;
    const unsigned char *values = column->values;
    int64_t index = ids->first + row;
    if (ids->indexes != NULL)
        index = column->offset + gather_integer(ids->indexes->values, index,
                                                ids->indexes->field->bits,
                                                ids->indexes->field->is_signed);
    switch (ids->kind) {
    case IDS_FIXED:
        return (kh_bytes){ids->width == 0 ? values : values + (size_t)index * ids->width,
                          ids->width};
    case IDS_VIEW: {
        int32_t view[4];
        memcpy(view, values + index * 16, sizeof view);
        if (view[0] <= 12)
            return (kh_bytes){values + index * 16 + 4, (size_t)view[0]};
        return (kh_bytes){(const unsigned char *)column->view_buffers[view[2]] + view[3],
                          (size_t)view[0]};
    }
    default: {
        bool is_wide = ids->kind == IDS_VAR64;
        int64_t begin = gather_offset(column->offsets, index, is_wide);
        int64_t size = gather_offset(column->offsets, index + 1, is_wide) - begin;
        return (kh_bytes){size == 0 ? values : values + begin, (size_t)size};
    }
    }
}

bool ids_equal(const struct ids *a, int64_t a_row, const struct ids *b, int64_t b_row) {
    if (a->is_integer && a->width == 8)
        return raw_i64(a->column->values, a->first + a_row) ==
               raw_i64(b->column->values, b->first + b_row);
    kh_bytes in_a = ids_at(a, a_row);
    kh_bytes in_b = ids_at(b, b_row);
    return in_a.size_bytes == in_b.size_bytes &&
           (in_a.size_bytes == 0 || memcmp(in_a.data, in_b.data, in_a.size_bytes) == 0);
}

struct ids_text ids_describe(const struct ids *ids, int64_t row) {
    struct ids_text text;
    kh_bytes bytes = ids_at(ids, row);
    if (ids->is_integer) {
        bool is_unsigned = strchr("CSIL", ids->field->format[0]) != NULL;
        int64_t value = gather_integer(bytes.data, 0, (int32_t)ids->width * 8, !is_unsigned);
        if (is_unsigned)
            (void)snprintf(text.text, sizeof text.text, "%llu", (unsigned long long)value);
        else
            (void)snprintf(text.text, sizeof text.text, "%lld", (long long)value);
        return text;
    }
    size_t at = 0;
    const unsigned char *byte = bytes.data;
    bool is_text = ids->column->field->is_utf8;
    if (is_text)
        text.text[at++] = '"';
    for (size_t i = 0; i < bytes.size_bytes && at + 8 < sizeof text.text; i++) {
        bool is_plain = is_text && byte[i] >= 0x20 && byte[i] < 0x7f;
        at += (size_t)snprintf(text.text + at, sizeof text.text - at, is_plain ? "%c" : "%02x",
                               byte[i]);
    }
    (void)snprintf(text.text + at, sizeof text.text - at, is_text ? "\"" : "");
    return text;
}
