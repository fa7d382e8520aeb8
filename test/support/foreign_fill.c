/* foreign_fill.c - random valid contents for any type. */
#include "support/foreign.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

uint64_t foreign_draw(struct foreign_random *random, uint64_t bound) {
    random->state += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t z = random->state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return bound > 0 ? z % bound : 0;
}

static void *scratch(size_t size_bytes) {
    void *block = calloc(1, size_bytes > 0 ? size_bytes : 1);
    assert(block != NULL);
    return block;
}

static void set_bits(uint8_t *bits, int64_t index) {
    bits[index / 8] = (uint8_t)(bits[index / 8] | 1u << (index % 8));
}

/* A bitmap over offset + length, and the null count. */
static void fill_validity(struct foreign_random *random, const struct ArrowSchema *schema,
                          struct ArrowArray *out) {
    int64_t reach = out->offset + out->length;
    bool is_nullable = (schema->flags & ARROW_FLAG_NULLABLE) != 0;
    if (!random->has_nulls || !is_nullable || foreign_draw(random, 4) == 0) return;
    size_t size_bytes = (size_t)(reach + 7) / 8;
    uint8_t *bits = scratch(size_bytes);
    for (int64_t i = 0; i < reach; i++) {
        bool is_null = foreign_draw(random, 3) == 0;
        if (!is_null) set_bits(bits, i);
        if (is_null && i >= out->offset) out->null_count++;
    }
    if (foreign_draw(random, 3) == 0) out->null_count = -1;
    foreign_buffer(out, 0, bits, size_bytes);
    free(bits);
}

static void fill_noise(struct foreign_random *random, struct ArrowArray *out, int64_t index,
                       size_t size_bytes) {
    uint8_t *bytes = scratch(size_bytes);
    for (size_t i = 0; i < size_bytes; i++) bytes[i] = (uint8_t)foreign_draw(random, 256);
    foreign_buffer(out, index, bytes, size_bytes);
    free(bytes);
}

static void put_integer(void *buffer, int64_t index, int width, int64_t value) {
    memcpy((char *)buffer + index * width, &value, (size_t)width);
}

/* Pieces of UTF-8 of 1 to 4 bytes a character. */
static size_t draw_text(struct foreign_random *random, char *out, size_t most) {
    static const char *const pieces[] = {
        "a", "Z", "7", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x8C\x99", "moon", "-"};
    size_t used = 0;
    uint64_t count = foreign_draw(random, 9);
    for (uint64_t i = 0; i < count; i++) {
        const char *piece = pieces[foreign_draw(random, 8)];
        if (used + strlen(piece) > most) break;
        memcpy(out + used, piece, strlen(piece));
        used += strlen(piece);
    }
    return used;
}

enum { TEXT_MOST = 40 };

static void fill_var(struct foreign_random *random, struct ArrowArray *out, int width) {
    int64_t reach = out->offset + out->length;
    char *offsets = scratch((size_t)(reach + 1) * (size_t)width);
    char *bytes = scratch((size_t)(reach + 1) * TEXT_MOST);
    size_t used = random->has_offsets ? draw_text(random, bytes, TEXT_MOST) : 0;
    for (int64_t i = 0; i <= reach; i++) {
        put_integer(offsets, i, width, (int64_t)used);
        if (i < reach) used += draw_text(random, bytes + used, TEXT_MOST);
    }
    foreign_buffer(out, 1, offsets, (size_t)(reach + 1) * (size_t)width);
    foreign_buffer(out, 2, bytes, used);
    free(offsets);
    free(bytes);
}

static void fill_views(struct foreign_random *random, struct ArrowArray *out) {
    int64_t reach = out->offset + out->length;
    int64_t data_count = out->n_buffers - 3;
    char *views = scratch((size_t)reach * 16);
    char **data = scratch((size_t)(data_count + 1) * sizeof *data);
    int64_t *sizes = scratch((size_t)(data_count + 1) * 8);
    for (int64_t i = 0; i < data_count; i++) data[i] = scratch((size_t)(reach + 1) * TEXT_MOST);
    for (int64_t i = 0; i < reach; i++) {
        char text[TEXT_MOST];
        char *view = views + i * 16;
        size_t length = draw_text(random, text, TEXT_MOST);
        if (data_count == 0 && length > 12) length = 0;
        put_integer(view, 0, 4, (int64_t)length);
        if (length <= 12) {
            memcpy(view + 4, text, length);
            continue;
        }
        int64_t buffer = (int64_t)foreign_draw(random, (uint64_t)data_count);
        memcpy(view + 4, text, 4);
        put_integer(view, 2, 4, buffer);
        put_integer(view, 3, 4, sizes[buffer]);
        memcpy(data[buffer] + sizes[buffer], text, length);
        sizes[buffer] += (int64_t)length;
    }
    foreign_buffer(out, 1, views, (size_t)reach * 16);
    for (int64_t i = 0; i < data_count; i++) {
        foreign_buffer(out, 2 + i, data[i], (size_t)sizes[i]);
        free(data[i]);
    }
    foreign_buffer(out, out->n_buffers - 1, sizes, (size_t)data_count * 8);
    free(views);
    free(data);
    free(sizes);
}

static void fill_list(struct foreign_random *random, const struct ArrowSchema *schema,
                      struct ArrowArray *out, int width) {
    int64_t reach = out->offset + out->length;
    char *offsets = scratch((size_t)(reach + 1) * (size_t)width);
    int64_t used = random->has_offsets ? (int64_t)foreign_draw(random, 3) : 0;
    for (int64_t i = 0; i <= reach; i++) {
        put_integer(offsets, i, width, used);
        if (i < reach) used += (int64_t)foreign_draw(random, 4);
    }
    foreign_buffer(out, 1, offsets, (size_t)(reach + 1) * (size_t)width);
    free(offsets);
    foreign_fill(random, schema->children[0], used, out->children[0]);
}

static void fill_list_view(struct foreign_random *random, const struct ArrowSchema *schema,
                           struct ArrowArray *out, int width) {
    int64_t reach = out->offset + out->length;
    int64_t pool = 6;
    char *offsets = scratch((size_t)reach * (size_t)width);
    char *sizes = scratch((size_t)reach * (size_t)width);
    for (int64_t i = 0; i < reach; i++) {
        int64_t offset = (int64_t)foreign_draw(random, (uint64_t)pool + 1);
        put_integer(offsets, i, width, offset);
        put_integer(sizes, i, width, (int64_t)foreign_draw(random, (uint64_t)(pool - offset) + 1));
    }
    foreign_buffer(out, 1, offsets, (size_t)reach * (size_t)width);
    foreign_buffer(out, 2, sizes, (size_t)reach * (size_t)width);
    free(offsets);
    free(sizes);
    foreign_fill(random, schema->children[0], pool, out->children[0]);
}

static void fill_union(struct foreign_random *random, const struct ArrowSchema *schema,
                       struct ArrowArray *out, bool is_dense) {
    int64_t reach = out->offset + out->length;
    int64_t counts[16] = {0};
    int codes[16];
    const char *next = schema->format + 4;
    for (int64_t i = 0; i < schema->n_children; i++)
        codes[i] = (int)strtol(next + (i > 0), (char **)(uintptr_t)&next, 10);
    int8_t *types = scratch((size_t)reach);
    int32_t *offsets = scratch((size_t)reach * 4);
    for (int64_t i = 0; i < reach && schema->n_children > 0; i++) {
        uint64_t child = foreign_draw(random, (uint64_t)schema->n_children);
        types[i] = (int8_t)codes[child];
        offsets[i] = (int32_t)counts[child]++;
    }
    foreign_buffer(out, 0, types, (size_t)reach);
    if (is_dense) foreign_buffer(out, 1, offsets, (size_t)reach * 4);
    for (int64_t i = 0; i < schema->n_children; i++)
        foreign_fill(random, schema->children[i], is_dense ? counts[i] : reach, out->children[i]);
    free(types);
    free(offsets);
}

static void fill_runs(struct foreign_random *random, const struct ArrowSchema *schema,
                      struct ArrowArray *out) {
    int64_t reach = out->length > 0 ? out->offset + out->length : 0;
    int width = schema->children[0]->format[0] == 's'   ? 2
                : schema->children[0]->format[0] == 'i' ? 4
                                                        : 8;
    char *ends = scratch((size_t)(reach + 2) * (size_t)width);
    int64_t count = 0;
    for (int64_t at = 0; at < reach; count++) {
        at += 1 + (int64_t)foreign_draw(random, 4);
        put_integer(ends, count, width, at);
    }
    foreign_array(out->children[0], count, 2, 0, false);
    foreign_buffer(out->children[0], 1, ends, (size_t)count * (size_t)width);
    foreign_fill(random, schema->children[1], count, out->children[1]);
    free(ends);
}

int64_t foreign_bits(const char *format) {
    if (format[0] == 'w') return 8 * strtoll(format + 2, NULL, 10);
    if (format[0] == 'd') {
        const char *comma = strchr(strchr(format, ',') + 1, ',');
        return comma != NULL ? strtoll(comma + 1, NULL, 10) : 128;
    }
    if (format[0] == 't') {
        if (strcmp(format, "tdD") == 0 || strcmp(format, "tts") == 0 ||
            strcmp(format, "ttm") == 0 || strcmp(format, "tiM") == 0)
            return 32;
        return strcmp(format, "tin") == 0 ? 128 : 64;
    }
    switch (format[0]) {
    case 'b':
        return 1;
    case 'c':
    case 'C':
        return 8;
    case 's':
    case 'S':
    case 'e':
        return 16;
    case 'i':
    case 'I':
    case 'f':
        return 32;
    default:
        return 64;
    }
}

/* So many digits at most, as little-endian bytes of both signs. */
static void draw_decimal(struct foreign_random *random, int64_t precision, uint8_t *out,
                         size_t width) {
    int64_t digits = 1 + (int64_t)foreign_draw(random, (uint64_t)precision);
    memset(out, 0, width);
    for (int64_t i = 0; i < digits; i++) {
        unsigned carry = (unsigned)foreign_draw(random, 10);
        for (size_t j = 0; j < width; j++) {
            carry += out[j] * 10u;
            out[j] = (uint8_t)carry;
            carry >>= 8;
        }
    }
    if (foreign_draw(random, 2) == 0) return;
    unsigned carry = 1;
    for (size_t j = 0; j < width; j++) {
        carry += (uint8_t)~out[j];
        out[j] = (uint8_t)carry;
        carry >>= 8;
    }
}

static void fill_decimals(struct foreign_random *random, const char *format,
                          struct ArrowArray *out) {
    int64_t reach = out->offset + out->length;
    size_t width = (size_t)foreign_bits(format) / 8;
    int64_t precision = strtoll(format + 2, NULL, 10);
    uint8_t *bytes = scratch((size_t)reach * width);
    for (int64_t i = 0; i < reach; i++)
        draw_decimal(random, precision, bytes + (size_t)i * width, width);
    foreign_buffer(out, 1, bytes, (size_t)reach * width);
    free(bytes);
}

static void fill_fixed(struct foreign_random *random, const struct ArrowSchema *schema,
                       struct ArrowArray *out) {
    int64_t reach = out->offset + out->length;
    int64_t bits = foreign_bits(schema->format);
    if (schema->dictionary == NULL && schema->format[0] == 'd') {
        fill_decimals(random, schema->format, out);
        return;
    }
    if (schema->dictionary == NULL) {
        fill_noise(random, out, 1, (size_t)(reach * bits + 7) / 8);
        return;
    }
    int64_t size = 1 + (int64_t)foreign_draw(random, 5);
    char *indices = scratch((size_t)(reach * bits / 8) + 8);
    for (int64_t i = 0; i < reach; i++)
        put_integer(indices, i, (int)(bits / 8), (int64_t)foreign_draw(random, (uint64_t)size));
    foreign_buffer(out, 1, indices, (size_t)(reach * bits / 8));
    free(indices);
    foreign_fill(random, schema->dictionary, size, out->dictionary);
}

static int64_t buffer_count(struct foreign_random *random, const char *format) {
    if (strcmp(format, "n") == 0 || strcmp(format, "+r") == 0) return 0;
    if (format[0] == 'v') return 3 + (int64_t)foreign_draw(random, 3);
    if (format[0] != '+') return strchr("uUzZ", format[0]) != NULL ? 3 : 2;
    if (format[1] == 's' || format[1] == 'w' || strncmp(format, "+us", 3) == 0) return 1;
    return format[1] == 'v' ? 3 : 2;
}

static void fill_nested(struct foreign_random *random, const struct ArrowSchema *schema,
                        struct ArrowArray *out) {
    const char *format = schema->format;
    int64_t reach = out->offset + out->length;
    int64_t more = random->has_offsets ? (int64_t)foreign_draw(random, 3) : 0;
    if (strcmp(format, "+s") == 0) {
        for (int64_t i = 0; i < schema->n_children; i++)
            foreign_fill(random, schema->children[i], reach + more, out->children[i]);
    } else if (format[1] == 'w') {
        int64_t size = strtoll(format + 3, NULL, 10);
        foreign_fill(random, schema->children[0], reach * size + more, out->children[0]);
    } else if (strcmp(format, "+l") == 0 || strcmp(format, "+m") == 0) {
        fill_list(random, schema, out, 4);
    } else if (strcmp(format, "+L") == 0) {
        fill_list(random, schema, out, 8);
    } else if (format[1] == 'v') {
        fill_list_view(random, schema, out, format[2] == 'l' ? 4 : 8);
    } else if (format[1] == 'u') {
        fill_union(random, schema, out, format[2] == 'd');
    } else {
        fill_runs(random, schema, out);
    }
}

void foreign_fill(struct foreign_random *random, const struct ArrowSchema *schema, int64_t length,
                  struct ArrowArray *out) {
    const char *format = schema->format;
    foreign_array(out, length, buffer_count(random, format), schema->n_children,
                  schema->dictionary != NULL);
    if (random->has_offsets) out->offset = (int64_t)foreign_draw(random, 11);
    bool has_validity = out->n_buffers > 0 && strncmp(format, "+u", 2) != 0;
    if (has_validity) fill_validity(random, schema, out);
    if (strcmp(format, "n") == 0) {
        out->null_count = length;
    } else if (format[0] == '+') {
        fill_nested(random, schema, out);
    } else if (format[0] == 'v') {
        fill_views(random, out);
    } else if (strchr("uz", format[0]) != NULL) {
        fill_var(random, out, 4);
    } else if (strchr("UZ", format[0]) != NULL) {
        fill_var(random, out, 8);
    } else {
        fill_fixed(random, schema, out);
    }
}
