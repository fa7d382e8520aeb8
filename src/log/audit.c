/* audit.c - see audit.h. One table for all kinds of items; an item's name is a digest of its kind
 * and of the storage key that it is about.
 *
 * Failure: KH_NO_MEMORY at any record leaves the audit useless but whole. */
#include "log/audit.h"

#include "base/mem.h"
#include "base/status.h"
#include "log/state_key.h"
#include <stdio.h>
#include <string.h>

enum { FIRST_CAPACITY = 1024 };

enum item_kind {
    ITEM_VERSION = 1, /* the storage key of a version */
    ITEM_KEY,         /* a plain key: the newest of its versions that the log has */
    ITEM_SCHEMA,
    ITEM_PREPARED,
    ITEM_COMMIT, /* a decision whose writes lie before the anchor */
    ITEM_OUTCOME
};

enum {
    FLAG_SEEN = 1,      /* in the storage */
    FLAG_DELETION = 2,  /* VERSION */
    FLAG_GONE = 4,      /* VERSION: overwritten, or a deletion, below swept */
    FLAG_REPLACED = 8,  /* VERSION: overwritten below applied: may be there */
    FLAG_DECIDED = 16,  /* PREPARED: below applied */
    FLAG_KEPT = 32,     /* PREPARED: committed at or above swept: may be there as decided */
    FLAG_LATER = 64,    /* PREPARED: at or above applied */
    FLAG_FOREIGN = 128, /* PREPARED: before the anchor */
    FLAG_ENDED = 256    /* PREPARED: decided, anywhere */
};

struct audit_item {
    unsigned char name[AUDIT_NAME_BYTES];
    unsigned char value[AUDIT_NAME_BYTES]; /* digest of what the storage must have */
    uint64_t position;                     /* of the record */
    uint64_t commit;                       /* KEY: of the newest write below swept, 0: none */
    void *frame;                           /* PREPARED: a copy, until it is decided */
    size_t frame_bytes;
    uint16_t kind; /* 0: a free slot */
    uint16_t flags;
};

kh_status audit_init(struct audit *audit, struct mem *mem, struct digester *digester,
                     uint64_t applied, uint64_t swept, uint64_t newest_commit, kh_error *error) {
    *audit = (struct audit){.mem = mem,
                            .digester = digester,
                            .applied = applied,
                            .swept = swept,
                            .newest_commit = newest_commit};
    audit->key = mem_alloc(mem, NULL, STATE_ESCAPED_KEY_MAX);
    return audit->key != NULL ? KH_OK : status_no_memory(error, STATE_ESCAPED_KEY_MAX);
}

void audit_fini(struct audit *audit) {
    for (size_t i = 0; i < audit->capacity; i++)
        if (audit->items[i].frame != NULL)
            mem_free(audit->mem, NULL, audit->items[i].frame, audit->items[i].frame_bytes);
    mem_free(audit->mem, NULL, audit->items, audit->capacity * sizeof *audit->items);
    if (audit->key != NULL) mem_free(audit->mem, NULL, audit->key, STATE_ESCAPED_KEY_MAX);
    *audit = (struct audit){.mem = audit->mem};
}

/* ---- the table ------------------------------------------------------------------------------- */

static void digest_cut(const struct audit *audit, unsigned char prefix, kh_bytes first,
                       kh_bytes second, unsigned char out[AUDIT_NAME_BYTES]) {
    struct digest digest;
    digest_of(audit->digester, prefix, first, second, &digest);
    memcpy(out, digest.bytes, AUDIT_NAME_BYTES);
}

/* The item of a name, or the free slot where it would go. */
static struct audit_item *slot_of(const struct audit *audit,
                                  const unsigned char name[AUDIT_NAME_BYTES]) {
    uint64_t hash;
    memcpy(&hash, name, sizeof hash); /* a digest: as good as any hash */
    size_t at = (size_t)hash & (audit->capacity - 1);
    while (audit->items[at].kind != 0 && memcmp(audit->items[at].name, name, AUDIT_NAME_BYTES) != 0)
        at = (at + 1) & (audit->capacity - 1);
    return &audit->items[at];
}

static kh_status grow(struct audit *audit, kh_error *error) {
    if (2 * (audit->count + 1) < audit->capacity) return KH_OK;
    struct audit before = *audit;
    size_t capacity = before.capacity == 0 ? FIRST_CAPACITY : 2 * before.capacity;
    struct audit_item *items = mem_alloc_zeroed(audit->mem, NULL, capacity * sizeof *items);
    if (items == NULL) return status_no_memory(error, capacity * sizeof *items);
    audit->items = items;
    audit->capacity = capacity;
    for (size_t i = 0; i < before.capacity; i++)
        if (before.items[i].kind != 0) *slot_of(audit, before.items[i].name) = before.items[i];
    mem_free(audit->mem, NULL, before.items, before.capacity * sizeof *items);
    return KH_OK;
}

static struct audit_item *find(const struct audit *audit, enum item_kind kind, kh_bytes key) {
    unsigned char name[AUDIT_NAME_BYTES];
    if (audit->capacity == 0) return NULL;
    digest_cut(audit, (unsigned char)kind, key, (kh_bytes){NULL, 0}, name);
    struct audit_item *item = slot_of(audit, name);
    return item->kind != 0 ? item : NULL;
}

/* The item, new (all zero but for kind and name) or not. Stays where it is until the next take. */
static kh_status take(struct audit *audit, enum item_kind kind, kh_bytes key,
                      struct audit_item **out, kh_error *error) {
    unsigned char name[AUDIT_NAME_BYTES];
    kh_status status = grow(audit, error);
    if (status != KH_OK) return status;
    digest_cut(audit, (unsigned char)kind, key, (kh_bytes){NULL, 0}, name);
    struct audit_item *item = slot_of(audit, name);
    if (item->kind == 0) {
        item->kind = (uint16_t)kind;
        memcpy(item->name, name, sizeof name);
        audit->count++;
    }
    *out = item;
    return KH_OK;
}

/* ---- records --------------------------------------------------------------------------------- */

static kh_bytes version_key(const struct audit *audit, kh_bytes key, uint64_t commit) {
    return (kh_bytes){audit->key, state_version_key(key, commit, audit->key)};
}

static void note_overwritten(struct audit *audit, const struct raw_write *write, bool is_swept) {
    struct audit_item *base = NULL;
    if (write->base != 0)
        base = find(audit, ITEM_VERSION, version_key(audit, write->key, write->base));
    if (base != NULL) base->flags |= (uint16_t)(FLAG_REPLACED | (is_swept ? FLAG_GONE : 0));
}

static kh_status take_write(struct audit *audit, uint64_t position, const struct raw_write *write,
                            uint64_t commit, kh_error *error) {
    unsigned char head[STATE_VALUE_HEAD_BYTES];
    struct audit_item *item = NULL;
    bool is_swept = position < audit->swept;
    bool is_deletion = write->value.data == NULL;
    kh_bytes value = is_deletion ? (kh_bytes){head, 0} : write->value;
    kh_status status = KH_OK;
    note_overwritten(audit, write, is_swept);
    if (is_swept) {
        status = take(audit, ITEM_KEY, write->key, &item, error);
        if (status == KH_OK) item->commit = commit;
    }
    if (status == KH_OK)
        status = take(audit, ITEM_VERSION, version_key(audit, write->key, commit), &item, error);
    if (status != KH_OK) return status;
    state_value_head(commit, write->schema_number, is_deletion ? STATE_FLAG_DELETED : 0, value,
                     head);
    digest_cut(audit, 0, (kh_bytes){head, sizeof head}, value, item->value);
    item->position = position;
    item->commit = commit;
    if (is_deletion) item->flags |= FLAG_DELETION;
    if (is_deletion && is_swept) item->flags |= FLAG_GONE;
    return KH_OK;
}

static kh_status take_writes(struct audit *audit, uint64_t position, struct raw_record *record,
                             uint64_t commit, kh_error *error) {
    struct raw_write write;
    kh_status status;
    while ((status = raw_next_write(record, &write, error)) == KH_OK) {
        status = take_write(audit, position, &write, commit, error);
        if (status != KH_OK) return status;
    }
    return status == KH_END ? KH_OK : status;
}

static kh_bytes id_key(const struct audit *audit, kh_txn_id id) {
    return (kh_bytes){audit->key, state_id_key(STATE_PREPARED, id, audit->key)};
}

static kh_status take_prepare(struct audit *audit, uint64_t position,
                              const struct raw_record *record, kh_error *error) {
    struct audit_item *item = NULL;
    kh_status status = take(audit, ITEM_PREPARED, id_key(audit, record->id), &item, error);
    if (status != KH_OK) return status;
    if (item->frame != NULL || (item->flags & FLAG_ENDED))
        return status_fail(error, KH_CORRUPT, "record %llu prepares a transaction again",
                           (unsigned long long)position);
    item->frame = mem_alloc(audit->mem, NULL, record->frame.size_bytes);
    if (item->frame == NULL) return status_no_memory(error, record->frame.size_bytes);
    item->frame_bytes = record->frame.size_bytes;
    memcpy(item->frame, record->frame.data, item->frame_bytes);
    digest_cut(audit, 0, record->frame, (kh_bytes){NULL, 0}, item->value);
    item->position = position;
    if (position >= audit->applied) item->flags |= FLAG_LATER;
    return KH_OK;
}

/* The prepare lies before the anchor, if it is not in the storage either, audit_end says so. */
static kh_status take_foreign_decision(struct audit *audit, uint64_t position,
                                       const struct raw_record *record, kh_error *error) {
    struct audit_item *item = NULL;
    kh_status status = take(audit, ITEM_PREPARED, id_key(audit, record->id), &item, error);
    if (status != KH_OK) return status;
    item->position = position;
    item->flags = FLAG_FOREIGN | FLAG_ENDED;
    if (position >= audit->applied) return KH_OK;
    item->flags |= FLAG_DECIDED;
    if (record->kind != RECORD_DECIDE_COMMIT) return KH_OK;
    if (position >= audit->swept) item->flags |= FLAG_KEPT;
    kh_bytes commit = {&record->commit, sizeof record->commit};
    return take(audit, ITEM_COMMIT, commit, &item, error);
}

static kh_status take_decision(struct audit *audit, uint64_t position,
                               const struct raw_record *record, kh_error *error) {
    struct audit_item *item = find(audit, ITEM_PREPARED, id_key(audit, record->id));
    if (item == NULL) return take_foreign_decision(audit, position, record, error);
    if (item->flags & FLAG_ENDED)
        return status_fail(error, KH_CORRUPT, "record %llu decides a transaction again",
                           (unsigned long long)position);
    bool is_commit = record->kind == RECORD_DECIDE_COMMIT;
    bool is_applied = position < audit->applied;
    item->flags |= FLAG_ENDED;
    if (is_applied) item->flags |= FLAG_DECIDED;
    if (is_commit && is_applied && position >= audit->swept) item->flags |= FLAG_KEPT;
    void *frame = item->frame; /* taking writes moves the items */
    size_t frame_bytes = item->frame_bytes;
    item->frame = NULL;
    item->frame_bytes = 0;
    struct raw_record prepared;
    kh_status status = raw_open((kh_bytes){frame, frame_bytes}, &prepared, error);
    if (status == KH_OK && is_commit && is_applied)
        status = take_writes(audit, position, &prepared, record->commit, error);
    mem_free(audit->mem, NULL, frame, frame_bytes);
    return status;
}

static kh_status take_schema(struct audit *audit, uint64_t position,
                             const struct raw_record *record, kh_error *error) {
    struct audit_item *item = NULL;
    if (position >= audit->applied) return KH_OK;
    kh_bytes key = {audit->key, state_schema_key(record->schema_number, audit->key)};
    kh_status status = take(audit, ITEM_SCHEMA, key, &item, error);
    if (status != KH_OK) return status;
    item->position = position;
    digest_cut(audit, 0, record->frame, (kh_bytes){NULL, 0}, item->value);
    return KH_OK;
}

static bool is_end_of_txn(enum record_kind kind) {
    return kind == RECORD_COMMIT || kind == RECORD_DECIDE_COMMIT || kind == RECORD_DECIDE_ABORT;
}

static kh_status take_outcome_of(struct audit *audit, uint64_t position, kh_txn_id id,
                                 uint64_t commit, kh_error *error) {
    struct audit_item *item = NULL;
    kh_bytes key = {audit->key, state_id_key(STATE_OUTCOME, id, audit->key)};
    kh_status status = take(audit, ITEM_OUTCOME, key, &item, error);
    if (status != KH_OK) return status;
    item->position = position;
    item->commit = commit;
    return KH_OK;
}

static kh_status take_outcome(struct audit *audit, uint64_t position,
                              const struct raw_record *record, kh_error *error) {
    uint64_t commit = record->kind == RECORD_DECIDE_ABORT ? 0 : record->commit;
    struct raw_members members;
    struct record_member member;
    if (position >= audit->applied) return KH_OK;
    kh_status status = raw_members(record, &members, error);
    if (status == KH_OK) status = take_outcome_of(audit, position, record->id, commit, error);
    while (status == KH_OK && (status = raw_next_member(&members, &member, error)) == KH_OK)
        status = take_outcome_of(audit, position, member.id, commit, error);
    return status == KH_END ? KH_OK : status;
}

static kh_status note_commit(struct audit *audit, uint64_t position,
                             const struct raw_record *record, kh_error *error) {
    if (record->commit == 0 || record->kind == RECORD_HORIZON) return KH_OK;
    if (record->commit <= audit->last_logged)
        return status_fail(error, KH_CORRUPT, "record %llu: its commit timestamp goes back",
                           (unsigned long long)position);
    if (audit->first_commit == 0) audit->first_commit = record->commit;
    if (position < audit->applied) audit->last_commit = record->commit;
    audit->last_logged = record->commit;
    return KH_OK;
}

kh_status audit_record(struct audit *audit, uint64_t position, kh_bytes frame, kh_error *error) {
    struct raw_record record;
    kh_status status = raw_open(frame, &record, error);
    if (status == KH_OK) status = note_commit(audit, position, &record, error);
    if (status == KH_OK && is_end_of_txn(record.kind))
        status = take_outcome(audit, position, &record, error);
    if (status != KH_OK) return status;
    switch (record.kind) {
    case RECORD_COMMIT:
        if (position >= audit->applied) return KH_OK;
        return take_writes(audit, position, &record, record.commit, error);
    case RECORD_PREPARE:
        return take_prepare(audit, position, &record, error);
    case RECORD_DECIDE_COMMIT:
    case RECORD_DECIDE_ABORT:
        return take_decision(audit, position, &record, error);
    case RECORD_SCHEMA:
        return take_schema(audit, position, &record, error);
    case RECORD_HORIZON:
        return KH_OK;
    }
    return KH_OK;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* Of a version: the key in ASCII, as much as fits. */
static void name_version(kh_bytes plain, uint64_t commit, char out[120]) {
    char text[65];
    size_t length = plain.size_bytes < sizeof text - 1 ? plain.size_bytes : sizeof text - 1;
    const unsigned char *bytes = plain.data;
    for (size_t i = 0; i < length; i++)
        text[i] = bytes[i] >= 0x20 && bytes[i] < 0x7f ? (char)bytes[i] : '?';
    text[length] = '\0';
    (void)snprintf(out, 120, "key '%s', version %llu", text, (unsigned long long)commit);
}

static kh_status version_fails(kh_bytes plain, uint64_t commit, const char *what, kh_error *error) {
    char name[120];
    name_version(plain, commit, name);
    return status_fail(error, KH_CORRUPT, "storage, %s: %s", name, what);
}

/* No record of the log wrote it. */
static kh_status check_unknown(struct audit *audit, kh_bytes plain, uint64_t commit,
                               kh_error *error) {
    bool is_foreign = find(audit, ITEM_COMMIT, (kh_bytes){&commit, sizeof commit}) != NULL;
    bool is_old = audit->first_commit == 0 || commit < audit->first_commit;
    if (!is_old && !is_foreign)
        return version_fails(plain, commit, "no record of the log wrote it", error);
    audit->unchecked_versions++;
    return KH_OK;
}

static kh_status check_version(struct audit *audit, kh_bytes key, kh_bytes value, kh_error *error) {
    kh_bytes plain = {audit->key, 0};
    unsigned char digest[AUDIT_NAME_BYTES];
    uint64_t commit = 0;
    if (key.size_bytes > STATE_ESCAPED_KEY_MAX ||
        !state_parse_version_key(key, audit->key, &plain.size_bytes, &commit))
        return status_fail(error, KH_CORRUPT, "storage: a malformed key");
    if (commit > audit->newest_commit)
        return version_fails(plain, commit, "it is newer than all that was applied", error);
    const struct audit_item *newest = find(audit, ITEM_KEY, plain);
    if (newest != NULL && commit < newest->commit)
        return version_fails(plain, commit, "it was overwritten and should be gone", error);
    struct audit_item *item = find(audit, ITEM_VERSION, key);
    if (item == NULL) return check_unknown(audit, plain, commit, error);
    item->flags |= FLAG_SEEN;
    if (item->flags & FLAG_GONE)
        return version_fails(plain, commit, "it was swept and should be gone", error);
    digest_cut(audit, 0, value, (kh_bytes){NULL, 0}, digest);
    if (memcmp(digest, item->value, sizeof digest) == 0) return KH_OK;
    return version_fails(plain, commit, "another value than its record wrote", error);
}

/* Prepared, or decided and kept for the sweep; the key is that of a prepared one in both cases. */
static kh_status check_prepared(struct audit *audit, kh_bytes key, kh_bytes value,
                                kh_error *error) {
    unsigned char digest[AUDIT_NAME_BYTES];
    const unsigned char *bytes = key.data;
    bool is_decided = bytes[0] == STATE_DECIDED;
    const char *name = is_decided ? "decided" : "prepared";
    if (key.size_bytes != STATE_FIXED_KEY_BYTES)
        return status_fail(error, KH_CORRUPT, "storage: a malformed key");
    memcpy(audit->key, key.data, key.size_bytes);
    audit->key[0] = STATE_PREPARED;
    struct audit_item *item = find(audit, ITEM_PREPARED, (kh_bytes){audit->key, key.size_bytes});
    unsigned flags = item == NULL ? 0 : item->flags;
    bool is_right = is_decided ? (flags & FLAG_KEPT) != 0 : (flags & FLAG_DECIDED) == 0;
    if (!is_right || (flags & FLAG_LATER))
        return status_fail(error, KH_CORRUPT, "storage: a transaction is there as %s and is not",
                           name);
    if (item == NULL || (flags & FLAG_FOREIGN)) {
        if (item != NULL) item->flags |= FLAG_SEEN;
        audit->unchecked_prepared++;
        return KH_OK;
    }
    if (!is_decided) item->flags |= FLAG_SEEN;
    digest_cut(audit, 0, value, (kh_bytes){NULL, 0}, digest);
    if (memcmp(digest, item->value, sizeof digest) == 0) return KH_OK;
    return status_fail(error, KH_CORRUPT, "storage: the %s transaction of record %llu differs",
                       name, (unsigned long long)item->position);
}

static kh_status check_schema(struct audit *audit, kh_bytes key, kh_bytes value, kh_error *error) {
    unsigned char digest[AUDIT_NAME_BYTES];
    struct audit_item *item = find(audit, ITEM_SCHEMA, key);
    if (item == NULL) {
        audit->unchecked_schemas++;
        return KH_OK;
    }
    item->flags |= FLAG_SEEN;
    digest_cut(audit, 0, value, (kh_bytes){NULL, 0}, digest);
    if (memcmp(digest, item->value, sizeof digest) == 0) return KH_OK;
    return status_fail(error, KH_CORRUPT, "storage: the schema of record %llu differs",
                       (unsigned long long)item->position);
}

static kh_status check_outcome(struct audit *audit, kh_bytes key, kh_bytes value, kh_error *error) {
    uint64_t commit;
    bool is_aborted;
    if (key.size_bytes != STATE_FIXED_KEY_BYTES ||
        !state_parse_outcome(value, &commit, &is_aborted))
        return status_fail(error, KH_CORRUPT, "storage: a malformed outcome");
    const struct audit_item *item = find(audit, ITEM_OUTCOME, key);
    bool is_old = audit->first_commit == 0 || commit < audit->first_commit;
    if (item == NULL && !is_old && !is_aborted)
        return status_fail(error, KH_CORRUPT,
                           "storage: the outcome of a commit at %llu that the log does not have",
                           (unsigned long long)commit);
    if (item == NULL) {
        audit->unchecked_outcomes++;
        return KH_OK;
    }
    if (is_aborted ? item->commit == 0 : item->commit == commit) return KH_OK;
    return status_fail(error, KH_CORRUPT, "storage: the outcome of record %llu is another one",
                       (unsigned long long)item->position);
}

kh_status audit_entry(struct audit *audit, kh_bytes key, kh_bytes value, kh_error *error) {
    switch (((const unsigned char *)key.data)[0]) {
    case STATE_VERSION:
        return check_version(audit, key, value, error);
    case STATE_SCHEMA:
        return check_schema(audit, key, value, error);
    case STATE_OUTCOME:
        return check_outcome(audit, key, value, error);
    default:
        return check_prepared(audit, key, value, error);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

/* What should be in the storage and is not; NULL: nothing. */
static const char *missing(const struct audit_item *item) {
    unsigned flags = item->flags;
    if (flags & FLAG_SEEN) return NULL;
    switch (item->kind) {
    case ITEM_VERSION:
        return flags & (FLAG_DELETION | FLAG_GONE | FLAG_REPLACED) ? NULL : "a version";
    case ITEM_SCHEMA:
        return "the schema";
    case ITEM_PREPARED:
        return flags & (FLAG_DECIDED | FLAG_LATER) ? NULL : "the prepared transaction";
    default:
        return NULL;
    }
}

kh_status audit_end(struct audit *audit, kh_error *error) {
    const struct audit_item *first = NULL;
    for (size_t i = 0; i < audit->capacity; i++) {
        const struct audit_item *item = &audit->items[i];
        if (missing(item) != NULL && (first == NULL || item->position < first->position))
            first = item;
    }
    if (first != NULL)
        return status_fail(error, KH_CORRUPT, "storage: %s of record %llu is missing",
                           missing(first), (unsigned long long)first->position);
    if (audit->last_commit != 0 && audit->last_commit != audit->newest_commit)
        return status_fail(
            error, KH_CORRUPT, "storage: its newest commit is %llu, in the log it is %llu",
            (unsigned long long)audit->newest_commit, (unsigned long long)audit->last_commit);
    return KH_OK;
}
