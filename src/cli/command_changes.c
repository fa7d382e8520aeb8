/* command_changes.c - khonsu changes: what was committed to a durable database, in order. */
#include "command.h"
#include "complain.h"
#include "head_text.h"
#include "heap.h"
#include "key_text.h"
#include "opening.h"
#include "output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char details[] =
    "Lists the changes of the database in the directory DIR that were committed after a time, in\n"
    "the order of the commits, one line each: timestamp (of the commit; to go on after it), time,\n"
    "what was done, the key, rows and bytes of the value, whether it is the last change of its\n"
    "commit, the transaction's number and its tag. The log reaches back as far as retention goes\n"
    "with which the database is opened: without --after the list begins there, and the standard\n"
    "error says from where on; with an --after of which something later is gone the command "
    "fails.\n\n"
    "Nothing is changed, and another process may have the database open. With --follow the "
    "command\n"
    "looks for more, by reading the directory anew twice a second, until it is interrupted or has\n"
    "shown --limit changes. A program that follows uses kh_changes_next, which waits instead.";

static const char examples[] =
    "  khonsu changes orders.db\n"
    "  khonsu changes orders.db --after 2013-01-31T12:00:00.000Z --prefix orders/ --json\n"
    "  khonsu changes orders.db --after 91053120000000000 --limit 100 --to changes.arrow";

enum { COLUMN_COUNT = 9, ROWS_MAX = 1024, PAUSE_NS = 500 * 1000 * 1000 };

struct listing {
    const char *path;
    const char *prefix_argument;
    struct text prefix;
    uint64_t left; /* changes until the limit */
    bool is_following;
    bool is_from_oldest; /* not begun, and nobody said where */
    kh_timestamp after;
    struct output output;
    kh_schema *schema;
    kh_scalar *scalars;
    size_t count;      /* rows that are not written yet */
    struct text *keys; /* and tags: two of each row */
};

static kh_scalar integer(bool is_given, int64_t value) {
    return (kh_scalar){is_given ? KH_SCALAR_INT64 : KH_SCALAR_NULL, {.int64 = value}};
}

static kh_scalar words(const struct text *text) {
    return (kh_scalar){KH_SCALAR_BYTES, {.bytes = text_bytes(text)}};
}

static void add_row(struct listing *listing, const kh_change *change) {
    kh_scalar *row = &listing->scalars[listing->count * COLUMN_COUNT];
    struct text *key = &listing->keys[listing->count * 2];
    struct text *tag = key + 1;
    bool is_put = change->value != NULL;
    const char *operation = is_put ? "put" : "delete";
    text_clear(key);
    key_text_add(key, change->key);
    text_clear(tag);
    text_add(tag, "");
    text_add_visible(tag, change->tag);
    row[0] = (kh_scalar){KH_SCALAR_UINT64, {.uint64 = change->timestamp}};
    row[1] = integer(true, (int64_t)KH_MS_OF_TIMESTAMP(change->timestamp));
    row[2] = (kh_scalar){KH_SCALAR_BYTES, {.bytes = {operation, strlen(operation)}}};
    row[3] = words(key);
    row[4] = integer(is_put, is_put ? kh_batch_row_count(change->value) : 0);
    row[5] = integer(is_put, is_put ? (int64_t)kh_batch_size_bytes(change->value) : 0);
    row[6] = integer(true, change->is_last_of_commit);
    row[7] = (kh_scalar){KH_SCALAR_UINT64, {.uint64 = change->id.low}};
    row[8] = change->tag.size_bytes > 0 ? words(tag) : integer(false, 0);
    listing->count++;
}

static int write_rows(struct listing *listing) {
    kh_batch *batch = NULL;
    kh_error error = {""};
    if (listing->count == 0) {
        return CLI_OK;
    }
    kh_status status = kh_batch_build(NULL, listing->schema, listing->scalars,
                                      (int64_t)listing->count, &batch, &error);
    listing->count = 0;
    int code = status == KH_OK ? output_batch(&listing->output, (kh_bytes){NULL, 0}, batch)
                               : complain_status("changes", status, &error);
    kh_batch_release(batch);
    if (code == CLI_OK && listing->is_following) {
        (void)fflush(listing->output.file.stream);
    }
    return code;
}

static int list(struct listing *listing, kh_changes *feed) {
    kh_error error = {""};
    kh_change change;
    kh_status status = KH_OK;
    int code = CLI_OK;
    while (code == CLI_OK && listing->left > 0 &&
           (status = kh_changes_next(feed, 0, &change, &error)) == KH_OK) {
        add_row(listing, &change);
        listing->left--;
        if (listing->count == ROWS_MAX) {
            code = write_rows(listing);
        }
    }
    if (code == CLI_OK) {
        code = write_rows(listing);
    }
    if (code == CLI_OK && status != KH_OK && status != KH_PENDING) {
        code = complain_status("changes", status, &error);
    }
    listing->after = kh_changes_position(feed);
    return code;
}

static kh_status make_room(struct listing *listing, kh_error *error) {
    static const char *const names[] = {"timestamp", "time", "change",      "key", "rows",
                                        "bytes",     "last", "transaction", "tag"};
    static const char *const formats[] = {"!L", "!tsm:UTC", "!u", "!u", "l", "l", "!b", "!L", "u"};
    listing->scalars = heap_allocate((size_t)ROWS_MAX * COLUMN_COUNT, sizeof(kh_scalar));
    listing->keys = heap_allocate((size_t)ROWS_MAX * 2, sizeof(struct text));
    return kh_schema_build(NULL, names, formats, COLUMN_COUNT, &listing->schema, error);
}

static void free_room(struct listing *listing) {
    for (size_t i = 0; i < (size_t)ROWS_MAX * 2; ++i) {
        text_free(&listing->keys[i]);
    }
    free(listing->keys);
    free(listing->scalars);
    kh_schema_release(listing->schema);
}

/* A list that does not begin with the first commit says so. */
static void say_beginning(struct listing *listing, const kh_changes *feed) {
    kh_timestamp after = kh_changes_position(feed);
    if (listing->is_from_oldest && after > 0) {
        struct text time = {NULL, 0, 0};
        head_text_add_time(&time, KH_MS_OF_TIMESTAMP(after));
        (void)fprintf(stderr,
                      "khonsu: the log has no changes up to timestamp %" PRIu64
                      " (%s) any more: here are those after it\n",
                      after, time.bytes);
        text_free(&time);
    }
    listing->is_from_oldest = false;
}

/* What is there now. */
static int list_once(struct listing *listing) {
    kh_options options = KH_OPTIONS_INIT;
    kh_changes_options of = KH_CHANGES_OPTIONS_INIT;
    kh_db *db = NULL;
    kh_changes *feed = NULL;
    kh_error error = {""};
    options.path = listing->path;
    options.flags = KH_OPEN_READ_ONLY | KH_OPEN_NO_THREADS;
    of.prefix = text_bytes(&listing->prefix);
    of.flags = listing->is_from_oldest ? KH_CHANGES_OLDEST : 0;
    kh_status status = opening_open(&options, &db, &error);
    if (status == KH_BUSY && listing->is_following) {
        return CLI_OK; /* the next look comes */
    }
    if (status == KH_OK) {
        status = kh_changes_open(db, listing->after, &of, &feed, &error);
    }
    int code = CLI_OK;
    if (status == KH_OK) {
        say_beginning(listing, feed);
        code = list(listing, feed);
    } else {
        code = complain_status("changes", status, &error);
    }
    kh_changes_close(feed);
    (void)kh_db_close(db);
    return code;
}

static bool is_unread(const struct listing *listing) {
    return listing->output.file.stream == stdout && ferror(stdout) && file_is_reader_gone();
}

static int list_all(struct listing *listing) {
    static const struct timespec pause = {0, PAUSE_NS};
    int code = list_once(listing);
    while (listing->is_following && code == CLI_OK && listing->left > 0 && !is_unread(listing)) {
        (void)nanosleep(&pause, NULL);
        code = list_once(listing);
    }
    return code;
}

static int show(struct listing *listing) {
    kh_error error = {""};
    if (listing->prefix_argument != NULL &&
        !command_key(listing->prefix_argument, &listing->prefix)) {
        text_free(&listing->prefix);
        return CLI_USAGE;
    }
    kh_status status = make_room(listing, &error);
    int code = status == KH_OK ? output_open(&listing->output)
                               : complain_status("changes", status, &error);
    if (code == CLI_OK) {
        code = output_close(&listing->output, list_all(listing));
    }
    free_room(listing);
    text_free(&listing->prefix);
    return code;
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct listing listing = {.output = OUTPUT_INIT(0)};
    const char *after = NULL;
    uint64_t limit = 0;
    const struct option options[] = {
        {"after", 0, OPTION_TEXT, "TIME",
         "changes of commits after this timestamp or UTC time;\ndefault: all that the log has",
         &after},
        {"prefix", 'p', OPTION_TEXT, "KEY", "of keys that start with KEY",
         &listing.prefix_argument},
        {"follow", 0, OPTION_FLAG, NULL, "look for more; on a terminal as --json",
         &listing.is_following},
        {"limit", 'n', OPTION_COUNT, "N", "at most N changes", &limit},
        OUTPUT_OPTIONS(listing.output),
    };
    struct operands operands;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    if (after != NULL && !command_time(after, &listing.after)) {
        return CLI_USAGE;
    }
    if (listing.is_following && listing.output.format == OUTPUT_TABLE) {
        return complain(CLI_USAGE, "changes: a table needs all of its rows, and --follow does not "
                                   "end: take --json");
    }
    if (listing.is_following && listing.output.format == OUTPUT_AUTO && listing.output.to == NULL) {
        listing.output.is_json = listing.output.is_json || isatty(STDOUT_FILENO);
    }
    listing.is_from_oldest = after == NULL;
    listing.left = limit == 0 ? UINT64_MAX : limit;
    listing.path = operands.values[0];
    return show(&listing);
}

const struct command command_changes = {
    .name = "changes",
    .summary = "list what was committed to a durable database",
    .operands = "DIR",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 1,
    .run = run,
};
