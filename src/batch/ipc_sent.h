/* ipc_sent.h - which dictionaries a writer has sent, and what that means for the next batch. */
#ifndef KHONSU_BATCH_IPC_SENT_H
#define KHONSU_BATCH_IPC_SENT_H

#include "batch/ipc_wire.h"

/* Values that were sent, as the uncompressed message that they encode to: equal values, equal
 * bytes. A stream has the newest only; a file, whose dictionaries can only grow, all of them. */
struct ipc_segment {
    unsigned char *bytes;
    size_t size_bytes;
    int64_t first; /* position of its first value in the dictionary */
    int64_t count;
};

struct ipc_sent_slot {
    struct ipc_segment *segments;
    uint32_t count;
    uint32_t capacity;
    int64_t total; /* values sent */
};

struct ipc_sent {
    struct mem *mem;
    uint32_t slot_count;
    struct ipc_sent_slot *slots;
    int64_t *shifts; /* by slot: what to add to the indices of the batch being written */
    bool is_file;
    /* The batch written last: dictionaries in the same buffers are the same. */
    kh_batch *last;
    struct column last_root;
    struct arena last_arena;
};

/* Sends one message; *place has its sizes. */
struct ipc_sender {
    kh_status (*send)(void *context, const struct column *values, int64_t first, int64_t count,
                      uint32_t slot, const struct ipc_dictionary_note *note, kh_error *error);
    void *context;
};

/* fini also after a failure. */
kh_status ipc_sent_init(struct ipc_sent *sent, struct mem *mem, const kh_schema *schema,
                        bool is_file, kh_error *error);
void ipc_sent_fini(struct ipc_sent *sent);
/* Send what the batch's dictionaries need; shifts are set. KH_UNSUPPORTED: a dictionary changed in
 * a way that a file cannot hold. After any failure the writer is at its end. */
kh_status ipc_sent_update(struct ipc_sent *sent, const kh_batch *batch, const struct column *root,
                          const struct ipc_sender *sender, kh_error *error);

#endif
