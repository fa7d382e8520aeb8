/* draws.c - keys drawn ahead of time, so that drawing costs a load in what is measured.
 *
 * Zipf by Vose's alias method: one uniform number picks a column and decides between it and its
 * alias. The ranks are scattered over the keys by a multiplication modulo their number, which is a
 * permutation because the multiplier is a prime greater than any key: popular keys are no
 * neighbours. */
#include "driver/draws.h"

#include "engine.h"

#include <math.h>
#include <stdlib.h>

static const double zipf_exponent = 0.99; /* as YCSB has it */

enum { PAIR_TRIES_MAX = 1000 };

struct draw_table {
    struct draw_rule rule;
    uint32_t *thresholds; /* NULL: uniform */
    uint32_t *aliases;
};

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t next_random(uint64_t *state) {
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

static void *allocate(uint64_t count, size_t size) {
    void *block = calloc(count, size);
    if (block == NULL) engine_fail("draws", "no memory");
    return block;
}

/* Vose's: columns that are too low are filled from those that are too high. */
static void fill_zipf(struct draw_table *table) {
    uint64_t keys = table->rule.keys;
    double *weights = allocate(keys, sizeof *weights);
    uint32_t *low = allocate(keys, sizeof *low);
    uint32_t *high = allocate(keys, sizeof *high);
    double sum = 0;
    for (uint64_t i = 0; i < keys; i++) sum += weights[i] = pow((double)(i + 1), -zipf_exponent);
    uint64_t low_count = 0;
    uint64_t high_count = 0;
    for (uint64_t i = 0; i < keys; i++) {
        weights[i] *= (double)keys / sum;
        table->thresholds[i] = UINT32_MAX;
        table->aliases[i] = (uint32_t)i;
        if (weights[i] < 1) {
            low[low_count++] = (uint32_t)i;
        } else {
            high[high_count++] = (uint32_t)i;
        }
    }
    while (low_count > 0 && high_count > 0) {
        uint32_t poor = low[--low_count];
        uint32_t rich = high[high_count - 1];
        table->thresholds[poor] = (uint32_t)(weights[poor] * (double)UINT32_MAX);
        table->aliases[poor] = rich;
        weights[rich] -= 1 - weights[poor];
        if (weights[rich] < 1) {
            high_count--;
            low[low_count++] = rich;
        }
    }
    free(weights);
    free(low);
    free(high);
}

struct draw_table *draw_table_create(const struct draw_rule *rule) {
    struct draw_table *table = allocate(1, sizeof *table);
    table->rule = *rule;
    if (rule->is_zipf) {
        table->thresholds = allocate(rule->keys, sizeof *table->thresholds);
        table->aliases = allocate(rule->keys, sizeof *table->aliases);
        fill_zipf(table);
    }
    return table;
}

void draw_table_destroy(struct draw_table *table) {
    free(table->thresholds);
    free(table->aliases);
    free(table);
}

static uint32_t draw_key(const struct draw_table *table, uint64_t *state) {
    uint64_t keys = table->rule.keys;
    uint64_t rank = (next_random(state) >> 32) * keys >> 32;
    if (table->thresholds == NULL) return (uint32_t)rank;
    if ((uint32_t)next_random(state) > table->thresholds[rank]) rank = table->aliases[rank];
    return (uint32_t)(rank * 2654435761u % keys);
}

/* Another key than the one before; when the distribution hardly knows another, the next one. */
static uint32_t draw_other(const struct draw_table *table, uint64_t *state, uint32_t first) {
    for (int i = 0; i < PAIR_TRIES_MAX; i++) {
        uint32_t key = draw_key(table, state);
        if (key != first) return key;
    }
    return (uint32_t)((first + 1) % table->rule.keys);
}

uint32_t *draws_make(const struct draw_table *table, uint64_t thread, uint64_t count) {
    uint32_t *tape = allocate(count, sizeof *tape);
    uint64_t state = table->rule.seed * 0xd1342543de82ef95u + thread * 0xaf251af3b0f025b5u;
    for (uint64_t i = 0; i < count; i++) {
        tape[i] = table->rule.are_pairs && i % 2 == 1 ? draw_other(table, &state, tape[i - 1])
                                                      : draw_key(table, &state);
    }
    for (uint64_t i = 0; i < count && table->rule.write_odds > 0; i++)
        if ((uint32_t)next_random(&state) < table->rule.write_odds) tape[i] |= DRAW_IS_WRITE;
    return tape;
}
