/* stats_text.h - statistics as text. */
#ifndef KHONSU_DB_STATS_TEXT_H
#define KHONSU_DB_STATS_TEXT_H

#include "khonsu/db.h"

/* kh_db_stats_text of numbers that have been collected. *out is freed by kh_bytes_free.
 * KH_INVALID: no such format; KH_NO_MEMORY. */
kh_status stats_render(const kh_stats *stats, kh_stats_format format, kh_bytes *out,
                       kh_error *error);

#endif
