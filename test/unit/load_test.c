/* load_test.c - an index filled in key order is the one that upserts of the same keys make, node
 * for node; it refuses keys out of order; without memory nothing is left of it. */
#include "store/load.h"
#include "support/store_kit.h"

enum { KEYS_MAX = 3000 };

struct keys {
    kh_bytes list[KEYS_MAX];
    size_t count;
};

static int compare_keys(const void *a, const void *b) {
    return index_kit_compare(*(const kh_bytes *)a, *(const kh_bytes *)b);
}

/* Sorted, each once. shape INDEX_KIT_SHAPES: all shapes together. */
static void make_keys(struct keys *keys, unsigned shape, size_t count, uint64_t seed) {
    uint64_t state = seed;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned char *bytes = malloc(INDEX_KIT_KEY_ROOM);
        assert_non_null(bytes);
        unsigned own = shape < INDEX_KIT_SHAPES ? shape : (unsigned)(i % INDEX_KIT_SHAPES);
        keys->list[i] = (kh_bytes){bytes, index_kit_key(bytes, own, &state)};
    }
    qsort(keys->list, count, sizeof keys->list[0], compare_keys);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && index_kit_compare(keys->list[kept - 1], keys->list[i]) == 0)
            free((void *)(uintptr_t)keys->list[i].data);
        else
            keys->list[kept++] = keys->list[i];
    }
    keys->count = kept;
}

static void free_keys(struct keys *keys) {
    for (size_t i = 0; i < keys->count; i++) free((void *)(uintptr_t)keys->list[i].data);
}

static void load_all(struct index *index, struct mem_cache *cache, const struct keys *keys) {
    struct index_load load;
    kh_error error = {""};
    index_load_begin(&load, index, cache);
    for (size_t i = 0; i < keys->count; i++) {
        struct entry *entry = NULL;
        struct entry *again = NULL;
        assert_int_equal(index_load_entry(&load, keys->list[i], &entry, &error), KH_OK);
        assert_true(index_kit_compare(entry_key(entry), keys->list[i]) == 0);
        assert_int_equal(index_load_entry(&load, keys->list[i], &again, &error), KH_OK);
        assert_ptr_equal(entry, again);
    }
    assert_int_equal(index_load_end(&load, 0, &error), KH_OK);
    index_load_settle(index);
}

static void upsert_all(struct index_kit *kit, const struct keys *keys, uint64_t seed) {
    uint64_t state = seed;
    size_t start = index_kit_random(&state) % (keys->count + 1);
    for (size_t i = 0; i < keys->count; i++) {
        struct entry *entry = NULL;
        size_t at = (start + i * 7919) % keys->count; /* a prime: each once unless it divides */
        if (keys->count % 7919 == 0) at = i;
        assert_int_equal(index_kit_upsert(kit, keys->list[at], &entry), KH_OK);
    }
}

static void same_tree(node_child a, node_child b, int depth) {
    assert_true(depth < 600);
    assert_int_equal(node_child_is_entry(a), node_child_is_entry(b));
    if (node_child_is_entry(a)) {
        const struct entry *one = node_child_entry(a);
        const struct entry *other = node_child_entry(b);
        assert_true(index_kit_compare(entry_key(one), entry_key(other)) == 0);
        assert_int_equal(one->hash, other->hash);
        return;
    }
    const struct node *one = node_child_node(a);
    const struct node *other = node_child_node(b);
    uint64_t head = node_head(one);
    assert_int_equal(node_head_kind(head), node_head_kind(node_head(other)));
    assert_int_equal(node_head_used(head), node_head_used(node_head(other)));
    assert_int_equal(node_head_depth(head), node_head_depth(node_head(other)));
    assert_int_equal(node_head_has_end(head), node_head_has_end(node_head(other)));
    for (unsigned i = 0; i < node_head_used(head); i++)
        same_tree(node_slot_load(&node_slots(one, head)[i]),
                  node_slot_load(&node_slots(other, node_head(other))[i]), depth + 1);
}

static void same_index(struct index *a, struct index *b, const struct keys *keys) {
    if (keys->count > 0) same_tree(node_slot_load(&a->art.root), node_slot_load(&b->art.root), 0);
    assert_int_equal(index_entry_count(a), index_entry_count(b));
    assert_int_equal(atomic_load(&a->art.node_bytes), atomic_load(&b->art.node_bytes));
}

static void found_in(struct index_kit *kit, const struct keys *keys) {
    size_t in_front = 0;
    for (size_t i = 0; i < keys->count; i++) {
        uint64_t hash = index_hash(kit->index, keys->list[i]);
        struct entry *entry = index_kit_find(kit, keys->list[i]);
        assert_non_null(entry);
        assert_true(index_kit_compare(entry_key(entry), keys->list[i]) == 0);
        in_front += front_find_further(&kit->index->front, keys->list[i], hash) == entry;
    }
#if KH_HASH_FRONT
    assert_true(in_front * 10 >= keys->count * 9); /* it is lossy, a little */
    struct front_table *table = atomic_load(&kit->index->front.current);
    assert_true((uint64_t)table->line_count * FRONT_LINE_SLOTS * 3 / 4 >= keys->count);
    assert_true(table->line_count == 16 || /* and no larger than growth would have made it */
                (uint64_t)table->line_count * 2 / 3 * FRONT_LINE_SLOTS * 3 / 4 <= keys->count + 8);
#else
    (void)in_front;
#endif
}

static void both_ways(unsigned shape, size_t count, uint64_t seed) {
    struct keys *keys = malloc(sizeof *keys);
    struct index_kit loaded;
    struct index_kit upserted;
    assert_non_null(keys);
    make_keys(keys, shape, count, seed);
    index_kit_open(&loaded);
    index_kit_open(&upserted);
    load_all(loaded.index, NULL, keys);
    upsert_all(&upserted, keys, seed);
    same_index(loaded.index, upserted.index, keys);
    found_in(&loaded, keys);
    /* It goes on as any other. */
    for (size_t i = 0; i < keys->count; i += 3) {
        assert_true(index_kit_remove(&loaded, index_kit_find(&loaded, keys->list[i])));
        assert_null(index_kit_find(&loaded, keys->list[i]));
    }
    for (size_t i = 0; i < keys->count; i += 3) {
        struct entry *entry = NULL;
        assert_int_equal(index_kit_upsert(&loaded, keys->list[i], &entry), KH_OK);
    }
    found_in(&loaded, keys);
    index_kit_close(&upserted);
    index_kit_close(&loaded);
    free_keys(keys);
    free(keys);
}

static void test_same_as_upserts(void **state) {
    static const size_t counts[] = {1, 2, 3, 7, 20, 300, KEYS_MAX};
    (void)state;
    for (unsigned shape = 0; shape <= INDEX_KIT_SHAPES; shape++)
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
            both_ways(shape, counts[i], 17 * shape + i + 1);
}

static void test_nothing(void **state) {
    (void)state;
    struct index_kit kit;
    struct keys none = {.count = 0};
    index_kit_open(&kit);
    load_all(kit.index, NULL, &none);
    assert_null(index_kit_find(&kit, (kh_bytes){"k", 1}));
    struct entry *entry = NULL;
    assert_int_equal(index_kit_upsert(&kit, (kh_bytes){"k", 1}, &entry), KH_OK);
    assert_ptr_equal(index_kit_find(&kit, (kh_bytes){"k", 1}), entry);
    index_kit_close(&kit);
}

/* The longest chain of nodes that there can be, and keys of every byte. */
static void test_deep_and_wide(void **state) {
    (void)state;
    struct index_kit kit;
    struct index_load load;
    struct entry *entry = NULL;
    kh_error error = {""};
    static unsigned char bytes[4000];
    index_kit_open(&kit);
    index_load_begin(&load, kit.index, NULL);
    memset(bytes, 0xff, sizeof bytes);
    for (size_t size = 1; size <= sizeof bytes; size++)
        assert_int_equal(index_load_entry(&load, (kh_bytes){bytes, size}, &entry, &error), KH_OK);
    assert_int_equal(index_load_end(&load, 0, &error), KH_OK);
    for (size_t size = 1; size <= sizeof bytes; size += 13)
        assert_non_null(index_kit_find(&kit, (kh_bytes){bytes, size}));
    index_kit_close(&kit);
    index_kit_open(&kit);
    index_load_begin(&load, kit.index, NULL);
    for (unsigned high = 0; high < 256; high++)
        for (unsigned low = 0; low < 256; low++) {
            unsigned char key[2] = {(unsigned char)high, (unsigned char)low};
            assert_int_equal(index_load_entry(&load, (kh_bytes){key, 2}, &entry, &error), KH_OK);
        }
    assert_int_equal(index_load_end(&load, 0, &error), KH_OK);
    const struct node *root = node_child_node(node_slot_load(&kit.index->art.root));
    assert_int_equal(node_head_kind(node_head(root)), NODE_257);
    assert_int_equal(node_head_used(node_head(root)), 256);
    index_kit_close(&kit);
}

/* Entries that come behind a load find a front that does not grow for them. */
static void test_room_for_more(void **state) {
    (void)state;
#if KH_HASH_FRONT
    struct keys *keys = malloc(sizeof *keys);
    struct index_kit kit;
    struct index_load load;
    struct entry *entry = NULL;
    kh_error error = {""};
    assert_non_null(keys);
    make_keys(keys, 2, KEYS_MAX, 3);
    index_kit_open(&kit);
    index_load_begin(&load, kit.index, NULL);
    assert_int_equal(index_load_end(&load, keys->count, &error), KH_OK);
    const struct front_table *table = atomic_load(&kit.index->front.current);
    for (size_t i = 0; i < keys->count; i++)
        assert_int_equal(index_kit_upsert(&kit, keys->list[i], &entry), KH_OK);
    assert_ptr_equal(atomic_load(&kit.index->front.current), table);
    found_in(&kit, keys);
    index_load_settle(kit.index);
    while (keys->count > 5) { /* it shrinks as any other */
        kh_bytes key = keys->list[--keys->count];
        assert_true(index_kit_remove(&kit, index_kit_find(&kit, key)));
        free((void *)(uintptr_t)key.data);
    }
    assert_true(front_size_bytes(&kit.index->front) < 64 * 64);
    for (size_t i = 0; i < keys->count; i++) assert_non_null(index_kit_find(&kit, keys->list[i]));
    index_kit_close(&kit);
    free_keys(keys);
    free(keys);
#endif
}

static void test_out_of_order(void **state) {
    static const char *const pairs[][2] = {{"b", "a"},   {"ab", "a"}, {"abc", "abb"},
                                           {"b", "abc"}, {"aa", "a"}, {"\xff", "a"}};
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct store_kit kit;
        struct index_load load;
        struct entry *entry = NULL;
        kh_error error = {""};
        store_kit_open(&kit);
        index_load_begin(&load, kit.store.index, kit.cache);
        assert_int_equal(index_load_entry(&load, store_kit_key(pairs[i][0]), &entry, &error),
                         KH_OK);
        entry = NULL;
        assert_int_equal(index_load_entry(&load, store_kit_key(pairs[i][1]), &entry, &error),
                         KH_CORRUPT);
        assert_null(entry);
        assert_non_null(strstr(error.message, "order"));
        store_abandon_load(&kit.store, &load);
        assert_int_equal(index_entry_count(kit.store.index), 0);
        store_kit_close(&kit);
    }
}

/* What was made before it failed goes: entries with their versions, nodes, and the stacks. */
static bool fails_at(const struct keys *keys, uint64_t fail_at) {
    struct index_kit_memory memory = {0, 0, 0};
    struct mem_hooks hooks = {index_kit_allocate, index_kit_release, &memory};
    struct mem *mem = mem_create(&hooks);
    struct store store;
    struct index_load load;
    kh_error error = {""};
    assert_non_null(mem);
    assert_int_equal(store_init(&store, mem, 0x5eed, STORE_KIT_LINES), KH_OK);
    uint64_t before = memory.calls;
    memory.fail_at = before + fail_at;
    index_load_begin(&load, store.index, NULL);
    kh_status status = KH_OK;
    for (size_t i = 0; i < keys->count && status == KH_OK; i++) {
        struct entry *entry = NULL;
        status = index_load_entry(&load, keys->list[i], &entry, &error);
        if (status != KH_OK) break;
        struct version *version = version_create(mem, NULL, NULL);
        if (version == NULL)
            status = KH_NO_MEMORY;
        else
            entry_link(entry, version);
    }
    if (status == KH_OK) status = index_load_end(&load, 0, &error);
    if (status != KH_OK) {
        assert_int_equal(status, KH_NO_MEMORY);
        store_abandon_load(&store, &load);
        assert_int_equal(index_entry_count(store.index), 0);
    }
    bool has_failed = memory.calls >= before + fail_at;
    store_fini(&store);
    mem_close(mem);
    assert_int_equal(memory.live_blocks, 0);
    return has_failed;
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    struct keys *keys = malloc(sizeof *keys);
    assert_non_null(keys);
    make_keys(keys, INDEX_KIT_SHAPES, 160, 5);
    uint64_t fail_at = 1;
    while (fails_at(keys, fail_at)) fail_at++;
    assert_true(fail_at > 2 * keys->count);
    free_keys(keys);
    free(keys);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_upserts), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_deep_and_wide),   cmocka_unit_test(test_room_for_more),
        cmocka_unit_test(test_out_of_order),    cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
