/* grave.c - see grave.h. */
#include "store/grave.h"

struct grave {
    struct epoch_entry limbo;
    struct mem *mem;
    struct node *node;
    struct entry *entry;
};

struct grave *grave_create(struct mem *mem, struct mem_cache *cache) {
    struct grave *grave = mem_alloc(mem, cache, sizeof *grave);
    if (grave != NULL) *grave = (struct grave){.mem = mem};
    return grave;
}

void grave_free(struct mem_cache *cache, struct grave *grave) {
    if (grave != NULL) mem_free(grave->mem, cache, grave, sizeof *grave);
}

static void close_grave(struct epoch_entry *limbo, struct mem_cache *cache) {
    struct grave *grave = (struct grave *)(void *)limbo;
    struct mem *mem = grave->mem;
    node_free(mem, cache, grave->node);
    if (grave->entry != NULL)
        mem_free(mem, cache, grave->entry, grave_entry_size(grave->entry->key_bytes));
    mem_free(mem, cache, grave, sizeof *grave);
}

void grave_bury(struct grave *grave, struct epoch *epoch, struct epoch_record *record,
                struct node *node, struct entry *entry) {
    grave->node = node;
    grave->entry = entry;
    epoch_retire(epoch, record, &grave->limbo, close_grave);
}
