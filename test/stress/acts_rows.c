/* acts_rows.c - actions on batches of rows, and on keys that one worker owns.
 *
 * A row's id says whose it is. Only its owner changes it, one commit after the other, so the owner
 * knows exactly what every later snapshot must show of it. */
#include "stress.h"

static int64_t row_id(const struct worker *worker, int slot) {
    return worker->number * 1000 + slot;
}

/* ---- append: unique ids, added only ---------------------------------------------------------- */

static int read_rows(const kh_batch *batch, int64_t *ids, int64_t *as, int room) {
    int count = batch == NULL ? 0 : (int)kh_batch_row_count(batch);
    for (int row = 0; row < count && row < room; row++) {
        if (kh_batch_int64(batch, 0, row, &ids[row]) != KH_OK ||
            kh_batch_int64(batch, 1, row, &as[row]) != KH_OK)
            return -1;
    }
    return count;
}

void act_append(struct worker *worker) {
    struct deed deed;
    int64_t ids[APPEND_ROWS_MAX + 64];
    int64_t as[APPEND_ROWS_MAX + 64];
    int which = draw(&worker->random, ROW_BATCHES);
    uint32_t key = key_of(APPENDED, which);
    if (!deed_begin(worker, &deed,
                    one_in(&worker->random, 2) ? KH_REPEATABLE_READ : KH_READ_COMMITTED, KH_APPEND,
                    0))
        return;
    kh_batch *batch = deed_get_batch(&deed, key);
    int count = read_rows(batch, ids, as, APPEND_ROWS_MAX);
    CHECK(worker, count >= 0, "a row cannot be read");
    if (deed.status == KH_OK && count >= 0 && count < APPEND_ROWS_MAX) {
        ids[count] = worker->number * 1000000000000 + ++worker->stamps;
        as[count] = worker->number;
        kh_batch *more = rows_make(worker->world, ids, as, count + 1, false);
        deed_put_batch(&deed, key, more, KH_DEFAULT_POLICY);
        deed_effect(&deed, &worker->world->appended[which], 1, key);
        kh_batch_release(more);
    }
    kh_batch_release(batch);
    (void)deed_commit(&deed, NULL);
}

/* ---- merge ----------------------------------------------------------------------------------- */

/* The batch as it was read, with some rows of this worker's changed. */
static kh_batch *edit(struct worker *worker, const kh_batch *base, int64_t *mine) {
    int64_t ids[THREADS_MAX * ROW_SLOTS];
    int64_t as[THREADS_MAX * ROW_SLOTS];
    int count = read_rows(base, ids, as, THREADS_MAX * ROW_SLOTS);
    int kept = 0;
    for (int row = 0; row < count; row++) {
        if (ids[row] / 1000 == worker->number) continue;
        ids[kept] = ids[row];
        as[kept++] = as[row];
    }
    for (int edits = 1 + draw(&worker->random, 2); edits > 0; edits--)
        mine[draw(&worker->random, ROW_SLOTS)] = one_in(&worker->random, 3) ? 0 : ++worker->stamps;
    for (int slot = 0; slot < ROW_SLOTS; slot++) {
        if (mine[slot] == 0) continue;
        ids[kept] = row_id(worker, slot);
        as[kept++] = mine[slot];
    }
    return rows_make(worker->world, ids, as, kept, false);
}

/* A snapshot taken after the commit shows what was committed. */
static void check_later(struct worker *worker, enum table table, int which) {
    struct deed deed;
    if (!deed_begin(worker, &deed, draw_level(worker), KH_FAIL, KH_BEGIN_READ_ONLY)) return;
    kh_batch *batch = deed_get_batch(&deed, key_of(table, which));
    if (deed.status == KH_OK) (void)see_rows(worker, batch, table, which, true, NULL);
    kh_batch_release(batch);
    (void)deed_commit(&deed, NULL);
}

void act_merge(struct worker *worker) {
    struct deed deed;
    int which = draw(&worker->random, ROW_BATCHES);
    uint32_t key = key_of(MERGED, which);
    int64_t mine[ROW_SLOTS];
    memcpy(mine, worker->rows[0][which], sizeof mine);
    if (!deed_begin(worker, &deed, draw_level(worker), KH_MERGE, 0)) return;
    kh_batch *base = deed_get_batch(&deed, key);
    if (deed.status == KH_OK) {
        (void)see_rows(worker, base, MERGED, which, true, NULL);
        kh_batch *edited = edit(worker, base, mine);
        deed_put_batch(&deed, key, edited, KH_DEFAULT_POLICY);
        kh_batch_release(edited);
    }
    kh_batch_release(base);
    if (deed_commit(&deed, NULL)) {
        memcpy(worker->rows[0][which], mine, sizeof mine);
        if (one_in(&worker->random, 4)) check_later(worker, MERGED, which);
    }
}

/* ---- row operations -------------------------------------------------------------------------- */

enum row_op { INSERT, UPSERT, UPDATE, DELETE, ROW_OPS };

static kh_status row_call(struct deed *deed, enum row_op op, uint32_t key, const kh_batch *rows) {
    struct key_text space;
    kh_bytes bytes = key_bytes(key, &space);
    switch (op) {
    case INSERT:
        return kh_txn_insert_rows(deed->txn, bytes, rows, NULL);
    case UPSERT:
        return kh_txn_upsert_rows(deed->txn, bytes, rows, NULL);
    case UPDATE:
        return kh_txn_update_rows(deed->txn, bytes, rows, NULL);
    default:
        return kh_txn_delete_rows(deed->txn, bytes, rows, NULL);
    }
}

/* One operation on one own row; what it must be refused with, or KH_OK. */
static kh_status row_op(struct deed *deed, int which, int64_t *mine) {
    struct worker *worker = deed->worker;
    enum row_op op = (enum row_op)draw(&worker->random, ROW_OPS);
    int slot = draw(&worker->random, ROW_SLOTS);
    int64_t id = row_id(worker, slot);
    int64_t a = ++worker->stamps;
    kh_batch *rows = rows_make(worker->world, &id, &a, 1, op == UPDATE);
    deed->status = row_call(deed, op, key_of(ROWS, which), rows);
    kh_batch_release(rows);
    bool is_there = mine[slot] != 0;
    if (op == INSERT && is_there) return KH_ROW_EXISTS;
    if (op == UPDATE && !is_there) return KH_ROW_NOT_FOUND;
    if (deed->status == KH_OK) mine[slot] = op == DELETE ? 0 : a;
    return KH_OK;
}

/* Under a savepoint: rows that must not be there afterwards. */
static void row_detour(struct deed *deed, int which) {
    uint32_t savepoint = 0;
    int64_t junk[ROW_SLOTS];
    memcpy(junk, deed->worker->rows[1][which], sizeof junk);
    if (deed->status == KH_OK) deed->status = kh_txn_savepoint(deed->txn, &savepoint, NULL);
    for (int i = 0; i < 2 && deed->status == KH_OK; i++) (void)row_op(deed, which, junk);
    if (deed->status == KH_OK || deed->status == KH_ROW_EXISTS || deed->status == KH_ROW_NOT_FOUND)
        deed->status = kh_txn_rollback_to(deed->txn, savepoint, NULL);
}

static bool is_refusal(kh_status status) {
    return status == KH_ROW_EXISTS || status == KH_ROW_NOT_FOUND;
}

/* A refusal that was foreseen is how the transaction must end. */
static void end_refused(struct deed *deed, kh_status foreseen) {
    struct worker *worker = deed->worker;
    kh_status status = deed->status;
    if (status == KH_OK) status = kh_txn_commit(deed->txn, NULL, NULL);
    CHECK(worker, status == foreseen || is_retry(status), "%s, where %s was foreseen",
          kh_status_name(status), kh_status_name(foreseen));
    worker->tally.ends[status]++;
    kh_txn_close(deed->txn);
    deed->txn = NULL;
}

void act_row_ops(struct worker *worker) {
    struct deed deed;
    int which = draw(&worker->random, ROW_BATCHES);
    int64_t mine[ROW_SLOTS];
    kh_status foreseen = KH_OK;
    memcpy(mine, worker->rows[1][which], sizeof mine);
    if (!deed_begin(worker, &deed, draw_level(worker), KH_DEFAULT_POLICY, 0)) return;
    if (one_in(&worker->random, 4)) row_detour(&deed, which);
    for (int i = 1 + draw(&worker->random, 3); i > 0 && deed.status == KH_OK && foreseen == KH_OK;
         i--) {
        foreseen = row_op(&deed, which, mine);
        let_others(worker);
    }
    if (foreseen != KH_OK || is_refusal(deed.status)) {
        end_refused(&deed, foreseen);
        return;
    }
    deed_note(&deed, key_of(ROWS, which), false);
    if (deed_commit(&deed, NULL)) {
        memcpy(worker->rows[1][which], mine, sizeof mine);
        if (one_in(&worker->random, 4)) check_later(worker, ROWS, which);
    } else {
        CHECK(worker, deed.status != KH_CONFLICT, "a row operation that read nothing conflicts");
    }
}

/* ---- own keys -------------------------------------------------------------------------------- */

static void check_churn(struct worker *worker, struct deed *deed, int slot, int64_t expected) {
    struct cell cell;
    bool is_there = deed_get(deed, key_of(CHURN, worker->number * CHURN_KEYS + slot), &cell);
    if (deed->status != KH_OK) return;
    CHECK(worker, is_there == (expected != 0) && (!is_there || cell.n == expected),
          "own key %d: %lld instead of %lld", slot, is_there ? (long long)cell.n : 0,
          (long long)expected);
}

/* Nobody else writes these: no policy and no level may refuse them for a rival. */
void act_churn(struct worker *worker) {
    struct deed deed;
    int64_t after[CHURN_KEYS];
    memcpy(after, worker->churn, sizeof after);
    if (!deed_begin(worker, &deed, draw_level(worker), KH_DEFAULT_POLICY, 0)) return;
    if (one_in(&worker->random, 2)) {
        int slot = draw(&worker->random, CHURN_KEYS);
        check_churn(worker, &deed, slot, worker->churn[slot]);
    }
    for (int i = 1 + draw(&worker->random, 4); i > 0; i--) {
        int slot = draw(&worker->random, CHURN_KEYS);
        uint32_t key = key_of(CHURN, worker->number * CHURN_KEYS + slot);
        bool is_delete = one_in(&worker->random, 2);
        after[slot] = is_delete ? 0 : ++worker->stamps;
        if (one_in(&worker->random, 8)) deed_detour(&deed, key);
        if (is_delete) {
            deed_delete(&deed, key);
        } else {
            deed_put(&deed, key, after[slot], slot);
        }
    }
    if (!deed_commit(&deed, NULL)) {
        CHECK(worker, deed.status != KH_CONFLICT, "a key that nobody else writes conflicts");
        return;
    }
    memcpy(worker->churn, after, sizeof after);
    if (!deed_begin(worker, &deed, draw_level(worker), KH_DEFAULT_POLICY, KH_BEGIN_READ_ONLY))
        return;
    for (int slot = 0; slot < CHURN_KEYS; slot++) check_churn(worker, &deed, slot, after[slot]);
    (void)deed_commit(&deed, NULL);
}
