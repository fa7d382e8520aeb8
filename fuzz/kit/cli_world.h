/* cli_world.h - what the program's sources get instead of the world when they are fuzzed: included
 * before each of them, so that no argument can name a file of this machine.
 *
 * Reading opens one of three things in memory: a store ("s"), a file of rows ("v"), or, by any
 * other name, what the input brought along. What is written is kept, and the last of it can be had.
 */
#ifndef FUZZ_KIT_CLI_WORLD_H
#define FUZZ_KIT_CLI_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

extern FILE *world_in;  /* NULL: at its end */
extern FILE *world_out; /* standard output and standard error, thrown away */
extern bool world_is_terminal;

FILE *world_open(const char *path, const char *mode);
int world_close(FILE *file);
int world_rename(const char *from, const char *to);
int world_remove(const char *path);
int world_stat(const char *path, struct stat *out);
int world_isatty(int descriptor);
int khonsu_main(int argc, char *argv[]);

#if defined(FUZZ_CLI_SOURCE)
#undef stdin
#undef stdout
#undef stderr
#define stdin world_in
#define stdout world_out
#define stderr world_out
#define printf(...) fprintf(world_out, __VA_ARGS__)
#define fopen world_open
#define fclose world_close
#define rename world_rename
#define remove world_remove
#define stat(path, out) world_stat(path, out)
#define isatty world_isatty
#define main khonsu_main
#endif

#endif
