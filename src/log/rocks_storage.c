/* rocks_storage.c - see rocks_storage.h. */
#include "log/rocks_storage.h"

#include "base/mem.h"
#include "base/status.h"
#include "log/rocks_handle.h"
#include "log/rocks_load.h"
#include "log/state_key.h"
#include <errno.h>
#include <string.h>

/* Before all keys of a storage, which begin with a letter. */
static const char position_key[] = {0};

/* RocksDB tells the kind of a failure in words only. */
static int code_of(kh_status status) {
    switch (status) {
    case KH_OK:
        return 0;
    case KH_CORRUPT:
        return EBADMSG;
    case KH_NO_SPACE:
        return ENOSPC;
    default:
        return EIO;
    }
}

static size_t count_before_versions(const kh_mutation *sorted, size_t count) {
    size_t at = 0;
    while (at < count && *(const unsigned char *)sorted[at].key.data < STATE_VERSION) at++;
    return at;
}

/* The log's instance is flushed first, as before a sync. */
static kh_status load_sorted(struct rocks_storage *parts, const kh_mutation *sorted, size_t count) {
    size_t others = count_before_versions(sorted, count); /* the position at least */
    struct rocks_table tables[] = {{sorted, others}, {sorted + others, count - others}};
    kh_status status = rocks_flush(parts->log, NULL);
    if (status != KH_OK) return status;
    return rocks_load(parts->values, tables, others == count ? 1 : 2, NULL);
}

static int load(struct rocks_storage *parts, const kh_mutation *mutations, size_t mutation_count,
                kh_log_position position) {
    struct mem *mem = parts->values->mem;
    size_t count = mutation_count + 1;
    unsigned char place[8];
    kh_mutation *sorted = mem_alloc(mem, NULL, count * sizeof *sorted);
    if (sorted == NULL) return ENOMEM;
    rocks_store_u64(place, position);
    sorted[0] = (kh_mutation){{position_key, sizeof position_key}, {place, sizeof place}};
    if (mutation_count > 0) memcpy(sorted + 1, mutations, mutation_count * sizeof *mutations);
    kh_status status = load_sorted(parts, sorted, count);
    mem_free(mem, NULL, sorted, count * sizeof *sorted);
    return code_of(status);
}

static size_t bytes_of(const kh_mutation *mutations, size_t mutation_count) {
    size_t size_bytes = 0;
    for (size_t i = 0; i < mutation_count; i++)
        size_bytes += mutations[i].key.size_bytes + mutations[i].value.size_bytes;
    return size_bytes;
}

static int apply(void *context, const kh_mutation *mutations, size_t mutation_count,
                 kh_log_position position) {
    struct rocks *rocks = ((struct rocks_storage *)context)->values;
    if (bytes_of(mutations, mutation_count) >= rocks_load_least(rocks))
        return load(context, mutations, mutation_count, position);
    unsigned char place[8];
    char *message = NULL;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    for (size_t i = 0; i < mutation_count; i++) {
        const kh_mutation *mutation = &mutations[i];
        if (mutation->value.data == NULL) {
            rocksdb_writebatch_delete(batch, mutation->key.data, mutation->key.size_bytes);
        } else {
            rocksdb_writebatch_put(batch, mutation->key.data, mutation->key.size_bytes,
                                   mutation->value.data, mutation->value.size_bytes);
        }
    }
    kh_status status = rocks_enter(rocks, NULL);
    rocks_store_u64(place, position);
    rocksdb_writebatch_put(batch, position_key, sizeof position_key, (const char *)place,
                           sizeof place);
    if (status == KH_OK) {
        rocksdb_write(rocks->db, rocks->unlogged, batch, &message);
        rocks_leave(rocks);
        status = rocks_status(message, "the storage cannot be written", NULL);
    }
    rocksdb_writebatch_destroy(batch);
    return code_of(status);
}

static int sync_all(void *context) {
    struct rocks_storage *parts = context;
    kh_status status = rocks_flush(parts->log, NULL);
    if (status == KH_OK) status = rocks_flush(parts->values, NULL);
    return code_of(status);
}

static int position(void *context, kh_log_position *out) {
    char *value = NULL;
    size_t value_bytes = 0;
    kh_bytes key = {position_key, sizeof position_key};
    kh_status status =
        rocks_get(((struct rocks_storage *)context)->values, key, &value, &value_bytes, NULL);
    *out = 0;
    if (status == KH_NOT_FOUND) return 0;
    if (status != KH_OK) return code_of(status);
    bool is_whole = value_bytes == 8;
    if (is_whole) *out = rocks_load_u64(value);
    rocksdb_free(value);
    return is_whole ? 0 : EBADMSG;
}

static bool is_before(const char *key, size_t key_bytes, kh_bytes to) {
    if (to.data == NULL) return true;
    size_t shorter = key_bytes < to.size_bytes ? key_bytes : to.size_bytes;
    int order = memcmp(key, to.data, shorter);
    return order != 0 ? order < 0 : key_bytes < to.size_bytes;
}

static int scan(void *context, kh_bytes from, kh_bytes to, kh_storage_visit_fn *visit,
                void *visit_context) {
    struct rocks *rocks = ((struct rocks_storage *)context)->values;
    char *message = NULL;
    if (rocks_enter(rocks, NULL) != KH_OK) return EIO;
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(rocks->db, rocks->scanning);
    rocksdb_iter_seek(iterator, from.data, from.size_bytes);
    for (; rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
        kh_bytes key;
        kh_bytes value;
        key.data = rocksdb_iter_key(iterator, &key.size_bytes);
        if (!is_before(key.data, key.size_bytes, to)) break;
        value.data = rocksdb_iter_value(iterator, &value.size_bytes);
        if (!visit(visit_context, key, value)) break;
    }
    rocksdb_iter_get_error(iterator, &message);
    rocksdb_iter_destroy(iterator);
    rocks_leave(rocks);
    return code_of(rocks_status(message, "the storage cannot be read", NULL));
}

static int get(void *context, kh_bytes key, kh_storage_visit_fn *visit, void *visit_context) {
    struct rocks *rocks = ((struct rocks_storage *)context)->values;
    char *message = NULL;
    if (rocks_enter(rocks, NULL) != KH_OK) return EIO;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(rocks->db, rocks->reading, key.data, key.size_bytes, &message);
    if (slice != NULL) {
        kh_bytes value;
        value.data = rocksdb_pinnableslice_value(slice, &value.size_bytes);
        (void)visit(visit_context, key, value);
        rocksdb_pinnableslice_destroy(slice);
    }
    rocks_leave(rocks);
    return code_of(rocks_status(message, "the storage cannot be read", NULL));
}

void rocks_storage_init(struct rocks_storage *storage, struct rocks *log, struct rocks *values) {
    storage->log = log;
    storage->values = values;
    storage->face = (struct kh_storage){.version = KH_STORAGE_VERSION,
                                        .size = sizeof storage->face,
                                        .context = storage,
                                        .apply = apply,
                                        .sync = sync_all,
                                        .position = position,
                                        .scan = scan,
                                        .get = get};
}
