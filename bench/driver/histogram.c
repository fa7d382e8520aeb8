/* histogram.c - a log-linear histogram (the idea is HdrHistogram's, Gil Tene): the power of two
 * picks a row of buckets, the bits below it the bucket. Noting takes a shift and three additions.
 */
#include "driver/histogram.h"

#include <string.h>

void histogram_clear(struct histogram *histogram) {
    memset(histogram, 0, sizeof *histogram);
}

static unsigned bucket_of(uint64_t ns) {
    if (ns < 2 * HISTOGRAM_SPLITS) return (unsigned)ns;
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - HISTOGRAM_SPLIT_BITS;
    if (shift > HISTOGRAM_SHIFT_MAX) return HISTOGRAM_BUCKETS - 1;
    return shift * HISTOGRAM_SPLITS + (unsigned)(ns >> shift);
}

/* The middle of what the bucket counts: half a width off at most, 1/128 of the value. */
static double middle_ns(unsigned bucket) {
    if (bucket < 2 * HISTOGRAM_SPLITS) return bucket;
    unsigned shift = bucket / HISTOGRAM_SPLITS - 1;
    uint64_t first = (uint64_t)(bucket % HISTOGRAM_SPLITS + HISTOGRAM_SPLITS) << shift;
    return (double)first + (double)((uint64_t)1 << shift) / 2;
}

void histogram_note(struct histogram *histogram, uint64_t ns) {
    histogram->counts[bucket_of(ns)]++;
    histogram->count++;
    histogram->sum_ns += ns;
    if (ns > histogram->max_ns) histogram->max_ns = ns;
}

void histogram_add(struct histogram *histogram, const struct histogram *other) {
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) histogram->counts[i] += other->counts[i];
    histogram->count += other->count;
    histogram->sum_ns += other->sum_ns;
    if (other->max_ns > histogram->max_ns) histogram->max_ns = other->max_ns;
}

/* The least that so many of a million did not exceed; never more than the greatest. */
static double percentile_us(const struct histogram *histogram, uint64_t millionths) {
    uint64_t rank = (histogram->count * millionths + 999999) / 1000000;
    uint64_t seen = 0;
    unsigned bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS - 1 && (seen += histogram->counts[bucket]) < rank) bucket++;
    double ns = middle_ns(bucket);
    double max_ns = (double)histogram->max_ns;
    return (ns < max_ns ? ns : max_ns) / 1e3;
}

struct percentiles histogram_percentiles(const struct histogram *histogram) {
    if (histogram->count == 0) return (struct percentiles){0, 0, 0, 0, 0};
    return (struct percentiles){.mean_us =
                                    (double)histogram->sum_ns / (double)histogram->count / 1e3,
                                .p50_us = percentile_us(histogram, 500000),
                                .p99_us = percentile_us(histogram, 990000),
                                .p999_us = percentile_us(histogram, 999000),
                                .max_us = (double)histogram->max_ns / 1e3};
}
