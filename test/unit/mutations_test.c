/* mutations_test.c - what a step of a checkpoint gives to a storage: the last value of each key,
 * ascending, without what was taken back. */
#include "log/mutations.h"

#include "support/home.h"
#include "support/kit.h"

enum { KEYS = 3000, KEY_ROOM = 40 };

struct entry {
    unsigned char key[KEY_ROOM];
    size_t key_bytes;
    uint64_t value; /* 0: none */
};

static struct entry entries[KEYS];
static size_t entry_count;

static uint64_t state_of_dice;

static uint64_t draw(uint64_t below) {
    state_of_dice = state_of_dice * 6364136223846793005u + 1442695040888963407u;
    return (state_of_dice >> 33) % below;
}

static kh_bytes key_of(const struct entry *entry) {
    return (kh_bytes){entry->key, entry->key_bytes};
}

static int order_of(const void *left, const void *right) {
    const struct entry *a = left;
    const struct entry *b = right;
    size_t shorter = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
    int order = memcmp(a->key, b->key, shorter);
    if (order != 0) return order;
    return a->key_bytes < b->key_bytes ? -1 : a->key_bytes > b->key_bytes;
}

/* Kinds with much, little and nothing in common behind the first byte; all lengths, and zeros. */
static size_t draw_key(unsigned char *key) {
    static const char kinds[] = "VOQV";
    static const char shared[][20] = {"user0000000000000", "", "same", ""};
    uint64_t kind = draw(4);
    size_t size = 1 + strlen(shared[kind]);
    size_t rest = draw(kind == 3 ? 3 : 16);
    key[0] = (unsigned char)kinds[kind];
    memcpy(key + 1, shared[kind], size - 1);
    for (size_t i = 0; i < rest; i++) key[size + i] = (unsigned char)(draw(3) == 0 ? 0 : draw(256));
    return size + rest;
}

static struct entry *entry_for(const struct entry *wanted) {
    for (size_t i = 0; i < entry_count; i++)
        if (order_of(&entries[i], wanted) == 0) return &entries[i];
    entries[entry_count] = *wanted;
    return &entries[entry_count++];
}

static void change(struct mutations *set, uint64_t number) {
    struct entry drawn = {.key_bytes = 0};
    drawn.key_bytes = draw_key(drawn.key);
    struct entry *entry = entry_for(&drawn);
    if (draw(5) == 0) {
        mutations_delete(set, key_of(entry), false);
        entry->value = 0;
        return;
    }
    entry->value = number;
    mutations_put(set, key_of(entry), (kh_bytes){&number, 3}, (kh_bytes){(char *)&number + 3, 5});
}

static void is_sealed(struct mutations *set) {
    const kh_mutation *list = mutations_seal(set);
    qsort(entries, entry_count, sizeof *entries, order_of);
    assert_false(set->is_failed);
    assert_int_equal(set->count, entry_count);
    for (size_t i = 0; i < entry_count; i++) {
        assert_int_equal(list[i].key.size_bytes, entries[i].key_bytes);
        assert_memory_equal(list[i].key.data, entries[i].key, entries[i].key_bytes);
        if (entries[i].value == 0) {
            assert_null(list[i].value.data);
            continue;
        }
        assert_int_equal(list[i].value.size_bytes, 8);
        assert_memory_equal(list[i].value.data, &entries[i].value, 8);
    }
}

static void fill(struct mutations *set, uint64_t seed, size_t count) {
    state_of_dice = seed;
    entry_count = 0;
    mutations_clear(set);
    for (uint64_t i = 1; i <= count; i++) change(set, i);
}

static void test_ascending(void **state) {
    struct home home;
    struct mutations set;
    (void)state;
    (void)home_open(&home);
    mutations_init(&set, home.batch.mem);
    for (uint64_t seed = 0; seed < 40; seed++) {
        fill(&set, seed, seed * seed);
        is_sealed(&set);
    }
    mutations_fini(&set);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

/* Never in the storage, and gone: nothing; at the ends of the list, too. */
static void test_taken_back(void **state) {
    struct home home;
    struct mutations set;
    (void)state;
    (void)home_open(&home);
    mutations_init(&set, home.batch.mem);
    for (uint64_t i = 0; i < 9; i++) {
        char key[2] = {'V', (char)('0' + (i * 5) % 9)};
        mutations_put(&set, (kh_bytes){key, 2}, (kh_bytes){"x", 1}, (kh_bytes){NULL, 0});
    }
    mutations_delete(&set, (kh_bytes){"V0", 2}, true);
    mutations_delete(&set, (kh_bytes){"V4", 2}, true);
    mutations_delete(&set, (kh_bytes){"V8", 2}, false);
    const kh_mutation *list = mutations_seal(&set);
    static const char left[] = "1235678";
    assert_int_equal(set.count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(((const char *)list[i].key.data)[1], left[i]);
        assert_true((list[i].value.data == NULL) == (left[i] == '8'));
    }
    mutations_fini(&set);
    home_close(&home);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ascending),
        cmocka_unit_test(test_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
