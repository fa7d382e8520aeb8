/* value_nested.c - nested values as JSON: lists as lists, structs as objects, maps as lists of
 * pairs (their keys need not be strings), unions as the value that they hold. */
#include "value.h"

#include <stdlib.h>
#include <string.h>

struct span {
    int64_t begin, end;
};

static struct span list_span(const char *format, const struct ArrowArray *array, int64_t index) {
    const int32_t *small = array->buffers[1];
    const int64_t *large = array->buffers[1];
    if (strcmp(format, "+L") == 0) {
        return (struct span){large[index], large[index + 1]};
    }
    if (strcmp(format, "+vl") == 0) {
        int64_t size = ((const int32_t *)array->buffers[2])[index];
        return (struct span){small[index], small[index] + size};
    }
    if (strcmp(format, "+vL") == 0) {
        int64_t size = ((const int64_t *)array->buffers[2])[index];
        return (struct span){large[index], large[index] + size};
    }
    return (struct span){small[index], small[index + 1]};
}

static void append_list(struct text *out, const struct ArrowSchema *schema,
                        const struct ArrowArray *array, struct span span) {
    text_add_char(out, '[');
    for (int64_t at = span.begin; at < span.end; ++at) {
        text_add(out, at > span.begin ? "," : "");
        value_append(out, schema->children[0], array->children[0], at, VALUE_JSON);
    }
    text_add_char(out, ']');
}

/* A struct's offset counts in its children, on top of their own. */
static void append_struct(struct text *out, const struct ArrowSchema *schema,
                          const struct ArrowArray *array, int64_t index) {
    text_add_char(out, '{');
    for (int64_t i = 0; i < schema->n_children; ++i) {
        const char *name = schema->children[i]->name == NULL ? "" : schema->children[i]->name;
        text_add(out, i > 0 ? "," : "");
        text_add_json(out, (kh_bytes){name, strlen(name)});
        text_add_char(out, ':');
        value_append(out, schema->children[i], array->children[i], index, VALUE_JSON);
    }
    text_add_char(out, '}');
}

static void append_map(struct text *out, const struct ArrowSchema *schema,
                       const struct ArrowArray *array, struct span span) {
    const struct ArrowSchema *pair = schema->children[0];
    const struct ArrowArray *pairs = array->children[0];
    text_add_char(out, '[');
    for (int64_t at = span.begin; at < span.end; ++at) {
        text_add(out, at > span.begin ? ",[" : "[");
        value_append(out, pair->children[0], pairs->children[0], at + pairs->offset, VALUE_JSON);
        text_add_char(out, ',');
        value_append(out, pair->children[1], pairs->children[1], at + pairs->offset, VALUE_JSON);
        text_add_char(out, ']');
    }
    text_add_char(out, ']');
}

/* format is "+us:0,5,7" or "+ud:...": which child a type id stands for. */
static int64_t union_child(const char *format, int8_t type_id) {
    const char *at = format + 4;
    for (int64_t child = 0;; ++child) {
        char *end = NULL;
        if (strtol(at, &end, 10) == type_id) {
            return child;
        }
        if (*end != ',') {
            return -1;
        }
        at = end + 1;
    }
}

static void append_union(struct text *out, const struct ArrowSchema *schema,
                         const struct ArrowArray *array, int64_t index, enum value_style style) {
    int64_t child = union_child(schema->format, ((const int8_t *)array->buffers[0])[index]);
    bool is_dense = schema->format[2] == 'd';
    int64_t row = is_dense ? ((const int32_t *)array->buffers[1])[index] : index;
    if (child >= 0 && child < schema->n_children) {
        value_append(out, schema->children[child], array->children[child], row, style);
    }
}

int64_t value_run_index(const struct ArrowSchema *schema, const struct ArrowArray *array,
                        int64_t row) {
    const struct ArrowArray *ends = array->children[0];
    char format = schema->children[0]->format[0];
    int64_t wanted = row + array->offset;
    int64_t low = 0;
    int64_t high = ends->length;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int64_t at = middle + ends->offset;
        int64_t end = format == 's'   ? ((const int16_t *)ends->buffers[1])[at]
                      : format == 'i' ? ((const int32_t *)ends->buffers[1])[at]
                                      : ((const int64_t *)ends->buffers[1])[at];
        if (end > wanted) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

void value_append_nested(struct text *out, const struct ArrowSchema *schema,
                         const struct ArrowArray *array, int64_t row, enum value_style style) {
    const char *format = schema->format;
    int64_t index = row + array->offset;
    if (strcmp(format, "+s") == 0) {
        append_struct(out, schema, array, index);
    } else if (strcmp(format, "+m") == 0) {
        append_map(out, schema, array, list_span("+l", array, index));
    } else if (format[1] == 'w') {
        int64_t size = strtoll(format + 3, NULL, 10);
        append_list(out, schema, array, (struct span){index * size, (index + 1) * size});
    } else if (format[1] == 'u') {
        append_union(out, schema, array, index, style);
    } else {
        append_list(out, schema, array, list_span(format, array, index));
    }
}
