/* settings.c - the options, what they may be, and the help text. */
#include "settings.h"

#include "cli/options.h"

#include <stdio.h>
#include <string.h>

static const char workloads[] = "list-append|rw-register|bank|group|kv";
static const char *const workload_names[] = {"list-append", "rw-register", "bank", "group", "kv"};

/* Every spelling of a level: the history's own, the API's, and short ones. */
static const struct level {
    const char *spelling;
    kh_isolation isolation;
    const char *name;
} levels[] = {
    {"read-committed", KH_READ_COMMITTED, "read-committed"},
    {"read_committed", KH_READ_COMMITTED, "read-committed"},
    {"rc", KH_READ_COMMITTED, "read-committed"},
    {"snapshot", KH_REPEATABLE_READ, "snapshot"},
    {"repeatable-read", KH_REPEATABLE_READ, "snapshot"},
    {"repeatable_read", KH_REPEATABLE_READ, "snapshot"},
    {"si", KH_REPEATABLE_READ, "snapshot"},
    {"rr", KH_REPEATABLE_READ, "snapshot"},
    {"serializable", KH_SERIALIZABLE, "serializable"},
    {"ser", KH_SERIALIZABLE, "serializable"},
    {"strict-serializable", KH_SERIALIZABLE, "strict-serializable"},
    {"strict_serializable", KH_SERIALIZABLE, "strict-serializable"},
    {"strict", KH_SERIALIZABLE, "strict-serializable"},
};

static const char details[] =
    "Runs concurrent transactions on a database, in memory or with --path on disk, and writes\n"
    "what each asked and was told: a history in the format kh1 (JSON Lines), for checkers of\n"
    "isolation. Policy fail throughout; nothing is retried: an abort is an event of its own.\n\n"
    "  list-append   reads of lists and appends of unique integers; an append reads the list\n"
    "                and puts it back a row longer (at read-committed, or with --rows:\n"
    "                insert_rows, which appends to the newest list whatever was read)\n"
    "  rw-register   reads and blind writes of unique integers; with --scans, prefix scans;\n"
    "                with --deletes, deletes\n"
    "  bank          transfers between accounts if the balance allows (else: fail, 'funds'),\n"
    "                and reads of all accounts by a scan\n"
    "  group         writes one fresh value to all keys of a group, or reads them all\n"
    "  kv            one operation a transaction: read, write, cas, delete\n\n"
    "Keys (not accounts) are retired after 32 to 256 writes. At the end every key is read once\n"
    "more, retired ones too.\n\n"
    "With --kill N the store's process is killed N times in the middle, at numbers of "
    "transactions\n"
    "that --kill-seed draws, and started again on the same directory; the history goes on, with\n"
    "'kill' and 'heal' as events of \"nemesis\". What was under way is 'info', and its process is\n"
    "not used again. --sync none is refused then: it may lose what it has acknowledged.\n\n"
    "Interrupted (SIGINT, SIGTERM) it finishes what is under way; if the store dies, what was\n"
    "open becomes 'info' and the history is written.\n"
    "khonsu's serializable is strict: both names run the same, the header says which was asked.";

static const char footer[] =
    "examples:\n"
    "  khonsu-workload --workload list-append --isolation serializable --out run.jsonl\n"
    "  khonsu-workload --workload rw-register --isolation snapshot --threads 16 --scans -o -\n"
    "  khonsu-workload -w bank -i ser --path build/bank --kill 5 -o killed.jsonl\n\n"
    "exit codes: 0 the history is whole, 1 the store or the writing failed, 2 wrong usage\n";

const char *settings_workload_name(const struct settings *settings) {
    return workload_names[settings->workload];
}

const char *settings_sync_name(const struct settings *settings) {
    static const char *const names[] = {"full", "group", "none"};
    return names[settings->sync];
}

const char *settings_level_name(kh_isolation isolation) {
    return isolation == KH_READ_COMMITTED    ? "read-committed"
           : isolation == KH_REPEATABLE_READ ? "snapshot"
                                             : "serializable";
}

uint32_t settings_group_size(const struct settings *settings) {
    return settings->ops < 2 ? 2 : (uint32_t)settings->ops;
}

uint32_t settings_groups(const struct settings *settings) {
    uint64_t groups = settings->keys / settings_group_size(settings);
    return groups == 0 ? 1 : (uint32_t)groups;
}

static bool level_find(struct settings *settings, const char *spelling) {
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; ++i) {
        if (strcmp(levels[i].spelling, spelling) == 0) {
            settings->isolation = levels[i].isolation;
            settings->level = levels[i].name;
            return true;
        }
    }
    return false;
}

static bool is_between(const char *name, uint64_t value, uint64_t low, uint64_t high,
                       struct text *problem) {
    if (value < low || value > high) {
        text_printf(problem, "--%s wants %llu to %llu, not %llu", name, (unsigned long long)low,
                    (unsigned long long)high, (unsigned long long)value);
        return false;
    }
    return true;
}

static bool are_numbers_right(const struct settings *settings, struct text *problem) {
    uint64_t keys_min = settings->workload == WORKLOAD_BANK ? 2 : 1;
    return is_between("threads", settings->threads, 1, SETTINGS_THREADS_MAX, problem) &&
           is_between("keys", settings->keys, keys_min, SETTINGS_KEYS_MAX, problem) &&
           is_between("ops", settings->ops, 1, SETTINGS_OPS_MAX, problem) &&
           is_between("transactions", settings->transactions, 1, 1000000000, problem) &&
           is_between("seed", settings->seed, 0, INT64_MAX, problem) &&
           is_between("kill-seed", settings->kill_seed, 0, INT64_MAX, problem) &&
           is_between("kill", settings->kills, 0, SETTINGS_KILLS_MAX, problem);
}

static bool are_switches_right(struct settings *settings, struct text *problem) {
    bool is_list = settings->workload == WORKLOAD_LIST_APPEND;
    if ((settings->has_scans || settings->has_deletes) &&
        settings->workload != WORKLOAD_RW_REGISTER) {
        text_printf(problem, "--%s belongs to --workload rw-register",
                    settings->has_scans ? "scans" : "deletes");
        return false;
    }
    if (settings->is_rows && !is_list) {
        text_add(problem, "--rows belongs to --workload list-append");
        return false;
    }
    if (settings->is_rows && (settings->isolation == KH_REPEATABLE_READ || settings->is_mixed)) {
        text_add(problem, "--rows goes with read-committed or serializable: at snapshot row "
                          "operations write on versions newer than the snapshot, by design, which "
                          "a checker of snapshot isolation rightly reports");
        return false;
    }
    settings->is_rows |= is_list && settings->isolation == KH_READ_COMMITTED;
    return true;
}

static bool is_place_right(struct settings *settings, struct text *problem) {
    bool is_durable = settings->path != NULL;
    if (!is_durable && (settings->sync >= 0 || settings->kills > 0)) {
        text_printf(problem, "--%s needs --path: a store in memory has nothing on disk",
                    settings->sync >= 0 ? "sync" : "kill");
        return false;
    }
    settings->sync = settings->sync < 0 ? SYNC_FULL : settings->sync;
    if (settings->kills == 0 && (settings->between != NULL || settings->is_sabotaged)) {
        text_printf(problem, "--%s needs --kill", settings->is_sabotaged ? "sabotage" : "between");
        return false;
    }
    if (settings->kills > 0 && settings->sync == SYNC_NONE) {
        text_add(problem, "--kill goes with --sync full or group: with none a kill may lose what "
                          "was acknowledged, by design, which a checker rightly reports");
        return false;
    }
    if (settings->kills >= settings->transactions) {
        text_add(problem, "--kill wants more transactions than kills");
        return false;
    }
    return true;
}

static bool is_whole(struct settings *settings, const char *level, const struct operands *operands,
                     struct text *problem) {
    if (operands->count > 0) {
        text_printf(problem, "'%s' is no option", operands->values[0]);
    } else if (settings->workload < 0) {
        text_printf(problem, "--workload is missing: %s", workloads);
    } else if (level == NULL || !level_find(settings, level)) {
        text_printf(problem,
                    "--isolation %s%s: read-committed, snapshot, serializable or "
                    "strict-serializable",
                    level == NULL ? "is missing" : "cannot be ", level == NULL ? "" : level);
    } else {
        return are_numbers_right(settings, problem) && are_switches_right(settings, problem) &&
               is_place_right(settings, problem);
    }
    return false;
}

static void print_help(const struct option *options, size_t option_count) {
    (void)printf("usage: khonsu-workload --workload NAME --isolation LEVEL [--out FILE] ...\n\n"
                 "%s\n\noptions:\n",
                 details);
    options_print(options, option_count, stdout);
    (void)printf("\n%s", footer);
}

/* SETTINGS_RUN: all options were taken. */
static enum settings_answer take_options(struct settings *settings, const char **level,
                                         bool *is_version, struct operands *operands, int argc,
                                         char *const *argv, struct text *problem) {
    const struct option options[] = {
        {"workload", 'w', OPTION_CHOICE, workloads, "what is run (see above)", &settings->workload},
        {"isolation", 'i', OPTION_TEXT, "LEVEL",
         "read-committed (rc), snapshot (si, repeatable-read,\nrr), serializable (ser), "
         "strict-serializable",
         level},
        {"threads", 't', OPTION_COUNT, "N", "default 8", &settings->threads},
        {"keys", 'k', OPTION_COUNT, "N", "live at a time, accounts; default 16", &settings->keys},
        {"ops", 'n', OPTION_COUNT, "N",
         "of a transaction, 1 to N; group: keys of a group;\nbank and kv have one; default 4",
         &settings->ops},
        {"transactions", 'x', OPTION_COUNT, "N", "in all threads together; default 10000",
         &settings->transactions},
        {"seed", 's', OPTION_COUNT, "N", "of the random choices; default 1", &settings->seed},
        {"out", 'o', OPTION_TEXT, "FILE", "default -, the standard output", &settings->out},
        {"path", 'p', OPTION_TEXT, "DIR", "a durable store, made there; default: in memory",
         &settings->path},
        {"sync", 0, OPTION_CHOICE, "full|group|none", "when a commit answers; default full",
         &settings->sync},
        {"kill", 0, OPTION_COUNT, "N", "kill the store so often, and start it again; default 0",
         &settings->kills},
        {"kill-seed", 0, OPTION_COUNT, "N", "of the kills; default as --seed",
         &settings->kill_seed},
        {"between", 0, OPTION_TEXT, "COMMAND",
         "for the shell, after each kill, before the restart;\n$KHONSU_PATH is DIR; if it fails, "
         "the run ends",
         &settings->between},
        {"sabotage", 0, OPTION_FLAG, NULL,
         "acknowledge before anything is on disk, whatever\n--sync says: a checker must find what "
         "a kill loses",
         &settings->is_sabotaged},
        {"scans", 0, OPTION_FLAG, NULL, "rw-register: read by prefix scans too",
         &settings->has_scans},
        {"deletes", 0, OPTION_FLAG, NULL, "rw-register: delete too (not for Elle)",
         &settings->has_deletes},
        {"mix", 0, OPTION_FLAG, NULL, "each transaction draws this level or a lower one",
         &settings->is_mixed},
        {"workspaces", 0, OPTION_FLAG, NULL,
         "half of the transactions that write are workspaces,\nof random modes and meanings",
         &settings->has_workspaces},
        {"rows", 0, OPTION_FLAG, NULL, "list-append: append by insert_rows", &settings->is_rows},
        {"version", 'V', OPTION_FLAG, NULL, "print the version", is_version},
    };
    enum { COUNT = sizeof options / sizeof options[0] };
    enum options_answer answer =
        options_parse(options, COUNT, argc - 1, argv + 1, operands, problem);
    if (answer == OPTIONS_WRONG) {
        return SETTINGS_WRONG;
    }
    if (answer == OPTIONS_HELP) {
        print_help(options, COUNT);
        return SETTINGS_DONE;
    }
    return SETTINGS_RUN;
}

enum settings_answer settings_parse(struct settings *settings, int argc, char *const *argv,
                                    struct text *problem) {
    const char *level = NULL;
    bool is_version = false;
    struct operands operands;
    *settings = (struct settings){.workload = -1,
                                  .threads = 8,
                                  .keys = 16,
                                  .ops = 4,
                                  .transactions = 10000,
                                  .seed = 1,
                                  .out = "-",
                                  .sync = -1,
                                  .kill_seed = UINT64_MAX};
    enum settings_answer answer =
        take_options(settings, &level, &is_version, &operands, argc, argv, problem);
    if (answer != SETTINGS_RUN) {
        return answer;
    }
    if (settings->kill_seed == UINT64_MAX) {
        settings->kill_seed = settings->seed;
    }
    if (is_version) {
        (void)printf("khonsu-workload %s\n", kh_version());
        return SETTINGS_DONE;
    }
    return is_whole(settings, level, &operands, problem) ? SETTINGS_RUN : SETTINGS_WRONG;
}
