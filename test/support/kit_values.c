/* kit_values.c - numbers and rows as batches and back. */
#include "support/kit.h"

#define ROWS_MAX 32

kh_schema *kit_number_schema(kh_db *db) {
    const char *names[] = {"n"};
    const char *formats[] = {"!l"};
    kh_schema *schema = NULL;
    kit_is(kh_schema_build(db, names, formats, 1, &schema, NULL), KH_OK);
    return schema;
}

kh_batch *kit_number(kh_db *db, int64_t number) {
    kh_schema *schema = kit_number_schema(db);
    kh_scalar scalar = {KH_SCALAR_INT64, {.int64 = number}};
    kh_batch *batch = NULL;
    kit_is(kh_batch_build(db, schema, &scalar, 1, &batch, NULL), KH_OK);
    kh_schema_release(schema);
    return batch;
}

int64_t kit_number_of(const kh_batch *batch) {
    if (batch == NULL) {
        return KIT_ABSENT;
    }
    int64_t number = 0;
    assert_int_equal(kh_batch_row_count(batch), 1);
    kit_is(kh_batch_int64(batch, 0, 0, &number), KH_OK);
    return number;
}

/* One cell of the text: a number, or "_" for a column that the batch does not have. */
static bool parse_cell(const char **at, char end, int64_t *out) {
    bool is_there = **at != '_';
    if (is_there) {
        char *stop = NULL;
        *out = strtoll(*at, &stop, 10);
        assert_ptr_not_equal(stop, *at);
        *at = stop;
    } else {
        ++*at;
    }
    if (end != '\0') {
        assert_int_equal(**at, end);
        ++*at;
    }
    return is_there;
}

static kh_batch *build_rows(kh_db *db, int64_t cells[][3], int64_t row_count,
                            const bool is_there[3]) {
    static const char *const all_names[] = {"id", "a", "b"};
    const char *names[3];
    const char *formats[] = {"l", "l", "l"};
    kh_scalar scalars[ROWS_MAX * 3];
    int64_t columns = 0;
    for (int i = 0; i < 3; i++) {
        if (is_there[i]) {
            names[columns++] = all_names[i];
        }
    }
    size_t used = 0;
    for (int64_t row = 0; row < row_count; row++) {
        for (int i = 0; i < 3; i++) {
            if (is_there[i]) {
                scalars[used++] = (kh_scalar){KH_SCALAR_INT64, {.int64 = cells[row][i]}};
            }
        }
    }
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    kit_is(kh_schema_build(db, names, formats, columns, &schema, NULL), KH_OK);
    kit_is(kh_batch_build(db, schema, scalars, row_count, &batch, NULL), KH_OK);
    kh_schema_release(schema);
    return batch;
}

kh_batch *kit_rows(kh_db *db, const char *text) {
    int64_t cells[ROWS_MAX][3];
    bool is_there[3] = {true, true, true};
    int64_t row_count = 0;
    if (strcmp(text, "-") == 0) {
        return NULL;
    }
    const char *at = strcmp(text, "()") == 0 ? "" : text;
    while (*at != '\0') {
        assert_true(row_count < ROWS_MAX);
        (void)parse_cell(&at, '=', &cells[row_count][0]);
        is_there[1] = parse_cell(&at, '/', &cells[row_count][1]);
        is_there[2] = parse_cell(&at, '\0', &cells[row_count][2]);
        row_count++;
        if (*at == ' ') {
            at++;
        }
    }
    return build_rows(db, cells, row_count, is_there);
}

static void text_of_cell(const kh_batch *batch, int64_t column, int64_t row, char out[32]) {
    int64_t number = 0;
    if (column < 0) {
        (void)snprintf(out, 32, "_");
        return;
    }
    kh_status status = kh_batch_int64(batch, column, row, &number);
    if (status == KH_NOT_FOUND) {
        (void)snprintf(out, 32, "null");
        return;
    }
    kit_is(status, KH_OK);
    (void)snprintf(out, 32, "%lld", (long long)number);
}

void kit_text(const kh_batch *batch, char out[KIT_TEXT_BYTES]) {
    if (batch == NULL) {
        (void)snprintf(out, KIT_TEXT_BYTES, "-");
        return;
    }
    if (kh_batch_row_count(batch) == 0) {
        (void)snprintf(out, KIT_TEXT_BYTES, "()");
        return;
    }
    const kh_schema *schema = kh_batch_schema(batch);
    int64_t columns[3] = {kh_schema_find(schema, "id"), kh_schema_find(schema, "a"),
                          kh_schema_find(schema, "b")};
    size_t used = 0;
    for (int64_t row = 0; row < kh_batch_row_count(batch); row++) {
        char cells[3][32];
        for (int i = 0; i < 3; i++) {
            text_of_cell(batch, columns[i], row, cells[i]);
        }
        used += (size_t)snprintf(out + used, KIT_TEXT_BYTES - used, "%s%s=%s/%s",
                                 row == 0 ? "" : " ", cells[0], cells[1], cells[2]);
        assert_true(used < KIT_TEXT_BYTES);
    }
}
