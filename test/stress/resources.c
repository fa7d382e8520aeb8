/* resources.c - what the process holds, as the kernel counts it. */
#include "stress.h"

#include <dirent.h>
#include <unistd.h>

static int count_entries(const char *path) {
    DIR *directory = opendir(path);
    int count = 0;
    if (directory == NULL) return -1;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(directory);
    return count;
}

int count_threads(void) {
    return count_entries("/proc/self/task");
}

/* The directory's own descriptor is always one of them. */
int count_descriptors(void) {
    return count_entries("/proc/self/fd");
}

uint64_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long long whole = 0;
    unsigned long long resident = 0;
    if (file == NULL) return 0;
    int fields = fscanf(file, "%llu %llu", &whole, &resident);
    (void)fclose(file);
    return fields == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
