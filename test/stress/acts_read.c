/* acts_read.c - actions that read: snapshots, scans beside gets, readers that stay open, the past,
 * histories, exports and streams that outlive their transaction. */
#include "stress.h"

void act_snapshot(struct worker *worker) {
    struct deed deed;
    kh_isolation level = draw_level(worker);
    uint32_t flags = one_in(&worker->random, 3) ? 0 : KH_BEGIN_READ_ONLY;
    if (level == KH_SERIALIZABLE && flags != 0 && !worker->is_nested && one_in(&worker->random, 2))
        flags |= KH_BEGIN_DEFERRABLE;
    if (!deed_begin(worker, &deed, level, KH_FAIL, flags)) return;
    see_snapshot(worker, deed.txn, level == KH_READ_COMMITTED);
    bool is_committed = deed_commit(&deed, NULL);
    bool is_bound = level != KH_SERIALIZABLE || (flags & KH_BEGIN_DEFERRABLE) != 0;
    CHECK(worker, is_committed || !is_bound || deed.status != KH_NOT_SERIALIZABLE,
          "a reader that is not certified ends with %s", kh_status_name(deed.status));
}

/* ---- a scan beside gets ---------------------------------------------------------------------- */

/* The scan's entry, got by its key: the same batch. */
static void compare_with_get(struct deed *deed, kh_bytes bytes, const kh_batch *value) {
    const kh_batch *again = NULL;
    kh_status status = kh_txn_peek(deed->txn, bytes, &again, NULL);
    if (status != KH_OK && status != KH_NOT_FOUND) {
        deed->status = status;
        return;
    }
    CHECK(deed->worker, status == KH_OK && (value == NULL || again == value),
          "%.6s: a scan and a get of one snapshot differ", (const char *)bytes.data);
}

/* Own writes before the scan are in it, those after are not. */
static uint32_t write_some(struct deed *deed) {
    struct worker *worker = deed->worker;
    uint32_t key = key_of(CHURN, worker->number * CHURN_KEYS + draw(&worker->random, CHURN_KEYS));
    if (deed->is_read_only) return UINT32_MAX;
    if (one_in(&worker->random, 3)) {
        deed_delete(deed, key);
    } else {
        deed_put(deed, key, 123456789, 5);
    }
    return key;
}

static bool draw_range(struct worker *worker, kh_scan_options *range, struct key_text spaces[2],
                       char prefix[2], uint32_t bounds[2]) {
    uint32_t a = key_of((enum table)draw(&worker->random, TABLE_COUNT), draw(&worker->random, 12));
    uint32_t b = key_of((enum table)draw(&worker->random, TABLE_COUNT), draw(&worker->random, 12));
    *range = (kh_scan_options)KH_SCAN_OPTIONS_INIT;
    range->flags = (uint32_t)draw(&worker->random, 4);
    range->limit = one_in(&worker->random, 2) ? 0 : (uint64_t)draw(&worker->random, 30) + 1;
    if (one_in(&worker->random, 2)) {
        prefix[0] = TABLE_LETTERS[a / INDEX_MAX];
        prefix[1] = '/';
        range->prefix = (kh_bytes){prefix, 2};
        return false;
    }
    range->from = key_bytes(a, &spaces[0]);
    range->to = key_bytes(b, &spaces[1]);
    bounds[0] = a;
    bounds[1] = b;
    return true;
}

static bool is_inside(const kh_scan_options *range, kh_bytes key) {
    size_t size = range->prefix.size_bytes;
    if (size > 0) return key.size_bytes >= size && memcmp(key.data, range->prefix.data, size) == 0;
    return memcmp(key.data, range->from.data, KEY_BYTES) >= 0 &&
           memcmp(key.data, range->to.data, KEY_BYTES) < 0;
}

/* One entry of the scan: in the range, in order, as a get shows it. */
static void check_entry(struct deed *deed, const kh_scan_options *range, kh_bytes bytes,
                        const kh_batch *value, char last[KEY_BYTES], uint64_t count) {
    struct worker *worker = deed->worker;
    bool is_back = (range->flags & KH_SCAN_REVERSE) != 0;
    uint32_t key = 0;
    CHECK(worker, key_parse(bytes, &key), "a scan gives a key that nobody wrote");
    CHECK(worker, is_inside(range, bytes), "a scan gives %.6s outside of its range",
          (const char *)bytes.data);
    int order = memcmp(bytes.data, last, KEY_BYTES);
    CHECK(worker, count == 1 || (is_back ? order < 0 : order > 0), "a scan gives %.6s after %.6s",
          (const char *)bytes.data, last);
    memcpy(last, bytes.data, KEY_BYTES);
    CHECK(worker, (value == NULL) == ((range->flags & KH_SCAN_KEYS_ONLY) != 0),
          "a scan of keys gives values, or the other way round");
    CHECK(worker, range->limit == 0 || count <= range->limit, "a scan goes beyond its limit");
    if (deed->level != KH_READ_COMMITTED && one_in(&worker->random, 4))
        compare_with_get(deed, bytes, value);
}

void act_scan(struct worker *worker) {
    struct deed deed;
    kh_scan_options range;
    struct key_text spaces[2];
    char prefix[2];
    uint32_t bounds[2];
    char last[KEY_BYTES] = {0};
    kh_cursor *cursor = NULL;
    kh_bytes bytes;
    const kh_batch *value = NULL;
    uint64_t count = 0;
    uint32_t flags = one_in(&worker->random, 2) ? KH_BEGIN_READ_ONLY : 0;
    if (!deed_begin(worker, &deed, draw_level(worker), KH_FAIL, flags)) return;
    uint32_t before = write_some(&deed);
    (void)draw_range(worker, &range, spaces, prefix, bounds);
    kh_status status = deed.status;
    if (status == KH_OK) status = kh_txn_scan(deed.txn, &range, &cursor, NULL);
    bool is_early = one_in(&worker->random, 3);
    while (status == KH_OK && (status = kh_cursor_next(cursor, &bytes, &value, NULL)) == KH_OK) {
        check_entry(&deed, &range, bytes, value, last, ++count);
        if (deed.status != KH_OK) status = deed.status;
        if (is_early && count == 3) break;
        let_others(worker);
    }
    kh_cursor_close(cursor);
    if (status != KH_END) deed.status = status;
    if (before != UINT32_MAX) {
        deed_roll_back(&deed);
    } else {
        (void)deed_commit(&deed, NULL);
    }
}

/* ---- readers that stay ----------------------------------------------------------------------- */

static void reader_close(struct worker *worker, struct reader *reader) {
    kh_status status = kh_txn_commit(reader->txn, NULL, NULL);
    count_end(worker, status);
    if (status == KH_OK) worker->tally.read_only++;
    kh_txn_close(reader->txn);
    reader->txn = NULL;
}

static void reader_open(struct worker *worker, struct reader *reader) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    int how = draw(&worker->random, worker->is_nested ? 3 : 4);
    options.isolation = how < 2 ? KH_REPEATABLE_READ : KH_SERIALIZABLE;
    options.flags = how == 0   ? 0
                    : how == 3 ? KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE
                               : KH_BEGIN_READ_ONLY;
    options.tag = "long reader";
    *reader = (struct reader){.txn = NULL};
    kh_status status = kh_txn_begin(worker->world->db, &options, &reader->txn, NULL);
    CHECK(worker, status == KH_OK || status == KH_BUSY, "kh_txn_begin answers %s",
          kh_status_name(status));
    if (status != KH_OK) reader->txn = NULL;
}

/* What was seen once is seen again: the very batch, and the same in it. */
static bool look_again(struct worker *worker, struct reader *reader, struct remembered *one) {
    struct key_text space;
    const kh_batch *batch = NULL;
    struct cell cell = {0, 0};
    kh_status status = kh_txn_peek(reader->txn, key_bytes(one->key, &space), &batch, NULL);
    if (status == KH_NOT_FOUND) batch = NULL;
    if (status != KH_OK && status != KH_NOT_FOUND) return false;
    CHECK(worker, batch == one->batch, "key %u: a snapshot shows another value than before",
          one->key);
    if (batch == NULL) return true;
    CHECK(worker, value_read(batch, &cell) && cell.n == one->n && cell.v == one->v,
          "key %u: a value changes under a snapshot", one->key);
    return true;
}

static bool look_at_more(struct worker *worker, struct reader *reader) {
    static const enum table tables[] = {BANK, GROUPS, DUTY, CALLED, REPLACED, CHURN, FAT};
    struct remembered one = {key_of(tables[draw(&worker->random, 7)], draw(&worker->random, 24)),
                             NULL, 0, 0};
    struct key_text space;
    struct cell cell = {0, 0};
    kh_status status = kh_txn_peek(reader->txn, key_bytes(one.key, &space), &one.batch, NULL);
    if (status != KH_OK && status != KH_NOT_FOUND) return false;
    if (status == KH_NOT_FOUND) one.batch = NULL;
    if (one.batch != NULL) CHECK(worker, value_read(one.batch, &cell), "a value cannot be read");
    one.n = cell.n;
    one.v = cell.v;
    reader->remembered[reader->remembered_count++] = one;
    return true;
}

void act_long_reader(struct worker *worker) {
    struct reader *reader = &worker->readers[draw(&worker->random, READERS_MAX)];
    if (reader->txn == NULL) reader_open(worker, reader);
    if (reader->txn == NULL) return;
    bool is_alive = true;
    for (int i = 0; i < reader->remembered_count && is_alive; i++)
        is_alive = look_again(worker, reader, &reader->remembered[i]);
    for (int i = 0; i < 4 && is_alive && reader->remembered_count < REMEMBERED_MAX; i++)
        is_alive = look_at_more(worker, reader);
    if (is_alive && one_in(&worker->random, 4)) see_snapshot(worker, reader->txn, false);
    int patience = worker->world->options.has_memory_limit ? 2 : 6;
    if (!is_alive || one_in(&worker->random, patience)) reader_close(worker, reader);
}

void readers_close(struct worker *worker) {
    for (int i = 0; i < READERS_MAX; i++)
        if (worker->readers[i].txn != NULL) reader_close(worker, &worker->readers[i]);
}

/* ---- the past -------------------------------------------------------------------------------- */

void act_past(struct worker *worker) {
    struct world *world = worker->world;
    struct deed deed = {.worker = worker, .level = KH_REPEATABLE_READ, .is_read_only = true};
    struct cell cell;
    if (worker->past_count == 0) return;
    int known = worker->past_count < PAST_MAX ? worker->past_count : PAST_MAX;
    const struct past *past = &worker->pasts[draw(&worker->random, known)];
    kh_status status = kh_txn_begin_at(world->db, past->at, &deed.txn, NULL);
    if (status != KH_OK) {
        bool is_old = status == KH_TOO_OLD && past->at < kh_db_horizon(world->db);
        CHECK(worker, is_old || status == KH_BUSY, "kh_txn_begin_at answers %s",
              kh_status_name(status));
        return;
    }
    deed.last_snapshot = kh_txn_snapshot(deed.txn);
    CHECK(worker, deed.last_snapshot == past->at, "the past is another than asked for");
    bool is_there = deed_get(&deed, past->key, &cell);
    CHECK(worker, deed.status != KH_OK || (is_there && cell.n == past->n && cell.v == past->v),
          "key %u at %llu is %lld/%lld, not %lld/%lld", past->key, (unsigned long long)past->at,
          (long long)cell.n, (long long)cell.v, (long long)past->n, (long long)past->v);
    see_snapshot(worker, deed.txn, false);
    (void)deed_commit(&deed, NULL);
}

struct seen_history {
    struct worker *worker;
    kh_timestamp last;
    int64_t last_v;
    int count;
};

/* Newest first; an account's versions count down by one. */
static bool see_version(void *context, const kh_version_entry *version) {
    struct seen_history *seen = context;
    struct cell cell;
    CHECK(seen->worker, version->timestamp < seen->last, "a history is not in order");
    seen->last = version->timestamp;
    bool is_sound = version->value != NULL && value_read(version->value, &cell);
    CHECK(seen->worker, is_sound, "an account's history shows what nobody wrote");
    if (!is_sound) return false;
    CHECK(seen->worker, seen->count == 0 || cell.v < seen->last_v,
          "an account's version is %lld before %lld", (long long)cell.v, (long long)seen->last_v);
    seen->last_v = cell.v;
    return ++seen->count < 40;
}

void act_history(struct worker *worker) {
    struct seen_history seen = {worker, UINT64_MAX, 0, 0};
    struct key_text space;
    bool is_complete = false;
    kh_bytes key = key_bytes(key_of(BANK, draw(&worker->random, ACCOUNTS)), &space);
    kh_status status = kh_db_history(worker->world->db, key, 0, UINT64_MAX, see_version, &seen,
                                     &is_complete, NULL);
    CHECK(worker, status == KH_OK && seen.count >= 1, "kh_db_history answers %s, %d versions",
          kh_status_name(status), seen.count);
}

/* ---- exports and streams --------------------------------------------------------------------- */

static void export_check(struct worker *worker, struct exported *one) {
    const struct ArrowArray *array = &one->array;
    const int64_t *n = array->children[0]->buffers[1];
    const int64_t *v = array->children[1]->buffers[1];
    CHECK(worker,
          array->length >= 1 && n[array->children[0]->offset] == one->n &&
              v[array->children[1]->offset] == one->v,
          "an exported array changes");
    one->array.release(&one->array);
}

void exports_check(struct worker *worker, bool is_all) {
    for (int i = 0; i < EXPORTS_MAX; i++) {
        struct exported *one = &worker->exports[i];
        if (one->array.release == NULL) continue;
        if (is_all || one_in(&worker->random, 3)) export_check(worker, one);
    }
}

void act_export(struct worker *worker) {
    struct deed deed;
    struct exported *slot = &worker->exports[draw(&worker->random, EXPORTS_MAX)];
    struct cell cell;
    if (slot->array.release != NULL) export_check(worker, slot);
    if (!deed_begin(worker, &deed, draw_level(worker), KH_FAIL, KH_BEGIN_READ_ONLY)) return;
    uint32_t key = one_in(&worker->random, 3) ? key_of(FAT, draw(&worker->random, FAT_KEYS))
                                              : key_of(BANK, draw(&worker->random, ACCOUNTS));
    kh_batch *batch = deed_get_batch(&deed, key);
    if (batch != NULL && value_read(batch, &cell)) {
        kh_status status = kh_batch_export(batch, &slot->array, NULL, NULL);
        CHECK(worker, status == KH_OK, "kh_batch_export answers %s", kh_status_name(status));
        if (status != KH_OK) slot->array.release = NULL;
        slot->n = cell.n;
        slot->v = cell.v;
        worker->tally.exports++;
    }
    kh_batch_release(batch);
    (void)deed_commit(&deed, NULL);
}

/* The stream is read after its transaction has ended. */
static void drain_stream(struct worker *worker, struct ArrowArrayStream *stream) {
    int64_t money = 0;
    int64_t accounts = 0;
    struct ArrowArray array;
    for (;;) {
        int code = stream->get_next(stream, &array);
        CHECK(worker, code == 0, "a stream answers %d", code);
        if (code != 0 || array.release == NULL) break;
        const int64_t *n = array.children[0]->buffers[1];
        money += n[array.children[0]->offset + array.offset];
        accounts++;
        array.release(&array);
        let_others(worker);
    }
    stream->release(stream);
    CHECK(worker, accounts == ACCOUNTS && money == ACCOUNTS * BALANCE,
          "a stream shows %lld accounts with %lld", (long long)accounts, (long long)money);
}

void act_stream(struct worker *worker) {
    struct deed deed;
    struct ArrowArrayStream stream;
    kh_scan_options options = KH_SCAN_OPTIONS_INIT;
    options.prefix = (kh_bytes){"b/", 2};
    options.flags = one_in(&worker->random, 2) ? KH_SCAN_REVERSE : 0;
    if (!deed_begin(worker, &deed, draw_level(worker), KH_FAIL, KH_BEGIN_READ_ONLY)) return;
    deed.status = kh_txn_scan_stream(deed.txn, &options, NULL, &stream, NULL);
    bool is_open = deed.status == KH_OK;
    (void)deed_commit(&deed, NULL);
    if (is_open) drain_stream(worker, &stream);
}
