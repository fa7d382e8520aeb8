/* index_stress_test.c - the index under several threads, each of which checks what it is promised.
 *
 * Three sets of keys, mixed in key order:
 *   steady   in the index all the time: each find gives its one entry, each scan all of those in
 *            the range that it covers
 *   shared   made during the run, by several threads each: all get the same entry, and once a
 *            thread has seen it, it finds it ever after
 *   passing  made by several threads and removed by one, in waves that make nodes and the hash
 *            front grow and shrink; whoever meets one sees its whole key (the address sanitizer
 *            sees one met too late); one that was removed is not found any more
 * At the end the index holds what it should. The run is repeated on fresh indexes,
 * KH_STRESS_TRIALS times, with threads that yield at the worst moments in some of them. */
#include "base/env.h"
#include "store/guard.h"
#include "support/index_kit.h"

#if defined(__SANITIZE_THREAD__)
enum { TRIALS = 3 };
#else
enum { TRIALS = 12 };
#endif

enum {
    KEYS = 3000, /* every third is steady, shared, passing */
    HOT_KEYS = 24, /* where the passing ones are made and removed all the time */
    READERS = 2,
    WORKERS = 3 + READERS,
    WAVES = 3,
    READER_STEPS = 3000,
    HOT_STEPS = 4000,
    SCAN_ROOM = 70
};

struct stress {
    struct index_kit kit;
    struct index_kit_list keys; /* entry: of steady keys, before the threads start */
    _Atomic(struct entry *) shared[KEYS];
    _Atomic unsigned working; /* threads that change the index */
    _Atomic uint64_t failures;
    bool is_side_by_side;
};

struct worker {
    struct stress *stress;
    struct env_thread *thread;
    struct epoch_record *record;
    struct mem_cache *cache;
    uint64_t random;
    unsigned number;
};

static bool is_steady(size_t i) {
    return i % 3 == 0;
}

/* Assertions of cmocka are for the main thread. */
static void expect(struct worker *worker, bool claim, const char *text) {
    if (claim) return;
    if (atomic_fetch_add(&worker->stress->failures, 1) < 5) fprintf(stderr, "not so: %s\n", text);
}
#define EXPECT(worker, claim) expect((worker), (claim), #claim)

static void open_section(struct worker *worker) {
    epoch_open(&worker->stress->kit.epoch, worker->record);
}

static void close_section(struct worker *worker) {
    epoch_close(&worker->stress->kit.epoch, worker->record);
    (void)epoch_poll(&worker->stress->kit.epoch, worker->record, worker->cache);
}

static struct entry *find(struct worker *worker, kh_bytes key) {
    const struct index *index = worker->stress->kit.index;
    return index_find(index, key, index_hash(index, key));
}

static struct entry *upsert(struct worker *worker, kh_bytes key) {
    struct index *index = worker->stress->kit.index;
    struct entry *entry = NULL;
    kh_status status = index_upsert(index, worker->record, worker->cache, key,
                                    index_hash(index, key), &entry, NULL);
    EXPECT(worker, status == KH_OK && entry != NULL);
    EXPECT(worker, index_kit_compare(entry_key(entry), key) == 0);
    return entry;
}

static void check_find(struct worker *worker) {
    struct stress *stress = worker->stress;
    size_t i = index_kit_random(&worker->random) % KEYS;
    const struct index_kit_row *row = &stress->keys.rows[i];
    struct entry *known = atomic_load_explicit(&stress->shared[i], memory_order_acquire);
    struct entry *entry = find(worker, row->key);
    if (is_steady(i)) EXPECT(worker, entry == row->entry);
    if (known != NULL) EXPECT(worker, entry == known);
    if (entry != NULL) EXPECT(worker, index_kit_compare(entry_key(entry), row->key) == 0);
}

/* Each steady key that is passed between two neighbours of an answer is missing. */
static size_t steady_after(size_t i, bool is_reverse) {
    do
        i = is_reverse ? i - 1 : i + 1;
    while (i < KEYS && !is_steady(i));
    return i;
}

static void check_scan(struct worker *worker) {
    struct stress *stress = worker->stress;
    struct entry *out[SCAN_ROOM];
    uint64_t dice = index_kit_random(&worker->random);
    bool is_reverse = (dice & 1) != 0;
    size_t capacity = 1 + (dice >> 8) % SCAN_ROOM;
    size_t start = (dice >> 16) % KEYS;
    kh_bytes bound = stress->keys.rows[start].key, none = {NULL, 0};
    size_t count = index_scan(stress->kit.index, none, bound, true, is_reverse, out, capacity);
    EXPECT(worker, count <= capacity);
    size_t expected = steady_after(start, is_reverse);
    size_t last = start;
    for (size_t i = 0; i < count; i++) {
        size_t at = index_kit_position(&stress->keys, entry_key(out[i]));
        if (at >= KEYS || index_kit_compare(stress->keys.rows[at].key, entry_key(out[i])) != 0) {
            expect(worker, false, "a scanned entry has a key of the set");
            return;
        }
        EXPECT(worker, is_reverse ? at < last : at > last);
        EXPECT(worker, is_reverse ? expected >= KEYS || at >= expected : at <= expected);
        if (is_steady(at)) {
            EXPECT(worker, out[i] == stress->keys.rows[at].entry);
            expected = steady_after(at, is_reverse);
        }
        last = at;
    }
    if (count < capacity) EXPECT(worker, expected >= KEYS);
}

static void read_run(void *context) {
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    for (uint64_t step = 0; step < READER_STEPS || stress->working > 0; step++) {
        open_section(worker);
        if (step % 4 == 0)
            check_scan(worker);
        else
            check_find(worker);
        close_section(worker);
    }
}

static kh_bytes hot_key(struct worker *worker) {
    uint64_t random = index_kit_random(&worker->random);
    return worker->stress->keys.rows[random % (HOT_KEYS / 3) * 3 + 2].key;
}

/* All makers make all shared keys: in orders of their own, or side by side, so that they change the
 * same nodes at once. */
static void make_run(void *context) {
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    size_t at = stress->is_side_by_side ? 0 : index_kit_random(&worker->random) % KEYS;
    size_t stride = worker->number % 2 == 0 ? 7 : KEYS - 7; /* prime to KEYS */
    if (stress->is_side_by_side) stride = 1;
    for (size_t i = 0; i < KEYS; i++, at = (at + stride) % KEYS) {
        if (at % 3 != 1) continue;
        open_section(worker);
        struct entry *entry = upsert(worker, stress->keys.rows[at].key);
        struct entry *none = NULL;
        if (!atomic_compare_exchange_strong(&stress->shared[at], &none, entry))
            EXPECT(worker, none == entry);
        EXPECT(worker, find(worker, stress->keys.rows[at].key) == entry);
        (void)upsert(worker, stress->keys.rows[at + 1].key); /* a passing one */
        (void)upsert(worker, hot_key(worker));
        check_find(worker);
        close_section(worker);
    }
    atomic_fetch_sub(&stress->working, 1);
}

static void remove_passing(struct worker *worker, kh_bytes key, bool may_be_gone) {
    open_section(worker);
    struct entry *entry = find(worker, key);
    EXPECT(worker, entry != NULL || may_be_gone);
    if (entry != NULL) {
        atomic_fetch_or(&entry->flags, ENTRY_DEAD);
        struct index *index = worker->stress->kit.index;
        EXPECT(worker, index_remove(index, worker->record, worker->cache, entry));
        EXPECT(worker, find(worker, key) != entry); /* perhaps a new one */
    }
    close_section(worker);
}

static void heat_run(void *context) {
    struct worker *worker = context;
    for (unsigned step = 0; step < HOT_STEPS; step++) {
        open_section(worker);
        kh_bytes key = hot_key(worker);
        (void)upsert(worker, key);
        struct entry *entry = find(worker, key);
        if (entry != NULL) EXPECT(worker, index_kit_compare(entry_key(entry), key) == 0);
        close_section(worker);
    }
    atomic_fetch_sub(&worker->stress->working, 1);
}

static void cool_run(void *context) {
    struct worker *worker = context;
    /* It works as long as the others heat, and counts as working itself. */
    while (atomic_load(&worker->stress->working) > 1) remove_passing(worker, hot_key(worker), true);
    atomic_fetch_sub(&worker->stress->working, 1);
}

static void wave_run(void *context) {
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    for (uint64_t wave = 0; wave < WAVES; wave++) {
        for (size_t i = 0; i < KEYS; i++) {
            size_t at = wave % 2 == 0 ? i : i * 7 % KEYS;
            if (at % 3 != 2) continue;
            open_section(worker);
            struct entry *entry = upsert(worker, stress->keys.rows[at].key);
            EXPECT(worker, find(worker, stress->keys.rows[at].key) == entry);
            close_section(worker);
        }
        for (size_t i = 0; i < KEYS; i++) {
            size_t at = wave % 3 == 0 ? i : i * 11 % KEYS;
            if (at % 3 == 2) remove_passing(worker, stress->keys.rows[at].key, at < HOT_KEYS);
            remove_passing(worker, hot_key(worker), true);
        }
    }
    atomic_fetch_sub(&stress->working, 1);
}

static void fill(struct stress *stress, uint64_t random, bool is_dense) {
    unsigned char bytes[INDEX_KIT_KEY_ROOM];
    for (unsigned i = 0; stress->keys.count < KEYS; i++) {
        /* Few of the extreme shapes: there are only so many different keys of theirs. */
        unsigned shape = i % 8 == 0 ? i / 8 % INDEX_KIT_SHAPES : 2 + i % 5;
        kh_bytes key = {bytes, index_kit_key(bytes, shape, &random)};
        if (is_dense)
            key.size_bytes = (size_t)snprintf((char *)bytes, sizeof bytes, "dense%04u", i);
        if (index_kit_row(&stress->keys, key) == NULL) index_kit_note(&stress->keys, key, NULL);
    }
    for (size_t i = 0; i < KEYS; i += 3) {
        struct index_kit_row *row = &stress->keys.rows[i];
        assert_int_equal(index_kit_upsert(&stress->kit, row->key, &row->entry), KH_OK);
    }
}

static void start(struct worker *worker, struct stress *stress, unsigned number,
                  void (*run)(void *context)) {
    worker->stress = stress;
    worker->number = number;
    worker->random = number * 77 + stress->keys.rows[number].key.size_bytes;
    worker->cache = mem_cache_create(stress->kit.mem);
    worker->record = aligned_alloc(64, (sizeof *worker->record + 63) & ~(size_t)63);
    assert_non_null(worker->cache);
    assert_non_null(worker->record);
    epoch_register(&stress->kit.epoch, worker->record);
    worker->thread = env_thread_start("stress", run, worker);
    assert_non_null(worker->thread);
}

/* What the index must hold when nobody works any more, NULL: no such key. */
static struct entry *expected_at(struct stress *stress, size_t i) {
    return is_steady(i) ? stress->keys.rows[i].entry : stress->shared[i];
}

static void check_end(struct stress *stress) {
    struct entry *out[SCAN_ROOM];
    kh_bytes bound = {NULL, 0}, none = {NULL, 0};
    size_t count = 0, next = 0, left = 0;
    assert_int_equal(atomic_load(&stress->failures), 0);
    for (size_t i = 0; i < KEYS; i++) {
        struct entry *expected = expected_at(stress, i);
        assert_ptr_equal(index_kit_find(&stress->kit, stress->keys.rows[i].key), expected);
        if (expected == NULL) continue;
        /* The front may know what the tree has lost: a scan does not ask it. */
        if (next == left) {
            left = index_scan(stress->kit.index, none, bound, bound.data != NULL, false, out,
                              SCAN_ROOM);
            next = 0;
            assert_true(left > 0);
            bound = entry_key(out[left - 1]);
        }
        assert_ptr_equal(out[next++], expected);
        count++;
    }
    assert_int_equal(next, left);
    assert_int_equal(index_entry_count(stress->kit.index), count);
}

typedef void run_fn(void *context);

static void run_trial(struct stress *stress, uint64_t seed, bool is_dense,
                      run_fn *const runs[WORKERS]) {
    struct worker workers[WORKERS];
    memset(stress, 0, sizeof *stress);
    stress->is_side_by_side = seed % 2 == 0;
    index_kit_open_pooled(&stress->kit);
    fill(stress, seed, is_dense);
    atomic_store(&stress->working, WORKERS - READERS);
    for (unsigned i = 0; i < WORKERS; i++) start(&workers[i], stress, i, runs[i]);
    for (unsigned i = 0; i < WORKERS; i++) env_thread_join(workers[i].thread);
    for (size_t i = 2; i < KEYS; i += 3)
        remove_passing(&workers[0], stress->keys.rows[i].key, true);
    for (unsigned i = 0; i < WORKERS; i++) {
        epoch_unregister(&stress->kit.epoch, workers[i].record, workers[i].cache);
        mem_cache_destroy(workers[i].cache);
    }
    check_end(stress);
    index_kit_list_free(&stress->keys);
    index_kit_close(&stress->kit);
    for (unsigned i = 0; i < WORKERS; i++) free(workers[i].record); /* ck knew them until here */
}

static void disturb(uint32_t steps) {
#if defined(KH_SLOW_CHECKS)
    guard_disturb_every(steps);
#else
    (void)steps;
#endif
}

static struct stress stress_now;

static void test_waves(void **state) {
    (void)state;
    static run_fn *const runs[WORKERS] = {wave_run, make_run, make_run, read_run, read_run};
    static const uint32_t steps[] = {0, 101, 1000};
    const char *text = getenv("KH_STRESS_TRIALS");
    uint64_t trials = text == NULL ? TRIALS : strtoull(text, NULL, 10);
    for (uint64_t trial = 0; trial < trials; trial++) {
        disturb(steps[trial % 3]);
        run_trial(&stress_now, trial * 1000003, false, runs);
    }
}

/* Three threads make the same keys in key order: they change and outgrow the same nodes. */
static void test_same_nodes(void **state) {
    (void)state;
    static run_fn *const runs[WORKERS] = {make_run, make_run, make_run, read_run, read_run};
    for (uint64_t trial = 0; trial < TRIALS / 3; trial++) {
        disturb(13);
        run_trial(&stress_now, 2 * trial, trial % 2 == 1, runs);
    }
}

/* A few keys of a few nodes, made by two threads and removed by one as soon as they are there. */
static void test_hot_keys(void **state) {
    (void)state;
    static run_fn *const runs[WORKERS] = {cool_run, heat_run, heat_run, read_run, read_run};
    static const uint32_t steps[] = {23, 9, 60};
    for (uint64_t trial = 0; trial < TRIALS / 3 * 2; trial++) {
        disturb(steps[trial % 3]);
        run_trial(&stress_now, trial, trial % 2 == 0, runs);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_waves),
                                       cmocka_unit_test(test_same_nodes),
                                       cmocka_unit_test(test_hot_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
