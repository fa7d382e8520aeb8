/* command_import.c - khonsu import: cut an Arrow file into values by key, and store them. */
#include "command.h"
#include "complain.h"
#include "file.h"
#include "heap.h"
#include "load.h"
#include "split.h"
#include "store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

static const char details[] =
    "Reads an Arrow IPC file or stream, cuts its rows into record batches by key, and writes a\n"
    "store in which one transaction has put them all. The key comes from the columns:\n"
    "  {day}            the value of the column day\n"
    "  {month:2}        filled up with zeros to two digits\n"
    "  {tailnum|none}   'none' where the column is null (else a null is an error)\n"
    "  {{ and }}        braces\n"
    "A pattern without columns puts the whole file under one key. With --onto, the new versions\n"
    "are added to the history of an existing store.\n\n"
    "With --path the values go into the durable database in the directory DIR, made if absent,\n"
    "which no process may have open: in transactions of --transaction bytes (a transaction is\n"
    "there wholly or not at all, also after a crash; the file is when the command has ended).\n"
    "No history is deleted, whatever retention the database is otherwise opened with.\n"
    "If the rows of each key follow one another, --grouped stores while it reads, and holds no\n"
    "more in memory than the database does. --ingest writes table files that RocksDB takes in:\n"
    "half the time, but a disk that fails in the middle may leave the database unreadable.";

static const char examples[] =
    "  khonsu import --from flights.arrow --key 'flights/{day}/{carrier}' --to flights.khonsu\n"
    "  khonsu import --from more.arrow --key 'flights/{day}/{carrier}' --onto flights.khonsu \\\n"
    "      --to flights.khonsu\n"
    "  khonsu import --from flights.arrow --key 'flights/{day}' --path flights.db --grouped \\\n"
    "      --ingest";

struct import {
    const char *from;
    const char *to;
    const char *onto;
    const char *pattern;
    int compression;
    struct load_options load;
};

static int take_batch(void *context, const kh_batch *batch) {
    return split_batch(context, batch);
}

static int put_all(struct store *store, struct split *split, kh_timestamp *timestamp) {
    kh_txn *txn = NULL;
    int code = store_begin(store, &txn);
    if (code != CLI_OK) {
        return code;
    }
    size_t count = split_key_count(split);
    kh_bytes *keys = heap_allocate(count, sizeof *keys);
    for (size_t i = 0; i < count && code == CLI_OK; ++i) {
        const kh_batch *value = NULL;
        kh_error error = {""};
        keys[i] = split_key(split, i);
        code = split_value(split, i, &value);
        if (code == CLI_OK) {
            kh_status status = kh_txn_put(txn, keys[i], value, &error);
            code = status == KH_OK ? CLI_OK : complain_status("put", status, &error);
        }
    }
    if (code == CLI_OK) {
        code = store_commit(store, txn, keys, count, timestamp);
    } else {
        kh_txn_close(txn);
    }
    free(keys);
    return code;
}

static int import_into(const struct import *import, struct store *store, struct split *split) {
    int code = file_read(store->db, import->from, NULL, take_batch, split);
    kh_timestamp timestamp = 0;
    if (code == CLI_OK && split_key_count(split) == 0) {
        code = complain(CLI_FAILED, "%s has no rows: nothing to import", import->from);
    }
    if (code == CLI_OK) {
        code = put_all(store, split, &timestamp);
    }
    if (code == CLI_OK) {
        code = store_save(store, import->to, (kh_compression)import->compression);
    }
    if (code == CLI_OK && !import->load.is_quiet) {
        (void)fprintf(stderr, "khonsu: %zu keys in %s, as of timestamp %" PRIu64 "\n",
                      split_key_count(split), import->to, timestamp);
    }
    return code;
}

static int import_to_store(const struct import *import) {
    struct split *split = NULL;
    struct store store;
    int code = split_create(import->pattern, &split);
    if (code != CLI_OK) {
        return code;
    }
    code = store_open(&store, import->onto, true, NULL);
    if (code == CLI_OK) {
        code = import_into(import, &store, split);
        split_free(split);
        store_close(&store);
    } else {
        split_free(split);
    }
    return code;
}

static bool is_coherent(const struct command *command, const struct import *import) {
    if (!command_has(command, "from", import->from) ||
        !command_has(command, "key", import->pattern)) {
        return false;
    }
    bool is_store = import->to != NULL || import->onto != NULL;
    if (import->load.path != NULL && is_store) {
        (void)complain(CLI_USAGE, "import: --path is a database, --to and --onto are files: give "
                                  "one or the other (khonsu import --help says more)");
        return false;
    }
    if (import->load.path == NULL && (import->load.is_grouped || import->load.is_ingesting)) {
        (void)complain(CLI_USAGE, "import: --grouped and --ingest go with --path: a file is "
                                  "written whole");
        return false;
    }
    return import->load.path != NULL || command_has(command, "to", import->to);
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct import import = {.compression = kh_has_feature("zstd") ? KH_COMPRESS_ZSTD : 0,
                            .load.transaction_bytes = 8000000};
    const struct option options[] = {
        {"from", 0, OPTION_TEXT, "FILE", "the Arrow IPC file or stream to read; - is the input",
         &import.from},
        {"key", 'k', OPTION_TEXT, "PATTERN", "how the key is made of columns, as above",
         &import.pattern},
        {"to", 'o', OPTION_TEXT, "STORE", "the store to write (may be the one of --onto)",
         &import.to},
        {"onto", 0, OPTION_TEXT, "STORE", "begin with this store rather than an empty one",
         &import.onto},
        {"compression", 0, OPTION_CHOICE, "none|lz4|zstd", "of the store; default zstd",
         &import.compression},
        {"path", 0, OPTION_TEXT, "DIR", "the database to load into, instead of --to",
         &import.load.path},
        {"transaction", 0, OPTION_COUNT, "BYTES", "with --path: of one transaction; default 8M",
         &import.load.transaction_bytes},
        {"grouped", 0, OPTION_FLAG, NULL, "with --path: rows of one key follow one another",
         &import.load.is_grouped},
        {"ingest", 0, OPTION_FLAG, NULL, "with --path: faster, where it can be loaded again",
         &import.load.is_ingesting},
        {"quiet", 'q', OPTION_FLAG, NULL, "do not say what was done", &import.load.is_quiet},
    };
    struct operands operands;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    if (operands.count == 1 && import.from == NULL) {
        import.from = operands.values[0];
    }
    if (!is_coherent(command, &import)) {
        return CLI_USAGE;
    }
    if (import.load.path == NULL) {
        return import_to_store(&import);
    }
    import.load.from = import.from;
    import.load.pattern = import.pattern;
    return load_file(&import.load);
}

const struct command command_import = {
    .name = "import",
    .summary = "cut an Arrow file into batches by key, and store them",
    .operands = "--from FILE --key PATTERN (--to STORE [--onto STORE] | --path DIR)",
    .details = details,
    .examples = examples,
    .operand_max = 1,
    .run = run,
};
