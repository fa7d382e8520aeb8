/* dice.h - the random numbers of a run: splitmix64 (Steele, Lea and Flood, OOPSLA 2014), a state of
 * one word, so that each thread and each key has a sequence of its own from the run's seed. */
#ifndef KHONSU_WORKLOAD_DICE_H
#define KHONSU_WORKLOAD_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

static inline uint64_t dice_word(struct dice *dice) {
    uint64_t word = (dice->state += 0x9e3779b97f4a7c15);
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    return word ^ (word >> 31);
}

/* In [0, bound); bound is at least 1. The bias is below 2^-32 for the bounds of a run. */
static inline uint32_t dice_below(struct dice *dice, uint32_t bound) {
    return (uint32_t)(((dice_word(dice) >> 32) * bound) >> 32);
}

static inline bool dice_one_in(struct dice *dice, uint32_t bound) {
    return dice_below(dice, bound) == 0;
}

/* A sequence of its own for the which-th part of a run. */
static inline struct dice dice_of(uint64_t seed, uint64_t which) {
    struct dice dice = {seed};
    dice.state = dice_word(&dice) ^ (which * 0xd1342543de82ef95);
    (void)dice_word(&dice);
    return dice;
}

#endif
