/* half.h - IEEE 754 binary16 (Arrow's float16) to and from double. */
#ifndef KHONSU_BATCH_HALF_H
#define KHONSU_BATCH_HALF_H

#include <stdint.h>

double half_to_double(uint16_t half);
/* Rounded to nearest, ties to even; beyond the range: infinity. */
uint16_t half_from_double(double value);

#endif
