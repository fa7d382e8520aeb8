/* life_model.c - see life_model.h. */
#include "life_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before so many transactions nothing is left of what one wrote. */
enum { REACH = 16 };

static struct model_entry named(const char *room, int64_t which, int64_t i) {
    struct model_entry entry = {.number = i};
    (void)snprintf(entry.key, sizeof entry.key, "%s%" PRId64, room, which);
    return entry;
}

int model_writes(int64_t i, struct model_write out[5]) {
    int count = 0;
    out[count] = (struct model_write){.entry = {.key = "last", .number = i}};
    out[++count] = (struct model_write){.entry = named("s/", i % 8, i)};
    out[++count] = (struct model_write){.entry = named("e/", i, i)};
    if (i > 3) out[++count] = (struct model_write){named("e/", i - 3, i), true};
    if (i % 8 != 5) return count + 1;
    out[++count] = (struct model_write){.entry = named("b/", i / 8 % 2, i)};
    out[count].entry.is_text = true;
    return count + 1;
}

kh_bytes model_text(int64_t i) {
    static char text[MODEL_TEXT_BYTES];
    uint64_t random = (uint64_t)i;
    for (size_t at = 0; at < sizeof text; at++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        text[at] = (char)('a' + random / (UINT64_C(1) << 59) % 26);
    }
    return (kh_bytes){text, sizeof text};
}

static struct model_entry *find(struct model *model, const char *key) {
    for (int i = 0; i < model->count; i++)
        if (strcmp(model->entries[i].key, key) == 0) return &model->entries[i];
    return NULL;
}

static void apply(struct model *model, const struct model_write *write) {
    struct model_entry *entry = find(model, write->entry.key);
    if (write->is_deleted) {
        if (entry != NULL) *entry = model->entries[--model->count];
    } else if (entry != NULL) {
        *entry = write->entry;
    } else {
        model->entries[model->count++] = write->entry;
    }
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct model_entry *)a)->key, ((const struct model_entry *)b)->key);
}

void model_after(int64_t count, struct model *out) {
    struct model_write writes[5];
    out->count = 0;
    for (int64_t i = count > REACH ? count - REACH + 1 : 1; i <= count; i++) {
        int written = model_writes(i, writes);
        for (int w = 0; w < written; w++) apply(out, &writes[w]);
    }
    qsort(out->entries, (size_t)out->count, sizeof *out->entries, by_key);
}
