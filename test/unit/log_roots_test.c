/* The roots over the records of the log's groups: computed again where that is asked for, taken
 * from the heads where not. The group that lies has every checksum right. */
#include "log/rocks_log.h"

#include "db/at_rest.h"
#include "log/rocks_handle.h"
#include "support/directory.h"
#include "support/group_kit.h"

#include <stdio.h>

enum { RECORDS = 3 };

struct place {
    struct directory directory;
    struct group_kit kit;
    struct rocks *log;
    struct rocks *values;
    kh_identity identity;
    struct chain chain;
};

static struct rocks *open_part(struct place *p, const char *name, enum rocks_kind kind) {
    struct rocks *rocks = NULL;
    const char *path = directory_join(&p->directory, name);
    assert_int_equal(rocks_open(p->kit.mem, path, kind, ROCKS_CREATE, &rocks, NULL), KH_OK);
    return rocks;
}

static void set_up(struct place *p) {
    memset(p, 0, sizeof *p);
    struct digest genesis;
    directory_make(&p->directory);
    group_kit_begin(&p->kit);
    p->log = open_part(p, "log", ROCKS_LOG);
    p->values = open_part(p, "values", ROCKS_VALUES);
    chain_genesis(p->kit.digester, &p->identity, &genesis);
    chain_init(&p->chain, &genesis);
}

static void close_parts(struct place *p) {
    rocks_close(p->values);
    rocks_close(p->log);
    p->values = p->log = NULL;
}

static void tear_down(struct place *p) {
    close_parts(p);
    group_kit_end(&p->kit);
    directory_remove(&p->directory);
}

static void put_group(struct place *p, uint64_t first) {
    unsigned char key[8];
    char *message = NULL;
    rocks_store_u64(key, first);
    rocksdb_put(p->log->db, p->log->synced, (const char *)key, sizeof key,
                (const char *)p->kit.bytes, p->kit.size_bytes, &message);
    assert_null(message);
}

/* is_lying: the last byte is another one than the root was made of. */
static void append(struct place *p, bool is_lying) {
    struct group_head head;
    uint64_t first = p->chain.next;
    group_kit_append(&p->kit, &p->chain, RECORDS, &head);
    if (is_lying) {
        p->kit.bytes[p->kit.size_bytes - 1] ^= 1;
        group_encode_head(&head, group_kit_body(&p->kit), p->kit.bytes);
    }
    put_group(p, first);
}

/* Nothing of it was acknowledged, so that a group that is refused ends the log. */
static void end_is(struct place *p, bool checks_roots, kh_log_position expected) {
    struct rocks_log *log = NULL;
    struct mark mark;
    struct rocks_log_options options = {.log = p->log,
                                        .values = p->values,
                                        .path = p->directory.path,
                                        .identity = p->identity,
                                        .mark_file = -1,
                                        .clock = env_clock_system(),
                                        .checks_roots = checks_roots};
    assert_int_equal(rocks_log_create(p->kit.mem, &options, &log, NULL), KH_OK);
    rocks_log_mark(log, &mark);
    assert_int_equal(mark.next, expected);
    rocks_log_destroy(log);
}

static void a_root_is_computed_where_that_is_asked_for(void **state) {
    (void)state;
    struct place p;
    set_up(&p);
    append(&p, false);
    append(&p, false);
    end_is(&p, false, 2 * RECORDS);
    end_is(&p, true, 2 * RECORDS);
    append(&p, true);
    end_is(&p, false, 3 * RECORDS);
    end_is(&p, true, 2 * RECORDS);
    tear_down(&p);
}

/* As a backup is read back. */
static void backups_are_who_asks(void **state) {
    (void)state;
    char log[DIRECTORY_BYTES];
    struct place p;
    struct mark mark;
    set_up(&p);
    append(&p, false);
    append(&p, true);
    close_parts(&p);
    (void)snprintf(log, sizeof log, "%s", directory_join(&p.directory, "log"));
    struct at_rest copy = {.identity = p.identity};
    assert_int_equal(
        at_rest_open_parts(p.kit.mem, log, directory_join(&p.directory, "values"), &copy, NULL),
        KH_OK);
    rocks_log_mark(copy.log, &mark);
    assert_int_equal(mark.next, RECORDS);
    at_rest_close(&copy);
    tear_down(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_root_is_computed_where_that_is_asked_for),
        cmocka_unit_test(backups_are_who_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
