/* settings.h - what a run was asked to do: the options of the program. */
#ifndef KHONSU_WORKLOAD_SETTINGS_H
#define KHONSU_WORKLOAD_SETTINGS_H

#include "cli/text.h"

#include <khonsu.h>
#include <stdbool.h>
#include <stdint.h>

enum workload {
    WORKLOAD_LIST_APPEND,
    WORKLOAD_RW_REGISTER,
    WORKLOAD_BANK,
    WORKLOAD_GROUP,
    WORKLOAD_KV
};

struct settings {
    int workload; /* enum workload */
    kh_isolation isolation;
    const char *level; /* what the header says: it tells serializable and strict-serializable apart,
                        * which the engine runs alike */
    uint64_t threads;
    uint64_t keys; /* live at a time; bank: accounts */
    uint64_t ops;  /* of one transaction, at most; group: keys of a group */
    uint64_t transactions;
    uint64_t seed;
    const char *out;
    const char *path;    /* of a durable store; NULL: in memory */
    int sync;            /* which of settings_sync_name's; with a path */
    uint64_t kills;      /* of the store's process in the run */
    uint64_t kill_seed;  /* of the moments */
    const char *between; /* a command of the shell after each kill; NULL: none */
    bool is_sabotaged;   /* the store acknowledges what it has not synced */
    bool has_scans;
    bool has_deletes;
    bool is_mixed;       /* each transaction draws its level: this one or a lower one */
    bool has_workspaces; /* half of the transactions that write are workspaces */
    bool is_rows;        /* appends are row operations, not a read and a put */
};

enum { SYNC_FULL, SYNC_GROUP, SYNC_NONE };

enum {
    SETTINGS_KILLS_MAX = 1000,
    SETTINGS_THREADS_MAX = 256,
    SETTINGS_KEYS_MAX = 10000,
    SETTINGS_OPS_MAX = 64,
    SETTINGS_BALANCE = 100 /* of each account at first */
};

enum settings_answer { SETTINGS_RUN, SETTINGS_DONE, SETTINGS_WRONG };

/* SETTINGS_DONE: help or version was printed. SETTINGS_WRONG: problem says why. */
enum settings_answer settings_parse(struct settings *settings, int argc, char *const *argv,
                                    struct text *problem);
const char *settings_workload_name(const struct settings *settings);
const char *settings_sync_name(const struct settings *settings);
/* How a level is called in a history. */
const char *settings_level_name(kh_isolation isolation);
/* Groups of a group workload, and the keys of each. */
uint32_t settings_groups(const struct settings *settings);
uint32_t settings_group_size(const struct settings *settings);

#endif
