/* arrays_test.c - Arrow arrays that no batch can be made of, given to kh_txn_put_array: released,
 * half-built, of another schema, out of range. Each is KH_INVALID_DATA (or KH_TOO_BIG for sizes
 * that cannot be), the array stays with the caller, and the transaction goes on. */
#include "support/calls.h"

/* A struct of one child, with room for what the cases spoil. Nothing is allocated. */
struct forged {
    struct ArrowArray top;
    struct ArrowArray child;
    struct ArrowArray dictionary;
    struct ArrowArray *children[1];
    const void *top_buffers[1];
    const void *child_buffers[3];
    const void *dictionary_buffers[3];
    int released;
};

static void release_forged(struct ArrowArray *array) {
    struct forged *forged = array->private_data;
    forged->released++;
    array->release = NULL;
}

static void release_nothing(struct ArrowArray *array) {
    array->release = NULL;
}

static const int64_t numbers[4] = {1, 2, 3, 4};
static const int32_t offsets[5] = {0, 1, 2, 3, 4};
static const uint8_t ones = 0x0f;

static void forge(struct forged *forged, int64_t child_buffer_count) {
    memset(forged, 0, sizeof *forged);
    forged->child = (struct ArrowArray){.length = 4,
                                        .n_buffers = child_buffer_count,
                                        .buffers = forged->child_buffers,
                                        .release = release_nothing};
    forged->child_buffers[1] = child_buffer_count == 3 ? (const void *)offsets : numbers;
    forged->child_buffers[2] = "abcd";
    forged->children[0] = &forged->child;
    forged->top = (struct ArrowArray){.length = 4,
                                      .n_buffers = 1,
                                      .n_children = 1,
                                      .buffers = forged->top_buffers,
                                      .children = forged->children,
                                      .release = release_forged,
                                      .private_data = forged};
}

/* ---- one spoiled thing a function ------------------------------------------------------------ */

static void released_array(struct forged *forged) {
    forged->top.release = NULL;
}

static void released_child(struct forged *forged) {
    forged->child.release = NULL;
}

static void no_children_pointer(struct forged *forged) {
    forged->top.children = NULL;
}

static void null_child(struct forged *forged) {
    forged->children[0] = NULL;
}

static void child_missing(struct forged *forged) {
    forged->top.n_children = 0;
}

static void negative_children(struct forged *forged) {
    forged->top.n_children = -1;
}

static void negative_length(struct forged *forged) {
    forged->top.length = -1;
}

static void negative_child_length(struct forged *forged) {
    forged->child.length = -4;
}

static void negative_offset(struct forged *forged) {
    forged->child.offset = -1;
}

static void short_child(struct forged *forged) {
    forged->child.length = 3;
}

static void offset_beyond_child(struct forged *forged) {
    forged->top.offset = 2;
}

static void offset_overflow(struct forged *forged) {
    forged->top.offset = INT64_MAX;
}

static void child_offset_overflow(struct forged *forged) {
    forged->child.offset = INT64_MAX - 1;
}

static void absurd_length(struct forged *forged) {
    forged->top.length = INT64_MAX / 2;
    forged->child.length = INT64_MAX / 2;
}

static void no_buffers_pointer(struct forged *forged) {
    forged->child.buffers = NULL;
}

static void buffer_missing(struct forged *forged) {
    forged->child.n_buffers = 1;
}

static void buffer_too_many(struct forged *forged) {
    forged->child.n_buffers = 3;
}

static void negative_buffers(struct forged *forged) {
    forged->child.n_buffers = -2;
}

static void null_values(struct forged *forged) {
    forged->child_buffers[1] = NULL;
}

static void nulls_without_bitmap(struct forged *forged) {
    forged->child.null_count = 2;
}

static void null_count_too_big(struct forged *forged) {
    forged->child_buffers[0] = &ones;
    forged->child.null_count = 9;
}

static void null_count_wrong(struct forged *forged) {
    forged->child_buffers[0] = &ones;
    forged->child.null_count = 2;
}

static void top_nulls(struct forged *forged) {
    static const uint8_t some = 0x05;
    forged->top_buffers[0] = &some;
    forged->top.null_count = 2;
}

static void stray_dictionary(struct forged *forged) {
    forged->dictionary = forged->child;
    forged->child.dictionary = &forged->dictionary;
}

static void text_offsets_fall(struct forged *forged) {
    static const int32_t falling[5] = {0, 3, 2, 3, 4};
    forged->child_buffers[1] = falling;
}

static void text_offsets_negative(struct forged *forged) {
    static const int32_t negative[5] = {-1, 0, 1, 2, 3};
    forged->child_buffers[1] = negative;
}

static void text_without_bytes(struct forged *forged) {
    forged->child_buffers[2] = NULL;
}

static void text_not_utf8(struct forged *forged) {
    forged->child_buffers[2] = "a\xff"
                               "cd";
}

static void text_cut_inside_a_letter(struct forged *forged) {
    forged->child_buffers[2] = "\xc3\xa9"
                               "cd"; /* one letter of two bytes, split over two rows */
}

static void text_overlong(struct forged *forged) {
    static const int32_t one[5] = {0, 2, 2, 2, 2};
    forged->child_buffers[1] = one;
    forged->child_buffers[2] = "\xc0\x80zz";
}

static const int32_t dictionary_indexes[4] = {0, 1, 1, 0};

static void dictionary(struct forged *forged) {
    forged->child_buffers[1] = dictionary_indexes;
    forged->dictionary = (struct ArrowArray){.length = 2,
                                             .n_buffers = 3,
                                             .buffers = forged->dictionary_buffers,
                                             .release = release_nothing};
    forged->dictionary_buffers[1] = offsets;
    forged->dictionary_buffers[2] = "ab";
    forged->child.dictionary = &forged->dictionary;
}

static void dictionary_missing(struct forged *forged) {
    dictionary(forged);
    forged->child.dictionary = NULL;
}

static void dictionary_released(struct forged *forged) {
    dictionary(forged);
    forged->dictionary.release = NULL;
}

static void dictionary_index_above(struct forged *forged) {
    static const int32_t above[4] = {0, 1, 2, 0};
    dictionary(forged);
    forged->child_buffers[1] = above;
}

static void dictionary_index_negative(struct forged *forged) {
    static const int32_t negative[4] = {0, 1, -1, 0};
    dictionary(forged);
    forged->child_buffers[1] = negative;
}

static const struct spoiled {
    const char *name;
    char type; /* n: int64, t: utf8, d: dictionary of utf8 */
    void (*spoil)(struct forged *);
} table[] = {
    {"released", 'n', released_array},
    {"released child", 'n', released_child},
    {"children NULL", 'n', no_children_pointer},
    {"child NULL", 'n', null_child},
    {"child missing", 'n', child_missing},
    {"children negative", 'n', negative_children},
    {"length negative", 'n', negative_length},
    {"child's length negative", 'n', negative_child_length},
    {"child's offset negative", 'n', negative_offset},
    {"child too short", 'n', short_child},
    {"offset beyond the child", 'n', offset_beyond_child},
    {"offset overflows", 'n', offset_overflow},
    {"child's offset overflows", 'n', child_offset_overflow},
    {"absurd length", 'n', absurd_length},
    {"buffers NULL", 'n', no_buffers_pointer},
    {"buffer missing", 'n', buffer_missing},
    {"buffer too many", 'n', buffer_too_many},
    {"buffers negative", 'n', negative_buffers},
    {"values NULL", 'n', null_values},
    {"nulls without a bitmap", 'n', nulls_without_bitmap},
    {"more nulls than rows", 'n', null_count_too_big},
    {"null count is wrong", 'n', null_count_wrong},
    {"nulls at the top", 'n', top_nulls},
    {"a dictionary of no dictionary type", 'n', stray_dictionary},
    {"text given as numbers", 't', buffer_missing},
    {"text offsets fall", 't', text_offsets_fall},
    {"text offsets negative", 't', text_offsets_negative},
    {"text without bytes", 't', text_without_bytes},
    {"not UTF-8", 't', text_not_utf8},
    {"a letter cut in two", 't', text_cut_inside_a_letter},
    {"overlong UTF-8", 't', text_overlong},
    {"dictionary missing", 'd', dictionary_missing},
    {"dictionary released", 'd', dictionary_released},
    {"dictionary index above", 'd', dictionary_index_above},
    {"dictionary index negative", 'd', dictionary_index_negative},
};

/* The producer's structs lie on its stack: release only marks them. */
static void release_schema(struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release != NULL) {
            schema->children[i]->release(schema->children[i]);
        }
    }
    schema->release = NULL;
}

static kh_schema *import_schema(const char *format, const char *dictionary_format) {
    struct ArrowSchema values = {.format = dictionary_format, .release = NULL};
    struct ArrowSchema child = {.format = format, .name = "x", .flags = ARROW_FLAG_NULLABLE};
    struct ArrowSchema *children[1] = {&child};
    struct ArrowSchema top = {.format = "+s", .name = "", .n_children = 1, .children = children};
    kh_schema *schema = NULL;
    kh_error error = {""};
    top.release = child.release = values.release = release_schema;
    if (dictionary_format != NULL) {
        child.dictionary = &values;
    }
    if (kh_schema_import(NULL, &top, &schema, &error) != KH_OK) {
        fail_msg("kh_schema_import: %s", error.message);
    }
    assert_null(top.release);
    return schema;
}

static kh_schema *schema_of(char type) {
    return type == 'n'   ? import_schema("l", NULL)
           : type == 't' ? import_schema("u", NULL)
                         : import_schema("i", "u");
}

static void test_spoiled_arrays(void **state) {
    (void)state;
    kh_db *db = kit_open();
    int wrong = 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct forged forged;
        kh_error error = {""};
        kh_schema *schema = schema_of(table[i].type);
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        forge(&forged, table[i].type == 't' ? 3 : 2);
        table[i].spoil(&forged);
        struct forged before = forged;
        kh_status status =
            kh_txn_put_array(txn, kit_key("k"), schema, &forged.top, KH_DEFAULT_POLICY, &error);
        if (status != KH_INVALID_DATA && status != KH_TOO_BIG) {
            print_error("%s: %s\n", table[i].name, kh_status_name(status));
            wrong++;
        } else {
            assert_true(error.message[0] != '\0');
            assert_memory_equal(&forged, &before, sizeof forged); /* with the caller, untouched */
        }
        kit_put(txn, "k", (int64_t)i); /* the transaction goes on */
        kit_commit_ok(txn);
        kit_load_is(db, "k", (int64_t)i);
        kh_schema_release(schema);
    }
    kit_close(db);
    assert_int_equal(wrong, 0);
}

/* The unspoiled ones are fine: the table above refuses them for what it says. Small flat ones are
 * copied in; a dictionary's is adopted, and released at the latest when the database is gone. */
static void test_sound_arrays(void **state) {
    (void)state;
    static const char types[] = "ntd";
    static struct forged all[3];
    kh_db *db = kit_open();
    for (int i = 0; i < 3; i++) {
        struct forged *forged = &all[i];
        kh_schema *schema = schema_of(types[i]);
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        kh_batch *batch = NULL;
        forge(forged, types[i] == 't' ? 3 : 2);
        if (types[i] == 'd') {
            dictionary(forged);
        }
        kit_is(kh_txn_put_array(txn, kit_key("k"), schema, &forged->top, KH_DEFAULT_POLICY, NULL),
               KH_OK);
        assert_null(forged->top.release);
        assert_int_equal(forged->released, types[i] != 'd');
        kit_commit_ok(txn);
        txn = kit_begin(db, KH_REPEATABLE_READ);
        kit_is(kh_txn_get(txn, kit_key("k"), &batch, NULL), KH_OK);
        assert_int_equal(kh_batch_row_count(batch), 4);
        kh_batch_release(batch);
        kit_rollback(txn);
        kh_schema_release(schema);
    }
    kit_close(db);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(all[i].released, 1);
    }
}

/* A release callback runs outside of locks and may use the database. */
struct reentering {
    struct forged forged;
    kh_db *db;
    kh_status status;
};

static void release_and_write(struct ArrowArray *array) {
    struct reentering *reentering = array->private_data;
    kh_txn *txn = NULL;
    array->release = NULL;
    reentering->status = kh_txn_begin(reentering->db, NULL, &txn, NULL);
    if (reentering->status == KH_OK) {
        reentering->status = kh_txn_delete(txn, kit_key("other"), NULL);
    }
    if (reentering->status == KH_OK) {
        reentering->status = kh_txn_commit(txn, NULL, NULL);
    }
    kh_txn_close(txn);
}

static void test_release_may_reenter(void **state) {
    (void)state;
    kh_db *db = kit_open();
    struct reentering reentering = {.db = db, .status = KH_INVALID};
    kit_store(db, "other", 1);
    kh_schema *schema = schema_of('n');
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    forge(&reentering.forged, 2);
    reentering.forged.top.release = release_and_write;
    reentering.forged.top.private_data = &reentering;
    kit_is(kh_txn_put_array(txn, kit_key("k"), schema, &reentering.forged.top, KH_FAIL, NULL),
           KH_OK);
    kit_commit_ok(txn);
    kit_is(reentering.status, KH_OK);
    kit_load_is(db, "other", KIT_ABSENT);
    kh_schema_release(schema);
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled_arrays),
        cmocka_unit_test(test_sound_arrays),
        cmocka_unit_test(test_release_may_reenter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
