/* file.h - files of Arrow IPC: read batch by batch, and written beside their place, then renamed,
 * so that a file that is there is whole and --to may name the same file as --from. */
#ifndef KHONSU_CLI_FILE_H
#define KHONSU_CLI_FILE_H

#include <khonsu.h>
#include <stdbool.h>
#include <stdio.h>

/* A file being written. "-" is the standard output; what is not a regular file is written in
 * place. */
struct file_output {
    FILE *stream;
    char *path;
    char *part; /* where it is written until it is whole; NULL: in place */
    int error;  /* errno of the first write that failed */
};

/* Exit codes (complain.h), having complained. */
int file_create(struct file_output *output, const char *path);
/* Flush, give it its name, and close. */
int file_finish(struct file_output *output);
/* Close and remove what was written. After finish or a failed create: nothing. */
void file_abandon(struct file_output *output);

/* Did a write to the standard output fail because its reader has gone away? Then nobody is left to
 * complain to, and it is no failure of ours. */
bool file_is_reader_gone(void);

/* 0 or an errno, which is kept for file_finish. */
int file_write(struct file_output *output, const void *bytes, size_t size_bytes);
kh_sink file_sink(struct file_output *output);
/* Complain that writing an output failed with that status; returns CLI_FAILED. */
int file_complain(const struct file_output *output, kh_status status, const kh_error *error);

/* Called for each batch, borrowed; an exit code other than 0 ends the reading. */
typedef int file_batch_fn(void *context, const kh_batch *batch);
/* Called once, before the batches. May be NULL. */
typedef int file_schema_fn(void *context, const kh_schema *schema);
/* Read an IPC file or stream ("-": the standard input). Returns an exit code, having complained. */
int file_read(kh_db *db, const char *path, file_schema_fn *on_schema, file_batch_fn *on_batch,
              void *context);
/* As file_read, but that on_schema opens the database: *db is looked at behind it. */
int file_read_into(kh_db *const *db, const char *path, file_schema_fn *on_schema,
                   file_batch_fn *on_batch, void *context);
/* All of it as one batch. *out is a reference. */
int file_read_whole(kh_db *db, const char *path, kh_batch **out);

/* Concatenate parts into one batch and release them; count at least 1. */
kh_status file_concat(kh_batch **parts, size_t count, kh_batch **out, kh_error *error);

#endif
