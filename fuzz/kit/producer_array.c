/* producer_array.c - arrays of fuzz bytes. See producer.h for what is true in them.
 *
 * Each node draws a byte of flags: most values give an honest node, so that an input can be honest
 * down to one place. Offsets of variable-size values never promise more bytes than there are,
 * unless they promise what no memory holds. */
#include "kit/producer.h"

#include <stdbool.h>
#include <stdlib.h>

struct making {
    struct producer *producer;
    struct feed *feed;
};

enum { SPARE_BUFFERS = 2, LENGTH_MAX = 4096, VIEW_BYTES = 16, VIEW_INLINE = 12 };

static void fill(struct making *m, const struct ArrowSchema *type, int64_t want,
                 struct ArrowArray *out);

static void release_root(struct ArrowArray *array) {
    producer_end(array->private_data);
    array->release = NULL;
}

static void release_child(struct ArrowArray *array) {
    array->release = NULL;
}

/* ---- buffers ---- */

static int64_t bits_of(const char *format) {
    static const struct {
        char first;
        int bits;
    } widths[] = {{'b', 1},  {'c', 8},  {'C', 8},  {'s', 16}, {'S', 16}, {'e', 16},
                  {'i', 32}, {'I', 32}, {'f', 32}, {'l', 64}, {'L', 64}, {'g', 64}};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        if (format[0] == widths[i].first) return widths[i].bits;
    if (format[0] == 'w') return 8 * strtoll(format + 2, NULL, 10);
    if (format[0] == 'd') {
        const char *bits = strrchr(format, ',');
        return strchr(format, ',') == bits ? 128 : strtoll(bits + 1, NULL, 10);
    }
    if (strcmp(format, "tin") == 0) return 128;
    return strcmp(format, "tdD") == 0 || strcmp(format, "tts") == 0 || strcmp(format, "ttm") == 0 ||
                   strcmp(format, "tiM") == 0
               ? 32
               : 64;
}

/* Exactly so many bytes; now and then not where an element may begin. */
static uint8_t *buffer(struct making *m, struct ArrowArray *out, int index, int64_t size_bytes,
                       bool is_crooked) {
    uint8_t *block = producer_block(m->producer, (size_t)size_bytes + is_crooked);
    out->buffers[index] = block + is_crooked;
    return block + is_crooked;
}

static void put(uint8_t *buffer, int64_t index, int width, int64_t value) {
    memcpy(buffer + index * width, &value, (size_t)width);
}

/* count + 1 offsets, most of them rising, into buffer 1. Returns the greatest that is near. */
static int64_t fill_offsets(struct making *m, struct ArrowArray *out, int64_t count, int width,
                            bool is_crooked) {
    uint8_t *offsets = buffer(m, out, 1, (count + 1) * width, is_crooked);
    int64_t next = 0;
    int64_t most = 0;
    for (int64_t i = 0; i <= count; i++) {
        int64_t value = next;
        put(offsets, i, width, value);
        int step = feed_byte(m->feed);
        if (step < 0xF0) {
            next += step % 7;
        } else if (step < 0xF8) {
            next -= step & 7;
        } else if (step == 0xFF && width == 8) {
            put(offsets, i, width, INT64_MAX - 3);
        } else if (step == 0xFE) {
            put(offsets, i, width, -1);
        }
        if (next > most) most = next;
    }
    return most;
}

static void fill_var(struct making *m, struct ArrowArray *out, int width, bool is_crooked) {
    int64_t most = fill_offsets(m, out, out->offset + out->length, width, is_crooked);
    uint8_t *bytes = buffer(m, out, 2, most, false);
    feed_bytes(m->feed, bytes, (size_t)most);
}

/* A view that may be right: inline, or into one of two data buffers of 40 bytes. */
static void fill_view(struct making *m, const uint8_t *const data[2], uint8_t *view) {
    int kind = feed_byte(m->feed);
    if (kind == 255) {
        feed_bytes(m->feed, view, VIEW_BYTES);
        return;
    }
    int32_t length = kind % 28;
    memcpy(view, &length, 4);
    if (length <= VIEW_INLINE) {
        feed_bytes(m->feed, view + 4, (size_t)length);
        if (kind > 250) view[15] = feed_byte(m->feed);
        return;
    }
    int32_t place[2] = {feed_below(m->feed, 128) / 60, feed_below(m->feed, 64) / 3};
    if (kind > 250) place[kind & 1] = (int8_t)feed_byte(m->feed);
    memcpy(view + 8, place, 8);
    if (place[0] >= 0 && place[0] < 2 && place[1] >= 0 && place[1] < 36)
        memcpy(view + 4, data[place[0]] + place[1], 4);
    if (kind < 8) view[4] ^= 1;
}

static void fill_views(struct making *m, struct ArrowArray *out, bool is_crooked) {
    enum { DATA_BYTES = 40 };
    int64_t reach = out->offset + out->length;
    int count = feed_below(m->feed, 3);
    const uint8_t *data[2] = {NULL, NULL};
    uint8_t spare[2][DATA_BYTES] = {{0}};
    uint8_t *sizes = buffer(m, out, 2 + count, count * 8, false);
    for (int i = 0; i < 2; i++) {
        uint8_t *bytes = i < count ? buffer(m, out, 2 + i, DATA_BYTES, false) : spare[i];
        feed_bytes(m->feed, bytes, DATA_BYTES);
        data[i] = bytes;
        int said = feed_byte(m->feed);
        /* Less than there is can be said, too. */
        if (i < count) put(sizes, i, 8, said == 255 ? -1 : said < 8 ? said * 5 : DATA_BYTES);
    }
    out->n_buffers = 3 + count;
    uint8_t *views = buffer(m, out, 1, reach * VIEW_BYTES, is_crooked);
    for (int64_t i = 0; i < reach; i++) fill_view(m, data, views + i * VIEW_BYTES);
}

/* Where a list view begins and how long it is, or which element a dense union means. */
static void fill_small(struct making *m, struct ArrowArray *out, int index, int64_t count,
                       int width, int bound) {
    uint8_t *integers = buffer(m, out, index, count * width, false);
    for (int64_t i = 0; i < count; i++) {
        int drawn = feed_byte(m->feed);
        put(integers, i, width, drawn > 250 ? (int64_t)(int8_t)drawn : drawn % bound);
    }
}

static void fill_union(struct making *m, const struct ArrowSchema *type, struct ArrowArray *out) {
    int64_t reach = out->offset + out->length;
    bool is_dense = type->format[2] == 'd';
    uint8_t *codes = buffer(m, out, 0, reach, false);
    const char *listed = type->format + 4;
    int step = type->n_children > 1 ? (int)strtol(strchr(listed, ',') + 1, NULL, 10) : 1;
    for (int64_t i = 0; i < reach; i++) {
        int drawn = feed_byte(m->feed);
        int child = type->n_children == 0 ? 0 : drawn % (int)type->n_children;
        codes[i] = (uint8_t)(drawn > 250 ? drawn : child * step);
    }
    if (is_dense) fill_small(m, out, 1, reach, 4, 4);
    for (int64_t i = 0; i < type->n_children; i++)
        fill(m, type->children[i], is_dense ? 4 : reach, out->children[i]);
}

static void fill_runs(struct making *m, const struct ArrowSchema *type, struct ArrowArray *out) {
    int64_t reach = out->offset + out->length;
    int64_t runs = reach == 0 ? 0 : 1 + feed_below(m->feed, 4);
    fill(m, type->children[0], runs, out->children[0]);
    fill(m, type->children[1], runs, out->children[1]);
    struct ArrowArray *ends = out->children[0];
    int width = (int)bits_of(type->children[0]->format) / 8;
    if (feed_byte(m->feed) > 240 || ends->n_buffers != 2 || ends->buffers == NULL ||
        ends->buffers[1] == NULL || ends->length != runs || ends->offset < 0 ||
        ends->offset > LENGTH_MAX)
        return;
    /* What was drawn is no good as a rule. */
    for (int64_t i = 0; i < runs; i++)
        put((uint8_t *)(uintptr_t)ends->buffers[1], ends->offset + i, width,
            i + 1 == runs ? reach : (i + 1) * reach / runs);
}

static void fill_nested(struct making *m, const struct ArrowSchema *type, struct ArrowArray *out,
                        bool is_crooked) {
    const char *format = type->format;
    int64_t reach = out->offset + out->length;
    int width = strchr(format, 'L') != NULL ? 8 : 4;
    if (format[1] == 'u') {
        fill_union(m, type, out);
    } else if (format[1] == 'r') {
        fill_runs(m, type, out);
    } else if (format[1] == 'v') {
        fill_small(m, out, 1, reach, width, 5);
        fill_small(m, out, 2, reach, width, 5);
        fill(m, type->children[0], 9, out->children[0]);
    } else if (format[1] == 'w') {
        int64_t size = strtoll(format + 3, NULL, 10);
        fill(m, type->children[0], reach * size, out->children[0]);
    } else if (format[1] == 's') {
        for (int64_t i = 0; i < type->n_children; i++)
            fill(m, type->children[i], reach, out->children[i]);
    } else {
        int64_t most = fill_offsets(m, out, reach, width, is_crooked);
        fill(m, type->children[0], most, out->children[0]);
    }
}

static void fill_values(struct making *m, const struct ArrowSchema *type, struct ArrowArray *out,
                        bool is_crooked) {
    int64_t reach = out->offset + out->length;
    int64_t bits = bits_of(type->format);
    if (type->dictionary != NULL) {
        fill_small(m, out, 1, reach, (int)bits / 8, 4);
        fill(m, type->dictionary, 1 + feed_below(m->feed, 6), out->dictionary);
        return;
    }
    int64_t size_bytes = (reach * bits + 7) / 8;
    feed_bytes(m->feed, buffer(m, out, 1, size_bytes, is_crooked), (size_t)size_bytes);
}

/* ---- nodes ---- */

static int64_t buffers_of(const char *format) {
    if (strcmp(format, "n") == 0 || strcmp(format, "+r") == 0) return 0;
    if (strcmp(format, "+s") == 0 || strncmp(format, "+w", 2) == 0) return 1;
    if (strncmp(format, "+us", 3) == 0) return 1;
    if (format[0] == '+') return format[1] == 'v' ? 3 : 2;
    return strchr("uzUZv", format[0]) != NULL ? 3 : 2;
}

static void fill_validity(struct making *m, struct ArrowArray *out) {
    int64_t reach = out->offset + out->length;
    int64_t size_bytes = (reach + 7) / 8;
    uint8_t *bits = buffer(m, out, 0, size_bytes, false);
    feed_bytes(m->feed, bits, (size_t)size_bytes);
    int64_t nulls = 0;
    for (int64_t i = out->offset; i < reach; i++) nulls += ((bits[i / 8] >> (i % 8)) & 1) == 0;
    out->null_count = nulls;
}

/* What a consumer can see to be wrong. A length that memory could hold is not among it. */
static void spoil(struct making *m, struct ArrowArray *out) {
    static const int64_t extremes[] = {-1, INT64_MIN, INT64_MAX, (int64_t)1 << 60, -2};
    int64_t extreme = extremes[feed_below(m->feed, 5)];
    switch (feed_below(m->feed, 12)) {
    case 0:
        out->length = extreme;
        break;
    case 1:
        out->offset = extreme;
        break;
    case 2:
        out->null_count = feed_below(m->feed, 2) == 0 ? extreme : feed_byte(m->feed);
        break;
    case 3: /* pointers beyond those of a view array would be foreign memory, so no more than one */
        out->n_buffers = extreme < 0 ? extreme : out->n_buffers + 1;
        break;
    case 4:
        out->n_buffers = feed_below(m->feed, 3);
        break;
    case 5:
        out->buffers[feed_below(m->feed, (int)(out->n_buffers > 0 ? out->n_buffers : 1))] = NULL;
        break;
    case 6:
        out->buffers = NULL;
        break;
    case 7:
        out->n_children = feed_below(m->feed, 2) == 0 ? extreme : out->n_children + 1;
        break;
    case 8:
        out->children = NULL;
        break;
    case 9:
        if (out->n_children > 0) out->children[0] = NULL;
        break;
    case 10:
        out->dictionary = out->dictionary == NULL ? out : NULL;
        break;
    default:
        out->release = NULL;
        break;
    }
}

enum {
    FLAG_LENGTH = 7, /* all of them: another length than the parent wants */
    FLAG_OFFSET = 8,
    FLAG_VALIDITY = 16,
    FLAG_UNCOUNTED = 32,
    FLAG_CROOKED = 64 + 4,
    FLAG_SPOILT = 128 + 2
};

static void fill_contents(struct making *m, const struct ArrowSchema *type, struct ArrowArray *out,
                          bool is_crooked) {
    char kind = type->format[0];
    if (kind == '+') {
        fill_nested(m, type, out, is_crooked);
    } else if (kind == 'v') {
        fill_views(m, out, is_crooked);
    } else if (kind == 'u' || kind == 'z') {
        fill_var(m, out, 4, is_crooked);
    } else if (kind == 'U' || kind == 'Z') {
        fill_var(m, out, 8, is_crooked);
    } else if (kind == 'n') {
        out->null_count = out->length;
    } else {
        fill_values(m, type, out, is_crooked);
    }
}

/* The lists of pointers; those beyond the counts are NULL. */
static void make_room(struct making *m, const struct ArrowSchema *type, struct ArrowArray *out) {
    out->n_buffers = buffers_of(type->format);
    int64_t room = out->n_buffers + SPARE_BUFFERS + SPARE_BUFFERS;
    out->buffers = producer_block(m->producer, (size_t)room * sizeof(void *));
    out->n_children = type->n_children;
    out->children =
        producer_block(m->producer, (size_t)type->n_children * sizeof(struct ArrowArray *));
    for (int64_t i = 0; i < type->n_children; i++)
        out->children[i] = producer_block(m->producer, sizeof(struct ArrowArray));
    if (type->dictionary != NULL)
        out->dictionary = producer_block(m->producer, sizeof(struct ArrowArray));
}

static void fill(struct making *m, const struct ArrowSchema *type, int64_t want,
                 struct ArrowArray *out) {
    int flags = feed_byte(m->feed);
    bool has_validity = type->format[0] != 'n' && strncmp(type->format, "+u", 2) != 0 &&
                        strncmp(type->format, "+r", 2) != 0;
    *out = (struct ArrowArray){.length = want, .release = release_child};
    if ((flags & FLAG_LENGTH) == FLAG_LENGTH) out->length = feed_below(m->feed, 24);
    if (out->length > LENGTH_MAX) out->length = LENGTH_MAX;
    if ((flags & FLAG_OFFSET) != 0) out->offset = feed_below(m->feed, 12);
    make_room(m, type, out);
    if (has_validity && (flags & FLAG_VALIDITY) != 0) fill_validity(m, out);
    fill_contents(m, type, out, (flags & FLAG_CROOKED) == FLAG_CROOKED);
    if ((flags & FLAG_UNCOUNTED) != 0) out->null_count = -1;
    if ((flags & FLAG_SPOILT) == FLAG_SPOILT) spoil(m, out);
}

void producer_array(struct feed *feed, const struct ArrowSchema *type, struct ArrowArray *out) {
    struct making making = {producer_begin(), feed};
    int drawn = feed_byte(feed);
    /* Mostly the rows of a put; many rows are adopted instead of copied. */
    int64_t rows = drawn < 64 ? 1 : drawn < 240 ? drawn % 12 : 250 + drawn % 16;
    fill(&making, type, rows, out);
    out->private_data = making.producer;
    out->release = release_root;
}
