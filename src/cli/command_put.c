/* command_put.c - khonsu put: write one value, or rows of it, in a transaction. */
#include "command.h"
#include "complain.h"
#include "file.h"
#include "key_text.h"
#include "store.h"

#include <inttypes.h>

static const char details[] =
    "Writes the value of KEY from an Arrow IPC file, in one transaction, and saves the store with\n"
    "the new version behind the old ones. --mode says how:\n"
    "  replace      the file is the value (default)\n"
    "  insert       its rows are added; an id that is there already is an error\n"
    "  upsert       rows of the same id are replaced, the others added\n"
    "  update       its columns are changed in the rows of its ids, which must be there\n"
    "  delete-rows  the rows of its ids are removed\n"
    "--delete removes the key. Without --from, the store begins empty.";

static const char examples[] =
    "  khonsu put prices/eur --from s.khonsu --value prices.arrow --to s.khonsu\n"
    "  khonsu put prices/eur --from s.khonsu --value patch.arrow --mode update --to s.khonsu\n"
    "  khonsu put prices/eur --from s.khonsu --delete --to s.khonsu";

enum mode { MODE_REPLACE, MODE_INSERT, MODE_UPSERT, MODE_UPDATE, MODE_DELETE_ROWS };

struct put {
    const char *from;
    const char *to;
    const char *value;
    const char *id_column;
    int mode;
    int compression;
    bool is_delete;
    bool is_quiet;
};

static kh_status write_value(const struct put *put, kh_txn *txn, kh_bytes key,
                             const kh_batch *value, kh_error *error) {
    if (put->is_delete) {
        return kh_txn_delete(txn, key, error);
    }
    switch (put->mode) {
    case MODE_INSERT:
        return kh_txn_insert_rows(txn, key, value, error);
    case MODE_UPSERT:
        return kh_txn_upsert_rows(txn, key, value, error);
    case MODE_UPDATE:
        return kh_txn_update_rows(txn, key, value, error);
    case MODE_DELETE_ROWS:
        return kh_txn_delete_rows(txn, key, value, error);
    default:
        return kh_txn_put(txn, key, value, error);
    }
}

static int commit(const struct put *put, struct store *store, kh_bytes key, const kh_batch *value,
                  kh_timestamp *timestamp) {
    kh_txn *txn = NULL;
    kh_error error = {""};
    int code = store_begin(store, &txn);
    if (code != CLI_OK) {
        return code;
    }
    bool exists = false;
    kh_status status = KH_OK;
    if (put->is_delete) {
        status = kh_txn_exists(txn, key, &exists, &error);
    }
    if (status == KH_OK && put->is_delete && !exists) {
        kh_txn_close(txn);
        return complain(CLI_ABSENT, "there is no such key to delete: khonsu scan --keys-only "
                                    "lists them");
    }
    if (status == KH_OK) {
        status = write_value(put, txn, key, value, &error);
    }
    if (status != KH_OK) {
        kh_txn_close(txn);
        return complain_status("put", status, &error);
    }
    return store_commit(store, txn, &key, 1, timestamp);
}

static int put_into(const struct put *put, struct store *store, const char *key_argument) {
    struct text key = {NULL, 0, 0};
    kh_batch *value = NULL;
    kh_timestamp timestamp = 0;
    int code = command_key(key_argument, &key) ? CLI_OK : CLI_USAGE;
    if (code == CLI_OK && put->value != NULL) {
        code = file_read_whole(store->db, put->value, &value);
    }
    if (code == CLI_OK) {
        code = commit(put, store, text_bytes(&key), value, &timestamp);
    }
    if (code == CLI_OK) {
        code = store_save(store, put->to, (kh_compression)put->compression);
    }
    if (code == CLI_OK && !put->is_quiet) {
        (void)fprintf(stderr, "khonsu: %s %s at timestamp %" PRIu64 "\n",
                      put->is_delete ? "deleted" : "wrote", key_argument, timestamp);
    }
    kh_batch_release(value);
    text_free(&key);
    return code;
}

static bool is_coherent(const struct command *command, const struct put *put) {
    if (!command_has(command, "to", put->to)) {
        return false;
    }
    if (put->is_delete != (put->value == NULL)) {
        (void)complain(CLI_USAGE, "put: give one of --value FILE and --delete (khonsu put --help "
                                  "says more)");
        return false;
    }
    return true;
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct put put = {.compression = kh_has_feature("zstd") ? KH_COMPRESS_ZSTD : 0};
    const struct option options[] = {
        {"from", 0, OPTION_TEXT, "STORE", "the store to read; default: an empty one", &put.from},
        {"value", 0, OPTION_TEXT, "FILE", "Arrow IPC file or stream with the rows; - is the input",
         &put.value},
        {"to", 'o', OPTION_TEXT, "STORE", "the store to write (may be the one of --from)", &put.to},
        {"mode", 'm', OPTION_CHOICE, "replace|insert|upsert|update|delete-rows",
         "what the rows do, as above", &put.mode},
        {"id", 0, OPTION_TEXT, "COLUMN", "the column that names rows; default id", &put.id_column},
        {"delete", 0, OPTION_FLAG, NULL, "delete the key", &put.is_delete},
        {"compression", 0, OPTION_CHOICE, "none|lz4|zstd", "of the store; default zstd",
         &put.compression},
        {"quiet", 'q', OPTION_FLAG, NULL, "do not say what was done", &put.is_quiet},
    };
    struct operands operands;
    struct store store;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    if (!is_coherent(command, &put)) {
        return CLI_USAGE;
    }
    code = store_open(&store, put.from, true, put.id_column);
    if (code == CLI_OK) {
        code = put_into(&put, &store, operands.values[0]);
        store_close(&store);
    }
    return code;
}

const struct command command_put = {
    .name = "put",
    .summary = "write or delete a value, or rows of it, in a transaction",
    .operands = "KEY (--value FILE [--mode MODE] | --delete) [--from STORE] --to STORE",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 1,
    .run = run,
};
