/* life_model.h - what a database holds after the first so many transactions of life.c: a function
 * of their count and of nothing else.
 *
 * Transaction i writes its number under "last", under "s/<i mod 8>" and under the new key "e/<i>",
 * deletes "e/<i - 3>", and every eighth writes a text of 12,000 bytes under "b/0" or "b/1". So a
 * database that has lost, doubled or halved anything is like none of these states. Keys
 * that begin with "ballast" are no part of it: a letter, a mebibyte of times. */
#ifndef TEST_CRASH_LIFE_MODEL_H
#define TEST_CRASH_LIFE_MODEL_H

#include <khonsu.h>

#include <stdbool.h>
#include <stdint.h>

#define MODEL_BALLAST "ballast"

enum { MODEL_ENTRIES = 24, MODEL_TEXT_BYTES = 12000 };

struct model_entry {
    char key[24];
    int64_t number; /* of the transaction that wrote it */
    bool is_text;
};

struct model {
    struct model_entry entries[MODEL_ENTRIES]; /* by key */
    int count;
};

/* Entries that transaction number i writes; is_deleted: its key goes. Returns how many. */
struct model_write {
    struct model_entry entry;
    bool is_deleted;
};
int model_writes(int64_t i, struct model_write out[5]);
/* The text that transaction i writes. */
kh_bytes model_text(int64_t i);
void model_after(int64_t count, struct model *out);

#endif
