/* delta_log.h - the deltas that the log of a database has, in the order in which their transactions
 * took effect. */
#ifndef KHONSU_CLI_DELTA_LOG_H
#define KHONSU_CLI_DELTA_LOG_H

#include <khonsu.h>

struct delta_entry {
    kh_log_position position; /* of the record that has it */
    kh_txn_id id;
    kh_timestamp timestamp; /* 0: prepared, and not decided */
    kh_semantic_mode mode;
    kh_delta *delta; /* a reference */
};

struct delta_log {
    struct delta_entry *entries; /* committed ones by timestamp, then what is not decided */
    size_t count;
    size_t committed_count;
    /* How far it reaches. */
    bool is_whole;       /* the log begins with its first record */
    kh_timestamp oldest; /* commits of the log; 0: none */
    kh_timestamp newest;
    kh_timestamp unknown; /* of the newest commit whose writes lie before the log; 0: none */
    /* The rest is delta_log.c's. */
    struct delta_entry *prepared; /* delta NULL: it has none */
    size_t prepared_count;
};

/* Returns an exit code, having complained. The directory must not be open in any process. */
int delta_log_read(struct delta_log *log, const char *path);
void delta_log_free(struct delta_log *log);
/* Does it have every delta that was committed after a time? */
bool delta_log_reaches(const struct delta_log *log, kh_timestamp after);

#endif
