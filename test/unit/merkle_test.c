/* The Merkle tree against the recursive definition of RFC 6962, section 2.1, written down as it
 * stands there, and against the roots that Certificate Transparency publishes for its test. */
#include "support/group_kit.h"

#include <stdio.h>

static kh_bytes bytes_of(const struct digest *digest) {
    return (kh_bytes){digest->bytes, sizeof digest->bytes};
}

static uint32_t split_of(uint32_t count) {
    uint32_t split = 1;
    while (2 * split < count) split *= 2;
    return split;
}

/* MTH(D[n]). */
static void naive_root(struct group_kit *kit, const kh_bytes *leaves, uint32_t count,
                       struct digest *out) {
    if (count == 1) {
        digest_of(kit->digester, 0, leaves[0], (kh_bytes){NULL, 0}, out);
        return;
    }
    uint32_t split = split_of(count);
    struct digest left;
    struct digest right;
    naive_root(kit, leaves, split, &left);
    naive_root(kit, leaves + split, count - split, &right);
    digest_of(kit->digester, 1, bytes_of(&left), bytes_of(&right), out);
}

/* PATH(m, D[n]). */
static uint32_t naive_path(struct group_kit *kit, const kh_bytes *leaves, uint32_t count,
                           uint32_t index, struct digest *path) {
    if (count == 1) return 0;
    uint32_t split = split_of(count);
    uint32_t length;
    if (index < split) {
        length = naive_path(kit, leaves, split, index, path);
        naive_root(kit, leaves + split, count - split, &path[length]);
    } else {
        length = naive_path(kit, leaves + split, count - split, index - split, path);
        naive_root(kit, leaves, split, &path[length]);
    }
    return length + 1;
}

/* A body of count frames in the kit, and where they are. */
static kh_bytes make_body(struct group_kit *kit, uint32_t count, kh_bytes *frames) {
    group_kit_fill(kit, count);
    kh_bytes body = group_kit_body(kit);
    size_t at = 0;
    bool is_broken;
    for (uint32_t i = 0; i < count; i++)
        assert_true(group_next_frame(body, &at, &frames[i], &is_broken));
    return body;
}

static void roots_are_the_definition_s(void **state) {
    (void)state;
    struct group_kit kit;
    kh_bytes frames[KIT_FRAMES_MAX];
    group_kit_begin(&kit);
    kh_bytes body = make_body(&kit, KIT_FRAMES_MAX, frames);
    for (uint32_t count = 1; count <= KIT_FRAMES_MAX; count++) {
        struct digest root;
        struct digest expected;
        merkle_root(kit.digester, body, count, &root);
        naive_root(&kit, frames, count, &expected);
        assert_true(digest_is_equal(&root, &expected));
    }
    group_kit_end(&kit);
}

static void paths_are_the_definition_s(void **state) {
    (void)state;
    struct group_kit kit;
    kh_bytes frames[KIT_FRAMES_MAX];
    group_kit_begin(&kit);
    kh_bytes body = make_body(&kit, KIT_FRAMES_MAX, frames);
    for (uint32_t count = 1; count <= 40; count++) {
        struct digest expected;
        naive_root(&kit, frames, count, &expected);
        for (uint32_t index = 0; index < count; index++) {
            struct digest path[MERKLE_PATH_MAX];
            struct digest naive[MERKLE_PATH_MAX];
            struct digest root;
            kh_bytes frame;
            uint32_t length = merkle_path(kit.digester, body, count, index, &frame, path);
            assert_int_equal(length, naive_path(&kit, frames, count, index, naive));
            assert_memory_equal(path, naive, length * sizeof *path);
            assert_ptr_equal(frame.data, frames[index].data);
            assert_int_equal(frame.size_bytes, frames[index].size_bytes);
            assert_true(
                merkle_root_of_path(kit.digester, frame, count, index, path, length, &root));
            assert_true(digest_is_equal(&root, &expected));
        }
    }
    group_kit_end(&kit);
}

/* As many as need 17 levels: one pass, and no array of them. */
static void many_frames_make_short_paths(void **state) {
    (void)state;
    enum { COUNT = 1 << 17 };
    struct group_kit kit;
    group_kit_begin(&kit);
    unsigned char *bytes = calloc(COUNT, RECORD_HEAD_BYTES);
    assert_non_null(bytes);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t length = RECORD_HEAD_BYTES;
        memcpy(bytes + (size_t)i * RECORD_HEAD_BYTES, &i, sizeof i);
        memcpy(bytes + (size_t)i * RECORD_HEAD_BYTES + AT_LENGTH, &length, sizeof length);
    }
    kh_bytes body = {bytes, (size_t)COUNT * RECORD_HEAD_BYTES};
    const uint32_t counts[] = {COUNT, COUNT - 1, COUNT / 2 + 1};
    for (int i = 0; i < 3; i++) {
        struct digest root;
        merkle_root(kit.digester, body, counts[i], &root);
        const uint32_t indexes[] = {0, counts[i] / 3, counts[i] - 1};
        for (int k = 0; k < 3; k++) {
            struct digest path[MERKLE_PATH_MAX];
            struct digest found;
            kh_bytes frame;
            uint32_t length = merkle_path(kit.digester, body, counts[i], indexes[k], &frame, path);
            assert_in_range(length, 1, 17);
            assert_int_equal(layout_u32(frame.data), indexes[k]);
            assert_true(merkle_root_of_path(kit.digester, frame, counts[i], indexes[k], path,
                                            length, &found));
            assert_true(digest_is_equal(&found, &root));
        }
    }
    free(bytes);
    group_kit_end(&kit);
}

/* ---- what must fail -------------------------------------------------------------------------- */

struct proof {
    struct group_kit *kit;
    kh_bytes frame;
    uint32_t count;
    uint32_t index;
    struct digest path[MERKLE_PATH_MAX + 1];
    uint32_t length;
    struct digest root;
};

static bool holds(const struct proof *proof) {
    struct digest root = {{0}};
    return merkle_root_of_path(proof->kit->digester, proof->frame, proof->count, proof->index,
                               proof->path, proof->length, &root) &&
           digest_is_equal(&root, &proof->root);
}

static void check_changes(struct proof *proof) {
    unsigned char *frame = (unsigned char *)(uintptr_t)proof->frame.data;
    for (size_t byte = 0; byte < proof->frame.size_bytes; byte++) {
        frame[byte] ^= (unsigned char)(1 << byte % 8);
        assert_false(holds(proof));
        frame[byte] ^= (unsigned char)(1 << byte % 8);
    }
    for (uint32_t bit = 0; bit < proof->length * 8 * DIGEST_BYTES; bit++) {
        unsigned char *byte = &proof->path[bit / 8 / DIGEST_BYTES].bytes[bit / 8 % DIGEST_BYTES];
        *byte ^= (unsigned char)(1 << bit % 8);
        assert_false(holds(proof));
        *byte ^= (unsigned char)(1 << bit % 8);
    }
    uint32_t index = proof->index;
    for (proof->index = 0; proof->index < proof->count + 3; proof->index++)
        assert_int_equal(holds(proof), proof->index == index);
    proof->index = UINT32_MAX;
    assert_false(holds(proof));
    proof->index = index;
    uint32_t length = proof->length;
    for (proof->length = 0; proof->length <= length + 1; proof->length++)
        assert_int_equal(holds(proof), proof->length == length);
    proof->length = length;
    assert_true(holds(proof));
}

static void every_change_of_a_proof_is_seen(void **state) {
    (void)state;
    struct group_kit kit;
    kh_bytes frames[KIT_FRAMES_MAX];
    group_kit_begin(&kit);
    struct proof proof = {.kit = &kit};
    for (proof.count = 1; proof.count <= 40; proof.count++) {
        kh_bytes body = make_body(&kit, proof.count, frames);
        merkle_root(kit.digester, body, proof.count, &proof.root);
        for (proof.index = 0; proof.index < proof.count; proof.index++) {
            memset(proof.path, 0, sizeof proof.path);
            proof.length =
                merkle_path(kit.digester, body, proof.count, proof.index, &proof.frame, proof.path);
            check_changes(&proof);
        }
    }
    group_kit_end(&kit);
}

static void no_index_no_path_no_root(void **state) {
    (void)state;
    struct group_kit kit;
    group_kit_begin(&kit);
    struct digest path[MERKLE_PATH_MAX + 1];
    memset(path, 0, sizeof path);
    struct digest root = {{7}};
    struct digest before = root;
    kh_bytes frame = {"frame", 5};
    assert_false(merkle_root_of_path(kit.digester, frame, 0, 0, path, 0, &root));
    assert_false(merkle_root_of_path(kit.digester, frame, 1, 0, path, 1, &root));
    assert_false(merkle_root_of_path(kit.digester, frame, 2, 2, path, 1, &root));
    assert_false(merkle_root_of_path(kit.digester, frame, UINT32_MAX, 0, path, 31, &root));
    assert_false(merkle_root_of_path(kit.digester, frame, UINT32_MAX, 0, path, 33, &root));
    assert_true(digest_is_equal(&root, &before));
    assert_true(merkle_root_of_path(kit.digester, frame, UINT32_MAX, 0, path, 32, &root));
    assert_true(
        merkle_root_of_path(kit.digester, frame, UINT32_MAX, UINT32_MAX - 1, path, 31, &root));
    group_kit_end(&kit);
}

/* ---- known roots ----------------------------------------------------------------------------- */

/* The leaves and roots of certificate-transparency's merkle_tree_test. They are no frames, so the
 * roots are reached by paths. */
static const struct {
    const char *leaf;
    size_t leaf_bytes;
    const char *root; /* of the leaves up to this one */
} known[] = {
    {"", 0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
    {"\x00", 1, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
    {"\x10", 1, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
    {"\x20\x21", 2, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
    {"\x30\x31", 2, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
    {"\x40\x41\x42\x43", 4, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
    {"\x50\x51\x52\x53\x54\x55\x56\x57", 8,
     "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
    {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16,
     "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

static void known_leaves_give_known_roots(void **state) {
    (void)state;
    struct group_kit kit;
    group_kit_begin(&kit);
    kh_bytes leaves[8];
    for (uint32_t count = 1; count <= 8; count++) {
        leaves[count - 1] = (kh_bytes){known[count - 1].leaf, known[count - 1].leaf_bytes};
        for (uint32_t index = 0; index < count; index++) {
            struct digest path[MERKLE_PATH_MAX];
            struct digest root;
            uint32_t length = naive_path(&kit, leaves, count, index, path);
            assert_true(merkle_root_of_path(kit.digester, leaves[index], count, index, path, length,
                                            &root));
            char text[2 * DIGEST_BYTES + 1];
            for (int i = 0; i < DIGEST_BYTES; i++)
                snprintf(text + 2 * i, 3, "%02x", (unsigned)root.bytes[i]);
            assert_string_equal(text, known[count - 1].root);
        }
    }
    group_kit_end(&kit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_are_the_definition_s),
        cmocka_unit_test(paths_are_the_definition_s),
        cmocka_unit_test(many_frames_make_short_paths),
        cmocka_unit_test(every_change_of_a_proof_is_seen),
        cmocka_unit_test(no_index_no_path_no_root),
        cmocka_unit_test(known_leaves_give_known_roots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
