/* semantic_section_test.c - what a record says of its meaning: written, found in the raw frame,
 * read back; and bytes that somebody else has written. */
#include "db/semantic.h"
#include "log/record_raw.h"
#include "support/kit.h"
#include "support/record_kit.h"

enum { DIMENSIONS = 5, BYTES_MAX = 512 };

/* None is the default. */
static const kh_delta_thresholds thresholds = {.size = sizeof thresholds,
                                               .orthogonal = 0.125f,
                                               .identical = 0.875f,
                                               .opposite = -0.75f,
                                               .conflicting = 0.625f,
                                               .jaccard = 0.25f};

/* The section of a guarded workspace's delta, as db/semantic_codec.c writes it. */
static kh_bytes make_section(struct fixture *f) {
    static const float values[DIMENSIONS] = {0, 3, 0, 0, -4};
    const kh_bytes keys[] = {{"b", 1}, {"a", 1}};
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    struct semantic_claim claim = {.mode = KH_SEMANTIC_GUARD, .thresholds = thresholds};
    kh_bytes section;
    options.keys = keys;
    options.key_count = 2;
    kh_floats floats = {values, DIMENSIONS};
    assert_int_equal(kh_delta_build(NULL, floats, &options, &claim.delta, NULL), KH_OK);
    kh_txn *txn = calloc(1, sizeof *txn);
    assert_non_null(txn);
    txn->semantic = &claim;
    memset(arena_alloc(&f->arena, BYTES_MAX), 0xa5, BYTES_MAX); /* of an earlier use */
    arena_reset(&f->arena);
    assert_int_equal(semantic_encode(txn, &f->arena, &section, NULL), KH_OK);
    free(txn);
    kh_delta_release(claim.delta);
    return section;
}

static kh_bytes make_frame(struct fixture *f, enum record_kind kind, kh_bytes delta, kh_bytes tag) {
    struct record record = {
        .kind = kind, .id = {1, 2}, .commit = kind == RECORD_PREPARE ? 0 : 9, .delta = delta};
    record.tag = tag;
    size_t before = f->out.size_bytes;
    assert_int_equal(record_encode(&f->codec, &record, &f->out, NULL), KH_OK);
    return (kh_bytes){f->out.bytes + before, f->out.size_bytes - before};
}

static kh_status read_delta(kh_bytes frame, kh_bytes *out) {
    struct raw_record record;
    assert_int_equal(raw_open(frame, &record, NULL), KH_OK);
    return raw_delta(&record, out, NULL);
}

static bool is_same(const kh_delta_thresholds *a, const kh_delta_thresholds *b) {
    return a->size == b->size && a->orthogonal == b->orthogonal && a->identical == b->identical &&
           a->opposite == b->opposite && a->conflicting == b->conflicting &&
           a->jaccard == b->jaccard;
}

static void test_there_and_back(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    kh_bytes found;
    kh_bytes tag = {"tag", 3};
    kh_bytes section = make_section(&f);
    assert_int_equal(read_delta(make_frame(&f, RECORD_COMMIT, (kh_bytes){NULL, 0}, tag), &found),
                     KH_OK);
    assert_null(found.data);
    static const enum record_kind kinds[] = {RECORD_COMMIT, RECORD_PREPARE};
    for (size_t i = 0; i < 2; i++) {
        struct semantic_section read;
        assert_int_equal(read_delta(make_frame(&f, kinds[i], section, tag), &found), KH_OK);
        assert_int_equal(found.size_bytes, section.size_bytes);
        assert_memory_equal(found.data, section.data, section.size_bytes);
        assert_int_equal(semantic_decode(f.mem, found, &read, NULL), KH_OK);
        assert_int_equal(read.mode, KH_SEMANTIC_GUARD);
        assert_true(is_same(&read.thresholds, &thresholds));
        assert_int_equal(kh_delta_filled(read.delta), 2);
        assert_int_equal(kh_delta_dimension(read.delta), DIMENSIONS);
        assert_true(kh_delta_magnitude(read.delta) == 5);
        assert_int_equal(kh_delta_key_count(read.delta), 2);
        kh_delta_release(read.delta);
    }
    end(&f);
}

/* A frame whose one section is this, with checksums that fit. */
static kh_bytes forge(unsigned char frame[BYTES_MAX], enum record_kind kind, uint32_t type,
                      uint32_t length, kh_bytes content) {
    size_t size_bytes = RECORD_HEAD_BYTES + SECTION_HEAD_BYTES + (content.size_bytes + 7) / 8 * 8;
    uint32_t magic = RECORD_MAGIC;
    uint32_t frame_bytes = (uint32_t)size_bytes;
    assert_true(size_bytes <= BYTES_MAX);
    memset(frame, 0, size_bytes);
    memcpy(frame, &magic, sizeof magic);
    frame[AT_VERSION] = RECORD_VERSION;
    memcpy(frame + AT_LENGTH, &frame_bytes, sizeof frame_bytes);
    frame[AT_KIND] = (unsigned char)kind;
    frame[RECORD_HEAD_BYTES] = (unsigned char)type;
    memcpy(frame + RECORD_HEAD_BYTES + 4, &length, sizeof length);
    memcpy(frame + RECORD_HEAD_BYTES + SECTION_HEAD_BYTES, content.data, content.size_bytes);
    uint64_t checksum = layout_body_checksum(frame, size_bytes);
    memcpy(frame + AT_BODY_CHECKSUM, &checksum, sizeof checksum);
    checksum = layout_head_checksum(frame);
    memcpy(frame + AT_HEAD_CHECKSUM, &checksum, sizeof checksum);
    return (kh_bytes){frame, size_bytes};
}

static void test_forged_sections(void **state) {
    (void)state;
    unsigned char frame[BYTES_MAX];
    kh_bytes found;
    kh_bytes nothing = {"", 0};
    kh_bytes eight = {"12345678", 8};
    assert_int_equal(read_delta(forge(frame, RECORD_COMMIT, SECTION_DELTA, 8, eight), &found),
                     KH_OK);
    assert_int_equal(found.size_bytes, 8);
    assert_int_equal(read_delta(forge(frame, RECORD_COMMIT, SECTION_DELTA, 0, nothing), &found),
                     KH_CORRUPT);
    static const uint32_t lengths[] = {9, 1u << 20, UINT32_MAX - 7, UINT32_MAX};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(
            read_delta(forge(frame, RECORD_COMMIT, SECTION_DELTA, lengths[i], eight), &found),
            KH_CORRUPT);
    assert_int_equal(read_delta(forge(frame, RECORD_COMMIT, SECTION_TAG, 99, eight), &found),
                     KH_CORRUPT);
    static const enum record_kind others[] = {RECORD_DECIDE_COMMIT, RECORD_DECIDE_ABORT,
                                              RECORD_SCHEMA, RECORD_HORIZON};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(read_delta(forge(frame, others[i], SECTION_DELTA, 8, eight), &found),
                         KH_CORRUPT);
    /* What stands behind it is none of ours. */
    assert_int_equal(read_delta(forge(frame, RECORD_COMMIT, SECTION_SCHEMA, 8, eight), &found),
                     KH_OK);
    assert_null(found.data);
}

static kh_status count_members(kh_bytes frame, size_t *count) {
    struct raw_record record;
    struct raw_members members;
    struct record_member member;
    *count = 0;
    assert_int_equal(raw_open(frame, &record, NULL), KH_OK);
    kh_status status = raw_members(&record, &members, NULL);
    while (status == KH_OK && (status = raw_next_member(&members, &member, NULL)) == KH_OK)
        ++*count;
    return status == KH_END ? KH_OK : status;
}

static void test_members(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    static const struct record_member members[] = {{{1, 2}, {"d", 1}}, {{3, 4}, {NULL, 0}}};
    struct record record = {.kind = RECORD_COMMIT, .id = {5, 6}, .commit = 9};
    size_t count;
    record.members = members;
    record.member_count = 2;
    assert_int_equal(record_encode(&f.codec, &record, &f.out, NULL), KH_OK);
    kh_bytes frame = {f.out.bytes, f.out.size_bytes};
    assert_int_equal(count_members(frame, &count), KH_OK);
    assert_int_equal(count, 2);
    assert_int_equal(
        count_members(make_frame(&f, RECORD_COMMIT, members[0].delta, members[0].delta), &count),
        KH_OK);
    assert_int_equal(count, 0);
    end(&f);
}

static void test_forged_members(void **state) {
    (void)state;
    static const unsigned char two[56] = {2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,  2,
                                          0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 'd'};
    unsigned char frame[BYTES_MAX];
    size_t count;
    const struct {
        enum record_kind kind;
        size_t size_bytes;
        size_t count; /* that are there before the end */
    } cases[] = {{RECORD_COMMIT, 0, 0},  {RECORD_COMMIT, 7, 0},  {RECORD_COMMIT, 8, 0},
                 {RECORD_COMMIT, 31, 0}, {RECORD_COMMIT, 40, 0}, {RECORD_COMMIT, 48, 0},
                 {RECORD_COMMIT, 56, 1}, {RECORD_PREPARE, 56, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kh_bytes content = {two, cases[i].size_bytes};
        kh_bytes forged =
            forge(frame, cases[i].kind, SECTION_MEMBERS, (uint32_t)cases[i].size_bytes, content);
        assert_int_equal(count_members(forged, &count), KH_CORRUPT);
        assert_int_equal(count, cases[i].count);
    }
}

/* Copied to the very end of a block, so that a step beyond it is seen. */
static kh_status decode(const unsigned char *bytes, size_t size_bytes) {
    struct semantic_section read = {NULL, KH_SEMANTIC_DEFAULT, KH_DELTA_THRESHOLDS_INIT};
    unsigned char *copy = malloc(size_bytes);
    assert_non_null(copy);
    memcpy(copy, bytes, size_bytes);
    kh_status status = semantic_decode(mem_process(), (kh_bytes){copy, size_bytes}, &read, NULL);
    if (status == KH_OK) {
        assert_non_null(read.delta);
        assert_true(read.mode >= KH_SEMANTIC_KEYS && read.mode <= KH_SEMANTIC_MERGE);
        (void)kh_delta_classify(read.delta, read.delta, &read.thresholds, NULL);
    } else {
        assert_null(read.delta);
    }
    kh_delta_release(read.delta);
    free(copy);
    return status;
}

static void test_hostile_bytes(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    kh_bytes section = make_section(&f);
    const unsigned char *whole = section.data;
    unsigned char bytes[BYTES_MAX];
    assert_int_equal(whole[0], 1); /* the version that docs/record-format.md describes */
    assert_int_equal(decode(whole, section.size_bytes), KH_OK);
    for (size_t size = 1; size < section.size_bytes; size++)
        assert_int_equal(decode(whole, size), KH_CORRUPT);
    memcpy(bytes, whole, section.size_bytes);
    bytes[section.size_bytes] = 0;
    assert_int_equal(decode(bytes, section.size_bytes + 1), KH_CORRUPT);
    for (size_t at = 0; at < section.size_bytes; at++) {
        for (unsigned value = 0; value < 256; value++) {
            memcpy(bytes, whole, section.size_bytes);
            bytes[at] = (unsigned char)value;
            kh_status status = decode(bytes, section.size_bytes);
            assert_true(status == KH_OK || status == KH_CORRUPT || status == KH_UNSUPPORTED ||
                        status == KH_TOO_BIG);
            bool is_changed = value != whole[at];
            if (is_changed && at < 4) assert_true(at == 1 || status != KH_OK);
            if (at == 1) assert_int_equal(status == KH_OK, value >= 1 && value <= 3);
        }
    }
    end(&f);
}

/* A prepared transaction of a log whose meaning a newer library has written. */
static void test_restoring_what_is_not_known(void **state) {
    (void)state;
    struct fixture f;
    unsigned char bytes[BYTES_MAX];
    begin(&f);
    kh_bytes section = make_section(&f);
    kh_db *db = kit_open();
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    memcpy(bytes, section.data, section.size_bytes);
    bytes[0]++;
    kh_bytes newer = {bytes, section.size_bytes};
    assert_int_equal(semantic_restore(txn, newer, NULL), KH_UNSUPPORTED);
    assert_int_equal(semantic_restore(txn, (kh_bytes){NULL, 0}, NULL),
                     KH_OK); /* has said nothing */
    assert_null(txn->semantic);
    kit_rollback(txn);
    kit_close(db);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_forged_sections),
        cmocka_unit_test(test_members),        cmocka_unit_test(test_forged_members),
        cmocka_unit_test(test_hostile_bytes),  cmocka_unit_test(test_restoring_what_is_not_known)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
