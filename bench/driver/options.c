/* options.c - the command line of khonsu-bench: options with values, options without. */
#include "driver/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: khonsu-bench --engine NAME [--isolation LEVEL] [--workload NAME] [--json]\n"
    "\n"
    "  --engine NAME        khonsu lmdb lmdb-pwrite wiredtiger rocksdb-optimistic\n"
    "                       rocksdb-pessimistic sqlite bare (a hash table) null (the driver "
    "alone)\n"
    "                       floors of durable stores: bare-rocksdb (batches, no transactions)\n"
    "                       bare-rocksdb-recycled fdatasync fdatasync-overwrite "
    "fdatasync-grouped\n"
    "  --isolation LEVEL    read_committed | repeatable_read | serializable (default\n"
    "                       repeatable_read)\n"
    "  --workload NAME      c      one read\n"
    "                       b, a   one read or write: 5 % or half of them are writes\n"
    "                       rw16   ten reads and six writes\n"
    "                       bank   a transfer: two accounts read, then written\n"
    "                       scan   the sum of one int64 of every value\n"
    "                       put    one write\n"
    "                       empty  begin and commit\n"
    "  --distribution D     uniform | zipf (0.99, scattered over the keys)\n"
    "  --keys N             default 100000\n"
    "  --threads N          default 1\n"
    "  --seconds S          how long to measure, after a quarter of it to warm up; or\n"
    "  --transactions N     how many, all threads together, without warming up\n"
    "  --touch              reads look at the number in the value, not only at its place\n"
    "  --writer             scan: beside a thread that transfers; also measured alone\n"
    "  --reader             keep a snapshot open from the first to the last transaction\n"
    "  --row KIND           int64_float64 | int64_int64: khonsu's columns besides the text\n"
    "  --seed N             another sequence of keys\n"
    "  --directory PATH     where peers put their files (default /dev/shm, else $TMPDIR or /tmp)\n"
    "  --path DIR           the store lies in DIR/store, which is emptied first; DIR holds "
    "nothing\n"
    "                       else. It is opened again before its values are looked at\n"
    "  --sync S             with --path: sync (each commit is on disk; the default) | none\n"
    "  --latency            percentiles of the time from begin to commit, tries included\n"
    "  --value-bytes N      default 100; other sizes for the floors of durable stores only\n"
    "  --verify             look at every value afterwards (bank, scan and --reader always do)\n"
    "  --json               one JSON object instead of a line to read\n"
    "  --draws N            print N keys that the first thread draws (and its coin), run nothing\n"
    "  --list               which engines there are in this build, as JSON\n"
    "\n"
    "Exit status: 0; 1 when a sum that the engine promises to keep is broken; 2 for a failure; 3\n"
    "when the engine, or its level, is not there.\n";

static const char *const level_names[LEVEL_COUNT] = {"read_committed", "repeatable_read",
                                                     "serializable"};

static const char *const durability_names[] = {"memory", "none", "sync"};

const char *level_name(enum level level) {
    return level_names[level];
}

const char *durability_name(enum durability durability) {
    return durability_names[durability];
}

_Noreturn static void refuse(const char *option, const char *value) {
    fprintf(stderr, "khonsu-bench: %s %s\n\n%s", option, value, usage);
    exit(2);
}

/* The position of value among count names. */
static int choice(const char *option, const char *value, const char *const *names, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(value, names[i]) == 0) return i;
    refuse(option, value);
}

static uint64_t number(const char *option, const char *value, uint64_t least, uint64_t most) {
    char *end;
    errno = 0;
    unsigned long long parsed = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != 0 || parsed < least || parsed > most)
        refuse(option, value);
    return parsed;
}

static double seconds(const char *option, const char *value) {
    char *end;
    double parsed = strtod(value, &end);
    if (end == value || *end != 0 || !(parsed > 0 && parsed < 86400)) refuse(option, value);
    return parsed;
}

static bool parse_switch(struct options *options, const char *option) {
    struct {
        const char *name;
        bool *is_on;
    } switches[] = {{"--json", &options->is_json},
                    {"--touch", &options->touches},
                    {"--writer", &options->has_writer},
                    {"--reader", &options->has_reader},
                    {"--verify", &options->verifies},
                    {"--list", &options->lists},
                    {"--latency", &options->measures_latency}};
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        if (strcmp(option, switches[i].name) != 0) continue;
        *switches[i].is_on = true;
        return true;
    }
    return false;
}

static bool parse_text(struct options *options, const char *option, const char *value) {
    static const char *const distributions[] = {"uniform", "zipf"};
    static const char *const rows[] = {"int64_float64", "int64_int64"};
    if (strcmp(option, "--engine") == 0) {
        options->engine = value;
    } else if (strcmp(option, "--workload") == 0) {
        options->workload = value;
    } else if (strcmp(option, "--directory") == 0) {
        options->directory = value;
    } else if (strcmp(option, "--path") == 0) {
        options->path = value;
    } else if (strcmp(option, "--sync") == 0) {
        options->durability =
            (enum durability)(UNSYNCED + choice(option, value, durability_names + UNSYNCED, 2));
    } else if (strcmp(option, "--isolation") == 0) {
        options->level = (enum level)choice(option, value, level_names, LEVEL_COUNT);
    } else if (strcmp(option, "--distribution") == 0) {
        options->is_zipf = choice(option, value, distributions, 2) == 1;
    } else if (strcmp(option, "--row") == 0) {
        options->row = (enum row)choice(option, value, rows, 2);
    } else {
        return false;
    }
    return true;
}

static void parse_number(struct options *options, const char *option, const char *value) {
    /* Keys fit the 31 bits of a draw, and a transfer needs two of them. */
    if (strcmp(option, "--keys") == 0) {
        options->keys = number(option, value, 2, INT32_MAX);
    } else if (strcmp(option, "--threads") == 0) {
        options->threads = number(option, value, 1, THREADS_MAX);
    } else if (strcmp(option, "--transactions") == 0) {
        options->transactions = number(option, value, 1, UINT64_MAX);
    } else if (strcmp(option, "--seed") == 0) {
        options->seed = number(option, value, 0, UINT64_MAX);
    } else if (strcmp(option, "--value-bytes") == 0) {
        options->value_bytes = number(option, value, VALUE_BYTES, VALUE_BYTES_MAX);
    } else if (strcmp(option, "--draws") == 0) {
        options->draws = number(option, value, 1, INT32_MAX);
    } else if (strcmp(option, "--seconds") == 0) {
        options->seconds = seconds(option, value);
    } else {
        refuse(option, "is not an option");
    }
}

static void check_together(const struct options *options) {
    if (options->lists) return;
    if (options->engine == NULL) refuse("--engine", "is missing");
    if (options->seconds > 0 && options->transactions > 0)
        refuse("--seconds and --transactions", "exclude each other");
    if (options->has_writer && (strcmp(options->workload, "scan") != 0 || options->threads != 1))
        refuse("--writer", "goes with --workload scan and one thread");
    if (options->has_writer && options->transactions > 0) refuse("--writer", "needs --seconds");
    if (options->path == NULL && options->durability != IN_MEMORY) refuse("--sync", "needs --path");
    if (options->path != NULL && options->directory != NULL)
        refuse("--path and --directory", "exclude each other");
}

struct options options_parse(int count, char **arguments) {
    struct options options = {.workload = "c",
                              .level = REPEATABLE_READ,
                              .keys = 100000,
                              .threads = 1,
                              .seed = 1,
                              .value_bytes = VALUE_BYTES};
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--help") == 0) {
            fputs(usage, stdout);
            exit(0);
        }
        if (parse_switch(&options, arguments[i])) continue;
        if (i + 1 == count) refuse(arguments[i], "needs a value, or is not an option");
        if (!parse_text(&options, arguments[i], arguments[i + 1]))
            parse_number(&options, arguments[i], arguments[i + 1]);
        i++;
    }
    check_together(&options);
    if (options.path != NULL && options.durability == IN_MEMORY) options.durability = SYNCED;
    if (options.seconds == 0 && options.transactions == 0) options.transactions = 100000;
    return options;
}
