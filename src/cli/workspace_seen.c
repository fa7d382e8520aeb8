/* workspace_seen.c - what was committed since an editor looked: see workspace_commit.h.
 *
 * The log is read before the database is opened, since nobody may have it open meanwhile. If
 * another process has committed in between, the newest commit is not the log's: then nobody can
 * say what it would have met, and it is refused, as it is when the log does not reach back. */
#include "complain.h"
#include "delta_log.h"
#include "workspace_commit.h"

#include <stdio.h>

static bool take_newest(void *context, const kh_version_entry *version) {
    *(kh_timestamp *)context = version->timestamp;
    return false;
}

static void refuse_too_old(struct refusal *refusal, const char *what) {
    refusal->status = KH_TOO_OLD;
    (void)snprintf(refusal->message, sizeof refusal->message,
                   "%s, so that nobody can say what it would have met", what);
}

static int judge_keys(const struct seen *seen, kh_db *db, const kh_bytes *keys, size_t key_count,
                      struct refusal *refusal) {
    kh_error error = {""};
    if (seen->at < kh_db_horizon(db)) {
        refuse_too_old(refusal, "history does not reach back to --seen");
        return CLI_OK;
    }
    for (size_t i = 0; i < key_count; ++i) {
        kh_timestamp newest = 0;
        kh_status status =
            kh_db_history(db, keys[i], 0, UINT64_MAX, take_newest, &newest, NULL, &error);
        if (status != KH_OK && status != KH_NOT_FOUND) {
            return complain_status("commit", status, &error);
        }
        if (newest > seen->at) {
            refusal->status = KH_CONFLICT;
            refusal->rival_commit = newest;
            text_append(&refusal->key, keys[i].data, keys[i].size_bytes);
            return CLI_OK;
        }
    }
    return CLI_OK;
}

static void judge_meaning(const struct seen *seen, kh_db *db, const kh_delta *delta,
                          const kh_delta_thresholds *thresholds, struct refusal *refusal) {
    const struct delta_log *log = seen->log;
    if (!delta_log_reaches(log, seen->at) || log->newest < kh_db_now(db)) {
        refuse_too_old(refusal, "the log does not have every commit after --seen");
        return;
    }
    for (size_t i = 0; i < log->committed_count; ++i) {
        const struct delta_entry *entry = &log->entries[i];
        float cosine = 0;
        if (entry->timestamp <= seen->at) {
            continue;
        }
        kh_delta_class kind = kh_delta_classify(delta, entry->delta, thresholds, &cosine);
        if (kind == KH_DELTA_CONFLICTING || kind == KH_DELTA_OPPOSITE) {
            refusal->status = KH_SEMANTIC_CONFLICT;
            refusal->rival = entry->id;
            refusal->rival_commit = entry->timestamp;
            refusal->kind = kind;
            refusal->cosine = cosine;
            refusal->rival_delta = kh_delta_retain(entry->delta);
            return;
        }
    }
}

int seen_judge(const struct seen *seen, kh_db *db, const kh_bytes *keys, size_t key_count,
               const kh_delta *delta, const kh_delta_thresholds *thresholds,
               struct refusal *refusal) {
    if (seen->at >= kh_db_now(db)) {
        return CLI_OK;
    }
    int code = judge_keys(seen, db, keys, key_count, refusal);
    if (code == CLI_OK && refusal->status == KH_OK && seen->log != NULL && delta != NULL) {
        judge_meaning(seen, db, delta, thresholds, refusal);
    }
    return code;
}
