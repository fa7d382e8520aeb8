/* campaign.c - each step of a history, by the library and by the rule, compared. */
#include "support/campaign.h"

static const char *const key_names[RULE_KEYS] = {"k",   "k\x01", "k/", "k/1", "k/10",
                                                 "k/2", "k0",    "ka", "ka/", "k\xff"};
static const kh_bytes outside = {"z", 1}; /* written once, so that there is a first commit */

static kh_bytes key_of(int key) {
    return kit_key(key_names[key]);
}

/* A limit that no key is at or above. */
static kh_bytes bound_of(int key) {
    return key < RULE_KEYS ? key_of(key) : (kh_bytes){"l", 1};
}

int campaign_key(kh_bytes name) {
    for (int key = 0; key < RULE_KEYS; key++) {
        if (kit_bytes_equal(name, key_of(key))) {
            return key;
        }
    }
    return -1;
}

void campaign_fail(struct campaign *campaign, const char *format, ...) {
    if (campaign->failure != NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(campaign->failure_text, sizeof campaign->failure_text, format, arguments);
    va_end(arguments);
    campaign->failure = campaign->failure_text;
}

void campaign_expect(struct campaign *campaign, kh_status status, kh_status wanted,
                     const char *what) {
    if (status != wanted) {
        campaign_fail(campaign, "%s answers %s, not %s", what, kh_status_name(status),
                      kh_status_name(wanted));
    }
}

kh_timestamp campaign_stamp(const struct campaign *campaign, int commit) {
    return campaign->base + (kh_timestamp)commit - 1;
}

/* ---- the script ------------------------------------------------------------------------------ */

void campaign_note(struct campaign *campaign, const char *format, ...) {
    size_t room = sizeof campaign->script - campaign->script_bytes;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(campaign->script + campaign->script_bytes, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room) {
        campaign_fail(campaign, "the script is too long");
        return;
    }
    campaign->script_bytes += (size_t)length;
}

static const char *campaign_text(const struct rule_value *value, char text[KIT_TEXT_BYTES]) {
    size_t used = 0;
    (void)snprintf(text, KIT_TEXT_BYTES, "%s", value->is_there ? "." : "-");
    for (int i = 0; value->is_there && i < RULE_CELLS; i++) {
        if ((value->cells >> i & 1) != 0) {
            used += (size_t)snprintf(text + used, KIT_TEXT_BYTES - used, "%s%d=%lld",
                                     used > 0 ? "," : "", i, (long long)value->cell[i]);
        }
    }
    return text;
}

/* ---- values ---------------------------------------------------------------------------------- */

static kh_batch *batch_of(struct campaign *campaign, const struct rule_value *value) {
    kh_scalar scalars[RULE_CELLS * 2];
    kh_batch *batch = NULL;
    size_t used = 0;
    for (int i = 0; i < RULE_CELLS; i++) {
        if ((value->cells >> i & 1) != 0) {
            scalars[used++] = (kh_scalar){KH_SCALAR_INT64, {.int64 = i}};
            scalars[used++] = (kh_scalar){KH_SCALAR_INT64, {.int64 = value->cell[i]}};
        }
    }
    campaign_expect(
        campaign,
        kh_batch_build(campaign->db, campaign->schema, scalars, (int64_t)(used / 2), &batch, NULL),
        KH_OK, "kh_batch_build");
    return batch;
}

static struct rule_value value_of(const kh_batch *batch) {
    struct rule_value value = {batch != NULL, 0, {0}};
    for (int64_t row = 0; batch != NULL && row < kh_batch_row_count(batch); row++) {
        int64_t cell = -1;
        int64_t number = 0;
        if (kh_batch_int64(batch, 0, row, &cell) != KH_OK || cell < 0 || cell >= RULE_CELLS ||
            kh_batch_int64(batch, 1, row, &number) != KH_OK) {
            return (struct rule_value){true, UINT32_MAX, {0}}; /* equal to none of the rule's */
        }
        value.cells |= 1u << cell;
        value.cell[cell] = number;
    }
    return value;
}

static void compare(struct campaign *campaign, const kh_batch *batch,
                    const struct rule_value *wanted, int key) {
    char got_text[KIT_TEXT_BYTES];
    char wanted_text[KIT_TEXT_BYTES];
    struct rule_value got = value_of(batch);
    if (!rule_equal(&got, wanted)) {
        campaign_fail(campaign, "key %d reads %s, not %s", key, campaign_text(&got, got_text),
                      campaign_text(wanted, wanted_text));
    }
}

static kh_resolution call_back(void *context, kh_bytes key, const kh_batch *base,
                               const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    struct campaign *campaign = context;
    struct rule_value my_value = value_of(mine);
    struct rule_value their_value = value_of(theirs);
    (void)key, (void)base;
    if (mine == NULL) {
        return KH_RESOLVE_CONFLICT;
    }
    if (rule_call_drops(&my_value)) {
        return KH_RESOLVE_DROP;
    }
    struct rule_value sum = rule_sum(&my_value, &their_value);
    *out = batch_of(campaign, &sum);
    return KH_RESOLVE_WRITE;
}

/* ---- open and close -------------------------------------------------------------------------- */

/* Time stands still: commit timestamps count by one. */
static uint64_t read_wall(void *context) {
    (void)context;
    return 1700000000000u;
}

static uint64_t read_monotonic(void *context) {
    (void)context;
    return 1;
}

static kh_options options_of(struct campaign *campaign) {
    const struct campaign_setting *setting = campaign->setting;
    kh_options options = kit_options();
    options.clock = (kh_clock){read_wall, read_monotonic, NULL};
    if (setting->has_threads) {
        options.flags &= ~(uint32_t)KH_OPEN_NO_THREADS;
    }
    options.timeout_ms = 1u << 30;
    options.limits.ranges = setting->range_limit;
    options.limits.txn_reads = setting->read_limit;
    options.limits.outcomes = 64;
    options.limits.txns = 2 * JUDGE_TXNS;
    if (setting->has_log) {
        options.log = &campaign->held.log;
    }
    return options;
}

static void put_first(struct campaign *campaign, kh_txn *txn, kh_bytes key,
                      const struct rule_value *value) {
    kh_batch *batch = batch_of(campaign, value);
    campaign_expect(campaign, kh_txn_put(txn, key, batch, NULL), KH_OK, "put");
    kh_batch_release(batch);
}

static void fill(struct campaign *campaign, int first, unsigned there) {
    char text[KIT_TEXT_BYTES];
    kh_txn *txn = NULL;
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    campaign_expect(campaign, kh_txn_begin(campaign->db, &options, &txn, NULL), KH_OK, "begin");
    put_first(campaign, txn, outside, &(struct rule_value){true, 1, {7}});
    for (int key = 0; key < campaign->setting->keys; key++) {
        bool is_there =
            first < 0 ? (there >> key & 1) != 0 : kv_random_below(&campaign->random, 100) < first;
        if (is_there) {
            struct rule_value value = {true, 3, {key, 1}};
            put_first(campaign, txn, key_of(key), &value);
            rule_fill(&campaign->rule, key, &value);
            judge_fill(&campaign->judge, key);
            campaign_note(campaign, "K %d %s\n", key, campaign_text(&value, text));
        }
    }
    campaign_expect(campaign, kh_txn_commit(txn, &campaign->base, NULL), KH_OK, "the first commit");
    kh_txn_close(txn);
}

bool campaign_open(struct campaign *campaign, uint64_t seed, int first, unsigned there) {
    const struct campaign_setting *setting = campaign->setting;
    const char *names[] = {"id", "n"};
    const char *formats[] = {"!l", "l"};
    campaign->open_count = campaign->flying_count = campaign->begun = 0;
    campaign->script_bytes = 0;
    campaign->number = 100;
    campaign->visible = 1;
    campaign->has_parted = false;
    campaign->failure = NULL;
    rule_init(&campaign->rule);
    judge_init(&campaign->judge);
    held_log_init(&campaign->held, HELD_ON_FLUSH);
    campaign_note(campaign, "H %llu %s %d\n", (unsigned long long)seed, setting->name,
                  setting->keys);
    kh_options options = options_of(campaign);
    campaign_expect(campaign, kh_db_open(&options, &campaign->db, NULL), KH_OK, "kh_db_open");
    if (campaign->failure != NULL) {
        return false;
    }
    campaign_expect(campaign,
                    kh_schema_build(campaign->db, names, formats, 2, &campaign->schema, NULL),
                    KH_OK, "kh_schema_build");
    fill(campaign, first, there);
    return campaign->failure == NULL;
}

static void count_evictions(struct campaign *campaign) {
    static kh_stats stats;
    stats.size = sizeof stats;
    if (campaign->setting->range_limit != 0) {
        campaign_expect(campaign, kh_db_stats(campaign->db, &stats, NULL), KH_OK, "kh_db_stats");
        campaign->counts->evictions += stats.range_evictions;
    }
}

void campaign_close(struct campaign *campaign) {
    for (int i = 0; i < campaign->flying_count; i++) {
        campaign_expect(campaign, kh_txn_wait(campaign->flying[i].txn, UINT32_MAX, NULL), KH_OK,
                        "wait");
        kh_txn_close(campaign->flying[i].txn);
    }
    for (int i = 0; i < campaign->open_count; i++) {
        campaign_expect(campaign, kh_txn_rollback(campaign->open[i].txn), KH_OK, "rollback");
        kh_txn_close(campaign->open[i].txn);
    }
    campaign_drop_waiter(campaign);
    count_evictions(campaign);
    kh_schema_release(campaign->schema);
    campaign->schema = NULL;
    campaign_expect(campaign, kh_db_close(campaign->db), KH_OK, "kh_db_close");
    held_log_fini(&campaign->held);
}

/* ---- what is visible ------------------------------------------------------------------------- */

/* The library says what readers see; here it is checked to be possible. */
void campaign_look(struct campaign *campaign) {
    int visible = (int)(kh_db_now(campaign->db) - campaign->base) + 1;
    if (visible == campaign->visible) {
        return;
    }
    if (visible < campaign->visible || visible > campaign->rule.clock) {
        campaign_fail(campaign, "readers see commit %d after %d, of %d", visible, campaign->visible,
                      campaign->rule.clock);
        return;
    }
    campaign->visible = visible;
    campaign_note(campaign, "V %d\n", visible);
    int left = 0;
    for (int i = 0; i < campaign->flying_count; i++) {
        struct campaign_txn *flying = &campaign->flying[i];
        kh_timestamp timestamp = 0;
        if (flying->commit > visible) {
            campaign_expect(campaign, kh_txn_poll(flying->txn, NULL), KH_PENDING,
                            "a commit in flight");
            campaign->flying[left++] = *flying;
            continue;
        }
        campaign_expect(campaign, kh_txn_poll(flying->txn, &timestamp), KH_OK,
                        "a commit that is seen");
        if (timestamp != campaign_stamp(campaign, flying->commit)) {
            campaign_fail(campaign, "T%d has another timestamp than counted", flying->number);
        }
        judge_end(&campaign->judge, flying->number);
        kh_txn_close(flying->txn);
    }
    campaign->flying_count = left;
}

void campaign_answer(struct campaign *campaign, int commit) {
    for (int i = 0; i < campaign->flying_count; i++) {
        if (campaign->flying[i].commit == commit) {
            /* Only commits are appended between two of these: cookies count them. */
            uint64_t behind = (uint64_t)(campaign->flying_count - 1 - i);
            held_log_answer(&campaign->held, campaign->held.appended - behind, KH_LOG_KEPT);
        }
    }
    campaign_look(campaign);
    if (campaign->visible < commit) {
        campaign_fail(campaign, "the log has kept commit %d, readers see %d", commit,
                      campaign->visible);
    }
}

/* ---- begin ----------------------------------------------------------------------------------- */

/* Can nobody open come before what is visible? */
static bool is_safe(const struct campaign *campaign) {
    bool is_safe = true;
    for (int i = 0; i < campaign->open_count; i++) {
        const struct campaign_txn *open = &campaign->open[i];
        is_safe &= open->model.level != RULE_SERIALIZABLE || open->is_read_only ||
                   open->is_prepared || open->model.snapshot >= campaign->visible;
    }
    for (int i = 0; i < campaign->flying_count; i++) {
        const struct rule_txn *model = &campaign->flying[i].model;
        is_safe &= model->level != RULE_SERIALIZABLE || model->snapshot >= campaign->visible;
    }
    return is_safe;
}

void campaign_begin(struct campaign *campaign, enum rule_level level, enum rule_policy policy,
                    int kind) {
    struct campaign_txn *open = &campaign->open[campaign->open_count];
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    if (kind == 2 && campaign->setting->has_threads && !is_safe(campaign)) {
        if (!campaign->waiter.is_out) {
            campaign_send_waiter(campaign);
        }
        return;
    }
    memset(open, 0, sizeof *open);
    open->is_read_only = kind > 0;
    open->is_deferrable = kind == 2;
    open->policy = policy;
    options.isolation = (kh_isolation)level;
    options.policy = (kh_policy)policy;
    options.resolve = call_back;
    options.resolve_context = campaign;
    options.flags = (open->is_read_only ? KH_BEGIN_READ_ONLY : 0u) |
                    (open->is_deferrable ? KH_BEGIN_DEFERRABLE : 0u);
    options.timeout_ms = open->is_deferrable ? 1u << 29 : 0;
    kh_status status = kh_txn_begin(campaign->db, &options, &open->txn, NULL);
    if (open->is_deferrable) {
        campaign_expect(campaign, status, is_safe(campaign) ? KH_OK : KH_BUSY,
                        "a deferrable begin");
        campaign->counts->safe += status == KH_OK;
        campaign->counts->unsafe += status == KH_BUSY;
    } else {
        campaign_expect(campaign, status, KH_OK, "begin");
    }
    if (status != KH_OK) {
        campaign_note(campaign, "X %d\n", campaign->visible);
        return;
    }
    rule_begin(&open->model, level, !open->is_deferrable, campaign->visible);
    if (level != RULE_COMMITTED &&
        kh_txn_snapshot(open->txn) != campaign_stamp(campaign, campaign->visible)) {
        campaign_fail(campaign, "a snapshot that is not what is visible");
    }
    open->number = campaign->begun++;
    judge_begin(&campaign->judge, open->number);
    campaign->counts->begins++;
    campaign->open_count++;
    campaign_note(campaign, "B %d %d %d %d %d\n", open->number, (int)level, (int)policy, kind,
                  campaign->visible);
}

/* ---- reads ----------------------------------------------------------------------------------- */

void campaign_get(struct campaign *campaign, struct campaign_txn *open, int key) {
    char text[KIT_TEXT_BYTES];
    const kh_batch *batch = NULL;
    struct rule_value wanted = rule_get(&campaign->rule, &open->model, key, campaign->visible);
    campaign_note(campaign, "G %d %d %s\n", open->number, key, campaign_text(&wanted, text));
    kh_status status = kh_txn_peek(open->txn, key_of(key), &batch, NULL);
    campaign_expect(campaign, status, wanted.is_there ? KH_OK : KH_NOT_FOUND, "get");
    compare(campaign, batch, &wanted, key);
    campaign->counts->reads++;
}

void campaign_scan(struct campaign *campaign, struct campaign_txn *open, int low, int high,
                   int limit, bool is_reverse) {
    int keys[RULE_KEYS];
    struct rule_value values[RULE_KEYS];
    char text[KIT_TEXT_BYTES];
    kh_scan_options options = KH_SCAN_OPTIONS_INIT;
    kh_cursor *cursor = NULL;
    int count = rule_scan(&campaign->rule, &open->model, low, high, limit, is_reverse,
                          campaign->visible, keys, values);
    campaign_note(campaign, "S %d %d %d %d %d %d", open->number, low, high, limit, is_reverse,
                  count);
    for (int i = 0; i < count; i++) {
        campaign_note(campaign, " %d %s", keys[i], campaign_text(&values[i], text));
    }
    campaign_note(campaign, "\n");
    options.from = key_of(low);
    options.to = bound_of(high);
    options.limit = (uint64_t)limit;
    options.flags = is_reverse ? KH_SCAN_REVERSE : 0;
    campaign_expect(campaign, kh_txn_scan(open->txn, &options, &cursor, NULL), KH_OK, "scan");
    for (int i = 0; campaign->failure == NULL && i < count; i++) {
        kh_bytes key = {NULL, 0};
        const kh_batch *batch = NULL;
        campaign_expect(campaign, kh_cursor_next(cursor, &key, &batch, NULL), KH_OK,
                        "a scan's next");
        if (campaign->failure == NULL && campaign_key(key) != keys[i]) {
            campaign_fail(campaign, "a scan meets key %d, not %d", campaign_key(key), keys[i]);
        }
        compare(campaign, batch, &values[i], keys[i]);
    }
    if (campaign->failure == NULL) {
        kh_bytes key;
        campaign_expect(campaign, kh_cursor_next(cursor, &key, NULL, NULL), KH_END,
                        "a scan's last");
    }
    kh_cursor_close(cursor);
    campaign->counts->scans++;
}

/* ---- writes ---------------------------------------------------------------------------------- */

void campaign_put(struct campaign *campaign, struct campaign_txn *open, int key,
                  const struct rule_value *value, enum rule_policy policy) {
    char text[KIT_TEXT_BYTES];
    rule_put(&open->model, key, value, policy);
    if (value == NULL) {
        campaign_note(campaign, "D %d %d %d\n", open->number, key, (int)policy);
        campaign_expect(campaign,
                        kh_txn_delete_with(open->txn, key_of(key), (kh_policy)policy, NULL), KH_OK,
                        "delete");
        return;
    }
    campaign_note(campaign, "P %d %d %d %s\n", open->number, key, (int)policy,
                  campaign_text(value, text));
    kh_batch *batch = batch_of(campaign, value);
    campaign_expect(campaign,
                    kh_txn_put_with(open->txn, key_of(key), batch, (kh_policy)policy, NULL), KH_OK,
                    "put");
    kh_batch_release(batch);
}

void campaign_rows(struct campaign *campaign, struct campaign_txn *open, int key,
                   const struct rule_value *rows) {
    char text[KIT_TEXT_BYTES];
    campaign_note(campaign, "U %d %d %d %s\n", open->number, key, (int)open->policy,
                  campaign_text(rows, text));
    rule_rows(&open->model, key, rows, open->policy);
    kh_batch *batch = batch_of(campaign, rows);
    campaign_expect(campaign, kh_txn_upsert_rows(open->txn, key_of(key), batch, NULL), KH_OK,
                    "upsert");
    kh_batch_release(batch);
}

void campaign_save(struct campaign *campaign, struct campaign_txn *open) {
    uint32_t number = 0;
    rule_save(&open->model);
    campaign_note(campaign, "M %d\n", open->number);
    campaign_expect(campaign, kh_txn_savepoint(open->txn, &number, NULL), KH_OK, "savepoint");
}

void campaign_undo(struct campaign *campaign, struct campaign_txn *open, int savepoint) {
    rule_undo(&open->model, savepoint);
    campaign_note(campaign, "R %d %d\n", open->number, savepoint);
    campaign_expect(campaign, kh_txn_rollback_to(open->txn, (uint32_t)savepoint, NULL), KH_OK,
                    "rollback to a savepoint");
}

/* A key of its own, which nobody else names: what matters is what becomes of the snapshot. */
void campaign_lock(struct campaign *campaign, struct campaign_txn *open) {
    char name[24];
    (void)snprintf(name, sizeof name, "lock/%d", open->number);
    kh_lock lock = {kit_key(name), KH_LOCK_SHARED};
    kh_lock_options options = {sizeof options, KH_LOCK_TRY, 0};
    campaign_expect(campaign, kh_txn_lock(open->txn, &lock, 1, &options, NULL), KH_OK, "lock");
    bool has_read = open->model.read_count > 0 || open->model.scan_count > 0;
    if (!has_read) {
        open->model.snapshot = campaign->visible;
        judge_move(&campaign->judge, open->number);
        campaign_note(campaign, "Y %d %d\n", open->number, campaign->visible);
    }
    if (open->model.level != RULE_COMMITTED &&
        kh_txn_snapshot(open->txn) != campaign_stamp(campaign, open->model.snapshot)) {
        campaign_fail(campaign, "a lock leaves another snapshot than it should");
    }
}

void campaign_rollback(struct campaign *campaign, struct campaign_txn *open) {
    campaign_note(campaign, "A %d\n", open->number);
    campaign_expect(campaign, kh_txn_rollback(open->txn), KH_OK, "rollback");
    kh_txn_close(open->txn);
    campaign->counts->rollbacks++;
    *open = campaign->open[--campaign->open_count];
    campaign_look(campaign); /* the abort of a prepared one waits for the log */
}

void campaign_flood(struct campaign *campaign) {
    bool is_all = kv_random_below(&campaign->random, 2) == 0;
    int count = CAMPAIGN_FLOOD + (is_all ? 100 : -kv_random_below(&campaign->random, 32));
    kh_txn *txn = NULL;
    campaign_expect(campaign, kh_txn_begin(campaign->db, NULL, &txn, NULL), KH_OK, "begin");
    for (int i = 0; campaign->failure == NULL && i < count; i++) {
        unsigned char name[4] = {'z', (unsigned char)(i >> 8), (unsigned char)i, 1};
        campaign_expect(campaign, kh_txn_delete(txn, (kh_bytes){name, sizeof name}, NULL), KH_OK,
                        "delete");
    }
    campaign_expect(campaign, kh_txn_commit(txn, NULL, NULL), KH_OK, "a commit of many writes");
    kh_txn_close(txn);
    campaign->rule.clock++;
    campaign->judge.clock++;
    campaign_note(campaign, "F %d\n", campaign->rule.clock);
    campaign->counts->floods++;
    campaign_look(campaign);
}

/* ---- the end --------------------------------------------------------------------------------- */

void campaign_end(struct campaign *campaign) {
    char text[KIT_TEXT_BYTES];
    kh_txn *txn = NULL;
    if (campaign->flying_count > 0) {
        campaign_answer(campaign, campaign->flying[campaign->flying_count - 1].commit);
    }
    campaign_expect(campaign, kh_txn_begin(campaign->db, NULL, &txn, NULL), KH_OK, "begin");
    campaign_note(campaign, "E");
    for (int key = 0; campaign->failure == NULL && key < campaign->setting->keys; key++) {
        const struct rule_version *newest = rule_newest(&campaign->rule, key);
        struct rule_value wanted = {false, 0, {0}};
        const kh_batch *batch = NULL;
        if (newest != NULL) {
            wanted = newest->value;
        }
        campaign_note(campaign, " %s", campaign_text(&wanted, text));
        kh_status status = kh_txn_peek(txn, key_of(key), &batch, NULL);
        campaign_expect(campaign, status, wanted.is_there ? KH_OK : KH_NOT_FOUND, "the last get");
        compare(campaign, batch, &wanted, key);
    }
    campaign_note(campaign, "\n");
    kh_txn_close(txn);
    const char *difference = campaign->failure != NULL ? NULL : judge_replay(&campaign->judge);
    if (difference != NULL) {
        campaign_fail(campaign, "%s", difference);
    }
}
