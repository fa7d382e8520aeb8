/* proof_make.c - proofs for check_proof.py to check, of a made-up history.
 *
 *   proof_make GROUPS        every record of so many groups, under the head of each group from the
 *                            record's on
 *   proof_make GROUPS GROUP  the records of one group under the newest head only
 *
 * An empty line stands behind each proof. Group g has 1 + g % 4 records, the frames are what
 * record_encode makes: the record at position p puts "put-p" and deletes "gone-p"; its transaction
 * is (7, p + 1), its commit timestamp ((1,700,000,000,000 + p) << 16) + 5. */
#include "log/proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS_MAX = 4096, KEY_BYTES = 32 };

struct group {
    struct ipc_buffer bytes; /* the head, then the frames */
    struct group_head head;
    struct digest digest;
};

struct history {
    struct mem *mem;
    struct digester *digester;
    kh_schema *schema;
    kh_batch *batch;
    kh_identity identity;
    struct chain chain;
    struct group *groups; /* [1] is the first */
};

static void must(bool is_so, const char *what) {
    if (is_so) return;
    (void)fprintf(stderr, "proof_make: %s\n", what);
    exit(1);
}

static uint32_t number_of(void *context, const kh_schema *schema) {
    (void)context;
    (void)schema;
    return 1;
}

static void add_record(struct history *history, uint64_t position, struct ipc_buffer *out) {
    char put[KEY_BYTES];
    char gone[KEY_BYTES];
    (void)snprintf(put, sizeof put, "put-%llu", (unsigned long long)position);
    (void)snprintf(gone, sizeof gone, "gone-%llu", (unsigned long long)position);
    struct record_write writes[] = {{{put, strlen(put)}, history->batch, 0, 0},
                                    {{gone, strlen(gone)}, NULL, 3, 0}};
    struct record record = {.kind = RECORD_COMMIT,
                            .id = {7, position + 1},
                            .isolation = KH_SERIALIZABLE,
                            .rule = RECORD_RULE_STRICT_SSN,
                            .commit = ((UINT64_C(1700000000000) + position) << 16) + 5,
                            .writes = writes,
                            .write_count = 2};
    struct record_codec codec = {.mem = history->mem, .number_of = number_of};
    must(record_encode(&codec, &record, out, NULL) == KH_OK, "a record cannot be encoded");
}

static void add_group(struct history *history, uint64_t number) {
    struct group *group = &history->groups[number];
    ipc_buffer_init(&group->bytes, history->mem);
    must(ipc_buffer_extend(&group->bytes, GROUP_HEAD_BYTES) != NULL, "no memory");
    uint64_t records = 1 + number % 4;
    for (uint64_t i = 0; i < records; i++)
        add_record(history, history->chain.next + i, &group->bytes);
    kh_bytes body = {group->bytes.bytes + GROUP_HEAD_BYTES,
                     group->bytes.size_bytes - GROUP_HEAD_BYTES};
    uint64_t ms = UINT64_C(1700000000000) + history->chain.next;
    group->head = (struct group_head){.first_commit = (ms << 16) + 5,
                                      .last_commit = ((ms + records - 1) << 16) + 5,
                                      .wall_ms = ms};
    chain_append(&history->chain, history->digester, &group->head, body, group->bytes.bytes);
    group->digest = history->chain.newest;
}

static void make_history(struct history *history, uint64_t groups) {
    const char *name = "n";
    const char *format = "l";
    kh_scalar one = {KH_SCALAR_INT64, {.int64 = 1}};
    struct digest genesis;
    history->mem = mem_create(NULL);
    must(history->mem != NULL, "no memory");
    history->digester = digester_create(history->mem);
    history->groups = calloc(groups + 1, sizeof *history->groups);
    must(history->digester != NULL && history->groups != NULL, "no memory");
    must(kh_schema_build(NULL, &name, &format, 1, &history->schema, NULL) == KH_OK, "no schema");
    must(kh_batch_build(NULL, history->schema, &one, 1, &history->batch, NULL) == KH_OK,
         "no batch");
    memset(history->identity.database, 0xdb, sizeof history->identity.database);
    memset(history->identity.timeline, 0x71, sizeof history->identity.timeline);
    chain_genesis(history->digester, &history->identity, &genesis);
    chain_init(&history->chain, &genesis);
    for (uint64_t number = 1; number <= groups; number++) add_group(history, number);
}

static void drop_history(struct history *history, uint64_t groups) {
    for (uint64_t number = 1; number <= groups; number++)
        ipc_buffer_fini(&history->groups[number].bytes);
    free(history->groups);
    kh_batch_release(history->batch);
    kh_schema_release(history->schema);
    digester_destroy(history->digester);
    mem_close(history->mem);
}

/* The heads from one group down to another; GROUPS_MAX is more than any way has. */
static size_t collect(const struct history *history, uint64_t from, uint64_t to,
                      unsigned char (*heads)[GROUP_HEAD_BYTES]) {
    size_t count = 0;
    for (;; from = chain_step(from, to)) {
        memcpy(heads[count++], history->groups[from].bytes.bytes, GROUP_HEAD_BYTES);
        if (from == to) return count;
    }
}

/* Every record of a group under one head. */
static void print_group(const struct history *history, uint64_t newest, uint64_t number) {
    static unsigned char heads[GROUPS_MAX][GROUP_HEAD_BYTES];
    const struct group *group = &history->groups[number];
    kh_bytes body = {group->bytes.bytes + GROUP_HEAD_BYTES,
                     group->bytes.size_bytes - GROUP_HEAD_BYTES};
    size_t head_count = collect(history, newest, number, heads);
    uint32_t count = group->head.record_count;
    for (uint32_t index = 0; index < count; index++) {
        struct digest path[MERKLE_PATH_MAX];
        kh_bytes frame;
        struct ipc_buffer out;
        uint32_t path_count = merkle_path(history->digester, body, count, index, &frame, path);
        ipc_buffer_init(&out, history->mem);
        must(proof_write(&history->identity, &history->groups[newest].digest,
                         (const unsigned char(*)[GROUP_HEAD_BYTES])heads, head_count, frame, index,
                         count, path, path_count, group->head.first + index, &out) == KH_OK,
             "no memory");
        must(fwrite(out.bytes, 1, out.size_bytes, stdout) == out.size_bytes && puts("") >= 0,
             "cannot write");
        ipc_buffer_fini(&out);
    }
}

int main(int argc, char *argv[]) {
    struct history history = {0};
    uint64_t groups = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t only = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    must(groups > 0 && groups < GROUPS_MAX && only <= groups, "usage: proof_make GROUPS [GROUP]");
    make_history(&history, groups);
    if (only > 0) print_group(&history, groups, only);
    for (uint64_t newest = 1; only == 0 && newest <= groups; newest++)
        for (uint64_t number = 1; number <= newest; number++) print_group(&history, newest, number);
    drop_history(&history, groups);
    must(fflush(stdout) == 0, "cannot write");
    return 0;
}
