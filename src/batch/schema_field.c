/* schema_field.c - one field: its format string, its shape, its equality and hash.
 *
 * The parser is our own and strict (one spelling for each type: digits without signs, blanks or
 * leading zeros), because the string is kept, compared and written again: two spellings of one type
 * would be two schemas. The tests hold it against nanoarrow's parser. Nothing here allocates. */
#include "base/hash.h"
#include "base/limits.h"
#include "batch/schema_body.h"
#include "batch/utf8.h"

struct exact {
    char format[4];
    uint8_t layout;
    uint8_t bits;
    uint8_t value_class;
    bool is_signed;
    bool is_utf8;
};

static const struct exact exact_formats[] = {
    {"n", LAYOUT_NULL, 0, VALUE_NONE, false, false},
    {"b", LAYOUT_FIXED, 1, VALUE_INTEGER, false, false},
    {"c", LAYOUT_FIXED, 8, VALUE_INTEGER, true, false},
    {"C", LAYOUT_FIXED, 8, VALUE_INTEGER, false, false},
    {"s", LAYOUT_FIXED, 16, VALUE_INTEGER, true, false},
    {"S", LAYOUT_FIXED, 16, VALUE_INTEGER, false, false},
    {"i", LAYOUT_FIXED, 32, VALUE_INTEGER, true, false},
    {"I", LAYOUT_FIXED, 32, VALUE_INTEGER, false, false},
    {"l", LAYOUT_FIXED, 64, VALUE_INTEGER, true, false},
    {"L", LAYOUT_FIXED, 64, VALUE_INTEGER, false, false},
    {"e", LAYOUT_FIXED, 16, VALUE_FLOAT, false, false},
    {"f", LAYOUT_FIXED, 32, VALUE_FLOAT, false, false},
    {"g", LAYOUT_FIXED, 64, VALUE_FLOAT, false, false},
    {"u", LAYOUT_VAR32, 0, VALUE_BYTES, false, true},
    {"z", LAYOUT_VAR32, 0, VALUE_BYTES, false, false},
    {"U", LAYOUT_VAR64, 0, VALUE_BYTES, false, true},
    {"Z", LAYOUT_VAR64, 0, VALUE_BYTES, false, false},
    {"vu", LAYOUT_VIEW, 0, VALUE_BYTES, false, true},
    {"vz", LAYOUT_VIEW, 0, VALUE_BYTES, false, false},
    {"tdD", LAYOUT_FIXED, 32, VALUE_INTEGER, true, false},
    {"tdm", LAYOUT_FIXED, 64, VALUE_INTEGER, true, false},
    {"tts", LAYOUT_FIXED, 32, VALUE_INTEGER, true, false},
    {"ttm", LAYOUT_FIXED, 32, VALUE_INTEGER, true, false},
    {"ttu", LAYOUT_FIXED, 64, VALUE_INTEGER, true, false},
    {"ttn", LAYOUT_FIXED, 64, VALUE_INTEGER, true, false},
    {"tDs", LAYOUT_FIXED, 64, VALUE_INTEGER, true, false},
    {"tDm", LAYOUT_FIXED, 64, VALUE_INTEGER, true, false},
    {"tDu", LAYOUT_FIXED, 64, VALUE_INTEGER, true, false},
    {"tDn", LAYOUT_FIXED, 64, VALUE_INTEGER, true, false},
    {"tiM", LAYOUT_FIXED, 32, VALUE_RAW, false, false},
    {"tiD", LAYOUT_FIXED, 64, VALUE_RAW, false, false},
    {"tin", LAYOUT_FIXED, 128, VALUE_RAW, false, false},
    {"+l", LAYOUT_LIST32, 0, VALUE_NONE, false, false},
    {"+m", LAYOUT_LIST32, 0, VALUE_NONE, false, false},
    {"+L", LAYOUT_LIST64, 0, VALUE_NONE, false, false},
    {"+vl", LAYOUT_LISTVIEW32, 0, VALUE_NONE, false, false},
    {"+vL", LAYOUT_LISTVIEW64, 0, VALUE_NONE, false, false},
    {"+s", LAYOUT_STRUCT, 0, VALUE_NONE, false, false},
    {"+r", LAYOUT_RUN_END, 0, VALUE_NONE, false, false},
};

/* What a format begins with; if so, *rest is behind it. */
static bool begins(const char *format, const char *prefix, const char **rest) {
    size_t length = strlen(prefix);
    if (strncmp(format, prefix, length) != 0) return false;
    *rest = format + length;
    return true;
}

/* A number from 0 to most in its only spelling; *text moves behind it. */
static bool number(const char **text, int64_t most, int64_t *out) {
    const char *next = *text;
    int64_t value = 0;
    if (*next < '0' || *next > '9') return false;
    do {
        value = value * 10 + (*next - '0');
        if (value > most) return false;
        next++;
    } while (*next >= '0' && *next <= '9');
    if (**text == '0' && next != *text + 1) return false;
    *text = next;
    *out = value;
    return true;
}

/* Digits of the largest precision that a decimal of this width holds in full. */
static int64_t decimal_digits(int64_t bits) {
    switch (bits) {
    case 32:
        return 9;
    case 64:
        return 18;
    case 128:
        return 38;
    case 256:
        return 76;
    default:
        return 0;
    }
}

/* precision,scale[,bits] */
static bool parse_decimal(const char *text, struct field *out) {
    int64_t precision;
    int64_t scale;
    int64_t bits = 128;
    if (!number(&text, 76, &precision) || *text++ != ',') return false;
    bool is_negative = *text == '-';
    if (is_negative) text++;
    if (!number(&text, INT32_MAX, &scale) || (is_negative && scale == 0)) return false;
    if (*text == ',') {
        text++;
        if (!number(&text, 256, &bits)) return false;
    }
    if (*text != '\0' || precision < 1 || precision > decimal_digits(bits)) return false;
    out->layout = LAYOUT_FIXED;
    out->bits = (int32_t)bits;
    out->precision = (int32_t)precision;
    out->is_signed = true;
    out->value_class = VALUE_RAW;
    return true;
}

/* Type ids, separated by commas, each once; none when there are no children. */
static bool parse_union(const char *text, struct field *out) {
    int8_t child = 0;
    memset(out->union_code_to_child, -1, sizeof out->union_code_to_child);
    if (*text == '\0') return true;
    for (;;) {
        int64_t code;
        if (!number(&text, 127, &code) || out->union_code_to_child[code] >= 0) return false;
        out->union_code_to_child[code] = child++;
        if (*text == '\0') return true;
        if (*text++ != ',') return false;
    }
}

static bool parse_timestamp(const char *text, struct field *out, const char **trouble) {
    if (!utf8_is_valid(text, strlen(text))) {
        *trouble = "the time zone is not UTF-8";
        return false;
    }
    out->layout = LAYOUT_FIXED;
    out->bits = 64;
    out->is_signed = true;
    out->value_class = VALUE_INTEGER;
    return true;
}

static bool parse_width(const char *text, int64_t most, int64_t *out) {
    return number(&text, most, out) && *text == '\0';
}

static bool parse_exact(const char *format, struct field *out) {
    for (size_t i = 0; i < sizeof exact_formats / sizeof exact_formats[0]; i++) {
        const struct exact *exact = &exact_formats[i];
        /* The letter first: each foreign array that is put has its formats looked up here. */
        if (exact->format[0] != format[0] || strcmp(format, exact->format) != 0) continue;
        out->layout = (enum layout)exact->layout;
        out->bits = exact->bits;
        out->value_class = (enum value_class)exact->value_class;
        out->is_signed = exact->is_signed;
        out->is_utf8 = exact->is_utf8;
        out->is_map = strcmp(format, "+m") == 0;
        return true;
    }
    return false;
}

bool field_parse(const char *format, struct field *out, const char **trouble) {
    const char *rest;
    int64_t width;
    if (parse_exact(format, out)) return true;
    *trouble = "unknown or malformed format";
    if (begins(format, "d:", &rest)) return parse_decimal(rest, out);
    if (begins(format, "w:", &rest)) {
        if (!parse_width(rest, INT32_MAX / 8, &width)) return false;
        out->layout = LAYOUT_FIXED;
        out->bits = (int32_t)width * 8;
        out->value_class = VALUE_RAW;
        return true;
    }
    if (begins(format, "+w:", &rest)) {
        if (!parse_width(rest, INT32_MAX, &width)) return false;
        out->layout = LAYOUT_FIXED_LIST;
        out->list_size = (int32_t)width;
        return true;
    }
    if (begins(format, "+us:", &rest)) {
        out->layout = LAYOUT_SPARSE_UNION;
        return parse_union(rest, out);
    }
    if (begins(format, "+ud:", &rest)) {
        out->layout = LAYOUT_DENSE_UNION;
        return parse_union(rest, out);
    }
    if (begins(format, "tss:", &rest) || begins(format, "tsm:", &rest) ||
        begins(format, "tsu:", &rest) || begins(format, "tsn:", &rest))
        return parse_timestamp(rest, out, trouble);
    return false;
}

static int32_t union_children(const struct field *field) {
    int32_t count = 0;
    for (int i = 0; i < 128; i++) count += field->union_code_to_child[i] >= 0;
    return count;
}

static bool check_dictionary(const struct field *field, const char **trouble) {
    bool is_integer = field->layout == LAYOUT_FIXED && strchr("cCsSiIlL", field->format[0]) &&
                      field->format[1] == '\0';
    if (!is_integer) {
        *trouble = "a dictionary's indices are not integers";
        return false;
    }
    if (field->dictionary->dictionary != NULL) {
        *trouble = "the values of a dictionary are a dictionary themselves";
        return false;
    }
    return true;
}

static bool check_map(const struct field *field, const char **trouble) {
    const struct field *entries = &field->children[0];
    if (entries->layout == LAYOUT_STRUCT && entries->child_count == 2) return true;
    *trouble = "a map's entries are not a struct of key and value";
    return false;
}

static bool check_run_end(const struct field *field, const char **trouble) {
    const struct field *ends = &field->children[0];
    if (ends->dictionary == NULL && strchr("sil", ends->format[0]) && ends->format[1] == '\0')
        return true;
    *trouble = "run ends are not int16, int32 or int64";
    return false;
}

bool field_check(const struct field *field, const char **trouble) {
    int32_t expected = 0;
    switch (field->layout) {
    case LAYOUT_LIST32:
    case LAYOUT_LIST64:
    case LAYOUT_LISTVIEW32:
    case LAYOUT_LISTVIEW64:
    case LAYOUT_FIXED_LIST:
        expected = 1;
        break;
    case LAYOUT_RUN_END:
        expected = 2;
        break;
    case LAYOUT_STRUCT:
        expected = field->child_count;
        break;
    case LAYOUT_SPARSE_UNION:
    case LAYOUT_DENSE_UNION:
        expected = union_children(field);
        break;
    case LAYOUT_NULL:
    case LAYOUT_FIXED:
    case LAYOUT_VAR32:
    case LAYOUT_VAR64:
    case LAYOUT_VIEW:
        break;
    }
    if (field->child_count != expected) {
        *trouble = "the number of children does not fit the format";
        return false;
    }
    if (field->dictionary != NULL) return check_dictionary(field, trouble);
    if (field->is_map) return check_map(field, trouble);
    if (field->layout == LAYOUT_RUN_END) return check_run_end(field, trouble);
    return true;
}

bool field_equal(const struct field *a, const struct field *b) {
    if (a->child_count != b->child_count || a->flags != b->flags ||
        a->metadata_bytes != b->metadata_bytes ||
        (a->dictionary == NULL) != (b->dictionary == NULL) || strcmp(a->format, b->format) != 0 ||
        strcmp(a->name, b->name) != 0)
        return false;
    if (a->metadata_bytes > 0 && memcmp(a->metadata, b->metadata, (size_t)a->metadata_bytes) != 0)
        return false;
    for (int32_t i = 0; i < a->child_count; i++)
        if (!field_equal(&a->children[i], &b->children[i])) return false;
    return a->dictionary == NULL || field_equal(a->dictionary, b->dictionary);
}

uint64_t field_hash(const struct field *field, uint64_t seed) {
    struct {
        int64_t flags;
        int64_t child_count;
        uint64_t has_dictionary;
    } shape = {field->flags, field->child_count, field->dictionary != NULL};
    uint64_t hash = hash_bytes(&shape, sizeof shape, seed);
    hash = hash_bytes(field->format, strlen(field->format), hash);
    hash = hash_bytes(field->name, strlen(field->name), hash);
    if (field->metadata_bytes > 0)
        hash = hash_bytes(field->metadata, (size_t)field->metadata_bytes, hash);
    for (int32_t i = 0; i < field->child_count; i++) hash = field_hash(&field->children[i], hash);
    if (field->dictionary != NULL) hash = field_hash(field->dictionary, hash);
    return hash;
}
