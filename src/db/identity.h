/* identity.h - the file KHONSU: what a directory is, and which database. */
#ifndef KHONSU_DB_IDENTITY_H
#define KHONSU_DB_IDENTITY_H

#include "khonsu/db.h"

/* Read the file of a directory, or make one with *identity, which is then unchanged. KH_CORRUPT: it
 * is damaged; KH_UNSUPPORTED: a newer format; KH_IO. */
kh_status identity_open(const char *directory, kh_identity *identity, kh_error *error);
/* Read it, and make nothing. */
kh_status identity_read(const char *directory, kh_identity *identity, kh_error *error);
/* Make it; one that is there is replaced. */
kh_status identity_make(const char *directory, const kh_identity *identity, kh_error *error);

#endif
