/* assert.h - assertions that stay on in release.
 *
 * kh_assert: a programmer's error, ours or the caller's where the contract says so. Prints
 * expression, file and line to the standard error and aborts.
 * kh_assert_slow: the same, in builds with KH_SLOW_CHECKS only (dev and sanitizers): for checks
 * that would cost the hot path more than a compare. */
#ifndef KHONSU_BASE_ASSERT_H
#define KHONSU_BASE_ASSERT_H

_Noreturn void assert_fail(const char *expression, const char *file, int line);

#define KH_LIKELY(x) __builtin_expect(!!(x), 1)
#define KH_UNLIKELY(x) __builtin_expect(!!(x), 0)
/* For functions of the hot path that have one caller, or two: the compiler weighs size. */
#define KH_ALWAYS_INLINE __attribute__((always_inline)) static inline

#define kh_assert(expression)                                                                      \
    (KH_LIKELY(expression) ? (void)0 : assert_fail(#expression, __FILE__, __LINE__))

#if defined(KH_SLOW_CHECKS)
#define kh_assert_slow(expression) kh_assert(expression)
#else
#define kh_assert_slow(expression) ((void)sizeof(!(expression)))
#endif

#endif
