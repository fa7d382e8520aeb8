/* keys.c - slots, generations and fresh values. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "keys.h"

#include "dice.h"

#include <stdio.h>
#include <sys/mman.h>

enum { VALUES_MIN = 32, VALUES_MAX = 256, VALUE_BITS = 16, ERA_BITS = 4 };

bool keys_create(struct keys *keys, char letter, uint32_t slot_count, uint64_t seed) {
    keys->letter = letter;
    keys->slot_count = slot_count;
    keys->seed = seed;
    void *memory = mmap(NULL, slot_count * sizeof *keys->slots, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    keys->slots = memory == MAP_FAILED ? NULL : memory;
    return keys->slots != NULL;
}

void keys_destroy(struct keys *keys) {
    (void)munmap(keys->slots, keys->slot_count * sizeof *keys->slots);
    keys->slots = NULL;
}

/* How many values a key takes: always the same for a seed. */
static uint32_t values_of(const struct keys *keys, uint32_t slot, uint64_t generation) {
    struct dice dice = dice_of(keys->seed, generation * keys->slot_count + slot);
    return VALUES_MIN + dice_below(&dice, VALUES_MAX - VALUES_MIN + 1);
}

uint32_t keys_generation(const struct keys *keys, uint32_t slot) {
    uint64_t word = atomic_load_explicit(&keys->slots[slot].next, memory_order_relaxed);
    return (uint32_t)(word >> VALUE_BITS);
}

struct key_value keys_fresh(struct keys *keys, uint32_t slot) {
    _Atomic uint64_t *next = &keys->slots[slot].next;
    uint64_t word = atomic_load_explicit(next, memory_order_relaxed);
    uint64_t taken = 0;
    do {
        uint64_t generation = word >> VALUE_BITS;
        bool is_retired = (word & ((1 << VALUE_BITS) - 1)) >= values_of(keys, slot, generation);
        taken = is_retired ? ((generation + 1) << VALUE_BITS) + 1 : word + 1;
    } while (!atomic_compare_exchange_weak_explicit(next, &word, taken, memory_order_relaxed,
                                                    memory_order_relaxed));
    return (struct key_value){slot, (uint32_t)(taken >> VALUE_BITS),
                              (int64_t)(taken & ((1 << VALUE_BITS) - 1))};
}

void keys_era(const struct keys *keys, uint32_t slot, uint32_t generation, char name[KEY_ROOM]) {
    (void)snprintf(name, KEY_ROOM, "%c%u.%x-", keys->letter, slot, generation >> ERA_BITS);
}

void keys_name(const struct keys *keys, uint32_t slot, uint32_t generation, char name[KEY_ROOM]) {
    (void)snprintf(name, KEY_ROOM, "%c%u.%x-%x", keys->letter, slot, generation >> ERA_BITS,
                   generation & ((1 << ERA_BITS) - 1));
}

void keys_member(const struct keys *keys, uint32_t slot, uint32_t generation, uint32_t member,
                 char name[KEY_ROOM]) {
    (void)snprintf(name, KEY_ROOM, "%c%u.%x-%x.%u", keys->letter, slot, generation >> ERA_BITS,
                   generation & ((1 << ERA_BITS) - 1), member);
}
