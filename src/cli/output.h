/* output.h - where a command's result goes, and in which form.
 *
 * Everything that a command shows is a record batch. On a terminal it becomes a table; piped, an
 * Arrow IPC stream; in a file (--to), an Arrow IPC file; with --json, one JSON object a row. */
#ifndef KHONSU_CLI_OUTPUT_H
#define KHONSU_CLI_OUTPUT_H

#include "file.h"
#include "options.h"
#include "table.h"

enum output_format { OUTPUT_AUTO = -1, OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_IPC, OUTPUT_IPC_FILE };

struct output {
    /* What was asked, by the options below; rows by the command. */
    int format;
    bool is_json;
    const char *to;
    uint64_t rows; /* a table shows so many of each value; 0: all */
    /* The rest is output.c's. */
    struct file_output file;
    size_t width;
    kh_ipc_writer *writer;
    kh_schema *table_schema;
    struct table table;
    uint64_t row_count;
    uint64_t shown_count;
};
#define OUTPUT_INIT(rows_shown)                                                                    \
    { .format = OUTPUT_AUTO, .rows = (rows_shown) }

#define OUTPUT_OPTIONS(output)                                                                     \
    {"format",                                                                                     \
     'f',                                                                                          \
     OPTION_CHOICE,                                                                                \
     "table|json|ipc|ipc-file",                                                                    \
     "default: table on a terminal, ipc (an Arrow stream)\nwhen piped, ipc-file with --to",        \
     &(output).format},                                                                            \
        {"json",           'j', OPTION_FLAG, NULL, "the same as --format json: an object a line",  \
         &(output).is_json},                                                                       \
        {"to",        'o', OPTION_TEXT, "FILE", "write to FILE rather than the standard output",   \
         &(output).to},                                                                            \
    {                                                                                              \
        "rows", 'r', OPTION_COUNT, "N", "rows that a table shows of each value; 0: all",           \
            &(output).rows                                                                         \
    }

/* All return an exit code, having complained. */
int output_open(struct output *output);
/* One value. key with data: tables and JSON say it with each row. */
int output_batch(struct output *output, kh_bytes key, const kh_batch *batch);
/* Finish what is open; returns code when it is a failure, which abandons the file. */
int output_close(struct output *output, int code);

/* Columns of the terminal on the standard output; 0: it is none. */
size_t output_terminal_width(void);

#endif
