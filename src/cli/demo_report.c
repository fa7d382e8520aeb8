/* demo_report.c - progress while the demo runs, and its tables at the end. */
#include "demo.h"

#include "heap.h"
#include "output.h"
#include "table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void add_count(struct table *table, uint64_t count) {
    struct text cell = {NULL, 0, 0};
    text_add_count(&cell, (int64_t)count);
    table_add(table, cell.bytes);
    text_free(&cell);
}

static void add_columns(struct table *table, const char *first, const char *const *others,
                        size_t count) {
    table_add_column(table, first, false);
    for (size_t i = 0; i < count; ++i) {
        table_add_column(table, others[i], true);
    }
}

static void print(struct table *table) {
    table_print(table, stdout, output_terminal_width());
    (void)putchar('\n');
    table_free(table);
}

void demo_show_progress(const struct demo *demo, struct demo_progress *progress, double now) {
    double since = now - progress->shown_at;
    if (since < (progress->is_terminal ? 0.099 : 1.0)) {
        return;
    }
    struct demo_sums sums;
    kh_stats stats = {.size = sizeof stats};
    demo_sum(demo, &sums);
    if (kh_db_stats(demo->flights.db, &stats, NULL) != KH_OK) {
        return;
    }
    double rate = (double)(sums.committed_all - progress->committed) / since;
    struct text line = {NULL, 0, 0};
    text_printf(&line, "%5.1f s  ", now);
    text_add_count(&line, (int64_t)rate);
    text_add(&line, " tx/s  ");
    text_add_count(&line, (int64_t)(stats.aborts_conflict + stats.aborts_not_serializable));
    text_add(&line, " conflicts  ");
    text_add_count(&line, (int64_t)stats.retries);
    text_add(&line, " retries  ");
    text_add_count(&line, (int64_t)stats.versions_live);
    text_printf(&line, " versions  %.1f MiB  ", (double)stats.memory_bytes / 1048576.0);
    text_add_count(&line, (int64_t)sums.verified_all);
    text_add(&line, " snapshots verified");
    if (progress->is_terminal) {
        size_t width = output_terminal_width();
        size_t size = text_fit(line.bytes, line.size, width > 1 ? width - 1 : 1);
        (void)printf("\r%.*s\033[K", (int)size, line.bytes);
    } else {
        (void)printf("%s\n", line.bytes);
    }
    (void)fflush(stdout);
    text_free(&line);
    progress->committed = sums.committed_all;
    progress->shown_at = now;
}

void demo_end_progress(const struct demo_progress *progress) {
    if (progress->is_terminal && progress->shown_at > 0) {
        (void)printf("\r\033[K");
    }
}

static void report_writers(const struct demo_sums *sums, double elapsed) {
    static const char *const names[] = {"delay flights", "cancel a flight", "rebook flights",
                                        "recover delays"};
    static const char *const columns[] = {"committed", "tx/s", "attempts", "rows changed"};
    struct table table = {.columns = NULL};
    uint64_t rows = 0;
    add_columns(&table, "transactions", columns, 4);
    for (size_t i = 0; i < WRITE_KIND_COUNT; ++i) {
        table_add(&table, names[i]);
        add_count(&table, sums->committed[i]);
        add_count(&table, (uint64_t)((double)sums->committed[i] / elapsed));
        add_count(&table, sums->attempts[i]);
        add_count(&table, sums->rows[i]);
        rows += sums->rows[i];
    }
    table_add(&table, "all");
    add_count(&table, sums->committed_all);
    add_count(&table, (uint64_t)((double)sums->committed_all / elapsed));
    add_count(&table, sums->attempts_all);
    add_count(&table, rows);
    print(&table);
}

static void report_readers(const struct demo_sums *sums) {
    static const char *const names[] = {"repeatable read", "serializable",
                                        "serializable, deferrable"};
    static const char *const columns[] = {"verified", "rows counted"};
    struct table table = {.columns = NULL};
    add_columns(&table, "snapshots", columns, 2);
    for (size_t i = 0; i < READ_KIND_COUNT; ++i) {
        table_add(&table, names[i]);
        add_count(&table, sums->verified[i]);
        add_count(&table, sums->rows_counted[i]);
    }
    print(&table);
}

/* The upper end of the bucket that the per-mille-th part of the durations lies in, in microseconds.
 */
static double percentile_us(const kh_histogram *histogram, uint64_t per_mille) {
    uint64_t wanted = histogram->count * per_mille / 1000;
    uint64_t seen = 0;
    for (int i = 0; i < KH_HISTOGRAM_BUCKETS; ++i) {
        seen += histogram->buckets[i];
        if (seen > wanted || i == KH_HISTOGRAM_BUCKETS - 1) {
            return (double)(2ull << i) / 1000.0;
        }
    }
    return 0;
}

static void add_pair(struct table *table, const char *name, uint64_t value) {
    table_add(table, name);
    add_count(table, value);
}

static void report_engine(const struct demo *demo, const struct demo_sums *sums) {
    static const char *const columns[] = {"value"};
    kh_stats stats = {.size = sizeof stats};
    if (kh_db_stats(demo->flights.db, &stats, NULL) != KH_OK) {
        return;
    }
    struct table table = {.columns = NULL};
    add_columns(&table, "engine", columns, 1);
    add_pair(&table, "write-write conflicts", stats.aborts_conflict);
    add_pair(&table, "not serializable", stats.aborts_not_serializable);
    add_pair(&table, "retries", stats.retries);
    add_pair(&table, "row operations on a rival's version", stats.resolved_rows);
    add_pair(&table, "writes given up", sums->writes_given_up);
    add_pair(&table, "reads given up", sums->reads_given_up);
    add_pair(&table, "versions live", stats.versions_live);
    add_pair(&table, "versions reclaimed", stats.versions_reclaimed);
    add_pair(&table, "memory bytes", stats.memory_bytes);
    if (stats.commit_ns.count > 0) {
        table_add(&table, "commit, half below (us)");
        table_printf(&table, "%.1f", percentile_us(&stats.commit_ns, 500));
        table_add(&table, "commit, 99 % below (us)");
        table_printf(&table, "%.1f", percentile_us(&stats.commit_ns, 990));
    }
    for (uint32_t i = 0; i < stats.hot_key_count && i < 3; ++i) {
        const kh_hot_key *hot = &stats.hot_keys[i];
        size_t size = hot->key_bytes < sizeof hot->key ? hot->key_bytes : sizeof hot->key;
        struct text name = {NULL, 0, 0};
        text_add(&name, "conflicts on ");
        text_add_visible(&name, (kh_bytes){hot->key, size});
        add_pair(&table, name.bytes, hot->conflicts);
        text_free(&name);
    }
    print(&table);
}

static const char *carrier_name(const char *code) {
    static const struct {
        const char *code, *name;
    } carriers[] = {
        {"9E", "Endeavor Air"},      {"AA", "American Airlines"}, {"AS", "Alaska Airlines"},
        {"B6", "JetBlue Airways"},   {"DL", "Delta Air Lines"},   {"EV", "ExpressJet Airlines"},
        {"F9", "Frontier Airlines"}, {"FL", "AirTran Airways"},   {"HA", "Hawaiian Airlines"},
        {"MQ", "Envoy Air"},         {"OO", "SkyWest Airlines"},  {"UA", "United Air Lines"},
        {"US", "US Airways"},        {"VX", "Virgin America"},    {"WN", "Southwest Airlines"},
        {"YV", "Mesa Airlines"}};
    for (size_t i = 0; i < sizeof carriers / sizeof carriers[0]; ++i) {
        if (strcmp(carriers[i].code, code) == 0) {
            return carriers[i].name;
        }
    }
    return NULL;
}

/* Minutes of delay for each flight that departed. */
static double mean_delay(const struct tally *tally) {
    int64_t departed = tally->flights - tally->cancelled;
    return departed <= 0 ? 0 : (double)tally->delay_minutes / (double)departed;
}

static double percent(int64_t part, int64_t whole) {
    return whole <= 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static size_t worst(const struct tally *tallies, size_t count) {
    size_t found = 0;
    for (size_t i = 1; i < count; ++i) {
        found = mean_delay(&tallies[i]) > mean_delay(&tallies[found]) ? i : found;
    }
    return found;
}

static void report_fares(const char *what, char *const *names, const struct tally *before,
                         const struct tally *after, size_t count) {
    static const char *const columns[] = {"flights",     "cancel", "late", "min.late",
                                          "flights now", "cancel", "late", "min.late"};
    struct table table = {.columns = NULL};
    add_columns(&table, what, columns, 8);
    for (size_t i = 0; i < count; ++i) {
        table_add(&table, names[i]);
        for (int side = 0; side < 2; ++side) {
            const struct tally *tally = side == 0 ? &before[i] : &after[i];
            add_count(&table, (uint64_t)tally->flights);
            table_printf(&table, "%.1f%%", percent(tally->cancelled, tally->flights));
            table_printf(&table, "%.1f%%", percent(tally->delayed, tally->flights));
            table_printf(&table, "%.2f", mean_delay(tally));
        }
    }
    print(&table);
}

static void answer(const char *what, char *const *names, const struct tally *tallies,
                   size_t count) {
    size_t i = worst(tallies, count);
    const char *full = carrier_name(names[i]);
    (void)printf("  %s %s%s%s%s, %.2f minutes late per departed flight, %.1f%% cancelled\n", what,
                 names[i], full == NULL ? "" : " (", full == NULL ? "" : full,
                 full == NULL ? "" : ")", mean_delay(&tallies[i]),
                 percent(tallies[i].cancelled, tallies[i].flights));
}

static void sum_carriers(const struct flights *flights, const struct tally *places,
                         struct tally *carriers) {
    for (size_t day = 0; day < flights->day_count; ++day) {
        for (size_t i = 0; i < flights->carrier_count; ++i) {
            flights_add(&carriers[i], &places[day * flights->carrier_count + i], 1);
        }
    }
}

static void report_question(const struct flights *flights, const struct verify *after) {
    struct tally *before_carriers = heap_allocate(flights->carrier_count, sizeof(struct tally));
    struct tally *after_carriers = heap_allocate(flights->carrier_count, sizeof(struct tally));
    sum_carriers(flights, flights->place_tallies, before_carriers);
    sum_carriers(flights, after->places, after_carriers);
    report_fares("carrier", flights->carriers, before_carriers, after_carriers,
                 flights->carrier_count);
    report_fares("airport", flights->airports, flights->airport_tallies, after->airports,
                 flights->airport_count);
    (void)printf("min.late: minutes of delay per departed flight; before the run, and now\n\n"
                 "Which carrier and which airport fared worst?\n");
    answer("before: carrier", flights->carriers, before_carriers, flights->carrier_count);
    answer("        airport", flights->airports, flights->airport_tallies, flights->airport_count);
    answer("after:  carrier", flights->carriers, after_carriers, flights->carrier_count);
    answer("        airport", flights->airports, after->airports, flights->airport_count);
    free(before_carriers);
    free(after_carriers);
}

void demo_report(const struct demo *demo, const struct verify *after) {
    struct demo_sums sums;
    demo_sum(demo, &sums);
    double elapsed = demo->elapsed > 0 ? demo->elapsed : 1;
    (void)printf("\n%.1f seconds, %" PRIu64 " writers, %" PRIu64 " readers\n\n", demo->elapsed,
                 demo->options->writers, demo->options->readers);
    report_writers(&sums, elapsed);
    report_readers(&sums);
    report_engine(demo, &sums);
    report_question(&demo->flights, after);
    struct text line = {NULL, 0, 0};
    text_add_count(&line, (int64_t)sums.verified_all + 1);
    (void)printf("\n%s snapshots verified, the last one included: %s\n", line.bytes,
                 demo->breach_count == 0 ? "all consistent" : "NOT all consistent");
    text_free(&line);
}
