/* delta_few.c - making the form of few values. Cannot fail. */
#include "txn/delta_few.h"

#include "base/assert.h"
#include <string.h>

void delta_few_init(struct delta_few *few, size_t filled) {
    memset(few, 0, delta_few_bytes(filled));
    memset(few->positions, 0xFF, sizeof few->positions);
    few->nowhere_count = DELTA_FEW_SLOTS;
}

void delta_few_append(struct delta_few *few, size_t position) {
    size_t slot = DELTA_FEW_SLOTS - few->nowhere_count + 1;
    uint8_t *first = &few->lanes[position % DELTA_LANES];
    uint32_t step = 0;
    kh_assert(slot < DELTA_FEW_SLOTS && position < DELTA_FEW_NOWHERE);
    few->positions[slot] = (uint16_t)position;
    few->nowhere_count--;
    if (*first == 0) {
        *first = (uint8_t)slot;
        return;
    }
    while (few->steps[step][*first] != 0) step++;
    few->steps[step][*first] = (uint8_t)slot;
    if (few->more_steps < step) few->more_steps = step;
}
