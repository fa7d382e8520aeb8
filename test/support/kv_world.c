/* kv_world.c - the steps: begin, reads, scans, writes, savepoints. */
#include "support/kv_world.h"

int world_below(struct world *w, int bound) {
    return kv_random_below(&w->random, bound);
}

bool world_chance(struct world *w, int per_cent) {
    return world_below(w, 100) < per_cent;
}

void world_trace(const struct world *w, const struct open_txn *open, const char *format, ...) {
    if (!w->is_traced) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    print_message("T%d ", open->number);
    vprint_message(format, arguments);
    print_message("\n");
    va_end(arguments);
}

static void trace_value(const struct world *w, const struct open_txn *open, const char *what,
                        int key, const struct kv_value *value) {
    char text[KIT_TEXT_BYTES];
    if (w->is_traced) {
        kv_value_text(value, text);
        world_trace(w, open, "%s %d %s", what, key, text);
    }
}

static struct kv_value random_value(struct world *w, bool is_empty_allowed) {
    struct kv_value value;
    memset(&value, 0, sizeof value);
    value.is_there = true;
    for (int i = 0; i < KV_IDS; i++) {
        if (world_chance(w, 40)) {
            value.rows[i].is_there = true;
            value.rows[i].a = world_below(w, 1000);
            value.rows[i].b = world_below(w, 1000);
        }
    }
    if (!is_empty_allowed) {
        int i = world_below(w, KV_IDS);
        value.rows[i] = (struct kv_row){true, false, world_below(w, 1000), world_below(w, 1000)};
    }
    return value;
}

void world_value_is(const kh_batch *batch, const struct kv_value *expected, int key,
                         const char *what) {
    struct kv_value value = kv_value_of(batch);
    if (!kv_value_equal(&value, expected)) {
        char got[KIT_TEXT_BYTES];
        char want[KIT_TEXT_BYTES];
        kv_value_text(&value, got);
        kv_value_text(expected, want);
        fail_msg("%s of key %d gives %s, not %s", what, key, got, want);
    }
}

/* ---- begin ----------------------------------------------------------------------------------- */

static kh_resolution add_up(void *context, kh_bytes key, const kh_batch *base, const kh_batch *mine,
                            const kh_batch *theirs, kh_batch **out) {
    struct world *w = context;
    struct kv_value my_value = kv_value_of(mine);
    struct kv_value their_value = kv_value_of(theirs);
    struct kv_value sum;
    (void)key, (void)base;
    if (!kv_add_up(&my_value, &their_value, &sum)) {
        return KH_RESOLVE_CONFLICT;
    }
    *out = kv_batch(&w->schemas, w->db, &sum, false);
    return KH_RESOLVE_WRITE;
}

/* One that could still come before what is visible now. */
static bool has_older_serializable_writer(const struct world *w) {
    for (int i = 0; i < w->open_count; i++) {
        if (w->open[i].model.level == KV_SERIALIZABLE && !w->open[i].is_read_only &&
            w->open[i].model.snapshot < kh_db_now(w->db)) {
            return true;
        }
    }
    return false;
}

void world_begin(struct world *w) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    struct open_txn *open = &w->open[w->open_count];
    if (w->open_count == OPEN_MAX) {
        return;
    }
    memset(open, 0, sizeof *open);
    options.isolation = (kh_isolation)(1 + world_below(w, 3));
    options.policy = world_chance(w, 40) ? KH_FAIL : (kh_policy)(1 + world_below(w, 6));
    options.resolve = add_up;
    options.resolve_context = w;
    open->model.level = (enum kv_level)options.isolation;
    open->policy = options.policy;
    open->model.policy = (enum kv_policy)options.policy;
    if (world_chance(w, 15)) {
        options.flags = KH_BEGIN_READ_ONLY;
        open->is_read_only = true;
        if (options.isolation == KH_SERIALIZABLE && world_chance(w, 50)) {
            options.flags |= KH_BEGIN_DEFERRABLE;
            options.timeout_ms = 1u << 29;
            open->model.level = KV_SNAPSHOT; /* never refused */
        }
    }
    w->clock.tick_ns = 100000;
    kh_status status = kh_txn_begin(w->db, &options, &open->txn, NULL);
    w->clock.tick_ns = 0;
    if (status == KH_BUSY && (options.flags & KH_BEGIN_DEFERRABLE) != 0) {
        assert_true(has_older_serializable_writer(w)); /* else the snapshot is safe at once */
        return;
    }
    kit_is(status, KH_OK);
    open->model.snapshot = w->newest;
    if (options.isolation != KH_READ_COMMITTED) {
        assert_true(kh_txn_snapshot(open->txn) == kh_db_now(w->db));
        open->model.snapshot = kh_txn_snapshot(open->txn);
    }
    open->number = w->begun++;
    world_trace(w, open, "begin level %d policy %d flags %u snapshot %llu", (int)open->model.level,
                (int)open->policy, options.flags, (unsigned long long)open->model.snapshot);
    w->open_count++;
}

/* ---- reads ----------------------------------------------------------------------------------- */

static uint64_t read_at(const struct world *w, const struct open_txn *open) {
    return open->model.level == KV_COMMITTED ? kh_db_now(w->db) : open->model.snapshot;
}

static bool is_failing(const struct world *w, const struct open_txn *open, int key) {
    return kv_is_failing(&w->model, &open->model, key, read_at(w, open));
}

static void do_get_many(struct world *w, struct open_txn *open) {
    kh_bytes keys[3];
    int numbers[3];
    kh_batch *batches[3] = {NULL, NULL, NULL};
    for (int i = 0; i < 3; i++) {
        numbers[i] = world_below(w, KV_KEYS);
        keys[i] = kv_key(numbers[i]);
        if (is_failing(w, open, numbers[i])) {
            return;
        }
    }
    uint64_t at = read_at(w, open);
    kit_is(kh_txn_get_many(open->txn, keys, 3, batches, NULL), KH_OK);
    for (int i = 0; i < 3; i++) {
        struct kv_value value = kv_read(&w->model, &open->model, numbers[i], at);
        trace_value(w, open, "get_many", numbers[i], &value);
        world_value_is(batches[i], &value, numbers[i], "get_many");
        kh_batch_release(batches[i]);
    }
}

static void do_get(struct world *w, struct open_txn *open) {
    int key = world_below(w, KV_KEYS);
    int way = world_below(w, 4);
    if (way == 3) {
        do_get_many(w, open);
        return;
    }
    if (is_failing(w, open, key)) {
        return;
    }
    struct kv_value value = kv_read(&w->model, &open->model, key, read_at(w, open));
    trace_value(w, open, "get", key, &value);
    if (way == 0) {
        kh_batch *batch = NULL;
        kh_status status = kh_txn_get(open->txn, kv_key(key), &batch, NULL);
        kit_is(status, value.is_there ? KH_OK : KH_NOT_FOUND);
        world_value_is(batch, &value, key, "get");
        kh_batch_release(batch);
    } else if (way == 1) {
        const kh_batch *batch = NULL;
        kh_status status = kh_txn_peek(open->txn, kv_key(key), &batch, NULL);
        kit_is(status, value.is_there ? KH_OK : KH_NOT_FOUND);
        world_value_is(batch, &value, key, "peek");
    } else {
        bool is_there = !value.is_there;
        kit_is(kh_txn_exists(open->txn, kv_key(key), &is_there, NULL), KH_OK);
        assert_int_equal(is_there, value.is_there);
    }
}

struct range {
    kh_scan_options options;
    bool holds[KV_KEYS];
};

static struct range random_range(struct world *w) {
    static const char *const prefixes[] = {"", "", "a", "a/", "b", "b\xff", "zz"};
    struct range range = {KH_SCAN_OPTIONS_INIT, {false}};
    kh_scan_options *options = &range.options;
    int from = world_chance(w, 40) ? world_below(w, KV_KEYS) : -1;
    int to = world_chance(w, 40) ? world_below(w, KV_KEYS) : KV_KEYS;
    options->prefix = kit_key(prefixes[world_below(w, 7)]);
    if (from >= 0) {
        options->from = kv_key(from);
    }
    if (to < KV_KEYS) {
        options->to = kv_key(to);
    }
    options->limit = world_chance(w, 30) ? (uint64_t)(1 + world_below(w, 3)) : 0;
    options->flags = (uint32_t)world_below(w, 4);
    for (int key = 0; key < KV_KEYS; key++) {
        kh_bytes name = kv_key(key);
        size_t size = options->prefix.size_bytes;
        range.holds[key] = key >= from && key < to && name.size_bytes >= size &&
                           memcmp(name.data, options->prefix.data, size) == 0;
    }
    return range;
}

static int step_key(const struct range *range, int index) {
    return (range->options.flags & KH_SCAN_REVERSE) != 0 ? KV_KEYS - 1 - index : index;
}

/* The keys that the scan returns, in its order, and what it has read by then. take: entries read
 * before it is closed. */
static int model_scan(struct world *w, struct open_txn *open, const struct range *range, int take,
                      int *keys, struct kv_value *values) {
    int count = 0;
    uint64_t at = read_at(w, open);
    for (int i = 0; i < KV_KEYS && count < take; i++) {
        int key = step_key(range, i);
        if (!range->holds[key]) {
            continue;
        }
        enum kv_write_kind kind = open->model.writes[key].kind;
        bool was = open->model.writes[key].is_read_back;
        struct kv_value value = kv_read(&w->model, &open->model, key, at);
        trace_value(w, open, "scanned", key, &value);
        if (value.is_there) {
            values[count] = value;
            keys[count++] = key;
        } else if (kind != KV_NOTHING && !was) {
            /* passed over without being shown: the library may or may not take it for read back */
            open->model.writes[key].is_read_back = false;
            open->model.was_read_back[key] = true;
        }
    }
    return count;
}

static bool range_is_failing(const struct world *w, const struct open_txn *open,
                             const struct range *range) {
    for (int key = 0; key < KV_KEYS; key++) {
        if (range->holds[key] && is_failing(w, open, key)) {
            return true;
        }
    }
    return false;
}

static void do_scan(struct world *w, struct open_txn *open) {
    struct range range = random_range(w);
    int keys[KV_KEYS];
    struct kv_value values[KV_KEYS];
    kh_cursor *cursor = NULL;
    if (range_is_failing(w, open, &range)) {
        return;
    }
    int limit = range.options.limit == 0 ? KV_KEYS + 1 : (int)range.options.limit;
    int take = world_chance(w, 20) ? 1 + world_below(w, 3) : KV_KEYS + 1;
    take = take < limit ? take : limit;
    int count = model_scan(w, open, &range, take, keys, values);
    kit_is(kh_txn_scan(open->txn, &range.options, &cursor, NULL), KH_OK);
    for (int i = 0; i < count; i++) {
        kh_bytes key;
        const kh_batch *value = NULL;
        kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_OK);
        assert_int_equal(kv_key_number(key), keys[i]);
        if ((range.options.flags & KH_SCAN_KEYS_ONLY) != 0) {
            assert_null(value);
        } else {
            world_value_is(value, &values[i], keys[i], "scan");
        }
    }
    if (take == limit || count < take) { /* else closed early, having read up to the last key */
        kh_bytes key;
        const kh_batch *value = NULL;
        kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_END);
    }
    kh_cursor_close(cursor);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static kh_policy write_policy(struct world *w, const struct open_txn *open, kh_policy *asked) {
    *asked = world_chance(w, 60) ? KH_DEFAULT_POLICY : (kh_policy)(1 + world_below(w, 6));
    return *asked == KH_DEFAULT_POLICY ? open->policy : *asked;
}

static void do_put(struct world *w, struct open_txn *open) {
    int key = world_below(w, KV_KEYS);
    kh_policy asked;
    kh_policy policy = write_policy(w, open, &asked);
    if (world_chance(w, 25)) {
        world_trace(w, open, "delete %d policy %d", key, (int)policy);
        kit_is(kh_txn_delete_with(open->txn, kv_key(key), asked, NULL), KH_OK);
        kv_delete(&open->model, key, (enum kv_policy)policy);
        return;
    }
    struct kv_value value = random_value(w, true);
    world_trace(w, open, "policy %d", (int)policy);
    trace_value(w, open, "put", key, &value);
    kh_batch *batch = kv_batch(&w->schemas, world_chance(w, 50) ? w->db : NULL, &value, false);
    kit_is(kh_txn_put_with(open->txn, kv_key(key), batch, asked, NULL), KH_OK);
    kh_batch_release(batch);
    kv_put(&open->model, key, &value, (enum kv_policy)policy);
}

static void do_rows(struct world *w, struct open_txn *open) {
    int key = world_below(w, KV_KEYS);
    static const enum kv_op_kind kinds[] = {KV_INSERT, KV_UPSERT, KV_UPDATE, KV_DELETE_ROWS};
    const struct kv_write *write = &open->model.writes[key];
    enum kv_op_kind kind = kinds[world_below(w, 4)];
    struct kv_value rows = random_value(w, false);
    bool is_partial = kind == KV_DELETE_ROWS || (kind == KV_UPDATE && world_chance(w, 50));
    bool is_on_own = write->kind == KV_PUT || write->kind == KV_DELETE;
    if (write->op_count == KV_OPS || (is_on_own && (kind == KV_INSERT || kind == KV_UPDATE))) {
        return; /* on an own value a failure may be answered by the call */
    }
    for (int i = 0; i < KV_IDS; i++) {
        rows.rows[i].is_partial = is_partial;
    }
    static const char *const names[] = {"insert", "upsert", "update", "delete_rows"};
    trace_value(w, open, names[kind], key, &rows);
    kh_batch *batch = kv_batch(&w->schemas, NULL, &rows, is_partial);
    kh_status (*const writers[])(kh_txn *, kh_bytes, const kh_batch *, kh_error *) = {
        kh_txn_insert_rows, kh_txn_upsert_rows, kh_txn_update_rows, kh_txn_delete_rows};
    kit_is(writers[kind](open->txn, kv_key(key), batch, NULL), KH_OK);
    kh_batch_release(batch);
    kv_rows(&open->model, key, kind, &rows, (enum kv_policy)open->policy);
}

static void do_delete_range(struct world *w, struct open_txn *open) {
    struct range range = random_range(w);
    int keys[KV_KEYS];
    struct kv_value values[KV_KEYS];
    uint64_t deleted = UINT64_MAX;
    if (range_is_failing(w, open, &range)) {
        return;
    }
    int limit = range.options.limit == 0 ? KV_KEYS + 1 : (int)range.options.limit;
    int count = model_scan(w, open, &range, limit, keys, values);
    kit_is(kh_txn_delete_range(open->txn, &range.options, &deleted, NULL), KH_OK);
    assert_int_equal(deleted, count);
    for (int i = 0; i < count; i++) {
        world_trace(w, open, "delete_range %d", keys[i]);
        kv_delete(&open->model, keys[i], (enum kv_policy)open->policy);
    }
}

static void do_compare_and_swap(struct world *w, struct open_txn *open) {
    int key = world_below(w, KV_KEYS);
    if (is_failing(w, open, key)) {
        return;
    }
    kh_batch *expected = NULL;
    struct kv_value current = kv_read(&w->model, &open->model, key, read_at(w, open));
    struct kv_value next = random_value(w, true);
    struct kv_value other = random_value(w, true);
    kh_batch *value = world_chance(w, 70) ? kv_batch(&w->schemas, NULL, &next, false) : NULL;
    bool is_match = world_chance(w, 70) || kv_value_equal(&current, &other);
    if (is_match) {
        kh_status status = kh_txn_get(open->txn, kv_key(key), &expected, NULL);
        kit_is(status, current.is_there ? KH_OK : KH_NOT_FOUND);
    } else {
        expected = kv_batch(&w->schemas, NULL, &other, false);
    }
    kit_is(kh_txn_compare_and_swap(open->txn, kv_key(key), expected, value, NULL),
           is_match ? KH_OK : KH_MISMATCH);
    trace_value(w, open, is_match ? "swap" : "no swap", key, &next);
    if (is_match && value != NULL) {
        kv_put(&open->model, key, &next, (enum kv_policy)open->policy);
    } else if (is_match) {
        kv_delete(&open->model, key, (enum kv_policy)open->policy);
    }
    kh_batch_release(expected);
    kh_batch_release(value);
}

static void do_savepoint(struct world *w, struct open_txn *open) {
    struct kv_txn *model = &open->model;
    uint32_t number = 0;
    if (model->savepoint_count == 0 ||
        (model->savepoint_count < KV_SAVEPOINTS && world_chance(w, 50))) {
        kit_is(kh_txn_savepoint(open->txn, &number, NULL), KH_OK);
        kv_savepoint(model);
        assert_int_equal(number, model->savepoint_count);
        world_trace(w, open, "savepoint %u", number);
        return;
    }
    number = (uint32_t)(1 + world_below(w, model->savepoint_count));
    if (world_chance(w, 70)) {
        kit_is(kh_txn_rollback_to(open->txn, number, NULL), KH_OK);
        kv_rollback_to(model, (int)number);
        world_trace(w, open, "rollback to %u", number);
    } else {
        kit_is(kh_txn_release_savepoint(open->txn, number, NULL), KH_OK);
        kv_release(model, (int)number);
    }
}

void world_operate(struct world *w, struct open_txn *open) {
    int what = world_below(w, 100);
    if (what < 35 || open->is_read_only) {
        if (what % 3 == 0) {
            do_scan(w, open);
        } else {
            do_get(w, open);
        }
    } else if (what < 60) {
        do_put(w, open);
    } else if (what < 80) {
        do_rows(w, open);
    } else if (what < 85) {
        do_delete_range(w, open);
    } else if (what < 91) {
        do_compare_and_swap(w, open);
    } else {
        do_savepoint(w, open);
    }
}
