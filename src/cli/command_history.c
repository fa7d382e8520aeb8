/* command_history.c - khonsu history: the versions of a key. */
#include "command.h"
#include "complain.h"
#include "heap.h"
#include "key_text.h"
#include "output.h"
#include "store.h"

#include <stdlib.h>
#include <string.h>

static const char details[] =
    "Lists the versions of KEY, newest first: timestamp (for get --at), time of the commit, what\n"
    "it did, and rows and bytes of the value.\n\n"
    "With --prove and --path DIR, the directory of a durable database that no process has open:\n"
    "prints a proof (JSON) that the history of that database has the record which wrote the\n"
    "newest version of KEY, or the newest at --at. tools/check_proof.py checks it against a head\n"
    "that was kept elsewhere (khonsu head), without this library.";

static const char examples[] =
    "  khonsu history flights/2013-01-01/UA --from flights.khonsu\n"
    "  khonsu history flights/2013-01-01/UA --from flights.khonsu --json\n"
    "  khonsu history orders/17 --prove --path orders.db > proof.json";

enum { HISTORY_COLUMNS = 5 };

struct history {
    kh_scalar *scalars;
    size_t count;
};

static kh_scalar number(bool is_given, int64_t value) {
    return (kh_scalar){is_given ? KH_SCALAR_INT64 : KH_SCALAR_NULL, {.int64 = value}};
}

static bool visit(void *context, const kh_version_entry *version) {
    struct history *history = context;
    size_t first = history->count++ * HISTORY_COLUMNS;
    history->scalars =
        heap_resize(history->scalars, first + HISTORY_COLUMNS, sizeof *history->scalars);
    bool is_put = version->value != NULL;
    const char *change = is_put ? "put" : "delete";
    kh_scalar *row = &history->scalars[first];
    row[0] = (kh_scalar){KH_SCALAR_UINT64, {.uint64 = version->timestamp}};
    row[1] = number(true, (int64_t)KH_MS_OF_TIMESTAMP(version->timestamp));
    row[2] = (kh_scalar){KH_SCALAR_BYTES, {.bytes = {change, strlen(change)}}};
    row[3] = number(is_put, is_put ? kh_batch_row_count(version->value) : 0);
    row[4] = number(is_put, is_put ? (int64_t)kh_batch_size_bytes(version->value) : 0);
    return true;
}

static kh_status build(const struct history *history, kh_batch **out, kh_error *error) {
    static const char *const names[] = {"timestamp", "time", "change", "rows", "bytes"};
    static const char *const formats[] = {"!L", "!tsm:UTC", "!u", "l", "l"};
    kh_schema *schema = NULL;
    kh_status status = kh_schema_build(NULL, names, formats, HISTORY_COLUMNS, &schema, error);
    if (status == KH_OK) {
        status =
            kh_batch_build(NULL, schema, history->scalars, (int64_t)history->count, out, error);
    }
    kh_schema_release(schema);
    return status;
}

static int show(const struct store *store, const char *key_argument, struct output *output) {
    struct text key = {NULL, 0, 0};
    struct history history = {NULL, 0};
    kh_batch *batch = NULL;
    kh_error error = {""};
    if (!command_key(key_argument, &key)) {
        text_free(&key);
        return CLI_USAGE;
    }
    kh_status status =
        kh_db_history(store->db, text_bytes(&key), 0, UINT64_MAX, visit, &history, NULL, &error);
    int code = CLI_OK;
    if (status == KH_NOT_FOUND || (status == KH_OK && history.count == 0)) {
        code = complain(CLI_ABSENT,
                        "%s has never held the key '%s': khonsu scan --keys-only lists its keys",
                        store->path, key_argument);
    } else if (status != KH_OK) {
        code = complain_status("history", status, &error);
    } else {
        status = build(&history, &batch, &error);
        code = status == KH_OK ? output_open(output) : complain_status("history", status, &error);
    }
    if (code == CLI_OK) {
        code = output_close(output, output_batch(output, (kh_bytes){NULL, 0}, batch));
    }
    kh_batch_release(batch);
    free(history.scalars);
    text_free(&key);
    return code;
}

static int prove(const char *key_argument, const char *path, const char *at) {
    struct text key = {NULL, 0, 0};
    kh_timestamp timestamp = 0;
    kh_bytes proof = {NULL, 0};
    kh_error error = {""};
    int code = CLI_OK;
    if (!command_key(key_argument, &key) || (at != NULL && !command_time(at, &timestamp))) {
        text_free(&key);
        return CLI_USAGE;
    }
    kh_status status = kh_path_prove(path, text_bytes(&key), timestamp, &proof, &error);
    if (status == KH_NOT_FOUND) {
        code = complain(CLI_ABSENT, "%s has no version of the key '%s'%s", path, key_argument,
                        at == NULL ? "" : " at that time");
    } else if (status != KH_OK) {
        code = complain_status("history", status, &error);
    } else {
        (void)fwrite(proof.data, 1, proof.size_bytes, stdout);
    }
    kh_bytes_free(proof);
    text_free(&key);
    return code;
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct output output = OUTPUT_INIT(0);
    const char *from = NULL;
    const char *path = NULL;
    const char *at = NULL;
    bool is_proof = false;
    const struct option options[] = {
        {"from", 0, OPTION_TEXT, "STORE", "the store to read; - is the standard input", &from},
        {"prove", 0, OPTION_FLAG, NULL, "print a proof of the newest version; needs --path",
         &is_proof},
        {"path", 0, OPTION_TEXT, "DIR", "the directory of a durable database", &path},
        {"at", 0, OPTION_TEXT, "TIME", "prove the version as of this timestamp or UTC time", &at},
        OUTPUT_OPTIONS(output),
    };
    struct operands operands;
    struct store store;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    if (is_proof) {
        return command_has(command, "path", path) ? prove(operands.values[0], path, at) : CLI_USAGE;
    }
    if (path != NULL || at != NULL) {
        return complain(CLI_USAGE, "history: --path and --at belong to --prove (khonsu history "
                                   "--help says more)");
    }
    if (!command_has(command, "from", from)) {
        return CLI_USAGE;
    }
    code = store_open(&store, from, false, NULL);
    if (code == CLI_OK) {
        code = show(&store, operands.values[0], &output);
        store_close(&store);
    }
    return code;
}

const struct command command_history = {
    .name = "history",
    .summary = "list the versions of a key",
    .operands = "KEY --from STORE | KEY --prove --path DIR",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 1,
    .run = run,
};
