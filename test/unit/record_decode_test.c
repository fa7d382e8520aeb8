/* Decoding records from bytes that anyone may have written. */
#include "support/record_kit.h"

/* A small record that uses everything, encoded in f->out. */
static void begin_small(struct full *full, struct fixture *f) {
    begin(f);
    make_small(full, f);
    assert_int_equal(record_encode(&f->codec, &full->record, &f->out, NULL), KH_OK);
}

static void a_cut_or_a_changed_bit_is_seen(void **state) {
    (void)state;
    static struct full full;
    struct fixture f;
    begin_small(&full, &f);
    size_t size_bytes = f.out.size_bytes;
    struct record untouched = {.commit = 4711};
    kh_error error;
    for (size_t cut = 0; cut < size_bytes; cut++) {
        unsigned char *frame = malloc(cut + 1);
        assert_non_null(frame);
        memcpy(frame, f.out.bytes, cut);
        kh_bytes bytes = {frame, cut};
        assert_int_equal(record_decode(&f.codec, bytes, &f.arena, &untouched, &error), KH_CORRUPT);
        free(frame);
    }
    unsigned char *frame = exact_copy(&f);
    for (size_t bit = 0; bit < size_bytes * 8; bit++) {
        frame[bit / 8] = (unsigned char)(frame[bit / 8] ^ (1u << (bit % 8)));
        kh_bytes bytes = {frame, size_bytes};
        assert_int_equal(record_decode(&f.codec, bytes, &f.arena, &untouched, &error), KH_CORRUPT);
        frame[bit / 8] = (unsigned char)(frame[bit / 8] ^ (1u << (bit % 8)));
    }
    free(frame);
    assert_int_equal(untouched.commit, 4711);
    end(&f);
}

/* Changed bytes under checksums that fit: any answer will do that leaves nothing behind. */
static void hostile_bytes_do_no_harm(void **state) {
    (void)state;
    static struct full full;
    static const unsigned char evil[] = {0, 1, 2, 0x7f, 0x80, 0xfe, 0xff};
    struct fixture f;
    begin_small(&full, &f);
    unsigned char *frame = exact_copy(&f);
    size_t size_bytes = f.out.size_bytes;
    size_t decoded_count = 0;
    uint64_t live_bytes = mem_live_bytes(f.mem);
    for (size_t at = RECORD_HEAD_BYTES; at < size_bytes; at++) {
        for (size_t i = 0; i < sizeof evil; i++) {
            unsigned char before = frame[at];
            frame[at] = evil[i];
            reseal(frame, size_bytes);
            struct record decoded;
            kh_bytes bytes = {frame, size_bytes};
            kh_status status = record_decode(&f.codec, bytes, &f.arena, &decoded, NULL);
            if (status == KH_OK) {
                decoded_count++;
                record_drop(&f.codec, &decoded);
            }
            frame[at] = before;
            arena_fini(&f.arena);
            assert_int_equal(mem_live_bytes(f.mem), live_bytes);
        }
    }
    assert_true(decoded_count > 0); /* else the checksums stopped them all */
    free(frame);
    end(&f);
}

/* Who has compared a checksum over the frame's bytes need not compare it again. What is read then
 * makes sense, or is refused; and what tells where a frame ends is looked at all the same. */
static void checked_frames_are_taken_without_checksums(void **state) {
    (void)state;
    static struct full full;
    struct fixture f;
    begin_small(&full, &f);
    unsigned char *frame = exact_copy(&f);
    kh_bytes bytes = {frame, f.out.size_bytes};
    struct record decoded;
    f.codec.is_checked = true;
    frame[AT_COMMIT] ^= 1;
    assert_int_equal(record_decode(&f.codec, bytes, &f.arena, &decoded, NULL), KH_OK);
    assert_int_equal(decoded.commit, full.record.commit ^ 1);
    record_drop(&f.codec, &decoded);
    bytes.size_bytes--;
    assert_int_equal(record_decode(&f.codec, bytes, &f.arena, &decoded, NULL), KH_CORRUPT);
    bytes.size_bytes++;
    frame[AT_VERSION]++;
    assert_int_equal(record_decode(&f.codec, bytes, &f.arena, &decoded, NULL), KH_UNSUPPORTED);
    frame[AT_VERSION]--;
    frame[AT_MAGIC] ^= 1;
    assert_int_equal(record_decode(&f.codec, bytes, &f.arena, &decoded, NULL), KH_CORRUPT);
    frame[AT_MAGIC] ^= 1;
    f.codec.is_checked = false;
    assert_int_equal(record_decode(&f.codec, bytes, &f.arena, &decoded, NULL), KH_CORRUPT);
    free(frame);
    end(&f);
}

struct expected {
    char keys[8][64];
    size_t count;
};

static void note_key(void *context, kh_bytes key) {
    struct expected *expected = context;
    assert_true(expected->count < 8 && key.size_bytes < 64);
    memcpy(expected->keys[expected->count++], key.data, key.size_bytes);
}

static void keys_of_puts_are_told_beforehand(void **state) {
    (void)state;
    static struct full full;
    struct expected expected = {.count = 0};
    struct fixture f;
    begin_small(&full, &f);
    kh_bytes bytes = {f.out.bytes, f.out.size_bytes};
    f.codec.expect = note_key;
    f.codec.expect_context = &expected;
    struct record decoded;
    assert_int_equal(record_decode(&f.codec, bytes, &f.arena, &decoded, NULL), KH_OK);
    size_t puts = 0;
    for (size_t i = 0; i < decoded.write_count; i++) {
        const struct record_write *write = &decoded.writes[i];
        if (write->batch == NULL) continue;
        assert_memory_equal(expected.keys[puts], write->key.data, write->key.size_bytes);
        puts++;
    }
    assert_true(puts > 0);
    assert_int_equal(expected.count, puts);
    record_drop(&f.codec, &decoded);
    end(&f);
}

/* ---- frames by hand -------------------------------------------------------------------------- */

struct hand {
    unsigned char bytes[1024];
    size_t size_bytes;
};

static void hand_begin(struct hand *hand, unsigned kind) {
    memset(hand, 0, sizeof *hand);
    memcpy(hand->bytes, "KHRC\1", 5);
    hand->bytes[AT_KIND] = (unsigned char)kind;
    hand->bytes[AT_COMMIT] = 9;
    hand->size_bytes = RECORD_HEAD_BYTES;
}

static void hand_section(struct hand *hand, unsigned type, unsigned flags, const void *content,
                         size_t length) {
    unsigned char *at = hand->bytes + hand->size_bytes;
    at[0] = (unsigned char)type;
    at[2] = (unsigned char)flags;
    at[4] = (unsigned char)length;
    at[5] = (unsigned char)(length >> 8);
    memcpy(at + 8, content, length);
    hand->size_bytes += 8 + (length + 7) / 8 * 8;
    assert_true(hand->size_bytes <= sizeof hand->bytes);
}

static kh_status hand_decode(struct fixture *f, struct hand *hand, kh_error *error) {
    reseal(hand->bytes, hand->size_bytes);
    unsigned char *frame = malloc(hand->size_bytes);
    assert_non_null(frame);
    memcpy(frame, hand->bytes, hand->size_bytes);
    struct record decoded;
    kh_status status =
        record_decode(&f->codec, (kh_bytes){frame, hand->size_bytes}, &f->arena, &decoded, error);
    if (status == KH_OK) record_drop(&f->codec, &decoded);
    free(frame);
    return status;
}

struct malformed {
    unsigned kind;
    unsigned type; /* of the one section */
    const char *content;
    size_t length;
    kh_status status;
    const char *message; /* part of it */
};

#define BYTES(string) string, sizeof(string) - 1
/* The head of a write: base, value bytes, schema, key bytes, kind, policy, reserved. */
#define WRITE(value_bytes, schema, key_bytes, kind, policy)                                        \
    "\0\0\0\0\0\0\0\0" value_bytes "\0\0\0" schema "\0\0\0" key_bytes "\0" kind policy "\0\0\0\0"
#define ONE "\1\0\0\0\0\0\0\0"
/* The head of a member: id, bytes of its delta, reserved. */
#define MEMBER(id, bytes) "\0\0\0\0\0\0\0\0" id "\0\0\0\0\0\0\0" bytes "\0\0\0\0\0\0\0"

static const struct malformed malformed[] = {
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES(ONE WRITE("\0", "\0", "\1", "\2", "\0") "k\0\0\0\0\0\0\0"), KH_OK, ""},
    {RECORD_COMMIT, SECTION_WRITES, BYTES("\0\0\0\0\0\0\0\0"), KH_CORRUPT, "count of writes"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES("\1\0\0\0\0\0\0"), KH_CORRUPT, "count of writes"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES("\1\0\0\0\1\0\0\0" WRITE("\0", "\0", "\1", "\2", "\0")),
     KH_CORRUPT, "count of writes"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES("\377\377\377\377\0\0\0\0"), KH_CORRUPT,
     "count of writes"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES("\2\0\0\0\0\0\0\0" WRITE("\0", "\0", "\1", "\2", "\0") "k\0\0\0\0\0\0\0"), KH_CORRUPT,
     "count of writes"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES(ONE WRITE("\0", "\0", "\0", "\2", "\0")), KH_CORRUPT,
     "key of a write"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES(ONE WRITE("\0", "\0", "\11", "\2", "\0") "k\0\0\0\0\0\0\0"), KH_CORRUPT,
     "key of a write"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES(ONE WRITE("\0", "\0", "\1", "\2", "\0") "k\0\0\0\0\0\0\1"), KH_CORRUPT,
     "key of a write"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES(ONE WRITE("\0", "\0", "\1", "\3", "\0") "k\0\0\0\0\0\0\0"), KH_CORRUPT,
     "head of a write"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES(ONE WRITE("\0", "\0", "\1", "\2", "\7") "k\0\0\0\0\0\0\0"), KH_CORRUPT,
     "head of a write"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES(ONE WRITE("\0", "\5", "\1", "\2", "\0") "k\0\0\0\0\0\0\0"), KH_CORRUPT,
     "deletion with a value"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES(ONE WRITE("\1", "\5", "\1", "\1", "\0") "k\0\0\0\0\0\0\0"), KH_CORRUPT,
     "value of a write"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES(ONE WRITE("\0", "\11", "\1", "\1", "\0") "k\0\0\0\0\0\0\0"), KH_CORRUPT,
     "unknown schema 9"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES(ONE WRITE("\0", "\5", "\1", "\1", "\0") "k\0\0\0\0\0\0\0"), KH_CORRUPT, "value bytes"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES(ONE WRITE("\0", "\0", "\1", "\2", "\0") "k\0\0\0\0\0\0\0\0"), KH_CORRUPT,
     "behind the end"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0\0\1\0k"), KH_OK, ""},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0\0\0\0"), KH_CORRUPT, "a key"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0\0\2\0k"), KH_CORRUPT, "a key"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0\0"), KH_CORRUPT, "count of keys"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\0\0\0\0"), KH_CORRUPT, "count of keys"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0"), KH_CORRUPT, "count of keys"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0\0\1\0kx"), KH_CORRUPT, "behind the end"},
    {RECORD_COMMIT, SECTION_DROPPED, BYTES("\377\377\377\377\1\0k"), KH_CORRUPT, "count of keys"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\0\0\0\0\377\377\377\377\0\0\0\0"), KH_OK, ""},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\1\0\1\0\377\377\377\377\0\0\0\0"), KH_CORRUPT,
     "too long"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\0\0\0\0\376\377\377\377\0\0\0\0"), KH_CORRUPT,
     "too long"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0k"), KH_CORRUPT,
     "cut off"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\0\0\0\0\377\377\377\377\1\0\0\0"), KH_CORRUPT,
     "count of keys"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\0\0\0\0\377\377\377\377\2\0\0\0\1\0a\1\0b"),
     KH_OK, ""},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\0\0\0\0\377\377\377\377\2\0\0\0\1\0b\1\0b"),
     KH_CORRUPT, "out of order"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\0\0\0\0\377\377\377\377\2\0\0\0\2\0ba\1\0b"),
     KH_CORRUPT, "out of order"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\0\0\0\0"), KH_CORRUPT, "count of ranges"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\377\377\377\17\0\0\0\0\377\377\377\377\0\0\0\0"),
     KH_CORRUPT, "count of ranges"},
    {RECORD_COMMIT, SECTION_TAG, BYTES(""), KH_CORRUPT, "empty"},
    {RECORD_COMMIT, SECTION_SCHEMA, BYTES("x"), KH_CORRUPT, "does not belong"},
    {RECORD_SCHEMA, SECTION_READS, BYTES("\1\0\0\0\1\0k"), KH_CORRUPT, "does not belong"},
    {RECORD_SCHEMA, SECTION_SCHEMA, BYTES("\1"), KH_CORRUPT, "schema bytes"},
    {RECORD_SCHEMA, 99, BYTES(""), KH_CORRUPT, "no schema"},
    {RECORD_DECIDE_ABORT, SECTION_WRITES, BYTES(ONE), KH_CORRUPT, "does not belong"},
    {RECORD_HORIZON, SECTION_TAG, BYTES("x"), KH_CORRUPT, "does not belong"},
    {RECORD_COMMIT, 0, BYTES("x"), KH_CORRUPT, "out of order"},
    {RECORD_COMMIT, SECTION_MEMBERS, BYTES(ONE MEMBER("\7", "\0")), KH_OK, ""},
    {RECORD_COMMIT, SECTION_MEMBERS, BYTES(ONE MEMBER("\7", "\1") "d\0\0\0\0\0\0\0"), KH_OK, ""},
    {RECORD_COMMIT, SECTION_MEMBERS, BYTES(ONE MEMBER("\7", "\1") "d\0\0\0\0\0\0\1"), KH_CORRUPT,
     "a member"},
    {RECORD_COMMIT, SECTION_MEMBERS, BYTES(ONE MEMBER("\7", "\11") "d\0\0\0\0\0\0\0"), KH_CORRUPT,
     "a member"},
    {RECORD_COMMIT, SECTION_MEMBERS, BYTES(ONE MEMBER("\0", "\0")), KH_CORRUPT, "a member"},
    {RECORD_COMMIT, SECTION_MEMBERS,
     BYTES(ONE "\0\0\0\0\0\0\0\0"
               "\7\0\0\0\0\0\0\0"
               "\0\0\0\0"
               "\1\0\0\0"),
     KH_CORRUPT, "a member"},
    {RECORD_COMMIT, SECTION_MEMBERS, BYTES(ONE MEMBER("\7", "\0") "\0\0\0\0\0\0\0\0"), KH_CORRUPT,
     "behind the end"},
    {RECORD_COMMIT, SECTION_MEMBERS, BYTES("\0\0\0\0\0\0\0\0"), KH_CORRUPT, "count of members"},
    {RECORD_COMMIT, SECTION_MEMBERS, BYTES("\1\0\0\0\1\0\0\0" MEMBER("\7", "\0")), KH_CORRUPT,
     "count of members"},
    {RECORD_COMMIT, SECTION_MEMBERS, BYTES("\2\0\0\0\0\0\0\0" MEMBER("\7", "\0")), KH_CORRUPT,
     "count of members"},
    {RECORD_COMMIT, SECTION_MEMBERS, BYTES("\1\0\0"), KH_CORRUPT, "count of members"},
    {RECORD_PREPARE, SECTION_MEMBERS, BYTES(ONE MEMBER("\7", "\0")), KH_CORRUPT, "no commit"},
    {RECORD_SCHEMA, SECTION_MEMBERS, BYTES(ONE MEMBER("\7", "\0")), KH_CORRUPT, "does not belong"},
    {RECORD_COMMIT, 9, BYTES("future"), KH_OK, ""},
    {0, 9, BYTES("x"), KH_CORRUPT, "head"},
    {RECORD_HORIZON + 1, 9, BYTES("x"), KH_UNSUPPORTED, "kind"},
};

static void malformed_sections_are_named(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        const struct malformed *m = &malformed[i];
        struct hand hand;
        hand_begin(&hand, m->kind);
        hand_section(&hand, m->type, 0, m->content, m->length);
        kh_error error = {""};
        kh_status status = hand_decode(&f, &hand, &error);
        if (status != m->status || strstr(error.message, m->message) == NULL)
            fail_msg("malformed[%zu]: %s, %s", i, kh_status_name(status), error.message);
    }
    end(&f);
}

static void malformed_heads_are_refused(void **state) {
    (void)state;
    static const struct {
        size_t at;
        unsigned char byte;
        kh_status status;
    } changes[] = {
        {AT_COMMIT, 1, KH_OK},
        {AT_COMMIT, 0, KH_CORRUPT},
        {AT_MAGIC, 'k', KH_CORRUPT},
        {AT_VERSION, 2, KH_UNSUPPORTED},
        {AT_VERSION, 0, KH_CORRUPT},
        {AT_VERSION + 2, 1, KH_CORRUPT},
        {AT_ISOLATION, 4, KH_CORRUPT},
        {AT_RULE, 2, KH_UNSUPPORTED},
        {AT_RULE + 1, 1, KH_CORRUPT},
        {AT_RULE + 5, 1, KH_CORRUPT},
        {AT_SCHEMA_NUMBER, 1, KH_CORRUPT},
    };
    struct fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct hand hand;
        hand_begin(&hand, RECORD_COMMIT);
        hand.bytes[changes[i].at] = changes[i].byte;
        assert_int_equal(hand_decode(&f, &hand, NULL), changes[i].status);
    }
    struct hand hand;
    hand_begin(&hand, RECORD_SCHEMA);
    hand.bytes[AT_SCHEMA_NUMBER + 2] = 1; /* 65,536 */
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    end(&f);
}

static void sections_rise_and_may_be_of_the_future(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    struct hand hand;
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    hand_section(&hand, 200, 0, "whatever", 8);
    hand_section(&hand, 201, 0, "", 0);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_OK);
    hand_section(&hand, 202, SECTION_REQUIRED, "must", 4);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_UNSUPPORTED);
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_DELTA, 0, "d", 1);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    char long_tag[256] = {0};
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, long_tag, 255);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_OK);
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, long_tag, 256);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    hand.bytes[hand.size_bytes - 1] = 1; /* padding */
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    hand.size_bytes -= 8; /* a section's head and no content */
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    hand.size_bytes -= 4;
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_or_a_changed_bit_is_seen),
        cmocka_unit_test(hostile_bytes_do_no_harm),
        cmocka_unit_test(checked_frames_are_taken_without_checksums),
        cmocka_unit_test(keys_of_puts_are_told_beforehand),
        cmocka_unit_test(malformed_sections_are_named),
        cmocka_unit_test(malformed_heads_are_refused),
        cmocka_unit_test(sections_rise_and_may_be_of_the_future),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
