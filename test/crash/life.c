/* life.c - an ordinary life of a durable database, by a script, for kills and failing calls.
 *
 *     khonsu-life run DIR SCRIPT     do it; a line for everything that others may rely on
 *     khonsu-life check DIR LINES    compare DIR with the lines of its runs, in a file; then commit
 *     khonsu-life verify DIR LINES   the same, and kh_verify when it is closed
 *
 * A script is letters: o open with threads, n without, m the same with memory for 8 MiB only, x
 * close, c commit the next transaction, w the same with a mebibyte of ballast, v with one under a
 * key of its own, s one step of upkeep, k compact, r compare with the model, R the same through a
 * read-only opening beside, b back up to DIR.backups, ! end without closing. The transactions are
 * those of life_model.h, one after the other, each with a sync policy by its number; every fourth
 * is prepared first.
 *
 * Lines, each written at once (the program may be killed at any moment, and calls may fail):
 *     open N              opened; the first N transactions are there
 *     try I ID            transaction I begins its commit
 *     prepared I          it waits for its decision, which will be to commit
 *     done I, soft I      acknowledged, to survive everything; with policy none
 *     lost I, refused I, undecided I   answered KH_UNKNOWN; that it is not there; that it is still
 *                         prepared
 *     backup B N          made, with the first N transactions in it
 *     status WHAT NAME    a call failed with that status
 *     poisoned, unreadable, closed, end
 *     cold N fetches M    when it is closed: of values that are not in memory
 *
 * What must hold in this process it checks itself: after a commit that was lost or poisoned no
 * other is acknowledged, reads go on and see what was, and opening again works. Exit status: 0, or
 * 1 with a line "wrong ..." first. */
#include "life.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BALLAST_BYTES = 1 << 20, LITTLE_MEMORY_BYTES = 8 << 20, OPEN_TRIES = 4, SPACE_TRIES = 40 };

static void say_words(const char *before, const char *format, va_list arguments) {
    char line[512];
    int bytes = snprintf(line, sizeof line, "%s", before);
    bytes += vsnprintf(line + bytes, sizeof line - (size_t)bytes - 1, format, arguments);
    if (bytes > (int)sizeof line - 2) bytes = (int)sizeof line - 2;
    line[bytes++] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)bytes) != bytes) _exit(9); /* nobody listens */
}

void life_say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say_words("", format, arguments);
    va_end(arguments);
}

void life_must(bool is_true, const char *format, ...) {
    va_list arguments;
    if (is_true) return;
    va_start(arguments, format);
    say_words("wrong ", format, arguments);
    va_end(arguments);
    _exit(1);
}

void life_say_status(const char *what, kh_status status, const kh_error *error) {
    life_say("status %s %s %.200s", what, kh_status_name(status), error->message);
}

/* ---- open and close -------------------------------------------------------------------------- */

static void message(void *context, kh_log_level level, const char *text) {
    (void)context;
    (void)level;
    life_say("message %.200s", text);
}

static kh_status open_at(const char *path, uint32_t flags, uint64_t memory_bytes, kh_db **out,
                         kh_error *error) {
    kh_options options = KH_OPTIONS_INIT;
    options.path = path;
    options.flags = flags;
    options.limits.memory_bytes = memory_bytes;
    options.message = message;
    return kh_db_open(&options, out, error);
}

static void make_schemas(struct life *life) {
    static const char *const number_names[] = {"n"};
    static const char *const number_formats[] = {"l"};
    static const char *const text_names[] = {"text"};
    static const char *const text_formats[] = {"u"};
    kh_status status =
        kh_schema_build(life->db, number_names, number_formats, 1, &life->numbers, NULL);
    if (status == KH_OK)
        status = kh_schema_build(life->db, text_names, text_formats, 1, &life->texts, NULL);
    life_must(status == KH_OK, "schemas");
}

/* Faults pass: an opening that fails is tried again. */
bool life_open(struct life *life, uint32_t flags) {
    kh_error error = {""};
    kh_status status = KH_OK;
    for (int i = 0; i < OPEN_TRIES; i++) {
        status = open_at(life->path, flags, life->memory_bytes, &life->db, &error);
        if (status == KH_OK) break;
        life_say_status("open", status, &error);
    }
    if (status != KH_OK) return false;
    life->flags = flags;
    life->is_poisoned = false;
    life->count = life_newest(life->db);
    life_compare(life->db, life->count);
    make_schemas(life);
    life_say("open %" PRId64, life->count);
    return true;
}

void life_close(struct life *life) {
    kh_stats stats = {.size = sizeof stats};
    kh_schema_release(life->numbers);
    kh_schema_release(life->texts);
    if (life->memory_bytes != 0 && kh_db_stats(life->db, &stats, NULL) == KH_OK)
        life_say("cold %" PRIu64 " fetches %" PRIu64, stats.versions_cold, stats.fetches);
    kh_status status = kh_db_close(life->db);
    life_must(status == KH_OK, "close: %s", kh_status_name(status));
    life->db = NULL;
    life_say("closed");
}

/* ---- committing ------------------------------------------------------------------------------ */

static void put(struct life *life, kh_txn *txn, const char *key, kh_scalar scalar) {
    const kh_schema *schema = scalar.kind == KH_SCALAR_BYTES ? life->texts : life->numbers;
    kh_batch *batch = NULL;
    kh_status status = kh_batch_build(life->db, schema, &scalar, 1, &batch, NULL);
    if (status == KH_OK) status = kh_txn_put(txn, (kh_bytes){key, strlen(key)}, batch, NULL);
    life_must(status == KH_OK, "put: %s", kh_status_name(status));
    kh_batch_release(batch);
}

static void put_ballast(struct life *life, kh_txn *txn, int64_t i, bool is_apart) {
    static char text[BALLAST_BYTES];
    char key[32] = MODEL_BALLAST;
    memset(text, 'a' + (int)(i % 26), sizeof text);
    if (is_apart) (void)snprintf(key, sizeof key, "%s/%02d", MODEL_BALLAST, (int)(i % 100));
    put(life, txn, key, (kh_scalar){KH_SCALAR_BYTES, {.bytes = {text, sizeof text}}});
}

static void fill(struct life *life, kh_txn *txn, int64_t i) {
    struct model_write writes[5];
    int count = model_writes(i, writes);
    for (int w = 0; w < count; w++) {
        const struct model_entry *entry = &writes[w].entry;
        if (writes[w].is_deleted) {
            kh_bytes key = {entry->key, strlen(entry->key)};
            life_must(kh_txn_delete(txn, key, NULL) == KH_OK, "delete");
        } else if (entry->is_text) {
            put(life, txn, entry->key, (kh_scalar){KH_SCALAR_BYTES, {.bytes = model_text(i)}});
        } else {
            put(life, txn, entry->key, (kh_scalar){KH_SCALAR_INT64, {.int64 = i}});
        }
    }
}

static kh_sync policy_of(int64_t i) {
    static const kh_sync policies[] = {KH_SYNC_FULL, KH_SYNC_GROUP, KH_SYNC_NONE, KH_SYNC_FULL};
    return policies[i % 4];
}

static kh_txn *begin(struct life *life, int64_t i) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.isolation = KH_SERIALIZABLE;
    options.sync = policy_of(i);
    life_must(kh_txn_begin(life->db, &options, &txn, NULL) == KH_OK, "begin");
    return txn;
}

/* Once a log has failed: nothing is taken, everything that was there is read. */
static void probe_poisoned(struct life *life) {
    kh_txn *txn = begin(life, 0);
    put(life, txn, "last", (kh_scalar){KH_SCALAR_INT64, {.int64 = -1}});
    kh_status status = kh_txn_commit(txn, NULL, NULL);
    kh_txn_close(txn);
    life_must(status == KH_POISONED, "a failed log answers a commit with %s",
              kh_status_name(status));
    life_compare(life->db, life->count);
    life->is_poisoned = true;
    life_say("poisoned");
}

enum step_end { STEP_DONE, STEP_FULL, STEP_FAILED };

/* Where the device is full a decision is tried again; anything else has ended the transaction,
 * which is not there (STEP_FULL). STEP_FAILED: the log has, too. */
static enum step_end step(struct life *life, kh_txn *txn, const char *what, bool is_prepared,
                          kh_status (*call)(kh_txn *, kh_error *)) {
    kh_error error = {""};
    kh_status status = KH_NO_SPACE;
    int tries = is_prepared ? SPACE_TRIES : 1;
    for (int i = 0; i < tries && status == KH_NO_SPACE; i++) {
        status = call(txn, &error);
        if (status == KH_NO_SPACE) life_say_status(what, status, &error);
    }
    if (status == KH_OK) return STEP_DONE;
    if (status == KH_NO_SPACE && !is_prepared) return STEP_FULL;
    life_say_status(what, status, &error);
    life_must(status == KH_UNKNOWN || status == KH_POISONED, "%s answers %s", what,
              kh_status_name(status));
    const char *word = status == KH_UNKNOWN ? "lost" : is_prepared ? "undecided" : "refused";
    life_say("%s %" PRId64, word, life->count + 1);
    return STEP_FAILED;
}

static kh_status commit_call(kh_txn *txn, kh_error *error) {
    return kh_txn_commit(txn, NULL, error);
}

/* Prepared by an earlier life or refused its decision: it is decided before anything else. */
static void settle(struct life *life) {
    kh_error error = {""};
    kh_txn_id id = life_prepared(life->db);
    if (id.low == 0) return;
    kh_status status = kh_db_decide(life->db, id, true, NULL, &error);
    if (status != KH_OK) {
        life_say_status("decide", status, &error);
        life_must(status == KH_UNKNOWN || status == KH_POISONED || status == KH_NO_SPACE,
                  "decide answers %s", kh_status_name(status));
        if (status != KH_NO_SPACE) probe_poisoned(life);
        return;
    }
    life->count++;
    life_say("done %" PRId64, life->count);
}

static enum step_end commit_once(struct life *life, enum ballast ballast) {
    int64_t i = life->count + 1;
    kh_txn *txn = begin(life, i);
    fill(life, txn, i);
    if (ballast != BALLAST_NONE) put_ballast(life, txn, i, ballast == BALLAST_APART);
    life_say("try %" PRId64 " %" PRIu64, i, kh_txn_get_id(txn).low);
    bool is_prepared = i % 4 == 3;
    enum step_end end = STEP_DONE;
    if (is_prepared) end = step(life, txn, "prepare", false, kh_txn_prepare);
    if (is_prepared && end == STEP_DONE) life_say("prepared %" PRId64, i);
    if (end == STEP_DONE) end = step(life, txn, "commit", is_prepared, commit_call);
    kh_txn_close(txn);
    return end;
}

/* A full device is waited for, with a new transaction each time. */
static void commit_next(struct life *life, enum ballast ballast) {
    int64_t i = life->count + 1;
    enum step_end end = STEP_FULL;
    for (int tries = 0; tries < SPACE_TRIES && end == STEP_FULL; tries++)
        end = commit_once(life, ballast);
    life_must(end != STEP_FULL, "the device stays full");
    if (end == STEP_FAILED) {
        probe_poisoned(life);
        return;
    }
    life->count = i;
    life_say("%s %" PRId64, policy_of(i) == KH_SYNC_NONE ? "soft" : "done", i);
}

void life_commit(struct life *life, enum ballast ballast) {
    if (!life->is_poisoned) settle(life);
    if (!life->is_poisoned) commit_next(life, ballast);
}

/* ---- the script ------------------------------------------------------------------------------ */

static void compact(struct life *life) {
    kh_error error = {""};
    kh_status status = kh_db_compact(life->db, &error);
    if (status != KH_OK) life_say_status("compact", status, &error);
}

static void read_beside(const struct life *life) {
    kh_db *db = NULL;
    kh_error error = {""};
    kh_status status = open_at(life->path, KH_OPEN_READ_ONLY | KH_OPEN_NO_THREADS, 0, &db, &error);
    if (status != KH_OK) {
        life_say_status("read-only", status, &error);
        return;
    }
    int64_t count = life_newest(db);
    life_must(count <= life->count + 1, "a reader sees %" PRId64, count);
    life_compare(db, count);
    life_must(kh_db_close(db) == KH_OK, "close");
}

/* Whoever finds the log failed closes the database and opens it again. */
static void revive(struct life *life) {
    if (!life->is_poisoned) return;
    life_close(life);
    if (!life_open(life, life->flags)) _exit(0);
}

static void act(struct life *life, char letter) {
    switch (letter) {
    case 'o':
    case 'n':
    case 'm':
        life->memory_bytes = letter == 'm' ? LITTLE_MEMORY_BYTES : 0;
        if (!life_open(life, letter == 'o' ? 0 : KH_OPEN_NO_THREADS)) _exit(0);
        break;
    case 'x':
        life_close(life);
        break;
    case 'c':
    case 'w':
    case 'v':
        life_commit(life, letter == 'c'   ? BALLAST_NONE
                          : letter == 'w' ? BALLAST_SAME
                                          : BALLAST_APART);
        revive(life);
        break;
    case 's':
        kh_db_step(life->db);
        break;
    case 'k':
        compact(life);
        break;
    case 'r':
        life_compare(life->db, life->count);
        break;
    case 'R':
        read_beside(life);
        break;
    case 'b':
        life_back_up(life);
        break;
    case '!':
        _exit(0);
    default:
        life_must(false, "the script has the letter %c", letter);
    }
}

int main(int argument_count, char **arguments) {
    if (argument_count != 4) {
        (void)fprintf(stderr, "usage: khonsu-life run DIR SCRIPT | check|verify DIR LINES\n");
        return 2;
    }
    struct life life = {.path = arguments[2]};
    if (strcmp(arguments[1], "run") != 0) {
        life_check(&life, arguments[3], strcmp(arguments[1], "verify") == 0);
        _exit(0);
    }
    for (const char *letter = arguments[3]; *letter != '\0'; letter++) act(&life, *letter);
    life_say("end");
    return 0;
}
