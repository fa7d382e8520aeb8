/* certify_judge.c - see certify_judge.h. Sets of transactions are bits of a word. */
#include "model/certify_judge.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static uint64_t bit(int txn) {
    return (uint64_t)1 << txn;
}

static int first_of(uint64_t set) {
    return __builtin_ctzll(set);
}

static bool has(unsigned keys, int key) {
    return (keys >> key & 1) != 0;
}

void judge_init(struct judge *judge) {
    memset(judge, 0, offsetof(struct judge, members));
    judge->member_count = 0;
    judge->clock = 1;
}

void judge_fill(struct judge *judge, int key) {
    judge->chains[key][judge->chain_length[key]++] = (struct judge_version){1, -1};
}

void judge_begin(struct judge *judge, int txn) {
    judge->begun[txn] = judge->snapped[txn] = ++judge->now;
}

void judge_move(struct judge *judge, int txn) {
    judge->snapped[txn] = ++judge->now;
}

void judge_end(struct judge *judge, int txn) {
    judge->ended[txn] = ++judge->now;
}

/* Index of the version that stamp sees; -1: none. */
static int seen_at(const struct judge *judge, int key, int stamp) {
    int index = judge->chain_length[key] - 1;
    while (index >= 0 && judge->chains[key][index].commit > stamp) {
        index--;
    }
    return index;
}

static uint64_t writer_of(const struct judge *judge, int key, int index) {
    if (index < 0 || index >= judge->chain_length[key] || judge->chains[key][index].writer < 0) {
        return 0;
    }
    return bit(judge->chains[key][index].writer);
}

static uint64_t newest_writer(const struct judge *judge, int key) {
    return writer_of(judge, key, judge->chain_length[key] - 1);
}

/* ---- the edges of one more transaction ------------------------------------------------------- */

struct surroundings {
    uint64_t before;       /* by the graph */
    uint64_t after;        /* whose versions it missed */
    uint64_t readers;      /* of `before`: those who read what it overwrites */
    uint64_t before_begin; /* by real time */
};

static struct surroundings surround(const struct judge *judge,
                                    const struct judge_footprint *footprint) {
    struct surroundings found = {0, 0, 0, 0};
    for (int key = 0; key < JUDGE_KEYS; key++) {
        if (footprint->is_serializable && has(footprint->reads, key)) {
            int index = seen_at(judge, key, footprint->snapshot);
            found.before |= writer_of(judge, key, index);
            found.after |= writer_of(judge, key, index + 1);
        }
        if (has(footprint->writes | footprint->late, key)) {
            found.before |= newest_writer(judge, key);
        }
        if (has(footprint->writes, key)) {
            found.readers |= judge->readers[key];
        }
    }
    for (int i = 0; i < footprint->weak_count; i++) {
        const struct judge_read *read = &footprint->weak_reads[i];
        found.before |= writer_of(judge, read->key, seen_at(judge, read->key, read->at));
    }
    found.before |= found.readers;
    for (uint64_t left = judge->committed; left != 0; left &= left - 1) {
        int other = first_of(left);
        if (judge->ended[other] != 0 && judge->ended[other] < judge->begun[footprint->txn]) {
            found.before_begin |= bit(other);
        }
    }
    return found;
}

static bool reaches(const uint64_t *after, uint64_t from, uint64_t to) {
    uint64_t seen = 0;
    while (from != 0) {
        if ((from & to) != 0) {
            return true;
        }
        int txn = first_of(from);
        seen |= bit(txn);
        from = (from | after[txn]) & ~seen;
    }
    return false;
}

/* ---- PostgreSQL's rule ----------------------------------------------------------------------- */

/* Was txn decided when other took its snapshot? */
static bool saw_decided(const struct judge *judge, int txn, int other) {
    return judge->decided[txn] < judge->snapped[other];
}

/* other -> txn -> out, out first to commit; of a read-only `other`, before its snapshot. */
static bool is_dangerous(const struct judge *judge, int other, int out) {
    bool has_writes = (judge->writers & bit(other)) != 0;
    return judge->decided[out] < judge->decided[other] &&
           (has_writes || saw_decided(judge, out, other));
}

static bool peer_refuses(const struct judge *judge, const struct judge_footprint *footprint,
                         const struct surroundings *around) {
    for (uint64_t outs = around->after; outs != 0; outs &= outs - 1) {
        int out = first_of(outs);
        /* in -> this -> out */
        for (uint64_t ins = around->readers; ins != 0; ins &= ins - 1) {
            int in = first_of(ins);
            bool is_concurrent = !saw_decided(judge, in, footprint->txn);
            if (is_concurrent && (out == in || is_dangerous(judge, in, out))) {
                return true;
            }
        }
        /* this -> out -> further */
        for (uint64_t rest = judge->overtaken[out]; rest != 0; rest &= rest - 1) {
            int further = first_of(rest);
            if (judge->decided[further] < judge->decided[out] &&
                (footprint->writes != 0 || saw_decided(judge, further, footprint->txn))) {
                return true;
            }
        }
    }
    return false;
}

/* ---- opinions and commits -------------------------------------------------------------------- */

struct judge_opinion judge_ask(const struct judge *judge, const struct judge_footprint *footprint) {
    struct surroundings around = surround(judge, footprint);
    return (struct judge_opinion){
        reaches(judge->after, around.after, around.before),
        reaches(judge->after_or_later, around.after, around.before | around.before_begin),
        peer_refuses(judge, footprint, &around)};
}

static void add_edges(uint64_t *after, uint64_t from, int to) {
    for (; from != 0; from &= from - 1) {
        after[first_of(from)] |= bit(to);
    }
}

static void join(struct judge *judge, const struct judge_footprint *footprint, int place) {
    struct judge_member *member = &judge->members[judge->member_count++];
    *member = (struct judge_member){*footprint, place, judge->clock, {0}, {0}, {0}};
    for (int key = 0; key < JUDGE_KEYS; key++) {
        bool is_read = footprint->is_serializable && has(footprint->reads, key);
        int newest = judge->chain_length[key] - 1;
        member->read[key] = is_read ? seen_at(judge, key, footprint->snapshot) : -2;
        member->read_late[key] = -2;
        if (footprint->is_serializable && has(footprint->late, key)) {
            member->read_late[key] = newest;
        }
        member->wrote[key] = has(footprint->writes, key) ? newest + 1 : -2;
    }
}

void judge_commit(struct judge *judge, const struct judge_footprint *footprint, int place) {
    struct surroundings around = surround(judge, footprint);
    int txn = footprint->txn;
    judge->decided[txn] = ++judge->now;
    judge->committed |= bit(txn);
    judge->writers |= footprint->writes != 0 ? bit(txn) : 0;
    judge->clock += footprint->writes != 0;
    join(judge, footprint, place);
    judge->overtaken[txn] = around.after;
    judge->after[txn] = judge->after_or_later[txn] = around.after;
    add_edges(judge->overtaken, around.readers, txn);
    add_edges(judge->after, around.before, txn);
    add_edges(judge->after_or_later, around.before | around.before_begin, txn);
    for (int key = 0; key < JUDGE_KEYS; key++) {
        bool has_newest = seen_at(judge, key, footprint->snapshot) == judge->chain_length[key] - 1;
        bool is_read = has(footprint->reads, key) && has_newest;
        if (footprint->is_serializable && (is_read || has(footprint->late, key))) {
            judge->readers[key] |= bit(txn);
        }
        if (has(footprint->writes, key)) {
            judge->readers[key] = 0;
            judge->chains[key][judge->chain_length[key]++] =
                (struct judge_version){judge->clock, txn};
        }
    }
}

/* ---- the replay ------------------------------------------------------------------------------ */

static int compare_members(const void *a, const void *b) {
    const struct judge_member *x = a;
    const struct judge_member *y = b;
    bool x_reads_only = x->footprint.writes == 0;
    bool y_reads_only = y->footprint.writes == 0;
    if (x->place != y->place) {
        return x->place < y->place ? -1 : 1;
    }
    if (x_reads_only != y_reads_only) {
        return x_reads_only ? 1 : -1;
    }
    return x->commit == y->commit ? 0 : x->commit > y->commit ? -1 : 1;
}

static const char *step(const struct judge_member *member, int key, int *state) {
    if (member->read[key] != -2 && member->read[key] != *state) {
        return "a read differs in the replay";
    }
    if (member->read_late[key] != -2 && member->read_late[key] != *state) {
        return "a late read differs in the replay";
    }
    if (member->wrote[key] == -2) {
        return NULL;
    }
    if (member->wrote[key] != *state + 1) {
        return "versions come in another order in the replay";
    }
    *state = member->wrote[key];
    return NULL;
}

const char *judge_replay(struct judge *judge) {
    int state[JUDGE_KEYS];
    for (int key = 0; key < JUDGE_KEYS; key++) {
        bool was_there = judge->chain_length[key] > 0 && judge->chains[key][0].writer < 0;
        state[key] = was_there ? 0 : -1;
    }
    qsort(judge->members, (size_t)judge->member_count, sizeof judge->members[0], compare_members);
    for (int i = 0; i < judge->member_count; i++) {
        for (int key = 0; key < JUDGE_KEYS; key++) {
            const char *difference = step(&judge->members[i], key, &state[key]);
            if (difference != NULL) {
                return difference;
            }
        }
    }
    for (int key = 0; key < JUDGE_KEYS; key++) {
        if (state[key] != judge->chain_length[key] - 1) {
            return "the final state differs in the replay";
        }
    }
    return NULL;
}
