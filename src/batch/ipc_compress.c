/* ipc_compress.c - LZ4 frames and ZSTD, as the bodies of Arrow's record batches use them.
 *
 * Invariants: both libraries get their memory from mem.h (ZSTD works in a block given to it, LZ4's
 * frame compressor keeps its state on the stack as long as blocks are independent); decompression
 * writes at most what the message declared, and that was held against ipc_expansion_max before
 * memory was asked for. Failure: KH_NO_MEMORY; KH_CORRUPT when the stream is malformed, ends early
 * or late, or has another size than declared. */
#define LZ4F_STATIC_LINKING_ONLY
#define ZSTD_STATIC_LINKING_ONLY
#include <lz4frame.h>
#include <zstd.h>

#include "batch/ipc_wire.h"

#include "base/status.h"
#include <string.h>

/* Arrow's own default; higher levels cost much and gain little on columns. */
#define ZSTD_LEVEL 1
/* LZ4: one byte of a length run stands for 255 bytes at most (lz4_Block_format.md). */
#define LZ4_EXPANSION 255u
/* ZSTD: a block makes at most 128 KiB and takes at least 4 bytes (RFC 8878: 3 of header and 1). */
#define ZSTD_BLOCK_BYTES (128u << 10)
#define ZSTD_BLOCK_LEAST 4u

struct ipc_codec {
    struct mem *mem;
    kh_compression kind;
    void *workspace; /* ZSTD */
    size_t workspace_bytes;
    ZSTD_CCtx *zstd; /* in workspace */
};

kh_status ipc_codec_create(struct mem *mem, kh_compression compression, struct ipc_codec **out,
                           kh_error *error) {
    if (compression == KH_COMPRESS_NONE) {
        *out = NULL;
        return KH_OK;
    }
    if (compression != KH_COMPRESS_LZ4 && compression != KH_COMPRESS_ZSTD)
        return status_fail(error, KH_INVALID, "unknown compression %d", (int)compression);
    struct ipc_codec *codec = mem_alloc_zeroed(mem, NULL, sizeof *codec);
    if (codec == NULL)
        return status_no_memory(error, sizeof *codec);
    codec->mem = mem;
    codec->kind = compression;
    if (compression == KH_COMPRESS_ZSTD) {
        codec->workspace_bytes = ZSTD_estimateCCtxSize(ZSTD_LEVEL);
        codec->workspace = mem_alloc(mem, NULL, codec->workspace_bytes);
        if (codec->workspace == NULL) {
            ipc_codec_destroy(codec);
            return status_no_memory(error, ZSTD_estimateCCtxSize(ZSTD_LEVEL));
        }
        codec->zstd = ZSTD_initStaticCCtx(codec->workspace, codec->workspace_bytes);
        kh_assert(codec->zstd != NULL);
    }
    *out = codec;
    return KH_OK;
}

void ipc_codec_destroy(struct ipc_codec *codec) {
    if (codec == NULL)
        return;
    mem_free(codec->mem, NULL, codec->workspace, codec->workspace_bytes);
    mem_free(codec->mem, NULL, codec, sizeof *codec);
}

kh_compression ipc_codec_kind(const struct ipc_codec *codec) {
    return codec == NULL ? KH_COMPRESS_NONE : codec->kind;
}

kh_status ipc_compress(struct ipc_codec *codec, const void *bytes, size_t size_bytes,
                       struct ipc_buffer *out) {
    LZ4F_preferences_t preferences;
    memset(&preferences, 0, sizeof preferences);
    preferences.frameInfo.blockMode = LZ4F_blockIndependent;
    preferences.frameInfo.contentSize = size_bytes;
    bool is_lz4 = codec->kind == KH_COMPRESS_LZ4;
    size_t bound = is_lz4 ? LZ4F_compressFrameBound(size_bytes, &preferences)
                          : ZSTD_compressBound(size_bytes);
    void *room = ipc_buffer_extend(out, bound);
    if (room == NULL)
        return KH_NO_MEMORY;
    size_t used;
    if (is_lz4) {
        used = LZ4F_compressFrame(room, bound, bytes, size_bytes, &preferences);
        kh_assert(!LZ4F_isError(used));
    } else {
        used = ZSTD_compressCCtx(codec->zstd, room, bound, bytes, size_bytes, ZSTD_LEVEL);
        kh_assert(!ZSTD_isError(used));
    }
    out->size_bytes -= bound - used;
    return KH_OK;
}

uint64_t ipc_expansion_max(kh_compression compression, uint64_t size_bytes) {
    uint64_t unit = compression == KH_COMPRESS_LZ4 ? LZ4_EXPANSION : ZSTD_BLOCK_BYTES;
    uint64_t units = compression == KH_COMPRESS_LZ4 ? size_bytes : size_bytes / ZSTD_BLOCK_LEAST;
    return units > UINT64_MAX / unit ? UINT64_MAX : units * unit;
}

/* LZ4 asks for blocks without telling their size when it frees them: it is kept in front. */
#define SIZE_PREFIX 16u

static void *lz4_allocate(void *context, size_t size_bytes) {
    unsigned char *block = mem_alloc(context, NULL, size_bytes + SIZE_PREFIX);
    if (block == NULL)
        return NULL;
    memcpy(block, &size_bytes, sizeof size_bytes);
    return block + SIZE_PREFIX;
}

static void lz4_free(void *context, void *address) {
    if (address == NULL)
        return;
    unsigned char *block = (unsigned char *)address - SIZE_PREFIX;
    size_t size_bytes;
    memcpy(&size_bytes, block, sizeof size_bytes);
    mem_free(context, NULL, block, size_bytes + SIZE_PREFIX);
}

static kh_status lz4_fail(size_t code, kh_error *error) {
    if (LZ4F_getErrorCode(code) == LZ4F_ERROR_allocation_failed)
        return status_no_memory(error, 0);
    return status_fail(error, KH_CORRUPT, "IPC: malformed LZ4 frame");
}

static kh_status lz4_decompress(struct mem *mem, kh_bytes packed, unsigned char *out,
                                size_t size_bytes, kh_error *error) {
    LZ4F_CustomMem hooks = {.customAlloc = lz4_allocate, .customFree = lz4_free,
                            .opaqueState = mem};
    LZ4F_dctx *context = LZ4F_createDecompressionContext_advanced(hooks, LZ4F_VERSION);
    if (context == NULL)
        return status_no_memory(error, 0);
    kh_status status = KH_OK;
    const unsigned char *next = packed.data;
    size_t left = packed.size_bytes;
    size_t made = 0;
    size_t hint = 1;
    while (hint != 0 && status == KH_OK) {
        size_t out_size = size_bytes - made;
        size_t in_size = left;
        hint = LZ4F_decompress(context, out + made, &out_size, next, &in_size, NULL);
        if (LZ4F_isError(hint))
            status = lz4_fail(hint, error);
        else if (hint != 0 && in_size == 0 && out_size == 0)
            status = status_fail(error, KH_CORRUPT, "IPC: LZ4 frame is cut short");
        made += out_size;
        next += in_size;
        left -= in_size;
    }
    if (status == KH_OK && (left != 0 || made != size_bytes))
        status = status_fail(error, KH_CORRUPT, "IPC: LZ4 frame has another size than declared");
    (void)LZ4F_freeDecompressionContext(context);
    return status;
}

static kh_status zstd_decompress(struct mem *mem, kh_bytes packed, void *out, size_t size_bytes,
                                 kh_error *error) {
    unsigned long long declared = ZSTD_getFrameContentSize(packed.data, packed.size_bytes);
    if (declared == ZSTD_CONTENTSIZE_ERROR ||
        (declared != ZSTD_CONTENTSIZE_UNKNOWN && declared > size_bytes))
        return status_fail(error, KH_CORRUPT, "IPC: ZSTD frame has another size than declared");
    size_t workspace_bytes = ZSTD_estimateDCtxSize();
    void *workspace = mem_alloc(mem, NULL, workspace_bytes);
    if (workspace == NULL)
        return status_no_memory(error, workspace_bytes);
    ZSTD_DCtx *context = ZSTD_initStaticDCtx(workspace, workspace_bytes);
    kh_assert(context != NULL);
    size_t made = ZSTD_decompressDCtx(context, out, size_bytes, packed.data, packed.size_bytes);
    mem_free(mem, NULL, workspace, workspace_bytes);
    if (ZSTD_isError(made) || made != size_bytes)
        return status_fail(error, KH_CORRUPT, "IPC: malformed ZSTD frame");
    return KH_OK;
}

kh_status ipc_decompress(struct mem *mem, kh_compression compression, kh_bytes packed, void *out,
                         size_t size_bytes, kh_error *error) {
    if (compression == KH_COMPRESS_LZ4)
        return lz4_decompress(mem, packed, out, size_bytes, error);
    return zstd_decompress(mem, packed, out, size_bytes, error);
}
