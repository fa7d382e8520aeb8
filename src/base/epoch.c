/* epoch.c - the slow paths of epochs: registration, retiring, reclaiming.
 *
 * Entries that became safe are taken from ck as a list (ck_epoch_poll_deferred) and freed here, so
 * that each free reaches the caller's cache. ck knows a record for ever once it is registered:
 * records are therefore neither freed nor registered again while their epoch lives.
 *
 * ck reads the global epoch when an entry is handed to it, without a fence: the read may overtake
 * the store that unlinked the block. A reader of the next epoch could then still find the block,
 * which is freed when only readers of the epoch that was read are gone. So what is retired first
 * gathers in a list of our own, and goes to ck in the next poll, behind one fence for all of it. */
#include "base/epoch.h"

#include "base/assert.h"

#if defined(WITH_THREAD_SANITIZER)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
void epoch_annotate_open(struct epoch *epoch) {
    __tsan_acquire(epoch);
}
void epoch_annotate_close(struct epoch *epoch) {
    __tsan_release((char *)epoch + 1);
}
void epoch_annotate_retired(struct epoch *epoch) {
    __tsan_release(epoch);
}
#define ANNOTATE_SAFE(epoch) __tsan_acquire((char *)(epoch) + 1)
#else
#define ANNOTATE_SAFE(epoch) ((void)(epoch))
#endif

void epoch_init(struct epoch *epoch) {
    ck_epoch_init(&epoch->ck);
}

void epoch_register(struct epoch *epoch, struct epoch_record *record) {
    record->retired_count = 0;
    record->poll_at = EPOCH_POLL_AT;
    record->fresh = NULL;
    for (int i = 0; i < EPOCH_BUNDLES; i++) record->bundles[i].first = NULL;
    ck_epoch_register(&epoch->ck, &record->ck, NULL);
}

void epoch_unregister(struct epoch *epoch, struct epoch_record *record, struct mem_cache *cache) {
    epoch_drain(epoch, record, cache);
    ck_epoch_unregister(&record->ck);
}

static struct epoch_entry *entry_of(ck_stack_entry_t *link) {
    return (struct epoch_entry *)(void *)((char *)link - offsetof(struct epoch_entry, ck) -
                                          offsetof(ck_epoch_entry_t, stack_entry));
}

static struct epoch_entry *next_of(const struct epoch_entry *entry) {
    return (struct epoch_entry *)(void *)entry->ck.stack_entry.next;
}

/* Never called: its address marks a bundle. */
static void bundle_mark(ck_epoch_entry_t *entry) {
    (void)entry;
}

static struct epoch_bundle *find_bundle(struct epoch_record *record) {
    for (int i = 0; i < EPOCH_BUNDLES; i++)
        if (record->bundles[i].first == NULL) return &record->bundles[i];
    return NULL;
}

static void hand_over_fresh(struct epoch_record *record) {
    if (record->fresh == NULL) return;
    ck_pr_fence_memory();
    struct epoch_entry *entry = record->fresh;
    record->fresh = NULL;
    struct epoch_bundle *bundle = find_bundle(record);
    if (KH_LIKELY(bundle != NULL)) {
        bundle->first = entry;
        ck_epoch_call(&record->ck, &bundle->ck, bundle_mark);
        return;
    }
    while (entry != NULL) {
        struct epoch_entry *next = next_of(entry);
        ck_epoch_call(&record->ck, &entry->ck, entry->ck.function);
        entry = next;
    }
}

static inline void free_one(struct epoch_record *record, struct epoch_entry *dead,
                            struct mem_cache *cache) {
    record->retired_count--;
    epoch_free_fn *run = (epoch_free_fn *)(void (*)(void))dead->ck.function;
    run(dead, cache);
}

static void free_bundle(struct epoch_record *record, struct epoch_entry *marked,
                        struct mem_cache *cache) {
    struct epoch_bundle *bundle = (struct epoch_bundle *)(void *)marked;
    struct epoch_entry *entry = bundle->first;
    bundle->first = NULL;
    while (entry != NULL) {
        struct epoch_entry *next = next_of(entry);
        free_one(record, entry, cache);
        entry = next;
    }
}

static void free_list(struct epoch *epoch, struct epoch_record *record, ck_stack_t *list,
                      struct mem_cache *cache) {
    ck_stack_entry_t *next = CK_STACK_FIRST(list);
    if (next != NULL) ANNOTATE_SAFE(epoch);
    (void)epoch;
    while (next != NULL) {
        struct epoch_entry *dead = entry_of(next);
        next = CK_STACK_NEXT(next);
        if (KH_LIKELY(dead->ck.function == bundle_mark)) {
            free_bundle(record, dead, cache);
        } else {
            free_one(record, dead, cache);
        }
    }
}

void epoch_adopt(struct epoch_record *into, struct epoch_record *from) {
    struct epoch_entry *last = from->fresh;
    if (last == NULL) return;
    uint32_t count = 1;
    for (; next_of(last) != NULL; last = next_of(last)) count++;
    last->ck.stack_entry.next = (ck_stack_entry_t *)(void *)into->fresh;
    into->fresh = from->fresh;
    into->retired_count += count;
    into->is_urgent |= from->is_urgent;
    from->fresh = NULL;
    from->retired_count -= count;
    from->is_urgent = false;
}

bool epoch_poll(struct epoch *epoch, struct epoch_record *record, struct mem_cache *cache) {
    if (record->retired_count == 0) return false;
    record->is_urgent = false;
    hand_over_fresh(record);
    ck_stack_t list;
    ck_stack_init(&list);
    (void)ck_epoch_poll_deferred(&record->ck, &list);
    free_list(epoch, record, &list, cache);
    record->poll_at = record->retired_count + EPOCH_POLL_AT;
    return record->retired_count > 0;
}

void epoch_drain(struct epoch *epoch, struct epoch_record *record, struct mem_cache *cache) {
    hand_over_fresh(record);
    while (record->retired_count > 0) {
        ck_epoch_synchronize(&record->ck);
        (void)epoch_poll(epoch, record, cache);
    }
}
