/* cursor.c - opening, stepping and closing a scan. See cursor.h. */
#include "db/cursor.h"

#include "db/fetch.h"
#include <stdlib.h>
#include <string.h>

/* ---- opening --------------------------------------------------------------------------------- */

static kh_status copy_span(kh_txn *txn, kh_bytes span, kh_bytes *out, kh_error *error) {
    if (span.data == NULL || span.size_bytes == 0) {
        *out = (kh_bytes){NULL, 0};
        return KH_OK;
    }
    void *copy = arena_copy(&txn->arena, span.data, span.size_bytes);
    if (copy == NULL) return status_no_memory(error, span.size_bytes);
    *out = (kh_bytes){copy, span.size_bytes};
    return KH_OK;
}

/* The least key above all keys with that prefix; data NULL: there is none. */
static kh_status prefix_end(kh_txn *txn, kh_bytes prefix, kh_bytes *out, kh_error *error) {
    const unsigned char *bytes = prefix.data;
    size_t length = prefix.size_bytes;
    while (length > 0 && bytes[length - 1] == 0xff) length--;
    *out = (kh_bytes){NULL, 0};
    if (length == 0) return KH_OK;
    unsigned char *copy = arena_copy(&txn->arena, bytes, length);
    if (copy == NULL) return status_no_memory(error, length);
    copy[length - 1]++;
    *out = (kh_bytes){copy, length};
    return KH_OK;
}

static kh_status set_bounds(struct kh_cursor *cursor, const kh_scan_options *options,
                            kh_error *error) {
    kh_txn *txn = cursor->txn;
    kh_bytes to;
    kh_bytes end;
    kh_status status = copy_span(txn, options->prefix, &cursor->prefix, error);
    if (status == KH_OK) status = copy_span(txn, options->from, &cursor->from, error);
    if (status == KH_OK) status = copy_span(txn, options->to, &to, error);
    if (status == KH_OK) status = prefix_end(txn, cursor->prefix, &end, error);
    if (status != KH_OK) return status;
    if (key_compare(cursor->from, cursor->prefix) < 0) cursor->from = cursor->prefix;
    cursor->to = to;
    if (to.data == NULL || (end.data != NULL && key_compare(end, to) < 0)) cursor->to = end;
    return KH_OK;
}

static bool is_inside(const struct kh_cursor *cursor, kh_bytes key) {
    if (cursor->from.size_bytes > 0 && key_compare(key, cursor->from) < 0) return false;
    return cursor->to.data == NULL || key_compare(key, cursor->to) < 0;
}

static kh_status copy_ops(kh_txn *txn, const struct row_op *ops, struct row_op **out,
                          kh_error *error) {
    struct row_op **link = out;
    *out = NULL;
    for (const struct row_op *op = ops; op != NULL; op = op->next) {
        struct row_op *copy = arena_alloc(&txn->arena, sizeof *copy);
        if (copy == NULL) return status_no_memory(error, sizeof *copy);
        *copy = (struct row_op){NULL, batch_retain(op->rows), op->kind};
        *link = copy;
        link = &copy->next;
    }
    return KH_OK;
}

static int compare_own(const void *a, const void *b) {
    return key_compare(((const struct own_entry *)a)->key, ((const struct own_entry *)b)->key);
}

static kh_status collect_own(struct kh_cursor *cursor, kh_error *error) {
    kh_txn *txn = cursor->txn;
    const struct writeset *set = &txn->writes;
    if (set->live_count == 0) return KH_OK;
    cursor->own = arena_alloc(&txn->arena, set->live_count * sizeof *cursor->own);
    if (cursor->own == NULL) return status_no_memory(error, set->live_count * sizeof *cursor->own);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct write *write = &set->writes[i];
        if (write->kind == WRITE_NONE || !is_inside(cursor, write->key)) continue;
        struct own_entry *own = &cursor->own[cursor->own_count];
        *own = (struct own_entry){
            .index = i, .key = write->key, .hash = write->hash, .kind = write->kind};
        own->mine = write->mine == NULL ? NULL : batch_retain(write->mine);
        cursor->own_count++;
        kh_status status = copy_ops(txn, write->ops, &own->ops, error);
        if (status != KH_OK) return status;
    }
    qsort(cursor->own, cursor->own_count, sizeof *cursor->own, compare_own);
    return KH_OK;
}

/* The whole range is remembered at once, so that nothing can fail when the cursor is closed. */
static kh_status track_range(struct kh_cursor *cursor, kh_error *error) {
    kh_txn *txn = cursor->txn;
    kh_bytes *holes = NULL;
    if (cursor->own_count > 0) {
        holes = arena_alloc(&txn->arena, cursor->own_count * sizeof *holes);
        if (holes == NULL) return status_no_memory(error, cursor->own_count * sizeof *holes);
        for (size_t i = 0; i < cursor->own_count; i++) holes[i] = cursor->own[i].key;
    }
    struct read_range range = {.from = cursor->from,
                               .to = cursor->to,
                               .holes = holes,
                               .hole_count = cursor->own_count,
                               .timestamp = cursor->timestamp};
    kh_status status =
        readset_add_range(&txn->reads, &txn->arena, &range, &cursor->range_index, error);
    cursor->range_widen_count = txn->reads.widen_count;
    cursor->is_tracked = status == KH_OK;
    return status;
}

/* One statement has one timestamp: at read committed other statements may move the transaction's,
 * so the cursor's is held by a handle of its own. */
static kh_status anchor(struct kh_cursor *cursor, kh_error *error) {
    kh_txn *txn = cursor->txn;
    if (txn->isolation == KH_READ_COMMITTED) {
        kh_status status = handle_acquire(txn->db, &cursor->anchor, error);
        if (status != KH_OK) return status;
        txn->snapshot = snapshot_take(cursor->anchor->line, &txn->db->store.visible, SLOT_READ);
        snapshot_set(txn->line, txn->snapshot);
    }
    cursor->timestamp = txn->snapshot;
    return KH_OK;
}

static void release_own(struct kh_cursor *cursor) {
    for (size_t i = 0; i < cursor->own_count; i++) {
        batch_release(cursor->own[i].mine, cursor->txn->cache);
        for (struct row_op *op = cursor->own[i].ops; op != NULL; op = op->next)
            batch_release(op->rows, cursor->txn->cache);
    }
    cursor->own_count = 0;
}

static void release_parts(struct kh_cursor *cursor) {
    kh_txn *txn = cursor->txn;
    release_own(cursor);
    batch_release(cursor->current, txn->cache);
    cursor->current = NULL;
    if (cursor->anchor != NULL) {
        snapshot_drop(cursor->anchor->line);
        handle_release(cursor->anchor);
        cursor->anchor = NULL;
    }
    mem_free(cursor->mem, txn->cache, cursor->last_raw, cursor->last_raw_capacity);
    cursor->last_raw = NULL;
    cursor->last_raw_capacity = 0;
}

static void free_cursor(struct kh_cursor *cursor) {
    struct mem_cache *cache = cursor->txn->cache;
    release_parts(cursor);
    mem_free(cursor->mem, cache, cursor, sizeof *cursor);
}

static bool is_simple(const struct kh_cursor *cursor) {
    return cursor->own_count == 0 && !cursor->keeps_bases;
}

kh_status cursor_open(kh_txn *txn, const kh_scan_options *options, struct kh_cursor **out,
                      kh_error *error) {
    struct kh_cursor *cursor = mem_alloc(txn->db->home.mem, txn->cache, sizeof *cursor);
    if (cursor == NULL) return status_no_memory(error, sizeof *cursor);
    memset(cursor, 0, offsetof(struct kh_cursor, buffer));
    memset(&cursor->buffer_count, 0, sizeof *cursor - offsetof(struct kh_cursor, buffer_count));
    cursor->txn = txn;
    cursor->mem = txn->db->home.mem;
    cursor->is_reverse = options->flags & KH_SCAN_REVERSE;
    cursor->is_keys_only = options->flags & KH_SCAN_KEYS_ONLY;
    cursor->left = options->limit == 0 ? UINT64_MAX : options->limit;
    kh_status status = set_bounds(cursor, options, error);
    if (status == KH_OK) status = anchor(cursor, error);
    if (status == KH_OK) status = collect_own(cursor, error);
    if (status == KH_OK && txn->is_tracking) status = track_range(cursor, error);
    if (status != KH_OK) {
        free_cursor(cursor);
        return status;
    }
    cursor->is_store_done = cursor->to.data != NULL && key_compare(cursor->from, cursor->to) >= 0;
    cursor->own_next = cursor->is_reverse ? cursor->own_count : 0;
    cursor->keeps_bases = txn->isolation == KH_READ_COMMITTED && txn->policy >= KH_MERGE;
    cursor->is_simple = is_simple(cursor);
    cursor->next = txn->cursors;
    txn->cursors = cursor;
    *out = cursor;
    return KH_OK;
}

/* ---- stepping -------------------------------------------------------------------------------- */

static kh_status remember_raw(struct kh_cursor *cursor, kh_bytes key, kh_error *error) {
    kh_txn *txn = cursor->txn;
    if (key.size_bytes > cursor->last_raw_capacity) {
        size_t capacity = key.size_bytes < 128 ? 128 : key.size_bytes;
        void *grown = mem_alloc(txn->db->home.mem, txn->cache, capacity);
        if (grown == NULL) return status_no_memory(error, capacity);
        mem_free(txn->db->home.mem, txn->cache, cursor->last_raw, cursor->last_raw_capacity);
        cursor->last_raw = grown;
        cursor->last_raw_capacity = capacity;
    }
    memcpy(cursor->last_raw, key.data, key.size_bytes);
    cursor->last_raw_bytes = key.size_bytes;
    return KH_OK;
}

/* False: no value at the timestamp. One in the storage only stays NULL until its turn comes. */
static bool look_closer(struct kh_cursor *cursor, struct entry *entry, const kh_batch **out) {
    const struct version *version = cursor->is_keys_only ? entry_visible(entry, cursor->timestamp)
                                                         : entry_read(entry, cursor->timestamp);
    if (version == NULL || version_is_tombstone(version)) return false;
    if (cursor->is_keys_only) return true;
    if (version_is_cold(version)) {
        cursor->is_simple = false;
    } else {
        *out = version_batch(version);
    }
    return true;
}

/* Keep the entries that are live at the timestamp. The next ones are brought into the cache
 * meanwhile: a scan is bound by their misses. Values wait for cursor_next. */
static void keep_live(struct kh_cursor *cursor, struct entry **entries, size_t count) {
    enum { AHEAD = 24 };
    size_t kept = 0;
    cursor->is_simple = is_simple(cursor);
    for (size_t i = 0; i < count && i < AHEAD; i++) __builtin_prefetch(entries[i]);
    for (size_t i = 0; i < count; i++) {
        if (i + AHEAD < count) __builtin_prefetch(entries[i + AHEAD]);
        const kh_batch *batch = entry_value_fast(entries[i], cursor->timestamp);
        if (KH_UNLIKELY(batch == NULL) && !look_closer(cursor, entries[i], &batch)) continue;
        cursor->buffer[kept++] = (struct cursor_entry){entry_key(entries[i]), batch};
    }
    cursor->buffer_count = kept;
    cursor->buffer_next = 0;
}

/* Cut entries outside of [from, to): the index was asked for everything past the bound. */
static size_t cut(const struct kh_cursor *cursor, struct entry **entries, size_t count) {
    if (count == 0 || is_inside(cursor, entry_key(entries[count - 1]))) return count;
    size_t inside = 0;
    while (inside < count && is_inside(cursor, entry_key(entries[inside]))) inside++;
    return inside;
}

static kh_status fill_once(struct kh_cursor *cursor, kh_error *error) {
    struct entry *entries[CURSOR_BATCH];
    kh_bytes bound = cursor->is_reverse ? cursor->to : cursor->from;
    bool is_exclusive = cursor->is_reverse;
    if (cursor->last_raw_bytes > 0) {
        bound = (kh_bytes){cursor->last_raw, cursor->last_raw_bytes};
        is_exclusive = true;
    }
    if (bound.size_bytes == 0) bound.data = NULL;
    size_t capacity = CURSOR_BATCH;
    if (cursor->left < capacity) capacity = (size_t)cursor->left + cursor->own_count;
    if (capacity > CURSOR_BATCH) capacity = CURSOR_BATCH;
    const struct index *index = cursor->txn->db->store.index;
    size_t count = index_scan(index, cursor->prefix, bound, is_exclusive, cursor->is_reverse,
                              entries, capacity);
    size_t inside = cut(cursor, entries, count);
    if (inside < capacity) {
        cursor->is_store_done = true;
    } else {
        kh_status status = remember_raw(cursor, entry_key(entries[count - 1]), error);
        if (status != KH_OK) return status;
    }
    keep_live(cursor, entries, inside);
    return KH_OK;
}

static kh_status fill(struct kh_cursor *cursor, kh_error *error) {
    kh_status status = KH_OK;
    struct kh_db *db = cursor->txn->db;
    read_note_lending(cursor->anchor != NULL ? cursor->anchor : cursor->txn);
    epoch_open(&db->store.epoch, &cursor->txn->epoch);
    while (status == KH_OK && cursor->buffer_next == cursor->buffer_count && !cursor->is_store_done)
        status = fill_once(cursor, error);
    epoch_close(&db->store.epoch, &cursor->txn->epoch);
    return status;
}

static struct own_entry *peek_own(struct kh_cursor *cursor) {
    if (cursor->is_reverse)
        return cursor->own_next == 0 ? NULL : &cursor->own[cursor->own_next - 1];
    return cursor->own_next == cursor->own_count ? NULL : &cursor->own[cursor->own_next];
}

static void step_own(struct kh_cursor *cursor) {
    if (cursor->is_reverse) {
        cursor->own_next--;
    } else {
        cursor->own_next++;
    }
}

/* What it showed before goes; others must not come by it any more (db/janitor.c). */
static void release_current(struct kh_cursor *cursor) {
    cursor->current_value = NULL;
    batch_release(cursor->current, cursor->txn->cache);
    cursor->current = NULL;
}

/* *value NULL: deleted. */
static kh_status own_value(struct kh_cursor *cursor, struct own_entry *own, const kh_batch **value,
                           kh_error *error) {
    kh_txn *txn = cursor->txn;
    txn->writes.writes[own->index].is_read_back = true;
    if (own->kind != WRITE_ROWS) {
        *value = own->mine;
        return KH_OK;
    }
    const kh_batch *base = NULL;
    epoch_open(&txn->db->store.epoch, &txn->epoch);
    uint64_t snapshot = txn->snapshot;
    txn->snapshot = cursor->timestamp;
    kh_status status = read_version(txn, own->key, own->hash, &base, error);
    txn->snapshot = snapshot;
    if (status == KH_OK && base != NULL) base = batch_retain(base);
    epoch_close(&txn->db->store.epoch, &txn->epoch);
    if (status != KH_OK) return status;
    struct resolve_context context;
    read_resolve_context(txn, &context);
    kh_batch *made = NULL;
    status = resolve_rows(&context, base, own->ops, &made, error);
    batch_release((kh_batch *)base, txn->cache);
    if (status != KH_OK) return status;
    release_current(cursor);
    cursor->current = made;
    *value = made;
    return KH_OK;
}

static kh_status next_own(struct kh_cursor *cursor, struct own_entry *own, kh_bytes *key,
                          const kh_batch **value, bool *is_found, kh_error *error) {
    const kh_batch *batch = NULL;
    kh_status status = own_value(cursor, own, &batch, error);
    if (status != KH_OK) return status;
    step_own(cursor);
    *is_found = batch != NULL;
    if (batch != NULL) cursor_give(cursor, own->key, batch, key, value);
    return KH_OK;
}

static struct entry *entry_of(const struct cursor_entry *found) {
    return (struct entry *)(void *)((unsigned char *)(uintptr_t)found->key.data -
                                    offsetof(struct entry, key));
}

/* Its turn has come: it may be back in memory by now. What is fetched is not put there: a scan
 * would drive out what point reads want. */
static kh_status fetch(struct kh_cursor *cursor, struct cursor_entry *found, kh_error *error) {
    kh_txn *txn = cursor->txn;
    epoch_open(&txn->db->store.epoch, &txn->epoch);
    const struct version *version = entry_read(entry_of(found), cursor->timestamp);
    uint64_t cold_commit = version_is_cold(version) ? version->commit : 0;
    if (cold_commit == 0) found->batch = version_batch(version);
    epoch_close(&txn->db->store.epoch, &txn->epoch);
    if (cold_commit == 0) return KH_OK;
    kh_batch *batch = NULL;
    kh_status status = fetch_seen(txn, found->key, cold_commit, &batch, error);
    if (status != KH_OK) return status;
    release_current(cursor);
    found->batch = cursor->current = batch;
    return KH_OK;
}

/* Each value read is held as a base. */
static kh_status keep_scanned(struct kh_cursor *cursor, const struct cursor_entry *entry,
                              kh_error *error) {
    kh_txn *txn = cursor->txn;
    struct kept_base *base = arena_alloc(&txn->arena, sizeof *base);
    if (base == NULL) return status_no_memory(error, sizeof *base);
    base->entry = entry_of(entry);
    base->timestamp = cursor->timestamp;
    base->batch = batch_retain(entry->batch);
    base->next = txn->bases;
    txn->bases = base;
    return KH_OK;
}

static kh_status next_stored(struct kh_cursor *cursor, kh_bytes *key, const kh_batch **value,
                             kh_error *error) {
    struct cursor_entry *found = &cursor->buffer[cursor->buffer_next];
    kh_status status = KH_OK;
    bool is_wanted = (value != NULL && !cursor->is_keys_only) || cursor->keeps_bases;
    if (KH_UNLIKELY(found->batch == NULL) && is_wanted) status = fetch(cursor, found, error);
    if (status == KH_OK && cursor->keeps_bases) status = keep_scanned(cursor, found, error);
    if (status != KH_OK) return status;
    cursor_give_stored(cursor, key, value);
    return KH_OK;
}

/* Which comes next: > 0 the store's entry, < 0 the own write, 0 both have the same key. */
static int compare_heads(const struct kh_cursor *cursor, bool has_store,
                         const struct own_entry *own) {
    if (KH_LIKELY(own == NULL)) return 1;
    if (!has_store) return -1;
    int order = key_compare(own->key, cursor->buffer[cursor->buffer_next].key);
    return cursor->is_reverse ? -order : order;
}

kh_status cursor_next_any(struct kh_cursor *cursor, kh_bytes *key, const kh_batch **value,
                          kh_error *error) {
    while (cursor->left > 0) {
        if (KH_UNLIKELY(cursor->buffer_next == cursor->buffer_count) && !cursor->is_store_done) {
            kh_status status = fill(cursor, error);
            if (status != KH_OK) return status;
        }
        bool has_store = cursor->buffer_next < cursor->buffer_count;
        struct own_entry *own = peek_own(cursor);
        if (!has_store && own == NULL) {
            cursor->is_exhausted = true;
            return KH_END;
        }
        int order = compare_heads(cursor, has_store, own);
        if (order > 0) return next_stored(cursor, key, value, error);
        if (order == 0) cursor->buffer_next++; /* the own write covers it */
        bool is_found = false;
        kh_status status = next_own(cursor, own, key, value, &is_found, error);
        if (status != KH_OK || is_found) return status;
    }
    return KH_END;
}

/* ---- closing --------------------------------------------------------------------------------- */

/* Only up to the last key returned was read. */
static void narrow(struct kh_cursor *cursor) {
    struct readset *reads = &cursor->txn->reads;
    if (!cursor->is_tracked || cursor->is_exhausted ||
        cursor->range_widen_count != reads->widen_count)
        return;
    struct read_range *range = &reads->ranges[cursor->range_index];
    kh_bytes last = cursor->last_returned;
    if (last.data != NULL) {
        last.data = arena_copy(&cursor->txn->arena, last.data, last.size_bytes);
        if (last.data == NULL) { /* the whole range stays: sound, but says nothing of absence */
            reads->widen_count++;
            return;
        }
    }
    if (last.data == NULL) { /* nothing: [from, from) */
        range->to = range->from.size_bytes > 0 ? range->from : (kh_bytes){"", 0};
        range->is_to_inclusive = false;
    } else if (cursor->is_reverse) {
        range->from = last;
    } else {
        range->to = last;
        range->is_to_inclusive = true;
    }
}

static void unlink_cursor(struct kh_cursor *cursor) {
    struct kh_cursor **link = &cursor->txn->cursors;
    while (*link != cursor) link = &(*link)->next;
    *link = cursor->next;
}

void cursor_orphan(struct kh_cursor *cursor) {
    unlink_cursor(cursor);
    release_parts(cursor);
    cursor->txn = NULL;
}

void cursor_close(struct kh_cursor *cursor) {
    narrow(cursor);
    unlink_cursor(cursor);
    free_cursor(cursor);
}
