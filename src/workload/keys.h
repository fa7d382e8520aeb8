/* keys.h - the keys of a run and the values written to them.
 *
 * A slot is a place for one live key. A key takes 32 to 256 values, 1, 2, 3..., each given out
 * once; then it is retired and the slot's next generation lives. Names: "k3.1-a" is generation 0x1a
 * of slot 3; "k3.1-" is the prefix of an era, 16 generations, so that prefix scans meet keys that
 * appear. A value that a store's process has taken is taken for ever, also when it is killed: slots
 * are in shared memory. In the group workload a slot is a group, of keys "g3.1-a.0", "g3.1-a.1"...
 */
#ifndef KHONSU_WORKLOAD_KEYS_H
#define KHONSU_WORKLOAD_KEYS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { KEY_ROOM = 32 };

struct key_value {
    uint32_t slot;
    uint32_t generation;
    int64_t value;
};

struct slot {
    _Atomic uint64_t next; /* generation << 16 | values given out */
    _Atomic uint64_t hint; /* the same of the value last written; a guess for compare-and-swap */
};

struct keys {
    char letter; /* 'k' or 'g' */
    uint32_t slot_count;
    uint64_t seed;
    struct slot *slots; /* shared by all processes that are forked later */
};

/* False: no memory (errno). */
bool keys_create(struct keys *keys, char letter, uint32_t slot_count, uint64_t seed);
void keys_destroy(struct keys *keys);
/* The live generation. */
uint32_t keys_generation(const struct keys *keys, uint32_t slot);
/* A value never given out before, and the key that it is for. */
struct key_value keys_fresh(struct keys *keys, uint32_t slot);
void keys_name(const struct keys *keys, uint32_t slot, uint32_t generation, char name[KEY_ROOM]);
void keys_member(const struct keys *keys, uint32_t slot, uint32_t generation, uint32_t member,
                 char name[KEY_ROOM]);
/* The prefix of the era of a generation. */
void keys_era(const struct keys *keys, uint32_t slot, uint32_t generation, char name[KEY_ROOM]);

#endif
