/* kv_model.c - versions in lists, policies spelled out row by row. */
#include "model/kv_model.h"

#include <stddef.h>
#include <string.h>

struct kv_value kv_at(const struct kv_model *model, int key, uint64_t timestamp) {
    const struct kv_chain *chain = &model->chains[key];
    struct kv_value found = {false, {{0}}};
    for (int i = chain->count - 1; i >= 0; i--) {
        if (chain->versions[i].timestamp <= timestamp) {
            return chain->versions[i].value;
        }
    }
    return found;
}

uint64_t kv_newest(const struct kv_model *model, int key) {
    const struct kv_chain *chain = &model->chains[key];
    return chain->count == 0 ? 0 : chain->versions[chain->count - 1].timestamp;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool apply_row(struct kv_row *row, const struct kv_row *change, enum kv_op_kind kind) {
    switch (kind) {
    case KV_INSERT:
        if (row->is_there) {
            return false;
        }
        *row = *change;
        return true;
    case KV_UPSERT:
        *row = *change;
        return true;
    case KV_UPDATE:
        if (!row->is_there) {
            return false;
        }
        row->a = change->a;
        if (!change->is_partial) {
            row->b = change->b;
        }
        return true;
    default:
        memset(row, 0, sizeof *row);
        return true;
    }
}

bool kv_apply(struct kv_value *value, const struct kv_op *op) {
    bool is_fine = true;
    for (int i = 0; i < KV_IDS; i++) {
        if (op->rows.rows[i].is_there) {
            is_fine &= apply_row(&value->rows[i], &op->rows.rows[i], op->kind);
        }
    }
    if (op->kind == KV_INSERT || op->kind == KV_UPSERT) {
        value->is_there = true;
    }
    return is_fine;
}

static bool row_equal(const struct kv_row *a, const struct kv_row *b) {
    return a->is_there == b->is_there && (!a->is_there || (a->a == b->a && a->b == b->b));
}

/* The cell that a merge takes; false: both sides changed it. */
static bool merge_cell(int64_t base, int64_t mine, int64_t theirs, int64_t *out) {
    *out = mine == base ? theirs : mine;
    return mine == base || theirs == base || mine == theirs;
}

static bool merge_row(const struct kv_row *base, const struct kv_row *mine,
                      const struct kv_row *theirs, struct kv_row *out) {
    if (row_equal(mine, base) || row_equal(mine, theirs)) {
        *out = *theirs;
        return true;
    }
    *out = *mine;
    if (row_equal(theirs, base)) {
        return true;
    }
    return base->is_there && mine->is_there && theirs->is_there &&
           merge_cell(base->a, mine->a, theirs->a, &out->a) &&
           merge_cell(base->b, mine->b, theirs->b, &out->b);
}

bool kv_merge(const struct kv_value *base, const struct kv_value *mine,
              const struct kv_value *theirs, struct kv_value *out) {
    bool is_fine = mine->is_there;
    out->is_there = true;
    for (int i = 0; i < KV_IDS; i++) {
        is_fine &= merge_row(&base->rows[i], &mine->rows[i], &theirs->rows[i], &out->rows[i]);
    }
    return is_fine;
}

bool kv_add_up(const struct kv_value *mine, const struct kv_value *theirs, struct kv_value *out) {
    *out = *theirs;
    out->is_there = true;
    for (int i = 0; i < KV_IDS; i++) {
        if (mine->rows[i].is_there) {
            out->rows[i].a += mine->rows[i].a;
            out->rows[i].b = mine->rows[i].b;
            out->rows[i].is_there = true;
        }
    }
    return mine->is_there;
}

/* ---- a transaction --------------------------------------------------------------------------- */

static bool apply_ops(struct kv_value *value, const struct kv_write *write) {
    bool is_fine = true;
    for (int i = 0; i < write->op_count && is_fine; i++) {
        is_fine = kv_apply(value, &write->ops[i]);
    }
    return is_fine;
}

struct kv_value kv_look(const struct kv_model *model, const struct kv_txn *txn, int key,
                        uint64_t timestamp) {
    const struct kv_write *write = &txn->writes[key];
    struct kv_value value = write->kind == KV_PUT || write->kind == KV_DELETE
                                ? write->value
                                : kv_at(model, key, timestamp);
    if (write->kind == KV_ROWS) {
        (void)apply_ops(&value, write);
    }
    return value;
}

bool kv_is_failing(const struct kv_model *model, const struct kv_txn *txn, int key,
                   uint64_t timestamp) {
    struct kv_value value = kv_at(model, key, timestamp);
    return txn->writes[key].kind == KV_ROWS && !apply_ops(&value, &txn->writes[key]);
}

struct kv_value kv_read(const struct kv_model *model, struct kv_txn *txn, int key,
                        uint64_t timestamp) {
    struct kv_write *write = &txn->writes[key];
    write->is_read_back |= write->kind != KV_NOTHING;
    if (write->kind != KV_PUT && write->kind != KV_DELETE) {
        txn->is_seen[key] = true;
        txn->seen_at[key] = timestamp;
        txn->has_read = true;
    }
    return kv_look(model, txn, key, timestamp);
}

static void start_write(struct kv_txn *txn, int key) {
    txn->was_read_back[key] |= txn->writes[key].is_read_back;
    memset(&txn->writes[key], 0, sizeof txn->writes[key]);
}

void kv_put(struct kv_txn *txn, int key, const struct kv_value *value, enum kv_policy policy) {
    start_write(txn, key);
    txn->writes[key].kind = KV_PUT;
    txn->writes[key].policy = policy;
    txn->writes[key].value = *value;
}

void kv_delete(struct kv_txn *txn, int key, enum kv_policy policy) {
    start_write(txn, key);
    txn->writes[key].kind = KV_DELETE;
    txn->writes[key].policy = policy;
}

void kv_rows(struct kv_txn *txn, int key, enum kv_op_kind kind, const struct kv_value *rows,
             enum kv_policy policy) {
    struct kv_write *write = &txn->writes[key];
    struct kv_op op = {kind, *rows};
    if (write->kind == KV_PUT || write->kind == KV_DELETE) {
        (void)kv_apply(&write->value, &op);
        write->kind = write->value.is_there ? KV_PUT : KV_DELETE;
        txn->was_read_back[key] |= write->is_read_back;
        return;
    }
    if (write->kind == KV_NOTHING) {
        write->kind = KV_ROWS;
        write->policy = policy;
    }
    txn->was_read_back[key] |= write->is_read_back;
    write->ops[write->op_count++] = op;
}

void kv_savepoint(struct kv_txn *txn) {
    memcpy(txn->savepoints[txn->savepoint_count++].writes, txn->writes, sizeof txn->writes);
}

void kv_rollback_to(struct kv_txn *txn, int savepoint) {
    for (int key = 0; key < KV_KEYS; key++) {
        txn->was_read_back[key] |= txn->writes[key].is_read_back;
    }
    memcpy(txn->writes, txn->savepoints[savepoint - 1].writes, sizeof txn->writes);
    txn->savepoint_count = savepoint;
}

void kv_release(struct kv_txn *txn, int savepoint) {
    txn->savepoint_count = savepoint - 1;
}

/* ---- commit ---------------------------------------------------------------------------------- */

/* At read committed nothing pins what was read: it is kept as a base only if the transaction's own
 * policy asks for one, and of a key that was found absent nothing is. A write that needs the base
 * after all may be refused. */
static unsigned without_base(const struct kv_model *model, const struct kv_txn *txn, int key) {
    enum kv_policy asked = txn->writes[key].policy;
    bool is_asked = asked == KV_MERGE || asked == KV_CALLBACK;
    bool is_kept = (txn->policy == KV_MERGE || txn->policy == KV_CALLBACK) &&
                   kv_at(model, key, txn->seen_at[key]).is_there;
    return txn->level == KV_COMMITTED && is_asked && !is_kept ? KV_MAY_CONFLICT : 0;
}

static unsigned by_policy(const struct kv_model *model, const struct kv_txn *txn, int key,
                          struct kv_value *out, enum kv_fate *fate) {
    const struct kv_write *write = &txn->writes[key];
    struct kv_value newest = kv_at(model, key, UINT64_MAX);
    uint64_t base_at = txn->level == KV_COMMITTED && txn->is_seen[key] ? txn->seen_at[key]
                                                                           : txn->snapshot;
    struct kv_value base = kv_at(model, key, base_at);
    bool is_fine = true;
    *fate = KV_RESOLVED;
    *out = write->value;
    switch (write->policy) {
    case KV_IGNORE:
        *fate = KV_DROPPED;
        return write->is_read_back        ? KV_MAY_CONFLICT
               : txn->was_read_back[key] ? KV_MAY_COMMIT | KV_MAY_CONFLICT
                                          : KV_MAY_COMMIT;
    case KV_REPLACE:
        return KV_MAY_COMMIT;
    case KV_APPEND:
        if (write->kind == KV_PUT) {
            struct kv_op op = {KV_UPSERT, write->value};
            *out = newest;
            (void)kv_apply(out, &op);
        }
        break;
    case KV_MERGE:
        is_fine = kv_merge(&base, &write->value, &newest, out);
        break;
    case KV_CALLBACK:
        is_fine = kv_add_up(&write->value, &newest, out);
        break;
    default:
        is_fine = false;
        break;
    }
    return (is_fine ? KV_MAY_COMMIT : KV_MAY_CONFLICT) | without_base(model, txn, key);
}

static unsigned rows_on_newest(const struct kv_model *model, const struct kv_write *write, int key,
                               struct kv_value *out) {
    *out = kv_at(model, key, UINT64_MAX);
    for (int i = 0; i < write->op_count; i++) {
        if (!kv_apply(out, &write->ops[i])) {
            return write->ops[i].kind == KV_INSERT ? KV_MAY_EXIST : KV_MAY_MISS;
        }
    }
    return KV_MAY_COMMIT;
}

static bool meets_rival(const struct kv_model *model, const struct kv_txn *txn, int key) {
    uint64_t newest = kv_newest(model, key);
    if (txn->level == KV_COMMITTED || txn->writes[key].kind == KV_ROWS) {
        return txn->is_seen[key] && newest > txn->seen_at[key];
    }
    return newest > txn->snapshot;
}

static unsigned rows_answers(const struct kv_model *model, const struct kv_txn *txn, int key,
                             bool has_rival, struct kv_value *out, enum kv_fate *fate) {
    const struct kv_write *write = &txn->writes[key];
    unsigned answers = rows_on_newest(model, write, key, out);
    *fate = kv_newest(model, key) > txn->snapshot ? KV_RESOLVED : KV_WRITTEN;
    if (has_rival && write->policy == KV_FAIL) {
        return KV_MAY_CONFLICT | (answers & ~(unsigned)KV_MAY_COMMIT);
    }
    if (has_rival && write->policy == KV_IGNORE) {
        *fate = KV_DROPPED;
        return write->is_read_back        ? KV_MAY_CONFLICT
               : txn->was_read_back[key] ? KV_MAY_COMMIT | KV_MAY_CONFLICT
                                          : KV_MAY_COMMIT;
    }
    return answers;
}

static unsigned key_answers(const struct kv_model *model, const struct kv_txn *txn, int key,
                            struct kv_value *out, enum kv_fate *fate) {
    const struct kv_write *write = &txn->writes[key];
    bool has_rival = meets_rival(model, txn, key);
    unsigned answers;
    if (write->kind == KV_ROWS) {
        answers = rows_answers(model, txn, key, has_rival, out, fate);
    } else if (!has_rival) {
        *fate = KV_WRITTEN;
        *out = write->value;
        answers = KV_MAY_COMMIT;
    } else {
        answers = by_policy(model, txn, key, out, fate);
        bool may_have_read = write->is_read_back || txn->was_read_back[key];
        if (txn->level == KV_SERIALIZABLE && may_have_read && write->policy != KV_REPLACE) {
            answers = write->is_read_back ? KV_MAY_CONFLICT : answers | KV_MAY_CONFLICT;
        }
    }
    if (txn->level == KV_SERIALIZABLE && kv_newest(model, key) > txn->snapshot &&
        txn->is_seen[key]) {
        /* read and hit: whatever the policy (a row operation may have failed before) */
        answers = KV_MAY_CONFLICT | KV_MAY_REFUSE | (answers & ~(unsigned)KV_MAY_COMMIT);
    }
    return answers;
}

unsigned kv_commit_answers(const struct kv_model *model, const struct kv_txn *txn,
                           struct kv_value values[KV_KEYS], enum kv_fate fates[KV_KEYS]) {
    unsigned all = 0;
    bool must_fail = false;
    for (int key = 0; key < KV_KEYS; key++) {
        if (txn->writes[key].kind != KV_NOTHING) {
            unsigned answers = key_answers(model, txn, key, &values[key], &fates[key]);
            must_fail |= (answers & KV_MAY_COMMIT) == 0;
            all |= answers;
        }
    }
    all = must_fail ? all & ~(unsigned)KV_MAY_COMMIT : all | KV_MAY_COMMIT;
    if (txn->level == KV_SERIALIZABLE && txn->has_read) {
        all |= KV_MAY_REFUSE;
    }
    return all;
}

void kv_commit(struct kv_model *model, const struct kv_txn *txn, uint64_t timestamp,
               const struct kv_value values[KV_KEYS], const enum kv_fate fates[KV_KEYS]) {
    for (int key = 0; key < KV_KEYS; key++) {
        if (txn->writes[key].kind != KV_NOTHING && fates[key] != KV_DROPPED) {
            struct kv_chain *chain = &model->chains[key];
            if (chain->count == KV_VERSIONS) { /* nobody looks that far back */
                chain->count /= 2;
                memmove(chain->versions, chain->versions + chain->count,
                        (size_t)chain->count * sizeof chain->versions[0]);
            }
            chain->versions[chain->count++] = (struct kv_version){timestamp, values[key]};
        }
    }
}
