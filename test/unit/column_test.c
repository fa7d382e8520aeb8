/* column_test.c - the tree of columns of both kinds of batch, against the exported arrays. */
#include "batch/column.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Columns of a layout as an array of borrowed pointers, to be read by foreign_text. */
static void to_array(const struct column *column, struct ArrowArray *out, const void **buffers) {
    *out = (struct ArrowArray){.length = column->length,
                               .offset = column->offset,
                               .null_count = column->null_count,
                               .buffers = buffers,
                               .n_children = column->field->child_count};
    buffers[0] = column->validity;
    out->n_buffers = 1;
    switch (column->field->layout) {
    case LAYOUT_NULL:
    case LAYOUT_RUN_END:
        out->n_buffers = 0;
        break;
    case LAYOUT_FIXED:
        buffers[1] = column->values;
        out->n_buffers = 2;
        break;
    case LAYOUT_VAR32:
    case LAYOUT_VAR64:
        buffers[1] = column->offsets;
        buffers[2] = column->values;
        out->n_buffers = 3;
        break;
    case LAYOUT_VIEW:
        buffers[1] = column->values;
        assert_true(column->view_buffer_count <= 3);
        for (int64_t i = 0; i < column->view_buffer_count; i++)
            buffers[2 + i] = column->view_buffers[i];
        out->n_buffers = 3 + column->view_buffer_count;
        break;
    case LAYOUT_LIST32:
    case LAYOUT_LIST64:
    case LAYOUT_LISTVIEW32:
    case LAYOUT_LISTVIEW64:
        buffers[1] = column->offsets;
        buffers[2] = column->sizes;
        out->n_buffers = column->sizes != NULL ? 3 : 2;
        break;
    case LAYOUT_SPARSE_UNION:
    case LAYOUT_DENSE_UNION:
        buffers[0] = column->values;
        buffers[1] = column->offsets;
        out->n_buffers = column->offsets != NULL ? 2 : 1;
        break;
    case LAYOUT_STRUCT:
    case LAYOUT_FIXED_LIST:
        break;
    }
}

struct tree {
    struct ArrowArray nodes[64];
    struct ArrowArray *children[64];
    const void *buffers[64][8];
    int node_count;
    int child_count;
};

static struct ArrowArray *to_tree(struct tree *tree, const struct column *column) {
    int index = tree->node_count++;
    struct ArrowArray *node = &tree->nodes[index];
    to_array(column, node, tree->buffers[index]);
    node->children = &tree->children[tree->child_count];
    tree->child_count += column->field->child_count;
    for (int32_t i = 0; i < column->field->child_count; i++)
        node->children[i] = to_tree(tree, &column->children[i]);
    if (column->field->dictionary != NULL) node->dictionary = to_tree(tree, column->dictionary);
    return node;
}

static void check(kh_db *db, const char *type, int64_t rows, struct foreign_random random) {
    struct ArrowSchema arrow;
    struct ArrowSchema copy;
    struct ArrowArray array;
    struct ArrowArray out;
    struct arena arena;
    struct column root;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    foreign_table(&arrow, type);
    foreign_table(&copy, type);
    foreign_fill(&random, &arrow, rows, &array);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    assert_int_equal(kh_batch_export(batch, &out, NULL, NULL), KH_OK);
    arena_init(&arena, mem_process(), NULL);
    assert_int_equal(column_view(batch, &arena, &root, NULL), KH_OK);
    assert_int_equal(root.length, rows);
    assert_int_equal(root.offset, 0);
    assert_null(root.validity);
    const struct column *column = &root.children[0];
    assert_int_equal(column->length, rows);
    assert_ptr_equal(column->field, &schema_root(kh_batch_schema(batch))->children[0]);
    if (column->null_count == 0) assert_null(column->validity);
    if (column->null_count > 0) assert_int_equal(column->null_count, out.children[0]->null_count);
    static struct tree tree;
    memset(&tree, 0, sizeof tree);
    if (!foreign_equal(&copy, to_tree(&tree, &root), &out)) fail_msg("%s", type);
    arena_fini(&arena);
    out.release(&out);
    copy.release(&copy);
    kh_batch_release(batch);
    kh_schema_release(schema);
}

static void test_every_type(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int type = 0; type < foreign_type_count; type++)
        for (int way = 0; way < 4; way++)
            for (int64_t rows = 0; rows < 400; rows = rows * 5 + 1)
                check(db, foreign_types[type], rows,
                      (struct foreign_random){(uint64_t)type, way & 1, way & 2});
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

static void test_no_memory(void **state) {
    (void)state;
    for (int64_t rows = 2; rows < 1000; rows += 900) {
        struct foreign_random random = {5, false, true};
        struct home home;
        struct home scarce;
        struct ArrowSchema arrow;
        struct ArrowArray array;
        struct arena arena;
        struct column root;
        kh_schema *schema = NULL;
        kh_batch *batch = NULL;
        kh_db *db = home_open(&home);
        (void)home_open(&scarce);
        foreign_table(&arrow, rows < 10 ? "vu" : "+s[l;i{u}]");
        foreign_fill(&random, &arrow, rows, &array);
        assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
        assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL),
                         KH_OK);
        scarce.fail_at = scarce.calls + 1;
        arena_init(&arena, scarce.batch.mem, NULL);
        assert_int_equal(column_view(batch, &arena, &root, NULL), KH_NO_MEMORY);
        arena_fini(&arena);
        kh_batch_release(batch);
        kh_schema_release(schema);
        home_close(&home);
        home_close(&scarce);
        assert_int_equal(home.live_blocks + scarce.live_blocks, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
