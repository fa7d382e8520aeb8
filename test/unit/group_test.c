/* Groups as bytes: what goes in comes out, the layout, and everything that a decoder must refuse:
 * damage (checksums), and lies with checksums that fit. */
#include "support/group_kit.h"

static void make_group(struct group_kit *kit, uint32_t count, struct group_head *head) {
    struct chain chain;
    group_kit_chain(kit, 'g', &chain);
    chain.next = 1000;
    group_kit_append(kit, &chain, count, head);
}

/* Decode a copy of exact size; whatever it says, a refusal leaves the outputs alone. */
static kh_status decode(const unsigned char *bytes, size_t size_bytes, struct group_head *head,
                        kh_error *error) {
    unsigned char *copy = group_kit_copy((kh_bytes){bytes, size_bytes});
    struct group_head before = {.number = 4711};
    *head = before;
    kh_bytes body = {"untouched", 9};
    kh_status status = group_decode((kh_bytes){copy, size_bytes}, head, &body, error);
    if (status == KH_OK) {
        assert_ptr_equal(body.data, copy + GROUP_HEAD_BYTES);
        assert_int_equal(body.size_bytes, size_bytes - GROUP_HEAD_BYTES);
    } else {
        assert_memory_equal(head, &before, sizeof before);
        assert_int_equal(body.size_bytes, 9);
    }
    free(copy);
    return status;
}

static void refused(const unsigned char *bytes, size_t size_bytes, kh_status expected,
                    const char *message) {
    struct group_head head;
    kh_error error = {""};
    assert_int_equal(decode(bytes, size_bytes, &head, &error), expected);
    assert_string_equal(error.message, message);
    assert_int_equal(decode(bytes, size_bytes, &head, NULL), expected);
}

static void what_goes_in_comes_out(void **state) {
    (void)state;
    struct group_kit kit;
    struct group_head head;
    struct group_head decoded;
    group_kit_begin(&kit);
    for (uint32_t count = 1; count <= KIT_FRAMES_MAX; count++) {
        make_group(&kit, count, &head);
        assert_int_equal(head.record_count, count);
        assert_int_equal(decode(kit.bytes, kit.size_bytes, &decoded, NULL), KH_OK);
        group_kit_same_head(&decoded, &head);
        unsigned char again[GROUP_HEAD_BYTES];
        group_encode_head(&decoded, group_kit_body(&kit), again);
        assert_memory_equal(again, kit.bytes, sizeof again);
    }
    group_kit_end(&kit);
}

static void extreme_fields_come_out(void **state) {
    (void)state;
    struct group_kit kit;
    group_kit_begin(&kit);
    group_kit_fill(&kit, 1);
    struct group_head head = {.number = UINT64_MAX,
                              .first = UINT64_MAX - 1,
                              .record_count = 1,
                              .body_bytes = group_kit_body(&kit).size_bytes,
                              .first_commit = UINT64_MAX,
                              .last_commit = UINT64_MAX,
                              .wall_ms = UINT64_MAX,
                              .term = UINT64_MAX,
                              .shard = UINT64_MAX};
    memset(&head.previous, 0xff, sizeof head.previous);
    struct group_head decoded;
    group_encode_head(&head, group_kit_body(&kit), kit.bytes);
    assert_int_equal(decode(kit.bytes, kit.size_bytes, &decoded, NULL), KH_OK);
    group_kit_same_head(&decoded, &head);
    head.first_commit = head.last_commit = 0;
    group_encode_head(&head, group_kit_body(&kit), kit.bytes);
    assert_int_equal(decode(kit.bytes, kit.size_bytes, &decoded, NULL), KH_OK);
    group_kit_same_head(&decoded, &head);
    group_kit_end(&kit);
}

/* Number by number as in docs/log-format.md. */
static void the_layout_is_as_documented(void **state) {
    (void)state;
    struct group_kit kit;
    group_kit_begin(&kit);
    group_kit_fill(&kit, 2);
    kh_bytes body = group_kit_body(&kit);
    struct group_head head = {.number = 0x1111111111111111,
                              .first = 0x2222222222222222,
                              .record_count = 2,
                              .body_bytes = body.size_bytes,
                              .first_commit = 0x4444444444444444,
                              .last_commit = 0x5555555555555555,
                              .wall_ms = 0x6666666666666666,
                              .term = 0x7777777777777777,
                              .shard = 0x8888888888888888};
    memset(&head.previous, 0x99, sizeof head.previous);
    memset(&head.skip, 0xaa, sizeof head.skip);
    memset(&head.root, 0xbb, sizeof head.root);
    group_encode_head(&head, body, kit.bytes);
    unsigned char expected[GROUP_HEAD_BYTES] = "KHLG\1\0\0";
    uint64_t body_checksum = hash_bytes(body.data, body.size_bytes, 1);
    memcpy(expected + 16, &body_checksum, 8);
    memcpy(expected + 24, &head.body_bytes, 8);
    memset(expected + 32, 0x11, 8);
    memset(expected + 40, 0x22, 8);
    expected[48] = 2;
    memset(expected + 56, 0x44, 8);
    memset(expected + 64, 0x55, 8);
    memset(expected + 72, 0x66, 8);
    memset(expected + 80, 0x77, 8);
    memset(expected + 88, 0x88, 8);
    memset(expected + 96, 0x99, 32);
    memset(expected + 128, 0xaa, 32);
    memset(expected + 160, 0xbb, 32);
    uint64_t head_checksum = hash_bytes(expected + 16, 176, 1);
    memcpy(expected + 8, &head_checksum, 8);
    assert_memory_equal(kit.bytes, expected, sizeof expected);
    struct digest digest;
    struct digest by_hand;
    group_digest(kit.digester, kit.bytes, &digest);
    digest_of(kit.digester, 2, (kh_bytes){expected, 192}, (kh_bytes){NULL, 0}, &by_hand);
    assert_true(digest_is_equal(&digest, &by_hand));
    group_kit_end(&kit);
}

static void every_flipped_bit_is_refused(void **state) {
    (void)state;
    struct group_kit kit;
    struct group_head head;
    group_kit_begin(&kit);
    make_group(&kit, 3, &head);
    for (size_t bit = 0; bit < 8 * kit.size_bytes; bit++) {
        kit.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_int_equal(decode(kit.bytes, kit.size_bytes, &head, NULL), KH_CORRUPT);
        kit.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_int_equal(decode(kit.bytes, kit.size_bytes, &head, NULL), KH_OK);
    group_kit_end(&kit);
}

static void every_other_length_is_refused(void **state) {
    (void)state;
    struct group_kit kit;
    struct group_head head;
    group_kit_begin(&kit);
    make_group(&kit, 3, &head);
    for (size_t size_bytes = 0; size_bytes < kit.size_bytes; size_bytes++)
        assert_int_equal(decode(kit.bytes, size_bytes, &head, NULL), KH_CORRUPT);
    memset(kit.bytes + kit.size_bytes, 0, 200);
    for (size_t more = 1; more <= 200; more++)
        assert_int_equal(decode(kit.bytes, kit.size_bytes + more, &head, NULL), KH_CORRUPT);
    refused(kit.bytes, 191, KH_CORRUPT, "malformed group: its head is cut off");
    refused(kit.bytes, 192, KH_CORRUPT, "malformed group: its length");
    group_kit_end(&kit);
}

/* ---- lies with checksums that fit ------------------------------------------------------------ */

struct lie {
    size_t at;
    size_t width;
    uint64_t value;
    kh_status status;
    const char *message;
};

static const struct lie lies[] = {
    {0, 4, 0x4352484b, KH_CORRUPT, "malformed group: no group begins here"},
    {4, 2, 0, KH_CORRUPT, "malformed group: its version"},
    {4, 2, 2, KH_UNSUPPORTED, "group format 2, this build reads 1"},
    {4, 2, 65535, KH_UNSUPPORTED, "group format 65535, this build reads 1"},
    {6, 2, 1, KH_CORRUPT, "malformed group: its reserved bytes"},
    {24, 8, 0, KH_CORRUPT, "malformed group: its length"},
    {24, 8, UINT64_MAX, KH_CORRUPT, "malformed group: its length"},
    {24, 8, UINT64_MAX - 7, KH_CORRUPT, "malformed group: its length"},
    {32, 8, 0, KH_CORRUPT, "malformed group: its number"},
    {40, 8, UINT64_MAX, KH_CORRUPT, "malformed group: its position"},
    {40, 8, UINT64_MAX - 7, KH_CORRUPT, "malformed group: its position"},
    {48, 4, 0, KH_CORRUPT, "malformed group: its count of records"},
    {48, 4, 7, KH_CORRUPT, "malformed group: its count of records"},
    {48, 4, 9, KH_CORRUPT, "malformed group: its count of records"},
    {48, 4, 40, KH_CORRUPT, "malformed group: its length"},
    {48, 4, UINT32_MAX, KH_CORRUPT, "malformed group: its length"},
    {52, 4, 1, KH_CORRUPT, "malformed group: its reserved bytes"},
    {52, 4, 0x80000000, KH_CORRUPT, "malformed group: its reserved bytes"},
    {56, 8, 10, KH_CORRUPT, "malformed group: its commit timestamps"},
    {56, 8, 0, KH_CORRUPT, "malformed group: its commit timestamps"},
    {64, 8, 0, KH_CORRUPT, "malformed group: its commit timestamps"},
    /* The length of the first frame, whose true one is a multiple of 8 from 96 on. */
    {192 + 24, 4, 0, KH_CORRUPT, "malformed group: the length of a record in it"},
    {192 + 24, 4, 88, KH_CORRUPT, "malformed group: the length of a record in it"},
    {192 + 24, 4, 97, KH_CORRUPT, "malformed group: the length of a record in it"},
    {192 + 24, 4, 100000, KH_CORRUPT, "malformed group: the length of a record in it"},
    {192 + 24, 4, UINT32_MAX, KH_CORRUPT, "malformed group: the length of a record in it"},
    {192 + 24, 4, UINT32_MAX - 7, KH_CORRUPT, "malformed group: the length of a record in it"},
};

static void lies_are_refused(void **state) {
    (void)state;
    struct group_kit kit;
    struct group_head head;
    group_kit_begin(&kit);
    /* Long enough for one record more than there are. */
    do make_group(&kit, 8, &head);
    while (head.body_bytes / RECORD_HEAD_BYTES < 9);
    unsigned char *group = malloc(kit.size_bytes);
    assert_non_null(group);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        memcpy(group, kit.bytes, kit.size_bytes);
        memcpy(group + lies[i].at, &lies[i].value, lies[i].width);
        group_kit_reseal(group, kit.size_bytes);
        refused(group, kit.size_bytes, lies[i].status, lies[i].message);
    }
    free(group);
    group_kit_end(&kit);
}

static void a_group_of_no_records_is_refused(void **state) {
    (void)state;
    struct group_kit kit;
    struct group_head head;
    group_kit_begin(&kit);
    make_group(&kit, 1, &head);
    memset(kit.bytes + GROUP_AT_BODY_BYTES, 0, sizeof head.body_bytes);
    memset(kit.bytes + GROUP_AT_RECORD_COUNT, 0, sizeof head.record_count);
    group_kit_reseal(kit.bytes, GROUP_HEAD_BYTES);
    refused(kit.bytes, GROUP_HEAD_BYTES, KH_CORRUPT, "malformed group: its count of records");
    group_kit_end(&kit);
}

/* Two of them, which together are as long as two that are no multiple of 8 could be. */
static void frames_of_odd_length_are_refused(void **state) {
    (void)state;
    struct group_kit kit;
    struct group_head head;
    group_kit_begin(&kit);
    do make_group(&kit, 2, &head);
    while (head.body_bytes < 2 * RECORD_HEAD_BYTES + 8);
    for (uint32_t first = RECORD_HEAD_BYTES; first + RECORD_HEAD_BYTES <= head.body_bytes;
         first++) {
        uint32_t second = (uint32_t)head.body_bytes - first;
        memcpy(kit.bytes + GROUP_HEAD_BYTES + AT_LENGTH, &first, sizeof first);
        memcpy(kit.bytes + GROUP_HEAD_BYTES + first + AT_LENGTH, &second, sizeof second);
        group_kit_reseal(kit.bytes, kit.size_bytes);
        if (first % 8 != 0)
            refused(kit.bytes, kit.size_bytes, KH_CORRUPT,
                    "malformed group: the length of a record in it");
        else
            assert_int_equal(decode(kit.bytes, kit.size_bytes, &head, NULL), KH_OK);
    }
    group_kit_end(&kit);
}

/* A body that ends within a frame's head. */
static void rests_of_a_frame_are_refused(void **state) {
    (void)state;
    struct group_kit kit;
    struct group_head head;
    group_kit_begin(&kit);
    make_group(&kit, 2, &head);
    memset(kit.bytes + kit.size_bytes, 0, RECORD_HEAD_BYTES);
    for (uint64_t more = 8; more <= RECORD_HEAD_BYTES; more += 8) {
        uint64_t body_bytes = head.body_bytes + more;
        memcpy(kit.bytes + GROUP_AT_BODY_BYTES, &body_bytes, sizeof body_bytes);
        group_kit_reseal(kit.bytes, kit.size_bytes + more);
        refused(kit.bytes, kit.size_bytes + more, KH_CORRUPT,
                "malformed group: the length of a record in it");
    }
    group_kit_end(&kit);
}

/* Any bytes, most of them with checksums that fit. */
static void noise_never_crashes(void **state) {
    (void)state;
    struct group_kit kit;
    struct group_head head;
    group_kit_begin(&kit);
    for (int i = 0; i < 20000; i++) {
        make_group(&kit, 1 + (uint32_t)(group_kit_draw(&kit) % 4), &head);
        size_t size_bytes = kit.size_bytes;
        for (uint64_t changes = group_kit_draw(&kit) % 8; changes > 0; changes--)
            kit.bytes[group_kit_draw(&kit) % size_bytes] = (unsigned char)group_kit_draw(&kit);
        if (group_kit_draw(&kit) % 4 == 0) size_bytes = group_kit_draw(&kit) % (size_bytes + 1);
        if (size_bytes >= GROUP_HEAD_BYTES && i % 8 != 0) group_kit_reseal(kit.bytes, size_bytes);
        kh_status status = decode(kit.bytes, size_bytes, &head, NULL);
        assert_true(status == KH_OK || status == KH_CORRUPT || status == KH_UNSUPPORTED);
        if (status != KH_OK) continue;
        unsigned char again[GROUP_HEAD_BYTES];
        kit.size_bytes = size_bytes;
        group_encode_head(&head, group_kit_body(&kit), again);
        assert_memory_equal(again, kit.bytes, sizeof again);
    }
    group_kit_end(&kit);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void frames_come_in_order(void **state) {
    (void)state;
    struct group_kit kit;
    group_kit_begin(&kit);
    group_kit_fill(&kit, 7);
    kh_bytes body = group_kit_body(&kit);
    const unsigned char *expected = body.data;
    size_t at = 0;
    kh_bytes frame;
    bool is_broken = true;
    for (int i = 0; i < 7; i++) {
        assert_true(group_next_frame(body, &at, &frame, &is_broken));
        assert_false(is_broken);
        assert_ptr_equal(frame.data, expected);
        assert_int_equal(frame.size_bytes, layout_u32(expected + 24));
        expected += frame.size_bytes;
    }
    assert_int_equal(at, body.size_bytes);
    is_broken = true;
    assert_false(group_next_frame(body, &at, &frame, &is_broken));
    assert_false(is_broken);
    at = 0;
    is_broken = true;
    assert_false(group_next_frame((kh_bytes){NULL, 0}, &at, &frame, &is_broken));
    assert_false(is_broken);
    group_kit_end(&kit);
}

static void a_broken_frame_ends_the_body(void **state) {
    (void)state;
    struct group_kit kit;
    group_kit_begin(&kit);
    group_kit_fill(&kit, 2);
    kh_bytes body = group_kit_body(&kit);
    size_t second = layout_u32(kit.bytes + GROUP_HEAD_BYTES + 24);
    for (size_t size_bytes = second + 1; size_bytes < body.size_bytes; size_bytes++) {
        unsigned char *copy = group_kit_copy((kh_bytes){body.data, size_bytes});
        size_t at = 0;
        kh_bytes frame = {NULL, 0};
        bool is_broken = true;
        kh_bytes cut = {copy, size_bytes};
        assert_true(group_next_frame(cut, &at, &frame, &is_broken));
        assert_false(is_broken);
        assert_false(group_next_frame(cut, &at, &frame, &is_broken));
        assert_true(is_broken);
        assert_int_equal(at, second);
        assert_ptr_equal(frame.data, copy);
        free(copy);
    }
    group_kit_end(&kit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(extreme_fields_come_out),
        cmocka_unit_test(the_layout_is_as_documented),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(every_other_length_is_refused),
        cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(a_group_of_no_records_is_refused),
        cmocka_unit_test(frames_of_odd_length_are_refused),
        cmocka_unit_test(rests_of_a_frame_are_refused),
        cmocka_unit_test(noise_never_crashes),
        cmocka_unit_test(frames_come_in_order),
        cmocka_unit_test(a_broken_frame_ends_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
