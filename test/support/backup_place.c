/* backup_place.c - see backup_place.h. */
#include "support/backup_place.h"

#include "support/foreign.h"

void place_open(struct backup_place *f, uint32_t flags) {
    memset(f, 0, sizeof *f);
    directory_make(&f->directory);
    (void)snprintf(f->path, sizeof f->path, "%s", directory_join(&f->directory, "db"));
    (void)snprintf(f->backups, sizeof f->backups, "%s", directory_join(&f->directory, "backups"));
    f->options = kit_options();
    f->options.path = f->path;
    f->options.flags = flags;
    f->options.retention_ms = 3600000;
    f->db = kit_open_with(&f->options);
}

void place_close(struct backup_place *f) {
    if (f->db != NULL) kit_close(f->db);
    directory_remove(&f->directory);
}

kh_backup_entry place_back_up(struct backup_place *f, uint32_t flags) {
    kh_backup_options options = KH_BACKUP_OPTIONS_INIT;
    kh_backup_entry entry;
    kh_error error = {""};
    options.flags = flags;
    kh_status status = kh_backup(f->db, f->backups, &options, &entry, &error);
    if (status != KH_OK) fail_msg("%s", error.message);
    return entry;
}

/* A place that is not there yet. */
const char *place_fresh(struct backup_place *f) {
    static char path[512];
    char name[32];
    (void)snprintf(name, sizeof name, "target%d", f->targets++);
    (void)snprintf(path, sizeof path, "%s", directory_join(&f->directory, name));
    return path;
}

kh_db *place_open_copy(const char *path) {
    kh_options options = kit_options();
    options.path = path;
    options.flags = KH_OPEN_NO_THREADS;
    return kit_open_with(&options);
}

kh_db *place_restore(struct backup_place *f, uint64_t number, kh_timestamp at) {
    kh_restore_options options = KH_RESTORE_OPTIONS_INIT;
    const char *to = place_fresh(f);
    kh_error error = {""};
    options.to = at;
    kh_status status = kh_backup_restore(f->backups, number, to, &options, NULL, &error);
    if (status != KH_OK) fail_msg("%s", error.message);
    return place_open_copy(to);
}

static kh_batch *make_ballast(kh_db *db, uint64_t seed) {
    struct foreign_random random = {.state = seed};
    struct ArrowSchema schema;
    struct ArrowArray array;
    kh_schema *interned = NULL;
    kh_batch *batch = NULL;
    foreign_table(&schema, "l");
    foreign_fill(&random, &schema, 2000, &array);
    kit_is(kh_schema_import(db, &schema, &interned, NULL), KH_OK);
    kit_is(kh_batch_import(db, interned, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    kh_schema_release(interned);
    return batch;
}

void place_put_ballast(kh_db *db, int i) {
    char name[16];
    kh_batch *batch = make_ballast(db, (uint64_t)i + 1);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    (void)snprintf(name, sizeof name, "b%d", i);
    kit_is(kh_txn_put(txn, kit_key(name), batch, NULL), KH_OK);
    kit_commit_ok(txn);
    kh_batch_release(batch);
}

bool place_list_one(void *context, const kh_backup_entry *entry) {
    struct backup_listed *listed = context;
    if (listed->count < 16) listed->entries[listed->count++] = *entry;
    return true;
}

struct backup_listed place_list(const struct backup_place *f) {
    struct backup_listed listed = {.count = 0};
    kit_is(kh_backup_list(f->backups, place_list_one, &listed, NULL), KH_OK);
    return listed;
}
