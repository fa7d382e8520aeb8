/* status.c - the status list as text, error messages, and the assertion that ends the process. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void assert_fail(const char *expression, const char *file, int line) {
    (void)fprintf(stderr, "khonsu: assertion failed: %s (%s:%d)\n", expression, file, line);
    abort();
}

kh_status status_fail(kh_error *error, kh_status status, const char *format, ...) {
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return status;
}

kh_status status_no_memory(kh_error *error, size_t size_bytes) {
    return status_fail(error, KH_NO_MEMORY, "allocation of %zu bytes failed", size_bytes);
}

const char *kh_status_name(kh_status status) {
    switch (status) {
#define CASE_(name, number, class_, meaning)                                                       \
    case name:                                                                                     \
        return #name;
        KH_STATUS_LIST(CASE_)
#undef CASE_
    }
    return "KH_?";
}

kh_status_class kh_status_classify(kh_status status) {
    switch (status) {
#define CASE_(name, number, class_, meaning)                                                       \
    case name:                                                                                     \
        return KH_CLASS_##class_;
        KH_STATUS_LIST(CASE_)
#undef CASE_
    }
    return KH_CLASS_STOP;
}

const char *kh_status_meaning(kh_status status) {
    switch (status) {
#define CASE_(name, number, class_, meaning)                                                       \
    case name:                                                                                     \
        return meaning;
        KH_STATUS_LIST(CASE_)
#undef CASE_
    }
    return "unknown status";
}

kh_status status_copy_sized(void *out, size_t out_bytes, const void *given, const char *name,
                            kh_error *error) {
    size_t size_bytes;
    memcpy(&size_bytes, given, sizeof size_bytes);
    if (size_bytes < sizeof size_bytes || size_bytes > out_bytes)
        return status_fail(error, KH_INVALID, "%s.size is %zu: this library knows %zu", name,
                           size_bytes, out_bytes);
    memcpy(out, given, size_bytes);
    memcpy(out, &out_bytes, sizeof out_bytes);
    return KH_OK;
}
