/* certify.h - may this transaction commit? A pure function of the request and of the versions that
 * it points at: no clock, no I/O, no global, no allocation. It changes nothing but the fates of the
 * request's writes. Embedded it is called before the log, by a replica after it: one verdict.
 *
 * The rule is the Serial Safety Net (Wang, Johnson, Fekete, Pandis, VLDB J. 26, 2017) over
 * snapshots with eta starting at the snapshot, so that the serial order agrees with real time, and
 * with read-only transactions leaving their snapshot as stamp. Claim: sorting by phi (readers after
 * writers, later commits first) is a serial order. Per version: commit, spi (phi of the writer of
 * the oldest version it stands for), ps (largest stamp of committed serializable readers).
 *   pi  = smallest phi of a direct overwriter of something that was read (its own commit, or none)
 *   eta = largest stamp of what must come before: snapshot, versions overwritten and their readers
 *   commit when eta < pi; phi = pi with writes, eta without */
#ifndef KHONSU_TXN_CERTIFY_H
#define KHONSU_TXN_CERTIFY_H

#include "txn/ranges.h"
#include "txn/readset.h"
#include "txn/writeset.h"

#define CERTIFY_INFINITY UINT64_MAX

enum certify_answer {
    CERTIFY_COMMIT,
    CERTIFY_CONFLICT, /* write against write: key and rival */
    CERTIFY_CYCLE,    /* eta >= pi */
    CERTIFY_RESTAGE,  /* a staged value was computed from a version that is not the newest any more
                       */
    CERTIFY_DEAD      /* an entry has left the index since it was staged: look it up again */
};

/* A commit's written keys, newest commits last, for finding what hit a range that was read. */
struct recent_write {
    uint64_t commit;
    struct entry *entry;
};
struct recent_writes { /* a ring */
    size_t end;        /* writes ever noted; the newest is before it */
    uint64_t since;    /* nothing before this was noted */
    struct recent_write *ring;
    size_t mask;
};
/* Noted are all writes of commits after this one. */
static inline uint64_t recent_since(const struct recent_writes *recent) {
    if (recent->end <= recent->mask) return recent->since;
    return recent->ring[recent->end & recent->mask].commit; /* the next one to be overwritten */
}

struct certify_request {
    bool is_serializable;
    uint64_t snapshot;
    uint64_t commit;      /* the timestamp that it would get */
    uint64_t floor;       /* stamps forgotten early (and what the caller asks for on top) */
    bool is_current_only; /* everything read must still be current: prepare, and across shards */
    const struct readset *reads;
    struct write *writes; /* staged; their fate is written */
    size_t write_count;
    const struct kept_ranges *ranges;
    const struct recent_writes *recent;
    const struct index *index; /* asked when recent does not reach back to the snapshot */
};

struct certify_verdict {
    enum certify_answer answer;
    const struct write *write; /* CONFLICT, RESTAGE, DEAD: which */
    kh_bytes key;              /* CYCLE: a key that was read and overwritten (size 0: none) */
    uint64_t rival;            /* CONFLICT: its commit; CYCLE: the overwriter's */
    uint64_t eta;
    uint64_t pi;
    uint64_t phi;
    bool has_writes;   /* some write is not dropped */
    bool has_resolved; /* some write has another fate than plain */
};

void certify(const struct certify_request *request, struct certify_verdict *verdict);

/* The usual case, inlined into the commit section: plain writes that met nobody, and nothing that
 * was read was overwritten. False: not so, ask certify, which knows the whole rule; nothing but
 * fates has changed. Builds with slow checks ask both and compare. */
KH_ALWAYS_INLINE bool certify_is_clear(const struct certify_request *request,
                                       struct certify_verdict *verdict) {
    struct write *write = request->writes;
    struct write *end = write + request->write_count;
    if (KH_UNLIKELY(write == end)) return false;
    for (; write < end; write++) {
        const struct entry *entry = write->entry;
        bool is_usual =
            (write->kind == WRITE_PUT || write->kind == WRITE_DELETE) && !write->is_staged_on;
        if (KH_UNLIKELY(!is_usual)) return false;
        if (KH_UNLIKELY(atomic_load_explicit(&entry->flags, memory_order_relaxed) & ENTRY_DEAD))
            return false;
        if (KH_UNLIKELY(entry_newest(entry) > write->rival_above)) return false;
        write->fate = FATE_PLAIN;
    }
    if (request->is_serializable) {
        const struct read_item *item = request->reads->items;
        const struct read_item *last = item + request->reads->item_count;
        if (KH_UNLIKELY(request->reads->range_count > 0)) return false;
        for (; item < last; item++)
            if (KH_UNLIKELY(entry_newest(item->entry) > request->snapshot)) return false;
    }
    verdict->answer = CERTIFY_COMMIT;
    verdict->eta = request->snapshot;
    verdict->pi = verdict->phi = request->commit;
    verdict->has_writes = true;
    verdict->has_resolved = false;
    return true;
}

#endif
