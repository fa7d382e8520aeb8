/* rows_ops.c - row operations by id: insert, upsert, update, delete. See khonsu/batch.h.
 *
 * Each finds the rows of base that its ids name, sorts them, and describes the result as runs: all
 * of base in order but for the rows found, which come from elsewhere or go. Typed errors come
 * before anything is built. */
#include "batch/rows.h"

#include "base/status.h"
#include "batch/type_words.h"

#include <string.h>

/* A row of base named by a row of the other side. */
struct match {
    uint32_t base_row;
    uint32_t row;
};

/* base and the rows applied to it, opened and checked. */
struct pair {
    struct column *base;
    struct column *rows;
    struct ids base_ids;
    struct ids row_ids;
    struct id_index base_index;
    struct match *matches; /* sorted by base_row */
    int64_t match_count;
    int64_t *new_rows; /* rows whose ids base has not, in their order */
    int64_t new_count;
};

/* ---- sorting (heap sort: in place, and no worse than n log n on any input) ------------------- */

static void sift_down(struct match *matches, int64_t at, int64_t count) {
    struct match moved = matches[at];
    for (int64_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && matches[child].base_row < matches[child + 1].base_row)
            child++;
        if (matches[child].base_row <= moved.base_row)
            break;
        matches[at] = matches[child];
        at = child;
    }
    matches[at] = moved;
}

static void sort_matches(struct match *matches, int64_t count) {
    bool is_sorted = true;
    for (int64_t i = 1; i < count && is_sorted; i++)
        is_sorted = matches[i - 1].base_row <= matches[i].base_row;
    if (is_sorted)
        return;
    for (int64_t i = count / 2; i > 0; i--)
        sift_down(matches, i - 1, count);
    for (int64_t last = count - 1; last > 0; last--) {
        struct match first = matches[0];
        matches[0] = matches[last];
        matches[last] = first;
        sift_down(matches, 0, last);
    }
}

/* ---- opening and matching -------------------------------------------------------------------- */

/* Where fields have the same structure and types: names, nullability and metadata of the columns
 * themselves aside. */
static bool is_same_type(const struct field *a, const struct field *b) {
    if (strcmp(a->format, b->format) != 0 || a->child_count != b->child_count ||
        (a->dictionary == NULL) != (b->dictionary == NULL))
        return false;
    if (a->dictionary != NULL && !is_same_type(a->dictionary, b->dictionary))
        return false;
    for (int32_t i = 0; i < a->child_count; i++)
        if (strcmp(a->children[i].name, b->children[i].name) != 0 ||
            !is_same_type(&a->children[i], &b->children[i]))
            return false;
    return true;
}

static kh_status check_rows(struct rows_work *work, const struct column *rows, struct ids *ids) {
    struct id_index index;
    kh_status status = rows_view_ids(work, rows, ids);
    if (status != KH_OK)
        return status;
    return id_index_build(&index, ids, &work->arena, work->error);
}

static kh_status open_pair(struct rows_work *work, const kh_batch *base, const kh_batch *rows,
                           bool may_repeat, struct pair *pair) {
    kh_status status;
    size_t count = rows->row_count + (size_t)1;
    memset(pair, 0, sizeof *pair);
    KH_TRY(rows_view(work, base, &pair->base));
    KH_TRY(rows_view(work, rows, &pair->rows));
    KH_TRY(rows_view_ids(work, pair->base, &pair->base_ids));
    if (may_repeat)
        KH_TRY(rows_view_ids(work, pair->rows, &pair->row_ids));
    else
        KH_TRY(check_rows(work, pair->rows, &pair->row_ids));
    if (!is_same_type(pair->base_ids.field, pair->row_ids.field)) {
        status = status_fail(work->error, KH_SCHEMA_MISMATCH,
                             "the id columns are of different types, %s and %s: cast one of them",
                             type_words(pair->base_ids.field).text,
                             type_words(pair->row_ids.field).text);
        goto done;
    }
    KH_TRY(id_index_build(&pair->base_index, &pair->base_ids, &work->arena, work->error));
    pair->matches = arena_alloc(&work->arena, count * sizeof *pair->matches);
    pair->new_rows = arena_alloc(&work->arena, count * sizeof *pair->new_rows);
    if (pair->matches == NULL || pair->new_rows == NULL)
        status = status_no_memory(work->error, count * sizeof *pair->new_rows);
done:
    return status;
}

static void match_rows(struct pair *pair) {
    for (int64_t row = 0; row < pair->row_ids.row_count; row++) {
        int64_t found = id_index_find(&pair->base_index, &pair->row_ids, row);
        if (found < 0)
            pair->new_rows[pair->new_count++] = row;
        else
            pair->matches[pair->match_count++] =
                (struct match){(uint32_t)found, (uint32_t)row};
    }
    sort_matches(pair->matches, pair->match_count);
}

/* base in order; a row found comes from source 1 if is_replaced, else goes. */
static kh_status list_base(const struct pair *pair, bool is_replaced, struct run_list *runs,
                           kh_error *error) {
    kh_status status = KH_OK;
    int64_t next = 0;
    for (int64_t i = 0; i < pair->match_count; i++) {
        int64_t row = pair->matches[i].base_row;
        if (row < next)
            continue; /* the same id once more */
        KH_TRY(run_list_add(runs, 0, next, row - next, error));
        if (is_replaced)
            KH_TRY(run_list_add(runs, 1, pair->matches[i].row, 1, error));
        next = row + 1;
    }
    status = run_list_add(runs, 0, next, pair->base->length - next, error);
done:
    return status;
}

/* rows is the first batch: checked, and the result itself. */
static kh_status take_rows(struct rows_work *work, const kh_batch *rows, kh_batch **out) {
    struct column *root;
    struct ids ids;
    kh_status status;
    KH_TRY(rows_view(work, rows, &root));
    KH_TRY(check_rows(work, root, &ids));
    *out = batch_retain(rows);
done:
    return status;
}

/* ---- insert and upsert ----------------------------------------------------------------------- */

/* The first row of rows (not of base) that is there already. */
static kh_status row_exists(const struct pair *pair, kh_error *error) {
    uint32_t first = pair->matches[0].row;
    for (int64_t i = 1; i < pair->match_count; i++)
        if (pair->matches[i].row < first)
            first = pair->matches[i].row;
    return status_fail(error, KH_ROW_EXISTS, "row %u: id %s is already there", first,
                       ids_describe(&pair->row_ids, first).text);
}

static kh_status put_rows(const struct rows_context *context, const kh_batch *base,
                          const kh_batch *rows, bool may_replace, kh_batch **out,
                          kh_error *error) {
    struct rows_work work;
    struct pair pair;
    struct run_list runs;
    kh_status status;
    rows_work_init(&work, context, error);
    run_list_init(&runs, &work.arena);
    if (base == NULL) {
        status = take_rows(&work, rows, out);
        goto done;
    }
    KH_TRY(rows_check_schemas(base, rows, error));
    KH_TRY(open_pair(&work, base, rows, false, &pair));
    match_rows(&pair);
    if (!may_replace && pair.match_count > 0) {
        status = row_exists(&pair, error);
        goto done;
    }
    if (base->row_count == 0 || rows->row_count == 0) {
        *out = batch_retain(rows->row_count == 0 ? base : rows);
        goto done;
    }
    KH_TRY(list_base(&pair, true, &runs, error));
    for (int64_t i = 0; i < pair.new_count; i++)
        KH_TRY(run_list_add(&runs, 1, pair.new_rows[i], 1, error));
    const struct column *const roots[] = {pair.base, pair.rows};
    status = rows_build(&work, base->schema, roots, 2, &runs, out);
done:
    rows_work_fini(&work);
    return status;
}

kh_status rows_insert(const struct rows_context *context, const kh_batch *base,
                      const kh_batch *rows, kh_batch **out, kh_error *error) {
    return put_rows(context, base, rows, false, out, error);
}

kh_status rows_upsert(const struct rows_context *context, const kh_batch *base,
                      const kh_batch *rows, kh_batch **out, kh_error *error) {
    return put_rows(context, base, rows, true, out, error);
}

/* ---- update ---------------------------------------------------------------------------------- */

/* Which column of rows goes into each column of base (-1: none). */
static kh_status map_columns(struct rows_work *work, const struct pair *pair, int32_t **out) {
    const struct field *base = pair->base->field;
    const struct field *rows = pair->rows->field;
    size_t size_bytes = (size_t)base->child_count * sizeof(int32_t);
    int32_t *map = arena_alloc(&work->arena, size_bytes);
    if (map == NULL)
        return status_no_memory(work->error, size_bytes);
    memset(map, 0xff, size_bytes);
    for (int32_t i = 0; i < rows->child_count; i++) {
        const struct field *field = &rows->children[i];
        int32_t to = 0;
        while (to < base->child_count && strcmp(base->children[to].name, field->name) != 0)
            to++;
        if (to == base->child_count || map[to] >= 0)
            return status_fail(work->error, KH_SCHEMA_MISMATCH, "column \"%s\" is %s", field->name,
                               to == base->child_count ? "not in the base" : "given twice");
        if (!is_same_type(&base->children[to], field))
            return status_fail(work->error, KH_SCHEMA_MISMATCH,
                               "column \"%.80s\" is %s, the base's is %s: cast it", field->name,
                               type_words(field).text, type_words(&base->children[to]).text);
        map[to] = i;
    }
    *out = map;
    return KH_OK;
}

/* A column of base in which the cells of the rows found are those of rows' column `from`. */
static kh_status patch_column(struct rows_work *work, const struct pair *pair, int32_t column,
                              int32_t from, const struct run_list *runs) {
    struct sources sources = {.count = 2};
    const struct field *field = &pair->base->field->children[column];
    sources.at[0].column = &pair->base->children[column];
    sources.at[0].first = sources.at[0].column->offset + pair->base->offset;
    sources.at[1].column = &pair->rows->children[from];
    sources.at[1].first = sources.at[1].column->offset + pair->rows->offset;
    struct ArrowArray *out = work->root.children[column];
    kh_status status = gather_column(&work->gather, field, &sources, runs, out);
    if (status != KH_OK)
        return status;
    if ((field->flags & ARROW_FLAG_NULLABLE) == 0 && out->null_count > 0 &&
        (pair->rows->field->children[from].flags & ARROW_FLAG_NULLABLE) != 0)
        return status_fail(work->error, KH_SCHEMA_MISMATCH,
                           "nulls for column \"%s\", which is not nullable", field->name);
    return KH_OK;
}

static kh_status build_patched(struct rows_work *work, const kh_schema *schema,
                               const struct pair *pair, const int32_t *map, kh_batch **out) {
    struct run_list whole;
    struct run_list patched;
    kh_status status;
    run_list_init(&whole, &work->arena);
    run_list_init(&patched, &work->arena);
    KH_TRY(run_list_add(&whole, 0, 0, pair->base->length, work->error));
    KH_TRY(list_base(pair, true, &patched, work->error));
    KH_TRY(rows_start(work, pair->base->field, pair->base->length));
    const struct column *const roots[] = {pair->base};
    for (int32_t i = 0; i < pair->base->field->child_count; i++) {
        bool is_id = &pair->base->children[i] == pair->base_ids.column ||
                     &pair->base->children[i] == pair->base_ids.indexes;
        if (map[i] < 0 || is_id)
            KH_TRY(rows_add_column(work, i, roots, 1, &whole));
        else
            KH_TRY(patch_column(work, pair, i, map[i], &patched));
    }
    status = rows_finish(work, schema, out);
done:
    return status;
}

static kh_status row_not_found(const struct ids *ids, int64_t row, kh_error *error) {
    return status_fail(error, KH_ROW_NOT_FOUND, "row %lld: id %s is not there", (long long)row,
                       ids_describe(ids, row).text);
}

kh_status rows_update(const struct rows_context *context, const kh_batch *base,
                      const kh_batch *rows, kh_batch **out, kh_error *error) {
    struct rows_work work;
    struct pair pair;
    int32_t *map = NULL;
    kh_status status;
    rows_work_init(&work, context, error);
    if (base == NULL) {
        struct column *root;
        struct ids ids;
        KH_TRY(rows_view(&work, rows, &root));
        KH_TRY(check_rows(&work, root, &ids));
        if (ids.row_count > 0)
            status = row_not_found(&ids, 0, error);
        else
            *out = NULL;
        goto done;
    }
    KH_TRY(open_pair(&work, base, rows, false, &pair));
    KH_TRY(map_columns(&work, &pair, &map));
    match_rows(&pair);
    if (pair.new_count > 0)
        status = row_not_found(&pair.row_ids, pair.new_rows[0], error);
    else if (pair.match_count == 0)
        *out = batch_retain(base);
    else
        status = build_patched(&work, base->schema, &pair, map, out);
done:
    rows_work_fini(&work);
    return status;
}

/* ---- delete ---------------------------------------------------------------------------------- */

kh_status rows_delete(const struct rows_context *context, const kh_batch *base,
                      const kh_batch *ids, kh_batch **out, kh_error *error) {
    struct rows_work work;
    struct pair pair;
    struct run_list runs;
    kh_status status;
    rows_work_init(&work, context, error);
    run_list_init(&runs, &work.arena);
    if (base == NULL) {
        struct column *root;
        KH_TRY(rows_view(&work, ids, &root));
        KH_TRY(rows_view_ids(&work, root, &pair.row_ids));
        *out = NULL;
        goto done;
    }
    KH_TRY(open_pair(&work, base, ids, true, &pair));
    match_rows(&pair);
    if (pair.match_count == 0) {
        *out = batch_retain(base);
        goto done;
    }
    KH_TRY(list_base(&pair, false, &runs, error));
    const struct column *const roots[] = {pair.base};
    status = rows_build(&work, base->schema, roots, 1, &runs, out);
done:
    rows_work_fini(&work);
    return status;
}
