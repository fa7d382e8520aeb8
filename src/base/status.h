/* status.h - filling a caller's kh_error, and sorts of statuses. Reporting cannot fail and does not
 * allocate. */
#ifndef KHONSU_BASE_STATUS_H
#define KHONSU_BASE_STATUS_H

#include "base/assert.h"
#include "khonsu/status.h"
#include <stdbool.h>

/* Write a printf-style message into error (NULL: nothing) and return status, so that a failure is
 * one line: return status_fail(error, KH_INVALID, "..."). The text is cut at 255 bytes. */
__attribute__((cold, format(printf, 3, 4))) kh_status status_fail(kh_error *error, kh_status status,
                                                                  const char *format, ...);

/* The common failure of an allocation of size_bytes. */
__attribute__((cold)) kh_status status_no_memory(kh_error *error, size_t size_bytes);

/* Bring a caller's struct that begins with its own size to the size of this build: an older,
 * shorter one is filled up with what the defaults in `out` have. KH_INVALID: longer than any known
 * one, or too short to hold its size. */
kh_status status_copy_sized(void *out, size_t out_bytes, const void *given, const char *name,
                            kh_error *error);

/* Leave `name` to the `done:` label of the function with the status of a failed call. */
#define KH_TRY(call)                                                                               \
    do {                                                                                           \
        status = (call);                                                                           \
        if (KH_UNLIKELY(status != KH_OK)) goto done;                                               \
    } while (0)

/* What the rows of a write do not fit: its data, and nobody's memory or device. */
static inline bool status_is_of_rows(kh_status status) {
    return status == KH_ROW_EXISTS || status == KH_ROW_NOT_FOUND || status == KH_SCHEMA_MISMATCH ||
           status == KH_NO_ID_COLUMN || status == KH_NULL_ID || status == KH_DUPLICATE_ID;
}

#endif
