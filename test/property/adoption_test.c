/* adoption_test.c - a million rows of every type go in and come out without a copy: every buffer
 * that a consumer sees is the very buffer that the producer gave, by every way in and out, before
 * and after the commit, children and dictionaries of any size included. Nothing is let go before
 * the last user has gone.
 *
 * What may differ is what batch.h says: a validity bitmap without nulls may be left out, and a null
 * count that was not known is computed. */
#include "support/foreign.h"
#include "support/kit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROWS = 100000 };
#else
enum { ROWS = 1000000 };
#endif

/* The largest length that a run end of 16 bits can say. */
enum { ROWS_OF_SHORT_RUNS = 32000, BUFFERS_MAX = 64 };

/* Where the buffers of an array and of all below it lie, in the order of the format. */
struct places {
    int count;
    const void *buffers[BUFFERS_MAX];
    bool may_vanish[BUFFERS_MAX];
    int64_t lengths[BUFFERS_MAX];
    int64_t offsets[BUFFERS_MAX];
};

static bool has_validity(const struct ArrowSchema *schema) {
    return strcmp(schema->format, "n") != 0 && strncmp(schema->format, "+u", 2) != 0 &&
           strncmp(schema->format, "+r", 2) != 0;
}

static void find(struct places *places, const struct ArrowSchema *schema,
                 const struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_buffers; i++) {
        assert_true(places->count < BUFFERS_MAX);
        places->buffers[places->count] = array->buffers[i];
        places->may_vanish[places->count] =
            i == 0 && has_validity(schema) && array->null_count == 0;
        places->lengths[places->count] = array->length;
        places->offsets[places->count] = array->offset;
        places->count++;
    }
    for (int64_t i = 0; i < array->n_children; i++)
        find(places, schema->children[i], array->children[i]);
    if (array->dictionary != NULL) find(places, schema->dictionary, array->dictionary);
}

/* A record batch's own rows are what its columns show: its offset and length are theirs. */
static struct places places_of(const struct ArrowSchema *schema, const struct ArrowArray *array) {
    struct places places = {0};
    for (int64_t i = 0; i < array->n_children; i++) {
        struct ArrowArray column = *array->children[i];
        column.offset += array->offset;
        column.length = array->length;
        find(&places, schema->children[i], &column);
    }
    return places;
}

static void same_places(const char *type, const char *way, const struct places *in,
                        const struct places *out) {
    if (in->count != out->count)
        fail_msg("%s %s: %d buffers go in, %d come out", type, way, in->count, out->count);
    for (int i = 0; i < in->count; i++) {
        bool is_same =
            in->buffers[i] == out->buffers[i] || (in->may_vanish[i] && out->buffers[i] == NULL);
        if (!is_same) fail_msg("%s %s: buffer %d is not the one that came in", type, way, i);
        if (in->buffers[i] == NULL) continue; /* nothing that an offset could point into */
        if (in->lengths[i] != out->lengths[i] || in->offsets[i] != out->offsets[i])
            fail_msg("%s %s: buffer %d has another length or offset", type, way, i);
    }
}

static void exports_same(const char *type, const char *way, const kh_batch *batch,
                         const struct places *in) {
    struct ArrowArray array;
    struct ArrowSchema schema;
    kit_is(kh_batch_export(batch, &array, &schema, NULL), KH_OK);
    struct places out = places_of(&schema, &array);
    same_places(type, way, in, &out);
    array.release(&array);
    schema.release(&schema);
}

/* ---- the ways -------------------------------------------------------------------------------- */

static void look_in(kh_txn *txn, const char *type, const struct places *in) {
    const kh_batch *peeked = NULL;
    kh_batch *got = NULL;
    kh_cursor *cursor = NULL;
    kh_bytes key;
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    struct ArrowSchema schema;
    kit_is(kh_txn_peek(txn, kit_key("k"), &peeked, NULL), KH_OK);
    exports_same(type, "peek", peeked, in);
    kit_is(kh_txn_get(txn, kit_key("k"), &got, NULL), KH_OK);
    assert_ptr_equal(got, peeked);
    kh_batch_release(got);
    kit_is(kh_txn_scan(txn, NULL, &cursor, NULL), KH_OK);
    kit_is(kh_cursor_next(cursor, &key, &peeked, NULL), KH_OK);
    exports_same(type, "scan", peeked, in);
    kh_cursor_close(cursor);
    kit_is(kh_txn_scan_stream(txn, NULL, NULL, &stream, NULL), KH_OK);
    assert_int_equal(stream.get_schema(&stream, &schema), 0);
    assert_int_equal(stream.get_next(&stream, &array), 0);
    struct places out = places_of(&schema, &array);
    same_places(type, "stream", in, &out);
    array.release(&array);
    schema.release(&schema);
    stream.release(&stream);
}

/* Into a transaction, looked at there, committed, looked at again, kept beyond everything. */
static void through_database(const char *type, struct ArrowSchema *arrow, struct ArrowArray *array,
                             bool is_import_first) {
    kh_db *db = kit_open();
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    struct ArrowArray kept;
    struct places in = places_of(arrow, array);
    kit_is(kh_schema_import(db, arrow, &schema, NULL), KH_OK);
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    if (is_import_first) {
        kit_is(kh_batch_import(db, schema, array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
        exports_same(type, "import", batch, &in);
        kit_is(kh_txn_put(txn, kit_key("k"), batch, NULL), KH_OK);
        kh_batch_release(batch);
    } else {
        kit_is(kh_txn_put_array(txn, kit_key("k"), schema, array, KH_DEFAULT_POLICY, NULL), KH_OK);
    }
    assert_null(array->release);
    look_in(txn, type, &in);
    kit_commit_ok(txn);
    txn = kit_begin(db, KH_REPEATABLE_READ);
    look_in(txn, type, &in);
    kit_is(kh_txn_get(txn, kit_key("k"), &batch, NULL), KH_OK);
    kit_is(kh_batch_export(batch, &kept, NULL, NULL), KH_OK);
    kh_batch_release(batch);
    kit_rollback(txn);
    kit_store(db, "k", KIT_ABSENT);
    kh_db_step(db);
    kh_schema_release(schema);
    kit_close(db);
    assert_true(foreign_live > 0);
    kept.release(&kept);
    assert_int_equal(foreign_live, 0);
}

/* ---- the types ------------------------------------------------------------------------------- */

static void test_every_type(void **state) {
    (void)state;
    for (int i = 0; i < foreign_type_count * 2; i++) {
        const char *type = foreign_types[i / 2];
        struct foreign_random random = {(uint64_t)i + 1, i % 2 == 1, i % 2 == 1};
        struct ArrowSchema schema;
        struct ArrowArray array;
        foreign_table(&schema, type);
        bool has_short_runs = strstr(type, "+r[!s") != NULL;
        foreign_fill(&random, &schema, has_short_runs ? ROWS_OF_SHORT_RUNS : ROWS, &array);
        /* A record batch has no nulls of its own. */
        free((void *)array.buffers[0]);
        array.buffers[0] = NULL;
        array.null_count = 0;
        through_database(type, &schema, &array, i % 4 < 2);
    }
}

/* A batch whose one column is still to be made. */
static void begin_table(const char *type, struct ArrowSchema *schema, struct ArrowArray *array) {
    foreign_table(schema, type);
    foreign_array(array, ROWS, 1, 1, false);
}

/* A dictionary of a million values, each used once. */
static void test_large_dictionaries(void **state) {
    (void)state;
    static const char *const types[] = {"i{u}", "L{l}", "l{vu}", "I{+s[l;u]}", "i{+l[l]}"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct foreign_random random = {i, false, false};
        struct ArrowSchema schema;
        struct ArrowArray array;
        begin_table(types[i], &schema, &array);
        const struct ArrowSchema *column = schema.children[0];
        size_t width = (size_t)foreign_bits(column->format) / 8;
        char *indexes = calloc(ROWS, width);
        assert_non_null(indexes);
        for (uint64_t row = 0; row < ROWS; row++) memcpy(indexes + row * width, &row, width);
        foreign_array(array.children[0], ROWS, 2, 0, true);
        foreign_buffer(array.children[0], 1, indexes, ROWS * width);
        foreign_fill(&random, column->dictionary, ROWS, array.children[0]->dictionary);
        free(indexes);
        through_database(types[i], &schema, &array, i % 2 == 0);
    }
}

/* List views over a child of a million elements, in falling order. */
static void test_large_list_views(void **state) {
    (void)state;
    static const char *const types[] = {"+vl[l]", "+vL[u]", "+vl[+s[i;vz]]"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct foreign_random random = {i, false, true};
        struct ArrowSchema schema;
        struct ArrowArray array;
        begin_table(types[i], &schema, &array);
        size_t width = types[i][2] == 'L' ? 8 : 4;
        char *offsets = calloc(ROWS, width);
        char *sizes = calloc(ROWS, width);
        assert_true(offsets != NULL && sizes != NULL);
        for (uint64_t row = 0; row < ROWS; row++) {
            uint64_t offset = ROWS - 1 - row;
            memcpy(offsets + row * width, &offset, width);
            sizes[row * width] = 1;
        }
        foreign_array(array.children[0], ROWS, 3, 1, false);
        foreign_buffer(array.children[0], 1, offsets, ROWS * width);
        foreign_buffer(array.children[0], 2, sizes, ROWS * width);
        foreign_fill(&random, schema.children[0]->children[0], ROWS,
                     array.children[0]->children[0]);
        free(offsets);
        free(sizes);
        through_database(types[i], &schema, &array, i % 2 == 0);
    }
}

/* An extension type is its storage and two pairs of metadata, which come out as they went in. */
static void test_extension(void **state) {
    (void)state;
    static const char metadata[] = "\2\0\0\0"
                                   "\24\0\0\0ARROW:extension:name"
                                   "\11\0\0\0test.uuid"
                                   "\30\0\0\0ARROW:extension:metadata"
                                   "\2\0\0\0{}";
    struct foreign_random random = {7, true, true};
    struct ArrowSchema schema;
    struct ArrowSchema again;
    struct ArrowArray array;
    kh_schema *interned = NULL;
    kh_batch *batch = NULL;
    foreign_table(&schema, "w:16");
    char *copy = malloc(sizeof metadata);
    assert_non_null(copy);
    memcpy(copy, metadata, sizeof metadata);
    schema.children[0]->metadata = copy;
    foreign_fill(&random, schema.children[0], ROWS, &array);
    struct ArrowArray column = array;
    foreign_array(&array, ROWS, 1, 1, false);
    *array.children[0] = column;
    struct places in = places_of(&schema, &array);
    kit_is(kh_schema_import(NULL, &schema, &interned, NULL), KH_OK);
    kit_is(kh_batch_import(NULL, interned, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    exports_same("extension", "import", batch, &in);
    kit_is(kh_schema_export(kh_batch_schema(batch), &again, NULL), KH_OK);
    assert_memory_equal(again.children[0]->metadata, metadata, sizeof metadata - 1);
    again.release(&again);
    kh_batch_release(batch);
    kh_schema_release(interned);
    assert_int_equal(foreign_live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_large_dictionaries),
        cmocka_unit_test(test_large_list_views),
        cmocka_unit_test(test_extension),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
