/* command_scan.c - khonsu scan: keys and values in order. */
#include "command.h"
#include "complain.h"
#include "heap.h"
#include "key_text.h"
#include "output.h"
#include "store.h"

#include <stdlib.h>

static const char details[] = "Walks over the keys in the order of their bytes and shows their "
                              "values: on a terminal a table\n"
                              "with the key before each row, piped an Arrow IPC stream of all rows "
                              "(the values must have one\n"
                              "schema), with --json objects {\"key\":...,\"row\":{...}}. "
                              "--keys-only gives the keys, as text, in a\n"
                              "column 'key'.";

static const char examples[] =
    "  khonsu scan --from flights.khonsu --keys-only --prefix flights/2013-12-\n"
    "  khonsu scan --from flights.khonsu --from-key flights/2013-06 --to-key flights/2013-07 | \\\n"
    "      python3 -c 'import sys, pyarrow.ipc as i; "
    "print(i.open_stream(sys.stdin.buffer).read_all())'\n"
    "  khonsu scan --from flights.khonsu --reverse --limit 3 --json";

struct scan {
    const char *from;
    const char *prefix;
    const char *from_key;
    const char *to_key;
    const char *at;
    uint64_t limit;
    bool is_reverse;
    bool is_keys_only;
    struct text spans[3]; /* prefix, from, to */
};

enum { KEYS_PAGE = 4096 };

struct keys {
    kh_schema *schema;
    struct text texts[KEYS_PAGE];
    size_t count;
};

static int flush_keys(struct output *output, struct keys *keys) {
    kh_scalar *scalars = heap_allocate(keys->count, sizeof *scalars);
    for (size_t i = 0; i < keys->count; ++i) {
        scalars[i] = (kh_scalar){KH_SCALAR_BYTES, {.bytes = text_bytes(&keys->texts[i])}};
    }
    kh_error error = {""};
    kh_batch *batch = NULL;
    kh_status status =
        kh_batch_build(NULL, keys->schema, scalars, (int64_t)keys->count, &batch, &error);
    int code = status == KH_OK ? output_batch(output, (kh_bytes){NULL, 0}, batch)
                               : complain_status("scan", status, &error);
    kh_batch_release(batch);
    free(scalars);
    keys->count = 0;
    return code;
}

static int take_key(struct output *output, struct keys *keys, kh_bytes key) {
    struct text *text = &keys->texts[keys->count++];
    text_clear(text);
    key_text_add(text, key);
    return keys->count == KEYS_PAGE ? flush_keys(output, keys) : CLI_OK;
}

static int walk(kh_cursor *cursor, struct output *output, struct keys *keys, uint64_t *found) {
    int code = CLI_OK;
    for (*found = 0; code == CLI_OK; ++*found) {
        kh_error error = {""};
        kh_bytes key = {NULL, 0};
        const kh_batch *value = NULL;
        kh_status status = kh_cursor_next(cursor, &key, &value, &error);
        if (status == KH_END) {
            break;
        }
        if (status != KH_OK) {
            return complain_status("scan", status, &error);
        }
        code = keys != NULL ? take_key(output, keys, key) : output_batch(output, key, value);
    }
    if (code == CLI_OK && keys != NULL && keys->count > 0) {
        code = flush_keys(output, keys);
    }
    return code;
}

static int scan_all(const struct scan *scan, kh_txn *txn, struct output *output,
                    struct keys *keys) {
    kh_scan_options options = KH_SCAN_OPTIONS_INIT;
    options.prefix = text_bytes(&scan->spans[0]);
    options.from = text_bytes(&scan->spans[1]);
    options.to = text_bytes(&scan->spans[2]);
    options.limit = scan->limit;
    options.flags =
        (scan->is_reverse ? KH_SCAN_REVERSE : 0u) | (scan->is_keys_only ? KH_SCAN_KEYS_ONLY : 0u);
    kh_error error = {""};
    kh_cursor *cursor = NULL;
    kh_status status = kh_txn_scan(txn, &options, &cursor, &error);
    if (status != KH_OK) {
        return complain_status("scan", status, &error);
    }
    uint64_t found = 0;
    int code = output_open(output);
    if (code == CLI_OK) {
        code = walk(cursor, output, keys, &found);
        if (code == CLI_OK && found == 0) {
            code = complain(CLI_ABSENT, "no key of %s is in that range", scan->from);
        }
        code = output_close(output, code);
    }
    kh_cursor_close(cursor);
    return code;
}

static int scan_store(const struct scan *scan, const struct store *store, struct output *output) {
    static const char *const names[] = {"key"};
    static const char *const formats[] = {"!u"};
    kh_error error = {""};
    kh_timestamp at = kh_db_now(store->db);
    kh_timestamp wanted = at;
    if (scan->at != NULL && !command_time(scan->at, &wanted)) {
        return CLI_USAGE;
    }
    kh_txn *txn = NULL;
    kh_status status = kh_txn_begin_at(store->db, wanted < at ? wanted : at, &txn, &error);
    if (status != KH_OK) {
        return complain_status("--at", status, &error);
    }
    struct keys *keys = NULL;
    int code = CLI_OK;
    if (scan->is_keys_only) {
        keys = heap_allocate(1, sizeof *keys);
        status = kh_schema_build(NULL, names, formats, 1, &keys->schema, &error);
        code = status == KH_OK ? CLI_OK : complain_status("scan", status, &error);
    }
    if (code == CLI_OK) {
        code = scan_all(scan, txn, output, keys);
    }
    for (size_t i = 0; keys != NULL && i < KEYS_PAGE; ++i) {
        text_free(&keys->texts[i]);
    }
    kh_schema_release(keys == NULL ? NULL : keys->schema);
    free(keys);
    kh_txn_close(txn);
    return code;
}

static bool parse_spans(struct scan *scan) {
    const char *const arguments[] = {scan->prefix, scan->from_key, scan->to_key};
    for (size_t i = 0; i < 3; ++i) {
        bool is_given = arguments[i] != NULL && arguments[i][0] != '\0';
        if (is_given && !command_key(arguments[i], &scan->spans[i])) {
            return false;
        }
    }
    return true;
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct output output = OUTPUT_INIT(3);
    struct scan scan = {.from = NULL};
    const struct option options[] = {
        {"from", 0, OPTION_TEXT, "STORE", "the store to read; - is the standard input", &scan.from},
        {"prefix", 'p', OPTION_TEXT, "PREFIX", "keys that start with it", &scan.prefix},
        {"from-key", 0, OPTION_TEXT, "KEY", "from this key on", &scan.from_key},
        {"to-key", 0, OPTION_TEXT, "KEY", "up to this key, without it", &scan.to_key},
        {"reverse", 0, OPTION_FLAG, NULL, "from the last key to the first", &scan.is_reverse},
        {"limit", 'n', OPTION_COUNT, "N", "so many keys; default: all", &scan.limit},
        {"keys-only", 0, OPTION_FLAG, NULL, "the keys, without their values", &scan.is_keys_only},
        {"at", 0, OPTION_TEXT, "TIME", "as of this timestamp or UTC time", &scan.at},
        OUTPUT_OPTIONS(output),
    };
    struct operands operands;
    struct store store;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    if (!command_has(command, "from", scan.from)) {
        return CLI_USAGE;
    }
    if (scan.is_keys_only) {
        output.rows = 0;
    }
    code = parse_spans(&scan) ? store_open(&store, scan.from, false, NULL) : CLI_USAGE;
    if (code == CLI_OK) {
        code = scan_store(&scan, &store, &output);
        store_close(&store);
    }
    for (size_t i = 0; i < 3; ++i) {
        text_free(&scan.spans[i]);
    }
    return code;
}

const struct command command_scan = {
    .name = "scan",
    .summary = "show keys and values in order",
    .operands = "--from STORE [--prefix PREFIX] [--from-key KEY] [--to-key KEY]",
    .details = details,
    .examples = examples,
    .run = run,
};
