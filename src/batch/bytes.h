/* bytes.h - bytes that are given to a caller, who frees them by kh_bytes_free of khonsu/batch.h.
 * Blocks of the process' context; a NUL that is not counted lies behind them, so that text can be
 * used as a string. */
#ifndef KHONSU_BATCH_BYTES_H
#define KHONSU_BATCH_BYTES_H

#include "khonsu/batch.h"

/* To be filled in. KH_NO_MEMORY. */
kh_status bytes_alloc(size_t size_bytes, void **out, kh_error *error);
/* A copy. KH_NO_MEMORY. */
kh_status bytes_make(const void *bytes, size_t size_bytes, kh_bytes *out, kh_error *error);

#endif
