/* group.c - any bytes as a group of the log, and as an exported chain.
 *
 * The bytes are decoded as they are, which the checksums nearly always refuse, and once more with
 * checksums made to fit. Properties: decoding ends and stays inside of the bytes; what decodes
 * encodes to the same bytes; a decoded body is exactly its frames, each of which is proved by its
 * path; a group follows a new chain only if it is the first of that database; an imported chain
 * goes on. */
#include "log/group.h"
#include "log/group_layout.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static struct digester *digester;
static struct digest genesis;

static void make_digester(void) {
    kh_identity identity = {{1}, {2}};
    digester = digester_create(mem_process());
    if (digester == NULL) abort();
    chain_genesis(digester, &identity, &genesis);
}

/* Each frame of a decoded body, by its path. */
static void check_tree(const struct group_head *head, kh_bytes body) {
    struct digest root;
    size_t at = 0;
    merkle_root(digester, body, head->record_count, &root);
    for (uint32_t index = 0; index < head->record_count; index++) {
        kh_bytes expected;
        kh_bytes frame;
        struct digest path[MERKLE_PATH_MAX];
        struct digest found;
        bool is_broken;
        if (!group_next_frame(body, &at, &expected, &is_broken) || is_broken) abort();
        uint32_t length = merkle_path(digester, body, head->record_count, index, &frame, path);
        if (frame.data != expected.data || frame.size_bytes != expected.size_bytes) abort();
        if (!merkle_root_of_path(digester, frame, head->record_count, index, path, length, &found))
            abort();
        if (!digest_is_equal(&found, &root)) abort();
    }
    if (at != body.size_bytes) abort();
}

static void check_follow(kh_bytes group, const struct group_head *head, kh_bytes body) {
    struct chain chain;
    struct digest root;
    chain_init(&chain, &genesis);
    merkle_root(digester, body, head->record_count, &root);
    bool is_first = head->number == 1 && head->first == 0 &&
                    digest_is_equal(&head->previous, &genesis) &&
                    digest_is_equal(&head->skip, &genesis) && digest_is_equal(&head->root, &root);
    kh_status status = chain_follow(&chain, digester, group, head, body, NULL);
    if ((status == KH_OK) != is_first) abort();
    if (chain.number != (is_first ? 1 : 0)) abort();
    if (is_first && chain.next != head->record_count) abort();
}

/* What callers count on without a look. */
static void check_sense(const struct group_head *head) {
    if (head->number == 0 || head->record_count == 0) abort();
    if (head->first + head->record_count < head->first) abort();
    if (head->first_commit > head->last_commit) abort();
    if ((head->first_commit == 0) != (head->last_commit == 0)) abort();
}

static void check_group(kh_bytes group) {
    struct group_head head;
    kh_bytes body;
    kh_error error;
    if (group_decode(group, &head, &body, &error) != KH_OK) return;
    check_sense(&head);
    unsigned char again[GROUP_HEAD_BYTES];
    group_encode_head(&head, body, again);
    if (memcmp(again, group.data, sizeof again) != 0) abort();
    check_tree(&head, body);
    check_follow(group, &head, body);
}

static void check_chain(kh_bytes bytes) {
    struct chain chain;
    kh_error error;
    if (chain_import(bytes, &chain, &error) != KH_OK) return;
    if (chain.next < chain.number) abort();
    unsigned char again[CHAIN_BYTES_MAX];
    if (chain_export(&chain, again) != bytes.size_bytes) abort();
    if (memcmp(again, bytes.data, bytes.size_bytes) != 0) abort();
    if (chain.number == UINT64_MAX || chain.next == UINT64_MAX) return;
    struct chain follower = chain;
    struct group_head head = {.wall_ms = 1};
    unsigned char group[GROUP_HEAD_BYTES + RECORD_HEAD_BYTES] = {0};
    uint32_t length = RECORD_HEAD_BYTES;
    memcpy(group + GROUP_HEAD_BYTES + AT_LENGTH, &length, sizeof length);
    kh_bytes body = {group + GROUP_HEAD_BYTES, RECORD_HEAD_BYTES};
    chain_append(&chain, digester, &head, body, group);
    kh_bytes whole = {group, sizeof group};
    if (chain_follow(&follower, digester, whole, &head, body, NULL) != KH_OK) abort();
    if (memcmp(&chain, &follower, sizeof chain) != 0) abort();
}

/* Magic, version and checksums as they have to be. */
static void make_fit_group(unsigned char *bytes, size_t size_bytes) {
    kh_bytes body = {bytes + GROUP_HEAD_BYTES, size_bytes - GROUP_HEAD_BYTES};
    uint64_t body_bytes = body.size_bytes;
    memcpy(bytes, "KHLG\1\0", 6);
    memcpy(bytes + GROUP_AT_BODY_BYTES, &body_bytes, sizeof body_bytes);
    uint64_t checksum = group_layout_body_checksum(bytes, body);
    memcpy(bytes + GROUP_AT_BODY_CHECKSUM, &checksum, sizeof checksum);
    checksum = group_layout_head_checksum(bytes);
    memcpy(bytes + GROUP_AT_HEAD_CHECKSUM, &checksum, sizeof checksum);
}

static void make_fit_chain(unsigned char *bytes, size_t size_bytes) {
    memcpy(bytes, "KHCH\1\0", 6);
    uint64_t checksum = chain_layout_checksum(bytes, size_bytes);
    memcpy(bytes + CHAIN_AT_CHECKSUM, &checksum, sizeof checksum);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    if (mem_process() == NULL) abort();
    if (digester == NULL) make_digester();
    check_group((kh_bytes){bytes, size_bytes});
    check_chain((kh_bytes){bytes, size_bytes});
    if (size_bytes < CHAIN_AT_DIGESTS) return 0;
    unsigned char *copy = malloc(size_bytes);
    if (copy == NULL) abort();
    memcpy(copy, bytes, size_bytes);
    make_fit_chain(copy, size_bytes);
    check_chain((kh_bytes){copy, size_bytes});
    memcpy(copy, bytes, size_bytes);
    if (size_bytes >= GROUP_HEAD_BYTES) {
        make_fit_group(copy, size_bytes);
        check_group((kh_bytes){copy, size_bytes});
    }
    free(copy);
    return 0;
}
