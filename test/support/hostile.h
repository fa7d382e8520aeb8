/* hostile.h - an array, one thing wrong with it, and the answer that the door must give. */
#ifndef TEST_SUPPORT_HOSTILE_H
#define TEST_SUPPORT_HOSTILE_H

#include "khonsu/batch.h"
#include "support/foreign.h"

/* A fault in a record batch of one column, and its name. */
#define SPOIL(name, ...)                                                                           \
    static void name(struct ArrowArray *root, struct ArrowArray *column) {                         \
        (void)root;                                                                                \
        (void)column;                                                                              \
        __VA_ARGS__;                                                                               \
    }

struct hostile {
    const char *name;
    const char *type;
    int64_t rows;
    void (*spoil)(struct ArrowArray *root, struct ArrowArray *column);
};

#define CASE(type, rows, spoil)                                                                    \
    { #spoil, type, rows, spoil }
/* One row goes the short way in, several the long way, many are adopted. */
#define EACH(type, spoil) CASE(type, 1, spoil), CASE(type, 9, spoil), CASE(type, 400, spoil)

/* Import it: KH_INVALID_DATA with a message, and the array stays with the caller as it was. */
void hostile_refused(kh_db *db, const struct hostile *hostile);

/* Elements of a buffer. */
void hostile_put(const struct ArrowArray *array, int64_t buffer, int64_t index, int width,
                 int64_t value);
int64_t hostile_get(const struct ArrowArray *array, int64_t buffer, int64_t index, int width);
/* A bitmap with a null at row; of up to four arrays at once. */
void hostile_null(struct ArrowArray *array, int64_t row);

/* A valid array of a type; one column "c". */
void hostile_make(const char *type, int64_t rows, struct ArrowArray *array);
kh_schema *hostile_schema(kh_db *db, const char *type);
/* What the import of an array as this type answers; what was made is released. */
kh_status hostile_import(kh_db *db, const char *type, struct ArrowArray *array,
                         kh_validation validation);

#endif
