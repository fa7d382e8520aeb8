/* ipc_sent.c - dictionaries while a stream or file is written.
 *
 * In a stream a changed dictionary is sent anew and replaces the old one. A file's dictionaries are
 * all read before its batches, so there it may only grow: values that continue the newest ones are
 * sent as a delta; other values are appended as one, and the batch's indices are shifted to where
 * they begin; values that were sent before are found again. Inner dictionaries come first; those
 * that contain a dictionary are never sent as deltas, which other readers refuse.
 * Invariants: segments describe exactly what was sent; shifts[s] holds for the current batch.
 * Failure: KH_NO_MEMORY, KH_UNSUPPORTED (indices too narrow, or a dictionary with an inner one
 * changed in a file), the sender's; state and output may differ then, and the writer stops. */
#include "batch/ipc_sent.h"

#include "base/status.h"
#include <string.h>

kh_status ipc_sent_init(struct ipc_sent *sent, struct mem *mem, const kh_schema *schema,
                        bool is_file, kh_error *error) {
    memset(sent, 0, sizeof *sent);
    sent->mem = mem;
    sent->is_file = is_file;
    arena_init(&sent->last_arena, mem, NULL);
    uint32_t count = ipc_slot_count(schema_root(schema));
    if (count == 0)
        return KH_OK;
    sent->slots = mem_alloc_zeroed(mem, NULL, count * sizeof *sent->slots);
    sent->shifts = mem_alloc_zeroed(mem, NULL, count * sizeof *sent->shifts);
    sent->slot_count = count;
    if (sent->slots == NULL || sent->shifts == NULL)
        return status_no_memory(error, count * sizeof *sent->slots);
    return KH_OK;
}

void ipc_sent_fini(struct ipc_sent *sent) {
    for (uint32_t i = 0; sent->slots != NULL && i < sent->slot_count; i++) {
        struct ipc_sent_slot *slot = &sent->slots[i];
        for (uint32_t j = 0; j < slot->count; j++)
            mem_free(sent->mem, NULL, slot->segments[j].bytes, slot->segments[j].size_bytes);
        mem_free(sent->mem, NULL, slot->segments, slot->capacity * sizeof *slot->segments);
    }
    mem_free(sent->mem, NULL, sent->slots, sent->slot_count * sizeof *sent->slots);
    mem_free(sent->mem, NULL, sent->shifts, sent->slot_count * sizeof *sent->shifts);
    arena_fini(&sent->last_arena);
    kh_batch_release(sent->last);
    sent->slots = NULL;
    sent->shifts = NULL;
    sent->last = NULL;
}

/* ---- the same values ---- */

static bool is_same_buffers(const struct column *a, const struct column *b) {
    if (a->length != b->length || a->offset != b->offset || a->validity != b->validity ||
        a->values != b->values || a->offsets != b->offsets || a->sizes != b->sizes ||
        a->view_buffer_count != b->view_buffer_count)
        return false;
    for (int64_t i = 0; i < a->view_buffer_count; i++)
        if (a->view_buffers[i] != b->view_buffers[i])
            return false;
    for (int32_t i = 0; i < a->field->child_count; i++)
        if (!is_same_buffers(&a->children[i], &b->children[i]))
            return false;
    return a->dictionary == NULL || is_same_buffers(a->dictionary, b->dictionary);
}

/* The first count values of a column as bytes to compare. */
static kh_status render(struct ipc_sent *sent, const struct column *values, int64_t count,
                        uint32_t slot, struct ipc_buffer *out, kh_error *error) {
    struct ipc_dictionary_note note = {.id = slot};
    struct ipc_encoding encoding = {.out = out, .alignment = IPC_VALUE_ALIGNMENT,
                                    .shifts = sent->shifts};
    ipc_buffer_init(&encoding.scratch, sent->mem);
    return ipc_message_put(&encoding, values, values->offset, count, slot + 1, &note, NULL, error);
}

static const struct ipc_segment *find_segment(const struct ipc_sent_slot *slot,
                                              const struct ipc_buffer *rendered) {
    for (uint32_t i = slot->count; i > 0; i--) {
        const struct ipc_segment *segment = &slot->segments[i - 1];
        if (segment->size_bytes == rendered->size_bytes &&
            memcmp(segment->bytes, rendered->bytes, rendered->size_bytes) == 0)
            return segment;
    }
    return NULL;
}

/* Whether the newest values sent are the first of these, so that the rest can be a delta. */
static kh_status continues(struct ipc_sent *sent, const struct column *values, uint32_t slot,
                           bool *out, kh_error *error) {
    const struct ipc_sent_slot *state = &sent->slots[slot];
    const struct ipc_segment *newest = &state->segments[state->count - 1];
    struct ipc_buffer rendered;
    *out = false;
    kh_assert(newest->first + newest->count == state->total);
    if (newest->count >= values->length)
        return KH_OK;
    ipc_buffer_init(&rendered, sent->mem);
    kh_status status = render(sent, values, newest->count, slot, &rendered, error);
    if (status == KH_OK)
        *out = rendered.size_bytes == newest->size_bytes &&
               memcmp(rendered.bytes, newest->bytes, newest->size_bytes) == 0;
    ipc_buffer_fini(&rendered);
    return status;
}

/* Takes the rendered bytes. */
static kh_status add_segment(struct ipc_sent *sent, struct ipc_sent_slot *slot,
                             struct ipc_buffer *rendered, int64_t first, int64_t count,
                             kh_error *error) {
    if (slot->count == slot->capacity) {
        size_t entry = sizeof *slot->segments;
        uint32_t capacity = slot->capacity == 0 ? 2 : slot->capacity * 2;
        void *grown = slot->segments == NULL
                          ? mem_alloc(sent->mem, NULL, capacity * entry)
                          : mem_resize(sent->mem, NULL, slot->segments, slot->capacity * entry,
                                       capacity * entry);
        if (grown == NULL)
            return status_no_memory(error, capacity * entry);
        slot->segments = grown;
        slot->capacity = capacity;
    }
    unsigned char *bytes = mem_resize(sent->mem, NULL, rendered->bytes, rendered->capacity_bytes,
                                      rendered->size_bytes);
    if (bytes == NULL)
        return status_no_memory(error, rendered->size_bytes);
    slot->segments[slot->count++] = (struct ipc_segment){
        .bytes = bytes, .size_bytes = rendered->size_bytes, .first = first, .count = count};
    ipc_buffer_init(rendered, sent->mem);
    return KH_OK;
}

static void drop_newest(struct ipc_sent *sent, struct ipc_sent_slot *slot) {
    struct ipc_segment *newest = &slot->segments[--slot->count];
    mem_free(sent->mem, NULL, newest->bytes, newest->size_bytes);
}

/* ---- one dictionary ---- */

static bool fits_index(const struct field *field, int64_t total) {
    int32_t bits = field->bits - (field->is_signed ? 1 : 0);
    return bits >= 63 || total <= (int64_t)1 << bits;
}

/* A dictionary of a file that was sent before with other values. */
static kh_status grow(struct ipc_sent *sent, const struct column *c, uint32_t slot,
                      struct ipc_buffer *rendered, const struct ipc_sender *sender,
                      kh_error *error) {
    struct ipc_sent_slot *state = &sent->slots[slot];
    struct ipc_dictionary_note note = {.id = slot, .is_delta = true};
    const struct column *values = c->dictionary;
    bool is_longer;
    if (ipc_slot_count(c->field->dictionary) > 0)
        return status_fail(error, KH_UNSUPPORTED,
                           "IPC file: the dictionary of column '%.80s' has dictionaries inside and "
                           "changed: write a stream", c->field->name);
    kh_status status = continues(sent, values, slot, &is_longer, error);
    if (status != KH_OK)
        return status;
    int64_t known = is_longer ? state->segments[state->count - 1].count : 0;
    int64_t first = state->total - known;
    if (!fits_index(c->field, first + values->length))
        return status_fail(error, KH_UNSUPPORTED,
                           "IPC file: the dictionaries of column '%.80s' have %lld values in all, "
                           "too many for its indices: write a stream", c->field->name,
                           (long long)(first + values->length));
    status = sender->send(sender->context, values, values->offset + known, values->length - known,
                          slot + 1, &note, error);
    if (status != KH_OK)
        return status;
    if (is_longer)
        drop_newest(sent, state);
    state->total = first + values->length;
    sent->shifts[slot] = first;
    return add_segment(sent, state, rendered, first, values->length, error);
}

/* has_changed: an inner dictionary was replaced (in streams only). */
static kh_status update_values(struct ipc_sent *sent, const struct column *c, uint32_t slot,
                               bool *has_changed, const struct ipc_sender *sender,
                               kh_error *error) {
    struct ipc_sent_slot *state = &sent->slots[slot];
    const struct column *values = c->dictionary;
    struct ipc_dictionary_note note = {.id = slot};
    struct ipc_buffer rendered;
    ipc_buffer_init(&rendered, sent->mem);
    kh_status status = render(sent, values, values->length, slot, &rendered, error);
    const struct ipc_segment *found = NULL;
    if (status == KH_OK && !*has_changed)
        found = find_segment(state, &rendered);
    if (status != KH_OK) {
        ipc_buffer_fini(&rendered);
        return status;
    }
    if (found != NULL) {
        sent->shifts[slot] = found->first;
    } else if (sent->is_file && state->count > 0) {
        status = grow(sent, c, slot, &rendered, sender, error);
    } else {
        *has_changed = true;
        status = sender->send(sender->context, values, values->offset, values->length, slot + 1,
                              &note, error);
        if (status == KH_OK && state->count > 0)
            drop_newest(sent, state);
        state->total = values->length;
        if (status == KH_OK)
            status = add_segment(sent, state, &rendered, 0, values->length, error);
    }
    ipc_buffer_fini(&rendered);
    return status;
}

/* ---- all of a batch ---- */

struct walk {
    struct ipc_sent *sent;
    const struct ipc_sender *sender;
    uint32_t slot;
    kh_error *error;
};

static kh_status update(struct walk *walk, const struct column *c, const struct column *last,
                        bool *has_changed);

static kh_status update_children(struct walk *walk, const struct column *c,
                                 const struct column *last, bool *has_changed) {
    kh_status status = KH_OK;
    for (int32_t i = 0; i < c->field->child_count && status == KH_OK; i++)
        status = update(walk, &c->children[i], last == NULL ? NULL : &last->children[i],
                        has_changed);
    return status;
}

static kh_status update(struct walk *walk, const struct column *c, const struct column *last,
                        bool *has_changed) {
    if (c->field->dictionary == NULL)
        return update_children(walk, c, last, has_changed);
    uint32_t slot = walk->slot++;
    if (last != NULL && is_same_buffers(c->dictionary, last->dictionary)) {
        walk->slot += ipc_slot_count(c->field->dictionary);
        return KH_OK;
    }
    bool is_inner_new = false;
    kh_status status = update_children(walk, c->dictionary,
                                       last == NULL ? NULL : last->dictionary, &is_inner_new);
    is_inner_new = is_inner_new && !walk->sent->is_file;
    if (status == KH_OK)
        status = update_values(walk->sent, c, slot, &is_inner_new, walk->sender, walk->error);
    *has_changed = *has_changed || is_inner_new;
    return status;
}

kh_status ipc_sent_update(struct ipc_sent *sent, const kh_batch *batch, const struct column *root,
                          const struct ipc_sender *sender, kh_error *error) {
    struct walk walk = {.sent = sent, .sender = sender, .error = error};
    bool has_changed = false;
    if (sent->slot_count == 0 || batch == sent->last)
        return KH_OK;
    kh_status status = update(&walk, root, sent->last == NULL ? NULL : &sent->last_root,
                              &has_changed);
    if (status != KH_OK)
        return status;
    kh_batch_release(sent->last);
    sent->last = kh_batch_retain(batch);
    arena_reset(&sent->last_arena);
    return column_view(sent->last, &sent->last_arena, &sent->last_root, error);
}
