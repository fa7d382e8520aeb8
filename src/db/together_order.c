/* together_order.c - in which order members could have committed one after the other.
 *
 * A serializable member that has read a key must come before every other that writes it. What is
 * left open is the caller's order: again and again the first that nobody left has to precede. */
#include "db/together.h"

#include "store/store.h"
#include <string.h>

enum { WORD_BITS = 64 };

struct precedence {
    size_t count;
    size_t words;     /* of a row */
    uint64_t *before; /* bit j of row i: j must come before i */
};

static bool has_bit(const uint64_t *row, size_t bit) {
    return (row[bit / WORD_BITS] >> (bit % WORD_BITS) & 1) != 0;
}

/* A key that the reader has read and the writer writes; size 0: none. In an epoch section. */
static kh_bytes find_overwritten(const kh_txn *reader, const kh_txn *writer) {
    const struct writeset *set = &writer->writes;
    const struct index *index = reader->db->store.index;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct write *write = &set->writes[i];
        if (write->kind == WRITE_NONE) continue;
        const struct entry *entry = index_find(index, write->key, write->hash);
        if (readset_timestamp(&reader->reads, entry, write->key) != 0) return write->key;
    }
    return (kh_bytes){NULL, 0};
}

static void compare_all(const struct together *together, struct precedence *precedence) {
    const struct together_member *members = together->members;
    epoch_open(&together->db->store.epoch, &together->txn->epoch);
    for (size_t reader = 0; reader < together->count; reader++) {
        if (!members[reader].txn->is_certified) continue;
        for (size_t writer = 0; writer < together->count; writer++) {
            if (reader == writer) continue;
            kh_bytes key = find_overwritten(members[reader].txn, members[writer].txn);
            if (key.size_bytes == 0) continue;
            uint64_t *row = precedence->before + writer * precedence->words;
            row[reader / WORD_BITS] |= UINT64_C(1) << (reader % WORD_BITS);
        }
    }
    epoch_close(&together->db->store.epoch, &together->txn->epoch);
}

/* Nobody of `left` has to come before it. */
static bool is_free(const struct precedence *precedence, size_t member, const uint64_t *left) {
    const uint64_t *row = precedence->before + member * precedence->words;
    for (size_t i = 0; i < precedence->words; i++)
        if ((row[i] & left[i]) != 0) return false;
    return true;
}

/* The first of those left that has to come before it. */
static size_t awaited_by(const struct precedence *precedence, size_t member, const uint64_t *left) {
    const uint64_t *row = precedence->before + member * precedence->words;
    size_t other = 0;
    while (!has_bit(row, other) || !has_bit(left, other)) other++;
    return other;
}

/* Everyone left waits for another one left: who follows that long enough goes round in a circle. */
static kh_status refuse_circle(struct together *together, const struct precedence *precedence,
                               const uint64_t *left) {
    size_t at = 0;
    while (!has_bit(left, at)) at++;
    for (size_t i = 0; i < together->count; i++) at = awaited_by(precedence, at, left);
    size_t other = awaited_by(precedence, at, left);
    const struct together_member *member = &together->members[at];
    const kh_txn *rival = together->members[other].txn;
    epoch_open(&together->db->store.epoch, &together->txn->epoch);
    kh_bytes key = find_overwritten(rival, member->txn);
    epoch_close(&together->db->store.epoch, &together->txn->epoch);
    return together_blame(together, member, KH_NOT_SERIALIZABLE, key, 0, rival->id);
}

static kh_status sort(struct together *together, const struct precedence *precedence,
                      uint64_t *left, struct together_member *sorted) {
    for (size_t placed = 0; placed < together->count; placed++) {
        size_t next = 0;
        while (next < together->count && !(has_bit(left, next) && is_free(precedence, next, left)))
            next++;
        if (next == together->count) return refuse_circle(together, precedence, left);
        left[next / WORD_BITS] &= ~(UINT64_C(1) << (next % WORD_BITS));
        sorted[placed] = together->members[next];
    }
    memcpy(together->members, sorted, together->count * sizeof *sorted);
    return KH_OK;
}

kh_status together_order(struct together *together, kh_error *error) {
    struct arena *arena = &together->txn->arena;
    size_t words = (together->count + WORD_BITS - 1) / WORD_BITS;
    struct precedence precedence = {together->count, words, NULL};
    precedence.before = arena_alloc_zeroed(arena, together->count * words * sizeof(uint64_t));
    uint64_t *left = arena_alloc_zeroed(arena, words * sizeof *left);
    struct together_member *sorted = arena_alloc(arena, together->count * sizeof *sorted);
    if (precedence.before == NULL || left == NULL || sorted == NULL)
        return status_no_memory(error, together->count * words * sizeof(uint64_t));
    for (size_t i = 0; i < together->count; i++)
        left[i / WORD_BITS] |= UINT64_C(1) << (i % WORD_BITS);
    compare_all(together, &precedence);
    return sort(together, &precedence, left, sorted);
}
