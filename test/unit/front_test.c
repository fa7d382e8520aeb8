/* front_test.c - the hash front by itself: what it finds is right, what it loses is little, what
 * was removed is never found, in the middle of growing and shrinking too. */
#include "store/front.h"

#include "support/index_kit.h"

#if KH_HASH_FRONT

enum { ENTRIES = 20000 };

struct fixture {
    struct mem *mem;
    struct epoch epoch;
    struct epoch_record *record;
    struct front front;
    struct entry **entries;
    uint64_t *hashes;
};

static uint64_t hash_of(size_t i) {
    uint64_t state = i;
    return index_kit_random(&state);
}

static void open_front(struct fixture *fixture) {
    memset(fixture, 0, sizeof *fixture);
    fixture->mem = mem_create(NULL);
    epoch_init(&fixture->epoch);
    fixture->record = aligned_alloc(64, (sizeof *fixture->record + 63) & ~(size_t)63);
    fixture->entries = calloc(ENTRIES, sizeof *fixture->entries);
    fixture->hashes = calloc(ENTRIES, sizeof *fixture->hashes);
    assert_non_null(fixture->record);
    assert_non_null(fixture->entries);
    assert_non_null(fixture->hashes);
    epoch_register(&fixture->epoch, fixture->record);
    assert_true(front_init(&fixture->front, fixture->mem, &fixture->epoch));
}

static void close_front(struct fixture *fixture) {
    epoch_unregister(&fixture->epoch, fixture->record, NULL);
    front_fini(&fixture->front);
    for (size_t i = 0; i < ENTRIES; i++) free(fixture->entries[i]);
    assert_int_equal(mem_live_bytes(fixture->mem), 0);
    mem_close(fixture->mem);
    free(fixture->record);
    free(fixture->entries);
    free(fixture->hashes);
}

static void make(struct fixture *fixture, size_t i, uint64_t hash) {
    struct entry *entry = calloc(1, sizeof *entry + 8);
    assert_non_null(entry);
    entry->hash = (uint32_t)hash;
    entry->key_bytes = 8;
    memcpy(entry->key, &i, 8);
    fixture->entries[i] = entry;
    fixture->hashes[i] = hash;
    front_add(&fixture->front, entry, hash);
}

static struct entry *look(struct fixture *fixture, size_t i) {
    kh_bytes key = {&i, 8};
    struct entry *entry = front_find(&fixture->front, key, fixture->hashes[i]);
    return entry != NULL ? entry : front_find_further(&fixture->front, key, fixture->hashes[i]);
}

static void drop(struct fixture *fixture, size_t i) {
    front_remove(&fixture->front, fixture->entries[i]);
    free(fixture->entries[i]); /* a find that still meets it shows under the address sanitizer */
    fixture->entries[i] = NULL;
}

static void maintain(struct fixture *fixture, uint64_t count) {
    epoch_open(&fixture->epoch, fixture->record);
    front_maintain(&fixture->front, fixture->record, NULL, count);
    epoch_close(&fixture->epoch, fixture->record);
    (void)epoch_poll(&fixture->epoch, fixture->record, NULL);
}

/* Right or nothing; returns how many of those there were found. */
static size_t check(struct fixture *fixture, size_t from, size_t to) {
    size_t found = 0;
    for (size_t i = from; i < to; i++) {
        struct entry *entry = look(fixture, i);
        if (entry != NULL) {
            assert_ptr_equal(entry, fixture->entries[i]);
            found++;
        }
    }
    return found;
}

static void test_grow_and_shrink(void **state) {
    (void)state;
    struct fixture fixture;
    open_front(&fixture);
    uint64_t first_bytes = front_size_bytes(&fixture.front);
    for (size_t i = 0; i < ENTRIES; i++) {
        make(&fixture, i, hash_of(i));
        maintain(&fixture, i + 1);
        if (i % 1777 == 0) assert_true(check(&fixture, 0, i + 1) * 100 >= (i + 1) * 92);
    }
    assert_true(check(&fixture, 0, ENTRIES) * 100 >= ENTRIES * 92);
    uint64_t full_bytes = front_size_bytes(&fixture.front);
    assert_in_range(full_bytes, ENTRIES * 10, ENTRIES * 27); /* two tables, while it grows */
    for (size_t i = 0; i < ENTRIES; i++) {
        drop(&fixture, i);
        maintain(&fixture, ENTRIES - 1 - i);
        if (i % 1777 == 0) {
            assert_int_equal(check(&fixture, 0, i + 1), 0);
            assert_true(check(&fixture, i + 1, ENTRIES) * 100 >= (ENTRIES - 1 - i) * 85);
        }
    }
    for (unsigned i = 0; i < 4000; i++) maintain(&fixture, 0);
    assert_int_equal(front_size_bytes(&fixture.front), first_bytes);
    close_front(&fixture);
}

/* Removal and adding at each point of a resize. */
static void test_churn(void **state) {
    (void)state;
    struct fixture fixture;
    uint64_t random = 5, live = 0;
    open_front(&fixture);
    for (unsigned step = 0; step < 200000; step++) {
        uint64_t dice = index_kit_random(&random);
        size_t room = (step / 20000 % 2 == 0) ? ENTRIES : 300;
        size_t i = dice % (dice >> 60 < 8 ? room : ENTRIES);
        if (fixture.entries[i] == NULL && i < room) {
            make(&fixture, i, hash_of(i));
            maintain(&fixture, ++live);
        } else if (fixture.entries[i] != NULL && (i >= room || dice >> 62 == 0)) {
            drop(&fixture, i);
            maintain(&fixture, --live);
            assert_null(look(&fixture, i));
        }
        if (step % 20000 == 777) (void)check(&fixture, 0, ENTRIES);
    }
    (void)check(&fixture, 0, ENTRIES);
    close_front(&fixture);
}

/* The same hash for all: two lines' worth is kept, the rest is missed, nothing is confused. */
static void test_same_hash(void **state) {
    (void)state;
    struct fixture fixture;
    open_front(&fixture);
    for (size_t i = 0; i < 40; i++) make(&fixture, i, 0xabcdef0123456789u);
    assert_int_equal(check(&fixture, 0, 40), 2 * FRONT_LINE_SLOTS);
    for (size_t i = 0; i < 20; i++) drop(&fixture, i);
    assert_int_equal(check(&fixture, 0, 40), 0);
    /* Same low half and tag 0 or 1, which share a tag: the key decides. */
    make(&fixture, 0, 7);
    make(&fixture, 1, (uint64_t)1 << 48 | 7);
    assert_int_equal(check(&fixture, 0, 2), 2);
    close_front(&fixture);
}

/* Entries of the second line stay findable while the first is full, in the previous table too. */
static void test_full_lines(void **state) {
    (void)state;
    struct fixture fixture;
    open_front(&fixture);
    for (size_t i = 0; i < 90; i++) make(&fixture, i, hash_of(i));
    size_t before = check(&fixture, 0, 90);
    maintain(&fixture, 97); /* begins to grow: everything is in the previous table now */
    assert_int_equal(check(&fixture, 0, 90), before);
    maintain(&fixture, 100); /* moves all of its lines */
    assert_true(check(&fixture, 0, 90) >= before);
    close_front(&fixture);
}

static void test_addresses_too_high(void **state) {
    (void)state;
    struct fixture fixture;
    open_front(&fixture);
    struct entry *high = (struct entry *)(uintptr_t)0x0123000000001000u; /* never followed */
    front_add(&fixture.front, high, 0x0123000000000005u);
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < FRONT_LINE_SLOTS; j++)
            assert_true(atomic_load(&fixture.front.current)->lines[i].slots[j] == 0);
    close_front(&fixture);
}

static void test_no_memory(void **state) {
    (void)state;
    struct index_kit_memory memory = {0};
    struct mem_hooks hooks = {index_kit_allocate, index_kit_release, &memory};
    struct mem *mem = mem_create(&hooks);
    struct fixture fixture;
    struct front front;
    memory.fail_at = memory.calls + 1;
    open_front(&fixture);
    assert_false(front_init(&front, mem, &fixture.epoch));
    assert_true(front_init(&front, mem, &fixture.epoch));
    uint64_t bytes = front_size_bytes(&front);
    uint64_t calls = memory.calls;
    memory.fail_at = calls + 1;
    front_maintain(&front, fixture.record, NULL, 97);
    assert_int_equal(memory.calls, calls + 1);
    assert_int_equal(front_size_bytes(&front), bytes);
    front_maintain(&front, fixture.record, NULL, 98); /* not again at once */
    assert_int_equal(memory.calls, calls + 1);
    front_maintain(&front, fixture.record, NULL, 120);
    assert_int_equal(memory.calls, calls + 2);
    assert_true(front_size_bytes(&front) > bytes);
    front_fini(&front);
    mem_close(mem);
    assert_int_equal(memory.live_blocks, 0);
    close_front(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grow_and_shrink),    cmocka_unit_test(test_churn),
        cmocka_unit_test(test_same_hash),          cmocka_unit_test(test_full_lines),
        cmocka_unit_test(test_addresses_too_high), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) {
    return 0;
}

#endif
