/* command_get.c - khonsu get: one value, now or as of a past time. */
#include "command.h"
#include "complain.h"
#include "key_text.h"
#include "output.h"
#include "store.h"

static const char details[] =
    "Shows the value of KEY: a table on a terminal, an Arrow IPC stream when piped, JSON with\n"
    "--json. In a key, \\\\ stands for a backslash and \\xHH for a byte.";

static const char examples[] =
    "  khonsu get flights/2013-01-01/UA --from flights.khonsu\n"
    "  khonsu get flights/2013-01-01/UA --from flights.khonsu --at 2026-01-31T12:00Z --json\n"
    "  khonsu get flights/2013-01-01/UA --from flights.khonsu --to ua.arrow";

static int open_snapshot(const struct store *store, const char *at, kh_txn **out) {
    kh_error error = {""};
    kh_timestamp timestamp = kh_db_now(store->db);
    kh_timestamp wanted = 0;
    if (at != NULL && !command_time(at, &wanted)) {
        return CLI_USAGE;
    }
    if (at != NULL && wanted < timestamp) {
        timestamp = wanted;
    }
    kh_status status = kh_txn_begin_at(store->db, timestamp, out, &error);
    return status == KH_OK ? CLI_OK : complain_status("--at", status, &error);
}

static int show(const struct store *store, const char *key_argument, const char *at,
                struct output *output) {
    struct text key = {NULL, 0, 0};
    kh_txn *txn = NULL;
    kh_error error = {""};
    const kh_batch *value = NULL;
    int code = command_key(key_argument, &key) ? CLI_OK : CLI_USAGE;
    if (code == CLI_OK) {
        code = open_snapshot(store, at, &txn);
    }
    if (code == CLI_OK) {
        kh_status status = kh_txn_peek(txn, text_bytes(&key), &value, &error);
        if (status == KH_NOT_FOUND) {
            code = complain(CLI_ABSENT,
                            "there is no key '%s' in %s%s: khonsu scan --keys-only lists them",
                            key_argument, store->path, at == NULL ? "" : " at that time");
        } else if (status != KH_OK) {
            code = complain_status("get", status, &error);
        }
    }
    if (code == CLI_OK) {
        code = output_open(output);
    }
    if (code == CLI_OK) {
        code = output_close(output, output_batch(output, (kh_bytes){NULL, 0}, value));
    }
    kh_txn_close(txn);
    text_free(&key);
    return code;
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct output output = OUTPUT_INIT(50);
    const char *from = NULL;
    const char *at = NULL;
    const struct option options[] = {
        {"from", 0, OPTION_TEXT, "STORE", "the store to read; - is the standard input", &from},
        {"at", 0, OPTION_TEXT, "TIME", "as of this timestamp or UTC time; default: the newest",
         &at},
        OUTPUT_OPTIONS(output),
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
    code = store_open(&store, from, false, NULL);
    if (code == CLI_OK) {
        code = show(&store, operands.values[0], at, &output);
        store_close(&store);
    }
    return code;
}

const struct command command_get = {
    .name = "get",
    .summary = "show the value of a key, now or as of a past time",
    .operands = "KEY --from STORE [--at TIME]",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 1,
    .run = run,
};
