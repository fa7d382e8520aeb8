/* Which values leave memory, what is left in their place, and who is in the way: marks that readers
 * take away, borrowers, snapshots of superseded versions, what the storage does not have. */
#include "store/cold.h"

#include "support/store_kit.h"

enum { BIG = 300 }; /* bytes of a value's text: above COLD_LEAST_BYTES */

struct yard {
    struct store_kit kit;
    struct cold_view view;
    uint64_t list[STORE_KIT_LINES * SLOT_COUNT];
};

static kh_batch *make_value(size_t text_bytes) {
    char text[BIG];
    memset(text, 'x', sizeof text);
    kh_scalar scalar = {KH_SCALAR_BYTES, {.bytes = {text, text_bytes}}};
    static const char *const names[] = {"text"};
    static const char *const formats[] = {"z"};
    kh_batch *batch = NULL;
    kh_schema *schema = NULL;
    assert_int_equal(kh_schema_build(NULL, names, formats, 1, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_build(NULL, schema, &scalar, 1, &batch, NULL), KH_OK);
    kh_schema_release(schema);
    return batch;
}

static int open_yard(void **state) {
    struct yard *yard = calloc(1, sizeof *yard);
    assert_non_null(yard);
    store_kit_open(&yard->kit);
    yard->view = (struct cold_view){
        .least_bytes = COLD_LEAST_BYTES, .stored = UINT64_MAX, .list = yard->list};
    *state = yard;
    return 0;
}

static int close_yard(void **state) {
    struct yard *yard = *state;
    store_kit_close(&yard->kit);
    free(yard);
    return 0;
}

static struct entry *chain(struct yard *yard, const uint64_t *commits, size_t count) {
    struct entry *entry = store_kit_entry(&yard->kit, "k");
    for (size_t i = 0; i < count; i++)
        (void)store_kit_link(&yard->kit, entry, commits[i], commits[i] - 1, commits[i] + 1,
                             make_value(BIG));
    return entry;
}

static struct entry *lone(struct yard *yard) {
    static const uint64_t commits[] = {10};
    return chain(yard, commits, 1);
}

static void look(struct yard *yard) {
    yard->view.visible = atomic_load(&yard->kit.store.visible);
    yard->view.list = yard->kit.store.snapshot_buffer;
    yard->view.list_count =
        snapshot_list(&yard->kit.store.snapshots, yard->kit.store.snapshot_buffer);
}

static void cool(struct yard *yard, struct entry *entry) {
    look(yard);
    cold_cool(entry, &yard->view);
}

static uint64_t evict(struct yard *yard, struct entry *entry) {
    struct reclaimer who = {yard->kit.record, yard->kit.cache};
    look(yard);
    epoch_open(&yard->kit.store.epoch, yard->kit.record);
    uint64_t bytes = cold_evict(&yard->kit.store, &who, entry, &yard->view);
    epoch_close(&yard->kit.store.epoch, yard->kit.record);
    (void)epoch_poll(&yard->kit.store.epoch, yard->kit.record, yard->kit.cache);
    return bytes;
}

/* "40 (30) 20": a version in brackets is cold. */
static void is(const struct entry *entry, const char *expected) {
    char text[128] = "";
    size_t used = 0;
    for (const struct version *version = entry_head(entry); version != NULL;
         version = atomic_load(&version->older))
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 version_is_cold(version) ? "%s(%llu)" : "%s%llu",
                                 used == 0 ? "" : " ", (unsigned long long)version->commit);
    assert_string_equal(text, expected);
}

static void test_unread_values_go(void **state) {
    struct yard *yard = *state;
    struct entry *entry = lone(yard);
    struct version *hot = entry_head(entry);
    uint64_t bytes = version_value_bytes(hot);
    assert_int_equal(evict(yard, entry), 0); /* not cooling */
    is(entry, "10");
    cool(yard, entry);
    assert_null(entry_value_fast(entry, 10));
    assert_int_equal(evict(yard, entry), bytes);
    is(entry, "(10)");
    const struct version *cold = entry_read(entry, 10);
    assert_true(version_is_cold(cold) && !version_is_tombstone(cold));
    assert_int_equal(version_value_bytes(cold), bytes);
    assert_int_equal(cold->stamp.spi, 9);
    assert_int_equal(cold->stamp.ps, 11);
    assert_null(entry_value_fast(entry, 10));
    assert_int_equal(yard->kit.store.versions_cold, 1);
    cool(yard, entry);
    assert_int_equal(evict(yard, entry), 0);
}

static void test_read_values_stay(void **state) {
    struct yard *yard = *state;
    struct entry *entry = lone(yard);
    const struct version *hot = entry_head(entry);
    cool(yard, entry);
    assert_ptr_equal(entry_read(entry, 10), hot);
    assert_ptr_equal(entry_value_fast(entry, 10), version_batch(hot));
    assert_int_equal(evict(yard, entry), 0);
    is(entry, "10");
    cool(yard, entry);
    assert_null(entry_read(entry, 9)); /* below it: that was no reading */
    assert_true(evict(yard, entry) > 0);
}

static void test_borrowed_values_stay(void **state) {
    struct yard *yard = *state;
    struct entry *entry = lone(yard);
    cool(yard, entry);
    yard->view.borrowed = 10;
    assert_int_equal(evict(yard, entry), 0);
    yard->view.borrowed = 9; /* it never saw the value */
    assert_true(evict(yard, entry) > 0);
}

static void test_what_cannot_go(void **state) {
    struct yard *yard = *state;
    struct entry *entry = lone(yard);
    yard->view.stored = 9;
    cool(yard, entry);
    assert_non_null(entry_value_fast(entry, 10));
    yard->view.stored = 10;
    atomic_store(&yard->kit.store.visible, 9);
    cool(yard, entry);
    assert_int_equal(atomic_load(&entry->head) & HEAD_COOLING, 0);
    atomic_store(&yard->kit.store.visible, 10);
    yard->view.least_bytes = version_value_bytes(entry_head(entry)) + 1;
    cool(yard, entry);
    assert_int_equal(atomic_load(&entry->head) & HEAD_COOLING, 0);
    yard->view.least_bytes--;
    cool(yard, entry);
    assert_int_equal(atomic_load(&entry->head) & HEAD_COOLING, HEAD_COOLING);
    struct entry *dead = store_kit_entry(&yard->kit, "dead");
    (void)store_kit_link(&yard->kit, dead, 11, 11, 0, NULL);
    cool(yard, dead);
    assert_int_equal(evict(yard, dead), 0);
    assert_true(version_is_tombstone(entry_head(dead)));
}

/* One that several keys share has no version in its headroom but the first. */
static void test_shared_values(void **state) {
    struct yard *yard = *state;
    kh_batch *batch = make_value(BIG);
    struct entry *first = store_kit_entry(&yard->kit, "a");
    struct entry *second = store_kit_entry(&yard->kit, "b");
    (void)store_kit_link(&yard->kit, first, 10, 10, 0, kh_batch_retain(batch));
    (void)store_kit_link(&yard->kit, second, 11, 11, 0, batch);
    cool(yard, second);
    assert_ptr_equal(version_batch(entry_read(second, 11)), batch);
    assert_int_equal(evict(yard, second), 0);
    cool(yard, second);
    assert_true(evict(yard, second) > 0);
    assert_ptr_equal(entry_value_fast(first, 11), batch);
    cool(yard, first);
    assert_true(evict(yard, first) > 0);
}

static void test_superseded_values(void **state) {
    static const uint64_t commits[] = {10, 20, 30, 40};
    static const struct {
        uint64_t read, swept, stored;
        const char *expected;
    } table[] = {{0, 0, 99, "40 (30) (20) (10)"}, {25, 0, 99, "40 (30) 20 (10)"},
                 {10, 0, 99, "40 (30) (20) 10"},  {19, 0, 99, "40 (30) (20) 10"},
                 {9, 0, 99, "40 (30) (20) (10)"}, {40, 0, 99, "40 (30) (20) (10)"},
                 {39, 0, 99, "40 30 (20) (10)"},  {0, 20, 99, "40 (30) (20) 10"},
                 {0, 30, 99, "40 (30) 20 10"},    {0, 0, 20, "40 30 (20) (10)"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        void *fresh = NULL;
        assert_int_equal(open_yard(&fresh), 0);
        struct yard *yard = fresh;
        struct entry *entry = chain(yard, commits, 4);
        if (table[i].read != 0) store_kit_slot(&yard->kit, 3, SLOT_READ, table[i].read);
        yard->view.swept = table[i].swept;
        yard->view.stored = table[i].stored;
        (void)evict(yard, entry);
        is(entry, table[i].expected);
        store_kit_slot(&yard->kit, 3, SLOT_READ, SNAPSHOT_NONE);
        assert_int_equal(close_yard(&fresh), 0);
    }
    (void)state;
}

#if defined(KH_SLOW_CHECKS)
/* A reader of the past that registers after the list was made is seen by the second look. */
static struct yard *stepped;
static int steps_left;

static void register_late(void *context) {
    (void)context;
    if (steps_left-- == 0) store_kit_slot(&stepped->kit, 5, SLOT_READ, 15);
}

static void test_a_reader_comes_late(void **state) {
    static const uint64_t commits[] = {10, 20};
    struct yard *yard = *state;
    struct entry *entry = chain(yard, commits, 2);
    stepped = yard;
    steps_left = 0; /* behind the first look at the slots */
    snapshot_step_with(register_late, NULL);
    assert_int_equal(evict(yard, entry), 0);
    snapshot_step_with(NULL, NULL);
    assert_true(steps_left < 0);
    is(entry, "20 10");
    assert_int_equal(yard->kit.store.versions_cold, 0);
    store_kit_slot(&yard->kit, 5, SLOT_READ, SNAPSHOT_NONE);
}
#endif

static void test_values_come_back(void **state) {
    struct yard *yard = *state;
    struct reclaimer who = {yard->kit.record, yard->kit.cache};
    struct store *store = &yard->kit.store;
    struct entry *entry = lone(yard);
    cool(yard, entry);
    assert_true(evict(yard, entry) > 0);
    entry_head(entry)->stamp.ps = 77; /* a reader commits meanwhile */
    kh_batch *batch = make_value(BIG);
    struct version *hot = version_create(store->mem, yard->kit.cache, batch);
    assert_false(cold_heat(store, &who, entry, 9, hot)); /* another version */
    assert_true(cold_heat(store, &who, entry, 10, hot));
    is(entry, "10");
    assert_ptr_equal(entry_value_fast(entry, 10), batch);
    assert_int_equal(entry_head(entry)->stamp.spi, 9);
    assert_int_equal(entry_head(entry)->stamp.ps, 77);
    assert_int_equal(store->versions_cold, 0);
    struct version *again = version_create(store->mem, yard->kit.cache, make_value(BIG));
    assert_false(cold_heat(store, &who, entry, 10, again)); /* somebody was faster */
    version_discard(store->mem, yard->kit.cache, again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unread_values_go, open_yard, close_yard),
        cmocka_unit_test_setup_teardown(test_read_values_stay, open_yard, close_yard),
        cmocka_unit_test_setup_teardown(test_borrowed_values_stay, open_yard, close_yard),
        cmocka_unit_test_setup_teardown(test_what_cannot_go, open_yard, close_yard),
        cmocka_unit_test_setup_teardown(test_shared_values, open_yard, close_yard),
#if defined(KH_SLOW_CHECKS)
        cmocka_unit_test_setup_teardown(test_a_reader_comes_late, open_yard, close_yard),
#endif
        cmocka_unit_test_setup_teardown(test_values_come_back, open_yard, close_yard),
        cmocka_unit_test(test_superseded_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
