/* shim_names.c - the calls that change directories: rename, unlink, link, mkdir, rmdir, symlink.
 *
 * What a name stands for is asked before the call when it goes away, after it when it comes; the
 * lock keeps both together. A file that comes from outside of the root, by rename or link, is noted
 * and not followed: its content was never recorded. */
#include "shim.h"

#include <stdio.h>

NEXT(renameat2)
NEXT(unlinkat)
NEXT(linkat)
NEXT(mkdirat)
NEXT(symlinkat)

static void note_name(enum kind kind, const struct node *node, const struct spot *spot) {
    struct record record = {.kind = (uint16_t)kind,
                            .device = node->device,
                            .inode = node->inode,
                            .directory = spot->directory.inode};
    (void)trace_append(&record, spot->name, strlen(spot->name), NULL);
}

static size_t two_names(char text[TEXT_BYTES], const char *first, const char *second) {
    size_t before = strlen(first) + 1, after = strlen(second);
    memcpy(text, first, before);
    memcpy(text + before, second, after);
    return before + after;
}

static void note_renamed(const struct node *node, const struct spot *from, const struct spot *to,
                         unsigned flags) {
    char text[TEXT_BYTES];
    if (from->place != INSIDE) {
        trace_note("a file was renamed into the root from outside: what it holds is not known");
    } else if (to->place != INSIDE) {
        note_name(KIND_UNLINK, node, from);
    } else {
        struct record record = {.kind = KIND_RENAME,
                                .flags = (uint16_t)flags,
                                .device = node->device,
                                .inode = node->inode,
                                .directory = from->directory.inode,
                                .to_directory = to->directory.inode};
        (void)trace_append(&record, text, two_names(text, from->name, to->name), NULL);
    }
}

SHIM_CALL int renameat2(int from_directory, const char *from, int to_directory, const char *to,
                        unsigned flags) {
    struct spot old, new;
    struct node node;
    enum place old_place = trace_is_on() ? place_of_name(from_directory, from, &old) : ELSEWHERE;
    enum place new_place = trace_is_on() ? place_of_name(to_directory, to, &new) : ELSEWHERE;
    if (old_place != INSIDE && new_place != INSIDE)
        return next_renameat2()(from_directory, from, to_directory, to, flags);
    struct hold hold = trace_hold();
    (void)place_of_file(from_directory, from, AT_SYMLINK_NOFOLLOW, &node);
    int result = next_renameat2()(from_directory, from, to_directory, to, flags);
    hold.error = errno;
    if (result == 0) note_renamed(&node, &old, &new, flags);
    trace_release(&hold);
    return result;
}

SHIM_CALL int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    return renameat2(from_directory, from, to_directory, to, 0);
}

SHIM_CALL int rename(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

SHIM_CALL int unlinkat(int directory, const char *path, int flags) {
    struct spot spot;
    struct node node = {.inode = 0};
    if (!trace_is_on() || place_of_name(directory, path, &spot) != INSIDE)
        return next_unlinkat()(directory, path, flags);
    struct hold hold = trace_hold();
    (void)place_of_file(directory, path, AT_SYMLINK_NOFOLLOW, &node);
    int result = next_unlinkat()(directory, path, flags);
    hold.error = errno;
    if (result == 0) note_name(KIND_UNLINK, &node, &spot);
    trace_release(&hold);
    return result;
}

SHIM_CALL int unlink(const char *path) {
    return unlinkat(AT_FDCWD, path, 0);
}

SHIM_CALL int rmdir(const char *path) {
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

SHIM_CALL int remove(const char *path) {
    int result = unlink(path);
    return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

SHIM_CALL int linkat(int from_directory, const char *from, int to_directory, const char *to,
                     int flags) {
    struct spot spot;
    struct node node;
    if (!trace_is_on() || place_of_name(to_directory, to, &spot) != INSIDE)
        return next_linkat()(from_directory, from, to_directory, to, flags);
    struct hold hold = trace_hold();
    int follow = (flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : AT_SYMLINK_NOFOLLOW;
    enum place place = place_of_file(from_directory, from, follow | (flags & AT_EMPTY_PATH), &node);
    int result = next_linkat()(from_directory, from, to_directory, to, flags);
    hold.error = errno;
    if (result == 0 && place == INSIDE) note_name(KIND_LINK, &node, &spot);
    if (result == 0 && place != INSIDE) trace_note("a link to a file outside of the root");
    trace_release(&hold);
    return result;
}

SHIM_CALL int link(const char *from, const char *to) {
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

static void note_directory(int directory, const char *path, const struct spot *spot) {
    struct node node;
    if (place_of_file(directory, path, AT_SYMLINK_NOFOLLOW, &node) != INSIDE)
        shim_die("a directory without a place");
    struct record record = {.kind = (uint16_t)(spot->is_root ? KIND_ROOT : KIND_CREATE),
                            .flags = TYPE_DIRECTORY,
                            .device = node.device,
                            .inode = node.inode,
                            .directory = spot->directory.inode};
    (void)trace_append(&record, spot->name, strlen(spot->name), NULL);
}

SHIM_CALL int mkdirat(int directory, const char *path, mode_t mode) {
    struct spot spot;
    if (!trace_is_on() || (place_of_name(directory, path, &spot) != INSIDE && !spot.is_root))
        return next_mkdirat()(directory, path, mode);
    struct hold hold = trace_hold();
    int result = next_mkdirat()(directory, path, mode);
    hold.error = errno;
    if (result == 0) note_directory(directory, path, &spot);
    trace_release(&hold);
    return result;
}

SHIM_CALL int mkdir(const char *path, mode_t mode) {
    return mkdirat(AT_FDCWD, path, mode);
}

SHIM_CALL int symlinkat(const char *target, int directory, const char *path) {
    struct spot spot;
    struct node node;
    char text[NAME_MAX + PATH_BYTES + 2];
    if (!trace_is_on() || place_of_name(directory, path, &spot) != INSIDE)
        return next_symlinkat()(target, directory, path);
    struct hold hold = trace_hold();
    int result = next_symlinkat()(target, directory, path);
    hold.error = errno;
    if (result == 0 && place_of_file(directory, path, AT_SYMLINK_NOFOLLOW, &node) == INSIDE) {
        struct record record = {.kind = KIND_CREATE,
                                .flags = TYPE_SYMLINK,
                                .device = node.device,
                                .inode = node.inode,
                                .directory = spot.directory.inode};
        (void)trace_append(&record, text, two_names(text, spot.name, target), NULL);
    }
    trace_release(&hold);
    return result;
}

SHIM_CALL int symlink(const char *target, const char *path) {
    return symlinkat(target, AT_FDCWD, path);
}
