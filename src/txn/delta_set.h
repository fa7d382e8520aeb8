/* delta_set.h - the vectors of recent deltas of one dimension, laid out to be searched.
 *
 * A bounded list: row after row, each with a number one above the one before (from 0) and an id of
 * the caller's; when it is full the oldest row gives its place to the next. Rows lie one behind the
 * other, dense whatever the form of their delta, with their magnitudes beside them, and once more
 * as 8-bit codes.
 *
 * What it answers is what kh_delta_cosine answers, bit for bit. Happy path: a query is made of a
 * delta once (which may fail), then searches any part of the list (which cannot).
 *
 * Threads: adding is one thread's, or under a lock. Rows [from, to) may be searched by any number
 * of threads beside that, when they were added before (and the numbers handed over in order) and
 * fewer rows than capacity - (to - from) are added until the search is over. */
#ifndef KHONSU_TXN_DELTA_SET_H
#define KHONSU_TXN_DELTA_SET_H

#include "txn/delta.h"

struct delta_set;

/* Memory for all rows at once: 5 bytes for each value, 20 for each row. KH_INVALID: a bound of 0;
 * KH_TOO_BIG; KH_NO_MEMORY. */
kh_status delta_set_create(struct mem *mem, size_t dimension, size_t capacity,
                           struct delta_set **out, kh_error *error);
/* NULL is allowed. */
void delta_set_destroy(struct delta_set *set);

/* Add a row (copied) and return its number. The delta has the set's dimension. */
uint64_t delta_set_add(struct delta_set *set, const kh_delta *delta, uint64_t id);
/* Rows [first, next) are there. */
uint64_t delta_set_first(const struct delta_set *set);
uint64_t delta_set_next(const struct delta_set *set);
uint64_t delta_set_id(const struct delta_set *set, uint64_t number);
/* Its values, filled up with zeros to whole blocks of 16; the next row lies behind, unless the ring
 * begins anew there. */
const float *delta_set_row(const struct delta_set *set, uint64_t number);

/* A delta ready to be searched for; borrows it. */
struct delta_query {
    struct mem *mem;
    unsigned char *block;
    size_t block_bytes;
    size_t dimension;
    const float *values;
    const int8_t *codes;
    const int16_t *wide; /* the codes in 16 bits */
    int32_t bias;        /* what is to be taken off each sum of codes */
    float magnitude;
    float gain; /* scale of the codes over magnitude */
    float loss; /* what the codes have lost, over magnitude: rounded up */
};
/* KH_NO_MEMORY (of the delta's context). */
kh_status delta_query_init(struct delta_query *query, const kh_delta *delta, kh_error *error);
void delta_query_fini(struct delta_query *query);

/* out[i] = the cosine with row from + i, for rows [from, to), all of which are there. */
void delta_set_cosines(const struct delta_set *set, const struct delta_query *query, uint64_t from,
                       uint64_t to, float *out);

/* False stops. */
typedef bool delta_set_fn(void *context, uint64_t number, uint64_t id, float cosine);
/* Visit, in ascending order, each row of [from, to) whose cosine is >= high or <= low: the same
 * rows and cosines that delta_set_cosines gives. False: visit stopped it. */
bool delta_set_beyond(const struct delta_set *set, const struct delta_query *query, uint64_t from,
                      uint64_t to, float low, float high, delta_set_fn *visit, void *context);

#endif
