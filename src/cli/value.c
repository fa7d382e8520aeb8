/* value.c - values of flat types as text; the others by value_time.c, _decimal.c, _nested.c. */
#include "value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool bit(const void *bits, int64_t index) {
    return (((const uint8_t *)bits)[index >> 3] >> (index & 7) & 1) != 0;
}

static bool has_validity(const char *format) {
    return strcmp(format, "n") != 0 && strncmp(format, "+u", 2) != 0 && strcmp(format, "+r") != 0;
}

bool value_is_null(const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t row) {
    if (strcmp(schema->format, "n") == 0) {
        return true;
    }
    if (strcmp(schema->format, "+r") == 0) {
        return value_is_null(schema->children[1], array->children[1],
                             value_run_index(schema, array, row));
    }
    if (!has_validity(schema->format) || array->n_buffers < 1 || array->buffers[0] == NULL) {
        return false;
    }
    return !bit(array->buffers[0], row + array->offset);
}

bool value_is_number(const struct ArrowSchema *schema) {
    if (schema->dictionary != NULL) {
        return value_is_number(schema->dictionary);
    }
    return strchr("cCsSiIlLefgd", schema->format[0]) != NULL;
}

static int64_t integer_at(char format, const void *values, int64_t index) {
    switch (format) {
    case 'c':
        return ((const int8_t *)values)[index];
    case 'C':
        return ((const uint8_t *)values)[index];
    case 's':
        return ((const int16_t *)values)[index];
    case 'S':
        return ((const uint16_t *)values)[index];
    case 'i':
        return ((const int32_t *)values)[index];
    case 'I':
        return ((const uint32_t *)values)[index];
    default:
        return ((const int64_t *)values)[index];
    }
}

static double half_value(uint16_t bits) {
    int exponent = bits >> 10 & 0x1F;
    double fraction = bits & 0x3FF;
    double magnitude = exponent == 0   ? ldexp(fraction, -24)
                       : exponent < 31 ? ldexp(fraction + 1024, exponent - 25)
                       : fraction == 0 ? HUGE_VAL
                                       : (double)NAN;
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

/* The shortest digits that read back as the same number of the same width. */
static void append_number(struct text *out, double number, char format, enum value_style style) {
    if (!isfinite(number)) {
        const char *name = isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
        text_printf(out, style == VALUE_JSON ? "\"%s\"" : "%s", name);
        return;
    }
    int digits = format == 'g' ? 15 : format == 'f' ? 6 : 3;
    char shortest[40];
    for (;; ++digits) {
        (void)snprintf(shortest, sizeof shortest, "%.*g", digits, number);
        double back = strtod(shortest, NULL);
        bool is_same = format == 'f' ? (float)back == (float)number : back == number;
        if (is_same || digits >= 17) {
            break;
        }
    }
    text_add(out, shortest);
}

static void append_double(struct text *out, char format, const void *values, int64_t index,
                          enum value_style style) {
    double number = 0;
    if (format == 'e') {
        number = half_value(((const uint16_t *)values)[index]);
    } else if (format == 'f') {
        number = (double)((const float *)values)[index];
    } else {
        number = ((const double *)values)[index];
    }
    append_number(out, number, format, style);
}

static kh_bytes view_at(const struct ArrowArray *array, int64_t index) {
    enum { INLINE_BYTES = 12 };
    const uint8_t *view = (const uint8_t *)array->buffers[1] + index * 16;
    int32_t size = 0;
    memcpy(&size, view, sizeof size);
    if (size <= INLINE_BYTES) {
        return (kh_bytes){view + 4, (size_t)size};
    }
    int32_t place[2];
    memcpy(place, view + 8, sizeof place);
    return (kh_bytes){(const uint8_t *)array->buffers[2 + place[0]] + place[1], (size_t)size};
}

static kh_bytes bytes_at(const char *format, const struct ArrowArray *array, int64_t index) {
    if (format[0] == 'v') {
        return view_at(array, index);
    }
    if (format[0] == 'w') {
        size_t size = (size_t)strtoull(format + 2, NULL, 10);
        const uint8_t *values = array->buffers[1];
        return (kh_bytes){size == 0 ? "" : (const void *)(values + (size_t)index * size), size};
    }
    int64_t begin = 0;
    int64_t end = 0;
    if (format[0] == 'U' || format[0] == 'Z') {
        const int64_t *offsets = array->buffers[1];
        begin = offsets[index];
        end = offsets[index + 1];
    } else {
        const int32_t *offsets = array->buffers[1];
        begin = offsets[index];
        end = offsets[index + 1];
    }
    const char *values = array->buffers[2] == NULL ? "" : array->buffers[2];
    return (kh_bytes){values + begin, (size_t)(end - begin)};
}

static void append_bytes(struct text *out, const char *format, const struct ArrowArray *array,
                         int64_t index, enum value_style style) {
    kh_bytes bytes = bytes_at(format, array, index);
    bool is_text = format[0] == 'u' || format[0] == 'U' || strcmp(format, "vu") == 0;
    const char *quote = style == VALUE_JSON ? "\"" : "";
    if (!is_text) {
        text_add(out, quote);
        text_add_hex(out, bytes);
        text_add(out, quote);
    } else if (style == VALUE_JSON) {
        text_add_json(out, bytes);
    } else {
        text_append(out, bytes.data, bytes.size_bytes);
    }
}

static void append_quoted(struct text *out, const char *format, const void *values, int64_t index,
                          enum value_style style) {
    const char *quote = style == VALUE_JSON ? "\"" : "";
    text_add(out, quote);
    if (format[0] == 'd') {
        value_append_decimal(out, format, values, index);
    } else {
        value_append_time(out, format, values, index);
    }
    text_add(out, quote);
}

void value_append(struct text *out, const struct ArrowSchema *schema,
                  const struct ArrowArray *array, int64_t row, enum value_style style) {
    const char *format = schema->format;
    if (value_is_null(schema, array, row)) {
        text_add(out, style == VALUE_JSON ? "null" : "NULL");
        return;
    }
    if (strcmp(format, "+r") == 0) {
        value_append(out, schema->children[1], array->children[1],
                     value_run_index(schema, array, row), style);
        return;
    }
    if (format[0] == '+') {
        value_append_nested(out, schema, array, row, style);
        return;
    }
    int64_t index = row + array->offset;
    const void *values = array->n_buffers > 1 ? array->buffers[1] : NULL;
    if (schema->dictionary != NULL) {
        int64_t code = integer_at(format[0], values, index);
        value_append(out, schema->dictionary, array->dictionary, code, style);
    } else if (format[0] == 'b') {
        text_add(out, bit(values, index) ? "true" : "false");
    } else if (format[0] == 'L') {
        text_printf(out, "%" PRIu64, ((const uint64_t *)values)[index]);
    } else if (strchr("cCsSiIl", format[0]) != NULL) {
        text_printf(out, "%" PRId64, integer_at(format[0], values, index));
    } else if (strchr("efg", format[0]) != NULL) {
        append_double(out, format[0], values, index, style);
    } else if (format[0] == 'd' || format[0] == 't') {
        append_quoted(out, format, values, index, style);
    } else {
        append_bytes(out, format, array, index, style);
    }
}
