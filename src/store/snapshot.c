/* snapshot.c - the list of all registered snapshots. */
#include "store/snapshot.h"

#include <stdlib.h>

#if defined(KH_SLOW_CHECKS)
static _Atomic(void (*)(void *)) step_in;
static void *step_context;

void snapshot_step_with(void (*step)(void *context), void *context) {
    step_context = context;
    atomic_store_explicit(&step_in, step, memory_order_release);
}

void snapshot_step(void) {
    void (*step)(void *) = atomic_load_explicit(&step_in, memory_order_acquire);
    if (KH_UNLIKELY(step != NULL)) step(step_context);
}
#endif

static int compare_timestamps(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

size_t snapshot_list(const struct snapshots *snapshots, uint64_t *out) {
    size_t count = 0;
    uint32_t lines = atomic_load_explicit(&snapshots->line_count, memory_order_acquire);
    for (uint32_t i = 0; i < lines; i++) {
        for (int slot = SLOT_READ; slot <= SLOT_BASE; slot++) {
            uint64_t timestamp = snapshot_load(&snapshots->lines[i], (enum snapshot_slot)slot);
            if (timestamp != SNAPSHOT_NONE) out[count++] = timestamp;
        }
    }
    snapshot_step();
    if (count > 1) qsort(out, count, sizeof *out, compare_timestamps);
    size_t distinct = 0;
    for (size_t i = 0; i < count; i++)
        if (distinct == 0 || out[distinct - 1] != out[i]) out[distinct++] = out[i];
    return distinct;
}
