/* table.c - aligned tables. Kept whole in memory: the widths are known at the end only. */
#include "table.h"

#include "heap.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2, SHRUNK_MIN = 8 };

struct table_column {
    char *name;
    bool is_right;
    size_t width; /* of its widest cell */
};

void table_add_column(struct table *table, const char *name, bool is_right) {
    table->columns = heap_resize(table->columns, table->column_count + 1, sizeof *table->columns);
    struct text visible = {NULL, 0, 0};
    text_add_visible(&visible, (kh_bytes){name, strlen(name)});
    struct table_column *column = &table->columns[table->column_count++];
    column->name = heap_copy(visible.bytes, visible.size);
    column->is_right = is_right;
    column->width = text_width(visible.bytes, visible.size);
    text_free(&visible);
}

void table_add_bytes(struct table *table, kh_bytes cell) {
    if (table->cell_count == table->end_capacity) {
        table->end_capacity = table->end_capacity == 0 ? 64 : table->end_capacity * 2;
        table->ends = heap_resize(table->ends, table->end_capacity, sizeof *table->ends);
    }
    size_t begin = table->cells.size;
    text_add_visible(&table->cells, cell);
    struct table_column *column = &table->columns[table->cell_count % table->column_count];
    size_t width = table->cells.size == begin
                       ? 0
                       : text_width(table->cells.bytes + begin, table->cells.size - begin);
    column->width = column->width > width ? column->width : width;
    table->ends[table->cell_count++] = table->cells.size;
}

void table_add(struct table *table, const char *cell) {
    table_add_bytes(table, (kh_bytes){cell, strlen(cell)});
}

void table_printf(struct table *table, const char *format, ...) {
    char cell[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(cell, sizeof cell, format, arguments);
    va_end(arguments);
    table_add(table, cell);
}

static kh_bytes cell_at(const struct table *table, size_t index) {
    size_t begin = index == 0 ? 0 : table->ends[index - 1];
    const char *bytes = table->cells.bytes == NULL ? "" : table->cells.bytes;
    return (kh_bytes){bytes + begin, table->ends[index] - begin};
}

static size_t total_width(const size_t *widths, size_t count) {
    size_t total = count == 0 ? 0 : (count - 1) * GAP;
    for (size_t i = 0; i < count; ++i) {
        total += widths[i];
    }
    return total;
}

/* Take from the widest columns until all fit in room; false: they cannot. */
static bool shrink(size_t *widths, size_t count, size_t room) {
    size_t total = total_width(widths, count);
    while (total > room) {
        size_t widest = 0;
        for (size_t i = 1; i < count; ++i) {
            widest = widths[i] > widths[widest] ? i : widest;
        }
        if (widths[widest] <= SHRUNK_MIN) {
            return false;
        }
        --widths[widest];
        --total;
    }
    return true;
}

static void print_spaces(FILE *out, size_t count) {
    (void)fprintf(out, "%*s", (int)count, "");
}

static void print_cell(FILE *out, kh_bytes cell, size_t width, bool is_right, bool is_last) {
    const char *bytes = cell.data;
    size_t own = text_width(bytes, cell.size_bytes);
    if (own > width) {
        size_t size = text_fit(bytes, cell.size_bytes, width - 1);
        size_t kept = text_width(bytes, size);
        (void)fprintf(out, "%.*s\xE2\x80\xA6", (int)size, bytes);
        print_spaces(out, is_last ? 0 : width - 1 - kept);
        return;
    }
    print_spaces(out, is_right ? width - own : 0);
    (void)fprintf(out, "%.*s", (int)cell.size_bytes, bytes);
    print_spaces(out, is_right || is_last ? 0 : width - own);
}

static void print_row(const struct table *table, FILE *out, const size_t *widths, size_t shown,
                      size_t first_cell) {
    for (size_t i = 0; i < shown; ++i) {
        print_spaces(out, i > 0 ? GAP : 0);
        bool is_last = i + 1 == shown;
        print_cell(out, cell_at(table, first_cell + i), widths[i], table->columns[i].is_right,
                   is_last);
    }
    (void)fputc('\n', out);
}

static void print_header(const struct table *table, FILE *out, const size_t *widths, size_t shown) {
    for (size_t i = 0; i < shown; ++i) {
        const struct table_column *column = &table->columns[i];
        print_spaces(out, i > 0 ? GAP : 0);
        print_cell(out, (kh_bytes){column->name, strlen(column->name)}, widths[i], column->is_right,
                   i + 1 == shown && shown == table->column_count);
    }
    if (shown < table->column_count) {
        (void)fprintf(out, "  +%zu", table->column_count - shown);
    }
    (void)fputc('\n', out);
    for (size_t i = 0; i < shown; ++i) {
        print_spaces(out, i > 0 ? GAP : 0);
        for (size_t at = 0; at < widths[i]; ++at) {
            (void)fputc('-', out);
        }
    }
    (void)fputc('\n', out);
}

void table_print(const struct table *table, FILE *out, size_t width) {
    size_t more_width = strlen("  +1");
    for (size_t left = table->column_count; left >= 10; left /= 10) {
        ++more_width;
    }
    size_t shown = table->column_count;
    size_t *widths = heap_allocate(shown, sizeof *widths);
    for (;; --shown) {
        for (size_t i = 0; i < shown; ++i) {
            widths[i] = table->columns[i].width;
        }
        size_t more = shown < table->column_count ? more_width : 0;
        size_t room = width > more ? width - more : 1;
        if (width == 0 || shown <= 1 || shrink(widths, shown, room)) {
            break;
        }
    }
    if (width > 0 && shown == 1 && widths[0] > width) {
        widths[0] = width;
    }
    print_header(table, out, widths, shown);
    for (size_t cell = 0; cell + table->column_count <= table->cell_count;
         cell += table->column_count) {
        print_row(table, out, widths, shown, cell);
    }
    free(widths);
}

void table_free(struct table *table) {
    for (size_t i = 0; i < table->column_count; ++i) {
        free(table->columns[i].name);
    }
    free(table->columns);
    free(table->ends);
    text_free(&table->cells);
    *table = (struct table){NULL, 0, 0, NULL, 0, {NULL, 0, 0}};
}
