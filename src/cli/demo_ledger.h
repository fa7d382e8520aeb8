/* demo_ledger.h - what the demo writes down in a database on disk, beside the flights.
 *
 *   demo/loaded     one row, as of a summary: id "loading" or "loaded", and the sums of the whole
 *                   file, by which another file is known
 *   demo/writer/3   one row: id "3", and the changes that the writer has committed. It is written
 * in the transaction of each change: who counts n has made all n of them */
#ifndef KHONSU_CLI_DEMO_LEDGER_H
#define KHONSU_CLI_DEMO_LEDGER_H

#include "demo_flights.h"

/* Make the schema. */
kh_status ledger_prepare(struct flights *flights, kh_error *error);
/* Before the database is opened for writing, which would trim its history and its log: a directory
 * without one, or with one that is not somebody else's? Returns an exit code, having complained.
 * Nothing is changed. */
int ledger_look(const struct flights_source *source);
/* Whose database is it? Sets is_continued when all flights of the file are there. Returns an exit
 * code, having complained: it is not the demo's, or has the flights of another file. */
int ledger_open(struct flights *flights, const struct flights_source *source);
/* In a transaction of its own: loading has begun. */
kh_status ledger_begin(const struct flights *flights, kh_error *error);
kh_status ledger_mark(const struct flights *flights, kh_txn *txn, bool is_loaded, kh_error *error);

kh_status ledger_read(kh_txn *txn, uint64_t writer, uint64_t *changes, kh_error *error);
kh_status ledger_write(const struct flights *flights, kh_txn *txn, uint64_t writer,
                       uint64_t changes, kh_error *error);

#endif
