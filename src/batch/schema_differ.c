/* schema_differ.c - see schema_differ.h. The fields of both sides are walked together, and the
 * first difference is told: what comes behind it is often its consequence. Nothing allocates. */
#include "batch/schema_differ.h"

#include "batch/type_words.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 64, SHOWN_BYTES = 40 };

/* Where a column stands, from 1; 0: nowhere. */
static int place_of(const struct field *parent, const char *name) {
    for (int32_t i = 0; i < parent->child_count; i++)
        if (strcmp(parent->children[i].name, name) == 0) return i + 1;
    return 0;
}

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static void tell_absent(char *out, const char *which, const char *path, const char *name) {
    (void)snprintf(out, SCHEMA_DIFFER_BYTES, "the %s has no column \"%s%.*s\"", which, path,
                   SHOWN_BYTES, name);
}

/* The columns at one place have different names. */
static void tell_names(char *out, const struct field *first, const struct field *second, int32_t at,
                       const char *path) {
    const char *name = first->children[at].name;
    int there = place_of(second, name);
    if (there == 0) {
        tell_absent(out, "second", path, name);
    } else if (place_of(first, second->children[at].name) == 0) {
        tell_absent(out, "first", path, second->children[at].name);
    } else {
        (void)snprintf(out, SCHEMA_DIFFER_BYTES, "column \"%s%.*s\" is number %d and %d", path,
                       SHOWN_BYTES, name, (int)at + 1, there);
    }
}

/* What a column is by itself. False: in that, both are the same. */
static bool tell_column(char *out, const struct field *first, const struct field *second,
                        const char *path) {
    bool is_nullable = (first->flags & ARROW_FLAG_NULLABLE) != 0;
    char what[80];
    if ((first->dictionary == NULL) != (second->dictionary == NULL)) {
        (void)snprintf(what, sizeof what, "is a dictionary in the %s only",
                       first->dictionary != NULL ? "first" : "second");
    } else if (strcmp(first->format, second->format) != 0) {
        (void)snprintf(what, sizeof what, "is %.*s and %.*s", SHOWN_BYTES / 2 + 10,
                       type_words(first).text, SHOWN_BYTES / 2 + 10, type_words(second).text);
    } else if (is_nullable != ((second->flags & ARROW_FLAG_NULLABLE) != 0)) {
        (void)snprintf(what, sizeof what, "is nullable in the %s only",
                       is_nullable ? "first" : "second");
    } else if (first->flags != second->flags) {
        (void)snprintf(what, sizeof what, "has flags %d and %d", (int)first->flags,
                       (int)second->flags);
    } else {
        return false;
    }
    (void)snprintf(out, SCHEMA_DIFFER_BYTES, "column \"%s%.*s\" %s", path, SHOWN_BYTES, first->name,
                   what);
    return true;
}

static bool is_metadata_same(const struct field *first, const struct field *second) {
    return first->metadata_bytes == second->metadata_bytes &&
           (first->metadata_bytes == 0 ||
            memcmp(first->metadata, second->metadata, (size_t)first->metadata_bytes) == 0);
}

static bool tell_below(char *out, const struct field *first, const struct field *second,
                       const char *path);

static bool tell_child(char *out, const struct field *first, const struct field *second,
                       const char *path) {
    char below[PATH_BYTES];
    if (tell_column(out, first, second, path)) return true;
    if (snprintf(below, sizeof below, "%s%.*s.", path, SHOWN_BYTES, first->name) >=
        (int)sizeof below)
        (void)strcpy(below, "... ."); /* deep down: its own name is enough */
    if (tell_below(out, first, second, below)) return true;
    if (first->dictionary != NULL && tell_child(out, first->dictionary, second->dictionary, below))
        return true;
    if (is_metadata_same(first, second)) return false;
    (void)snprintf(out, SCHEMA_DIFFER_BYTES, "column \"%s%.*s\" has other metadata", path,
                   SHOWN_BYTES, first->name);
    return true;
}

static bool tell_below(char *out, const struct field *first, const struct field *second,
                       const char *path) {
    int32_t common = smaller(first->child_count, second->child_count);
    for (int32_t i = 0; i < common; i++) {
        const struct field *a = &first->children[i];
        const struct field *b = &second->children[i];
        if (strcmp(a->name, b->name) != 0) {
            tell_names(out, first, second, i, path);
            return true;
        }
        if (tell_child(out, a, b, path)) return true;
    }
    if (first->child_count == second->child_count) return false;
    if (first->child_count > common) {
        tell_absent(out, "second", path, first->children[common].name);
    } else {
        tell_absent(out, "first", path, second->children[common].name);
    }
    return true;
}

void schema_differ(const kh_schema *first, const kh_schema *second, char out[SCHEMA_DIFFER_BYTES]) {
    if (!tell_below(out, schema_root(first), schema_root(second), ""))
        (void)snprintf(out, SCHEMA_DIFFER_BYTES, "the metadata of the schemas differ");
}
