/* rocks_reopen.c - an instance that RocksDB has stopped writing, opened again: see rocks.h.
 *
 * A failed write of its manifest RocksDB 7.8 takes as the instance's end: it reads on, and refuses
 * every write until it was opened again; or it answers flushes with OK, and does not flush. What it
 * can get over it gets over by itself, in a second or more: the log has all of it, and need not
 * wait. Opening needs the lock file, so it closes first: a disk that still fails would leave
 * nothing to read from, and is asked before. */
#include "log/rocks_handle.h"

#include "base/env.h"
#include "base/env_file.h"
#include "base/status.h"
#include <stdio.h>

enum { NAME_BYTES = 4096, TRIES = 100, PAUSE_NS = 10 * 1000 * 1000 };

bool rocks_is_stuck(struct rocks *rocks) {
    static const char nobodys_key[] = {0, 'x'};
    char *message = NULL;
    if (rocks_enter(rocks, NULL) != KH_OK) return true;
    rocksdb_delete(rocks->db, rocks->unlogged, nobodys_key, sizeof nobodys_key, &message);
    rocks_leave(rocks);
    kh_status status = rocks_status(message, "the store cannot be written", NULL);
    if (status == KH_OK) status = rocks_flush(rocks, NULL);
    return status == KH_IO || status == KH_NO_SPACE;
}

/* By the name of a load: the next opening would take it away. */
static kh_status try_disk(const struct rocks *rocks, kh_error *error) {
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s.load1", rocks->path);
    int file = env_open(name, ENV_WRITE);
    int code = file < 0 ? -file : env_write_at(file, rocks->path, rocks->path_bytes, 0);
    if (code == 0) code = env_sync(file);
    if (file >= 0) env_close(file);
    int removed = env_remove(name);
    if (code == 0) code = removed;
    if (code == 0) return KH_OK;
    return status_fail(error, KH_IO, "%.180s cannot be written (errno %d)", name, code);
}

static bool take_gate(struct rocks *rocks) {
    for (int i = 0; i < TRIES; i++) {
        if (gate_try_close(&rocks->gate)) return true;
        env_pause_ns(PAUSE_NS);
    }
    return false;
}

kh_status rocks_reopen(struct rocks *rocks, kh_error *error) {
    kh_status status = try_disk(rocks, error);
    if (status != KH_OK) return status;
    if (!take_gate(rocks)) return status_fail(error, KH_BUSY, "the store is being read");
    if (rocks->db != NULL) rocksdb_close(rocks->db);
    rocks->db = NULL;
    status = rocks_open_instance(rocks, ROCKS_WRITE, error);
    gate_leave(&rocks->gate);
    return status;
}
