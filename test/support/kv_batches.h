/* kv_batches.h - keys and values of the model (model/kv_model.h) as those of the library, and
 * back. */
#ifndef TEST_SUPPORT_KV_BATCHES_H
#define TEST_SUPPORT_KV_BATCHES_H

#include "model/kv_model.h"
#include "support/kit.h"

/* A small generator of numbers (xorshift64*, Vigna 2014), so that a seed replays everywhere. */
struct kv_random {
    uint64_t state;
};
void kv_random_seed(struct kv_random *random, uint64_t seed);
uint64_t kv_random_next(struct kv_random *random);
/* Below bound. */
int kv_random_below(struct kv_random *random, int bound);

kh_bytes kv_key(int key);
/* The model's number of a key; fails for one that is none. */
int kv_key_number(kh_bytes key);

struct kv_schemas {
    kh_schema *whole;   /* id, a, b */
    kh_schema *partial; /* id, a */
};
void kv_schemas_open(struct kv_schemas *schemas, kh_db *db);
void kv_schemas_close(struct kv_schemas *schemas);
/* NULL for a value that is not there. */
kh_batch *kv_batch(const struct kv_schemas *schemas, kh_db *db, const struct kv_value *value,
                   bool is_partial);
/* batch may be NULL. Rows of any order. */
struct kv_value kv_value_of(const kh_batch *batch);
bool kv_value_equal(const struct kv_value *a, const struct kv_value *b);
void kv_value_text(const struct kv_value *value, char out[KIT_TEXT_BYTES]);

#endif
