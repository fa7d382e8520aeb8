/* version.h - a key's entry and its versions: the two structs of the multi-version store.
 *
 * Invariants: a chain is newest first, strictly falling in commit timestamps; versions whose
 * timestamp is above the published one are certified but not visible (their log has not answered);
 * a tombstone (no value) is a version like any other. Only apply links versions and only reclaim
 * unlinks them, both in the commit section; readers walk chains inside an epoch section and take
 * the first version at or below their timestamp.
 *
 * A cold version has its value in the storage only, and keeps the value's size; cold.h puts it in
 * the place of one that has the value, or the other way round, in the section: same timestamp, same
 * stamps, another struct. So a version that was found outside of the section is only read. */
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
    /* The value, or 0: a tombstone. The low bit tells a version in its batch's headroom (0) from
     * one in a block of its own (1). Cold: VERSION_COLD, and the value's size above the two bits.
     * See version_batch. Immutable once linked. */
    uintptr_t batch_and_home;
};
_Static_assert(sizeof(struct version) == BATCH_HEADROOM, "a version fills the headroom");

enum { VERSION_APART = 1, VERSION_COLD_BIT = 2, VERSION_COLD = VERSION_COLD_BIT | VERSION_APART };

static inline bool version_is_cold(const struct version *version) {
    return (version->batch_and_home & VERSION_COLD_BIT) != 0;
}

static inline bool version_is_tombstone(const struct version *version) {
    return (version->batch_and_home & ~(uintptr_t)VERSION_APART) == 0;
}

/* The value of a version that is not cold, NULL: a tombstone. */
static inline const kh_batch *version_batch(const struct version *version) {
    kh_assert_slow(!version_is_cold(version));
    return (const kh_batch *)(version->batch_and_home & ~(uintptr_t)VERSION_APART);
}

/* What the value counts for, wherever it is. */
static inline uint64_t version_value_bytes(const struct version *version) {
    if (version_is_tombstone(version)) return 0;
    if (KH_UNLIKELY(version_is_cold(version))) return version->batch_and_home >> 2;
    return batch_size_bytes(version_batch(version));
}

/* It lies in its batch's headroom, and goes with it. */
static inline bool version_is_in_batch(const struct version *version) {
    return (version->batch_and_home & VERSION_APART) == 0;
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

/* The low bits of an entry's head. */
enum head_mark {
    HEAD_APART = 1,   /* its value does not lie behind the newest version; or there is no version */
    HEAD_COOLING = 2, /* nobody has read the value since the bit was set (cold.h) */
    HEAD_MARKS = HEAD_APART | HEAD_COOLING
};

/* One key. Lives in the index from the first commit that stages a write of it until its last
 * version is reclaimed. */
struct entry {
    /* The newest version, with marks. Writer: commit section, and readers who take HEAD_COOLING
     * away; readers: epoch section, acquire. */
    _Atomic uintptr_t head;
    /* The commit timestamp of the newest version ever linked. Written before head, by the commit
     * section. */
    _Atomic uint64_t newest;
    uint32_t hash;          /* low half of the key's hash; immutable */
    uint16_t key_bytes;     /* immutable */
    _Atomic uint16_t flags; /* enum entry_flag; writer: commit section */
    unsigned char key[];
};
_Static_assert(sizeof(struct entry) == 24, "an entry costs 24 bytes and its key");

static inline struct version *head_version(uintptr_t head) {
    return (struct version *)(head & ~(uintptr_t)HEAD_MARKS); /* blocks are aligned */
}

/* A version as an entry's head, NULL: none. */
static inline uintptr_t head_of(const struct version *version) {
    bool is_apart = version == NULL || !version_is_in_batch(version);
    return (uintptr_t)version | (is_apart ? HEAD_APART : 0);
}

/* The newest version, visible or not; NULL: none. In the section, or an epoch section. */
static inline struct version *entry_head(const struct entry *entry) {
    return head_version(atomic_load_explicit(&entry->head, memory_order_acquire));
}

/* Put a version (NULL: none) in the place of the newest. In the section. */
static inline void entry_set_head(struct entry *entry, const struct version *version) {
    atomic_store_explicit(&entry->head, head_of(version), memory_order_release);
}

/* A fresh one, of a block of sizeof(struct entry) and the key's bytes. */
static inline void entry_init(struct entry *entry, kh_bytes key, uint64_t hash) {
    atomic_init(&entry->head, head_of(NULL));
    atomic_init(&entry->newest, 0);
    entry->hash = (uint32_t)hash;
    entry->key_bytes = (uint16_t)key.size_bytes;
    atomic_init(&entry->flags, 0);
    memcpy(entry->key, key.data, key.size_bytes);
}

/* Make a version the newest of its key. In the section. */
static inline void entry_link(struct entry *entry, struct version *version) {
    atomic_store_explicit(&entry->newest, version->commit, memory_order_relaxed);
    snapshot_step(); /* a reader between the two */
    entry_set_head(entry, version);
}

static inline kh_bytes entry_key(const struct entry *entry) {
    return (kh_bytes){entry->key, entry->key_bytes};
}

/* The commit of the newest version, 0: none; or more, after the log refused a record. In the
 * section. */
static inline uint64_t entry_newest(const struct entry *entry) {
    return atomic_load_explicit(&entry->newest, memory_order_relaxed);
}

/* The newest version at or below timestamp; NULL: none. In an epoch section. */
static inline struct version *entry_visible(const struct entry *entry, uint64_t timestamp) {
    struct version *version = entry_head(entry);
    while (version != NULL && version->commit > timestamp)
        version = atomic_load_explicit(&version->older, memory_order_acquire);
    return version;
}

/* The value at timestamp in the usual case; NULL: ask entry_read. In an epoch section.
 *
 * Without a look at the version, which would cost a miss of the cache: `newest` is at least the
 * commit of the version that head was read as, since it is written before it; and at most
 * timestamp, it is that of a version published before the reader registered timestamp, so head,
 * read later than that, is that version or one after it. Both: it is that version, and by its own
 * marks its value lies behind it. */
static inline const kh_batch *entry_value_fast(const struct entry *entry, uint64_t timestamp) {
    uintptr_t head = atomic_load_explicit(&entry->head, memory_order_acquire);
    uint64_t newest = atomic_load_explicit(&entry->newest, memory_order_relaxed);
    if (KH_LIKELY((head & HEAD_MARKS) == 0 && newest <= timestamp))
        return (const kh_batch *)(head + BATCH_HEADROOM);
    return NULL;
}

/* The version at timestamp, NULL: none. For who will use its value: it is not cooling any more
 * (cold.h), so that the value stays for as long as timestamp is registered. In an epoch section. */
const struct version *entry_read(struct entry *entry, uint64_t timestamp);

#endif
