/* khonsu/delta.h - what a change means: an embedding's difference, and how two of them relate.
 *
 * A kh_delta is a vector of floats (an embedding after a change minus the one before), the keys
 * that the change touches, and the transaction that it belongs to. It never changes once it exists
 * and is shared by reference count: any number of threads may read, retain and release it.
 * Everything here works without a database.
 *
 * Values: finite, at most 1e16 in size (so that no sum of squares overflows); those of at most 1e-6
 * in size are zero: they are kept as +0, whatever the form, and whichever operation made them.
 * A delta of which less than half is not zero is kept sparse (positions and values), any other one
 * dense. The form changes no result: every sum is computed in one order that zeros do not disturb,
 * so that results are the same bits on every machine, in every form and by every instruction set.
 *
 * Memory: functions that make a delta take a kh_db (see db.h) whose allocator and accounting are
 * used, or NULL for the process heap; operations on deltas use their first operand's. A delta
 * outlives the database that it was made with. Results are new references that the caller releases
 * by kh_delta_release. Common errors: KH_INVALID: different dimensions, a value that is NaN,
 * infinite or beyond its range; KH_TOO_BIG; KH_NO_MEMORY. */
#ifndef KHONSU_DELTA_H
#define KHONSU_DELTA_H

#include "khonsu/db.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kh_delta kh_delta;

/* A span of floats that somebody else owns. Passed by value. */
typedef struct kh_floats {
    const float *values;
    size_t count;
} kh_floats;

/* ---- making one ------------------------------------------------------------------------------ */

typedef struct kh_delta_options {
    size_t size;          /* sizeof(kh_delta_options) */
    const kh_bytes *keys; /* affected, in any order; repeats count once; copied */
    size_t key_count;
    kh_txn_id txn; /* {0, 0}: none */
} kh_delta_options;
#define KH_DELTA_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(kh_delta_options), 0, 0, {                                                          \
            0, 0                                                                                   \
        }                                                                                          \
    }

/* A delta of these values, which are copied. options NULL: no keys, no transaction. KH_INVALID: no
 * values, one that is not a number or beyond 1e16, a key's length outside 1 to 65,535; KH_TOO_BIG:
 * more than 65,536 values, 1,000,000 keys or 1 GiB of them; KH_NO_MEMORY. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_delta_build(kh_db *db, kh_floats values,
                                               const kh_delta_options *options, kh_delta **out,
                                               kh_error *error);
/* The delta of a change from one embedding to another: after - before, rounded once for each value.
 * The same errors, also for values of before and after; KH_INVALID: their counts differ. Any
 * thread. */
KH_API KH_WARN_UNUSED kh_status kh_delta_between(kh_db *db, kh_floats before, kh_floats after,
                                                 const kh_delta_options *options, kh_delta **out,
                                                 kh_error *error);
/* One more reference / one less. NULL is allowed in release. Any thread. */
KH_API kh_delta *kh_delta_retain(const kh_delta *delta);
KH_API void kh_delta_release(kh_delta *delta);

/* ---- looking at one -------------------------------------------------------------------------- */

/* Values, zeros included. Any thread, as all of these. */
KH_API size_t kh_delta_dimension(const kh_delta *delta);
/* Values that are not zero; 0: the zero delta. */
KH_API size_t kh_delta_filled(const kh_delta *delta);
/* Whether it is kept sparse: less than half of the values are not zero. */
KH_API bool kh_delta_is_sparse(const kh_delta *delta);
/* Write all values, zeros included, into out, which has room for kh_delta_dimension of them. */
KH_API void kh_delta_values(const kh_delta *delta, float *out);
/* The square root of the sum of squares: computed once, when it was made. 0: the zero delta. */
KH_API float kh_delta_magnitude(const kh_delta *delta);
/* The transaction that it belongs to; {0, 0}: none. */
KH_API kh_txn_id kh_delta_txn(const kh_delta *delta);
/* Its keys: how many, and the one at an index (ascending; borrowed: lives as long as the delta;
 * data NULL: no such index). */
KH_API size_t kh_delta_key_count(const kh_delta *delta);
KH_API kh_bytes kh_delta_key(const kh_delta *delta, size_t index);
/* Bytes that it keeps alive. */
KH_API uint64_t kh_delta_size_bytes(const kh_delta *delta);

/* ---- comparing two --------------------------------------------------------------------------- */
/* Each is symmetric and written to *out on KH_OK; the one failure is KH_INVALID: the deltas have
 * different dimensions. No allocation. Any thread. */

/* The cosine of the angle between them, in [-1, 1]; 0 when one of them is zero. */
KH_API KH_WARN_UNUSED kh_status kh_delta_cosine(const kh_delta *a, const kh_delta *b, float *out);
/* The angle between them as a part of a half turn, in [0, 1]: 0 the same direction, 0.5 orthogonal
 * (or one of them zero), 1 opposite. Within 1e-7 of the arc cosine of kh_delta_cosine, which for
 * directions that nearly agree has lost half of its digits: their angle comes out as 0 to 2e-4. */
KH_API KH_WARN_UNUSED kh_status kh_delta_angular(const kh_delta *a, const kh_delta *b, float *out);
/* The length of their difference, rounded and summed as it stands, nothing of it taken as zero. */
KH_API KH_WARN_UNUSED kh_status kh_delta_euclidean(const kh_delta *a, const kh_delta *b,
                                                   float *out);
/* Of the positions that are not zero in one of them, the part that is not zero in both, in [0, 1];
 * 0 when one of them is zero. */
KH_API KH_WARN_UNUSED kh_status kh_delta_jaccard(const kh_delta *a, const kh_delta *b, float *out);
/* The same with each position weighed by the sizes of its values, whatever their signs: the sum of
 * the smaller sizes over the sum of the larger ones, in [0, 1]; 0 when one of them is zero. */
KH_API KH_WARN_UNUSED kh_status kh_delta_weighted_jaccard(const kh_delta *a, const kh_delta *b,
                                                          float *out);
/* Keys that both have: how many, and whether there is one. Their dimensions may differ. */
KH_API size_t kh_delta_shared_keys(const kh_delta *a, const kh_delta *b);
KH_API bool kh_delta_has_shared_keys(const kh_delta *a, const kh_delta *b);

/* ---- making one of others -------------------------------------------------------------------- */

/* a + b, with the keys of both; of the transaction of both if it is one, else of none. Commutes,
 * bit for bit. KH_INVALID: different dimensions, or a sum beyond 1e16. */
KH_API KH_WARN_UNUSED kh_status kh_delta_add(const kh_delta *a, const kh_delta *b, kh_delta **out,
                                             kh_error *error);
/* delta * factor, with its keys and its transaction. KH_INVALID: the factor is not finite, or a
 * product is beyond 1e16. */
KH_API KH_WARN_UNUSED kh_status kh_delta_scale(const kh_delta *delta, float factor, kh_delta **out,
                                               kh_error *error);
/* The average of count deltas by their weights, with the keys of all; of their transaction if it is
 * one, else of none. Sums are taken in double precision in the order given, and rounded once.
 * KH_INVALID: no deltas, different dimensions, a weight that is negative or not finite, or only
 * zeros. */
KH_API KH_WARN_UNUSED kh_status kh_delta_average(const kh_delta *const *deltas,
                                                 const float *weights, size_t count, kh_delta **out,
                                                 kh_error *error);
/* What of delta does not conflict with other: delta without its component along other, so that the
 * two are orthogonal up to rounding. delta itself when one of them is zero. Its keys and its
 * transaction stay. KH_INVALID: different dimensions. */
KH_API KH_WARN_UNUSED kh_status kh_delta_project(const kh_delta *delta, const kh_delta *other,
                                                 kh_delta **out, kh_error *error);

/* ---- as bytes -------------------------------------------------------------------------------- */

/* The delta as bytes (docs/record-format.md), which are freed by kh_bytes_free: little-endian, the
 * same bytes for equal deltas. KH_NO_MEMORY. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_delta_encode(const kh_delta *delta, kh_bytes *out,
                                                kh_error *error);
/* The delta of such bytes; only bytes that kh_delta_encode gives are accepted, and any others are
 * safe to try. KH_CORRUPT: malformed; KH_UNSUPPORTED: of a newer version; KH_TOO_BIG: beyond the
 * limits of this one; KH_NO_MEMORY. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_delta_decode(kh_db *db, kh_bytes bytes, kh_delta **out,
                                                kh_error *error);

/* ---- classes --------------------------------------------------------------------------------- */

/* What two deltas are to each other. The first line that is true decides; s is their cosine, the
 * numbers are the thresholds' defaults. Numbers are recorded: none is ever given another meaning.
 */
typedef enum kh_delta_class {
    KH_DELTA_NONE = 0,        /* one is zero or absent, or their dimensions differ: keys decide */
    KH_DELTA_ORTHOGONAL = 1,  /* |s| < 0.1 */
    KH_DELTA_IDENTICAL = 2,   /* the same keys, and s >= 0.99 */
    KH_DELTA_OPPOSITE = 3,    /* s <= -0.95 */
    KH_DELTA_CONFLICTING = 4, /* s >= 0.7; or both are sparse, and the Jaccard index >= 0.5 */
    KH_DELTA_AMBIGUOUS = 5,   /* a key is shared */
    KH_DELTA_LOW_CONFLICT = 6 /* none of these */
} kh_delta_class;

typedef struct kh_delta_thresholds {
    size_t size;       /* sizeof(kh_delta_thresholds) */
    float orthogonal;  /* below it in size: orthogonal */
    float identical;   /* from it on, with the same keys: identical */
    float opposite;    /* down from it: opposite */
    float conflicting; /* from it on: conflicting */
    float jaccard;     /* from it on, both sparse: conflicting */
} kh_delta_thresholds;
#define KH_DELTA_THRESHOLDS_INIT                                                                   \
    { sizeof(kh_delta_thresholds), 0.1f, 0.99f, -0.95f, 0.7f, 0.5f }

/* The class of two deltas (NULL: absent), and their cosine (unless cosine is NULL; 0 in the class
 * KH_DELTA_NONE). Total, symmetric, and the same on every machine. thresholds NULL: the defaults;
 * any values are allowed, and a comparison with NaN is false; another size is an assertion. No
 * allocation. Any thread. */
KH_API kh_delta_class kh_delta_classify(const kh_delta *a, const kh_delta *b,
                                        const kh_delta_thresholds *thresholds, float *cosine);
/* One pair of deltas[i] and deltas[j], i < j. False stops. */
typedef bool kh_delta_pair_fn(void *context, size_t i, size_t j, kh_delta_class kind, float cosine);
/* Every pair of count deltas (NULL among them: absent), in ascending order of i, then j: what
 * kh_delta_classify says of it. False: visit stopped it. No allocation. Any thread. */
KH_API bool kh_delta_classify_all(const kh_delta *const *deltas, size_t count,
                                  const kh_delta_thresholds *thresholds, kh_delta_pair_fn *visit,
                                  void *context);
/* The class' name ("orthogonal", "low conflict"); an unknown number gives "?". Static. Any
 * thread. */
KH_API const char *kh_delta_class_name(kh_delta_class kind);

#ifdef __cplusplus
}
#endif
#endif
