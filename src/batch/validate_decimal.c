/* validate_decimal.c - decimals of more digits than their type has.
 *
 * Arrow's consumers rely on the precision: one that is beyond it is printed, rounded or refused by
 * them as each likes. Nothing is allocated. */
#include "base/status.h"
#include "batch/raw.h"
#include "batch/validate.h"

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

enum { LIMBS = 4 };

/* 10 to the power of precision, the least number that is too large; least limb first. */
struct limit {
    uint64_t limbs[LIMBS];
};

static struct limit limit_of(const struct field *field) {
    int limbs = field->bits <= 64 ? 1 : field->bits / 64;
    struct limit limit = {{1}};
    for (int32_t i = 0; i < field->precision; i++) {
        uint128 carry = 0;
        for (int j = 0; j < limbs; j++) {
            carry += (uint128)limit.limbs[j] * 10;
            limit.limbs[j] = (uint64_t)carry;
            carry >>= 64;
        }
    }
    return limit;
}

static bool fits_narrow(const void *values, int64_t index, int32_t bits, int64_t limit) {
    int64_t value = raw_integer(values, index, bits, true);
    return value < limit && value > -limit;
}

static bool fits_128(const void *values, int64_t index, const struct limit *limit) {
    int128 most = (int128)(((uint128)limit->limbs[1] << 64) | limit->limbs[0]);
    int128 value;
    memcpy(&value, (const uint8_t *)values + index * 16, sizeof value);
    return value < most && value > -most;
}

static void negate(uint64_t *limbs) {
    uint64_t carry = 1;
    for (int i = 0; i < LIMBS; i++) {
        limbs[i] = ~limbs[i] + carry;
        carry = carry != 0 && limbs[i] == 0;
    }
}

static bool fits_256(const void *values, int64_t index, const struct limit *limit) {
    uint64_t limbs[LIMBS];
    memcpy(limbs, (const uint8_t *)values + index * 32, sizeof limbs);
    if (limbs[LIMBS - 1] >> 63 != 0) negate(limbs);
    for (int i = LIMBS - 1; i >= 0; i--)
        if (limbs[i] != limit->limbs[i]) return limbs[i] < limit->limbs[i];
    return false;
}

static bool fits(const struct field *field, const void *values, int64_t index,
                 const struct limit *limit) {
    if (field->bits == 128) return fits_128(values, index, limit);
    if (field->bits == 256) return fits_256(values, index, limit);
    return fits_narrow(values, index, field->bits, (int64_t)limit->limbs[0]);
}

kh_status validate_decimals(const struct frame *frame, int64_t first, int64_t count) {
    const struct ArrowArray *array = frame->array;
    struct limit limit = limit_of(frame->field);
    for (int64_t row = first; row < first + count; row++) {
        if (fits(frame->field, array->buffers[1], array->offset + row, &limit)) continue;
        if (validate_is_null(array, row)) continue;
        return validate_fail(frame, "row %lld has more than %ld digits", (long long)row,
                             (long)frame->field->precision);
    }
    return KH_OK;
}
