/* delta_order.c - a greedy order to merge deltas in: farthest apart first (khonsu/workspace.h). */
#include "khonsu/workspace.h"

#include "base/mem.h"
#include "base/status.h"
#include <math.h>

struct order {
    const kh_delta *const *deltas;
    size_t count;
    float *worst; /* greatest |cosine| with those taken; infinite: taken itself */
};

static float likeness(const struct order *order, size_t i, size_t j) {
    float cosine = 0;
    (void)kh_delta_classify(order->deltas[i], order->deltas[j], NULL, &cosine);
    return fabsf(cosine);
}

static size_t least(const struct order *order) {
    size_t best = 0;
    for (size_t i = 1; i < order->count; i++)
        if (order->worst[i] < order->worst[best]) best = i;
    return best;
}

/* The one that is least similar to the one it is most similar to. */
static size_t find_first(struct order *order) {
    for (size_t i = 0; i < order->count; i++) order->worst[i] = 0;
    for (size_t i = 0; i < order->count; i++) {
        for (size_t j = i + 1; j < order->count; j++) {
            float alike = likeness(order, i, j);
            if (alike > order->worst[i]) order->worst[i] = alike;
            if (alike > order->worst[j]) order->worst[j] = alike;
        }
    }
    size_t first = least(order);
    for (size_t i = 0; i < order->count; i++) order->worst[i] = 0;
    return first;
}

kh_status kh_delta_merge_order(const kh_delta *const *deltas, size_t count, size_t *out,
                               kh_error *error) {
    struct order order = {.deltas = deltas, .count = count};
    if (count == 0) return KH_OK;
    order.worst = mem_own_alloc(mem_process(), count * sizeof *order.worst);
    if (order.worst == NULL) return status_no_memory(error, count * sizeof *order.worst);
    size_t next = find_first(&order);
    for (size_t taken = 0; taken < count; taken++) {
        if (taken > 0) next = least(&order);
        out[taken] = next;
        order.worst[next] = INFINITY;
        for (size_t i = 0; i < count; i++) {
            if (order.worst[i] == INFINITY) continue;
            float alike = likeness(&order, next, i);
            if (alike > order.worst[i]) order.worst[i] = alike;
        }
    }
    mem_own_free(mem_process(), order.worst, count * sizeof *order.worst);
    return KH_OK;
}
