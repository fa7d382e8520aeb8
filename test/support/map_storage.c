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

static int compare(kh_bytes a, kh_bytes b) {
    size_t shorter = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = memcmp(a.data, b.data, shorter);
    return order != 0 ? order : (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
}

/* The list is kept in the order of its keys. */
static void apply_one(struct map_storage *map, const kh_mutation *mutation) {
    struct map_entry **at = &map->first;
    while (*at != NULL && compare((*at)->key, mutation->key) < 0) at = &(*at)->next;
    if (*at != NULL && compare((*at)->key, mutation->key) == 0) {
        struct map_entry *old = *at;
        *at = old->next;
        drop(old);
        map->entry_count--;
    }
    if (mutation->value.data == NULL) return;
    struct map_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) abort();
    *entry = (struct map_entry){*at, copy_of(mutation->key), copy_of(mutation->value)};
    *at = entry;
    map->entry_count++;
}

struct map_entry *map_storage_find(const struct map_storage *map, kh_bytes key) {
    struct map_entry *entry = map->first;
    while (entry != NULL && compare(entry->key, key) != 0) entry = entry->next;
    return entry;
}

size_t map_storage_count(const struct map_storage *map, char kind) {
    size_t count = 0;
    for (const struct map_entry *entry = map->first; entry != NULL; entry = entry->next)
        if (*(const char *)entry->key.data == kind) count++;
    return count;
}

static int apply(void *context, const kh_mutation *mutations, size_t mutation_count,
                 kh_log_position position) {
    struct map_storage *map = context;
    if (map->apply_errno != 0) {
        return map->apply_errno;
    }
    for (size_t i = 0; i < mutation_count; i++) {
        if (i > 0 && compare(mutations[i - 1].key, mutations[i].key) >= 0) abort();
        apply_one(map, &mutations[i]);
    }
    map->position = position;
    map->applies++;
    return 0;
}

static int position(void *context, kh_log_position *out) {
    const struct map_storage *map = context;
    *out = map->position;
    return map->read_errno;
}

static int scan(void *context, kh_bytes from, kh_bytes to, kh_storage_visit_fn *visit,
                void *visit_context) {
    const struct map_storage *map = context;
    if (map->read_errno != 0) return map->read_errno;
    for (const struct map_entry *entry = map->first; entry != NULL; entry = entry->next) {
        if (compare(entry->key, from) < 0) continue;
        if (to.data != NULL && compare(entry->key, to) >= 0) break;
        if (!visit(visit_context, entry->key, entry->value)) break;
    }
    return 0;
}

static int get(void *context, kh_bytes key, kh_storage_visit_fn *visit, void *visit_context) {
    const struct map_storage *map = context;
    const struct map_entry *entry = map_storage_find(map, key);
    if (map->read_errno != 0) return map->read_errno;
    if (entry != NULL) (void)visit(visit_context, entry->key, entry->value);
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
                                       .position = position,
                                       .scan = scan,
                                       .get = get,
                                       .close = close_map};
}

void map_storage_fini(struct map_storage *map) {
    while (map->first != NULL) {
        struct map_entry *next = map->first->next;
        drop(map->first);
        map->first = next;
    }
}
