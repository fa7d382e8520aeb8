/* certify_rule.c - the rule, step by step; see certify_rule.h. */
#include "model/certify_rule.h"

#include <string.h>

static const struct rule_value nothing;

/* ---- values ---------------------------------------------------------------------------------- */

bool rule_equal(const struct rule_value *a, const struct rule_value *b) {
    bool is_equal = a->is_there == b->is_there && (!a->is_there || a->cells == b->cells);
    for (int i = 0; is_equal && a->is_there && i < RULE_CELLS; i++) {
        is_equal = (a->cells >> i & 1) == 0 || a->cell[i] == b->cell[i];
    }
    return is_equal;
}

bool rule_call_drops(const struct rule_value *mine) {
    return mine->is_there && (mine->cells >> (RULE_CELLS - 1) & 1) != 0;
}

static bool has_cell(const struct rule_value *value, int i) {
    return value->is_there && (value->cells >> i & 1) != 0;
}

static void set_cell(struct rule_value *value, int i, bool is_there, int64_t number) {
    unsigned bit = 1u << i;
    value->cells = is_there ? value->cells | bit : value->cells & ~bit;
    value->cell[i] = is_there ? number : 0;
}

static struct rule_value upsert(const struct rule_value *rows, const struct rule_value *onto) {
    struct rule_value result = *onto;
    if (!onto->is_there) {
        result = nothing;
    }
    result.is_there = true;
    for (int i = 0; i < RULE_CELLS; i++) {
        if (has_cell(rows, i)) {
            set_cell(&result, i, true, rows->cell[i]);
        }
    }
    return result;
}

struct rule_value rule_sum(const struct rule_value *mine, const struct rule_value *theirs) {
    struct rule_value sum = *theirs;
    if (!theirs->is_there) {
        sum = nothing;
    }
    sum.is_there = true;
    for (int i = 0; i < RULE_CELLS; i++) {
        if (has_cell(mine, i)) {
            set_cell(&sum, i, true, mine->cell[i] + (has_cell(&sum, i) ? sum.cell[i] : 0));
        }
    }
    return sum;
}

static bool same_cell(const struct rule_value *a, const struct rule_value *b, int i) {
    return has_cell(a, i) == has_cell(b, i) && (!has_cell(a, i) || a->cell[i] == b->cell[i]);
}

/* Cell by cell, each from the side that changed it; false: both did, and not to the same. */
static bool merge(const struct rule_value *base, const struct rule_value *mine,
                  const struct rule_value *theirs, struct rule_value *out) {
    *out = nothing;
    out->is_there = true;
    for (int i = 0; i < RULE_CELLS; i++) {
        bool is_mine = !same_cell(base, mine, i);
        if (is_mine && !same_cell(base, theirs, i) && !same_cell(mine, theirs, i)) {
            return false;
        }
        const struct rule_value *from = is_mine ? mine : theirs;
        set_cell(out, i, has_cell(from, i), from->cell[i]);
    }
    return true;
}

/* ---- versions -------------------------------------------------------------------------------- */

void rule_init(struct rule *rule) {
    rule->clock = 1;
    rule->range_count = 0;
    memset(rule->chain_length, 0, sizeof rule->chain_length);
}

static void push(struct rule *rule, int key, int commit, int phi, const struct rule_value *value) {
    rule->chains[key][rule->chain_length[key]++] = (struct rule_version){commit, phi, 0, *value};
}

void rule_fill(struct rule *rule, int key, const struct rule_value *value) {
    push(rule, key, 1, 1, value);
}

static struct rule_version *find(const struct rule *rule, int key, int stamp) {
    for (int i = rule->chain_length[key] - 1; i >= 0; i--) {
        if (rule->chains[key][i].commit <= stamp) {
            return (struct rule_version *)&rule->chains[key][i];
        }
    }
    return NULL;
}

const struct rule_version *rule_at(const struct rule *rule, int key, int stamp) {
    return find(rule, key, stamp);
}

const struct rule_version *rule_newest(const struct rule *rule, int key) {
    return find(rule, key, RULE_INFINITY);
}

const struct rule_version *rule_after(const struct rule *rule, int key, int stamp) {
    for (int i = 0; i < rule->chain_length[key]; i++) {
        if (rule->chains[key][i].commit > stamp) {
            return &rule->chains[key][i];
        }
    }
    return NULL;
}

static struct rule_value value_of(const struct rule_version *version) {
    return version == NULL ? nothing : version->value;
}

/* ---- a transaction's calls ------------------------------------------------------------------- */

void rule_begin(struct rule_txn *txn, enum rule_level level, bool is_tracked, int now) {
    memset(txn, 0, sizeof *txn);
    txn->level = level;
    txn->is_tracked = is_tracked && level == RULE_SERIALIZABLE;
    txn->snapshot = now;
}

static struct rule_value read_store(const struct rule *rule, struct rule_txn *txn, int key,
                                    int now) {
    int at = txn->level == RULE_COMMITTED ? now : txn->snapshot;
    txn->read_at[key] = at;
    if (txn->read_count < RULE_READS) {
        txn->reads[txn->read_count].key = key;
        txn->reads[txn->read_count++].at = at;
    }
    return value_of(rule_at(rule, key, at));
}

/* *is_hole: the store was not asked; the key is no part of a scan around it. */
static struct rule_value look(const struct rule *rule, struct rule_txn *txn, int key, int now,
                              bool *is_hole) {
    const struct rule_write *write = &txn->writes[key];
    *is_hole = write->kind == RULE_PUT || write->kind == RULE_DELETE;
    if (write->kind != RULE_NONE) {
        txn->read_back |= 1u << key;
    }
    if (*is_hole) {
        return write->value;
    }
    struct rule_value value = read_store(rule, txn, key, now);
    return write->kind == RULE_ROWS ? upsert(&write->value, &value) : value;
}

struct rule_value rule_get(const struct rule *rule, struct rule_txn *txn, int key, int now) {
    bool is_hole;
    struct rule_value value = look(rule, txn, key, now, &is_hole);
    txn->gets |= is_hole ? 0 : 1u << key;
    return value;
}

int rule_scan(const struct rule *rule, struct rule_txn *txn, int low, int high, int limit,
              bool is_reverse, int now, int keys[RULE_KEYS], struct rule_value values[RULE_KEYS]) {
    int found = 0;
    unsigned seen = 0;
    for (int i = low; i < high && (limit == 0 || found < limit); i++) {
        int key = is_reverse ? high - 1 - (i - low) : i;
        bool is_hole;
        struct rule_value value = look(rule, txn, key, now, &is_hole);
        seen |= is_hole ? 0 : 1u << key;
        if (value.is_there) {
            keys[found] = key;
            values[found++] = value;
        }
    }
    txn->scans[txn->scan_count++] = seen;
    return found;
}

void rule_put(struct rule_txn *txn, int key, const struct rule_value *value,
              enum rule_policy policy) {
    txn->writes[key] = (struct rule_write){value == NULL ? RULE_DELETE : RULE_PUT, policy,
                                           value == NULL ? nothing : *value};
}

void rule_rows(struct rule_txn *txn, int key, const struct rule_value *rows,
               enum rule_policy policy) {
    struct rule_write *write = &txn->writes[key];
    if (write->kind == RULE_NONE) {
        *write = (struct rule_write){RULE_ROWS, policy, *rows};
        return;
    }
    write->value = upsert(rows, &write->value);
    if (write->kind == RULE_DELETE) {
        write->kind = RULE_PUT;
    }
}

void rule_save(struct rule_txn *txn) {
    memcpy(txn->saved[txn->saved_count++], txn->writes, sizeof txn->writes);
}

/* The writes, never the reads, nor that a pending write was read. */
void rule_undo(struct rule_txn *txn, int savepoint) {
    memcpy(txn->writes, txn->saved[savepoint - 1], sizeof txn->writes);
    txn->saved_count = savepoint;
}

bool rule_has_writes(const struct rule_txn *txn) {
    for (int key = 0; key < RULE_KEYS; key++) {
        if (txn->writes[key].kind != RULE_NONE) {
            return true;
        }
    }
    return false;
}

unsigned rule_read_keys(const struct rule_txn *txn) {
    unsigned keys = txn->gets;
    for (int i = 0; i < txn->scan_count; i++) {
        keys |= txn->scans[i];
    }
    return keys;
}

/* ---- writes ---------------------------------------------------------------------------------- */

struct rule_value rule_base(const struct rule *rule, const struct rule_txn *txn, int key) {
    bool is_moving = txn->level == RULE_COMMITTED && txn->read_at[key] != 0;
    return value_of(rule_at(rule, key, is_moving ? txn->read_at[key] : txn->snapshot));
}

static bool meets_rival(const struct rule *rule, const struct rule_txn *txn, int key) {
    const struct rule_version *newest = rule_newest(rule, key);
    if (newest == NULL) {
        return false;
    }
    if (txn->level == RULE_COMMITTED) {
        return txn->read_at[key] != 0 && newest->commit > txn->read_at[key];
    }
    if (txn->writes[key].kind == RULE_ROWS && txn->read_at[key] == 0) {
        return false;
    }
    return newest->commit > txn->snapshot;
}

enum outcome { WRITES, DROPS, CONFLICTS };

/* A put or delete meets a rival. */
static enum outcome resolve_whole(const struct rule *rule, const struct rule_txn *txn, int key,
                                  struct rule_value *out) {
    const struct rule_write *write = &txn->writes[key];
    struct rule_value theirs = rule_newest(rule, key)->value;
    struct rule_value base = rule_base(rule, txn, key);
    switch (write->policy) {
    case RULE_REPLACE:
        return WRITES;
    case RULE_IGNORE:
        return DROPS;
    case RULE_APPEND:
        if (write->kind == RULE_PUT) {
            *out = upsert(&write->value, &theirs);
        }
        return WRITES;
    case RULE_MERGE:
        return write->kind == RULE_PUT && merge(&base, &write->value, &theirs, out) ? WRITES
                                                                                    : CONFLICTS;
    case RULE_CALL:
        if (write->kind != RULE_PUT) {
            return CONFLICTS;
        }
        *out = rule_sum(&write->value, &theirs);
        return rule_call_drops(&write->value) ? DROPS : WRITES;
    default:
        return CONFLICTS;
    }
}

static enum outcome judge_write(const struct rule *rule, const struct rule_txn *txn, int key,
                                struct rule_value *out) {
    const struct rule_write *write = &txn->writes[key];
    bool is_serializable = txn->level == RULE_SERIALIZABLE;
    *out = write->value;
    if (write->kind == RULE_ROWS) {
        struct rule_value newest = value_of(rule_newest(rule, key));
        *out = upsert(&write->value, &newest);
    }
    if (!meets_rival(rule, txn, key)) {
        return WRITES;
    }
    /* The program has seen a value that would not be the one stored. */
    if ((txn->read_back >> key & 1) != 0 &&
        (write->policy == RULE_IGNORE || (is_serializable && write->policy != RULE_REPLACE))) {
        return CONFLICTS;
    }
    if (write->kind != RULE_ROWS) {
        return resolve_whole(rule, txn, key, out);
    }
    if (is_serializable || write->policy == RULE_FAIL) {
        return CONFLICTS;
    }
    return write->policy == RULE_IGNORE ? DROPS : WRITES;
}

static void judge_writes(const struct rule *rule, const struct rule_txn *txn,
                         struct rule_verdict *verdict) {
    for (int key = 0; key < RULE_KEYS; key++) {
        if (txn->writes[key].kind == RULE_NONE) {
            continue;
        }
        switch (judge_write(rule, txn, key, &verdict->values[key])) {
        case WRITES:
            verdict->written |= 1u << key;
            break;
        case DROPS:
            verdict->dropped |= 1u << key;
            break;
        default:
            verdict->conflicts |= 1u << key;
            break;
        }
    }
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static int least(int a, int b) {
    return a < b ? a : b;
}

static int most(int a, int b) {
    return a > b ? a : b;
}

/* What has to stand before a writer of key: the writer of its newest version, and its readers. */
static int stamps_over(const struct rule *rule, int key) {
    const struct rule_version *newest = rule_newest(rule, key);
    int stamp = newest == NULL ? 0 : most(newest->commit, newest->ps);
    for (int i = 0; i < rule->range_count; i++) {
        const struct rule_range *range = &rule->ranges[i];
        bool has_read_it = newest == NULL || newest->commit <= range->snapshot;
        if ((range->keys >> key & 1) != 0 && has_read_it) {
            stamp = most(stamp, range->stamp);
        }
    }
    return stamp;
}

void rule_certify(const struct rule *rule, const struct rule_txn *txn,
                  struct rule_verdict *verdict) {
    memset(verdict, 0, sizeof *verdict);
    judge_writes(rule, txn, verdict);
    if (verdict->conflicts != 0) {
        verdict->answer = RULE_CONFLICT;
        return;
    }
    int commit = rule->clock + 1;
    verdict->eta = txn->snapshot;
    verdict->pi = verdict->written != 0 ? commit : RULE_INFINITY;
    verdict->phi = verdict->written != 0 ? commit : txn->snapshot;
    if (!txn->is_tracked) {
        return;
    }
    unsigned reads = rule_read_keys(txn);
    for (int key = 0; key < RULE_KEYS; key++) {
        const struct rule_version *next = rule_after(rule, key, txn->snapshot);
        if ((reads >> key & 1) != 0 && next != NULL) {
            verdict->pi = least(verdict->pi, next->spi);
        }
        if ((verdict->dropped >> key & 1) != 0) {
            verdict->eta = most(verdict->eta, rule_newest(rule, key)->commit);
        }
        if ((verdict->written >> key & 1) != 0) {
            verdict->eta = most(verdict->eta, stamps_over(rule, key));
        }
    }
    verdict->answer = verdict->pi <= verdict->eta ? RULE_REFUSED : RULE_COMMIT;
    verdict->phi = verdict->written != 0 ? verdict->pi : verdict->eta;
}

static void keep_range(struct rule *rule, unsigned keys, int snapshot, int stamp) {
    if (keys != 0) {
        rule->ranges[rule->range_count++] = (struct rule_range){keys, snapshot, stamp};
    }
}

static void raise_ps(struct rule_version *version, int stamp) {
    version->ps = most(version->ps, stamp);
}

static void leave_stamps(struct rule *rule, const struct rule_txn *txn,
                         const struct rule_verdict *verdict) {
    for (int key = 0; key < RULE_KEYS; key++) {
        struct rule_version *seen = find(rule, key, txn->snapshot);
        if ((txn->gets >> key & 1) != 0 && seen != NULL) {
            raise_ps(seen, verdict->phi);
        } else if ((txn->gets >> key & 1) != 0) {
            keep_range(rule, 1u << key, txn->snapshot, verdict->phi);
        }
        if ((verdict->dropped >> key & 1) != 0) {
            raise_ps(find(rule, key, RULE_INFINITY), verdict->phi);
        }
    }
    for (int i = 0; i < txn->scan_count; i++) {
        keep_range(rule, txn->scans[i], txn->snapshot, verdict->phi);
    }
}

void rule_apply(struct rule *rule, const struct rule_txn *txn, const struct rule_verdict *verdict) {
    if (txn->is_tracked) {
        leave_stamps(rule, txn, verdict);
    }
    if (verdict->written == 0) {
        return;
    }
    rule->clock++;
    for (int key = 0; key < RULE_KEYS; key++) {
        if ((verdict->written >> key & 1) != 0) {
            push(rule, key, rule->clock, verdict->phi, &verdict->values[key]);
        }
    }
}
