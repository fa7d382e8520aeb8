/* gather_dictionary.c - dictionary columns: see gather.h.
 *
 * Sources whose dictionaries are the same (one block, or equal value by value) keep their indexes
 * and share it. Otherwise each value of each dictionary gets a number in the result: those of the
 * first source their own, those of the others that of an equal value, or a new one behind. When
 * the numbers do not fit the index type, numbering is done over with the values that some row
 * uses only; KH_TOO_BIG if these do not fit either. Order among the values kept is kept. */
#include "batch/gather.h"

#include "base/status.h"
#include "batch/cell.h"

#include <string.h>

/* Seed of the table of values: it is probed with what one batch holds, and an unlucky set costs
 * time only. */
#define DICTIONARY_SEED UINT64_C(0x6b686f6e7375)

struct unify {
    const struct gather *gather;
    const struct sources *sources;
    const struct run_list *runs;
    int64_t *numbers[GATHER_SOURCES]; /* of each value; NULL: as they are */
    uint8_t *is_used[GATHER_SOURCES]; /* of each value; NULL: all count */
    struct run_list values;           /* of the result's dictionary */
    int64_t *slots;                   /* hash table: value's number + 1, 0 free */
    uint64_t mask;
    struct run *kept; /* by number: source and position (length unused) */
};

static const struct column *dictionary_of(const struct unify *unify, int source) {
    return unify->sources->at[source].column->dictionary;
}

static bool is_same(const struct column *a, const struct column *b) {
    if (a->length != b->length)
        return false;
    if (a->offset == b->offset && a->values == b->values && a->validity == b->validity &&
        a->offsets == b->offsets && a->values != NULL && a->field->child_count == 0 &&
        a->field->dictionary == NULL)
        return true;
    return cell_mismatch(a, a->offset, b, b->offset, a->length) == a->length;
}

static int64_t most_values(const struct field *field) {
    int32_t bits = field->bits - (field->is_signed ? 1 : 0);
    return bits >= 32 ? INT64_C(1) << 32 : INT64_C(1) << bits;
}

/* The index of a row, 0 where it is null; -1 when it names no value. */
static inline int64_t index_at(const struct column *column, int64_t index) {
    if (column_is_null_bit(column->validity, index))
        return 0;
    int64_t value = gather_integer(column->values, index, column->field->bits,
                                   column->field->is_signed);
    return value >= 0 && value < column->dictionary->length ? value : -1;
}

static kh_status bad_index(const struct gather *gather, int64_t row) {
    return status_fail(gather->error, KH_INVALID_DATA,
                       "row %lld's dictionary index names no value", (long long)row);
}

/* ---- numbering the values -------------------------------------------------------------------- */

static kh_status mark_used(struct unify *unify) {
    for (int i = 0; i < unify->sources->count; i++) {
        size_t size_bytes = (size_t)dictionary_of(unify, i)->length + 1;
        unify->is_used[i] = arena_alloc_zeroed(unify->gather->arena, size_bytes);
        if (unify->is_used[i] == NULL)
            return status_no_memory(unify->gather->error, size_bytes);
    }
    for (size_t i = 0; i < unify->runs->count; i++) {
        const struct run *run = &unify->runs->runs[i];
        const struct column *column = unify->sources->at[run->source].column;
        int64_t start = unify->sources->at[run->source].first + run->start;
        for (int64_t k = start; k < start + run->length; k++) {
            if (column_is_null_bit(column->validity, k))
                continue;
            int64_t index = index_at(column, k);
            if (index < 0)
                return bad_index(unify->gather, k);
            unify->is_used[run->source][index] = 1;
        }
    }
    return KH_OK;
}

static kh_status start_numbering(struct unify *unify) {
    struct arena *arena = unify->gather->arena;
    int64_t total = 0;
    for (int i = 0; i < unify->sources->count; i++) {
        size_t size_bytes = (size_t)(dictionary_of(unify, i)->length + 1) * sizeof(int64_t);
        unify->numbers[i] = arena_alloc(arena, size_bytes);
        if (unify->numbers[i] == NULL)
            return status_no_memory(unify->gather->error, size_bytes);
        total += dictionary_of(unify, i)->length;
    }
    uint64_t capacity = 16;
    while (capacity < (uint64_t)total * 2)
        capacity *= 2;
    unify->mask = capacity - 1;
    unify->slots = arena_alloc_zeroed(arena, capacity * sizeof *unify->slots);
    unify->kept = arena_alloc(arena, (size_t)(total + 1) * sizeof *unify->kept);
    if (unify->slots == NULL || unify->kept == NULL)
        return status_no_memory(unify->gather->error, capacity * sizeof *unify->slots);
    run_list_init(&unify->values, arena);
    return KH_OK;
}

/* The slot of a value equal to this one, or the free one where it belongs. */
static int64_t *find_slot(const struct unify *unify, const struct column *column, int64_t index) {
    uint64_t at = cell_hash(column, index, DICTIONARY_SEED) & unify->mask;
    while (unify->slots[at] != 0) {
        const struct run *kept = &unify->kept[unify->slots[at] - 1];
        const struct column *other = dictionary_of(unify, kept->source);
        if (cell_equal(other, other->offset + kept->start, column, index))
            break;
        at = (at + 1) & unify->mask;
    }
    return &unify->slots[at];
}

/* Repeats inside the first source's dictionary keep their own numbers unless values are dropped:
 * its indexes then need no change. */
static kh_status number_values(struct unify *unify) {
    kh_status status;
    bool is_dropping = unify->is_used[0] != NULL;
    KH_TRY(start_numbering(unify));
    for (int source = 0; source < unify->sources->count; source++) {
        const struct column *column = dictionary_of(unify, source);
        for (int64_t i = 0; i < column->length; i++) {
            if (is_dropping && unify->is_used[source][i] == 0)
                continue;
            int64_t *slot = find_slot(unify, column, column->offset + i);
            if (*slot != 0 && (is_dropping || source > 0)) {
                unify->numbers[source][i] = *slot - 1;
                continue;
            }
            int64_t number = unify->values.length;
            unify->kept[number] = (struct run){i, 1, source};
            unify->numbers[source][i] = number;
            if (*slot == 0)
                *slot = number + 1;
            KH_TRY(run_list_add(&unify->values, source, i, 1, unify->gather->error));
        }
    }
done:
    return status;
}

static bool is_used_by(const struct run_list *runs, int source) {
    for (size_t i = 0; i < runs->count; i++)
        if (runs->runs[i].source == source)
            return true;
    return false;
}

/* Whether all sources that give rows have the same dictionary; which: *keeper. */
static bool find_keeper(const struct unify *unify, int *keeper) {
    int first = -1;
    for (int i = 0; i < unify->sources->count; i++) {
        if (!is_used_by(unify->runs, i))
            continue;
        if (first < 0)
            first = i;
        else if (!is_same(dictionary_of(unify, first), dictionary_of(unify, i)))
            return false;
    }
    *keeper = first < 0 ? 0 : first;
    return true;
}

static kh_status choose_values(struct unify *unify, const struct field *field) {
    kh_status status;
    int keeper = 0;
    if (find_keeper(unify, &keeper)) {
        run_list_init(&unify->values, unify->gather->arena);
        return run_list_add(&unify->values, keeper, 0, dictionary_of(unify, keeper)->length,
                            unify->gather->error);
    }
    KH_TRY(number_values(unify));
    if (unify->values.length > most_values(field)) {
        KH_TRY(mark_used(unify));
        KH_TRY(number_values(unify));
    }
    if (unify->values.length > most_values(field))
        status = status_fail(unify->gather->error, KH_TOO_BIG,
                             "%lld dictionary values are more than %d-bit indexes can name",
                             (long long)unify->values.length, field->bits);
done:
    return status;
}

/* ---- indexes --------------------------------------------------------------------------------- */

static void store_index(void *indexes, int64_t at, int32_t bits, int64_t value) {
    switch (bits) {
    case 8:
        ((uint8_t *)indexes)[at] = (uint8_t)value;
        break;
    case 16:
        ((uint16_t *)indexes)[at] = (uint16_t)value;
        break;
    case 32:
        ((uint32_t *)indexes)[at] = (uint32_t)value;
        break;
    default:
        ((int64_t *)indexes)[at] = value;
        break;
    }
}

static kh_status renumber(const struct unify *unify, const struct field *field, void *indexes) {
    int64_t to = 0;
    for (size_t i = 0; i < unify->runs->count; i++) {
        const struct run *run = &unify->runs->runs[i];
        const struct column *column = unify->sources->at[run->source].column;
        const int64_t *numbers = unify->numbers[run->source];
        int64_t start = unify->sources->at[run->source].first + run->start;
        for (int64_t k = start; k < start + run->length; k++, to++) {
            if (column_is_null_bit(column->validity, k)) {
                store_index(indexes, to, field->bits, 0);
                continue;
            }
            int64_t index = index_at(column, k);
            if (index < 0)
                return bad_index(unify->gather, k);
            store_index(indexes, to, field->bits, numbers[index]);
        }
    }
    return KH_OK;
}

kh_status gather_dictionary(const struct gather *gather, const struct field *field,
                            const struct sources *sources, const struct run_list *runs,
                            struct ArrowArray *out) {
    struct unify unify = {.gather = gather, .sources = sources, .runs = runs};
    struct sources dictionaries = {.count = sources->count};
    kh_status status;
    void *indexes;
    uint64_t width = (uint64_t)field->bits / 8;
    for (int i = 0; i < sources->count; i++) {
        dictionaries.at[i].column = dictionary_of(&unify, i);
        dictionaries.at[i].first = dictionaries.at[i].column->offset;
    }
    KH_TRY(choose_values(&unify, field));
    if (unify.numbers[0] == NULL) {
        KH_TRY(gather_values(gather, sources, runs, width, &out->buffers[1]));
    } else {
        KH_TRY(gather_alloc(gather, (uint64_t)runs->length * width, false, &indexes));
        KH_TRY(renumber(&unify, field, indexes));
        out->buffers[1] = indexes;
    }
    status = gather_column(gather, field->dictionary, &dictionaries, &unify.values,
                           out->dictionary);
done:
    return status;
}
