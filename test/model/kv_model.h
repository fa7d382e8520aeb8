/* kv_model.h - an independent model of the store: a plain map from key to list of versions, and
 * transactions that say what their commit may answer. Knows nothing of the library.
 *
 * Keys are numbers below KV_KEYS, in key order. A value is up to KV_IDS rows of two cells, by id.
 * Certification is not modelled here: at serializable a commit that read anything may also be
 * refused (the cross-check with the executable rule judges those). */
#ifndef TEST_MODEL_KV_MODEL_H
#define TEST_MODEL_KV_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { KV_KEYS = 14, KV_IDS = 5, KV_OPS = 24, KV_VERSIONS = 4096, KV_SAVEPOINTS = 4 };

enum kv_level { KV_COMMITTED = 1, KV_SNAPSHOT = 2, KV_SERIALIZABLE = 3 };
enum kv_policy { KV_FAIL = 1, KV_IGNORE, KV_REPLACE, KV_APPEND, KV_MERGE, KV_CALLBACK };

struct kv_row {
    bool is_there;
    bool is_partial; /* in row operations: cell b is left out */
    int64_t a;
    int64_t b;
};
struct kv_value {
    bool is_there;
    struct kv_row rows[KV_IDS];
};
struct kv_version {
    uint64_t timestamp;
    struct kv_value value;
};
struct kv_chain {
    struct kv_version versions[KV_VERSIONS];
    int count;
};

enum kv_op_kind { KV_INSERT, KV_UPSERT, KV_UPDATE, KV_DELETE_ROWS };
struct kv_op {
    enum kv_op_kind kind;
    struct kv_value rows;
};
enum kv_write_kind { KV_NOTHING, KV_PUT, KV_DELETE, KV_ROWS };
struct kv_write {
    enum kv_write_kind kind;
    enum kv_policy policy;
    struct kv_value value;
    struct kv_op ops[KV_OPS];
    int op_count;
    bool is_read_back;
};

struct kv_txn {
    enum kv_level level;
    enum kv_policy policy; /* of writes that do not say */
    uint64_t snapshot;
    struct kv_write writes[KV_KEYS];
    bool is_seen[KV_KEYS]; /* read from the store; also found absent, by a get or a scan */
    uint64_t seen_at[KV_KEYS];
    bool was_read_back[KV_KEYS]; /* a write since undone was read back: perhaps remembered */
    bool has_read;
    struct {
        struct kv_write writes[KV_KEYS];
    } savepoints[KV_SAVEPOINTS];
    int savepoint_count;
};

struct kv_model {
    struct kv_chain chains[KV_KEYS];
};

/* A set of what a commit may answer. */
enum kv_answer {
    KV_MAY_COMMIT = 1,
    KV_MAY_CONFLICT = 2,
    KV_MAY_EXIST = 4,   /* insert_rows met an id that is there */
    KV_MAY_MISS = 8,    /* update_rows met one that is not */
    KV_MAY_REFUSE = 16  /* for the serial order's sake */
};
enum kv_fate { KV_WRITTEN, KV_RESOLVED, KV_DROPPED };

struct kv_value kv_at(const struct kv_model *model, int key, uint64_t timestamp);
uint64_t kv_newest(const struct kv_model *model, int key); /* 0: never written */

/* What a get (or, for key, a scan) at timestamp gives; remembers that it was read. */
struct kv_value kv_read(const struct kv_model *model, struct kv_txn *txn, int key,
                        uint64_t timestamp);
/* The same without remembering. */
struct kv_value kv_look(const struct kv_model *model, const struct kv_txn *txn, int key,
                        uint64_t timestamp);
/* Is a pending row operation of key sure to fail on what is read now? */
bool kv_is_failing(const struct kv_model *model, const struct kv_txn *txn, int key,
                   uint64_t timestamp);
void kv_put(struct kv_txn *txn, int key, const struct kv_value *value, enum kv_policy policy);
void kv_delete(struct kv_txn *txn, int key, enum kv_policy policy);
void kv_rows(struct kv_txn *txn, int key, enum kv_op_kind kind, const struct kv_value *rows,
             enum kv_policy policy);
void kv_savepoint(struct kv_txn *txn);
void kv_rollback_to(struct kv_txn *txn, int savepoint); /* from 1 */
void kv_release(struct kv_txn *txn, int savepoint);

/* One row operation on a value; false: it fails (exists, missing). */
bool kv_apply(struct kv_value *value, const struct kv_op *op);
/* Three-way merge; false: conflict. */
bool kv_merge(const struct kv_value *base, const struct kv_value *mine,
              const struct kv_value *theirs, struct kv_value *out);
/* The callback that the workloads use: rows of both, cell a added up; NULL mine: conflict. */
bool kv_add_up(const struct kv_value *mine, const struct kv_value *theirs, struct kv_value *out);

/* Which answers the commit may give now (a set of kv_answer), and, if it commits, what becomes of
 * each write. */
unsigned kv_commit_answers(const struct kv_model *model, const struct kv_txn *txn,
                           struct kv_value values[KV_KEYS], enum kv_fate fates[KV_KEYS]);
/* It did: link the values of the writes that were not dropped. */
void kv_commit(struct kv_model *model, const struct kv_txn *txn, uint64_t timestamp,
               const struct kv_value values[KV_KEYS], const enum kv_fate fates[KV_KEYS]);

#endif
