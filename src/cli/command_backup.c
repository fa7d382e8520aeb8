/* command_backup.c - khonsu backup: copies of a database, each of what has changed since the last.
 */
#include "command.h"
#include "complain.h"
#include "heap.h"
#include "opening.h"
#include "output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char details[] =
    "Copies the database in the directory DIR, which no process may have open, into the directory\n"
    "BACKUPS (made if absent), beside earlier backups of it: files that one of them has are not\n"
    "copied again. The backup is read back before it counts. A program that has its database open\n"
    "makes backups itself: kh_backup(). With --list, shows what is there; with --purge, removes\n"
    "the oldest. khonsu restore makes a database of a backup.";

static const char examples[] = "  khonsu backup orders.db backups/\n"
                               "  khonsu backup backups/ --list\n"
                               "  khonsu backup backups/ --purge 7";

enum { LIST_COLUMNS = 6, ID_TEXT = 33 };

/* ---- making one ------------------------------------------------------------------------------ */

static int back_up(const char *path, const char *backups, bool is_quick, bool is_quiet) {
    kh_options options = KH_OPTIONS_INIT;
    kh_backup_options how = KH_BACKUP_OPTIONS_INIT;
    kh_backup_entry entry;
    kh_error error = {""};
    kh_db *db = NULL;
    options.path = path;
    options.retention_ms = UINT64_MAX; /* what history there is stays the writer's matter */
    how.flags = is_quick ? KH_BACKUP_QUICK : 0;
    kh_status status = opening_open_existing(&options, &db, &error);
    if (status != KH_OK) {
        return complain_status("backup", status, &error);
    }
    status = kh_backup(db, backups, &how, &entry, &error);
    (void)kh_db_close(db);
    if (status != KH_OK) {
        return complain_status("backup", status, &error);
    }
    if (!is_quiet) {
        (void)fprintf(stderr, "khonsu: backup %" PRIu64 " in %s, as of timestamp %" PRIu64 "\n",
                      entry.number, backups, entry.timestamp);
    }
    return CLI_OK;
}

/* ---- the list -------------------------------------------------------------------------------- */

struct rows {
    kh_scalar *scalars;
    char (*ids)[ID_TEXT];
    size_t count;
};

static bool count_one(void *context, const kh_backup_entry *entry) {
    (void)entry;
    ++*(size_t *)context;
    return true;
}

static bool add_one(void *context, const kh_backup_entry *entry) {
    struct rows *rows = context;
    kh_scalar *row = &rows->scalars[rows->count * LIST_COLUMNS];
    char *id = rows->ids[rows->count];
    for (int i = 0; i < 16; ++i) {
        (void)snprintf(id + 2 * i, 3, "%02x", entry->identity.database[i]);
    }
    row[0] = (kh_scalar){KH_SCALAR_UINT64, {.uint64 = entry->number}};
    row[1] = (kh_scalar){KH_SCALAR_UINT64, {.uint64 = entry->timestamp}};
    row[2] = (kh_scalar){KH_SCALAR_UINT64, {.uint64 = entry->horizon}};
    row[3] = (kh_scalar){KH_SCALAR_INT64, {.int64 = (int64_t)entry->wall_ms}};
    row[4] = (kh_scalar){KH_SCALAR_UINT64, {.uint64 = entry->size_bytes}};
    row[5] = (kh_scalar){KH_SCALAR_BYTES, {.bytes = {id, ID_TEXT - 1}}};
    ++rows->count;
    return true;
}

static kh_status build(const struct rows *rows, kh_batch **out, kh_error *error) {
    static const char *const names[] = {"number", "timestamp", "horizon",
                                        "made",   "bytes",     "database"};
    static const char *const formats[] = {"!L", "!L", "!L", "!tsm:UTC", "!L", "!u"};
    kh_schema *schema = NULL;
    kh_status status = kh_schema_build(NULL, names, formats, LIST_COLUMNS, &schema, error);
    if (status == KH_OK) {
        status = kh_batch_build(NULL, schema, rows->scalars, (int64_t)rows->count, out, error);
    }
    kh_schema_release(schema);
    return status;
}

static int list(const char *backups, struct output *output) {
    struct rows rows = {NULL, NULL, 0};
    kh_batch *batch = NULL;
    kh_error error = {""};
    size_t count = 0;
    kh_status status = kh_backup_list(backups, count_one, &count, &error);
    if (status == KH_OK) {
        rows.scalars = heap_allocate(count * LIST_COLUMNS + 1, sizeof *rows.scalars);
        rows.ids = heap_allocate(count + 1, sizeof *rows.ids);
        status = kh_backup_list(backups, add_one, &rows, &error);
    }
    if (status == KH_OK) {
        status = build(&rows, &batch, &error);
    }
    int code = status == KH_OK ? output_open(output) : complain_status("backup", status, &error);
    if (code == CLI_OK) {
        code = output_close(output, output_batch(output, (kh_bytes){NULL, 0}, batch));
    }
    kh_batch_release(batch);
    free(rows.ids);
    free(rows.scalars);
    return code;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int purge(const char *backups, uint64_t keep_count) {
    kh_error error = {""};
    kh_status status = kh_backup_purge(
        backups, keep_count > UINT32_MAX ? UINT32_MAX : (uint32_t)keep_count, &error);
    return status == KH_OK ? CLI_OK : complain_status("backup", status, &error);
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct output output = OUTPUT_INIT(0);
    bool is_list = false;
    bool is_quick = false;
    bool is_quiet = false;
    uint64_t keep_count = UINT64_MAX;
    const struct option options[] = {
        {"list", 'l', OPTION_FLAG, NULL, "show the backups in BACKUPS", &is_list},
        {"purge", 'p', OPTION_COUNT, "N", "remove all but the newest N of BACKUPS", &keep_count},
        {"quick", 0, OPTION_FLAG, NULL, "check sizes only, rather than read the backup back",
         &is_quick},
        {"quiet", 'q', OPTION_FLAG, NULL, "do not say what was done", &is_quiet},
        OUTPUT_OPTIONS(output),
    };
    struct operands operands;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    const char *backups = operands.values[operands.count - 1];
    if (is_list && keep_count != UINT64_MAX) {
        return complain(CLI_USAGE, "backup: --list and --purge are two things");
    }
    if (is_list) {
        return list(backups, &output);
    }
    if (keep_count != UINT64_MAX) {
        return purge(backups, keep_count);
    }
    if (operands.count < 2) {
        return complain(CLI_USAGE, "backup: BACKUPS is missing: khonsu backup DIR BACKUPS");
    }
    return back_up(operands.values[0], backups, is_quick, is_quiet);
}

const struct command command_backup = {
    .name = "backup",
    .summary = "back a database up, list backups, remove old ones",
    .operands = "DIR BACKUPS | BACKUPS --list | BACKUPS --purge N",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 2,
    .run = run,
};
