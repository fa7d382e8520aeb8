/* ipc_schema_read_test.c - schemas as other writers make them: defaults left out, ids without an
 * index type, unions without codes, big-endian data, types that do not exist. */
#include "batch/ipc_wire.h"
#include "support/ipc_kit.h"

/* One field in a schema, its parts as a test sets them. */
struct draft {
    int64_t endianness;
    int64_t type;
    struct flat_field type_fields[3];
    unsigned type_field_count;
    const char *name;
    size_t name_bytes;
    bool has_encoding;
    int64_t id;
};

static kh_status read_draft(const struct draft *draft, struct ArrowSchema *out, int64_t *id) {
    struct ipc_buffer bytes;
    struct ipc_buffer ids;
    struct flat_table root;
    struct flat_field type_fields[3];
    struct ipc_traits traits;
    kh_error error = {""};
    ipc_buffer_init(&bytes, mem_process());
    ipc_buffer_init(&ids, mem_process());
    struct flat_field schema[2] = {
        {.field = SCHEMA_ENDIANNESS, .width = 2, .value = draft->endianness},
        {.field = SCHEMA_FIELDS, .width = FLAT_REF}};
    struct flat_field field[4] = {{.field = FIELD_TYPE_TYPE, .width = 1, .value = draft->type},
                                  {.field = FIELD_TYPE, .width = FLAT_REF},
                                  {.field = FIELD_NAME, .width = FLAT_REF},
                                  {.field = FIELD_DICTIONARY, .width = FLAT_REF}};
    flat_begin(&bytes, 0);
    flat_refer(&bytes, 0, flat_put_table(&bytes, 0, schema, 2));
    size_t vector = flat_put_vector(&bytes, 0, 1, 4);
    flat_refer(&bytes, schema[1].at, vector);
    flat_refer(&bytes, vector + 4,
               flat_put_table(&bytes, 0, field, draft->has_encoding ? 4 : 3));
    memcpy(type_fields, draft->type_fields, sizeof type_fields);
    flat_refer(&bytes, field[1].at,
               flat_put_table(&bytes, 0, type_fields, draft->type_field_count));
    flat_refer(&bytes, field[2].at, flat_put_text(&bytes, 0, draft->name, draft->name_bytes));
    if (draft->has_encoding) {
        struct flat_field encoding[1] = {
            {.field = ENCODING_ID, .width = 8, .value = draft->id}};
        flat_refer(&bytes, field[3].at, flat_put_table(&bytes, 0, encoding, 1));
    }
    assert_false(bytes.is_failed);
    assert_true(flat_root(bytes.bytes, bytes.size_bytes, &root));
    kh_status status = ipc_schema_read(&root, mem_process(), out, &ids, &traits, &error);
    if (ids.size_bytes > 0)
        memcpy(id, ids.bytes, sizeof *id);
    ipc_buffer_fini(&bytes);
    ipc_buffer_fini(&ids);
    return status;
}

static void reads_as(const struct draft *draft, const char *format) {
    struct ArrowSchema out;
    int64_t id = 0;
    assert_int_equal(read_draft(draft, &out, &id), KH_OK);
    assert_string_equal(out.children[0]->format, format);
    assert_int_equal(out.children[0]->flags, 0);
    out.release(&out);
}

static void is_refused(const struct draft *draft, kh_status expected) {
    struct ArrowSchema out = {.release = NULL};
    int64_t id = 0;
    assert_int_equal(read_draft(draft, &out, &id), expected);
    assert_null(out.release);
}

static void test_defaults(void **state) {
    static const struct {
        int64_t type;
        const char *format;
    } defaults[] = {{1, "n"},   {3, "e"},   {4, "z"},    {5, "u"},    {6, "b"},   {8, "tdm"},
                    {9, "ttm"}, {10, "tss:"}, {11, "tiM"}, {12, "+l"},  {13, "+s"}, {14, "+us:"},
                    {15, "w:0"}, {16, "+w:0"}, {17, "+m"},  {18, "tDm"}, {19, "Z"},  {20, "U"},
                    {21, "+L"}, {22, "+r"}, {23, "vz"},  {24, "vu"},  {25, "+vl"}, {26, "+vL"}};
    (void)state;
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        struct draft draft = {.type = defaults[i].type, .name = ""};
        reads_as(&draft, defaults[i].format);
    }
    struct draft decimal = {.type = 7, .name = ""};
    decimal.type_fields[0] = (struct flat_field){.field = 0, .width = 4, .value = 9};
    decimal.type_fields[1] = (struct flat_field){.field = 1, .width = 4, .value = -2};
    decimal.type_field_count = 2;
    reads_as(&decimal, "d:9,-2");
}

static void test_what_does_not_exist(void **state) {
    (void)state;
    is_refused(&(struct draft){.type = 0, .name = ""}, KH_CORRUPT);
    is_refused(&(struct draft){.type = -1, .name = ""}, KH_CORRUPT);
    is_refused(&(struct draft){.type = 27, .name = ""}, KH_UNSUPPORTED);
    is_refused(&(struct draft){.type = 2, .name = ""}, KH_CORRUPT); /* an integer of 0 bits */
    is_refused(&(struct draft){.type = 1, .name = "", .endianness = 2}, KH_CORRUPT);
    is_refused(&(struct draft){.type = 1, .name = "", .endianness = -1}, KH_CORRUPT);
    is_refused(&(struct draft){.type = 1, .name = "a\0b", .name_bytes = 3}, KH_CORRUPT);
    for (int64_t type = 8; type <= 18; type++) {
        struct draft draft = {.type = type, .name = ""};
        draft.type_fields[0] = (struct flat_field){.field = 0, .width = 2, .value = 9};
        draft.type_field_count = 1;
        bool has_unit = type <= 11 || type == 14 || type == 18;
        if (has_unit)
            is_refused(&draft, KH_CORRUPT);
        draft.type_fields[0].value = -1;
        if (has_unit)
            is_refused(&draft, KH_CORRUPT);
    }
}

static void test_dictionaries_without_an_index_type(void **state) {
    (void)state;
    struct ArrowSchema out;
    int64_t id = 0;
    struct draft draft = {.type = 5, .name = "c", .name_bytes = 1, .has_encoding = true,
                          .id = -1234567890123};
    assert_int_equal(read_draft(&draft, &out, &id), KH_OK);
    assert_int_equal(id, draft.id);
    assert_string_equal(out.children[0]->name, "c");
    assert_string_equal(out.children[0]->format, "i");
    assert_string_equal(out.children[0]->dictionary->format, "u");
    out.release(&out);
}

/* As deep as a schema may be, and one level deeper. */
static void test_depth(void **state) {
    (void)state;
    for (int levels = 50; levels < 70; levels++) {
        char type[4 * 70 + 2] = "";
        for (int i = 1; i < levels; i++)
            strcat(type, "+s[");
        strcat(type, "l");
        for (int i = 1; i < levels; i++)
            strcat(type, "]");
        struct ArrowSchema arrow;
        kh_schema *schema = NULL;
        foreign_table(&arrow, type);
        if (kh_schema_import(NULL, &arrow, &schema, NULL) != KH_OK) {
            arrow.release(&arrow);
            continue;
        }
        assert_true(levels < 66);
        kh_schema_release(schema);
        kh_batch *batch = ipc_kit_batch(NULL, type, 3, 1);
        kh_bytes bytes = ipc_kit_encode(batch, KH_IPC_FILE, KH_COMPRESS_NONE);
        assert_int_equal(ipc_kit_try(NULL, bytes.data, bytes.size_bytes), KH_OK);
        kh_bytes_free(bytes);
        kh_batch_release(batch);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_what_does_not_exist),
        cmocka_unit_test(test_dictionaries_without_an_index_type),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
