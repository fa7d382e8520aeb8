/* certify.c - the rule, step by step as in certify.h. Each step has bugs planted in test/mutants;
 * the suite must catch every one. */
#include "txn/certify.h"

#include "store/store.h"

#include <string.h>

static struct version *newest_of(const struct entry *entry) {
    return entry_head(entry);
}

/* What the policy makes of a rival; the values were staged before. */
static enum certify_answer judge_rival(const struct certify_request *request, struct write *write,
                                       uint64_t newest) {
    /* The program has seen a value that would not be the one stored. */
    if (write->is_read_back && write->policy != KH_REPLACE &&
        (request->is_serializable || write->policy == KH_IGNORE))
        return CERTIFY_CONFLICT;
    switch (write->policy) {
    case KH_FAIL:
        return CERTIFY_CONFLICT;
    case KH_IGNORE:
        write->fate = FATE_DROPPED;
        return CERTIFY_COMMIT;
    case KH_REPLACE:
        if (write->is_staged_on && write->staged_on != newest) return CERTIFY_RESTAGE;
        write->fate = FATE_RESOLVED;
        return CERTIFY_COMMIT;
    default: /* append, merge, callback: the staged value must stand on the newest version */
        if (!write->is_staged_on || write->staged_on != newest) return CERTIFY_RESTAGE;
        write->fate = write->is_callback_dropped ? FATE_DROPPED : FATE_RESOLVED;
        return CERTIFY_COMMIT;
    }
}

KH_ALWAYS_INLINE enum certify_answer judge_write(const struct certify_request *request,
                                                 struct write *write, uint64_t *rival) {
    if (KH_UNLIKELY(atomic_load_explicit(&write->entry->flags, memory_order_relaxed) & ENTRY_DEAD))
        return CERTIFY_DEAD;
    const struct version *version = newest_of(write->entry);
    uint64_t newest = version == NULL ? 0 : version->commit;
    write->fate = FATE_PLAIN;
    if (KH_UNLIKELY(newest > write->rival_above)) {
        *rival = write->rival = newest;
        return judge_rival(request, write, newest);
    }
    if (KH_UNLIKELY(write->is_staged_on && write->staged_on != newest)) return CERTIFY_RESTAGE;
    if (KH_UNLIKELY(write->kind == WRITE_ROWS) && newest > request->snapshot) {
        write->fate = FATE_RESOLVED;
        write->rival = newest;
    }
    return CERTIFY_COMMIT;
}

static bool judge_writes(const struct certify_request *request, struct certify_verdict *verdict) {
    struct write *end = request->writes + request->write_count;
    for (struct write *write = request->writes; write < end; write++) {
        if (KH_UNLIKELY(write->kind == WRITE_NONE)) continue;
        verdict->answer = judge_write(request, write, &verdict->rival);
        if (KH_UNLIKELY(verdict->answer != CERTIFY_COMMIT)) {
            verdict->write = write;
            return false;
        }
        if (KH_LIKELY(write->fate == FATE_PLAIN)) {
            verdict->has_writes = true;
            continue;
        }
        verdict->has_resolved = true;
        if (write->fate != FATE_DROPPED) verdict->has_writes = true;
    }
    return true;
}

/* Something that was read of this key was overwritten by `next`. */
static void note_overwriter(struct certify_verdict *verdict, const struct entry *entry,
                            const struct version *next) {
    uint64_t phi = next->stamp.spi;
    if (phi >= verdict->pi) return;
    verdict->pi = phi;
    verdict->key = entry_key(entry);
    verdict->rival = next->commit;
}

static void check_items(const struct certify_request *request, struct certify_verdict *verdict) {
    const struct read_item *item = request->reads->items;
    const struct read_item *end = item + request->reads->item_count;
    for (; item < end; item++) {
        const struct version *newest = newest_of(item->entry);
        if (KH_LIKELY(newest == NULL || newest->commit <= request->snapshot)) continue;
        note_overwriter(verdict, item->entry, chain_next_after(item->entry, request->snapshot));
    }
}

static void check_range_entry(const struct certify_request *request,
                              struct certify_verdict *verdict, const struct read_range *range,
                              const struct entry *entry) {
    const struct version *next = chain_next_after(entry, request->snapshot);
    if (next == NULL || !range_covers(range, entry_key(entry))) return;
    note_overwriter(verdict, entry, next);
}

/* By walking the commits since the snapshot. */
static void check_range_recent(const struct certify_request *request,
                               struct certify_verdict *verdict, const struct read_range *range) {
    const struct recent_writes *recent = request->recent;
    size_t count = recent->end <= recent->mask ? recent->end : recent->mask + 1;
    for (size_t i = 1; i <= count; i++) {
        const struct recent_write *write = &recent->ring[(recent->end - i) & recent->mask];
        if (write->commit <= request->snapshot) break;
        check_range_entry(request, verdict, range, write->entry);
    }
}

/* By walking the keys of the range: every key with any version, deleted and newborn ones included.
 */
static void check_range_index(const struct certify_request *request,
                              struct certify_verdict *verdict, const struct read_range *range) {
    enum { BATCH = 128 };
    struct entry *entries[BATCH];
    kh_bytes none = {NULL, 0};
    kh_bytes bound = range->from.size_bytes > 0 ? range->from : none;
    bool is_exclusive = false;
    for (;;) {
        size_t count = index_scan(request->index, none, bound, is_exclusive, false, entries, BATCH);
        for (size_t i = 0; i < count; i++) {
            kh_bytes key = entry_key(entries[i]);
            if (range->to.data != NULL && key_compare(key, range->to) > 0) return;
            check_range_entry(request, verdict, range, entries[i]);
        }
        if (count < BATCH) return;
        bound = entry_key(entries[count - 1]);
        is_exclusive = true;
    }
}

static void check_absent(const struct certify_request *request, struct certify_verdict *verdict,
                         const struct read_range *range) {
    const struct entry *entry =
        index_find(request->index, range->from, index_hash(request->index, range->from));
    if (entry != NULL) check_range_entry(request, verdict, range, entry);
}

static void check_ranges(const struct certify_request *request, struct certify_verdict *verdict) {
    for (uint32_t i = 0; i < request->reads->range_count; i++) {
        const struct read_range *range = &request->reads->ranges[i];
        if (range->to.data == range->from.data && range->to.data != NULL) {
            check_absent(request, verdict, range);
        } else if (recent_since(request->recent) <= request->snapshot) {
            check_range_recent(request, verdict, range);
        } else {
            check_range_index(request, verdict, range);
        }
    }
}

static void raise_to(uint64_t *eta, uint64_t stamp) {
    if (stamp > *eta) *eta = stamp;
}

static void compute_eta(const struct certify_request *request, struct certify_verdict *verdict) {
    for (size_t i = 0; i < request->write_count; i++) {
        const struct write *write = &request->writes[i];
        if (write->kind == WRITE_NONE) continue;
        const struct version *newest = newest_of(write->entry);
        if (write->fate == FATE_DROPPED) {
            raise_to(&verdict->eta, newest->commit);
            continue;
        }
        if (newest != NULL) {
            raise_to(&verdict->eta, newest->commit);
            raise_to(&verdict->eta, newest->stamp.ps);
        }
        raise_to(&verdict->eta,
                 ranges_stamp(request->ranges, write->key, newest == NULL ? 0 : newest->commit));
    }
    if (verdict->has_writes) raise_to(&verdict->eta, request->floor);
}

static void certify_serializable(const struct certify_request *request,
                                 struct certify_verdict *verdict) {
    uint64_t unread = verdict->pi;
    check_items(request, verdict);
    if (KH_UNLIKELY(request->reads->range_count > 0)) check_ranges(request, verdict);
    /* Every stamp is below the next commit: without an overwriter, eta cannot reach pi. */
    bool is_overwritten = verdict->pi != unread;
    if (KH_LIKELY(!is_overwritten && verdict->has_writes)) return;
    compute_eta(request, verdict);
    bool is_cycle = verdict->pi <= verdict->eta;
    if (is_cycle || (request->is_current_only && is_overwritten)) verdict->answer = CERTIFY_CYCLE;
}

void certify(const struct certify_request *request, struct certify_verdict *verdict) {
    *verdict = (struct certify_verdict){.answer = CERTIFY_COMMIT, .eta = request->snapshot};
    if (KH_UNLIKELY(!judge_writes(request, verdict))) return;
    verdict->pi = verdict->has_writes ? request->commit : CERTIFY_INFINITY;
    if (request->is_serializable) certify_serializable(request, verdict);
    verdict->phi = verdict->has_writes ? verdict->pi : verdict->eta;
}
