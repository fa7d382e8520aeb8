/* producer.c - the blocks of a tree, and its types. See producer.h. */
#include "kit/producer.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

int producer_live;

struct producer {
    void **blocks;
    size_t count;
    size_t room;
};

struct producer *producer_begin(void) {
    struct producer *producer = calloc(1, sizeof *producer);
    if (producer == NULL) abort();
    producer_live++;
    return producer;
}

void *producer_block(struct producer *producer, size_t size_bytes) {
    if (producer->count == producer->room) {
        producer->room = producer->room * 2 + 32;
        producer->blocks = realloc(producer->blocks, producer->room * sizeof(void *));
        if (producer->blocks == NULL) abort();
    }
    void *block = calloc(1, size_bytes);
    if (block == NULL && size_bytes > 0) abort();
    producer->blocks[producer->count++] = block;
    return block;
}

void producer_end(struct producer *producer) {
    for (size_t i = 0; i < producer->count; i++) free(producer->blocks[i]);
    free(producer->blocks);
    free(producer);
    producer_live--;
}

/* ---- schemas ---- */

static void release_root(struct ArrowSchema *schema) {
    producer_end(schema->private_data);
    schema->release = NULL;
}

/* Of a child: its blocks are the root's. */
static void release_child(struct ArrowSchema *schema) {
    schema->release = NULL;
}

static char *copy(struct producer *producer, const char *text) {
    size_t size_bytes = strlen(text) + 1;
    return memcpy(producer_block(producer, size_bytes), text, size_bytes);
}

static void set_children(struct producer *producer, struct ArrowSchema *out, int count) {
    out->n_children = count;
    out->children = producer_block(producer, (size_t)count * sizeof(struct ArrowSchema *));
    for (int i = 0; i < count; i++)
        out->children[i] = producer_block(producer, sizeof(struct ArrowSchema));
}

static const char *const leaves[] = {
    "l",   "u",   "i",    "b",        "g",        "z",      "n",          "c",   "C",
    "s",   "S",   "I",    "L",        "e",        "f",      "U",          "Z",   "vu",
    "vz",  "w:3", "w:0",  "d:9,2,32", "d:7,1,64", "d:38,5", "d:76,3,256", "tdD", "tdm",
    "ttm", "ttn", "tsu:", "tDn",      "tiM",      "tiD",    "tin",
};
static const char *const nests[] = {
    "+s", "+l", "+L", "+vl", "+vL", "+w:2", "+w:0", "+m", "+us:", "+ud:", "+r",
};
static const char *const indexes[] = {"c", "C", "s", "S", "i", "I", "l", "L"};
static const char *const run_ends[] = {"s", "i", "l"};
enum {
    LEAVES = sizeof leaves / sizeof leaves[0],
    NESTS = sizeof nests / sizeof nests[0],
    DEPTH_MAX = 3
};

static void fill_type(struct producer *producer, struct feed *feed, int depth,
                      struct ArrowSchema *out);

static void leaf(struct producer *producer, const char *format, int64_t flags,
                 struct ArrowSchema *out) {
    *out = (struct ArrowSchema){.format = copy(producer, format),
                                .name = copy(producer, "x"),
                                .flags = flags,
                                .release = release_child};
}

/* Type ids that are not the children's positions, now and then. */
static void fill_union(struct producer *producer, struct feed *feed, int depth, bool is_dense,
                       struct ArrowSchema *out) {
    char format[32];
    int count = feed_below(feed, 4);
    int step = feed_below(feed, 3) + 1;
    int used = snprintf(format, sizeof format, "+u%c:", is_dense ? 'd' : 's');
    for (int i = 0; i < count; i++)
        used +=
            snprintf(format + used, sizeof format - (size_t)used, i == 0 ? "%d" : ",%d", i * step);
    out->format = copy(producer, format);
    set_children(producer, out, count);
    for (int i = 0; i < count; i++) fill_type(producer, feed, depth + 1, out->children[i]);
}

static void fill_map(struct producer *producer, struct feed *feed, int depth,
                     struct ArrowSchema *out) {
    set_children(producer, out, 1);
    leaf(producer, "+s", 0, out->children[0]);
    set_children(producer, out->children[0], 2);
    fill_type(producer, feed, DEPTH_MAX, out->children[0]->children[0]);
    out->children[0]->children[0]->flags = 0;
    fill_type(producer, feed, depth + 1, out->children[0]->children[1]);
}

static void fill_nested(struct producer *producer, struct feed *feed, int depth, int kind,
                        struct ArrowSchema *out) {
    out->format = copy(producer, nests[kind]);
    if (strcmp(nests[kind], "+m") == 0) {
        fill_map(producer, feed, depth, out);
    } else if (nests[kind][1] == 'u') {
        fill_union(producer, feed, depth, nests[kind][2] == 'd', out);
    } else if (strcmp(nests[kind], "+r") == 0) {
        set_children(producer, out, 2);
        leaf(producer, run_ends[feed_below(feed, 3)], 0, out->children[0]);
        fill_type(producer, feed, depth + 1, out->children[1]);
    } else {
        int count = strcmp(nests[kind], "+s") == 0 ? feed_below(feed, 3) : 1;
        set_children(producer, out, count);
        for (int i = 0; i < count; i++) fill_type(producer, feed, depth + 1, out->children[i]);
    }
}

static void fill_type(struct producer *producer, struct feed *feed, int depth,
                      struct ArrowSchema *out) {
    int byte = feed_byte(feed);
    int kind = (byte & 0x7F) % (LEAVES + NESTS + 4);
    leaf(producer, "l", (byte & 0x80) != 0 ? 0 : ARROW_FLAG_NULLABLE, out);
    if (kind < LEAVES || depth >= DEPTH_MAX) {
        out->format = copy(producer, leaves[kind % LEAVES]);
    } else if (kind < LEAVES + NESTS) {
        fill_nested(producer, feed, depth, kind - LEAVES, out);
    } else {
        out->format = copy(producer, indexes[feed_below(feed, 8)]);
        out->dictionary = producer_block(producer, sizeof(struct ArrowSchema));
        fill_type(producer, feed, depth + 1, out->dictionary);
    }
}

void producer_type(struct feed *feed, struct ArrowSchema *out) {
    struct producer *producer = producer_begin();
    int count = 1 + (feed_below(feed, 8) + 1) / 4;
    leaf(producer, "+s", 0, out);
    out->private_data = producer;
    out->release = release_root;
    set_children(producer, out, count);
    for (int i = 0; i < count; i++) {
        fill_type(producer, feed, 1, out->children[i]);
        out->children[i]->name = copy(producer, i == 0 ? "a" : i == 1 ? "b" : "c");
    }
}

/* ---- any schema ---- */

/* Bytes without a NUL, up to most, and the NUL. */
static char *draw_text(struct producer *producer, struct feed *feed, int most) {
    int length = feed_below(feed, most + 1);
    char *text = producer_block(producer, (size_t)length + 1);
    feed_bytes(feed, text, (size_t)length);
    char *nul = memchr(text, 0, (size_t)length);
    /* Exactly as long as it says: a step beyond the NUL is a step beyond the block. */
    return nul == NULL ? text : copy(producer, text);
}

static const char *draw_format(struct producer *producer, struct feed *feed) {
    int kind = feed_byte(feed);
    if (kind < LEAVES) return copy(producer, leaves[kind]);
    if (kind < LEAVES + 2 * NESTS) return copy(producer, nests[(kind - LEAVES) % NESTS]);
    if (kind == 255) return NULL;
    if (kind < 160) return draw_text(producer, feed, 16);
    /* One that exists, and something behind it or another letter in it. */
    char *known = copy(producer, kind < 200 ? leaves[kind % LEAVES] : nests[kind % NESTS]);
    char *more = draw_text(producer, feed, 8);
    size_t known_size = strlen(known);
    char *both = producer_block(producer, known_size + strlen(more) + 1);
    memcpy(both, known, known_size);
    memcpy(both + known_size, more, strlen(more) + 1);
    return both;
}

/* Pairs in the notation of the interface. A length may be negative, never more than is there. */
static const char *draw_metadata(struct producer *producer, struct feed *feed) {
    int32_t count = feed_below(feed, 4);
    int lie = feed_byte(feed);
    char bytes[4 + 6 * 20];
    size_t used = 4;
    if (lie == 255) count = -1 - feed_byte(feed);
    memcpy(bytes, &count, 4);
    for (int32_t i = 0; i < 2 * count; i++) {
        int32_t size = feed_below(feed, 16);
        int32_t said = lie == 254 && i == 1 ? -size - 1 : size;
        memcpy(bytes + used, &said, 4);
        feed_bytes(feed, bytes + used + 4, (size_t)size);
        used += 4 + (size_t)size;
    }
    return memcpy(producer_block(producer, used), bytes, used);
}

static void spoil(struct feed *feed, struct ArrowSchema *root, struct ArrowSchema *out) {
    static const int64_t counts[] = {-1, INT64_MIN, INT64_MAX, 1 << 20};
    switch (feed_below(feed, 6)) {
    case 0: /* the root's is how its blocks go */
        if (out != root) out->release = NULL;
        break;
    case 1:
        out->n_children = counts[feed_below(feed, 4)];
        break;
    case 2:
        out->children = NULL;
        break;
    case 3:
        if (out->n_children > 0) out->children[0] = NULL;
        break;
    case 4: /* a tree without an end */
        if (out->n_children > 0) out->children[0] = root;
        break;
    default:
        out->dictionary = root;
        break;
    }
}

enum { ANY_DEPTH_MAX = 5, NODES_MAX = 64 };

struct any {
    struct producer *producer;
    struct feed *feed;
    struct ArrowSchema *root;
    int nodes;
};

static void fill_any(struct any *any, int depth, struct ArrowSchema *out) {
    struct feed *feed = any->feed;
    int shape = feed_byte(feed);
    any->nodes++;
    *out = (struct ArrowSchema){.release = release_child};
    out->format = draw_format(any->producer, feed);
    if ((shape & 0x0C) != 0) out->name = draw_text(any->producer, feed, 12);
    if ((shape & 0x30) == 0x30) out->metadata = draw_metadata(any->producer, feed);
    out->flags = (shape & 0xC0) == 0xC0 ? (int64_t)(int8_t)feed_byte(feed) : ARROW_FLAG_NULLABLE;
    bool has_room = depth < ANY_DEPTH_MAX && any->nodes < NODES_MAX;
    set_children(any->producer, out, has_room ? shape & 3 : 0);
    for (int64_t i = 0; i < out->n_children; i++) fill_any(any, depth + 1, out->children[i]);
    if (has_room && (shape & 0x80) != 0 && feed_below(feed, 4) == 3) {
        out->dictionary = producer_block(any->producer, sizeof(struct ArrowSchema));
        fill_any(any, depth + 1, out->dictionary);
    }
    if ((shape & 0xC0) == 0xC0 && feed_below(feed, 8) == 7) spoil(feed, any->root, out);
}

void producer_schema(struct feed *feed, struct ArrowSchema *out) {
    struct any any = {producer_begin(), feed, out, 0};
    fill_any(&any, 0, out);
    if (feed_below(feed, 8) != 7) out->format = copy(any.producer, "+s");
    out->private_data = any.producer;
    out->release = release_root;
}
