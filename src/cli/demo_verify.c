/* demo_verify.c - counting a snapshot's rows and comparing with its summaries. */
#include "demo_verify.h"

#include "heap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void verify_init(struct verify *verify, const struct flights *flights) {
    *verify = (struct verify){.flights = flights};
    verify->places =
        heap_allocate(flights->day_count * flights->carrier_count, sizeof(struct tally));
    verify->airports = heap_allocate(flights->airport_count, sizeof(struct tally));
    verify->keys = heap_allocate(flights->day_count, sizeof(kh_bytes));
    verify->key_texts = heap_allocate(flights->day_count, sizeof(struct text));
    verify->values = heap_allocate(flights->day_count, sizeof(kh_batch *));
}

void verify_fini(struct verify *verify) {
    for (size_t i = 0; i < verify->flights->day_count; ++i) {
        text_free(&verify->key_texts[i]);
    }
    free(verify->places);
    free(verify->airports);
    free(verify->keys);
    free(verify->key_texts);
    free(verify->values);
    text_free(&verify->key);
    text_free(&verify->breach);
}

static void report(struct verify *verify, kh_txn *txn, const char *what, const char *id,
                   const struct tally *summary, const struct tally *rows) {
    verify->breach_count += 1;
    if (verify->breach.size > 0) {
        return;
    }
    text_printf(&verify->breach,
                "snapshot %" PRIu64 ", %s %s: the summary says %" PRId64 " flights, %" PRId64
                " cancelled, %" PRId64 " late by %" PRId64 " minutes; the rows say %" PRId64
                ", %" PRId64 ", %" PRId64 ", %" PRId64,
                kh_txn_snapshot(txn), what, id, summary->flights, summary->cancelled,
                summary->delayed, summary->delay_minutes, rows->flights, rows->cancelled,
                rows->delayed, rows->delay_minutes);
}

/* Compare the days of a carrier, counted in places, with its summary. */
static kh_status compare_carrier(struct verify *verify, kh_txn *txn, size_t carrier,
                                 kh_error *error) {
    const struct flights *flights = verify->flights;
    const kh_batch *summary = NULL;
    flights_carrier_key(flights, carrier, &verify->key);
    kh_status status = kh_txn_peek(txn, text_bytes(&verify->key), &summary, error);
    if (status != KH_OK && status != KH_NOT_FOUND) {
        return status;
    }
    int64_t days_with_flights = 0;
    for (size_t day = 0; day < flights->day_count; ++day) {
        const struct tally *rows = &verify->places[day * flights->carrier_count + carrier];
        days_with_flights += rows->flights > 0 ? 1 : 0;
    }
    int64_t row_count = status == KH_OK ? kh_batch_row_count(summary) : 0;
    for (int64_t row = 0; row < row_count; ++row) {
        kh_bytes id = {NULL, 0};
        struct tally said = {0, 0, 0, 0};
        const struct tally none = {0, 0, 0, 0};
        size_t day = flights->day_count;
        if (flights_read_summary(summary, row, &id, &said)) {
            day = flights_find_day(flights, id);
        }
        const struct tally *rows = day == flights->day_count
                                       ? &none
                                       : &verify->places[day * flights->carrier_count + carrier];
        if (day == flights->day_count || !flights_is_same(&said, rows)) {
            struct text what = {NULL, 0, 0};
            text_printf(&what, "carrier %s on", flights->carriers[carrier]);
            report(verify, txn, what.bytes,
                   day == flights->day_count ? "?" : flights->days[day].name, &said, rows);
            text_free(&what);
        }
    }
    if (row_count != days_with_flights) {
        const struct tally said = {row_count, 0, 0, 0};
        const struct tally rows = {days_with_flights, 0, 0, 0};
        report(verify, txn, "days of carrier", flights->carriers[carrier], &said, &rows);
    }
    return KH_OK;
}

kh_status verify_read_airport(struct verify *verify, kh_txn *txn, size_t airport, struct tally *out,
                              kh_error *error) {
    const kh_batch *summary = NULL;
    kh_bytes id = {NULL, 0};
    flights_airport_key(verify->flights, airport, &verify->key);
    kh_status status = kh_txn_peek(txn, text_bytes(&verify->key), &summary, error);
    if (status == KH_OK &&
        (kh_batch_row_count(summary) != 1 || !flights_read_summary(summary, 0, &id, out))) {
        status = KH_NOT_FOUND;
    }
    return status;
}

static kh_status compare_airport(struct verify *verify, kh_txn *txn, size_t airport,
                                 kh_error *error) {
    struct tally said = {0, 0, 0, 0};
    kh_status status = verify_read_airport(verify, txn, airport, &said, error);
    if (status != KH_OK && status != KH_NOT_FOUND) {
        return status;
    }
    if (!flights_is_same(&said, &verify->airports[airport])) {
        report(verify, txn, "airport", verify->flights->airports[airport], &said,
               &verify->airports[airport]);
    }
    return KH_OK;
}

static kh_status count_cursor(struct verify *verify, kh_cursor *cursor, kh_error *error) {
    const struct flights *flights = verify->flights;
    for (;;) {
        kh_bytes key = {NULL, 0};
        const kh_batch *batch = NULL;
        size_t day = 0;
        size_t carrier = 0;
        kh_status status = kh_cursor_next(cursor, &key, &batch, error);
        if (status != KH_OK) {
            return status == KH_END ? KH_OK : status;
        }
        if (!flights_parse_key(flights, key, &day, &carrier)) {
            continue;
        }
        verify->rows_counted += (uint64_t)kh_batch_row_count(batch);
        flights_count(flights, batch, &verify->places[day * flights->carrier_count + carrier],
                      verify->airports);
    }
}

kh_status verify_count(struct verify *verify, kh_txn *txn, kh_error *error) {
    const struct flights *flights = verify->flights;
    size_t place_count = flights->day_count * flights->carrier_count;
    memset(verify->places, 0, place_count * sizeof(struct tally));
    memset(verify->airports, 0, flights->airport_count * sizeof(struct tally));
    kh_scan_options options = KH_SCAN_OPTIONS_INIT;
    options.prefix = (kh_bytes){"flights/", strlen("flights/")};
    kh_cursor *cursor = NULL;
    kh_status status = kh_txn_scan(txn, &options, &cursor, error);
    if (status == KH_OK) {
        status = count_cursor(verify, cursor, error);
        kh_cursor_close(cursor);
    }
    return status;
}

kh_status verify_airport(struct verify *verify, kh_txn *txn, size_t airport, kh_error *error) {
    kh_status status = verify_count(verify, txn, error);
    return status == KH_OK ? compare_airport(verify, txn, airport, error) : status;
}

kh_status verify_all(struct verify *verify, kh_txn *txn, kh_error *error) {
    const struct flights *flights = verify->flights;
    kh_status status = verify_count(verify, txn, error);
    for (size_t i = 0; i < flights->carrier_count && status == KH_OK; ++i) {
        status = compare_carrier(verify, txn, i, error);
    }
    for (size_t i = 0; i < flights->airport_count && status == KH_OK; ++i) {
        status = compare_airport(verify, txn, i, error);
    }
    if (status != KH_OK) {
        return status;
    }
    int64_t total = 0;
    for (size_t i = 0; i < flights->airport_count; ++i) {
        total += verify->airports[i].flights;
    }
    if ((uint64_t)total != flights->row_count) {
        const struct tally said = {(int64_t)flights->row_count, 0, 0, 0};
        const struct tally rows = {total, 0, 0, 0};
        report(verify, txn, "all", "flights (none may get lost)", &said, &rows);
    }
    return KH_OK;
}

kh_status verify_carrier(struct verify *verify, kh_txn *txn, size_t carrier, kh_error *error) {
    const struct flights *flights = verify->flights;
    for (size_t day = 0; day < flights->day_count; ++day) {
        flights_key(flights, day, carrier, &verify->key_texts[day]);
        verify->keys[day] = text_bytes(&verify->key_texts[day]);
    }
    kh_status status =
        kh_txn_get_many(txn, verify->keys, flights->day_count, verify->values, error);
    if (status != KH_OK) {
        return status;
    }
    for (size_t day = 0; day < flights->day_count; ++day) {
        struct tally *tally = &verify->places[day * flights->carrier_count + carrier];
        *tally = (struct tally){0, 0, 0, 0};
        if (verify->values[day] != NULL) {
            flights_count(flights, verify->values[day], tally, NULL);
            verify->rows_counted += (uint64_t)kh_batch_row_count(verify->values[day]);
            kh_batch_release(verify->values[day]);
            verify->values[day] = NULL;
        }
    }
    return compare_carrier(verify, txn, carrier, error);
}
