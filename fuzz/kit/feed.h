/* feed.h - the bytes of an input, drawn one after the other; zeros when they are used up. */
#ifndef FUZZ_KIT_FEED_H
#define FUZZ_KIT_FEED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct feed {
    const uint8_t *next;
    const uint8_t *end;
};

static inline uint8_t feed_byte(struct feed *feed) {
    return feed->next < feed->end ? *feed->next++ : 0;
}

/* Below bound, which is 256 at most. */
static inline int feed_below(struct feed *feed, int bound) {
    return feed_byte(feed) % bound;
}

static inline void feed_bytes(struct feed *feed, void *out, size_t size_bytes) {
    size_t left = (size_t)(feed->end - feed->next);
    size_t taken = size_bytes < left ? size_bytes : left;
    if (taken > 0) memcpy(out, feed->next, taken);
    if (size_bytes > taken) memset((uint8_t *)out + taken, 0, size_bytes - taken);
    feed->next += taken;
}

#endif
