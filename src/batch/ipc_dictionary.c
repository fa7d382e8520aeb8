/* ipc_dictionary.c - the dictionaries of a stream while it is read: values by id.
 *
 * Invariants: entries are sorted by id and unique; fields that share an id have the same type of
 * values, ids inside them included (so no dictionary can contain itself). Values are validated
 * once, when they come; nested dictionaries are bound to the inner values of that moment.
 * Happy path: accept each dictionary batch, hand out shares of the newest. Failure: KH_CORRUPT for
 * unknown ids, a delta to nothing, a second dictionary in a file; the old values stay. */
#include "batch/ipc_wire.h"

#include "base/status.h"
#include <string.h>

/* ---- entries ---- */

/* Shell sort: ids are few, and nothing is allocated. */
static void sort_by_id(struct ipc_entry *entries, uint32_t count) {
    for (uint32_t gap = count / 2; gap > 0; gap /= 2)
        for (uint32_t i = gap; i < count; i++) {
            struct ipc_entry moved = entries[i];
            uint32_t at = i;
            while (at >= gap && (entries[at - gap].id > moved.id ||
                                 (entries[at - gap].id == moved.id &&
                                  entries[at - gap].slot > moved.slot))) {
                entries[at] = entries[at - gap];
                at -= gap;
            }
            entries[at] = moved;
        }
}

static struct ipc_entry *find(const struct ipc_dictionaries *d, int64_t id) {
    uint32_t low = 0;
    uint32_t high = d->entry_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (d->entries[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < d->entry_count && d->entries[low].id == id ? &d->entries[low] : NULL;
}

/* Same types all the way down: what is valid for one is valid for the other. */
static bool is_same_type(const struct field *a, const struct field *b) {
    if (strcmp(a->format, b->format) != 0 || a->flags != b->flags ||
        a->child_count != b->child_count || (a->dictionary == NULL) != (b->dictionary == NULL))
        return false;
    if (a->dictionary != NULL && !is_same_type(a->dictionary, b->dictionary))
        return false;
    for (int32_t i = 0; i < a->child_count; i++)
        if (!is_same_type(&a->children[i], &b->children[i]))
            return false;
    return true;
}

static bool is_same_dictionary(const struct ipc_slots *slots, uint32_t a, uint32_t b) {
    const struct ipc_slot *first = &slots->items[a];
    const struct ipc_slot *second = &slots->items[b];
    uint32_t count = first->next - a;
    if (second->next - b != count ||
        !is_same_type(first->field->dictionary, second->field->dictionary))
        return false;
    for (uint32_t i = 1; i < count; i++)
        if (slots->items[a + i].id != slots->items[b + i].id)
            return false;
    return true;
}

kh_status ipc_dictionaries_init(struct ipc_dictionaries *d, struct mem *mem,
                                const kh_schema *schema, const int64_t *ids, kh_error *error) {
    memset(d, 0, sizeof *d);
    d->mem = mem;
    d->bytes_max = LIMIT_BATCH_BYTES;
    kh_status status = ipc_slots_init(&d->slots, mem, schema_root(schema), ids, error);
    if (status != KH_OK || d->slots.count == 0)
        return status;
    d->entries = mem_alloc(mem, NULL, d->slots.count * sizeof *d->entries);
    if (d->entries == NULL)
        return status_no_memory(error, d->slots.count * sizeof *d->entries);
    for (uint32_t i = 0; i < d->slots.count; i++)
        d->entries[i] = (struct ipc_entry){.id = d->slots.items[i].id, .slot = i};
    sort_by_id(d->entries, d->slots.count);
    d->entry_count = 1;
    for (uint32_t i = 1; i < d->slots.count; i++) {
        const struct ipc_entry *last = &d->entries[d->entry_count - 1];
        if (d->entries[i].id != last->id)
            d->entries[d->entry_count++] = d->entries[i];
        else if (!is_same_dictionary(&d->slots, last->slot, d->entries[i].slot))
            return status_fail(error, KH_CORRUPT,
                               "IPC schema: dictionary id %lld has two different types",
                               (long long)last->id);
    }
    return KH_OK;
}

void ipc_dictionaries_fini(struct ipc_dictionaries *d) {
    for (uint32_t i = 0; i < d->entry_count; i++)
        kh_batch_release(d->entries[i].batch);
    mem_free(d->mem, NULL, d->entries, d->slots.count * sizeof *d->entries);
    ipc_slots_fini(&d->slots);
    d->entries = NULL;
    d->entry_count = 0;
}

/* ---- values ---- */

/* Takes body. The batch belongs to the process context. */
static kh_status read_values(struct ipc_dictionaries *d, const struct ipc_message *message,
                             struct ipc_block body, uint32_t slot, kh_batch **out,
                             kh_error *error) {
    struct ArrowSchema type;
    struct ArrowArray array = {.release = NULL};
    kh_schema *schema = NULL;
    const struct field *values = d->slots.items[slot].field->dictionary;
    struct field root = ipc_wrap_values(values);
    struct ipc_decoding decoding = {.mem = d->mem, .root = &root, .record = &message->header,
                                    .body = body, .slot = slot + 1, .bytes_max = d->bytes_max,
                                    .values = ipc_dictionaries_values, .context = d,
                                    .has_proved_values = true,
                                    .is_big_endian = d->is_big_endian,
                                    .has_union_bitmaps = message->version == IPC_V4};
    kh_status status = ipc_decode_record(&decoding, &array, error);
    if (status != KH_OK)
        return status;
    status = ipc_tree_of_values(d->mem, values, &type, error);
    if (status == KH_OK) {
        status = kh_schema_import(NULL, &type, &schema, error);
        if (status != KH_OK)
            type.release(&type);
    }
    if (status == KH_OK)
        status = kh_batch_import(NULL, schema, &array, KH_VALIDATE_FULL, out, error);
    if (status != KH_OK)
        array.release(&array);
    kh_schema_release(schema);
    return ipc_status(status);
}

kh_status ipc_dictionaries_accept(struct ipc_dictionaries *d, const struct ipc_message *message,
                                  struct ipc_block body, kh_error *error) {
    kh_batch *batch = NULL;
    kh_status status = KH_OK;
    struct ipc_entry *entry = find(d, message->dictionary_id);
    if (entry == NULL)
        status = status_fail(error, KH_CORRUPT, "IPC: dictionary batch of unknown id %lld",
                             (long long)message->dictionary_id);
    else if (message->is_delta && entry->batch == NULL)
        status = status_fail(error, KH_CORRUPT, "IPC: delta of dictionary %lld before it",
                             (long long)message->dictionary_id);
    else if (!message->is_delta && entry->batch != NULL && d->is_file)
        status = status_fail(error, KH_CORRUPT, "IPC: dictionary %lld twice in a file",
                             (long long)message->dictionary_id);
    if (status != KH_OK) {
        mem_free(d->mem, NULL, body.bytes, body.size_bytes);
        return status;
    }
    status = read_values(d, message, body, entry->slot, &batch, error);
    if (status == KH_OK && message->is_delta) {
        kh_batch *whole = NULL;
        status = kh_batch_concat(entry->batch, batch, &whole, error);
        kh_batch_release(batch);
        batch = whole;
    }
    if (status != KH_OK)
        return ipc_status(status);
    kh_batch_release(entry->batch);
    entry->batch = batch;
    return KH_OK;
}

/* No values were sent, and none are needed: nothing of the right type. */
static kh_status make_empty(struct ipc_dictionaries *d, uint32_t slot, struct ArrowArray *out,
                            kh_error *error) {
    struct field root = ipc_wrap_values(d->slots.items[slot].field->dictionary);
    struct ipc_decoding decoding = {.mem = d->mem, .root = &root, .slot = slot + 1,
                                    .values = ipc_dictionaries_values, .context = d};
    return ipc_decode_values(&decoding, out, error);
}

kh_status ipc_dictionaries_values(void *context, uint32_t slot, bool is_all_null,
                                  struct ArrowArray *out, kh_error *error) {
    struct ipc_dictionaries *d = context;
    const struct ipc_entry *entry = find(d, d->slots.items[slot].id);
    kh_assert(entry != NULL);
    if (entry->batch == NULL && is_all_null)
        return make_empty(d, slot, out, error);
    if (entry->batch == NULL)
        return status_fail(error, KH_CORRUPT, "IPC batch: dictionary %lld was not sent",
                           (long long)entry->id);
    struct ArrowArray root;
    kh_status status = kh_batch_export(entry->batch, &root, NULL, error);
    if (status != KH_OK)
        return status;
    *out = *root.children[0];
    root.children[0]->release = NULL;
    if (root.offset != 0)
        out->null_count = -1;
    out->offset += root.offset;
    out->length = root.length;
    root.release(&root);
    return KH_OK;
}
