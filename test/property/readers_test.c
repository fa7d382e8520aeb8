/* readers_test.c - what an open snapshot costs, counted and not timed.
 *
 * Opening: with the memory of all keys and versions made unreadable, transactions of every level
 * begin and end, without an allocation: their cost cannot depend on how many there are.
 * Keeping: while writers overwrite a thousand keys a million times, another thread sees at every
 * look at most one version a key for the present and one for each snapshot, and memory to match. */
#define _DEFAULT_SOURCE /* anonymous mappings */
#include "support/kit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { KEYS_MANY = 50000, WRITES = 30000 };
#else
enum { KEYS_MANY = 1000000, WRITES = 1000000 };
#endif

static kh_stats stats_of(kh_db *db) {
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    return stats;
}

static kh_bytes number_key(char space[24], int number) {
    (void)snprintf(space, 24, "key%09d", number);
    return kit_key(space);
}

struct way {
    const char *name;
    kh_isolation isolation;
    uint32_t flags;
};
static const struct way ways[] = {
    {"read committed, read-only", KH_READ_COMMITTED, KH_BEGIN_READ_ONLY},
    {"repeatable read, read-only", KH_REPEATABLE_READ, KH_BEGIN_READ_ONLY},
    {"repeatable read", KH_REPEATABLE_READ, 0},
    {"serializable, read-only", KH_SERIALIZABLE, KH_BEGIN_READ_ONLY},
    {"serializable", KH_SERIALIZABLE, 0},
    {"deferrable", KH_SERIALIZABLE, KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE},
};
enum { WAYS = sizeof ways / sizeof *ways };

/* ---- opening --------------------------------------------------------------------------------- */

/* What is allocated while is_loading lies in one mapping of its own, never given back. */
struct quarters {
    unsigned char *mapping;
    size_t used;
    size_t room;
    bool is_loading;
    uint64_t calls;
};

static void *allocate(void *context, size_t size_bytes, size_t alignment) {
    struct quarters *quarters = context;
    quarters->calls++;
    if (quarters->is_loading) {
        size_t at = (quarters->used + alignment - 1) / alignment * alignment;
        if (at + size_bytes > quarters->room) return NULL;
        quarters->used = at + size_bytes;
        return quarters->mapping + at;
    }
    size_t rounded = (size_bytes + alignment) / alignment * alignment;
    return aligned_alloc(alignment < sizeof(void *) ? sizeof(void *) : alignment, rounded);
}

static bool is_inside(const struct quarters *quarters, const void *block) {
    uintptr_t at = (uintptr_t)block - (uintptr_t)quarters->mapping;
    return at < quarters->room;
}

static void release(void *context, void *block, size_t size_bytes) {
    (void)size_bytes;
    if (!is_inside(context, block)) free(block);
}

static void load(kh_db *db, int count) {
    enum { BLOCK = 1000 };
    for (int first = 0; first < count; first += BLOCK) {
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        for (int i = first; i < first + BLOCK && i < count; i++) {
            char space[24];
            (void)number_key(space, i);
            kit_put(txn, space, i);
        }
        kit_commit_ok(txn);
    }
}

/* Each way several times, one inside of the other. */
static void open_and_close(kh_db *db) {
    kh_txn *open[WAYS];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < WAYS; i++)
            open[i] = kit_begin_with(db, ways[i].isolation, KH_FAIL, ways[i].flags);
        kh_txn *past = NULL;
        kit_is(kh_txn_begin_at(db, kh_db_now(db), &past, NULL), KH_OK);
        kit_commit_ok(past);
        for (int i = 0; i < WAYS; i++) kit_commit_ok(open[(i * 5 + round) % WAYS]);
    }
}

static void opening_is_free(int count) {
    struct quarters quarters = {.room = (size_t)count * 1024 + (16u << 20)};
    quarters.mapping = mmap(NULL, quarters.room, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(quarters.mapping != MAP_FAILED);
    kh_options options = kit_options();
    options.allocator = (kh_allocator){allocate, release, &quarters};
    kh_db *db = kit_open_with(&options);
    open_and_close(db); /* handles and whatever is made once */
    quarters.is_loading = true;
    load(db, count);
    quarters.is_loading = false;
    kh_db_step(db);
    open_and_close(db);
    kh_stats before = stats_of(db);
    assert_int_equal(before.keys, count);
    uint64_t calls = quarters.calls;
    assert_int_equal(mprotect(quarters.mapping, quarters.room, PROT_NONE), 0);
    open_and_close(db); /* a look at a key or a version is the end of this process */
    assert_int_equal(mprotect(quarters.mapping, quarters.room, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(quarters.calls, calls);
    kh_stats after = stats_of(db);
    assert_int_equal(after.begins - before.begins, 3 * (WAYS + 1));
    assert_int_equal(after.versions_live, before.versions_live);
    assert_int_equal(after.snapshots, 0);
    kit_close(db);
    (void)munmap(quarters.mapping, quarters.room);
}

static void test_opening(void **state) {
    (void)state;
    opening_is_free(1000);
    opening_is_free(KEYS_MANY);
}

/* ---- keeping --------------------------------------------------------------------------------- */

enum { KEYS = 1000, WRITERS = 2, WRITES_PER_COMMIT = 10, READERS = 4, LOOKS = 10 };

struct keeping {
    kh_db *db;
    _Atomic int64_t bytes;
    _Atomic uint64_t snapshots; /* readers open now, or about to be */
    uint64_t held_by_writers;   /* by those that have been overtaken in a transaction */
    _Atomic uint64_t written;
    _Atomic bool is_over;
    _Atomic int wrong;
    _Atomic int unexpected;
    _Atomic uint64_t looks;
    uint64_t worst_versions; /* of one look, beyond what is allowed without the slack */
    int64_t bytes_at_start;
    int64_t bytes_most;
};

static void *count_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct keeping *keeping = context;
    size_t rounded = (size_bytes + alignment) / alignment * alignment;
    atomic_fetch_add_explicit(&keeping->bytes, (int64_t)size_bytes, memory_order_relaxed);
    return aligned_alloc(alignment < sizeof(void *) ? sizeof(void *) : alignment, rounded);
}

static void count_release(void *context, void *block, size_t size_bytes) {
    struct keeping *keeping = context;
    atomic_fetch_sub_explicit(&keeping->bytes, (int64_t)size_bytes, memory_order_relaxed);
    free(block);
}

static void *overwrite(void *argument) {
    struct keeping *keeping = argument;
    kh_schema *schema = kit_number_schema(keeping->db);
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = KH_READ_COMMITTED; /* holds no snapshot */
    uint64_t state = atomic_fetch_add(&keeping->written, 0) + (uintptr_t)&schema;
    /* Until enough is written, and was looked at, however the processors are shared out. */
    while (atomic_fetch_add(&keeping->written, WRITES_PER_COMMIT) < WRITES ||
           keeping->looks <= LOOKS) {
        kh_txn *txn = NULL;
        kh_status status = kh_txn_begin(keeping->db, &options, &txn, NULL);
        for (int i = 0; i < WRITES_PER_COMMIT && status == KH_OK; i++) {
            char space[24];
            kh_batch *batch = NULL;
            state = state * 6364136223846793005u + 1442695040888963407u;
            kh_scalar scalar = {KH_SCALAR_INT64, {.int64 = (int64_t)state}};
            status = kh_batch_build(keeping->db, schema, &scalar, 1, &batch, NULL);
            kh_bytes key = number_key(space, (int)((state >> 33) % KEYS));
            if (status == KH_OK) status = kh_txn_put(txn, key, batch, NULL);
            kh_batch_release(batch);
        }
        if (status == KH_OK) status = kh_txn_commit(txn, NULL, NULL);
        if (status != KH_OK) keeping->unexpected++;
        kh_txn_close(txn);
    }
    kh_schema_release(schema);
    return NULL;
}

/* Versions beyond the bound: those that commits under way have linked and not yet paid for. */
enum { SLACK = WRITERS * WRITES_PER_COMMIT };

static void *watch(void *argument) {
    struct keeping *keeping = argument;
    while (!keeping->is_over) {
        kh_stats stats = {.size = sizeof stats};
        uint64_t snapshots = keeping->snapshots;
        if (kh_db_stats(keeping->db, &stats, NULL) != KH_OK) keeping->unexpected++;
        if (snapshots < keeping->snapshots) snapshots = keeping->snapshots;
        uint64_t allowed = stats.keys * (1 + snapshots + keeping->held_by_writers);
        if (stats.versions_live > allowed + SLACK) keeping->wrong++;
        if (stats.versions_live > allowed + keeping->worst_versions)
            keeping->worst_versions = stats.versions_live - allowed;
        int64_t bytes = keeping->bytes;
        if (bytes > keeping->bytes_most) keeping->bytes_most = bytes;
        keeping->looks++;
        (void)sched_yield();
    }
    return NULL;
}

/* Readers are opened one after the other while the writing goes on, each later in it. */
static void keep(const struct way *way, int reader_count, int writer_count) {
    struct keeping keeping = {0};
    /* A writer alone overtakes nobody: the bound is exact. */
    if (writer_count > 1) keeping.held_by_writers = (uint64_t)writer_count;
    kh_options options = KH_OPTIONS_INIT;
    options.timeout_ms = 3600000;
    options.allocator = (kh_allocator){count_allocate, count_release, &keeping};
    keeping.db = kit_open_with(&options);
    load(keeping.db, KEYS);
    kh_db_step(keeping.db);
    keeping.bytes_at_start = keeping.bytes;
    pthread_t writers[WRITERS];
    pthread_t watcher;
    kh_txn *readers[READERS];
    int64_t seen[READERS];
    assert_int_equal(pthread_create(&watcher, NULL, watch, &keeping), 0);
    for (int i = 0; i < writer_count; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, overwrite, &keeping), 0);
    for (int i = 0; i < reader_count; i++) {
        while (keeping.written < (uint64_t)WRITES / (READERS + 1) * (uint64_t)i)
            (void)sched_yield();
        keeping.snapshots++;
        readers[i] = kit_begin_with(keeping.db, way->isolation, KH_FAIL, way->flags);
        seen[i] = kit_get(readers[i], "key000000007");
    }
    for (int i = 0; i < writer_count; i++) assert_int_equal(pthread_join(writers[i], NULL), 0);
    keeping.is_over = true;
    assert_int_equal(pthread_join(watcher, NULL), 0);
    print_message(
        "%s, %d readers, %d writers: %llu looks, %llu versions beyond the bound, %lld KiB\n",
        way->name, reader_count, writer_count, (unsigned long long)keeping.looks,
        (unsigned long long)keeping.worst_versions,
        (long long)(keeping.bytes_most - keeping.bytes_at_start) / 1024);
    assert_int_equal(keeping.unexpected, 0);
    assert_int_equal(keeping.wrong, 0);
    assert_true(keeping.looks > LOOKS);
    /* What the versions weigh, and as much again for queues and handles. With the readers open, but
     * at rest: retired memory waits for whoever loses the processor inside of a call. */
    kh_db_step(keeping.db);
    int64_t allowed =
        (int64_t)(1 + reader_count + writer_count) * keeping.bytes_at_start + (1 << 20);
    assert_true(keeping.bytes <= allowed);
    for (int i = 0; i < reader_count; i++) {
        kit_get_is(readers[i], "key000000007", seen[i]);
        kit_rollback(readers[i]);
    }
    kh_db_step(keeping.db);
    assert_int_equal(stats_of(keeping.db).versions_live, KEYS);
    kit_close(keeping.db);
    assert_int_equal(keeping.bytes, 0);
}

static void test_keeping(void **state) {
    (void)state;
    for (int i = 1; i < WAYS; i++) {
        keep(&ways[i], 1, 1);
        keep(&ways[i], READERS, 1);
        keep(&ways[i], READERS, WRITERS);
    }
}

/* Readers that came after the oldest one and went before it leave nothing behind. */
static void test_readers_in_between(void **state) {
    (void)state;
    for (int i = 1; i < WAYS; i++) {
        kh_db *db = kit_open();
        kh_txn *between[8];
        load(db, KEYS);
        kh_txn *oldest = kit_begin_with(db, ways[i].isolation, KH_FAIL, ways[i].flags);
        for (int r = 0; r < 8; r++) {
            load(db, KEYS);
            between[r] = kit_begin_with(db, ways[i].isolation, KH_FAIL, ways[i].flags);
        }
        load(db, KEYS);
        kh_db_step(db);
        assert_int_equal(stats_of(db).versions_live, 10 * KEYS);
        for (int r = 0; r < 8; r++) {
            kit_rollback(between[(r * 3) % 8]);
            kh_db_step(db);
            assert_in_range(stats_of(db).versions_live, 0, (uint64_t)(9 - r) * KEYS);
        }
        kit_rollback(oldest);
        kh_db_step(db);
        assert_int_equal(stats_of(db).versions_live, KEYS);
        kit_close(db);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_readers_in_between),
        cmocka_unit_test(test_keeping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
