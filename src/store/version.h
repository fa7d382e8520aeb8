/* version.h - a key's entry and its versions: the two structs of the multi-version store.
 *
 * Invariants: a chain is newest first, strictly falling in commit timestamps; versions whose
 * timestamp is above the published one are certified but not visible (their log has not answered);
 * a tombstone (batch NULL) is a version like any other. Only apply links versions and only reclaim
 * unlinks them, both in the commit section; readers walk chains inside an epoch section and take
 * the first version at or below their timestamp. */
#ifndef KHONSU_STORE_VERSION_H
#define KHONSU_STORE_VERSION_H

#include "base/epoch.h"
#include "batch/batch.h"
#include "store/snapshot.h"
#include <stdatomic.h>
#include <string.h>

/* A version lies in the headroom of its batch where it can (BATCH_HEADROOM), else in a block of its
 * own. The limbo entry takes the place of the stamps once a version is unlinked: nobody who can
 * still reach it then looks at stamps (readers look at commit, older and batch only; whoever looks
 * at stamps holds the commit section). */
struct version {
    uint64_t commit; /* timestamp of the writer; immutable once linked */
    union {
        struct {
            uint64_t spi; /* phi of the writer of the oldest version that this one stands for */
            uint64_t ps;  /* largest reader stamp of committed serializable readers, 0: none */
        } stamp;
        struct epoch_entry limbo;
    };
    _Atomic(struct version *) older;
    /* The value, or NULL: a tombstone. The low bit tells a version in its batch's headroom (0)
     * from one in a block of its own (1); see version_batch. Immutable once linked. */
    uintptr_t batch_and_home;
};
_Static_assert(sizeof(struct version) == BATCH_HEADROOM, "a version fills the headroom");

static inline const kh_batch *version_batch(const struct version *version) {
    return (const kh_batch *)(version->batch_and_home & ~(uintptr_t)1); /* blocks are aligned */
}

/* It lies in its batch's headroom, and goes with it. */
static inline bool version_is_in_batch(const struct version *version) {
    return (version->batch_and_home & 1) == 0;
}

/* Not linked yet. */
static inline void version_init(struct version *version, uintptr_t batch_and_home) {
    version->commit = 0;
    version->stamp.spi = 0;
    version->stamp.ps = 0;
    atomic_init(&version->older, NULL);
    version->batch_and_home = batch_and_home;
}

enum entry_flag {
    ENTRY_DEAD = 1,         /* removed from the index (or about to be): look the key up again */
    ENTRY_QUEUED = 2,       /* in the reclaimer's queue */
    ENTRY_PARKED = 4,       /* in its list of chains that wait for a snapshot to end */
    ENTRY_HELD = 8,         /* a prepared transaction holds the key exclusively */
    ENTRY_HELD_SHARED = 16, /* prepared transactions have read it */
    ENTRY_CLAIMED = 32      /* claimed for one commit that met rivals too often */
};

/* One key. Lives in the index from the first commit that stages a write of it until its last
 * version is reclaimed. */
struct entry {
    _Atomic(struct version *) head; /* writer: commit section; readers: epoch section, acquire */
    /* Of the newest version ever linked: its commit timestamp, doubled, and 1 when its value does
     * not lie behind it (entry_mark). Written before head, by the commit section. */
    _Atomic uint64_t newest;
    uint32_t hash;          /* low half of the key's hash; immutable */
    uint16_t key_bytes;     /* immutable */
    _Atomic uint16_t flags; /* enum entry_flag; writer: commit section */
    unsigned char key[];
};
_Static_assert(sizeof(struct entry) == 24, "an entry costs 24 bytes and its key");

/* A fresh one, of a block of sizeof(struct entry) and the key's bytes. */
static inline void entry_init(struct entry *entry, kh_bytes key, uint64_t hash) {
    atomic_init(&entry->head, NULL);
    atomic_init(&entry->newest, 0);
    entry->hash = (uint32_t)hash;
    entry->key_bytes = (uint16_t)key.size_bytes;
    atomic_init(&entry->flags, 0);
    memcpy(entry->key, key.data, key.size_bytes);
}

static inline uint64_t entry_mark(const struct version *version) {
    bool is_behind = version_is_in_batch(version) && version_batch(version) != NULL;
    return version->commit << 1 | !is_behind;
}

/* Make a version the newest of its key. In the section. */
static inline void entry_link(struct entry *entry, struct version *version) {
    atomic_store_explicit(&entry->newest, entry_mark(version), memory_order_relaxed);
    snapshot_step(); /* a reader between the two */
    atomic_store_explicit(&entry->head, version, memory_order_release);
}

static inline kh_bytes entry_key(const struct entry *entry) {
    return (kh_bytes){entry->key, entry->key_bytes};
}

/* The commit of the newest version, 0: none; or more, after the log refused a record. In the
 * section. */
static inline uint64_t entry_newest(const struct entry *entry) {
    return atomic_load_explicit(&entry->newest, memory_order_relaxed) >> 1;
}

/* The newest version at or below timestamp; NULL: none. In an epoch section. */
static inline struct version *entry_visible(const struct entry *entry, uint64_t timestamp) {
    struct version *version = atomic_load_explicit(&entry->head, memory_order_acquire);
    while (version != NULL && version->commit > timestamp)
        version = atomic_load_explicit(&version->older, memory_order_acquire);
    return version;
}

/* The value at timestamp, NULL: none, or deleted. In an epoch section.
 *
 * Mostly without a look at the version, which would cost a miss of the cache: `newest` is at least
 * the commit of the version that head was read as, since it is written before it; and at most
 * timestamp, it is that of a version published before the reader registered timestamp, so head,
 * read later than that, is that version or one after it. Both: it is that version, and its value
 * lies behind it. */
static inline const kh_batch *entry_value(const struct entry *entry, uint64_t timestamp) {
    struct version *version = atomic_load_explicit(&entry->head, memory_order_acquire);
    uint64_t newest = atomic_load_explicit(&entry->newest, memory_order_relaxed);
    if (KH_LIKELY(version != NULL && (newest & 1) == 0 && newest >> 1 <= timestamp))
        return (const kh_batch *)(const void *)((const char *)version + BATCH_HEADROOM);
    version = entry_visible(entry, timestamp);
    return version == NULL ? NULL : version_batch(version);
}

#endif
