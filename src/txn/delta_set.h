/* delta_set.h - dense deltas of one dimension in 8 bits a value, laid out to be searched.
 *
 * A set is made of up to 256 deltas at once and never changes. It holds no delta: it says which of
 * them cannot have a cosine with a query that is beyond two thresholds, and whoever asks compares
 * the others himself. So what it says costs or saves time, and decides nothing.
 *
 * Invariant: who is beyond a threshold, by the cosine that kh_delta_cosine gives bit for bit, is
 * among the suspects; so is everyone that has no codes. Happy path: a query is made of a delta
 * once, then asks many sets. Failure: making either, without memory; asking cannot fail.
 *
 * Threads: any number may ask one set. */
#ifndef KHONSU_TXN_DELTA_SET_H
#define KHONSU_TXN_DELTA_SET_H

#include "txn/delta.h"

/* Of one set: their sums stay in the first cache, and an index has 8 bits. */
enum { DELTA_SET_ROWS = 256 };

struct delta_set;

/* What the codes of one delta take in a set. */
size_t delta_set_row_bytes(size_t dimension);

/* The codes of those of deltas[0] to deltas[count - 1] that are dense and of that dimension (NULL:
 * left out); at least one is. Keeps none of them. KH_NO_MEMORY. */
kh_status delta_set_create(struct mem *mem, size_t dimension, const kh_delta *const *deltas,
                           size_t count, struct delta_set **out, kh_error *error);
/* NULL is allowed. */
void delta_set_destroy(struct delta_set *set);

/* A dense delta ready to be searched for. Keeps nothing of it. */
struct delta_query {
    struct mem *mem;
    unsigned char *block;
    size_t block_bytes;
    size_t dimension;
    const int8_t *codes;
    const int16_t *wide; /* the codes in 16 bits */
    int32_t bias;        /* what is to be taken off each sum of codes */
    float gain;          /* scale of the codes over magnitude */
    float loss;          /* what the codes have lost, over magnitude: rounded up */
};
/* KH_NO_MEMORY (of the delta's context). */
kh_status delta_query_init(struct delta_query *query, const kh_delta *delta, kh_error *error);
void delta_query_fini(struct delta_query *query);

/* Bit i: deltas[i]. */
struct delta_suspects {
    uint64_t bits[DELTA_SET_ROWS / 64];
};
/* Everyone of deltas[from] to deltas[to - 1] but those whose cosine with the query is certainly
 * above low and below high. Those of another dimension than the query's have none, and are left
 * out. */
void delta_set_suspects(const struct delta_set *set, const struct delta_query *query, size_t from,
                        size_t to, float low, float high, struct delta_suspects *out);

#endif
