/* delta_few.h - a second form of a sparse delta of at most seven values, for products of two such
 * in a fixed number of vector instructions (delta_kernel_avx2.c).
 *
 * Slots: a value has a slot, 1 and on, by its position. Slot 0 and those behind the last have the
 * value 0 and the position DELTA_FEW_NOWHERE, so that whatever is not shared is a product with 0.
 * Lanes: the first slot of each of the 16 lanes; 0: none. Steps: of each slot that is the first of
 * its lane, in step i the slot that comes i + 1 behind it in that lane; 0: none. So products are
 * summed lane by lane and in ascending order, as delta_kernel.h asks for: the first slot gets what
 * the first step names, then the second and so on. The first step is always there: most deltas
 * of seven values have one, and a branch would be foreseen worse than an addition costs. */
#ifndef KHONSU_TXN_DELTA_FEW_H
#define KHONSU_TXN_DELTA_FEW_H

#include "txn/delta_kernel.h"

enum {
    DELTA_FEW_SLOTS = 8, /* floats of a register */
    DELTA_FEW_MOST = DELTA_FEW_SLOTS - 1,
    DELTA_FEW_NOWHERE = 65535 /* so that deltas of 65,536 values have no such form */
};

struct delta_few {
    uint16_t positions[DELTA_FEW_SLOTS];
    float values[DELTA_FEW_SLOTS];
    uint32_t nowhere_count; /* slots without a position */
    uint32_t more_steps;    /* behind the first */
    uint8_t lanes[DELTA_LANES];
    uint8_t steps[DELTA_FEW_MOST - 1][DELTA_FEW_SLOTS]; /* so many as there can be are kept */
};

/* A sparse delta of so many values that are not zero has this form. */
static inline bool delta_is_few(size_t filled, size_t dimension) {
    return filled > 0 && filled <= DELTA_FEW_MOST && dimension <= DELTA_FEW_NOWHERE;
}

/* Of a form for so many values, which may all be of one lane. */
static inline size_t delta_few_bytes(size_t filled) {
    size_t step_count = filled > 2 ? filled - 1 : 1;
    return offsetof(struct delta_few, steps) + step_count * DELTA_FEW_SLOTS;
}

void delta_few_init(struct delta_few *few, size_t filled);
/* The position of the next value, in ascending order. The value itself is the caller's to write. */
void delta_few_append(struct delta_few *few, size_t position);

#endif
