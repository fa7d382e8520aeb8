/* plan.c - drawing transactions: half reads, keys evenly, values never twice.
 *
 * What is drawn beside the operations: the level (--mix), read-only and deferrable transactions,
 * many reads as one statement, a write under a savepoint that is rolled back (a reader that sees
 * its value has found a leak), and transactions that the client gives up at the end. */
#include "plan.h"

#include <stdio.h>
#include <string.h>

/* Registers and lists that one final transaction reads. */
enum { FINAL_KEYS = 16 };

static struct op *add_op(struct call *call, enum op_kind kind) {
    struct op *op = &call->ops[call->op_count++];
    op->kind = kind;
    op->value = op->expected = 0;
    op->key[0] = op->to[0] = '\0';
    return op;
}

/* The accounts are all that there is. */
static void add_accounts(struct call *call) {
    call->function = "read";
    (void)snprintf(add_op(call, OP_ACCOUNTS)->key, KEY_ROOM, "a");
}

static void add_read(const struct plan *plan, struct call *call, uint32_t slot,
                     uint32_t generation) {
    bool is_list = plan->settings->workload == WORKLOAD_LIST_APPEND;
    struct op *op = add_op(call, is_list ? OP_READ_LIST : OP_READ);
    keys_name(plan->keys, slot, generation, op->key);
}

static void add_write(struct plan *plan, struct call *call, enum op_kind kind, uint32_t slot) {
    struct key_value fresh = keys_fresh(plan->keys, slot);
    struct op *op = add_op(call, kind);
    keys_name(plan->keys, slot, fresh.generation, op->key);
    op->value = fresh.value;
}

static void add_change(struct plan *plan, struct call *call, uint32_t slot) {
    const struct settings *settings = plan->settings;
    if (settings->has_deletes && dice_one_in(&plan->dice, 4)) {
        keys_name(plan->keys, slot, keys_generation(plan->keys, slot),
                  add_op(call, OP_DELETE)->key);
    } else {
        bool is_list = settings->workload == WORKLOAD_LIST_APPEND;
        add_write(plan, call, is_list ? OP_APPEND : OP_WRITE, slot);
    }
}

static void draw_txn(struct plan *plan, struct call *call) {
    const struct settings *settings = plan->settings;
    struct dice *dice = &plan->dice;
    bool has_decoy = dice_one_in(dice, 16);
    bool is_reading = true;
    uint32_t wanted = 1 + dice_below(dice, (uint32_t)settings->ops);
    uint32_t decoy_at = dice_below(dice, wanted);
    for (uint32_t i = 0; i < wanted; ++i) {
        uint32_t slot = dice_below(dice, plan->keys->slot_count);
        uint32_t generation = keys_generation(plan->keys, slot);
        if (has_decoy && i == decoy_at) {
            add_write(plan, call, OP_DECOY, dice_below(dice, plan->keys->slot_count));
            is_reading = false;
        }
        if (dice_one_in(dice, 2)) {
            add_change(plan, call, slot);
            is_reading = false;
        } else if (settings->has_scans && dice_one_in(dice, 4)) {
            keys_era(plan->keys, slot, generation, add_op(call, OP_SCAN)->key);
            call->is_statement = false;
        } else {
            add_read(plan, call, slot, generation);
        }
    }
    if (is_reading && dice_one_in(dice, 2)) {
        call->flags = KH_BEGIN_READ_ONLY;
    }
    call->is_statement = is_reading && !settings->has_scans && wanted > 1 && dice_one_in(dice, 4);
}

static void draw_transfer(struct plan *plan, struct call *call) {
    struct dice *dice = &plan->dice;
    uint32_t accounts = (uint32_t)plan->settings->keys;
    if (dice_one_in(dice, 2)) {
        add_accounts(call);
        call->flags = dice_one_in(dice, 2) ? KH_BEGIN_READ_ONLY : 0;
        return;
    }
    call->function = "transfer";
    struct op *op = add_op(call, OP_TRANSFER);
    uint32_t from = dice_below(dice, accounts);
    uint32_t to = dice_below(dice, accounts - 1);
    (void)snprintf(op->key, KEY_ROOM, "a%u", from);
    (void)snprintf(op->to, KEY_ROOM, "a%u", to < from ? to : to + 1);
    op->value = 1 + dice_below(dice, SETTINGS_BALANCE / 2);
}

static void add_group(const struct plan *plan, struct call *call, enum op_kind kind,
                      struct key_value where, bool is_backward) {
    uint32_t size = settings_group_size(plan->settings);
    for (uint32_t i = 0; i < size; ++i) {
        struct op *op = add_op(call, kind);
        keys_member(plan->keys, where.slot, where.generation, is_backward ? size - 1 - i : i,
                    op->key);
        op->value = where.value;
    }
}

static void draw_group(struct plan *plan, struct call *call) {
    struct dice *dice = &plan->dice;
    uint32_t slot = dice_below(dice, plan->keys->slot_count);
    if (dice_one_in(dice, 2)) {
        add_group(plan, call, OP_WRITE, keys_fresh(plan->keys, slot), dice_one_in(dice, 2));
        return;
    }
    /* Who reads in the order of the writes runs after a commit that comes in pieces, and sees it
     * whole. */
    add_group(plan, call, OP_READ, (struct key_value){slot, keys_generation(plan->keys, slot), 0},
              dice_one_in(dice, 2));
    call->flags = dice_one_in(dice, 2) ? KH_BEGIN_READ_ONLY : 0;
    /* At read committed each read is a statement of its own, and sees the newest of its moment. */
    call->is_statement = call->isolation == KH_READ_COMMITTED || dice_one_in(dice, 2);
}

static uint64_t pack(uint32_t generation, int64_t value) {
    return (uint64_t)generation << 16 | (uint64_t)value;
}

static void draw_cas(struct plan *plan, struct call *call, uint32_t slot) {
    call->function = "cas";
    add_write(plan, call, OP_CAS, slot);
    struct op *op = &call->ops[0];
    uint64_t hint = atomic_load_explicit(&plan->keys->slots[slot].hint, memory_order_relaxed);
    char guessed[KEY_ROOM];
    keys_name(plan->keys, slot, (uint32_t)(hint >> 16), guessed);
    /* Absent, when the hint says so or is of an older key. */
    if (strcmp(guessed, op->key) == 0) {
        op->expected = (int64_t)(hint & 0xffff);
    }
}

static void draw_kv(struct plan *plan, struct call *call) {
    uint32_t slot = dice_below(&plan->dice, plan->keys->slot_count);
    uint32_t generation = keys_generation(plan->keys, slot);
    uint32_t what = dice_below(&plan->dice, 16);
    call->slot = slot;
    if (what < 8) {
        call->function = "read";
        add_read(plan, call, slot, generation);
        call->flags = dice_one_in(&plan->dice, 2) ? KH_BEGIN_READ_ONLY : 0;
    } else if (what < 11) {
        call->function = "write";
        add_write(plan, call, OP_WRITE, slot);
    } else if (what < 14) {
        draw_cas(plan, call, slot);
    } else {
        call->function = "delete";
        keys_name(plan->keys, slot, generation, add_op(call, OP_DELETE)->key);
    }
    call->hint = pack(generation, call->ops[0].value);
}

static void start(const struct plan *plan, struct call *call) {
    call->function = "txn";
    call->isolation = plan->settings->isolation;
    call->flags = 0;
    call->is_statement = call->is_given_up = false;
    call->hint = 0;
    call->op_count = 0;
}

void plan_next(struct plan *plan, struct call *call) {
    const struct settings *settings = plan->settings;
    start(plan, call);
    if (settings->is_mixed) {
        call->isolation =
            (kh_isolation)(KH_READ_COMMITTED + dice_below(&plan->dice, settings->isolation));
    }
    switch (settings->workload) {
    case WORKLOAD_BANK:
        draw_transfer(plan, call);
        break;
    case WORKLOAD_GROUP:
        draw_group(plan, call);
        break;
    case WORKLOAD_KV:
        draw_kv(plan, call);
        break;
    default:
        draw_txn(plan, call);
        break;
    }
    bool is_list = settings->workload == WORKLOAD_LIST_APPEND;
    call->is_rows = settings->is_rows || (is_list && call->isolation == KH_READ_COMMITTED);
    if (call->flags == KH_BEGIN_READ_ONLY && call->isolation == KH_SERIALIZABLE &&
        dice_one_in(&plan->dice, 4)) {
        call->flags |= KH_BEGIN_DEFERRABLE;
    }
    call->is_given_up = dice_one_in(&plan->dice, 32);
}

/* The keys that ever were, one after the other: the which-th is of slot which % slots, as long as
 * the generations of all slots reach that far. */
static uint64_t generations_of_all(const struct plan *plan) {
    uint64_t most = 0;
    for (uint32_t slot = 0; slot < plan->keys->slot_count; ++slot) {
        uint64_t count = (uint64_t)keys_generation(plan->keys, slot) + 1;
        most = count > most ? count : most;
    }
    return most;
}

static uint64_t keys_of_one_final(const struct plan *plan) {
    int workload = plan->settings->workload;
    return workload == WORKLOAD_KV || workload == WORKLOAD_GROUP ? 1 : FINAL_KEYS;
}

uint64_t plan_final_count(const struct plan *plan) {
    if (plan->settings->workload == WORKLOAD_BANK) {
        return 1;
    }
    uint64_t one = keys_of_one_final(plan);
    return (generations_of_all(plan) * plan->keys->slot_count + one - 1) / one;
}

void plan_final(const struct plan *plan, uint64_t which, struct call *call) {
    int workload = plan->settings->workload;
    start(plan, call);
    if (workload == WORKLOAD_BANK) {
        add_accounts(call);
        return;
    }
    call->function = workload == WORKLOAD_KV ? "read" : "txn";
    call->is_statement = true;
    uint64_t one = keys_of_one_final(plan);
    for (uint64_t key = which * one; key < (which + 1) * one; ++key) {
        uint32_t slot = (uint32_t)(key % plan->keys->slot_count);
        uint32_t generation = (uint32_t)(key / plan->keys->slot_count);
        if (generation > keys_generation(plan->keys, slot)) {
            continue;
        }
        if (workload == WORKLOAD_GROUP) {
            add_group(plan, call, OP_READ, (struct key_value){slot, generation, 0}, false);
        } else {
            add_read(plan, call, slot, generation);
        }
    }
}
