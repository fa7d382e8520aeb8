/* store_run.c - the store's process. */
#include "store_run.h"

#include "client.h"

#include "cli/heap.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct run {
    const struct settings *settings;
    struct shared *shared;
    kh_db *db;
    kh_schema *schema;
    struct client *clients; /* one for each ring */
};

static bool is_fine(struct run *run, const char *what, kh_status status, const kh_error *error) {
    if (status != KH_OK) {
        shared_fail(run->shared, "%s: %s (%s)", what,
                    error->message[0] != '\0' ? error->message : kh_status_meaning(status),
                    kh_status_name(status));
    }
    return status == KH_OK;
}

struct deposit {
    struct ops *ops;
    uint64_t accounts;
};

static kh_status deposit(void *context, kh_txn *txn, kh_error *error) {
    struct deposit *deposit = context;
    kh_status status = KH_OK;
    for (uint64_t i = 0; i < deposit->accounts && status == KH_OK; ++i) {
        char account[KEY_ROOM];
        (void)snprintf(account, sizeof account, "a%llu", (unsigned long long)i);
        status = ops_put(deposit->ops, txn, account, SETTINGS_BALANCE, error);
    }
    return status;
}

/* A history says what was there at first: nothing. */
static bool is_empty(struct run *run) {
    kh_error error = {""};
    kh_txn *txn = NULL;
    kh_cursor *cursor = NULL;
    kh_bytes key = {NULL, 0};
    const kh_batch *value = NULL;
    kh_status status = kh_txn_begin(run->db, NULL, &txn, &error);
    if (status == KH_OK) {
        status = kh_txn_scan(txn, NULL, &cursor, &error);
    }
    if (status == KH_OK) {
        status = kh_cursor_next(cursor, &key, &value, &error);
        kh_cursor_close(cursor);
    }
    kh_txn_close(txn);
    if (status == KH_OK) {
        shared_fail(run->shared, "%s has keys already: a history begins with an empty store",
                    run->settings->path);
        return false;
    }
    return status == KH_END || is_fine(run, "scan", status, &error);
}

/* Sabotage: whatever is said, a second of commits waits in memory, where a kill finds them. */
static void choose_sync(const struct settings *settings, kh_options *options) {
    static const kh_sync syncs[] = {KH_SYNC_FULL, KH_SYNC_GROUP, KH_SYNC_NONE};
    options->path = settings->path;
    options->sync = settings->is_sabotaged ? KH_SYNC_NONE : syncs[settings->sync];
    options->sync_delay_us = settings->is_sabotaged ? 1000000 : 0;
}

static bool fill_store(struct run *run) {
    if (run->settings->path != NULL && !is_empty(run)) {
        return false;
    }
    if (run->settings->workload != WORKLOAD_BANK) {
        return true;
    }
    kh_error error = {""};
    struct ops ops = {run->db, run->schema, NULL};
    struct deposit all = {&ops, run->settings->keys};
    kh_run_options durably = KH_RUN_OPTIONS_INIT;
    durably.txn.sync = run->settings->path == NULL ? KH_SYNC_DEFAULT : KH_SYNC_FULL;
    return is_fine(run, "deposit", kh_db_run(run->db, &durably, deposit, &all, NULL, NULL, &error),
                   &error);
}

static bool open_store(struct run *run) {
    static const char *const names[] = {"id"};
    static const char *const formats[] = {"!l"};
    kh_error error = {""};
    kh_options options = KH_OPTIONS_INIT;
    options.isolation = run->settings->isolation;
    if (run->settings->path != NULL) {
        choose_sync(run->settings, &options);
    }
    if (!is_fine(run, "open", kh_db_open(&options, &run->db, &error), &error) ||
        !is_fine(run, "schema", kh_schema_build(run->db, names, formats, 1, &run->schema, &error),
                 &error)) {
        return false;
    }
    if (run->shared->life == 0 && !fill_store(run)) {
        return false;
    }
    atomic_store_explicit(&run->shared->opened_ns, shared_clock(run->shared), memory_order_release);
    return true;
}

static void run_threads(struct run *run) {
    uint32_t count = (uint32_t)run->settings->threads;
    pthread_t *threads = heap_allocate(count, sizeof *threads);
    uint32_t started = 0;
    while (started < count &&
           pthread_create(&threads[started], NULL, client_thread, &run->clients[started]) == 0) {
        started += 1;
    }
    if (started < count) {
        shared_fail(run->shared, "the system allows no more than %u threads", started);
    }
    for (uint32_t i = started; i < count; ++i) {
        ring_close(run->clients[i].ring);
    }
    for (uint32_t i = 0; i < started; ++i) {
        (void)pthread_join(threads[i], NULL);
    }
    free(threads);
}

static void close_store(struct run *run) {
    kh_schema_release(run->schema);
    kh_status status = kh_db_close(run->db);
    kh_error error = {""};
    (void)is_fine(run, "close", status, &error);
}

int store_run(const struct settings *settings, struct shared *shared, struct keys *keys) {
    struct run run = {.settings = settings, .shared = shared};
    if (open_store(&run)) {
        run.clients = heap_allocate(shared->ring_count, sizeof *run.clients);
        for (uint32_t i = 0; i < shared->ring_count; ++i) {
            client_init(&run.clients[i], shared, i, settings, keys, run.db, run.schema);
        }
        run_threads(&run);
        client_read_all(&run.clients[settings->threads]);
        for (uint32_t i = 0; i < shared->ring_count; ++i) {
            client_fini(&run.clients[i]);
        }
        free(run.clients);
    }
    close_store(&run);
    return atomic_load_explicit(&shared->has_failed, memory_order_relaxed) == 0 ? 0 : 1;
}
