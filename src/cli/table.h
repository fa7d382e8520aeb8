/* table.h - columns of text, aligned, cut to a width. */
#ifndef KHONSU_CLI_TABLE_H
#define KHONSU_CLI_TABLE_H

#include "text.h"

#include <stdbool.h>
#include <stdio.h>

struct table { /* {0}: empty */
    struct table_column *columns;
    size_t column_count;
    size_t cell_count;
    size_t *ends; /* of each cell in cells */
    size_t end_capacity;
    struct text cells;
};

/* All columns come before the first cell. */
void table_add_column(struct table *table, const char *name, bool is_right);
/* The next cell, in row order. Made fit for a terminal here. */
void table_add(struct table *table, const char *cell);
void table_add_bytes(struct table *table, kh_bytes cell);
__attribute__((format(printf, 2, 3))) void table_printf(struct table *table, const char *format,
                                                        ...);
/* Print header and rows, in at most width columns (0: as many as they need). Values that do not
 * fit are cut, and columns that do not fit at all are counted in the last one's place. */
void table_print(const struct table *table, FILE *out, size_t width);
void table_free(struct table *table);

#endif
