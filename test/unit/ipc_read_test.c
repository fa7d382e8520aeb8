/* ipc_read_test.c - the reader before bytes that are cut, changed, lying or late, and before
 * memory that runs out: always a typed status, never more memory than the bytes justify. */
#include "batch/ipc_wire.h"
#include "support/ipc_kit.h"

static const char *const small_types[] = {
    "l", "u", "vu", "b", "+l[u]", "+vl[i]", "i{u}", "+r[!i;u]", "+ud:0,5[l;u]", "+s[d:9,2;tsu:UTC]",
    "+m[!+s[!u;l]]", "+l[i{u}]"};
#define SMALL_COUNT (sizeof small_types / sizeof small_types[0])

static kh_bytes small(size_t type, unsigned way) {
    kh_batch *batch = ipc_kit_batch(NULL, small_types[type], 5, type);
    kh_bytes bytes = ipc_kit_encode(batch, (way & 1) != 0 ? KH_IPC_FILE : KH_IPC_STREAM,
                                    (kh_compression)(way >> 1));
    kh_batch_release(batch);
    return bytes;
}

static void test_cut_anywhere(void **state) {
    (void)state;
    for (size_t type = 0; type < SMALL_COUNT; type++)
        for (unsigned way = 0; way < 6; way++) {
            kh_bytes bytes = small(type, way);
            bool is_file = (way & 1) != 0;
            for (size_t size = 0; size < bytes.size_bytes; size++) {
                unsigned char *cut = malloc(size + 1);
                assert_non_null(cut);
                memcpy(cut, bytes.data, size);
                kh_status status = ipc_kit_try(NULL, cut, size);
                free(cut);
                /* A stream may end where a message does. */
                if (is_file || status != KH_OK)
                    assert_int_equal(status, KH_CORRUPT);
                else
                    assert_int_equal(size % 8, 0);
            }
            kh_bytes_free(bytes);
        }
}

static void test_any_byte_changed(void **state) {
    static const unsigned char masks[] = {0x01, 0xff};
    (void)state;
    for (size_t type = 0; type < SMALL_COUNT; type++)
        for (unsigned way = 0; way < 6; way++) {
            kh_bytes bytes = small(type, way);
            unsigned char *changed = malloc(bytes.size_bytes);
            assert_non_null(changed);
            memcpy(changed, bytes.data, bytes.size_bytes);
            for (size_t at = 0; at < bytes.size_bytes; at++)
                for (size_t mask = 0; mask < sizeof masks; mask++) {
                    changed[at] ^= masks[mask];
                    assert_true(ipc_kit_is_verdict(ipc_kit_try(NULL, changed, bytes.size_bytes)));
                    changed[at] ^= masks[mask];
                }
            free(changed);
            kh_bytes_free(bytes);
        }
}

static void test_sources_that_dribble_or_fail(void **state) {
    (void)state;
    for (unsigned way = 0; way < 2; way++) {
        kh_bytes bytes = small(6, way);
        struct ipc_kit_source source = {.rest = bytes, .step = 1};
        kh_status status;
        kh_error error = {""};
        assert_int_equal(ipc_kit_read_all(NULL, &source, &status, &error), 1);
        ipc_kit_is(status, KH_OK, &error);
        uint64_t calls = source.calls;
        for (uint64_t fail_at = 1; fail_at <= calls; fail_at++) {
            source = (struct ipc_kit_source){.rest = bytes, .step = 1, .fail_at = fail_at};
            (void)ipc_kit_read_all(NULL, &source, &status, &error);
            assert_int_equal(status, KH_IO);
        }
        kh_bytes_free(bytes);
    }
}

static int64_t read_too_much(void *context, void *bytes, size_t size_bytes) {
    (void)context;
    (void)bytes;
    return (int64_t)size_bytes + 1;
}

static void test_sources_that_lie(void **state) {
    (void)state;
    kh_error error = {""};
    kh_source source = {read_too_much, NULL};
    kh_ipc_reader *reader = NULL;
    assert_int_equal(kh_ipc_reader_open(NULL, &source, &reader, &error), KH_IO);
    assert_int_equal(kh_ipc_reader_open(NULL, NULL, &reader, &error), KH_INVALID);
    assert_null(reader);
    kh_ipc_reader_close(NULL);
}

/* Where the int64 `value` lies in the bytes, in its only place. */
static size_t find_int64(const unsigned char *bytes, size_t size_bytes, int64_t value) {
    size_t found = SIZE_MAX;
    for (size_t at = 0; at + 8 <= size_bytes; at += 4)
        if (memcmp(bytes + at, &value, 8) == 0) {
            assert_int_equal(found, SIZE_MAX);
            found = at;
        }
    assert_int_not_equal(found, SIZE_MAX);
    return found;
}

static void test_promises_are_not_believed(void **state) {
    static const int64_t lies[] = {1ll << 62, 1ll << 40, (4ll << 30) - 8, -8, INT64_MIN};
    (void)state;
    struct foreign_random plain = {1, false, false};
    kh_batch *batch = ipc_kit_slice(NULL, "l", 103, 0, 103, plain);
    kh_bytes bytes = ipc_kit_encode(batch, KH_IPC_STREAM, KH_COMPRESS_NONE);
    unsigned char *changed = malloc(bytes.size_bytes);
    assert_non_null(changed);
    memcpy(changed, bytes.data, bytes.size_bytes);
    size_t body = find_int64(changed, bytes.size_bytes, 832); /* 103 * 8, padded to 64 */
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct home home;
        kh_db *db = home_open(&home);
        memcpy(changed + body, &lies[i], 8);
        kh_status status = ipc_kit_try(db, changed, bytes.size_bytes);
        assert_true(status == KH_CORRUPT || status == KH_TOO_BIG);
        assert_true(home.calls < 100);
        home_close(&home);
        assert_int_equal(home.live_blocks, 0);
    }
    uint32_t metadata = 0x7ffffff8;
    memcpy(changed, bytes.data, bytes.size_bytes);
    memcpy(changed + 4, &metadata, 4);
    assert_int_equal(ipc_kit_try(NULL, changed, bytes.size_bytes), KH_TOO_BIG);
    metadata = 0x80000000;
    memcpy(changed + 4, &metadata, 4);
    assert_int_equal(ipc_kit_try(NULL, changed, bytes.size_bytes), KH_CORRUPT);
    metadata = IPC_METADATA_BYTES;
    memcpy(changed + 4, &metadata, 4);
    assert_int_equal(ipc_kit_try(NULL, changed, bytes.size_bytes), KH_CORRUPT);
    free(changed);
    kh_bytes_free(bytes);
    kh_batch_release(batch);
}

/* The framing of versions before 0.15: no continuation marker, four zero bytes at the end. */
static void test_legacy_framing(void **state) {
    (void)state;
    kh_bytes bytes = small(0, 0);
    const unsigned char *from = bytes.data;
    unsigned char *legacy = malloc(bytes.size_bytes);
    size_t size = 0;
    size_t at = 0;
    assert_non_null(legacy);
    while (at < bytes.size_bytes) {
        uint32_t metadata;
        memcpy(&metadata, from + at + 4, 4);
        int64_t body = 0;
        if (metadata != 0) {
            struct ipc_message message;
            kh_bytes part = {from + at + 8, metadata};
            assert_int_equal(ipc_message_open(part, 1 << 20, &message, NULL), KH_OK);
            body = message.body_bytes;
        }
        size_t rest = 4 + metadata + (size_t)body;
        memcpy(legacy + size, from + at + 4, rest);
        size += rest;
        at += 4 + rest;
    }
    assert_int_equal(ipc_kit_try(NULL, legacy, size), KH_OK);
    assert_int_equal(ipc_kit_try(NULL, legacy, size - 4), KH_OK);
    assert_int_equal(ipc_kit_try(NULL, legacy, size - 1), KH_CORRUPT);
    free(legacy);
    kh_bytes_free(bytes);
}

static void test_two_schemas_and_none(void **state) {
    (void)state;
    kh_bytes bytes = small(0, 0);
    uint32_t metadata;
    memcpy(&metadata, (const char *)bytes.data + 4, 4);
    size_t schema = 8 + metadata;
    unsigned char *doubled = malloc(schema + bytes.size_bytes);
    assert_non_null(doubled);
    memcpy(doubled, bytes.data, schema);
    memcpy(doubled + schema, bytes.data, bytes.size_bytes);
    assert_int_equal(ipc_kit_try(NULL, doubled, schema + bytes.size_bytes), KH_CORRUPT);
    assert_int_equal(ipc_kit_try(NULL, doubled + schema, schema), KH_OK);
    assert_int_equal(ipc_kit_try(NULL, (const char *)bytes.data + schema,
                                 bytes.size_bytes - schema), KH_CORRUPT);
    assert_int_equal(ipc_kit_try(NULL, "\xff\xff\xff\xff\0\0\0", 8), KH_CORRUPT);
    free(doubled);
    kh_bytes_free(bytes);
}

/* Every place that a footer names, and the magic and size behind it, wrong by one bit: another
 * reader would see other batches. */
static void test_footers_that_disagree(void **state) {
    (void)state;
    kh_bytes bytes = small(6, 1);
    unsigned char *changed = malloc(bytes.size_bytes);
    int32_t size;
    struct flat_table root;
    assert_non_null(changed);
    memcpy(changed, bytes.data, bytes.size_bytes);
    memcpy(&size, changed + bytes.size_bytes - 10, sizeof size);
    const unsigned char *footer = changed + bytes.size_bytes - 10 - size;
    assert_true(flat_root(footer, (size_t)size, &root));
    for (unsigned field = FOOTER_DICTIONARIES; field <= FOOTER_RECORDS; field++) {
        struct flat_vector places;
        assert_true(flat_items(&root, field, sizeof(struct ipc_place), &places));
        assert_int_equal(places.count, 1);
        size_t at = (size_t)(places.items - changed);
        for (size_t i = 0; i < sizeof(struct ipc_place); i++) {
            bool is_padding = i >= 12 && i < 16;
            changed[at + i] ^= 8;
            assert_int_equal(ipc_kit_try(NULL, changed, bytes.size_bytes),
                             is_padding ? KH_OK : KH_CORRUPT);
            changed[at + i] ^= 8;
        }
        uint32_t count = 0;
        memcpy(changed + at - 4, &count, 4);
        assert_int_equal(ipc_kit_try(NULL, changed, bytes.size_bytes), KH_CORRUPT);
        count = 1;
        memcpy(changed + at - 4, &count, 4);
    }
    for (size_t i = bytes.size_bytes - 10; i < bytes.size_bytes; i++) {
        changed[i] ^= 4;
        assert_int_equal(ipc_kit_try(NULL, changed, bytes.size_bytes), KH_CORRUPT);
        changed[i] ^= 4;
    }
    assert_int_equal(ipc_kit_try(NULL, changed, bytes.size_bytes), KH_OK);
    free(changed);
    kh_bytes_free(bytes);
}

/* A file whose footer tells another schema: other names, other ids. */
static void test_footers_of_other_schemas(void **state) {
    (void)state;
    kh_bytes bytes = small(6, 1);
    unsigned char *changed = malloc(bytes.size_bytes);
    int32_t size;
    size_t refused = 0;
    assert_non_null(changed);
    memcpy(changed, bytes.data, bytes.size_bytes);
    memcpy(&size, changed + bytes.size_bytes - 10, sizeof size);
    for (size_t at = bytes.size_bytes - 10 - (size_t)size; at < bytes.size_bytes - 10; at++) {
        if (changed[at] != 'c')
            continue;
        changed[at] = 'd';
        refused += ipc_kit_try(NULL, changed, bytes.size_bytes) == KH_CORRUPT;
        changed[at] = 'c';
    }
    assert_true(refused > 0);
    free(changed);
    kh_bytes_free(bytes);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    for (size_t type = 0; type < SMALL_COUNT; type++)
        for (unsigned way = 0; way < 6; way++) {
            kh_bytes bytes = small(type, way);
            uint64_t fail_at = 0;
            kh_status status = KH_NO_MEMORY;
            while (status != KH_OK) {
                struct home home;
                kh_db *db = home_open(&home);
                home.fail_at = home.calls + ++fail_at;
                status = ipc_kit_try(db, bytes.data, bytes.size_bytes);
                if (home.calls < home.fail_at)
                    assert_int_equal(status, KH_OK);
                else
                    assert_int_equal(status, KH_NO_MEMORY);
                home_close(&home);
                assert_int_equal(home.live_blocks, 0);
                assert_true(fail_at < 1000);
            }
            assert_true(fail_at > 5);
            kh_bytes_free(bytes);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_any_byte_changed),
        cmocka_unit_test(test_sources_that_dribble_or_fail),
        cmocka_unit_test(test_sources_that_lie),
        cmocka_unit_test(test_promises_are_not_believed),
        cmocka_unit_test(test_legacy_framing),
        cmocka_unit_test(test_two_schemas_and_none),
        cmocka_unit_test(test_footers_that_disagree),
        cmocka_unit_test(test_footers_of_other_schemas),
        cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
