/* owned.h - an ArrowArray tree whose buffers are our own: what row operations build and hand to
 * batch_import.
 *
 * Invariants: one owner holds every block of the tree, structs included, all from one memory
 * context; releasing the root frees them, wherever and on whichever thread that happens. Children
 * and dictionaries release nothing themselves and must not be moved out of the tree.
 * Small trees fit the owner's own block and cost one allocation in all, which counts because
 * batch_import packs a small batch and releases the tree at once. */
#ifndef KHONSU_BATCH_OWNED_H
#define KHONSU_BATCH_OWNED_H

#include "base/mem.h"
#include "khonsu/arrow.h"
#include "khonsu/status.h"

struct owned;

/* NULL: no memory. cache (may be NULL) is used until owned_detach at the latest. */
struct owned *owned_create(struct mem *mem, struct mem_cache *cache);
/* Free the tree under construction. NULL is allowed. */
void owned_destroy(struct owned *owned);

/* A block of the tree; not zeroed. NULL: no memory. Aligned to 16 bytes (64 from 1 KiB on). */
void *owned_alloc(struct owned *owned, size_t size_bytes);

/* Make *array an empty array of the tree with zeroed buffers, children and (if asked)
 * dictionary. KH_NO_MEMORY. */
kh_status owned_array(struct owned *owned, struct ArrowArray *array, int64_t buffer_count,
                      int64_t child_count, bool has_dictionary, kh_error *error);

/* Make root (an array of the tree) the one whose release frees everything. *is_released, storage
 * of the caller, turns true if that happens before owned_detach. */
void owned_attach(struct owned *owned, struct ArrowArray *root, bool *is_released);
/* The tree lives on with somebody else: forget cache and is_released. */
void owned_detach(struct owned *owned);

/* Whether an array's buffers are of this kind: in our memory and counted there already, and freed
 * without calling foreign code. */
bool owned_is(const struct ArrowArray *array);

#endif
