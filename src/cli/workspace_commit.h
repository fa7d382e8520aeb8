/* workspace_commit.h - the parts of khonsu workspace DIR commit. */
#ifndef KHONSU_CLI_WORKSPACE_COMMIT_H
#define KHONSU_CLI_WORKSPACE_COMMIT_H

#include "text.h"

/* Why it was refused, and by whom. */
struct refusal {
    kh_status status;
    kh_txn_id rival;
    kh_timestamp rival_commit; /* 0: not committed, or not known */
    kh_delta_class kind;       /* KH_SEMANTIC_CONFLICT */
    float cosine;
    kh_delta *rival_delta; /* a reference; NULL: none, or not known */
    struct text key;       /* of a conflict of keys */
    char message[256];     /* what the library said, or "" */
};
void refusal_free(struct refusal *refusal);
/* Say it: one line on the standard error, with is_json an object on the standard output, too.
 * Returns the exit code. */
int refusal_show(const struct refusal *refusal, bool is_json);

/* What an editor has seen: the state as of a time. Judged is what was committed since, as guard
 * judges what a snapshot does not see; by keys first. */
struct seen {
    bool is_asked;
    kh_timestamp at;
    struct delta_log *log; /* read before the database was opened; NULL: not needed */
};
/* Refused: *refusal says why, its status is not KH_OK. delta NULL: none. Returns an exit code
 * other than CLI_OK for what is no refusal, having complained. */
int seen_judge(const struct seen *seen, kh_db *db, const kh_bytes *keys, size_t key_count,
               const kh_delta *delta, const kh_delta_thresholds *thresholds,
               struct refusal *refusal);

#endif
