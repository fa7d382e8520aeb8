/* map_storage.h - a storage of the test's own: a list in memory, which survives
 * the database. One call at a time. */
#ifndef TEST_SUPPORT_MAP_STORAGE_H
#define TEST_SUPPORT_MAP_STORAGE_H

#include "support/kit.h"

struct map_entry {
    struct map_entry *next;
    kh_bytes key;
    kh_bytes value;
};

struct map_storage {
    struct kh_storage storage;
    struct map_entry *first;
    size_t entry_count;
    kh_log_position position;
    uint64_t applies;
    uint64_t closes;
    int apply_errno;
    int read_errno;
};

void map_storage_init(struct map_storage *map);
void map_storage_fini(struct map_storage *map);
/* NULL: not there. */
struct map_entry *map_storage_find(const struct map_storage *map, kh_bytes key);
/* Entries whose key begins with that letter (log/state_key.h: 'V' for versions). */
size_t map_storage_count(const struct map_storage *map, char kind);

#endif
