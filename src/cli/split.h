/* split.h - cutting batches into values by key: rows whose columns give the same key belong
 * together.
 *
 * A pattern is text with columns in braces: "flights/{day}/{carrier}". {month:2} fills a number up
 * with zeros to two digits; {tailnum|none} gives rows without a value a place; {{ and }} stand for
 * braces. */
#ifndef KHONSU_CLI_SPLIT_H
#define KHONSU_CLI_SPLIT_H

#include "text.h"

struct split;

/* Exit codes (complain.h), having complained. A pattern that is no pattern: CLI_USAGE. */
int split_create(const char *pattern, struct split **out);
/* Has the schema the columns of the pattern? */
int split_check(struct split *split, const kh_schema *schema);
/* Take in a batch: its rows go to their keys. All batches must have one schema. */
int split_batch(struct split *split, const kh_batch *batch);
size_t split_key_count(const struct split *split);
/* The index-th key in the order of their first rows, and its value: borrowed until free.
 * Concatenated when first asked for. */
kh_bytes split_key(const struct split *split, size_t index);
int split_value(struct split *split, size_t index, const kh_batch **out);

/* Values one after the other, each once, rather than all at the end. Returns an exit code. */
typedef int split_value_fn(void *context, kh_bytes key, const kh_batch *value);
/* Give away what is complete: at the end everything; before it all but the value of the newest row,
 * if the rows of each key follow one another (split_batch complains when that was not so). What was
 * given is forgotten but for its key. */
int split_give(struct split *split, bool is_end, split_value_fn *give, void *context);
void split_free(struct split *split);

#endif
