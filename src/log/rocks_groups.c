/* rocks_groups.c - see rocks_groups.h. */
#include "log/rocks_groups.h"

#include "base/status.h"

void groups_open(struct groups *groups, struct rocks *rocks) {
    groups->rocks = rocks;
    groups->iterator = rocksdb_create_iterator(rocks->db, rocks->scanning);
}

void groups_close(struct groups *groups) {
    if (groups->iterator != NULL) rocksdb_iter_destroy(groups->iterator);
    groups->iterator = NULL;
}

static bool is_at(const struct groups *groups, uint64_t position) {
    size_t key_bytes;
    if (!rocksdb_iter_valid(groups->iterator)) return false;
    const char *key = rocksdb_iter_key(groups->iterator, &key_bytes);
    return key_bytes == 8 && rocks_load_u64(key) == position;
}

void groups_seek(struct groups *groups, uint64_t position) {
    unsigned char key[8];
    rocks_store_u64(key, position);
    char *message = NULL;
    /* Mostly a group begins there; looking behind it would read another one, which may be large. */
    rocksdb_iter_seek(groups->iterator, (const char *)key, sizeof key);
    if (is_at(groups, position)) return;
    rocksdb_iter_seek_for_prev(groups->iterator, (const char *)key, sizeof key);
    if (rocksdb_iter_valid(groups->iterator)) return;
    /* One that cannot be read is not the same as none: groups_get says so. */
    rocksdb_iter_get_error(groups->iterator, &message);
    if (rocks_status(message, "", NULL) == KH_OK) rocksdb_iter_seek_to_first(groups->iterator);
}

void groups_next(struct groups *groups) {
    rocksdb_iter_next(groups->iterator);
}

kh_status groups_get(struct groups *groups, struct group_head *head, kh_bytes *body,
                     kh_bytes *bytes, kh_error *error) {
    if (!rocksdb_iter_valid(groups->iterator)) {
        char *message = NULL;
        rocksdb_iter_get_error(groups->iterator, &message);
        kh_status status = rocks_status(message, "the log cannot be read", error);
        return status == KH_OK ? KH_END : status;
    }
    size_t key_bytes;
    const char *key = rocksdb_iter_key(groups->iterator, &key_bytes);
    kh_bytes whole;
    whole.data = rocksdb_iter_value(groups->iterator, &whole.size_bytes);
    if (key_bytes != 8)
        return status_fail(error, KH_CORRUPT, "the log has a key of %zu bytes", key_bytes);
    kh_error detail;
    kh_status status = group_decode(whole, head, body, &detail);
    uint64_t position = rocks_load_u64(key);
    if (status != KH_OK)
        return status_fail(error, status, "the group at record %llu: %.180s",
                           (unsigned long long)position, detail.message);
    if (head->first != position)
        return status_fail(error, KH_CORRUPT, "the group at record %llu says that it is at %llu",
                           (unsigned long long)position, (unsigned long long)head->first);
    if (bytes != NULL) *bytes = whole;
    return KH_OK;
}

kh_status groups_find_number(struct groups *groups, uint64_t number, uint64_t low, uint64_t high,
                             struct group_head *head, kh_bytes *bytes, kh_error *error) {
    kh_bytes body;
    while (low <= high) {
        uint64_t middle = low + (high - low) / 2;
        groups_seek(groups, middle);
        kh_status status = groups_get(groups, head, &body, bytes, error);
        if (status != KH_OK) return status == KH_END ? KH_NOT_FOUND : status;
        if (head->number == number) return KH_OK;
        if (head->first > middle) { /* nothing begins at or before it */
            low = middle + 1;
        } else if (head->number < number) {
            /* Where a group is missing, it ends before the middle. */
            uint64_t end = head->first + head->record_count;
            low = end > middle ? end : middle + 1;
        } else if (head->first <= low) {
            return KH_NOT_FOUND;
        } else {
            high = head->first - 1;
        }
    }
    return KH_NOT_FOUND;
}

/* ---- the anchor ------------------------------------------------------------------------------ */

const char groups_anchor_key[2] = {0, 'a'};

kh_status groups_read_anchor(struct rocks *values, const struct digest *genesis, struct chain *out,
                             kh_error *error) {
    kh_bytes key = {groups_anchor_key, sizeof groups_anchor_key};
    char *value = NULL;
    size_t value_bytes = 0;
    kh_status status = rocks_get(values, key, &value, &value_bytes, error);
    if (status == KH_NOT_FOUND) {
        chain_init(out, genesis);
        return KH_OK;
    }
    if (status != KH_OK) return status;
    struct chain chain;
    status = chain_import((kh_bytes){value, value_bytes}, &chain, error);
    rocksdb_free(value);
    if (status == KH_OK && !digest_is_equal(&chain.stack[0].digest, genesis))
        status = status_fail(error, KH_CORRUPT, "the anchor is of another database or timeline");
    if (status == KH_OK) *out = chain;
    return status;
}
