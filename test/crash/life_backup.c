/* life_backup.c - backups of a life, beside its database in PATH.backups, and what is restored from
 * them. See life.h. */
#include "life.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

static const char *beside(const struct life *life, const char *ending, char out[PATH_BYTES]) {
    (void)snprintf(out, PATH_BYTES, "%.4000s.%s", life->path, ending);
    return out;
}

void life_back_up(struct life *life) {
    char backups[PATH_BYTES];
    kh_backup_entry entry;
    kh_error error = {""};
    kh_status status = kh_backup(life->db, beside(life, "backups", backups), NULL, &entry, &error);
    if (status == KH_OK) {
        life_say("backup %" PRIu64 " %" PRId64, entry.number, life->count);
    } else {
        life_say_status("backup", status, &error);
    }
}

struct sought {
    uint64_t number;
    bool is_found;
};

static bool look_for(void *context, const kh_backup_entry *entry) {
    struct sought *sought = context;
    sought->is_found = entry->number == sought->number;
    return !sought->is_found;
}

void life_check_backup(const struct life *life, uint64_t number, int64_t count) {
    char backups[PATH_BYTES];
    struct life copy = {.path = NULL};
    char path[PATH_BYTES];
    struct sought sought = {.number = number};
    kh_error error = {""};
    (void)beside(life, "backups", backups);
    copy.path = beside(life, "copy", path);
    kh_status status = kh_backup_list(backups, look_for, &sought, &error);
    life_must(status == KH_OK && sought.is_found, "LOST: backup %" PRIu64 ": %s", number,
              error.message);
    status = kh_backup_restore(backups, number, copy.path, NULL, NULL, &error);
    life_must(status == KH_OK, "backup %" PRIu64 ": %s", number, error.message);
    life_must(life_open(&copy, KH_OPEN_NO_THREADS), "the copy cannot be opened");
    life_must(copy.count == count, "the copy has %" PRId64 " transactions, not %" PRId64,
              copy.count, count);
    life_close(&copy);
}
