/* scribe.c - merges the rings by time and numbers the events.
 *
 * An event is written when no ring can still deliver an earlier one. Two events of the same
 * nanosecond: invocations come first, so that a checker which goes by position sees them as
 * concurrent, which is all that can be said of them.
 *
 * A kill is an event after all that the store's process has said, before the 'info' of what it left
 * open; "heal" comes when its successor has opened the store, before anything it says.
 *
 * The file is flushed every FLUSH_NS, so that little is lost if this process is killed as well. */
#include "scribe.h"

#include "cli/heap.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { ROUND_NS = 2000000, FLUSH_NS = 100000000 };
/* How long the store may take to finish what is under way when it is asked to stop. */
static const uint64_t grace_ns = 10000000000;

struct lane {     /* one ring, as the scribe sees it */
    bool is_open; /* the last event written was an invocation */
    bool has_next;
    struct event next;
    uint64_t not_before;
    struct text invoke; /* that invocation */
};

struct scribe {
    struct shared *shared;
    FILE *out;
    struct tally *tally;
    struct lane *lanes;
    uint64_t position;
    uint64_t flushed_ns;
    uint64_t stop_ns; /* when the store was asked to stop; 0: it was not */
    bool is_healed;   /* this life of the store has begun to speak */
    bool is_killed;   /* and was to end so */
    char text[RING_EVENT_MAX];
};

static void write_event(struct scribe *scribe, uint64_t t, const char *text, size_t size_bytes) {
    int head = fprintf(scribe->out, "{\"i\":%llu,\"t\":%llu,", (unsigned long long)scribe->position,
                       (unsigned long long)t);
    (void)fwrite(text, 1, size_bytes, scribe->out);
    (void)fputc('\n', scribe->out);
    scribe->position += 1;
    scribe->tally->size_bytes += (head > 0 ? (size_t)head : 0) + size_bytes + 1;
}

static void write_header(struct scribe *scribe, const struct settings *settings) {
    struct text line = {NULL, 0, 0};
    text_printf(&line, "{\"kh\":1,\"workload\":\"%s\",\"isolation\":\"%s\",\"initial\":{",
                settings_workload_name(settings), settings->level);
    for (uint64_t i = 0; settings->workload == WORKLOAD_BANK && i < settings->keys; ++i) {
        text_printf(&line, "%s\"a%llu\":%d", i == 0 ? "" : ",", (unsigned long long)i,
                    SETTINGS_BALANCE);
    }
    text_printf(&line, "},\"seed\":%llu,\"store\":\"khonsu %s\",\"threads\":%llu,\"keys\":%llu",
                (unsigned long long)settings->seed, kh_version(),
                (unsigned long long)settings->threads, (unsigned long long)settings->keys);
    text_printf(&line, ",\"ops\":%llu,\"transactions\":%llu", (unsigned long long)settings->ops,
                (unsigned long long)settings->transactions);
    if (settings->workload == WORKLOAD_LIST_APPEND) {
        text_printf(&line, ",\"append\":\"%s\"", settings->is_rows ? "rows" : "put");
    }
    text_add(&line, settings->is_mixed ? ",\"mix\":true" : "");
    if (settings->path != NULL) {
        text_printf(&line, ",\"durable\":true,\"sync\":\"%s\"", settings_sync_name(settings));
    }
    if (settings->kills > 0) {
        text_printf(&line, ",\"faults\":[\"kill\"],\"kills\":%llu,\"kill_seed\":%llu",
                    (unsigned long long)settings->kills, (unsigned long long)settings->kill_seed);
    }
    text_printf(&line, "%s}\n", settings->is_sabotaged ? ",\"sabotage\":true" : "");
    (void)fwrite(line.bytes, 1, line.size, scribe->out);
    scribe->tally->size_bytes += line.size;
    text_free(&line);
}

static bool is_earlier(const struct event *a, const struct event *b) {
    return a->t != b->t ? a->t < b->t : a->kind == EVENT_INVOKE && b->kind != EVENT_INVOKE;
}

/* The lane whose event comes next; NULL: an earlier one may still come, or there is none. */
static struct lane *choose(struct scribe *scribe) {
    struct lane *best = NULL;
    uint64_t bound = UINT64_MAX;
    for (uint32_t i = 0; i < scribe->shared->ring_count; ++i) {
        struct lane *lane = &scribe->lanes[i];
        if (!lane->has_next) {
            lane->has_next = ring_peek(&scribe->shared->rings[i], &lane->next, &lane->not_before);
        }
        if (!lane->has_next) {
            bound = lane->not_before < bound ? lane->not_before : bound;
        } else if (best == NULL || is_earlier(&lane->next, &best->next)) {
            best = lane;
        }
    }
    return best != NULL && best->next.t < bound ? best : NULL;
}

static void write_fault(struct scribe *scribe, uint64_t t, const char *what) {
    struct text line = {NULL, 0, 0};
    text_printf(&line, "\"p\":\"nemesis\",\"ev\":\"info\",\"f\":\"%s\"}", what);
    write_event(scribe, t, line.bytes, line.size);
    text_free(&line);
}

static bool has_begun(struct scribe *scribe) {
    uint64_t opened = atomic_load_explicit(&scribe->shared->opened_ns, memory_order_acquire);
    if (!scribe->is_healed && opened != 0) {
        write_fault(scribe, opened, "heal");
        scribe->is_healed = true;
    }
    return scribe->is_healed;
}

static void drain(struct scribe *scribe) {
    if (!has_begun(scribe)) {
        return;
    }
    for (struct lane *lane = choose(scribe); lane != NULL; lane = choose(scribe)) {
        const struct event *event = &lane->next;
        ring_take(&scribe->shared->rings[lane - scribe->lanes], event, scribe->text);
        write_event(scribe, event->t, scribe->text, event->size_bytes);
        scribe->tally->kinds[event->kind] += 1;
        if (event->kind == EVENT_FAIL && event->reason < SCRIBE_REASONS) {
            scribe->tally->fails[event->reason] += 1;
        }
        lane->is_open = event->kind == EVENT_INVOKE;
        if (lane->is_open) {
            text_clear(&lane->invoke);
            text_append(&lane->invoke, scribe->text, event->size_bytes);
        }
        lane->has_next = false;
    }
}

/* After the store's end: nobody will put events any more, and what is open stays so. */
static void finish(struct scribe *scribe, bool has_crashed) {
    static const char mark[] = "\"ev\":\"invoke\"";
    for (uint32_t i = 0; i < scribe->shared->ring_count; ++i) {
        ring_close(&scribe->shared->rings[i]);
    }
    drain(scribe);
    if (scribe->is_killed) {
        write_fault(scribe, shared_clock(scribe->shared), "kill");
        scribe->tally->kills += 1;
    }
    for (uint32_t i = 0; i < scribe->shared->ring_count; ++i) {
        struct lane *lane = &scribe->lanes[i];
        const char *found = lane->is_open ? strstr(lane->invoke.bytes, mark) : NULL;
        if (found == NULL) {
            continue;
        }
        struct text line = {NULL, 0, 0};
        text_append(&line, lane->invoke.bytes, (size_t)(found - lane->invoke.bytes));
        text_printf(&line, "\"ev\":\"info\",\"err\":\"%s\"", has_crashed ? "crash" : "stopped");
        text_add(&line, found + sizeof mark - 1);
        write_event(scribe, shared_clock(scribe->shared), line.bytes, line.size);
        scribe->tally->kinds[EVENT_INFO] += 1;
        lane->is_open = false;
        text_free(&line);
    }
}

/* Wait for a signal, but no longer than a round. True: the store has ended. */
static bool wait_round(struct scribe *scribe, pid_t store, int *status) {
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGHUP);
    const struct timespec round = {0, ROUND_NS};
    int signal = sigtimedwait(&signals, NULL, &round);
    uint64_t now = shared_clock(scribe->shared);
    if (signal > 0 && signal != SIGCHLD) {
        shared_stop(scribe->shared);
    }
    if (scribe->stop_ns == 0 && shared_is_stopping(scribe->shared)) {
        scribe->stop_ns = now;
    } else if (scribe->stop_ns != 0 && now - scribe->stop_ns > grace_ns) {
        (void)kill(store, SIGKILL);
    }
    return waitpid(store, status, WNOHANG) == store;
}

static bool flush(struct scribe *scribe, bool is_now) {
    uint64_t now = shared_clock(scribe->shared);
    if (is_now || now - scribe->flushed_ns > FLUSH_NS) {
        scribe->flushed_ns = now;
        (void)fflush(scribe->out);
    }
    return ferror(scribe->out) == 0;
}

struct scribe *scribe_create(const struct settings *settings, struct shared *shared, FILE *out,
                             struct tally *tally) {
    struct scribe *scribe = heap_allocate(1, sizeof *scribe);
    scribe->shared = shared;
    scribe->out = out;
    scribe->tally = tally;
    scribe->lanes = heap_allocate(shared->ring_count, sizeof *scribe->lanes);
    write_header(scribe, settings);
    return scribe;
}

void scribe_destroy(struct scribe *scribe) {
    for (uint32_t i = 0; i < scribe->shared->ring_count; ++i) {
        text_free(&scribe->lanes[i].invoke);
    }
    free(scribe->lanes);
    free(scribe);
}

int scribe_follow(struct scribe *scribe, pid_t store, bool *is_killed) {
    int status = 0;
    scribe->stop_ns = 0;
    scribe->is_killed = false;
    scribe->is_healed = scribe->shared->life == 0;
    bool is_written = flush(scribe, true);
    while (is_written && !wait_round(scribe, store, &status)) {
        drain(scribe);
        is_written = flush(scribe, false);
    }
    scribe->is_killed =
        shared_is_kill_taken(scribe->shared) && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (is_written) {
        finish(scribe, WIFSIGNALED(status));
        is_written = flush(scribe, true);
    } else {
        int error = errno;
        (void)kill(store, SIGKILL);
        (void)waitpid(store, &status, 0);
        errno = error;
    }
    *is_killed = scribe->is_killed;
    return is_written ? status : -1;
}
