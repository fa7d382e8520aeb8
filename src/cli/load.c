/* load.c - see load.h.
 *
 * Happy path: the schema is looked at and the database opened; batches are read and split; values
 * whose rows are complete go into a transaction; one that is large enough is committed without
 * waiting, and the next is filled while the log writes it. At most FLIGHTS are under way, which
 * bounds the memory of records. The load is over when all of them are on disk.
 *
 * Failure: the first one ends the load; transactions before it are there, each as a whole. Loading
 * again stores every value again, so that nothing has to be taken back first. */
#include "load.h"

#include "complain.h"
#include "file.h"
#include "heap.h"
#include "split.h"

#include <inttypes.h>
#include <malloc.h>
#include <time.h>
#include <unistd.h>

enum { FLIGHTS = 4, PROGRESS_NS = 200 * 1000000 };

struct load {
    const struct load_options *options;
    kh_db *db;
    struct split *split;
    kh_txn *txn; /* being filled */
    uint64_t txn_bytes;
    kh_txn *flights[FLIGHTS]; /* a ring: committed, not yet answered */
    size_t first;
    size_t flight_count;
    uint64_t value_count;
    uint64_t value_bytes;
    uint64_t txn_count;
    kh_timestamp timestamp; /* of the newest that was answered */
    bool has_progress;
    uint64_t shown_ns;
    uint64_t begun_ns;
};

static uint64_t now_ns(void) {
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void show_progress(struct load *load) {
    uint64_t now = now_ns();
    if (!load->has_progress || now - load->shown_ns < PROGRESS_NS) {
        return;
    }
    load->shown_ns = now;
    (void)fprintf(stderr, "\rkhonsu: %" PRIu64 " values, %" PRIu64 " MB\033[K", load->value_count,
                  load->value_bytes / 1000000);
    (void)fflush(stderr);
}

/* Wait for the oldest flight. */
static int land(struct load *load) {
    kh_txn *txn = load->flights[load->first];
    load->first = (load->first + 1) % FLIGHTS;
    load->flight_count -= 1;
    kh_status status = kh_txn_wait(txn, UINT32_MAX, &load->timestamp);
    kh_txn_close(txn);
    kh_error error = {""};
    return status == KH_OK ? CLI_OK : complain_status("commit", status, &error);
}

static int commit(struct load *load) {
    if (load->txn == NULL) {
        return CLI_OK;
    }
    if (load->flight_count == FLIGHTS) {
        int code = land(load);
        if (code != CLI_OK) {
            return code;
        }
    }
    kh_error error = {""};
    kh_txn *txn = load->txn;
    load->txn = NULL;
    load->txn_bytes = 0;
    kh_status status = kh_txn_commit_start(txn, &error);
    if (status != KH_OK) {
        kh_txn_close(txn);
        return complain_status("commit", status, &error);
    }
    load->flights[(load->first + load->flight_count++) % FLIGHTS] = txn;
    load->txn_count += 1;
    return CLI_OK;
}

static int take_value(void *context, kh_bytes key, const kh_batch *value) {
    struct load *load = context;
    kh_error error = {""};
    kh_status status = KH_OK;
    if (load->txn == NULL) {
        status = kh_txn_begin(load->db, NULL, &load->txn, &error);
    }
    if (status == KH_OK) {
        status = kh_txn_put(load->txn, key, value, &error);
    }
    if (status != KH_OK) {
        return complain_status("put", status, &error);
    }
    uint64_t size_bytes = kh_batch_size_bytes(value) + key.size_bytes;
    load->value_count += 1;
    load->value_bytes += size_bytes;
    load->txn_bytes += size_bytes;
    show_progress(load);
    return load->txn_bytes >= load->options->transaction_bytes ? commit(load) : CLI_OK;
}

static int take_batch(void *context, const kh_batch *batch) {
    struct load *load = context;
    int code = split_batch(load->split, batch);
    if (code == CLI_OK && load->options->is_grouped) {
        code = split_give(load->split, false, take_value, load);
    }
    return code;
}

/* Blocks of many MB come and go with each transaction: what the heap gives back to the system it
 * gets back page by page, zeroed, for a third of the time that a load takes in the kernel. */
static void keep_heap(void) {
    (void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 512 << 20);
    (void)mallopt(M_TOP_PAD, 64 << 20);
}

static kh_status open_database(struct load *load, kh_error *error) {
    kh_options options = KH_OPTIONS_INIT;
    options.path = load->options->path;
    options.isolation = KH_REPEATABLE_READ;
    if (load->options->is_ingesting) {
        options.flags |= KH_OPEN_INGEST;
    }
    options.retention_ms = 1ull << 47;      /* what history goes, who opens it next says */
    options.timeout_ms = 24u * 3600 * 1000; /* the input may be slow */
    options.limits.size = sizeof options.limits;
    options.limits.txn_bytes = 1ull << 40; /* the transaction's size is given */
    options.limits.txn_writes = 100000000;
    return kh_db_open(&options, &load->db, error);
}

/* No database is made for an input that is none, or has not the pattern's columns. */
static int take_schema(void *context, const kh_schema *schema) {
    struct load *load = context;
    int code = split_check(load->split, schema);
    if (code != CLI_OK) {
        return code;
    }
    kh_error error = {""};
    kh_status status = open_database(load, &error);
    if (status != KH_OK) {
        return complain_status(load->options->path, status, &error);
    }
    keep_heap();
    load->begun_ns = now_ns();
    return CLI_OK;
}

static int load_all(struct load *load) {
    int code = file_read_into(&load->db, load->options->from, take_schema, take_batch, load);
    if (code == CLI_OK && split_key_count(load->split) == 0) {
        code = complain(CLI_FAILED, "%s has no rows: nothing to import", load->options->from);
    }
    if (code == CLI_OK) {
        code = split_give(load->split, true, take_value, load);
    }
    if (code == CLI_OK) {
        code = commit(load);
    }
    while (load->flight_count > 0 && code == CLI_OK) {
        code = land(load);
    }
    kh_txn_close(load->txn);
    return code;
}

int load_file(const struct load_options *options) {
    struct load load = {.options = options,
                        .has_progress = !options->is_quiet && isatty(STDERR_FILENO) == 1};
    int code = split_create(options->pattern, &load.split);
    if (code != CLI_OK) {
        return code;
    }
    code = load_all(&load);
    double stored_s = (double)(now_ns() - load.begun_ns) / 1e9;
    split_free(load.split);
    if (load.has_progress) {
        (void)fprintf(stderr, "\r\033[K");
    }
    if (code == CLI_OK && !options->is_quiet) {
        (void)fprintf(stderr,
                      "khonsu: %" PRIu64 " keys, %" PRIu64 " bytes, %" PRIu64
                      " transactions in %s after %.3f s, as of timestamp %" PRIu64 "\n",
                      load.value_count, load.value_bytes, load.txn_count, options->path, stored_s,
                      load.timestamp);
    }
    /* Closing waits for what is under way, which on a full device may be for ever. After a failure
     * the process ends instead: nothing more was promised, and the next opening recovers. */
    if (load.flight_count == 0) {
        (void)kh_db_close(load.db);
    }
    return code;
}
