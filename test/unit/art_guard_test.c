/* A node that has left the tree says so in its guard, whatever took its place: a thread that
 * descended before and comes to change it later starts again. One thread; the section of another.
 */
#include "support/index_kit.h"

struct wood {
    struct index_kit kit;
    struct epoch_record *reader; /* in a section: what is retired stays readable */
    int replaced;                /* nodes seen to leave the tree */
};

static int open_wood(void **state) {
    struct wood *wood = calloc(1, sizeof *wood);
    assert_non_null(wood);
    index_kit_open_pooled(&wood->kit);
    wood->reader = aligned_alloc(64, (sizeof *wood->reader + 63) & ~(size_t)63);
    assert_non_null(wood->reader);
    epoch_register(&wood->kit.epoch, wood->reader);
    epoch_open(&wood->kit.epoch, wood->reader);
    *state = wood;
    return 0;
}

static int close_wood(void **state) {
    struct wood *wood = *state;
    epoch_close(&wood->kit.epoch, wood->reader);
    epoch_unregister(&wood->kit.epoch, wood->reader, NULL);
    index_kit_close(&wood->kit);
    free(wood->reader);
    free(wood);
    return 0;
}

/* The node that a change of key would go to; NULL: none. */
static struct node *node_of(struct wood *wood, kh_bytes key) {
    struct art_place place;
    assert_true(art_descend(&wood->kit.index->art, key, key.size_bytes, &place));
    if (place.child != 0 && !node_child_is_entry(place.child)) return node_child_node(place.child);
    return place.lower.node;
}

static void compare(struct wood *wood, struct node *before, kh_bytes key) {
    uint64_t version;
    struct node *after = node_of(wood, key);
    if (after != NULL) assert_true(guard_enter(&after->guard, &version));
    if (before == NULL || before == after) return;
    assert_false(guard_enter(&before->guard, &version));
    wood->replaced++;
}

static kh_bytes key_of(char space[4], int number) {
    space[0] = 'k';
    space[1] = (char)number;
    return (kh_bytes){space, 2};
}

/* From one key to 256 in one node and back: each kind of node is left both ways. */
static void test_replaced_nodes_are_obsolete(void **state) {
    struct wood *wood = *state;
    char space[4];
    struct entry *entries[256];
    for (int i = 0; i < 256; i++) {
        kh_bytes key = key_of(space, i);
        struct node *before = node_of(wood, key);
        assert_int_equal(index_kit_upsert(&wood->kit, key, &entries[i]), KH_OK);
        compare(wood, before, key);
    }
    int grown = wood->replaced;
    for (int i = 255; i >= 0; i--) {
        kh_bytes key = key_of(space, i);
        struct node *before = node_of(wood, key);
        assert_true(index_kit_remove(&wood->kit, entries[i]));
        compare(wood, before, key);
    }
    assert_true(grown >= NODE_48 - NODE_2);
    assert_int_equal(wood->replaced, 2 * grown);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replaced_nodes_are_obsolete, open_wood, close_wood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
