/* value.h - one value of an Arrow array as text, of any type.
 *
 * Reads the structs of the Arrow C Data Interface as kh_batch_export gives them: khonsu has proved
 * their structure, so no bounds are checked here again. */
#ifndef KHONSU_CLI_VALUE_H
#define KHONSU_CLI_VALUE_H

#include "text.h"

#include <stdbool.h>

enum value_style {
    VALUE_PLAIN, /* for tables and keys: strings as they are, dates ISO 8601, NULL */
    VALUE_JSON   /* a JSON value: numbers, strings, null; nested types as lists and objects */
};

/* row counts from the array's own offset. Nested values are JSON in both styles. */
void value_append(struct text *out, const struct ArrowSchema *schema,
                  const struct ArrowArray *array, int64_t row, enum value_style style);
bool value_is_null(const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t row);
/* Is the type one that tables align to the right? */
bool value_is_number(const struct ArrowSchema *schema);

/* ---- parts, in files of their own ---- */

/* A date, time, timestamp, duration or interval (format "t..."), without quotes. */
void value_append_time(struct text *out, const char *format, const void *values, int64_t index);
/* The days since 1970-01-01 as YYYY-MM-DD. */
void value_append_day(struct text *out, int64_t days);
/* Milliseconds since 1970 as YYYY-MM-DDTHH:MM:SS.mmmZ. */
void value_append_ms(struct text *out, int64_t ms);
/* A decimal (format "d:..."). */
void value_append_decimal(struct text *out, const char *format, const void *values, int64_t index);
/* A list, struct, map or union (format "+..."), as JSON; what a union holds, in the style. */
void value_append_nested(struct text *out, const struct ArrowSchema *schema,
                         const struct ArrowArray *array, int64_t row, enum value_style style);
/* The row of a run-end encoded array's values child. */
int64_t value_run_index(const struct ArrowSchema *schema, const struct ArrowArray *array,
                        int64_t row);

#endif
