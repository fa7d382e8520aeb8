/* batch_test.c - references, headroom, sizes and equality. */
#include "batch/batch.h"
#include "base/assert.h"
#include "base/env.h"
#include "batch/schema_body.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static kh_batch *import_seeded(kh_db *db, const char *type, int64_t rows,
                               struct foreign_random random) {
    struct ArrowSchema arrow;
    struct ArrowArray array;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    foreign_table(&arrow, type);
    foreign_fill(&random, &arrow, rows, &array);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    kh_schema_release(schema);
    return batch;
}

/* Made without a database, a schema lives as long as its last batch, and no longer. */
static void test_the_process_keeps_nothing(void **state) {
    (void)state;
    static const char *const types[] = {"l", "u", "+l[u]"};
    kh_batch_release(import_seeded(NULL, "l", 1, (struct foreign_random){1, true, true}));
    uint64_t before = mem_live_bytes(mem_process());
    for (int i = 0; i < 60; i++) {
        int64_t rows = i % 2 == 0 ? 1 : 3000;
        struct foreign_random random = {(uint64_t)i + 1, true, true};
        kh_batch *batch = import_seeded(NULL, types[i % 3], rows, random);
        kh_batch *again = kh_batch_retain(batch);
        kh_batch_release(batch);
        const kh_schema *schema = kh_batch_schema(again);
        kh_schema *held = kh_schema_retain(schema);
        assert_int_equal(atomic_load(&schema->refs), 2); /* the batch's, and ours */
        assert_true(mem_live_bytes(mem_process()) > before);
        assert_true(kh_batch_row_count(again) == rows);
        kh_batch_release(again);
        assert_int_equal(atomic_load(&schema->refs), 1);
        kh_schema_release(held);
        assert_int_equal(mem_live_bytes(mem_process()), before);
    }
}

static bool equal(const kh_batch *a, const kh_batch *b) {
    bool there = false;
    bool back = false;
    assert_int_equal(kh_batch_equal(a, b, &there, NULL), KH_OK);
    assert_int_equal(kh_batch_equal(b, a, &back, NULL), KH_OK);
    assert_true(there == back);
    return there;
}

/* Equality of batches is that of what they show, as the tests read it. */
static void test_equality_is_of_values(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int type = 0; type < foreign_type_count; type++) {
        for (int64_t rows = 1; rows < 400; rows += 290) {
            struct foreign_random random = {(uint64_t)type, true, true};
            struct foreign_random other = {(uint64_t)type + 1, false, true};
            kh_batch *a = import_seeded(db, foreign_types[type], rows, random);
            kh_batch *same = import_seeded(NULL, foreign_types[type], rows, random);
            kh_batch *b = import_seeded(db, foreign_types[type], rows, other);
            kh_batch *longer = import_seeded(db, foreign_types[type], rows + 1, random);
            struct ArrowArray in_a;
            struct ArrowArray in_b;
            struct ArrowSchema schema;
            assert_true(equal(a, a));
            assert_true(equal(a, same));
            assert_false(equal(a, longer));
            assert_int_equal(kh_batch_export(a, &in_a, &schema, NULL), KH_OK);
            assert_int_equal(kh_batch_export(b, &in_b, NULL, NULL), KH_OK);
            assert_true(equal(a, b) == foreign_equal(&schema, &in_a, &in_b));
            in_a.release(&in_a);
            in_b.release(&in_b);
            schema.release(&schema);
            kh_batch_release(a);
            kh_batch_release(same);
            kh_batch_release(b);
            kh_batch_release(longer);
        }
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

static void test_one_changed_cell_is_seen(void **state) {
    static const char *const types[] = {"l", "u", "b", "+l[l]", "i{l}", "n"};
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    struct foreign_random random = {3, false, false};
    for (size_t a = 0; a < 6; a++) {
        kh_batch *one = import_seeded(db, types[a], 2, random);
        for (size_t b = 0; b < 6; b++) {
            kh_batch *other = import_seeded(db, types[b], 2, random);
            assert_true(equal(one, other) == (a == b)); /* other schema, other batch */
            kh_batch_release(other);
        }
        kh_batch_release(one);
    }
    const char *names[] = {"x"};
    const char *formats[] = {"g"};
    kh_schema *schema = NULL;
    kh_batch *zero = NULL;
    kh_batch *minus = NULL;
    kh_scalar scalar = {.kind = KH_SCALAR_DOUBLE, .as.float64 = 0.0};
    assert_int_equal(kh_schema_build(db, names, formats, 1, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_build(db, schema, &scalar, 1, &zero, NULL), KH_OK);
    scalar.as.float64 = -0.0;
    assert_int_equal(kh_batch_build(db, schema, &scalar, 1, &minus, NULL), KH_OK);
    assert_false(equal(zero, minus)); /* bit by bit */
    kh_batch_release(zero);
    kh_batch_release(minus);
    kh_schema_release(schema);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_equality_without_memory(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    struct foreign_random random = {3, false, false};
    kh_batch *a = import_seeded(db, "l", 2, random);
    kh_batch *b = import_seeded(db, "l", 2, random);
    bool is_equal = false;
    home.fail_at = home.calls + 1;
    assert_int_equal(kh_batch_equal(a, b, &is_equal, NULL), KH_NO_MEMORY);
    assert_false(is_equal);
    assert_int_equal(kh_batch_equal(a, b, NULL, NULL), KH_INVALID);
    assert_int_equal(kh_batch_equal(NULL, b, &is_equal, NULL), KH_INVALID);
    kh_batch_release(a);
    kh_batch_release(b);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_references(void **state) {
    (void)state;
    for (int64_t rows = 1; rows < 1000; rows += 900) {
        struct home home;
        kh_db *db = home_open(&home);
        kh_batch *batch = import_seeded(db, "+s[l]", rows, (struct foreign_random){1, true, true});
        assert_ptr_equal(kh_batch_retain(batch), batch);
        kh_batch_release(batch);
        home_close(&home);
        assert_int_equal(kh_batch_row_count(batch), rows);
        assert_int_equal(kh_schema_column_count(kh_batch_schema(batch)), 1);
        assert_true(batch_is_foreign(batch));
        assert_true(home.live_blocks > 0);
        kh_batch_release(batch);
        assert_int_equal(home.live_blocks, 0);
        assert_int_equal(foreign_live, 0);
    }
    kh_batch_release(NULL);
}

static void test_headroom_has_one_owner(void **state) {
    (void)state;
    for (int64_t rows = 1; rows < 1000; rows += 900) {
        kh_batch *batch = import_seeded(NULL, "l", rows, (struct foreign_random){1, false, false});
        void *room = batch_claim_headroom(batch);
        assert_non_null(room);
        assert_ptr_equal((char *)room + BATCH_HEADROOM, batch);
        memset(room, 0xEE, BATCH_HEADROOM); /* the sanitizer knows the block */
        assert_null(batch_claim_headroom(batch));
        kh_batch_release(batch);
    }
}

/* Adopted memory is charged to the context while it lives; packed memory is the context's own. */
static void test_sizes(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    uint64_t before = mem_live_bytes(home.batch.mem);
    struct foreign_random random = {3, false, false};
    kh_batch *batch = import_seeded(db, "l", 10000, random);
    assert_true(kh_batch_size_bytes(batch) >= 80000 && kh_batch_size_bytes(batch) < 81000);
    assert_true(mem_live_bytes(home.batch.mem) - before >= 80000);
    kh_batch_release(batch);
    assert_true(mem_live_bytes(home.batch.mem) == before);
    batch = import_seeded(db, "l", 10, random);
    assert_int_equal(kh_batch_size_bytes(batch), 24 + 40 + 80);
    kh_batch_release(batch);
    assert_true(mem_live_bytes(home.batch.mem) == before);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_a_cache_of_another_context_is_not_used(void **state) {
    (void)state;
    struct mem *mem = mem_create(NULL);
    struct mem_cache *cache = mem_cache_create(mem);
    kh_batch *batch = import_seeded(NULL, "l", 10, (struct foreign_random){1, false, false});
    batch_release(batch, cache);
    mem_cache_destroy(cache);
    assert_int_equal(mem_live_bytes(mem), 0);
    mem_close(mem);
}

static void share(void *context) {
    kh_batch *batch = context;
    for (int i = 0; i < 20000; i++) {
        int64_t value;
        kh_batch *mine = kh_batch_retain(batch);
        kh_status status = kh_batch_int64(mine, 0, 0, &value);
        kh_assert(status == KH_OK);
        kh_batch_release(mine);
    }
    kh_batch_release(batch);
}

static void test_threads_share_a_batch(void **state) {
    (void)state;
    struct env_thread *threads[3];
    kh_batch *batch = import_seeded(NULL, "!l", 2, (struct foreign_random){1, false, false});
    for (int i = 0; i < 3; i++)
        threads[i] = env_thread_start("share", share, kh_batch_retain(batch));
    kh_batch_release(batch);
    for (int i = 0; i < 3; i++) env_thread_join(threads[i]);
    assert_int_equal(foreign_live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_process_keeps_nothing),
        cmocka_unit_test(test_equality_is_of_values),
        cmocka_unit_test(test_one_changed_cell_is_seen),
        cmocka_unit_test(test_equality_without_memory),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_headroom_has_one_owner),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_a_cache_of_another_context_is_not_used),
        cmocka_unit_test(test_threads_share_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
