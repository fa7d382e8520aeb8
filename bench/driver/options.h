/* options.h - the command line of khonsu-bench. */
#ifndef BENCH_DRIVER_OPTIONS_H
#define BENCH_DRIVER_OPTIONS_H

#include "engine.h"

enum { THREADS_MAX = 64 };

struct options {
    const char *engine;
    const char *workload;
    const char *directory; /* where files of peers may lie; NULL: a memory file system if any */
    enum level level;
    enum row row;
    const char *path; /* the store lies in files there, which stay; NULL: in memory */
    enum durability durability;
    bool measures_latency;
    bool is_zipf;
    bool is_json;
    bool touches;    /* reads look at the number in the value */
    bool has_writer; /* scans beside a thread that transfers */
    bool has_reader; /* a snapshot stays open all the while */
    bool verifies;   /* look at every value afterwards, whatever the workload */
    bool lists;      /* say which engines there are, run nothing */
    uint64_t draws;  /* print so many of the first thread's, run nothing */
    uint64_t keys;
    uint64_t transactions; /* all threads together; 0: by time */
    uint64_t threads;
    uint64_t seed;
    uint64_t value_bytes;
    double seconds;
};

/* Ends the program with the usage when something is wrong. */
struct options options_parse(int count, char **arguments);

const char *level_name(enum level level);
/* memory, none or sync. */
const char *durability_name(enum durability durability);

#endif
