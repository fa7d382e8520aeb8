/* kv_batches.c - between the model and the library. */
#include "support/kv_batches.h"

void kv_random_seed(struct kv_random *random, uint64_t seed) {
    random->state = (seed + 1) * 0x9e3779b97f4a7c15u;
    (void)kv_random_next(random);
}

uint64_t kv_random_next(struct kv_random *random) {
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * 0x2545f4914f6cdd1du;
}

int kv_random_below(struct kv_random *random, int bound) {
    return (int)((kv_random_next(random) >> 33) % (uint64_t)bound);
}

/* In key order: prefixes of one another, zero bytes and 0xff included. */
static const struct {
    const char *text;
    size_t size_bytes;
} names[KV_KEYS] = {{"\0", 1},   {"\0\0", 2}, {"a", 1},   {"a/", 2},  {"a/1", 3},
                    {"a/10", 4}, {"a/2", 3},  {"a0", 2},  {"b", 1},   {"b/1", 3},
                    {"b/2", 3},  {"b\xff", 2}, {"b\xff\xff", 3}, {"\xff", 1}};

kh_bytes kv_key(int key) {
    return (kh_bytes){names[key].text, names[key].size_bytes};
}

int kv_key_number(kh_bytes key) {
    for (int i = 0; i < KV_KEYS; i++) {
        if (kit_bytes_equal(key, kv_key(i))) {
            return i;
        }
    }
    fail_msg("a key that nobody wrote");
    return -1;
}

void kv_schemas_open(struct kv_schemas *schemas, kh_db *db) {
    const char *column_names[] = {"id", "a", "b"};
    const char *formats[] = {"!l", "l", "l"};
    kit_is(kh_schema_build(db, column_names, formats, 3, &schemas->whole, NULL), KH_OK);
    kit_is(kh_schema_build(db, column_names, formats, 2, &schemas->partial, NULL), KH_OK);
}

void kv_schemas_close(struct kv_schemas *schemas) {
    kh_schema_release(schemas->whole);
    kh_schema_release(schemas->partial);
}

kh_batch *kv_batch(const struct kv_schemas *schemas, kh_db *db, const struct kv_value *value,
                   bool is_partial) {
    kh_scalar scalars[KV_IDS * 3];
    size_t used = 0;
    int64_t row_count = 0;
    kh_batch *batch = NULL;
    if (!value->is_there) {
        return NULL;
    }
    for (int i = 0; i < KV_IDS; i++) {
        if (value->rows[i].is_there) {
            scalars[used++] = (kh_scalar){KH_SCALAR_INT64, {.int64 = i}};
            scalars[used++] = (kh_scalar){KH_SCALAR_INT64, {.int64 = value->rows[i].a}};
            if (!is_partial) {
                scalars[used++] = (kh_scalar){KH_SCALAR_INT64, {.int64 = value->rows[i].b}};
            }
            row_count++;
        }
    }
    kit_is(kh_batch_build(db, is_partial ? schemas->partial : schemas->whole, scalars, row_count,
                          &batch, NULL),
           KH_OK);
    return batch;
}

struct kv_value kv_value_of(const kh_batch *batch) {
    struct kv_value value;
    memset(&value, 0, sizeof value);
    value.is_there = batch != NULL;
    for (int64_t row = 0; batch != NULL && row < kh_batch_row_count(batch); row++) {
        int64_t id = -1;
        kit_is(kh_batch_int64(batch, 0, row, &id), KH_OK);
        assert_in_range(id, 0, KV_IDS - 1);
        assert_false(value.rows[id].is_there);
        value.rows[id].is_there = true;
        kit_is(kh_batch_int64(batch, 1, row, &value.rows[id].a), KH_OK);
        kit_is(kh_batch_int64(batch, 2, row, &value.rows[id].b), KH_OK);
    }
    return value;
}

bool kv_value_equal(const struct kv_value *a, const struct kv_value *b) {
    if (a->is_there != b->is_there) {
        return false;
    }
    for (int i = 0; a->is_there && i < KV_IDS; i++) {
        const struct kv_row *x = &a->rows[i];
        const struct kv_row *y = &b->rows[i];
        if (x->is_there != y->is_there || (x->is_there && (x->a != y->a || x->b != y->b))) {
            return false;
        }
    }
    return true;
}

void kv_value_text(const struct kv_value *value, char out[KIT_TEXT_BYTES]) {
    size_t used = (size_t)snprintf(out, KIT_TEXT_BYTES, "%s", value->is_there ? "(" : "-");
    for (int i = 0; value->is_there && i < KV_IDS; i++) {
        if (value->rows[i].is_there) {
            used += (size_t)snprintf(out + used, KIT_TEXT_BYTES - used, " %d=%lld/%lld", i,
                                     (long long)value->rows[i].a, (long long)value->rows[i].b);
        }
    }
    if (value->is_there) {
        (void)snprintf(out + used, KIT_TEXT_BYTES - used, " )");
    }
}
