/* mem_pool.h - choosing the kind of a memory context, for tests of the pool under sanitizers. */
#ifndef KHONSU_BASE_MEM_POOL_H
#define KHONSU_BASE_MEM_POOL_H

#include "base/mem.h"

/* mem_create with the choice made by the caller: freelists, or one call of the hook a block. */
struct mem *mem_create_kind(const struct mem_hooks *hooks, bool is_pooled);

#endif
