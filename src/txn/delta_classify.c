/* delta_classify.c - what two deltas are to each other: the table of khonsu/delta.h, line by line.
 *
 * Invariants: total (the last line has no condition), symmetric (each line is: the cosine and the
 * counts do not depend on the order), and the same on every machine (delta_kernel.h). Reads nothing
 * but its arguments; cannot fail. */
#include "txn/delta.h"

#include "txn/delta_dot.h"
#include <math.h>

static const kh_delta_thresholds defaults = KH_DELTA_THRESHOLDS_INIT;

static const kh_delta_thresholds *known_thresholds(const kh_delta_thresholds *thresholds) {
    if (thresholds == NULL) return &defaults;
    /* Of an older, shorter header there is none yet. */
    kh_assert(thresholds->size == sizeof *thresholds);
    return thresholds;
}

/* The lines below the cosine's. shared: positions that both have, or DOT_NOT_SPARSE. */
KH_ALWAYS_INLINE kh_delta_class classify_rest(const kh_delta *a, const kh_delta *b, uint32_t shared,
                                              const kh_delta_thresholds *thresholds) {
    if (shared != DOT_NOT_SPARSE) {
        int32_t either = (int32_t)(a->filled + b->filled - shared);
        if ((float)(int32_t)shared / (float)either >= thresholds->jaccard)
            return KH_DELTA_CONFLICTING;
    }
    if ((a->key_bits & b->key_bits) != 0 && delta_keys_meet(a, b)) return KH_DELTA_AMBIGUOUS;
    return KH_DELTA_LOW_CONFLICT;
}

static kh_delta_class none(float *cosine) {
    *cosine = 0;
    return KH_DELTA_NONE;
}

KH_ALWAYS_INLINE kh_delta_class classify(const struct delta_kernel *kernel, const kh_delta *a,
                                         const kh_delta *b, const kh_delta_thresholds *thresholds,
                                         float *cosine) {
    uint32_t shared;
    if (a == NULL || b == NULL || a->dimension != b->dimension) return none(cosine);
    float dot = dot_any(kernel, a, b, &shared);
    float both = a->magnitude * b->magnitude;
    if (!(both > 0)) return none(cosine); /* one of them has no values that are not zero */
    float s = delta_kernel_quotient(dot, both);
    *cosine = s;
    if (fabsf(s) < thresholds->orthogonal) return KH_DELTA_ORTHOGONAL;
    if (s >= thresholds->identical && delta_keys_is_same(a, b)) return KH_DELTA_IDENTICAL;
    if (s <= thresholds->opposite) return KH_DELTA_OPPOSITE;
    if (s >= thresholds->conflicting) return KH_DELTA_CONFLICTING;
    return classify_rest(a, b, shared, thresholds);
}

kh_delta_class kh_delta_classify(const kh_delta *a, const kh_delta *b,
                                 const kh_delta_thresholds *thresholds, float *cosine) {
    float unasked;
    return classify(delta_kernel(), a, b, known_thresholds(thresholds),
                    cosine != NULL ? cosine : &unasked);
}

bool kh_delta_classify_all(const kh_delta *const *deltas, size_t count,
                           const kh_delta_thresholds *thresholds, kh_delta_pair_fn *visit,
                           void *context) {
    const struct delta_kernel *kernel = delta_kernel();
    thresholds = known_thresholds(thresholds);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count; j++) {
            float cosine;
            kh_delta_class kind = classify(kernel, deltas[i], deltas[j], thresholds, &cosine);
            if (!visit(context, i, j, kind, cosine)) return false;
        }
    }
    return true;
}

const char *kh_delta_class_name(kh_delta_class kind) {
    switch (kind) {
    case KH_DELTA_NONE:
        return "none";
    case KH_DELTA_ORTHOGONAL:
        return "orthogonal";
    case KH_DELTA_IDENTICAL:
        return "identical";
    case KH_DELTA_OPPOSITE:
        return "opposite";
    case KH_DELTA_CONFLICTING:
        return "conflicting";
    case KH_DELTA_AMBIGUOUS:
        return "ambiguous";
    case KH_DELTA_LOW_CONFLICT:
        return "low conflict";
    }
    return "?";
}
