/* aborts.h - does an assertion of the library fire? The code runs in a child process. */
#ifndef KHONSU_TEST_ABORTS_H
#define KHONSU_TEST_ABORTS_H

#include <stdbool.h>

/* Whether run ends its process by SIGABRT. What it prints on stderr is not seen. */
bool aborts(void (*run)(void));

#endif
