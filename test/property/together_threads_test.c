/* Threads that commit workspaces together, beside others that commit alone and readers that add up:
 * money is kept at serializable, and what was committed together is seen together. */
#include "support/kit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 300 };
#else
enum { ROUNDS = 4000 };
#endif
enum { ACCOUNTS = 12, TOGETHER = 2, ALONE = 1, READERS = 1, THREADS = TOGETHER + ALONE + READERS };
enum { EACH = 100, MEMBERS = 3 };

struct shared {
    kh_db *db;
    _Atomic int writers; /* not done yet */
};

struct player {
    struct shared *shared;
    pthread_t thread;
    uint64_t seed;
    uint64_t together, refused, alone, sums;
};

static uint32_t draw(struct player *player, uint32_t below) {
    player->seed = player->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(player->seed >> 33) % below;
}

static kh_bytes account(char name[8], uint32_t number) {
    int length = snprintf(name, 8, "acc/%02u", number % 100);
    return (kh_bytes){name, (size_t)length};
}

static kh_workspace *begin(kh_db *db, kh_semantic_mode mode) {
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    options.txn.isolation = KH_SERIALIZABLE;
    options.txn.timeout_ms = 600000;
    options.mode = mode;
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
    return workspace;
}

static void add(kh_db *db, kh_workspace *workspace, uint32_t number, int64_t amount) {
    char name[8];
    kh_bytes key = account(name, number);
    kh_batch *before = NULL;
    if (kh_workspace_get(workspace, key, &before, NULL) != KH_OK) abort();
    kh_batch *after = kit_number(db, kit_number_of(before) + amount);
    if (kh_workspace_put(workspace, key, after, NULL) != KH_OK) abort();
    kh_batch_release(before);
    kh_batch_release(after);
}

static void transfer(struct player *player, kh_workspace *workspace) {
    uint32_t from = draw(player, ACCOUNTS);
    uint32_t to = (from + 1 + draw(player, ACCOUNTS - 1)) % ACCOUNTS;
    int64_t amount = (int64_t)draw(player, 20);
    kh_db *db = player->shared->db;
    add(db, workspace, from, -amount);
    add(db, workspace, to, amount);
}

/* Both marks always have the same number. */
static void mark(struct player *player, kh_workspace **members) {
    static const char *const keys[] = {"mark/1", "mark/2"};
    kh_batch *value = kit_number(player->shared->db, (int64_t)draw(player, 1000000));
    for (int i = 0; i < 2; i++)
        if (kh_workspace_put(members[i], kit_key(keys[i]), value, NULL) != KH_OK) abort();
    kh_batch_release(value);
}

static void *commit_together(void *context) {
    struct player *player = context;
    for (int round = 0; round < ROUNDS; round++) {
        kh_workspace *members[MEMBERS];
        size_t count = MEMBERS;
        size_t culprit = 0;
        for (int i = 0; i < MEMBERS; i++) {
            members[i] = begin(player->shared->db, KH_SEMANTIC_GUARD);
            transfer(player, members[i]);
        }
        if (draw(player, 2) == 0) mark(player, members);
        kh_status status = kh_workspace_commit_together(members, count, NULL, &culprit, NULL);
        bool is_refusal = status == KH_CONFLICT || status == KH_NOT_SERIALIZABLE;
        if (status != KH_OK && (!is_refusal || culprit >= count)) abort();
        player->together += status == KH_OK;
        player->refused += status != KH_OK;
        for (int i = 0; i < MEMBERS; i++) kh_workspace_close(members[i]);
    }
    player->shared->writers--;
    return NULL;
}

static void *commit_alone(void *context) {
    struct player *player = context;
    for (int round = 0; round < ROUNDS; round++) {
        kh_workspace *workspace = begin(player->shared->db, KH_SEMANTIC_KEYS);
        transfer(player, workspace);
        player->alone += kh_workspace_commit(workspace, NULL, NULL) == KH_OK;
        kh_workspace_close(workspace);
    }
    player->shared->writers--;
    return NULL;
}

static void *add_up(void *context) {
    struct player *player = context;
    while (player->shared->writers > 0) {
        int64_t sum = 0;
        char name[8];
        kh_txn *txn = kit_begin(player->shared->db, KH_REPEATABLE_READ);
        for (uint32_t i = 0; i < ACCOUNTS; i++) {
            const kh_batch *value = NULL;
            if (kh_txn_peek(txn, account(name, i), &value, NULL) != KH_OK) abort();
            sum += kit_number_of(value);
        }
        if (sum != ACCOUNTS * EACH || kit_get(txn, "mark/1") != kit_get(txn, "mark/2")) abort();
        kit_rollback(txn);
        player->sums++;
        (void)sched_yield();
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    static void *(*const roles[THREADS])(void *) = {commit_together, commit_together, commit_alone,
                                                    add_up};
    struct player players[THREADS] = {0};
    kh_options options = KH_OPTIONS_INIT;
    struct shared shared = {kit_open_with(&options), TOGETHER + ALONE};
    char name[8];
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        (void)account(name, i);
        kit_store(shared.db, name, EACH);
    }
    for (int i = 0; i < THREADS; i++) {
        players[i] = (struct player){.shared = &shared, .seed = (uint64_t)i + 1};
        assert_int_equal(pthread_create(&players[i].thread, NULL, roles[i], &players[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) (void)pthread_join(players[i].thread, NULL);
    print_message("together %llu, refused %llu; alone %llu; sums %llu\n",
                  (unsigned long long)(players[0].together + players[1].together),
                  (unsigned long long)(players[0].refused + players[1].refused),
                  (unsigned long long)players[2].alone, (unsigned long long)players[3].sums);
    assert_true(players[0].together > 0 && players[1].together > 0 && players[2].alone > 0);
    kit_close(shared.db);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
