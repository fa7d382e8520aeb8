/* id_index.c - see ids.h: the search for ids by value.
 *
 * Ids that rise from row to row (the common case: a counter, a time, a sorted name) are proved
 * unique by one pass and searched by halving; anything else is hashed. Failure: a duplicate id, no
 * memory. */
#include "batch/ids.h"

#include "base/env.h"
#include "base/hash.h"
#include "base/status.h"
#include "batch/gather.h"

#include <stdatomic.h>
#include <string.h>

/* Drawn once in a process, so that ids chosen by an outsider do not collide on purpose. Writer:
 * the first to need it; any two draws are equally good, but one wins. */
static uint64_t table_seed(void) {
    static _Atomic uint64_t seed;
    uint64_t drawn = atomic_load_explicit(&seed, memory_order_relaxed);
    if (drawn == 0) {
        uint64_t fresh;
        env_random(&fresh, sizeof fresh);
        fresh |= 1;
        if (atomic_compare_exchange_strong_explicit(&seed, &drawn, fresh, memory_order_relaxed,
                                                    memory_order_relaxed))
            drawn = fresh;
    }
    return drawn;
}

/* An integer id as a number; that of uint64 wraps, which is an order too. */
static inline int64_t integer_at(const struct ids *ids, int64_t row) {
    return gather_integer(ids->column->values, ids->first + row, (int32_t)ids->width * 8, true);
}

/* Below, at or above 0: by number, or by bytes and then length. */
static inline int compare(const struct ids *a, int64_t a_row, const struct ids *b,
                          int64_t b_row) {
    if (a->is_integer) {
        int64_t in_a = integer_at(a, a_row);
        int64_t in_b = integer_at(b, b_row);
        return (in_a > in_b) - (in_a < in_b);
    }
    kh_bytes in_a = ids_at(a, a_row);
    kh_bytes in_b = ids_at(b, b_row);
    size_t shorter = in_a.size_bytes < in_b.size_bytes ? in_a.size_bytes : in_b.size_bytes;
    int order = shorter == 0 ? 0 : memcmp(in_a.data, in_b.data, shorter);
    return order != 0 ? order
                      : (in_a.size_bytes > in_b.size_bytes) - (in_a.size_bytes < in_b.size_bytes);
}

static bool is_rising(const struct ids *ids) {
    for (int64_t row = 1; row < ids->row_count; row++)
        if (compare(ids, row - 1, ids, row) >= 0)
            return false;
    return true;
}

/* Integers are mixed in registers (the finalizer of MurmurHash3, Austin Appleby); the seed goes in
 * first, so that which of them share a slot is not known outside. */
static inline uint64_t hash_row(const struct ids *ids, int64_t row, uint64_t seed) {
    if (!ids->is_integer) {
        kh_bytes id = ids_at(ids, row);
        return hash_bytes(id.data, id.size_bytes, seed);
    }
    uint64_t hash = (uint64_t)integer_at(ids, row) ^ seed;
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 33);
}

static inline bool is_same_id(const struct ids *a, int64_t a_row, const struct ids *b,
                              int64_t b_row) {
    return a->is_integer ? integer_at(a, a_row) == integer_at(b, b_row)
                         : ids_equal(a, a_row, b, b_row);
}

/* The slot of the id that `row` of `of` has, or the free one where it belongs. */
static inline uint64_t *find_slot(const struct id_index *index, const struct ids *of, int64_t row,
                                  uint64_t hash) {
    uint64_t at = hash & index->mask;
    for (;; at = (at + 1) & index->mask) {
        uint64_t slot = index->slots[at];
        if (slot == 0)
            break;
        if (slot >> 32 == hash >> 32 &&
            is_same_id(index->ids, (int64_t)(slot & UINT32_MAX) - 1, of, row))
            break;
    }
    return &index->slots[at];
}

kh_status id_index_build(struct id_index *index, const struct ids *ids, struct arena *arena,
                         kh_error *error) {
    *index = (struct id_index){.ids = ids};
    if (is_rising(ids))
        return KH_OK;
    uint64_t capacity = 16;
    while (capacity < (uint64_t)ids->row_count * 2)
        capacity *= 2;
    uint64_t *slots = arena_alloc_zeroed(arena, capacity * sizeof *slots);
    if (slots == NULL)
        return status_no_memory(error, capacity * sizeof *slots);
    index->slots = slots;
    index->mask = capacity - 1;
    index->seed = table_seed();
    for (int64_t row = 0; row < ids->row_count; row++) {
        uint64_t hash = hash_row(ids, row, index->seed);
        uint64_t *slot = find_slot(index, ids, row, hash);
        if (*slot != 0)
            return status_fail(error, KH_DUPLICATE_ID, "rows %lld and %lld have the same id %s",
                               (long long)(*slot & UINT32_MAX) - 1, (long long)row,
                               ids_describe(ids, row).text);
        *slot = (hash >> 32 << 32) | (uint64_t)(row + 1);
    }
    return KH_OK;
}

int64_t id_index_find(const struct id_index *index, const struct ids *other, int64_t row) {
    if (index->slots != NULL) {
        uint64_t hash = hash_row(other, row, index->seed);
        return (int64_t)(*find_slot(index, other, row, hash) & UINT32_MAX) - 1;
    }
    int64_t low = 0;
    int64_t high = index->ids->row_count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = compare(index->ids, middle, other, row);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}
