/* node_test.c - one node of each size against an array of 257 children: adding, removing, copying,
 * finding and ranks, with and without an end slot, up to the last slot. */
#include "store/node.h"

#include "support/index_kit.h"

enum { EDGES = 257, END = 256 };

struct model {
    node_child children[EDGES]; /* by byte; END; 0: none */
    unsigned used;
};

static node_child child_of(unsigned edge) {
    return 0x10000 + edge * 16; /* never followed */
}

static int edge_of(unsigned index) {
    return index == END ? NODE_EDGE_END : (int)index;
}

static void check(struct node *node, const struct model *model) {
    uint64_t head = node_head(node);
    unsigned rank = model->children[END] != 0;
    assert_int_equal(node_head_used(head), model->used);
    assert_int_equal(node_head_has_end(head), rank);
    node_slot *slots = node_slots(node, head);
    if (rank == 1) assert_true(node_slot_load(slots) == model->children[END]);
    for (unsigned byte = 0; byte < 256; byte++) {
        node_slot *slot = node_find(node, head, byte);
        assert_int_equal(node_rank(node, head, byte), rank);
        if (model->children[byte] == 0) {
            assert_null(slot);
        } else {
            assert_ptr_equal(slot, slots + rank);
            assert_true(node_slot_load(slot) == model->children[byte]);
            rank++;
        }
    }
    assert_int_equal(rank, model->used);
}

static void flip(struct node *node, struct model *model, unsigned index) {
    if (model->children[index] != 0) {
        node_remove(node, edge_of(index));
        model->children[index] = 0;
        model->used--;
    } else if (!node_is_full(node_head(node))) {
        node_add(node, edge_of(index), child_of(index));
        model->children[index] = child_of(index);
        model->used++;
    }
}

static void test_each_kind(void **state) {
    (void)state;
    struct mem *mem = mem_create(NULL);
    uint64_t random = 7;
    for (unsigned kind = 0; kind < NODE_KINDS; kind++) {
        for (unsigned range = 1; range <= EDGES; range = range * 4 - 1) {
            struct node *node = node_create(mem, NULL, kind, 12345);
            struct model model = {{0}, 0};
            assert_non_null(node);
            assert_int_equal(node_head_depth(node_head(node)), 12345);
            for (unsigned step = 0; step < 600; step++) {
                uint64_t dice = index_kit_random(&random);
                unsigned index = (unsigned)(dice % range * 83 % EDGES);
                /* Mostly up, then mostly down. */
                bool is_there = model.children[index] != 0;
                if (is_there == (step < 300) && dice >> 40 & 3) continue;
                flip(node, &model, index);
                check(node, &model);
            }
            assert_int_equal(node_head_kind(node_head(node)), kind);
            assert_int_equal(node_head_depth(node_head(node)), 12345);
            node_free(mem, NULL, node);
        }
    }
    mem_close(mem);
}

/* Full nodes of each kind into the next larger, and what fits into the next smaller. */
static void test_copies(void **state) {
    (void)state;
    struct mem *mem = mem_create(NULL);
    for (unsigned kind = 0; kind < NODE_KINDS; kind++) {
        for (unsigned has_end = 0; has_end <= 1; has_end++) {
            struct node *node = node_create(mem, NULL, kind, 0);
            struct model model = {{0}, 0};
            assert_non_null(node);
            if (has_end == 1) flip(node, &model, END);
            unsigned stride = kind == NODE_257 ? 1 : 101;
            for (unsigned i = 0; i < 256 && !node_is_full(node_head(node)); i++)
                flip(node, &model, i * stride % 256);
            check(node, &model);
            unsigned larger_kind = kind + 1 < NODE_KINDS ? kind + 1 : kind;
            struct node *larger = node_create(mem, NULL, larger_kind, 0);
            assert_non_null(larger);
            node_append_all(larger, node);
            check(larger, &model);
            check(node, &model);
            for (unsigned i = 0; !node_is_sparse(larger_kind, model.used) && i < 256; i++)
                if (model.children[i] != 0) flip(larger, &model, i);
            if (larger_kind > NODE_4) {
                struct node *smaller = node_create(mem, NULL, larger_kind - 1, 0);
                assert_non_null(smaller);
                node_append_all(smaller, larger);
                check(smaller, &model);
                assert_false(node_is_full(node_head(smaller)));
                node_free(mem, NULL, smaller);
            }
            node_free(mem, NULL, larger);
            node_free(mem, NULL, node);
        }
    }
    mem_close(mem);
}

/* What the memory budget counts on: sizes that waste nothing in the pool's classes. */
static void test_sizes(void **state) {
    (void)state;
    static const unsigned sizes[NODE_KINDS] = {32,  48,  80,  112,  160, 240,
                                               304, 432, 704, 1088, 2104};
    for (unsigned kind = 0; kind < NODE_KINDS; kind++) {
        assert_int_equal(node_shapes[kind].size_bytes, sizes[kind]);
        if (kind > 0) assert_true(node_shapes[kind].capacity > node_shapes[kind - 1].capacity);
    }
    assert_int_equal(node_shapes[NODE_257].capacity, EDGES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
