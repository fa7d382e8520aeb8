/* stress.h - what the files of the stress program share.
 *
 * An episode is one database with options of its own. In it workers run rounds of actions drawn at
 * random; between rounds everything is at rest and is judged (quiet.c). Every action knows what its
 * commit must have changed: the writes that a watch must show and the amounts that counters must
 * have gained. They are booked when the commit is known to have happened, whoever finished it.
 *
 * Keys are a table's letter and a number: "b/0007". A value is one row of n, v and a text, or a
 * batch of rows with an id. */
#ifndef TEST_STRESS_STRESS_H
#define TEST_STRESS_STRESS_H

#include <khonsu.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRESS_IS_SANITIZED 1
#else
#define STRESS_IS_SANITIZED 0
#endif

enum table {
    BANK,     /* money moves, none is lost */
    GROUPS,   /* four keys, always written together */
    DUTY,     /* rosters: at least one of four keys is present */
    PAIRS,    /* never both keys present */
    CALLED,   /* counters under policy callback */
    IGNORED,  /* counters under policy ignore */
    SWAPPED,  /* counters by compare and swap */
    REPLACED, /* registers under policy replace */
    APPENDED, /* batches of rows under policy append */
    MERGED,   /* the same under policy merge */
    ROWS,     /* the same by row operations */
    FAT,      /* large values, adopted */
    CHURN,    /* keys of one worker each, inserted and deleted */
    LANES,    /* a lane's current batch of receipts */
    RECEIPTS, /* receipts: what was once reported never changes */
    MARK,     /* tells the watcher that a round is over */
    TABLE_COUNT
};
#define TABLE_LETTERS "bgdxcikpamrftqez"

enum {
    THREADS_MAX = 8,
    ACCOUNTS = 20,
    BALANCE = 1000,
    GROUP_COUNT = 6,
    GROUP_SIZE = 4,
    ROSTERS = 4,
    ROSTER_SIZE = 4,
    PAIR_COUNT = 6,
    COUNTERS = 4,
    MIRRORS = 3, /* pairs, behind the registers */
    ROW_BATCHES = 3,
    ROW_SLOTS = 10,
    APPEND_ROWS_MAX = 120,
    FAT_KEYS = 6,
    CHURN_KEYS = 12, /* of each worker */
    LANE_COUNT = 2,
    LANE_RING = 32,
    REPORTS_MAX = 1 << 15,
    INDEX_MAX = 10000,
    KEY_BYTES = 6,
    READERS_MAX = 3,
    REMEMBERED_MAX = 24,
    EXPORTS_MAX = 12,
    PENDING_MAX = 3,
    MAILBOX_MAX = 3,
    WRITES_MAX = 48,
    EFFECTS_MAX = 8,
    PAST_MAX = 8
};

struct random {
    uint64_t state;
};
uint64_t draw_bits(struct random *random);
/* Below bound; 0 when bound is 0. */
int draw(struct random *random, int bound);
static inline bool one_in(struct random *random, int bound) {
    return draw(random, bound) == 0;
}

/* ---- what is counted ------------------------------------------------------------------------- */

enum { ACTIONS_MAX = 40, STATUS_MAX = 80 };

struct tally {
    uint64_t actions[ACTIONS_MAX];
    uint64_t ends[STATUS_MAX]; /* transactions by the status that they ended with */
    uint64_t rolled_back;
    uint64_t read_only;
    uint64_t checks;
    uint64_t exports;
    uint64_t dropped;
    uint64_t watch_events;
};
void tally_add(struct tally *to, const struct tally *from);

/* ---- worlds and workers ---------------------------------------------------------------------- */

struct past { /* a commit that can be read again as of its timestamp */
    kh_timestamp at;
    uint32_t key;
    int64_t n;
    int64_t v;
};

struct written { /* a committed change, for the watch */
    kh_timestamp at;
    uint32_t key;
    bool is_deleted;
};

struct writes {
    struct written *list;
    size_t count;
    size_t room;
};
void writes_add(struct writes *writes, kh_timestamp at, uint32_t key, bool is_deleted);

struct effect {
    _Atomic int64_t *counter;
    int64_t delta;
    uint32_t key; /* of the write that it stands for */
};

struct staged {
    uint32_t key;
    bool is_deleted;
    bool is_number; /* n and v can be read back */
    int64_t n;
    int64_t v;
};

struct world;
struct worker;

/* A transaction and what its commit must change. */
struct deed {
    struct worker *worker;
    kh_txn *txn;
    kh_workspace *workspace; /* NULL: it is done in none */
    kh_txn_id id;
    kh_isolation level;
    kh_status status; /* the first failure: later calls do nothing */
    bool is_read_only;
    bool is_misfit; /* policy or rows: own writes read back may be something else */
    kh_timestamp last_snapshot;
    int write_count;
    int effect_count;
    struct staged writes[WRITES_MAX];
    struct effect effects[EFFECTS_MAX];
};

struct remembered {
    uint32_t key;
    const kh_batch *batch;
    int64_t n;
    int64_t v;
};

struct reader {
    kh_txn *txn;
    bool is_tracked;
    int remembered_count;
    struct remembered remembered[REMEMBERED_MAX];
};

struct exported {
    struct ArrowArray array;
    int64_t n;
    int64_t v;
};

struct worker {
    struct world *world;
    int number;
    pthread_t thread;
    struct random random;
    struct tally tally;
    struct writes writes;
    bool may_nest;  /* another action may come in between */
    bool is_nested; /* this one has: it must not wait for the outer one */
    _Atomic uint64_t beats;
    _Atomic(const char *) doing;
    int64_t stamps;                          /* unique numbers handed out */
    int64_t rows[2][ROW_BATCHES][ROW_SLOTS]; /* of MERGED and ROWS: 0 is absent */
    int64_t churn[CHURN_KEYS];
    struct reader readers[READERS_MAX];
    struct exported exports[EXPORTS_MAX];
    struct deed pending[PENDING_MAX];
    int pending_count;
    struct past pasts[PAST_MAX];
    int past_count;
    kh_stats stats; /* last seen */
};

struct episode_options {
    int number;
    uint64_t seed;
    int threads;
    int actions; /* a round's, of each worker */
    int rounds;
    bool has_log;
    bool is_log_slow; /* answers by a thread of its own */
    bool has_hook;    /* an allocator that counts */
    bool has_retention;
    bool has_memory_limit;
    bool has_no_threads; /* workers step */
    bool has_revocation;
};

struct fat_log; /* slow_log.c */
struct watcher;

struct world {
    struct episode_options options;
    kh_db *db;
    kh_schema *number_schema;
    kh_schema *rows_schema;
    kh_schema *patch_schema;
    struct worker workers[THREADS_MAX];
    pthread_barrier_t round_begins;
    pthread_barrier_t round_ends;
    bool is_over;    /* set between rounds */
    bool is_at_rest; /* likewise: transactions are judges' and take their time */
    _Atomic bool is_stopped;
    _Atomic int64_t account_writes[ACCOUNTS];
    _Atomic int64_t called[COUNTERS];
    _Atomic int64_t ignored[COUNTERS];
    _Atomic int64_t swapped[COUNTERS];
    _Atomic int64_t appended[ROW_BATCHES];
    _Atomic int64_t reports[LANE_COUNT][REPORTS_MAX]; /* sum + 1; 0: none yet */
    pthread_mutex_t mailbox_lock;
    struct deed mailbox[MAILBOX_MAX]; /* prepared, waiting for a decision */
    int mailbox_count;
    struct writes writes; /* booked between rounds */
    struct tally tally;
    struct watcher *watcher;
    struct slow_log *log;
    _Atomic uint64_t clock_offset_ms;
    _Atomic int64_t hook_bytes;
    _Atomic int64_t hook_blocks;
    uint64_t memory_high; /* most at rest in the first rounds */
};

/* Broken promises of the whole run. The first lines are printed with where they came from. */
extern _Atomic int stress_failures;
extern _Atomic int64_t stress_foreign_live;
__attribute__((format(printf, 2, 3))) void wrong(struct worker *worker, const char *format, ...);
__attribute__((format(printf, 2, 3))) void wrong_at(struct world *world, const char *format, ...);
/* Count a check; say so when it does not hold. */
#define CHECK(worker, is_right, ...)                                                               \
    do {                                                                                           \
        (worker)->tally.checks++;                                                                  \
        if (!(is_right)) wrong((worker), __VA_ARGS__);                                             \
    } while (0)

/* Another thread's turn, now and then; or another action's. */
void let_others(struct worker *worker);
uint64_t now_ns(void);

/* ---- keys and values (values.c) -------------------------------------------------------------- */

struct cell {
    int64_t n;
    int64_t v;
};

struct key_text {
    char text[KEY_BYTES + 1];
};
static inline uint32_t key_of(enum table table, int index) {
    return (uint32_t)table * INDEX_MAX + (uint32_t)index;
}
kh_bytes key_bytes(uint32_t key, struct key_text *space);
/* False for bytes that are no key of ours. */
bool key_parse(kh_bytes bytes, uint32_t *out);

bool values_open(struct world *world);
void values_close(struct world *world);
kh_batch *value_make(struct world *world, bool is_of_db, int64_t n, int64_t v);
/* A foreign array of row_count equal rows, whose release is counted. */
void value_array(struct ArrowArray *out, int64_t n, int64_t v, int64_t row_count);
bool value_read(const kh_batch *batch, struct cell *out);
/* Rows of id, a and b (7 times the id); without b when is_patch. */
kh_batch *rows_make(struct world *world, const int64_t *ids, const int64_t *as, int count,
                    bool is_patch);

/* ---- transactions (deed.c) ------------------------------------------------------------------- */

bool deed_begin(struct worker *worker, struct deed *deed, kh_isolation level, kh_policy policy,
                uint32_t flags);
/* In a workspace (meaning.c), policy fail; and what a deed asks for, in one or not. */
bool deed_begin_meaning(struct worker *worker, struct deed *deed, kh_isolation level);
kh_status deed_ask_commit(struct deed *deed, kh_timestamp *at);
kh_status deed_ask_prepare(struct deed *deed);
kh_status deed_ask_rollback(struct deed *deed);
void deed_close(struct deed *deed);
kh_isolation draw_level(struct worker *worker);
/* A number. False: absent, or the deed has failed. */
bool deed_get(struct deed *deed, uint32_t key, struct cell *out);
/* Any batch; the caller releases it. NULL: absent, or the deed has failed. */
kh_batch *deed_get_batch(struct deed *deed, uint32_t key);
void deed_put(struct deed *deed, uint32_t key, int64_t n, int64_t v);
void deed_put_batch(struct deed *deed, uint32_t key, const kh_batch *batch, kh_policy policy);
void deed_put_array(struct deed *deed, uint32_t key, struct ArrowArray *array);
void deed_delete(struct deed *deed, uint32_t key);
/* A write that other calls made. */
void deed_note(struct deed *deed, uint32_t key, bool is_deleted);
void deed_effect(struct deed *deed, _Atomic int64_t *counter, int64_t delta, uint32_t key);
/* Key locks, perhaps. */
void deed_lock(struct deed *deed, const uint32_t *keys, int key_count);
/* Junk under a savepoint, and back. */
void deed_detour(struct deed *deed, uint32_t key);
void deed_roll_back(struct deed *deed);
/* True: committed. */
bool deed_commit(struct deed *deed, kh_timestamp *at);
/* Commit now, later, by halves, or not at all. */
void deed_end_somehow(struct deed *deed);
/* Book what a commit changed, or why it did not. Closes the handle. */
bool deed_settle(struct deed *deed, kh_status status, kh_timestamp at);
/* Wait for started commits; decide prepared transactions. */
void deed_drain(struct worker *worker);
bool deed_decide_one(struct worker *worker);
/* A status that any transaction may end with when others are about. */
bool is_retry(kh_status status);
/* Count the end of a transaction; say so when the status is none to be expected. */
void count_end(struct worker *worker, kh_status status);

/* ---- checks of a snapshot (see.c) ------------------------------------------------------------ */

/* Everything that must hold in the snapshot of txn. */
void see_snapshot(struct worker *worker, kh_txn *txn, bool is_statement_only);
bool see_rows(struct worker *worker, const kh_batch *batch, enum table table, int batch_number,
              bool is_own_exact, int64_t *row_count);

/* ---- actions --------------------------------------------------------------------------------- */

typedef void action_fn(struct worker *worker);
struct action {
    const char *name;
    int weight;
    bool may_nest; /* nothing that it keeps in its worker is changed by others */
    action_fn *run;
};
extern const struct action actions[];
extern const int action_count;
void act(struct worker *worker);

/* acts_money.c */
action_fn act_transfer, act_group, act_swap, act_called, act_ignored, act_replaced;
kh_resolution resolve_counter(void *context, kh_bytes key, const kh_batch *base,
                              const kh_batch *mine, const kh_batch *theirs, kh_batch **out);
/* acts_skew.c */
action_fn act_duty, act_pair, act_mirror, act_receipt, act_close_lane, act_report;
/* acts_rows.c */
action_fn act_append, act_merge, act_row_ops, act_churn;
/* acts_read.c */
action_fn act_snapshot, act_scan, act_long_reader, act_past, act_history, act_export, act_stream;
void readers_close(struct worker *worker);
void exports_check(struct worker *worker, bool is_all);
/* acts_life.c */
action_fn act_cancel, act_expire, act_stats, act_second, act_fat, act_abandon, act_decide, act_step,
    act_look_for_meaning;

/* ---- around the workers ---------------------------------------------------------------------- */

/* slow_log.c: a log that keeps records and answers from a thread of its own. */
struct slow_log *slow_log_create(bool is_slow);
struct kh_log *slow_log_face(struct slow_log *log);
void slow_log_destroy(struct slow_log *log);

/* watcher.c */
struct watcher *watcher_start(struct world *world);
/* All events up to a mark that was just committed. */
void watcher_judge(struct watcher *watcher, struct world *world);
void watcher_stop(struct watcher *watcher);

/* quiet.c: between rounds. */
bool quiet_fill(struct world *world);
void quiet_judge(struct world *world, int round);
/* Every key and value, hashed in key order. */
uint64_t quiet_hash(struct world *world, kh_db *db, uint64_t *key_count);

/* world.c */
bool world_open(struct world *world);
void world_close(struct world *world);
void episode_run(struct world *world);
kh_allocator world_hook(struct world *world);

/* resources.c */
int count_threads(void);
int count_descriptors(void);
uint64_t resident_bytes(void);

/* watchdog.c */
void watchdog_start(int patience_seconds);
void watchdog_follow(struct world *world);
void watchdog_stop(void);

#endif
