/* backup_place.h - a directory with a database and its backups in it, for the tests of backups. */
#ifndef TEST_SUPPORT_BACKUP_PLACE_H
#define TEST_SUPPORT_BACKUP_PLACE_H

#include "support/directory.h"
#include "support/kit.h"

struct backup_place {
    struct directory directory; /* db/ and backups/ in it */
    char path[512];
    char backups[512];
    kh_options options;
    kh_db *db;
    int targets;
};

struct backup_listed {
    kh_backup_entry entries[16];
    int count;
};

void place_open(struct backup_place *f, uint32_t flags);
void place_close(struct backup_place *f);
/* It must succeed. */
kh_backup_entry place_back_up(struct backup_place *f, uint32_t flags);
/* A path that is not there yet, in storage that the next call overwrites. */
const char *place_fresh(struct backup_place *f);
kh_db *place_open_copy(const char *path);
/* A backup restored to a fresh path (number 0: the newest; at 0: its newest state), and opened. */
kh_db *place_restore(struct backup_place *f, uint64_t number, kh_timestamp at);
/* Notes an entry: a kh_backup_fn for a struct backup_listed. */
bool place_list_one(void *context, const kh_backup_entry *entry);
struct backup_listed place_list(const struct backup_place *f);
/* 16 kB under a key of its own, in one transaction. */
void place_put_ballast(kh_db *db, int i);

#endif
