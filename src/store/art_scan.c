/* art_scan.c - entries in key order, either way, from a cut between keys.
 *
 * A scan seeks the cut, which leaves a stack of nodes with the next slot of each, and then walks:
 * slots are dense and in order, so that a node of entries is an array to copy. What was taken from
 * a node counts once the node's version has been checked behind it, on going down and on leaving.
 * A node may be replaced while the walk is below it; then the scan seeks again, behind the last
 * entry that counts. It never returns to what it has passed, so the answer is in order.
 *
 * The stack keeps the deepest STACK_NODES nodes only (a path can have 65,535): when the walk
 * leaves the lowest that is kept, it seeks behind all keys of that node.
 * The prefix costs nothing while walking: the walk ends when it leaves a node whose parent
 * branches inside the prefix, since the prefix's whole range lies below that node.
 * Nothing here fails. */
#include "store/art.h"

enum { STACK_NODES = 32 }; /* a power of two; real trees are less than 20 deep */

/* A cut between two neighbouring keys: just below a key, just above it, or above everything that
 * starts with it. Forward scans return what is above the cut, reverse ones what is below. */
enum side { CUT_BELOW, CUT_ABOVE, CUT_PAST };
struct cut {
    kh_bytes key;
    enum side side;
};

struct frame {
    struct node *node;
    uint64_t version;
    int32_t next;  /* slot to visit next; -1 or the node's count of slots: none */
    int32_t start; /* length of the path to the node: its parent's depth and one */
};

struct scan {
    const struct art *art;
    kh_bytes prefix;
    struct cut cut;
    bool is_reverse;
    bool is_over;
    struct entry **out;     /* where the next entry goes */
    struct entry **full;    /* where there is no more room */
    struct entry **checked; /* entries before this one count */
    struct entry **at_seek; /* checked at the last seek */
    unsigned top;           /* frames pushed, modulo STACK_NODES: the next one */
    unsigned kept;          /* frames on the stack; 0: seek */
    struct frame frames[STACK_NODES];
};

static inline struct frame *top_frame(struct scan *scan) {
    return &scan->frames[(scan->top - 1) % STACK_NODES];
}

static inline void push(struct scan *scan, struct node *node, uint64_t version, int32_t next,
                        int32_t start) {
    scan->frames[scan->top++ % STACK_NODES] = (struct frame){node, version, next, start};
    if (scan->kept < STACK_NODES) scan->kept++;
}

static kh_bytes last_key(const struct scan *scan) {
    return entry_key(scan->checked[-1]);
}

/* A version has moved: forget what was not checked, and seek behind the rest. */
static void seek_again(struct scan *scan) {
    scan->out = scan->checked;
    if (scan->checked > scan->at_seek)
        scan->cut = (struct cut){last_key(scan), scan->is_reverse ? CUT_BELOW : CUT_ABOVE};
    scan->kept = 0;
}

/* All keys that share the first `start` bytes of the path are done with. */
static void leave(struct scan *scan, int32_t start) {
    if ((size_t)start <= scan->prefix.size_bytes) {
        scan->is_over = true;
        return;
    }
    if (scan->kept > 0) return;
    /* What lay below was either on the way to the cut or has given an entry. */
    kh_bytes path = scan->checked > scan->at_seek ? last_key(scan) : scan->cut.key;
    path.size_bytes = (size_t)start;
    scan->cut = (struct cut){path, scan->is_reverse ? CUT_BELOW : CUT_PAST};
}

/* Copy entries from slot *next on until an inner child is met (which is returned), the slots end or
 * the answer is full (0). *next moves on to the slot that was not copied. */
__attribute__((always_inline)) static inline node_child
copy_run(struct scan *scan, const node_slot *slots, int32_t used, int32_t *next, bool is_reverse) {
    struct entry **out = scan->out;
    int32_t i = *next; /* beyond used when the node has changed: the caller will notice */
    node_child inner = 0;
    guard_disturb();
    while ((is_reverse ? i >= 0 : i < used) && out < scan->full) {
        node_child child = node_slot_load(&slots[i]);
        if (!node_child_is_entry(child)) {
            inner = child;
            break;
        }
        *out++ = node_child_entry(child);
        i += is_reverse ? -1 : 1;
    }
    scan->out = out;
    *next = i;
    return inner;
}

/* Go on at the top frame until it ends, leads further down than one level, or the answer is full.
 * Nodes of entries only, which most are, are copied without a frame of their own. */
__attribute__((always_inline)) static inline void walk(struct scan *scan, bool is_reverse) {
    struct frame *frame = top_frame(scan);
    struct node *node = frame->node;
    const uint64_t version = frame->version;
    uint64_t head = node_head(node);
    const node_slot *slots = node_slots(node, head);
    int32_t next = frame->next;
    node_child child;
    while ((child = copy_run(scan, slots, (int32_t)node_head_used(head), &next, is_reverse)) != 0) {
        struct node *lower = node_child_node(child);
        uint64_t lower_version;
        if (!guard_enter(&lower->guard, &lower_version) || !guard_holds(&node->guard, version)) {
            seek_again(scan);
            return;
        }
        scan->checked = scan->out;
        next += is_reverse ? -1 : 1;
        uint64_t lower_head = node_head(lower);
        int32_t used = (int32_t)node_head_used(lower_head);
        int32_t lower_next = is_reverse ? used - 1 : 0;
        (void)copy_run(scan, node_slots(lower, lower_head), used, &lower_next, is_reverse);
        if (lower_next != (is_reverse ? -1 : used) || scan->out == scan->full) {
            frame->next = next;
            push(scan, lower, lower_version, lower_next, (int32_t)node_head_depth(head) + 1);
            return;
        }
        if (!guard_holds(&lower->guard, lower_version)) {
            seek_again(scan);
            return;
        }
        scan->checked = scan->out;
    }
    if (!guard_holds(&node->guard, version)) {
        seek_again(scan);
        return;
    }
    scan->checked = scan->out;
    if (scan->out == scan->full) {
        scan->is_over = true;
        return;
    }
    scan->top--;
    scan->kept--;
    leave(scan, frame->start);
}

/* Whether the cut lies below all keys under a child, which part from the cut's key at depth (before
 * the child branches); sample is one of them. */
static bool is_above_cut(const struct cut *cut, const struct entry *sample, size_t depth) {
    if (depth == cut->key.size_bytes) {
        if (cut->side == CUT_PAST) return false;
        return cut->side == CUT_BELOW || sample->key_bytes > depth;
    }
    if (depth == sample->key_bytes) return false;
    return sample->key[depth] > ((const unsigned char *)cut->key.data)[depth];
}

/* The first slot of a node that is above the cut, whose key goes on beyond the path to the node or
 * ends there and has no slot for its next byte. */
static int32_t slot_above_cut(const struct cut *cut, const struct node *node, uint64_t head) {
    size_t depth = node_head_depth(head);
    if (depth < cut->key.size_bytes)
        return (int32_t)node_rank(node, head, ((const unsigned char *)cut->key.data)[depth]);
    if (cut->side == CUT_PAST) return (int32_t)node_head_used(head);
    return cut->side == CUT_ABOVE ? (int32_t)node_head_has_end(head) : 0;
}

/* Where a descent towards the cut has ended. */
struct landing {
    node_child child; /* 0: empty tree; an entry; a node without a slot for the next byte */
    uint64_t version; /* of that node */
    int32_t above;    /* depth of the node above, -1: none */
};

/* Descend towards the cut, no deeper than limit, pushing what is passed. False: again. */
static bool descend(struct scan *scan, size_t limit, struct landing *landing) {
    const struct guard *guard = &scan->art->guard;
    const node_slot *slot = &scan->art->root;
    kh_bytes key = scan->cut.key;
    uint64_t version;
    landing->above = -1;
    scan->kept = 0;
    if (!guard_enter(guard, &version)) return false;
    for (;;) {
        landing->child = node_slot_load(slot);
        if (!guard_holds(guard, version)) return false;
        if (landing->child == 0 || node_child_is_entry(landing->child)) return true;
        struct node *node = node_child_node(landing->child);
        if (!guard_enter(&node->guard, &landing->version)) return false;
        uint64_t head = node_head(node);
        size_t depth = node_head_depth(head);
        if (depth > limit || depth >= key.size_bytes) return true;
        slot = node_find(node, head, ((const unsigned char *)key.data)[depth]);
        if (slot == NULL) return true;
        guard = &node->guard;
        version = landing->version;
        int32_t index = (int32_t)(slot - node_slots(node, head));
        push(scan, node, version, scan->is_reverse ? index - 1 : index + 1, landing->above + 1);
        landing->above = (int32_t)depth;
    }
}

/* The cut's key and everything under the landing's child part at depth, before it branches: take
 * all of it or nothing. */
static void land_beside(struct scan *scan, const struct landing *landing,
                        const struct entry *sample, size_t depth) {
    int32_t start = landing->above + 1;
    bool is_wanted = is_above_cut(&scan->cut, sample, depth) != scan->is_reverse;
    if (is_wanted && !node_child_is_entry(landing->child)) {
        struct node *node = node_child_node(landing->child);
        int32_t last = (int32_t)node_head_used(node_head(node)) - 1;
        push(scan, node, landing->version, scan->is_reverse ? last : 0, start);
        return;
    }
    if (is_wanted) {
        *scan->out++ = node_child_entry(landing->child);
        scan->checked = scan->out;
        if (scan->out == scan->full) scan->is_over = true;
    }
    leave(scan, start);
}

/* Find the cut. On return there is a frame to walk, or the scan is over, or the cut has moved. */
static void seek(struct scan *scan) {
    size_t limit = scan->cut.key.size_bytes;
    scan->at_seek = scan->checked;
    for (;;) {
        struct landing landing;
        if (!descend(scan, limit, &landing)) continue;
        if (landing.child == 0) {
            scan->is_over = true;
            return;
        }
        bool is_entry = node_child_is_entry(landing.child);
        const struct node *node = is_entry ? NULL : node_child_node(landing.child);
        const struct entry *sample = is_entry ? node_child_entry(landing.child) : node_sample(node);
        size_t depth = key_mismatch(scan->cut.key, entry_key(sample));
        if ((int64_t)depth <= landing.above) { /* the path was wrong further up */
            limit = depth;
            continue;
        }
        if (depth < scan->prefix.size_bytes) { /* what starts like this lacks the prefix */
            scan->is_over = true;
            return;
        }
        uint64_t head = is_entry ? 0 : node_head(node);
        if (is_entry || depth < node_head_depth(head)) {
            land_beside(scan, &landing, sample, depth);
            return;
        }
        if (node_head_depth(head) > limit) { /* the path has changed since the limit was learned */
            limit = scan->cut.key.size_bytes;
            continue;
        }
        int32_t above = slot_above_cut(&scan->cut, node, head);
        push(scan, node_child_node(landing.child), landing.version,
             scan->is_reverse ? above - 1 : above, landing.above + 1);
        return;
    }
}

/* Where a scan starts. False: no key of the prefix lies beyond the bound. */
static bool first_cut(kh_bytes prefix, kh_bytes bound, bool is_exclusive, bool is_reverse,
                      struct cut *cut) {
    *cut = (struct cut){prefix, is_reverse ? CUT_PAST : CUT_BELOW};
    if (bound.data == NULL) return true;
    size_t depth = key_mismatch(prefix, bound);
    if (depth == prefix.size_bytes) {
        *cut = (struct cut){bound, is_exclusive == is_reverse ? CUT_BELOW : CUT_ABOVE};
        return true;
    }
    bool is_bound_lower =
        depth == bound.size_bytes ||
        ((const unsigned char *)bound.data)[depth] < ((const unsigned char *)prefix.data)[depth];
    return is_bound_lower != is_reverse;
}

size_t art_scan(const struct art *art, kh_bytes prefix, kh_bytes bound, bool is_exclusive,
                bool is_reverse, struct entry **out, size_t capacity) {
    struct scan scan;
    scan.art = art;
    scan.prefix = prefix;
    scan.is_reverse = is_reverse;
    scan.out = scan.checked = scan.at_seek = out;
    scan.full = out + capacity;
    scan.top = scan.kept = 0;
    scan.is_over = capacity == 0 || !first_cut(prefix, bound, is_exclusive, is_reverse, &scan.cut);
    while (!scan.is_over) {
        if (scan.kept == 0)
            seek(&scan);
        else if (is_reverse)
            walk(&scan, true);
        else
            walk(&scan, false);
    }
    return (size_t)(scan.checked - out);
}
