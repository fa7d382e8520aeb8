/* rows_merge.c - three-way merge by id: see khonsu/batch.h for what it means.
 *
 * First the rows are paired: each row of theirs, in order, with the rows of base and mine that have
 * its id; then the rows of mine that theirs has not. A row that one side lacks is compared whole:
 * unchanged since base, it goes; changed, it is a conflict. What stays is built column by column;
 * stretches in which all three batches go on row by row are one trio, and compared as blocks.
 * A conflict is written to *conflict; the first pass reports deletions in that row order, the
 * second cells by column, then row. */
#include "batch/rows.h"

#include "base/status.h"
#include "batch/cell.h"
#include "batch/rows_vectors.h"

#include <string.h>

enum side { BASE, MINE, THEIRS, SIDES };

/* Rows with the same ids, from each side's row on; row -1: that side has none of them. */
struct trio {
    int64_t row[SIDES];
    int64_t count;
};

struct merge {
    struct rows_work work;
    const struct column *root[SIDES]; /* [BASE] may be NULL */
    struct ids ids[SIDES];
    struct id_index index[SIDES];
    struct trio *trios; /* of the result's rows, in its order */
    size_t trio_count;
    size_t trio_capacity;
    int64_t row_count; /* of all of them */
    kh_merge_conflict *conflict;
    bool is_adding; /* vectors that both sides changed */
};

/* Runs of the result name sources by these numbers. */
enum { FROM_THEIRS = 0, FROM_MINE = 1, FROM_SUMS = 2 };

/* ---- pairing --------------------------------------------------------------------------------- */

static kh_status open_side(struct merge *merge, enum side side, const kh_batch *batch) {
    struct column *root;
    kh_status status;
    KH_TRY(rows_view(&merge->work, batch, &root));
    merge->root[side] = root;
    KH_TRY(rows_view_ids(&merge->work, root, &merge->ids[side]));
    status = id_index_build(&merge->index[side], &merge->ids[side], &merge->work.arena,
                            merge->work.error);
done:
    return status;
}

/* The row of `in` with the id of a row of `of`. Mostly it is the one at *hint, behind the last
 * found. */
static int64_t find(const struct merge *merge, enum side in, enum side of, int64_t row,
                    int64_t *hint) {
    if (merge->root[in] == NULL)
        return -1;
    int64_t found = *hint;
    if (found >= merge->ids[in].row_count ||
        !ids_equal(&merge->ids[of], row, &merge->ids[in], found))
        found = id_index_find(&merge->index[in], &merge->ids[of], row);
    if (found >= 0)
        *hint = found + 1;
    return found;
}

static bool is_row_equal(const struct merge *merge, enum side a, enum side b,
                         const struct trio *trio) {
    const struct column *a_root = merge->root[a];
    const struct column *b_root = merge->root[b];
    for (int32_t i = 0; i < a_root->field->child_count; i++) {
        const struct column *in_a = &a_root->children[i];
        const struct column *in_b = &b_root->children[i];
        if (!cell_equal(in_a, in_a->offset + a_root->offset + trio->row[a], in_b,
                        in_b->offset + b_root->offset + trio->row[b]))
            return false;
    }
    return true;
}

static kh_status fail_conflict(const struct merge *merge, const struct trio *trio,
                               int32_t column) {
    enum side known = trio->row[THEIRS] >= 0 ? THEIRS : MINE;
    struct ids_text id = ids_describe(&merge->ids[known], trio->row[known]);
    if (merge->conflict != NULL)
        *merge->conflict = (kh_merge_conflict){trio->row[MINE], trio->row[THEIRS],
                                               trio->row[BASE], column};
    if (column < 0)
        return status_fail(merge->work.error, KH_MERGE_CONFLICT,
                           "id %s: deleted by one side, changed by the other", id.text);
    return status_fail(merge->work.error, KH_MERGE_CONFLICT,
                       "id %s: both sides changed column \"%s\"", id.text,
                       merge->root[MINE]->field->children[column].name);
}

static kh_status grow_trios(struct merge *merge) {
    size_t capacity = merge->trio_capacity == 0 ? 16 : merge->trio_capacity * 2;
    struct trio *trios = arena_alloc(&merge->work.arena, capacity * sizeof *trios);
    if (trios == NULL)
        return status_no_memory(merge->work.error, capacity * sizeof *trios);
    if (merge->trio_count > 0)
        memcpy(trios, merge->trios, merge->trio_count * sizeof *trios);
    merge->trios = trios;
    merge->trio_capacity = capacity;
    return KH_OK;
}

static bool continues(const struct trio *last, const struct trio *next) {
    for (int side = 0; side < SIDES; side++)
        if (next->row[side] != (last->row[side] < 0 ? -1 : last->row[side] + last->count))
            return false;
    return true;
}

/* Take the row into the result, unless one side deleted what the other left alone. */
static kh_status add_trio(struct merge *merge, const struct trio *trio) {
    bool is_one_sided = trio->row[MINE] < 0 || trio->row[THEIRS] < 0;
    if (is_one_sided && trio->row[BASE] >= 0) {
        enum side kept = trio->row[MINE] < 0 ? THEIRS : MINE;
        if (is_row_equal(merge, kept, BASE, trio))
            return KH_OK;
        return fail_conflict(merge, trio, -1);
    }
    merge->row_count++;
    if (merge->trio_count > 0 && continues(&merge->trios[merge->trio_count - 1], trio)) {
        merge->trios[merge->trio_count - 1].count++;
        return KH_OK;
    }
    if (merge->trio_count == merge->trio_capacity) {
        kh_status status = grow_trios(merge);
        if (status != KH_OK)
            return status;
    }
    merge->trios[merge->trio_count++] = *trio;
    return KH_OK;
}

static kh_status pair_rows(struct merge *merge) {
    int64_t mine_count = merge->ids[MINE].row_count;
    int64_t theirs_count = merge->ids[THEIRS].row_count;
    size_t size_bytes = (size_t)mine_count + 1;
    uint8_t *is_paired = arena_alloc_zeroed(&merge->work.arena, size_bytes);
    int64_t base_hint = 0;
    int64_t mine_hint = 0;
    kh_status status = KH_OK;
    if (is_paired == NULL)
        return status_no_memory(merge->work.error, size_bytes);
    for (int64_t row = 0; row < theirs_count; row++) {
        struct trio trio = {.row[THEIRS] = row, .count = 1};
        trio.row[BASE] = find(merge, BASE, THEIRS, row, &base_hint);
        trio.row[MINE] = find(merge, MINE, THEIRS, row, &mine_hint);
        if (trio.row[MINE] >= 0)
            is_paired[trio.row[MINE]] = 1;
        KH_TRY(add_trio(merge, &trio));
    }
    base_hint = 0;
    for (int64_t row = 0; row < mine_count; row++) {
        if (is_paired[row] != 0)
            continue;
        struct trio trio = {.row = {[MINE] = row, [THEIRS] = -1}, .count = 1};
        trio.row[BASE] = find(merge, BASE, MINE, row, &base_hint);
        KH_TRY(add_trio(merge, &trio));
    }
done:
    return status;
}

/* ---- choosing cells -------------------------------------------------------------------------- */

/* How many of the trio's cells are the same on both sides, from the first on. */
static int64_t same_cells(const struct merge *merge, int32_t column, enum side a, enum side b,
                          const struct trio *trio, int64_t count) {
    const struct column *in_a = &merge->root[a]->children[column];
    const struct column *in_b = &merge->root[b]->children[column];
    return cell_mismatch(in_a, in_a->offset + merge->root[a]->offset + trio->row[a], in_b,
                         in_b->offset + merge->root[b]->offset + trio->row[b], count);
}

static void advance(struct trio *trio, int64_t count) {
    for (int side = 0; side < SIDES; side++)
        trio->row[side] += trio->row[side] < 0 ? 0 : count;
    trio->count -= count;
}

/* Both changed it. Vectors are added, also where both changes are the same: each was made. */
static kh_status settle_cell(struct merge *merge, int32_t column, const struct trio *trio,
                             struct vector_sums *sums, struct run_list *runs) {
    bool is_failed = false;
    if (sums != NULL && trio->row[BASE] >= 0 &&
        vectors_add(sums, column, merge->root, trio->row, &is_failed))
        return run_list_add(runs, FROM_SUMS, sums->count - 1, 1, merge->work.error);
    if (is_failed) return status_no_memory(merge->work.error, sizeof *sums);
    if (same_cells(merge, column, MINE, THEIRS, trio, 1) == 0)
        return fail_conflict(merge, trio, column);
    return run_list_add(runs, FROM_THEIRS, trio->row[THEIRS], 1, merge->work.error);
}

/* Rows that both sides have. */
static kh_status choose_cells(struct merge *merge, int32_t column, struct trio trio,
                              struct vector_sums *sums, struct run_list *runs) {
    bool has_base = trio.row[BASE] >= 0;
    kh_status status = KH_OK;
    while (trio.count > 0) {
        int64_t kept =
            has_base ? same_cells(merge, column, THEIRS, BASE, &trio, trio.count) : 0;
        KH_TRY(run_list_add(runs, FROM_MINE, trio.row[MINE], kept, merge->work.error));
        advance(&trio, kept);
        if (trio.count == 0)
            break;
        bool is_mine_kept = has_base && same_cells(merge, column, MINE, BASE, &trio, 1) == 1;
        if (is_mine_kept)
            KH_TRY(run_list_add(runs, FROM_THEIRS, trio.row[THEIRS], 1, merge->work.error));
        else
            KH_TRY(settle_cell(merge, column, &trio, sums, runs));
        advance(&trio, 1);
    }
done:
    return status;
}

static kh_status merge_column(struct merge *merge, int32_t column) {
    const struct column *roots[] = {merge->root[THEIRS], merge->root[MINE], NULL};
    const struct field *field = merge->root[THEIRS]->children[column].field;
    kh_error *error = merge->work.error;
    struct run_list runs;
    struct vector_sums sums;
    bool is_vector = merge->is_adding && vectors_can_add(field);
    kh_status status = KH_OK;
    vectors_init(&sums, field, &merge->work.arena);
    run_list_init(&runs, &merge->work.arena);
    for (size_t i = 0; i < merge->trio_count; i++) {
        const struct trio *trio = &merge->trios[i];
        if (trio->row[MINE] < 0)
            KH_TRY(run_list_add(&runs, FROM_THEIRS, trio->row[THEIRS], trio->count, error));
        else if (trio->row[THEIRS] < 0)
            KH_TRY(run_list_add(&runs, FROM_MINE, trio->row[MINE], trio->count, error));
        else
            KH_TRY(choose_cells(merge, column, *trio, is_vector ? &sums : NULL, &runs));
    }
    if (sums.count > 0) {
        roots[FROM_SUMS] = vectors_root(&sums, column, merge->root[THEIRS]);
        if (roots[FROM_SUMS] == NULL) return status_no_memory(error, sizeof *roots[0]);
    }
    status = rows_add_column(&merge->work, column, roots, sums.count > 0 ? 3 : 2, &runs);
done:
    return status;
}

static kh_status merge_batches(const struct rows_context *context, const kh_batch *base,
                               const kh_batch *mine, const kh_batch *theirs, bool is_adding,
                               kh_batch **out, kh_merge_conflict *conflict, kh_error *error) {
    struct merge merge;
    kh_status status;
    memset(&merge, 0, sizeof merge);
    merge.is_adding = is_adding;
    merge.conflict = conflict;
    rows_work_init(&merge.work, context, error);
    KH_TRY(rows_check_schemas(mine, theirs, error));
    if (base != NULL) {
        KH_TRY(rows_check_schemas(base, mine, error));
        KH_TRY(open_side(&merge, BASE, base));
    }
    KH_TRY(open_side(&merge, MINE, mine));
    KH_TRY(open_side(&merge, THEIRS, theirs));
    KH_TRY(pair_rows(&merge));
    KH_TRY(rows_start(&merge.work, merge.root[THEIRS]->field, merge.row_count));
    for (int32_t i = 0; i < merge.root[THEIRS]->field->child_count; i++)
        KH_TRY(merge_column(&merge, i));
    status = rows_finish(&merge.work, theirs->schema, out);
done:
    rows_work_fini(&merge.work);
    return status;
}

kh_status rows_merge(const struct rows_context *context, const kh_batch *base,
                     const kh_batch *mine, const kh_batch *theirs, kh_batch **out,
                     kh_merge_conflict *conflict, kh_error *error) {
    return merge_batches(context, base, mine, theirs, false, out, conflict, error);
}

kh_status rows_merge_adding(const struct rows_context *context, const kh_batch *base,
                            const kh_batch *mine, const kh_batch *theirs, kh_batch **out,
                            kh_merge_conflict *conflict, kh_error *error) {
    return merge_batches(context, base, mine, theirs, true, out, conflict, error);
}
