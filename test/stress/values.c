/* values.c - keys as text, numbers and rows as batches, and arrays of a foreign producer. */
#include "stress.h"

kh_bytes key_bytes(uint32_t key, struct key_text *space) {
    uint32_t index = key % INDEX_MAX;
    space->text[0] = TABLE_LETTERS[key / INDEX_MAX];
    space->text[1] = '/';
    for (int i = KEY_BYTES - 1; i > 1; i--) {
        space->text[i] = (char)('0' + index % 10);
        index /= 10;
    }
    space->text[KEY_BYTES] = '\0';
    return (kh_bytes){space->text, KEY_BYTES};
}

bool key_parse(kh_bytes bytes, uint32_t *out) {
    const char *text = bytes.data;
    if (bytes.size_bytes != KEY_BYTES || text[1] != '/') return false;
    const char *letter = memchr(TABLE_LETTERS, text[0], TABLE_COUNT);
    if (letter == NULL) return false;
    int index = 0;
    for (int i = 2; i < KEY_BYTES; i++) index = index * 10 + (text[i] - '0');
    *out = key_of((enum table)(letter - TABLE_LETTERS), index);
    return true;
}

bool values_open(struct world *world) {
    static const char *const number_names[] = {"n", "v", "text"};
    static const char *const number_formats[] = {"!l", "!l", "u"};
    static const char *const row_names[] = {"id", "a", "b"};
    static const char *const row_formats[] = {"!l", "l", "l"};
    return kh_schema_build(world->db, number_names, number_formats, 3, &world->number_schema,
                           NULL) == KH_OK &&
           kh_schema_build(world->db, row_names, row_formats, 3, &world->rows_schema, NULL) ==
               KH_OK &&
           kh_schema_build(NULL, row_names, row_formats, 2, &world->patch_schema, NULL) == KH_OK;
}

void values_close(struct world *world) {
    kh_schema_release(world->number_schema);
    kh_schema_release(world->rows_schema);
    kh_schema_release(world->patch_schema);
}

static const char filler[] =
    "money moves from account to account and none of it is ever lost, or so "
    "the stress has it";

kh_batch *value_make(struct world *world, bool is_of_db, int64_t n, int64_t v) {
    size_t length = (size_t)(v & 63);
    kh_scalar scalars[3] = {{KH_SCALAR_INT64, {.int64 = n}},
                            {KH_SCALAR_INT64, {.int64 = v}},
                            {KH_SCALAR_BYTES, {.bytes = {filler, length}}}};
    kh_batch *batch = NULL;
    kh_status status =
        kh_batch_build(is_of_db ? world->db : NULL, world->number_schema, scalars, 1, &batch, NULL);
    if (status != KH_OK) {
        wrong_at(world, "kh_batch_build answers %s", kh_status_name(status));
        abort();
    }
    return batch;
}

/* ---- a foreign producer ---------------------------------------------------------------------- */

_Atomic int64_t stress_foreign_live;

struct produced {
    struct ArrowArray columns[3];
    struct ArrowArray *children[3];
    const void *root_buffers[1];
    const void *column_buffers[3][3];
    int64_t numbers[]; /* n, v, then the offsets */
};

static void release_column(struct ArrowArray *column) {
    column->release = NULL;
}

static void release_root(struct ArrowArray *root) {
    struct produced *produced = root->private_data;
    /* What is read after this shows itself. */
    memset(produced->numbers, 0x5a, 16);
    free(produced);
    root->release = NULL;
    atomic_fetch_sub_explicit(&stress_foreign_live, 1, memory_order_relaxed);
}

void value_array(struct ArrowArray *out, int64_t n, int64_t v, int64_t row_count) {
    size_t offsets = ((size_t)row_count + 2) / 2;
    struct produced *produced =
        calloc(1, sizeof *produced + ((size_t)row_count * 2 + offsets) * sizeof(int64_t));
    if (produced == NULL) abort();
    int32_t *ends = (int32_t *)(void *)(produced->numbers + row_count * 2);
    for (int64_t row = 0; row < row_count; row++) {
        produced->numbers[row] = n;
        produced->numbers[row_count + row] = v;
        ends[row + 1] = (int32_t)(row + 1);
    }
    static char letters[8192];
    if (row_count > (int64_t)sizeof letters) abort();
    produced->column_buffers[0][1] = produced->numbers;
    produced->column_buffers[1][1] = produced->numbers + row_count;
    produced->column_buffers[2][1] = ends;
    produced->column_buffers[2][2] = letters;
    for (int i = 0; i < 3; i++) {
        produced->children[i] = &produced->columns[i];
        produced->columns[i] = (struct ArrowArray){.length = row_count,
                                                   .n_buffers = i == 2 ? 3 : 2,
                                                   .buffers = produced->column_buffers[i],
                                                   .release = release_column};
    }
    *out = (struct ArrowArray){.length = row_count,
                               .n_buffers = 1,
                               .n_children = 3,
                               .buffers = produced->root_buffers,
                               .children = produced->children,
                               .release = release_root,
                               .private_data = produced};
    atomic_fetch_add_explicit(&stress_foreign_live, 1, memory_order_relaxed);
}

/* Every row says the same: the first and the last are looked at. */
bool value_read(const kh_batch *batch, struct cell *out) {
    struct cell last = {0, 0};
    int64_t row = kh_batch_row_count(batch) - 1;
    return row >= 0 && kh_batch_int64(batch, 0, 0, &out->n) == KH_OK &&
           kh_batch_int64(batch, 1, 0, &out->v) == KH_OK &&
           kh_batch_int64(batch, 0, row, &last.n) == KH_OK &&
           kh_batch_int64(batch, 1, row, &last.v) == KH_OK && last.n == out->n && last.v == out->v;
}

kh_batch *rows_make(struct world *world, const int64_t *ids, const int64_t *as, int count,
                    bool is_patch) {
    enum { ROWS_MOST = APPEND_ROWS_MAX + THREADS_MAX * ROW_SLOTS };
    kh_scalar scalars[ROWS_MOST * 3];
    int used = 0;
    if (count > ROWS_MOST) abort();
    for (int row = 0; row < count; row++) {
        scalars[used++] = (kh_scalar){KH_SCALAR_INT64, {.int64 = ids[row]}};
        scalars[used++] = (kh_scalar){KH_SCALAR_INT64, {.int64 = as[row]}};
        if (!is_patch) scalars[used++] = (kh_scalar){KH_SCALAR_INT64, {.int64 = ids[row] * 7}};
    }
    kh_batch *batch = NULL;
    kh_status status = kh_batch_build(NULL, is_patch ? world->patch_schema : world->rows_schema,
                                      scalars, count, &batch, NULL);
    if (status != KH_OK) {
        wrong_at(world, "kh_batch_build of rows answers %s", kh_status_name(status));
        abort();
    }
    return batch;
}
