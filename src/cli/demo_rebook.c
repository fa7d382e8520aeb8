/* demo_rebook.c - rebooking: flights move from one key to another, to the next day of their carrier
 * or to another carrier of the same day, and depart after all if they were cancelled. */
#include "demo_write.h"

#include <string.h>

enum { REBOOK_MAX = 3, REBOOK_COLUMNS_MAX = 4 + FLIGHTS_DAY_COLUMNS };

static void choose(struct writer *writer, struct write_place *from, struct write_place *to) {
    const struct flights *flights = writer->flights;
    uint32_t picked = flights_place_of(flights, writer_random(writer, flights->row_count));
    from->day = to->day = picked / flights->carrier_count;
    from->carrier = to->carrier = picked % flights->carrier_count;
    if (writer_random(writer, 3) == 0) {
        picked = flights_place_of(flights, writer_random(writer, flights->row_count));
        to->carrier = picked % flights->carrier_count;
    } else {
        to->day = (from->day + 1) % flights->day_count;
    }
}

/* The patch of one taken row, in the order of the rebook schema. */
static size_t fill(struct writer *writer, const struct write_place *to, const kh_batch *taken,
                   int64_t row, kh_scalar *cells) {
    const struct flights *flights = writer->flights;
    const char *carrier = flights->carriers[to->carrier];
    size_t count = 0;
    cells[count] = (kh_scalar){KH_SCALAR_NULL, {.int64 = 0}};
    (void)flights_scalar(taken, flights->id, row, &cells[count++]);
    cells[count++] =
        (kh_scalar){KH_SCALAR_INT64, {.int64 = (int64_t)writer_random(writer, 60) - 10}};
    cells[count++] = (kh_scalar){KH_SCALAR_BYTES, {.bytes = {carrier, strlen(carrier)}}};
    if (flights->dep_time >= 0) {
        cells[count] = (kh_scalar){KH_SCALAR_NULL, {.int64 = 0}};
        (void)flights_scalar(taken, flights->sched_dep_time, row, &cells[count++]);
    }
    for (size_t i = 0; i < flights->day_column_count; ++i) {
        cells[count++] = flights->days[to->day].values[i];
    }
    return count;
}

static kh_status build_moved(struct writer *writer, const struct write_place *to,
                             const kh_batch *taken, kh_batch **out, kh_error *error) {
    const struct flights *flights = writer->flights;
    kh_scalar cells[REBOOK_MAX * REBOOK_COLUMNS_MAX];
    int64_t row_count = kh_batch_row_count(taken);
    size_t cell_count = 0;
    kh_batch *patch = NULL;
    for (int64_t row = 0; row < row_count; ++row) {
        cell_count += fill(writer, to, taken, row, &cells[cell_count]);
    }
    kh_status status =
        kh_batch_build(flights->db, flights->rebook_schema, cells, row_count, &patch, error);
    if (status == KH_OK) {
        status = kh_batch_update_rows(taken, patch, NULL, out, error);
    }
    kh_batch_release(patch);
    return status;
}

static kh_status move(struct writer *writer, kh_txn *txn, struct write_place *from,
                      struct write_place *to, kh_error *error) {
    size_t count = writer_pick(writer, from->batch, false, REBOOK_MAX);
    if (count == 0) {
        count = writer_pick(writer, from->batch, true, 1);
    }
    if (count == 0) {
        return KH_NOT_FOUND;
    }
    kh_batch *taken = NULL;
    kh_batch *moved = NULL;
    kh_status status = kh_batch_take(from->batch, writer->rows, (int64_t)count, &taken, error);
    if (status == KH_OK) {
        status = build_moved(writer, to, taken, &moved, error);
    }
    if (status == KH_OK) {
        bool is_emptied = (int64_t)count == kh_batch_row_count(from->batch);
        status = is_emptied ? kh_txn_delete(txn, text_bytes(&from->key), error)
                            : kh_txn_delete_rows(txn, text_bytes(&from->key), taken, error);
    }
    if (status == KH_OK) {
        status = kh_txn_insert_rows(txn, text_bytes(&to->key), moved, error);
    }
    kh_batch_release(moved);
    kh_batch_release(taken);
    writer->rows_changed = count;
    return status;
}

kh_status writer_rebook(struct writer *writer, kh_txn *txn, kh_error *error) {
    struct write_place from = {.day = 0};
    struct write_place to = {.day = 0};
    choose(writer, &from, &to);
    if (from.day == to.day && from.carrier == to.carrier) {
        return KH_NOT_FOUND;
    }
    kh_status status = writer_read(writer, txn, &from, error);
    if (status == KH_OK) {
        status = writer_read(writer, txn, &to, error);
        status = status == KH_NOT_FOUND ? KH_OK : status;
    }
    if (status == KH_OK) {
        status = move(writer, txn, &from, &to, error);
    }
    if (status == KH_OK) {
        status = writer_settle(writer, txn, &from, error);
    }
    if (status == KH_OK) {
        status = writer_settle(writer, txn, &to, error);
    }
    if (status == KH_OK) {
        status = writer_settle_airports(writer, txn, error);
    }
    text_free(&from.key);
    text_free(&to.key);
    return status;
}
