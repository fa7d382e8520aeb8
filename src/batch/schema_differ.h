/* schema_differ.h - in words, how one schema differs from another. */
#ifndef KHONSU_BATCH_SCHEMA_DIFFER_H
#define KHONSU_BATCH_SCHEMA_DIFFER_H

#include "batch/schema.h"

enum { SCHEMA_DIFFER_BYTES = 176 };

/* The first column or field that differs: missing, extra, moved, of another type, nullable on one
 * side, or other in its metadata. Of two schemas that are not equal. Cut at the end of out. */
void schema_differ(const kh_schema *first, const kh_schema *second, char out[SCHEMA_DIFFER_BYTES]);

#endif
