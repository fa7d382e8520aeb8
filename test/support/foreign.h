/* foreign.h - Arrow arrays of every type as another program would hand them over, and an opinion of
 * what is in them that owes nothing to the library.
 *
 * Every buffer is a heap block of exactly the bytes that it needs, so that the address sanitizer
 * sees a step beyond it; live structs are counted; a type is a short text:
 *   format, then children in [ ] separated by ;  then a dictionary's type in { }; ! before the
 * format says not nullable: "l"  "!u"  "+l[u]"  "+m[!+s[!u;l]]"  "+us:3,7[l;u]"  "i{u}"  "+r[!i;u]"
 */
#ifndef TEST_SUPPORT_FOREIGN_H
#define TEST_SUPPORT_FOREIGN_H

#include "khonsu/arrow.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Structs not released yet. */
extern int foreign_live;

/* Types that between them use every layout and width. */
extern const char *const foreign_types[];
extern const int foreign_type_count;

/* An uninitialised child or array with zeroed buffers. */
void foreign_array(struct ArrowArray *out, int64_t length, int64_t buffer_count,
                   int64_t child_count, bool has_dictionary);
/* A copy of bytes becomes the buffer. */
void foreign_buffer(struct ArrowArray *array, int64_t index, const void *bytes, size_t size_bytes);
/* Bytes become the buffer and stay the caller's; one of an array. */
void foreign_borrow(struct ArrowArray *array, int64_t index, void *bytes);

/* The schema of a type, and of a record batch with one column "c" of it. */
void foreign_schema(struct ArrowSchema *out, const char *type);
void foreign_table(struct ArrowSchema *out, const char *type);
/* A struct of the given columns, each as "name=type". */
void foreign_columns(struct ArrowSchema *out, const char *const *columns, int64_t count);

struct foreign_random {
    uint64_t state;
    bool has_offsets; /* arrays begin inside their buffers, children are longer than needed */
    bool has_nulls;
};
uint64_t foreign_draw(struct foreign_random *random, uint64_t bound);
/* Valid random contents. */
void foreign_fill(struct foreign_random *random, const struct ArrowSchema *schema, int64_t length,
                  struct ArrowArray *out);
/* Bits of a value of a fixed-width format. */
int64_t foreign_bits(const char *format);
/* Elements [row, row + length) of the array as a record batch's slice: moves array's offset. */
void foreign_slice(struct ArrowArray *array, int64_t row, int64_t length);

/* The value of a row in words ("null", "12", "[1,null]"); into a heap string of the caller's. */
char *foreign_text(const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t row);
/* Do both show the same rows? */
bool foreign_equal(const struct ArrowSchema *schema, const struct ArrowArray *a,
                   const struct ArrowArray *b);

#endif
