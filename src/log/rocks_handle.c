/* rocks_handle.c - opening and closing RocksDB; see rocks.h. */
#include "log/rocks_handle.h"

#include "base/env.h"
#include "base/env_file.h"
#include "base/mem.h"
#include "base/status.h"
#include "log/rocks_load.h"
#include "log/state_key.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOG_BUFFER_BYTES = 4 << 20,     /* so that write-ahead logs soon are written over old ones */
    VALUES_BUFFER_BYTES = 32 << 20, /* what a crash makes an open apply again at most */
    WAL_FILES_KEPT = 4, /* for reuse: two in use, two between a flush and their deletion */
    BLOCK_BYTES = 16 << 10,
    CACHE_BYTES = 32 << 20, /* blocks; values that are read often live in the engine's memory */
    BUFFERS = 3,            /* of an instance: one in use, one or two on their way to the disk */
    COMPACTION_BYTES = 8 << 20, /* blocks of the tables that are read and written */
    LEAST_BYTES = 1 << 20,      /* of a buffer or the cache within a memory limit, */
    SHARE = 64,                 /* of which each takes one part of so many */
    SKIP_ANY = 3,               /* kSkipAnyCorruptedRecords */
    FATAL_ONLY = 4              /* FATAL_LEVEL: what goes into its file LOG, after the options */
};

kh_status rocks_status(char *message, const char *what, kh_error *error) {
    if (message == NULL) return KH_OK;
    kh_status status = KH_IO;
    /* What the system does not let it look at it calls corrupt, too; what is not there is. */
    bool is_io = strstr(message, "IO error") != NULL && strstr(message, "No such file") == NULL;
    if (strncmp(message, "Corruption", 10) == 0 && !is_io) status = KH_CORRUPT;
    /* RocksDB goes on by itself when a table did not fit, and must not be asked to write to a
     * write-ahead file again that has failed. */
    if (strstr(message, "No space left") != NULL && strstr(message, ".log") == NULL)
        status = KH_NO_SPACE;
    (void)status_fail(error, status, "%s: %.200s", what, message);
    rocksdb_free(message);
    return status;
}

/* There is a setter for each of the others. Tables go to the disk a MiB at a time, each waited for
 * before the next is begun: a group that is synced meanwhile has little before it. (RocksDB writes
 * so much at once, and leaves the last MiB to the sync.) */
#define IN_PARTS "bytes_per_sync=1048576;strict_bytes_per_sync=true"

/* Closing must not flush the values: what is not synced is in the log, and the files may be the
 * reason for the closing. */
static rocksdb_options_t *make_named_options(enum rocks_kind kind) {
    const char *names = kind == ROCKS_LOG ? IN_PARTS : IN_PARTS ";avoid_flush_during_shutdown=true";
    char *message = NULL;
    rocksdb_options_t *usual = rocksdb_options_create();
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_get_options_from_string(usual, names, options, &message);
    kh_assert(message == NULL);
    rocksdb_free(message);
    rocksdb_options_destroy(usual);
    return options;
}

static rocksdb_options_t *make_options(enum rocks_kind kind, enum rocks_open how) {
    rocksdb_options_t *options = make_named_options(kind);
    rocksdb_options_set_create_if_missing(options, how == ROCKS_CREATE);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_max_write_buffer_number(options, BUFFERS);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_options_set_max_open_files(options, -1); /* all stay readable beside a writer */
    rocksdb_options_set_max_log_file_size(options, 1 << 20);
    rocksdb_options_set_keep_log_file_num(options, 4);
    /* Its file LOG grows with the disk full, too, and a write of it that fails ends the process in
     * Debian's build. What goes wrong is told by the calls. */
    rocksdb_options_set_info_log_level(options, FATAL_ONLY);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    return options;
}

static size_t within(uint64_t memory_bytes, size_t usual_bytes) {
    uint64_t share = memory_bytes / SHARE;
    if (share == 0 || share >= usual_bytes) return usual_bytes;
    return share < LEAST_BYTES ? LEAST_BYTES : (size_t)share;
}

uint64_t rocks_memory_bytes(uint64_t memory_bytes) {
    return (uint64_t)BUFFERS * within(memory_bytes, VALUES_BUFFER_BYTES) +
           within(memory_bytes, CACHE_BYTES) + (uint64_t)BUFFERS * LOG_BUFFER_BYTES +
           COMPACTION_BYTES;
}

/* Positions only grow: files do not overlap, so that compactions move them and rewrite nothing. */
static void set_log_options(rocksdb_options_t *options, bool is_recycling) {
    rocksdb_options_set_write_buffer_size(options, LOG_BUFFER_BYTES);
    if (is_recycling) rocksdb_options_set_wal_recovery_mode(options, SKIP_ANY);
    if (is_recycling) rocksdb_options_set_recycle_log_file_num(options, WAL_FILES_KEPT);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
}

/* Old outcomes may go, whenever RocksDB comes by: of a transaction that committed and began below
 * rocks->forgotten, so that what is not found tells by its id that it may have been one. */
static unsigned char is_forgotten(void *state, int level, const char *key, size_t key_bytes,
                                  const char *value, size_t value_bytes, char **new_value,
                                  size_t *new_value_bytes, unsigned char *is_changed) {
    struct rocks *rocks = state;
    (void)level;
    (void)new_value;
    (void)new_value_bytes;
    uint64_t commit;
    bool is_aborted;
    kh_txn_id id;
    *is_changed = 0;
    if (!state_parse_outcome_key((kh_bytes){key, key_bytes}, &id) ||
        !state_parse_outcome((kh_bytes){value, value_bytes}, &commit, &is_aborted))
        return 0;
    uint64_t forgotten = atomic_load_explicit(&rocks->forgotten, memory_order_acquire);
    atomic_fetch_add_explicit(&rocks->looks, 1, memory_order_release);
    return commit < forgotten && state_id_ms(id) < KH_MS_OF_TIMESTAMP(forgotten);
}

void rocks_forget_below(struct rocks *values, kh_timestamp timestamp) {
    atomic_store_explicit(&values->forgotten, timestamp, memory_order_release);
}

static void keep_state(void *state) {
    (void)state;
}

static const char *filter_name(void *state) {
    (void)state;
    return "khonsu.outcomes";
}

static void set_values_options(struct rocks *rocks, rocksdb_options_t *options) {
    if (rocks->filter == NULL)
        rocks->filter =
            rocksdb_compactionfilter_create(rocks, keep_state, is_forgotten, filter_name);
    rocksdb_options_set_compaction_filter(options, rocks->filter);
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(within(rocks->memory_bytes, CACHE_BYTES));
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    size_t buffer_bytes = within(rocks->memory_bytes, VALUES_BUFFER_BYTES);
    rocksdb_options_set_write_buffer_size(options, buffer_bytes);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_block_based_options_set_block_size(table, BLOCK_BYTES);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_cache_destroy(cache); /* the tables share it */
}

static void make_call_options(struct rocks *rocks) {
    rocks->synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks->synced, 1);
    rocks->unsynced = rocksdb_writeoptions_create();
    rocks->unlogged = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(rocks->unlogged, 1);
    rocks->reading = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(rocks->reading, 1);
    rocks->scanning = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(rocks->scanning, 1);
    rocksdb_readoptions_set_fill_cache(rocks->scanning, 0);
    rocksdb_readoptions_set_readahead_size(rocks->scanning, 2 << 20);
}

static void free_call_options(struct rocks *rocks) {
    rocksdb_writeoptions_destroy(rocks->synced);
    rocksdb_writeoptions_destroy(rocks->unsynced);
    rocksdb_writeoptions_destroy(rocks->unlogged);
    rocksdb_readoptions_destroy(rocks->reading);
    rocksdb_readoptions_destroy(rocks->scanning);
}

static kh_status open_once(struct rocks *rocks, enum rocks_open how, bool is_recycling,
                           kh_error *error) {
    char *message = NULL;
    rocksdb_options_t *options = make_options(rocks->kind, how);
    if (rocks->kind == ROCKS_LOG) {
        set_log_options(options, is_recycling);
    } else {
        set_values_options(rocks, options);
    }
    rocks->db = how == ROCKS_READ ? rocksdb_open_for_read_only(options, rocks->path, 0, &message)
                                  : rocksdb_open(options, rocks->path, &message);
    if (rocks->options != NULL) rocksdb_options_destroy(rocks->options);
    rocks->options = options;
    return rocks_status(message, "the store cannot be opened", error);
}

/* RocksDB has another kind of failure for each way of opening what is not there. */
static kh_status check_there(const struct rocks *rocks, enum rocks_open how, kh_error *error) {
    char current[4096];
    bool is_there = true;
    int length = snprintf(current, sizeof current, "%s/CURRENT", rocks->path);
    if (how == ROCKS_CREATE || length < 0 || (size_t)length >= sizeof current) return KH_OK;
    if (env_path_look(current, &is_there) != 0 || is_there) return KH_OK;
    return status_fail(error, KH_CORRUPT, "%.200s is missing", current);
}

/* The log is opened twice: once in the ordinary mode, which reads the write-ahead log up to the
 * first record that is none (RocksDB 7.8 reads a recycled file for ever in the mode that allows
 * recycling), puts it into tables and begins an empty one; then for use. */
kh_status rocks_open_instance(struct rocks *rocks, enum rocks_open how, kh_error *error) {
    kh_status status = check_there(rocks, how, error);
    if (status == KH_OK && how != ROCKS_READ) status = rocks_load_clear(rocks->path, error);
    if (status == KH_OK) status = open_once(rocks, how, false, error);
    if (status != KH_OK || rocks->kind != ROCKS_LOG || how == ROCKS_READ) return status;
    rocksdb_close(rocks->db);
    return open_once(rocks, ROCKS_WRITE, true, error);
}

static void free_rest(struct rocks *rocks) {
    /* Closing has waited for RocksDB's threads: said once more, where a sanitizer can see it. */
    (void)atomic_load_explicit(&rocks->looks, memory_order_acquire);
    gate_fini(&rocks->gate);
    if (rocks->options != NULL) rocksdb_options_destroy(rocks->options);
    if (rocks->filter != NULL) rocksdb_compactionfilter_destroy(rocks->filter);
    if (rocks->path != NULL) mem_own_free(rocks->mem, rocks->path, rocks->path_bytes);
    mem_own_free(rocks->mem, rocks, sizeof *rocks);
}

kh_status rocks_open(struct mem *mem, const char *path, enum rocks_kind kind, enum rocks_open how,
                     struct rocks **out, kh_error *error) {
    return rocks_open_within(mem, path, kind, how, 0, out, error);
}

/* RocksDB's threads are the process' and not those of its children, which would wait for them for
 * ever: one that was forked after RocksDB was used does not write. */
static kh_status refuse_children(enum rocks_open how, kh_error *error) {
    static _Atomic uint64_t used; /* the fork generation of the first use, + 1; 0: none yet */
    uint64_t first = 0;
    uint64_t now = (uint64_t)env_fork_generation() + 1;
    if (atomic_compare_exchange_strong_explicit(&used, &first, now, memory_order_relaxed,
                                                memory_order_relaxed) ||
        first == now || how == ROCKS_READ)
        return KH_OK;
    return status_fail(error, KH_UNSUPPORTED,
                       "the process was forked after it had used a database on disk: it can open "
                       "them read-only, or execute a program that writes");
}

kh_status rocks_open_within(struct mem *mem, const char *path, enum rocks_kind kind,
                            enum rocks_open how, uint64_t memory_bytes, struct rocks **out,
                            kh_error *error) {
    kh_status allowed = refuse_children(how, error);
    if (allowed != KH_OK) return allowed;
    struct rocks *rocks = mem_own_alloc(mem, sizeof *rocks);
    if (rocks == NULL) return status_no_memory(error, sizeof *rocks);
    memset(rocks, 0, sizeof *rocks);
    gate_init(&rocks->gate);
    rocks->mem = mem;
    rocks->kind = kind;
    rocks->memory_bytes = memory_bytes;
    rocks->path_bytes = strlen(path) + 1;
    rocks->path = mem_own_alloc(mem, rocks->path_bytes);
    kh_status status = rocks->path == NULL ? status_no_memory(error, rocks->path_bytes) : KH_OK;
    if (status == KH_OK) {
        memcpy(rocks->path, path, rocks->path_bytes);
        status = rocks_open_instance(rocks, how, error);
    }
    if (status != KH_OK) {
        free_rest(rocks);
        return status;
    }
    make_call_options(rocks);
    *out = rocks;
    return KH_OK;
}

void rocks_set_loading(struct rocks *rocks) {
    rocks->is_loading = true;
}

void rocks_close(struct rocks *rocks) {
    if (rocks == NULL) return;
    free_call_options(rocks);
    if (rocks->db != NULL) rocksdb_close(rocks->db);
    free_rest(rocks);
}

kh_status rocks_enter(struct rocks *rocks, kh_error *error) {
    gate_share(&rocks->gate);
    if (rocks->db != NULL) return KH_OK;
    rocks_leave(rocks);
    return status_fail(error, KH_IO, "the store could not be opened again after a failure");
}

void rocks_leave(struct rocks *rocks) {
    gate_leave(&rocks->gate);
}

static uint64_t number_of(const struct rocks *rocks, const char *property) {
    uint64_t number = 0;
    return rocksdb_property_int(rocks->db, property, &number) == 0 ? number : 0;
}

/* RocksDB 7.8 answers a flush with OK, and has not flushed, while it waits to try a write of its
 * manifest again that has failed. Of values: nobody writes there meanwhile. */
static bool is_flushed(const struct rocks *rocks) {
    return rocks->kind != ROCKS_VALUES ||
           (number_of(rocks, "rocksdb.num-immutable-mem-table") == 0 &&
            number_of(rocks, "rocksdb.num-entries-active-mem-table") == 0);
}

static kh_status flush_once(struct rocks *rocks, bool *is_done, kh_error *error) {
    kh_status status = rocks_enter(rocks, error);
    if (status != KH_OK) return status;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    char *message = NULL;
    rocksdb_flush(rocks->db, options, &message);
    *is_done = is_flushed(rocks);
    rocks_leave(rocks);
    rocksdb_flushoptions_destroy(options);
    return rocks_status(message, "the store cannot be flushed", error);
}

/* A backup may flush at the same time: what it has begun is over soon. */
kh_status rocks_flush(struct rocks *rocks, kh_error *error) {
    enum { TRIES = 8, PAUSE_NS = 5 * 1000 * 1000 };
    bool is_done = false;
    for (int i = 0; i < TRIES; i++) {
        if (i > 0) env_pause_ns(PAUSE_NS);
        kh_status status = flush_once(rocks, &is_done, error);
        if (status != KH_OK || is_done) return status;
    }
    return status_fail(error, KH_IO, "the store was not flushed, after a failed write");
}

/* The call itself has no way to fail: what went wrong in the background stays, and ends a flush. */
kh_status rocks_compact(struct rocks *rocks, kh_error *error) {
    enum { FORCE_OPTIMIZED = 3 }; /* kForceOptimized: the last level, too, but no file twice */
    kh_status status = rocks_enter(rocks, error);
    if (status != KH_OK) return status;
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    rocksdb_compactoptions_set_bottommost_level_compaction(options, FORCE_OPTIMIZED);
    rocksdb_compact_range_opt(rocks->db, options, NULL, 0, NULL, 0);
    rocks_leave(rocks);
    rocksdb_compactoptions_destroy(options);
    return rocks_flush(rocks, error);
}

kh_status rocks_erase(const char *path, kh_error *error) {
    char *message = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_destroy_db(options, path, &message);
    rocksdb_options_destroy(options);
    kh_status status = rocks_status(message, "the store cannot be removed", error);
    return status == KH_OK ? rocks_load_clear(path, error) : status;
}

kh_status rocks_get(struct rocks *rocks, kh_bytes key, char **value, size_t *value_bytes,
                    kh_error *error) {
    char *message = NULL;
    *value = NULL;
    kh_status status = rocks_enter(rocks, error);
    if (status != KH_OK) return status;
    *value =
        rocksdb_get(rocks->db, rocks->reading, key.data, key.size_bytes, value_bytes, &message);
    rocks_leave(rocks);
    status = rocks_status(message, "the store cannot be read", error);
    if (status == KH_OK && *value == NULL) return KH_NOT_FOUND;
    return status;
}

/* RocksDB gives the sums as text only: "raw key size=N; ... raw value size=N; ...". */
static uint64_t number_behind(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

uint64_t rocks_bytes(struct rocks *rocks) {
    if (rocks_enter(rocks, NULL) != KH_OK) return 0;
    char *text = rocksdb_property_value(rocks->db, "rocksdb.aggregated-table-properties");
    rocks_leave(rocks);
    if (text == NULL) return 0;
    uint64_t sum = number_behind(text, "raw key size=") + number_behind(text, "raw value size=");
    rocksdb_free(text);
    return sum;
}

bool rocks_is_empty(struct rocks *rocks) {
    if (rocks_enter(rocks, NULL) != KH_OK) return false;
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(rocks->db, rocks->scanning);
    char *message = NULL;
    rocksdb_iter_seek_to_first(iterator);
    bool is_valid = rocksdb_iter_valid(iterator);
    rocksdb_iter_get_error(iterator, &message);
    rocksdb_iter_destroy(iterator);
    rocks_leave(rocks);
    return rocks_status(message, "the store cannot be read", NULL) == KH_OK && !is_valid;
}
