/* draws.h - which keys: drawn before anything is measured, then read off a tape. */
#ifndef BENCH_DRIVER_DRAWS_H
#define BENCH_DRIVER_DRAWS_H

#include <stdbool.h>
#include <stdint.h>

/* A draw is a key's number, and in its highest bit a coin: write. */
#define DRAW_IS_WRITE 0x80000000u

struct draw_rule {
    uint64_t keys;
    bool is_zipf;        /* exponent 0.99, the ranks scattered over the keys */
    bool are_pairs;      /* draws 2i and 2i + 1 differ */
    uint32_t write_odds; /* the coin shows a write in so many of 2^32 cases */
    uint64_t seed;
};

/* A table from which draws of this rule are made; shared by the threads' tapes. */
struct draw_table;
struct draw_table *draw_table_create(const struct draw_rule *rule);
void draw_table_destroy(struct draw_table *table);

/* count draws (even) of thread number thread, on a new tape that the caller frees. */
uint32_t *draws_make(const struct draw_table *table, uint64_t thread, uint64_t count);

#endif
