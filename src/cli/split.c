/* split.c - cutting batches into values by key.
 *
 * Happy path: the columns of the pattern are found; where a row's differ from those of the row
 * before, its key is written as text and looked up in a hash table of groups; when the batch is
 * through, each group that got runs of its rows takes them as one part. Parts are concatenated when
 * the value is asked for, or given away. */
#include "split.h"

#include "complain.h"
#include "file.h"
#include "heap.h"
#include "repeat.h"
#include "value.h"

#include <stdlib.h>
#include <string.h>

struct piece {
    char *text; /* literal, or the column's name */
    bool is_column;
    size_t digits;  /* fill with zeros to so many */
    char *for_null; /* NULL: a null is an error */
    int64_t column; /* in the batch at hand */
    struct repeat repeat;
};

struct run {
    int64_t start;
    int64_t length;
};

struct group {
    kh_bytes key;
    struct run *runs; /* of the batch at hand */
    size_t run_count;
    size_t run_capacity;
    int64_t row_count;
    kh_batch **parts;
    size_t part_count;
};

struct split {
    struct piece *pieces;
    size_t piece_count;
    struct group *groups;
    size_t group_count;
    size_t group_capacity;
    uint32_t *slots; /* index of a group + 1, or 0 */
    size_t slot_count;
    size_t *touched; /* groups with rows of the batch at hand */
    size_t touched_count;
    size_t newest;      /* the group of the row before */
    size_t given_count; /* groups whose values were given away */
    int64_t batch_rows_before;
};

static struct piece *add_piece(struct split *split, const char *bytes, size_t size) {
    split->pieces = heap_resize(split->pieces, split->piece_count + 1, sizeof *split->pieces);
    struct piece *piece = &split->pieces[split->piece_count++];
    *piece = (struct piece){.text = heap_copy(bytes, size), .column = -1};
    return piece;
}

/* The part of the pattern between braces: NAME, NAME:DIGITS, NAME|FOR_NULL. */
static bool parse_column(struct split *split, const char *bytes, size_t size) {
    size_t name_size = 0;
    while (name_size < size && bytes[name_size] != ':' && bytes[name_size] != '|') {
        ++name_size;
    }
    if (name_size == 0) {
        return false;
    }
    struct piece *piece = add_piece(split, bytes, name_size);
    piece->is_column = true;
    size_t at = name_size;
    if (at < size && bytes[at] == ':') {
        ++at;
        if (at == size || bytes[at] < '1' || bytes[at] > '9') {
            return false;
        }
        piece->digits = (size_t)(bytes[at++] - '0');
    }
    if (at < size && bytes[at] == '|') {
        piece->for_null = heap_copy(bytes + at + 1, size - at - 1);
        at = size;
    }
    return at == size;
}

static bool parse_pattern(struct split *split, const char *pattern) {
    struct text literal = {NULL, 0, 0};
    bool is_good = true;
    const char *at = pattern;
    while (is_good && *at != '\0') {
        if ((*at == '{' || *at == '}') && at[1] == *at) {
            text_add_char(&literal, *at);
            at += 2;
        } else if (*at == '{') {
            const char *end = strchr(at, '}');
            if (literal.size > 0) {
                (void)add_piece(split, literal.bytes, literal.size);
                text_clear(&literal);
            }
            is_good = end != NULL && parse_column(split, at + 1, (size_t)(end - at - 1));
            at = is_good ? end + 1 : at;
        } else {
            is_good = *at != '}';
            text_add_char(&literal, *at++);
        }
    }
    if (is_good && literal.size > 0) {
        (void)add_piece(split, literal.bytes, literal.size);
    }
    text_free(&literal);
    return is_good && split->piece_count > 0;
}

int split_create(const char *pattern, struct split **out) {
    struct split *split = heap_allocate(1, sizeof *split);
    if (!parse_pattern(split, pattern)) {
        split_free(split);
        return complain(CLI_USAGE,
                        "'%s' is no key pattern: write columns in braces, as in "
                        "'flights/{day}/{carrier}'",
                        pattern);
    }
    split->slot_count = 1024;
    split->slots = heap_allocate(split->slot_count, sizeof *split->slots);
    *out = split;
    return CLI_OK;
}

static uint64_t hash(kh_bytes key) {
    uint64_t state = 0xCBF29CE484222325u; /* FNV-1a */
    const unsigned char *bytes = key.data;
    for (size_t i = 0; i < key.size_bytes; ++i) {
        state = (state ^ bytes[i]) * 0x100000001B3u;
    }
    return state ^ state >> 32;
}

static bool is_same(kh_bytes a, kh_bytes b) {
    return a.size_bytes == b.size_bytes && memcmp(a.data, b.data, a.size_bytes) == 0;
}

static size_t slot_of(const struct split *split, kh_bytes key) {
    size_t slot = hash(key) & (split->slot_count - 1);
    while (split->slots[slot] != 0 && !is_same(split->groups[split->slots[slot] - 1].key, key)) {
        slot = (slot + 1) & (split->slot_count - 1);
    }
    return slot;
}

static void grow(struct split *split) {
    free(split->slots);
    split->slot_count *= 2;
    split->slots = heap_allocate(split->slot_count, sizeof *split->slots);
    for (size_t i = 0; i < split->group_count; ++i) {
        split->slots[slot_of(split, split->groups[i].key)] = (uint32_t)i + 1;
    }
}

static size_t group_of(struct split *split, kh_bytes key) {
    size_t slot = slot_of(split, key);
    if (split->slots[slot] != 0) {
        return split->slots[slot] - 1;
    }
    if (split->group_count == split->group_capacity) {
        split->group_capacity = split->group_capacity == 0 ? 256 : split->group_capacity * 2;
        split->groups = heap_resize(split->groups, split->group_capacity, sizeof *split->groups);
        split->touched = heap_resize(split->touched, split->group_capacity, sizeof(size_t));
    }
    size_t index = split->group_count++;
    kh_bytes own = {heap_copy(key.data, key.size_bytes), key.size_bytes};
    split->groups[index] = (struct group){.key = own};
    split->slots[slot] = (uint32_t)index + 1;
    if (split->group_count * 2 > split->slot_count) {
        grow(split);
    }
    return index;
}

static void add_row(struct split *split, size_t index, int64_t row) {
    struct group *group = &split->groups[index];
    if (group->run_count == 0) {
        split->touched[split->touched_count++] = index;
    }
    struct run *last = group->run_count == 0 ? NULL : &group->runs[group->run_count - 1];
    group->row_count += 1;
    if (last != NULL && last->start + last->length == row) {
        last->length += 1;
        return;
    }
    if (group->run_count == group->run_capacity) {
        group->run_capacity = group->run_capacity == 0 ? 1 : group->run_capacity * 2;
        group->runs = heap_resize(group->runs, group->run_capacity, sizeof *group->runs);
    }
    group->runs[group->run_count++] = (struct run){row, 1};
}

int split_check(struct split *split, const kh_schema *schema) {
    for (size_t i = 0; i < split->piece_count; ++i) {
        struct piece *piece = &split->pieces[i];
        if (!piece->is_column) {
            continue;
        }
        piece->column = kh_schema_find(schema, piece->text);
        if (piece->column >= 0) {
            continue;
        }
        struct text names = {NULL, 0, 0};
        for (int64_t c = 0; c < kh_schema_column_count(schema); ++c) {
            text_printf(&names, "%s%s", c > 0 ? ", " : "", kh_schema_column_name(schema, c));
        }
        (void)complain(CLI_FAILED, "the key pattern names the column {%s}, but there are only: %s",
                       piece->text, names.bytes == NULL ? "none" : names.bytes);
        text_free(&names);
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int append_key(const struct split *split, struct text *key, const struct ArrowSchema *schema,
                      const struct ArrowArray *array, int64_t row) {
    text_clear(key);
    for (size_t i = 0; i < split->piece_count; ++i) {
        const struct piece *piece = &split->pieces[i];
        if (!piece->is_column) {
            text_add(key, piece->text);
            continue;
        }
        const struct ArrowSchema *type = schema->children[piece->column];
        const struct ArrowArray *column = array->children[piece->column];
        int64_t at = row + array->offset;
        if (value_is_null(type, column, at)) {
            if (piece->for_null == NULL) {
                return complain(CLI_FAILED,
                                "row %lld has no %s to put into its key: say what stands for "
                                "NULL, as in {%s|none}",
                                (long long)(split->batch_rows_before + row), piece->text,
                                piece->text);
            }
            text_add(key, piece->for_null);
            continue;
        }
        size_t before = key->size;
        value_append(key, type, column, at, VALUE_PLAIN);
        for (size_t have = key->size - before; have < piece->digits; ++have) {
            text_add_char(key, '0');
            memmove(key->bytes + before + 1, key->bytes + before, key->size - before - 1);
            key->bytes[before] = '0';
        }
    }
    return CLI_OK;
}

static kh_status take_part(const kh_batch *batch, const struct group *group, kh_batch **out,
                           kh_error *error) {
    if (group->run_count == 1) {
        return kh_batch_slice(batch, group->runs[0].start, group->runs[0].length, out, error);
    }
    int64_t *rows = heap_allocate((size_t)group->row_count, sizeof *rows);
    size_t count = 0;
    for (size_t i = 0; i < group->run_count; ++i) {
        for (int64_t row = 0; row < group->runs[i].length; ++row) {
            rows[count++] = group->runs[i].start + row;
        }
    }
    kh_status status = kh_batch_take(batch, rows, group->row_count, out, error);
    free(rows);
    return status;
}

static int take_rows(struct split *split, const kh_batch *batch) {
    for (size_t i = 0; i < split->touched_count; ++i) {
        struct group *group = &split->groups[split->touched[i]];
        kh_error error = {""};
        kh_batch *part = NULL;
        kh_status status = take_part(batch, group, &part, &error);
        if (status != KH_OK) {
            return complain_status("split", status, &error);
        }
        group->parts = heap_resize(group->parts, group->part_count + 1, sizeof *group->parts);
        group->parts[group->part_count++] = part;
        group->run_count = 0;
        group->row_count = 0;
    }
    return CLI_OK;
}

static bool is_repeat(const struct split *split, int64_t row) {
    if (row == 0) {
        return false;
    }
    for (size_t i = 0; i < split->piece_count; ++i) {
        const struct piece *piece = &split->pieces[i];
        if (piece->is_column && !repeat_is_same(&piece->repeat, row)) {
            return false;
        }
    }
    return true;
}

static int take_row(struct split *split, struct text *key, const struct ArrowSchema *schema,
                    const struct ArrowArray *array, int64_t row) {
    if (!is_repeat(split, row)) {
        int code = append_key(split, key, schema, array, row);
        if (code != CLI_OK) {
            return code;
        }
        split->newest = group_of(split, text_bytes(key));
        if (split->newest < split->given_count) {
            return complain(CLI_FAILED,
                            "row %lld has the key %s again, whose rows were stored already: the "
                            "file is not grouped",
                            (long long)(split->batch_rows_before + row), key->bytes);
        }
    }
    add_row(split, split->newest, row);
    return CLI_OK;
}

int split_batch(struct split *split, const kh_batch *batch) {
    int code = split_check(split, kh_batch_schema(batch));
    if (code != CLI_OK) {
        return code;
    }
    kh_error error = {""};
    struct ArrowSchema schema;
    struct ArrowArray array;
    kh_status status = kh_batch_export(batch, &array, &schema, &error);
    if (status != KH_OK) {
        return complain_status("split", status, &error);
    }
    for (size_t i = 0; i < split->piece_count; ++i) {
        struct piece *piece = &split->pieces[i];
        if (piece->is_column) {
            piece->repeat =
                repeat_of(schema.children[piece->column], array.children[piece->column]);
        }
    }
    struct text key = {NULL, 0, 0};
    split->touched_count = 0;
    for (int64_t row = 0; row < array.length && code == CLI_OK; ++row) {
        code = take_row(split, &key, &schema, &array, row);
    }
    split->batch_rows_before += array.length;
    text_free(&key);
    array.release(&array);
    schema.release(&schema);
    return code == CLI_OK ? take_rows(split, batch) : code;
}

size_t split_key_count(const struct split *split) {
    return split->group_count;
}

kh_bytes split_key(const struct split *split, size_t index) {
    return split->groups[index].key;
}

int split_value(struct split *split, size_t index, const kh_batch **out) {
    struct group *group = &split->groups[index];
    kh_error error = {""};
    kh_batch *whole = NULL;
    size_t count = group->part_count;
    group->part_count = 0;
    kh_status status = file_concat(group->parts, count, &whole, &error);
    if (status != KH_OK) {
        return complain_status("split", status, &error);
    }
    group->parts[0] = whole;
    group->part_count = 1;
    *out = whole;
    return CLI_OK;
}

int split_give(struct split *split, bool is_end, split_value_fn *give, void *context) {
    size_t end = is_end || split->group_count == 0 ? split->group_count : split->newest;
    for (; split->given_count < end; ++split->given_count) {
        const kh_batch *value = NULL;
        struct group *group = &split->groups[split->given_count];
        int code = split_value(split, split->given_count, &value);
        if (code == CLI_OK) {
            code = give(context, group->key, value);
            kh_batch_release(group->parts[0]);
            free(group->parts);
            free(group->runs);
            group->parts = NULL;
            group->runs = NULL;
            group->part_count = 0;
        }
        if (code != CLI_OK) {
            return code;
        }
    }
    return CLI_OK;
}

void split_free(struct split *split) {
    if (split == NULL) {
        return;
    }
    for (size_t i = 0; i < split->piece_count; ++i) {
        free(split->pieces[i].text);
        free(split->pieces[i].for_null);
    }
    for (size_t i = 0; i < split->group_count; ++i) {
        struct group *group = &split->groups[i];
        for (size_t part = 0; part < group->part_count; ++part) {
            kh_batch_release(group->parts[part]);
        }
        free(group->parts);
        free(group->runs);
        free((void *)(uintptr_t)group->key.data);
    }
    free(split->pieces);
    free(split->groups);
    free(split->slots);
    free(split->touched);
    free(split);
}
