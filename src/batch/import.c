/* import.c - the way in: a usual row by the short way, everything else by import_rows. */
#include "batch/import_row.h"

#include "base/status.h"
#include "batch/home.h"

kh_status batch_import_within(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                              struct ArrowArray *array, kh_validation validation,
                              uint64_t bytes_max, kh_batch **out, kh_error *error) {
    kh_batch *batch = import_row(mem, cache, schema, array, validation, bytes_max);
    if (KH_LIKELY(batch != NULL)) {
        *out = batch;
        return KH_OK;
    }
    struct import in = {mem, cache, schema, bytes_max, validation};
    return import_rows(&in, array, out, error);
}

kh_status batch_import(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                       struct ArrowArray *array, kh_validation validation, kh_batch **out,
                       kh_error *error) {
    return batch_import_within(mem, cache, schema, array, validation, LIMIT_BATCH_BYTES, out,
                               error);
}

kh_status kh_batch_import(kh_db *db, const kh_schema *schema, struct ArrowArray *array,
                          kh_validation validation, kh_batch **out, kh_error *error) {
    const kh_schema *ours = NULL;
    kh_status status = KH_OK;
    if (schema == NULL || array == NULL || out == NULL)
        return status_fail(error, KH_INVALID, "schema, array and out must not be NULL");
    if (validation != KH_VALIDATE_FULL && validation != KH_VALIDATE_STRUCTURE)
        return status_fail(error, KH_INVALID, "validation %d", (int)validation);
    const struct batch_home *home;
    kh_status found_home = batch_home_find(db, &home, error);
    if (found_home != KH_OK) return found_home;
    KH_TRY(schema_intern(home->schemas, schema, &ours, error));
    KH_TRY(batch_import_within(home->mem, NULL, ours, array, validation, home->batch_bytes_max, out,
                               error));
done:
    if (ours != NULL) schema_drop(ours);
    return status;
}
