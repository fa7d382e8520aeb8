/* foreign.c - schemas and arrays of a producer that the library knows nothing of. */
#include "support/foreign.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int foreign_live;

const char *const foreign_types[] = {
    "n",
    "b",
    "c",
    "C",
    "s",
    "S",
    "i",
    "I",
    "l",
    "L",
    "e",
    "f",
    "g",
    "!l",
    "!u",
    "u",
    "z",
    "U",
    "Z",
    "vu",
    "vz",
    "w:0",
    "w:3",
    "w:16",
    "d:7,2,32",
    "d:17,0,64",
    "d:38,10",
    "d:76,-3,256",
    "tdD",
    "tdm",
    "tts",
    "ttm",
    "ttu",
    "ttn",
    "tss:",
    "tsm:UTC",
    "tsu:Europe/Rome",
    "tsn:+01:00",
    "tDs",
    "tDm",
    "tDu",
    "tDn",
    "tiM",
    "tiD",
    "tin",
    "+l[l]",
    "+l[!u]",
    "+L[u]",
    "+vl[u]",
    "+vL[i]",
    "+w:3[s]",
    "+w:0[l]",
    "+w:2[b]",
    "+s[l;u]",
    "+s[]",
    "!+s[!l;u]",
    "+s[+s[l;!b];vu]",
    "+m[!+s[!u;l]]",
    "+m[!+s[!i;+l[u]]]",
    "+us:3,7[l;u]",
    "+ud:0,5,100[l;u;n]",
    "+ud:1[+l[i]]",
    "c{u}",
    "C{l}",
    "s{vu}",
    "S{u}",
    "i{+s[l;u]}",
    "I{d:9,2}",
    "l{+l[u]}",
    "L{g}",
    "+r[!s;u]",
    "+r[!i;l]",
    "+r[!l;+l[u]]",
    "+l[+l[+l[i]]]",
    "+l[i{u}]",
    "+s[+r[!i;u];c{u}]",
    "+l[+us:0,1[l;b]]",
    "+l[+ud:0,1[l;vz]]",
    "+vl[+s[b;+vL[u]]]",
    "+r[!i;i{u}]",
    "+l[n]",
};
const int foreign_type_count = (int)(sizeof foreign_types / sizeof foreign_types[0]);

static void *allocate(size_t size_bytes) {
    void *block = calloc(1, size_bytes > 0 ? size_bytes : 1);
    assert(block != NULL);
    return block;
}

/* ---- schemas --------------------------------------------------------------------------------- */

static void release_schema(struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release != NULL) schema->children[i]->release(schema->children[i]);
        free(schema->children[i]);
    }
    if (schema->dictionary != NULL) {
        if (schema->dictionary->release != NULL) schema->dictionary->release(schema->dictionary);
        free(schema->dictionary);
    }
    free(schema->children);
    free((void *)(uintptr_t)schema->format);
    free((void *)(uintptr_t)schema->name);
    free((void *)(uintptr_t)schema->metadata);
    foreign_live--;
    memset(schema, 0xA5, sizeof *schema);
    schema->release = NULL;
}

static char *copy_string(const char *text, size_t length) {
    char *copy = allocate(length + 1);
    memcpy(copy, text, length);
    return copy;
}

static void add_child(struct ArrowSchema *parent, struct ArrowSchema *child) {
    size_t count = (size_t)parent->n_children + 1;
    parent->children = realloc(parent->children, count * sizeof(struct ArrowSchema *));
    assert(parent->children != NULL);
    parent->children[parent->n_children++] = child;
}

static const char *parse_type(struct ArrowSchema *out, const char *type, const char *name) {
    size_t length;
    memset(out, 0, sizeof *out);
    out->flags = ARROW_FLAG_NULLABLE;
    out->release = release_schema;
    out->name = copy_string(name, strlen(name));
    foreign_live++;
    if (*type == '!') {
        out->flags = 0;
        type++;
    }
    length = strcspn(type, "[]{};");
    out->format = copy_string(type, length);
    type += length;
    if (*type == '[') {
        type++;
        for (int i = 0; *type != ']'; i++) {
            char child_name[] = {'f', (char)('0' + i), '\0'};
            struct ArrowSchema *child = allocate(sizeof *child);
            type = parse_type(child, type, child_name);
            add_child(out, child);
            if (*type == ';') type++;
        }
        type++;
    }
    if (*type == '{') {
        out->dictionary = allocate(sizeof *out->dictionary);
        type = parse_type(out->dictionary, type + 1, "");
        assert(*type == '}');
        type++;
    }
    return type;
}

void foreign_schema(struct ArrowSchema *out, const char *type) {
    const char *end = parse_type(out, type, "");
    assert(*end == '\0');
    (void)end;
}

void foreign_columns(struct ArrowSchema *out, const char *const *columns, int64_t count) {
    foreign_schema(out, "!+s");
    for (int64_t i = 0; i < count; i++) {
        const char *equals = strchr(columns[i], '=');
        char *name = copy_string(columns[i], (size_t)(equals - columns[i]));
        struct ArrowSchema *child = allocate(sizeof *child);
        (void)parse_type(child, equals + 1, name);
        add_child(out, child);
        free(name);
    }
}

void foreign_table(struct ArrowSchema *out, const char *type) {
    char *column = allocate(strlen(type) + 3);
    const char *columns[1] = {column};
    memcpy(column, "c=", 2);
    memcpy(column + 2, type, strlen(type));
    foreign_columns(out, columns, 1);
    free(column);
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static void release_array(struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_buffers; i++)
        if (array->buffers[i] != array->private_data) free((void *)(uintptr_t)array->buffers[i]);
    free(array->buffers);
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release != NULL) array->children[i]->release(array->children[i]);
        free(array->children[i]);
    }
    free(array->children);
    if (array->dictionary != NULL) {
        if (array->dictionary->release != NULL) array->dictionary->release(array->dictionary);
        free(array->dictionary);
    }
    foreign_live--;
    memset(array, 0xA5, sizeof *array);
    array->release = NULL;
}

void foreign_array(struct ArrowArray *out, int64_t length, int64_t buffer_count,
                   int64_t child_count, bool has_dictionary) {
    memset(out, 0, sizeof *out);
    out->length = length;
    out->n_buffers = buffer_count;
    out->n_children = child_count;
    out->buffers = allocate((size_t)buffer_count * sizeof(void *));
    out->children = allocate((size_t)child_count * sizeof(struct ArrowArray *));
    for (int64_t i = 0; i < child_count; i++)
        out->children[i] = allocate(sizeof(struct ArrowArray));
    if (has_dictionary) out->dictionary = allocate(sizeof(struct ArrowArray));
    out->release = release_array;
    foreign_live++;
}

void foreign_buffer(struct ArrowArray *array, int64_t index, const void *bytes, size_t size_bytes) {
    void *copy = allocate(size_bytes);
    if (size_bytes > 0 && bytes != NULL) memcpy(copy, bytes, size_bytes);
    free((void *)(uintptr_t)array->buffers[index]);
    array->buffers[index] = copy;
}

void foreign_borrow(struct ArrowArray *array, int64_t index, void *bytes) {
    free((void *)(uintptr_t)array->buffers[index]);
    array->buffers[index] = bytes;
    array->private_data = bytes;
}

void foreign_slice(struct ArrowArray *array, int64_t row, int64_t length) {
    assert(row + length <= array->length);
    array->offset += row;
    array->length = length;
}
