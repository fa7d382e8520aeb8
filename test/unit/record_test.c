/* Encoding records: what goes in comes out, sealing, the layout, allocations that fail. */
#include "support/record_kit.h"

static void what_goes_in_comes_out(void **state) {
    (void)state;
    static struct full full;
    struct fixture f;
    begin(&f);
    make_full(&full, &f);
    enum record_kind kinds[] = {RECORD_COMMIT, RECORD_PREPARE};
    for (size_t i = 0; i < 2; i++) {
        full.record.kind = kinds[i];
        if (kinds[i] == RECORD_PREPARE) full.record.member_count = 0; /* of commits only */
        f.out.size_bytes = 0;
        assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
        unsigned char *frame = exact_copy(&f);
        struct record decoded;
        assert_int_equal(record_decode(&f.codec, frame_of(&f), &f.arena, &decoded, NULL), KH_OK);
        memset(f.out.bytes, 0xee, f.out.size_bytes); /* nothing points there */
        check_same(&decoded, &full.record);
        assert_ptr_equal(kh_batch_schema(decoded.writes[0].batch), f.schemas[0]);
        /* Decoded and encoded again it is the same bytes. */
        f.out.size_bytes = 0;
        assert_int_equal(record_encode(&f.codec, &decoded, &f.out, NULL), KH_OK);
        assert_memory_equal(f.out.bytes, frame, f.out.size_bytes);
        record_drop(&f.codec, &decoded);
        assert_int_equal(decoded.write_count, 0);
        arena_reset(&f.arena);
        free(frame);
    }
    end(&f);
}

static void decisions_and_horizons_are_a_head(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    enum record_kind kinds[] = {RECORD_DECIDE_COMMIT, RECORD_DECIDE_ABORT, RECORD_HORIZON};
    for (size_t i = 0; i < 3; i++) {
        struct record record = {.kind = kinds[i], .id = {1, 2}, .commit = i == 1 ? 0 : 77};
        f.out.size_bytes = 0;
        assert_int_equal(record_encode(&f.codec, &record, &f.out, NULL), KH_OK);
        assert_int_equal(f.out.size_bytes, RECORD_HEAD_BYTES);
        struct record decoded;
        assert_int_equal(record_decode(&f.codec, frame_of(&f), &f.arena, &decoded, NULL), KH_OK);
        check_same(&decoded, &record);
        record_drop(&f.codec, &decoded);
    }
    end(&f);
}

static void schemas_come_out_interned(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    struct record record = {.kind = RECORD_SCHEMA, .schema = f.handles[0], .schema_number = 65535};
    assert_int_equal(record_encode(&f.codec, &record, &f.out, NULL), KH_OK);
    struct record decoded;
    assert_int_equal(record_decode(&f.codec, frame_of(&f), &f.arena, &decoded, NULL), KH_OK);
    assert_ptr_equal(decoded.schema, f.schemas[0]);
    assert_int_equal(decoded.schema_number, 65535);
    record_drop(&f.codec, &decoded);
    end(&f);
}

static uint64_t number_at(const unsigned char *bytes, size_t position, size_t width) {
    uint64_t number = 0;
    for (size_t i = 0; i < width; i++) number |= (uint64_t)bytes[position + i] << (8 * i);
    return number;
}

/* Positions as docs/record-format.md gives them: frames of old logs are read by them. */
static void the_layout_is_as_documented(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    kh_bytes read = text("key");
    struct record record = {.kind = RECORD_COMMIT,
                            .id = {0x0102030405060708, 9},
                            .isolation = KH_SERIALIZABLE,
                            .rule = RECORD_RULE_STRICT_SSN,
                            .birth = 10,
                            .snapshot = 11,
                            .commit = 12,
                            .eta = 13,
                            .pi = 14,
                            .reads = &read,
                            .read_count = 1};
    assert_int_equal(record_encode(&f.codec, &record, &f.out, NULL), KH_OK);
    const unsigned char *bytes = f.out.bytes;
    assert_memory_equal(bytes, "KHRC", 4);
    assert_int_equal(number_at(bytes, 4, 4), 1);
    assert_int_equal(number_at(bytes, 8, 8), XXH3_64bits_withSeed(bytes + 16, 80, 1));
    assert_int_equal(number_at(bytes, 16, 8), XXH3_64bits_withSeed(bytes + 96, 24, 1));
    assert_int_equal(number_at(bytes, 24, 4), 120);
    assert_int_equal(number_at(bytes, 28, 4), 0);
    assert_int_equal(number_at(bytes, 32, 8), 0x010301);
    assert_int_equal(number_at(bytes, 40, 8), 0x0102030405060708);
    for (size_t i = 0; i < 6; i++) assert_int_equal(number_at(bytes, 48 + 8 * i, 8), 9 + i);
    static const unsigned char body[24] = {3, 0, 1, 0, 9, 0, 0, 0, 1, 0, 0, 0, 3, 0, 'k', 'e', 'y'};
    assert_int_equal(f.out.size_bytes, 120);
    assert_memory_equal(bytes + 96, body, sizeof body);
    end(&f);
}

static void sealing_is_encoding_with_other_stamps(void **state) {
    (void)state;
    static struct full full;
    struct fixture f;
    begin(&f);
    make_full(&full, &f);
    assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
    unsigned char *sealed = exact_copy(&f);
    size_t size_bytes = f.out.size_bytes;
    full.record.commit = 300;
    full.record.eta = 7;
    full.record.pi = 8;
    record_seal(sealed, 300, 7, 8);
    f.out.size_bytes = 0;
    assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
    assert_int_equal(f.out.size_bytes, size_bytes);
    assert_memory_equal(f.out.bytes, sealed, size_bytes);
    struct record decoded;
    kh_bytes frame = {sealed, size_bytes};
    assert_int_equal(record_decode(&f.codec, frame, &f.arena, &decoded, NULL), KH_OK);
    check_same(&decoded, &full.record);
    record_drop(&f.codec, &decoded);
    free(sealed);
    end(&f);
}

/* Frames follow one another in a buffer, wherever they begin. */
static void frames_append(void **state) {
    (void)state;
    static struct full full;
    struct fixture f;
    begin(&f);
    make_small(&full, &f);
    ipc_buffer_append(&f.out, "odd", 3);
    assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
    size_t second = f.out.size_bytes;
    assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
    assert_memory_equal(f.out.bytes, "odd", 3);
    assert_int_equal(f.out.size_bytes - second, second - 3);
    for (int i = 0; i < 2; i++) {
        struct record decoded;
        kh_bytes frame = {f.out.bytes + (i == 0 ? 3 : second), second - 3};
        assert_int_equal(record_decode(&f.codec, frame, &f.arena, &decoded, NULL), KH_OK);
        check_same(&decoded, &full.record);
        record_drop(&f.codec, &decoded);
    }
    end(&f);
}

static void allocations_that_fail_leave_nothing(void **state) {
    (void)state;
    static struct full full;
    struct fixture f;
    begin(&f);
    make_small(&full, &f);
    struct record schema = {.kind = RECORD_SCHEMA, .schema = f.handles[0]};
    const struct record *records[] = {&full.record, &schema};
    uint64_t empty = mem_live_bytes(f.mem);
    for (int i = 0; i < 2; i++) {
        kh_status status = KH_NO_MEMORY;
        for (uint64_t n = 0; status != KH_OK; n++) {
            ipc_buffer_fini(&f.out);
            f.failing.countdown = n;
            status = record_encode(&f.codec, records[i], &f.out, NULL);
            f.failing.countdown = UINT64_MAX;
            assert_true(n < 100);
            if (status == KH_OK) break;
            assert_int_equal(status, KH_NO_MEMORY);
            assert_int_equal(f.out.size_bytes, 0);
        }
        uint64_t before = mem_live_bytes(f.mem);
        struct record decoded = {.commit = 4711};
        status = KH_NO_MEMORY;
        for (uint64_t n = 0; status != KH_OK; n++) {
            f.failing.countdown = n;
            status = record_decode(&f.codec, frame_of(&f), &f.arena, &decoded, NULL);
            f.failing.countdown = UINT64_MAX;
            assert_true(n < 100);
            if (status == KH_OK) break;
            assert_int_equal(status, KH_NO_MEMORY);
            assert_int_equal(decoded.commit, 4711);
            arena_fini(&f.arena);
            assert_int_equal(mem_live_bytes(f.mem), before);
        }
        record_drop(&f.codec, &decoded);
        arena_fini(&f.arena);
        assert_int_equal(mem_live_bytes(f.mem), before);
    }
    ipc_buffer_fini(&f.out);
    assert_int_equal(mem_live_bytes(f.mem), empty);
    end(&f);
}

static void too_big_is_refused_before_it_is_touched(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    ipc_buffer_append(&f.out, "kept", 4);
    struct record record = {
        .kind = RECORD_COMMIT, .commit = 1, .delta = {"", (size_t)RECORD_FRAME_MAX + 1}};
    kh_error error;
    assert_int_equal(record_encode(&f.codec, &record, &f.out, &error), KH_TOO_BIG);
    assert_int_equal(f.out.size_bytes, 4);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(decisions_and_horizons_are_a_head),
        cmocka_unit_test(schemas_come_out_interned),
        cmocka_unit_test(the_layout_is_as_documented),
        cmocka_unit_test(sealing_is_encoding_with_other_stamps),
        cmocka_unit_test(frames_append),
        cmocka_unit_test(allocations_that_fail_leave_nothing),
        cmocka_unit_test(too_big_is_refused_before_it_is_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
