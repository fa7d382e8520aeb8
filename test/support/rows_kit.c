/* rows_kit.c - see rows_kit.h. */
#include "support/rows_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static kh_batch *import(kh_db *db, const char *const *columns, int64_t column_count,
                        const int64_t *ids, int64_t count, struct foreign_random *random) {
    struct ArrowSchema arrow;
    struct ArrowArray array;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    kh_error error = {""};
    foreign_columns(&arrow, columns, column_count);
    foreign_fill(random, &arrow, count, &array);
    if (ids != NULL) {
        const struct ArrowArray *child = array.children[0];
        int64_t *values = (int64_t *)(uintptr_t)child->buffers[1];
        if (count > 0)
            memcpy(values + child->offset + array.offset, ids, (size_t)count * sizeof *ids);
    }
    kh_status status = kh_schema_import(db, &arrow, &schema, &error);
    if (status == KH_OK)
        status = kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, &error);
    if (status != KH_OK)
        (void)fprintf(stderr, "%s: %s\n", columns[column_count - 1], error.message);
    if (status != KH_OK) abort();
    kh_schema_release(schema);
    return batch;
}

kh_batch *rows_kit_columns(kh_db *db, const char *const *columns, int64_t column_count,
                           int64_t row_count, struct foreign_random *random) {
    return import(db, columns, column_count, NULL, row_count, random);
}

kh_batch *rows_kit_batch(kh_db *db, const char *id_type, const char *type, const int64_t *ids,
                         int64_t count, struct foreign_random *random) {
    char id_column[64];
    char column[128];
    const char *columns[2] = {id_column, column};
    (void)snprintf(id_column, sizeof id_column, "id=%s", id_type != NULL ? id_type : "!l");
    (void)snprintf(column, sizeof column, "c=%s", type);
    return import(db, columns, 2, ids, count, random);
}

kh_batch *rows_kit_ids(kh_db *db, const int64_t *ids, int64_t count) {
    static const char *const columns[] = {"id=!l"};
    struct foreign_random random = {7, false, false};
    return import(db, columns, 1, ids, count, &random);
}

/* A batch exported for reading. */
struct shown {
    struct ArrowSchema schema;
    struct ArrowArray array;
};

static struct shown show(const kh_batch *batch) {
    struct shown shown;
    kh_status status = kh_batch_export(batch, &shown.array, &shown.schema, NULL);
    if (status != KH_OK) abort();
    return shown;
}

static void hide(struct shown *shown) {
    shown->array.release(&shown->array);
    shown->schema.release(&shown->schema);
}

static char *text_of(const struct shown *shown, int64_t column, int64_t row) {
    return foreign_text(shown->schema.children[column], shown->array.children[column], row);
}

char *rows_kit_text(const kh_batch *batch, int64_t column, int64_t row) {
    struct shown shown = show(batch);
    char *text = text_of(&shown, column, row);
    hide(&shown);
    return text;
}

static bool is_same_cell(const struct shown *result, int64_t row, int64_t column,
                         const kh_batch *from, int64_t from_row) {
    char *found = text_of(result, column, row);
    char *wanted = rows_kit_text(from, column, from_row);
    bool is_same = strcmp(found, wanted) == 0;
    if (!is_same)
        (void)fprintf(stderr, "row %lld, column %lld (%s): %s, not %s\n", (long long)row,
                      (long long)column, result->schema.children[column]->format, found, wanted);
    free(found);
    free(wanted);
    return is_same;
}

bool rows_kit_matches(const kh_batch *result, const struct rows_origin *origins, int64_t count) {
    struct shown shown = show(result);
    bool is_same = shown.array.length == count;
    if (!is_same)
        (void)fprintf(stderr, "%lld rows, not %lld\n", (long long)shown.array.length,
                      (long long)count);
    for (int64_t row = 0; is_same && row < count; row++) {
        const struct rows_origin *origin = &origins[row];
        is_same = is_same_cell(&shown, row, 0, origin->id_batch, origin->id_row);
        for (int64_t column = 1; is_same && column < shown.array.n_children; column++)
            is_same = is_same_cell(&shown, row, column, origin->batch, origin->row);
    }
    hide(&shown);
    return is_same;
}
