/* golden.c - databases to be kept for the versions to come, and what is in them as text.
 *
 *     khonsu-golden make            make them in the working directory
 *     khonsu-golden dump PATH       all that a database holds, opened for reading only: identity,
 *                                   head, records of the log, every version, what is prepared
 *     khonsu-golden settle PATH     opened for writing: the newest state; then what is prepared is
 *                                   committed, and a line says what that changed
 *
 * Values are shown by test/support/foreign_text.c, which reads Arrow arrays by hand. So the text
 * does not depend on how a version of the library encodes anything; a later version that reads
 * these files must show the same. */
#define _GNU_SOURCE
#include "golden/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void golden_must(bool is_true, const char *what, const kh_error *error) {
    if (is_true) return;
    (void)fprintf(stderr, "khonsu-golden: %s: %s\n", what, error == NULL ? "" : error->message);
    exit(1);
}

kh_db *golden_open(const char *path, uint32_t flags, uint64_t retention_ms) {
    kh_options options = KH_OPTIONS_INIT;
    kh_error error = {""};
    kh_db *db = NULL;
    options.path = path;
    options.flags = flags | KH_OPEN_NO_THREADS;
    options.retention_ms = retention_ms;
    golden_must(kh_db_open(&options, &db, &error) == KH_OK, path, &error);
    return db;
}

/* RocksDB writes the name of the machine into its tables: it gets this one. */
int gethostname(char *name, size_t size_bytes) {
    (void)snprintf(name, size_bytes, "khonsu");
    return 0;
}

int main(int argument_count, char **arguments) {
    if (argument_count == 2 && strcmp(arguments[1], "make") == 0) {
        golden_make();
    } else if (argument_count == 3 && strcmp(arguments[1], "dump") == 0) {
        golden_dump(arguments[2]);
    } else if (argument_count == 3 && strcmp(arguments[1], "settle") == 0) {
        golden_settle(arguments[2]);
    } else {
        (void)fprintf(stderr, "usage: khonsu-golden make | dump PATH | settle PATH\n");
        return 2;
    }
    return 0;
}
