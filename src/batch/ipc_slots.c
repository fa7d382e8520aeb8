/* ipc_slots.c - the dictionary-encoded fields of a schema, in preorder.
 *
 * Encoder and decoder walk a schema in the same order and count dictionary fields as they meet
 * them; the count is a field's slot, and the list made here turns it into field and id. */
#include "batch/ipc_wire.h"

#include "base/status.h"

uint32_t ipc_slot_count(const struct field *field) {
    uint32_t count = field->dictionary == NULL ? 0 : 1 + ipc_slot_count(field->dictionary);
    for (int32_t i = 0; i < field->child_count; i++)
        count += ipc_slot_count(&field->children[i]);
    return count;
}

/* Fills items from *slot on. */
static void fill(const struct field *field, struct ipc_slot *items, uint32_t *slot) {
    if (field->dictionary != NULL) {
        struct ipc_slot *own = &items[(*slot)++];
        fill(field->dictionary, items, slot);
        *own = (struct ipc_slot){.field = field, .next = *slot};
    }
    for (int32_t i = 0; i < field->child_count; i++)
        fill(&field->children[i], items, slot);
}

kh_status ipc_slots_init(struct ipc_slots *slots, struct mem *mem, const struct field *root,
                         const int64_t *ids, kh_error *error) {
    *slots = (struct ipc_slots){.mem = mem, .count = ipc_slot_count(root)};
    if (slots->count == 0)
        return KH_OK;
    slots->items = mem_alloc(mem, NULL, slots->count * sizeof *slots->items);
    if (slots->items == NULL) {
        slots->count = 0;
        return status_no_memory(error, sizeof *slots->items);
    }
    uint32_t slot = 0;
    fill(root, slots->items, &slot);
    kh_assert(slot == slots->count);
    for (uint32_t i = 0; i < slots->count; i++)
        slots->items[i].id = ids == NULL ? (int64_t)i : ids[i];
    return KH_OK;
}

void ipc_slots_fini(struct ipc_slots *slots) {
    mem_free(slots->mem, NULL, slots->items, slots->count * sizeof *slots->items);
    slots->items = NULL;
    slots->count = 0;
}
