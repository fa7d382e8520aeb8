/* stats_text.c - statistics as JSON and in the exposition format of Prometheus, version 0.0.4.
 *
 * Every number of kh_stats stands in one table, with its name in both formats; the names of JSON
 * are those of the struct. Prometheus' conventions: khonsu_ before, _total behind counters, base
 * units (seconds, bytes). No floating point is printed: its form would depend on the locale.
 * Keys are any bytes. As text they are UTF-8 in which a backslash is doubled, and control
 * characters and bytes that are not UTF-8 are written as \xNN; different keys give different texts.
 * Failure: KH_NO_MEMORY, looked for once, when all has been appended. */
#include "db/stats_text.h"

#include "base/status.h"
#include "batch/bytes.h"
#include "batch/ipc.h"
#include "batch/utf8.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum series_kind { COUNTER, COUNTER_NS, GAUGE, GAUGE_MS };

struct series {
    const char *field;  /* in kh_stats and JSON */
    size_t offset;      /* in kh_stats */
    const char *family; /* of Prometheus; the rows of one follow one another */
    const char *label;  /* or "" */
    enum series_kind kind;
    const char *help;
};

#define SERIES(field, family, label, kind, help)                                                   \
    { #field, offsetof(kh_stats, field), "khonsu_" family, label, kind, help }

#define ABORTS_HELP "Transactions that ended without effect, not by their caller's wish."
#define COMMITS_HELP "Transactions committed."
#define RESOLVED_HELP "Writes that met a rival's version and were settled by a policy."

static const struct series all_series[] = {
    SERIES(begins, "begins_total", "", COUNTER, "Transactions begun."),
    SERIES(commits, "commits_total", "kind=\"write\"", COUNTER, COMMITS_HELP),
    SERIES(commits_read_only, "commits_total", "kind=\"read_only\"", COUNTER, COMMITS_HELP),
    SERIES(rollbacks, "rollbacks_total", "", COUNTER, "Transactions rolled back by their caller."),
    SERIES(aborts_conflict, "aborts_total", "reason=\"conflict\"", COUNTER, ABORTS_HELP),
    SERIES(aborts_not_serializable, "aborts_total", "reason=\"not_serializable\"", COUNTER,
           ABORTS_HELP),
    SERIES(aborts_expired, "aborts_total", "reason=\"expired\"", COUNTER, ABORTS_HELP),
    SERIES(aborts_cancelled, "aborts_total", "reason=\"cancelled\"", COUNTER, ABORTS_HELP),
    SERIES(aborts_busy, "aborts_total", "reason=\"busy\"", COUNTER, ABORTS_HELP),
    SERIES(aborts_held, "aborts_total", "reason=\"held\"", COUNTER, ABORTS_HELP),
    SERIES(aborts_locked, "aborts_total", "reason=\"locked\"", COUNTER, ABORTS_HELP),
    SERIES(aborts_deadlock, "aborts_total", "reason=\"deadlock\"", COUNTER, ABORTS_HELP),
    SERIES(aborts_semantic, "aborts_total", "reason=\"semantic\"", COUNTER, ABORTS_HELP),
    SERIES(aborts_rows, "aborts_total", "reason=\"rows\"", COUNTER, ABORTS_HELP),
    SERIES(aborts_other, "aborts_total", "reason=\"other\"", COUNTER, ABORTS_HELP),
    SERIES(resolved_ignore, "resolved_writes_total", "by=\"ignore\"", COUNTER, RESOLVED_HELP),
    SERIES(resolved_replace, "resolved_writes_total", "by=\"replace\"", COUNTER, RESOLVED_HELP),
    SERIES(resolved_append, "resolved_writes_total", "by=\"append\"", COUNTER, RESOLVED_HELP),
    SERIES(resolved_merge, "resolved_writes_total", "by=\"merge\"", COUNTER, RESOLVED_HELP),
    SERIES(resolved_callback, "resolved_writes_total", "by=\"callback\"", COUNTER, RESOLVED_HELP),
    SERIES(resolved_rows, "resolved_writes_total", "by=\"rows\"", COUNTER, RESOLVED_HELP),
    SERIES(retries, "retries_total", "", COUNTER, "Transactions run again by kh_db_run."),
    SERIES(restages, "restages_total", "", COUNTER,
           "Commits staged again because a rival came between."),
    SERIES(claims, "claims_total", "", COUNTER, "Keys claimed for one commit after restaging."),
    SERIES(reads, "reads_total", "", COUNTER, "Keys got, scans not counted."),
    SERIES(scanned, "scanned_entries_total", "", COUNTER, "Entries returned by scans."),
    SERIES(writes, "writes_total", "", COUNTER, "Writes committed."),
    SERIES(keys, "keys", "", GAUGE, "Keys with a version, tombstones included."),
    SERIES(versions_live, "versions", "", GAUGE, "Versions in the store."),
    SERIES(versions_reclaimed, "versions_reclaimed_total", "", COUNTER, "Versions freed."),
    SERIES(versions_cold, "versions_cold", "", GAUGE, "Versions with values in the storage only."),
    SERIES(fetches, "fetches_total", "", COUNTER, "Values read back from the storage."),
    SERIES(memory_bytes, "memory_bytes", "", GAUGE, "Memory of the database."),
    SERIES(index_bytes, "index_bytes", "", GAUGE, "Memory of the index of keys."),
    SERIES(snapshots, "snapshots", "", GAUGE, "Open transactions that hold a snapshot."),
    SERIES(oldest_snapshot_age_ms, "oldest_snapshot_age_seconds", "", GAUGE_MS,
           "Age of the oldest snapshot that is held."),
    SERIES(ranges, "certification_ranges", "", GAUGE, "Range reads kept for certification."),
    SERIES(range_evictions, "certification_range_evictions_total", "", COUNTER,
           "Range reads folded into the floor."),
    SERIES(prepared, "prepared_transactions", "", GAUGE, "Transactions prepared, not decided."),
    SERIES(in_flight, "in_flight_records", "", GAUGE, "Records appended and not yet durable."),
    SERIES(lock_grants, "lock_grants_total", "", COUNTER, "Locks on keys granted."),
    SERIES(lock_upgrades, "lock_upgrades_total", "", COUNTER, "Shared locks made exclusive."),
    SERIES(lock_waits, "lock_waits_total", "", COUNTER, "Calls that waited for a lock."),
    SERIES(lock_wait_ns, "lock_wait_seconds_total", "", COUNTER_NS, "Time waited for locks."),
    SERIES(lock_timeouts, "lock_timeouts_total", "", COUNTER, "Waits that ended without lock."),
    SERIES(lock_expirations, "lock_expirations_total", "", COUNTER,
           "Transactions stopped because a lock of theirs outlived its timeout."),
    SERIES(lock_deadlocks, "lock_deadlocks_total", "", COUNTER, "Deadlocks found."),
    SERIES(lock_victims, "lock_victims_total", "", COUNTER, "Transactions stopped to end one."),
    SERIES(lock_queue_longest, "lock_queue_longest", "", GAUGE, "Most that ever waited for a key."),
    SERIES(locks_held, "locks_held", "", GAUGE, "Locks on keys that are held."),
    SERIES(locks_waiting, "locks_waiting", "", GAUGE, "Transactions that wait for a lock."),
    SERIES(semantic_merges, "semantic_merges_total", "", COUNTER,
           "Puts of workspaces merged by what they mean."),
    SERIES(semantic_compared, "semantic_compared_total", "", COUNTER,
           "Deltas that commits of workspaces were compared with."),
    SERIES(semantic_remembered, "semantic_remembered", "", GAUGE, "Deltas that are remembered."),
    SERIES(semantic_bytes, "semantic_bytes", "", GAUGE, "Memory of those."),
    SERIES(workspaces, "workspaces", "", GAUGE, "Open workspaces."),
    SERIES(watches, "watches", "", GAUGE, "Open watches."),
    SERIES(sample_every, "commit_sample_interval", "", GAUGE, "One of so many commits is timed."),
};
enum { SERIES_COUNT = sizeof all_series / sizeof all_series[0] };

struct timing {
    const char *field;
    size_t offset;
    const char *family;
    const char *help;
};
static const struct timing timings[] = {
    {"commit_ns", offsetof(kh_stats, commit_ns), "khonsu_commit_seconds",
     "Time of commits with writes from call to answer, sampled."},
    {"section_ns", offsetof(kh_stats, section_ns), "khonsu_commit_section_seconds",
     "Time of commits inside the commit section, sampled."},
};
enum { TIMING_COUNT = sizeof timings / sizeof timings[0] };

static uint64_t number_of(const kh_stats *stats, size_t offset) {
    uint64_t number;
    memcpy(&number, (const unsigned char *)stats + offset, sizeof number);
    return number;
}

static const kh_histogram *histogram_of(const kh_stats *stats, size_t offset) {
    return (const kh_histogram *)(const void *)((const unsigned char *)stats + offset);
}

/* ---- pieces of text -------------------------------------------------------------------------- */

static void put(struct ipc_buffer *out, const char *text) {
    ipc_buffer_append(out, text, strlen(text));
}

static void put_number(struct ipc_buffer *out, uint64_t number) {
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    put(out, text);
}

static void put_seconds(struct ipc_buffer *out, uint64_t duration_ns) {
    char text[40];
    int length = snprintf(text, sizeof text, "%" PRIu64 ".%09" PRIu64, duration_ns / 1000000000u,
                          duration_ns % 1000000000u);
    while (text[length - 1] == '0') length--;
    if (text[length - 1] == '.') length--;
    ipc_buffer_append(out, text, (size_t)length);
}

/* Bytes of the UTF-8 character at the front, 0: there is none. */
static size_t character_size(const unsigned char *bytes, size_t size_bytes) {
    for (size_t size = 1; size <= 4 && size <= size_bytes; size++)
        if (utf8_is_valid(bytes, size)) return size;
    return 0;
}

/* A key as text, inside of quotes. JSON and Prometheus escape the backslash and the quote alike,
 * and the text has nothing else that either would escape. */
static void put_key(struct ipc_buffer *out, const unsigned char *key, size_t size_bytes) {
    size_t step;
    for (size_t at = 0; at < size_bytes; at += step) {
        size_t size = character_size(key + at, size_bytes - at);
        step = size > 0 ? size : 1;
        if (size == 0 || key[at] < 0x20 || key[at] == 0x7f) {
            char text[8];
            (void)snprintf(text, sizeof text, "\\\\x%02x", key[at]);
            put(out, text);
        } else if (key[at] == '\\') {
            put(out, "\\\\\\\\");
        } else if (key[at] == '"') {
            put(out, "\\\"");
        } else {
            ipc_buffer_append(out, key + at, size);
        }
    }
}

static size_t kept_bytes(const kh_hot_key *hot) {
    return hot->key_bytes < sizeof hot->key ? hot->key_bytes : sizeof hot->key;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_json_timing(struct ipc_buffer *out, const struct timing *timing,
                            const kh_histogram *histogram) {
    put(out, ",\n\"");
    put(out, timing->field);
    put(out, "\": {\"count\": ");
    put_number(out, histogram->count);
    put(out, ", \"sum_ns\": ");
    put_number(out, histogram->sum_ns);
    put(out, ", \"buckets\": [");
    for (int i = 0; i < KH_HISTOGRAM_BUCKETS; i++) {
        if (i > 0) put(out, ", ");
        put_number(out, histogram->buckets[i]);
    }
    put(out, "]}");
}

static void put_json_hot_keys(struct ipc_buffer *out, const kh_stats *stats) {
    put(out, ",\n\"hot_keys\": [");
    for (uint32_t i = 0; i < stats->hot_key_count; i++) {
        const kh_hot_key *hot = &stats->hot_keys[i];
        put(out, i > 0 ? ",\n{\"key\": \"" : "\n{\"key\": \"");
        put_key(out, hot->key, kept_bytes(hot));
        put(out, "\", \"key_bytes\": ");
        put_number(out, hot->key_bytes);
        put(out, ", \"conflicts\": ");
        put_number(out, hot->conflicts);
        put(out, "}");
    }
    put(out, "]");
}

static void put_json(struct ipc_buffer *out, const kh_stats *stats) {
    for (size_t i = 0; i < SERIES_COUNT; i++) {
        put(out, i > 0 ? ",\n\"" : "{\n\"");
        put(out, all_series[i].field);
        put(out, "\": ");
        put_number(out, number_of(stats, all_series[i].offset));
    }
    char id[40];
    (void)snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, stats->oldest_snapshot_txn.high,
                   stats->oldest_snapshot_txn.low);
    put(out, ",\n\"oldest_snapshot_txn\": \"");
    put(out, id);
    put(out, "\"");
    for (size_t i = 0; i < TIMING_COUNT; i++)
        put_json_timing(out, &timings[i], histogram_of(stats, timings[i].offset));
    put_json_hot_keys(out, stats);
    put(out, "\n}\n");
}

/* ---- Prometheus ------------------------------------------------------------------------------ */

static void put_family(struct ipc_buffer *out, const char *family, const char *type,
                       const char *help) {
    put(out, "# HELP ");
    put(out, family);
    put(out, " ");
    put(out, help);
    put(out, "\n# TYPE ");
    put(out, family);
    put(out, " ");
    put(out, type);
    put(out, "\n");
}

static void put_series(struct ipc_buffer *out, const kh_stats *stats, size_t index) {
    const struct series *series = &all_series[index];
    if (index == 0 || strcmp(series->family, all_series[index - 1].family) != 0)
        put_family(out, series->family, series->kind <= COUNTER_NS ? "counter" : "gauge",
                   series->help);
    put(out, series->family);
    if (series->label[0] != '\0') {
        put(out, "{");
        put(out, series->label);
        put(out, "}");
    }
    put(out, " ");
    uint64_t number = number_of(stats, series->offset);
    if (series->kind == COUNTER_NS) {
        put_seconds(out, number);
    } else if (series->kind == GAUGE_MS) {
        put_number(out, number / 1000);
        char fraction[8];
        (void)snprintf(fraction, sizeof fraction, ".%03u", (unsigned)(number % 1000));
        put(out, fraction);
    } else {
        put_number(out, number);
    }
    put(out, "\n");
}

/* A bucket's bound includes it, and durations are whole nanoseconds: those below 2^(i + 1) are
 * those up to 2^(i + 1) - 1. The last bucket has no bound. */
static void put_timing(struct ipc_buffer *out, const struct timing *timing,
                       const kh_histogram *histogram) {
    put_family(out, timing->family, "histogram", timing->help);
    uint64_t sum = 0;
    for (int i = 0; i < KH_HISTOGRAM_BUCKETS; i++) {
        sum += histogram->buckets[i];
        put(out, timing->family);
        put(out, "_bucket{le=\"");
        if (i < KH_HISTOGRAM_BUCKETS - 1)
            put_seconds(out, (2ull << i) - 1);
        else
            put(out, "+Inf");
        put(out, "\"} ");
        put_number(out, sum);
        put(out, "\n");
    }
    put(out, timing->family);
    put(out, "_sum ");
    put_seconds(out, histogram->sum_ns);
    put(out, "\n");
    put(out, timing->family);
    put(out, "_count ");
    put_number(out, sum);
    put(out, "\n");
}

static bool has_same_labels(const kh_hot_key *a, const kh_hot_key *b) {
    return a->key_bytes == b->key_bytes && memcmp(a->key, b->key, kept_bytes(a)) == 0;
}

/* Keys that differ only behind the cut would be one series given twice: they are added up. */
static void put_hot_keys(struct ipc_buffer *out, const kh_stats *stats) {
    if (stats->hot_key_count == 0) return;
    put_family(out, "khonsu_hot_key_conflicts", "gauge",
               "Conflicts on the keys most in conflict, an upper bound; keys are cut at 64 bytes.");
    for (uint32_t i = 0; i < stats->hot_key_count; i++) {
        const kh_hot_key *hot = &stats->hot_keys[i];
        uint32_t first = 0;
        while (!has_same_labels(&stats->hot_keys[first], hot)) first++;
        if (first < i) continue;
        uint64_t conflicts = 0;
        for (uint32_t j = i; j < stats->hot_key_count; j++)
            if (has_same_labels(&stats->hot_keys[j], hot))
                conflicts += stats->hot_keys[j].conflicts;
        put(out, "khonsu_hot_key_conflicts{key=\"");
        put_key(out, hot->key, kept_bytes(hot));
        put(out, "\",key_bytes=\"");
        put_number(out, hot->key_bytes);
        put(out, "\"} ");
        put_number(out, conflicts);
        put(out, "\n");
    }
}

static void put_prometheus(struct ipc_buffer *out, const kh_stats *stats) {
    for (size_t i = 0; i < SERIES_COUNT; i++) put_series(out, stats, i);
    for (size_t i = 0; i < TIMING_COUNT; i++)
        put_timing(out, &timings[i], histogram_of(stats, timings[i].offset));
    put_hot_keys(out, stats);
}

kh_status stats_render(const kh_stats *stats, kh_stats_format format, kh_bytes *out,
                       kh_error *error) {
    if (format != KH_STATS_JSON && format != KH_STATS_PROMETHEUS)
        return status_fail(error, KH_INVALID, "no statistics format %d", (int)format);
    struct mem *mem = mem_process();
    if (mem == NULL) return status_no_memory(error, 0);
    struct ipc_buffer text;
    ipc_buffer_init(&text, mem);
    if (format == KH_STATS_JSON)
        put_json(&text, stats);
    else
        put_prometheus(&text, stats);
    kh_status status = text.is_failed ? status_no_memory(error, text.size_bytes)
                                      : bytes_make(text.bytes, text.size_bytes, out, error);
    ipc_buffer_fini(&text);
    return status;
}
