/* resolve.c - policies over the batch room's row operations.
 *
 * A delete has no rows to append or merge: append deletes (as the certification model has it),
 * merge and a callback that is not asked conflict. Inputs are borrowed and pinned by the caller. */
#include "txn/resolve.h"

#include "base/status.h"

static kh_status apply_op(const struct rows_context *rows, const kh_batch *base,
                          const struct row_op *op, kh_batch **out, kh_error *error) {
    switch (op->kind) {
    case ROW_INSERT:
        return rows_insert(rows, base, op->rows, out, error);
    case ROW_UPSERT:
        return rows_upsert(rows, base, op->rows, out, error);
    case ROW_UPDATE:
        return rows_update(rows, base, op->rows, out, error);
    case ROW_DELETE:
        return rows_delete(rows, base, op->rows, out, error);
    }
    return status_fail(error, KH_INVALID, "unknown row operation");
}

kh_status resolve_rows(const struct resolve_context *context, const kh_batch *base,
                       const struct row_op *ops, kh_batch **out, kh_error *error) {
    kh_batch *value = base == NULL ? NULL : batch_retain(base);
    for (const struct row_op *op = ops; op != NULL; op = op->next) {
        kh_batch *next = NULL;
        kh_status status = apply_op(&context->rows, value, op, &next, error);
        batch_release(value, context->rows.cache);
        if (status != KH_OK) return status;
        value = next;
    }
    *out = value;
    return KH_OK;
}

static kh_status call_back(const struct resolve_context *context, const struct write *write,
                           const kh_batch *base, const kh_batch *theirs, kh_batch **out,
                           bool *is_dropped, kh_error *error) {
    if (context->callback == NULL)
        return status_fail(error, KH_INVALID, "policy callback without a resolve function");
    kh_batch *value = NULL;
    kh_resolution answer =
        context->callback(context->callback_context, write->key, base, write->mine, theirs, &value);
    if (answer == KH_RESOLVE_WRITE) {
        *out = value;
        return KH_OK;
    }
    batch_release(value, NULL);
    if (answer == KH_RESOLVE_DROP) {
        *is_dropped = true;
        return KH_OK;
    }
    return KH_CONFLICT;
}

/* Nobody has asked for a merge by rows: that there are none is a conflict like any other. */
static bool is_no_table(kh_status status) {
    return status == KH_NO_ID_COLUMN || status == KH_SCHEMA_MISMATCH || status == KH_NULL_ID ||
           status == KH_DUPLICATE_ID;
}

static kh_status merge(const struct resolve_context *context, const struct write *write,
                       const kh_batch *base, const kh_batch *theirs, kh_batch **out,
                       kh_merge_conflict *where, kh_error *error) {
    if (write->kind != WRITE_PUT) return KH_CONFLICT;
    /* Theirs deleted the key: the same as having deleted every row. */
    kh_batch *no_rows = NULL;
    if (theirs == NULL) {
        kh_status failure = rows_slice(&context->rows, write->mine, 0, 0, &no_rows, error);
        if (failure != KH_OK) return failure;
        theirs = no_rows;
    }
    kh_status status =
        write->policy == KH_MERGE
            ? rows_merge(&context->rows, base, write->mine, theirs, out, where, error)
            : rows_merge_adding(&context->rows, base, write->mine, theirs, out, where, error);
    batch_release(no_rows, context->rows.cache);
    bool is_unfit = write->policy == POLICY_SEMANTIC && is_no_table(status);
    return status == KH_MERGE_CONFLICT || is_unfit ? KH_CONFLICT : status;
}

kh_status resolve_rival(const struct resolve_context *context, const struct write *write,
                        const kh_batch *base, const kh_batch *theirs, kh_batch **out,
                        bool *is_dropped, kh_merge_conflict *where, kh_error *error) {
    *is_dropped = false;
    *out = NULL;
    switch (write->policy) {
    case KH_APPEND:
        if (write->kind == WRITE_DELETE) return KH_OK;
        return rows_upsert(&context->rows, theirs, write->mine, out, error);
    case KH_MERGE:
    case POLICY_SEMANTIC:
        return merge(context, write, base, theirs, out, where, error);
    case KH_CALLBACK:
        return call_back(context, write, base, theirs, out, is_dropped, error);
    default:
        return KH_CONFLICT;
    }
}
