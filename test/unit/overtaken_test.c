/* Functions of a few atomic accesses, inlined into every read, commit and begin: at each access
 * somebody else does his work. One thread, no luck: the macros below step in behind each access,
 * which is where another thread could come; all accesses become sequentially consistent thereby. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static void (*step_in)(void);
static int points_left; /* before it steps in */

static void step_in_now(void) {
    if (step_in == NULL || --points_left > 0) return;
    void (*run)(void) = step_in;
    step_in = NULL;
    run();
}

/* What one word was accessed with: the processors that forgive a wrong order are many. */
static const volatile void *watched;
static memory_order order_seen;

static void note(const volatile void *object, memory_order order) {
    if (object == watched) order_seen = order;
}

#undef atomic_load_explicit
#undef atomic_store_explicit
#define atomic_load_explicit(object, order)                                                        \
    __extension__({                                                                                \
        note((object), (order));                                                                   \
        __typeof__((void)0, *(object)) loaded = *(object);                                         \
        step_in_now();                                                                             \
        loaded;                                                                                    \
    })
#define atomic_store_explicit(object, value, order)                                                \
    __extension__({                                                                                \
        note((object), (order));                                                                   \
        *(object) = (value);                                                                       \
        step_in_now();                                                                             \
    })

#include "db/handle.h"
#include "store/version.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { POINTS_MAX = 20 };

static void expect(int point, void (*run)(void)) {
    points_left = point;
    step_in = run;
}

/* True: it has come. False: there are fewer points. */
static bool has_come(int point) {
    bool is_over = step_in == NULL;
    step_in = NULL;
    assert_true(point > 1 || is_over);
    assert_true(point < POINTS_MAX);
    return is_over;
}

/* ---- chains ---------------------------------------------------------------------------------- */

enum kind { BEHIND, APART, TOMBSTONE, KINDS };

/* A value with its headroom, and a version that does not lie in it. */
struct stored {
    struct version behind;
    kh_batch batch;
    struct version apart;
};
_Static_assert(offsetof(struct stored, batch) == BATCH_HEADROOM, "the value lies behind");

static struct entry *entry;
static struct stored stored[3];

static int open_entry(void **state) {
    (void)state;
    entry = calloc(1, sizeof *entry + 8);
    return entry == NULL;
}

static int close_entry(void **state) {
    (void)state;
    free(entry);
    return 0;
}

static struct version *make(struct stored *at, enum kind kind, uint64_t commit) {
    struct version *version = kind == BEHIND ? &at->behind : &at->apart;
    uintptr_t batch = kind == TOMBSTONE ? 0 : (uintptr_t)&at->batch;
    version_init(version, batch | (kind != BEHIND));
    version->commit = commit;
    return version;
}

static const kh_batch *value_of(const struct stored *at, enum kind kind) {
    return kind == TOMBSTONE ? NULL : &at->batch;
}

static void empty(void) {
    *entry = (struct entry){.head = head_of(NULL)};
}

static void link(struct version *version) {
    version->older = entry_head(entry);
    entry_link(entry, version);
}

/* As a reader finds it. */
static const kh_batch *value_at(uint64_t timestamp) {
    const kh_batch *batch = entry_value_fast(entry, timestamp);
    if (batch != NULL) return batch;
    const struct version *version = entry_read(entry, timestamp);
    return version == NULL || version_is_cold(version) ? NULL : version_batch(version);
}

/* Every chain of up to three, at every timestamp: whatever lies in its value's headroom, in a block
 * of its own, or is a tombstone. */
static void values_are_found(void **state) {
    (void)state;
    static const uint64_t commits[] = {4, 5, 9};
    for (int chain = 0; chain < KINDS * KINDS * KINDS; chain++) {
        enum kind kinds[] = {(enum kind)(chain % KINDS), (enum kind)(chain / KINDS % KINDS),
                             (enum kind)(chain / KINDS / KINDS)};
        empty();
        assert_null(value_at( UINT64_MAX - 1));
        for (int count = 1; count <= 3; count++) {
            link(make(&stored[count - 1], kinds[count - 1], commits[count - 1]));
            for (uint64_t at = 1; at <= 20; at++) {
                const kh_batch *expected = NULL;
                for (int i = 0; i < count; i++)
                    if (commits[i] <= at) expected = value_of(&stored[i], kinds[i]);
                assert_ptr_equal(value_at( at), expected);
            }
        }
    }
}

/* The mark is at least as new as the head that was read before it: the head is written with release
 * and read with acquire, wherever values come from. */
static void heads_are_ordered(void **state) {
    (void)state;
    empty();
    watched = &entry->head;
    for (int kind = 0; kind < KINDS; kind++) {
        order_seen = memory_order_relaxed;
        link(make(&stored[kind], (enum kind)kind, (uint64_t)kind + 1));
        assert_int_equal(order_seen, memory_order_release);
        order_seen = memory_order_relaxed;
        (void)value_at( 10);
        assert_int_equal(order_seen, memory_order_acquire);
        order_seen = memory_order_relaxed;
        (void)entry_visible(entry, 10);
        assert_int_equal(order_seen, memory_order_acquire);
    }
    watched = NULL;
}

static struct version *next;

static void link_next(void) {
    link(next);
}

static const kh_batch *seen;

static void look(void) {
    seen = value_at( 10);
}

/* The versions of 10 and, about to be linked, of 20. */
static void begin_pair(enum kind old, enum kind new) {
    empty();
    link(make(&stored[0], old, 10));
    next = make(&stored[1], new, 20);
}

static void a_reader_is_overtaken_by_a_commit(void **state) {
    (void)state;
    for (int pair = 0; pair < KINDS * KINDS; pair++) {
        enum kind old = (enum kind)(pair % KINDS);
        for (int point = 1;; point++) {
            begin_pair(old, (enum kind)(pair / KINDS));
            expect(point, link_next);
            const kh_batch *value = value_at( 10);
            bool goes_on = has_come(point);
            assert_ptr_equal(value, value_of(&stored[0], old));
            if (!goes_on) break;
        }
    }
}

static void a_commit_is_overtaken_by_a_reader(void **state) {
    (void)state;
    for (int pair = 0; pair < KINDS * KINDS; pair++) {
        enum kind old = (enum kind)(pair % KINDS);
        for (int point = 1;; point++) {
            begin_pair(old, (enum kind)(pair / KINDS));
            expect(point, look);
            next->older = entry_head(entry);
            entry_link(entry, next);
            if (!has_come(point)) break;
            assert_ptr_equal(seen, value_of(&stored[0], old));
            assert_ptr_equal(value_at( 20),
                             value_of(&stored[1], (enum kind)(pair / KINDS)));
        }
    }
}

/* ---- states ---------------------------------------------------------------------------------- */

static kh_txn txn;
static int takers;

static void take(void) {
    takers += handle_take(&txn);
}

static void expire(void) {
    takers += txn_move_state(&txn, TXN_ACTIVE, TXN_STOPPED);
}

static void commit(void) {
    takers += txn_move_state(&txn, TXN_ACTIVE, TXN_COMMITTING);
}

/* Of two who want the same move one has it, whoever comes in between. */
static void one_of_two_moves(enum txn_state from, void (*one)(void), void (*other)(void)) {
    for (int point = 1;; point++) {
        takers = 0;
        txn.state = (uint64_t)7 << STATE_BITS | from;
        expect(point, other);
        one();
        if (!has_come(point)) other();
        assert_int_equal(takers, 1);
        assert_int_equal(txn.state >> STATE_BITS, 7);
        assert_int_not_equal(txn.state & STATE_MASK, from);
        if (point > 4) return;
    }
}

static void a_handle_is_taken_once(void **state) {
    (void)state;
    one_of_two_moves(TXN_IDLE, take, take);
}

static void a_transaction_ends_one_way(void **state) {
    (void)state;
    one_of_two_moves(TXN_ACTIVE, commit, expire);
    one_of_two_moves(TXN_ACTIVE, expire, commit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_are_found, open_entry, close_entry),
        cmocka_unit_test_setup_teardown(heads_are_ordered, open_entry, close_entry),
        cmocka_unit_test_setup_teardown(a_reader_is_overtaken_by_a_commit, open_entry, close_entry),
        cmocka_unit_test_setup_teardown(a_commit_is_overtaken_by_a_reader, open_entry, close_entry),
        cmocka_unit_test(a_handle_is_taken_once),
        cmocka_unit_test(a_transaction_ends_one_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
