/* certify_judge.h - is what was committed serializable in an order that agrees with real time? The
 * exact mixed serialization graph of a history (Adya 1999): who overwrote whom, whose version was
 * read by whom, and which serializable reader missed whose version; ranges are sets of keys, absent
 * and deleted ones included. Real time: who had ended before who began. Looks at no stamp of the
 * rule; only the replay takes the order from outside, which it is there to refute.
 *
 * Also says what PostgreSQL's rule (Ports and Grittner, VLDB 2012) would have answered, by key and
 * at commit. It judges histories in which every transaction is serializable and every policy is
 * fail. */
#ifndef TEST_MODEL_CERTIFY_JUDGE_H
#define TEST_MODEL_CERTIFY_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

enum { JUDGE_KEYS = 10, JUDGE_TXNS = 64, JUDGE_VERSIONS = 64, JUDGE_READS = 128 };

/* What one transaction did, as it asks to commit. Transactions are numbered below JUDGE_TXNS. */
struct judge_footprint {
    int txn;
    bool is_serializable;
    int snapshot;    /* a commit; of serializable ones */
    unsigned reads;  /* keys; of serializable ones */
    unsigned writes; /* keys that get a version */
    unsigned late;   /* keys whose newest version was read at commit */
    const struct judge_read {
        int key;
        int at;
    } * weak_reads; /* reads of weaker levels */
    int weak_count;
};

struct judge_version {
    int commit;
    int writer; /* -1: it was there at first */
};

struct judge_member { /* of those who committed */
    struct judge_footprint footprint;
    int place; /* claimed, for the replay */
    int commit;
    int read[JUDGE_KEYS];      /* index of the version read, -1: none; -2: not read */
    int read_late[JUDGE_KEYS]; /* likewise */
    int wrote[JUDGE_KEYS];     /* index of the version written; -2: none */
};

struct judge {
    int clock; /* commits with writes */
    int chain_length[JUDGE_KEYS];
    struct judge_version chains[JUDGE_KEYS][JUDGE_VERSIONS];
    uint64_t readers[JUDGE_KEYS];        /* serializable ones of the newest version */
    uint64_t after[JUDGE_TXNS];          /* edges of the graph */
    uint64_t after_or_later[JUDGE_TXNS]; /* and of real time */
    uint64_t committed;
    uint64_t writers; /* of the committed */
    int now;          /* counts events */
    int begun[JUDGE_TXNS];
    int snapped[JUDGE_TXNS]; /* begun, or when its snapshot last moved: PostgreSQL's takes it then
                              */
    int decided[JUDGE_TXNS];
    int ended[JUDGE_TXNS];          /* 0: not yet */
    uint64_t overtaken[JUDGE_TXNS]; /* whose versions it missed */
    struct judge_member members[JUDGE_TXNS];
    int member_count;
};

struct judge_opinion {
    bool closes_cycle;     /* of the graph */
    bool turns_time_round; /* of the graph and real time */
    bool peer_refuses;
};

void judge_init(struct judge *judge);
void judge_fill(struct judge *judge, int key);
void judge_begin(struct judge *judge, int txn);
/* Its snapshot moves to what is visible now; in real time it began when it began. */
void judge_move(struct judge *judge, int txn);
/* Were this to commit now. */
struct judge_opinion judge_ask(const struct judge *judge, const struct judge_footprint *footprint);
/* It does. place: of the serial order that is claimed. */
void judge_commit(struct judge *judge, const struct judge_footprint *footprint, int place);
/* Its program has the answer (the commit is visible). */
void judge_end(struct judge *judge, int txn);
/* Execute the committed ones one after the other in the claimed order: places ascending, readers
 * after writers, later commits first. NULL, or what differs. */
const char *judge_replay(struct judge *judge);

#endif
