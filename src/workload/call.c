/* call.c - the operations of a transaction as a history writes them. */
#include "call.h"

static void print_value(int64_t value, struct text *out) {
    text_printf(out, "%lld", (long long)value);
}

static void print_read(const char *name, const struct op *op, bool is_seen, struct text *out) {
    text_printf(out, "[\"%s\",\"%s\",%s]", name, op->key, is_seen ? op->seen.bytes : "null");
}

static void print_cas(const struct op *op, bool is_seen, struct text *out) {
    text_printf(out, "[\"cas\",\"%s\",", op->key);
    if (op->expected == 0) {
        text_add(out, "null");
    } else {
        print_value(op->expected, out);
    }
    text_printf(out, ",%lld%s%s]", (long long)op->value, is_seen ? "," : "",
                is_seen ? op->seen.bytes : "");
}

static void print_op(const struct op *op, bool is_seen, struct text *out) {
    switch (op->kind) {
    case OP_READ_LIST:
    case OP_READ:
        print_read("r", op, is_seen, out);
        break;
    case OP_SCAN:
        print_read("scan", op, is_seen, out);
        break;
    case OP_APPEND:
        text_printf(out, "[\"append\",\"%s\",%lld]", op->key, (long long)op->value);
        break;
    case OP_WRITE:
        text_printf(out, "[\"w\",\"%s\",%lld]", op->key, (long long)op->value);
        break;
    case OP_DELETE:
        text_printf(out, "[\"d\",\"%s\"]", op->key);
        break;
    case OP_CAS:
        print_cas(op, is_seen, out);
        break;
    case OP_TRANSFER:
        text_printf(out, "[\"t\",\"%s\",\"%s\",%lld]", op->key, op->to, (long long)op->value);
        break;
    case OP_ACCOUNTS:
        text_printf(out, "[\"accounts\",%s]", is_seen ? op->seen.bytes : "null");
        break;
    case OP_DECOY:
        break;
    }
}

void call_print(const struct call *call, bool is_seen, struct text *out) {
    text_add(out, ",\"ops\":[");
    bool is_first = true;
    for (uint32_t i = 0; i < call->op_count; ++i) {
        if (call->ops[i].kind == OP_DECOY) {
            continue;
        }
        if (!is_first) {
            text_add_char(out, ',');
        }
        print_op(&call->ops[i], is_seen, out);
        is_first = false;
    }
    text_add_char(out, ']');
}

void call_free(struct call *call) {
    for (uint32_t i = 0; i <= SETTINGS_OPS_MAX; ++i) {
        text_free(&call->ops[i].seen);
    }
}
