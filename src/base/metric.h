/* metric.h - what the statistics are made of: histograms, the keys most in conflict.
 *
 * Histograms are relaxed atomics: a reader gets numbers that were each true at some
 * moment, and no order among them. Nothing here allocates or fails. Zeroed storage is a fresh
 * histogram. */
#ifndef KHONSU_BASE_METRIC_H
#define KHONSU_BASE_METRIC_H

#include "base/limits.h"
#include "base/lock.h"
#include "khonsu/db.h"
#include <stdatomic.h>

/* Durations by powers of two: bucket i counts those in [2^i, 2^(i+1)) nanoseconds; the first also
 * takes 0, the last everything longer. */
struct histogram {
    _Atomic uint64_t buckets[KH_HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum_ns;
};

static inline uint32_t histogram_bucket(uint64_t duration_ns) {
    uint32_t bucket = 63u - (uint32_t)__builtin_clzll(duration_ns | 1);
    return bucket < KH_HISTOGRAM_BUCKETS ? bucket : KH_HISTOGRAM_BUCKETS - 1;
}

/* From any thread. */
static inline void histogram_note(struct histogram *histogram, uint64_t duration_ns) {
    atomic_fetch_add_explicit(&histogram->buckets[histogram_bucket(duration_ns)], 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ns, duration_ns, memory_order_relaxed);
}

/* Add what histogram has counted to *total. The count is the sum of the buckets that were read, so
 * that the two agree whatever is noted meanwhile. */
void histogram_read(const struct histogram *histogram, kh_histogram *total);

/* The keys most often noted: space-saving counters (Metwally, Agrawal, El Abbadi, ICDT 2005,
 * section 3.1). A key that is not in the full table takes the place and the count of the least
 * one. Any key noted more than 1/LIMIT_HOT_KEYS of the time is in it, and a count is never too
 * low, and too high by at most what the least one has. Keys are told apart by length and seeded
 * hash. */
struct hot_key {
    uint64_t hash;
    uint64_t count;
    uint32_t key_bytes; /* whole length */
    unsigned char key[sizeof((kh_hot_key *)0)->key];
};

struct hot_keys {
    struct lock lock; /* RANK_METRIC: all below but the seed */
    uint64_t seed;
    uint32_t used_count;
    struct hot_key keys[LIMIT_HOT_KEYS];
};

void hot_keys_init(struct hot_keys *table, uint64_t seed);
void hot_keys_fini(struct hot_keys *table);
/* Count one for key. Any thread. */
void hot_keys_note(struct hot_keys *table, kh_bytes key);
/* Write the keys, most counted first, into out (LIMIT_HOT_KEYS of them); returns how many. */
uint32_t hot_keys_list(struct hot_keys *table, kh_hot_key *out);

#endif
