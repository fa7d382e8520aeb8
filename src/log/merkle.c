/* merkle.c - the Merkle tree over the frames of one group (RFC 6962, section 2.1).
 *
 * Invariants: a root is computed in one pass, with the roots of the full subtrees so far on a
 * stack, one for each bit of how many leaves they hold; no memory is needed besides, whatever the
 * count. Happy path: leaves are pushed, and two subtrees of one size become one. Failure: none for
 * a body that group_decode has accepted, and less than that is asserted. */
#include "log/group.h"

#include "base/assert.h"

enum { PREFIX_LEAF = 0, PREFIX_NODE = 1 };

static kh_bytes bytes_of(const struct digest *digest) {
    return (kh_bytes){digest->bytes, sizeof digest->bytes};
}

static void leaf(struct digester *digester, kh_bytes frame, struct digest *out) {
    digest_of(digester, PREFIX_LEAF, frame, (kh_bytes){NULL, 0}, out);
}

static void node(struct digester *digester, const struct digest *left, const struct digest *right,
                 struct digest *out) {
    digest_of(digester, PREFIX_NODE, bytes_of(left), bytes_of(right), out);
}

static kh_bytes next_frame(kh_bytes body, size_t *at) {
    kh_bytes frame = {NULL, 0};
    bool is_broken;
    bool is_there = group_next_frame(body, at, &frame, &is_broken);
    kh_assert(is_there);
    return frame;
}

/* The root of the next count frames. */
static void root_of_next(struct digester *digester, kh_bytes body, size_t *at, uint32_t count,
                         struct digest *out) {
    kh_assert(count > 0);
    /* Below the newest leaf there is a subtree for each bit of a number that is at most 2^32 - 2:
     * one bit less than there is room for. */
    struct digest stack[MERKLE_PATH_MAX];
    uint32_t depth = 0;
    for (uint32_t i = 0; i < count; i++) {
        leaf(digester, next_frame(body, at), &stack[depth++]);
        for (uint32_t ones = i; (ones & 1) != 0; ones >>= 1, depth--)
            node(digester, &stack[depth - 2], &stack[depth - 1], &stack[depth - 2]);
    }
    for (; depth > 1; depth--)
        node(digester, &stack[depth - 2], &stack[depth - 1], &stack[depth - 2]);
    *out = stack[0];
}

void merkle_root(struct digester *digester, kh_bytes body, uint32_t count, struct digest *out) {
    size_t at = 0;
    root_of_next(digester, body, &at, count, out);
}

/* The largest power of two below count, which is at least 2. */
static uint32_t split_of(uint32_t count) {
    return UINT32_C(1) << (31 - __builtin_clz(count - 1));
}

uint32_t merkle_path(struct digester *digester, kh_bytes body, uint32_t count, uint32_t index,
                     kh_bytes *frame, struct digest path[MERKLE_PATH_MAX]) {
    kh_assert(index < count);
    /* From the top down: the subtree beside the way to the frame, and on which side it lies. */
    struct {
        uint32_t count;
        bool is_left;
    } beside[MERKLE_PATH_MAX];
    uint32_t depth = 0;
    uint32_t below = index;
    for (uint32_t left = count; left > 1; depth++) {
        uint32_t split = split_of(left);
        beside[depth].is_left = below >= split;
        beside[depth].count = below >= split ? split : left - split;
        left -= beside[depth].count;
        if (beside[depth].is_left) below -= split;
    }
    /* The left ones follow each other in the body from the top down, the right ones from the bottom
     * up; the path goes up. */
    size_t at = 0;
    for (uint32_t i = 0; i < depth; i++)
        if (beside[i].is_left)
            root_of_next(digester, body, &at, beside[i].count, &path[depth - 1 - i]);
    *frame = next_frame(body, &at);
    for (uint32_t i = depth; i-- > 0;)
        if (!beside[i].is_left)
            root_of_next(digester, body, &at, beside[i].count, &path[depth - 1 - i]);
    return depth;
}

bool merkle_root_of_path(struct digester *digester, kh_bytes frame, uint32_t count, uint32_t index,
                         const struct digest *path, uint32_t path_count, struct digest *root) {
    if (index >= count) return false;
    struct digest digest;
    leaf(digester, frame, &digest);
    /* RFC 9162, 2.1.3.2: own and last are the places of the frame and of the last one, on each
     * level of the tree. A node that is last and has no partner moves up as it is. */
    uint32_t own = index;
    uint32_t last = count - 1;
    for (uint32_t i = 0; i < path_count; i++) {
        if (last == 0) return false;
        while ((own & 1) == 0 && own == last) {
            own >>= 1;
            last >>= 1;
        }
        if ((own & 1) != 0)
            node(digester, &path[i], &digest, &digest);
        else
            node(digester, &digest, &path[i], &digest);
        own >>= 1;
        last >>= 1;
    }
    if (last != 0) return false;
    *root = digest;
    return true;
}
