/* The text of a proof, byte by byte, and memory that ends while it is written. That it convinces
 * is a matter of test/python/proof_check_test.py. */
#include "log/proof.h"
#include "support/group_kit.h"

#include <stdio.h>

/* What proof_write is given, of small numbers. */
struct given {
    kh_identity identity;
    struct digest head;
    unsigned char heads[3][GROUP_HEAD_BYTES];
    struct digest path[MERKLE_PATH_MAX];
};

static void make_given(struct given *given) {
    memset(given, 0, sizeof *given);
    memset(given->identity.database, 0xda, 16);
    memset(given->identity.timeline, 0x07, 16);
    memset(&given->head, 0x4e, sizeof given->head);
    uint64_t number = UINT64_MAX;
    memcpy(given->heads[0] + GROUP_AT_NUMBER, &number, sizeof number);
    for (int i = 0; i < MERKLE_PATH_MAX; i++) memset(&given->path[i], i, sizeof given->path[i]);
}

static kh_status write_given(const struct given *given, size_t head_count, uint32_t path_count,
                             struct ipc_buffer *out) {
    return proof_write(&given->identity, &given->head, given->heads, head_count,
                       (kh_bytes){"\x01\xfe", 2}, 3, UINT32_MAX, given->path, path_count,
                       UINT64_MAX, out);
}

static void the_text_is_as_documented(void **state) {
    (void)state;
    static struct given given;
    struct mem *mem = mem_create(NULL);
    struct ipc_buffer out;
    make_given(&given);
    ipc_buffer_init(&out, mem);
    ipc_buffer_append(&out, "kept", 4);
    assert_int_equal(write_given(&given, 2, 2, &out), KH_OK);
    char zeros[2 * GROUP_HEAD_BYTES + 1];
    memset(zeros, '0', sizeof zeros - 1);
    zeros[sizeof zeros - 1] = '\0';
    char expected[4096];
    snprintf(expected, sizeof expected,
             "kept{\"khonsu_proof\":1,\n"
             "\"database\":\"dadadadadadadadadadadadadadadada\",\n"
             "\"timeline\":\"07070707070707070707070707070707\",\n"
             "\"head\":{\"number\":18446744073709551615,\"digest\":"
             "\"4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e\"},\n"
             "\"groups\":[\"%.64sffffffffffffffff%.304s\",\n\"%s\"],\n"
             "\"record\":{\"position\":18446744073709551615,\"index\":3,\"count\":4294967295,\n"
             "\"frame\":\"01fe\",\n"
             "\"path\":[\"%.64s\",\n"
             "\"0101010101010101010101010101010101010101010101010101010101010101\"]}}\n",
             zeros, zeros, zeros, zeros);
    assert_int_equal(out.size_bytes, strlen(expected));
    assert_memory_equal(out.bytes, expected, out.size_bytes);
    ipc_buffer_fini(&out);
    mem_close(mem);
}

static uint64_t allowed_bytes;

static void *allocate(void *context, size_t size_bytes, size_t alignment) {
    (void)context;
    if (size_bytes > allowed_bytes) return NULL;
    return aligned_alloc(alignment, (size_bytes + alignment - 1) / alignment * alignment);
}

static void give_back(void *context, void *block, size_t size_bytes) {
    (void)context;
    (void)size_bytes;
    free(block);
}

static void without_memory_nothing_is_left(void **state) {
    (void)state;
    static struct given given;
    struct mem_hooks hooks = {allocate, give_back, NULL};
    allowed_bytes = 1 << 20;
    struct mem *mem = mem_create(&hooks);
    make_given(&given);
    for (size_t heads = 1; heads <= 3; heads++) {
        for (allowed_bytes = 1024; allowed_bytes <= 8192; allowed_bytes *= 2) {
            struct ipc_buffer out;
            ipc_buffer_init(&out, mem);
            ipc_buffer_append(&out, "kept", 4);
            kh_status status = write_given(&given, heads, MERKLE_PATH_MAX, &out);
            assert_int_equal(status, allowed_bytes >= 4096 ? KH_OK : KH_NO_MEMORY);
            if (status != KH_OK) assert_int_equal(out.size_bytes, 4);
            assert_memory_equal(out.bytes, "kept", 4);
            ipc_buffer_fini(&out);
        }
    }
    mem_close(mem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_is_as_documented),
        cmocka_unit_test(without_memory_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
