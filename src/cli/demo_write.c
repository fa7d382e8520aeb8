/* demo_write.c - delaying, cancelling and recovering flights.
 *
 * Each transaction keeps the invariant by itself. The carrier's summary of a day is a function of
 * one key that the transaction has read, so that its row is upserted without being read: writers of
 * other days of the same carrier do not conflict. The airport's sums are read, changed and written
 * back, by put and by compare-and-swap: writers of one airport do conflict, and are run again. */
#include "demo_write.h"

#include "heap.h"

#include <stdlib.h>
#include <string.h>

/* A delay that would fit no int16 column would end the demo; nobody waits longer than this. */
enum { DELAY_MAX = 20000 };

void writer_init(struct writer *writer, const struct flights *flights, uint64_t seed) {
    *writer = (struct writer){.flights = flights, .random = seed};
    writer->deltas = heap_allocate(flights->airport_count, sizeof(struct tally));
    writer->counted = heap_allocate(flights->airport_count, sizeof(struct tally));
}

void writer_fini(struct writer *writer) {
    free(writer->deltas);
    free(writer->counted);
    free(writer->rows);
    text_free(&writer->key);
}

/* SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). */
uint64_t writer_random(struct writer *writer, uint64_t bound) {
    uint64_t mixed = writer->random += 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    return (mixed ^ mixed >> 31) % bound;
}

kh_status writer_read(struct writer *writer, kh_txn *txn, struct write_place *place,
                      kh_error *error) {
    const struct flights *flights = writer->flights;
    flights_key(flights, place->day, place->carrier, &place->key);
    place->batch = NULL;
    place->before = (struct tally){0, 0, 0, 0};
    kh_status status = kh_txn_peek(txn, text_bytes(&place->key), &place->batch, error);
    if (status == KH_OK) {
        memset(writer->counted, 0, flights->airport_count * sizeof(struct tally));
        flights_count(flights, place->batch, &place->before, writer->counted);
        for (size_t i = 0; i < flights->airport_count; ++i) {
            flights_add(&writer->deltas[i], &writer->counted[i], -1);
        }
    }
    return status;
}

static kh_status settle_carrier(struct writer *writer, kh_txn *txn, const struct write_place *place,
                                const struct tally *after, kh_error *error) {
    const struct flights *flights = writer->flights;
    kh_scalar row[SUMMARY_COLUMNS];
    kh_batch *batch = NULL;
    flights_summary_row(row, flights->days[place->day].name, after);
    kh_status status = kh_batch_build(flights->db, flights->summary_schema, row, 1, &batch, error);
    if (status != KH_OK) {
        return status;
    }
    flights_carrier_key(flights, place->carrier, &writer->key);
    kh_bytes key = text_bytes(&writer->key);
    if (after->flights == 0) {
        status = kh_txn_delete_rows(txn, key, batch, error);
    } else if (place->before.flights == 0) {
        status = kh_txn_upsert_rows(txn, key, batch, error);
    } else {
        status = kh_txn_update_rows(txn, key, batch, error);
    }
    kh_batch_release(batch);
    return status;
}

kh_status writer_settle(struct writer *writer, kh_txn *txn, struct write_place *place,
                        kh_error *error) {
    const struct flights *flights = writer->flights;
    const kh_batch *batch = NULL;
    struct tally after = {0, 0, 0, 0};
    kh_status status = kh_txn_peek(txn, text_bytes(&place->key), &batch, error);
    if (status == KH_OK) {
        memset(writer->counted, 0, flights->airport_count * sizeof(struct tally));
        flights_count(flights, batch, &after, writer->counted);
        for (size_t i = 0; i < flights->airport_count; ++i) {
            flights_add(&writer->deltas[i], &writer->counted[i], 1);
        }
    } else if (status != KH_NOT_FOUND) {
        return status;
    }
    return flights_is_same(&place->before, &after)
               ? KH_OK
               : settle_carrier(writer, txn, place, &after, error);
}

static kh_status settle_airport(struct writer *writer, kh_txn *txn, size_t airport,
                                kh_error *error) {
    const struct flights *flights = writer->flights;
    const kh_batch *old = NULL;
    kh_batch *new = NULL;
    kh_bytes id = {NULL, 0};
    struct tally tally = {0, 0, 0, 0};
    kh_scalar row[SUMMARY_COLUMNS];
    flights_airport_key(flights, airport, &writer->key);
    kh_bytes key = text_bytes(&writer->key);
    kh_status status = kh_txn_peek(txn, key, &old, error);
    if (status != KH_OK) {
        return status;
    }
    if (!flights_read_summary(old, 0, &id, &tally)) {
        return KH_INVALID;
    }
    flights_add(&tally, &writer->deltas[airport], 1);
    flights_summary_row(row, flights->airports[airport], &tally);
    status = kh_batch_build(flights->db, flights->summary_schema, row, 1, &new, error);
    if (status == KH_OK) {
        status = writer_random(writer, 2) == 0 ? kh_txn_put(txn, key, new, error)
                                               : kh_txn_compare_and_swap(txn, key, old, new, error);
    }
    kh_batch_release(new);
    return status;
}

kh_status writer_settle_airports(struct writer *writer, kh_txn *txn, kh_error *error) {
    const struct tally none = {0, 0, 0, 0};
    kh_status status = KH_OK;
    bool is_left_out = writer->sabotage > 0 && writer->attempt_count % writer->sabotage == 0;
    for (size_t i = 0; i < writer->flights->airport_count && status == KH_OK; ++i) {
        if (!flights_is_same(&writer->deltas[i], &none) && !is_left_out) {
            status = settle_airport(writer, txn, i, error);
        }
    }
    return status;
}

static void reserve_rows(struct writer *writer, size_t count) {
    if (count > writer->row_capacity) {
        writer->row_capacity = count;
        writer->rows = heap_resize(writer->rows, count, sizeof *writer->rows);
    }
}

size_t writer_pick(struct writer *writer, const kh_batch *batch, bool is_departed, size_t count) {
    uint64_t row_count = (uint64_t)kh_batch_row_count(batch);
    size_t picked = 0;
    if (row_count == 0) {
        return 0;
    }
    reserve_rows(writer, count);
    uint64_t first = writer_random(writer, row_count);
    for (uint64_t i = 0; i < row_count && picked < count; ++i) {
        int64_t row = (int64_t)((first + i) % row_count);
        int64_t delay = 0;
        bool has_departed = flights_delay(writer->flights, batch, row, &delay);
        if (has_departed == is_departed && delay < DELAY_MAX) {
            writer->rows[picked++] = row;
        }
    }
    return picked;
}

/* A patch of the picked rows: their delays become delay(old). */
static kh_status build_delays(struct writer *writer, const kh_batch *batch, size_t count,
                              int64_t (*delay)(int64_t old, int64_t amount), int64_t amount,
                              kh_batch **out, kh_error *error) {
    const struct flights *flights = writer->flights;
    kh_scalar *cells = heap_allocate(count * 2, sizeof *cells);
    for (size_t i = 0; i < count; ++i) {
        int64_t old = 0;
        (void)flights_delay(flights, batch, writer->rows[i], &old);
        (void)flights_scalar(batch, flights->id, writer->rows[i], &cells[i * 2]);
        cells[i * 2 + 1] = (kh_scalar){KH_SCALAR_INT64, {.int64 = delay(old, amount)}};
    }
    kh_status status =
        kh_batch_build(flights->db, flights->delay_schema, cells, (int64_t)count, out, error);
    free(cells);
    return status;
}

static int64_t later(int64_t old, int64_t amount) {
    return old + amount;
}

/* Late flights make up for a part of their delay. */
static int64_t recovered(int64_t old, int64_t percent) {
    return old > 0 ? old - old * percent / 100 : old;
}

static kh_status delay(struct writer *writer, kh_txn *txn, struct write_place *place,
                       int64_t minutes, kh_error *error) {
    size_t count = writer_pick(writer, place->batch, true, 1 + writer_random(writer, 3));
    kh_batch *patch = NULL;
    if (count == 0) {
        return KH_NOT_FOUND;
    }
    kh_status status = build_delays(writer, place->batch, count, later, minutes, &patch, error);
    if (status == KH_OK) {
        status = kh_txn_update_rows(txn, text_bytes(&place->key), patch, error);
    }
    kh_batch_release(patch);
    writer->rows_changed = count;
    return status;
}

static kh_status cancel(struct writer *writer, kh_txn *txn, struct write_place *place,
                        kh_error *error) {
    const struct flights *flights = writer->flights;
    size_t count = writer_pick(writer, place->batch, true, 1);
    kh_scalar cells[3] = {{KH_SCALAR_NULL, {.int64 = 0}},
                          {KH_SCALAR_NULL, {.int64 = 0}},
                          {KH_SCALAR_NULL, {.int64 = 0}}};
    kh_batch *patch = NULL;
    if (count == 0) {
        return KH_NOT_FOUND;
    }
    (void)flights_scalar(place->batch, flights->id, writer->rows[0], &cells[0]);
    kh_status status = kh_batch_build(flights->db, flights->cancel_schema, cells, 1, &patch, error);
    if (status == KH_OK) {
        status = kh_txn_update_rows(txn, text_bytes(&place->key), patch, error);
    }
    kh_batch_release(patch);
    writer->rows_changed = 1;
    return status;
}

/* The whole value anew, by the row operations that work on batches alone. */
static kh_status recover(struct writer *writer, kh_txn *txn, struct write_place *place,
                         kh_error *error) {
    size_t row_count = (size_t)kh_batch_row_count(place->batch);
    size_t count = writer_pick(writer, place->batch, true, row_count);
    kh_batch *patch = NULL;
    kh_batch *whole = NULL;
    if (count == 0) {
        return KH_NOT_FOUND;
    }
    kh_status status = build_delays(writer, place->batch, count, recovered,
                                    (int64_t)writer_random(writer, 40), &patch, error);
    if (status == KH_OK) {
        status = kh_batch_update_rows(place->batch, patch, NULL, &whole, error);
    }
    if (status == KH_OK) {
        status = kh_txn_put(txn, text_bytes(&place->key), whole, error);
    }
    kh_batch_release(whole);
    kh_batch_release(patch);
    writer->rows_changed = count;
    return status;
}

static kh_status change(struct writer *writer, enum write_kind kind, kh_txn *txn,
                        struct write_place *place, kh_error *error) {
    switch (kind) {
    case WRITE_CANCEL:
        return cancel(writer, txn, place, error);
    case WRITE_RECOVER:
        return recover(writer, txn, place, error);
    default:
        return delay(writer, txn, place, 5 + (int64_t)writer_random(writer, 116), error);
    }
}

static void begin(struct writer *writer) {
    memset(writer->deltas, 0, writer->flights->airport_count * sizeof(struct tally));
    writer->attempt_count += 1;
    writer->rows_changed = 0;
}

kh_status writer_run(struct writer *writer, enum write_kind kind, kh_txn *txn, kh_error *error) {
    const struct flights *flights = writer->flights;
    begin(writer);
    if (kind == WRITE_REBOOK) {
        return writer_rebook(writer, txn, error);
    }
    uint32_t picked = flights_place_of(flights, writer_random(writer, flights->row_count));
    struct write_place place = {.day = picked / flights->carrier_count,
                                .carrier = picked % flights->carrier_count};
    kh_status status = writer_read(writer, txn, &place, error);
    if (status == KH_OK) {
        status = change(writer, kind, txn, &place, error);
    }
    if (status == KH_OK) {
        status = writer_settle(writer, txn, &place, error);
    }
    if (status == KH_OK) {
        status = writer_settle_airports(writer, txn, error);
    }
    text_free(&place.key);
    return status;
}

/* The first departed flight of the airport in the batch, as the picked row. */
static bool pick_airport(struct writer *writer, const kh_batch *batch, size_t airport) {
    const struct flights *flights = writer->flights;
    reserve_rows(writer, 1);
    for (int64_t row = 0; row < kh_batch_row_count(batch); ++row) {
        int64_t old = 0;
        kh_bytes name = {NULL, 0};
        if (flights_delay(flights, batch, row, &old) && old >= 0 && old < DELAY_MAX &&
            kh_batch_bytes(batch, flights->origin, row, &name) == KH_OK &&
            flights_find_airport(flights, name) == airport) {
            writer->rows[0] = row;
            return true;
        }
    }
    return false;
}

static kh_status delay_picked(struct writer *writer, kh_txn *txn, struct write_place *place,
                              int64_t minutes, kh_error *error) {
    kh_batch *patch = NULL;
    kh_status status = build_delays(writer, place->batch, 1, later, minutes, &patch, error);
    if (status == KH_OK) {
        status = kh_txn_update_rows(txn, text_bytes(&place->key), patch, error);
    }
    kh_batch_release(patch);
    if (status == KH_OK) {
        status = writer_settle(writer, txn, place, error);
    }
    return status == KH_OK ? writer_settle_airports(writer, txn, error) : status;
}

kh_status writer_delay_one(struct writer *writer, kh_txn *txn, size_t airport, int64_t minutes,
                           kh_error *error) {
    const struct flights *flights = writer->flights;
    struct write_place place = {.day = 0};
    kh_status status = KH_NOT_FOUND;
    for (size_t i = 0; i < flights->place_count && status == KH_NOT_FOUND; ++i) {
        begin(writer);
        place.day = flights->places[i] / flights->carrier_count;
        place.carrier = flights->places[i] % flights->carrier_count;
        status = writer_read(writer, txn, &place, error);
        if (status == KH_OK) {
            status = pick_airport(writer, place.batch, airport)
                         ? delay_picked(writer, txn, &place, minutes, error)
                         : KH_NOT_FOUND;
        }
    }
    text_free(&place.key);
    return status;
}
