/* load.h - an Arrow file into the directory of a durable database, cut into values by key and
 * stored in transactions of bounded size. */
#ifndef KHONSU_CLI_LOAD_H
#define KHONSU_CLI_LOAD_H

#include <khonsu.h>
#include <stdbool.h>

struct load_options {
    const char *from; /* "-": the standard input */
    const char *pattern;
    const char *path;
    uint64_t transaction_bytes;
    bool is_grouped; /* rows of a key follow one another: store while reading */
    bool is_ingesting; /* KH_OPEN_INGEST */
    bool is_quiet;
};

/* Returns an exit code, having complained. What was acknowledged before a failure stays. */
int load_file(const struct load_options *options);

#endif
