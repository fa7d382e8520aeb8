/* life_read.c - comparing a database with the model, and with what a run has said. See life.h. */
#include "life.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_TRIES = 3 };

/* ---- what is there --------------------------------------------------------------------------- */

static kh_txn *begin(kh_db *db) {
    kh_txn *txn = NULL;
    kh_error error = {""};
    kh_status status = kh_txn_begin(db, NULL, &txn, &error);
    life_must(status == KH_OK, "begin: %s", error.message);
    return txn;
}

/* A value that is in the storage only may not be readable, and is tried again. */
static void read_patiently(kh_status (*read)(kh_db *, int64_t *, kh_error *), kh_db *db,
                           int64_t *number) {
    kh_error error = {""};
    for (int i = 0; i < READ_TRIES; i++) {
        kh_status status = read(db, number, &error);
        if (status == KH_OK) return;
        life_say_status("read", status, &error);
    }
    life_say("unreadable");
    _exit(0);
}

static kh_status read_newest(kh_db *db, int64_t *number, kh_error *error) {
    const kh_batch *batch = NULL;
    kh_txn *txn = begin(db);
    *number = 0;
    kh_status status = kh_txn_peek(txn, (kh_bytes){"last", 4}, &batch, error);
    if (status == KH_OK) status = kh_batch_int64(batch, 0, 0, number);
    kh_txn_close(txn);
    return status == KH_NOT_FOUND ? KH_OK : status;
}

int64_t life_newest(kh_db *db) {
    int64_t number = 0;
    read_patiently(read_newest, db, &number);
    return number;
}

static bool is_same(const struct model_entry *entry, const kh_batch *value) {
    kh_bytes text;
    int64_t number;
    if (!entry->is_text)
        return kh_batch_int64(value, 0, 0, &number) == KH_OK && number == entry->number;
    kh_bytes expected = model_text(entry->number);
    return kh_batch_bytes(value, 0, 0, &text) == KH_OK && text.size_bytes == expected.size_bytes &&
           memcmp(text.data, expected.data, expected.size_bytes) == 0;
}

static bool is_ballast(kh_bytes key, const kh_batch *value) {
    kh_bytes text;
    if (key.size_bytes < sizeof MODEL_BALLAST - 1 ||
        memcmp(key.data, MODEL_BALLAST, sizeof MODEL_BALLAST - 1) != 0)
        return false;
    life_must(kh_batch_bytes(value, 0, 0, &text) == KH_OK &&
                  memcmp(text.data, (const char *)text.data + 1, text.size_bytes - 1) == 0,
              "the ballast is another one");
    return true;
}

static bool is_key(kh_bytes key, const char *text) {
    return key.size_bytes == strlen(text) && memcmp(key.data, text, key.size_bytes) == 0;
}

static kh_status compare_once(kh_db *db, int64_t *expected, kh_error *error) {
    int64_t count = *expected;
    struct model model;
    kh_cursor *cursor = NULL;
    const kh_batch *value = NULL;
    kh_bytes key;
    kh_status status;
    int at = 0;
    model_after(count, &model);
    kh_txn *txn = begin(db);
    life_must(kh_txn_scan(txn, NULL, &cursor, NULL) == KH_OK, "scan");
    while ((status = kh_cursor_next(cursor, &key, &value, error)) == KH_OK) {
        if (is_ballast(key, value)) continue;
        bool is_expected = at < model.count && is_key(key, model.entries[at].key) &&
                           is_same(&model.entries[at], value);
        life_must(is_expected, "after %" PRId64 " transactions there is not what must be at %.*s",
                  count, (int)key.size_bytes, (const char *)key.data);
        at++;
    }
    life_must(status != KH_END || at == model.count,
              "after %" PRId64 " transactions there are %d keys, not %d", count, at, model.count);
    kh_cursor_close(cursor);
    kh_txn_close(txn);
    return status == KH_END ? KH_OK : status;
}

void life_compare(kh_db *db, int64_t count) {
    read_patiently(compare_once, db, &count);
}

struct prepared {
    kh_txn_id id;
    int count;
};

static bool note_prepared(void *context, const kh_live_txn *txn) {
    struct prepared *prepared = context;
    if (!txn->is_prepared) return true;
    prepared->id = txn->id;
    prepared->count++;
    return true;
}

kh_txn_id life_prepared(kh_db *db) {
    struct prepared prepared = {.count = 0};
    life_must(kh_db_live(db, note_prepared, &prepared, NULL) == KH_OK, "live");
    life_must(prepared.count <= 1, "%d transactions are prepared", prepared.count);
    return prepared.id;
}

/* ---- what was said --------------------------------------------------------------------------- */

/* Of the lines of one or more runs, in their order. */
struct said {
    bool is_open;     /* some run got that far */
    int64_t done;     /* the newest that must be there */
    int64_t tried;    /* the newest that may be */
    kh_txn_id id;     /* of that one */
    int64_t prepared; /* acknowledged as prepared: there, or waiting */
    int64_t refused;  /* was answered that it is not there, and not tried again */
    int64_t backup;   /* number of the newest, 0: none; and how many transactions are in it */
    int64_t in_backup;
};

/* low: the second number of a line, if any. */
static void take_line(struct said *said, const char *word, int64_t number, uint64_t low) {
    if (strcmp(word, "open") == 0) said->is_open = true;
    if (strcmp(word, "done") == 0) said->done = number;
    if (strcmp(word, "prepared") == 0) said->prepared = number;
    if (strcmp(word, "refused") == 0) said->refused = number;
    if (strcmp(word, "backup") == 0) {
        said->backup = number;
        said->in_backup = (int64_t)low;
    }
    if (strcmp(word, "try") != 0) return;
    said->tried = number;
    said->id.low = low;
    said->refused = 0;
}

static void read_said(const char *path, struct said *said) {
    char line[512];
    *said = (struct said){.done = 0};
    FILE *file = fopen(path, "r");
    life_must(file != NULL, "there is no %s", path);
    while (fgets(line, sizeof line, file) != NULL) {
        char word[16];
        int64_t number = 0;
        uint64_t low = 0;
        if (sscanf(line, "%15s %" SCNd64 " %" SCNu64, word, &number, &low) >= 1)
            take_line(said, word, number, low);
    }
    (void)fclose(file);
}

static void check_counts(const struct life *life, const struct said *said) {
    kh_txn_id waiting = life_prepared(life->db);
    int64_t count = life->count;
    life_must(count >= said->done, "LOST: %" PRId64 " was acknowledged, there are %" PRId64,
              said->done, count);
    life_must(count <= said->tried, "%" PRId64 " was never begun", count);
    life_must(said->refused == 0 || count < said->refused, "%" PRId64 " is there and was refused",
              count);
    life_must(waiting.low == 0 || (waiting.low == said->id.low && count < said->tried),
              "what is prepared is none that was");
    life_must(count >= said->prepared || waiting.low == said->id.low,
              "LOST: %" PRId64 " was acknowledged as prepared", said->prepared);
}

/* What became of the last transaction, asked by its id. */
static void check_outcome(const struct life *life, const struct said *said) {
    kh_outcome outcome = KH_OUTCOME_ACTIVE;
    kh_error error = {""};
    if (said->id.low == 0) return;
    kh_outcome expected = life->count >= said->tried         ? KH_OUTCOME_COMMITTED
                          : life_prepared(life->db).low != 0 ? KH_OUTCOME_PREPARED
                                                             : KH_OUTCOME_ABORTED;
    kh_status status = kh_db_outcome(life->db, said->id, &outcome, NULL, &error);
    life_must(status == KH_OK, "outcome: %s", error.message);
    life_must(outcome == expected, "the outcome of %" PRId64 " is %d, not %d", said->tried,
              (int)outcome, (int)expected);
}

static void verify(const char *path) {
    kh_verify_report report = {.size = sizeof report};
    kh_error error = {""};
    kh_status status = kh_verify(path, NULL, &report, &error);
    life_must(status == KH_OK, "verify: %s", error.message);
}

void life_check(struct life *life, const char *lines, bool is_verified) {
    struct said said;
    read_said(lines, &said);
    life_must(life_open(life, KH_OPEN_NO_THREADS), "the database cannot be opened any more");
    check_counts(life, &said);
    life_compare(life->db, life->count);
    check_outcome(life, &said);
    life_commit(life, BALLAST_NONE); /* it goes on */
    life_must(!life->is_poisoned, "the next commit fails");
    life_compare(life->db, life->count);
    if (said.backup != 0) life_check_backup(life, (uint64_t)said.backup, said.in_backup);
    if (!is_verified) return; /* not even closed */
    life_close(life);
    verify(life->path);
}
