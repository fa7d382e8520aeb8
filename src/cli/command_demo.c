/* command_demo.c - khonsu demo: its options, and which demonstration they ask for. */
#include "command.h"
#include "complain.h"
#include "demo.h"

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
    "The file needs the columns id, day (or year, month, day as integers), carrier, origin and\n"
    "dep_delay (null: cancelled). --sabotage shows that the readers would notice.";

static const char examples[] =
    "  khonsu demo build/data/flights.arrow\n"
    "  khonsu demo --writers 8 --readers 4 --seconds 30\n"
    "  khonsu demo --isolation read_committed\n"
    "  khonsu demo --transactions 1000 --sabotage 100   (fails: the summaries are left wrong)";

enum { LEVEL_READ_COMMITTED, LEVEL_REPEATABLE_READ, LEVEL_SERIALIZABLE };

static kh_isolation isolation_of(int level) {
    return level == LEVEL_READ_COMMITTED    ? KH_READ_COMMITTED
           : level == LEVEL_REPEATABLE_READ ? KH_REPEATABLE_READ
                                            : KH_SERIALIZABLE;
}

static int demonstrate(const struct demo_options *options) {
    struct demo demo = {.options = options};
    int code = flights_load(&demo.flights, options->file, options->isolation);
    if (code != CLI_OK) {
        return code;
    }
    if (!options->is_quiet) {
        struct text count = {NULL, 0, 0};
        text_add_count(&count, (int64_t)demo.flights.row_count);
        (void)printf("%s flights in %zu keys: %zu days, %zu carriers, %zu airports\n\n",
                     count.bytes, demo.flights.place_count, demo.flights.day_count,
                     demo.flights.carrier_count, demo.flights.airport_count);
        text_free(&count);
    }
    code = options->isolation == KH_READ_COMMITTED ? demo_script(&demo.flights, options->is_quiet)
                                                   : demo_run(&demo);
    flights_free(&demo.flights);
    return code;
}

static int run(const struct command *command, int argc, char *const *argv) {
    enum { THREADS_MAX = 256 };
    static const char default_file[] = "build/data/flights.arrow";
    struct demo_options demo = {.writers = 4, .readers = 2, .seconds = -1, .seed = 1};
    int level = LEVEL_SERIALIZABLE;
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
        {"quiet", 'q', OPTION_FLAG, NULL, "no progress and no tables", &demo.is_quiet},
    };
    struct operands operands;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    if (demo.writers < 1 || demo.writers > THREADS_MAX || demo.readers > THREADS_MAX) {
        return complain(CLI_USAGE, "demo: 1 to %d writers and 0 to %d readers, please", THREADS_MAX,
                        THREADS_MAX);
    }
    if (demo.file == NULL) {
        demo.file = operands.count == 1 ? operands.values[0] : default_file;
    }
    if (demo.seconds == 0 && demo.transactions == 0) {
        return complain(CLI_USAGE, "demo: --seconds must be above 0 without --transactions");
    }
    if (demo.seconds < 0) {
        demo.seconds = demo.transactions > 0 ? 0 : 10;
    }
    demo.isolation = isolation_of(level);
    return demonstrate(&demo);
}

const struct command command_demo = {
    .name = "demo",
    .summary = "run serializable transactions over real flight records, and verify them",
    .operands = "[FLIGHTS.arrow] [--writers N] [--readers N] [--seconds S | --transactions N]",
    .details = details,
    .examples = examples,
    .operand_max = 1,
    .run = run,
};
