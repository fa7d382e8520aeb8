/* rocks_load.c - see rocks_load.h. */
#include "log/rocks_load.h"

#include "base/env_file.h"
#include "base/status.h"
#include "log/rocks_handle.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 4096 };

/* Below it a group shares syncs and tables with others and costs one sync; a load costs four (the
 * file twice, the directory, the manifest). docs/decisions/0041 has the measurements. */
enum { LEAST_BYTES = 2 << 20 };

size_t rocks_load_bytes;

size_t rocks_load_least(const struct rocks *rocks) {
    if (rocks_load_bytes != 0) return rocks_load_bytes;
    return rocks->is_loading ? LEAST_BYTES : SIZE_MAX;
}

static void name_of(const char *path, size_t number, char out[NAME_BYTES]) {
    (void)snprintf(out, NAME_BYTES, "%s.load%zu", path, number + 1);
}

kh_status rocks_load_clear(const char *path, kh_error *error) {
    char name[NAME_BYTES];
    for (size_t i = 0; i < ROCKS_LOAD_TABLES; i++) {
        name_of(path, i, name);
        int code = env_remove(name);
        if (code != 0)
            return status_fail(error, KH_IO, "%.180s cannot be removed (errno %d)", name, code);
    }
    return KH_OK;
}

/* RocksDB tells the kind of a failure in words only; here no write-ahead file is written. */
static kh_status answer(char *message, const char *what, kh_error *error) {
    bool is_full = message != NULL && strstr(message, "No space left") != NULL;
    kh_status status = rocks_status(message, what, error);
    return is_full ? KH_NO_SPACE : status;
}

static char *put_all(rocksdb_sstfilewriter_t *writer, const struct rocks_table *table) {
    char *message = NULL;
    for (size_t i = 0; i < table->count && message == NULL; i++) {
        const kh_mutation *entry = &table->entries[i];
        if (entry->value.data == NULL) {
            rocksdb_sstfilewriter_delete(writer, entry->key.data, entry->key.size_bytes, &message);
        } else {
            rocksdb_sstfilewriter_put(writer, entry->key.data, entry->key.size_bytes,
                                      entry->value.data, entry->value.size_bytes, &message);
        }
    }
    return message;
}

/* Written, synced and closed. */
static kh_status write_table(struct rocks *rocks, const char *name, const struct rocks_table *table,
                             kh_error *error) {
    char *message = NULL;
    rocksdb_envoptions_t *env = rocksdb_envoptions_create();
    rocksdb_sstfilewriter_t *writer = rocksdb_sstfilewriter_create(env, rocks->options);
    rocksdb_sstfilewriter_open(writer, name, &message);
    if (message == NULL) message = put_all(writer, table);
    if (message == NULL) rocksdb_sstfilewriter_finish(writer, &message);
    rocksdb_sstfilewriter_destroy(writer);
    rocksdb_envoptions_destroy(env);
    return answer(message, "a table cannot be written", error);
}

static kh_status take_in(struct rocks *rocks, const char *const *names, size_t count,
                         kh_error *error) {
    char *message = NULL;
    kh_status status = rocks_enter(rocks, error);
    if (status != KH_OK) return status;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    /* Nobody reads at a snapshot of RocksDB's; iterators have the files as they were. */
    rocksdb_ingestexternalfileoptions_set_snapshot_consistency(options, 0);
    rocksdb_ingest_external_file(rocks->db, names, count, options, &message);
    rocks_leave(rocks);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return answer(message, "tables cannot be taken in", error);
}

kh_status rocks_load(struct rocks *rocks, const struct rocks_table *tables, size_t table_count,
                     kh_error *error) {
    char names[ROCKS_LOAD_TABLES][NAME_BYTES];
    const char *list[ROCKS_LOAD_TABLES];
    kh_assert(table_count > 0 && table_count <= ROCKS_LOAD_TABLES);
    kh_status status = rocks_load_clear(rocks->path, error);
    for (size_t i = 0; i < table_count && status == KH_OK; i++) {
        name_of(rocks->path, i, names[i]);
        list[i] = names[i];
        status = write_table(rocks, names[i], &tables[i], error);
    }
    if (status == KH_OK) status = take_in(rocks, list, table_count, error);
    /* Names are still there also where a file system has no links and RocksDB has copied. */
    (void)rocks_load_clear(rocks->path, NULL);
    return status;
}

/* ---- one entry ------------------------------------------------------------------------------- */

/* Nothing but the file itself has failed. */
static kh_status unwritten(struct rocks *rocks, int code, kh_error *error) {
    (void)rocks_load_clear(rocks->path, NULL);
    return status_fail(error, code == ENOSPC || code == EDQUOT ? KH_NO_SPACE : KH_IO,
                       "a table cannot be written (errno %d)", code);
}

kh_status rocks_load_begin(struct rocks_lone_load *load, struct rocks *rocks, const void *key,
                           unsigned char *value, size_t value_bytes, size_t late_bytes,
                           kh_error *error) {
    char name[NAME_BYTES];
    *load = (struct rocks_lone_load){.rocks = rocks, .late_bytes = late_bytes};
    kh_status status = rocks_load_clear(rocks->path, error);
    if (status != KH_OK) return status;
    name_of(rocks->path, 0, name);
    int code = lone_begin(&load->lone, name, key, value, value_bytes, late_bytes);
    return code == 0 ? KH_OK : unwritten(rocks, code, error);
}

kh_status rocks_load_end(struct rocks_lone_load *load, kh_error *error) {
    char name[NAME_BYTES];
    const char *list[] = {name};
    int code = lone_end(&load->lone, load->late_bytes);
    if (code != 0) return unwritten(load->rocks, code, error);
    name_of(load->rocks->path, 0, name);
    kh_status status = take_in(load->rocks, list, 1, error);
    (void)rocks_load_clear(load->rocks->path, NULL);
    return status;
}
