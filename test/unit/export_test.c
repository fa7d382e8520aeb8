/* export_test.c - who keeps what alive: several exports at once, children moved out and released in
 * any order, everything gone before the last consumer. */
#include "batch/batch.h"
#include "base/env.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static kh_batch *import_random(kh_db *db, const char *type, int64_t rows, bool has_nulls) {
    struct foreign_random random = {11, false, has_nulls};
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

static const char *const types[] = {"+s[l;u]", "i{u}", "u", "vu", "+l[i{+l[g]}]"};
enum { TYPES = 5 };

static void test_exports_outlive_everything(void **state) {
    (void)state;
    for (int i = 0; i < TYPES; i++) {
        for (int64_t rows = 3; rows < 1000; rows += 500) {
            struct home home;
            kh_db *db = home_open(&home);
            kh_batch *batch = import_random(db, types[i], rows, true);
            struct ArrowArray first;
            struct ArrowArray second;
            struct ArrowSchema schema;
            assert_int_equal(kh_batch_export(batch, &first, NULL, NULL), KH_OK);
            assert_int_equal(kh_batch_export(batch, &second, &schema, NULL), KH_OK);
            kh_batch_release(batch);
            home_close(&home);
            first.release(&first);
            assert_null(first.release);
            assert_true(home.live_blocks > 0);
            assert_int_equal(second.length, rows);
            assert_true(foreign_equal(&schema, &second, &second));
            second.release(&second);
            schema.release(&schema);
            assert_int_equal(home.live_blocks, 0);
            assert_int_equal(foreign_live, 0);
        }
    }
}

static void test_children_are_moved_and_released_in_any_order(void **state) {
    (void)state;
    for (int i = 0; i < TYPES; i++) {
        for (int order = 0; order < 4; order++) {
            for (int64_t rows = 3; rows < 1000; rows += 500) {
                struct home home;
                kh_db *db = home_open(&home);
                kh_batch *batch = import_random(db, types[i], rows, false);
                struct ArrowArray out;
                struct ArrowSchema schema;
                assert_int_equal(kh_batch_export(batch, &out, &schema, NULL), KH_OK);
                kh_batch_release(batch);
                home_close(&home);
                struct ArrowArray child = *out.children[0];
                out.children[0]->release = NULL;
                struct ArrowArray grandchild = {.release = NULL};
                if (child.n_children > 0) {
                    grandchild = *child.children[0];
                    child.children[0]->release = NULL;
                }
                if (child.dictionary != NULL) {
                    grandchild = *child.dictionary;
                    child.dictionary->release = NULL;
                }
                struct ArrowArray *nodes[3] = {&out, &child, &grandchild};
                for (int k = 0; k < 3; k++) {
                    struct ArrowArray *node = nodes[order == 3 ? 2 - k : (order + k) % 3];
                    if (node->release == NULL) continue;
                    assert_true(home.live_blocks > 0);
                    char *text = NULL;
                    if (node == &child && grandchild.release == NULL && child.n_children == 0 &&
                        child.dictionary == NULL)
                        text = foreign_text(schema.children[0], node, rows - 1);
                    free(text);
                    node->release(node);
                    assert_null(node->release);
                }
                schema.release(&schema);
                assert_int_equal(home.live_blocks, 0);
                assert_int_equal(foreign_live, 0);
            }
        }
    }
}

static void test_null_counts_are_known(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int type = 0; type < foreign_type_count; type++) {
        for (int64_t rows = 5; rows < 1000; rows += 600) {
            kh_batch *batch = import_random(db, foreign_types[type], rows, true);
            struct ArrowArray out;
            struct ArrowSchema schema;
            int64_t nulls = 0;
            assert_int_equal(kh_batch_export(batch, &out, &schema, NULL), KH_OK);
            assert_int_equal(out.null_count, 0);
            const struct ArrowArray *child = out.children[0];
            if (strcmp(schema.children[0]->format, "n") == 0) {
                nulls = rows;
            } else if (child->n_buffers > 0 && child->buffers[0] != NULL &&
                       strncmp(schema.children[0]->format, "+u", 2) != 0) {
                for (int64_t i = 0; i < rows; i++) {
                    int64_t at = child->offset + i;
                    nulls += !((((const uint8_t *)child->buffers[0])[at / 8] >> (at % 8)) & 1);
                }
            }
            assert_int_equal(child->null_count, nulls);
            out.release(&out);
            schema.release(&schema);
            kh_batch_release(batch);
        }
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_an_export_comes_back_in(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int type = 0; type < foreign_type_count; type++) {
        for (int64_t rows = 2; rows < 1000; rows += 600) {
            kh_batch *batch = import_random(db, foreign_types[type], rows, true);
            kh_batch *back = NULL;
            struct ArrowArray out;
            bool is_equal = false;
            assert_int_equal(kh_batch_export(batch, &out, NULL, NULL), KH_OK);
            assert_int_equal(
                kh_batch_import(db, kh_batch_schema(batch), &out, KH_VALIDATE_FULL, &back, NULL),
                KH_OK);
            assert_int_equal(kh_batch_equal(batch, back, &is_equal, NULL), KH_OK);
            assert_true(is_equal);
            kh_batch_release(batch);
            kh_batch_release(back);
        }
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

static void test_failed_allocations_write_nothing(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    kh_batch *batch = import_random(db, "+s[l;u]", 5, false);
    struct ArrowArray out = {.release = NULL};
    struct ArrowSchema schema = {.release = NULL};
    int64_t live = home.live_blocks;
    for (uint64_t fail_at = 1; fail_at <= 2; fail_at++) {
        home.fail_at = home.calls + fail_at;
        assert_int_equal(kh_batch_export(batch, &out, &schema, NULL), KH_NO_MEMORY);
        assert_null(out.release);
        assert_null(schema.release);
        assert_int_equal(home.live_blocks, live);
    }
    assert_int_equal(kh_batch_export(batch, NULL, &schema, NULL), KH_INVALID);
    assert_int_equal(kh_batch_export(NULL, &out, &schema, NULL), KH_INVALID);
    kh_batch_release(batch);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void release_here(void *context) {
    struct ArrowArray *array = context;
    array->release(array);
}

/* Each thread releases one child: the count must be exact. */
static void test_threads_release_children(void **state) {
    static const char *const columns[] = {"a=l", "b=u", "c=g", "d=+l[l]"};
    (void)state;
    for (int round = 0; round < 50; round++) {
        struct foreign_random random = {11, false, false};
        struct ArrowSchema arrow;
        struct ArrowArray array;
        struct ArrowArray out;
        struct ArrowArray children[4];
        struct env_thread *threads[4];
        kh_schema *schema = NULL;
        kh_batch *batch = NULL;
        foreign_columns(&arrow, columns, 4);
        foreign_fill(&random, &arrow, 4, &array);
        assert_int_equal(kh_schema_import(NULL, &arrow, &schema, NULL), KH_OK);
        assert_int_equal(kh_batch_import(NULL, schema, &array, KH_VALIDATE_FULL, &batch, NULL),
                         KH_OK);
        kh_schema_release(schema);
        assert_int_equal(kh_batch_export(batch, &out, NULL, NULL), KH_OK);
        kh_batch_release(batch);
        for (int i = 0; i < 4; i++) {
            children[i] = *out.children[i];
            out.children[i]->release = NULL;
        }
        for (int i = 0; i < 4; i++)
            threads[i] = env_thread_start("child", release_here, &children[i]);
        out.release(&out);
        for (int i = 0; i < 4; i++) env_thread_join(threads[i]);
        assert_int_equal(foreign_live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exports_outlive_everything),
        cmocka_unit_test(test_children_are_moved_and_released_in_any_order),
        cmocka_unit_test(test_null_counts_are_known),
        cmocka_unit_test(test_an_export_comes_back_in),
        cmocka_unit_test(test_failed_allocations_write_nothing),
        cmocka_unit_test(test_threads_release_children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
