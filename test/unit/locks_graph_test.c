/* Deadlocks: circles of two and more, through queues and upgrades, and who has to go. */
#include "support/lock_kit.h"

struct spaces {
    char of[LOCK_KIT_OWNERS][64];
};

static kh_status ask(struct lock_kit *kit, struct spaces *spaces, int owner, const char *words) {
    return lock_kit_ask_in(kit, owner, words, spaces->of[owner]);
}

static void finish(struct lock_kit *kit) {
    for (int i = 0; i < LOCK_KIT_OWNERS; i++) {
        struct lock_owner *owner = &kit->owners[i];
        if (owner->waits_for != NULL)
            assert_int_equal(locks_give_up(&kit->table, owner, kit->now_ns, NULL),
                             KH_LOCK_CONFLICT);
        lock_kit_end(kit, i);
    }
    lock_kit_close(kit);
}

/* Who of the owners was doomed: a bit each. */
static unsigned doomed(const struct lock_kit *kit) {
    unsigned set = 0;
    for (int i = 0; i < LOCK_KIT_OWNERS; i++)
        if (kit->owners[i].state == OWNER_DOOMED) {
            assert_int_equal(kit->owners[i].doom, KH_DEADLOCK);
            set |= 1u << i;
        }
    return set;
}

static void cycle_is(const struct lock_owner *victim, const char *expected) {
    char text[128] = "";
    for (uint32_t i = 0; i < victim->cycle_length && i < LOCKS_CYCLE_IDS; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used, "%s%d", i == 0 ? "" : " ",
                       (int)victim->cycle[i].low);
    }
    assert_string_equal(text, expected);
}

static void test_two(void **state) {
    struct lock_kit kit;
    struct spaces spaces;
    (void)state;
    lock_kit_open(&kit, NULL, KH_VICTIM_YOUNGEST);
    assert_int_equal(lock_kit_try(&kit, 0, "a!"), KH_OK);
    assert_int_equal(lock_kit_try(&kit, 1, "b!"), KH_OK);
    assert_int_equal(ask(&kit, &spaces, 0, "b!"), KH_PENDING);
    assert_int_equal(ask(&kit, &spaces, 1, "a!"), KH_DEADLOCK); /* the younger one goes */
    assert_int_equal(lock_kit_look(&kit, 0), KH_OK);            /* and lets the other in */
    cycle_is(&kit.owners[1], "2 1");
    struct lock_counts counts = lock_kit_counts(&kit);
    assert_int_equal(counts.deadlocks, 1);
    assert_int_equal(counts.victims, 1);
    assert_int_equal(counts.held, 2);
    assert_int_equal(lock_kit_seal(&kit, 1), KH_DEADLOCK);
    finish(&kit);
}

/* The victim is another than the one that closes the circle: it is woken. */
static void test_victim_elsewhere(void **state) {
    struct lock_kit kit;
    struct spaces spaces;
    (void)state;
    lock_kit_open(&kit, NULL, KH_VICTIM_YOUNGEST);
    assert_int_equal(lock_kit_try(&kit, 0, "a!"), KH_OK);
    assert_int_equal(lock_kit_try(&kit, 1, "b!"), KH_OK);
    assert_int_equal(ask(&kit, &spaces, 1, "a!"), KH_PENDING);
    assert_int_equal(ask(&kit, &spaces, 0, "b!"), KH_OK); /* it is granted at once */
    assert_int_equal(atomic_load_explicit(&kit.owners[1].word, memory_order_relaxed), 1);
    assert_int_equal(lock_kit_look(&kit, 1), KH_DEADLOCK);
    finish(&kit);
}

/* Shared holders that both want more: each waits for the other. */
static void test_upgrades(void **state) {
    struct lock_kit kit;
    struct spaces spaces;
    (void)state;
    lock_kit_open(&kit, NULL, KH_VICTIM_OLDEST);
    for (int i = 0; i < 3; i++) assert_int_equal(lock_kit_try(&kit, i, "k"), KH_OK);
    assert_int_equal(ask(&kit, &spaces, 1, "k!"), KH_PENDING);
    assert_int_equal(ask(&kit, &spaces, 2, "k!"), KH_PENDING); /* 1 had to go */
    assert_int_equal(doomed(&kit), 1u << 1);
    assert_int_equal(lock_kit_look(&kit, 1), KH_DEADLOCK);
    lock_kit_end(&kit, 0);
    assert_int_equal(lock_kit_look(&kit, 2), KH_OK);
    finish(&kit);
}

/* A shared lock that would fit beside the holder's waits behind an exclusive one in the queue. */
static void test_through_the_queue(void **state) {
    struct lock_kit kit;
    struct spaces spaces;
    (void)state;
    lock_kit_open(&kit, NULL, KH_VICTIM_YOUNGEST);
    assert_int_equal(lock_kit_try(&kit, 0, "k"), KH_OK);
    assert_int_equal(lock_kit_try(&kit, 2, "z!"), KH_OK);
    assert_int_equal(ask(&kit, &spaces, 1, "k!"), KH_PENDING);
    assert_int_equal(ask(&kit, &spaces, 2, "k"), KH_PENDING); /* behind 1, not behind 0 */
    assert_int_equal(ask(&kit, &spaces, 0, "z"), KH_OK);      /* 0 -> 2 -> 1 -> 0: 2 goes */
    assert_int_equal(doomed(&kit), 1u << 2);
    cycle_is(&kit.owners[2], "3 2 1");
    finish(&kit);
}

/* Who is waited for beside the circle, and waits himself, is no part of it, whatever stands where
 * in memory. */
static void test_a_stranger_beside(void **state) {
    (void)state;
    for (int turn = 0; turn < 12; turn++) {
        static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        int stranger = orders[turn / 2][0] + 5; /* the youngest three */
        int first = orders[turn / 2][1];
        int last = orders[turn / 2][2];
        struct lock_kit kit;
        struct spaces spaces;
        lock_kit_open(&kit, NULL, KH_VICTIM_YOUNGEST);
        for (int which = 0; which < 2; which++)
            assert_int_equal(lock_kit_try(&kit, which == turn % 2 ? first : stranger, "k"), KH_OK);
        assert_int_equal(lock_kit_try(&kit, last, "m!"), KH_OK);
        assert_int_equal(lock_kit_try(&kit, 3, "z!"), KH_OK);
        assert_int_equal(ask(&kit, &spaces, stranger, "z!"), KH_PENDING);
        assert_int_equal(ask(&kit, &spaces, first, "m!"), KH_PENDING);
        (void)ask(&kit, &spaces, last, "k!"); /* behind the first one and the stranger */
        assert_int_equal(doomed(&kit), 1u << (first > last ? first : last));
        assert_int_equal(kit.owners[first > last ? first : last].cycle_length, 2);
        finish(&kit);
    }
}

/* Two circles closed by one step: both are ended. */
static void test_two_circles(void **state) {
    struct lock_kit kit;
    struct spaces spaces;
    (void)state;
    lock_kit_open(&kit, NULL, KH_VICTIM_YOUNGEST);
    assert_int_equal(lock_kit_try(&kit, 0, "a!"), KH_OK);
    assert_int_equal(lock_kit_try(&kit, 1, "b"), KH_OK);
    assert_int_equal(lock_kit_try(&kit, 2, "b"), KH_OK);
    assert_int_equal(ask(&kit, &spaces, 1, "a!"), KH_PENDING);
    assert_int_equal(ask(&kit, &spaces, 2, "a!"), KH_PENDING);
    assert_int_equal(ask(&kit, &spaces, 0, "b!"), KH_OK);
    assert_int_equal(doomed(&kit), 1u << 1 | 1u << 2);
    assert_int_equal(lock_kit_counts(&kit).deadlocks, 2);
    finish(&kit);
}

/* Waiting is no deadlock: long lines, and many who share. */
static void test_no_false_alarm(void **state) {
    struct lock_kit kit;
    struct spaces spaces;
    (void)state;
    lock_kit_open(&kit, NULL, KH_VICTIM_YOUNGEST);
    const char *keys[] = {"a!", "b!", "c!", "d!", "e!", "f!", "g!"};
    for (int i = 0; i < 7; i++) assert_int_equal(lock_kit_try(&kit, i, keys[i]), KH_OK);
    for (int i = 1; i < 7; i++) assert_int_equal(ask(&kit, &spaces, i, keys[i - 1]), KH_PENDING);
    for (int i = 1; i < 7; i++) assert_int_equal(lock_kit_look(&kit, i), KH_PENDING);
    for (int i = 0; i < 7; i++) {
        if (i > 0) assert_int_equal(lock_kit_look(&kit, i), KH_OK);
        lock_kit_end(&kit, i);
    }
    assert_int_equal(lock_kit_counts(&kit).deadlocks, 0);
    finish(&kit);
}

/* ---- victims --------------------------------------------------------------------------------- */

/* A circle of four; who goes by which policy. Owner i begins at begun[i], has priority[i] and
 * extra[i] more locks. */
struct ring {
    kh_lock_victim policy;
    uint64_t begun[4];
    int32_t priority[4];
    int extra[4];
    int victim;
};

static void run_ring(const struct ring *ring, int first) {
    struct lock_kit kit;
    struct spaces spaces;
    const char *keys[] = {"a!", "b!", "c!", "d!"};
    lock_kit_open(&kit, NULL, ring->policy);
    for (int i = 0; i < 4; i++) {
        locks_enroll(&kit.owners[i], (kh_txn_id){9, (uint64_t)i + 1}, ring->begun[i],
                     ring->priority[i]);
        assert_int_equal(lock_kit_try(&kit, i, keys[i]), KH_OK);
        for (int j = 0; j < ring->extra[i]; j++) {
            char name[32];
            (void)snprintf(name, sizeof name, "x%d%d", i, j);
            assert_int_equal(lock_kit_try(&kit, i, name), KH_OK);
        }
    }
    for (int i = 0; i < 4; i++) {
        int owner = (first + i) % 4;
        kh_status status = ask(&kit, &spaces, owner, keys[(owner + 1) % 4]);
        if (i < 3) assert_int_equal(status, KH_PENDING);
        if (i == 3 && owner == ring->victim) assert_int_equal(status, KH_DEADLOCK);
    }
    assert_int_equal(doomed(&kit), 1u << ring->victim);
    assert_int_equal(kit.owners[ring->victim].cycle_length, 4);
    finish(&kit);
}

static void test_victims(void **state) {
    static const struct ring rings[] = {
        {KH_VICTIM_YOUNGEST, {5, 9, 7, 6}, {0, 1, -1, 0}, {3, 0, 1, 0}, 1},
        {KH_VICTIM_YOUNGEST, {5, 5, 5, 5}, {0, 0, 0, 0}, {0, 0, 0, 0}, 3}, /* locked last */
        {KH_VICTIM_OLDEST, {5, 9, 4, 6}, {0, 1, 7, 0}, {3, 0, 1, 0}, 2},
        {KH_VICTIM_OLDEST, {5, 5, 5, 5}, {0, 0, 0, 0}, {0, 0, 0, 0}, 0},
        {KH_VICTIM_LOWEST_PRIORITY, {5, 9, 4, 6}, {-3, 1, -2, 0}, {0, 0, 1, 0}, 0},
        {KH_VICTIM_LOWEST_PRIORITY, {5, 9, 4, 6}, {2, 2, 2, 3}, {0, 0, 1, 0}, 1},
        {KH_VICTIM_MOST_LOCKS, {5, 9, 4, 6}, {2, 2, -2, 3}, {0, 1, 1, 3}, 3},
        {KH_VICTIM_MOST_LOCKS, {5, 4, 9, 6}, {2, 2, 2, 3}, {0, 2, 2, 0}, 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rings / sizeof rings[0]; i++)
        for (int first = 0; first < 4; first++) run_ring(&rings[i], first);
}

/* ---- a thousand ------------------------------------------------------------------------------ */

enum { CROWD = 1000 };

static void test_a_thousand(void **state) {
    static struct lock_owner owners[CROWD];
    static struct lock_request requests[CROWD];
    static char keys[CROWD][16];
    struct lock_kit kit;
    (void)state;
    lock_kit_open(&kit, NULL, KH_VICTIM_YOUNGEST);
    memset(owners, 0, sizeof owners);
    for (int i = 0; i < CROWD; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%d", i);
        locks_enroll(&owners[i], (kh_txn_id){0, (uint64_t)i + 1}, (uint64_t)i, 0);
        struct lock_request own = lock_kit_request(keys[i], KH_LOCK_EXCLUSIVE);
        assert_int_equal(locks_try(&kit.table, &owners[i], &own, 1, kit.now_ns, NULL), KH_OK);
    }
    for (int i = 0; i < CROWD; i++) {
        requests[i] = lock_kit_request(keys[(i + 1) % CROWD], KH_LOCK_SHARED);
        kh_status status = locks_ask(&kit.table, &owners[i], &requests[i], 1, kit.now_ns, NULL);
        assert_int_equal(status, i < CROWD - 1 ? KH_PENDING : KH_DEADLOCK);
    }
    assert_int_equal(owners[CROWD - 1].cycle_length, CROWD);
    assert_int_equal(owners[CROWD - 1].cycle[1].low, 1);
    for (int i = CROWD - 2; i >= 0; i--) {
        uint64_t next_ns = 0;
        assert_int_equal(locks_look(&kit.table, &owners[i], kit.now_ns, &next_ns), KH_OK);
        locks_end(&kit.table, &owners[i]);
    }
    finish(&kit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two),
        cmocka_unit_test(test_victim_elsewhere),
        cmocka_unit_test(test_upgrades),
        cmocka_unit_test(test_through_the_queue),
        cmocka_unit_test(test_a_stranger_beside),
        cmocka_unit_test(test_two_circles),
        cmocka_unit_test(test_no_false_alarm),
        cmocka_unit_test(test_victims),
        cmocka_unit_test(test_a_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
