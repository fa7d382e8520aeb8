/* half.c - binary16: 1 bit of sign, 5 of exponent (bias 15), 10 of fraction. Pure, and exact up to
 * the one rounding, which is why it starts from the double's bits: going through float would round
 * twice. */
#include "batch/half.h"

#include <string.h>

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double half_to_double(uint16_t half) {
    uint64_t sign = (uint64_t)(half >> 15) << 63;
    uint64_t exponent = (half >> 10) & 31;
    uint64_t fraction = half & 0x3FF;
    if (exponent == 31) return double_of(sign | (uint64_t)0x7FF << 52 | fraction << 42);
    if (exponent != 0) return double_of(sign | (exponent + 1008) << 52 | fraction << 42);
    double subnormal = (double)fraction * 0x1p-24;
    return double_of(sign | bits_of(subnormal));
}

/* value / 2^shift, rounded to nearest, ties to even. */
static uint64_t round_shift(uint64_t value, int shift) {
    uint64_t rest = value & (((uint64_t)1 << shift) - 1);
    uint64_t half = (uint64_t)1 << (shift - 1);
    uint64_t kept = value >> shift;
    return kept + (rest > half || (rest == half && (kept & 1)));
}

uint16_t half_from_double(double value) {
    uint64_t bits = bits_of(value);
    uint16_t sign = (uint16_t)(bits >> 63 << 15);
    int exponent = (int)((bits >> 52) & 0x7FF) - 1023;
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    if (exponent == 1024) {
        if (fraction == 0) return (uint16_t)(sign | 0x7C00);
        return (uint16_t)(sign | 0x7E00 | (fraction >> 42)); /* quiet */
    }
    if (exponent > 15) return (uint16_t)(sign | 0x7C00);
    if (exponent < -25) return sign;
    uint64_t significand = fraction | (uint64_t)1 << 52;
    if (exponent < -14) return (uint16_t)(sign | round_shift(significand, 42 + (-14 - exponent)));
    /* A carry out of the fraction moves the exponent up by itself, at the top into infinity. */
    return (uint16_t)(sign +
                      (uint16_t)(((uint64_t)(exponent + 14) << 10) + round_shift(significand, 42)));
}
