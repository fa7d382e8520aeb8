/* repeat.h - does a row have the same values in some columns as the row before it?
 *
 * Files are mostly written in an order of their rows, so that rows of one key lie together: then
 * the key need not be made and looked up for each of them. Types whose values are not plain bytes
 * are never the same here, which costs time and nothing else. */
#ifndef KHONSU_CLI_REPEAT_H
#define KHONSU_CLI_REPEAT_H

#include <khonsu.h>
#include <stdbool.h>

enum repeat_kind { REPEAT_NEVER, REPEAT_FIXED, REPEAT_BITS, REPEAT_SPAN32, REPEAT_SPAN64 };

struct repeat { /* of one column of one array */
    enum repeat_kind kind;
    size_t width_bytes;
    const struct ArrowArray *array;
};

struct repeat repeat_of(const struct ArrowSchema *schema, const struct ArrowArray *array);
/* row counts from the array's own offset, from 1. */
bool repeat_is_same(const struct repeat *repeat, int64_t row);

#endif
