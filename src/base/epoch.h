/* epoch.h - safe memory reclamation by epochs (Fraser 2004), from Concurrency Kit's ck_epoch.
 *
 * A section lasts one call, never a transaction. A block that was unlinked is retired; its
 * function runs once every section that was open at that time has closed.
 * The thread sanitizer does not see ck's inline assembly: sections and reclamation carry
 * happens-before annotations, and a mutant (test/mutants) proves that it still sees races.
 */
#ifndef KHONSU_BASE_EPOCH_H
#define KHONSU_BASE_EPOCH_H

#include "base/mem.h"
#include "base/sanitizer.h"
#include <ck_epoch.h>

struct epoch {
    ck_epoch_t ck;
};

/* What was retired between two polls, known to ck as one entry. */
struct epoch_bundle {
    ck_epoch_entry_t ck;
    struct epoch_entry *first; /* NULL: not in use */
};
/* More polls than this without one that finds something safe: entries go to ck one by one. */
enum { EPOCH_BUNDLES = 8 };

/* One participant: used by one thread at a time, kept in a transaction handle. */
struct epoch_record {
    ck_epoch_record_t ck;
    uint32_t retired_count;
    uint32_t poll_at;          /* retired_count at which a poll is due */
    struct epoch_entry *fresh; /* retired since the last poll */
    bool is_urgent;            /* something large waits: poll soon */
    struct epoch_bundle bundles[EPOCH_BUNDLES];
};

/* Polling is worth its price (a pass over all records) for so many blocks more at once: while some
 * section stays open (its thread has lost the processor) nothing is freed, however often it is
 * tried. */
enum { EPOCH_POLL_AT = 32 };

/* Lies inside the block to be freed. The function frees it (into cache, may be NULL) and must not
 * retire anything. */
struct epoch_entry {
    ck_epoch_entry_t ck;
};
typedef void epoch_free_fn(struct epoch_entry *entry, struct mem_cache *cache);

void epoch_init(struct epoch *epoch);
/* Once for each record: ck keeps it in its list for ever. */
void epoch_register(struct epoch *epoch, struct epoch_record *record);
/* The record must have no open section; what it has retired is waited for and run. */
void epoch_unregister(struct epoch *epoch, struct epoch_record *record, struct mem_cache *cache);

#if defined(WITH_THREAD_SANITIZER)
void epoch_annotate_retired(struct epoch *epoch);
void epoch_annotate_open(struct epoch *epoch);
void epoch_annotate_close(struct epoch *epoch);
#else
static inline void epoch_annotate_retired(struct epoch *epoch) {
    (void)epoch;
}
static inline void epoch_annotate_open(struct epoch *epoch) {
    (void)epoch;
}
static inline void epoch_annotate_close(struct epoch *epoch) {
    (void)epoch;
}
#endif

/* Sections of one record nest. */
static inline void epoch_open(struct epoch *epoch, struct epoch_record *record) {
    ck_epoch_begin(&record->ck, NULL);
    epoch_annotate_open(epoch);
}

/* By the record's thread. */
static inline bool epoch_is_open(const struct epoch_record *record) {
    return record->ck.active != 0;
}

static inline void epoch_close(struct epoch *epoch, struct epoch_record *record) {
    epoch_annotate_close(epoch);
    (void)ck_epoch_end(&record->ck, NULL);
}

/* Hand a block over; it was unlinked before, by a store of any order. Inside or outside a section.
 * A few instructions without a fence: what orders the unlinking is paid by the next poll.
 * ck keeps one function pointer in the entry; ours takes one argument more, and goes through a
 * pointer of ck's type and back, which C allows as long as the call uses the true type. */
static inline void epoch_retire(struct epoch *epoch, struct epoch_record *record,
                                struct epoch_entry *entry, epoch_free_fn *run) {
    epoch_annotate_retired(epoch);
    record->retired_count++;
    entry->ck.function = (ck_epoch_cb_t *)(void (*)(void))run;
    entry->ck.stack_entry.next = (ck_stack_entry_t *)(void *)record->fresh;
    record->fresh = entry;
}
/* Take over what another record has retired and not polled for. Neither is in use elsewhere. */
void epoch_adopt(struct epoch_record *into, struct epoch_record *from);
static inline bool epoch_is_due(const struct epoch_record *record) {
    return record->retired_count >= record->poll_at || record->is_urgent;
}
/* Run what is safe by now; does not wait. True if anything of this record is still waiting. */
bool epoch_poll(struct epoch *epoch, struct epoch_record *record, struct mem_cache *cache);
/* Wait until every other open section has closed, then run all. Not inside a section. */
void epoch_drain(struct epoch *epoch, struct epoch_record *record, struct mem_cache *cache);

#endif
