/* env_file.h - files and directories, as far as a durable database touches them itself: its few
 * small files beside the log's store. Every function answers 0 or an errno, or a descriptor or a
 * negated errno. Paths are borrowed. Any thread. */
#ifndef KHONSU_BASE_ENV_FILE_H
#define KHONSU_BASE_ENV_FILE_H

#include "khonsu/status.h"
#include <stdbool.h>

/* Make a directory, with rights for its owner only; no failure when it is there already
 * (*is_new says which; NULL allowed). Makes the entry durable. */
int env_dir_make(const char *path, bool *is_new);
/* Is there anything in it? ENOENT, ENOTDIR as the system says. */
int env_dir_is_empty(const char *path, bool *is_empty);
/* Remove it, if it is empty; no failure when there is none. Not made durable. */
int env_dir_remove(const char *path);
/* Remove a file, a link, or a directory with all that is in it; no failure when there is none. Not
 * made durable. */
int env_tree_remove(const char *path);
/* Is path the directory, or below it, when every link is followed? Neither needs to exist: of a
 * path as much as there is of it counts. */
int env_path_is_within(const char *path, const char *directory, bool *is_within);
/* The nearest directory at or above path, by its real name, that has an entry of that name. ENOENT:
 * none has. */
int env_path_find_above(const char *path, const char *name, char out[4096]);
/* Make the directory's entries durable. */
int env_dir_sync(const char *path);
/* Is there anything of that name? Whoever makes one where there is none must know. */
int env_path_look(const char *path, bool *is_there);
/* For those that go on to read it: true also where the system does not say, since the reading then
 * meets the failure. */
bool env_path_exists(const char *path);

/* The path from the root on, without links: what a later change of the working directory leaves
 * alone. ENOENT: there is nothing of that name. */
int env_path_resolve(const char *path, char out[4096]);

enum env_open { ENV_READ, ENV_WRITE /* made if absent */, ENV_NEW /* EEXIST if not absent */ };
int env_open(const char *path, enum env_open how);
void env_close(int descriptor);
/* Exactly size_bytes: fewer in the file is ENODATA. */
int env_read_at(int descriptor, void *out, size_t size_bytes, uint64_t offset);
int env_write_at(int descriptor, const void *bytes, size_t size_bytes, uint64_t offset);
/* Contents and the size that is needed to read them are on disk when it answers 0. */
int env_sync(int descriptor);
/* What was written so far may begin to go to the disk; nothing is waited for or promised. */
void env_begin_sync(int descriptor);
int env_size(int descriptor, uint64_t *size_bytes);
/* Write a whole small file so that after a loss of power there is the old one or the new one. */
int env_replace(const char *directory, const char *name, kh_bytes contents);

/* Give a file or directory another name in the same directory; durable when it answers 0. */
int env_rename(const char *from, const char *to);
/* Take a file's name away; no failure when there is none. Not made durable. */
int env_remove(const char *path);

/* Take the lock file for this process, and write the process' number into it. EAGAIN: another open
 * holds it, in this process or another, *owner is the number that it left there (0: unreadable).
 * It is free again once the descriptor is closed in this process and in the children that were
 * forked from it without an exec. */
int env_lock(const char *path, uint64_t *owner);

/* The same without writing anything, shared with others that do so: while it is held env_lock
 * answers EAGAIN. ENOENT: there is no such file. */
int env_lock_shared(const char *path, uint64_t *owner);

/* Bytes that an ordinary user can still write in the file system of path. */
int env_free_bytes(const char *path, uint64_t *size_bytes);
/* For tests in KH_SLOW_CHECKS builds: what env_free_bytes says; UINT64_MAX: the system. */
#if defined(KH_SLOW_CHECKS)
void env_pretend_free_bytes(uint64_t size_bytes);
#else
static inline void env_pretend_free_bytes(uint64_t size_bytes) {
    (void)size_bytes;
}
#endif

#endif
