/* main.c - the program khonsu-workload: runs transactions on a store, writes what they saw.
 *
 * Two processes: a child runs the store, this one writes the history, so that a store that dies
 * takes no event with it. The child ignores the signals that ask to stop; this process passes them
 * on through the shared memory. Uses the public header only. */
#include "lives.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { EXIT_WHOLE = 0, EXIT_BROKEN = 1, EXIT_USAGE = 2 };

static void say(const char *what) {
    (void)fprintf(stderr, "khonsu-workload: %s\n", what);
}

static void print_fails(const struct tally *tally, struct text *line) {
    const char *before = " (";
    for (int status = 0; status < SCRIBE_REASONS; ++status) {
        if (tally->fails[status] > 0) {
            text_printf(line, "%s%llu %s", before, (unsigned long long)tally->fails[status],
                        status == KH_OK         ? "given up"
                        : status == KH_MISMATCH ? "for lack of funds"
                                                : kh_status_name((kh_status)status));
            before = ", ";
        }
    }
    text_add(line, tally->kinds[EVENT_FAIL] > 0 ? ")" : "");
}

static void print_summary(const struct settings *settings, const struct tally *tally,
                          uint64_t elapsed_ns) {
    struct text line = {NULL, 0, 0};
    text_printf(&line, "%s at %s: %llu committed, %llu aborted", settings_workload_name(settings),
                settings->level, (unsigned long long)tally->kinds[EVENT_OK],
                (unsigned long long)tally->kinds[EVENT_FAIL]);
    print_fails(tally, &line);
    text_printf(&line, ", %llu unknown, ", (unsigned long long)tally->kinds[EVENT_INFO]);
    if (settings->kills > 0) {
        text_printf(&line, "%llu kills, ", (unsigned long long)tally->kills);
    }
    text_printf(&line, "%.3f s, %llu bytes", (double)elapsed_ns / 1e9,
                (unsigned long long)tally->size_bytes);
    say(line.bytes);
    text_free(&line);
}

static int judge(const struct shared *shared, int status) {
    if (WIFSIGNALED(status)) {
        (void)fprintf(stderr,
                      "khonsu-workload: the store died of signal %d (%s); the history is "
                      "written up to there\n",
                      WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (shared->failure[0] != '\0') {
        say(shared->failure);
    } else if (WEXITSTATUS(status) != 0) {
        (void)fprintf(stderr, "khonsu-workload: the store's process ended with code %d\n",
                      WEXITSTATUS(status));
    } else {
        return EXIT_WHOLE;
    }
    return EXIT_BROKEN;
}

static void block_signals(void) {
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    /* A reader of the history that goes away is a failed write. */
    struct sigaction ignore;
    memset(&ignore, 0, sizeof ignore);
    ignore.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

static bool make_keys(const struct settings *settings, struct keys *keys) {
    bool is_group = settings->workload == WORKLOAD_GROUP;
    return keys_create(keys, is_group ? 'g' : 'k',
                       is_group ? settings_groups(settings) : (uint32_t)settings->keys,
                       settings->seed);
}

static int run_with(const struct settings *settings, struct shared *shared, FILE *out) {
    struct keys keys;
    struct tally tally;
    memset(&tally, 0, sizeof tally);
    if (!make_keys(settings, &keys)) {
        (void)fprintf(stderr, "khonsu-workload: no shared memory: %s\n", strerror(errno));
        return EXIT_BROKEN;
    }
    atomic_store_explicit(&shared->next_process, settings->threads + 1, memory_order_relaxed);
    block_signals();
    int status = lives_run(settings, shared, &keys, out, &tally);
    int code = EXIT_BROKEN;
    if (status == LIVES_UNWRITTEN) {
        (void)fprintf(stderr, "khonsu-workload: cannot write %s: %s\n", settings->out,
                      strerror(errno));
    } else if (status == LIVES_UNBORN && shared->failure[0] == '\0') {
        (void)fprintf(stderr, "khonsu-workload: cannot fork: %s\n", strerror(errno));
    } else if (status == LIVES_UNBORN) {
        say(shared->failure);
    } else {
        print_summary(settings, &tally, shared_clock(shared));
        code = judge(shared, status);
    }
    keys_destroy(&keys);
    return code;
}

static int run(const struct settings *settings, FILE *out) {
    struct shared *shared = shared_create((uint32_t)settings->threads + 1);
    if (shared == NULL) {
        (void)fprintf(stderr, "khonsu-workload: no shared memory: %s\n", strerror(errno));
        return EXIT_BROKEN;
    }
    int code = run_with(settings, shared, out);
    shared_destroy(shared);
    return code;
}

int main(int argc, char *argv[]) {
    struct settings settings;
    struct text problem = {NULL, 0, 0};
    switch (settings_parse(&settings, argc, argv, &problem)) {
    case SETTINGS_DONE:
        return fflush(stdout) == 0 ? EXIT_WHOLE : EXIT_BROKEN;
    case SETTINGS_WRONG:
        (void)fprintf(stderr, "khonsu-workload: %s (--help explains)\n", problem.bytes);
        text_free(&problem);
        return EXIT_USAGE;
    case SETTINGS_RUN:
        break;
    }
    bool is_stdout = strcmp(settings.out, "-") == 0;
    FILE *out = is_stdout ? stdout : fopen(settings.out, "w");
    if (out == NULL) {
        (void)fprintf(stderr, "khonsu-workload: cannot write %s: %s\n", settings.out,
                      strerror(errno));
        return EXIT_BROKEN;
    }
    int code = run(&settings, out);
    if (fclose(out) != 0 && code == EXIT_WHOLE) {
        (void)fprintf(stderr, "khonsu-workload: cannot write %s: %s\n", settings.out,
                      strerror(errno));
        code = EXIT_BROKEN;
    }
    return code;
}
