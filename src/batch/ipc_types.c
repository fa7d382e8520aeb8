/* ipc_types.c - Arrow's types between their two notations: the format strings of the C Data
 * Interface and the tables of the Type union of Schema.fbs.
 *
 * Types without free parameters stand in one table that serves both directions. Failure: a type
 * number or parameter that Arrow does not have is KH_CORRUPT, one that this version does not
 * know is KH_UNSUPPORTED. */
#include "batch/ipc_wire.h"

#include "base/status.h"
#include "batch/raw.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPE_NULL = 1,
    TYPE_INT,
    TYPE_FLOAT,
    TYPE_BINARY,
    TYPE_UTF8,
    TYPE_BOOL,
    TYPE_DECIMAL,
    TYPE_DATE,
    TYPE_TIME,
    TYPE_TIMESTAMP,
    TYPE_INTERVAL,
    TYPE_LIST,
    TYPE_STRUCT,
    TYPE_UNION,
    TYPE_FIXED_BINARY,
    TYPE_FIXED_LIST,
    TYPE_MAP,
    TYPE_DURATION,
    TYPE_LARGE_BINARY,
    TYPE_LARGE_UTF8,
    TYPE_LARGE_LIST,
    TYPE_RUN_END,
    TYPE_BINARY_VIEW,
    TYPE_UTF8_VIEW,
    TYPE_LIST_VIEW,
    TYPE_LARGE_LIST_VIEW,
    TYPE_END
};

/* Widths and defaults of the first two fields of each type's table (width 0: no such field). */
struct shape {
    uint8_t widths[2];
    int8_t defaults[2];
};
static const struct shape shapes[TYPE_END] = {
    [TYPE_INT] = {{4, 1}, {0, 0}},          /* bitWidth, is_signed */
    [TYPE_FLOAT] = {{2, 0}, {0, 0}},        /* precision */
    [TYPE_DATE] = {{2, 0}, {1, 0}},         /* unit */
    [TYPE_TIME] = {{2, 4}, {1, 32}},        /* unit, bitWidth */
    [TYPE_INTERVAL] = {{2, 0}, {0, 0}},     /* unit */
    [TYPE_DURATION] = {{2, 0}, {1, 0}},     /* unit */
    [TYPE_TIMESTAMP] = {{2, 0}, {0, 0}},    /* unit; timezone is a text */
    [TYPE_FIXED_BINARY] = {{4, 0}, {0, 0}}, /* byteWidth */
    [TYPE_FIXED_LIST] = {{4, 0}, {0, 0}},   /* listSize */
    [TYPE_MAP] = {{1, 0}, {0, 0}},          /* keysSorted */
    [TYPE_UNION] = {{2, 0}, {0, 0}},        /* mode; typeIds is a vector */
    [TYPE_DECIMAL] = {{4, 4}, {0, 0}},      /* precision, scale; bitWidth is a third */
};

static const struct plain {
    char format[4];
    uint8_t type;
    uint8_t values[2];
} plain_types[] = {
    {"n", TYPE_NULL, {0}},           {"b", TYPE_BOOL, {0}},
    {"c", TYPE_INT, {8, 1}},         {"C", TYPE_INT, {8, 0}},
    {"s", TYPE_INT, {16, 1}},        {"S", TYPE_INT, {16, 0}},
    {"i", TYPE_INT, {32, 1}},        {"I", TYPE_INT, {32, 0}},
    {"l", TYPE_INT, {64, 1}},        {"L", TYPE_INT, {64, 0}},
    {"e", TYPE_FLOAT, {0}},          {"f", TYPE_FLOAT, {1}},
    {"g", TYPE_FLOAT, {2}},          {"z", TYPE_BINARY, {0}},
    {"Z", TYPE_LARGE_BINARY, {0}},   {"u", TYPE_UTF8, {0}},
    {"U", TYPE_LARGE_UTF8, {0}},     {"vz", TYPE_BINARY_VIEW, {0}},
    {"vu", TYPE_UTF8_VIEW, {0}},     {"tdD", TYPE_DATE, {0}},
    {"tdm", TYPE_DATE, {1}},         {"tts", TYPE_TIME, {0, 32}},
    {"ttm", TYPE_TIME, {1, 32}},     {"ttu", TYPE_TIME, {2, 64}},
    {"ttn", TYPE_TIME, {3, 64}},     {"tDs", TYPE_DURATION, {0}},
    {"tDm", TYPE_DURATION, {1}},     {"tDu", TYPE_DURATION, {2}},
    {"tDn", TYPE_DURATION, {3}},     {"tiM", TYPE_INTERVAL, {0}},
    {"tiD", TYPE_INTERVAL, {1}},     {"tin", TYPE_INTERVAL, {2}},
    {"+s", TYPE_STRUCT, {0}},        {"+l", TYPE_LIST, {0}},
    {"+L", TYPE_LARGE_LIST, {0}},    {"+vl", TYPE_LIST_VIEW, {0}},
    {"+vL", TYPE_LARGE_LIST_VIEW, {0}}, {"+r", TYPE_RUN_END, {0}},
};
#define PLAIN_COUNT (sizeof plain_types / sizeof plain_types[0])

static const char time_units[] = "smun";

static size_t put_values(struct ipc_buffer *out, size_t base, uint8_t type, int64_t first,
                         int64_t second) {
    const struct shape *shape = &shapes[type];
    struct flat_field fields[2] = {{.field = 0, .width = shape->widths[0], .value = first},
                                   {.field = 1, .width = shape->widths[1], .value = second}};
    unsigned count = shape->widths[0] == 0 ? 0 : shape->widths[1] == 0 ? 1 : 2;
    return flat_put_table(out, base, fields, count);
}

static size_t put_timestamp(struct ipc_buffer *out, size_t base, const char *format) {
    const char *unit = strchr(time_units, format[2]);
    const char *zone = format + 4;
    struct flat_field fields[2] = {{.field = 0, .width = 2, .value = unit - time_units},
                                   {.field = 1, .width = FLAT_REF}};
    size_t table = flat_put_table(out, base, fields, *zone == '\0' ? 1 : 2);
    if (*zone != '\0')
        flat_refer(out, fields[1].at, flat_put_text(out, base, zone, strlen(zone)));
    return table;
}

static size_t put_decimal(struct ipc_buffer *out, size_t base, const char *format) {
    char *end;
    long precision = strtol(format + 2, &end, 10);
    long scale = strtol(end + 1, &end, 10);
    long bits = *end == ',' ? strtol(end + 1, NULL, 10) : 128;
    struct flat_field fields[3] = {{.field = 0, .width = 4, .value = precision},
                                   {.field = 1, .width = 4, .value = scale},
                                   {.field = 2, .width = 4, .value = bits}};
    return flat_put_table(out, base, fields, 3);
}

static size_t put_union(struct ipc_buffer *out, size_t base, const struct field *field) {
    bool is_dense = field->layout == LAYOUT_DENSE_UNION;
    struct flat_field fields[2] = {{.field = 0, .width = 2, .value = is_dense},
                                   {.field = 1, .width = FLAT_REF}};
    size_t table = flat_put_table(out, base, fields, 2);
    size_t codes = flat_put_vector(out, base, (size_t)field->child_count, 4);
    flat_refer(out, fields[1].at, codes);
    for (int32_t code = 0; code < 128 && !out->is_failed; code++)
        if (field->union_code_to_child[code] >= 0)
            memcpy(out->bytes + codes + 4 + 4 * field->union_code_to_child[code], &code, 4);
    return table;
}

size_t ipc_type_put(struct ipc_buffer *out, size_t base, const struct field *field,
                    uint8_t *type) {
    const char *format = field->format;
    for (size_t i = 0; i < PLAIN_COUNT; i++)
        if (strncmp(plain_types[i].format, format, 4) == 0) {
            *type = plain_types[i].type;
            return put_values(out, base, *type, plain_types[i].values[0],
                              plain_types[i].values[1]);
        }
    if (strncmp(format, "w:", 2) == 0) {
        *type = TYPE_FIXED_BINARY;
        return put_values(out, base, *type, field->bits / 8, 0);
    }
    if (strncmp(format, "+w:", 3) == 0) {
        *type = TYPE_FIXED_LIST;
        return put_values(out, base, *type, field->list_size, 0);
    }
    if (strcmp(format, "+m") == 0) {
        *type = TYPE_MAP;
        return put_values(out, base, *type, (field->flags & ARROW_FLAG_MAP_KEYS_SORTED) != 0, 0);
    }
    if (strncmp(format, "ts", 2) == 0) {
        *type = TYPE_TIMESTAMP;
        return put_timestamp(out, base, format);
    }
    if (strncmp(format, "d:", 2) == 0) {
        *type = TYPE_DECIMAL;
        return put_decimal(out, base, format);
    }
    kh_assert(strncmp(format, "+u", 2) == 0);
    *type = TYPE_UNION;
    return put_union(out, base, field);
}

size_t ipc_type_put_index(struct ipc_buffer *out, size_t base, const struct field *field) {
    return put_values(out, base, TYPE_INT, field->bits, field->is_signed);
}

static kh_status format_text(struct arena *arena, const char *text, size_t size_bytes,
                             const char **format, kh_error *error) {
    char *copy = arena_alloc(arena, size_bytes + 1);
    if (copy == NULL)
        return status_no_memory(error, size_bytes);
    memcpy(copy, text, size_bytes);
    copy[size_bytes] = '\0';
    *format = copy;
    return KH_OK;
}

static kh_status bad_type(kh_error *error, int64_t type) {
    return status_fail(error, KH_CORRUPT, "IPC: parameters of type %lld are malformed",
                       (long long)type);
}

static kh_status read_timestamp(const struct flat_table *table, int64_t unit,
                                struct arena *arena, const char **format, kh_error *error) {
    kh_bytes zone;
    if (unit < 0 || unit > 3 || !flat_text(table, 1, &zone) || zone.size_bytes > LIMIT_SCHEMA_BYTES)
        return bad_type(error, TYPE_TIMESTAMP);
    if (zone.size_bytes > 0 && memchr(zone.data, 0, zone.size_bytes) != NULL)
        return bad_type(error, TYPE_TIMESTAMP);
    char *text = arena_alloc(arena, zone.size_bytes + 5);
    if (text == NULL)
        return status_no_memory(error, zone.size_bytes + 5);
    memcpy(text, "ts?:", 4);
    text[2] = time_units[unit];
    if (zone.size_bytes > 0)
        memcpy(text + 4, zone.data, zone.size_bytes);
    text[zone.size_bytes + 4] = '\0';
    *format = text;
    return KH_OK;
}

static kh_status read_decimal(const struct flat_table *table, int64_t precision, int64_t scale,
                              struct arena *arena, const char **format, kh_error *error) {
    int64_t bits;
    if (!flat_integer(table, 2, 4, 128, &bits))
        return bad_type(error, TYPE_DECIMAL);
    char text[64];
    int size = bits == 128
                   ? snprintf(text, sizeof text, "d:%d,%d", (int)precision, (int)scale)
                   : snprintf(text, sizeof text, "d:%d,%d,%d", (int)precision, (int)scale,
                              (int)bits);
    return format_text(arena, text, (size_t)size, format, error);
}

/* Type ids are 0 to 127; without a list they are the children's positions. */
static kh_status read_union(const struct flat_table *table, int64_t mode, struct arena *arena,
                            const char **format, kh_error *error) {
    struct flat_vector codes;
    if (mode < 0 || mode > 1 || !flat_items(table, 1, 4, &codes) || codes.count > 128)
        return bad_type(error, TYPE_UNION);
    char text[8 + 4 * 128];
    int size = snprintf(text, sizeof text, "+u%c:", mode == 1 ? 'd' : 's');
    for (uint32_t i = 0; i < codes.count; i++) {
        int32_t code = raw_i32(codes.items, i);
        if (code < 0 || code > 127)
            return bad_type(error, TYPE_UNION);
        size += snprintf(text + size, sizeof text - (size_t)size, i == 0 ? "%d" : ",%d", code);
    }
    return format_text(arena, text, (size_t)size, format, error);
}

static kh_status read_sized(const char *prefix, int64_t size, struct arena *arena,
                            const char **format, kh_error *error) {
    char text[32];
    int length = snprintf(text, sizeof text, "%s:%lld", prefix, (long long)size);
    return format_text(arena, text, (size_t)length, format, error);
}

/* Types whose format has parts that the plain table cannot list. */
static kh_status read_parametric(const struct flat_table *table, int64_t type,
                                 const int64_t values[2], struct arena *arena,
                                 const char **format, kh_error *error) {
    switch (type) {
    case TYPE_FIXED_BINARY:
        return read_sized("w", values[0], arena, format, error);
    case TYPE_FIXED_LIST:
        return read_sized("+w", values[0], arena, format, error);
    case TYPE_TIMESTAMP:
        return read_timestamp(table, values[0], arena, format, error);
    case TYPE_DECIMAL:
        return read_decimal(table, values[0], values[1], arena, format, error);
    case TYPE_UNION:
        return read_union(table, values[0], arena, format, error);
    default:
        return bad_type(error, type);
    }
}

kh_status ipc_type_read(const struct flat_table *table, int64_t type, struct arena *arena,
                        const char **format, int64_t *flags, kh_error *error) {
    int64_t values[2] = {0, 0};
    if (type <= 0)
        return status_fail(error, KH_CORRUPT, "IPC: a field has no type");
    if (type >= TYPE_END)
        return status_fail(error, KH_UNSUPPORTED, "IPC: unknown type %lld", (long long)type);
    const struct shape *shape = &shapes[type];
    for (unsigned i = 0; i < 2; i++)
        if (shape->widths[i] != 0 &&
            !flat_integer(table, i, shape->widths[i], shape->defaults[i], &values[i]))
            return bad_type(error, type);
    if (type == TYPE_MAP) {
        if (values[0] != 0)
            *flags |= ARROW_FLAG_MAP_KEYS_SORTED;
        *format = "+m";
        return KH_OK;
    }
    for (size_t i = 0; i < PLAIN_COUNT; i++)
        if (plain_types[i].type == type && plain_types[i].values[0] == values[0] &&
            plain_types[i].values[1] == values[1]) {
            *format = plain_types[i].format;
            return KH_OK;
        }
    return read_parametric(table, type, values, arena, format, error);
}
