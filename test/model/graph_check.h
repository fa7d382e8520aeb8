/* graph_check.h - is a history of list-append transactions strictly serializable? Builds the direct
 * serialization graph (Adya 1999; Kingsbury and Alvaro, Elle, VLDB 2020): who appended before whom,
 * who read whose, who missed whose, and who had ended before who began; and looks for a cycle.
 *
 * Every appended value is used once in the history, and is below value_count. */
#ifndef TEST_MODEL_GRAPH_CHECK_H
#define TEST_MODEL_GRAPH_CHECK_H

#include <stdbool.h>
#include <stdint.h>

enum { GRAPH_OPS = 8 };

struct graph_op {
    bool is_append;
    int key;
    int value;       /* append */
    const int *list; /* read: what was there, in order */
    int list_count;
};

struct graph_txn {
    int64_t begin_ns; /* taken before the first call */
    int64_t end_ns;   /* taken after the answer */
    bool is_committed; /* else certainly not applied */
    int op_count;
    struct graph_op ops[GRAPH_OPS];
};

struct graph_history {
    const struct graph_txn *txns;
    int txn_count;
    int key_count;
    int value_count;
    bool is_strict; /* real time counts */
};

/* NULL: it is. Else what is wrong with it: "aborted read", "intermediate read", "lost append",
 * "incompatible orders", "own append not seen", "cycle". */
const char *graph_check(const struct graph_history *history);

#endif
