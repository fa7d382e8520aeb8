/* command_stats.c - khonsu stats: what a store holds, and what replaying it did in the engine. */
#include "command.h"
#include "complain.h"
#include "output.h"
#include "store.h"

#include <inttypes.h>
#include <stdio.h>

static const char details[] =
    "Loads the store and shows the database's statistics: as a table, as one JSON object, or in\n"
    "Prometheus' exposition format. Commits and writes are those of the store's history.";

static const char examples[] = "  khonsu stats --from flights.khonsu\n"
                               "  khonsu stats --from flights.khonsu --format prometheus";

enum stats_form { FORM_TABLE, FORM_JSON, FORM_PROMETHEUS };

static void add(struct table *table, const char *name, uint64_t value) {
    table_add(table, name);
    table_printf(table, "%" PRIu64, value);
}

static kh_status count_live(const struct store *store, uint64_t *keys, uint64_t *rows,
                            uint64_t *bytes, kh_error *error) {
    kh_txn *txn = NULL;
    kh_cursor *cursor = NULL;
    kh_status status = kh_txn_begin_at(store->db, kh_db_now(store->db), &txn, error);
    if (status == KH_OK) {
        status = kh_txn_scan(txn, NULL, &cursor, error);
    }
    while (status == KH_OK) {
        kh_bytes key = {NULL, 0};
        const kh_batch *value = NULL;
        status = kh_cursor_next(cursor, &key, &value, error);
        if (status == KH_OK) {
            *keys += 1;
            *rows += (uint64_t)kh_batch_row_count(value);
            *bytes += kh_batch_size_bytes(value);
        }
    }
    if (cursor != NULL) {
        kh_cursor_close(cursor);
    }
    kh_txn_close(txn);
    return status == KH_END ? KH_OK : status;
}

static int show_table(const struct store *store) {
    kh_stats stats = {.size = sizeof stats};
    kh_error error = {""};
    uint64_t keys = 0;
    uint64_t rows = 0;
    uint64_t bytes = 0;
    kh_status status = kh_db_stats(store->db, &stats, &error);
    if (status == KH_OK) {
        status = count_live(store, &keys, &rows, &bytes, &error);
    }
    if (status != KH_OK) {
        return complain_status("stats", status, &error);
    }
    struct table table = {NULL, 0, 0, NULL, 0, {NULL, 0, 0}};
    table_add_column(&table, "statistic", false);
    table_add_column(&table, "value", true);
    add(&table, "keys", keys);
    add(&table, "keys with deleted ones", stats.keys);
    add(&table, "rows", rows);
    add(&table, "bytes of the newest values", bytes);
    add(&table, "transactions", store->commit_count);
    add(&table, "versions in the store", store->row_count);
    add(&table, "versions live", stats.versions_live);
    add(&table, "memory bytes", stats.memory_bytes);
    add(&table, "index bytes", stats.index_bytes);
    add(&table, "newest timestamp", kh_db_now(store->db));
    add(&table, "oldest readable timestamp", kh_db_horizon(store->db));
    table_print(&table, stdout, output_terminal_width());
    table_free(&table);
    return CLI_OK;
}

static int show_text(const struct store *store, kh_stats_format format) {
    kh_error error = {""};
    kh_bytes bytes = {NULL, 0};
    kh_status status = kh_db_stats_text(store->db, format, &bytes, &error);
    if (status != KH_OK) {
        return complain_status("stats", status, &error);
    }
    const char *last = (const char *)bytes.data + bytes.size_bytes - 1;
    (void)fwrite(bytes.data, 1, bytes.size_bytes, stdout);
    if (bytes.size_bytes > 0 && *last != '\n') {
        (void)fputc('\n', stdout);
    }
    kh_bytes_free(bytes);
    return CLI_OK;
}

static int run(const struct command *command, int argc, char *const *argv) {
    const char *from = NULL;
    bool is_json = false;
    int form = -1;
    const struct option options[] = {
        {"from", 0, OPTION_TEXT, "STORE", "the store to read; - is the standard input", &from},
        {"format", 'f', OPTION_CHOICE, "table|json|prometheus",
         "default: table on a terminal, json when piped", &form},
        {"json", 'j', OPTION_FLAG, NULL, "the same as --format json", &is_json},
    };
    struct operands operands;
    struct store store;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    if (!command_has(command, "from", from)) {
        return CLI_USAGE;
    }
    if (is_json || form < 0) {
        form = !is_json && output_terminal_width() > 0 ? FORM_TABLE : FORM_JSON;
    }
    code = store_open(&store, from, false, NULL);
    if (code != CLI_OK) {
        return code;
    }
    code = form == FORM_TABLE  ? show_table(&store)
           : form == FORM_JSON ? show_text(&store, KH_STATS_JSON)
                               : show_text(&store, KH_STATS_PROMETHEUS);
    store_close(&store);
    return code;
}

const struct command command_stats = {
    .name = "stats",
    .summary = "show what a store holds, and the engine's counters",
    .operands = "--from STORE [--format table|json|prometheus]",
    .details = details,
    .examples = examples,
    .run = run,
};
