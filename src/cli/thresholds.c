/* thresholds.c - see thresholds.h. */
#include "thresholds.h"

struct threshold_arguments thresholds_begin(void) {
    kh_delta_thresholds of = KH_DELTA_THRESHOLDS_INIT;
    return (struct threshold_arguments){(double)of.orthogonal, (double)of.identical,
                                        (double)of.opposite, (double)of.conflicting,
                                        (double)of.jaccard};
}

kh_delta_thresholds thresholds_end(const struct threshold_arguments *arguments) {
    kh_delta_thresholds thresholds = KH_DELTA_THRESHOLDS_INIT;
    thresholds.orthogonal = (float)arguments->orthogonal;
    thresholds.identical = (float)arguments->identical;
    thresholds.opposite = (float)arguments->opposite;
    thresholds.conflicting = (float)arguments->conflicting;
    thresholds.jaccard = (float)arguments->jaccard;
    return thresholds;
}
