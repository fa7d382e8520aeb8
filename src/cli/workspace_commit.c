/* workspace_commit.c - khonsu workspace DIR commit: one workspace, from its begin to its end.
 *
 * Happy path: arguments; files of numbers; the log, if it is asked about what was not seen; the
 * database; the workspace: puts, deletions, the two embeddings, the judgement of what was not seen,
 * commit. Failure: the workspace is closed, which rolls it back; nothing of it is there. */
#include "workspace_commit.h"

#include "command_workspace.h"
#include "complain.h"
#include "delta_log.h"
#include "delta_text.h"
#include "file.h"
#include "head_text.h"
#include "heap.h"
#include "numbers.h"
#include "opening.h"
#include "thresholds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char details[] =
    "Commits one workspace to the database in the directory DIR, made if absent: --put KEY=FILE\n"
    "writes an Arrow IPC file under a key (= in a key is \\x3d), --delete removes one; both may "
    "be\n"
    "given many times. --before and --after are the embeddings of what these keys meant and will\n"
    "mean, as files of numbers (one a line, or divided by commas or blanks, or a JSON array).\n"
    "--mode says what the embedding decides:\n"
    "  keys    nothing; it is recorded (default)\n"
    "  guard   the commit is refused if its change is conflicting with or opposite to one that\n"
    "          was committed and not seen\n"
    "  merge   and puts may be merged with those of others; open at the same time: not by this\n"
    "          command, which is alone with the database\n\n"
    "Seen is what was committed up to --seen: the timestamp (or UTC time) as of which its editor\n"
    "has read the data. Default: all, as of now, so that only what is prepared can be in the way.\n"
    "A key that was changed after it is a conflict in each mode. The database must keep history\n"
    "that reaches back to it. No history is deleted here, whatever retention the database is\n"
    "otherwise opened with. A refusal is one line, and exit code 1.";

static const char examples[] =
    "  khonsu workspace notes.db commit --put notes/ann=ann.arrow --before old.txt --after "
    "new.txt\n"
    "  khonsu workspace notes.db commit --mode guard --seen 91053120000000000 \\\n"
    "      --put notes/ann=ann.arrow --delete notes/old --before old.txt --after new.txt --json";

struct commit {
    const char *path;
    const char *before;
    const char *after;
    const char *seen_argument;
    const char *id_column;
    struct words puts;
    struct words deletions;
    int mode;      /* from 0 */
    int isolation; /* from 0; -1: the database's */
    bool is_json;
    struct threshold_arguments thresholds;
    /* made of these */
    kh_workspace_options options;
    struct numbers numbers[2];
    struct text *keys; /* of the puts, then of the deletions */
    const char **files;
    size_t key_count;
    struct seen seen;
    kh_db *db;
    kh_workspace *workspace;
    struct refusal refusal;
};

/* ---- arguments ------------------------------------------------------------------------------- */

static bool add_key(struct commit *commit, const char *argument, const char *file) {
    struct text *key = &commit->keys[commit->key_count];
    commit->files[commit->key_count++] = file;
    if (!command_key(argument, key)) {
        return false;
    }
    for (size_t i = 0; i + 1 < commit->key_count; ++i) {
        const struct text *other = &commit->keys[i];
        if (other->size == key->size && memcmp(other->bytes, key->bytes, key->size) == 0) {
            (void)complain(CLI_USAGE, "commit: the key '%s' is given twice", argument);
            return false;
        }
    }
    return true;
}

static bool take_keys(struct commit *commit) {
    size_t count = commit->puts.count + commit->deletions.count;
    commit->keys = heap_allocate(count + 1, sizeof *commit->keys);
    commit->files = heap_allocate(count + 1, sizeof *commit->files);
    if (count == 0) {
        (void)complain(CLI_USAGE, "commit: nothing to do: give --put KEY=FILE or --delete KEY");
        return false;
    }
    for (size_t i = 0; i < commit->puts.count; ++i) {
        const char *argument = commit->puts.values[i];
        const char *equals = strchr(argument, '=');
        if (equals == NULL || equals[1] == '\0') {
            (void)complain(CLI_USAGE, "commit: --put wants KEY=FILE, not '%s'", argument);
            return false;
        }
        char *key = heap_copy(argument, (size_t)(equals - argument));
        bool is_right = add_key(commit, key, equals + 1);
        free(key);
        if (!is_right) {
            return false;
        }
    }
    for (size_t i = 0; i < commit->deletions.count; ++i) {
        if (!add_key(commit, commit->deletions.values[i], NULL)) {
            return false;
        }
    }
    return true;
}

static bool take_arguments(struct commit *commit) {
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    if (!take_keys(commit)) {
        return false;
    }
    if ((commit->before == NULL) != (commit->after == NULL)) {
        (void)complain(CLI_USAGE, "commit: --before and --after belong together: the change is "
                                  "their difference");
        return false;
    }
    if (commit->seen_argument != NULL) {
        commit->seen.is_asked = true;
        if (!command_time(commit->seen_argument, &commit->seen.at)) {
            return false;
        }
    }
    options.mode = (kh_semantic_mode)(commit->mode + 1);
    options.txn.isolation = (kh_isolation)(commit->isolation + 1);
    options.txn.id_column = commit->id_column;
    options.operations_max = (uint32_t)commit->key_count;
    options.thresholds = thresholds_end(&commit->thresholds);
    options.txn.timeout_ms = 3600 * 1000; /* files may be long */
    commit->options = options;
    return true;
}

/* ---- the workspace --------------------------------------------------------------------------- */

static int write_key(struct commit *commit, size_t index) {
    kh_error error = {""};
    kh_batch *value = NULL;
    kh_bytes key = text_bytes(&commit->keys[index]);
    kh_status status = KH_OK;
    if (commit->files[index] != NULL) {
        int code = file_read_whole(commit->db, commit->files[index], &value);
        if (code != CLI_OK) {
            return code;
        }
        status = kh_workspace_put(commit->workspace, key, value, &error);
    } else {
        status = kh_workspace_get(commit->workspace, key, &value, &error);
        if (status == KH_NOT_FOUND) {
            return complain(CLI_ABSENT, "there is no such key to delete: khonsu changes lists "
                                        "what was written");
        }
        if (status == KH_OK) {
            status = kh_workspace_delete(commit->workspace, key, &error);
        }
    }
    kh_batch_release(value);
    return status == KH_OK ? CLI_OK : complain_status("commit", status, &error);
}

static int set_embedding(struct commit *commit) {
    kh_error error = {""};
    kh_workspace *workspace = commit->workspace;
    if (commit->before == NULL) {
        return CLI_OK;
    }
    kh_floats before = {commit->numbers[0].values, commit->numbers[0].count};
    kh_floats after = {commit->numbers[1].values, commit->numbers[1].count};
    if (before.count != after.count) {
        return complain(CLI_FAILED, "commit: %s has %zu numbers and %s has %zu", commit->before,
                        before.count, commit->after, after.count);
    }
    kh_status status = kh_workspace_set_before(workspace, before, &error);
    if (status == KH_OK) {
        status = kh_workspace_set_after(workspace, after, &error);
    }
    if (status == KH_OK) {
        status = kh_workspace_compute_delta(workspace, &error);
    }
    return status == KH_OK ? CLI_OK : complain_status("commit", status, &error);
}

static int judge_unseen(struct commit *commit) {
    kh_delta *delta = NULL;
    if (!commit->seen.is_asked) {
        return CLI_OK;
    }
    if (kh_workspace_delta(commit->workspace, &delta) != KH_OK) {
        delta = NULL;
    }
    kh_bytes *keys = heap_allocate(commit->key_count, sizeof *keys);
    for (size_t i = 0; i < commit->key_count; ++i) {
        keys[i] = text_bytes(&commit->keys[i]);
    }
    int code = seen_judge(&commit->seen, commit->db, keys, commit->key_count, delta,
                          &commit->options.thresholds, &commit->refusal);
    free(keys);
    kh_delta_release(delta);
    return code;
}

static void take_refusal(struct commit *commit, kh_status status, const kh_error *error) {
    struct refusal *refusal = &commit->refusal;
    kh_semantic_conflict semantic = {.size = sizeof semantic};
    kh_conflict conflict = {.size = sizeof conflict};
    refusal->status = status;
    (void)snprintf(refusal->message, sizeof refusal->message, "%s", error->message);
    if (kh_workspace_semantic_conflict(commit->workspace, &semantic) == KH_OK) {
        refusal->rival = semantic.rival;
        refusal->rival_commit = semantic.rival_commit;
        refusal->kind = semantic.kind;
        refusal->cosine = semantic.similarity;
        if (semantic.rival_delta != NULL) {
            refusal->rival_delta = kh_delta_retain(semantic.rival_delta);
        }
    } else if (kh_txn_conflict(kh_workspace_txn(commit->workspace), &conflict) == KH_OK) {
        refusal->rival = conflict.holder;
        refusal->rival_commit = conflict.rival;
        text_append(&refusal->key, conflict.key.data, conflict.key.size_bytes);
    }
}

static void show_done(const struct commit *commit, kh_timestamp timestamp) {
    struct text line = {NULL, 0, 0};
    struct text time = {NULL, 0, 0};
    head_text_add_time(&time, KH_MS_OF_TIMESTAMP(timestamp));
    if (commit->is_json) {
        text_printf(&line, "{\"status\":\"KH_OK\",\"timestamp\":%" PRIu64, timestamp);
        text_printf(&line, ",\"time\":\"%s\",\"id\":\"", time.bytes);
        delta_text_add_id(&line, kh_workspace_id(commit->workspace));
        text_add(&line, "\"}");
    } else {
        text_printf(&line, "committed at timestamp %" PRIu64 " (%s), transaction ", timestamp,
                    time.bytes);
        delta_text_add_id(&line, kh_workspace_id(commit->workspace));
    }
    (void)printf("%s\n", line.bytes);
    text_free(&line);
    text_free(&time);
}

static int finish(struct commit *commit) {
    kh_error error = {""};
    kh_timestamp timestamp = 0;
    kh_status status = kh_workspace_commit(commit->workspace, &timestamp, &error);
    switch (status) {
    case KH_OK:
        show_done(commit, timestamp);
        return CLI_OK;
    case KH_CONFLICT:
    case KH_NOT_SERIALIZABLE:
    case KH_SEMANTIC_CONFLICT:
    case KH_HELD:
        take_refusal(commit, status, &error);
        return refusal_show(&commit->refusal, commit->is_json);
    default:
        return complain_status("commit", status, &error);
    }
}

static int run_workspace(struct commit *commit) {
    kh_error error = {""};
    kh_status status = kh_workspace_begin(commit->db, &commit->options, &commit->workspace, &error);
    int code = status == KH_OK ? CLI_OK : complain_status("commit", status, &error);
    for (size_t i = 0; i < commit->key_count && code == CLI_OK; ++i) {
        code = write_key(commit, i);
    }
    if (code == CLI_OK) {
        code = set_embedding(commit);
    }
    if (code == CLI_OK) {
        code = judge_unseen(commit);
    }
    if (code == CLI_OK && commit->refusal.status != KH_OK) {
        code = refusal_show(&commit->refusal, commit->is_json);
    } else if (code == CLI_OK) {
        code = finish(commit);
    }
    kh_workspace_close(commit->workspace);
    return code;
}

/* ---- what it needs --------------------------------------------------------------------------- */

static int open_and_run(struct commit *commit) {
    kh_options options = KH_OPTIONS_INIT;
    kh_error error = {""};
    options.path = commit->path;
    options.retention_ms = UINT64_MAX; /* what history there is stays the writer's matter */
    kh_status status = opening_open(&options, &commit->db, &error);
    if (status != KH_OK) {
        return complain_status("commit", status, &error);
    }
    int code = run_workspace(commit);
    status = kh_db_close(commit->db);
    return code == CLI_OK && status != KH_OK ? complain_status("commit", status, NULL) : code;
}

static int run_all(struct commit *commit) {
    struct delta_log log = {.entries = NULL};
    int code = CLI_OK;
    if (commit->before != NULL) {
        code = numbers_read(commit->before, &commit->numbers[0]);
    }
    if (code == CLI_OK && commit->after != NULL) {
        code = numbers_read(commit->after, &commit->numbers[1]);
    }
    bool is_judged = commit->seen.is_asked && commit->before != NULL &&
                     commit->options.mode >= KH_SEMANTIC_GUARD;
    if (code == CLI_OK && is_judged) {
        code = delta_log_read(&log, commit->path);
        commit->seen.log = &log;
    }
    if (code == CLI_OK) {
        code = open_and_run(commit);
    }
    delta_log_free(&log);
    return code;
}

static void free_commit(struct commit *commit) {
    for (size_t i = 0; i < commit->key_count; ++i) {
        text_free(&commit->keys[i]);
    }
    free(commit->keys);
    free(commit->files);
    free(commit->puts.values);
    free(commit->deletions.values);
    numbers_free(&commit->numbers[0]);
    numbers_free(&commit->numbers[1]);
    refusal_free(&commit->refusal);
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct commit commit = {.isolation = -1, .thresholds = thresholds_begin()};
    const struct option options[] = {
        {"put", 0, OPTION_WORDS, "KEY=FILE", "write the rows of FILE under KEY", &commit.puts},
        {"delete", 0, OPTION_WORDS, "KEY", "delete KEY", &commit.deletions},
        {"mode", 'm', OPTION_CHOICE, "keys|guard|merge", "what the embedding decides, as above",
         &commit.mode},
        {"before", 0, OPTION_TEXT, "FILE", "numbers: what the keys meant", &commit.before},
        {"after", 0, OPTION_TEXT, "FILE", "numbers: what they mean now", &commit.after},
        {"seen", 0, OPTION_TEXT, "TIME", "as of when the editor has read; default: now",
         &commit.seen_argument},
        {"isolation", 0, OPTION_CHOICE, "read-committed|repeatable-read|serializable",
         "default repeatable-read", &commit.isolation},
        {"id", 0, OPTION_TEXT, "COLUMN", "the column that names rows; default id",
         &commit.id_column},
        {"json", 'j', OPTION_FLAG, NULL, "say what became of it as an object", &commit.is_json},
        THRESHOLD_OPTIONS(commit.thresholds),
    };
    struct operands operands;
    int code = CLI_USAGE;
    if (command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                      &code)) {
        commit.path = operands.values[0];
        code = take_arguments(&commit) ? run_all(&commit) : CLI_USAGE;
    }
    free_commit(&commit);
    return code;
}

const struct command workspace_commit = {
    .name = "workspace DIR commit",
    .summary = "put and delete keys, with what the change means",
    .operands = "(--put KEY=FILE | --delete KEY) ... [--before FILE --after FILE]",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 1,
    .run = run,
};
