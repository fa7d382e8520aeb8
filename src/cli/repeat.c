/* repeat.c - see repeat.h. */
#include "repeat.h"

#include <string.h>

/* Of the formats of the Arrow C Data Interface that are values of so many bytes. */
static size_t width_of(const char *format) {
    static const struct {
        const char *start;
        size_t width_bytes;
    } widths[] = {{"c", 1}, {"C", 1}, {"s", 2},   {"S", 2},   {"i", 4},   {"I", 4},
                  {"l", 8}, {"L", 8}, {"tdD", 4}, {"tdm", 8}, {"tts", 4}, {"ttm", 4},
                  {"f", 4}, {"d", 8}, {"ts", 8},  {"tD", 8},  {"ttu", 8}, {"ttn", 8}};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; ++i) {
        size_t length = strlen(widths[i].start);
        bool is_whole = length > 1 || format[1] == '\0';
        if (is_whole && strncmp(format, widths[i].start, length) == 0) {
            return widths[i].width_bytes;
        }
    }
    return 0;
}

struct repeat repeat_of(const struct ArrowSchema *schema, const struct ArrowArray *array) {
    struct repeat repeat = {REPEAT_NEVER, 0, array};
    const char *format = schema->format;
    if (schema->dictionary != NULL) {
        return repeat;
    }
    repeat.width_bytes = width_of(format);
    if (repeat.width_bytes > 0) {
        repeat.kind = REPEAT_FIXED;
    } else if (strcmp(format, "b") == 0) {
        repeat.kind = REPEAT_BITS;
    } else if (strcmp(format, "u") == 0 || strcmp(format, "z") == 0) {
        repeat.kind = REPEAT_SPAN32;
    } else if (strcmp(format, "U") == 0 || strcmp(format, "Z") == 0) {
        repeat.kind = REPEAT_SPAN64;
    }
    return repeat;
}

static bool bit(const void *bits, int64_t index) {
    return (((const uint8_t *)bits)[index >> 3] >> (index & 7) & 1) != 0;
}

static bool is_same_span(const uint8_t *bytes, int64_t before, int64_t at, int64_t end) {
    size_t size = (size_t)(end - at);
    return at - before == end - at && (size == 0 || memcmp(bytes + before, bytes + at, size) == 0);
}

bool repeat_is_same(const struct repeat *repeat, int64_t row) {
    const struct ArrowArray *array = repeat->array;
    int64_t at = row + array->offset;
    if (repeat->kind == REPEAT_NEVER) {
        return false;
    }
    if (array->null_count != 0 && array->buffers[0] != NULL) {
        bool is_valid = bit(array->buffers[0], at);
        if (is_valid != bit(array->buffers[0], at - 1)) {
            return false;
        }
        if (!is_valid) {
            return true;
        }
    }
    const uint8_t *values = array->buffers[1];
    if (repeat->kind == REPEAT_BITS) {
        return bit(values, at) == bit(values, at - 1);
    }
    if (repeat->kind == REPEAT_SPAN32) {
        const int32_t *offsets = array->buffers[1];
        return is_same_span(array->buffers[2], offsets[at - 1], offsets[at], offsets[at + 1]);
    }
    if (repeat->kind == REPEAT_SPAN64) {
        const int64_t *offsets = array->buffers[1];
        return is_same_span(array->buffers[2], offsets[at - 1], offsets[at], offsets[at + 1]);
    }
    size_t width = repeat->width_bytes;
    const uint8_t *value = values + (size_t)at * width;
    return memcmp(value - width, value, width) == 0;
}
