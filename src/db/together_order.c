/* together_order.c - in which order members could have committed one after the other.
 *
 * A serializable member that has read a key must come before every other that writes it. What is
 * left open is the caller's order: again and again the first that nobody left has to precede. */
#include "db/together.h"

#include "store/store.h"
#include <stdlib.h>
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

/* What is written, by key: a read looks for its keys among all of it at once. */
struct written {
    kh_bytes key;
    size_t writer;
};

static int compare_written(const void *a, const void *b) {
    return key_compare(((const struct written *)a)->key, ((const struct written *)b)->key);
}

/* NULL: no memory; *count is 0 if nothing is written. */
static struct written *list_written(const struct together *together, size_t *count) {
    size_t most = 1;
    for (size_t i = 0; i < together->count; i++)
        most += together->members[i].txn->writes.live_count;
    struct written *all = arena_alloc(&together->txn->arena, most * sizeof *all);
    *count = 0;
    for (size_t i = 0; i < together->count && all != NULL; i++) {
        const struct writeset *set = &together->members[i].txn->writes;
        for (uint32_t j = 0; j < set->count; j++)
            if (set->writes[j].kind != WRITE_NONE)
                all[(*count)++] = (struct written){set->writes[j].key, i};
    }
    if (*count > 0) qsort(all, *count, sizeof *all, compare_written);
    return all;
}

static size_t find_from(const struct written *all, size_t count, kh_bytes key) {
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (key_compare(all[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void precede(struct precedence *precedence, size_t reader, size_t writer) {
    if (reader == writer) return;
    uint64_t *row = precedence->before + writer * precedence->words;
    row[reader / WORD_BITS] |= UINT64_C(1) << (reader % WORD_BITS);
}

static void compare_reader(const struct together *together, size_t reader,
                           const struct written *all, size_t count,
                           struct precedence *precedence) {
    const struct readset *reads = &together->members[reader].txn->reads;
    for (uint32_t i = 0; i < reads->item_count; i++) {
        kh_bytes key = entry_key(reads->items[i].entry);
        size_t at = find_from(all, count, key);
        for (; at < count && key_compare(all[at].key, key) == 0; at++)
            precede(precedence, reader, all[at].writer);
    }
    for (uint32_t i = 0; i < reads->range_count; i++) {
        const struct read_range *range = &reads->ranges[i];
        size_t at = range->from.size_bytes == 0 ? 0 : find_from(all, count, range->from);
        for (; at < count; at++) {
            if (range->to.data != NULL && key_compare(all[at].key, range->to) > 0) break;
            if (range_covers(range, all[at].key)) precede(precedence, reader, all[at].writer);
        }
    }
}

/* The entries that were read stay while the snapshots of the members do. */
static bool compare_all(const struct together *together, struct precedence *precedence) {
    size_t count;
    const struct written *all = list_written(together, &count);
    if (all == NULL) return false;
    for (size_t reader = 0; reader < together->count; reader++)
        if (together->members[reader].txn->is_certified)
            compare_reader(together, reader, all, count, precedence);
    return true;
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
    if (!compare_all(together, &precedence))
        return status_no_memory(error, together->count * sizeof(struct written));
    return sort(together, &precedence, left, sorted);
}
