/* The rule as a function: verdicts over hand-made chains, ring and ranges, at the edges of each
 * step. What it means for programs is in test/isolation; here is what each line of it says. */
#include "txn/certify.h"

#include "support/store_kit.h"

enum { RING = 4, SNAPSHOT = 100 };

struct world {
    struct store_kit kit;
    struct arena arena;
    struct readset reads;
    struct kept_ranges ranges;
    struct recent_write ring[RING];
    struct recent_writes recent;
    struct write writes[4];
    size_t write_count;
    uint64_t floor;
    uint64_t commit;
    bool is_weak;
    bool is_current_only;
};

static int open_world(void **state) {
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    store_kit_open(&world->kit);
    arena_init(&world->arena, world->kit.mem, NULL);
    world->reads.limit = 1000;
    readset_clear(&world->reads);
    ranges_init(&world->ranges, world->kit.mem, 8);
    world->recent = (struct recent_writes){.ring = world->ring, .mask = RING - 1};
    world->commit = 200;
    *state = world;
    return 0;
}

static int close_world(void **state) {
    struct world *world = *state;
    ranges_fini(&world->ranges);
    arena_fini(&world->arena);
    store_kit_close(&world->kit);
    free(world);
    return 0;
}

/* ---- what has happened ----------------------------------------------------------------------- */

static struct entry *entry_of(struct world *world, const char *key) {
    return store_kit_entry(&world->kit, key);
}

/* A commit, as apply would note it. */
static struct version *commit_at(struct world *world, const char *key, uint64_t commit,
                                 uint64_t spi, uint64_t ps) {
    struct entry *entry = entry_of(world, key);
    struct recent_writes *recent = &world->recent;
    world->ring[recent->end++ & recent->mask] = (struct recent_write){commit, entry};
    return store_kit_link(&world->kit, entry, commit, spi, ps, NULL);
}

/* A range read that a committed reader has left. */
static void keep_range(struct world *world, const char *from, const char *to, uint64_t timestamp,
                       uint64_t stamp) {
    struct read_range range = {.from = store_kit_key(from),
                               .to = store_kit_key(to),
                               .timestamp = timestamp};
    kh_error error;
    assert_int_equal(ranges_reserve(&world->ranges, &error), KH_OK);
    struct kept_range *kept = ranges_copy(&world->ranges, NULL, &range);
    assert_non_null(kept);
    ranges_add(&world->ranges, NULL, kept, stamp);
}

/* ---- what the transaction does --------------------------------------------------------------- */

static void read_key(struct world *world, const char *key) {
    kh_error error;
    assert_int_equal(readset_add(&world->reads, &world->arena, entry_of(world, key), SNAPSHOT,
                                 &error),
                     KH_OK);
}

static void read_absent(struct world *world, const char *key) {
    kh_error error;
    assert_int_equal(readset_add_absent(&world->reads, &world->arena, store_kit_key(key), SNAPSHOT,
                                        &error),
                     KH_OK);
}

static void read_range(struct world *world, const char *from, const char *to) {
    struct read_range range = {.from = store_kit_key(from), .timestamp = SNAPSHOT};
    kh_error error;
    if (to != NULL) range.to = store_kit_key(to);
    assert_int_equal(readset_add_range(&world->reads, &world->arena, &range, NULL, &error), KH_OK);
}

static struct write *write_key(struct world *world, const char *key, kh_policy policy) {
    struct write *write = &world->writes[world->write_count++];
    *write = (struct write){.kind = WRITE_PUT,
                            .policy = (uint8_t)policy,
                            .key = store_kit_key(key),
                            .entry = entry_of(world, key),
                            .rival_above = SNAPSHOT};
    return write;
}

static struct certify_verdict certified(struct world *world) {
    struct certify_verdict verdict;
    struct certify_request request = {.is_serializable = !world->is_weak,
                                      .snapshot = SNAPSHOT,
                                      .commit = world->commit,
                                      .floor = world->floor,
                                      .is_current_only = world->is_current_only,
                                      .reads = &world->reads,
                                      .writes = world->writes,
                                      .write_count = world->write_count,
                                      .ranges = &world->ranges,
                                      .recent = &world->recent,
                                      .index = world->kit.store.index};
    certify(&request, &verdict);
    return verdict;
}

static void is_answer(struct world *world, enum certify_answer expected) {
    assert_int_equal(certified(world).answer, expected);
}

/* ---- the window ------------------------------------------------------------------------------ */

static void test_nothing_read_nothing_met(void **state) {
    struct world *world = *state;
    (void)write_key(world, "a", KH_FAIL);
    struct certify_verdict verdict = certified(world);
    assert_int_equal(verdict.answer, CERTIFY_COMMIT);
    assert_true(verdict.has_writes);
    assert_int_equal(verdict.pi, 200);
    assert_int_equal(verdict.phi, 200);
}

/* A reader's place is its snapshot, and no more. */
static void test_reader_takes_its_snapshot(void **state) {
    struct world *world = *state;
    commit_at(world, "a", 90, 90, 150);
    read_key(world, "a");
    struct certify_verdict verdict = certified(world);
    assert_int_equal(verdict.answer, CERTIFY_COMMIT);
    assert_false(verdict.has_writes);
    assert_true(verdict.pi == CERTIFY_INFINITY);
    assert_int_equal(verdict.eta, SNAPSHOT);
    assert_int_equal(verdict.phi, SNAPSHOT);
}

/* pi is the phi that the direct overwriter inherited; the newest version's says nothing. */
static void test_pi_is_the_direct_overwriters(void **state) {
    struct world *world = *state;
    commit_at(world, "a", 90, 90, 0);
    commit_at(world, "a", 110, 105, 0);
    commit_at(world, "a", 120, 101, 0);
    read_key(world, "a");
    (void)write_key(world, "b", KH_FAIL);
    struct certify_verdict verdict = certified(world);
    assert_int_equal(verdict.answer, CERTIFY_COMMIT);
    assert_int_equal(verdict.pi, 105);
    assert_int_equal(verdict.phi, 105);
    assert_int_equal(verdict.rival, 110);
}

static void test_pi_is_the_least(void **state) {
    struct world *world = *state;
    commit_at(world, "a", 120, 120, 0);
    commit_at(world, "b", 130, 104, 0);
    commit_at(world, "c", 140, 106, 0);
    read_key(world, "a");
    read_key(world, "b");
    read_key(world, "c");
    (void)write_key(world, "d", KH_FAIL);
    struct certify_verdict verdict = certified(world);
    assert_int_equal(verdict.pi, 104);
    assert_int_equal(verdict.rival, 130);
    assert_int_equal(verdict.key.size_bytes, 1);
    assert_memory_equal(verdict.key.data, "b", 1);
}

/* A version at the snapshot itself is what was read, not an overwriter. */
static void test_version_at_the_snapshot(void **state) {
    struct world *world = *state;
    commit_at(world, "a", SNAPSHOT, 50, 0);
    read_key(world, "a");
    (void)write_key(world, "b", KH_FAIL);
    assert_int_equal(certified(world).pi, 200);
}

/* The window is closed when they meet: <=, at the snapshot, at a reader's stamp, at the floor. */
static void test_window_closes_when_they_meet(void **state) {
    static const struct {
        uint64_t spi, ps, floor;
        enum certify_answer expected;
    } table[] = {{101, 0, 0, CERTIFY_COMMIT},   {100, 0, 0, CERTIFY_CYCLE},
                 {99, 0, 0, CERTIFY_CYCLE},     {110, 109, 0, CERTIFY_COMMIT},
                 {110, 110, 0, CERTIFY_CYCLE},  {110, 111, 0, CERTIFY_CYCLE},
                 {110, 0, 109, CERTIFY_COMMIT}, {110, 0, 110, CERTIFY_CYCLE}};
    struct world *world = *state;
    struct version *read = commit_at(world, "a", 120, 0, 0);
    struct version *overwritten = commit_at(world, "b", 90, 90, 0);
    read_key(world, "a");
    (void)write_key(world, "b", KH_FAIL);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        read->stamp.spi = table[i].spi;
        overwritten->stamp.ps = table[i].ps;
        world->floor = table[i].floor;
        struct certify_verdict verdict = certified(world);
        assert_int_equal(verdict.answer, table[i].expected);
        if (verdict.answer == CERTIFY_CYCLE) assert_int_equal(verdict.rival, 120);
    }
}

/* The floor concerns writers only. */
static void test_floor_is_not_for_readers(void **state) {
    struct world *world = *state;
    commit_at(world, "a", 120, 110, 0);
    read_key(world, "a");
    world->floor = 115;
    is_answer(world, CERTIFY_COMMIT);
}

/* A reader below what overwrote it commits; one above does not. */
static void test_reader_and_overwriter(void **state) {
    struct world *world = *state;
    struct version *version = commit_at(world, "a", 120, 101, 0);
    read_key(world, "a");
    is_answer(world, CERTIFY_COMMIT);
    version->stamp.spi = 100;
    is_answer(world, CERTIFY_CYCLE);
}

static void test_overwritten_commit_counts(void **state) {
    struct world *world = *state;
    commit_at(world, "a", 120, 110, 0);
    commit_at(world, "b", 110, 110, 0);
    read_key(world, "a");
    write_key(world, "b", KH_REPLACE);
    is_answer(world, CERTIFY_CYCLE);
}

/* A dropped write reads the rival late: its commit counts, its readers do not. */
static void test_dropped_write(void **state) {
    struct world *world = *state;
    commit_at(world, "a", 130, 115, 0);
    struct version *rival = commit_at(world, "b", 115, 115, 0);
    read_key(world, "a");
    (void)write_key(world, "b", KH_IGNORE);
    is_answer(world, CERTIFY_CYCLE);
    rival->commit = 114;
    rival->stamp.ps = 120;
    struct certify_verdict verdict = certified(world);
    assert_int_equal(verdict.answer, CERTIFY_COMMIT);
    assert_false(verdict.has_writes);
    assert_int_equal(world->writes[0].fate, FATE_DROPPED);
    assert_int_equal(verdict.phi, 114); /* after the rival that it gave way to */
}

static void test_weaker_levels_have_no_window(void **state) {
    struct world *world = *state;
    commit_at(world, "a", 120, 90, 0);
    read_key(world, "a");
    (void)write_key(world, "b", KH_FAIL);
    is_answer(world, CERTIFY_CYCLE);
    world->is_weak = true;
    struct certify_verdict verdict = certified(world);
    assert_int_equal(verdict.answer, CERTIFY_COMMIT);
    assert_int_equal(verdict.phi, 200);
}

static void test_prepare_wants_the_present(void **state) {
    struct world *world = *state;
    commit_at(world, "a", 120, 120, 0);
    read_key(world, "a");
    (void)write_key(world, "b", KH_FAIL);
    is_answer(world, CERTIFY_COMMIT);
    world->is_current_only = true;
    is_answer(world, CERTIFY_CYCLE);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* The ring has room for RING commits: ranges are checked against it while it reaches back to the
 * snapshot, and against the index from then on. A hit counts wherever it stands. */
static void test_ranges_against_ring_and_index(void **state) {
    struct world *world = *state;
    read_range(world, "k", "l");
    (void)write_key(world, "z", KH_FAIL);
    commit_at(world, "a", SNAPSHOT - 1, 1, 0);
    commit_at(world, "a", SNAPSHOT, 1, 0);
    commit_at(world, "k1", SNAPSHOT + 1, SNAPSHOT, 0); /* the oldest that counts */
    is_answer(world, CERTIFY_CYCLE);
    for (uint64_t i = 2; i < 12; i++) {
        commit_at(world, "b", SNAPSHOT + i, SNAPSHOT + i, 0);
        is_answer(world, CERTIFY_CYCLE);
    }
}

/* The ring is full of the commits since the snapshot, no more and no less: whether the oldest is
 * there whole nobody knows, so the index is asked. */
static void test_ring_just_reaches(void **state) {
    struct world *world = *state;
    read_range(world, "k", "l");
    (void)write_key(world, "z", KH_FAIL);
    commit_at(world, "a", SNAPSHOT, 1, 0);
    commit_at(world, "k", SNAPSHOT + 1, SNAPSHOT, 0);
    for (uint64_t i = 2; i <= RING; i++) commit_at(world, "a", SNAPSHOT + i, SNAPSHOT + i, 0);
    assert_int_equal(recent_since(&world->recent), SNAPSHOT + 1);
    is_answer(world, CERTIFY_CYCLE);
    commit_at(world, "a", SNAPSHOT + 9, SNAPSHOT + 9, 0);
    assert_int_equal(recent_since(&world->recent), SNAPSHOT + 2);
    is_answer(world, CERTIFY_CYCLE);
}

/* A commit of several writes, of which the ring has lost the first: it is not asked for them. */
static void test_a_commit_that_the_ring_has_half_lost(void **state) {
    struct world *world = *state;
    read_range(world, "k", "l");
    (void)write_key(world, "z", KH_FAIL);
    commit_at(world, "k", SNAPSHOT + 1, SNAPSHOT, 0);
    commit_at(world, "a", SNAPSHOT + 1, SNAPSHOT + 1, 0);
    commit_at(world, "b", SNAPSHOT + 1, SNAPSHOT + 1, 0);
    for (uint64_t i = 2; i < 6; i++) {
        is_answer(world, CERTIFY_CYCLE);
        commit_at(world, "c", SNAPSHOT + i, SNAPSHOT + i, 0);
    }
    is_answer(world, CERTIFY_CYCLE);
}

/* The walk over the index goes on beyond its first keys, and ends at the bound. */
static void test_long_ranges_in_the_index(void **state) {
    enum { KEYS = 600 };
    struct world *world = *state;
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "k%04d", i);
        commit_at(world, key, SNAPSHOT - 10, 1, 0);
    }
    world->recent.end = 0;
    world->recent.since = SNAPSHOT + 50;
    read_range(world, "k0100", "k0500");
    (void)write_key(world, "z", KH_FAIL);
    is_answer(world, CERTIFY_COMMIT);
    static const struct {
        const char *key;
        enum certify_answer expected;
    } table[] = {{"k0000", CERTIFY_COMMIT}, {"k0099", CERTIFY_COMMIT}, {"k0100", CERTIFY_CYCLE},
                 {"k0227", CERTIFY_CYCLE},  {"k0228", CERTIFY_CYCLE},  {"k0499", CERTIFY_CYCLE},
                 {"k0500", CERTIFY_COMMIT}, {"k0599", CERTIFY_COMMIT}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct version *version = store_kit_link(&world->kit, entry_of(world, table[i].key),
                                                 SNAPSHOT + 1 + i, 50, 0, NULL);
        assert_int_equal(certified(world).answer, table[i].expected);
        version->stamp.spi = SNAPSHOT + 20; /* from now on it is harmless */
    }
}

/* Everything, from the first key on: no bound below or above. */
static void test_whole_range(void **state) {
    struct world *world = *state;
    read_range(world, "", NULL);
    (void)write_key(world, "z", KH_FAIL);
    struct version *version = commit_at(world, "\x01", SNAPSHOT + 1, 50, 0);
    is_answer(world, CERTIFY_CYCLE);
    world->recent.since = SNAPSHOT + 50;
    is_answer(world, CERTIFY_CYCLE);
    version->stamp.spi = SNAPSHOT + 1;
    is_answer(world, CERTIFY_COMMIT);
    version = commit_at(world, "\xff\xff", SNAPSHOT + 2, 50, 0);
    is_answer(world, CERTIFY_CYCLE);
}

static void test_absent_keys(void **state) {
    struct world *world = *state;
    read_absent(world, "none");
    (void)write_key(world, "z", KH_FAIL);
    is_answer(world, CERTIFY_COMMIT);
    commit_at(world, "nond", SNAPSHOT + 1, 50, 0);
    commit_at(world, "none1", SNAPSHOT + 2, 50, 0);
    is_answer(world, CERTIFY_COMMIT);
    commit_at(world, "none", SNAPSHOT + 3, 50, 0);
    is_answer(world, CERTIFY_CYCLE);
}

/* Kept ranges count for who overwrites directly what their readers saw. */
static void test_kept_ranges(void **state) {
    struct world *world = *state;
    commit_at(world, "a", 120, 110, 0);
    read_key(world, "a");
    (void)write_key(world, "k", KH_FAIL);
    keep_range(world, "j", "l", 60, 110);
    is_answer(world, CERTIFY_CYCLE); /* a newborn key */
    struct version *version = commit_at(world, "k", 61, 61, 0);
    is_answer(world, CERTIFY_COMMIT); /* its reader saw an older one */
    version->commit = 60;
    is_answer(world, CERTIFY_CYCLE);
    world->ranges.entries[0]->stamp = 109;
    is_answer(world, CERTIFY_COMMIT);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static void test_rivals(void **state) {
    static const struct {
        kh_policy policy;
        uint64_t newest;
        enum certify_answer expected;
        enum write_fate fate;
    } table[] = {{KH_FAIL, 100, CERTIFY_COMMIT, FATE_PLAIN},
                 {KH_FAIL, 101, CERTIFY_CONFLICT, FATE_PLAIN},
                 {KH_REPLACE, 101, CERTIFY_COMMIT, FATE_RESOLVED},
                 {KH_IGNORE, 101, CERTIFY_COMMIT, FATE_DROPPED},
                 {KH_APPEND, 100, CERTIFY_COMMIT, FATE_PLAIN},
                 {KH_APPEND, 101, CERTIFY_RESTAGE, FATE_PLAIN},
                 {KH_MERGE, 101, CERTIFY_RESTAGE, FATE_PLAIN},
                 {KH_CALLBACK, 101, CERTIFY_RESTAGE, FATE_PLAIN}};
    struct world *world = *state;
    struct version *version = commit_at(world, "a", 0, 0, 0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        world->write_count = 0;
        struct write *write = write_key(world, "a", table[i].policy);
        version->commit = table[i].newest;
        struct certify_verdict verdict = certified(world);
        assert_int_equal(verdict.answer, table[i].expected);
        assert_int_equal(write->fate, table[i].fate);
        if (table[i].newest > SNAPSHOT) assert_int_equal(verdict.rival, table[i].newest);
        if (verdict.answer != CERTIFY_COMMIT) assert_ptr_equal(verdict.write, write);
    }
}

/* A value computed from a version is good for that version only. */
static void test_staged_values(void **state) {
    static const kh_policy policies[] = {KH_APPEND, KH_MERGE, KH_CALLBACK, KH_REPLACE};
    struct world *world = *state;
    commit_at(world, "a", 110, 110, 0);
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        for (uint64_t staged_on = 109; staged_on <= 111; staged_on++) {
            world->write_count = 0;
            struct write *write = write_key(world, "a", policies[i]);
            write->is_staged_on = true;
            write->staged_on = staged_on;
            is_answer(world, staged_on == 110 ? CERTIFY_COMMIT : CERTIFY_RESTAGE);
            write->rival_above = 110; /* no rival: the same */
            is_answer(world, staged_on == 110 ? CERTIFY_COMMIT : CERTIFY_RESTAGE);
            write->is_staged_on = false;
            is_answer(world, CERTIFY_COMMIT);
        }
    }
    world->write_count = 0;
    struct write *write = write_key(world, "a", KH_CALLBACK);
    write->is_staged_on = write->is_callback_dropped = true;
    write->staged_on = 110;
    is_answer(world, CERTIFY_COMMIT);
    assert_int_equal(write->fate, FATE_DROPPED);
}

static void test_rows(void **state) {
    struct world *world = *state;
    struct version *version = commit_at(world, "a", SNAPSHOT, SNAPSHOT, 0);
    struct write *write = write_key(world, "a", KH_FAIL);
    write->kind = WRITE_ROWS;
    write->rival_above = UINT64_MAX;
    write->is_staged_on = true;
    write->staged_on = SNAPSHOT;
    is_answer(world, CERTIFY_COMMIT);
    assert_int_equal(write->fate, FATE_PLAIN);
    version->commit = write->staged_on = SNAPSHOT + 1;
    is_answer(world, CERTIFY_COMMIT);
    assert_int_equal(write->fate, FATE_RESOLVED);
    assert_int_equal(write->rival, SNAPSHOT + 1);
    version->commit = SNAPSHOT + 2;
    is_answer(world, CERTIFY_RESTAGE);
}

/* A pending value that was read back is stored as it was seen, or not at all. */
static void test_read_back(void **state) {
    struct world *world = *state;
    commit_at(world, "a", 110, 110, 0);
    for (kh_policy policy = KH_FAIL; policy <= KH_CALLBACK; policy++) {
        for (int weak = 0; weak < 2; weak++) {
            world->write_count = 0;
            world->is_weak = weak != 0;
            struct write *write = write_key(world, "a", policy);
            write->is_read_back = write->is_staged_on = true;
            write->staged_on = 110;
            bool is_conflict = policy == KH_FAIL || policy == KH_IGNORE ||
                               (policy != KH_REPLACE && !world->is_weak);
            is_answer(world, is_conflict ? CERTIFY_CONFLICT : CERTIFY_COMMIT);
        }
    }
}

static void test_dead_entries(void **state) {
    struct world *world = *state;
    struct write *write = write_key(world, "a", KH_FAIL);
    atomic_fetch_or(&write->entry->flags, ENTRY_DEAD);
    is_answer(world, CERTIFY_DEAD);
    write->kind = WRITE_NONE; /* undone: it is not looked at */
    is_answer(world, CERTIFY_COMMIT);
    assert_false(certified(world).has_writes);
    atomic_fetch_and(&write->entry->flags, (uint16_t)~ENTRY_DEAD);
}

/* The first write that does not commit gives the answer. */
static void test_first_difference_wins(void **state) {
    struct world *world = *state;
    commit_at(world, "b", 110, 110, 0);
    commit_at(world, "c", 120, 120, 0);
    (void)write_key(world, "a", KH_FAIL);
    (void)write_key(world, "b", KH_FAIL);
    (void)write_key(world, "c", KH_FAIL);
    struct certify_verdict verdict = certified(world);
    assert_int_equal(verdict.answer, CERTIFY_CONFLICT);
    assert_ptr_equal(verdict.write, &world->writes[1]);
    assert_int_equal(verdict.rival, 110);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_nothing_read_nothing_met),
        IN_WORLD(test_reader_takes_its_snapshot),
        IN_WORLD(test_pi_is_the_direct_overwriters),
        IN_WORLD(test_pi_is_the_least),
        IN_WORLD(test_version_at_the_snapshot),
        IN_WORLD(test_window_closes_when_they_meet),
        IN_WORLD(test_floor_is_not_for_readers),
        IN_WORLD(test_reader_and_overwriter),
        IN_WORLD(test_overwritten_commit_counts),
        IN_WORLD(test_dropped_write),
        IN_WORLD(test_weaker_levels_have_no_window),
        IN_WORLD(test_prepare_wants_the_present),
        IN_WORLD(test_ranges_against_ring_and_index),
        IN_WORLD(test_ring_just_reaches),
        IN_WORLD(test_a_commit_that_the_ring_has_half_lost),
        IN_WORLD(test_long_ranges_in_the_index),
        IN_WORLD(test_whole_range),
        IN_WORLD(test_absent_keys),
        IN_WORLD(test_kept_ranges),
        IN_WORLD(test_rivals),
        IN_WORLD(test_staged_values),
        IN_WORLD(test_rows),
        IN_WORLD(test_read_back),
        IN_WORLD(test_dead_entries),
        IN_WORLD(test_first_difference_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
