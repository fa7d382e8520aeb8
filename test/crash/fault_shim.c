/* fault_shim.c - which call is meant, and what becomes of it. fault_shim.h has the whole. */
#include "fault_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FULL_LOOKS = 4, REPORT = STDOUT_FILENO, LINE_BYTES = 512, SECTOR_BYTES = 512 };

static const char *const kind_names[FAULT_KINDS] = {"write", "sync", "read",  "open", "name",
                                                    "size",  "look", "close", "lock"};

/* Written before main, read by all threads. */
static char root[PATH_MAX]; /* empty: off */
static size_t root_bytes;
static bool is_counted[FAULT_KINDS];
static bool is_changes_only;
static uint64_t fault_at;
static const char *how = "";

static _Atomic uint64_t count;
static _Atomic bool is_full; /* or dead */
static _Atomic int looks;    /* at a full device */
static _Thread_local bool is_torn;

static void say(const char *line, int bytes) {
    (void)syscall(SYS_write, REPORT, line, (size_t)bytes);
}

static _Noreturn void end_now(void) {
    (void)syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) (void)syscall(SYS_pause);
}

void *fault_next(_Atomic(void *) *found, const char *name) {
    void *address = atomic_load_explicit(found, memory_order_relaxed);
    if (address == NULL) {
        address = dlsym(RTLD_NEXT, name);
        if (address == NULL) end_now();
        atomic_store_explicit(found, address, memory_order_relaxed);
    }
    return address;
}

/* ---- where a call is ------------------------------------------------------------------------- */

/* The part of a path behind the root; NULL: it is elsewhere. */
static const char *below_root(const char *path) {
    if (strncmp(path, root, root_bytes) != 0) return NULL;
    if (path[root_bytes] != '/' && path[root_bytes] != '\0') return NULL;
    return path[root_bytes] == '/' ? path + root_bytes + 1 : ".";
}

static bool path_of(int descriptor, char out[PATH_MAX]) {
    char link[32];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    long bytes = syscall(SYS_readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);
    if (bytes <= 0) return false;
    out[bytes] = '\0';
    return true;
}

/* ---- what becomes of it ---------------------------------------------------------------------- */

static enum fault_act fail(int code) {
    errno = code;
    return ACT_FAIL;
}

static enum fault_act act_once(const struct fault_call *call) {
    bool moves_bytes = call->kind == FAULT_WRITE || call->kind == FAULT_READ;
    if (strcmp(how, "enospc") == 0) return fail(call->is_change ? ENOSPC : EIO);
    if (strcmp(how, "short") == 0) return moves_bytes ? ACT_HALF : ACT_GO;
    if (strcmp(how, "torn") == 0) return call->kind == FAULT_WRITE ? ACT_TORN : fail(ENOSPC);
    if (strcmp(how, "kill-before") == 0) end_now();
    if (strcmp(how, "kill-half") == 0) {
        if (call->kind != FAULT_WRITE) end_now();
        return ACT_END_HALF;
    }
    if (strcmp(how, "kill-after") == 0) return ACT_END_AFTER;
    return fail(EIO);
}

static bool is_lasting(void) {
    return strcmp(how, "full") == 0 || strcmp(how, "dead") == 0;
}

/* A device that has been full or dead since an earlier call. */
static enum fault_act act_lasting(const struct fault_call *call) {
    if (!atomic_load_explicit(&is_full, memory_order_acquire)) return ACT_GO;
    if (how[0] == 'd') return fail(EIO);
    return call->is_growth ? fail(ENOSPC) : ACT_GO;
}

static void report(const struct fault_call *call, const char *name) {
    char line[LINE_BYTES];
    int bytes = snprintf(line, sizeof line, "fault %s %s %.300s\n", call->name,
                         kind_names[call->kind], name);
    say(line, bytes);
}

static enum fault_act ask(const struct fault_call *call, const char *path) {
    const char *name = below_root(path);
    if (name == NULL) return ACT_GO;
    if (is_torn && call->kind == FAULT_WRITE) {
        is_torn = false;
        return fail(ENOSPC);
    }
    enum fault_act lasting = act_lasting(call);
    if (lasting != ACT_GO || !is_counted[call->kind]) return lasting;
    if (is_changes_only && !call->is_change) return ACT_GO;
    uint64_t number = atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) + 1;
    if (number != fault_at) return ACT_GO;
    report(call, name);
    if (!is_lasting()) return act_once(call);
    atomic_store_explicit(&is_full, true, memory_order_release);
    return act_lasting(call);
}

enum fault_act fault_ask_descriptor(const struct fault_call *call, int descriptor) {
    char path[PATH_MAX];
    if (root[0] == '\0') return ACT_GO;
    int error = errno;
    bool is_known = path_of(descriptor, path);
    errno = error;
    return is_known ? ask(call, path) : ACT_GO;
}

enum fault_act fault_ask_name(const struct fault_call *call, int directory, const char *name) {
    char path[2 * PATH_MAX];
    if (root[0] == '\0') return ACT_GO;
    if (name[0] == '/') return ask(call, name);
    if (directory == AT_FDCWD || !path_of(directory, path)) return ACT_GO;
    size_t bytes = strlen(path);
    (void)snprintf(path + bytes, sizeof path - bytes, "/%s", name);
    return ask(call, path);
}

void fault_settle(enum fault_act act) {
    if (act == ACT_END_HALF || act == ACT_END_AFTER) end_now();
}

size_t fault_part(enum fault_act act, size_t whole) {
    return act == ACT_HALF && whole > 1 ? whole / 2 : whole;
}

bool fault_part_of_write(enum fault_act act, off_t offset, size_t *bytes) {
    if (act == ACT_FAIL) return false;
    *bytes = fault_part(act, *bytes);
    if (act != ACT_TORN && act != ACT_END_HALF) return true;
    uint64_t from = (uint64_t)offset;
    uint64_t cut = (from + *bytes / 2 + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
    if (cut <= from || cut >= from + *bytes) {
        if (act == ACT_END_HALF) end_now();
        errno = ENOSPC;
        return false;
    }
    *bytes = (size_t)(cut - from);
    is_torn = act == ACT_TORN;
    return true;
}

bool fault_is_full_now(void) {
    if (how[0] != 'f' || !atomic_load_explicit(&is_full, memory_order_acquire)) return false;
    if (atomic_fetch_add_explicit(&looks, 1, memory_order_relaxed) + 1 < FULL_LOOKS) return true;
    atomic_store_explicit(&is_full, false, memory_order_release);
    say("space\n", 6);
    return false;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static void choose_kinds(const char *names) {
    for (int kind = 0; kind < FAULT_KINDS; kind++)
        is_counted[kind] = names == NULL || strstr(names, kind_names[kind]) != NULL;
    is_changes_only = names != NULL && strcmp(names, "change") == 0;
    if (!is_changes_only) return;
    for (int kind = 0; kind < FAULT_KINDS; kind++)
        is_counted[kind] = kind != FAULT_READ && kind != FAULT_LOOK && kind != FAULT_LOCK;
}

__attribute__((constructor(101))) static void begin(void) {
    const char *place = getenv("KH_FAULT_ROOT");
    const char *at = getenv("KH_FAULT_AT");
    if (place == NULL || place[0] != '/' || strlen(place) >= sizeof root) return;
    if (getenv("KH_FAULT_HOW") != NULL) how = getenv("KH_FAULT_HOW");
    fault_at = at == NULL ? 0 : strtoull(at, NULL, 10);
    choose_kinds(getenv("KH_FAULT_CALLS"));
    root_bytes = strlen(place);
    memcpy(root, place, root_bytes + 1);
}

__attribute__((destructor)) static void end(void) {
    char line[LINE_BYTES];
    if (root[0] == '\0') return;
    int bytes = snprintf(line, sizeof line, "calls %llu\n",
                         (unsigned long long)atomic_load_explicit(&count, memory_order_relaxed));
    say(line, bytes);
}
