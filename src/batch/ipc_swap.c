/* ipc_swap.c - buffers of a big-endian machine, turned round.
 *
 * Metadata, bitmaps and bytes are the same on all machines; integers, floats, offsets, decimals
 * (as one integer each), the parts of intervals and the integers inside of views are not. Works in
 * place, on whole elements; bytes behind the last one are padding and stay. Cannot fail. */
#include "batch/ipc_wire.h"

#include "batch/raw.h"
#include <string.h>

enum { VIEW_BYTES = 16, VIEW_INLINE = 12, MONTH_DAY_NANO_BYTES = 16, WIDEST_BYTES = 32 };

static void turn(unsigned char *element, size_t width) {
    for (size_t i = 0; i < width / 2; i++) {
        unsigned char low = element[i];
        element[i] = element[width - 1 - i];
        element[width - 1 - i] = low;
    }
}

static void turn_all(unsigned char *bytes, size_t size_bytes, size_t width) {
    for (size_t at = 0; at + width <= size_bytes; at += width) turn(bytes + at, width);
}

/* Length, then the bytes themselves, or their first four, a buffer and an offset. */
static void turn_views(unsigned char *bytes, size_t size_bytes) {
    for (size_t at = 0; at + VIEW_BYTES <= size_bytes; at += VIEW_BYTES) {
        turn(bytes + at, 4);
        if (raw_i32(bytes + at, 0) > VIEW_INLINE) turn_all(bytes + at + 8, 8, 4);
    }
}

/* Months and days in 32 bits each, nanoseconds in 64. */
static void turn_month_day_nano(unsigned char *bytes, size_t size_bytes) {
    for (size_t at = 0; at + MONTH_DAY_NANO_BYTES <= size_bytes; at += MONTH_DAY_NANO_BYTES) {
        turn_all(bytes + at, 8, 4);
        turn(bytes + at + 8, 8);
    }
}

static size_t fixed_width(const struct field *field) {
    if (field->format[0] == 'w' || field->bits <= 8) return 1;
    if (strcmp(field->format, "tiD") == 0) return 4; /* days and milliseconds */
    kh_assert(field->bits / 8 <= WIDEST_BYTES);
    return (size_t)field->bits / 8;
}

size_t ipc_swap_width(const struct field *field, int buffer) {
    switch (field->layout) {
    case LAYOUT_FIXED:
        return buffer == 1 ? fixed_width(field) : 1;
    case LAYOUT_VAR32:
    case LAYOUT_LIST32:
        return buffer == 1 ? 4 : 1;
    case LAYOUT_VAR64:
    case LAYOUT_LIST64:
        return buffer == 1 ? 8 : 1;
    case LAYOUT_LISTVIEW32:
        return buffer >= 1 ? 4 : 1;
    case LAYOUT_LISTVIEW64:
        return buffer >= 1 ? 8 : 1;
    case LAYOUT_VIEW:
        return buffer == 1 ? VIEW_BYTES : 1;
    case LAYOUT_DENSE_UNION:
        return buffer == 1 ? 4 : 1;
    default:
        return 1;
    }
}

void ipc_swap(const struct field *field, int buffer, void *bytes, size_t size_bytes) {
    size_t width = ipc_swap_width(field, buffer);
    if (field->layout == LAYOUT_VIEW)
        turn_views(bytes, size_bytes);
    else if (strcmp(field->format, "tin") == 0)
        turn_month_day_nano(bytes, size_bytes);
    else if (width > 1)
        turn_all(bytes, size_bytes, width);
}
