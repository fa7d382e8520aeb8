/* semantic_scan.h - one delta against pinned parts of the list of recent ones: who is in conflict
 * with it.
 *
 * Everyone who is found was asked of kh_delta_classify; codes of 8 bits (txn/delta_set.h) only
 * leave out those of whom it is certain what it would say. So answers and their order are those of
 * a look at every pair.
 *
 * The codes of a page are made once it is full and has been compared so often, by dense deltas,
 * that they would have paid: by the search that notices, which spends no more on codes than on
 * comparing (and one page). Not for sparse deltas (two of them are compared in the time of a few
 * calls, and Jaccard's index is not a matter of cosines), nor for pages of few deltas of that
 * dimension. Failure: without memory every pair is looked at.
 *
 * Without locks: pages are pinned. A probe is one thread's. */
#ifndef KHONSU_DB_SEMANTIC_SCAN_H
#define KHONSU_DB_SEMANTIC_SCAN_H

#include "db/semantic_list.h"

struct semantic_probe {
    const kh_delta *delta;
    const kh_delta_thresholds *thresholds;
    struct delta_query query;
    bool has_query;
    bool wants_codes; /* dense, and memory has not run out */
    uint32_t credit;  /* pairs: what may be spent on codes */
};

/* Borrows both. */
void semantic_probe_init(struct semantic_probe *probe, const kh_delta *delta,
                         const kh_delta_thresholds *thresholds);
void semantic_probe_fini(struct semantic_probe *probe);

/* Conflicting or opposite. False stops. */
typedef bool semantic_found_fn(void *context, const struct recent_delta *recent,
                               kh_delta_class kind, float similarity);
/* Visit those of a run, in the order of commits. False: found stopped it. */
bool semantic_scan(struct semantic_probe *probe, const struct semantic_run *run,
                   semantic_found_fn *found, void *context);

/* The two classes that a guard refuses. */
static inline bool semantic_is_against(kh_delta_class kind) {
    return kind == KH_DELTA_CONFLICTING || kind == KH_DELTA_OPPOSITE;
}

#endif
