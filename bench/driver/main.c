/* main.c - khonsu-bench: one engine, one workload, one answer.
 *
 * Under callgrind only the measured region counts, from the first transaction to the end of the
 * final reclamation, all threads together; the rest runs at valgrind's plain speed:
 *
 *     valgrind --tool=callgrind --instr-atstart=no --callgrind-out-file=FILE khonsu-bench ...
 *
 * and the line "totals:" of FILE over --transactions is what a transaction costs. */
#include "driver/gauges.h"
#include "driver/options.h"
#include "driver/run.h"
#include "engines.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_BROKEN = 1, EXIT_FAILED = 2, EXIT_NOT_THERE = 3 };

_Noreturn void engine_fail(const char *what, const char *why) {
    fprintf(stderr, "khonsu-bench: %s: %s\n", what, why);
    exit(EXIT_FAILED);
}

/* {"none":..., "sync":...}: what a store in files is, without and with syncing. */
static void list_durable_terms(const struct engine *engine) {
    const char *comma = "";
    printf(",\"durable\":{");
    for (int i = UNSYNCED; i <= SYNCED && engine->durable_terms != NULL; i++) {
        const char *terms = engine->durable_terms((enum durability)i);
        if (terms == NULL) continue;
        printf("%s\"%s\":\"%s\"", comma, durability_name((enum durability)i), terms);
        comma = ",";
    }
    putchar('}');
}

static void list_engines(void) {
    const char *name;
    const char *between = "";
    putchar('[');
    for (unsigned i = 0; (name = engine_name(i)) != NULL; i++) {
        const char *reason;
        const struct engine *engine = engine_find(name, &reason);
        printf("%s{\"engine\":\"%s\"", between, name);
        if (engine == NULL) {
            printf(",\"missing\":\"%s\"}", reason);
        } else {
            printf(",\"version\":\"%s\",\"levels\":{", engine->version());
            const char *comma = "";
            for (int level = 0; level < LEVEL_COUNT; level++) {
                const char *terms = engine->terms((enum level)level);
                if (terms == NULL) continue;
                printf("%s\"%s\":\"%s\"", comma, level_name((enum level)level), terms);
                comma = ",";
            }
            putchar('}');
            list_durable_terms(engine);
            putchar('}');
        }
        between = ",";
    }
    printf("]\n");
}

static const char *sums_name(enum sums sums) {
    static const char *const names[] = {"not promised", "not checked", "kept", "broken"};
    return names[sums];
}

static const char *terms_of(const struct engine *engine, const struct options *options) {
    if (options->durability == IN_MEMORY) return engine->terms(options->level);
    return engine->durable_terms == NULL ? NULL : engine->durable_terms(options->durability);
}

static void print_latency(const struct percentiles *latency) {
    printf("\"latency_us\":{\"mean\":%.3f,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f},",
           latency->mean_us, latency->p50_us, latency->p99_us, latency->p999_us, latency->max_us);
}

static void print_durable(const struct options *options, const struct result *result) {
    printf("\"sync\":\"%s\",\"value_bytes\":%llu,\"written_bytes_per_commit\":%.1f,"
           "\"groups\":%llu,\"reopen_seconds\":%.4f,",
           durability_name(options->durability), (unsigned long long)options->value_bytes,
           (double)result->written_bytes / (double)result->commits,
           (unsigned long long)result->counts.groups, result->reopen_seconds);
}

static void print_json(const struct engine *engine, const struct options *options,
                       const struct result *result) {
    double commits = (double)result->commits;
    double growth = (double)result->rss_end - (double)result->rss_start;
    printf("{\"engine\":\"%s\",\"version\":\"%s\",\"isolation\":\"%s\",\"terms\":\"%s\","
           "\"workload\":\"%s\",\"distribution\":\"%s\",\"keys\":%llu,\"threads\":%llu,"
           "\"touch\":%s,\"seed\":%llu,",
           engine->name, engine->version(), level_name(options->level), terms_of(engine, options),
           options->workload, options->is_zipf ? "zipf" : "uniform",
           (unsigned long long)options->keys, (unsigned long long)options->threads,
           options->touches ? "true" : "false", (unsigned long long)options->seed);
    printf("\"commits\":%llu,\"aborts\":%llu,\"seconds\":%.6f,\"per_second\":%.1f,"
           "\"cpu_us\":%.4f,\"thread_cpu_us\":%.4f,\"aborts_per_commit\":%.6f,",
           (unsigned long long)result->commits, (unsigned long long)result->aborts,
           result->wall_seconds, commits / result->wall_seconds,
           result->process_cpu_seconds * 1e6 / commits, result->thread_cpu_seconds * 1e6 / commits,
           (double)result->aborts / commits);
    if (options->measures_latency) print_latency(&result->latency);
    if (options->durability != IN_MEMORY) print_durable(options, result);
    if (options->has_writer)
        printf("\"writer_alone_per_second\":%.1f,\"writer_beside_per_second\":%.1f,",
               result->writer_alone_per_second, result->writer_beside_per_second);
    if (options->has_reader)
        printf("\"rss_peak\":%llu,\"versions_peak\":%llu,\"snapshot_moved\":%s,",
               (unsigned long long)result->rss_peak, (unsigned long long)result->versions_peak,
               result->has_moved ? "true" : "false");
    printf("\"rss_start\":%llu,\"rss_loaded\":%llu,\"rss_end\":%llu,"
           "\"rss_bytes_per_key\":%.1f,\"versions\":%llu,\"versions_reclaimed\":%llu,"
           "\"memory_bytes\":%llu,",
           (unsigned long long)result->rss_start, (unsigned long long)result->rss_loaded,
           (unsigned long long)result->rss_end, growth / (double)options->keys,
           (unsigned long long)result->counts.versions,
           (unsigned long long)result->counts.versions_reclaimed,
           (unsigned long long)result->counts.memory_bytes);
    printf("\"values_broken\":%llu,\"scans_broken\":%llu,\"sums\":\"%s\"}\n",
           (unsigned long long)result->values_broken, (unsigned long long)result->scans_broken,
           sums_name(result->sums));
}

static void print_line(const struct engine *engine, const struct options *options,
                       const struct result *result) {
    double commits = (double)result->commits;
    printf("%s %s %s %s: %.0f/s, %.3f us of CPU, %.4f aborts per commit, sums %s\n", engine->name,
           level_name(options->level), options->workload, options->is_zipf ? "zipf" : "uniform",
           commits / result->wall_seconds, result->process_cpu_seconds * 1e6 / commits,
           (double)result->aborts / commits, sums_name(result->sums));
    if (options->measures_latency)
        printf("latency, us: mean %.1f, p50 %.1f, p99 %.1f, p99.9 %.1f, max %.1f\n",
               result->latency.mean_us, result->latency.p50_us, result->latency.p99_us,
               result->latency.p999_us, result->latency.max_us);
    if (options->has_writer)
        printf("writer: %.0f/s alone, %.0f/s beside scans\n", result->writer_alone_per_second,
               result->writer_beside_per_second);
}

static void print_draws(const struct workload *workload, const struct options *options) {
    struct draw_rule rule = run_draw_rule(workload, options);
    struct draw_table *table = draw_table_create(&rule);
    uint32_t *tape = draws_make(table, 0, options->draws);
    for (uint64_t i = 0; i < options->draws; i++)
        printf("%u%s\n", tape[i] & ~DRAW_IS_WRITE, (tape[i] & DRAW_IS_WRITE) != 0 ? " write" : "");
    free(tape);
    draw_table_destroy(table);
}

/* NULL, and *reason: it is not there, or does not do what the options ask. */
static const struct engine *find_engine(const struct options *options, const char **reason) {
    const struct engine *engine = engine_find(options->engine, reason);
    if (engine == NULL) return NULL;
    if (engine->terms(options->level) == NULL) {
        *reason = "it does not offer this isolation level";
    } else if (terms_of(engine, options) == NULL) {
        *reason = "it keeps nothing in files";
    } else if (options->value_bytes != VALUE_BYTES && !engine->has_value_sizes) {
        *reason = "its values have one size";
    } else {
        return engine;
    }
    return NULL;
}

int main(int count, char **arguments) {
    struct options options = options_parse(count, arguments);
    if (options.lists) {
        list_engines();
        return 0;
    }
    const char *reason;
    const struct engine *engine = find_engine(&options, &reason);
    if (engine == NULL) {
        fprintf(stderr, "khonsu-bench: --engine %s: %s\n", options.engine, reason);
        return EXIT_NOT_THERE;
    }
    const struct workload *workload = workload_find(options.workload);
    if (workload == NULL) engine_fail(options.workload, "there is no such workload");
    if (options.draws > 0) {
        print_draws(workload, &options);
        return 0;
    }
    const char *directory =
        options.path != NULL ? kept_directory(options.path) : scratch_directory(options.directory);
    struct result result = run_benchmark(engine, workload, &options, directory);
    if (options.is_json) {
        print_json(engine, &options, &result);
    } else {
        print_line(engine, &options, &result);
    }
    return result.sums == SUMS_BROKEN ? EXIT_BROKEN : 0;
}
