/* rocks.c - a RocksDB database under loss of power: a program of other people's syncs.
 *
 *     rocks write DIR PUTS sync|async    puts into DIR/db; each is acknowledged by the mark "put N"
 *     rocks check DIR ACKFILE            are all puts there that the file says?
 *
 * The buffer is small, so that logs, tables, manifests and options files come and go. async does
 * what RocksDB's documentation warns of: the log is written, and never synced. */
#include <rocksdb/c.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VALUE_BYTES_MAX = 3000, PATH_BYTES = 4096 };

static void must(char *error, const char *what) {
    if (error == NULL) return;
    fprintf(stderr, "%s: %s\n", what, error);
    exit(1);
}

static size_t make_value(unsigned number, char out[VALUE_BYTES_MAX]) {
    size_t bytes = 50 + number * 7919 % (VALUE_BYTES_MAX - 50);
    /* Bytes that no compression makes small. */
    unsigned state = number * 2654435761U + 1;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 1664525U + 1013904223U;
        out[i] = (char)(state >> 24);
    }
    return bytes;
}

static rocksdb_t *open_store(const char *directory, bool may_create) {
    char path[PATH_BYTES];
    char *error = NULL;
    (void)snprintf(path, sizeof path, "%s/db", directory);
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, may_create);
    rocksdb_options_set_write_buffer_size(options, 128 << 10);
    rocksdb_options_set_level0_file_num_compaction_trigger(options, 3);
    rocksdb_t *store = rocksdb_open(options, path, &error);
    must(error, "open");
    rocksdb_options_destroy(options);
    return store;
}

/* RocksDB makes its directory, and never syncs the one above: who wants to find a new database
 * again does that himself. */
static void make_directory(const char *above) {
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/db", above);
    int fd = open(above, O_RDONLY | O_DIRECTORY);
    if (mkdir(path, 0700) == 0 && fd >= 0 && fsync(fd) == 0 && close(fd) == 0) return;
    perror(path);
    exit(1);
}

static int write_all(const char *directory, unsigned puts, bool is_sync) {
    void (*mark)(const char *) = NULL;
    *(void **)&mark = dlsym(RTLD_DEFAULT, "powerloss_mark");
    if (mark == NULL) return 3;
    make_directory(directory);
    rocksdb_t *store = open_store(directory, true);
    rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(options, is_sync);
    for (unsigned number = 1; number <= puts; number++) {
        char value[VALUE_BYTES_MAX], key[32];
        char *error = NULL;
        size_t bytes = make_value(number, value);
        int key_bytes = snprintf(key, sizeof key, "key%06u", number);
        rocksdb_put(store, options, key, (size_t)key_bytes, value, bytes, &error);
        must(error, "put");
        (void)snprintf(key, sizeof key, "put %u", number);
        mark(key);
    }
    rocksdb_writeoptions_destroy(options);
    rocksdb_close(store);
    return 0;
}

static bool is_there(rocksdb_t *store, const rocksdb_readoptions_t *options, unsigned number) {
    char value[VALUE_BYTES_MAX], key[32];
    char *error = NULL;
    size_t bytes = make_value(number, value), found_bytes = 0;
    int key_bytes = snprintf(key, sizeof key, "key%06u", number);
    char *found = rocksdb_get(store, options, key, (size_t)key_bytes, &found_bytes, &error);
    must(error, "get");
    bool is_same = found != NULL && found_bytes == bytes && memcmp(found, value, bytes) == 0;
    rocksdb_free(found);
    return is_same;
}

static int check_all(const char *directory, const char *acks) {
    char line[64];
    int lost = 0;
    rocksdb_t *store = NULL;
    FILE *file = fopen(acks, "r");
    if (file == NULL) return 2;
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned number = (unsigned)strtoul(line + strlen("put "), NULL, 10);
        if (store == NULL) store = open_store(directory, false);
        if (is_there(store, options, number)) continue;
        printf("lost: put %u\n", number);
        lost++;
    }
    /* Nothing was promised yet; but what there is must not keep a database from being made. */
    if (store == NULL) store = open_store(directory, true);
    rocksdb_readoptions_destroy(options);
    rocksdb_close(store);
    (void)fclose(file);
    return lost == 0 ? 0 : 1;
}

int main(int count, char **arguments) {
    if (count == 5 && strcmp(arguments[1], "write") == 0)
        return write_all(arguments[2], (unsigned)strtoul(arguments[3], NULL, 10),
                         strcmp(arguments[4], "sync") == 0);
    if (count == 4 && strcmp(arguments[1], "check") == 0)
        return check_all(arguments[2], arguments[3]);
    return 2;
}
