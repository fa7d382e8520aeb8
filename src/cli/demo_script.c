/* demo_script.c - two anomalies that read committed allows, played step by step in one thread, and
 * the same two scripts under serializable, where they cannot appear.
 *
 * Read skew: a reader sees a summary from before a commit and rows from after it. Lost update: a
 * recount of the rows is written over a summary that a rival has brought up to date meanwhile. Each
 * ends with the exact number of minutes that are missing; a repair between the scripts makes the
 * summaries equal the rows again. */
#include "demo.h"

#include "complain.h"

#include <inttypes.h>
#include <stdio.h>

enum { SKEW_MINUTES = 120, LOST_MINUTES = 45 };

struct script {
    struct flights *flights;
    struct verify verify;
    struct writer writer;
    size_t airport;
    const char *name; /* of the airport */
    bool is_quiet;
};

struct outcome {
    int64_t skew;      /* minutes in the rows that the reader's summary did not have */
    int64_t lost;      /* minutes in the rows that the summary lost */
    kh_status refusal; /* what the writer with the old count was told */
};

static const char *level_name(kh_isolation level) {
    return level == KH_READ_COMMITTED ? "read_committed" : "serializable";
}

static void say(const struct script *script, const char *who, const char *what, int64_t minutes) {
    struct text line = {NULL, 0, 0};
    if (script->is_quiet) {
        return;
    }
    text_printf(&line, "  %-8s %-52s ", who, what);
    text_add_count(&line, minutes);
    (void)printf("%s minutes\n", line.bytes);
    text_free(&line);
}

static void tell(const struct script *script, const char *who, const char *what) {
    if (!script->is_quiet) {
        (void)printf("  %-8s %s\n", who, what);
    }
}

struct delay_call {
    struct script *script;
    int64_t minutes;
};

static kh_status delay_body(void *context, kh_txn *txn, kh_error *error) {
    struct delay_call *call = context;
    return writer_delay_one(&call->script->writer, txn, call->script->airport, call->minutes,
                            error);
}

/* The rival: delays a flight of the airport and brings its summaries up to date. */
static kh_status rival(struct script *script, int64_t minutes, kh_error *error) {
    struct delay_call call = {script, minutes};
    kh_run_options run = KH_RUN_OPTIONS_INIT;
    run.txn.isolation = KH_SERIALIZABLE;
    say(script, "rival", "delays a flight, updates the summary, commits: +", minutes);
    return kh_db_run(script->flights->db, &run, delay_body, &call, NULL, NULL, error);
}

static kh_status recount(struct script *script, kh_txn *txn, struct tally *out, kh_error *error) {
    kh_status status = verify_count(&script->verify, txn, error);
    if (status == KH_OK) {
        *out = script->verify.airports[script->airport];
    }
    return status;
}

static kh_status put_summary(struct script *script, kh_txn *txn, const struct tally *tally,
                             kh_error *error) {
    struct flights *flights = script->flights;
    struct text key = {NULL, 0, 0};
    kh_scalar row[SUMMARY_COLUMNS];
    kh_batch *batch = NULL;
    flights_summary_row(row, script->name, tally);
    kh_status status = kh_batch_build(flights->db, flights->summary_schema, row, 1, &batch, error);
    if (status == KH_OK) {
        flights_airport_key(flights, script->airport, &key);
        status = kh_txn_put(txn, text_bytes(&key), batch, error);
    }
    kh_batch_release(batch);
    text_free(&key);
    return status;
}

static kh_status repair_body(void *context, kh_txn *txn, kh_error *error) {
    struct script *script = context;
    struct tally tally = {0, 0, 0, 0};
    kh_status status = recount(script, txn, &tally, error);
    return status == KH_OK ? put_summary(script, txn, &tally, error) : status;
}

static kh_status repair(struct script *script, kh_error *error) {
    kh_run_options run = KH_RUN_OPTIONS_INIT;
    run.txn.isolation = KH_SERIALIZABLE;
    return kh_db_run(script->flights->db, &run, repair_body, script, NULL, NULL, error);
}

/* The minutes that the rows have and the summary has not, in a snapshot of now. */
static kh_status difference(struct script *script, int64_t *out, kh_error *error) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = KH_REPEATABLE_READ;
    options.flags = KH_BEGIN_READ_ONLY;
    kh_txn *txn = NULL;
    struct tally rows = {0, 0, 0, 0};
    struct tally summary = {0, 0, 0, 0};
    kh_status status = kh_txn_begin(script->flights->db, &options, &txn, error);
    if (status == KH_OK) {
        status = verify_read_airport(&script->verify, txn, script->airport, &summary, error);
    }
    if (status == KH_OK) {
        status = recount(script, txn, &rows, error);
    }
    kh_txn_close(txn);
    if (status == KH_OK) {
        say(script, "check", "the summary says now", summary.delay_minutes);
        say(script, "check", "the rows add up to now", rows.delay_minutes);
        *out = rows.delay_minutes - summary.delay_minutes;
    }
    return status;
}

static kh_status read_skew(struct script *script, kh_isolation level, int64_t *skew,
                           kh_error *error) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = level;
    options.flags = KH_BEGIN_READ_ONLY;
    kh_txn *txn = NULL;
    struct tally summary = {0, 0, 0, 0};
    struct tally rows = {0, 0, 0, 0};
    kh_status status = kh_txn_begin(script->flights->db, &options, &txn, error);
    if (status == KH_OK) {
        status = verify_read_airport(&script->verify, txn, script->airport, &summary, error);
        say(script, "reader", "begins; its summary says", summary.delay_minutes);
    }
    if (status == KH_OK) {
        status = rival(script, SKEW_MINUTES, error);
    }
    if (status == KH_OK) {
        status = recount(script, txn, &rows, error);
        say(script, "reader", "adds up the rows, in the same transaction", rows.delay_minutes);
    }
    kh_txn_close(txn);
    *skew = rows.delay_minutes - summary.delay_minutes;
    return status;
}

static kh_status lost_update(struct script *script, kh_isolation level, struct outcome *outcome,
                             kh_error *error) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = level;
    kh_txn *txn = NULL;
    struct tally rows = {0, 0, 0, 0};
    kh_status status = kh_txn_begin(script->flights->db, &options, &txn, error);
    if (status == KH_OK) {
        status = recount(script, txn, &rows, error);
        say(script, "auditor", "begins; adds up the rows", rows.delay_minutes);
    }
    if (status == KH_OK) {
        status = rival(script, LOST_MINUTES, error);
    }
    if (status == KH_OK) {
        status = put_summary(script, txn, &rows, error);
    }
    if (status == KH_OK) {
        outcome->refusal = kh_txn_commit(txn, NULL, error);
        tell(script, "auditor",
             outcome->refusal == KH_OK ? "writes its sum to the summary, commits: done"
                                       : "writes its sum to the summary; the commit is refused");
        bool is_told =
            outcome->refusal == KH_OK || kh_status_classify(outcome->refusal) == KH_CLASS_RETRY;
        status = is_told ? KH_OK : outcome->refusal;
    }
    kh_txn_close(txn);
    if (status == KH_OK && outcome->refusal != KH_OK) {
        tell(script, "auditor", "runs again from the start, as told to (class RETRY)");
        status = repair(script, error);
    }
    return status == KH_OK ? difference(script, &outcome->lost, error) : status;
}

static int conclude(const struct script *script, const char *anomaly, kh_isolation level,
                    int64_t minutes, int64_t expected) {
    bool is_allowed = level == KH_READ_COMMITTED;
    if (minutes != (is_allowed ? expected : 0)) {
        return complain(CLI_FAILED, "%s at %s: expected %" PRId64 " minutes, found %" PRId64,
                        anomaly, level_name(level), is_allowed ? expected : 0, minutes);
    }
    if (!script->is_quiet && is_allowed) {
        (void)printf("  => %" PRId64 " minutes are missing: a %s, as expected at %s\n\n", minutes,
                     anomaly, level_name(level));
    } else if (!script->is_quiet) {
        (void)printf("  => nothing is missing: no %s at %s\n\n", anomaly, level_name(level));
    }
    return CLI_OK;
}

static int play(struct script *script, kh_isolation level) {
    struct outcome outcome = {0, 0, KH_OK};
    kh_error error = {""};
    if (!script->is_quiet) {
        (void)printf("Read skew, %s, airport %s\n", level_name(level), script->name);
    }
    kh_status status = read_skew(script, level, &outcome.skew, &error);
    if (status != KH_OK) {
        return complain_status("read skew", status, &error);
    }
    int code = conclude(script, "read skew", level, outcome.skew, SKEW_MINUTES);
    if (code != CLI_OK) {
        return code;
    }
    if (!script->is_quiet) {
        (void)printf("Lost update, %s, airport %s\n", level_name(level), script->name);
    }
    status = lost_update(script, level, &outcome, &error);
    if (status == KH_OK) {
        code = conclude(script, "lost update", level, outcome.lost, LOST_MINUTES);
        status = repair(script, &error);
    }
    return status == KH_OK ? code : complain_status("lost update", status, &error);
}

int demo_script(struct flights *flights, bool is_quiet) {
    struct script script = {.flights = flights, .is_quiet = is_quiet};
    for (size_t i = 1; i < flights->airport_count; ++i) {
        bool is_larger =
            flights->airport_tallies[i].flights > flights->airport_tallies[script.airport].flights;
        script.airport = is_larger ? i : script.airport;
    }
    script.name = flights->airports[script.airport];
    verify_init(&script.verify, flights);
    writer_init(&script.writer, flights, 1);
    int code = play(&script, KH_READ_COMMITTED);
    if (code == CLI_OK) {
        code = play(&script, KH_SERIALIZABLE);
    }
    if (code == CLI_OK) {
        (void)printf("The anomalies appeared at read_committed, as expected: each statement there "
                     "sees the newest\ncommit. The same scripts under serializable showed none.\n");
    }
    writer_fini(&script.writer);
    verify_fini(&script.verify);
    return code;
}
