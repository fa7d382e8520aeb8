/* index_test.c - the index against a sorted reference: any keys, any order of inserts, removals,
 * lookups and scans; keys of the largest size; each allocation failing once. */
#include "support/index_kit.h"

enum { SCAN_ROOM = 100 };

static kh_bytes text(const char *string) {
    return (kh_bytes){string, strlen(string)};
}

/* The whole index, both ways, in pieces of a size that divides nothing. */
static void check_all(struct index_kit *kit, const struct index_kit_list *list, size_t capacity) {
    struct entry *out[SCAN_ROOM];
    kh_bytes none = {NULL, 0};
    assert_int_equal(index_entry_count(kit->index), list->count);
    for (int is_reverse = 0; is_reverse <= 1; is_reverse++) {
        kh_bytes bound = none;
        size_t seen = 0;
        epoch_open(&kit->epoch, kit->record);
        for (;;) {
            size_t count = index_scan(kit->index, none, bound, bound.data != NULL,
                                      is_reverse == 1, out, capacity);
            for (size_t i = 0; i < count; i++, seen++) {
                size_t at = is_reverse == 1 ? list->count - 1 - seen : seen;
                assert_true(seen < list->count);
                assert_ptr_equal(out[i], list->rows[at].entry);
            }
            if (count < capacity) break;
            bound = entry_key(out[count - 1]);
        }
        epoch_close(&kit->epoch, kit->record);
        assert_int_equal(seen, list->count);
    }
}

static void upsert_both(struct index_kit *kit, struct index_kit_list *list, kh_bytes key) {
    struct entry *entry = NULL;
    const struct index_kit_row *row = index_kit_row(list, key);
    assert_int_equal(index_kit_upsert(kit, key, &entry), KH_OK);
    if (row != NULL) {
        assert_ptr_equal(entry, row->entry);
        return;
    }
    assert_int_equal(index_kit_compare(entry_key(entry), key), 0);
    assert_int_equal(entry->hash, (uint32_t)index_hash(kit->index, key));
    assert_int_equal(atomic_load(&entry->flags), 0);
    assert_null(entry_head(entry));
    index_kit_note(list, key, entry);
}

static void remove_both(struct index_kit *kit, struct index_kit_list *list, size_t at) {
    assert_true(index_kit_remove(kit, list->rows[at].entry));
    assert_null(index_kit_find(kit, list->rows[at].key));
    index_kit_forget(list, at);
}

static void remove_all(struct index_kit *kit, struct index_kit_list *list, uint64_t *random) {
    while (list->count > 0) {
        remove_both(kit, list, index_kit_random(random) % list->count);
        if (list->count % 97 == 0) check_all(kit, list, 7);
    }
}

static void random_step(struct index_kit *kit, struct index_kit_list *list, unsigned shape,
                        unsigned insert_percent, uint64_t *random) {
    unsigned char bytes[INDEX_KIT_KEY_ROOM];
    kh_bytes key = {bytes, index_kit_key(bytes, shape, random)};
    uint64_t dice = index_kit_random(random) % 100;
    if (dice < insert_percent) {
        upsert_both(kit, list, key);
    } else if (dice < 80 && list->count > 0) {
        remove_both(kit, list, index_kit_random(random) % list->count);
    } else {
        const struct index_kit_row *row = index_kit_row(list, key);
        assert_ptr_equal(index_kit_find(kit, key), row == NULL ? NULL : row->entry);
    }
}

/* Grow, stay, shrink, for each shape of keys and for all at once. */
static void test_random(void **state) {
    (void)state;
    static const unsigned insert_percents[] = {75, 40, 70, 10};
    for (unsigned shape = 0; shape <= INDEX_KIT_SHAPES; shape++) {
        struct index_kit kit;
        struct index_kit_list list = {NULL, 0, 0};
        uint64_t random = shape;
        index_kit_open(&kit);
        uint64_t empty_bytes = index_size_bytes(kit.index);
        for (unsigned step = 0; step < 6000; step++) {
            unsigned phase = step / 1500;
            unsigned now = shape < INDEX_KIT_SHAPES ? shape : step % INDEX_KIT_SHAPES;
            random_step(&kit, &list, now, insert_percents[phase], &random);
            if (step % 500 == 0) check_all(&kit, &list, 1 + step / 500 * 7);
        }
        check_all(&kit, &list, SCAN_ROOM);
        remove_all(&kit, &list, &random);
        assert_null(index_kit_find(&kit, text("a")));
        epoch_drain(&kit.epoch, kit.record, NULL);
        /* Nodes are gone; the front may have kept some of its size. */
        assert_true(index_size_bytes(kit.index) < empty_bytes * 16);
        index_kit_list_free(&list);
        index_kit_close(&kit);
    }
}

/* Each byte of a node in each order of coming and going: every size, both ways, with and without a
 * key that ends at the node. */
static void test_node_sizes(void **state) {
    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        struct index_kit kit;
        struct index_kit_list list = {NULL, 0, 0};
        uint64_t random = round;
        unsigned char order[256];
        index_kit_open(&kit);
        for (unsigned i = 0; i < 256; i++) order[i] = (unsigned char)(round % 3 == 1 ? 255 - i : i);
        for (unsigned i = 255; round % 3 == 2 && i > 0; i--) {
            unsigned other = (unsigned)(index_kit_random(&random) % (i + 1));
            unsigned char byte = order[i];
            order[i] = order[other];
            order[other] = byte;
        }
        for (unsigned i = 0; i < 256; i++) {
            unsigned char bytes[3] = {'x', 'y', order[i]};
            upsert_both(&kit, &list, (kh_bytes){bytes, 3});
            if (i == 20 * round) upsert_both(&kit, &list, text("xy"));
            check_all(&kit, &list, 13);
        }
        for (unsigned i = 0; i < 256; i++) {
            unsigned char bytes[3] = {'x', 'y', order[(i * 7 + round) % 256]};
            remove_both(&kit, &list, index_kit_position(&list, (kh_bytes){bytes, 3}));
            check_all(&kit, &list, 13);
        }
        remove_all(&kit, &list, &random);
        index_kit_list_free(&list);
        index_kit_close(&kit);
    }
}

/* Keys of the largest size: apart in the last byte, in the first, one the prefix of another. */
static void test_long_keys(void **state) {
    (void)state;
    struct index_kit kit;
    struct index_kit_list list = {NULL, 0, 0};
    uint64_t random = 1;
    unsigned char *bytes = malloc(65535);
    assert_non_null(bytes);
    index_kit_open(&kit);
    memset(bytes, 'k', 65535);
    for (unsigned i = 0; i < 40; i++) {
        bytes[65534] = (unsigned char)(i * 6);
        upsert_both(&kit, &list, (kh_bytes){bytes, 65535});
    }
    for (unsigned i = 0; i < 300; i++) upsert_both(&kit, &list, (kh_bytes){bytes, 65235 + i});
    for (unsigned i = 0; i < 40; i++) {
        bytes[1500 * i] = (unsigned char)(i * 5);
        upsert_both(&kit, &list, (kh_bytes){bytes, 65535});
        upsert_both(&kit, &list, (kh_bytes){bytes, 65534});
        bytes[1500 * i] = 'k';
    }
    check_all(&kit, &list, 50);
    struct entry *out[SCAN_ROOM];
    size_t count = index_scan(kit.index, (kh_bytes){bytes, 65400}, (kh_bytes){NULL, 0}, false,
                              false, out, SCAN_ROOM);
    assert_int_equal(count, SCAN_ROOM);
    assert_int_equal(out[0]->key_bytes, 65400);
    assert_int_equal(out[99]->key_bytes, 65499);
    assert_null(index_kit_find(&kit, (kh_bytes){bytes, 65000}));
    remove_all(&kit, &list, &random);
    index_kit_list_free(&list);
    index_kit_close(&kit);
    free(bytes);
}

/* A path deeper than any stack that a scan may keep. */
static void test_deep_path(void **state) {
    (void)state;
    struct index_kit kit;
    struct index_kit_list list = {NULL, 0, 0};
    uint64_t random = 1;
    unsigned char bytes[2000];
    index_kit_open(&kit);
    memset(bytes, 'd', sizeof bytes);
    for (unsigned i = 1; i <= 1000; i++) upsert_both(&kit, &list, (kh_bytes){bytes, i});
    check_all(&kit, &list, 3);
    for (unsigned i = 5; i <= 1000; i += 10) { /* brothers left and right, far up and far down */
        bytes[i] = 'c';
        upsert_both(&kit, &list, (kh_bytes){bytes, i + 1});
        bytes[i] = 'e';
        upsert_both(&kit, &list, (kh_bytes){bytes, i + 2});
        bytes[i] = 'd';
    }
    check_all(&kit, &list, 100);
    struct entry *out[SCAN_ROOM];
    kh_bytes bound = {bytes, 2000};
    size_t count = index_scan(kit.index, (kh_bytes){NULL, 0}, bound, false, false, out, SCAN_ROOM);
    assert_int_equal(count, 100); /* the right-hand brothers, deepest first */
    for (size_t i = 0; i < count; i++) assert_int_equal(out[i]->key_bytes, 997 - 10 * i);
    remove_all(&kit, &list, &random);
    index_kit_list_free(&list);
    index_kit_close(&kit);
}

/* Inserts and removals, one allocation of which may fail: then nothing has changed, and the same
 * call works the second time. upsert_both is that call, and finds what the first has made. */
static void fail_scenario(struct index_kit *kit, struct index_kit_list *list, uint64_t *random) {
    unsigned char bytes[INDEX_KIT_KEY_ROOM];
    for (unsigned step = 0; step < 400; step++) {
        unsigned shape = step % INDEX_KIT_SHAPES;
        kh_bytes key = {bytes, index_kit_key(bytes, shape, random)};
        bool is_removing = step > 250 && list->count > 0;
        size_t victim = is_removing ? index_kit_random(random) % list->count : 0;
        bool is_known = index_kit_row(list, key) != NULL;
        struct entry *entry = NULL;
        uint64_t calls = kit->memory.calls;
        bool is_done = is_removing ? index_kit_remove(kit, list->rows[victim].entry)
                                   : index_kit_upsert(kit, key, &entry) == KH_OK;
        bool was_hit = kit->memory.fail_at > calls && kit->memory.fail_at <= kit->memory.calls;
        assert_true(is_done || was_hit);
        if (!is_done) {
            assert_null(entry);
            assert_int_equal(index_kit_find(kit, key) != NULL, is_known);
            check_all(kit, list, 31);
        }
        if (is_removing) {
            if (!is_done) assert_true(index_kit_remove(kit, list->rows[victim].entry));
            index_kit_forget(list, victim);
        } else {
            upsert_both(kit, list, key);
            if (is_done && is_known) assert_ptr_equal(index_kit_row(list, key)->entry, entry);
        }
    }
}

static void test_allocation_failures(void **state) {
    (void)state;
    bool is_past = false;
    for (uint64_t n = 1; !is_past; n++) {
        struct index_kit kit;
        struct index_kit_list list = {NULL, 0, 0};
        uint64_t random = 42;
        index_kit_open(&kit);
        kit.memory.fail_at = kit.memory.calls + n;
        fail_scenario(&kit, &list, &random);
        is_past = kit.memory.calls < kit.memory.fail_at;
        check_all(&kit, &list, SCAN_ROOM);
        index_kit_list_free(&list);
        index_kit_close(&kit);
    }
}

static void test_create_failures(void **state) {
    (void)state;
    for (uint64_t n = 1; n < 10; n++) {
        struct index_kit kit;
        index_kit_open(&kit);
        int64_t blocks = kit.memory.live_blocks;
        kit.memory.fail_at = kit.memory.calls + n;
        struct index *other = index_create(kit.mem, &kit.epoch, 1);
        if (other == NULL) assert_int_equal(kit.memory.live_blocks, blocks);
        if (n == 1) assert_null(other);
        index_destroy(other);
        assert_int_equal(kit.memory.live_blocks, blocks);
        index_kit_close(&kit);
    }
}

static void test_prefetch_and_seed(void **state) {
    (void)state;
    struct index_kit kit;
    index_kit_open(&kit);
    struct index *other = index_create(kit.mem, &kit.epoch, 2);
    assert_non_null(other);
    assert_true(index_hash(kit.index, text("key")) != index_hash(other, text("key")));
    index_prefetch(kit.index, index_hash(kit.index, text("key")));
    index_destroy(other);
    index_destroy(NULL);
    index_kit_close(&kit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),          cmocka_unit_test(test_node_sizes),
        cmocka_unit_test(test_long_keys),       cmocka_unit_test(test_deep_path),
        cmocka_unit_test(test_allocation_failures), cmocka_unit_test(test_create_failures),
        cmocka_unit_test(test_prefetch_and_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
