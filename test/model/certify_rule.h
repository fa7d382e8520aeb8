/* certify_rule.h - the certification rule in plain C: what each commit of a history must be
 * answered, given what came before. Written from the rule's text a second time (the first is
 * certify_model.py), knows nothing of the library, and never collects anything: that collecting
 * changes no verdict is one of the things that a comparison shows.
 *
 * Keys are numbers below RULE_KEYS, sets of keys are bits. Commits are numbered from 1 (what was
 * there at first). A value is up to RULE_CELLS numbered cells. Every version has three stamps: the
 * commit that wrote it; `spi`, the place of its writer in the serial order; `ps`, the latest place
 * of a committed serializable reader of it. */
#ifndef TEST_MODEL_CERTIFY_RULE_H
#define TEST_MODEL_CERTIFY_RULE_H

#include <stdbool.h>
#include <stdint.h>

enum { RULE_KEYS = 10, RULE_CELLS = 4, RULE_VERSIONS = 64, RULE_RANGES = 512 };
enum { RULE_SCANS = 16, RULE_READS = 128, RULE_SAVEPOINTS = 3, RULE_INFINITY = 1 << 30 };

/* As in khonsu.h, by value. */
enum rule_level { RULE_COMMITTED = 1, RULE_SNAPSHOT = 2, RULE_SERIALIZABLE = 3 };
enum rule_policy { RULE_FAIL = 1, RULE_IGNORE, RULE_REPLACE, RULE_APPEND, RULE_MERGE, RULE_CALL };

struct rule_value {
    bool is_there;
    unsigned cells; /* which */
    int64_t cell[RULE_CELLS];
};

struct rule_version {
    int commit;
    int spi;
    int ps;
    struct rule_value value;
};

/* A committed serializable read of keys at a snapshot: a scan, or a get that found no version. */
struct rule_range {
    unsigned keys;
    int snapshot;
    int stamp;
};

struct rule {
    int clock;
    int chain_length[RULE_KEYS];
    struct rule_version chains[RULE_KEYS][RULE_VERSIONS];
    struct rule_range ranges[RULE_RANGES];
    int range_count;
};

enum rule_kind { RULE_NONE, RULE_PUT, RULE_DELETE, RULE_ROWS };
struct rule_write {
    enum rule_kind kind;
    enum rule_policy policy;
    struct rule_value value; /* rows: the cells to upsert */
};

struct rule_txn {
    enum rule_level level;
    bool is_tracked; /* serializable, and not at a snapshot that was waited for */
    int snapshot;
    unsigned gets;
    unsigned scans[RULE_SCANS];
    int scan_count;
    unsigned read_back; /* keys whose own pending write was read */
    int read_at[RULE_KEYS];
    struct rule_write writes[RULE_KEYS];
    struct rule_write saved[RULE_SAVEPOINTS][RULE_KEYS];
    int saved_count;
    struct {
        int key;
        int at;
    } reads[RULE_READS]; /* every read from the store */
    int read_count;
};

enum rule_answer { RULE_COMMIT, RULE_CONFLICT, RULE_REFUSED };
struct rule_verdict {
    enum rule_answer answer;
    unsigned conflicts; /* keys, any of which may be named */
    unsigned written;
    unsigned dropped; /* writes that gave way: late reads of the newest version */
    struct rule_value values[RULE_KEYS];
    int pi;
    int eta;
    int phi;
};

void rule_init(struct rule *rule);
/* A value that is there before everything else. */
void rule_fill(struct rule *rule, int key, const struct rule_value *value);

/* now: the newest commit that readers see. */
void rule_begin(struct rule_txn *txn, enum rule_level level, bool is_tracked, int now);
struct rule_value rule_get(const struct rule *rule, struct rule_txn *txn, int key, int now);
/* Keys in [low, high), at most limit that are there (0: all); remembers as far as it went. Returns
 * how many were found. */
int rule_scan(const struct rule *rule, struct rule_txn *txn, int low, int high, int limit,
              bool is_reverse, int now, int keys[RULE_KEYS], struct rule_value values[RULE_KEYS]);
/* value NULL: a deletion. */
void rule_put(struct rule_txn *txn, int key, const struct rule_value *value,
              enum rule_policy policy);
/* Upsert cells, at commit, into whatever is newest then. */
void rule_rows(struct rule_txn *txn, int key, const struct rule_value *rows,
               enum rule_policy policy);
void rule_save(struct rule_txn *txn);
void rule_undo(struct rule_txn *txn, int savepoint); /* from 1 */
bool rule_has_writes(const struct rule_txn *txn);
/* Everything that it read from the store as one set. */
unsigned rule_read_keys(const struct rule_txn *txn);

const struct rule_version *rule_at(const struct rule *rule, int key, int stamp);
const struct rule_version *rule_newest(const struct rule *rule, int key);
/* The first version after what stamp sees. */
const struct rule_version *rule_after(const struct rule *rule, int key, int stamp);
/* What a merge starts from. */
struct rule_value rule_base(const struct rule *rule, const struct rule_txn *txn, int key);

void rule_certify(const struct rule *rule, const struct rule_txn *txn,
                  struct rule_verdict *verdict);
/* A verdict that is a commit takes effect. */
void rule_apply(struct rule *rule, const struct rule_txn *txn, const struct rule_verdict *verdict);

bool rule_equal(const struct rule_value *a, const struct rule_value *b);
/* What KH_CALLBACK's function does in these histories: adds up cell by cell; drops the write when
 * it has the last cell. */
bool rule_call_drops(const struct rule_value *mine);
struct rule_value rule_sum(const struct rule_value *mine, const struct rule_value *theirs);

#endif
