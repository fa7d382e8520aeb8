/* run.h - one benchmark from opening the store to closing it. */
#ifndef BENCH_DRIVER_RUN_H
#define BENCH_DRIVER_RUN_H

#include "driver/draws.h"
#include "driver/options.h"
#include "driver/worker.h"

/* Whether the sums came out as the engine promises. */
enum sums { SUMS_NOT_PROMISED, SUMS_NOT_CHECKED, SUMS_KEPT, SUMS_BROKEN };

struct result {
    double wall_seconds;
    double process_cpu_seconds; /* all threads, the library's too, final reclamation included */
    double thread_cpu_seconds;  /* the driver's threads */
    uint64_t commits;           /* scans are commits */
    uint64_t aborts;
    uint64_t rss_start; /* opened, nothing loaded */
    uint64_t rss_loaded;
    uint64_t rss_peak; /* while a reader is open; else 0 */
    uint64_t rss_end;  /* after the final reclamation */
    uint64_t versions_peak;
    struct engine_counts counts;
    double writer_alone_per_second; /* --writer */
    double writer_beside_per_second;
    enum sums sums;
    uint64_t scans_broken;
    uint64_t values_broken;
    bool has_moved;             /* --reader: its snapshot did not stay what it was */
    struct percentiles latency; /* --latency */
    uint64_t written_bytes;     /* by system calls, background work too, while it was measured */
    double reopen_seconds;      /* stores in files that were looked at; else 0 */
};

struct result run_benchmark(const struct engine *engine, const struct workload *workload,
                            const struct options *options, const char *directory);

/* How the workload's keys are drawn. */
struct draw_rule run_draw_rule(const struct workload *workload, const struct options *options);

/* Does the engine promise sums under these options? */
bool run_promises(const struct engine *engine, const struct options *options);

/* All values once more, in a quiet store: how many are not what they should be. The ledger is the
 * workers' together. */
uint64_t verify_values(struct worker *worker, const struct workload *workload, uint64_t keys,
                       uint64_t ledger);

#endif
