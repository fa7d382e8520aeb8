/* foreign_text.c - the value of a cell in words, read straight from the Arrow specification. Slow
 * and simple, so that it can judge the library's fast code. */
#include "support/foreign.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
    char *bytes;
    size_t used;
    size_t room;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *text, const char *format, ...) {
    for (;;) {
        va_list arguments;
        va_start(arguments, format);
        int wrote = vsnprintf(text->bytes + text->used, text->room - text->used, format, arguments);
        va_end(arguments);
        if ((size_t)wrote < text->room - text->used) {
            text->used += (size_t)wrote;
            return;
        }
        text->room = text->room * 2 + (size_t)wrote;
        text->bytes = realloc(text->bytes, text->room);
        assert(text->bytes != NULL);
    }
}

/* By hand: fuzz targets spend most of their time here. */
static void say_bytes(struct text *text, const void *bytes, int64_t count) {
    static const char digits[] = "0123456789abcdef";
    if (text->room - text->used < 2 * (size_t)count + 2) {
        text->room = text->room * 2 + 2 * (size_t)count + 2;
        text->bytes = realloc(text->bytes, text->room);
        assert(text->bytes != NULL);
    }
    text->bytes[text->used++] = 'x';
    for (int64_t i = 0; i < count; i++) {
        unsigned char byte = ((const unsigned char *)bytes)[i];
        text->bytes[text->used++] = digits[byte >> 4];
        text->bytes[text->used++] = digits[byte & 15];
    }
    text->bytes[text->used] = '\0';
}

static int64_t integer(const void *buffer, int64_t index, int64_t width) {
    int64_t value = 0;
    memcpy(&value, (const char *)buffer + index * width, (size_t)width);
    if (width < 8 && (value >> (width * 8 - 1)) & 1) value -= (int64_t)1 << (width * 8);
    return value;
}

static void say_cell(struct text *text, const struct ArrowSchema *schema,
                     const struct ArrowArray *array, int64_t row);

static void say_range(struct text *text, const struct ArrowSchema *schema,
                      const struct ArrowArray *array, int64_t first, int64_t count) {
    say(text, "[");
    for (int64_t i = 0; i < count; i++) {
        if (i > 0) say(text, ",");
        say_cell(text, schema->children[0], array->children[0], first + i);
    }
    say(text, "]");
}

static void say_union(struct text *text, const struct ArrowSchema *schema,
                      const struct ArrowArray *array, int64_t at) {
    int code = ((const int8_t *)array->buffers[0])[at];
    const char *next = schema->format + 4;
    if (schema->n_children == 0) return;
    for (int64_t child = 0;; child++) {
        assert(child < schema->n_children);
        if (strtol(next, (char **)(uintptr_t)&next, 10) == code) {
            bool is_dense = schema->format[2] == 'd';
            say(text, "%d:", code);
            say_cell(text, schema->children[child], array->children[child],
                     is_dense ? integer(array->buffers[1], at, 4) : at);
            return;
        }
        next++;
    }
}

static void say_run(struct text *text, const struct ArrowSchema *schema,
                    const struct ArrowArray *array, int64_t at) {
    const struct ArrowArray *ends = array->children[0];
    int64_t width = foreign_bits(schema->children[0]->format) / 8;
    for (int64_t i = 0;; i++) {
        assert(i < ends->length);
        if (integer(ends->buffers[1], ends->offset + i, width) > at) {
            say_cell(text, schema->children[1], array->children[1], i);
            return;
        }
    }
}

static void say_nested(struct text *text, const struct ArrowSchema *schema,
                       const struct ArrowArray *array, int64_t at) {
    const char *format = schema->format;
    int64_t width = strchr(format, 'L') != NULL ? 8 : 4;
    if (strcmp(format, "+s") == 0) {
        say(text, "{");
        for (int64_t i = 0; i < schema->n_children; i++) {
            say(text, "%s=", schema->children[i]->name);
            say_cell(text, schema->children[i], array->children[i], at);
            say(text, ";");
        }
        say(text, "}");
    } else if (format[1] == 'w') {
        int64_t size = strtoll(format + 3, NULL, 10);
        say_range(text, schema, array, at * size, size);
    } else if (format[1] == 'v') {
        say_range(text, schema, array, integer(array->buffers[1], at, width),
                  integer(array->buffers[2], at, width));
    } else if (format[1] == 'u') {
        say_union(text, schema, array, at);
    } else if (format[1] == 'r') {
        say_run(text, schema, array, at);
    } else {
        int64_t first = integer(array->buffers[1], at, width);
        say_range(text, schema, array, first, integer(array->buffers[1], at + 1, width) - first);
    }
}

static void say_view(struct text *text, const struct ArrowArray *array, int64_t at) {
    const char *view = (const char *)array->buffers[1] + at * 16;
    int64_t size = integer(view, 0, 4);
    if (size <= 12) {
        say_bytes(text, view + 4, size);
    } else {
        const char *bytes = array->buffers[2 + integer(view, 2, 4)];
        say_bytes(text, bytes + integer(view, 3, 4), size);
    }
}

static void say_value(struct text *text, const struct ArrowSchema *schema,
                      const struct ArrowArray *array, int64_t at) {
    const char *format = schema->format;
    if (schema->dictionary != NULL) {
        say_cell(text, schema->dictionary, array->dictionary,
                 integer(array->buffers[1], at, foreign_bits(format) / 8));
    } else if (format[0] == '+') {
        say_nested(text, schema, array, at);
    } else if (format[0] == 'v') {
        say_view(text, array, at);
    } else if (strchr("uzUZ", format[0]) != NULL) {
        int64_t width = format[0] == 'u' || format[0] == 'z' ? 4 : 8;
        int64_t first = integer(array->buffers[1], at, width);
        int64_t size = integer(array->buffers[1], at + 1, width) - first;
        say_bytes(text, size == 0 ? "" : (const char *)array->buffers[2] + first, size);
    } else if (format[0] == 'b') {
        say(text, "%d", (((const uint8_t *)array->buffers[1])[at / 8] >> (at % 8)) & 1);
    } else {
        int64_t width = foreign_bits(format) / 8;
        say_bytes(text, width == 0 ? "" : (const char *)array->buffers[1] + at * width, width);
    }
}

static void say_cell(struct text *text, const struct ArrowSchema *schema,
                     const struct ArrowArray *array, int64_t row) {
    int64_t at = array->offset + row;
    bool has_validity = array->n_buffers > 0 && strncmp(schema->format, "+u", 2) != 0;
    assert(row >= 0 && row < array->length);
    if (strcmp(schema->format, "n") == 0) {
        say(text, "null");
    } else if (has_validity && array->buffers[0] != NULL &&
               ((((const uint8_t *)array->buffers[0])[at / 8] >> (at % 8)) & 1) == 0) {
        say(text, "null");
    } else {
        say_value(text, schema, array, at);
    }
}

char *foreign_text(const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t row) {
    struct text text = {malloc(64), 0, 64};
    assert(text.bytes != NULL);
    text.bytes[0] = '\0';
    say_cell(&text, schema, array, row);
    return text.bytes;
}

bool foreign_equal(const struct ArrowSchema *schema, const struct ArrowArray *a,
                   const struct ArrowArray *b) {
    bool is_equal = a->length == b->length;
    for (int64_t i = 0; is_equal && i < a->length; i++) {
        char *in_a = foreign_text(schema, a, i);
        char *in_b = foreign_text(schema, b, i);
        is_equal = strcmp(in_a, in_b) == 0;
        free(in_a);
        free(in_b);
    }
    return is_equal;
}
