/* demo_flights.h - the demo's world: flights by day and carrier in a database, and their names.
 *
 *   flights/2013-01-01/UA    the flights of a carrier on a day, as the file has them
 *   summary/carrier/UA       a row for each day: id (the day), flights, cancelled, delayed,
 *                            delay_minutes
 *   summary/airport/JFK      one row: id (the airport), the same sums over all days
 *
 * In a database with a path also what demo_ledger.h says.
 *
 * The invariant of every snapshot: the summaries are what counting the rows gives. struct flights
 * does not change once it is loaded: any thread may read it. */
#ifndef KHONSU_CLI_DEMO_FLIGHTS_H
#define KHONSU_CLI_DEMO_FLIGHTS_H

#include "text.h"

/* Sums over flights. */
struct tally {
    int64_t flights;
    int64_t cancelled;     /* without a departure */
    int64_t delayed;       /* departed late */
    int64_t delay_minutes; /* of the late ones */
};

enum { FLIGHTS_DAY_COLUMNS = 3 };

struct day {
    char *name;                            /* as in the keys */
    kh_scalar values[FLIGHTS_DAY_COLUMNS]; /* of the columns that say the day; bytes are owned */
};

struct flights {
    kh_db *db;
    uint64_t row_count;
    /* Columns, by position in the file; -1: there is none. */
    int64_t id, carrier, origin, dep_delay, dep_time, sched_dep_time;
    int64_t day_columns[FLIGHTS_DAY_COLUMNS];
    size_t day_column_count;
    /* Names. Keys exist for some pairs of a day and a carrier. */
    struct day *days;
    size_t day_count;
    char **carriers;
    size_t carrier_count;
    char **airports;
    size_t airport_count;
    uint32_t *places;     /* day * carrier_count + carrier of each key that was loaded */
    uint64_t *place_ends; /* flights in the places up to each, itself included */
    size_t place_count;
    /* Sums as loaded: of place [day * carrier_count + carrier], and of airports. */
    struct tally *place_tallies;
    struct tally *airport_tallies;
    /* Schemas of patches and summaries. */
    kh_schema *row_schema;
    kh_schema *delay_schema;   /* id, dep_delay */
    kh_schema *cancel_schema;  /* id, dep_delay, dep_time if there is one */
    kh_schema *rebook_schema;  /* id, dep_delay, carrier, dep_time if there is one, day's columns */
    kh_schema *summary_schema; /* id, flights, cancelled, delayed, delay_minutes */
    kh_schema *ledger_schema;  /* id, changes */
    bool is_durable;
    bool is_continued;   /* the flights were there; the sums "as loaded" are still the file's */
    double open_seconds; /* what opening took */
};

struct flights_source {
    const char *file;
    kh_isolation isolation;
    const char *path; /* of the database; NULL: in memory */
    kh_sync sync;
};

/* Open a database and load the file into it, summaries too, unless it is one that has them. Returns
 * an exit code, having complained; on failure flights is empty. */
int flights_load(struct flights *flights, const struct flights_source *source);
void flights_free(struct flights *flights);

void flights_key(const struct flights *flights, size_t day, size_t carrier, struct text *key);
void flights_carrier_key(const struct flights *flights, size_t carrier, struct text *key);
void flights_airport_key(const struct flights *flights, size_t airport, struct text *key);
/* The place that a flight was loaded into, by its number below row_count. */
uint32_t flights_place_of(const struct flights *flights, uint64_t number);
/* The day and carrier of a key; false: it is none of ours. */
bool flights_parse_key(const struct flights *flights, kh_bytes key, size_t *day, size_t *carrier);
/* Position of a name; the count when it is unknown. */
size_t flights_find_day(const struct flights *flights, kh_bytes name);
size_t flights_find_airport(const struct flights *flights, kh_bytes name);

/* Add the rows of a batch to total and, by airport, to airports (airport_count of them). Either may
 * be NULL. */
void flights_count(const struct flights *flights, const kh_batch *batch, struct tally *total,
                   struct tally *airports);
/* Is the row a flight that departed? *delay gets its minutes. */
bool flights_delay(const struct flights *flights, const kh_batch *batch, int64_t row,
                   int64_t *delay);
void flights_add(struct tally *tally, const struct tally *more, int sign);
bool flights_is_same(const struct tally *a, const struct tally *b);
/* A row of a summary batch as scalars (SUMMARY_COLUMNS of them), and back. */
enum { SUMMARY_COLUMNS = 5 };
void flights_summary_row(kh_scalar *row, const char *id, const struct tally *tally);
bool flights_read_summary(const kh_batch *summary, int64_t row, kh_bytes *id, struct tally *tally);

/* A value of any type that an id, a day or a carrier may have. False: null or another type. Bytes
 * are borrowed from the batch. */
bool flights_scalar(const kh_batch *batch, int64_t column, int64_t row, kh_scalar *out);

#endif
