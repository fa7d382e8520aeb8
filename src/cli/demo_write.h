/* demo_write.h - the demo's writers: transactions that change flights and their summaries. */
#ifndef KHONSU_CLI_DEMO_WRITE_H
#define KHONSU_CLI_DEMO_WRITE_H

#include "demo_flights.h"

enum write_kind { WRITE_DELAY, WRITE_CANCEL, WRITE_REBOOK, WRITE_RECOVER, WRITE_KIND_COUNT };

/* One place (a day and a carrier) that a transaction changes. */
struct write_place {
    size_t day;
    size_t carrier;
    struct text key;
    const kh_batch *batch; /* as read; NULL: absent */
    struct tally before;
};

/* One writing thread. */
struct writer {
    const struct flights *flights;
    uint64_t number;
    uint64_t changes;  /* committed by all writers of this number; of a durable database only */
    uint64_t random;   /* state */
    uint64_t sabotage; /* leave out the airport's summary in every n-th; 0: never */
    uint64_t attempt_count;
    struct tally *deltas;  /* of each airport, in the transaction at hand */
    struct tally *counted; /* room for a count by airport */
    int64_t *rows;         /* picked from the batch at hand */
    size_t row_capacity;
    struct text key;
    uint64_t rows_changed; /* by the attempt at hand */
};

void writer_init(struct writer *writer, const struct flights *flights, uint64_t seed);
void writer_fini(struct writer *writer);
/* A number below bound (at least 1). */
uint64_t writer_random(struct writer *writer, uint64_t bound);

/* Bodies of transactions (kh_db_run): change flights at random. KH_NOT_FOUND: the dice showed
 * nothing that could be changed so; nothing is written. */
kh_status writer_run(struct writer *writer, enum write_kind kind, kh_txn *txn, kh_error *error);
kh_status writer_rebook(struct writer *writer, kh_txn *txn, kh_error *error);

/* Delay one departed flight of an airport, the first that is found, by minutes. */
kh_status writer_delay_one(struct writer *writer, kh_txn *txn, size_t airport, int64_t minutes,
                           kh_error *error);

/* ---- parts of a transaction ---- */

/* Read a place, count it, and take it off the airports' sums. */
kh_status writer_read(struct writer *writer, kh_txn *txn, struct write_place *place,
                      kh_error *error);
/* Read it again, as this transaction left it, and write the carrier's summary of the day. */
kh_status writer_settle(struct writer *writer, kh_txn *txn, struct write_place *place,
                        kh_error *error);
/* Write what changed at the airports: the last step. */
kh_status writer_settle_airports(struct writer *writer, kh_txn *txn, kh_error *error);
/* Pick up to count rows with (is_departed) or without a departure into rows. */
size_t writer_pick(struct writer *writer, const kh_batch *batch, bool is_departed, size_t count);

#endif
