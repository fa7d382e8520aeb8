/* serial_oracle.h - what a few tiny transactions over two keys may read, when a write must
 * conflict, and whether a serial order explains what was committed. Plain arrays of versions;
 * knows nothing of the library, and nothing of how it decides.
 *
 * A value is up to four numbers (rows): cell 0 is what put writes, cell 1 + t what transaction t's
 * row operation writes; 0 is no row. Conflict policy: fail. */
#ifndef TEST_MODEL_SERIAL_ORACLE_H
#define TEST_MODEL_SERIAL_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

enum { ORACLE_KEYS = 2, ORACLE_TXNS = 3, ORACLE_CELLS = 1 + ORACLE_TXNS, ORACLE_VERSIONS = 8 };
enum { ORACLE_INITIAL = -1, ORACLE_ABSENT = -2 };

enum oracle_level { ORACLE_COMMITTED, ORACLE_SNAPSHOT, ORACLE_SERIALIZABLE };
enum oracle_kind { ORACLE_GET, ORACLE_SCAN, ORACLE_PUT, ORACLE_DELETE, ORACLE_ROWS };

struct oracle_value {
    bool is_there;
    int64_t cells[ORACLE_CELLS];
};

struct oracle_version {
    int seq;    /* commits before and with this one */
    int writer; /* transaction, ORACLE_INITIAL, ORACLE_ABSENT (never written) */
    struct oracle_value value;
};

struct oracle_read { /* from the store, not of an own write */
    int key;
    int writer;
};

struct oracle_pending {
    enum { NOTHING_PENDING, WHOLE_PENDING, ROWS_PENDING } kind;
    struct oracle_value value; /* whole: the value; rows: the cells to add */
};

struct oracle_txn {
    enum oracle_level level;
    int begin_seq;
    int begin_step;
    int end_step;
    bool is_committed;
    struct oracle_pending pending[ORACLE_KEYS];
    int read_seq[ORACLE_KEYS]; /* when the key was last read from the store; -1: never */
    struct oracle_read reads[16];
    int read_count;
};

struct oracle {
    int seq;
    int step;
    int txn_count;
    struct oracle_version chains[ORACLE_KEYS][ORACLE_VERSIONS];
    int chain_length[ORACLE_KEYS];
    struct oracle_txn txns[ORACLE_TXNS];
};

/* Key 0 holds cell 0 = 1; key 1 nothing, or a deletion. */
void oracle_init(struct oracle *oracle, int txn_count, bool is_deleted);
void oracle_begin(struct oracle *oracle, int txn, enum oracle_level level);
/* What a get of key must give, or a scan must give for key; a key found absent is read, too. */
struct oracle_value oracle_read(struct oracle *oracle, int txn, int key);
void oracle_write(struct oracle *oracle, int txn, int key, enum oracle_kind kind, int64_t cell);
/* Must the commit meet a write conflict now? */
bool oracle_conflict(const struct oracle *oracle, int txn);
/* The transaction commits: its writes are there from now on. */
void oracle_commit(struct oracle *oracle, int txn);
void oracle_abort(struct oracle *oracle, int txn);
/* Is there an order of the committed writers and serializable transactions, agreeing with real time
 * and with the order of each key's versions, in which each serializable one reads what those
 * before it left? */
bool oracle_is_serial(const struct oracle *oracle);
/* Do the footprints of any two transactions meet in a write? */
bool oracle_has_contact(const struct oracle *oracle, int txn);

#endif
