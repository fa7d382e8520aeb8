/* see.c - what must hold in every snapshot, looked at by whichever way chance takes. */
#include "stress.h"

struct sight {
    int64_t money;
    int accounts;
    int64_t group_stamps[GROUP_COUNT];
    int group_sizes[GROUP_COUNT];
    bool is_torn;
    int on_duty[ROSTERS];
    int in_pair[PAIR_COUNT];
};

static void see_entry(struct sight *sight, uint32_t key, const struct cell *cell) {
    enum table table = (enum table)(key / INDEX_MAX);
    int index = (int)(key % INDEX_MAX);
    if (table == BANK) {
        sight->money += cell->n;
        sight->accounts++;
    } else if (table == GROUPS) {
        int group = index / GROUP_SIZE;
        if (sight->group_sizes[group]++ > 0 && sight->group_stamps[group] != cell->n)
            sight->is_torn = true;
        sight->group_stamps[group] = cell->n;
    } else if (table == DUTY) {
        sight->on_duty[index / ROSTER_SIZE]++;
    } else if (table == PAIRS) {
        sight->in_pair[index / 2]++;
    }
}

static bool is_number_table(enum table table) {
    return table == BANK || table == GROUPS || table == DUTY || table == PAIRS;
}

static void judge(struct worker *worker, const struct sight *sight, uint32_t tables) {
    if (tables & 1u << BANK) {
        CHECK(worker, sight->accounts == ACCOUNTS && sight->money == ACCOUNTS * BALANCE,
              "%d accounts hold %lld", sight->accounts, (long long)sight->money);
    }
    for (int i = 0; (tables & 1u << GROUPS) != 0 && i < GROUP_COUNT; i++) {
        CHECK(worker, sight->group_sizes[i] == 0 || sight->group_sizes[i] == GROUP_SIZE,
              "%d keys of group %d are there", sight->group_sizes[i], i);
    }
    CHECK(worker, !sight->is_torn, "a group shows two writes");
    for (int i = 0; (tables & 1u << DUTY) != 0 && i < ROSTERS; i++)
        CHECK(worker, sight->on_duty[i] >= 1, "nobody is on duty in roster %d", i);
    for (int i = 0; (tables & 1u << PAIRS) != 0 && i < PAIR_COUNT; i++)
        CHECK(worker, sight->in_pair[i] <= 1, "both keys of pair %d are there", i);
}

/* One scan, forwards or back; every entry in order. */
static kh_status scan_table(struct worker *worker, kh_txn *txn, enum table table,
                            struct sight *sight) {
    kh_scan_options options = KH_SCAN_OPTIONS_INIT;
    kh_cursor *cursor = NULL;
    kh_bytes bytes;
    const kh_batch *value = NULL;
    char prefix[2] = {TABLE_LETTERS[table], '/'};
    uint32_t last = 0;
    bool is_first = true;
    options.prefix = (kh_bytes){prefix, sizeof prefix};
    options.flags = one_in(&worker->random, 2) ? KH_SCAN_REVERSE : 0;
    kh_status status = kh_txn_scan(txn, &options, &cursor, NULL);
    while (status == KH_OK && (status = kh_cursor_next(cursor, &bytes, &value, NULL)) == KH_OK) {
        uint32_t key = 0;
        struct cell cell = {0, 0};
        bool is_sound = key_parse(bytes, &key) && value != NULL && value_read(value, &cell);
        CHECK(worker, is_sound, "a scan gives an entry that cannot be read");
        bool is_sorted = is_first || (options.flags == 0 ? key > last : key < last);
        CHECK(worker, is_sorted, "a scan gives %u after %u", key, last);
        if (is_sound) see_entry(sight, key, &cell);
        last = key;
        is_first = false;
        let_others(worker);
    }
    kh_cursor_close(cursor);
    return status == KH_END ? KH_OK : status;
}

static int keys_of_table(enum table table) {
    return table == BANK     ? ACCOUNTS
           : table == GROUPS ? GROUP_COUNT * GROUP_SIZE
           : table == DUTY   ? ROSTERS * ROSTER_SIZE
                             : PAIR_COUNT * 2;
}

enum { TABLE_KEYS_MAX = 24 };

/* All keys of the table in one statement. */
static kh_status get_table(struct worker *worker, kh_txn *txn, enum table table,
                           struct sight *sight) {
    struct key_text spaces[TABLE_KEYS_MAX];
    kh_bytes keys[TABLE_KEYS_MAX];
    kh_batch *batches[TABLE_KEYS_MAX] = {NULL};
    int count = keys_of_table(table);
    for (int i = 0; i < count; i++) keys[i] = key_bytes(key_of(table, i), &spaces[i]);
    kh_status status = kh_txn_get_many(txn, keys, (size_t)count, batches, NULL);
    for (int i = 0; status == KH_OK && i < count; i++) {
        struct cell cell;
        if (batches[i] == NULL) continue;
        bool is_sound = value_read(batches[i], &cell);
        CHECK(worker, is_sound, "a value cannot be read");
        if (is_sound) see_entry(sight, key_of(table, i), &cell);
        kh_batch_release(batches[i]);
    }
    return status;
}

/* One key after the other: a snapshot's only. */
static kh_status peek_table(struct worker *worker, kh_txn *txn, enum table table,
                            struct sight *sight) {
    int count = keys_of_table(table);
    for (int i = 0; i < count; i++) {
        struct key_text space;
        const kh_batch *batch = NULL;
        struct cell cell;
        kh_status status = kh_txn_peek(txn, key_bytes(key_of(table, i), &space), &batch, NULL);
        let_others(worker);
        if (status == KH_NOT_FOUND) continue;
        if (status != KH_OK) return status;
        bool is_sound = value_read(batch, &cell);
        CHECK(worker, is_sound, "a value cannot be read");
        if (is_sound) see_entry(sight, key_of(table, i), &cell);
    }
    return KH_OK;
}

/* A few tables at a time; each wholly by one way. */
void see_snapshot(struct worker *worker, kh_txn *txn, bool is_statement_only) {
    struct sight sight = {0};
    uint32_t tables = 0;
    kh_status status = KH_OK;
    for (int table = BANK; table <= PAIRS && status == KH_OK; table++) {
        if (!is_number_table((enum table)table) || one_in(&worker->random, 2)) continue;
        int how = draw(&worker->random, is_statement_only ? 2 : 3);
        status = how == 0   ? scan_table(worker, txn, (enum table)table, &sight)
                 : how == 1 ? get_table(worker, txn, (enum table)table, &sight)
                            : peek_table(worker, txn, (enum table)table, &sight);
        tables |= 1u << table;
    }
    CHECK(worker, status == KH_OK || is_retry(status), "a read answers %s", kh_status_name(status));
    if (status == KH_OK) judge(worker, &sight, tables);
}

/* ---- batches of rows ------------------------------------------------------------------------- */

static bool see_row(struct worker *worker, const kh_batch *batch, int64_t row, int64_t *id,
                    int64_t *a) {
    int64_t b = 0;
    bool is_sound = kh_batch_int64(batch, 0, row, id) == KH_OK &&
                    kh_batch_int64(batch, 1, row, a) == KH_OK &&
                    kh_batch_int64(batch, 2, row, &b) == KH_OK && b == *id * 7;
    CHECK(worker, is_sound, "row %lld of a batch is not what anybody wrote", (long long)row);
    return is_sound;
}

/* Each id once; where is_own_exact, this worker's rows are exactly those that it committed. */
bool see_rows(struct worker *worker, const kh_batch *batch, enum table table, int batch_number,
              bool is_own_exact, int64_t *row_count) {
    bool seen[THREADS_MAX][ROW_SLOTS] = {{false}};
    const int64_t *mine = worker->rows[table == ROWS][batch_number];
    int64_t count = batch == NULL ? 0 : kh_batch_row_count(batch);
    int own = 0;
    for (int64_t row = 0; row < count; row++) {
        int64_t id = 0;
        int64_t a = 0;
        if (!see_row(worker, batch, row, &id, &a)) return false;
        int64_t owner = id / 1000;
        int64_t slot = id % 1000;
        bool is_known = owner >= 0 && owner < THREADS_MAX && slot >= 0 && slot < ROW_SLOTS;
        CHECK(worker, is_known && !seen[owner][slot], "id %lld is there twice, or nobody's",
              (long long)id);
        if (!is_known) return false;
        seen[owner][slot] = true;
        if (!is_own_exact || owner != worker->number) continue;
        CHECK(worker, mine[slot] == a, "table %c batch %d: own row %lld is %lld, not %lld",
              TABLE_LETTERS[table], batch_number, (long long)id, (long long)a,
              (long long)mine[slot]);
        own++;
    }
    for (int slot = 0; is_own_exact && slot < ROW_SLOTS; slot++) own -= mine[slot] != 0;
    CHECK(worker, own == 0, "table %c batch %d: %d own rows too many", TABLE_LETTERS[table],
          batch_number, own);
    if (row_count != NULL) *row_count = count;
    return true;
}
