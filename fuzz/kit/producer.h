/* producer.h - a program that hands over Arrow schemas and arrays made of fuzz bytes, and lies in
 * them wherever the C Data Interface lets a consumer see the lie.
 *
 * Counts, lengths, offsets, pointers, flags and the contents of buffers may be anything; the SIZES
 * of buffers are true, because no consumer can know them: each is a heap block of exactly the bytes
 * that offset, length and contents promise. A tree owns all of its blocks apart from what it says
 * of itself, so that it can be released however it lies. */
#ifndef FUZZ_KIT_PRODUCER_H
#define FUZZ_KIT_PRODUCER_H

#include "khonsu/arrow.h"
#include "kit/feed.h"

/* Trees that were made and not released. */
extern int producer_live;

/* A struct of up to three columns of types that exist, nested up to three levels. */
void producer_type(struct feed *feed, struct ArrowSchema *out);
/* Any schema, malformed ones among them. */
void producer_schema(struct feed *feed, struct ArrowSchema *out);
/* An array that means to be of the type. */
void producer_array(struct feed *feed, const struct ArrowSchema *type, struct ArrowArray *out);

/* ---- for the files of the producer ---- */

struct producer; /* what a tree owns */
struct producer *producer_begin(void);
void producer_end(struct producer *producer);
/* Zeroed; size 0 is a block too. */
void *producer_block(struct producer *producer, size_t size_bytes);

#endif
