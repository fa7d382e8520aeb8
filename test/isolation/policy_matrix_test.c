/* policy_matrix_test.c - mine {put, row operations, delete} x theirs {the same} x policy x level x
 * what this transaction read: outcome and resulting value of each cell, from two tables.
 *
 * The first table says which way a cell goes (outcomes), the second what value that way gives
 * (values). Order in each cell: begin; read the key (if so); write; read the own write back (if
 * so); the rival writes and commits; commit. With --markdown the tables are measured and printed:
 * the lines that begin with "|". */
#include "support/kit.h"

#define BASE "1=10/100 2=20/200 3=30/300"

/* ---- what can be written --------------------------------------------------------------------- */

enum operation { PUT, INSERT, UPSERT, UPDATE, DELETE_ROWS, DELETE, OPERATION_COUNT };

static const char *const operation_names[OPERATION_COUNT] = {
    "put", "insert_rows", "upsert_rows", "update_rows", "delete_rows", "delete"};
static const char *const mine_rows[OPERATION_COUNT] = {
    "1=11/100 2=20/200 3=30/300 4=40/400", "4=40/400", "1=11/111 4=40/400", "1=11/_", "1=_/_", "-"};
static const char *const theirs_rows[OPERATION_COUNT] = {
    "1=10/100 2=20/222 3=30/300 5=50/500", "5=50/500", "2=22/222 5=50/500", "2=_/222", "3=_/_",
    "-"};
/* What is there after the rival alone. */
static const char *const theirs_values[OPERATION_COUNT] = {
    "1=10/100 2=20/222 3=30/300 5=50/500",
    "1=10/100 2=20/200 3=30/300 5=50/500",
    "1=10/100 2=22/222 3=30/300 5=50/500",
    "1=10/100 2=20/222 3=30/300",
    "1=10/100 2=20/200",
    "-"};

static kh_status apply(kh_txn *txn, enum operation operation, const char *text, kh_policy policy) {
    kh_bytes key = kit_key("k");
    kh_batch *rows = kit_rows(NULL, text);
    kh_status status = KH_INVALID;
    switch (operation) {
    case PUT:
        status = kh_txn_put_with(txn, key, rows, policy, NULL);
        break;
    case INSERT:
        status = kh_txn_insert_rows(txn, key, rows, NULL);
        break;
    case UPSERT:
        status = kh_txn_upsert_rows(txn, key, rows, NULL);
        break;
    case UPDATE:
        status = kh_txn_update_rows(txn, key, rows, NULL);
        break;
    case DELETE_ROWS:
        status = kh_txn_delete_rows(txn, key, rows, NULL);
        break;
    default:
        status = kh_txn_delete_with(txn, key, policy, NULL);
        break;
    }
    kh_batch_release(rows);
    return status;
}

/* ---- the first table: which way -------------------------------------------------------------- */

enum access { BLIND, READ, READ_BACK, ACCESS_COUNT };
static const char *const access_names[ACCESS_COUNT] = {"nothing", "the key before",
                                                       "its own write back"};
enum kind { KIND_PUT, KIND_ROWS, KIND_DELETE, KIND_COUNT };
static const char *const kind_names[KIND_COUNT] = {"put", "rows", "delete"};

/* One letter a policy, fail first: C KH_CONFLICT; X a status of class RETRY; D the write is
 * dropped; T it is written on top; A appended; M merged; K called back; R row operations on the
 * newest. */
static const char *const outcomes[3][ACCESS_COUNT][KIND_COUNT] = {
    /* read committed: a key that is only written never conflicts; reading row operations back reads
     * the key, reading a put or delete back does not */
    {{"TTTTTT", "RRRRRR", "TTTTTT"},
     {"CDTAMK", "CDRRRR", "CDTTCK"},
     {"TTTTTT", "CCRRRR", "TTTTTT"}},
    /* repeatable read: a dropped write that was read back is refused */
    {{"CDTAMK", "RRRRRR", "CDTTCK"},
     {"CDTAMK", "CDRRRR", "CDTTCK"},
     {"CCTAMK", "CCRRRR", "CCTTCK"}},
    /* serializable: what was read must still be so, what was read back must be what is stored */
    {{"CDTAMK", "RRRRRR", "CDTTCK"},
     {"XXXXXX", "XXXXXX", "XXXXXX"},
     {"CCTCCC", "XXXXXX", "CCTCCC"}},
};

/* ---- the second table: what value ------------------------------------------------------------ */

/* "!C" and the like: the letter of a failure. N: KH_ROW_NOT_FOUND. By what theirs was. */
static const char *const appended[OPERATION_COUNT] = {
    "1=11/100 2=20/200 3=30/300 5=50/500 4=40/400",
    "1=11/100 2=20/200 3=30/300 5=50/500 4=40/400",
    "1=11/100 2=20/200 3=30/300 5=50/500 4=40/400",
    "1=11/100 2=20/200 3=30/300 4=40/400",
    "1=11/100 2=20/200 3=30/300 4=40/400",
    "1=11/100 2=20/200 3=30/300 4=40/400"};
static const char *const merged[OPERATION_COUNT] = {
    "1=11/100 2=20/222 3=30/300 5=50/500 4=40/400",
    "1=11/100 2=20/200 3=30/300 5=50/500 4=40/400",
    "1=11/100 2=22/222 3=30/300 5=50/500 4=40/400",
    "1=11/100 2=20/222 3=30/300 4=40/400",
    "1=11/100 2=20/200 4=40/400",
    "!C"};
/* The callback writes one row: rows of base = rows of mine / rows of theirs; absent is -1. */
static const char *const called_put[OPERATION_COUNT] = {"3=4/4", "3=4/4", "3=4/4",
                                                        "3=4/3", "3=4/2", "3=4/-1"};
static const char *const called_delete[OPERATION_COUNT] = {"3=-1/4", "3=-1/4", "3=-1/4",
                                                           "3=-1/3", "3=-1/2", "3=-1/-1"};
static const char *const rows_on[OPERATION_COUNT][OPERATION_COUNT] = {
    [INSERT] = {"1=10/100 2=20/222 3=30/300 5=50/500 4=40/400",
                "1=10/100 2=20/200 3=30/300 5=50/500 4=40/400",
                "1=10/100 2=22/222 3=30/300 5=50/500 4=40/400",
                "1=10/100 2=20/222 3=30/300 4=40/400", "1=10/100 2=20/200 4=40/400", "4=40/400"},
    [UPSERT] = {"1=11/111 2=20/222 3=30/300 5=50/500 4=40/400",
                "1=11/111 2=20/200 3=30/300 5=50/500 4=40/400",
                "1=11/111 2=22/222 3=30/300 5=50/500 4=40/400",
                "1=11/111 2=20/222 3=30/300 4=40/400", "1=11/111 2=20/200 4=40/400",
                "1=11/111 4=40/400"},
    [UPDATE] = {"1=11/100 2=20/222 3=30/300 5=50/500", "1=11/100 2=20/200 3=30/300 5=50/500",
                "1=11/100 2=22/222 3=30/300 5=50/500", "1=11/100 2=20/222 3=30/300",
                "1=11/100 2=20/200", "!N"},
    [DELETE_ROWS] = {"2=20/222 3=30/300 5=50/500", "2=20/200 3=30/300 5=50/500",
                     "2=22/222 3=30/300 5=50/500", "2=20/222 3=30/300", "2=20/200", "-"},
};

struct cell {
    int level;
    enum access access;
    enum operation mine;
    enum operation theirs;
    kh_policy policy;
};

static enum kind kind_of(enum operation operation) {
    return operation == PUT ? KIND_PUT : operation == DELETE ? KIND_DELETE : KIND_ROWS;
}

static char letter_of(const struct cell *cell) {
    return outcomes[cell->level][cell->access][kind_of(cell->mine)][cell->policy - KH_FAIL];
}

/* The value that must result, or "!" and the letter of the failure. */
static const char *expected_of(const struct cell *cell) {
    bool is_delete = cell->mine == DELETE;
    switch (letter_of(cell)) {
    case 'T':
        return mine_rows[cell->mine];
    case 'D':
        return theirs_values[cell->theirs];
    case 'A':
        return appended[cell->theirs];
    case 'M':
        return merged[cell->theirs];
    case 'K':
        return is_delete ? called_delete[cell->theirs] : called_put[cell->theirs];
    case 'R':
        return rows_on[cell->mine][cell->theirs];
    case 'X':
        return "!X";
    default:
        return "!C";
    }
}

/* ---- running a cell -------------------------------------------------------------------------- */

static long long row_count(const kh_batch *batch) {
    return batch == NULL ? -1 : kh_batch_row_count(batch);
}

static kh_resolution count_rows(void *context, kh_bytes key, const kh_batch *base,
                                const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    assert_true(kit_bytes_equal(key, kit_key("k")));
    ++*(int *)context;
    char text[KIT_TEXT_BYTES];
    (void)snprintf(text, sizeof text, "%lld=%lld/%lld", row_count(base), row_count(mine),
                   row_count(theirs));
    *out = kit_rows(NULL, text);
    return KH_RESOLVE_WRITE;
}

static kh_txn *begin(kh_db *db, const struct cell *cell, int *calls) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = kit_levels[cell->level];
    options.policy = cell->policy;
    options.resolve = count_rows;
    options.resolve_context = calls;
    kh_txn *txn = NULL;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_OK);
    return txn;
}

static void read_key(kh_txn *txn) {
    kh_batch *batch = NULL;
    kh_status status = kh_txn_get(txn, kit_key("k"), &batch, NULL);
    assert_true(status == KH_OK || status == KH_NOT_FOUND);
    kh_batch_release(batch);
}

static void store(kh_db *db, enum operation operation, const char *text) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(apply(txn, operation, text, KH_DEFAULT_POLICY), KH_OK);
    kit_commit_ok(txn);
}

static void load(kh_db *db, char out[KIT_TEXT_BYTES]) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *batch = NULL;
    kh_status status = kh_txn_get(txn, kit_key("k"), &batch, NULL);
    assert_true(status == KH_OK || status == KH_NOT_FOUND);
    kit_text(batch, out);
    kh_batch_release(batch);
    kit_rollback(txn);
}

/* What the engine says of the met rival must agree with the way the cell went. */
static void check_listing(const kh_txn *txn, const struct cell *cell, bool is_committed) {
    kh_resolved resolved;
    memset(&resolved, 0, sizeof resolved);
    kh_status status = kh_txn_resolved(txn, 0, &resolved);
    char letter = letter_of(cell);
    if (!is_committed || (letter == 'T' && outcomes[cell->level][cell->access][0][0] == 'T')) {
        kit_is(status, KH_NOT_FOUND);
        return;
    }
    if (letter == 'R' && cell->level == 0 && cell->access == BLIND) {
        return; /* at read committed such a write has met no rival */
    }
    kit_is(status, KH_OK);
    assert_true(kit_bytes_equal(resolved.key, kit_key("k")));
    assert_int_equal(resolved.fate, letter == 'D' ? KH_WRITE_DROPPED : KH_WRITE_RESOLVED);
    if (kind_of(cell->mine) != KIND_ROWS || letter == 'R') {
        assert_int_equal(resolved.policy, letter == 'R' ? KH_DEFAULT_POLICY : cell->policy);
    }
    assert_true(resolved.rival != 0);
    kit_is(kh_txn_resolved(txn, 1, &resolved), KH_NOT_FOUND);
}

static const char *letter_of_status(kh_status status) {
    switch (status) {
    case KH_CONFLICT:
        return "!C";
    case KH_NOT_SERIALIZABLE:
        return "!X";
    case KH_ROW_NOT_FOUND:
        return "!N";
    case KH_ROW_EXISTS:
        return "!E";
    default:
        return kh_status_name(status);
    }
}

static void check_conflict(const kh_txn *txn, kh_status status) {
    kh_conflict conflict;
    memset(&conflict, 0, sizeof conflict);
    conflict.size = sizeof conflict;
    kit_is(kh_txn_conflict(txn, &conflict), KH_OK);
    kit_is(conflict.status, status);
    if (status == KH_CONFLICT) {
        assert_true(kit_bytes_equal(conflict.key, kit_key("k")));
        assert_true(conflict.rival > conflict.snapshot || conflict.snapshot == 0);
    }
}

/* Run the cell; out: the value that results, or "!" and the letter of the failure. */
static void measure(kh_db *db, const struct cell *cell, char out[KIT_TEXT_BYTES]) {
    int calls = 0;
    char after_rival[KIT_TEXT_BYTES];
    store(db, PUT, BASE);
    kh_txn *txn = begin(db, cell, &calls);
    if (cell->access == READ) {
        read_key(txn);
    }
    kit_is(apply(txn, cell->mine, mine_rows[cell->mine], KH_DEFAULT_POLICY), KH_OK);
    if (cell->access == READ_BACK) {
        read_key(txn);
    }
    store(db, cell->theirs, theirs_rows[cell->theirs]);
    load(db, after_rival);
    assert_string_equal(after_rival, theirs_values[cell->theirs]);
    kh_status status = kh_txn_commit(txn, NULL, NULL);
    check_listing(txn, cell, status == KH_OK);
    load(db, out);
    if (status != KH_OK) {
        assert_string_equal(out, after_rival);
        check_conflict(txn, status);
        (void)snprintf(out, KIT_TEXT_BYTES, "%s", letter_of_status(status));
    }
    assert_true(calls == 0 || cell->policy == KH_CALLBACK);
    kh_txn_close(txn);
}

static bool agrees(const char *measured, const char *expected) {
    if (strcmp(expected, "!X") == 0) {
        return strcmp(measured, "!C") == 0 || strcmp(measured, "!X") == 0;
    }
    /* Taking rows out of nothing leaves nothing, or no rows. */
    return strcmp(measured, expected) == 0 ||
           (strcmp(expected, "-") == 0 && strcmp(measured, "()") == 0);
}

static int check_cell(kh_db *db, const struct cell *cell) {
    char measured[KIT_TEXT_BYTES];
    measure(db, cell, measured);
    const char *expected = expected_of(cell);
    if (agrees(measured, expected)) {
        return 0;
    }
    print_error("%s, read %s, policy %s: %s on %s gives %s, not %s\n",
                kit_level_names[kit_levels[cell->level]], access_names[cell->access],
                kit_policy_names[cell->policy], operation_names[cell->mine],
                operation_names[cell->theirs], measured, expected);
    return 1;
}

static void check_level(void **state) {
    struct cell cell = {.level = *(const int *)*state};
    int wrong = 0;
    kh_db *db = kit_open();
    for (cell.access = BLIND; cell.access < ACCESS_COUNT; cell.access++) {
        for (cell.mine = PUT; cell.mine < OPERATION_COUNT; cell.mine++) {
            for (cell.theirs = PUT; cell.theirs < OPERATION_COUNT; cell.theirs++) {
                for (cell.policy = KH_FAIL; cell.policy <= KH_CALLBACK; cell.policy++) {
                    wrong += check_cell(db, &cell);
                }
            }
        }
    }
    kit_close(db);
    assert_int_equal(wrong, 0);
}

/* ---- collisions inside one batch ------------------------------------------------------------- */

static const struct collision {
    kh_policy policy;
    enum operation mine;
    const char *mine_text;
    enum operation theirs;
    const char *theirs_text;
    const char *expected;
} collisions[] = {
    {KH_FAIL, INSERT, "5=1/1", INSERT, "5=2/2", "!E"},
    {KH_FAIL, UPDATE, "3=33/_", DELETE_ROWS, "3=_/_", "!N"},
    {KH_FAIL, DELETE_ROWS, "3=_/_", DELETE_ROWS, "3=_/_", "1=10/100 2=20/200"},
    {KH_FAIL, UPDATE, "2=21/_", UPDATE, "2=_/222", "1=10/100 2=21/222 3=30/300"},
    {KH_FAIL, UPDATE, "2=21/_", UPDATE, "2=29/_", "1=10/100 2=21/200 3=30/300"},
    {KH_FAIL, UPSERT, "2=21/201", UPDATE, "2=_/222", "1=10/100 2=21/201 3=30/300"},
    {KH_FAIL, UPSERT, "3=31/301", DELETE_ROWS, "3=_/_", "1=10/100 2=20/200 3=31/301"},
    {KH_FAIL, INSERT, "3=31/301", DELETE_ROWS, "3=_/_", "1=10/100 2=20/200 3=31/301"},
    {KH_MERGE, PUT, "1=11/100 2=20/200 3=30/300", UPDATE, "1=12/_", "!C"},
    {KH_MERGE, PUT, "1=11/100 2=20/200 3=30/300", UPDATE, "1=11/_", "1=11/100 2=20/200 3=30/300"},
    {KH_MERGE, PUT, "1=11/100 2=20/200 3=30/300", UPDATE, "1=_/111", "1=11/111 2=20/200 3=30/300"},
    {KH_MERGE, PUT, "2=20/200 3=30/300", UPDATE, "1=_/111", "!C"},
    {KH_MERGE, PUT, "1=11/100 2=20/200 3=30/300", DELETE_ROWS, "1=_/_", "!C"},
    {KH_MERGE, PUT, "2=20/200 3=30/300", DELETE_ROWS, "1=_/_", "2=20/200 3=30/300"},
    {KH_MERGE, PUT, BASE " 4=1/1", INSERT, "4=2/1", "!C"},
    {KH_MERGE, PUT, BASE " 4=1/1", INSERT, "4=1/1", BASE " 4=1/1"},
    {KH_APPEND, PUT, "1=11/111", UPDATE, "1=12/_", "1=11/111 2=20/200 3=30/300"},
    {KH_APPEND, PUT, "3=31/301", DELETE_ROWS, "3=_/_", "1=10/100 2=20/200 3=31/301"},
};

static void check_collision(kh_db *db, const struct collision *c, kh_isolation isolation) {
    char measured[KIT_TEXT_BYTES];
    store(db, PUT, BASE);
    kh_txn *txn = kit_begin_with(db, isolation, c->policy, 0);
    kit_is(apply(txn, c->mine, c->mine_text, KH_DEFAULT_POLICY), KH_OK);
    store(db, c->theirs, c->theirs_text);
    kh_status status = kh_txn_commit(txn, NULL, NULL);
    load(db, measured);
    if (status != KH_OK) {
        check_conflict(txn, status);
        (void)snprintf(measured, sizeof measured, "%s", letter_of_status(status));
    }
    kh_txn_close(txn);
    assert_string_equal(measured, c->expected);
}

static void test_collisions(void **state) {
    (void)state;
    kh_db *db = kit_open();
    for (size_t i = 0; i < sizeof collisions / sizeof collisions[0]; i++) {
        for (int level = 1; level < 3; level++) {
            check_collision(db, &collisions[i], kit_levels[level]);
        }
    }
    kit_close(db);
}

/* ---- what a callback may answer, and policies by write --------------------------------------- */

struct answer {
    kh_resolution resolution;
    const char *text;
};

static kh_resolution answer(void *context, kh_bytes key, const kh_batch *base, const kh_batch *mine,
                            const kh_batch *theirs, kh_batch **out) {
    const struct answer *with = context;
    (void)key, (void)base, (void)mine, (void)theirs;
    if (with->resolution == KH_RESOLVE_WRITE) {
        *out = kit_rows(NULL, with->text);
    }
    return with->resolution;
}

static void test_callback_answers(void **state) {
    (void)state;
    static const struct {
        struct answer answer;
        const char *expected;
    } table[] = {{{KH_RESOLVE_CONFLICT, NULL}, "!C"},
                 {{KH_RESOLVE_WRITE, "7=7/7"}, "7=7/7"},
                 {{KH_RESOLVE_WRITE, "-"}, "-"},
                 {{KH_RESOLVE_DROP, NULL}, "1=10/100 2=20/222 3=30/300 5=50/500"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        kh_options options = kit_options();
        struct answer with = table[i].answer;
        options.resolve = answer;
        options.resolve_context = &with;
        kh_db *db = kit_open_with(&options);
        char measured[KIT_TEXT_BYTES];
        store(db, PUT, BASE);
        kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
        kit_is(apply(txn, PUT, mine_rows[PUT], KH_CALLBACK), KH_OK);
        store(db, PUT, theirs_rows[PUT]);
        kh_status status = kh_txn_commit(txn, NULL, NULL);
        kh_txn_close(txn);
        load(db, measured);
        assert_string_equal(status == KH_OK ? measured : letter_of_status(status),
                            table[i].expected);
        kit_close(db);
    }
}

/* Database, transaction, write: the nearest says. */
static void test_policy_precedence(void **state) {
    (void)state;
    kh_options options = kit_options();
    options.policy = KH_REPLACE;
    kh_db *db = kit_open_with(&options);
    static const struct {
        kh_policy txn;
        kh_policy write;
        const char *expected;
    } table[] = {{KH_DEFAULT_POLICY, KH_DEFAULT_POLICY, "9=9/9"},
                 {KH_FAIL, KH_DEFAULT_POLICY, "!C"},
                 {KH_FAIL, KH_REPLACE, "9=9/9"},
                 {KH_DEFAULT_POLICY, KH_FAIL, "!C"},
                 {KH_REPLACE, KH_IGNORE, "8=8/8"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char measured[KIT_TEXT_BYTES];
        store(db, PUT, BASE);
        kh_txn *txn = kit_begin_with(db, KH_REPEATABLE_READ, table[i].txn, 0);
        kit_is(apply(txn, PUT, "9=9/9", table[i].write), KH_OK);
        store(db, PUT, "8=8/8");
        kh_status status = kh_txn_commit(txn, NULL, NULL);
        kh_txn_close(txn);
        load(db, measured);
        assert_string_equal(status == KH_OK ? measured : letter_of_status(status),
                            table[i].expected);
    }
    kit_close(db);
}

/* ---- the tables as Markdown ------------------------------------------------------------------ */

static void print_ways(kh_db *db) {
    static const char *const ways[] = {"refused", "dropped", "on top", "appended", "merged",
                                       "callback", "rows on the newest"};
    static const char letters[] = "CDTAMKR";
    (void)printf("| level | has read | mine "
                 "| fail | ignore | replace | append | merge | callback |\n"
                 "|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < 3 * ACCESS_COUNT * KIND_COUNT; i++) {
        static const enum operation samples[KIND_COUNT] = {PUT, UPSERT, DELETE};
        struct cell cell = {i / (ACCESS_COUNT * KIND_COUNT),
                            (enum access)(i / KIND_COUNT % ACCESS_COUNT), samples[i % KIND_COUNT],
                            PUT, KH_FAIL};
        (void)printf("| %s | %s | %s |", kit_level_names[kit_levels[cell.level]],
                     access_names[cell.access], kind_names[i % KIND_COUNT]);
        for (; cell.policy <= KH_CALLBACK; cell.policy++) {
            char measured[KIT_TEXT_BYTES];
            measure(db, &cell, measured);
            char letter = measured[0] == '!' ? 'C' : letter_of(&cell);
            (void)printf(" %s |", ways[strchr(letters, letter) - letters]);
        }
        (void)printf("\n");
    }
}

static void print_values(kh_db *db) {
    (void)printf("\n| mine | theirs | fail | ignore | replace | append | merge | callback |\n"
                 "|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < OPERATION_COUNT * OPERATION_COUNT; i++) {
        struct cell cell = {1, BLIND, (enum operation)(i / OPERATION_COUNT),
                            (enum operation)(i % OPERATION_COUNT), KH_FAIL};
        (void)printf("| %s %s | %s %s |", operation_names[cell.mine], mine_rows[cell.mine],
                     operation_names[cell.theirs], theirs_rows[cell.theirs]);
        for (; cell.policy <= KH_CALLBACK; cell.policy++) {
            char measured[KIT_TEXT_BYTES];
            measure(db, &cell, measured);
            (void)printf(" %s |", strcmp(measured, "!C") == 0   ? "KH_CONFLICT"
                                  : strcmp(measured, "!N") == 0 ? "KH_ROW_NOT_FOUND"
                                                                : measured);
        }
        (void)printf("\n");
    }
}

int main(int argument_count, char **arguments) {
    static int levels[3] = {0, 1, 2};
    const struct CMUnitTest tests[] = {
        {"matrix read_committed", check_level, NULL, NULL, &levels[0]},
        {"matrix repeatable_read", check_level, NULL, NULL, &levels[1]},
        {"matrix serializable", check_level, NULL, NULL, &levels[2]},
        cmocka_unit_test(test_collisions),
        cmocka_unit_test(test_callback_answers),
        cmocka_unit_test(test_policy_precedence),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed == 0 && argument_count > 1 && strcmp(arguments[1], "--markdown") == 0) {
        kh_db *db = kit_open();
        print_ways(db);
        print_values(db);
        kit_close(db);
    }
    return failed;
}
