/* life.h - what the files of the program khonsu-life share; life.c has the whole. */
#ifndef TEST_CRASH_LIFE_H
#define TEST_CRASH_LIFE_H

#include "life_model.h"

struct life {
    const char *path;
    kh_db *db; /* NULL: not open */
    uint32_t flags;
    uint64_t memory_bytes; /* its limit; 0: none */
    kh_schema *numbers;
    kh_schema *texts;
    int64_t count;    /* transactions that are there, as far as this process knows */
    bool is_poisoned; /* no commit may be acknowledged before the database is opened again */
};

/* A line to the standard output, at once; whoever reads it may rely on it. As printf. */
void life_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Something is not as it must be: says so and ends the process with 1. */
void life_must(bool is_true, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A call failed, which faults may cause: says "status WHAT KH_... message". */
void life_say_status(const char *what, kh_status status, const kh_error *error);

/* ---- life_read.c ----------------------------------------------------------------------------- */

/* The number of the newest transaction that is there. */
int64_t life_newest(kh_db *db);
/* What is there is what the first `count` transactions leave, to the last byte. */
void life_compare(kh_db *db, int64_t count);
/* The transaction that waits for its decision; low 0: none. More than one is wrong. */
kh_txn_id life_prepared(kh_db *db);
/* Open DIR and compare it with the lines of a run in the file `lines`; with is_verified also by
 * kh_verify, once it is closed. Ends the process when something is wrong. */
void life_check(struct life *life, const char *lines, bool is_verified);

/* ---- life_backup.c --------------------------------------------------------------------------- */

/* Says "backup NUMBER COUNT", the latter of the transactions that are in it. */
void life_back_up(struct life *life);
/* A backup that was acknowledged is there, and gives back so many transactions. */
void life_check_backup(const struct life *life, uint64_t number, int64_t count);

/* ---- life.c ---------------------------------------------------------------------------------- */

/* False: refused, and said. */
bool life_open(struct life *life, uint32_t flags);
void life_close(struct life *life);
/* A mebibyte beside what a transaction writes, to make the log long, or memory too small. */
enum ballast { BALLAST_NONE, BALLAST_SAME, BALLAST_APART };
/* The next transaction. */
void life_commit(struct life *life, enum ballast ballast);

#endif
