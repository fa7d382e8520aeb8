/* thresholds.h - the options that say from which numbers on two deltas are of a class. */
#ifndef KHONSU_CLI_THRESHOLDS_H
#define KHONSU_CLI_THRESHOLDS_H

#include "options.h"

struct threshold_arguments {
    double orthogonal;
    double identical;
    double opposite;
    double conflicting;
    double jaccard;
};
/* The library's defaults. */
struct threshold_arguments thresholds_begin(void);
kh_delta_thresholds thresholds_end(const struct threshold_arguments *arguments);

#define THRESHOLD_OPTION(name, of, help)                                                           \
    { name, 0, OPTION_REAL, "X", help, &(of) }
#define THRESHOLD_OPTIONS(of)                                                                      \
    THRESHOLD_OPTION("threshold-orthogonal", (of).orthogonal,                                      \
                     "orthogonal: |s| below it; s is the cosine;\ndefault 0.1"),                   \
        THRESHOLD_OPTION("threshold-identical", (of).identical,                                    \
                         "identical: s from it on, with the same keys;\ndefault 0.99"),            \
        THRESHOLD_OPTION("threshold-opposite", (of).opposite,                                      \
                         "opposite: s down from it; default -0.95"),                               \
        THRESHOLD_OPTION("threshold-conflicting", (of).conflicting,                                \
                         "conflicting: s from it on; default 0.7"),                                \
        THRESHOLD_OPTION("threshold-jaccard", (of).jaccard,                                        \
                         "conflicting, both sparse: the Jaccard index of\ntheir positions from "   \
                         "it on; default 0.5")

#endif
