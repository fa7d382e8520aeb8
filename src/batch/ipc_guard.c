/* ipc_guard.c - what a message must be before anything in it is used.
 *
 * Happy path: version, kind, header, lengths. Failure: KH_CORRUPT for what is malformed,
 * KH_TOO_BIG for lengths beyond the limit, KH_UNSUPPORTED for versions and kinds of message that
 * khonsu does not read. */
#include "batch/ipc_wire.h"

#include "base/status.h"

/* The first version whose layout is today's, unions apart. */
static kh_status check_version(int64_t version, kh_error *error) {
    if (version == IPC_V4 || version == IPC_V5)
        return KH_OK;
    return status_fail(error, KH_UNSUPPORTED, "IPC: metadata version %lld",
                       (long long)version + 1);
}

static kh_status open_dictionary(struct ipc_message *message, kh_error *error) {
    struct flat_table dictionary = message->header;
    int64_t is_delta;
    if (!flat_integer(&dictionary, DICTIONARY_ID, 8, 0, &message->dictionary_id) ||
        !flat_integer(&dictionary, DICTIONARY_IS_DELTA, 1, 0, &is_delta) ||
        flat_child(&dictionary, DICTIONARY_RECORD, &message->header) != FLAT_PRESENT)
        return status_fail(error, KH_CORRUPT, "IPC: malformed dictionary batch");
    message->is_delta = is_delta != 0;
    return KH_OK;
}

kh_status ipc_message_open(kh_bytes metadata, uint64_t body_bytes_max, struct ipc_message *out,
                           kh_error *error) {
    struct ipc_message message = {.is_delta = false};
    struct flat_table root;
    int64_t kind;
    if (!flat_root(metadata.data, metadata.size_bytes, &root) ||
        !flat_integer(&root, MESSAGE_VERSION, 2, 0, &message.version) ||
        !flat_integer(&root, MESSAGE_HEADER_TYPE, 1, 0, &kind) ||
        !flat_integer(&root, MESSAGE_BODY_LENGTH, 8, 0, &message.body_bytes))
        return status_fail(error, KH_CORRUPT, "IPC: malformed message");
    kh_status status = check_version(message.version, error);
    if (status != KH_OK)
        return status;
    if (kind > IPC_RECORD)
        return status_fail(error, KH_UNSUPPORTED, "IPC: message of kind %lld", (long long)kind);
    if (kind < IPC_SCHEMA || message.body_bytes < 0 ||
        flat_child(&root, MESSAGE_HEADER, &message.header) != FLAT_PRESENT)
        return status_fail(error, KH_CORRUPT, "IPC: message without a header");
    if ((uint64_t)message.body_bytes > body_bytes_max)
        return status_fail(error, KH_TOO_BIG, "IPC: a body of %lld bytes",
                           (long long)message.body_bytes);
    message.kind = (enum ipc_header)kind;
    if (message.kind == IPC_DICTIONARY)
        status = open_dictionary(&message, error);
    if (status == KH_OK)
        *out = message;
    return status;
}

kh_status ipc_status(kh_status status) {
    return status == KH_INVALID_DATA || status == KH_INVALID ? KH_CORRUPT : status;
}
