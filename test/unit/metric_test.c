/* Counters, histograms and the table of hot keys. */
#include "base/metric.h"

#include "base/env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void buckets_are_powers_of_two(void **state) {
    (void)state;
    assert_int_equal(histogram_bucket(0), 0);
    assert_int_equal(histogram_bucket(1), 0);
    for (uint32_t i = 1; i < 64; i++) {
        uint32_t expected = i < KH_HISTOGRAM_BUCKETS ? i : KH_HISTOGRAM_BUCKETS - 1;
        assert_int_equal(histogram_bucket(1ull << i), expected);
        assert_int_equal(histogram_bucket((1ull << i) + 1), expected);
        assert_int_equal(histogram_bucket((1ull << i) - 1), i - 1 < 39 ? i - 1 : 39);
    }
    assert_int_equal(histogram_bucket(UINT64_MAX), KH_HISTOGRAM_BUCKETS - 1);
}

static void histograms_add_up(void **state) {
    (void)state;
    static struct histogram first;
    static struct histogram second;
    histogram_note(&first, 5);
    histogram_note(&first, 1000);
    histogram_note(&second, 7);
    kh_histogram total = {.count = 0};
    histogram_read(&first, &total);
    histogram_read(&second, &total);
    assert_int_equal(total.count, 3);
    assert_int_equal(total.sum_ns, 1012);
    assert_int_equal(total.buckets[2], 2);
    assert_int_equal(total.buckets[9], 1);
}

static kh_bytes number_key(char *text, int number) {
    int length = snprintf(text, 16, "key-%d", number);
    return (kh_bytes){text, (size_t)length};
}

static void hot_keys_come_most_counted_first(void **state) {
    (void)state;
    struct hot_keys table;
    hot_keys_init(&table, 1);
    kh_hot_key out[LIMIT_HOT_KEYS];
    assert_int_equal(hot_keys_list(&table, out), 0);
    char text[16];
    for (int key = 0; key < 5; key++)
        for (int times = 0; times <= key; times++) hot_keys_note(&table, number_key(text, key));
    assert_int_equal(hot_keys_list(&table, out), 5);
    for (int i = 0; i < 5; i++) {
        kh_bytes key = number_key(text, 4 - i);
        assert_int_equal(out[i].conflicts, 5 - i);
        assert_int_equal(out[i].key_bytes, key.size_bytes);
        assert_memory_equal(out[i].key, key.data, key.size_bytes);
    }
    hot_keys_fini(&table);
}

/* The promise of space-saving: among many keys noted once, the one that is noted more than
 * 1/LIMIT_HOT_KEYS of the time is there, and no count is too low. */
static void a_hot_key_survives_a_flood(void **state) {
    (void)state;
    struct hot_keys table;
    hot_keys_init(&table, 2);
    char text[16];
    uint64_t noted = 0;
    for (int i = 0; i < 10000; i++) {
        hot_keys_note(&table, number_key(text, i));
        noted++;
        if (i % 20 == 0) {
            hot_keys_note(&table, (kh_bytes){"hot", 3});
            noted++;
        }
    }
    kh_hot_key out[LIMIT_HOT_KEYS];
    assert_int_equal(hot_keys_list(&table, out), LIMIT_HOT_KEYS);
    uint64_t sum = 0;
    bool is_there = false;
    for (int i = 0; i < (int)LIMIT_HOT_KEYS; i++) {
        sum += out[i].conflicts;
        if (out[i].key_bytes == 3) {
            is_there = true;
            assert_memory_equal(out[i].key, "hot", 3);
            assert_true(out[i].conflicts >= 500);
            assert_true(out[i].conflicts <= 500 + noted / LIMIT_HOT_KEYS);
        }
        assert_true(i == 0 || out[i - 1].conflicts >= out[i].conflicts);
    }
    assert_true(is_there);
    assert_int_equal(sum, noted); /* each note counts once */
    hot_keys_fini(&table);
}

static void long_keys_are_cut_and_told_apart(void **state) {
    (void)state;
    struct hot_keys table;
    hot_keys_init(&table, 3);
    static unsigned char key[LIMIT_KEY_BYTES];
    hot_keys_note(&table, (kh_bytes){key, sizeof key});
    key[sizeof key - 1] = 1; /* behind the cut */
    hot_keys_note(&table, (kh_bytes){key, sizeof key});
    hot_keys_note(&table, (kh_bytes){key, 64});
    hot_keys_note(&table, (kh_bytes){key, 65});
    hot_keys_note(&table, (kh_bytes){key, 65});
    kh_hot_key out[LIMIT_HOT_KEYS];
    assert_int_equal(hot_keys_list(&table, out), 4);
    assert_int_equal(out[0].key_bytes, 65);
    assert_int_equal(out[0].conflicts, 2);
    hot_keys_fini(&table);
}

enum { THREADS = 3, NOTES = 2000 };

struct shared {
    struct hot_keys table;
    struct histogram histogram;
};

static void note_many(void *context) {
    struct shared *shared = context;
    for (int i = 0; i < NOTES; i++) {
        hot_keys_note(&shared->table, (kh_bytes){"k", 1});
        histogram_note(&shared->histogram, 100);
        if (i % 100 == 0) {
            kh_hot_key out[LIMIT_HOT_KEYS];
            (void)hot_keys_list(&shared->table, out);
            kh_histogram total = {.count = 0};
            histogram_read(&shared->histogram, &total);
            assert_int_equal(total.count, total.buckets[6]);
        }
    }
}

static void threads_lose_nothing(void **state) {
    (void)state;
    static struct shared shared;
    hot_keys_init(&shared.table, 4);
    struct env_thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = env_thread_start("note", note_many, &shared);
        assert_non_null(threads[i]);
    }
    for (int i = 0; i < THREADS; i++) env_thread_join(threads[i]);
    kh_hot_key out[LIMIT_HOT_KEYS];
    assert_int_equal(hot_keys_list(&shared.table, out), 1);
    assert_int_equal(out[0].conflicts, THREADS * NOTES);
    kh_histogram total = {.count = 0};
    histogram_read(&shared.histogram, &total);
    assert_int_equal(total.count, THREADS * NOTES);
    assert_int_equal(total.sum_ns, 100 * THREADS * NOTES);
    hot_keys_fini(&shared.table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_powers_of_two),
        cmocka_unit_test(histograms_add_up),
        cmocka_unit_test(hot_keys_come_most_counted_first),
        cmocka_unit_test(a_hot_key_survives_a_flood),
        cmocka_unit_test(long_keys_are_cut_and_told_apart),
        cmocka_unit_test(threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
