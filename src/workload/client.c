/* client.c - records an invocation, runs the transaction, records what it was told.
 *
 * The time of an invocation is taken before the first call, that of its completion after the last
 * one returned, each apart from the calls by a fence: without it the processor may take the time
 * while a store of the commit still waits in its buffer, and the history would claim an order that
 * nobody could have seen. */
#include "client.h"

#include <string.h>

static void fence(void) {
#if !defined(__SANITIZE_THREAD__) /* which does not know fences */
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

static uint64_t time_before(struct client *client) {
    uint64_t t = shared_clock(client->shared);
    fence();
    return t;
}

static uint64_t time_after(struct client *client) {
    fence();
    return shared_clock(client->shared);
}

static void put(struct client *client, enum event_kind kind, uint64_t t, kh_status reason) {
    if (client->line.size > RING_EVENT_MAX) {
        shared_fail(client->shared, "an event of %zu bytes: ask for fewer keys or operations",
                    client->line.size);
        return;
    }
    struct event event = {t, (uint32_t)client->line.size, (uint16_t)kind, (uint16_t)reason};
    ring_put(client->ring, &event, client->line.bytes);
}

static void begin_line(struct client *client, const char *kind) {
    text_clear(&client->line);
    text_printf(&client->line, "\"p\":%llu,\"ev\":\"%s\",\"f\":\"%s\"",
                (unsigned long long)client->process, kind, client->call.function);
}

/* "KH_NOT_SERIALIZABLE" as "not-serializable". */
static void add_word(struct text *line, kh_status status) {
    const char *name = kh_status_name(status);
    for (const char *at = name + strlen("KH_"); *at != '\0'; ++at) {
        text_add_char(line, *at == '_' ? '-' : (char)(*at >= 'A' && *at <= 'Z' ? *at + 32 : *at));
    }
}

static void record_invoke(struct client *client) {
    begin_line(client, "invoke");
    call_print(&client->call, false, &client->line);
    text_add_char(&client->line, '}');
    put(client, EVENT_INVOKE, time_before(client), KH_OK);
}

static void record_ok(struct client *client, uint64_t t, kh_timestamp snapshot,
                      kh_timestamp commit) {
    begin_line(client, "ok");
    text_printf(&client->line, ",\"snap\":%llu,\"commit\":%llu", (unsigned long long)snapshot,
                (unsigned long long)commit);
    if (client->call.isolation != client->settings->isolation) {
        text_printf(&client->line, ",\"iso\":\"%s\"", settings_level_name(client->call.isolation));
    }
    call_print(&client->call, true, &client->line);
    text_add_char(&client->line, '}');
    put(client, EVENT_OK, t, KH_OK);
}

/* word NULL: the status' name. */
static void record_failure(struct client *client, enum event_kind kind, uint64_t t,
                           kh_status status, const char *word) {
    begin_line(client, kind == EVENT_FAIL ? "fail" : "info");
    text_add(&client->line, ",\"err\":\"");
    if (word == NULL) {
        add_word(&client->line, status);
    } else {
        text_add(&client->line, word);
    }
    text_add_char(&client->line, '"');
    call_print(&client->call, false, &client->line);
    text_add_char(&client->line, '}');
    put(client, kind, t, status);
    if (kind == EVENT_INFO) {
        client->process =
            atomic_fetch_add_explicit(&client->shared->next_process, 1, memory_order_relaxed);
    }
}

static kh_status begin(struct client *client, kh_error *error) {
    enum { SAFE_WAIT_MS = 200 };
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = client->call.isolation;
    options.policy = KH_FAIL;
    options.flags = client->call.flags;
    if ((options.flags & KH_BEGIN_DEFERRABLE) != 0) {
        options.timeout_ms = SAFE_WAIT_MS;
    }
    kh_db *db = client->ops.db;
    if (client->settings->has_workspaces && options.flags == 0 && dice_one_in(&client->dice, 2)) {
        return bracket_begin_workspace(&client->bracket, db, &options, &client->dice, error);
    }
    return bracket_begin(&client->bracket, db, &options, error);
}

static kh_status run_ops(struct client *client, kh_txn *txn, kh_error *error) {
    struct call *call = &client->call;
    if (call->is_statement) {
        ops_yield(&client->ops);
        return ops_run_statement(&client->ops, txn, call, error);
    }
    kh_status status = KH_OK;
    for (uint32_t i = 0; i < call->op_count && status == KH_OK; ++i) {
        ops_yield(&client->ops);
        status = ops_run(&client->ops, txn, call, &call->ops[i], error);
    }
    return status;
}

/* The store said something that this workload cannot bring about. */
static void fail_run(struct client *client, const char *what, kh_status status,
                     const kh_error *error) {
    shared_fail(client->shared, "%s: %s (%s)", what,
                error->message[0] != '\0' ? error->message : kh_status_meaning(status),
                kh_status_name(status));
}

/* Before commit was asked for: nothing was applied, for certain. */
static void give_up(struct client *client, kh_status status, const char *word,
                    const kh_error *error) {
    bracket_rollback(&client->bracket);
    record_failure(client, EVENT_FAIL, time_after(client), status, word);
    if (word == NULL && kh_status_classify(status) != KH_CLASS_RETRY) {
        fail_run(client, "a transaction", status, error);
    }
}

static void leave_hint(struct client *client) {
    struct call *call = &client->call;
    bool is_swapped = call->ops[0].kind != OP_CAS || call->ops[0].seen.bytes[0] == 't';
    if (client->settings->workload == WORKLOAD_KV && call->ops[0].kind != OP_READ && is_swapped) {
        atomic_store_explicit(&client->plan.keys->slots[call->slot].hint, call->hint,
                              memory_order_relaxed);
    }
}

static bool commit(struct client *client, kh_error *error) {
    kh_timestamp snapshot = kh_txn_snapshot(client->bracket.txn);
    kh_timestamp timestamp = 0;
    jolt_set(&client->jolt, &client->dice);
    kh_status status = bracket_commit(&client->bracket, &timestamp, error);
    uint64_t t = time_after(client);
    if (status == KH_OK) {
        record_ok(client, t, snapshot, timestamp);
        leave_hint(client);
        return true;
    }
    /* Nothing is applied when commit answers anything but OK and UNKNOWN; what is not of class
     * RETRY was not foreseen, and is not believed. */
    bool is_certain = kh_status_classify(status) == KH_CLASS_RETRY;
    record_failure(client, is_certain ? EVENT_FAIL : EVENT_INFO, t, status, NULL);
    if (kh_status_classify(status) == KH_CLASS_STOP) {
        fail_run(client, "commit", status, error);
    }
    return false;
}

/* One transaction, from invocation to completion. True: it committed. */
static bool run_call(struct client *client) {
    kh_error error = {""};
    record_invoke(client);
    jolt_set(&client->jolt, &client->dice);
    kh_status status = begin(client, &error);
    if (status == KH_OK) {
        status = run_ops(client, client->bracket.txn, &error);
    }
    bool is_committed = false;
    if (status == KH_OK && client->call.is_given_up) {
        give_up(client, KH_OK, "rollback", &error);
    } else if (status == KH_OK) {
        ops_yield(&client->ops);
        is_committed = commit(client, &error);
    } else if (status == KH_MISMATCH) {
        give_up(client, status, "funds", &error);
    } else if (client->bracket.txn != NULL) {
        give_up(client, status, NULL, &error);
    } else {
        record_failure(client, EVENT_FAIL, time_after(client), status, NULL);
        if (kh_status_classify(status) != KH_CLASS_RETRY) {
            fail_run(client, "begin", status, &error);
        }
    }
    bracket_close(&client->bracket);
    return is_committed;
}

void client_init(struct client *client, struct shared *shared, uint32_t ring,
                 const struct settings *settings, struct keys *keys, kh_db *db, kh_schema *schema) {
    client->shared = shared;
    client->ring = &shared->rings[ring];
    client->settings = settings;
    /* Whoever was open when the store was killed is never heard of again. */
    client->process = shared->life == 0 ? ring
                                        : atomic_fetch_add_explicit(&shared->next_process, 1,
                                                                    memory_order_relaxed);
    uint64_t which = 2 * ((uint64_t)shared->life * shared->ring_count + ring);
    client->plan = (struct plan){settings, keys, dice_of(settings->seed, which)};
    client->dice = dice_of(settings->seed, which + 1);
    client->ops = (struct ops){db, schema, &client->dice};
}

void client_fini(struct client *client) {
    call_free(&client->call);
    text_free(&client->line);
}

void *client_thread(void *context) {
    enum { TURNS_MAX = 32 };
    struct client *client = context;
    struct shared *shared = client->shared;
    struct dice turns = dice_of(client->settings->kill_seed, shared->life);
    client->jolt = jolt_create();
    while (!shared_is_stopping(shared)) {
        uint64_t ticket = atomic_fetch_add_explicit(&shared->tickets, 1, memory_order_relaxed);
        if (ticket >= client->settings->transactions) {
            break;
        }
        shared_reach(shared, ticket, dice_below(&turns, TURNS_MAX));
        plan_next(&client->plan, &client->call);
        (void)run_call(client);
    }
    jolt_destroy(&client->jolt);
    ring_close(client->ring);
    return NULL;
}

void client_read_all(struct client *client) {
    enum { ATTEMPTS_MAX = 100 };
    uint64_t count = plan_final_count(&client->plan);
    for (uint64_t which = 0; which < count; ++which) {
        plan_final(&client->plan, which, &client->call);
        uint32_t attempts = 0;
        while (client->call.op_count > 0 && !run_call(client)) {
            if (++attempts == ATTEMPTS_MAX) {
                shared_fail(client->shared, "a final read did not commit in %d attempts",
                            ATTEMPTS_MAX);
                return;
            }
        }
    }
}
