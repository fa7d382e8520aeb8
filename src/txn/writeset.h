/* writeset.h - what one transaction wants to write, buffered until commit.
 *
 * One struct write a key, in order of first write. A put or delete replaces what was there; row
 * operations on top of an own put or delete are applied to it at once (its outcome is known), else
 * they are kept in program order and applied at commit to the newest version. Savepoints keep an
 * undo list: rolling back restores each write's former state and policy. Batches are references
 * held here until the transaction ends. Lookup: by hash, linear up to a few keys, then a table. */
#ifndef KHONSU_TXN_WRITESET_H
#define KHONSU_TXN_WRITESET_H

#include "base/arena.h"
#include "base/bytes.h"
#include "store/version.h"
#include "khonsu/txn.h"
#include <stddef.h>
#include <string.h>

enum write_kind {
    WRITE_NONE = 0, /* undone by a savepoint: nothing is written */
    WRITE_PUT,
    WRITE_DELETE,
    WRITE_ROWS
};

/* The policy of a semantic workspace's puts, beyond those of kh_policy, and recorded as KH_MERGE:
 * the same, with vectors that both sides changed added (db/semantic.h says when it may be used). */
enum { POLICY_SEMANTIC = KH_CALLBACK + 1 };

enum row_kind { ROW_INSERT, ROW_UPSERT, ROW_UPDATE, ROW_DELETE };

struct row_op {
    struct row_op *next; /* program order */
    kh_batch *rows;      /* a reference */
    enum row_kind kind;
};

enum write_fate {
    FATE_PLAIN = 0, /* no rival: the write goes on top */
    FATE_RESOLVED,  /* its value was computed from the rival's version, or goes over it by policy */
    FATE_DROPPED    /* ignored: a late read of the newest version */
};

struct write {
    /* what every write needs: one cache line */
    uint64_t hash;
    kh_bytes key;
    uint8_t kind;             /* enum write_kind */
    uint8_t policy;           /* kh_policy, never default */
    bool is_read_back;        /* the program has seen a pending write of this key: never undone */
    uint8_t fate;             /* enum write_fate; certify's answer */
    bool is_callback_dropped; /* the staged outcome is "drop" */
    bool is_staged_on;        /* the newest version must still be staged_on */
    uint8_t sealed_fate;      /* the encoded record says: what becomes of the write */
    kh_batch *mine;         /* WRITE_PUT: the value, a reference; once a plain write is staged, the
                             * staged version has it and this is NULL */
    struct version *staged; /* what apply links */
    struct entry *entry;    /* from staging on */
    uint64_t rival_above;   /* a newest version above this is a rival */
    /* what few need */
    struct row_op *ops; /* WRITE_ROWS: first operation */
    struct row_op *last_op;
    uint64_t staged_on;   /* commit of the version that the staged value was computed from */
    uint64_t sealed_base; /* the encoded record says: newest version below it */
    uint64_t rival;       /* the version met, with a fate other than plain */
    uint32_t op_count;
    char apart[20]; /* two cache lines, and an array of them is walked by shifts */
};
_Static_assert(sizeof(struct write) == 128, "a write is two cache lines");

struct write_undo {
    uint32_t index;
    bool is_new; /* the write did not exist before */
    uint8_t kind;
    uint8_t policy;
    kh_batch *mine; /* a reference taken over from the write */
    struct row_op *ops;
    struct row_op *last_op;
};

struct savepoint {
    uint32_t undo_count; /* when it was set */
    uint32_t step_count; /* and of the steps that a workspace had listed (db/workspace.h) */
};

/* Writes of a transaction that need no memory of their own: most write fewer keys. */
enum { WRITESET_INLINE = 8 };

struct writeset {
    struct write *writes;
    uint32_t count;
    uint32_t capacity;
    uint32_t *table; /* open addressing over hash: index + 1; NULL while count is small */
    uint32_t table_mask;
    struct write_undo *undo;
    uint32_t undo_count;
    uint32_t undo_capacity;
    struct savepoint *marks;
    uint32_t mark_count;
    uint32_t mark_capacity;
    uint32_t live_count; /* writes with another kind than none */
    bool has_computed;   /* some write is, or was, rows or of a policy that computes */
    bool is_spent;       /* nothing is left to be released: the chains have the staged versions */
    uint64_t size_bytes; /* of the values */
    uint32_t writes_max;
    uint64_t bytes_max;
    struct write first_writes[WRITESET_INLINE];
};

/* Makes a zeroed one ready. */
void writeset_init(struct writeset *set, uint32_t writes_max, uint64_t bytes_max);

struct write *writeset_find_slow(const struct writeset *set, kh_bytes key, uint64_t hash);

/* The pending write of key, NULL: none (or undone). */
static inline struct write *writeset_find(const struct writeset *set, kh_bytes key, uint64_t hash) {
    if (set->count == 0) return NULL;
    return writeset_find_slow(set, key, hash);
}

/* The write of key as it is, made empty if need be, with room for its undo: what can fail of a
 * claim. KH_TOO_BIG: too many writes; KH_NO_MEMORY. */
kh_status writeset_slot(struct writeset *set, struct arena *arena, kh_bytes key, uint64_t hash,
                        struct write **out, kh_error *error);
/* The usual case of that without a call: a few writes, none of this key, no savepoint. NULL: not
 * so, or no room; nothing has changed. */
static inline struct write *writeset_slot_new(struct writeset *set, struct arena *arena,
                                              kh_bytes key, uint64_t hash) {
    if (KH_UNLIKELY(set->mark_count > 0 || set->count >= WRITESET_INLINE ||
                    set->live_count >= set->writes_max))
        return NULL;
    struct write *write = set->first_writes;
    struct write *end = write + set->count;
    for (; write < end; write++)
        if (KH_UNLIKELY(write->hash == hash)) return NULL;
    void *copy = arena_alloc(arena, key.size_bytes);
    if (KH_UNLIKELY(copy == NULL)) return NULL;
    bytes_copy_short(copy, key.data, key.size_bytes);
    write->hash = hash;
    write->key = (kh_bytes){copy, key.size_bytes};
    /* In two parts: the compiler stores short ones by words, and calls for long ones. */
    memset(&write->kind, 0, offsetof(struct write, ops) - offsetof(struct write, kind));
    memset(&write->ops, 0, offsetof(struct write, apart) - offsetof(struct write, ops));
    set->count++;
    return write;
}
/* Make such a write ready to be overwritten; the caller sets kind, policy and mine. Cannot fail. */
void writeset_retake(struct writeset *set, struct mem_cache *cache, struct write *write,
                     uint64_t value_bytes);
static inline void writeset_take(struct writeset *set, struct mem_cache *cache, struct write *write,
                                 uint64_t value_bytes) {
    if (KH_UNLIKELY(write->kind != WRITE_NONE || set->mark_count > 0)) {
        writeset_retake(set, cache, write, value_bytes);
        return;
    }
    set->live_count++;
    set->size_bytes += value_bytes;
}
/* Both: the write of key, made if need be, ready to be overwritten: its former state is in the undo
 * list or released. The caller sets kind, policy and mine. Fails: KH_TOO_BIG, KH_NO_MEMORY; nothing
 * changed. value_bytes: what the new state adds to the size. */
kh_status writeset_claim(struct writeset *set, struct arena *arena, kh_bytes key, uint64_t hash,
                         uint64_t value_bytes, struct write **out, kh_error *error);
/* Append a row operation to a write of kind rows (or none: becomes rows). Moves the reference. */
kh_status writeset_add_rows(struct writeset *set, struct arena *arena, kh_bytes key, uint64_t hash,
                            enum row_kind kind, kh_batch *rows, uint8_t policy, kh_error *error);

kh_status writeset_mark(struct writeset *set, struct arena *arena, uint32_t *number,
                        kh_error *error);
kh_status writeset_rollback_to(struct writeset *set, struct mem_cache *cache, uint32_t number,
                               kh_error *error);
kh_status writeset_release_mark(struct writeset *set, uint32_t number, kh_error *error);

/* Say what a write is: after a take. */
static inline void writeset_set(struct writeset *set, struct write *write, enum write_kind kind,
                                uint8_t policy, kh_batch *mine) {
    write->kind = (uint8_t)kind;
    write->policy = policy;
    write->mine = mine;
    set->has_computed |= kind == WRITE_ROWS || policy >= KH_APPEND;
}

/* Its plain writes were staged, installed and published: what they referred to is the chains'. */
static inline void writeset_spend(struct writeset *set) {
    set->is_spent =
        !set->has_computed && set->writes == set->first_writes && set->mark_capacity == 0;
}
/* Forget a spent one. */
static inline void writeset_reset(struct writeset *set) {
    set->count = set->live_count = 0;
    set->size_bytes = 0;
    set->is_spent = false;
}

/* Release every batch (foreign code may run) and forget all. Staged versions are the caller's. */
void writeset_clear(struct writeset *set, struct mem_cache *cache);

#endif
