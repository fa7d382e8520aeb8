/* path_fixture.h - a database in a directory of its own, for tests of what survives. */
#ifndef TEST_SUPPORT_PATH_FIXTURE_H
#define TEST_SUPPORT_PATH_FIXTURE_H

#include "support/directory.h"
#include "support/kit.h"

struct fixture {
    struct directory directory;
    kh_options options; /* of each opening */
    kh_db *db;
};

/* The directory and kit_options() with it; nothing is opened. */
void make_fixture(struct fixture *f, uint32_t flags);
/* Close and remove. */
void close_fixture(struct fixture *f);
void reopen(struct fixture *f);

#endif
