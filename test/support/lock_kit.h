/* lock_kit.h - a table of locks and some owners with a clock that the test moves. Every call is by
 * one thread: a wait is a status, and locks_look tells what has become of it. */
#ifndef KHONSU_TEST_LOCK_KIT_H
#define KHONSU_TEST_LOCK_KIT_H

#include "base/hash.h"
#include "txn/locks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LOCK_KIT_OWNERS = 8, LOCK_KIT_REQUESTS = 8, LOCK_KIT_TIMEOUT_MS = 30000 };
#define LOCK_KIT_MS 1000000u

struct lock_kit {
    struct mem *mem;
    struct locks table;
    uint64_t now_ns;
    struct lock_owner owners[LOCK_KIT_OWNERS];
    struct lock_request requests[LOCK_KIT_OWNERS][LOCK_KIT_REQUESTS];
    struct lock_blocker blocker; /* of the last call */
};

static inline struct lock_request lock_kit_request(const char *key, kh_lock_mode mode) {
    size_t size_bytes = strlen(key);
    return (struct lock_request){{key, size_bytes}, hash_bytes(key, size_bytes, 7), mode};
}

/* Owners are numbered from 1 by id; a greater number is younger. */
static inline void lock_kit_open(struct lock_kit *kit, const struct mem_hooks *hooks,
                                 kh_lock_victim victim) {
    memset(kit, 0, sizeof *kit);
    kit->mem = mem_create(hooks);
    assert_non_null(kit->mem);
    kit->now_ns = 1000 * LOCK_KIT_MS;
    locks_init(&kit->table, kit->mem, LOCK_KIT_TIMEOUT_MS * (uint64_t)LOCK_KIT_MS, victim);
    for (int i = 0; i < LOCK_KIT_OWNERS; i++)
        locks_enroll(&kit->owners[i], (kh_txn_id){9, (uint64_t)i + 1}, (uint64_t)i, 0);
}

static inline struct lock_counts lock_kit_counts(struct lock_kit *kit) {
    struct lock_counts counts;
    locks_count(&kit->table, &counts);
    return counts;
}

/* Nothing is left of anybody. */
static inline void lock_kit_close(struct lock_kit *kit) {
    assert_true(locks_is_empty(&kit->table));
    assert_int_equal(lock_kit_counts(kit).held, 0);
    assert_int_equal(lock_kit_counts(kit).waiting, 0);
    locks_fini(&kit->table);
    assert_int_equal(mem_live_bytes(kit->mem), 0);
    mem_close(kit->mem);
}

/* Keys are words: "a", "a b!" (an exclamation mark: exclusive). */
static inline size_t lock_kit_parse(struct lock_kit *kit, int owner, const char *words,
                                    char space[64]) {
    (void)snprintf(space, 64, "%s", words);
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(space, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        size_t length = strlen(word);
        kh_lock_mode mode = word[length - 1] == '!' ? KH_LOCK_EXCLUSIVE : KH_LOCK_SHARED;
        if (mode == KH_LOCK_EXCLUSIVE) word[length - 1] = '\0';
        assert_true(count < LOCK_KIT_REQUESTS);
        kit->requests[owner][count++] = lock_kit_request(word, mode);
    }
    return count;
}

static inline kh_status lock_kit_try(struct lock_kit *kit, int owner, const char *words) {
    char space[64];
    size_t count = lock_kit_parse(kit, owner, words, space);
    memset(&kit->blocker, 0, sizeof kit->blocker);
    return locks_try(&kit->table, &kit->owners[owner], kit->requests[owner], count, kit->now_ns,
                     &kit->blocker);
}

/* space holds the keys until the wait is over. */
static inline kh_status lock_kit_ask_in(struct lock_kit *kit, int owner, const char *words,
                                        char space[64]) {
    size_t count = lock_kit_parse(kit, owner, words, space);
    return locks_ask(&kit->table, &kit->owners[owner], kit->requests[owner], count, kit->now_ns,
                     &kit->blocker);
}

static inline kh_status lock_kit_look(struct lock_kit *kit, int owner) {
    uint64_t next_ns = 0;
    kh_status status = locks_look(&kit->table, &kit->owners[owner], kit->now_ns, &next_ns);
    if (status == KH_PENDING) {
        assert_true(next_ns > kit->now_ns);
        assert_true(next_ns <= kit->now_ns + LOCKS_LOOK_MS * (uint64_t)LOCK_KIT_MS);
    }
    return status;
}

static inline void lock_kit_end(struct lock_kit *kit, int owner) {
    locks_end(&kit->table, &kit->owners[owner]);
}

static inline kh_status lock_kit_seal(struct lock_kit *kit, int owner) {
    return locks_seal(&kit->table, &kit->owners[owner], kit->now_ns);
}

/* Does anybody but owner (-1: anybody at all) hold the key? 0: no, else the holder's number. */
static inline uint64_t lock_kit_holder(struct lock_kit *kit, const char *key, int owner) {
    struct lock_request request = lock_kit_request(key, KH_LOCK_SHARED);
    struct lock_blocker blocker = {{0, 0}, {NULL, 0}};
    const struct lock_owner *self = owner < 0 ? NULL : &kit->owners[owner];
    bool is_found =
        locks_blocker(&kit->table, request.key, request.hash, self, kit->now_ns, &blocker);
    assert_int_equal(is_found, blocker.holder.low != 0);
    return blocker.holder.low;
}

#endif
