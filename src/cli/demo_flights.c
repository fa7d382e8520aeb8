/* demo_flights.c - loading flight records.
 *
 * Happy path: the file's schema is looked at, its rows are cut by day and carrier (split.h), put in
 * transactions of some hundred keys each, counted, and the summaries put in a last one. A database
 * with a path says how far that came: what is all there is not loaded again, what is there in part
 * is put again from the beginning. */
#include "demo_flights.h"

#include "demo_ledger.h"

#include "complain.h"
#include "file.h"
#include "heap.h"
#include "opening.h"
#include "split.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Keys of one loading transaction: large enough to be fast, small enough not to hold all twice. */
enum { LOAD_KEYS = 256 };
/* Of the widest patch: a flight that is rebooked. */
enum { PATCH_COLUMNS_MAX = 4 + FLIGHTS_DAY_COLUMNS };

struct load {
    struct flights *flights;
    struct split *split;
    const char *path;
};

static bool is_integer(const kh_schema *schema, int64_t column) {
    return column >= 0 && strchr("cCsSiIlL", kh_schema_column_format(schema, column)[0]) != NULL;
}

static int find_columns(struct flights *flights, const kh_schema *schema, const char *path) {
    static const char *const needed[] = {"id", "day", "carrier", "origin", "dep_delay"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; ++i) {
        if (kh_schema_find(schema, needed[i]) < 0) {
            return complain(CLI_FAILED,
                            "%s has no column '%s': the demo needs id, day, carrier, origin and "
                            "dep_delay",
                            path, needed[i]);
        }
    }
    flights->id = kh_schema_find(schema, "id");
    flights->carrier = kh_schema_find(schema, "carrier");
    flights->origin = kh_schema_find(schema, "origin");
    flights->dep_delay = kh_schema_find(schema, "dep_delay");
    flights->dep_time = kh_schema_find(schema, "dep_time");
    flights->sched_dep_time = kh_schema_find(schema, "sched_dep_time");
    if (!is_integer(schema, flights->dep_time) || !is_integer(schema, flights->sched_dep_time)) {
        flights->dep_time = flights->sched_dep_time = -1;
    }
    const char *delay = kh_schema_column_format(schema, flights->dep_delay);
    if (strlen(delay) != 1 || strchr("sil", delay[0]) == NULL) {
        return complain(CLI_FAILED, "%s: dep_delay must be int16, int32 or int64, not '%s'", path,
                        delay);
    }
    int64_t day = kh_schema_find(schema, "day");
    int64_t month = kh_schema_find(schema, "month");
    int64_t year = kh_schema_find(schema, "year");
    bool is_split = is_integer(schema, day) && month >= 0 && year >= 0;
    flights->day_column_count = is_split ? 3 : 1;
    flights->day_columns[0] = day;
    flights->day_columns[1] = is_split ? month : -1;
    flights->day_columns[2] = is_split ? year : -1;
    return CLI_OK;
}

/* A schema of some of the rows' columns, as nullable as they are there: a patch of rows. */
static kh_status patch_schema(const struct flights *flights, const struct ArrowSchema *rows,
                              const int64_t *columns, size_t count, kh_schema **out,
                              kh_error *error) {
    const char *names[PATCH_COLUMNS_MAX] = {NULL};
    const char *format_strings[PATCH_COLUMNS_MAX] = {NULL};
    struct text formats[PATCH_COLUMNS_MAX] = {{NULL, 0, 0}};
    int64_t kept = 0;
    for (size_t i = 0; i < count; ++i) {
        if (columns[i] < 0) {
            continue;
        }
        const struct ArrowSchema *column = rows->children[columns[i]];
        text_add(&formats[kept], (column->flags & ARROW_FLAG_NULLABLE) != 0 ? "" : "!");
        text_add(&formats[kept], column->format);
        format_strings[kept] = formats[kept].bytes;
        names[kept++] = column->name;
    }
    kh_status status = kh_schema_build(flights->db, names, format_strings, kept, out, error);
    for (int64_t i = 0; i < kept; ++i) {
        text_free(&formats[i]);
    }
    return status;
}

static kh_status patch_schemas(struct flights *flights, const struct ArrowSchema *rows,
                               kh_error *error) {
    const int64_t *days = flights->day_columns;
    const int64_t columns[PATCH_COLUMNS_MAX] = {
        flights->id, flights->dep_delay, flights->carrier, flights->dep_time, days[0], days[1],
        days[2]};
    const int64_t cancel[] = {flights->id, flights->dep_delay, flights->dep_time};
    kh_status status = patch_schema(flights, rows, columns, 2, &flights->delay_schema, error);
    if (status == KH_OK) {
        status = patch_schema(flights, rows, cancel, 3, &flights->cancel_schema, error);
    }
    if (status == KH_OK) {
        status =
            patch_schema(flights, rows, columns, PATCH_COLUMNS_MAX, &flights->rebook_schema, error);
    }
    return status;
}

static bool is_nullable(const struct ArrowSchema *rows, int64_t column) {
    return (rows->children[column]->flags & ARROW_FLAG_NULLABLE) != 0;
}

static int make_schemas(struct flights *flights, const kh_schema *schema, const char *path) {
    static const char *const names[] = {"id", "flights", "cancelled", "delayed", "delay_minutes"};
    static const char *const formats[] = {"!u", "!l", "!l", "!l", "!l"};
    kh_error error = {""};
    struct ArrowSchema rows;
    kh_status status = kh_schema_export(schema, &rows, &error);
    if (status != KH_OK) {
        return complain_status(path, status, &error);
    }
    if (flights->dep_time >= 0 && !is_nullable(&rows, flights->dep_time)) {
        flights->dep_time = -1;
    }
    bool can_cancel = is_nullable(&rows, flights->dep_delay);
    if (can_cancel) {
        status = kh_schema_build(flights->db, names, formats, SUMMARY_COLUMNS,
                                 &flights->summary_schema, &error);
    }
    if (can_cancel && status == KH_OK) {
        status = patch_schemas(flights, &rows, &error);
    }
    if (can_cancel && status == KH_OK) {
        status = ledger_prepare(flights, &error);
    }
    rows.release(&rows);
    flights->row_schema = kh_schema_retain(schema);
    if (!can_cancel) {
        return complain(CLI_FAILED, "%s: dep_delay must be nullable: null is a cancelled flight",
                        path);
    }
    return status == KH_OK ? CLI_OK : complain_status(path, status, &error);
}

static int take_schema(void *context, const kh_schema *schema) {
    struct load *load = context;
    struct flights *flights = load->flights;
    int code = find_columns(flights, schema, load->path);
    if (code == CLI_OK) {
        code = make_schemas(flights, schema, load->path);
    }
    if (code != CLI_OK) {
        return code;
    }
    return split_create(flights->day_column_count == 1
                            ? "flights/{day}/{carrier}"
                            : "flights/{year:4}-{month:2}-{day:2}/{carrier}",
                        &load->split);
}

static int take_batch(void *context, const kh_batch *batch) {
    struct load *load = context;
    load->flights->row_count += (uint64_t)kh_batch_row_count(batch);
    return split_batch(load->split, batch);
}

static void learn_name(char ***names, size_t *count, kh_bytes name) {
    for (size_t i = 0; i < *count; ++i) {
        if (strlen((*names)[i]) == name.size_bytes &&
            memcmp((*names)[i], name.data, name.size_bytes) == 0) {
            return;
        }
    }
    *names = heap_resize(*names, *count + 1, sizeof **names);
    (*names)[(*count)++] = heap_copy(name.data, name.size_bytes);
}

static void learn_day(struct flights *flights, const char *name, size_t size,
                      const kh_batch *batch) {
    flights->days = heap_resize(flights->days, flights->day_count + 1, sizeof *flights->days);
    struct day *day = &flights->days[flights->day_count++];
    *day = (struct day){heap_copy(name, size), {{KH_SCALAR_NULL, {.int64 = 0}}}};
    for (size_t i = 0; i < flights->day_column_count; ++i) {
        kh_scalar scalar = {KH_SCALAR_NULL, {.int64 = 0}};
        (void)flights_scalar(batch, flights->day_columns[i], 0, &scalar);
        if (scalar.kind == KH_SCALAR_BYTES) {
            scalar.as.bytes.data = heap_copy(scalar.as.bytes.data, scalar.as.bytes.size_bytes);
        }
        day->values[i] = scalar;
    }
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct day *)a)->name, ((const struct day *)b)->name);
}

/* Days come once for each carrier: kept when sorted and not the same as the one before. */
static void sort_days(struct flights *flights) {
    qsort(flights->days, flights->day_count, sizeof *flights->days, by_name);
    size_t kept = 0;
    for (size_t i = 0; i < flights->day_count; ++i) {
        if (kept > 0 && strcmp(flights->days[kept - 1].name, flights->days[i].name) == 0) {
            free(flights->days[i].name);
            for (size_t v = 0; v < flights->day_column_count; ++v) {
                if (flights->days[i].values[v].kind == KH_SCALAR_BYTES) {
                    free((void *)(uintptr_t)flights->days[i].values[v].as.bytes.data);
                }
            }
        } else {
            flights->days[kept++] = flights->days[i];
        }
    }
    flights->day_count = kept;
}

static int learn_key(struct load *load, size_t index) {
    struct flights *flights = load->flights;
    kh_bytes key = split_key(load->split, index);
    const size_t prefix_size = strlen("flights/");
    const char *bytes = key.data;
    size_t slash = key.size_bytes;
    while (slash > 0 && bytes[slash - 1] != '/') {
        --slash;
    }
    const kh_batch *batch = NULL;
    int code = split_value(load->split, index, &batch);
    if (code != CLI_OK) {
        return code;
    }
    kh_bytes carrier = {bytes + slash, key.size_bytes - slash};
    kh_scalar name;
    if (slash <= prefix_size || carrier.size_bytes == 0 ||
        !flights_scalar(batch, flights->carrier, 0, &name) || name.kind != KH_SCALAR_BYTES ||
        name.as.bytes.size_bytes != carrier.size_bytes) {
        return complain(CLI_FAILED, "%s: carriers must be plain, non-empty strings without '/'",
                        load->path);
    }
    learn_name(&flights->carriers, &flights->carrier_count, carrier);
    learn_day(flights, bytes + prefix_size, slash - 1 - prefix_size, batch);
    for (int64_t row = 0; row < kh_batch_row_count(batch); ++row) {
        kh_bytes airport = {NULL, 0};
        if (kh_batch_bytes(batch, flights->origin, row, &airport) != KH_OK) {
            return complain(CLI_FAILED, "%s: origin must be a plain string and not null",
                            load->path);
        }
        learn_name(&flights->airports, &flights->airport_count, airport);
    }
    return CLI_OK;
}

/* All names first: the places are numbered by their counts. */
static int learn(struct load *load) {
    struct flights *flights = load->flights;
    size_t count = split_key_count(load->split);
    int code = CLI_OK;
    for (size_t i = 0; i < count && code == CLI_OK; ++i) {
        code = learn_key(load, i);
    }
    if (code == CLI_OK && count == 0) {
        code = complain(CLI_FAILED, "%s has no rows: nothing to demonstrate", load->path);
    }
    if (code != CLI_OK) {
        return code;
    }
    sort_days(flights);
    flights->places = heap_allocate(count, sizeof *flights->places);
    flights->place_ends = heap_allocate(count, sizeof *flights->place_ends);
    uint64_t rows = 0;
    flights->place_tallies =
        heap_allocate(flights->day_count * flights->carrier_count, sizeof(struct tally));
    flights->airport_tallies = heap_allocate(flights->airport_count, sizeof(struct tally));
    for (size_t i = 0; i < count; ++i) {
        const kh_batch *batch = NULL;
        size_t day = 0;
        size_t carrier = 0;
        if (!flights_parse_key(flights, split_key(load->split, i), &day, &carrier)) {
            return complain(CLI_FAILED, "%s: a day or carrier has a name that is no key",
                            load->path);
        }
        size_t place = day * flights->carrier_count + carrier;
        code = split_value(load->split, i, &batch);
        if (code != CLI_OK) {
            return code;
        }
        rows += (uint64_t)kh_batch_row_count(batch);
        flights->place_ends[flights->place_count] = rows;
        flights->places[flights->place_count++] = (uint32_t)place;
        flights_count(flights, batch, &flights->place_tallies[place], flights->airport_tallies);
    }
    return CLI_OK;
}

static kh_status put_keys(struct load *load, size_t first, size_t end, kh_error *error) {
    kh_txn *txn = NULL;
    kh_status status = kh_txn_begin(load->flights->db, NULL, &txn, error);
    for (size_t i = first; i < end && status == KH_OK; ++i) {
        const kh_batch *batch = NULL;
        if (split_value(load->split, i, &batch) != CLI_OK) {
            status = KH_NO_MEMORY;
            break;
        }
        status = kh_txn_put(txn, split_key(load->split, i), batch, error);
    }
    if (status == KH_OK) {
        status = kh_txn_commit(txn, NULL, error);
    }
    kh_txn_close(txn);
    return status;
}

static kh_status put_carrier(const struct flights *flights, kh_txn *txn, size_t carrier,
                             kh_error *error) {
    kh_scalar *rows = heap_allocate(flights->day_count * SUMMARY_COLUMNS, sizeof *rows);
    struct text key = {NULL, 0, 0};
    int64_t row_count = 0;
    for (size_t day = 0; day < flights->day_count; ++day) {
        const struct tally *tally = &flights->place_tallies[day * flights->carrier_count + carrier];
        if (tally->flights > 0) {
            flights_summary_row(&rows[row_count++ * SUMMARY_COLUMNS], flights->days[day].name,
                                tally);
        }
    }
    kh_batch *batch = NULL;
    kh_status status =
        kh_batch_build(flights->db, flights->summary_schema, rows, row_count, &batch, error);
    if (status == KH_OK) {
        flights_carrier_key(flights, carrier, &key);
        status = kh_txn_put(txn, text_bytes(&key), batch, error);
    }
    kh_batch_release(batch);
    text_free(&key);
    free(rows);
    return status;
}

static kh_status put_airport(const struct flights *flights, kh_txn *txn, size_t airport,
                             kh_error *error) {
    kh_scalar row[SUMMARY_COLUMNS];
    struct text key = {NULL, 0, 0};
    kh_batch *batch = NULL;
    flights_summary_row(row, flights->airports[airport], &flights->airport_tallies[airport]);
    kh_status status = kh_batch_build(flights->db, flights->summary_schema, row, 1, &batch, error);
    if (status == KH_OK) {
        flights_airport_key(flights, airport, &key);
        status = kh_txn_put(txn, text_bytes(&key), batch, error);
    }
    kh_batch_release(batch);
    text_free(&key);
    return status;
}

static kh_status put_summaries(const struct flights *flights, kh_error *error) {
    kh_txn *txn = NULL;
    kh_status status = kh_txn_begin(flights->db, NULL, &txn, error);
    for (size_t i = 0; i < flights->carrier_count && status == KH_OK; ++i) {
        status = put_carrier(flights, txn, i, error);
    }
    for (size_t i = 0; i < flights->airport_count && status == KH_OK; ++i) {
        status = put_airport(flights, txn, i, error);
    }
    if (status == KH_OK && flights->is_durable) {
        status = ledger_mark(flights, txn, true, error);
    }
    if (status == KH_OK) {
        status = kh_txn_commit(txn, NULL, error);
    }
    kh_txn_close(txn);
    return status;
}

static int put_all(struct load *load) {
    kh_error error = {""};
    kh_status status = load->flights->is_durable ? ledger_begin(load->flights, &error) : KH_OK;
    size_t count = split_key_count(load->split);
    for (size_t first = 0; first < count && status == KH_OK; first += LOAD_KEYS) {
        size_t end = first + LOAD_KEYS < count ? first + LOAD_KEYS : count;
        status = put_keys(load, first, end, &error);
    }
    if (status == KH_OK) {
        status = put_summaries(load->flights, &error);
    }
    return status == KH_OK ? CLI_OK : complain_status(load->path, status, &error);
}

static double now_seconds(void) {
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int open_database(struct flights *flights, const struct flights_source *source) {
    kh_error error = {""};
    kh_options options = KH_OPTIONS_INIT;
    options.isolation = source->isolation;
    options.timeout_ms = 60000; /* a busy machine is no reason to end a demonstration */
    options.path = source->path;
    options.sync = source->path == NULL ? KH_SYNC_DEFAULT : source->sync;
    flights->is_durable = source->path != NULL;
    double began = now_seconds();
    kh_status status = opening_open(&options, &flights->db, &error);
    flights->open_seconds = now_seconds() - began;
    return status == KH_OK
               ? CLI_OK
               : complain_status(source->path == NULL ? "open" : source->path, status, &error);
}

int flights_load(struct flights *flights, const struct flights_source *source) {
    *flights = (struct flights){.db = NULL};
    struct load load = {flights, NULL, source->file};
    int code = source->path == NULL ? CLI_OK : ledger_look(source);
    if (code == CLI_OK) {
        code = open_database(flights, source);
    }
    if (code != CLI_OK) {
        return code;
    }
    code = file_read(flights->db, source->file, take_schema, take_batch, &load);
    if (code == CLI_OK) {
        code = learn(&load);
    }
    if (code == CLI_OK && flights->is_durable) {
        code = ledger_open(flights, source);
    }
    if (code == CLI_OK && !flights->is_continued) {
        code = put_all(&load);
    }
    split_free(load.split);
    if (code != CLI_OK) {
        flights_free(flights);
    }
    return code;
}

static void free_names(char **names, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        free(names[i]);
    }
    free(names);
}

void flights_free(struct flights *flights) {
    for (size_t i = 0; i < flights->day_count; ++i) {
        for (size_t v = 0; v < flights->day_column_count; ++v) {
            if (flights->days[i].values[v].kind == KH_SCALAR_BYTES) {
                free((void *)(uintptr_t)flights->days[i].values[v].as.bytes.data);
            }
        }
        free(flights->days[i].name);
    }
    free(flights->days);
    free_names(flights->carriers, flights->carrier_count);
    free_names(flights->airports, flights->airport_count);
    free(flights->places);
    free(flights->place_ends);
    free(flights->place_tallies);
    free(flights->airport_tallies);
    kh_schema_release(flights->row_schema);
    kh_schema_release(flights->delay_schema);
    kh_schema_release(flights->cancel_schema);
    kh_schema_release(flights->rebook_schema);
    kh_schema_release(flights->summary_schema);
    kh_schema_release(flights->ledger_schema);
    (void)kh_db_close(flights->db);
    *flights = (struct flights){.db = NULL};
}
