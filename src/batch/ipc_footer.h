/* ipc_footer.h - the footer of an IPC file: what a file says about itself at its end. */
#ifndef KHONSU_BATCH_IPC_FOOTER_H
#define KHONSU_BATCH_IPC_FOOTER_H

#include "batch/ipc_wire.h"

struct ipc_footer {
    const kh_schema *schema;
    bool is_big_endian;                    /* reading only, as the next */
    const struct ipc_buffer *ids;          /* int64 by slot */
    const struct ipc_buffer *dictionaries; /* struct ipc_place in order */
    const struct ipc_buffer *records;
};

/* Append the footer, its size and the magic. KH_NO_MEMORY, KH_TOO_BIG. */
kh_status ipc_footer_put(struct ipc_buffer *out, const struct ipc_footer *footer, kh_error *error);
/* bytes: all that follows the end marker. KH_CORRUPT unless it says what footer says. */
kh_status ipc_footer_check(struct mem *mem, kh_bytes bytes, const struct ipc_footer *footer,
                           kh_error *error);

#endif
