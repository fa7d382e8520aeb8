/* log_replay.c - a log's bytes as records, in order.
 *
 * Happy path of one record: decode into the arena, hand it on, drop its references, empty the
 * arena. A SCHEMA record goes into the table of schemas instead. The log's visitor answers true or
 * false only: the status waits in struct replay. Failure: the replay stops at the record, which
 * holds nothing any more. */
#include "log/log.h"

#include "base/arena.h"
#include "base/status.h"
#include <errno.h>

struct replay {
    struct record_codec codec;
    struct log_schemas *schemas;
    log_replay_fn *visit;
    void *context;
    kh_error *error;
    struct arena arena;
    kh_log_position next;
    kh_status status;
};

static kh_status hand_on(struct replay *replay, kh_log_position position,
                         const struct record *record) {
    if (record->kind == RECORD_SCHEMA)
        return log_schemas_add(replay->schemas, record->schema_number, record->schema,
                               replay->error);
    return replay->visit(replay->context, position, record, replay->error);
}

static bool visit_frame(void *context, kh_log_position position, kh_bytes bytes) {
    struct replay *replay = context;
    if (position != replay->next) {
        replay->status =
            status_fail(replay->error, KH_CORRUPT, "the log gave record %llu in place of %llu",
                        (unsigned long long)position, (unsigned long long)replay->next);
        return false;
    }
    struct record record;
    kh_error detail;
    detail.message[0] = '\0';
    kh_status status = record_decode(&replay->codec, bytes, &replay->arena, &record, &detail);
    if (status == KH_OK) {
        status = hand_on(replay, position, &record);
        record_drop(&replay->codec, &record);
    } else {
        (void)status_fail(replay->error, status, "record %llu: %.200s",
                          (unsigned long long)position, detail.message);
    }
    arena_reset(&replay->arena);
    replay->status = status;
    if (status == KH_OK || status == KH_END) replay->next = position + 1;
    return status == KH_OK;
}

kh_status log_replay(const kh_log *log, kh_log_position from, const struct record_codec *codec,
                     struct log_schemas *schemas, log_replay_fn *visit, void *context,
                     kh_log_position *next, kh_error *error) {
    struct replay replay = {.codec = *codec,
                            .schemas = schemas,
                            .visit = visit,
                            .context = context,
                            .error = error,
                            .next = from,
                            .status = KH_OK};
    replay.codec.schema_of = log_schemas_find;
    replay.codec.context = schemas;
    arena_init(&replay.arena, codec->mem, codec->cache);
    int code = log->read(log->context, from, visit_frame, &replay);
    arena_fini(&replay.arena);
    kh_status status = replay.status == KH_END ? KH_OK : replay.status;
    if (status == KH_OK && code == ENODATA)
        return status_fail(error, KH_TOO_OLD, "the log has forgotten record %llu",
                           (unsigned long long)replay.next);
    if (status == KH_OK && code != 0)
        return status_fail(error, KH_IO, "reading the log failed with errno %d", code);
    if (status == KH_OK && next != NULL) *next = replay.next;
    return status;
}
