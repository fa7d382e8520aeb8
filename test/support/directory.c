/* directory.c - see directory.h. Failures end the program: a test without its files is none. */
#define _GNU_SOURCE
#include "support/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(int is_true, const char *what, const char *path) {
    if (is_true) return;
    fprintf(stderr, "%s: %s\n", what, path);
    abort();
}

void directory_make(struct directory *directory) {
    const char *parent = getenv("TMPDIR");
    (void)snprintf(directory->path, sizeof directory->path, "%s/khonsu-test-XXXXXX",
                   parent != NULL ? parent : "/tmp");
    must(mkdtemp(directory->path) != NULL, "mkdtemp", directory->path);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void directory_remove(struct directory *directory) {
    must(nftw(directory->path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "remove",
         directory->path);
}

const char *directory_join(const struct directory *directory, const char *name) {
    static char path[2 * DIRECTORY_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", directory->path, name);
    return path;
}

static void copy_file(const char *from, const char *to) {
    char buffer[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(in >= 0 && out >= 0, "copy", from);
    for (ssize_t got = read(in, buffer, sizeof buffer); got > 0;
         got = read(in, buffer, sizeof buffer))
        must(write(out, buffer, (size_t)got) == got, "write", to);
    (void)close(in);
    (void)close(out);
}

void directory_copy(const struct directory *from, const struct directory *to) {
    DIR *entries = opendir(from->path);
    must(entries != NULL, "opendir", from->path);
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        struct directory source;
        struct directory target;
        struct stat status;
        (void)snprintf(source.path, sizeof source.path, "%.120s/%.120s", from->path, entry->d_name);
        (void)snprintf(target.path, sizeof target.path, "%.120s/%.120s", to->path, entry->d_name);
        must(stat(source.path, &status) == 0, "stat", source.path);
        if (S_ISDIR(status.st_mode)) {
            (void)mkdir(target.path, 0700);
            directory_copy(&source, &target);
        } else {
            copy_file(source.path, target.path);
        }
    }
    (void)closedir(entries);
}
