/* lives.c - starting the store's process, and starting it again after each kill.
 *
 * The transactions are divided into as many parts and one more as there are kills, and a ticket is
 * drawn in each part but the last. The thread that takes it, or the first to take a later one,
 * sends SIGKILL to its own process, after giving up the processor for some turns: where the others
 * are then is left to chance. A process that listened for the count might come too late, and find
 * the run at its end. The seed repeats the counts, not the moments. */
#include "lives.h"

#include "dice.h"
#include "store_run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t kill_at(const struct settings *settings, uint64_t life) {
    if (life >= settings->kills) {
        return UINT64_MAX;
    }
    uint64_t part = settings->transactions / (settings->kills + 1);
    struct dice dice = dice_of(settings->kill_seed, life);
    return life * part + dice_below(&dice, (uint32_t)part);
}

/* A store whose scribe was killed would run on unseen. */
static int live(const struct settings *settings, struct shared *shared, struct keys *keys,
                pid_t scribe) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == scribe ? store_run(settings, shared, keys) : 1;
}

/* What the command says goes to the standard error: the standard output may be the history's. */
static void become_command(const struct settings *settings) {
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    if (setenv("KHONSU_PATH", settings->path, 1) == 0) {
        (void)execl("/bin/sh", "sh", "-c", settings->between, (char *)NULL);
    }
    _exit(127);
}

static bool run_between(const struct settings *settings, struct shared *shared) {
    if (settings->between == NULL) {
        return true;
    }
    int status = 0;
    pid_t command = fork();
    if (command == 0) {
        become_command(settings);
    }
    if (command < 0 || waitpid(command, &status, 0) != command || status != 0) {
        shared_fail(shared, "the command between two lives of the store failed: %s",
                    settings->between);
        return false;
    }
    return true;
}

int lives_run(const struct settings *settings, struct shared *shared, struct keys *keys, FILE *out,
              struct tally *tally) {
    pid_t self = getpid();
    struct scribe *scribe = scribe_create(settings, shared, out, tally);
    bool is_killed = true;
    int status = 0;
    for (uint32_t life = 0; is_killed; ++life) {
        shared_begin_life(shared, life, kill_at(settings, life));
        (void)fflush(out); /* or the child would have a copy */
        pid_t store = fork();
        if (store == 0) {
            int code = live(settings, shared, keys, self);
            (void)fflush(stderr);
            _exit(code);
        }
        status = store < 0 ? LIVES_UNBORN : scribe_follow(scribe, store, &is_killed);
        is_killed = is_killed && status >= 0;
        if (is_killed && !run_between(settings, shared)) {
            status = LIVES_UNBORN;
            is_killed = false;
        }
    }
    int error = errno;
    scribe_destroy(scribe);
    errno = error;
    return status;
}
