/* semantic_list.h - the deltas of the newest commits, in the order of commits.
 *
 * Each delta has a number; numbers are given once. Pages of 256 hold them: a page belongs to the
 * list and to everybody who has pinned it, and goes with the last of them. Nothing in a page that
 * could be seen is ever written again, so that what is pinned is read without the lock while others
 * add and drop.
 *
 * Bounds: count_max deltas and bytes_max bytes. A delta counts with its block, and a dense one with
 * its codes (txn/delta_set.h) as well, whether they were made or not: what is forgotten does not
 * depend on who has searched. Not counted are the pages (40 bytes a delta) and what a search that
 * goes on, or the rest of the oldest page, keeps a little longer.
 *
 * Happy path: who is going to add reserves before the section, where memory may run out; adding
 * takes the page that was reserved. Failure: without a page the list forgets its oldest ones, or
 * all. What is forgotten raises the floor, so that failing costs refusals and never misses anybody.
 *
 * Locks: all calls are under `lock` (RANK_SEMANTIC), but for unpinning. */
#ifndef KHONSU_DB_SEMANTIC_LIST_H
#define KHONSU_DB_SEMANTIC_LIST_H

#include "base/lock.h"
#include "khonsu.h"
#include "txn/delta_set.h"

/* Whose writes a commit has: its own; or those of several, who all say what they mean, or of whom
 * one does not. */
enum semantic_company { COMPANY_NONE = 0, COMPANY_TOLD, COMPANY_UNTOLD };

struct recent_delta {
    uint64_t commit; /* several that come together have one */
    kh_txn_id id;
    kh_delta *delta; /* a reference */
    uint8_t company; /* enum semantic_company */
};

enum { SEMANTIC_PAGE = DELTA_SET_ROWS };

struct semantic_page {
    struct mem *mem;
    /* The list's, and one of each who has pinned it. Grows under the lock: where it is 1 there,
     * nobody else has the page. */
    _Atomic uint32_t refs;
    /* By whoever searches: pairs that were compared for want of codes, and the codes. Set once,
     * when the page is full. */
    _Atomic uint32_t compared;
    _Atomic(struct delta_set *) codes;
    /* Slots whose references the page has; under the lock. `from` stays while it is pinned. */
    uint32_t from;
    uint32_t to;
    struct recent_delta items[SEMANTIC_PAGE];
};

struct semantic_list {
    struct mem *mem;
    uint32_t count_max;
    uint64_t bytes_max;
    struct lock lock;
    /* under the lock */
    struct semantic_page **pages; /* that of number n at n / SEMANTIC_PAGE, modulo the capacity */
    size_t page_capacity;         /* a power of two, or 0 */
    struct semantic_page *spare;  /* for the next one */
    uint64_t first;               /* numbers of what is kept: [first, end) */
    uint64_t end;
    uint64_t next;  /* what is added gets this number: end, or above it when some were taken out */
    uint64_t floor; /* of commits at or below it something may have been forgotten */
    uint64_t bytes;
};

void semantic_list_init(struct semantic_list *list, struct mem *mem, uint32_t count_max,
                        uint64_t bytes_max);
void semantic_list_fini(struct semantic_list *list);

/* See to it that the next ones, up to SEMANTIC_PAGE, find a page. Outside of the section. */
void semantic_list_reserve(struct semantic_list *list);
/* Takes a reference of its own. */
void semantic_list_add(struct semantic_list *list, const struct recent_delta *recent);
/* Take out the commits from that one on: they were refused. */
void semantic_list_take_back(struct semantic_list *list, uint64_t commit);

/* The first number of a commit above a timestamp; `end` when there is none. */
uint64_t semantic_list_above(const struct semantic_list *list, uint64_t timestamp);
/* first <= number < end. Borrowed while the lock is held. */
const struct recent_delta *semantic_list_at(const struct semantic_list *list, uint64_t number);

enum { SEMANTIC_RUN_PAGES = 32 };
/* Numbers [from, to), pinned. */
struct semantic_run {
    uint64_t from;
    uint64_t to;
    struct semantic_page *pages[SEMANTIC_RUN_PAGES]; /* the first has `from` */
};
/* From `from` on as many as a run holds: up to `end`, or the rest is for another run. Numbers that
 * are dropped are left out. */
void semantic_list_pin(struct semantic_list *list, uint64_t from, struct semantic_run *run);
/* from <= number < to. */
static inline const struct recent_delta *semantic_run_at(const struct semantic_run *run,
                                                         uint64_t number) {
    uint64_t page = number / SEMANTIC_PAGE - run->from / SEMANTIC_PAGE;
    return &run->pages[page]->items[number % SEMANTIC_PAGE];
}
/* Without the lock. */
void semantic_run_unpin(struct semantic_run *run);

#endif
