/* art_scan_test.c - scans against filtering a sorted list: every combination of prefix, bound,
 * direction and capacity, over keys of nasty shapes. */
#include "support/index_kit.h"

enum { ROOM = 300 };

struct question {
    kh_bytes prefix, bound;
    bool is_exclusive, is_reverse;
    size_t capacity;
};

static bool is_wanted(const struct question *question, kh_bytes key) {
    kh_bytes prefix = question->prefix;
    if (key.size_bytes < prefix.size_bytes) return false;
    if (prefix.size_bytes > 0 && memcmp(key.data, prefix.data, prefix.size_bytes) != 0)
        return false;
    if (question->bound.data == NULL) return true;
    int order = index_kit_compare(key, question->bound);
    if (order == 0) return !question->is_exclusive;
    return question->is_reverse ? order < 0 : order > 0;
}

static size_t answer(const struct index_kit_list *list, const struct question *question,
                     struct entry **out) {
    size_t count = 0;
    for (size_t i = 0; i < list->count && count < question->capacity; i++) {
        size_t at = question->is_reverse ? list->count - 1 - i : i;
        if (is_wanted(question, list->rows[at].key)) out[count++] = list->rows[at].entry;
    }
    return count;
}

static void check(struct index_kit *kit, const struct index_kit_list *list,
                  const struct question *question) {
    struct entry *expected[ROOM];
    struct entry *out[ROOM];
    size_t want = answer(list, question, expected);
    epoch_open(&kit->epoch, kit->record);
    size_t count =
        index_scan(kit->index, question->prefix, question->bound, question->is_exclusive,
                   question->is_reverse, out, question->capacity);
    epoch_close(&kit->epoch, kit->record);
    assert_int_equal(count, want);
    for (size_t i = 0; i < count; i++) assert_ptr_equal(out[i], expected[i]);
}

/* A key of the list, cut, lengthened or changed; sometimes nothing, sometimes the empty string. */
static kh_bytes near_key(const struct index_kit_list *list, unsigned char *bytes, bool is_prefix,
                         uint64_t *random) {
    uint64_t dice = index_kit_random(random);
    if (dice % 16 == 0) return (kh_bytes){NULL, 0};
    if (dice % 16 == 1) return (kh_bytes){"", 0};
    kh_bytes key = list->rows[(dice >> 8) % list->count].key;
    size_t size = key.size_bytes;
    memcpy(bytes, key.data, size);
    if (is_prefix || dice % 4 == 0) size = (dice >> 32) % (size + 1);
    if (dice % 5 == 0) bytes[size++] = (unsigned char)(dice >> 24);
    if (dice % 7 == 0 && size > 0) bytes[(dice >> 40) % size] ^= (unsigned char)(dice >> 56);
    return (kh_bytes){bytes, size};
}

static void fill(struct index_kit *kit, struct index_kit_list *list, unsigned shape,
                 size_t count, uint64_t *random) {
    unsigned char bytes[INDEX_KIT_KEY_ROOM];
    for (size_t i = 0; i < count; i++) {
        unsigned now = shape < INDEX_KIT_SHAPES ? shape : (unsigned)(i % INDEX_KIT_SHAPES);
        kh_bytes key = {bytes, index_kit_key(bytes, now, random)};
        struct entry *entry;
        assert_int_equal(index_kit_upsert(kit, key, &entry), KH_OK);
        if (index_kit_row(list, key) == NULL) index_kit_note(list, key, entry);
    }
}

static void test_random_questions(void **state) {
    (void)state;
    static const size_t capacities[] = {0, 1, 2, 5, 64, ROOM};
    static const size_t sizes[] = {1, 2, 3, 20, 250};
    for (unsigned round = 0; round < (INDEX_KIT_SHAPES + 1) * 5; round++) {
        struct index_kit kit;
        struct index_kit_list list = {NULL, 0, 0};
        uint64_t random = round * 1000;
        unsigned char prefix[INDEX_KIT_KEY_ROOM], bound[INDEX_KIT_KEY_ROOM];
        index_kit_open(&kit);
        fill(&kit, &list, round / 5, sizes[round % 5], &random);
        for (unsigned i = 0; i < 1500; i++) {
            uint64_t dice = index_kit_random(&random);
            struct question question = {near_key(&list, prefix, true, &random),
                                        near_key(&list, bound, false, &random), dice % 2 == 1,
                                        dice / 2 % 2 == 1, capacities[dice / 4 % 6]};
            if (dice % 64 < 40) question.prefix = (kh_bytes){NULL, 0};
            check(&kit, &list, &question);
        }
        index_kit_list_free(&list);
        index_kit_close(&kit);
    }
}

/* Each key as bound and each of its prefixes as prefix, both ways, bound in and out. */
static void test_all_questions(void **state) {
    (void)state;
    struct index_kit kit;
    struct index_kit_list list = {NULL, 0, 0};
    index_kit_open(&kit);
    static const char *const keys[] = {"a",   "aa",  "aab",  "aabb", "aac", "ab",   "abc", "b",
                                       "bcd", "bce", "bcea", "bcez", "c",   "cxxx", "cxy", "\xff"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        kh_bytes key = {keys[i], strlen(keys[i])};
        struct entry *entry;
        assert_int_equal(index_kit_upsert(&kit, key, &entry), KH_OK);
        index_kit_note(&list, key, entry);
    }
    for (size_t i = 0; i < list.count; i++) {
        for (size_t j = 0; j < list.count; j++) {
            for (size_t size = 0; size <= list.rows[i].key.size_bytes; size++) {
                for (unsigned bits = 0; bits < 16; bits++) {
                    kh_bytes bound = list.rows[j].key;
                    if ((bits & 4) != 0) bound.size_bytes--;
                    struct question question = {{list.rows[i].key.data, size}, bound,
                                                (bits & 1) != 0, (bits & 2) != 0,
                                                (bits & 8) != 0 ? 2 : ROOM};
                    check(&kit, &list, &question);
                }
            }
        }
    }
    index_kit_list_free(&list);
    index_kit_close(&kit);
}

static void test_empty(void **state) {
    (void)state;
    struct index_kit kit;
    struct index_kit_list list = {NULL, 0, 0};
    index_kit_open(&kit);
    for (unsigned bits = 0; bits < 16; bits++) {
        kh_bytes none = {NULL, 0}, some = {"k", 1};
        struct question question = {(bits & 1) != 0 ? some : none, (bits & 2) != 0 ? some : none,
                                    (bits & 4) != 0, (bits & 8) != 0, 10};
        check(&kit, &list, &question);
    }
    index_kit_close(&kit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_all_questions),
        cmocka_unit_test(test_random_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
