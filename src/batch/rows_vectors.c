/* rows_vectors.c - see rows_vectors.h. */
#include "batch/rows_vectors.h"

#include "base/status.h"
#include <math.h>
#include <string.h>

enum { BASE, MINE, THEIRS }; /* as in rows_merge.c */

bool vectors_can_add(const struct field *field) {
    if (field->layout != LAYOUT_FIXED_LIST || field->dictionary != NULL || field->list_size == 0)
        return false;
    const char *format = field->children[0].format;
    return field->children[0].dictionary == NULL &&
           (strcmp(format, "f") == 0 || strcmp(format, "g") == 0);
}

void vectors_init(struct vector_sums *sums, const struct field *field, struct arena *arena) {
    *sums = (struct vector_sums){.field = field, .arena = arena};
}

static bool is_finite_at(const struct column *elements, int64_t index) {
    const unsigned char *values = elements->values;
    float single;
    double wide;
    if (column_is_null_bit(elements->validity, index)) return true;
    if (elements->field->bits == 32) {
        memcpy(&single, values + (size_t)index * sizeof single, sizeof single);
        return isfinite(single);
    }
    memcpy(&wide, values + (size_t)index * sizeof wide, sizeof wide);
    return isfinite(wide);
}

static kh_status check_vectors(const struct column *root, int32_t column, kh_error *error) {
    const struct column *lists = &root->children[column];
    if (!vectors_can_add(lists->field)) /* there may be no elements to look at */
        return status_fail(error, KH_INVALID_DATA, "column \"%s\" does not have vectors of floats",
                           lists->field->name);
    const struct column *elements = &lists->children[0];
    int64_t size = lists->field->list_size;
    int64_t first = elements->offset + (lists->offset + root->offset) * size;
    for (int64_t i = 0; i < root->length * size; i++)
        if (!is_finite_at(elements, first + i))
            return status_fail(error, KH_INVALID_DATA, "row %lld of column \"%s\" is not finite",
                               (long long)(i / size), lists->field->name);
    return KH_OK;
}

kh_status vectors_check(const kh_batch *batch, const char *id_column, kh_error *error) {
    struct arena arena;
    struct column root;
    int32_t vector_count = 0;
    arena_init(&arena, batch_mem(batch), NULL);
    kh_status status = column_view(batch, &arena, &root, error);
    for (int32_t i = 0; status == KH_OK && i < root.field->child_count; i++) {
        if (strcmp(root.field->children[i].name, id_column == NULL ? "id" : id_column) == 0)
            continue;
        vector_count++;
        status = check_vectors(&root, i, error);
    }
    arena_fini(&arena);
    if (status == KH_OK && vector_count == 0)
        return status_fail(error, KH_INVALID_DATA, "there is no column of vectors");
    return status;
}

static size_t width_of(const struct field *field) {
    return (size_t)field->children[0].bits / 8;
}

static size_t cell_bytes(const struct field *field) {
    return (size_t)field->list_size * width_of(field);
}

/* The elements of a cell; NULL: it or one of them is null. */
static const unsigned char *elements_at(const struct column *root, int32_t column, int64_t row) {
    const struct column *lists = &root->children[column];
    const struct column *elements = &lists->children[0];
    int64_t index = lists->offset + root->offset + row;
    int64_t first = elements->offset + index * lists->field->list_size;
    if (column_is_null_bit(lists->validity, index)) return NULL;
    for (int64_t i = 0; i < lists->field->list_size; i++)
        if (column_is_null_bit(elements->validity, first + i)) return NULL;
    return (const unsigned char *)elements->values + (size_t)first * width_of(lists->field);
}

static bool has_room(struct vector_sums *sums) {
    if (sums->count < sums->capacity) return true;
    int64_t capacity = sums->capacity == 0 ? 8 : sums->capacity * 2;
    size_t size_bytes = cell_bytes(sums->field);
    unsigned char *elements = arena_alloc(sums->arena, (size_t)capacity * size_bytes);
    if (elements == NULL) return false;
    if (sums->count > 0) memcpy(elements, sums->elements, (size_t)sums->count * size_bytes);
    sums->elements = elements;
    sums->capacity = capacity;
    return true;
}

static bool add_floats(unsigned char *out, const unsigned char *const from[3], int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        float side[3];
        for (int k = 0; k < 3; k++) memcpy(&side[k], from[k] + 4 * (size_t)i, 4);
        volatile float delta = side[MINE] - side[BASE]; /* rounded here: no fused operation */
        float sum = side[THEIRS] + delta;
        if (!isfinite(sum) || !isfinite(side[BASE])) return false;
        if (memcmp(&side[THEIRS], &side[BASE], 4) == 0) sum = side[MINE];
        if (memcmp(&side[MINE], &side[BASE], 4) == 0) sum = side[THEIRS];
        memcpy(out + 4 * (size_t)i, &sum, 4);
    }
    return true;
}

static bool add_doubles(unsigned char *out, const unsigned char *const from[3], int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        double side[3];
        for (int k = 0; k < 3; k++) memcpy(&side[k], from[k] + 8 * (size_t)i, 8);
        volatile double delta = side[MINE] - side[BASE];
        double sum = side[THEIRS] + delta;
        if (!isfinite(sum) || !isfinite(side[BASE])) return false;
        if (memcmp(&side[THEIRS], &side[BASE], 8) == 0) sum = side[MINE];
        if (memcmp(&side[MINE], &side[BASE], 8) == 0) sum = side[THEIRS];
        memcpy(out + 8 * (size_t)i, &sum, 8);
    }
    return true;
}

bool vectors_add(struct vector_sums *sums, int32_t column, const struct column *const roots[3],
                 const int64_t rows[3], bool *is_failed) {
    const unsigned char *from[3];
    *is_failed = false;
    for (int k = 0; k < 3; k++) {
        from[k] = elements_at(roots[k], column, rows[k]);
        if (from[k] == NULL) return false;
    }
    *is_failed = !has_room(sums);
    if (*is_failed) return false;
    unsigned char *out = sums->elements + (size_t)sums->count * cell_bytes(sums->field);
    int32_t count = sums->field->list_size;
    bool is_finite =
        width_of(sums->field) == 4 ? add_floats(out, from, count) : add_doubles(out, from, count);
    if (is_finite) sums->count++;
    return is_finite;
}

const struct column *vectors_root(const struct vector_sums *sums, int32_t column,
                                  const struct column *like) {
    size_t children = (size_t)like->field->child_count;
    struct column *root = arena_alloc_zeroed(sums->arena, (children + 2) * sizeof *root);
    if (root == NULL) return NULL;
    struct column *lists = &root[1 + column];
    struct column *elements = &root[1 + children];
    *root = (struct column){.field = like->field, .length = sums->count, .children = root + 1};
    *lists = (struct column){.field = sums->field, .length = sums->count, .children = elements};
    *elements = (struct column){.field = &sums->field->children[0],
                                .length = sums->count * sums->field->list_size,
                                .values = sums->elements};
    return root;
}
