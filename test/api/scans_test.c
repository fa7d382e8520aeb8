/* scans_test.c - which keys a scan gives, against a filter over a sorted list: prefixes (of 0xff
 * too), bounds, both directions, limits, with writes of the transaction itself among and over the
 * stored keys. And that what a scan has shown is read back. */
#include "support/kit.h"

static const char *const stored[] = {"a",         "a\x01",    "a\x7f",    "a\x80",       "a\xff",
                                     "a\xff\xff", "b",        "bb",       "c",           "\x80",
                                     "\xff",      "\xff\x01", "\xff\xff", "\xff\xff\xff"};
/* Of the transaction itself: "+" puts, "-" deletes. */
static const char *const own[] = {"+\x01", "-a\x01", "+a\x02",    "+a\xff",   "-bb",
                                  "+bc",   "-none",  "+\xff\x02", "-\xff\xff"};
static const char *const edges[] = {NULL, "a", "a\x01", "a\xff", "a\xff\xff", "a\xff\xff\xff", "b",
                                    "bb", "d", "\x80",  "\xff",  "\xff\x01",  "\xff\xff"};
enum {
    STORED = sizeof stored / sizeof *stored,
    OWN = sizeof own / sizeof *own,
    EDGES = sizeof edges / sizeof *edges,
    ALL = STORED + OWN
};

struct expected {
    const char *keys[ALL];
    int count;
};

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b); /* unsigned, as memcmp */
}

/* The keys that are there, in order. */
static void list_keys(struct expected *all, bool with_own) {
    all->count = 0;
    for (int i = 0; i < STORED; i++) {
        bool is_covered = false;
        for (int j = 0; with_own && j < OWN; j++)
            is_covered = is_covered || strcmp(own[j] + 1, stored[i]) == 0;
        if (!is_covered) all->keys[all->count++] = stored[i];
    }
    for (int j = 0; with_own && j < OWN; j++)
        if (own[j][0] == '+') all->keys[all->count++] = own[j] + 1;
    qsort(all->keys, (size_t)all->count, sizeof *all->keys, compare);
}

static bool is_wanted(const kh_scan_options *options, const char *key) {
    size_t prefix = options->prefix.size_bytes;
    if (prefix > 0 && strncmp(key, options->prefix.data, prefix) != 0) return false;
    if (options->from.data != NULL && strcmp(key, options->from.data) < 0) return false;
    return options->to.data == NULL || strcmp(key, options->to.data) < 0;
}

static void select_keys(const struct expected *all, const kh_scan_options *options,
                        struct expected *out) {
    bool is_reverse = options->flags & KH_SCAN_REVERSE;
    out->count = 0;
    for (int i = 0; i < all->count; i++) {
        const char *key = all->keys[is_reverse ? all->count - 1 - i : i];
        if (options->limit != 0 && (uint64_t)out->count == options->limit) return;
        if (is_wanted(options, key)) out->keys[out->count++] = key;
    }
}

static void check(kh_txn *txn, const kh_scan_options *options, const struct expected *all) {
    struct expected expected;
    kh_cursor *cursor = NULL;
    kh_bytes key;
    const kh_batch *value = NULL;
    select_keys(all, options, &expected);
    kit_is(kh_txn_scan(txn, options, &cursor, NULL), KH_OK);
    for (int i = 0; i < expected.count; i++) {
        kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_OK);
        assert_true(kit_bytes_equal(key, kit_key(expected.keys[i])));
        assert_int_equal(value == NULL, (options->flags & KH_SCAN_KEYS_ONLY) != 0);
    }
    kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_END);
    kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_END);
    kh_cursor_close(cursor);
}

static kh_bytes edge(int i) {
    return edges[i] == NULL ? (kh_bytes){NULL, 0} : kit_key(edges[i]);
}

static void test_every_combination(void **state) {
    (void)state;
    static const uint64_t limits[] = {0, 1, 2, 3, 5};
    kh_db *db = kit_open();
    for (int i = 0; i < STORED; i++) kit_store(db, stored[i], i);
    /* Deleted keys, whose tombstones somebody needs. */
    static const char *const deleted[] = {"a\x03", "a\xff\x01", "bz", "\xff\xff\x01"};
    for (int i = 0; i < 4; i++) kit_store(db, deleted[i], i);
    kh_txn *holder = kit_begin(db, KH_REPEATABLE_READ);
    for (int i = 0; i < 4; i++) kit_store(db, deleted[i], KIT_ABSENT);
    for (int with_own = 0; with_own < 2; with_own++) {
        struct expected all;
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        for (int i = 0; with_own && i < OWN; i++) {
            if (own[i][0] == '+') {
                kit_put(txn, own[i] + 1, i);
            } else {
                kit_delete(txn, own[i] + 1);
            }
        }
        list_keys(&all, with_own != 0);
        for (int i = 0; i < EDGES * EDGES * EDGES; i++) {
            kh_scan_options options = KH_SCAN_OPTIONS_INIT;
            options.prefix = edge(i % EDGES);
            options.from = edge(i / EDGES % EDGES);
            options.to = edge(i / EDGES / EDGES);
            for (int j = 0; j < 10; j++) {
                options.limit = limits[j / 2];
                options.flags =
                    (j % 2 != 0 ? KH_SCAN_REVERSE : 0) | (i % 7 == 0 ? KH_SCAN_KEYS_ONLY : 0);
                check(txn, &options, &all);
            }
        }
        kit_rollback(txn);
    }
    kit_rollback(holder);
    kit_close(db);
}

/* More keys than a cursor takes at a time, a limit, and most of what is stored deleted by the
 * transaction itself: the limit counts what is given. */
static void test_limits_over_many_deletions(void **state) {
    (void)state;
    enum { KEYS = 700 };
    kh_db *db = kit_open();
    char key[16];
    kh_txn *load = kit_begin(db, KH_REPEATABLE_READ);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "k%03d", i);
        kit_put(load, key, i);
    }
    kit_commit_ok(load);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "k%03d", i);
        if (i % 100 != 50) kit_delete(txn, key);
    }
    kh_scan_options options = kit_range(NULL, NULL, 3, 0);
    kit_scan_is(txn, &options, "k050=50 k150=150 k250=250");
    options.flags = KH_SCAN_REVERSE;
    kit_scan_is(txn, &options, "k650=650 k550=550 k450=450");
    options.limit = 0;
    kit_scan_is(txn, &options, "k650=650 k550=550 k450=450 k350=350 k250=250 k150=150 k050=50");
    kit_rollback(txn);
    kit_close(db);
}

/* A pending value that a scan has shown is read back, as one that get has given is. */
static void test_a_scan_reads_back(void **state) {
    (void)state;
    kh_db *db = kit_open();
    for (int is_scanned = 0; is_scanned < 2; is_scanned++) {
        kh_scan_options options = kit_range("k", "l", 0, 0);
        kit_store(db, "k", 1);
        kh_txn *txn = kit_begin_with(db, KH_REPEATABLE_READ, KH_IGNORE, 0);
        kit_put(txn, "k", 7);
        if (is_scanned) kit_scan_is(txn, &options, "k=7");
        kit_store(db, "k", 9);
        kit_is(kit_commit(txn), is_scanned ? KH_CONFLICT : KH_OK);
    }
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_combination),
        cmocka_unit_test(test_limits_over_many_deletions),
        cmocka_unit_test(test_a_scan_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
