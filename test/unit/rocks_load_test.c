/* Tables that are taken in: RocksDB reads back what was written, at every length at which the
 * format changes its shape; the newer wins, whichever way it came; what fails changes nothing. */
#include "log/rocks_load.h"

#include "base/mem.h"
#include "log/rocks_handle.h"
#include "support/directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LATE_BYTES = 10, ROOM_BYTES = 64, KEYS_MAX = 16 };

struct place {
    struct directory directory;
    struct mem *mem;
    struct rocks *rocks;
    enum rocks_kind kind;
    char path[512];
};

static void open_rocks(struct place *p) {
    kh_error error = {""};
    if (rocks_open(p->mem, p->path, p->kind, ROCKS_CREATE, &p->rocks, &error) != KH_OK)
        fail_msg("%s", error.message);
}

static void set_up(struct place *p, enum rocks_kind kind) {
    directory_make(&p->directory);
    p->mem = mem_create(NULL);
    p->kind = kind;
    (void)snprintf(p->path, sizeof p->path, "%s", directory_join(&p->directory, "instance"));
    open_rocks(p);
}

static void reopen_rocks(struct place *p) {
    rocks_close(p->rocks);
    open_rocks(p);
}

static bool has_left(struct place *p, int number) {
    char name[600];
    (void)snprintf(name, sizeof name, "%s.load%d", p->path, number);
    return access(name, F_OK) == 0;
}

static void tear_down(struct place *p) {
    rocks_close(p->rocks);
    assert_false(has_left(p, 1) || has_left(p, 2));
    mem_close(p->mem);
    directory_remove(&p->directory);
}

static kh_bytes text(const char *bytes) {
    return (kh_bytes){bytes, strlen(bytes)};
}

/* NULL: absent. */
static void value_is(struct place *p, kh_bytes key, const void *expected, size_t size_bytes) {
    char *value = NULL;
    size_t found_bytes = 0;
    kh_status status = rocks_get(p->rocks, key, &value, &found_bytes, NULL);
    if (expected == NULL) {
        assert_int_equal(status, KH_NOT_FOUND);
        return;
    }
    assert_int_equal(status, KH_OK);
    assert_int_equal(found_bytes, size_bytes);
    assert_memory_equal(value, expected, size_bytes);
    rocksdb_free(value);
}

static void put(struct place *p, const char *key, const char *value) {
    char *message = NULL;
    rocksdb_put(p->rocks->db, p->rocks->unlogged, key, strlen(key), value, strlen(value), &message);
    assert_null(message);
}

/* ---- one entry ------------------------------------------------------------------------------- */

static unsigned char *make_value(size_t size_bytes) {
    unsigned char *room = malloc(ROOM_BYTES + size_bytes + ROOM_BYTES);
    assert_non_null(room);
    for (size_t i = 0; i < size_bytes; i++)
        room[ROOM_BYTES + i] = (unsigned char)(i * 131 + (i >> 8) + size_bytes);
    return room;
}

static void load_lone(struct place *p, uint64_t position, unsigned char *value, size_t size_bytes) {
    unsigned char key[8];
    unsigned char head[LATE_BYTES];
    struct rocks_lone_load load;
    rocks_store_u64(key, position);
    memcpy(head, value, sizeof head);
    memset(value, 0xee, sizeof head); /* not known when it begins */
    assert_int_equal(rocks_load_begin(&load, p->rocks, key, value, size_bytes, LATE_BYTES, NULL),
                     KH_OK);
    memcpy(value, head, sizeof head);
    assert_int_equal(rocks_load_end(&load, NULL), KH_OK);
}

static void test_lone_entries(void **state) {
    (void)state;
    static const size_t sizes[] = {LATE_BYTES, 127, 128, 16383, 16384, 2097151, 2097152 + 5, 20};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    struct place p;
    unsigned char *rooms[SIZES];
    set_up(&p, ROCKS_LOG);
    for (size_t i = 0; i < SIZES; i++) {
        rooms[i] = make_value(sizes[i]);
        load_lone(&p, 10 * i, rooms[i] + ROOM_BYTES, sizes[i]);
    }
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < SIZES; i++) {
            unsigned char key[8];
            rocks_store_u64(key, 10 * i);
            value_is(&p, (kh_bytes){key, sizeof key}, rooms[i] + ROOM_BYTES, sizes[i]);
            rocks_store_u64(key, 10 * i + 1);
            value_is(&p, (kh_bytes){key, sizeof key}, NULL, 0);
        }
        /* As tables of RocksDB's own, too. */
        if (round == 1) assert_int_equal(rocks_compact(p.rocks, NULL), KH_OK);
        reopen_rocks(&p);
    }
    for (size_t i = 0; i < SIZES; i++) free(rooms[i]);
    tear_down(&p);
}

/* The same key again: above what was taken in before. */
static void test_lone_again(void **state) {
    (void)state;
    struct place p;
    unsigned char key[8];
    set_up(&p, ROCKS_LOG);
    rocks_store_u64(key, 5);
    for (size_t size_bytes = 100; size_bytes < 104; size_bytes++) {
        unsigned char *room = make_value(size_bytes);
        load_lone(&p, 5, room + ROOM_BYTES, size_bytes);
        value_is(&p, (kh_bytes){key, sizeof key}, room + ROOM_BYTES, size_bytes);
        free(room);
    }
    tear_down(&p);
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* Words "key=value" or "key" (deleted), sorted by who calls, into one table. */
static struct rocks_table make_table(const char *words, kh_mutation entries[KEYS_MAX],
                                     char room[200]) {
    size_t count = 0;
    (void)snprintf(room, 200, "%s", words);
    for (char *word = strtok(room, " "); word != NULL; word = strtok(NULL, " ")) {
        char *equals = strchr(word, '=');
        if (equals != NULL) *equals = '\0';
        entries[count].key = text(word);
        entries[count].value = equals == NULL ? (kh_bytes){NULL, 0} : text(equals + 1);
        count++;
    }
    return (struct rocks_table){entries, count};
}

static kh_status load_words(struct place *p, const char *first, const char *second) {
    kh_mutation entries[2][KEYS_MAX];
    char rooms[2][200];
    struct rocks_table tables[2];
    tables[0] = make_table(first, entries[0], rooms[0]);
    if (second != NULL) tables[1] = make_table(second, entries[1], rooms[1]);
    return rocks_load(p->rocks, tables, second == NULL ? 1 : 2, NULL);
}

static void word_is(struct place *p, const char *key, const char *value) {
    value_is(p, text(key), value, value == NULL ? 0 : strlen(value));
}

static void test_the_newer_wins(void **state) {
    (void)state;
    struct place p;
    set_up(&p, ROCKS_VALUES);
    put(&p, "b", "put 1");
    put(&p, "x", "put 1");
    assert_int_equal(load_words(&p, "a=1 b=load1", "m=1 x=load1 z=1"), KH_OK);
    word_is(&p, "b", "load1");
    word_is(&p, "x", "load1");
    put(&p, "x", "put 2");
    word_is(&p, "x", "put 2");
    assert_int_equal(load_words(&p, "a=2", "n=2 x"), KH_OK);
    word_is(&p, "x", NULL);
    put(&p, "n", "put 3");
    for (int round = 0; round < 2; round++) {
        word_is(&p, "a", "2");
        word_is(&p, "b", "load1");
        word_is(&p, "m", "1");
        word_is(&p, "n", "put 3");
        word_is(&p, "x", NULL);
        word_is(&p, "z", "1");
        assert_int_equal(rocks_flush(p.rocks, NULL), KH_OK);
        assert_int_equal(rocks_compact(p.rocks, NULL), KH_OK);
        reopen_rocks(&p);
    }
    tear_down(&p);
}

static void test_all_or_nothing(void **state) {
    (void)state;
    struct place p;
    set_up(&p, ROCKS_VALUES);
    assert_int_equal(load_words(&p, "a=1", NULL), KH_OK);
    assert_int_equal(load_words(&p, "a=2 b=2", "z=2 m=2"), KH_IO); /* not in order */
    assert_false(has_left(&p, 1) || has_left(&p, 2));
    word_is(&p, "a", "1");
    word_is(&p, "b", NULL);
    assert_int_equal(load_words(&p, "a=2 b=2", "m=2 z=2"), KH_OK);
    word_is(&p, "z", "2");
    tear_down(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lone_entries),
        cmocka_unit_test(test_lone_again),
        cmocka_unit_test(test_the_newer_wins),
        cmocka_unit_test(test_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
