/* verify.c - kh_verify: the check of a whole directory.
 *
 * Happy path: the small files (closed.h); the schemas that the storage has; the log from its anchor
 * on, each record decoded and told to the audit; the end against the mark; then every entry of the
 * storage, decoded and held against the audit; what is missing there; every block of every table
 * that RocksDB has in use, with its checksum, whether or not what it holds was deleted since; at
 * last the expected head. Failure: the first finding ends it, the report has what was counted until
 * then. */
#include "base/status.h"
#include "db/closed.h"
#include "db/semantic.h"
#include "log/audit.h"
#include "log/state_key.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PROGRESS_EVERY = 1024 };

struct check {
    struct closed *closed;
    const kh_verify_options *options;
    kh_verify_report *report;
    struct audit audit;
    struct arena arena;
    kh_status status; /* of a visitor that can only say stop */
    kh_error *error;
    uint64_t told;
    /* The key of the version before, to count keys. */
    unsigned char *key;
    size_t key_bytes;
    /* The group that the mark names. */
    bool is_mark_met;
};

static kh_status tell(struct check *check, const char *what, uint64_t count) {
    const kh_verify_options *options = check->options;
    if (options->progress == NULL || count % PROGRESS_EVERY != 0) return KH_OK;
    if (options->progress(options->progress_context, what, count)) return KH_OK;
    return status_fail(check->error, KH_CANCELLED, "cancelled while reading the %s", what);
}

/* ---- the log --------------------------------------------------------------------------------- */

/* The digest of another group than the expected one is not what was kept. */
static bool is_expected(const struct check *check, const struct digest *digest, uint64_t number) {
    const kh_verify_options *options = check->options;
    return options->expect != NULL &&
           memcmp(options->expect, digest->bytes, KH_DIGEST_BYTES) == 0 &&
           (options->expect_number == 0 || options->expect_number == number);
}

/* Heads before the anchor that its chain still names. */
static void expect_in_anchor(struct check *check) {
    const struct chain *anchor = &check->closed->history.anchor;
    for (uint32_t i = 0; i < anchor->depth; i++) {
        if (!is_expected(check, &anchor->stack[i].digest, anchor->stack[i].number)) continue;
        closed_head_of(anchor, &check->report->expected);
        check->report->expected.number = anchor->stack[i].number;
        if (anchor->stack[i].number != anchor->number) check->report->expected.position = 0;
        memcpy(check->report->expected.digest, anchor->stack[i].digest.bytes, KH_DIGEST_BYTES);
        check->report->expectation = KH_EXPECT_EARLIER;
    }
}

static kh_status check_mark(struct check *check, const struct chain *chain, kh_error *error) {
    const struct mark *mark = &check->closed->mark;
    if (mark->group == 0 || mark->group != chain->number) return KH_OK;
    check->is_mark_met = true;
    if (mark->next == chain->next && digest_is_equal(&mark->newest, &chain->newest)) return KH_OK;
    return status_fail(error, KH_CORRUPT, "log: group %llu is not the one that MARK names",
                       (unsigned long long)chain->number);
}

static kh_status see_group(void *context, const struct chain *chain, const struct group_head *head,
                           kh_error *error) {
    struct check *check = context;
    kh_verify_report *report = check->report;
    report->groups++;
    report->log_bytes += GROUP_HEAD_BYTES + head->body_bytes;
    if (head->first_commit != 0 && report->first_timestamp == 0)
        report->first_timestamp = head->first_commit;
    if (head->last_commit > report->last_timestamp) report->last_timestamp = head->last_commit;
    if (is_expected(check, &chain->newest, chain->number)) {
        report->expectation = KH_EXPECT_EARLIER;
        closed_head_of(chain, &report->expected);
    }
    return check_mark(check, chain, error);
}

static kh_status decode_meaning(struct check *check, kh_bytes section, kh_error *error) {
    struct semantic_section read;
    if (section.size_bytes == 0) return KH_OK;
    kh_status status = semantic_decode(check->closed->mem, section, &read, error);
    if (status == KH_OK) kh_delta_release(read.delta);
    return status;
}

/* Does it decode? A schema gets its number, for those that follow. */
static kh_status decode(struct check *check, kh_bytes frame, kh_error *error) {
    struct record_codec codec = closed_codec(check->closed);
    struct record record;
    kh_status status = record_decode(&codec, frame, &check->arena, &record, error);
    if (status == KH_OK && record.kind == RECORD_SCHEMA)
        status = log_schemas_add(&check->closed->log_schemas, record.schema_number, record.schema,
                                 error);
    bool is_held = status == KH_OK;
    if (is_held) status = decode_meaning(check, record.delta, error);
    for (size_t i = 0; is_held && i < record.member_count && status == KH_OK; i++)
        status = decode_meaning(check, record.members[i].delta, error);
    if (is_held) record_drop(&codec, &record);
    arena_reset(&check->arena);
    return status;
}

static kh_status place_record(kh_status status, kh_log_position position, const char *what,
                              kh_error *error) {
    if (status == KH_OK || status == KH_NO_MEMORY) return status;
    return status_fail(error, status, "log, record %llu: %.200s", (unsigned long long)position,
                       what);
}

static kh_status see_record(void *context, kh_log_position position, const struct group_head *head,
                            kh_bytes frame, kh_error *error) {
    struct check *check = context;
    kh_error detail = {""};
    (void)head;
    check->report->records++;
    kh_status status = decode(check, frame, &detail);
    if (status == KH_OK) status = audit_record(&check->audit, position, frame, &detail);
    status = place_record(status, position, detail.message, error);
    return status == KH_OK ? tell(check, "log", check->report->records) : status;
}

static kh_status check_log(struct check *check) {
    struct closed *closed = check->closed;
    kh_verify_report *report = check->report;
    const struct follower follower = {check, see_group, see_record};
    struct history_end end;
    closed_head_of(&closed->history.anchor, &report->anchor);
    report->head = report->anchor;
    report->unchecked_records = report->anchor.position;
    if (closed->swept < report->anchor.position || closed->applied < closed->swept)
        return status_fail(check->error, KH_CORRUPT,
                           "storage: it has records up to %llu and %llu, the log begins at %llu",
                           (unsigned long long)closed->swept, (unsigned long long)closed->applied,
                           (unsigned long long)report->anchor.position);
    expect_in_anchor(check);
    kh_status status = check_mark(check, &closed->history.anchor, check->error);
    if (status == KH_OK) status = history_follow(&closed->history, &follower, &end, check->error);
    if (status != KH_OK) return status;
    closed_head_of(&end.chain, &report->head);
    report->has_torn_end = end.is_torn;
    if (is_expected(check, &end.chain.newest, end.chain.number)) {
        report->expectation = KH_EXPECT_HEAD;
        report->expected = report->head;
    }
    return history_check_end(&end, &closed->mark, closed->applied, check->error);
}

/* ---- the storage ----------------------------------------------------------------------------- */

static kh_status fail_storage(struct check *check, const char *what) {
    return status_fail(check->error, KH_CORRUPT, "storage: %.200s", what);
}

static kh_status decode_version(struct check *check, uint64_t commit, kh_bytes value) {
    uint32_t number;
    uint32_t flags;
    kh_bytes bytes;
    kh_batch *batch = NULL;
    if (!state_parse_value(commit, value, &number, &flags, &bytes))
        return fail_storage(check, "a value with a wrong checksum");
    if (flags == STATE_FLAG_DELETED && bytes.size_bytes == 0) return KH_OK;
    if (flags != 0) return fail_storage(check, "a value with unknown flags");
    const kh_schema *schema = log_schemas_find(&check->closed->log_schemas, number);
    if (schema == NULL) return fail_storage(check, "a value of an unknown schema");
    kh_status status =
        ipc_decode_value(check->closed->mem, NULL, schema, bytes, &batch, check->error);
    if (status == KH_OK) kh_batch_release(batch);
    return status;
}

static kh_status see_version(struct check *check, kh_bytes key, kh_bytes value) {
    kh_verify_report *report = check->report;
    uint64_t commit = 0;
    size_t prefix_bytes = key.size_bytes - 8; /* without the commit */
    size_t plain_bytes;
    unsigned char *plain = check->key + STATE_ESCAPED_KEY_MAX;
    if (key.size_bytes > STATE_ESCAPED_KEY_MAX ||
        !state_parse_version_key(key, plain, &plain_bytes, &commit))
        return fail_storage(check, "a malformed key");
    report->versions++;
    if (check->key_bytes != prefix_bytes || memcmp(check->key, key.data, prefix_bytes) != 0) {
        report->keys++;
        memcpy(check->key, key.data, prefix_bytes);
        check->key_bytes = prefix_bytes;
    }
    return decode_version(check, commit, value);
}

/* What the storage keeps as it was logged: must be of the kind and the number that its key says. */
static kh_status see_frame(struct check *check, kh_bytes key, kh_bytes value) {
    unsigned char expected[STATE_FIXED_KEY_BYTES];
    const unsigned char *bytes = key.data;
    struct raw_record record;
    kh_status status = raw_open(value, &record, check->error);
    if (status != KH_OK) return status;
    bool is_schema = bytes[0] == STATE_SCHEMA;
    size_t size_bytes = is_schema ? state_schema_key(record.schema_number, expected)
                                  : state_id_key((enum state_kind)bytes[0], record.id, expected);
    if (record.kind != (is_schema ? RECORD_SCHEMA : RECORD_PREPARE) ||
        key.size_bytes != size_bytes || memcmp(key.data, expected, size_bytes) != 0)
        return fail_storage(check, "a record under another's key");
    if (is_schema) check->report->schemas++;
    if (bytes[0] == STATE_PREPARED) check->report->prepared++;
    return decode(check, value, check->error);
}

/* The position, the anchor and what was trimmed (read elsewhere), and the checkpoint's mark. */
static kh_status see_own(struct check *check, kh_bytes key) {
    const unsigned char *bytes = key.data;
    bool is_known = key.size_bytes == 1 && (bytes[0] == 0 || bytes[0] == STATE_MARK);
    if (key.size_bytes == 2 && bytes[0] == 0) is_known = bytes[1] == 'a' || bytes[1] == 't';
    return is_known ? KH_OK : fail_storage(check, "an entry of an unknown kind");
}

static kh_status see_entry(struct check *check, kh_bytes key, kh_bytes value) {
    kh_status status;
    unsigned char kind = key.size_bytes == 0 ? 0 : *(const unsigned char *)key.data;
    switch (kind) {
    case STATE_VERSION:
        status = see_version(check, key, value);
        break;
    case STATE_PREPARED:
    case STATE_DECIDED:
    case STATE_SCHEMA:
        status = see_frame(check, key, value);
        break;
    case STATE_OUTCOME:
        check->report->outcomes++;
        status = KH_OK;
        break;
    default:
        return see_own(check, key);
    }
    return status == KH_OK ? audit_entry(&check->audit, key, value, check->error) : status;
}

static bool visit_entry(void *context, kh_bytes key, kh_bytes value) {
    struct check *check = context;
    check->report->storage_bytes += key.size_bytes + value.size_bytes;
    check->status = see_entry(check, key, value);
    if (check->status == KH_OK) check->status = tell(check, "storage", ++check->told);
    return check->status == KH_OK;
}

static bool visit_schema(void *context, kh_bytes key, kh_bytes value) {
    struct check *check = context;
    (void)key;
    check->status = decode(check, value, check->error);
    return check->status == KH_OK;
}

static kh_status scan(struct check *check, kh_bytes from, kh_bytes to, kh_storage_visit_fn *visit) {
    const struct kh_storage *storage = &check->closed->storage.face;
    int code = storage->scan(storage->context, from, to, visit, check);
    if (check->status != KH_OK || code == 0) return check->status;
    return status_fail(check->error, code == EBADMSG ? KH_CORRUPT : KH_IO,
                       "storage: it cannot be read (errno %d)", code);
}

static kh_status check_storage(struct check *check) {
    kh_verify_report *report = check->report;
    kh_status status = scan(check, (kh_bytes){"", 0}, (kh_bytes){NULL, 0}, visit_entry);
    if (status == KH_OK) status = audit_end(&check->audit, check->error);
    report->unchecked_versions = check->audit.unchecked_versions;
    report->unchecked_schemas = check->audit.unchecked_schemas;
    report->unchecked_prepared = check->audit.unchecked_prepared;
    report->unchecked_outcomes = check->audit.unchecked_outcomes;
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static kh_status check_expected(struct check *check) {
    kh_verify_report *report = check->report;
    if (check->options->expect == NULL || report->expectation != KH_EXPECT_NOTHING) return KH_OK;
    uint64_t number = check->options->expect_number;
    if (number != 0 && number < report->anchor.number) {
        report->expectation = KH_EXPECT_TOO_OLD;
        return status_fail(check->error, KH_TOO_OLD,
                           "the expected head is that of group %llu, the log begins after %llu",
                           (unsigned long long)number, (unsigned long long)report->anchor.number);
    }
    report->expectation = KH_EXPECT_MISSING;
    return status_fail(check->error, KH_MISMATCH,
                       "the history from group %llu to %llu has no such head as expected",
                       (unsigned long long)report->anchor.number,
                       (unsigned long long)report->head.number);
}

static kh_status check_all(struct check *check) {
    struct closed *closed = check->closed;
    struct state_range schemas = state_range_of(STATE_SCHEMA);
    check->report->identity = closed->identity;
    check->report->applied = closed->applied;
    kh_status status =
        audit_init(&check->audit, closed->mem, closed->history.digester, closed->applied,
                   closed->swept, closed->newest_commit, check->error);
    if (status == KH_OK)
        status = scan(check, (kh_bytes){schemas.from, 1}, (kh_bytes){schemas.to, 1}, visit_schema);
    if (status == KH_OK) status = check_log(check);
    if (status == KH_OK) status = check_storage(check);
    if (status == KH_OK) status = history_read_tables(&closed->history, check->error);
    audit_fini(&check->audit);
    return status == KH_OK ? check_expected(check) : status;
}

static kh_status check_closed(struct closed *closed, const kh_verify_options *options,
                              kh_verify_report *report, kh_error *error) {
    enum { KEY_ROOM = 2 * STATE_ESCAPED_KEY_MAX };
    struct check check = {.closed = closed, .options = options, .report = report, .error = error};
    check.key = mem_alloc(closed->mem, NULL, KEY_ROOM);
    if (check.key == NULL) return status_no_memory(error, KEY_ROOM);
    arena_init(&check.arena, closed->mem, NULL);
    kh_status status = check_all(&check);
    arena_fini(&check.arena);
    mem_free(closed->mem, NULL, check.key, KEY_ROOM);
    return status;
}

static bool is_finding(kh_status status) {
    return status == KH_CORRUPT || status == KH_IO || status == KH_UNSUPPORTED ||
           status == KH_TOO_BIG || status == KH_INVALID_DATA;
}

kh_status kh_verify(const char *path, const kh_verify_options *options, kh_verify_report *report,
                    kh_error *error) {
    kh_assert(path != NULL && report != NULL && "kh_verify: path or report is NULL");
    static const kh_verify_options default_options = KH_VERIFY_OPTIONS_INIT;
    kh_verify_options known = default_options;
    if (report->size != sizeof *report)
        return status_fail(error, KH_INVALID, "kh_verify_report.size is %zu", report->size);
    kh_status status = KH_OK;
    if (options != NULL)
        status = status_copy_sized(&known, sizeof known, options, "kh_verify_options", error);
    if (status != KH_OK) return status;
    *report = (kh_verify_report){.size = sizeof *report};
    struct closed closed;
    kh_error detail = {""};
    status = closed_open(&closed, path, &detail);
    if (status == KH_OK) {
        status = check_closed(&closed, &known, report, &detail);
        closed_close(&closed);
    }
    if (is_finding(status))
        (void)snprintf(report->finding, sizeof report->finding, "%s", detail.message);
    if (status == KH_OK) return KH_OK;
    return status_fail(error, status, "%s", detail.message);
}
