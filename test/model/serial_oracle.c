/* serial_oracle.c - versions in arrays, orders by trying them all. */
#include "model/serial_oracle.h"

#include <stddef.h>
#include <string.h>

void oracle_init(struct oracle *oracle, int txn_count, bool is_deleted) {
    memset(oracle, 0, sizeof *oracle);
    oracle->txn_count = txn_count;
    oracle->chains[0][0].writer = ORACLE_INITIAL;
    oracle->chains[0][0].value.is_there = true;
    oracle->chains[0][0].value.cells[0] = 1;
    oracle->chain_length[0] = 1;
    if (is_deleted) {
        oracle->chains[1][0].writer = ORACLE_INITIAL;
        oracle->chain_length[1] = 1;
    }
    for (int t = 0; t < ORACLE_TXNS; t++) {
        oracle->txns[t].end_step = -1;
        for (int k = 0; k < ORACLE_KEYS; k++) {
            oracle->txns[t].read_seq[k] = -1;
        }
    }
}

void oracle_begin(struct oracle *oracle, int txn, enum oracle_level level) {
    oracle->txns[txn].level = level;
    oracle->txns[txn].begin_seq = oracle->seq;
    oracle->txns[txn].begin_step = ++oracle->step;
}

static struct oracle_version at(const struct oracle *oracle, int key, int seq) {
    struct oracle_version found = {.writer = ORACLE_ABSENT};
    for (int i = 0; i < oracle->chain_length[key]; i++) {
        if (oracle->chains[key][i].seq <= seq) {
            found = oracle->chains[key][i];
        }
    }
    return found;
}

static struct oracle_value with_rows(struct oracle_value under, const struct oracle_value *rows) {
    for (int i = 0; i < ORACLE_CELLS; i++) {
        if (rows->cells[i] != 0) {
            under.cells[i] = rows->cells[i];
            under.is_there = true;
        }
    }
    return under;
}

struct oracle_value oracle_read(struct oracle *oracle, int txn, int key) {
    struct oracle_txn *t = &oracle->txns[txn];
    const struct oracle_pending *pending = &t->pending[key];
    if (pending->kind == WHOLE_PENDING) {
        return pending->value;
    }
    int seq = t->level == ORACLE_COMMITTED ? oracle->seq : t->begin_seq;
    struct oracle_version version = at(oracle, key, seq);
    t->read_seq[key] = seq;
    t->reads[t->read_count++] = (struct oracle_read){key, version.writer};
    return pending->kind == ROWS_PENDING ? with_rows(version.value, &pending->value)
                                         : version.value;
}

void oracle_write(struct oracle *oracle, int txn, int key, enum oracle_kind kind, int64_t cell) {
    struct oracle_pending *pending = &oracle->txns[txn].pending[key];
    if (kind == ORACLE_ROWS) {
        struct oracle_value rows = {true, {0}};
        rows.cells[1 + txn] = cell;
        pending->value = with_rows(pending->value, &rows);
        if (pending->kind == NOTHING_PENDING) {
            pending->kind = ROWS_PENDING;
        }
        return;
    }
    memset(pending, 0, sizeof *pending);
    pending->kind = WHOLE_PENDING;
    if (kind == ORACLE_PUT) {
        pending->value.is_there = true;
        pending->value.cells[0] = cell;
    }
}

static bool key_conflict(const struct oracle *oracle, const struct oracle_txn *t, int key) {
    bool is_by_read = t->level == ORACLE_COMMITTED || t->pending[key].kind == ROWS_PENDING;
    int since = is_by_read ? t->read_seq[key] : t->begin_seq;
    return since >= 0 && at(oracle, key, oracle->seq).seq > since;
}

bool oracle_conflict(const struct oracle *oracle, int txn) {
    const struct oracle_txn *t = &oracle->txns[txn];
    for (int key = 0; key < ORACLE_KEYS; key++) {
        if (t->pending[key].kind != NOTHING_PENDING && key_conflict(oracle, t, key)) {
            return true;
        }
    }
    return false;
}

void oracle_commit(struct oracle *oracle, int txn) {
    struct oracle_txn *t = &oracle->txns[txn];
    bool is_writer = false;
    for (int key = 0; key < ORACLE_KEYS; key++) {
        const struct oracle_pending *pending = &t->pending[key];
        if (pending->kind == NOTHING_PENDING) {
            continue;
        }
        struct oracle_version version = {oracle->seq + 1, txn, pending->value};
        if (pending->kind == ROWS_PENDING) {
            version.value = with_rows(at(oracle, key, oracle->seq).value, &pending->value);
        }
        oracle->chains[key][oracle->chain_length[key]++] = version;
        is_writer = true;
    }
    oracle->seq += is_writer;
    t->is_committed = true;
    t->end_step = ++oracle->step;
}

void oracle_abort(struct oracle *oracle, int txn) {
    oracle->txns[txn].is_committed = false;
    oracle->txns[txn].end_step = ++oracle->step;
}

/* ---- orders ---------------------------------------------------------------------------------- */

static bool has_writes(const struct oracle_txn *t) {
    for (int key = 0; key < ORACLE_KEYS; key++) {
        if (t->pending[key].kind != NOTHING_PENDING) {
            return true;
        }
    }
    return false;
}

/* Does txn read what the order so far has left? */
static bool reads_agree(const struct oracle_txn *t, const int *last) {
    if (t->level != ORACLE_SERIALIZABLE) {
        return true;
    }
    for (int i = 0; i < t->read_count; i++) {
        if (t->reads[i].writer != last[t->reads[i].key]) {
            return false;
        }
    }
    return true;
}

/* Is the next version of each key that txn writes its own, in the key's order? */
static bool writes_agree(const struct oracle *oracle, int txn, int *position, int *last) {
    for (int key = 0; key < ORACLE_KEYS; key++) {
        if (oracle->txns[txn].pending[key].kind == NOTHING_PENDING) {
            continue;
        }
        if (oracle->chains[key][position[key]].writer != txn) {
            return false;
        }
        position[key]++;
        last[key] = txn;
    }
    return true;
}

static bool order_holds(const struct oracle *oracle, const int *order, int count) {
    int position[ORACLE_KEYS];
    int last[ORACLE_KEYS];
    for (int key = 0; key < ORACLE_KEYS; key++) {
        struct oracle_version first = at(oracle, key, 0);
        last[key] = first.writer;
        position[key] = first.writer == ORACLE_ABSENT ? 0 : 1;
    }
    for (int i = 0; i < count; i++) {
        for (int j = i + 1; j < count; j++) {
            if (oracle->txns[order[j]].end_step < oracle->txns[order[i]].begin_step) {
                return false;
            }
        }
        if (!reads_agree(&oracle->txns[order[i]], last) ||
            !writes_agree(oracle, order[i], position, last)) {
            return false;
        }
    }
    return true;
}

static bool try_orders(const struct oracle *oracle, int *order, int fixed, int count) {
    if (fixed == count) {
        return order_holds(oracle, order, count);
    }
    for (int i = fixed; i < count; i++) {
        int kept = order[fixed];
        order[fixed] = order[i];
        order[i] = kept;
        bool is_found = try_orders(oracle, order, fixed + 1, count);
        order[i] = order[fixed];
        order[fixed] = kept;
        if (is_found) {
            return true;
        }
    }
    return false;
}

bool oracle_is_serial(const struct oracle *oracle) {
    int order[ORACLE_TXNS];
    int count = 0;
    for (int t = 0; t < oracle->txn_count; t++) {
        const struct oracle_txn *txn = &oracle->txns[t];
        if (txn->is_committed && (txn->level == ORACLE_SERIALIZABLE || has_writes(txn))) {
            order[count++] = t;
        }
    }
    return try_orders(oracle, order, 0, count);
}

/* One writes what the other writes or reads. */
static bool touches(const struct oracle_txn *a, const struct oracle_txn *b) {
    for (int key = 0; key < ORACLE_KEYS; key++) {
        bool a_writes = a->pending[key].kind != NOTHING_PENDING;
        bool b_writes = b->pending[key].kind != NOTHING_PENDING;
        if ((a_writes && (b_writes || b->read_seq[key] >= 0)) ||
            (b_writes && a->read_seq[key] >= 0)) {
            return true;
        }
    }
    return false;
}

bool oracle_has_contact(const struct oracle *oracle, int txn) {
    for (int t = 0; t < oracle->txn_count; t++) {
        if (t != txn && touches(&oracle->txns[t], &oracle->txns[txn])) {
            return true;
        }
    }
    return false;
}
