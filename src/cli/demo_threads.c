/* demo_threads.c - what the demo's threads do: one transaction after another until told to stop. */
#include "demo_crash.h"
#include "demo_ledger.h"

#include <inttypes.h>

static const char *const write_tags[] = {"delay", "cancel", "rebook", "recover"};

static void count(_Atomic uint64_t *counter, uint64_t more) {
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

static bool is_stopping(const struct demo *demo) {
    return atomic_load_explicit(&demo->is_stopping, memory_order_relaxed);
}

void demo_fail(struct demo *demo, const char *what, kh_status status, const kh_error *error) {
    (void)pthread_mutex_lock(&demo->lock);
    if (demo->failure.size == 0) {
        text_printf(&demo->failure, "%s: %s (%s)", what,
                    error->message[0] != '\0' ? error->message : kh_status_meaning(status),
                    kh_status_name(status));
    }
    (void)pthread_mutex_unlock(&demo->lock);
    atomic_store_explicit(&demo->is_stopping, true, memory_order_relaxed);
}

void demo_note(struct demo *demo, struct verify *verify) {
    if (verify->breach_count == 0) {
        return;
    }
    (void)pthread_mutex_lock(&demo->lock);
    demo->breach_count += 1;
    if (demo->breach.size == 0) {
        text_append(&demo->breach, verify->breach.bytes, verify->breach.size);
    }
    (void)pthread_mutex_unlock(&demo->lock);
    text_clear(&verify->breach);
    verify->breach_count = 0;
}

struct write_call {
    struct writer *writer;
    enum write_kind kind;
    uint64_t dice; /* the state that each attempt begins with: a retry throws the same */
    kh_txn_id id;  /* of the last attempt */
};

static kh_status write_body(void *context, kh_txn *txn, kh_error *error) {
    struct write_call *call = context;
    struct writer *writer = call->writer;
    writer->random = call->dice;
    call->id = kh_txn_get_id(txn);
    kh_status status = writer_run(writer, call->kind, txn, error);
    return status == KH_OK && writer->flights->is_durable
               ? ledger_write(writer->flights, txn, writer->number, writer->changes + 1, error)
               : status;
}

static enum write_kind choose_write(struct writer *writer) {
    uint64_t dice = writer_random(writer, 100);
    return dice < 45   ? WRITE_DELAY
           : dice < 60 ? WRITE_CANCEL
           : dice < 85 ? WRITE_REBOOK
                       : WRITE_RECOVER;
}

/* One transaction; false: it came to nothing. */
static bool write_once(struct demo_thread *thread, struct writer *writer) {
    struct demo *demo = thread->demo;
    struct write_call call = {.writer = writer, .kind = choose_write(writer)};
    call.dice = writer_random(writer, UINT64_MAX);
    uint64_t next = writer->random;
    kh_run_options run = KH_RUN_OPTIONS_INIT;
    run.txn.isolation = demo->options->isolation;
    run.txn.tag = write_tags[call.kind];
    kh_error error = {""};
    uint32_t attempts = 0;
    kh_timestamp timestamp = 0;
    kh_status status =
        kh_db_run(demo->flights.db, &run, write_body, &call, &timestamp, &attempts, &error);
    writer->random = next;
    count(&thread->counters->attempts[call.kind], attempts);
    if (status == KH_OK) {
        count(&thread->counters->rows[call.kind], writer->rows_changed);
        count(&thread->counters->committed[call.kind], 1);
        writer->changes += 1;
        crash_acknowledge(demo,
                          &(struct ack){writer->number, writer->changes, call.id.low, timestamp});
        return true;
    }
    if (status == KH_NOT_FOUND) {
        return false;
    }
    if (kh_status_classify(status) == KH_CLASS_RETRY) {
        count(&thread->counters->writes_given_up, 1);
    } else {
        demo_fail(demo, write_tags[call.kind], status, &error);
    }
    return false;
}

static bool take_ticket(struct demo *demo) {
    uint64_t wanted = demo->options->transactions;
    return wanted == 0 ||
           atomic_fetch_add_explicit(&demo->tickets, 1, memory_order_relaxed) < wanted;
}

/* Go on counting where earlier runs have ended. */
static void find_count(struct demo *demo, struct writer *writer) {
    kh_txn *txn = NULL;
    kh_error error = {""};
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.flags = KH_BEGIN_READ_ONLY;
    kh_status status = kh_txn_begin(demo->flights.db, &options, &txn, &error);
    if (status == KH_OK) {
        status = ledger_read(txn, writer->number, &writer->changes, &error);
    }
    kh_txn_close(txn);
    if (status != KH_OK) {
        demo_fail(demo, "the count of a writer", status, &error);
    }
    crash_acknowledge(demo, &(struct ack){writer->number, writer->changes, 0, 0});
}

void *demo_writer_thread(void *context) {
    enum { MISSES_MAX = 10000 }; /* in a row: then there is nothing left to change */
    struct demo_thread *thread = context;
    struct demo *demo = thread->demo;
    struct writer writer;
    writer_init(&writer, &demo->flights, thread->seed);
    writer.sabotage = demo->options->sabotage;
    writer.number = thread->number;
    if (demo->flights.is_durable) {
        find_count(demo, &writer);
    }
    int misses = 0;
    while (!is_stopping(demo) && misses < MISSES_MAX && take_ticket(demo)) {
        misses = 0;
        while (!is_stopping(demo) && misses < MISSES_MAX && !write_once(thread, &writer)) {
            ++misses;
        }
    }
    writer_fini(&writer);
    atomic_fetch_sub_explicit(&demo->writers_left, 1, memory_order_relaxed);
    return NULL;
}

enum read_scope { READ_CARRIER, READ_AIRPORT, READ_ALL };

struct read_call {
    struct verify *verify;
    enum read_scope scope;
    size_t which;
};

static kh_status read_body(void *context, kh_txn *txn, kh_error *error) {
    struct read_call *call = context;
    switch (call->scope) {
    case READ_CARRIER:
        return verify_carrier(call->verify, txn, call->which, error);
    case READ_AIRPORT:
        return verify_airport(call->verify, txn, call->which, error);
    default:
        return verify_all(call->verify, txn, error);
    }
}

static void choose_read(struct writer *dice, struct read_call *call) {
    const struct flights *flights = dice->flights;
    uint64_t scope = writer_random(dice, 10);
    call->scope = scope < 7 ? READ_CARRIER : scope < 9 ? READ_AIRPORT : READ_ALL;
    call->which = writer_random(dice, call->scope == READ_CARRIER ? flights->carrier_count
                                                                  : flights->airport_count);
}

static void read_once(struct demo_thread *thread, struct verify *verify, struct writer *dice,
                      enum read_kind kind) {
    enum { SAFE_WAIT_MS = 500 };
    struct demo *demo = thread->demo;
    struct read_call call = {.verify = verify};
    choose_read(dice, &call);
    kh_run_options run = KH_RUN_OPTIONS_INIT;
    run.attempts_max = 20;
    run.txn.isolation = kind == READ_SNAPSHOT ? KH_REPEATABLE_READ : KH_SERIALIZABLE;
    run.txn.flags = KH_BEGIN_READ_ONLY;
    run.txn.tag = "verify";
    if (kind == READ_SAFE) {
        run.txn.flags |= KH_BEGIN_DEFERRABLE;
        run.txn.timeout_ms = SAFE_WAIT_MS;
        run.attempts_max = 1;
    }
    kh_error error = {""};
    verify->rows_counted = 0;
    kh_status status = kh_db_run(demo->flights.db, &run, read_body, &call, NULL, NULL, &error);
    demo_note(demo, verify);
    if (status == KH_OK) {
        count(&thread->counters->verified[kind], 1);
        count(&thread->counters->rows_counted[kind], verify->rows_counted);
    } else if (kh_status_classify(status) == KH_CLASS_RETRY) {
        count(&thread->counters->reads_given_up, 1);
    } else {
        demo_fail(demo, "verify", status, &error);
    }
}

void *demo_reader_thread(void *context) {
    struct demo_thread *thread = context;
    struct demo *demo = thread->demo;
    struct verify verify;
    struct writer dice;
    verify_init(&verify, &demo->flights);
    writer_init(&dice, &demo->flights, thread->seed);
    bool is_serializable = demo->options->isolation == KH_SERIALIZABLE;
    for (uint64_t round = thread->seed; !is_stopping(demo); ++round) {
        enum read_kind kind =
            is_serializable ? (enum read_kind)(round % READ_KIND_COUNT) : READ_SNAPSHOT;
        read_once(thread, &verify, &dice, kind);
    }
    writer_fini(&dice);
    verify_fini(&verify);
    return NULL;
}
