/* locks_bench.c - what key locks cost: two keys locked and released with nobody in the way, alone
 * and as part of a transaction; the question that every commit asks; a deadlock of a thousand.
 *
 *     locks_bench [rounds]
 *
 * Each figure is the best and the middle of 15 series. Keys are 24 bytes; the hashing of the keys
 * counts. */
#include "base/hash.h"
#include "khonsu.h"
#include "txn/locks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SERIES = 15, KEYS = 1024, KEY_BYTES = 24, CROWD = 1000 };

static char keys[KEYS][KEY_BYTES + 1];

static double now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *what, double *figures, const char *unit) {
    qsort(figures, SERIES, sizeof *figures, compare);
    printf("%-44s %9.1f %s, middle %.1f\n", what, figures[0], unit, figures[SERIES / 2]);
}

static struct lock_request request_of(const struct hash_secret *secret, size_t i) {
    kh_bytes key = {keys[i % KEYS], KEY_BYTES};
    return (struct lock_request){key, hash_keyed(secret, key.data, key.size_bytes),
                                 KH_LOCK_EXCLUSIVE};
}

static void bench_table(size_t rounds) {
    struct mem *mem = mem_create(NULL);
    struct hash_secret secret;
    static struct locks table;
    static struct lock_owner owner;
    hash_secret_init(&secret, 7);
    locks_init(&table, mem, 30000000000u, KH_VICTIM_YOUNGEST);
    locks_enroll(&owner, (kh_txn_id){0, 1}, 1, 0);
    double figures[SERIES];
    for (int series = 0; series < SERIES; series++) {
        double start = now_ns();
        for (size_t i = 0; i < rounds; i++) {
            struct lock_request two[2] = {request_of(&secret, i), request_of(&secret, i * 7 + 3)};
            if (locks_try(&table, &owner, two, 2, i, NULL) != KH_OK) abort();
            locks_end(&table, &owner);
        }
        figures[series] = (now_ns() - start) / (double)rounds;
    }
    report("lock and release of two keys, the table", figures, "ns");
    struct lock_request one = request_of(&secret, 1);
    for (int is_used = 0; is_used <= 1; is_used++) {
        size_t found = 0;
        for (int series = 0; series < SERIES; series++) {
            double start = now_ns();
            for (size_t i = 0; i < rounds; i++)
                found += locks_blocker(&table, one.key, one.hash, &owner, 1, NULL);
            figures[series] = (now_ns() - start) / (double)rounds;
        }
        if (found != 0) abort();
        report(is_used ? "is this key locked, another one is" : "is this key locked, table empty",
               figures, "ns");
        struct lock_request other = request_of(&secret, 2);
        if (!is_used && locks_try(&table, &owner, &other, 1, 1, NULL) != KH_OK) abort();
    }
    locks_end(&table, &owner);
    locks_fini(&table);
    mem_close(mem);
}

/* Each holds its key and waits for the next one's; what is timed is the last step. */
static double close_circle(struct locks *table, struct lock_owner *owners,
                           struct lock_request *requests, const struct hash_secret *secret) {
    double start = 0;
    memset(owners, 0, CROWD * sizeof *owners);
    for (size_t i = 0; i < CROWD; i++) {
        locks_enroll(&owners[i], (kh_txn_id){0, i + 1}, i, 0);
        struct lock_request own = request_of(secret, i);
        if (locks_try(table, &owners[i], &own, 1, 1, NULL) != KH_OK) abort();
    }
    for (size_t i = 0; i < CROWD; i++) {
        requests[i] = request_of(secret, (i + 1) % CROWD);
        if (i == CROWD - 1) start = now_ns();
        kh_status status = locks_ask(table, &owners[i], &requests[i], 1, 1, NULL);
        if (status != (i < CROWD - 1 ? KH_PENDING : KH_DEADLOCK)) abort();
    }
    double took = now_ns() - start;
    for (size_t i = CROWD - 1; i-- > 0;) {
        uint64_t next_ns;
        if (locks_look(table, &owners[i], 1, &next_ns) != KH_OK) abort();
        locks_end(table, &owners[i]);
    }
    return took / 1000;
}

static void bench_deadlock(void) {
    static struct locks table;
    static struct lock_owner owners[CROWD];
    static struct lock_request requests[CROWD];
    struct mem *mem = mem_create(NULL);
    struct hash_secret secret;
    double figures[SERIES];
    hash_secret_init(&secret, 7);
    locks_init(&table, mem, 0, KH_VICTIM_YOUNGEST);
    for (int series = 0; series < SERIES; series++)
        figures[series] = close_circle(&table, owners, requests, &secret);
    report("a deadlock of 1,000 found and ended", figures, "us");
    locks_fini(&table);
    mem_close(mem);
}

/* Begin and rollback, with a call that locks two keys between them or not. */
static double run_transactions(kh_db *db, size_t rounds, bool does_lock) {
    double start = now_ns();
    for (size_t i = 0; i < rounds; i++) {
        kh_txn *txn;
        kh_lock two[2] = {{{keys[i % KEYS], KEY_BYTES}, KH_LOCK_EXCLUSIVE},
                          {{keys[(i * 7 + 3) % KEYS], KEY_BYTES}, KH_LOCK_EXCLUSIVE}};
        if (kh_txn_begin(db, NULL, &txn, NULL) != KH_OK) abort();
        if (does_lock && kh_txn_lock(txn, two, 2, NULL, NULL) != KH_OK) abort();
        (void)kh_txn_rollback(txn);
        kh_txn_close(txn);
    }
    return (now_ns() - start) / (double)rounds;
}

static void bench_transactions(size_t rounds) {
    kh_db *db;
    if (kh_db_open(NULL, &db, NULL) != KH_OK) abort();
    double plain[SERIES];
    double locking[SERIES];
    for (int series = 0; series < SERIES; series++) {
        plain[series] = run_transactions(db, rounds, false);
        locking[series] = run_transactions(db, rounds, true);
    }
    report("begin and rollback", plain, "ns");
    report("begin, kh_txn_lock of two keys, rollback", locking, "ns");
    printf("%-44s %9.1f ns, middle %.1f\n", "the difference of those", locking[0] - plain[0],
           locking[SERIES / 2] - plain[SERIES / 2]); /* both are in order by now */
    if (kh_db_close(db) != KH_OK) abort();
}

int main(int argc, char **argv) {
    size_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    for (int i = 0; i < KEYS; i++)
        (void)snprintf(keys[i], sizeof keys[i], "accounts/%015d", i * 7919 % KEYS);
    bench_table(rounds);
    bench_transactions(rounds);
    bench_deadlock();
    return 0;
}
