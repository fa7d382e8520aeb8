/* middle_clock.h - a database's clock that calls back in the middle of a call: whoever reads the
 * time often enough has something happen to him, always at the same place. */
#ifndef TEST_SUPPORT_MIDDLE_CLOCK_H
#define TEST_SUPPORT_MIDDLE_CLOCK_H

#include <khonsu.h>

struct middle_clock {
    uint64_t now_ns;
    int fire_in; /* readings of the monotonic clock; 0: never */
    void (*fire)(void *context);
    void *context;
};

static inline uint64_t middle_clock_wall(void *context) {
    const struct middle_clock *clock = (const struct middle_clock *)context;
    return 1000000 + clock->now_ns / 1000000;
}

static inline uint64_t middle_clock_monotonic(void *context) {
    struct middle_clock *clock = (struct middle_clock *)context;
    clock->now_ns += 1000;
    if (clock->fire_in > 0 && --clock->fire_in == 0) clock->fire(clock->context);
    return clock->now_ns;
}

static inline kh_clock middle_clock_open(struct middle_clock *clock, void (*fire)(void *context),
                                         void *context) {
    *clock = (struct middle_clock){1000000000, 0, fire, context};
    return (kh_clock){middle_clock_wall, middle_clock_monotonic, clock};
}

#endif
