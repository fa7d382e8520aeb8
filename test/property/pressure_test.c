/* pressure_test.c - a memory limit against readers that stay, with real threads and the system's
 * clock: writers wait, are answered BUSY (or EXPIRED) when their time is up, memory stays under the
 * limit, reads and the oldest reader's name stay available, and the writers go on when the readers
 * have gone. */
#include "support/kit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { REFUSALS = 4 };
#else
enum { REFUSALS = 20 };
#endif
enum { WRITERS = 3, READERS_MAX = 64, KEYS = 8, VALUE_BYTES = 60000, LIMIT_BYTES = 8 << 20 };

struct press {
    kh_db *db;
    _Atomic uint64_t committed;
    _Atomic uint64_t refused;
    _Atomic uint64_t unexpected;
    _Atomic uint64_t most_bytes;
    _Atomic bool is_over;
};

static kh_stats stats_of(kh_db *db) {
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    return stats;
}

static kh_status put_wide(kh_db *db, kh_schema *schema, const char *text, int key) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    kh_batch *batch = NULL;
    char name[16];
    options.isolation = KH_READ_COMMITTED;
    options.timeout_ms = 20;
    (void)snprintf(name, sizeof name, "wide%d", key);
    kh_scalar scalar = {KH_SCALAR_BYTES, {.bytes = {text, VALUE_BYTES}}};
    kh_status status = kh_txn_begin(db, &options, &txn, NULL);
    if (status != KH_OK) return status;
    status = kh_batch_build(db, schema, &scalar, 1, &batch, NULL);
    if (status == KH_OK) status = kh_txn_put(txn, kit_key(name), batch, NULL);
    kh_batch_release(batch);
    if (status == KH_OK) status = kh_txn_commit(txn, NULL, NULL);
    kh_txn_close(txn);
    return status;
}

static void *write_on(void *argument) {
    struct press *press = argument;
    static const char *const names[] = {"text"};
    static const char *const formats[] = {"z"};
    kh_schema *schema = NULL;
    char *text = calloc(1, VALUE_BYTES);
    if (text == NULL || kh_schema_build(press->db, names, formats, 1, &schema, NULL) != KH_OK)
        abort();
    for (int i = 0; !press->is_over; i++) {
        kh_status status = put_wide(press->db, schema, text, i % KEYS);
        if (status == KH_OK) {
            press->committed++;
        } else if (status == KH_BUSY || status == KH_EXPIRED || status == KH_CONFLICT) {
            press->refused += status != KH_CONFLICT;
        } else {
            press->unexpected++;
        }
        kh_stats stats = {.size = sizeof stats};
        if (kh_db_stats(press->db, &stats, NULL) != KH_OK) press->unexpected++;
        uint64_t most = press->most_bytes;
        while (stats.memory_bytes > most &&
               !atomic_compare_exchange_weak(&press->most_bytes, &most, stats.memory_bytes)) {
        }
    }
    kh_schema_release(schema);
    free(text);
    return NULL;
}

static void await(_Atomic uint64_t *count, uint64_t more) {
    uint64_t until = *count + more;
    while (*count < until) (void)sched_yield();
}

/* Readers come, each after some commits, until the writers are refused. */
static int open_readers(struct press *press, kh_txn *readers[READERS_MAX]) {
    int count = 0;
    while (press->refused < REFUSALS && count < READERS_MAX) {
        uint64_t committed = press->committed;
        readers[count++] =
            kit_begin_with(press->db, KH_REPEATABLE_READ, KH_FAIL, KH_BEGIN_READ_ONLY);
        while (press->refused < REFUSALS && press->committed < committed + KEYS * 2)
            (void)sched_yield();
    }
    return count;
}

/* A writer that began before the reader is older until its time is up; nothing younger may be named
 * for longer than that. */
static void await_oldest(kh_db *db, kh_txn *reader) {
    while (stats_of(db).oldest_snapshot_txn.low != kh_txn_get_id(reader).low) (void)sched_yield();
}

static void test_readers_press(void **state) {
    (void)state;
    kh_options options = KH_OPTIONS_INIT;
    struct press press = {.db = NULL};
    pthread_t writers[WRITERS];
    kh_txn *readers[READERS_MAX];
    options.limits.memory_bytes = LIMIT_BYTES;
    press.db = kit_open_with(&options);
    kit_store(press.db, "k", 1);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_on, &press), 0);
    for (int round = 0; round < 3; round++) {
        press.refused = 0;
        await(&press.committed, 50); /* nobody is in the way: they write */
        int count = open_readers(&press, readers);
        assert_in_range(count, 2, READERS_MAX);
        assert_true(press.refused >= REFUSALS);
        kit_load_is(press.db, "k", 1); /* reads go on */
        await_oldest(press.db, readers[0]);
        for (int i = 0; i < count; i++) kit_commit_ok(readers[i]);
        await(&press.committed, 50); /* and writers, when the readers have gone */
    }
    press.is_over = true;
    for (int i = 0; i < WRITERS; i++) assert_int_equal(pthread_join(writers[i], NULL), 0);
    assert_int_equal(press.unexpected, 0);
    assert_true(press.most_bytes <= LIMIT_BYTES + (WRITERS + 1) * 2 * VALUE_BYTES);
    kh_stats stats = stats_of(press.db);
    assert_true(stats.aborts_busy + stats.aborts_expired >= 3 * REFUSALS);
    kit_close(press.db);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers_press)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
