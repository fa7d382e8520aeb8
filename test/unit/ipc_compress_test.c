/* ipc_compress_test.c - both codecs: what is packed comes out, and nothing but exactly that. */
#include "batch/ipc_wire.h"
#include "support/ipc_kit.h"

static const kh_compression codecs[] = {KH_COMPRESS_LZ4, KH_COMPRESS_ZSTD};

static unsigned char *contents(size_t size_bytes, unsigned kind) {
    struct foreign_random random = {kind + 1, false, false};
    unsigned char *bytes = malloc(size_bytes + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size_bytes; i++)
        bytes[i] = kind == 0   ? 0
                   : kind == 1 ? (unsigned char)(i / 100)
                               : (unsigned char)foreign_draw(&random, 256);
    return bytes;
}

static struct ipc_buffer pack(kh_compression compression, const void *bytes, size_t size_bytes) {
    struct ipc_codec *codec = NULL;
    struct ipc_buffer out;
    ipc_buffer_init(&out, mem_process());
    assert_int_equal(ipc_codec_create(mem_process(), compression, &codec, NULL), KH_OK);
    for (int i = 0; i < 2; i++) { /* a codec serves many buffers */
        out.size_bytes = 0;
        assert_int_equal(ipc_compress(codec, bytes, size_bytes, &out), KH_OK);
    }
    ipc_codec_destroy(codec);
    return out;
}

static void test_round_trips(void **state) {
    static const size_t sizes[] = {1, 7, 8, 100, 4096, 70000, 300000, 5000000};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (unsigned kind = 0; kind < 3; kind++)
            for (int codec = 0; codec < 2; codec++) {
                unsigned char *bytes = contents(sizes[i], kind);
                unsigned char *out = malloc(sizes[i]);
                assert_non_null(out);
                struct ipc_buffer packed = pack(codecs[codec], bytes, sizes[i]);
                kh_bytes from = {packed.bytes, packed.size_bytes};
                assert_true(sizes[i] <= ipc_expansion_max(codecs[codec], packed.size_bytes));
                assert_int_equal(
                    ipc_decompress(mem_process(), codecs[codec], from, out, sizes[i], NULL), KH_OK);
                assert_memory_equal(out, bytes, sizes[i]);
                ipc_buffer_fini(&packed);
                free(bytes);
                free(out);
            }
}

static void test_other_sizes_are_refused(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++)
        for (int codec = 0; codec < 2; codec++) {
            unsigned char *bytes = contents(1000, kind);
            struct ipc_buffer packed = pack(codecs[codec], bytes, 1000);
            for (size_t size = 0; size < 1100; size += size > 990 && size < 1010 ? 1 : 11) {
                unsigned char *out = malloc(size + 1);
                assert_non_null(out);
                kh_bytes from = {packed.bytes, packed.size_bytes};
                kh_status status =
                    ipc_decompress(mem_process(), codecs[codec], from, out, size, NULL);
                assert_int_equal(status, size == 1000 ? KH_OK : KH_CORRUPT);
                free(out);
            }
            ipc_buffer_fini(&packed);
            free(bytes);
        }
}

static void test_damage_is_refused_or_harmless(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++)
        for (int codec = 0; codec < 2; codec++) {
            unsigned char *bytes = contents(600, kind);
            unsigned char *out = malloc(600);
            struct ipc_buffer packed = pack(codecs[codec], bytes, 600);
            for (size_t size = 0; size < packed.size_bytes; size++) {
                kh_bytes from = {packed.bytes, size};
                assert_int_equal(
                    ipc_decompress(mem_process(), codecs[codec], from, out, 600, NULL), KH_CORRUPT);
            }
            for (size_t bit = 0; bit < 8 * packed.size_bytes; bit++) {
                kh_bytes from = {packed.bytes, packed.size_bytes};
                packed.bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
                kh_status status =
                    ipc_decompress(mem_process(), codecs[codec], from, out, 600, NULL);
                assert_true(status == KH_OK || status == KH_CORRUPT);
                packed.bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
            }
            ipc_buffer_append(&packed, "x", 1);
            kh_bytes longer = {packed.bytes, packed.size_bytes};
            assert_int_equal(ipc_decompress(mem_process(), codecs[codec], longer, out, 600, NULL),
                             KH_CORRUPT);
            ipc_buffer_fini(&packed);
            free(bytes);
            free(out);
        }
}

static void test_expansion_is_bounded(void **state) {
    (void)state;
    assert_int_equal(ipc_expansion_max(KH_COMPRESS_LZ4, 10), 2550);
    assert_int_equal(ipc_expansion_max(KH_COMPRESS_ZSTD, 3), 0);
    assert_int_equal(ipc_expansion_max(KH_COMPRESS_ZSTD, 8), 2 << 17);
    assert_true(ipc_expansion_max(KH_COMPRESS_ZSTD, UINT64_MAX) == UINT64_MAX);
    assert_true(ipc_expansion_max(KH_COMPRESS_LZ4, UINT64_MAX) == UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_other_sizes_are_refused),
        cmocka_unit_test(test_damage_is_refused_or_harmless),
        cmocka_unit_test(test_expansion_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
