/* type_words.h - the name of a column's type, for messages. */
#ifndef KHONSU_BATCH_TYPE_WORDS_H
#define KHONSU_BATCH_TYPE_WORDS_H

#include "batch/schema.h"

struct type_words {
    char text[56];
};

/* "int64", "timestamp[us, UTC]", "dictionary[int32, utf8]"; of a type without a name the format
 * string of the Arrow C data interface. Cut at the end of the text. */
struct type_words type_words(const struct field *field);

#endif
