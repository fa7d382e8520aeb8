/* campaign.h - one random history, taken at the same time by the library (through khonsu.h, without
 * threads, so that a seed is a history), by the rule (model/certify_rule.h) and by the judge
 * (model/certify_judge.h). The first difference ends the history and is its failure.
 *
 * Every history writes down what it did, one step a line, in the language that
 * test/python/certify_campaign.py reads:
 *   H seed setting keys            a new history; stamps count commits, what is there first has 1
 *   K key value                    there at first
 *   B txn level policy kind snapshot   begin; kind 0, 1 read-only, 2 deferrable
 *   X snapshot                     a deferrable begin that was not safe (KH_BUSY)
 *   Y txn snapshot                 one that waited (its begin says snapshot 0) has its snapshot;
 *                                  or a lock has moved it
 *   G txn key value                get
 *   S txn low high limit reverse count (key value)...      scan
 *   P|U txn key policy value       put, upsert rows;  D txn key policy    delete
 *   M txn     R txn savepoint      savepoint, rollback to it
 *   C txn commit place             committed; commit 0: wrote nothing
 *   W txn keys                     conflict; keys: the set of those that have one
 *   N txn false pi eta             not serializable; false: no cycle would have come of it
 *   Q txn                          refused beyond the rule: a stamp was forgotten early
 *   L txn                          prepared
 *   Z txn                          a key that it needs is held by a prepared one
 *   A txn                          rolled back
 *   F stamp                        a commit that writes none of the keys, many times over
 *   V stamp                        readers see commits up to this one
 *   E (value)...                   the end, by key
 * Values: "-" absent, "." no cells, else cell=number,cell=number. */
#ifndef TEST_SUPPORT_CAMPAIGN_H
#define TEST_SUPPORT_CAMPAIGN_H

#include "model/certify_judge.h"
#include "model/certify_rule.h"
#include "support/held_log.h"
#include "support/kv_batches.h"

#include <pthread.h>
#include <stdatomic.h>

enum { CAMPAIGN_OPEN = 8, CAMPAIGN_FLOOD = 16384, CAMPAIGN_SCRIPT_BYTES = 1 << 16 };

struct campaign_setting {
    const char *name;
    int keys, txns, open_max;
    int levels;   /* of ten transactions so many are read committed (tens) and snapshot (units) */
    int policies; /* the first so many; 1: fail only */
    int readers, deferrable, slow, rows; /* per cent */
    int prepares;                        /* per cent of the commits take two steps */
    int locks;                           /* per cent of the operations lock something else */
    int steps;                           /* kh_db_step after so many per cent of the steps */
    uint32_t range_limit;                /* kh_limits.ranges; 0: the default. Evicts early */
    uint32_t read_limit;                 /* kh_limits.txn_reads. Widens */
    bool has_floods;                     /* more writes elsewhere than anybody would keep in mind */
    bool has_log;                        /* commits are certified first and seen later */
    bool is_sampled;  /* footprints as the table of the rule's design counts them */
    bool has_threads; /* the janitor's, and one for deferrable begins that have to wait */
};

extern const struct campaign_setting campaign_settings[];
extern const int campaign_setting_count;
extern const struct campaign_setting campaign_six_over_three;
extern const struct campaign_setting campaign_three_over_two;

/* Every history of three transactions over two keys, as far as it matters: the reads of a
 * transaction are those of its begin, its writes wait for its commit. Per key and transaction
 * nothing, get or scan, and nothing, put or delete; in every order of begins and commits; with no
 * key, both or one there at first. */
enum { CAMPAIGN_EVERY_ORDERS = 15, CAMPAIGN_EVERY_FOOTPRINTS = 80, CAMPAIGN_EVERY_FIRST = 3 };
#define CAMPAIGN_EVERY                                                                             \
    ((uint64_t)CAMPAIGN_EVERY_ORDERS * CAMPAIGN_EVERY_FOOTPRINTS * CAMPAIGN_EVERY_FOOTPRINTS *     \
     CAMPAIGN_EVERY_FOOTPRINTS * CAMPAIGN_EVERY_FIRST)

struct campaign_counts {
    uint64_t histories, failures;
    uint64_t begins, reads, scans, commits, conflicts, refusals, rollbacks;
    uint64_t in_flight;      /* commits that others were certified against before they were seen */
    uint64_t safe, unsafe;   /* deferrable begins */
    uint64_t prepared, held; /* and who met one that was */
    uint64_t floods;
    uint64_t waits;          /* of them, in a thread of their own */
    uint64_t false_by_graph; /* refusals that would have closed no cycle */
    uint64_t false_refusals; /* nor turned time round */
    uint64_t beyond_rule;    /* refusals for stamps forgotten early */
    uint64_t evictions;
    uint64_t judged_by_peer; /* verdicts compared with PostgreSQL's rule */
    uint64_t peer_admits;    /* histories that first differ by our refusing */
    uint64_t peer_refuses;   /* ... by PostgreSQL's refusing */
};

struct campaign_txn {
    kh_txn *txn;
    struct rule_txn model;
    int number;
    enum rule_policy policy;
    int left; /* operations to come */
    bool is_slow, is_deferrable, is_prepared;
    bool is_read_only; /* declared */
    bool only_reads;   /* whether it has said so or not */
    int commit;        /* in flight: its stamp */
    unsigned sampled_gets, sampled_scans, sampled_puts, sampled_deletes;
};

struct campaign_waiter {
    pthread_t thread;
    kh_db *db;
    kh_txn *txn;
    kh_status status;
    _Atomic bool is_back;
    bool is_out;
    int number;
    int earliest; /* what was visible when it was sent */
};

struct campaign {
    const struct campaign_setting *setting;
    struct campaign_counts *counts;
    struct kv_random random;
    struct held_log held;
    kh_db *db;
    kh_schema *schema;
    kh_timestamp base; /* of stamp 1 */
    int visible;
    struct rule rule;
    struct judge judge;
    struct campaign_txn open[CAMPAIGN_OPEN];
    int open_count;
    struct campaign_txn flying[JUDGE_TXNS];
    int flying_count;
    struct campaign_waiter waiter;
    int begun;
    int64_t number;
    int flood_at;        /* when so many have begun; 0: never */
    bool has_parted;     /* from PostgreSQL's rule */
    const char *failure; /* NULL: none so far */
    char failure_text[KIT_TEXT_BYTES];
    char script[CAMPAIGN_SCRIPT_BYTES];
    size_t script_bytes;
};

/* Run the history of this seed; its counts are added. False: it failed (failure_text, script). */
bool campaign_run(struct campaign *campaign, const struct campaign_setting *setting, uint64_t seed,
                  struct campaign_counts *counts);

/* One of CAMPAIGN_EVERY histories. */
bool campaign_run_number(struct campaign *campaign, uint64_t number,
                         struct campaign_counts *counts);

/* ---- between its files ---------------------------------------------------------------------- */

/* first: per cent of the keys that are there at first; -1: each key in the set `there`, or not. */
bool campaign_open(struct campaign *campaign, uint64_t seed, int first, unsigned there);
void campaign_close(struct campaign *campaign);
void campaign_fail(struct campaign *campaign, const char *format, ...);
void campaign_expect(struct campaign *campaign, kh_status status, kh_status wanted,
                     const char *what);
void campaign_note(struct campaign *campaign, const char *format, ...); /* in the script */
kh_timestamp campaign_stamp(const struct campaign *campaign, int commit);
int campaign_key(kh_bytes name); /* its number; -1: none of the history's */
/* See what readers see now; commits in flight end when it is theirs. */
void campaign_look(struct campaign *campaign);
void campaign_begin(struct campaign *campaign, enum rule_level level, enum rule_policy policy,
                    int kind);
void campaign_get(struct campaign *campaign, struct campaign_txn *open, int key);
void campaign_scan(struct campaign *campaign, struct campaign_txn *open, int low, int high,
                   int limit, bool is_reverse);
/* value NULL: delete. */
void campaign_put(struct campaign *campaign, struct campaign_txn *open, int key,
                  const struct rule_value *value, enum rule_policy policy);
void campaign_rows(struct campaign *campaign, struct campaign_txn *open, int key,
                   const struct rule_value *rows);
void campaign_lock(struct campaign *campaign, struct campaign_txn *open);
void campaign_save(struct campaign *campaign, struct campaign_txn *open);
void campaign_undo(struct campaign *campaign, struct campaign_txn *open, int savepoint);
/* These end it: the last open one takes its place. */
void campaign_commit(struct campaign *campaign, struct campaign_txn *open, bool is_waiting);
void campaign_rollback(struct campaign *campaign, struct campaign_txn *open);
/* Unless that ends it, commit or rollback come later. */
void campaign_prepare(struct campaign *campaign, struct campaign_txn *open);
/* One commit of so many writes that the library forgets some or all of those before. */
void campaign_flood(struct campaign *campaign);
/* Begin a deferrable one in a thread, as it has to wait. */
void campaign_send_waiter(struct campaign *campaign);
/* If it is back, or when nothing else is left to do, it becomes an open one. */
void campaign_meet_waiter(struct campaign *campaign, bool is_last);
void campaign_drop_waiter(struct campaign *campaign);
/* The log answers for commits up to that stamp. */
void campaign_answer(struct campaign *campaign, int commit);
void campaign_end(struct campaign *campaign);

#endif
