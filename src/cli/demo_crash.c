/* demo_crash.c - the process that is killed, and the one that listens to it.
 *
 * The child loads, runs the writers and readers, and writes an ack into a pipe for each change once
 * its commit has answered; an ack is smaller than PIPE_BUF, so that those of several threads do not
 * mix. The parent counts them and kills the child with SIGKILL; what is in the pipe by then has
 * been acknowledged, too. So the kill comes after a number of commits, whatever the time. */
#include "demo_crash.h"

#include "complain.h"
#include "heap.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void crash_acknowledge(const struct demo *demo, const struct ack *ack) {
    if (demo->acknowledge_to != 0) {
        (void)!write(demo->acknowledge_to, ack, sizeof *ack);
    }
}

/* Without an end of its own. */
static int work(const struct demo_options *options, int acknowledge_to) {
    struct demo_options endless = *options;
    endless.seconds = 0;
    endless.transactions = 0;
    endless.is_quiet = true;
    struct demo demo = {.options = &endless, .acknowledge_to = acknowledge_to};
    int code = demo_load(&demo);
    if (code == CLI_OK) {
        code = demo_run(&demo);
        flights_free(&demo.flights);
    }
    return code;
}

static void take(struct crash *crash, const struct ack *ack) {
    if (crash->ack_count == crash->ack_capacity) {
        crash->ack_capacity = 2 * crash->ack_capacity + 1024;
        crash->acks = heap_resize(crash->acks, crash->ack_capacity, sizeof *crash->acks);
    }
    crash->acks[crash->ack_count++] = *ack;
    crash->acknowledged += ack->timestamp != 0 ? 1 : 0;
}

/* Acks until there are enough, or the pipe ends. */
static void listen_to(int from, uint64_t enough, struct crash *crash) {
    struct ack ack;
    size_t filled = 0;
    while (crash->acknowledged < enough) {
        ssize_t got = read(from, (char *)&ack + filled, sizeof ack - filled);
        if (got <= 0 && !(got < 0 && errno == EINTR)) {
            return;
        }
        filled += got > 0 ? (size_t)got : 0;
        if (filled == sizeof ack) {
            take(crash, &ack);
            filled = 0;
        }
    }
}

static int judge_child(int status, const struct crash *crash, uint64_t wanted) {
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && crash->acknowledged >= wanted) {
        return CLI_OK;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != CLI_OK) {
        return WEXITSTATUS(status); /* it has complained */
    }
    return complain(CLI_FAILED,
                    "the process that was to be killed ended before it had acknowledged %" PRIu64
                    " changes (%zu; %s %d)",
                    wanted, crash->acknowledged, WIFSIGNALED(status) ? "signal" : "exit code",
                    WIFSIGNALED(status) ? WTERMSIG(status) : CLI_OK);
}

static int fork_and_kill(const struct demo_options *options, const int *ends, struct crash *crash) {
    int status = 0;
    pid_t parent = getpid();
    (void)fflush(stdout); /* or the child would have a copy */
    pid_t child = fork();
    if (child < 0) {
        return complain_errno("fork", "the process to be killed");
    }
    if (child == 0) {
        (void)close(ends[0]);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int code = getppid() == parent ? work(options, ends[1]) : CLI_FAILED;
        (void)fflush(stdout);
        _exit(code);
    }
    (void)close(ends[1]);
    listen_to(ends[0], options->crash_after, crash);
    (void)kill(child, SIGKILL);
    listen_to(ends[0], UINT64_MAX, crash);
    (void)waitpid(child, &status, 0);
    return judge_child(status, crash, options->crash_after);
}

/* What an opening will find: the log is checked as "khonsu verify" does it. */
static int look_at_log(const struct demo_options *options, struct crash *crash) {
    kh_verify_report report = {.size = sizeof report};
    kh_error error = {""};
    kh_status status = kh_verify(options->path, NULL, &report, &error);
    if (status != KH_OK) {
        return complain_status(options->path, status, &error);
    }
    crash->records = report.records;
    crash->replayed = report.head.position - report.applied;
    crash->has_torn_end = report.has_torn_end;
    return CLI_OK;
}

int crash_run(const struct demo_options *options, struct crash *crash) {
    int ends[2];
    if (pipe(ends) != 0) {
        return complain_errno("pipe", "the acknowledgements");
    }
    if (!options->is_quiet) {
        (void)printf("a process of its own loads the flights, changes them and acknowledges\n");
    }
    int code = fork_and_kill(options, ends, crash);
    (void)close(ends[0]);
    if (code == CLI_OK && !options->is_quiet) {
        struct text count = {NULL, 0, 0};
        text_add_count(&count, (int64_t)crash->acknowledged);
        (void)printf("killed (SIGKILL) when it had acknowledged %s changes\n\n", count.bytes);
        text_free(&count);
    }
    return code == CLI_OK ? look_at_log(options, crash) : code;
}

void crash_free(struct crash *crash) {
    free(crash->acks);
    *crash = (struct crash){.acks = NULL};
}
