/* What of a chain may go: under snapshots, retention, unpublished commits, stamps and ranges; what
 * waits, and what wakes it. */
#include "store/store.h"

#include "support/store_kit.h"

struct yard {
    struct store_kit kit;
    uint64_t oldest_serializable;
    uint64_t range_timestamp; /* of the one kept range, 0: none */
};

static int open_yard(void **state) {
    struct yard *yard = calloc(1, sizeof *yard);
    assert_non_null(yard);
    store_kit_open(&yard->kit);
    yard->oldest_serializable = UINT64_MAX;
    *state = yard;
    return 0;
}

static int close_yard(void **state) {
    struct yard *yard = *state;
    store_kit_close(&yard->kit);
    free(yard);
    return 0;
}

static bool has_older(const void *ranges, uint64_t commit) {
    const struct yard *yard = ranges;
    return yard->range_timestamp != 0 && yard->range_timestamp < commit;
}

static struct entry *chain(struct yard *yard, const char *key, const uint64_t *commits,
                           size_t count) {
    struct entry *entry = store_kit_entry(&yard->kit, key);
    for (size_t i = 0; i < count; i++)
        (void)store_kit_link(&yard->kit, entry, commits[i], commits[i], 0, NULL);
    return entry;
}

static void note(struct yard *yard, struct entry *entry) {
    kh_error error;
    assert_int_equal(reclaim_reserve(&yard->kit.store, 1, &error), KH_OK);
    reclaim_note(&yard->kit.store, entry);
}

static size_t pass_until(struct yard *yard, uint64_t until) {
    struct tombstone_rule rule = {yard->oldest_serializable, has_older, yard};
    struct reclaimer who = {yard->kit.record, yard->kit.cache};
    epoch_open(&yard->kit.store.epoch, yard->kit.record);
    size_t looks = reclaim_some(&yard->kit.store, &who, until, &rule, SIZE_MAX);
    epoch_close(&yard->kit.store.epoch, yard->kit.record);
    (void)epoch_poll(&yard->kit.store.epoch, yard->kit.record, yard->kit.cache);
    return looks;
}

static void pass(struct yard *yard) {
    (void)pass_until(yard, UINT64_MAX);
}

static void has_commits(const struct entry *entry, const char *expected) {
    char text[128] = "";
    size_t used = 0;
    for (const struct version *version = entry_head(entry); version != NULL;
         version = atomic_load(&version->older))
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%llu", used == 0 ? "" : " ",
                                 (unsigned long long)version->commit);
    assert_string_equal(text, expected);
}

static bool is_there(struct yard *yard, const char *key) {
    epoch_open(&yard->kit.store.epoch, yard->kit.record);
    struct entry *entry = index_find(yard->kit.store.index, store_kit_key(key),
                                     index_hash(yard->kit.store.index, store_kit_key(key)));
    epoch_close(&yard->kit.store.epoch, yard->kit.record);
    return entry != NULL;
}

/* The newest version of these chains (40 or more) is a tombstone: keep it from going altogether. */
static void keep_tombstones(struct yard *yard) {
    yard->oldest_serializable = 39;
}

/* ---- chains ---------------------------------------------------------------------------------- */

static const uint64_t decades[] = {10, 20, 30, 40};

static void test_only_the_newest_is_needed(void **state) {
    struct yard *yard = *state;
    keep_tombstones(yard);
    struct entry *entry = chain(yard, "k", decades, 4);
    note(yard, entry);
    pass(yard);
    has_commits(entry, "40");
    assert_int_equal(atomic_load(&yard->kit.store.versions_live), 1);
    assert_int_equal(atomic_load(&yard->kit.store.versions_reclaimed), 3);
}

/* A snapshot keeps what it sees: the newest at or below it. */
static void test_snapshots_keep_what_they_see(void **state) {
    static const struct {
        uint64_t read, base; /* 0: none */
        const char *expected;
    } table[] = {{9, 0, "40"},      {10, 0, "40 10"},  {19, 0, "40 10"}, {20, 0, "40 20"},
                 {29, 0, "40 20"},  {30, 0, "40 30"},  {39, 0, "40 30"}, {40, 0, "40"},
                 {41, 0, "40"},     {15, 35, "40 30 10"}, {35, 15, "40 30 10"},
                 {15, 16, "40 10"}, {0, 25, "40 20"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        void *fresh = NULL;
        assert_int_equal(open_yard(&fresh), 0);
        struct yard *yard = fresh;
        keep_tombstones(yard);
        struct entry *entry = chain(yard, "k", decades, 4);
        if (table[i].read != 0) store_kit_slot(&yard->kit, 0, SLOT_READ, table[i].read);
        if (table[i].base != 0)
            store_kit_slot(&yard->kit, STORE_KIT_LINES - 1, SLOT_BASE, table[i].base);
        note(yard, entry);
        pass(yard);
        has_commits(entry, table[i].expected);
        assert_int_equal(close_yard(&fresh), 0);
    }
    (void)state;
}

static void test_many_snapshots(void **state) {
    struct yard *yard = *state;
    uint64_t commits[40];
    keep_tombstones(yard);
    for (size_t i = 0; i < 40; i++) commits[i] = 10 * (i + 1);
    struct entry *entry = chain(yard, "k", commits, 40);
    for (int i = 0; i < STORE_KIT_LINES; i++)
        store_kit_slot(&yard->kit, i, SLOT_READ, (uint64_t)(405 - 30 * ((i * 5) % 12)));
    note(yard, entry);
    pass(yard);
    has_commits(entry, "400 370 340 310 280 250 220 190 160 130 100 70");
}

/* n takes over the phi of what lay below it, if that is lower. */
static void test_stamps_are_inherited(void **state) {
    struct yard *yard = *state;
    keep_tombstones(yard);
    struct entry *entry = chain(yard, "k", decades, 4);
    struct version *newest = entry_head(entry);
    atomic_load(&newest->older)->stamp.spi = 7;
    store_kit_slot(&yard->kit, 0, SLOT_READ, 15);
    note(yard, entry);
    pass(yard);
    has_commits(entry, "40 10");
    assert_int_equal(newest->stamp.spi, 7);
    newest->stamp.spi = 5;
    store_kit_slot(&yard->kit, 0, SLOT_READ, SNAPSHOT_NONE);
    pass(yard);
    has_commits(entry, "40");
    assert_int_equal(newest->stamp.spi, 5);
}

/* Below what is not published nothing goes: it may be taken back. */
static void test_unpublished(void **state) {
    struct yard *yard = *state;
    keep_tombstones(yard);
    struct entry *entry = chain(yard, "k", decades, 4);
    atomic_store(&yard->kit.store.visible, 39);
    note(yard, entry);
    pass(yard);
    has_commits(entry, "40 30");
    atomic_store(&yard->kit.store.visible, 40);
    pass(yard);
    has_commits(entry, "40");
}

/* A version superseded after the bound is history. */
static void test_retention(void **state) {
    struct yard *yard = *state;
    keep_tombstones(yard);
    struct entry *entry = chain(yard, "k", decades, 4);
    note(yard, entry);
    (void)pass_until(yard, 29);
    has_commits(entry, "40 30 20");
    assert_int_equal(atomic_load(&yard->kit.store.horizon), 29);
    (void)pass_until(yard, 30);
    has_commits(entry, "40 30");
    (void)pass_until(yard, 20);
    assert_int_equal(atomic_load(&yard->kit.store.horizon), 30); /* it does not go back */
    pass(yard);
    has_commits(entry, "40");
    assert_int_equal(atomic_load(&yard->kit.store.horizon), 40); /* nor beyond what is published */
}

static void test_all_below(void **state) {
    struct yard *yard = *state;
    struct entry *entry = chain(yard, "k", decades, 4);
    atomic_load(&entry_head(entry)->older)->stamp.spi = 3;
    struct reclaimer who = {yard->kit.record, yard->kit.cache};
    reclaim_below(&yard->kit.store, &who, entry_head(entry));
    has_commits(entry, "40");
    assert_int_equal(entry_head(entry)->stamp.spi, 3);
    assert_int_equal(atomic_load(&yard->kit.store.versions_live), 1);
}

/* ---- lone tombstones ------------------------------------------------------------------------- */

/* A tombstone of 40, alone; is it gone after a pass? */
static bool goes(struct yard *yard, const char *key, uint64_t ps, unsigned flags) {
    uint64_t commit = 40;
    struct entry *entry = chain(yard, key, &commit, 1);
    entry_head(entry)->stamp.ps = ps;
    atomic_fetch_or(&entry->flags, (uint16_t)flags);
    note(yard, entry);
    pass(yard);
    return !is_there(yard, key);
}

static void test_a_lone_tombstone_goes(void **state) {
    struct yard *yard = *state;
    assert_true(goes(yard, "k", 0, 0));
    assert_int_equal(atomic_load(&yard->kit.store.keys), 0);
    assert_int_equal(atomic_load(&yard->kit.store.versions_live), 0);
}

static void test_a_snapshot_keeps_a_tombstone(void **state) {
    struct yard *yard = *state;
    store_kit_slot(&yard->kit, 3, SLOT_READ, 40);
    assert_true(goes(yard, "at", 0, 0));
    store_kit_slot(&yard->kit, 3, SLOT_READ, 39);
    assert_false(goes(yard, "k", 0, 0));
    store_kit_slot(&yard->kit, 3, SLOT_READ, SNAPSHOT_NONE);
    pass(yard);
    assert_false(is_there(yard, "k"));
}

static void test_a_serializable_snapshot_keeps_a_tombstone(void **state) {
    struct yard *yard = *state;
    yard->oldest_serializable = 40;
    assert_true(goes(yard, "at", 0, 0));
    yard->oldest_serializable = 39;
    assert_false(goes(yard, "k", 0, 0));
    yard->oldest_serializable = 40;
    pass(yard);
    assert_false(is_there(yard, "k"));
}

static void test_a_reader_keeps_a_tombstone(void **state) {
    struct yard *yard = *state;
    yard->oldest_serializable = 50;
    assert_true(goes(yard, "at", 50, 0));
    assert_false(goes(yard, "k", 51, 0));
    yard->oldest_serializable = 51;
    pass(yard);
    assert_false(is_there(yard, "k"));
}

static void test_a_range_keeps_a_tombstone(void **state) {
    struct yard *yard = *state;
    yard->range_timestamp = 40;
    assert_true(goes(yard, "at", 0, 0));
    yard->range_timestamp = 39;
    assert_false(goes(yard, "k", 0, 0));
    yard->range_timestamp = 0;
    pass(yard);
    assert_false(is_there(yard, "k"));
}

static void test_a_hold_keeps_a_tombstone(void **state) {
    static const unsigned flags[] = {ENTRY_HELD, ENTRY_HELD_SHARED, ENTRY_CLAIMED};
    struct yard *yard = *state;
    char key[16];
    for (int i = 0; i < 3; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        assert_false(goes(yard, key, 0, flags[i]));
        atomic_fetch_and(&store_kit_entry(&yard->kit, key)->flags, (uint16_t)~flags[i]);
        pass(yard);
        assert_false(is_there(yard, key));
    }
}

static void test_an_unpublished_tombstone_stays(void **state) {
    struct yard *yard = *state;
    uint64_t commit = 40;
    struct entry *entry = chain(yard, "k", &commit, 1);
    atomic_store(&yard->kit.store.visible, 39);
    note(yard, entry);
    pass(yard);
    assert_true(is_there(yard, "k"));
    atomic_store(&yard->kit.store.visible, 40);
    (void)pass_until(yard, 39); /* history knows the deletion */
    assert_true(is_there(yard, "k"));
    (void)pass_until(yard, 40);
    assert_false(is_there(yard, "k"));
}

/* An entry whose writer was refused has no version: it goes, unless somebody is about to give it
 * one. */
static void test_an_empty_entry_goes(void **state) {
    static const unsigned flags[] = {0, ENTRY_HELD, ENTRY_HELD_SHARED, ENTRY_CLAIMED};
    struct yard *yard = *state;
    uint64_t commit = 10;
    (void)chain(yard, "other", &commit, 1); /* something is published */
    for (int i = 0; i < 4; i++) {
        struct entry *entry = store_kit_entry(&yard->kit, "k");
        atomic_fetch_or(&entry->flags, (uint16_t)flags[i]);
        note(yard, entry);
        pass(yard);
        assert_int_equal(is_there(yard, "k"), flags[i] != 0);
        if (flags[i] == 0) continue;
        atomic_fetch_and(&entry->flags, (uint16_t)~flags[i]);
        pass(yard);
        assert_false(is_there(yard, "k"));
    }
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Under a long reader chains are not looked at again and again: they are parked until it is gone,
 * or until there is something new in them. */
static void test_parking(void **state) {
    struct yard *yard = *state;
    keep_tombstones(yard);
    struct entry *entry = chain(yard, "k", decades, 2);
    store_kit_slot(&yard->kit, 0, SLOT_READ, 15);
    store_kit_slot(&yard->kit, 1, SLOT_READ, 25);
    note(yard, entry);
    assert_int_equal(pass_until(yard, UINT64_MAX), 1);
    assert_int_equal(yard->kit.store.parked.count, 1);
    assert_int_equal(pass_until(yard, UINT64_MAX), 0);
    (void)store_kit_link(&yard->kit, entry, 30, 30, 0, NULL);
    (void)store_kit_link(&yard->kit, entry, 40, 40, 0, NULL);
    note(yard, entry);
    note(yard, entry); /* once in the queue */
    assert_int_equal(yard->kit.store.queue.count, 1);
    assert_int_equal(pass_until(yard, UINT64_MAX), 1);
    has_commits(entry, "40 20 10");
    assert_int_equal(yard->kit.store.parked.count, 1); /* nor twice there */
    store_kit_slot(&yard->kit, 1, SLOT_READ, SNAPSHOT_NONE); /* not the oldest: nothing to do */
    assert_int_equal(pass_until(yard, UINT64_MAX), 0);
    has_commits(entry, "40 20 10");
    store_kit_slot(&yard->kit, 0, SLOT_READ, SNAPSHOT_NONE);
    assert_int_equal(pass_until(yard, UINT64_MAX), 1);
    has_commits(entry, "40");
}

/* The queues grow with what stands in them, and keep their order. */
static void test_many_entries(void **state) {
    enum { ENTRIES = 300 };
    struct yard *yard = *state;
    char key[16];
    store_kit_slot(&yard->kit, 0, SLOT_READ, 15);
    for (int i = 0; i < ENTRIES; i++) {
        (void)snprintf(key, sizeof key, "k%03d", i);
        note(yard, chain(yard, key, decades, 4));
        if (i % 3 == 0) pass(yard);
    }
    pass(yard);
    assert_int_equal(yard->kit.store.queue.count, 0);
    assert_int_equal(yard->kit.store.parked.count, ENTRIES);
    assert_int_equal(atomic_load(&yard->kit.store.versions_live), 2 * ENTRIES);
    store_kit_slot(&yard->kit, 0, SLOT_READ, SNAPSHOT_NONE);
    pass(yard);
    assert_int_equal(atomic_load(&yard->kit.store.keys), 0);
    assert_int_equal(index_entry_count(yard->kit.store.index), 0);
}

/* What is unlinked is not freed under a section that began before. */
static void test_readers_hold_what_they_walk(void **state) {
    struct yard *yard = *state;
    keep_tombstones(yard);
    struct epoch_record *reader = aligned_alloc(64, (sizeof *reader + 63) & ~(size_t)63);
    assert_non_null(reader);
    epoch_register(&yard->kit.store.epoch, reader);
    struct entry *entry = chain(yard, "k", decades, 4);
    epoch_open(&yard->kit.store.epoch, reader);
    const struct version *version = entry_visible(entry, 15);
    note(yard, entry);
    uint64_t before = mem_live_bytes(yard->kit.mem);
    pass(yard);
    pass(yard);
    uint64_t kept = mem_live_bytes(yard->kit.mem);
    uint64_t commit = version->commit;
    epoch_close(&yard->kit.store.epoch, reader); /* a failure would wait for it for ever */
    has_commits(entry, "40");
    assert_int_equal(kept, before);
    assert_int_equal(commit, 10);
    epoch_drain(&yard->kit.store.epoch, yard->kit.record, yard->kit.cache);
    assert_true(mem_live_bytes(yard->kit.mem) < before);
    epoch_unregister(&yard->kit.store.epoch, reader, yard->kit.cache);
    store_kit_close(&yard->kit);
    store_kit_open(&yard->kit);
    free(reader);
}

#define IN_YARD(test) cmocka_unit_test_setup_teardown(test, open_yard, close_yard)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_YARD(test_only_the_newest_is_needed),
        cmocka_unit_test(test_snapshots_keep_what_they_see),
        IN_YARD(test_many_snapshots),
        IN_YARD(test_stamps_are_inherited),
        IN_YARD(test_unpublished),
        IN_YARD(test_retention),
        IN_YARD(test_all_below),
        IN_YARD(test_a_lone_tombstone_goes),
        IN_YARD(test_a_snapshot_keeps_a_tombstone),
        IN_YARD(test_a_serializable_snapshot_keeps_a_tombstone),
        IN_YARD(test_a_reader_keeps_a_tombstone),
        IN_YARD(test_a_range_keeps_a_tombstone),
        IN_YARD(test_a_hold_keeps_a_tombstone),
        IN_YARD(test_an_unpublished_tombstone_stays),
        IN_YARD(test_an_empty_entry_goes),
        IN_YARD(test_parking),
        IN_YARD(test_many_entries),
        IN_YARD(test_readers_hold_what_they_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
