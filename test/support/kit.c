/* kit.c - databases, transactions, clocks and an allocator for tests. */
#include "support/kit.h"

#include "support/directory.h"
#include "support/held_log.h"

const kh_isolation kit_levels[3] = {KH_READ_COMMITTED, KH_REPEATABLE_READ, KH_SERIALIZABLE};
const char *const kit_level_names[4] = {"default", "read_committed", "repeatable_read",
                                        "serializable"};
const char *const kit_policy_names[7] = {"default", "fail",  "ignore",  "replace",
                                         "append",  "merge", "callback"};

void kit_is_at(kh_status actual, kh_status expected, const char *what, const char *file, int line) {
    if (actual == expected) {
        return;
    }
    print_error("%s answered %s, not %s\n", what, kh_status_name(actual), kh_status_name(expected));
    _fail(file, line);
}

uint64_t kit_env(const char *name, uint64_t fallback) {
    const char *text = getenv(name);
    return text == NULL || *text == '\0' ? fallback : strtoull(text, NULL, 0);
}

kh_bytes kit_key(const char *text) {
    return (kh_bytes){text, strlen(text)};
}

bool kit_bytes_equal(kh_bytes a, kh_bytes b) {
    return a.size_bytes == b.size_bytes &&
           (a.size_bytes == 0 || memcmp(a.data, b.data, a.size_bytes) == 0);
}

static uint64_t read_wall(void *context) {
    return ((struct kit_clock *)context)->wall_ms;
}

static uint64_t read_monotonic(void *context) {
    struct kit_clock *clock = context;
    clock->monotonic_ns += clock->tick_ns;
    return clock->monotonic_ns;
}

kh_clock kit_clock_hook(struct kit_clock *clock) {
    return (kh_clock){read_wall, read_monotonic, clock};
}

void kit_clock_advance(struct kit_clock *clock, uint64_t ms) {
    clock->wall_ms += ms;
    clock->monotonic_ns += ms * 1000000u;
}

static void *allocate(void *context, size_t size_bytes, size_t alignment) {
    struct kit_memory *memory = context;
    memory->calls++;
    if (memory->calls == memory->fail_at) {
        memory->failures++;
        return NULL;
    }
    size_t rounded = (size_bytes + alignment - 1) / alignment * alignment;
    void *block = aligned_alloc(alignment < sizeof(void *) ? sizeof(void *) : alignment,
                                rounded == 0 ? alignment : rounded);
    if (block != NULL) {
        memory->live_blocks++;
        memory->live_bytes += (int64_t)size_bytes;
        memset(block, 0xa5, size_bytes);
    }
    return block;
}

static void release(void *context, void *block, size_t size_bytes) {
    struct kit_memory *memory = context;
    memory->live_blocks--;
    memory->live_bytes -= (int64_t)size_bytes;
    memset(block, 0x5a, size_bytes);
    free(block);
}

kh_allocator kit_memory_hook(struct kit_memory *memory) {
    return (kh_allocator){allocate, release, memory};
}

/* On a busy machine five seconds, the default, are soon over. */
kh_options kit_options(void) {
    kh_options options = KH_OPTIONS_INIT;
    options.flags = KH_OPEN_NO_THREADS;
    options.timeout_ms = 600000;
    return options;
}

/* With KH_TEST_LOG set every database without a log of its test's gets one: the same tests then run
 * over encoded records, and answers that come when somebody waits ("flush") or at once; or, with
 * "path", over a directory. */
static struct {
    kh_db *db;
    struct held_log *held;
    struct directory directory;
} attached[64];

bool kit_is_over_path(void) {
    const char *wish = getenv("KH_TEST_LOG");
    return wish != NULL && (strcmp(wish, "path") == 0 || kit_is_cold());
}

bool kit_is_cold(void) {
    const char *wish = getenv("KH_TEST_LOG");
    return wish != NULL && strcmp(wish, "cold") == 0;
}

/* Of the library's inside, where a test is linked with that (db/evict.h). */
__attribute__((weak)) void evict_always(bool is_always);

static void make_cold(kh_options *options) {
    assert_true(evict_always != NULL);
    evict_always(true);
    if (options->limits.memory_bytes == 0) options->limits.memory_bytes = (uint64_t)1 << 40;
}

static bool is_attached(const kh_options *options) {
    const char *wish = getenv("KH_TEST_LOG");
    if (wish == NULL || options->log != NULL || options->path != NULL) return false;
    return !kit_is_over_path() || options->storage == NULL;
}

static size_t find_free(void) {
    for (size_t i = 0; i < sizeof attached / sizeof *attached; i++)
        if (attached[i].db == NULL) return i;
    fail_msg("too many databases at once");
    return 0;
}

/* *options is a copy for this opening. */
static void attach(kh_options *options, size_t place) {
    const char *wish = getenv("KH_TEST_LOG");
    attached[place].held = NULL;
    if (kit_is_cold()) make_cold(options);
    if (kit_is_over_path()) {
        directory_make(&attached[place].directory);
        options->path = attached[place].directory.path;
        return;
    }
    struct held_log *held = calloc(1, sizeof *held);
    assert_non_null(held);
    held_log_init(held, strcmp(wish, "flush") == 0 ? HELD_ON_FLUSH : HELD_AT_ONCE);
    options->log = &held->log;
    attached[place].held = held;
}

static void detach(size_t place) {
    attached[place].db = NULL;
    if (attached[place].held == NULL) {
        directory_remove(&attached[place].directory);
        return;
    }
    held_log_fini(attached[place].held);
    free(attached[place].held);
}

kh_db *kit_open_with(const kh_options *options) {
    kh_db *db = NULL;
    kh_error error = {""};
    kh_options with_log = *options;
    bool is_with_log = is_attached(options);
    size_t place = is_with_log ? find_free() : 0;
    if (is_with_log) attach(&with_log, place);
    kh_status status = kh_db_open(is_with_log ? &with_log : options, &db, &error);
    if (status != KH_OK) {
        fail_msg("kh_db_open: %s: %s", kh_status_name(status), error.message);
    }
    assert_non_null(db);
    if (is_with_log) attached[place].db = db;
    return db;
}

kh_db *kit_open(void) {
    kh_options options = kit_options();
    return kit_open_with(&options);
}

void kit_close(kh_db *db) {
    kit_is(kh_db_close(db), KH_OK);
    for (size_t i = 0; i < sizeof attached / sizeof *attached; i++)
        if (db != NULL && attached[i].db == db) detach(i);
}

/* Each step syncs a log: tests that begin a hundred thousand transactions have threads for it. */
static void cool_down(kh_db *db) {
    enum { ALL = 2000, THEN = 64 };
    static _Atomic uint32_t begins;
    uint32_t count = begins++;
    if (count < ALL || count % THEN == 0) kh_db_step(db);
}

kh_status kit_try_begin(kh_db *db, kh_isolation isolation, kh_policy policy, uint32_t flags,
                        kh_txn **out) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = isolation;
    options.policy = policy;
    options.flags = flags;
    if (kit_is_cold()) cool_down(db);
    return kh_txn_begin(db, &options, out, NULL);
}

kh_txn *kit_begin_with(kh_db *db, kh_isolation isolation, kh_policy policy, uint32_t flags) {
    kh_txn *txn = NULL;
    kit_is(kit_try_begin(db, isolation, policy, flags, &txn), KH_OK);
    assert_non_null(txn);
    return txn;
}

kh_txn *kit_begin(kh_db *db, kh_isolation isolation) {
    return kit_begin_with(db, isolation, KH_DEFAULT_POLICY, 0);
}

int64_t kit_get(kh_txn *txn, const char *key) {
    kh_batch *batch = NULL;
    kh_status status = kh_txn_get(txn, kit_key(key), &batch, NULL);
    if (status == KH_NOT_FOUND) {
        return KIT_ABSENT;
    }
    kit_is(status, KH_OK);
    int64_t number = kit_number_of(batch);
    kh_batch_release(batch);
    return number;
}

void kit_get_is(kh_txn *txn, const char *key, int64_t expected) {
    int64_t actual = kit_get(txn, key);
    if (actual != expected) {
        fail_msg("%s is %lld, not %lld", key, (long long)actual, (long long)expected);
    }
}

void kit_put(kh_txn *txn, const char *key, int64_t number) {
    kh_batch *batch = kit_number(NULL, number);
    kit_is(kh_txn_put(txn, kit_key(key), batch, NULL), KH_OK);
    kh_batch_release(batch);
}

void kit_delete(kh_txn *txn, const char *key) {
    kit_is(kh_txn_delete(txn, kit_key(key), NULL), KH_OK);
}

kh_status kit_commit(kh_txn *txn) {
    kh_status status = kh_txn_commit(txn, NULL, NULL);
    kh_txn_close(txn);
    return status;
}

void kit_commit_ok(kh_txn *txn) {
    kit_is(kit_commit(txn), KH_OK);
}

void kit_rollback(kh_txn *txn) {
    kit_is(kh_txn_rollback(txn), KH_OK);
    kh_txn_close(txn);
}

void kit_store(kh_db *db, const char *key, int64_t number) {
    kh_txn *txn = kit_begin(db, KH_READ_COMMITTED);
    if (number == KIT_ABSENT) {
        kit_delete(txn, key);
    } else {
        kit_put(txn, key, number);
    }
    kit_commit_ok(txn);
}

int64_t kit_load(kh_db *db, const char *key) {
    kh_txn *txn = kit_begin_with(db, KH_REPEATABLE_READ, KH_FAIL, KH_BEGIN_READ_ONLY);
    int64_t number = kit_get(txn, key);
    kit_commit_ok(txn);
    return number;
}

void kit_load_is(kh_db *db, const char *key, int64_t expected) {
    int64_t actual = kit_load(db, key);
    if (actual != expected) {
        fail_msg("%s is %lld, not %lld", key, (long long)actual, (long long)expected);
    }
}

kh_scan_options kit_range(const char *from, const char *to, uint64_t limit, uint32_t flags) {
    kh_scan_options options = KH_SCAN_OPTIONS_INIT;
    if (from != NULL) {
        options.from = kit_key(from);
    }
    if (to != NULL) {
        options.to = kit_key(to);
    }
    options.limit = limit;
    options.flags = flags;
    return options;
}

void kit_scan(kh_txn *txn, const kh_scan_options *options, char out[KIT_TEXT_BYTES]) {
    kh_cursor *cursor = NULL;
    kit_is(kh_txn_scan(txn, options, &cursor, NULL), KH_OK);
    size_t used = 0;
    out[0] = '\0';
    kh_bytes key;
    const kh_batch *value = NULL;
    kh_status status;
    while ((status = kh_cursor_next(cursor, &key, &value, NULL)) == KH_OK) {
        const char *gap = used == 0 ? "" : " ";
        if (value == NULL) {
            used += (size_t)snprintf(out + used, KIT_TEXT_BYTES - used, "%s%.*s", gap,
                                     (int)key.size_bytes, (const char *)key.data);
        } else {
            used += (size_t)snprintf(out + used, KIT_TEXT_BYTES - used, "%s%.*s=%lld", gap,
                                     (int)key.size_bytes, (const char *)key.data,
                                     (long long)kit_number_of(value));
        }
        assert_true(used < KIT_TEXT_BYTES);
    }
    kit_is(status, KH_END);
    kh_cursor_close(cursor);
}

void kit_scan_is(kh_txn *txn, const kh_scan_options *options, const char *expected) {
    char text[KIT_TEXT_BYTES];
    kit_scan(txn, options, text);
    assert_string_equal(text, expected);
}
