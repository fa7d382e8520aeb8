/* demo_verify.h - does a snapshot keep the invariant? Counting its rows again and comparing. */
#ifndef KHONSU_CLI_DEMO_VERIFY_H
#define KHONSU_CLI_DEMO_VERIFY_H

#include "demo_flights.h"

/* What one verifying thread needs, made once. */
struct verify {
    const struct flights *flights;
    struct tally *places; /* counted: [day * carrier_count + carrier] */
    struct tally *airports;
    kh_bytes *keys; /* of the days of one carrier */
    struct text *key_texts;
    kh_batch **values;
    struct text key;
    uint64_t rows_counted;
    /* The first breach that was found: empty, or what is wrong where. */
    struct text breach;
    uint64_t breach_count;
};

void verify_init(struct verify *verify, const struct flights *flights);
void verify_fini(struct verify *verify);

/* Count rows in the transaction's snapshot and compare with the summaries: of one carrier (a
 * multi-get of its days), of one airport (a scan), of everything (a scan). A difference is no
 * failure of the call: it is added to breach. */
kh_status verify_carrier(struct verify *verify, kh_txn *txn, size_t carrier, kh_error *error);
kh_status verify_airport(struct verify *verify, kh_txn *txn, size_t airport, kh_error *error);
kh_status verify_all(struct verify *verify, kh_txn *txn, kh_error *error);

/* Count all rows into places and airports. */
kh_status verify_count(struct verify *verify, kh_txn *txn, kh_error *error);
/* The one row of an airport's summary. KH_NOT_FOUND: there is none. */
kh_status verify_read_airport(struct verify *verify, kh_txn *txn, size_t airport, struct tally *out,
                              kh_error *error);

#endif
