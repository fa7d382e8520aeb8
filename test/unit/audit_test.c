/* The audit over storages and logs that the engine made: as they are it has nothing to say; each
 * entry that is taken away, put back from earlier, or made another one, is found. */
#include "log/audit.h"
#include "log/checkpoint.h"
#include "support/held_log.h"
#include "support/map_storage.h"

#include "base/mem.h"

struct fixture {
    struct map_storage map;
    struct held_log held;
    kh_options options;
    kh_db *db;
    struct mem *mem;
    struct digester *digester;
};

static void open_fixture(struct fixture *f, uint64_t retention_ms) {
    memset(f, 0, sizeof *f);
    map_storage_init(&f->map);
    held_log_init(&f->held, HELD_AT_ONCE);
    f->options = kit_options();
    f->options.storage = &f->map.storage;
    f->options.log = &f->held.log;
    f->options.retention_ms = retention_ms;
    f->db = kit_open_with(&f->options);
    f->mem = mem_create(NULL);
    f->digester = digester_create(f->mem);
    assert_non_null(f->digester);
}

static void close_fixture(struct fixture *f) {
    digester_destroy(f->digester);
    mem_close(f->mem);
    map_storage_fini(&f->map);
    held_log_fini(&f->held);
}

static kh_txn_id prepare(kh_db *db, const char *key, int64_t number) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_txn_id id = kh_txn_get_id(txn);
    kit_put(txn, key, number);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    kh_txn_close(txn);
    return id;
}

static void fill(kh_db *db, int round) {
    for (int i = 0; i < 12; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i % 5);
        kit_store(db, key, round * 100 + i);
    }
    kit_store(db, "gone", round);
    kit_store(db, "gone", KIT_ABSENT);
    kh_txn_id kept = prepare(db, "decided", round);
    kh_txn_id dropped = prepare(db, "dropped", round);
    kit_is(kh_db_decide(db, kept, true, NULL, NULL), KH_OK);
    kit_is(kh_db_decide(db, dropped, false, NULL, NULL), KH_OK);
}

/* As of a log that begins at `from`: what lies before was cut off. */
static kh_status audit_all(struct fixture *f, size_t from, struct audit *audit, kh_error *error) {
    struct checkpoint at;
    kit_is(checkpoint_init(&at, f->mem, NULL, &f->map.storage, NULL), KH_OK);
    kh_status status =
        audit_init(audit, f->mem, f->digester, at.applied, at.swept, at.newest_commit, error);
    checkpoint_fini(&at);
    for (size_t i = from; i < f->held.record_count && status == KH_OK; i++)
        status = audit_record(audit, i, f->held.records[i], error);
    for (struct map_entry *entry = f->map.first; entry != NULL && status == KH_OK;
         entry = entry->next)
        if (strchr("VPQSO", *(const char *)entry->key.data) != NULL)
            status = audit_entry(audit, entry->key, entry->value, error);
    return status == KH_OK ? audit_end(audit, error) : status;
}

static kh_status audited(struct fixture *f, kh_error *error) {
    struct audit audit;
    kh_status status = audit_all(f, 0, &audit, error);
    audit_fini(&audit);
    return status;
}

static void is_sound(struct fixture *f) {
    kh_error error = {""};
    kh_status status = audited(f, &error);
    if (status != KH_OK) fail_msg("%s", error.message);
}

/* One after the other: without it, with another value, under a key that nothing wrote. */
static void every_change_is_found(struct fixture *f) {
    kh_error error;
    for (struct map_entry **link = &f->map.first; *link != NULL; link = &(*link)->next) {
        struct map_entry *entry = *link;
        unsigned char *value = (unsigned char *)(uintptr_t)entry->value.data;
        unsigned char kind = *(const unsigned char *)entry->key.data;
        if (strchr("VPSO", kind) == NULL) continue;
        *link = entry->next;
        kit_is(audited(f, &error), kind == 'O' ? KH_OK : KH_CORRUPT); /* outcomes expire */
        if (kind != 'O') assert_non_null(strstr(error.message, "missing"));
        *link = entry;
        value[entry->value.size_bytes - 1] ^= 1;
        kit_is(audited(f, &error), KH_CORRUPT);
        value[entry->value.size_bytes - 1] ^= 1;
        if (kind == 'S' || kind == 'O') continue; /* another may be of before the log */
        unsigned char *end = (unsigned char *)(uintptr_t)entry->key.data + entry->key.size_bytes;
        end[-1] ^= 1;
        kit_is(audited(f, &error), KH_CORRUPT);
        end[-1] ^= 1;
    }
    is_sound(f);
}

static void test_as_written(void **state) {
    (void)state;
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        struct fixture f;
        open_fixture(&f, is_kept ? UINT64_C(1) << 40 : 0);
        for (int round = 0; round < 3; round++) {
            fill(f.db, round);
            if (round != 1) kh_db_step(f.db);
            is_sound(&f);
        }
        (void)prepare(f.db, "open", 1);
        kit_close(f.db);
        is_sound(&f);
        if (!is_kept) every_change_is_found(&f);
        close_fixture(&f);
    }
}

/* Whatever of the log was cut off, what is left agrees, and the rest is counted. */
static void test_cut_off(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, 0);
    fill(f.db, 0);
    (void)prepare(f.db, "open", 1);
    kh_txn_id late = prepare(f.db, "late", 2);
    fill(f.db, 1);
    kh_db_step(f.db);
    kit_is(kh_db_decide(f.db, late, true, NULL, NULL), KH_OK);
    fill(f.db, 2);
    kit_close(f.db);
    for (size_t from = 0; from <= f.held.record_count; from++) {
        struct audit audit;
        kh_error error = {""};
        kh_status status = audit_all(&f, from, &audit, &error);
        if (status != KH_OK) fail_msg("from %zu: %s", from, error.message);
        if (from == 0) assert_int_equal(audit.unchecked_versions, 0);
        if (from == f.held.record_count) {
            assert_int_equal(audit.unchecked_versions, map_storage_count(&f.map, 'V'));
            assert_int_equal(audit.unchecked_prepared, map_storage_count(&f.map, 'P'));
            assert_int_equal(audit.unchecked_schemas, map_storage_count(&f.map, 'S'));
        }
        audit_fini(&audit);
    }
    close_fixture(&f);
}

/* An old value that should be gone, beside the new one. */
static void test_old_value_comes_back(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, 0);
    kit_store(f.db, "k", 1);
    kh_db_step(f.db);
    struct map_entry *old = NULL;
    for (struct map_entry *entry = f.map.first; entry != NULL; entry = entry->next)
        if (*(const char *)entry->key.data == 'V') old = entry;
    assert_non_null(old);
    struct map_entry copy = *old;
    char key[64];
    char value[4096];
    assert_true(copy.key.size_bytes < sizeof key && copy.value.size_bytes < sizeof value);
    memcpy(key, old->key.data, copy.key.size_bytes);
    memcpy(value, old->value.data, copy.value.size_bytes);
    copy.key.data = key;
    copy.value.data = value;
    kit_store(f.db, "k", 2);
    kit_close(f.db);
    is_sound(&f);
    copy.next = f.map.first;
    f.map.first = &copy;
    kh_error error;
    kit_is(audited(&f, &error), KH_CORRUPT);
    assert_non_null(strstr(error.message, "should be gone"));
    f.map.first = copy.next;
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_written),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_old_value_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
