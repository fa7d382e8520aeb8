/* load_all.c - linked into a test, makes its databases load what is much smaller than usual as
 * table files (log/rocks_load.h): every group of the log and every step of the storage, or those of
 * KH_TEST_LOAD_BYTES and more, so that both ways alternate. */
#include "log/rocks_load.h"

#include <stdlib.h>

__attribute__((constructor)) static void load_all(void) {
    const char *limit = getenv("KH_TEST_LOAD_BYTES");
    rocks_load_bytes = limit == NULL ? 1 : strtoull(limit, NULL, 10);
}
