/* command_demo.c - khonsu demo: its options, and which demonstration they ask for. */
#include "command.h"
#include "complain.h"
#include "demo_crash.h"

static const char details[] =
    "Loads real flight records, cut into batches by day and carrier (flights/2013-01-01/UA), with "
    "a\n"
    "summary batch for each carrier and each airport. Writers then delay, cancel, rebook and "
    "recover\n"
    "flights in transactions that keep the summaries right; readers take snapshots, count the "
    "rows\n"
    "again and compare. A single snapshot in which they differ ends in exit code 1.\n\n"
    "--isolation repeatable_read runs the same at that level. --isolation read_committed plays "
    "two\n"
    "anomalies of that level step by step (read skew and a lost update, with exact numbers), then "
    "the\n"
    "same scripts under serializable, where they do not appear: expected, so exit code 0.\n\n"
    "--path runs it on a database on disk. With --crash a child process does so and acknowledges "
    "each\n"
    "commit through a pipe; it is killed in the middle, the database is opened again, and every\n"
    "acknowledged change must be there, nothing half (with --sync none the newest may be missing). "
    "Then\n"
    "the run goes on.\n\n"
    "The file needs the columns id, day (or year, month, day as integers), carrier, origin and\n"
    "dep_delay (null: cancelled). --sabotage shows that the readers would notice.";

static const char examples[] =
    "  khonsu demo build/data/flights.arrow\n"
    "  khonsu demo --writers 8 --readers 4 --seconds 30\n"
    "  khonsu demo --isolation read_committed\n"
    "  khonsu demo --path build/demo --crash\n"
    "  khonsu demo --transactions 1000 --sabotage 100   (fails: the summaries are left wrong)";

enum { LEVEL_READ_COMMITTED, LEVEL_REPEATABLE_READ, LEVEL_SERIALIZABLE };

static kh_isolation isolation_of(int level) {
    return level == LEVEL_READ_COMMITTED    ? KH_READ_COMMITTED
           : level == LEVEL_REPEATABLE_READ ? KH_REPEATABLE_READ
                                            : KH_SERIALIZABLE;
}

static void print_world(const struct demo *demo, bool is_recovered) {
    const struct flights *flights = &demo->flights;
    static const char *const syncs[] = {"", "full", "group", "none"};
    struct text count = {NULL, 0, 0};
    text_add_count(&count, (int64_t)flights->row_count);
    (void)printf("%s flights in %zu keys: %zu days, %zu carriers, %zu airports\n", count.bytes,
                 flights->place_count, flights->day_count, flights->carrier_count,
                 flights->airport_count);
    text_free(&count);
    if (flights->is_durable) {
        (void)printf("on disk in %s, sync %s, %s\n", demo->options->path,
                     syncs[demo->options->sync],
                     is_recovered            ? "as the kill has left it"
                     : flights->is_continued ? "with what earlier runs have changed"
                                             : "new");
    }
    (void)putchar('\n');
}

/* crash NULL: there was none. */
static int demonstrate(const struct demo_options *options, struct crash *crash) {
    struct demo_options rest = *options;
    struct demo demo = {.options = &rest};
    int code = demo_load(&demo);
    if (code != CLI_OK) {
        return code;
    }
    if (!options->is_quiet) {
        print_world(&demo, crash != NULL);
    }
    if (crash != NULL) {
        code = crash_check(&demo, crash);
        rest.transactions -= crash->survived < rest.transactions ? crash->survived : 0;
    }
    if (code == CLI_OK) {
        code = options->isolation == KH_READ_COMMITTED
                   ? demo_script(&demo.flights, options->is_quiet)
                   : demo_run(&demo);
    }
    flights_free(&demo.flights);
    return code;
}

static int crash_and_demonstrate(const struct demo_options *options) {
    struct crash crash = {.acks = NULL};
    int code = crash_run(options, &crash);
    if (code == CLI_OK) {
        code = demonstrate(options, &crash);
    }
    crash_free(&crash);
    return code;
}

/* What goes with what; sync -1: not given. */
static int settle_place(struct demo_options *demo, int sync) {
    static const kh_sync syncs[] = {KH_SYNC_FULL, KH_SYNC_GROUP, KH_SYNC_NONE};
    if (demo->path == NULL && (sync >= 0 || demo->is_crashing)) {
        return complain(CLI_USAGE,
                        "demo: --%s needs --path: a database in memory is gone with its "
                        "process",
                        demo->is_crashing ? "crash" : "sync");
    }
    if (demo->path != NULL && demo->isolation == KH_READ_COMMITTED) {
        return complain(CLI_USAGE, "demo: --path goes with repeatable_read and serializable: the "
                                   "anomalies are played in memory");
    }
    if (demo->crash_after > 0 && !demo->is_crashing) {
        return complain(CLI_USAGE, "demo: --crash-after needs --crash");
    }
    if (demo->crash_after == 0) {
        demo->crash_after = demo->transactions > 0 ? (demo->transactions + 1) / 2 : 1000;
    }
    if (demo->transactions > 0 && demo->crash_after >= demo->transactions && demo->is_crashing) {
        return complain(CLI_USAGE, "demo: --crash-after must be below --transactions");
    }
    demo->sync = syncs[sync < 0 ? 0 : sync];
    return CLI_OK;
}

static int settle(struct demo_options *demo, const struct operands *operands) {
    enum { THREADS_MAX = 256 };
    static const char default_file[] = "build/data/flights.arrow";
    if (demo->writers < 1 || demo->writers > THREADS_MAX || demo->readers > THREADS_MAX) {
        return complain(CLI_USAGE, "demo: 1 to %d writers and 0 to %d readers, please", THREADS_MAX,
                        THREADS_MAX);
    }
    if (demo->file == NULL) {
        demo->file = operands->count == 1 ? operands->values[0] : default_file;
    }
    if (demo->seconds == 0 && demo->transactions == 0) {
        return complain(CLI_USAGE, "demo: --seconds must be above 0 without --transactions");
    }
    if (demo->seconds < 0) {
        demo->seconds = demo->transactions > 0 ? 0 : 10;
    }
    return CLI_OK;
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct demo_options demo = {.writers = 4, .readers = 2, .seconds = -1, .seed = 1};
    int level = LEVEL_SERIALIZABLE;
    int sync = -1;
    const struct option options[] = {
        {"file", 0, OPTION_TEXT, "FILE",
         "Arrow IPC file or stream of flights; default\nbuild/data/flights.arrow", &demo.file},
        {"writers", 'w', OPTION_COUNT, "N", "writing threads; default 4", &demo.writers},
        {"readers", 'r', OPTION_COUNT, "N", "verifying threads; default 2", &demo.readers},
        {"seconds", 's', OPTION_NUMBER, "S", "how long; default 10, or as --transactions takes",
         &demo.seconds},
        {"transactions", 'n', OPTION_COUNT, "N", "commit so many, then stop", &demo.transactions},
        {"isolation", 'i', OPTION_CHOICE, "read_committed|repeatable_read|serializable",
         "level of the writers; default serializable", &level},
        {"seed", 0, OPTION_COUNT, "N",
         "of the dice; with one writer and --transactions, the\nsame end every time; default 1",
         &demo.seed},
        {"sabotage", 0, OPTION_COUNT, "N",
         "every N-th transaction forgets the airport's summary:\nthe readers must find it, exit "
         "code 1",
         &demo.sabotage},
        {"path", 'p', OPTION_TEXT, "DIR",
         "a database on disk, made there or gone on with; default:\nin memory", &demo.path},
        {"sync", 0, OPTION_CHOICE, "full|group|none", "when a commit answers; default full", &sync},
        {"crash", 0, OPTION_FLAG, NULL,
         "kill the process in the middle, recover, check what is\nthere, and go on",
         &demo.is_crashing},
        {"crash-after", 0, OPTION_COUNT, "N",
         "acknowledged changes before the kill; default half of\n--transactions, or 1000",
         &demo.crash_after},
        {"quiet", 'q', OPTION_FLAG, NULL, "no progress and no tables", &demo.is_quiet},
    };
    struct operands operands;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    demo.isolation = isolation_of(level);
    code = settle(&demo, &operands);
    if (code == CLI_OK) {
        code = settle_place(&demo, sync);
    }
    if (code != CLI_OK) {
        return code;
    }
    return demo.is_crashing ? crash_and_demonstrate(&demo) : demonstrate(&demo, NULL);
}

const struct command command_demo = {
    .name = "demo",
    .summary = "run serializable transactions over real flight records, and verify them",
    .operands = "[FLIGHTS.arrow] [--seconds S | --transactions N] [--path DIR [--crash]] ...",
    .details = details,
    .examples = examples,
    .operand_max = 1,
    .run = run,
};
