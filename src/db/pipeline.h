/* pipeline.h - between append and the log's answer.
 *
 * Appended, durable and applied are three moments: the record is certified and its versions are
 * installed when it is appended; it is published, in order, when the log has answered KEPT. The
 * memory log answers at once, inside append. A refusal takes back everything in flight, newest
 * first; a loss leaves it invisible for ever, its committers are told UNKNOWN. Both poison the
 * database: reads go on. Invariant: the in-flight list is in commit order; cookies rise along it.
 */
#ifndef KHONSU_DB_PIPELINE_H
#define KHONSU_DB_PIPELINE_H

#include "db/db.h"
#include "txn/txn.h"

kh_status pipeline_open(struct kh_db *db, const struct kh_log *log, kh_error *error);
void pipeline_close(struct kh_db *db);

/* Schemas that the writes need are recorded first: before the section. */
kh_status pipeline_record_schemas(kh_txn *txn, kh_error *error);
/* Append the record of txn (kind: enum record_kind). KH_OK: taken, and in flight or already
 * answered; else nothing happened. In the section. */
kh_status pipeline_append(kh_txn *txn, enum record_kind kind, kh_error *error);
/* What commits are answered once the log has failed (kh_db.pipeline.poison). */
kh_status pipeline_refuse(kh_error *error);
/* Process what was answered from within append. In the section, after install. */
void pipeline_settle(struct kh_db *db, const struct reclaimer *who);
/* Somebody waits for what is in flight: ask the log to complete it. In the section, which is left
 * for the log's call. */
void pipeline_ask(struct kh_db *db);
/* Keys that get no version after all: their entries go by the reclaimer (places are reserved). In
 * the section, while they are still held. */
void pipeline_note_empty(kh_txn *txn);
/* Wait until no thread of the log is inside of its answer: what it answered shows earlier than it
 * returns, and the database must not go under its feet. Everything is answered for; outside of the
 * section. */
void pipeline_rest(const struct kh_db *db);
/* The outcome is known, and nobody has the handle in his hands to say so any more. */
static inline bool pipeline_is_answered(const kh_txn *txn) {
    return atomic_load_explicit(&txn->outcome, memory_order_acquire) != 0 &&
           txn_state_of(txn) != TXN_IN_FLIGHT;
}
/* Ask the log for it and wait until the outcome of txn is known (txn->outcome), or until a deadline
 * on the monotonic clock (0: none): false then. By its own thread, outside of the section. */
bool pipeline_wait(kh_txn *txn, uint64_t deadline_ns);

#endif
