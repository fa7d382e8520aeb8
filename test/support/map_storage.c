/* map_storage.c - the list of values. */
#include "support/map_storage.h"

static kh_bytes copy_of(kh_bytes bytes) {
    void *copy = malloc(bytes.size_bytes == 0 ? 1 : bytes.size_bytes);
    if (copy == NULL) {
        abort();
    }
    if (bytes.size_bytes != 0) {
        memcpy(copy, bytes.data, bytes.size_bytes);
    }
    return (kh_bytes){copy, bytes.size_bytes};
}

static void drop(struct map_entry *entry) {
    free((void *)entry->key.data);
    free((void *)entry->value.data);
    free(entry);
}

static void apply_one(struct map_storage *map, const kh_mutation *mutation) {
    struct map_entry **at = &map->first;
    while (*at != NULL && !kit_bytes_equal((*at)->key, mutation->key)) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        struct map_entry *old = *at;
        *at = old->next;
        drop(old);
        map->entry_count--;
    }
    if (mutation->value.data != NULL) {
        struct map_entry *entry = calloc(1, sizeof *entry);
        if (entry == NULL) {
            abort();
        }
        *entry = (struct map_entry){map->first, copy_of(mutation->key), copy_of(mutation->value)};
        map->first = entry;
        map->entry_count++;
    }
}

static int apply(void *context, const kh_mutation *mutations, size_t mutation_count,
                 kh_log_position position) {
    struct map_storage *map = context;
    if (map->apply_errno != 0) {
        return map->apply_errno;
    }
    for (size_t i = 0; i < mutation_count; i++) {
        apply_one(map, &mutations[i]);
    }
    map->position = position;
    map->applies++;
    return 0;
}

static int read_map(void *context, kh_log_position *position, kh_storage_visit_fn *visit,
                    void *visit_context) {
    struct map_storage *map = context;
    if (map->read_errno != 0) {
        return map->read_errno;
    }
    *position = map->position;
    for (struct map_entry *entry = map->first; entry != NULL; entry = entry->next) {
        if (!visit(visit_context, entry->key, entry->value)) {
            break;
        }
    }
    return 0;
}

static void close_map(void *context) {
    ((struct map_storage *)context)->closes++;
}

void map_storage_init(struct map_storage *map) {
    memset(map, 0, sizeof *map);
    map->storage = (struct kh_storage){.version = KH_STORAGE_VERSION,
                                       .size = sizeof map->storage,
                                       .context = map,
                                       .apply = apply,
                                       .read = read_map,
                                       .close = close_map};
}

void map_storage_fini(struct map_storage *map) {
    while (map->first != NULL) {
        struct map_entry *next = map->first->next;
        drop(map->first);
        map->first = next;
    }
}
