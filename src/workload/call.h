/* call.h - one transaction of a run: what it will do, and what it was told. */
#ifndef KHONSU_WORKLOAD_CALL_H
#define KHONSU_WORKLOAD_CALL_H

#include "keys.h"
#include "settings.h"

enum op_kind {
    OP_READ_LIST,
    OP_APPEND,
    OP_READ,
    OP_WRITE,
    OP_SCAN,
    OP_DELETE,
    OP_CAS,
    OP_TRANSFER,
    OP_ACCOUNTS,
    OP_DECOY /* a write that a savepoint takes back: not part of the history */
};

struct op {
    enum op_kind kind;
    char key[KEY_ROOM]; /* or prefix, or account that pays */
    char to[KEY_ROOM];  /* account that is paid */
    int64_t value;      /* written or appended; amount */
    int64_t expected;   /* cas; 0: absent */
    struct text seen;   /* JSON of what a read gave; of a cas, true or false */
};

struct call {
    const char *function; /* "txn", "read"... */
    kh_isolation isolation;
    uint32_t flags;    /* of kh_begin_flag */
    bool is_statement; /* only reads, answered by one kh_txn_get_many */
    bool is_rows;      /* appends by insert_rows */
    bool is_given_up;  /* rolled back by the client at the end */
    uint32_t slot;     /* of the hint that a kv write leaves */
    uint64_t hint;
    uint32_t op_count;
    struct op ops[SETTINGS_OPS_MAX + 1];
};

/* Add ,"ops":[...] without (invoke) or with what was seen. */
void call_print(const struct call *call, bool is_seen, struct text *out);
void call_free(struct call *call);

#endif
