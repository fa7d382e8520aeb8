/* type_words.c - see type_words.h. The names are those that pyarrow and the Python package use. */
#include "batch/type_words.h"

#include <stdio.h>
#include <string.h>

struct type_name {
    char format[4];
    char name[13];
};

static const struct type_name names[] = {
    {"n", "null"},           {"b", "bool"},           {"c", "int8"},
    {"C", "uint8"},          {"s", "int16"},          {"S", "uint16"},
    {"i", "int32"},          {"I", "uint32"},         {"l", "int64"},
    {"L", "uint64"},         {"e", "float16"},        {"f", "float32"},
    {"g", "float64"},        {"u", "utf8"},           {"U", "large_utf8"},
    {"z", "binary"},         {"Z", "large_binary"},   {"vu", "utf8_view"},
    {"vz", "binary_view"},   {"tdD", "date32"},       {"tdm", "date64"},
    {"tts", "time32[s]"},    {"ttm", "time32[ms]"},   {"ttu", "time64[us]"},
    {"ttn", "time64[ns]"},   {"tDs", "duration[s]"},  {"tDm", "duration[ms]"},
    {"tDu", "duration[us]"}, {"tDn", "duration[ns]"}, {"+l", "list"},
    {"+L", "large_list"},    {"+s", "struct"},        {"+m", "map"},
};

static const char *name_of(const char *format) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(format, names[i].format) == 0) return names[i].name;
    return NULL;
}

static const char *unit_of(char letter) {
    switch (letter) {
    case 's':
        return "s";
    case 'm':
        return "ms";
    case 'u':
        return "us";
    default:
        return "ns";
    }
}

/* "d:precision,scale" or "d:precision,scale,bits". */
static void write_decimal(const char *format, char *out, size_t room) {
    const char *scale = strchr(format, ',') + 1;
    const char *bits = strchr(scale, ',');
    int precision_bytes = (int)(scale - format) - 3;
    int scale_bytes = bits == NULL ? (int)strlen(scale) : (int)(bits - scale);
    (void)snprintf(out, room, "decimal%s(%.*s, %.*s)", bits == NULL ? "128" : bits + 1,
                   precision_bytes, format + 2, scale_bytes, scale);
}

static void write_format(const char *format, char *out, size_t room) {
    const char *name = name_of(format);
    if (name != NULL) {
        (void)snprintf(out, room, "%s", name);
    } else if (strncmp(format, "ts", 2) == 0 && format[2] != 0 && format[3] == ':') {
        (void)snprintf(out, room, "timestamp[%s%s%s]", unit_of(format[2]),
                       format[4] == 0 ? "" : ", ", format + 4);
    } else if (strncmp(format, "d:", 2) == 0 && strchr(format, ',') != NULL) {
        write_decimal(format, out, room);
    } else if (strncmp(format, "w:", 2) == 0) {
        (void)snprintf(out, room, "fixed_size_binary[%s]", format + 2);
    } else {
        (void)snprintf(out, room, "%s", format);
    }
}

struct type_words type_words(const struct field *field) {
    struct type_words words;
    struct type_words index;
    struct type_words value;
    if (field->dictionary == NULL) {
        write_format(field->format, words.text, sizeof words.text);
        return words;
    }
    write_format(field->format, index.text, sizeof index.text);
    write_format(field->dictionary->format, value.text, sizeof value.text);
    (void)snprintf(words.text, sizeof words.text, "dictionary[%.12s, %.28s]", index.text,
                   value.text);
    return words;
}
