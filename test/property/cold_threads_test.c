/* Threads that write, read, lend, scan and look into the past while most values are in the storage
 * only: every value is what its key and its serial number say, what is lent stays what it was until
 * its transaction ends, and memory keeps to its budget. Once with a budget, once with a memory that
 * is always short. */
#include "support/directory.h"
#include "support/kit.h"

#include "db/evict.h"
#include "db/upkeep.h"

#include <pthread.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 300 };
#else
enum { ROUNDS = 2000 };
#endif
enum { KEYS = 3000, TEXT_BYTES = 4000, WRITERS = 2, READERS = 2, LENT = 12, BUDGET = 8 << 20 };

struct world {
    kh_db *db;
    kh_schema *schema;
    _Atomic uint32_t serials[KEYS]; /* of the newest value that was acknowledged */
    kh_timestamp loaded;            /* every key has a value from then on */
    _Atomic uint32_t next_serial;
    _Atomic uint32_t writers_left;
    _Atomic uint32_t wrong;
    _Atomic uint64_t most_bytes;
};

struct agent {
    struct world *world;
    uint64_t state;
};

static uint32_t draw(struct agent *agent, uint32_t below) {
    agent->state = agent->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(agent->state >> 33) % below;
}

static kh_bytes key_of(int key, char out[16]) {
    int length = snprintf(out, 16, "key%06d", key);
    return (kh_bytes){out, (size_t)length};
}

/* The text repeats key and serial to its end. */
static void fill(uint32_t *text, uint32_t key, uint32_t serial) {
    for (size_t i = 0; i + 1 < TEXT_BYTES / 4; i += 2) {
        text[i] = key;
        text[i + 1] = serial;
    }
}

static kh_batch *make_value(struct world *world, int key, uint32_t serial) {
    uint32_t text[TEXT_BYTES / 4];
    fill(text, (uint32_t)key, serial);
    kh_scalar scalar = {KH_SCALAR_BYTES, {.bytes = {text, TEXT_BYTES}}};
    kh_batch *batch = NULL;
    if (kh_batch_build(world->db, world->schema, &scalar, 1, &batch, NULL) != KH_OK) abort();
    return batch;
}

/* Its serial number; 0: it is not a value of that key. */
static uint32_t serial_of(const kh_batch *batch, uint32_t key) {
    kh_bytes found;
    uint32_t text[TEXT_BYTES / 4];
    if (kh_batch_bytes(batch, 0, 0, &found) != KH_OK || found.size_bytes != TEXT_BYTES) return 0;
    memcpy(text, found.data, 8);
    fill(text, key, text[1]);
    return memcmp(text, found.data, TEXT_BYTES) == 0 ? text[1] : 0;
}

static void check(struct world *world, bool is_right) {
    if (!is_right) world->wrong++;
}

static kh_stats stats_of(struct world *world) {
    kh_stats stats = {.size = sizeof stats};
    if (kh_db_stats(world->db, &stats, NULL) != KH_OK) abort();
    return stats;
}

static void note_memory(struct world *world) {
    kh_stats stats = stats_of(world);
    uint64_t most = world->most_bytes;
    while (stats.memory_bytes > most &&
           !atomic_compare_exchange_weak(&world->most_bytes, &most, stats.memory_bytes)) {
    }
}

/* ---- writers --------------------------------------------------------------------------------- */

/* Each key belongs to one writer, so that its serial numbers grow in commit order. */
static void write_some(struct agent *agent, int writer) {
    struct world *world = agent->world;
    char space[16];
    int keys[3];
    kh_txn *txn = NULL;
    if (kh_txn_begin(world->db, NULL, &txn, NULL) != KH_OK) abort();
    uint32_t serial = ++world->next_serial;
    kh_status status = KH_OK;
    for (int i = 0; i < 3 && status == KH_OK; i++) {
        keys[i] = (int)draw(agent, KEYS / WRITERS) * WRITERS + writer;
        kh_batch *batch = make_value(world, keys[i], serial);
        status = kh_txn_put(txn, key_of(keys[i], space), batch, NULL);
        kh_batch_release(batch);
    }
    if (status == KH_OK) status = kh_txn_commit(txn, NULL, NULL);
    kh_txn_close(txn);
    for (int i = 0; i < 3 && status == KH_OK; i++) world->serials[keys[i]] = serial;
    check(world, status == KH_OK || status == KH_BUSY);
}

static _Atomic int writer_numbers;

static void *write_on(void *context) {
    struct agent *agent = context;
    int writer = writer_numbers++ % WRITERS;
    for (int i = 0; i < ROUNDS; i++) {
        write_some(agent, writer);
        if (i % 64 == 0) note_memory(agent->world);
    }
    agent->world->writers_left--;
    return NULL;
}

/* ---- readers --------------------------------------------------------------------------------- */

static void read_lent(struct agent *agent, kh_isolation isolation) {
    struct world *world = agent->world;
    kh_txn *txn = kit_begin(world->db, isolation);
    const kh_batch *lent[LENT] = {NULL};
    uint32_t keys[LENT];
    uint32_t serials[LENT];
    char space[16];
    for (int i = 0; i < LENT; i++) {
        keys[i] = draw(agent, i % 2 == 0 ? KEYS : KEYS / 50); /* some are hot */
        uint32_t least = world->serials[keys[i]];
        kh_status status = kh_txn_peek(txn, key_of((int)keys[i], space), &lent[i], NULL);
        check(world, status == KH_OK);
        if (status != KH_OK) break;
        serials[i] = serial_of(lent[i], keys[i]);
        check(world, serials[i] != 0);
        /* A snapshot may be older than what was acknowledged since. */
        if (isolation == KH_READ_COMMITTED) check(world, serials[i] >= least);
    }
    for (int i = 0; i < LENT && isolation != KH_READ_COMMITTED && lent[i] != NULL; i++)
        check(world, serial_of(lent[i], keys[i]) == serials[i]);
    kit_rollback(txn);
}

static void scan_some(struct agent *agent) {
    struct world *world = agent->world;
    kh_txn *txn = kit_begin(world->db, KH_REPEATABLE_READ);
    char space[16];
    kh_scan_options options = KH_SCAN_OPTIONS_INIT;
    int first = (int)draw(agent, KEYS);
    options.from = key_of(first, space);
    options.limit = 200;
    kh_cursor *cursor = NULL;
    if (kh_txn_scan(txn, &options, &cursor, NULL) != KH_OK) abort();
    kh_bytes key;
    const kh_batch *value;
    int seen = 0;
    while (kh_cursor_next(cursor, &key, &value, NULL) == KH_OK)
        check(world, serial_of(value, (uint32_t)(first + seen++)) != 0);
    check(world, seen == (KEYS - first < 200 ? KEYS - first : 200));
    kh_cursor_close(cursor);
    kit_rollback(txn);
}

struct past {
    struct world *world;
    uint32_t key;
    uint32_t newest;
};

/* Newest first. */
static bool visit(void *context, const kh_version_entry *entry) {
    struct past *past = context;
    uint32_t serial = serial_of(entry->value, past->key);
    check(past->world, serial != 0 && serial < past->newest);
    past->newest = serial;
    return true;
}

static void look_back(struct agent *agent) {
    struct past past = {agent->world, draw(agent, KEYS), UINT32_MAX};
    char space[16];
    kh_status status = kh_db_history(agent->world->db, key_of((int)past.key, space), 0, UINT64_MAX,
                                     visit, &past, NULL, NULL);
    check(agent->world, status == KH_OK && past.newest != UINT32_MAX);
}

static void read_past(struct agent *agent) {
    struct world *world = agent->world;
    kh_txn *txn = NULL;
    char space[16];
    kh_timestamp from = kh_db_horizon(world->db);
    kh_timestamp now = kh_db_now(world->db);
    if (from < world->loaded) from = world->loaded;
    kh_timestamp at = from + (now - from) / 2;
    kh_status status = kh_txn_begin_at(world->db, at, &txn, NULL);
    check(world, status == KH_OK || status == KH_TOO_OLD);
    if (status != KH_OK) return;
    for (int i = 0; i < 4; i++) {
        uint32_t key = draw(agent, KEYS);
        const kh_batch *value = NULL;
        status = kh_txn_peek(txn, key_of((int)key, space), &value, NULL);
        check(world, status == KH_OK && serial_of(value, key) != 0);
    }
    kit_rollback(txn);
}

static void *read_on(void *context) {
    struct agent *agent = context;
    while (agent->world->writers_left > 0) {
        read_lent(agent, kit_levels[draw(agent, 3)]);
        switch (draw(agent, 8)) {
        case 0:
            scan_some(agent);
            break;
        case 1:
            look_back(agent);
            break;
        case 2:
            read_past(agent);
            break;
        default:
            break;
        }
    }
    return NULL;
}

/* ---- worlds ---------------------------------------------------------------------------------- */

static void load(struct world *world) {
    char space[16];
    for (int first = 0; first < KEYS; first += 50) {
        kh_txn *txn = kit_begin(world->db, KH_REPEATABLE_READ);
        for (int key = first; key < first + 50; key++) {
            kh_batch *batch = make_value(world, key, 1);
            kit_is(kh_txn_put(txn, key_of(key, space), batch, NULL), KH_OK);
            kh_batch_release(batch);
        }
        kit_commit_ok(txn);
    }
}

static void open_world(struct world *world, const kh_options *options) {
    static const char *const names[] = {"text"};
    static const char *const formats[] = {"z"};
    kit_is(kh_db_open(options, &world->db, NULL), KH_OK);
    kit_is(kh_schema_build(world->db, names, formats, 1, &world->schema, NULL), KH_OK);
}

static void close_world(struct world *world) {
    kh_schema_release(world->schema);
    kit_is(kh_db_close(world->db), KH_OK);
}

static void run_agents(struct world *world) {
    pthread_t threads[WRITERS + READERS];
    struct agent agents[WRITERS + READERS];
    world->writers_left = WRITERS;
    for (int i = 0; i < WRITERS + READERS; i++) {
        agents[i] = (struct agent){world, (uint64_t)i + 1};
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < WRITERS ? write_on : read_on, &agents[i]), 0);
    }
    for (int i = 0; i < WRITERS + READERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* Everything that was acknowledged is there. */
static void check_all(struct world *world) {
    char space[16];
    kh_txn *txn = kit_begin(world->db, KH_REPEATABLE_READ);
    for (int key = 0; key < KEYS; key++) {
        kh_batch *batch = NULL;
        kit_is(kh_txn_get(txn, key_of(key, space), &batch, NULL), KH_OK);
        assert_true(serial_of(batch, (uint32_t)key) >= world->serials[key]);
        kh_batch_release(batch);
    }
    kit_rollback(txn);
}

static void run_world(uint64_t budget_bytes, uint64_t retention_bytes) {
    struct directory directory;
    struct world *world = calloc(1, sizeof *world);
    kh_options options = KH_OPTIONS_INIT;
    directory_make(&directory);
    options.path = directory.path;
    options.sync = KH_SYNC_NONE;
    options.limits.memory_bytes = budget_bytes;
    options.retention_bytes = retention_bytes;
    options.timeout_ms = 60000;
    world->next_serial = 1;
    open_world(world, &options);
    load(world);
    world->loaded = kh_db_now(world->db);
    run_agents(world);
    kit_is(kh_db_compact(world->db, NULL), KH_OK);     /* the storage has everything, */
    for (int i = 0; i < 4; i++) kh_db_step(world->db); /* and nobody is in the way */
    assert_int_equal(world->wrong, 0);
    assert_true(world->most_bytes <= budget_bytes + (budget_bytes >> 2));
    assert_true(stats_of(world).versions_cold > 0);
    check_all(world);
    assert_true(stats_of(world).fetches > 0);
    close_world(world);
    open_world(world, &options); /* most values stay where they are */
    kh_stats stats = stats_of(world);
    assert_true(stats.memory_bytes <= budget_bytes && stats.versions_cold > 0);
    check_all(world);
    close_world(world);
    directory_remove(&directory);
    free(world);
}

static void test_a_budget(void **state) {
    (void)state;
    run_world(BUDGET, 0);
}

static void test_a_budget_with_history(void **state) {
    (void)state;
    run_world(BUDGET, 1 << 20);
}

#if defined(KH_SLOW_CHECKS)
static void test_always_short(void **state) {
    (void)state;
    evict_always(true);
    run_world((uint64_t)1 << 40, 1 << 20);
    evict_always(false);
}

/* Each round of upkeep opens the storage anew, which then lacks what was not synced. */
static void test_setbacks(void **state) {
    (void)state;
    evict_always(true);
    upkeep_set_back(UPKEEP_ALWAYS);
    run_world((uint64_t)1 << 40, 1 << 20);
    upkeep_set_back(UPKEEP_NEVER);
    evict_always(false);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_budget),
        cmocka_unit_test(test_a_budget_with_history),
#if defined(KH_SLOW_CHECKS)
        cmocka_unit_test(test_always_short),
        cmocka_unit_test(test_setbacks),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
