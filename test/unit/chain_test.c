/* The chain of groups: what a head refers to, what does not follow, chains as bytes, and the way of
 * a proof. */
#include "support/group_kit.h"

#include <stdio.h>

enum { GROUPS = 70 };

/* Groups 1 to GROUPS of one database, kept whole; [0] is the genesis. */
struct history {
    struct group_kit kit;
    struct chain before[GROUPS + 2]; /* the chain when the group was to come */
    struct group_head heads[GROUPS + 1];
    struct digest digests[GROUPS + 1];
    unsigned char *bytes[GROUPS + 1];
    size_t size_bytes[GROUPS + 1];
};

static void make_history(struct history *h) {
    memset(h, 0, sizeof *h);
    group_kit_begin(&h->kit);
    struct chain chain;
    group_kit_chain(&h->kit, 'h', &chain);
    h->digests[0] = chain.newest;
    for (uint64_t n = 1; n <= GROUPS; n++) {
        h->before[n] = chain;
        group_kit_append(&h->kit, &chain, 1 + (uint32_t)(n % 3), &h->heads[n]);
        h->bytes[n] = group_kit_copy(group_kit_group(&h->kit));
        h->size_bytes[n] = h->kit.size_bytes;
        group_digest(h->kit.digester, h->bytes[n], &h->digests[n]);
        assert_true(digest_is_equal(&chain.newest, &h->digests[n]));
    }
    h->before[GROUPS + 1] = chain;
}

static void drop_history(struct history *h) {
    for (int n = 1; n <= GROUPS; n++) free(h->bytes[n]);
    group_kit_end(&h->kit);
}

static void check_same(const struct chain *a, const struct chain *b) {
    assert_true(a->number == b->number && a->next == b->next);
    assert_int_equal(a->depth, b->depth);
    assert_true(digest_is_equal(&a->newest, &b->newest));
    for (uint32_t i = 0; i < a->depth; i++) {
        assert_true(a->stack[i].number == b->stack[i].number);
        assert_true(digest_is_equal(&a->stack[i].digest, &b->stack[i].digest));
    }
}

/* Decode these bytes, and let the group follow. */
static kh_status follow(struct history *h, struct chain *chain, const unsigned char *bytes,
                        size_t size_bytes, bool is_root_checked, kh_error *error) {
    struct group_head head;
    kh_bytes body;
    kh_bytes group = {bytes, size_bytes};
    assert_int_equal(group_decode(group, &head, &body, NULL), KH_OK);
    if (!is_root_checked) body = (kh_bytes){NULL, 0};
    return chain_follow(chain, h->kit.digester, group, &head, body, error);
}

static void a_genesis_is_of_its_database_and_timeline(void **state) {
    (void)state;
    struct group_kit kit;
    group_kit_begin(&kit);
    kh_identity identity;
    memset(identity.database, 0xdd, sizeof identity.database);
    memset(identity.timeline, 0x77, sizeof identity.timeline);
    unsigned char both[32];
    memset(both, 0xdd, 16);
    memset(both + 16, 0x77, 16);
    struct digest genesis;
    struct digest other;
    chain_genesis(kit.digester, &identity, &genesis);
    digest_of(kit.digester, 3, (kh_bytes){both, 32}, (kh_bytes){NULL, 0}, &other);
    assert_true(digest_is_equal(&genesis, &other));
    for (int bit = 0; bit < 256; bit++) {
        unsigned char *byte =
            bit < 128 ? &identity.database[bit / 8] : &identity.timeline[bit / 8 - 16];
        *byte ^= (unsigned char)(1 << bit % 8);
        chain_genesis(kit.digester, &identity, &other);
        assert_false(digest_is_equal(&genesis, &other));
        *byte ^= (unsigned char)(1 << bit % 8);
    }
    group_kit_end(&kit);
}

static void heads_refer_to_previous_and_skip(void **state) {
    (void)state;
    static struct history h;
    make_history(&h);
    uint64_t position = 0;
    for (uint64_t n = 1; n <= GROUPS; n++) {
        const struct group_head *head = &h.heads[n];
        assert_true(head->number == n && head->first == position);
        assert_int_equal(head->record_count, 1 + n % 3);
        assert_true(head->body_bytes == h.size_bytes[n] - GROUP_HEAD_BYTES);
        assert_true(head->first_commit == 10 * n - 9 && head->last_commit == 10 * n - 1);
        assert_true(head->wall_ms == 1700000000000 + n - 1 && head->term == 3 && head->shard == 4);
        assert_true(digest_is_equal(&head->previous, &h.digests[n - 1]));
        assert_true(digest_is_equal(&head->skip, &h.digests[n & (n - 1)]));
        struct digest root;
        kh_bytes body = {h.bytes[n] + GROUP_HEAD_BYTES, (size_t)head->body_bytes};
        merkle_root(h.kit.digester, body, head->record_count, &root);
        assert_true(digest_is_equal(&head->root, &root));
        struct group_head decoded;
        assert_int_equal(
            group_decode((kh_bytes){h.bytes[n], h.size_bytes[n]}, &decoded, &body, NULL), KH_OK);
        group_kit_same_head(&decoded, head);
        position += head->record_count;
    }
    drop_history(&h);
}

static void what_was_appended_follows(void **state) {
    (void)state;
    static struct history h;
    make_history(&h);
    for (int is_root_checked = 0; is_root_checked < 2; is_root_checked++) {
        struct chain chain = h.before[1];
        for (uint64_t n = 1; n <= GROUPS; n++) {
            assert_int_equal(follow(&h, &chain, h.bytes[n], h.size_bytes[n], is_root_checked, NULL),
                             KH_OK);
            check_same(&chain, &h.before[n + 1]);
        }
    }
    drop_history(&h);
}

static void another_group_does_not_follow(void **state) {
    (void)state;
    static struct history h;
    make_history(&h);
    for (uint64_t have = 0; have <= GROUPS; have++) {
        for (uint64_t n = 1; n <= GROUPS; n++) {
            if (n == have + 1) continue;
            struct chain chain = h.before[have + 1];
            kh_error error;
            char message[256];
            snprintf(message, sizeof message,
                     "group %d does not follow group %d: its number differs", (int)n, (int)have);
            assert_int_equal(follow(&h, &chain, h.bytes[n], h.size_bytes[n], true, &error),
                             KH_CORRUPT);
            assert_string_equal(error.message, message);
            check_same(&chain, &h.before[have + 1]);
        }
    }
    drop_history(&h);
}

/* ---- altered groups -------------------------------------------------------------------------- */

/* Field by field; what says how a refusal ends, NULL: only the group after this one can tell. */
struct alteration {
    size_t at;
    size_t width;
    const char *what;
};

static const struct alteration fields[] = {
    {GROUP_AT_NUMBER, 8, "its number differs"},
    {GROUP_AT_FIRST, 8, "the position of its first record differs"},
    {GROUP_AT_FIRST_COMMIT, 8, NULL},
    {GROUP_AT_LAST_COMMIT, 8, NULL},
    {GROUP_AT_WALL, 8, NULL},
    {GROUP_AT_TERM, 8, NULL},
    {GROUP_AT_SHARD, 8, NULL},
    {GROUP_AT_PREVIOUS, 32, "the digest of the group before differs"},
    {GROUP_AT_SKIP, 32, "the digest of the group that it skips to differs"},
    {GROUP_AT_ROOT, 32, "the root of its records differs"},
};

static void check_altered(struct history *h, uint64_t n, const struct alteration *field,
                          const unsigned char *altered) {
    struct chain chain = h->before[n];
    kh_error error = {""};
    kh_status status = follow(h, &chain, altered, h->size_bytes[n], true, &error);
    if (field->what != NULL) {
        assert_int_equal(status, KH_CORRUPT);
        assert_non_null(strstr(error.message, field->what));
        check_same(&chain, &h->before[n]);
        return;
    }
    assert_int_equal(status, KH_OK);
    assert_int_equal(follow(h, &chain, h->bytes[n + 1], h->size_bytes[n + 1], true, &error),
                     KH_CORRUPT);
    assert_non_null(strstr(error.message, "the digest of the group before differs"));
}

/* Each bit of each field of a head, with checksums that fit. */
static void an_altered_field_does_not_follow(void **state) {
    (void)state;
    static struct history h;
    make_history(&h);
    static const uint64_t numbers[] = {1, 2, 7, 8, 9, 12, 63, 64, 69};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uint64_t n = numbers[i];
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
            for (size_t bit = 0; bit < 8 * fields[k].width; bit++) {
                unsigned char *altered = group_kit_copy((kh_bytes){h.bytes[n], h.size_bytes[n]});
                altered[fields[k].at + bit / 8] ^= (unsigned char)(1 << bit % 8);
                group_kit_reseal(altered, h.size_bytes[n]);
                struct group_head head;
                kh_bytes body;
                kh_bytes group = {altered, h.size_bytes[n]};
                /* Some make no sense whatever the chain is. */
                if (group_decode(group, &head, &body, NULL) == KH_OK)
                    check_altered(&h, n, &fields[k], altered);
                free(altered);
            }
        }
    }
    drop_history(&h);
}

/* Records changed, exchanged, or one of another group's: the head stays as it was. */
static void altered_records_do_not_follow(void **state) {
    (void)state;
    static struct history h;
    make_history(&h);
    uint64_t n = 5;
    size_t size_bytes = h.size_bytes[n];
    for (size_t at = GROUP_HEAD_BYTES; at < size_bytes; at++) {
        unsigned char *altered = group_kit_copy((kh_bytes){h.bytes[n], size_bytes});
        altered[at] ^= 0x10;
        group_kit_reseal(altered, size_bytes);
        struct group_head head;
        kh_bytes body;
        if (group_decode((kh_bytes){altered, size_bytes}, &head, &body, NULL) == KH_OK) {
            struct chain chain = h.before[n];
            kh_error error;
            assert_int_equal(follow(&h, &chain, altered, size_bytes, true, &error), KH_CORRUPT);
            assert_string_equal(error.message,
                                "group 5 does not follow group 4: the root of its records differs");
            check_same(&chain, &h.before[n]);
            /* Who does not look at the records is told by the group after it. */
            assert_int_equal(follow(&h, &chain, altered, size_bytes, false, &error), KH_OK);
            assert_int_equal(follow(&h, &chain, h.bytes[6], h.size_bytes[6], false, &error),
                             KH_CORRUPT);
        }
        free(altered);
    }
    drop_history(&h);
}

/* ---- as bytes -------------------------------------------------------------------------------- */

static void a_chain_comes_back_from_bytes(void **state) {
    (void)state;
    static struct history h;
    make_history(&h);
    for (uint64_t n = 0; n <= GROUPS; n++) {
        unsigned char bytes[CHAIN_BYTES_MAX];
        size_t size_bytes = chain_export(&h.before[n + 1], bytes);
        assert_int_equal(size_bytes, 32 + 32 * (1 + __builtin_popcountll(n)));
        unsigned char *copy = group_kit_copy((kh_bytes){bytes, size_bytes});
        struct chain chain;
        memset(&chain, 0xee, sizeof chain);
        assert_int_equal(chain_import((kh_bytes){copy, size_bytes}, &chain, NULL), KH_OK);
        check_same(&chain, &h.before[n + 1]);
        unsigned char again[CHAIN_BYTES_MAX];
        assert_int_equal(chain_export(&chain, again), size_bytes);
        assert_memory_equal(again, bytes, size_bytes);
        /* And goes on as the other would. */
        for (uint64_t k = n + 1; k <= GROUPS; k++)
            assert_int_equal(follow(&h, &chain, h.bytes[k], h.size_bytes[k], false, NULL), KH_OK);
        check_same(&chain, &h.before[GROUPS + 1]);
        free(copy);
    }
    drop_history(&h);
}

/* The stack never needs more than it has: all bits set, and no number after that. */
static void the_last_numbers_have_room(void **state) {
    (void)state;
    struct group_kit kit;
    group_kit_begin(&kit);
    unsigned char bytes[CHAIN_BYTES_MAX];
    struct chain chain;
    struct group_head head;
    group_kit_chain(&kit, 'l', &chain);
    chain.number = UINT64_MAX - 1;
    chain.next = UINT64_MAX - 1;
    chain.depth = 64;
    uint64_t number = chain.number;
    for (int i = 63; i > 0; i--, number &= number - 1) chain.stack[i].number = number;
    chain.newest = chain.stack[63].digest;
    size_t size_bytes = chain_export(&chain, bytes);
    struct chain imported;
    assert_int_equal(chain_import((kh_bytes){bytes, size_bytes}, &imported, NULL), KH_OK);
    check_same(&imported, &chain);
    group_kit_append(&kit, &chain, 1, &head);
    assert_int_equal(chain.depth, 65);
    assert_true(chain.number == UINT64_MAX && chain.next == UINT64_MAX);
    assert_int_equal(chain_export(&chain, bytes), CHAIN_BYTES_MAX);
    assert_int_equal(chain_import((kh_bytes){bytes, CHAIN_BYTES_MAX}, &imported, NULL), KH_OK);
    check_same(&imported, &chain);
    kh_error error;
    assert_int_equal(chain_follow(&chain, kit.digester, group_kit_group(&kit), &head,
                                  group_kit_body(&kit), &error),
                     KH_CORRUPT);
    group_kit_end(&kit);
}

static void chain_reseal(unsigned char *bytes, size_t size_bytes) {
    uint64_t checksum = chain_layout_checksum(bytes, size_bytes);
    memcpy(bytes + CHAIN_AT_CHECKSUM, &checksum, sizeof checksum);
}

static void import_refused(const unsigned char *bytes, size_t size_bytes, kh_status expected,
                           const char *message) {
    unsigned char *copy = group_kit_copy((kh_bytes){bytes, size_bytes});
    struct chain chain;
    struct chain before;
    kh_error error = {""};
    memset(&chain, 0xee, sizeof chain);
    memset(&before, 0xee, sizeof before);
    assert_int_equal(chain_import((kh_bytes){copy, size_bytes}, &chain, &error), expected);
    if (message != NULL) assert_string_equal(error.message, message);
    assert_memory_equal(&chain, &before, sizeof chain);
    free(copy);
}

static void damaged_chains_are_refused(void **state) {
    (void)state;
    static struct history h;
    make_history(&h);
    unsigned char bytes[CHAIN_BYTES_MAX + 8];
    memset(bytes, 0, sizeof bytes);
    size_t size_bytes = chain_export(&h.before[8], bytes);
    for (size_t bit = 0; bit < 8 * size_bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        import_refused(bytes, size_bytes, KH_CORRUPT, NULL);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t other = 0; other < sizeof bytes; other++)
        if (other != size_bytes) import_refused(bytes, other, KH_CORRUPT, NULL);
    /* Lies with a checksum that fits. */
    for (size_t other = CHAIN_AT_NUMBER; other < sizeof bytes; other++) {
        if (other == size_bytes) continue;
        chain_reseal(bytes, other);
        import_refused(bytes, other, KH_CORRUPT, "malformed chain: its size");
    }
    static const struct {
        size_t at;
        size_t width;
        uint64_t value;
        kh_status status;
        const char *message;
    } lies[] = {
        {0, 4, GROUP_MAGIC, KH_CORRUPT, "malformed chain: no chain begins here"},
        {4, 2, 0, KH_CORRUPT, "malformed chain: its version"},
        {4, 2, 2, KH_UNSUPPORTED, "chain format 2, this build reads 1"},
        {6, 2, 1, KH_CORRUPT, "malformed chain: its version"},
        {16, 8, 8, KH_CORRUPT, "malformed chain: its size"},
        {16, 8, 0, KH_CORRUPT, "malformed chain: its size"},
        {16, 8, UINT64_MAX, KH_CORRUPT, "malformed chain: its size"},
        {24, 8, 6, KH_CORRUPT, "malformed chain: its position"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        chain_export(&h.before[8], bytes);
        memcpy(bytes + lies[i].at, &lies[i].value, lies[i].width);
        chain_reseal(bytes, size_bytes);
        import_refused(bytes, size_bytes, lies[i].status, lies[i].message);
    }
    drop_history(&h);
}

static void the_exported_layout_is_as_documented(void **state) {
    (void)state;
    static struct history h;
    make_history(&h);
    unsigned char bytes[CHAIN_BYTES_MAX];
    unsigned char expected[32 + 4 * 32] = "KHCH\1\0\0";
    /* 11 = 8 + 2 + 1. */
    size_t size_bytes = chain_export(&h.before[12], bytes);
    uint64_t next = h.heads[11].first + h.heads[11].record_count;
    static const uint64_t stack[] = {0, 8, 10, 11};
    expected[16] = 11;
    memcpy(expected + 24, &next, 8);
    for (int i = 0; i < 4; i++)
        memcpy(expected + 32 + i * 32, h.digests[stack[i]].bytes, DIGEST_BYTES);
    uint64_t checksum = hash_bytes(expected + 16, sizeof expected - 16, 1);
    memcpy(expected + 8, &checksum, 8);
    assert_int_equal(size_bytes, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
    drop_history(&h);
}

/* ---- the way of a proof ---------------------------------------------------------------------- */

static uint64_t bits_of(uint64_t number) {
    return number == 0 ? 0 : 64 - (uint64_t)__builtin_clzll(number);
}

/* How many steps it takes. Each is one that a head offers, and none goes too far. */
static uint64_t walk(uint64_t from, uint64_t to) {
    uint64_t steps = 0;
    while (from > to) {
        uint64_t next = chain_step(from, to);
        assert_true(next >= to && next < from);
        assert_true(next == from - 1 || next == (from & (from - 1)));
        from = next;
        steps++;
    }
    assert_true(from == to);
    return steps;
}

static void every_pair_is_joined_in_few_steps(void **state) {
    (void)state;
    for (uint64_t from = 0; from <= 1500; from++) {
        uint64_t bits = bits_of(from);
        for (uint64_t to = 0; to <= from; to++)
            assert_in_range(walk(from, to), from > to, bits * (bits + 1) / 2);
    }
    struct group_kit kit;
    group_kit_begin(&kit);
    uint64_t most = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t from = group_kit_draw(&kit) >> group_kit_draw(&kit) % 64;
        uint64_t to = from == 0 ? 0 : group_kit_draw(&kit) % from;
        uint64_t steps = walk(from, to);
        if (steps > most) most = steps;
    }
    assert_in_range(most, 64, 64 * 65 / 2);
    assert_in_range(walk(UINT64_MAX, 1), 1, 64 * 65 / 2);
    assert_in_range(walk(UINT64_C(1) << 63, 1), 1, 64 * 65 / 2);
    assert_int_equal(walk(UINT64_MAX, 0), 64);
    group_kit_end(&kit);
}

/* By digests: each head on the way has the digest of the one that the step goes to. */
static void each_step_is_held_by_a_digest(void **state) {
    (void)state;
    static struct history h;
    make_history(&h);
    for (uint64_t from = 1; from <= GROUPS; from++)
        for (uint64_t to = 0; to < from; to++)
            for (uint64_t at = from; at > to;) {
                uint64_t next = chain_step(at, to);
                const struct digest *held =
                    next == at - 1 ? &h.heads[at].previous : &h.heads[at].skip;
                assert_true(digest_is_equal(held, &h.digests[next]));
                at = next;
            }
    drop_history(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_genesis_is_of_its_database_and_timeline),
        cmocka_unit_test(heads_refer_to_previous_and_skip),
        cmocka_unit_test(what_was_appended_follows),
        cmocka_unit_test(another_group_does_not_follow),
        cmocka_unit_test(an_altered_field_does_not_follow),
        cmocka_unit_test(altered_records_do_not_follow),
        cmocka_unit_test(a_chain_comes_back_from_bytes),
        cmocka_unit_test(the_last_numbers_have_room),
        cmocka_unit_test(damaged_chains_are_refused),
        cmocka_unit_test(the_exported_layout_is_as_documented),
        cmocka_unit_test(every_pair_is_joined_in_few_steps),
        cmocka_unit_test(each_step_is_held_by_a_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
