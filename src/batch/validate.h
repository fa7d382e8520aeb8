/* validate.h - is a foreign ArrowArray what its field says? */
#ifndef KHONSU_BATCH_VALIDATE_H
#define KHONSU_BATCH_VALIDATE_H

#include "batch/schema.h"

/* Offsets, lengths and widths beyond these cannot be of buffers in a 47-bit address space. Below,
 * no product or sum in this room overflows. */
#define VALIDATE_REACH_MAX ((int64_t)1 << 48)

/* An array on the way from the root to the one being looked at. */
struct frame {
    const struct frame *up; /* NULL: the root */
    const struct field *field;
    const struct ArrowArray *array;
    int32_t child; /* position in up; -1: dictionary */
    kh_validation level;
    bool is_ours; /* what was stored before: decimals are let in as they were */
    kh_error *error;
};

/* The whole record batch: shape and, at KH_VALIDATE_FULL, contents of the rows that it shows. */
kh_status validate_root(const struct field *root, const struct ArrowArray *array,
                        kh_validation level, kh_error *error);
/* One column of it; the root's own shape was checked. */
kh_status validate_column(const struct field *root, const struct ArrowArray *array, int32_t column,
                          kh_validation level, kh_error *error);

/* KH_INVALID_DATA with the path of the field and the message. */
__attribute__((cold, format(printf, 2, 3))) kh_status validate_fail(const struct frame *frame,
                                                                    const char *format, ...);

/* ---- contents: elements [first, first + count) of the frame's array ---------------------------
 */

/* Offsets of VAR and LIST layouts; *low and *high are the first and the last. limit: length of what
 * they point into, -1: unknown. */
kh_status validate_offsets(const struct frame *frame, int64_t first, int64_t count, int64_t limit,
                           int64_t *low, int64_t *high);
kh_status validate_decimals(const struct frame *frame, int64_t first, int64_t count);
kh_status validate_utf8(const struct frame *frame, int64_t first, int64_t count);
kh_status validate_view_buffers(const struct frame *frame);
kh_status validate_views(const struct frame *frame, int64_t first, int64_t count);
kh_status validate_list_views(const struct frame *frame, int64_t first, int64_t count);
kh_status validate_union(const struct frame *frame, int64_t first, int64_t count);
kh_status validate_run_ends(const struct frame *frame);
kh_status validate_indices(const struct frame *frame, int64_t first, int64_t count);

/* The element is null by the array's bitmap; of types that have one. */
bool validate_is_null(const struct ArrowArray *array, int64_t row);

#endif
