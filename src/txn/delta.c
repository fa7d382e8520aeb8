/* delta.c - making deltas, their life, and what can be said about one alone.
 *
 * Invariants: in delta.h. Happy path: values are checked and counted in one pass, which decides the
 * form; one allocation; a second pass fills it. Failure: nothing was made; the message names the
 * value. */
#include "txn/delta.h"

#include "base/limits.h"
#include "base/status.h"
#include "batch/home.h"
#include "txn/delta_dot.h"
#include <math.h>
#include <string.h>

/* ---- values ---------------------------------------------------------------------------------- */

static bool is_filled(float value) {
    return fabsf(value) > DELTA_TINY;
}

static kh_status refuse_value(kh_floats values, kh_error *error) {
    size_t at = 0;
    while (fabsf(values.values[at]) <= LIMIT_DELTA_VALUE) at++;
    return status_fail(error, KH_INVALID, "value %zu of a delta is %g: finite, up to %g in size",
                       at, (double)values.values[at], (double)LIMIT_DELTA_VALUE);
}

static kh_status check_values(kh_floats values, uint32_t *filled, kh_error *error) {
    uint32_t refused = 0;
    uint32_t count = 0;
    if (values.values == NULL || values.count == 0)
        return status_fail(error, KH_INVALID, "a delta needs values");
    if (values.count > LIMIT_DELTA_DIMENSION)
        return status_fail(error, KH_TOO_BIG, "a delta of %zu values, %u at most", values.count,
                           LIMIT_DELTA_DIMENSION);
    for (size_t i = 0; i < values.count; i++) {
        float size = fabsf(values.values[i]);
        refused |= !(size <= LIMIT_DELTA_VALUE); /* NaN compares with nothing */
        count += size > DELTA_TINY;
    }
    if (refused != 0) return refuse_value(values, error);
    *filled = count;
    return KH_OK;
}

/* ---- the block ------------------------------------------------------------------------------- */

/* Where the parts lie; a delta's block begins at a multiple of 16. */
struct plan {
    size_t keys_at;
    size_t vector_at; /* sparse: words, `few` or nothing, ranks, values unless `few` has them */
    size_t order_at;
    size_t key_block_at;
    size_t size_bytes;
    size_t word_count; /* in whole groups */
    size_t few_bytes;  /* 0: has no such form */
};

static uint8_t shift_of(size_t dimension) {
    uint8_t shift = 0;
    while (delta_words(dimension) > (size_t)DELTA_WORD_BITS << shift) shift++;
    return shift;
}

static struct plan plan_block(size_t dimension, uint32_t filled,
                              const struct delta_key_list *keys) {
    struct plan plan = {.keys_at = sizeof(kh_delta)};
    uint8_t shift = shift_of(dimension);
    plan.vector_at = plan.keys_at + keys->count * sizeof(struct delta_key);
    plan.word_count = (delta_words(dimension) + ((size_t)1 << shift) - 1) >> shift << shift;
    if (delta_is_sparse(filled, dimension)) {
        if (delta_is_few(filled, dimension)) plan.few_bytes = delta_few_bytes(filled);
        plan.order_at = plan.vector_at + plan.word_count * sizeof(uint64_t);
        plan.order_at += (plan.word_count * sizeof(uint16_t) + 3) & ~(size_t)3;
        plan.order_at += plan.few_bytes > 0 ? plan.few_bytes : filled * sizeof(float);
    } else {
        /* Room to begin at the next multiple of the alignment, wherever the block lies. */
        plan.order_at = plan.vector_at + DELTA_ALIGNMENT - 1;
        plan.order_at += delta_blocks(dimension) * DELTA_LANES * sizeof(float);
        plan.order_at = (plan.order_at + 3) & ~(size_t)3;
    }
    plan.key_block_at = plan.order_at + keys->count * sizeof(uint32_t);
    plan.size_bytes = (plan.key_block_at + delta_keys_block_bytes(keys) + 15) & ~(size_t)15;
    return plan;
}

static void fill_dense(kh_delta *delta, float *to, kh_floats values) {
    size_t padded = delta_blocks(values.count) * DELTA_LANES;
    for (size_t i = 0; i < values.count; i++)
        to[i] = is_filled(values.values[i]) ? values.values[i] : 0;
    for (size_t i = values.count; i < padded; i++) to[i] = 0;
    delta->values = to;
    delta->magnitude = sqrtf(delta_kernel()->dot(to, to, delta_blocks(values.count)));
}

static void fill_sparse(kh_delta *delta, const struct plan *plan, kh_floats values) {
    uint64_t *words = (uint64_t *)(void *)((unsigned char *)delta + plan->vector_at);
    struct delta_few *few = (struct delta_few *)(void *)(words + plan->word_count);
    uint16_t *ranks = (uint16_t *)(void *)((unsigned char *)few + plan->few_bytes);
    size_t ranks_bytes = (plan->word_count * sizeof *ranks + 3) & ~(size_t)3;
    float *to = (float *)(void *)((unsigned char *)ranks + ranks_bytes);
    uint32_t shared;
    uint32_t next = 0;
    memset(words, 0, plan->word_count * sizeof *words);
    if (plan->few_bytes > 0) {
        delta_few_init(few, delta->filled);
        delta->few = few;
        to = few->values + 1;
    }
    for (size_t i = 0; i < plan->word_count * DELTA_WORD_BITS; i++) {
        if (i % DELTA_WORD_BITS == 0) ranks[i / DELTA_WORD_BITS] = (uint16_t)next;
        if (i >= values.count || !is_filled(values.values[i])) continue;
        words[i / DELTA_WORD_BITS] |= UINT64_C(1) << i % DELTA_WORD_BITS;
        delta->groups |= UINT64_C(1) << (i / DELTA_WORD_BITS >> delta->group_shift);
        if (delta->few != NULL) delta_few_append(few, i);
        to[next++] = values.values[i];
    }
    delta->words = words;
    delta->ranks = ranks;
    delta->values = to;
    delta->magnitude = sqrtf(dot_sparse(delta, delta, &shared));
}

static void fill_keys(kh_delta *delta, const struct plan *plan, const struct delta_key_list *list) {
    unsigned char *block = (unsigned char *)delta;
    struct delta_key *keys = (struct delta_key *)(void *)(block + plan->keys_at);
    uint32_t *order = (uint32_t *)(void *)(block + plan->order_at);
    delta_keys_place(list, keys, order, block + plan->key_block_at);
    for (size_t i = 0; i < list->count; i++)
        delta->key_bits |= UINT64_C(1) << keys[i].hash % DELTA_WORD_BITS;
    delta->keys = keys;
    delta->order = order;
    delta->key_block = block + plan->key_block_at;
    delta->key_block_bytes = delta_keys_block_bytes(list);
}

kh_status delta_make(struct mem *mem, kh_floats values, const struct delta_key_list *keys,
                     kh_txn_id txn, kh_delta **out, kh_error *error) {
    uint32_t filled;
    kh_status status = check_values(values, &filled, error);
    if (status != KH_OK) return status;
    struct plan plan = plan_block(values.count, filled, keys);
    kh_delta *delta = mem_alloc(mem, NULL, plan.size_bytes);
    if (delta == NULL) return status_no_memory(error, plan.size_bytes);
    *delta = (kh_delta){.dimension = (uint32_t)values.count,
                        .filled = filled,
                        .key_count = (uint32_t)keys->count,
                        .is_sparse = delta_is_sparse(filled, values.count),
                        .group_shift = shift_of(values.count),
                        .mem = mem,
                        .block_bytes = plan.size_bytes,
                        .txn = txn};
    atomic_init(&delta->refs, 1);
    if (delta->is_sparse) {
        fill_sparse(delta, &plan, values);
    } else {
        uintptr_t at = (uintptr_t)delta + plan.vector_at + DELTA_ALIGNMENT - 1;
        fill_dense(delta, (float *)(at & ~(uintptr_t)(DELTA_ALIGNMENT - 1)), values);
    }
    fill_keys(delta, &plan, keys);
    *out = delta;
    return KH_OK;
}

kh_status delta_draft_init(struct delta_draft *draft, struct mem *mem, size_t dimension,
                           kh_error *error) {
    draft->mem = mem;
    draft->size_bytes = delta_words(dimension) * DELTA_WORD_BITS * sizeof(float);
    draft->values = mem_alloc_zeroed(mem, NULL, draft->size_bytes);
    return draft->values == NULL ? status_no_memory(error, draft->size_bytes) : KH_OK;
}

void delta_draft_fini(struct delta_draft *draft) {
    mem_free(draft->mem, NULL, draft->values, draft->size_bytes);
}

/* ---- from outside ---------------------------------------------------------------------------- */

static kh_status build_with(struct mem *mem, kh_floats values, const kh_delta_options *given,
                            kh_delta **out, kh_error *error) {
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    struct delta_key_list keys;
    kh_status status = KH_OK;
    if (given != NULL)
        status = status_copy_sized(&options, sizeof options, given, "kh_delta_options", error);
    if (status != KH_OK) return status;
    if (options.keys == NULL && options.key_count > 0)
        return status_fail(error, KH_INVALID, "kh_delta_options.keys is NULL");
    status = delta_keys_init(&keys, mem, options.key_count, error);
    if (status != KH_OK) return status;
    delta_keys_append(&keys, options.keys, options.key_count);
    KH_TRY(delta_keys_sort(&keys, error));
    KH_TRY(delta_make(mem, values, &keys, options.txn, out, error));
done:
    delta_keys_fini(&keys);
    return status;
}

kh_status kh_delta_build(kh_db *db, kh_floats values, const kh_delta_options *options,
                         kh_delta **out, kh_error *error) {
    const struct batch_home *home;
    if (out == NULL) return status_fail(error, KH_INVALID, "out must not be NULL");
    kh_status status = batch_home_find(db, &home, error);
    if (status != KH_OK) return status;
    return build_with(home->mem, values, options, out, error);
}

static kh_status check_two(kh_floats before, kh_floats after, kh_error *error) {
    uint32_t filled;
    if (before.count != after.count)
        return status_fail(error, KH_INVALID, "%zu values before, %zu after", before.count,
                           after.count);
    kh_status status = check_values(before, &filled, error);
    return status == KH_OK ? check_values(after, &filled, error) : status;
}

kh_status kh_delta_between(kh_db *db, kh_floats before, kh_floats after,
                           const kh_delta_options *options, kh_delta **out, kh_error *error) {
    const struct batch_home *home;
    struct delta_draft draft;
    if (out == NULL) return status_fail(error, KH_INVALID, "out must not be NULL");
    kh_status status = batch_home_find(db, &home, error);
    if (status == KH_OK) status = check_two(before, after, error);
    if (status == KH_OK) status = delta_draft_init(&draft, home->mem, after.count, error);
    if (status != KH_OK) return status;
    for (size_t i = 0; i < after.count; i++) draft.values[i] = after.values[i] - before.values[i];
    status = build_with(home->mem, (kh_floats){draft.values, after.count}, options, out, error);
    delta_draft_fini(&draft);
    return status;
}

kh_delta *kh_delta_retain(const kh_delta *delta) {
    kh_delta *shared = (kh_delta *)(uintptr_t)delta; /* the count is not part of the value */
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

void kh_delta_release(kh_delta *delta) {
    if (delta != NULL && atomic_fetch_sub_explicit(&delta->refs, 1, memory_order_acq_rel) == 1)
        mem_free(delta->mem, NULL, delta, delta->block_bytes);
}

/* ---- looking at one -------------------------------------------------------------------------- */

void delta_expand(const kh_delta *delta, size_t word, float out[DELTA_WORD_BITS]) {
    size_t first = word * DELTA_WORD_BITS;
    if (!delta->is_sparse) {
        size_t left = delta->dimension - first;
        size_t count = left < DELTA_WORD_BITS ? left : DELTA_WORD_BITS;
        memcpy(out, delta->values + first, count * sizeof *out);
        memset(out + count, 0, (DELTA_WORD_BITS - count) * sizeof *out);
        return;
    }
    const float *next = delta->values + delta->ranks[word];
    memset(out, 0, DELTA_WORD_BITS * sizeof *out);
    for (uint64_t bits = delta->words[word]; bits != 0; bits &= bits - 1)
        out[__builtin_ctzll(bits)] = *next++;
}

size_t kh_delta_dimension(const kh_delta *delta) {
    return delta->dimension;
}

size_t kh_delta_filled(const kh_delta *delta) {
    return delta->filled;
}

bool kh_delta_is_sparse(const kh_delta *delta) {
    return delta->is_sparse;
}

void kh_delta_values(const kh_delta *delta, float *out) {
    float block[DELTA_WORD_BITS];
    for (size_t first = 0; first < delta->dimension; first += DELTA_WORD_BITS) {
        size_t left = delta->dimension - first;
        delta_expand(delta, first / DELTA_WORD_BITS, block);
        memcpy(out + first, block, (left < DELTA_WORD_BITS ? left : DELTA_WORD_BITS) * sizeof *out);
    }
}

float kh_delta_magnitude(const kh_delta *delta) {
    return delta->magnitude;
}

kh_txn_id kh_delta_txn(const kh_delta *delta) {
    return delta->txn;
}

size_t kh_delta_key_count(const kh_delta *delta) {
    return delta->key_count;
}

kh_bytes kh_delta_key(const kh_delta *delta, size_t index) {
    if (index >= delta->key_count) return (kh_bytes){NULL, 0};
    return delta->keys[delta->order[index]].bytes;
}

uint64_t kh_delta_size_bytes(const kh_delta *delta) {
    return delta->block_bytes;
}
