/* value_decimal.c - decimals of 32 to 256 bits, exactly. */
#include "value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMBS_MAX = 8, DIGITS_MAX = 80, CHUNK = 1000000000, CHUNK_DIGITS = 9 };

/* Divide the number in limbs (least significant first) by 10^9; the remainder. */
static uint32_t divide(uint32_t *limbs, size_t limb_count) {
    uint64_t remainder = 0;
    for (size_t i = limb_count; i-- > 0;) {
        uint64_t part = remainder << 32 | limbs[i];
        limbs[i] = (uint32_t)(part / CHUNK);
        remainder = part % CHUNK;
    }
    return (uint32_t)remainder;
}

static bool is_zero(const uint32_t *limbs, size_t limb_count) {
    for (size_t i = 0; i < limb_count; ++i) {
        if (limbs[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool make_positive(uint32_t *limbs, size_t limb_count) {
    if ((limbs[limb_count - 1] >> 31) == 0) {
        return false;
    }
    uint64_t carry = 1;
    for (size_t i = 0; i < limb_count; ++i) {
        carry += (uint32_t)~limbs[i];
        limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return true;
}

/* Decimal digits without leading zeros ("0" for zero) into digits, of DIGITS_MAX + 1 bytes. */
static void to_digits(uint32_t *limbs, size_t limb_count, char *digits) {
    char reversed[DIGITS_MAX + CHUNK_DIGITS];
    size_t count = 0;
    while (!is_zero(limbs, limb_count)) {
        uint32_t chunk = divide(limbs, limb_count);
        for (int i = 0; i < CHUNK_DIGITS; ++i) {
            reversed[count++] = (char)('0' + chunk % 10);
            chunk /= 10;
        }
    }
    while (count > 0 && reversed[count - 1] == '0') {
        --count;
    }
    if (count == 0) {
        reversed[count++] = '0';
    }
    for (size_t i = 0; i < count; ++i) {
        digits[i] = reversed[count - 1 - i];
    }
    digits[count] = '\0';
}

static void append_scaled(struct text *out, const char *digits, long scale) {
    size_t size = strlen(digits);
    if (scale <= 0) {
        text_add(out, digits);
        for (long i = scale; i < 0 && strcmp(digits, "0") != 0; ++i) {
            text_add_char(out, '0');
        }
        return;
    }
    size_t point = (size_t)scale;
    if (size <= point) {
        text_add(out, "0.");
        for (size_t i = size; i < point; ++i) {
            text_add_char(out, '0');
        }
        text_add(out, digits);
        return;
    }
    text_append(out, digits, size - point);
    text_add_char(out, '.');
    text_add(out, digits + size - point);
}

void value_append_decimal(struct text *out, const char *format, const void *values, int64_t index) {
    char *end = NULL;
    (void)strtol(format + 2, &end, 10);
    long scale = *end == ',' ? strtol(end + 1, &end, 10) : 0;
    long bits = *end == ',' ? strtol(end + 1, NULL, 10) : 128;
    size_t limb_count = (size_t)bits / 32;
    if (limb_count == 0 || limb_count > LIMBS_MAX) {
        return;
    }
    uint32_t limbs[LIMBS_MAX];
    size_t size = limb_count * sizeof limbs[0];
    memcpy(limbs, (const char *)values + (size_t)index * size, size);
    char digits[DIGITS_MAX + 1];
    if (make_positive(limbs, limb_count)) {
        text_add_char(out, '-');
    }
    to_digits(limbs, limb_count, digits);
    append_scaled(out, digits, scale);
}
