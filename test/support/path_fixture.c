/* path_fixture.c - see path_fixture.h. */
#include "support/path_fixture.h"

void make_fixture(struct fixture *f, uint32_t flags) {
    directory_make(&f->directory);
    f->options = kit_options();
    f->options.path = f->directory.path;
    f->options.flags = flags;
    f->db = NULL;
}

void close_fixture(struct fixture *f) {
    kit_close(f->db);
    directory_remove(&f->directory);
}

void reopen(struct fixture *f) {
    kit_close(f->db);
    f->db = kit_open_with(&f->options);
}
