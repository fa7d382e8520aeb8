/* ops.c - lists, registers and accounts on top of batches.
 *
 * A list is a batch of one column, a row an element; a register and an account are a batch of one
 * row; an absent key is null, for a list []. */
#include "ops.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

static kh_bytes bytes_of(const char *text) {
    return (kh_bytes){text, strlen(text)};
}

void ops_yield(struct ops *ops) {
    if (dice_one_in(ops->dice, 4)) {
        (void)sched_yield();
    }
}

static kh_status row_of(struct ops *ops, int64_t value, kh_batch **out, kh_error *error) {
    kh_scalar scalar = {.kind = KH_SCALAR_INT64};
    scalar.as.int64 = value;
    return kh_batch_build(ops->db, ops->schema, &scalar, 1, out, error);
}

kh_status ops_put(struct ops *ops, kh_txn *txn, const char *key, int64_t value, kh_error *error) {
    kh_batch *row = NULL;
    kh_status status = row_of(ops, value, &row, error);
    if (status == KH_OK) {
        status = kh_txn_put(txn, bytes_of(key), row, error);
        kh_batch_release(row);
    }
    return status;
}

static kh_status corrupt(kh_error *error, const char *key) {
    (void)snprintf(error->message, sizeof error->message, "%s holds what nobody wrote", key);
    return KH_CORRUPT;
}

/* What stands under key, as JSON; batch NULL: absent. */
static kh_status see(bool is_list, const char *key, const kh_batch *batch, struct text *seen,
                     kh_error *error) {
    text_clear(seen);
    if (batch == NULL) {
        text_add(seen, is_list ? "[]" : "null");
        return KH_OK;
    }
    int64_t rows = kh_batch_row_count(batch);
    if (!is_list && rows != 1) {
        return corrupt(error, key);
    }
    for (int64_t row = 0; row < rows; ++row) {
        int64_t value = 0;
        if (kh_batch_int64(batch, 0, row, &value) != KH_OK) {
            return corrupt(error, key);
        }
        text_printf(seen, "%s%lld", !is_list ? "" : row == 0 ? "[" : ",", (long long)value);
    }
    text_add(seen, !is_list ? "" : rows == 0 ? "[]" : "]");
    return KH_OK;
}

static kh_status read_key(struct ops *ops, kh_txn *txn, struct op *op, kh_error *error) {
    bool is_list = op->kind == OP_READ_LIST;
    bool is_borrowed = dice_one_in(ops->dice, 2);
    const kh_batch *view = NULL;
    kh_batch *batch = NULL;
    kh_status status = is_borrowed ? kh_txn_peek(txn, bytes_of(op->key), &view, error)
                                   : kh_txn_get(txn, bytes_of(op->key), &batch, error);
    if (status == KH_OK || status == KH_NOT_FOUND) {
        status = see(is_list, op->key, is_borrowed ? view : batch, &op->seen, error);
    }
    kh_batch_release(batch);
    return status;
}

kh_status ops_run_statement(struct ops *ops, kh_txn *txn, struct call *call, kh_error *error) {
    kh_bytes keys[SETTINGS_OPS_MAX + 1];
    kh_batch *found[SETTINGS_OPS_MAX + 1] = {NULL};
    (void)ops;
    for (uint32_t i = 0; i < call->op_count; ++i) {
        keys[i] = bytes_of(call->ops[i].key);
    }
    kh_status status = kh_txn_get_many(txn, keys, call->op_count, found, error);
    for (uint32_t i = 0; i < call->op_count; ++i) {
        struct op *op = &call->ops[i];
        if (status == KH_OK) {
            status = see(op->kind == OP_READ_LIST, op->key, found[i], &op->seen, error);
        }
        kh_batch_release(found[i]);
    }
    return status;
}

static kh_status append_put(struct ops *ops, kh_txn *txn, const struct op *op, kh_error *error) {
    const kh_batch *list = NULL;
    kh_batch *row = NULL;
    kh_batch *longer = NULL;
    kh_status status = kh_txn_peek(txn, bytes_of(op->key), &list, error);
    if (status != KH_OK && status != KH_NOT_FOUND) {
        return status;
    }
    status = row_of(ops, op->value, &row, error);
    if (status == KH_OK && list != NULL) {
        status = kh_batch_concat(list, row, &longer, error);
    }
    if (status == KH_OK) {
        ops_yield(ops);
        status = kh_txn_put(txn, bytes_of(op->key), longer == NULL ? row : longer, error);
    }
    kh_batch_release(longer);
    kh_batch_release(row);
    return status;
}

static kh_status append_row(struct ops *ops, kh_txn *txn, const struct op *op, kh_error *error) {
    kh_batch *row = NULL;
    kh_status status = row_of(ops, op->value, &row, error);
    if (status == KH_OK) {
        status = kh_txn_insert_rows(txn, bytes_of(op->key), row, error);
        kh_batch_release(row);
    }
    return status;
}

/* Prefix scan as a JSON object, in the store's own order. */
static kh_status scan(struct ops *ops, kh_txn *txn, struct op *op, kh_error *error) {
    kh_scan_options options = KH_SCAN_OPTIONS_INIT;
    options.prefix = bytes_of(op->key);
    kh_cursor *cursor = NULL;
    kh_status status = kh_txn_scan(txn, &options, &cursor, error);
    if (status != KH_OK) {
        return status;
    }
    struct text value = {NULL, 0, 0};
    text_clear(&op->seen);
    text_add_char(&op->seen, '{');
    while (status == KH_OK) {
        kh_bytes key = {NULL, 0};
        const kh_batch *batch = NULL;
        status = kh_cursor_next(cursor, &key, &batch, error);
        if (status == KH_OK) {
            status = see(false, op->key, batch, &value, error);
            text_add(&op->seen, op->seen.size == 1 ? "" : ",");
            text_add_json(&op->seen, key);
            text_printf(&op->seen, ":%s", value.bytes == NULL ? "" : value.bytes);
            ops_yield(ops);
        }
    }
    text_add_char(&op->seen, '}');
    text_free(&value);
    kh_cursor_close(cursor);
    return status == KH_END ? KH_OK : status;
}

static kh_status balance(kh_txn *txn, const char *key, int64_t *out, kh_error *error) {
    const kh_batch *batch = NULL;
    kh_status status = kh_txn_peek(txn, bytes_of(key), &batch, error);
    if (status == KH_NOT_FOUND) {
        return corrupt(error, key);
    }
    if (status == KH_OK && kh_batch_int64(batch, 0, 0, out) != KH_OK) {
        return corrupt(error, key);
    }
    return status;
}

static kh_status transfer(struct ops *ops, kh_txn *txn, const struct op *op, kh_error *error) {
    int64_t from = 0;
    int64_t to = 0;
    kh_status status = balance(txn, op->key, &from, error);
    ops_yield(ops);
    if (status == KH_OK) {
        status = balance(txn, op->to, &to, error);
    }
    if (status == KH_OK && from < op->value) {
        return KH_MISMATCH;
    }
    if (status == KH_OK) {
        status = ops_put(ops, txn, op->key, from - op->value, error);
    }
    ops_yield(ops);
    return status == KH_OK ? ops_put(ops, txn, op->to, to + op->value, error) : status;
}

static kh_status compare_and_swap(struct ops *ops, kh_txn *txn, struct op *op, kh_error *error) {
    kh_batch *expected = NULL;
    kh_batch *value = NULL;
    kh_status status = op->expected == 0 ? KH_OK : row_of(ops, op->expected, &expected, error);
    if (status == KH_OK) {
        status = row_of(ops, op->value, &value, error);
    }
    if (status == KH_OK) {
        status = kh_txn_compare_and_swap(txn, bytes_of(op->key), expected, value, error);
    }
    kh_batch_release(value);
    kh_batch_release(expected);
    text_clear(&op->seen);
    text_add(&op->seen, status == KH_OK ? "true" : "false");
    return status == KH_MISMATCH ? KH_OK : status;
}

static kh_status decoy(struct ops *ops, kh_txn *txn, const struct call *call, struct op *op,
                       kh_error *error) {
    uint32_t savepoint = 0;
    bool is_list = call->ops[call->op_count - 1].kind <= OP_APPEND;
    kh_status status = kh_txn_savepoint(txn, &savepoint, error);
    if (status == KH_OK) {
        status = !is_list        ? ops_put(ops, txn, op->key, op->value, error)
                 : call->is_rows ? append_row(ops, txn, op, error)
                                 : append_put(ops, txn, op, error);
    }
    ops_yield(ops);
    return status == KH_OK ? kh_txn_rollback_to(txn, savepoint, error) : status;
}

kh_status ops_run(struct ops *ops, kh_txn *txn, const struct call *call, struct op *op,
                  kh_error *error) {
    switch (op->kind) {
    case OP_READ_LIST:
    case OP_READ:
        return read_key(ops, txn, op, error);
    case OP_APPEND:
        return call->is_rows ? append_row(ops, txn, op, error) : append_put(ops, txn, op, error);
    case OP_WRITE:
        return ops_put(ops, txn, op->key, op->value, error);
    case OP_SCAN:
    case OP_ACCOUNTS:
        return scan(ops, txn, op, error);
    case OP_DELETE:
        return kh_txn_delete(txn, bytes_of(op->key), error);
    case OP_CAS:
        return compare_and_swap(ops, txn, op, error);
    case OP_TRANSFER:
        return transfer(ops, txn, op, error);
    case OP_DECOY:
        return decoy(ops, txn, call, op, error);
    }
    return KH_INVALID;
}
