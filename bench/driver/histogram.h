/* histogram.h - how often something took how long: counters at a relative width of 1/64, so that a
 * percentile is off by less than 1 %; the greatest is kept as it is. One thread writes one. */
#ifndef BENCH_DRIVER_HISTOGRAM_H
#define BENCH_DRIVER_HISTOGRAM_H

#include <stdint.h>

/* Below 128 ns each has a bucket of its own; then 64 buckets for each power of two up to 2^40 ns,
 * which is a quarter of an hour and takes what is longer. */
enum {
    HISTOGRAM_SPLIT_BITS = 6,
    HISTOGRAM_SPLITS = 1 << HISTOGRAM_SPLIT_BITS,
    HISTOGRAM_SHIFT_MAX = 40 - 1 - HISTOGRAM_SPLIT_BITS,
    HISTOGRAM_BUCKETS = (HISTOGRAM_SHIFT_MAX + 2) * HISTOGRAM_SPLITS
};

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
};

/* What is told of one. */
struct percentiles {
    double mean_us;
    double p50_us;
    double p99_us;
    double p999_us;
    double max_us;
};

void histogram_clear(struct histogram *histogram);
void histogram_note(struct histogram *histogram, uint64_t ns);
void histogram_add(struct histogram *histogram, const struct histogram *other);
/* All 0 when nothing was noted. */
struct percentiles histogram_percentiles(const struct histogram *histogram);

#endif
