/* index_bench.c - what the index costs: instructions (under callgrind) and time per operation,
 * bytes per key.
 *
 *     index_bench [keys] [random|dense]
 *     valgrind --tool=callgrind --toggle-collect=measure_find index_bench 100000
 *
 * Each measured loop is a function of its own (measure_*), so that callgrind can be told to count
 * it and nothing else; measure_nothing is the loop without the operation. Keys are 24 bytes:
 * "user" and 20 digits of a number that is hashed (random) or counted (dense). */
#include "store/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEY_BYTES = 24, SCAN_ROOM = 128, FINDS = 1000000 };

struct bench {
    struct mem *mem;
    struct mem_cache *cache;
    struct epoch epoch;
    struct epoch_record *record;
    struct index *index;
    unsigned char *keys; /* count of KEY_BYTES */
    uint32_t *order;     /* FINDS positions */
    size_t count;
};

static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static double now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static inline kh_bytes key_at(const struct bench *bench, size_t i) {
    return (kh_bytes){bench->keys + i * KEY_BYTES, KEY_BYTES};
}

__attribute__((noinline)) static uint64_t measure_nothing(const struct bench *bench, size_t ops) {
    uint64_t sum = 0;
    for (size_t i = 0; i < ops; i++) {
        kh_bytes key = key_at(bench, bench->order[i]);
        sum += *(const unsigned char *)key.data;
        __asm__ volatile("" : "+r"(sum));
    }
    return sum;
}

__attribute__((noinline)) static uint64_t measure_find(const struct bench *bench, size_t ops) {
    uint64_t sum = 0;
    for (size_t i = 0; i < ops; i++) {
        kh_bytes key = key_at(bench, bench->order[i]);
        struct entry *entry = index_find(bench->index, key, index_hash(bench->index, key));
        sum += entry != NULL;
        __asm__ volatile("" : "+r"(sum));
    }
    return sum;
}

__attribute__((noinline)) static void measure_insert(struct bench *bench) {
    for (size_t i = 0; i < bench->count; i++) {
        kh_bytes key = key_at(bench, i);
        struct entry *entry;
        if (index_upsert(bench->index, bench->record, bench->cache, key,
                         index_hash(bench->index, key), &entry, NULL) != KH_OK)
            abort();
    }
}

__attribute__((noinline)) static uint64_t measure_scan(const struct bench *bench, bool is_reverse) {
    struct entry *out[SCAN_ROOM];
    kh_bytes bound = {NULL, 0}, none = {NULL, 0};
    uint64_t seen = 0;
    for (;;) {
        size_t count =
            index_scan(bench->index, none, bound, bound.data != NULL, is_reverse, out, SCAN_ROOM);
        seen += count;
        if (count < SCAN_ROOM) return seen;
        bound = entry_key(out[count - 1]);
    }
}

__attribute__((noinline)) static void measure_remove(struct bench *bench, size_t ops) {
    for (size_t i = 0; i < ops; i++) {
        kh_bytes key = key_at(bench, i);
        struct entry *entry = index_find(bench->index, key, index_hash(bench->index, key));
        atomic_fetch_or(&entry->flags, ENTRY_DEAD);
        if (!index_remove(bench->index, bench->record, bench->cache, entry)) abort();
    }
}

static void setup(struct bench *bench, size_t count, bool is_dense) {
    bench->count = count;
    bench->mem = mem_create(NULL);
    bench->cache = mem_cache_create(bench->mem);
    epoch_init(&bench->epoch);
    bench->record = aligned_alloc(64, (sizeof *bench->record + 63) & ~(size_t)63);
    epoch_register(&bench->epoch, bench->record);
    bench->index = index_create(bench->mem, &bench->epoch, 0x5eed);
    bench->keys = malloc(count * KEY_BYTES + 1);
    bench->order = malloc(FINDS * sizeof *bench->order);
    if (bench->index == NULL || bench->keys == NULL || bench->order == NULL) abort();
    for (size_t i = 0; i < count; i++) {
        /* Dense keys come in an order that jumps about, as in a load by hash. */
        uint64_t number = is_dense ? i * 7919 % count : mix(i);
        char text[KEY_BYTES + 1];
        snprintf(text, sizeof text, "user%020llu", (unsigned long long)number);
        memcpy(bench->keys + i * KEY_BYTES, text, KEY_BYTES);
    }
    for (size_t i = 0; i < FINDS; i++) bench->order[i] = (uint32_t)(mix(i) % count);
}

int main(int argc, char **argv) {
    struct bench bench;
    size_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    bool is_dense = argc > 2 && strcmp(argv[2], "dense") == 0;
    size_t finds = count < FINDS ? count : FINDS;
    setup(&bench, count, is_dense);
    uint64_t empty_bytes = mem_live_bytes(bench.mem);

    double start = now_ns();
    measure_insert(&bench);
    printf("insert        %7.1f ns\n", (now_ns() - start) / (double)count);
    epoch_drain(&bench.epoch, bench.record, bench.cache);
    uint64_t index_bytes = index_size_bytes(bench.index);
    printf("index         %7.1f B/key, entries %.1f, live in the context %.1f\n",
           (double)index_bytes / (double)count, (double)(sizeof(struct entry) + KEY_BYTES),
           (double)(mem_live_bytes(bench.mem) - empty_bytes) / (double)count);

    epoch_open(&bench.epoch, bench.record);
    start = now_ns();
    uint64_t sum = measure_nothing(&bench, finds);
    printf("nothing       %7.1f ns (%llu)\n", (now_ns() - start) / (double)finds,
           (unsigned long long)sum);
    start = now_ns();
    uint64_t found = measure_find(&bench, finds);
    printf("find          %7.1f ns, %llu of %zu found\n", (now_ns() - start) / (double)finds,
           (unsigned long long)found, finds);
    for (int is_reverse = 0; is_reverse <= 1; is_reverse++) {
        start = now_ns();
        uint64_t seen = measure_scan(&bench, is_reverse == 1);
        printf("scan %s %7.1f ns/entry, %llu entries\n", is_reverse == 1 ? "reverse " : "forward ",
               (now_ns() - start) / (double)seen, (unsigned long long)seen);
    }
    start = now_ns();
    measure_remove(&bench, count);
    printf("find, remove  %7.1f ns\n", (now_ns() - start) / (double)count);
    epoch_close(&bench.epoch, bench.record);
    epoch_drain(&bench.epoch, bench.record, bench.cache);
    printf("after removal %7.1f B in the context\n",
           (double)(mem_live_bytes(bench.mem) - empty_bytes));
    index_destroy(bench.index);
    epoch_unregister(&bench.epoch, bench.record, bench.cache);
    mem_cache_destroy(bench.cache);
    mem_close(bench.mem);
    free(bench.record);
    free(bench.keys);
    free(bench.order);
    return 0;
}
