/* rows.c - row operations on random batches, against a model that knows rows and nothing else.
 *
 * Two pools of 32 values, one of ids and one of any type that fuzz/kit does not have to know: a
 * batch is a list of pairs of positions in them, and so is the model's. The model works on the
 * values' words (support/foreign.h), said once of the arrays that the pools were made of; the
 * result of an operation is exported and said, and must be the model's rows in the model's order,
 * or the refusal that the model predicts. Every result is imported again, in full. */
#include "kit/feed.h"
#include "khonsu/batch.h"
#include "support/foreign.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

enum { VALUES = 32, ROWS_MAX = 9, MODEL_ROWS_MAX = 4 * ROWS_MAX };

static void fail(const char *what, kh_status status, const kh_error *error) {
    fprintf(stderr, "%s: %s: %s\n", what, kh_status_name(status), error->message);
    abort();
}

static void must(kh_status status, const kh_error *error, const char *what) {
    if (status != KH_OK) fail(what, status, error);
}

/* ---- pools ---- */

struct pool {
    kh_batch *batch; /* one column; NULL: not made yet */
    char *words[VALUES];
    uint8_t same[VALUES]; /* the first value with these words */
};

static const char *const id_types[] = {"l", "u", "C", "vz", "tsu:", "d:9,2,32", "w:3", "Z"};
enum { ID_TYPES = sizeof id_types / sizeof id_types[0], POOLS_MAX = 128 };
static struct pool id_pools[ID_TYPES];
static struct pool value_pools[POOLS_MAX];

static void fill_pool(struct pool *pool, const char *type, uint64_t seed) {
    struct foreign_random random = {seed, true, true};
    struct ArrowSchema arrow;
    struct ArrowArray array;
    kh_schema *schema = NULL;
    kh_error error = {""};
    foreign_table(&arrow, type);
    foreign_fill(&random, &arrow, VALUES, &array);
    array.offset = 0;
    array.length = VALUES;
    /* The root may be null nowhere. */
    free((void *)(uintptr_t)array.buffers[0]);
    array.buffers[0] = NULL;
    array.null_count = 0;
    for (int i = 0; i < VALUES; i++) {
        pool->words[i] = foreign_text(arrow.children[0], array.children[0], i);
        pool->same[i] = (uint8_t)i;
        for (int k = i - 1; k >= 0; k--)
            if (strcmp(pool->words[i], pool->words[k]) == 0) pool->same[i] = (uint8_t)k;
    }
    must(kh_schema_import(NULL, &arrow, &schema, &error), &error, "pool's schema");
    must(kh_batch_import(NULL, schema, &array, KH_VALIDATE_FULL, &pool->batch, &error), &error,
         "pool");
    kh_schema_release(schema);
}

static bool is_null(const struct pool *pool, uint8_t value) {
    return strcmp(pool->words[value], "null") == 0;
}

/* ---- a batch, twice ---- */

struct row {
    uint8_t id;
    uint8_t value;
};
struct rows {
    struct row rows[MODEL_ROWS_MAX];
    int count;
    bool has_value; /* the column is there */
};
struct world {
    struct pool *ids;
    struct pool *values;
};

static void draw_rows(struct feed *feed, const struct world *world, int count, struct rows *out) {
    *out = (struct rows){.count = count, .has_value = true};
    for (int i = 0; i < count; i++) {
        out->rows[i].id = world->ids->same[feed_below(feed, VALUES)];
        out->rows[i].value = world->values->same[feed_below(feed, VALUES)];
    }
}

static void take_column(const struct pool *pool, const int64_t *indexes, int count,
                        struct ArrowArray *array, struct ArrowSchema *schema) {
    kh_error error = {""};
    kh_batch *batch = NULL;
    must(kh_batch_take(pool->batch, indexes, count, &batch, &error), &error, "take of a pool");
    must(kh_batch_export(batch, array, schema, &error), &error, "export of a pool");
    kh_batch_release(batch);
}

/* Roots are copied here and there; what they own goes with their columns. */
static void release_nothing_array(struct ArrowArray *array) {
    array->release = NULL;
}
static void release_nothing_schema(struct ArrowSchema *schema) {
    schema->release = NULL;
}

static kh_batch *make(const struct world *world, const struct rows *rows) {
    int64_t indexes[2][MODEL_ROWS_MAX];
    struct ArrowArray arrays[2];
    struct ArrowSchema schemas[2];
    struct ArrowArray *columns[2];
    struct ArrowSchema *types[2];
    const void *buffers[1] = {NULL};
    kh_error error = {""};
    kh_schema *schema = NULL;
    kh_batch *joined = NULL;
    kh_batch *out = NULL;
    int64_t straight[MODEL_ROWS_MAX];
    int column_count = rows->has_value ? 2 : 1;
    for (int i = 0; i < rows->count; i++) {
        indexes[0][i] = rows->rows[i].id;
        indexes[1][i] = rows->rows[i].value;
        straight[i] = i;
    }
    for (int c = 0; c < column_count; c++) {
        take_column(c == 0 ? world->ids : world->values, indexes[c], rows->count, &arrays[c],
                    &schemas[c]);
        columns[c] = arrays[c].children[0];
        types[c] = schemas[c].children[0];
    }
    types[0]->name = "id";
    struct ArrowArray array = {.length = rows->count,
                               .n_buffers = 1,
                               .buffers = buffers,
                               .n_children = column_count,
                               .children = columns,
                               .release = release_nothing_array};
    struct ArrowSchema type = {.format = "+s",
                               .n_children = column_count,
                               .children = types,
                               .release = release_nothing_schema};
    must(kh_schema_import(NULL, &type, &schema, &error), &error, "schema");
    must(kh_batch_import(NULL, schema, &array, KH_VALIDATE_FULL, &joined, &error), &error, "join");
    /* A copy that owns all that it has. */
    must(kh_batch_take(joined, straight, rows->count, &out, &error), &error, "copy");
    kh_batch_release(joined);
    kh_schema_release(schema);
    for (int c = 0; c < column_count; c++) {
        arrays[c].release(&arrays[c]);
        schemas[c].release(&schemas[c]);
    }
    return out;
}

static void must_say(const struct pool *pool, uint8_t value, const struct ArrowSchema *type,
                     const struct ArrowArray *array, int64_t row) {
    char *words = foreign_text(type, array, row);
    if (strcmp(words, pool->words[value]) != 0) {
        fprintf(stderr, "row %lld, column '%s': %s, expected %s\n", (long long)row, type->name,
                words, pool->words[value]);
        abort();
    }
    free(words);
}

/* Takes the batch. */
static void must_hold(const struct world *world, kh_batch *batch, const struct rows *expected,
                      const char *what) {
    struct ArrowArray array;
    struct ArrowSchema schema;
    kh_error error = {""};
    kh_batch *again = NULL;
    if (kh_batch_row_count(batch) != expected->count) {
        fprintf(stderr, "%s: %lld rows, expected %d\n", what, (long long)kh_batch_row_count(batch),
                expected->count);
        abort();
    }
    must(kh_batch_export(batch, &array, &schema, &error), &error, what);
    for (int i = 0; i < expected->count; i++) {
        must_say(world->ids, expected->rows[i].id, schema.children[0], array.children[0], i);
        if (expected->has_value)
            must_say(world->values, expected->rows[i].value, schema.children[1], array.children[1],
                     i);
    }
    must(kh_batch_import(NULL, kh_batch_schema(batch), &array, KH_VALIDATE_FULL, &again, &error),
         &error, what);
    schema.release(&schema);
    kh_batch_release(again);
    kh_batch_release(batch);
}

/* ---- the model ---- */

static int find(const struct rows *rows, uint8_t id) {
    for (int i = 0; i < rows->count; i++)
        if (rows->rows[i].id == id) return i;
    return -1;
}

/* What is wrong with the ids of one batch. */
static kh_status judge(const struct world *world, const struct rows *rows) {
    for (int i = 0; i < rows->count; i++)
        if (is_null(world->ids, rows->rows[i].id)) return KH_NULL_ID;
    for (int i = 0; i < rows->count; i++)
        if (find(rows, rows->rows[i].id) != i) return KH_DUPLICATE_ID;
    return KH_OK;
}

static kh_status model_put(struct rows *base, const struct rows *rows, bool is_insert) {
    struct rows before = *base;
    for (int i = 0; i < rows->count; i++) {
        int at = find(&before, rows->rows[i].id);
        if (at >= 0 && is_insert) return KH_ROW_EXISTS;
        if (at >= 0)
            base->rows[at] = rows->rows[i];
        else
            base->rows[base->count++] = rows->rows[i];
    }
    return KH_OK;
}

static kh_status model_update(struct rows *base, const struct rows *rows) {
    for (int i = 0; i < rows->count; i++) {
        int at = find(base, rows->rows[i].id);
        if (at < 0) return KH_ROW_NOT_FOUND;
        if (rows->has_value) base->rows[at].value = rows->rows[i].value;
    }
    return KH_OK;
}

static void model_delete(struct rows *base, const struct rows *ids) {
    int kept = 0;
    for (int i = 0; i < base->count; i++)
        if (find(ids, base->rows[i].id) < 0) base->rows[kept++] = base->rows[i];
    base->count = kept;
}

/* Of a row of theirs: stays, changes or goes. False: a conflict. */
static bool merge_row(const struct rows *base, const struct rows *mine, struct row *row,
                      bool *stays) {
    int in_base = find(base, row->id);
    int in_mine = find(mine, row->id);
    *stays = true;
    if (in_base < 0) return in_mine < 0 || mine->rows[in_mine].value == row->value;
    bool is_theirs_new = row->value != base->rows[in_base].value;
    if (in_mine < 0) {
        *stays = false;
        return !is_theirs_new;
    }
    uint8_t value = mine->rows[in_mine].value;
    bool is_mine_new = value != base->rows[in_base].value;
    if (is_mine_new && is_theirs_new && value != row->value) return false;
    if (is_mine_new) row->value = value;
    return true;
}

static kh_status model_merge(const struct rows *base, const struct rows *mine,
                             const struct rows *theirs, struct rows *out) {
    *out = (struct rows){.has_value = true};
    for (int i = 0; i < theirs->count; i++) {
        struct row row = theirs->rows[i];
        bool stays;
        if (!merge_row(base, mine, &row, &stays)) return KH_MERGE_CONFLICT;
        if (stays) out->rows[out->count++] = row;
    }
    for (int i = 0; i < mine->count; i++) {
        struct row row = mine->rows[i];
        if (find(theirs, row.id) >= 0) continue;
        int in_base = find(base, row.id);
        if (in_base >= 0 && base->rows[in_base].value != row.value) return KH_MERGE_CONFLICT;
        if (in_base < 0) out->rows[out->count++] = row;
    }
    return KH_OK;
}

/* ---- operations ---- */

struct trial {
    struct world world;
    struct rows base;
    struct rows rows;
    kh_batch *base_batch; /* NULL: none yet */
    kh_batch *rows_batch;
};

static void check(const struct trial *trial, const char *what, kh_status status, kh_batch *out,
                  const kh_error *error, kh_status expected, const struct rows *result) {
    if (status != expected) {
        fprintf(stderr, "expected %s\n", kh_status_name(expected));
        fail(what, status, error);
    }
    if (status == KH_OK) must_hold(&trial->world, out, result, what);
}

/* Ids are looked at first in one batch, then in the other; either answer is right if both have a
 * fault. */
static bool has_bad_ids(const struct trial *trial, kh_status status) {
    kh_status of_base = judge(&trial->world, &trial->base);
    kh_status of_rows = judge(&trial->world, &trial->rows);
    if (of_base == KH_OK && of_rows == KH_OK) return false;
    kh_error none = {"of bad ids"};
    bool is_fault_of_base = of_base != KH_OK && status == of_base;
    bool is_fault_of_rows = of_rows != KH_OK && status == of_rows;
    /* Duplicates may be met before a null behind them. */
    bool is_either = status == KH_NULL_ID || status == KH_DUPLICATE_ID;
    if (!is_fault_of_base && !is_fault_of_rows && !is_either) fail("ids", status, &none);
    return true;
}

static void change(struct trial *trial, int operation) {
    struct rows result = trial->base;
    kh_error error = {""};
    kh_batch *out = NULL;
    const kh_batch *base = trial->base_batch;
    kh_status status;
    kh_status expected = KH_OK;
    if (operation == 0) {
        status = kh_batch_insert_rows(base, trial->rows_batch, NULL, &out, &error);
    } else if (operation == 1) {
        status = kh_batch_upsert_rows(base, trial->rows_batch, "id", &out, &error);
    } else if (operation == 2) {
        status = kh_batch_update_rows(base, trial->rows_batch, NULL, &out, &error);
    } else {
        status = kh_batch_delete_rows(base, trial->rows_batch, NULL, &out, &error);
    }
    bool is_delete = operation == 3;
    if (!is_delete && has_bad_ids(trial, status)) return;
    if (is_delete) {
        /* Of the ids to delete only nulls are a fault. */
        struct rows *rows = &trial->rows;
        int kept = 0;
        for (int i = 0; i < rows->count; i++)
            if (find(rows, rows->rows[i].id) == i) rows->rows[kept++] = rows->rows[i];
        rows->count = kept;
        if (has_bad_ids(trial, status)) return;
        model_delete(&result, rows);
    } else if (operation == 2) {
        expected = model_update(&result, &trial->rows);
    } else {
        expected = model_put(&result, &trial->rows, operation == 0);
    }
    static const char *const names[] = {"insert", "upsert", "update", "delete"};
    check(trial, names[operation], status, out, &error, expected, &result);
}

/* Mine and theirs are the base with some rows changed, gone and new. */
static void edit(struct feed *feed, const struct world *world, const struct rows *base,
                 struct rows *out) {
    *out = (struct rows){.has_value = true};
    for (int i = 0; i < base->count; i++) {
        int drawn = feed_byte(feed);
        if (drawn >= 224) continue;
        out->rows[out->count] = base->rows[i];
        if (drawn >= 128) out->rows[out->count].value = world->values->same[drawn % VALUES];
        out->count++;
    }
    struct rows more;
    draw_rows(feed, world, feed_below(feed, 4), &more);
    for (int i = 0; i < more.count; i++)
        if (find(base, more.rows[i].id) < 0 && find(out, more.rows[i].id) < 0)
            out->rows[out->count++] = more.rows[i];
}

static void merge(struct trial *trial, struct feed *feed) {
    struct rows mine;
    struct rows theirs;
    struct rows result;
    kh_error error = {""};
    kh_batch *out = NULL;
    kh_merge_conflict conflict;
    if (judge(&trial->world, &trial->base) != KH_OK) return;
    edit(feed, &trial->world, &trial->base, &mine);
    edit(feed, &trial->world, &trial->base, &theirs);
    if (judge(&trial->world, &mine) != KH_OK || judge(&trial->world, &theirs) != KH_OK) return;
    kh_batch *mine_batch = make(&trial->world, &mine);
    kh_batch *theirs_batch = make(&trial->world, &theirs);
    struct rows none = {.has_value = true};
    bool has_base = trial->base_batch != NULL;
    kh_status expected = model_merge(has_base ? &trial->base : &none, &mine, &theirs, &result);
    kh_status status =
        kh_batch_merge(trial->base_batch, mine_batch, theirs_batch, NULL, &out, &conflict, &error);
    check(trial, "merge", status, out, &error, expected, &result);
    kh_batch_release(mine_batch);
    kh_batch_release(theirs_batch);
}

/* Operations that do not look at ids. */
static void rearrange(struct trial *trial, struct feed *feed, int operation) {
    int64_t indexes[ROWS_MAX];
    struct rows result = {.has_value = true};
    kh_error error = {""};
    kh_batch *out = NULL;
    int rows = trial->base.count;
    kh_status status;
    if (trial->base_batch == NULL) return;
    if (operation == 0) {
        result.count = rows == 0 ? 0 : feed_below(feed, ROWS_MAX);
        for (int i = 0; i < result.count; i++) {
            indexes[i] = feed_below(feed, rows);
            result.rows[i] = trial->base.rows[indexes[i]];
        }
        status = kh_batch_take(trial->base_batch, indexes, result.count, &out, &error);
    } else if (operation == 1) {
        int first = feed_below(feed, rows + 1);
        result.count = feed_below(feed, rows - first + 1);
        memcpy(result.rows, trial->base.rows + first, (size_t)result.count * sizeof(struct row));
        status = kh_batch_slice(trial->base_batch, first, result.count, &out, &error);
    } else {
        if (!trial->rows.has_value) return;
        result = trial->base;
        for (int i = 0; i < trial->rows.count; i++)
            result.rows[result.count++] = trial->rows.rows[i];
        status = kh_batch_concat(trial->base_batch, trial->rows_batch, &out, &error);
    }
    check(trial, "rearranged", status, out, &error, KH_OK, &result);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    struct feed feed = {bytes, bytes + size_bytes};
    int operation = feed_below(&feed, 8);
    int id_type = feed_below(&feed, ID_TYPES);
    int type = feed_below(&feed, foreign_type_count);
    struct trial trial = {.world = {&id_pools[id_type], &value_pools[type]}};
    if (foreign_type_count > POOLS_MAX) abort();
    if (trial.world.ids->batch == NULL) fill_pool(trial.world.ids, id_types[id_type], 7);
    if (trial.world.values->batch == NULL)
        fill_pool(trial.world.values, foreign_types[type], (uint64_t)type);
    int base_count = feed_below(&feed, ROWS_MAX + 1);
    draw_rows(&feed, &trial.world, base_count == ROWS_MAX ? 0 : base_count, &trial.base);
    draw_rows(&feed, &trial.world, feed_below(&feed, ROWS_MAX), &trial.rows);
    bool is_patch = operation == 2 || operation == 3;
    if (is_patch) trial.rows.has_value = (feed_byte(&feed) & 1) == 0;
    bool has_base = base_count != ROWS_MAX || is_patch;
    if (has_base) trial.base_batch = make(&trial.world, &trial.base);
    trial.rows_batch = make(&trial.world, &trial.rows);
    if (operation < 4)
        change(&trial, operation);
    else if (operation == 4)
        merge(&trial, &feed);
    else
        rearrange(&trial, &feed, operation - 5);
    kh_batch_release(trial.base_batch);
    kh_batch_release(trial.rows_batch);
    return 0;
}
