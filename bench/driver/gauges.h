/* gauges.h - what the operating system and valgrind can tell, and a place for peers' files. */
#ifndef BENCH_DRIVER_GAUGES_H
#define BENCH_DRIVER_GAUGES_H

#include <stdint.h>
#include <time.h>

double clock_seconds(clockid_t clock);
uint64_t clock_nanoseconds(void); /* monotonic */
uint64_t resident_bytes(void);
/* What this process has handed to system calls that write, all threads; 0: not told here. Pages
 * that are written through a map are not among them. */
uint64_t written_bytes(void);
void sleep_seconds(double seconds);

/* Between these callgrind counts instructions, of all threads; otherwise they do nothing. */
void instruction_count_begin(void);
void instruction_count_end(void);

/* An empty directory under parent (NULL: a memory file system if there is one), removed with what
 * it holds when the program ends, also by a signal. Call it before any thread is made. */
const char *scratch_directory(const char *parent);

/* An empty directory "store" in the directory path, which is made when it is not there. What it
 * held is removed first; the rest of path must be empty, so that a wrong path costs nobody his
 * files. It stays. */
const char *kept_directory(const char *path);

#endif
