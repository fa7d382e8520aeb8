/* The table of locks: modes, upgrades, trying, queues, expiry, ends, and memory that fails. */
#include "support/lock_kit.h"

static int open_kit(void **state) {
    struct lock_kit *kit = calloc(1, sizeof *kit);
    assert_non_null(kit);
    lock_kit_open(kit, NULL, KH_VICTIM_YOUNGEST);
    *state = kit;
    return 0;
}

static int close_kit(void **state) {
    struct lock_kit *kit = *state;
    for (int i = 0; i < LOCK_KIT_OWNERS; i++) lock_kit_end(kit, i);
    lock_kit_close(kit);
    free(kit);
    return 0;
}

/* ---- modes ----------------------------------------------------------------------------------- */

static void test_modes(void **state) {
    static const struct {
        const char *held, *asked;
        kh_status other, same; /* asked by another, and by the holder itself */
    } table[] = {{"k", "k", KH_OK, KH_OK},
                 {"k", "k!", KH_LOCK_CONFLICT, KH_OK},
                 {"k!", "k", KH_LOCK_CONFLICT, KH_OK},
                 {"k!", "k!", KH_LOCK_CONFLICT, KH_OK}};
    struct lock_kit *kit = *state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(lock_kit_try(kit, 0, table[i].held), KH_OK);
        assert_int_equal(lock_kit_try(kit, 1, table[i].asked), table[i].other);
        if (table[i].other != KH_OK) {
            assert_int_equal(kit->blocker.holder.low, 1);
            assert_int_equal(kit->blocker.holder.high, 9);
            assert_int_equal(kit->blocker.key.size_bytes, 1);
        }
        lock_kit_end(kit, 1);
        assert_int_equal(lock_kit_try(kit, 0, table[i].asked), table[i].same);
        /* The stronger of the two modes is what it has. */
        bool is_exclusive = table[i].held[1] == '!' || table[i].asked[1] == '!';
        assert_int_equal(lock_kit_try(kit, 1, "k"), is_exclusive ? KH_LOCK_CONFLICT : KH_OK);
        lock_kit_end(kit, 0);
        lock_kit_end(kit, 1);
        assert_true(locks_is_empty(&kit->table));
    }
}

static void test_upgrade_alone_and_not(void **state) {
    struct lock_kit *kit = *state;
    char space[64];
    assert_int_equal(lock_kit_try(kit, 0, "k"), KH_OK);
    assert_int_equal(lock_kit_try(kit, 1, "k"), KH_OK);
    assert_int_equal(lock_kit_try(kit, 0, "k!"), KH_LOCK_CONFLICT);
    assert_int_equal(kit->blocker.holder.low, 2);
    assert_int_equal(lock_kit_try(kit, 2, "k"), KH_OK); /* it is shared still */
    lock_kit_end(kit, 2);
    assert_int_equal(lock_kit_ask_in(kit, 0, "k!", space), KH_PENDING);
    assert_int_equal(lock_kit_try(kit, 2, "k"), KH_LOCK_CONFLICT); /* somebody waits for it */
    lock_kit_end(kit, 1);
    assert_int_equal(lock_kit_look(kit, 0), KH_OK);
    assert_int_equal(lock_kit_try(kit, 2, "k"), KH_LOCK_CONFLICT);
    assert_int_equal(kit->blocker.holder.low, 1);
    struct lock_counts counts = lock_kit_counts(kit);
    assert_int_equal(counts.upgrades, 1);
    assert_int_equal(counts.held, 1);
    assert_int_equal(counts.waits, 1);
}

/* Who upgrades comes before those who have nothing yet. */
static void test_upgrade_goes_first(void **state) {
    struct lock_kit *kit = *state;
    char one[64];
    char two[64];
    assert_int_equal(lock_kit_try(kit, 0, "k"), KH_OK);
    assert_int_equal(lock_kit_try(kit, 1, "k"), KH_OK);
    assert_int_equal(lock_kit_ask_in(kit, 2, "k!", two), KH_PENDING);
    assert_int_equal(lock_kit_ask_in(kit, 0, "k!", one), KH_PENDING);
    lock_kit_end(kit, 1);
    assert_int_equal(lock_kit_look(kit, 2), KH_PENDING);
    assert_int_equal(lock_kit_look(kit, 0), KH_OK);
    lock_kit_end(kit, 0);
    assert_int_equal(lock_kit_look(kit, 2), KH_OK);
}

/* ---- trying ---------------------------------------------------------------------------------- */

static void test_all_or_nothing(void **state) {
    struct lock_kit *kit = *state;
    assert_int_equal(lock_kit_try(kit, 0, "c"), KH_OK);
    assert_int_equal(lock_kit_try(kit, 1, "b"), KH_OK);
    assert_int_equal(lock_kit_try(kit, 1, "a! b! c! d!"), KH_LOCK_CONFLICT);
    assert_int_equal(kit->blocker.holder.low, 1);
    assert_memory_equal(kit->blocker.key.data, "c", 1);
    assert_int_equal(lock_kit_holder(kit, "a", -1), 0);
    assert_int_equal(lock_kit_holder(kit, "d", -1), 0);
    assert_int_equal(lock_kit_holder(kit, "b", 0), 2);
    assert_int_equal(lock_kit_try(kit, 2, "b"), KH_OK); /* it is shared as before */
    struct lock_counts counts = lock_kit_counts(kit);
    assert_int_equal(counts.held, 3);
    assert_int_equal(counts.grants, 3);
    assert_int_equal(counts.upgrades, 0);
}

static void test_keys_named_twice(void **state) {
    struct lock_kit *kit = *state;
    char space[64];
    assert_int_equal(lock_kit_try(kit, 0, "k k! k"), KH_OK);
    assert_int_equal(lock_kit_try(kit, 1, "k"), KH_LOCK_CONFLICT);
    assert_int_equal(lock_kit_counts(kit).held, 1);
    assert_int_equal(lock_kit_ask_in(kit, 1, "k k! j j!", space), KH_PENDING);
    lock_kit_end(kit, 0);
    assert_int_equal(lock_kit_look(kit, 1), KH_OK);
    assert_int_equal(lock_kit_counts(kit).held, 2);
    assert_int_equal(lock_kit_holder(kit, "j", 0), 2);
    assert_int_equal(lock_kit_try(kit, 2, "k"), KH_LOCK_CONFLICT);
}

static void test_blocker_sees_others_only(void **state) {
    struct lock_kit *kit = *state;
    char space[64];
    assert_int_equal(lock_kit_holder(kit, "k", -1), 0);
    assert_int_equal(lock_kit_try(kit, 0, "k"), KH_OK);
    assert_int_equal(lock_kit_holder(kit, "k", 0), 0);
    assert_int_equal(lock_kit_holder(kit, "k", 1), 1);
    assert_int_equal(lock_kit_holder(kit, "kk", 1), 0);
    assert_int_equal(lock_kit_try(kit, 1, "k"), KH_OK);
    assert_int_equal(lock_kit_holder(kit, "k", 0), 2);
    lock_kit_end(kit, 1);
    /* Who only waits is in nobody's way. */
    assert_int_equal(lock_kit_ask_in(kit, 2, "k!", space), KH_PENDING);
    assert_int_equal(lock_kit_holder(kit, "k", 0), 0);
    lock_kit_end(kit, 0);
    assert_int_equal(lock_kit_look(kit, 2), KH_OK);
}

/* ---- queues ---------------------------------------------------------------------------------- */

/* Shared ones that come later do not overtake an exclusive one that waits. */
static void test_nobody_starves(void **state) {
    struct lock_kit *kit = *state;
    char spaces[8][64];
    assert_int_equal(lock_kit_try(kit, 0, "k"), KH_OK);
    assert_int_equal(lock_kit_ask_in(kit, 1, "k!", spaces[1]), KH_PENDING);
    assert_int_equal(lock_kit_try(kit, 2, "k"), KH_LOCK_CONFLICT);
    assert_int_equal(kit->blocker.holder.low, 2); /* no holder bars it: the waiter does */
    assert_int_equal(lock_kit_ask_in(kit, 2, "k", spaces[2]), KH_PENDING);
    assert_int_equal(lock_kit_ask_in(kit, 3, "k", spaces[3]), KH_PENDING);
    assert_int_equal(lock_kit_ask_in(kit, 4, "k!", spaces[4]), KH_PENDING);
    assert_int_equal(lock_kit_try(kit, 0, "k"), KH_OK); /* has it already */
    assert_int_equal(lock_kit_counts(kit).queue_longest, 4);
    lock_kit_end(kit, 0);
    assert_int_equal(lock_kit_look(kit, 2), KH_PENDING);
    assert_int_equal(lock_kit_look(kit, 1), KH_OK);
    lock_kit_end(kit, 1);
    assert_int_equal(lock_kit_look(kit, 4), KH_PENDING);
    assert_int_equal(lock_kit_look(kit, 2), KH_OK);
    assert_int_equal(lock_kit_look(kit, 3), KH_OK); /* both at once */
    lock_kit_end(kit, 2);
    assert_int_equal(lock_kit_look(kit, 4), KH_PENDING);
    lock_kit_end(kit, 3);
    assert_int_equal(lock_kit_look(kit, 4), KH_OK);
}

/* One that leaves the queue lets those behind it in. */
static void test_giving_up(void **state) {
    struct lock_kit *kit = *state;
    char one[64];
    char two[64];
    assert_int_equal(lock_kit_try(kit, 0, "k"), KH_OK);
    assert_int_equal(lock_kit_try(kit, 1, "own"), KH_OK);
    assert_int_equal(lock_kit_ask_in(kit, 1, "a! k! own!", one), KH_PENDING);
    assert_int_equal(lock_kit_holder(kit, "a", -1), 2);
    assert_int_equal(lock_kit_ask_in(kit, 2, "k", two), KH_PENDING);
    kit->now_ns += 5 * LOCK_KIT_MS;
    struct lock_blocker blocker;
    assert_int_equal(locks_give_up(&kit->table, &kit->owners[1], kit->now_ns, &blocker),
                     KH_LOCK_CONFLICT);
    assert_int_equal(blocker.holder.low, 1);
    assert_memory_equal(blocker.key.data, "k", 1);
    assert_int_equal(lock_kit_look(kit, 2), KH_OK);
    assert_int_equal(lock_kit_holder(kit, "a", -1), 0);   /* what the call took is back */
    assert_int_equal(lock_kit_holder(kit, "own", -1), 2); /* what was there before is not */
    struct lock_counts counts = lock_kit_counts(kit);
    assert_int_equal(counts.timeouts, 1);
    assert_int_equal(counts.waits, 2);
    assert_int_equal(counts.wait_ns, 10 * LOCK_KIT_MS);
}

static void test_giving_up_too_late(void **state) {
    struct lock_kit *kit = *state;
    char space[64];
    assert_int_equal(lock_kit_try(kit, 0, "k"), KH_OK);
    assert_int_equal(lock_kit_ask_in(kit, 1, "k! z", space), KH_PENDING);
    lock_kit_end(kit, 0);
    assert_int_equal(locks_give_up(&kit->table, &kit->owners[1], kit->now_ns, NULL), KH_OK);
    assert_int_equal(lock_kit_holder(kit, "k", -1), 2);
    assert_int_equal(lock_kit_holder(kit, "z", -1), 2);
}

/* In the order of the keys whatever order they are named in: two such calls never deadlock. */
static void test_many_keys_in_order(void **state) {
    struct lock_kit *kit = *state;
    char one[64];
    char two[64];
    assert_int_equal(lock_kit_try(kit, 0, "b!"), KH_OK);
    assert_int_equal(lock_kit_ask_in(kit, 1, "c! bb! b! a!", one), KH_PENDING);
    assert_int_equal(lock_kit_holder(kit, "a", -1), 2);
    assert_int_equal(lock_kit_holder(kit, "c", -1), 0); /* behind the one it waits for */
    assert_int_equal(lock_kit_ask_in(kit, 2, "b! bb! a! c!", two), KH_PENDING);
    lock_kit_end(kit, 0);
    assert_int_equal(lock_kit_look(kit, 2), KH_PENDING);
    assert_int_equal(lock_kit_look(kit, 1), KH_OK);
    assert_int_equal(lock_kit_counts(kit).held, 4);
    lock_kit_end(kit, 1);
    assert_int_equal(lock_kit_look(kit, 2), KH_OK);
    assert_int_equal(lock_kit_counts(kit).deadlocks, 0);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void test_expiry(void **state) {
    struct lock_kit *kit = *state;
    char space[64];
    assert_int_equal(lock_kit_try(kit, 0, "k!"), KH_OK);
    kit->now_ns += (LOCK_KIT_TIMEOUT_MS - 1) * (uint64_t)LOCK_KIT_MS;
    assert_int_equal(lock_kit_try(kit, 0, "l!"), KH_OK); /* the timeout is the first lock's */
    assert_int_equal(lock_kit_ask_in(kit, 1, "k!", space), KH_PENDING);
    uint64_t next_ns = 0;
    assert_int_equal(locks_look(&kit->table, &kit->owners[1], kit->now_ns, &next_ns), KH_PENDING);
    assert_int_equal(next_ns, kit->now_ns + LOCK_KIT_MS); /* sooner than the next regular look */
    kit->now_ns = next_ns - 1;
    assert_int_equal(lock_kit_look(kit, 1), KH_PENDING);
    kit->now_ns++;
    assert_int_equal(lock_kit_look(kit, 1), KH_OK);
    assert_int_equal(lock_kit_holder(kit, "k", 0), 2);
    assert_int_equal(lock_kit_holder(kit, "l", -1), 0);
    assert_int_equal(lock_kit_seal(kit, 0), KH_EXPIRED);
    assert_int_equal(lock_kit_try(kit, 0, "m"), KH_EXPIRED);
    assert_int_equal(lock_kit_ask_in(kit, 0, "m", space), KH_EXPIRED);
    assert_int_equal(lock_kit_counts(kit).expirations, 1);
    lock_kit_end(kit, 0);
    assert_int_equal(lock_kit_try(kit, 0, "m"), KH_OK); /* its next use */
}

/* Who comes back too late finds out by itself. */
static void test_expiry_without_rivals(void **state) {
    struct lock_kit *kit = *state;
    assert_int_equal(lock_kit_try(kit, 0, "k!"), KH_OK);
    kit->now_ns += LOCK_KIT_TIMEOUT_MS * (uint64_t)LOCK_KIT_MS;
    assert_int_equal(lock_kit_try(kit, 0, "l"), KH_EXPIRED);
    assert_int_equal(lock_kit_holder(kit, "k", -1), 0);
    assert_int_equal(lock_kit_counts(kit).expirations, 1);
    lock_kit_end(kit, 0);
    /* A call that takes nothing does not start the time. */
    assert_int_equal(lock_kit_try(kit, 1, "k!"), KH_OK);
    assert_int_equal(lock_kit_try(kit, 0, "a k"), KH_LOCK_CONFLICT);
    kit->now_ns += (LOCK_KIT_TIMEOUT_MS - 1) * (uint64_t)LOCK_KIT_MS;
    assert_int_equal(lock_kit_try(kit, 0, "a"), KH_OK);
    kit->now_ns += LOCK_KIT_MS;
    assert_int_equal(lock_kit_seal(kit, 0), KH_OK);
}

/* Who does not wait has it from an expired one, too, and so has a commit. */
static void test_expiry_for_a_try(void **state) {
    struct lock_kit *kit = *state;
    for (int i = 0; i < 3; i++) assert_int_equal(lock_kit_try(kit, i, "k"), KH_OK);
    assert_int_equal(lock_kit_seal(kit, 2), KH_OK);
    kit->now_ns += (LOCK_KIT_TIMEOUT_MS - 1) * (uint64_t)LOCK_KIT_MS;
    assert_int_equal(lock_kit_try(kit, 3, "k!"), KH_LOCK_CONFLICT);
    kit->now_ns += LOCK_KIT_MS;
    assert_int_equal(lock_kit_try(kit, 3, "k"), KH_OK); /* fits: nobody has to go */
    assert_int_equal(lock_kit_counts(kit).expirations, 0);
    assert_int_equal(lock_kit_try(kit, 3, "k!"), KH_LOCK_CONFLICT);
    assert_int_equal(kit->blocker.holder.low, 3); /* the sealed one */
    assert_int_equal(lock_kit_counts(kit).expirations, 2);
    lock_kit_end(kit, 2);
    lock_kit_end(kit, 3);
    assert_int_equal(lock_kit_try(kit, 4, "k!"), KH_OK);
    kit->now_ns += LOCK_KIT_TIMEOUT_MS * (uint64_t)LOCK_KIT_MS;
    assert_int_equal(lock_kit_holder(kit, "k", 5), 0);
    assert_int_equal(lock_kit_seal(kit, 4), KH_EXPIRED);
}

/* Of one that is prepared, or about to commit, nothing is taken. */
static void test_sealed_is_safe(void **state) {
    struct lock_kit *kit = *state;
    char space[64];
    assert_int_equal(lock_kit_try(kit, 0, "k!"), KH_OK);
    assert_int_equal(lock_kit_seal(kit, 0), KH_OK);
    assert_int_equal(lock_kit_ask_in(kit, 1, "k", space), KH_PENDING);
    kit->now_ns += 10 * LOCK_KIT_TIMEOUT_MS * (uint64_t)LOCK_KIT_MS;
    assert_int_equal(lock_kit_look(kit, 1), KH_PENDING);
    assert_int_equal(lock_kit_seal(kit, 0), KH_OK);
    assert_int_equal(lock_kit_counts(kit).expirations, 0);
    lock_kit_end(kit, 0);
    assert_int_equal(lock_kit_look(kit, 1), KH_OK);
}

/* An expired holder that waits itself is told so. */
static void test_expiry_of_a_waiter(void **state) {
    struct lock_kit *kit = *state;
    char one[64];
    char two[64];
    assert_int_equal(lock_kit_try(kit, 0, "k!"), KH_OK);
    kit->now_ns += LOCK_KIT_MS;
    assert_int_equal(lock_kit_try(kit, 1, "l!"), KH_OK);
    assert_int_equal(lock_kit_ask_in(kit, 0, "l", one), KH_PENDING);
    kit->now_ns += (LOCK_KIT_TIMEOUT_MS - 1) * (uint64_t)LOCK_KIT_MS;
    assert_int_equal(lock_kit_ask_in(kit, 2, "k", two), KH_OK);
    assert_int_equal(atomic_load_explicit(&kit->owners[0].word, memory_order_relaxed), 1);
    assert_int_equal(lock_kit_look(kit, 0), KH_EXPIRED);
    assert_int_equal(lock_kit_counts(kit).waiting, 0);
}

/* ---- interrupting ---------------------------------------------------------------------------- */

static void test_interrupt(void **state) {
    struct lock_kit *kit = *state;
    char one[64];
    char two[64];
    struct lock_owner *waiter = &kit->owners[1];
    assert_int_equal(lock_kit_try(kit, 0, "k"), KH_OK);
    assert_int_equal(lock_kit_try(kit, 1, "l!"), KH_OK);
    assert_false(locks_interrupt(&kit->table, waiter, waiter->id)); /* does not wait */
    assert_int_equal(lock_kit_ask_in(kit, 1, "k!", one), KH_PENDING);
    assert_int_equal(lock_kit_ask_in(kit, 2, "k", two), KH_PENDING);
    assert_false(locks_interrupt(&kit->table, waiter, (kh_txn_id){9, 77}));
    assert_false(locks_interrupt(&kit->table, waiter, (kh_txn_id){8, 2}));
    assert_int_equal(lock_kit_look(kit, 1), KH_PENDING);
    assert_true(locks_interrupt(&kit->table, waiter, waiter->id));
    assert_int_equal(lock_kit_look(kit, 2), KH_OK);
    assert_int_equal(lock_kit_look(kit, 1), KH_CANCELLED);
    assert_int_equal(lock_kit_holder(kit, "l", -1), 0);
}

/* ---- memory ---------------------------------------------------------------------------------- */

struct stinginess {
    uint64_t left; /* allocations before one fails */
    uint64_t failures;
};

static void *allocate(void *context, size_t size_bytes, size_t alignment) {
    struct stinginess *stinginess = context;
    (void)alignment;
    if (stinginess->left-- == 0) {
        stinginess->failures++;
        return NULL;
    }
    return aligned_alloc(64, (size_bytes + 63) & ~(size_t)63);
}

static void release(void *context, void *block, size_t size_bytes) {
    (void)context;
    (void)size_bytes;
    free(block);
}

enum { MANY = 300 };

/* Long keys have blocks of their own; many of them need slabs and buckets. */
static kh_status lock_many(struct lock_kit *kit, struct lock_request *requests, char (*keys)[100]) {
    for (int i = 0; i < MANY; i++) {
        memset(keys[i], 'x', 99);
        (void)snprintf(keys[i], 100, "%03d", i);
        keys[i][3] = 'x';
        kh_bytes key = {keys[i], i % 2 == 0 ? 99 : 3};
        requests[i] = (struct lock_request){key, hash_bytes(key.data, key.size_bytes, 7),
                                            i % 3 == 0 ? KH_LOCK_SHARED : KH_LOCK_EXCLUSIVE};
    }
    return locks_try(&kit->table, &kit->owners[0], requests, MANY, kit->now_ns, NULL);
}

static void test_memory_fails(void **state) {
    static struct lock_request requests[MANY];
    static char keys[MANY][100];
    uint64_t failed = 0;
    (void)state;
    for (uint64_t nth = 0;; nth++) {
        struct stinginess stinginess = {UINT64_MAX, 0};
        struct mem_hooks hooks = {allocate, release, &stinginess};
        struct lock_kit kit;
        lock_kit_open(&kit, &hooks, KH_VICTIM_YOUNGEST);
        stinginess.left = nth;
        kh_status status = lock_many(&kit, requests, keys);
        bool has_failed = stinginess.failures > 0;
        if (status != KH_OK) {
            assert_int_equal(status, KH_NO_MEMORY);
            assert_int_equal(lock_kit_counts(&kit).held, 0);
            assert_true(locks_is_empty(&kit.table));
            failed++;
        }
        stinginess.left = UINT64_MAX;
        assert_int_equal(lock_many(&kit, requests, keys), KH_OK);
        assert_int_equal(lock_kit_counts(&kit).held, MANY);
        for (int i = 0; i < MANY; i++)
            assert_true(
                locks_blocker(&kit.table, requests[i].key, requests[i].hash, NULL, 0, NULL));
        lock_kit_end(&kit, 0);
        lock_kit_close(&kit);
        if (!has_failed) break;
    }
    assert_true(failed > 100);
}

/* A waiter that cannot get its place in the queue has taken nothing. */
static void test_memory_fails_in_the_queue(void **state) {
    char space[64];
    (void)state;
    for (uint64_t nth = 0;; nth++) {
        struct stinginess stinginess = {UINT64_MAX, 0};
        struct mem_hooks hooks = {allocate, release, &stinginess};
        struct lock_kit kit;
        lock_kit_open(&kit, &hooks, KH_VICTIM_YOUNGEST);
        assert_int_equal(lock_kit_try(&kit, 0, "k!"), KH_OK);
        while (kit.table.free_nodes != NULL) { /* as if many locks were held */
            struct lock_request one = lock_kit_request("filler", KH_LOCK_SHARED);
            char name[32];
            (void)snprintf(name, sizeof name, "f%u", kit.owners[7].hold_count);
            one = lock_kit_request(name, KH_LOCK_SHARED);
            assert_int_equal(locks_try(&kit.table, &kit.owners[7], &one, 1, kit.now_ns, NULL),
                             KH_OK);
        }
        stinginess.left = nth;
        kh_status status = lock_kit_ask_in(&kit, 1, "a k", space);
        bool has_failed = stinginess.failures > 0;
        stinginess.left = UINT64_MAX;
        assert_int_equal(status, has_failed ? KH_NO_MEMORY : KH_PENDING);
        if (has_failed) assert_int_equal(lock_kit_holder(&kit, "a", -1), 0);
        lock_kit_end(&kit, 0);
        if (!has_failed) assert_int_equal(lock_kit_look(&kit, 1), KH_OK);
        lock_kit_end(&kit, 1);
        lock_kit_end(&kit, 7);
        lock_kit_close(&kit);
        if (!has_failed) break;
    }
}

/* What many locks took goes back when the last one does. */
static void test_memory_goes_back(void **state) {
    enum { LOTS = 20000, KEPT_BYTES = 256 * 1024 };
    struct lock_kit *kit = *state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < LOTS; i++) {
            char name[32];
            (void)snprintf(name, sizeof name, "n%d", i);
            struct lock_request one = lock_kit_request(name, KH_LOCK_EXCLUSIVE);
            assert_int_equal(locks_try(&kit->table, &kit->owners[0], &one, 1, kit->now_ns, NULL),
                             KH_OK);
        }
        assert_true(mem_live_bytes(kit->mem) > LOTS * 200);
        assert_int_equal(lock_kit_holder(kit, "n777", 1), 1);
        lock_kit_end(kit, 0);
        assert_true(mem_live_bytes(kit->mem) < KEPT_BYTES);
    }
}

#define ON_KIT(test) cmocka_unit_test_setup_teardown(test, open_kit, close_kit)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_KIT(test_modes),
        ON_KIT(test_upgrade_alone_and_not),
        ON_KIT(test_upgrade_goes_first),
        ON_KIT(test_all_or_nothing),
        ON_KIT(test_keys_named_twice),
        ON_KIT(test_blocker_sees_others_only),
        ON_KIT(test_nobody_starves),
        ON_KIT(test_giving_up),
        ON_KIT(test_giving_up_too_late),
        ON_KIT(test_many_keys_in_order),
        ON_KIT(test_expiry),
        ON_KIT(test_expiry_without_rivals),
        ON_KIT(test_expiry_for_a_try),
        ON_KIT(test_sealed_is_safe),
        ON_KIT(test_expiry_of_a_waiter),
        ON_KIT(test_interrupt),
        cmocka_unit_test(test_memory_fails),
        cmocka_unit_test(test_memory_fails_in_the_queue),
        ON_KIT(test_memory_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
