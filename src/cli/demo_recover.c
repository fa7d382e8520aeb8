/* demo_recover.c - a database that was opened again after its process was killed: is it whole?
 *
 *   nothing lost           every acknowledged change is committed, at the timestamp that was told;
 *                          with --sync none the newest may be missing, but none before one that is
 *                          there
 *   nothing from nowhere   a writer has one change more than it acknowledged at most: the one whose
 *                          answer the kill cut off
 *   nothing half           the summaries are what counting the rows gives, as in every snapshot */
#include "demo_crash.h"

#include "complain.h"
#include "demo_ledger.h"
#include "heap.h"
#include "output.h"
#include "table.h"

#include <inttypes.h>
#include <stdlib.h>

struct recovery {
    struct demo *demo;
    struct crash *crash;
    uint64_t found;
    uint64_t lost;
    kh_timestamp newest_found;
    kh_timestamp oldest_lost;
    const struct ack *first_lost;
    struct text breach; /* what is wrong, the first of it */
};

static kh_status find(struct recovery *recovery, const struct ack *ack, kh_error *error) {
    kh_outcome outcome = KH_OUTCOME_ACTIVE;
    kh_timestamp timestamp = 0;
    kh_status status = kh_db_outcome(recovery->demo->flights.db, (kh_txn_id){0, ack->txn}, &outcome,
                                     &timestamp, error);
    if (status != KH_OK && status != KH_NOT_FOUND) {
        return status;
    }
    if (status == KH_OK && outcome == KH_OUTCOME_COMMITTED && timestamp == ack->timestamp) {
        recovery->found += 1;
        recovery->newest_found =
            timestamp > recovery->newest_found ? timestamp : recovery->newest_found;
        return KH_OK;
    }
    if (recovery->first_lost == NULL || ack->timestamp < recovery->oldest_lost) {
        recovery->first_lost = ack;
        recovery->oldest_lost = ack->timestamp;
    }
    recovery->lost += 1;
    return KH_OK;
}

static kh_status find_all(struct recovery *recovery, kh_error *error) {
    const struct crash *crash = recovery->crash;
    kh_status status = KH_OK;
    for (size_t i = 0; i < crash->ack_count && status == KH_OK; ++i) {
        if (crash->acks[i].timestamp != 0) {
            status = find(recovery, &crash->acks[i], error);
        }
    }
    const struct ack *lost = recovery->first_lost;
    bool may_lose = recovery->demo->options->sync == KH_SYNC_NONE;
    if (lost != NULL && (!may_lose || recovery->oldest_lost < recovery->newest_found)) {
        text_printf(&recovery->breach,
                    "%" PRIu64 " acknowledged changes are lost%s; the first: number %" PRIu64
                    " of writer %" PRIu64 ", committed at %" PRIu64,
                    recovery->lost, may_lose ? ", and a later one is there" : "", lost->changes,
                    lost->writer, lost->timestamp);
    }
    return status;
}

/* What a writer said first and last: it speaks in order. */
static kh_status count_writer(struct recovery *recovery, kh_txn *txn, uint64_t writer,
                              kh_error *error) {
    const struct crash *crash = recovery->crash;
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t now = 0;
    for (size_t i = 0; i < crash->ack_count; ++i) {
        const struct ack *ack = &crash->acks[i];
        first = ack->writer == writer && ack->timestamp == 0 ? ack->changes : first;
        last = ack->writer == writer ? ack->changes : last;
    }
    kh_status status = ledger_read(txn, writer, &now, error);
    uint64_t least = recovery->demo->options->sync == KH_SYNC_NONE ? first : last;
    if (status == KH_OK && (now < least || now > last + 1) && recovery->breach.size == 0) {
        text_printf(&recovery->breach,
                    "writer %" PRIu64 " has acknowledged %" PRIu64 " changes, and has %" PRIu64,
                    writer, last, now);
    }
    recovery->crash->survived += now > first ? now - first : 0;
    return status;
}

static kh_status look(struct recovery *recovery, struct verify *verify, kh_error *error) {
    struct demo *demo = recovery->demo;
    kh_txn *txn = NULL;
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.flags = KH_BEGIN_READ_ONLY;
    kh_status status = kh_txn_begin(demo->flights.db, &options, &txn, error);
    for (uint64_t writer = 0; writer < demo->options->writers && status == KH_OK; ++writer) {
        status = count_writer(recovery, txn, writer, error);
    }
    if (status == KH_OK) {
        status = verify_all(verify, txn, error);
    }
    if (verify->breach_count > 0 && recovery->breach.size == 0) {
        text_append(&recovery->breach, verify->breach.bytes, verify->breach.size);
    }
    kh_txn_close(txn);
    return status;
}

static void add_pair(struct table *table, const char *name, uint64_t value) {
    struct text cell = {NULL, 0, 0};
    text_add_count(&cell, (int64_t)value);
    table_add(table, name);
    table_add(table, cell.bytes);
    text_free(&cell);
}

static void report(const struct recovery *recovery, const struct verify *verify) {
    const struct crash *crash = recovery->crash;
    struct table table = {.columns = NULL};
    table_add_column(&table, "after the kill", false);
    table_add_column(&table, "value", true);
    add_pair(&table, "records in the log, all checked", crash->records);
    add_pair(&table, "replayed by the opening", crash->replayed);
    table_add(&table, "groups cut off, never acknowledged");
    table_add(&table, crash->has_torn_end ? "yes" : "none");
    table_add(&table, "opening (ms)");
    table_printf(&table, "%.1f", recovery->demo->flights.open_seconds * 1000);
    add_pair(&table, "changes acknowledged", crash->acknowledged);
    add_pair(&table, "of them there", recovery->found);
    add_pair(&table, "there without an answer",
             crash->survived > recovery->found ? crash->survived - recovery->found : 0);
    add_pair(&table, "rows counted again", verify->rows_counted);
    table_print(&table, stdout, output_terminal_width());
    table_free(&table);
    const char *lost = recovery->demo->options->sync == KH_SYNC_NONE
                           ? "the newest of what was acknowledged is lost, as --sync none allows"
                           : "acknowledged changes ARE lost";
    (void)printf("\n%s; %s\n\n", recovery->lost == 0 ? "nothing acknowledged is lost" : lost,
                 verify->breach_count == 0 ? "nothing is half there" : "something IS half there");
}

int crash_check(struct demo *demo, struct crash *crash) {
    struct recovery recovery = {.demo = demo, .crash = crash};
    struct verify verify;
    kh_error error = {""};
    verify_init(&verify, &demo->flights);
    kh_status status = find_all(&recovery, &error);
    if (status == KH_OK) {
        status = look(&recovery, &verify, &error);
    }
    if (status == KH_OK && !demo->options->is_quiet) {
        report(&recovery, &verify);
    }
    int code = CLI_OK;
    if (status != KH_OK) {
        code = complain_status("after the kill", status, &error);
    } else if (recovery.breach.size > 0) {
        code = complain(CLI_FAILED, "after the kill: %s", recovery.breach.bytes);
    }
    text_free(&recovery.breach);
    verify_fini(&verify);
    return code;
}
