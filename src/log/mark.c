/* mark.c - see mark.h. Layout, little-endian: magic (4), version (2), flags (2), checksum of what
 * follows (8), then the fields in the order of the struct, then zeroes. */
#include "log/mark.h"

#include "base/env_file.h"
#include "base/hash.h"
#include "base/status.h"
#include <errno.h>
#include <string.h>

enum {
    MARK_MAGIC = 0x4b4d484b, /* the bytes "KHMK" */
    MARK_VERSION = 1,
    FLAG_CLEAN = 1,
    AT_VERSION = 4,
    AT_FLAGS = 6,
    AT_CHECKSUM = 8,
    AT_FIELDS = 16,
    AT_DIGEST = 56,
    FILE_BYTES = 4096,
    PATH_BYTES = 4096
};

/* The first eight bytes are in the seed, so that they are checked too. */
static uint64_t checksum_of(const unsigned char *bytes) {
    uint64_t seed;
    memcpy(&seed, bytes, sizeof seed);
    return hash_bytes(bytes + AT_FIELDS, MARK_BYTES - AT_FIELDS, seed);
}

void mark_encode(const struct mark *mark, unsigned char out[MARK_BYTES]) {
    memset(out, 0, MARK_BYTES);
    uint32_t magic = MARK_MAGIC;
    uint16_t version = MARK_VERSION;
    uint16_t flags = mark->is_clean ? FLAG_CLEAN : 0;
    memcpy(out, &magic, sizeof magic);
    memcpy(out + AT_VERSION, &version, sizeof version);
    memcpy(out + AT_FLAGS, &flags, sizeof flags);
    uint64_t fields[] = {mark->group, mark->next, mark->synced, mark->id_ms, mark->time_ms};
    memcpy(out + AT_FIELDS, fields, sizeof fields);
    memcpy(out + AT_DIGEST, mark->newest.bytes, sizeof mark->newest.bytes);
    uint64_t checksum = checksum_of(out);
    memcpy(out + AT_CHECKSUM, &checksum, sizeof checksum);
}

kh_status mark_decode(const unsigned char bytes[MARK_BYTES], const char *path, struct mark *out,
                      kh_error *error) {
    uint32_t magic;
    uint16_t version;
    uint16_t flags;
    uint64_t checksum;
    memcpy(&magic, bytes, sizeof magic);
    memcpy(&version, bytes + AT_VERSION, sizeof version);
    memcpy(&flags, bytes + AT_FLAGS, sizeof flags);
    memcpy(&checksum, bytes + AT_CHECKSUM, sizeof checksum);
    if (magic != MARK_MAGIC || checksum != checksum_of(bytes))
        return status_fail(error, KH_CORRUPT, "%.180s is damaged", path);
    if (version != MARK_VERSION)
        return status_fail(error, KH_UNSUPPORTED, "%.180s has version %u", path, version);
    uint64_t fields[5];
    memcpy(fields, bytes + AT_FIELDS, sizeof fields);
    *out = (struct mark){.group = fields[0],
                         .next = fields[1],
                         .synced = fields[2],
                         .id_ms = fields[3],
                         .time_ms = fields[4],
                         .is_clean = (flags & FLAG_CLEAN) != 0};
    memcpy(out->newest.bytes, bytes + AT_DIGEST, sizeof out->newest.bytes);
    return KH_OK;
}

static kh_status fail(int code, const char *path, const char *what, kh_error *error) {
    return status_fail(error, KH_IO, "%.160s cannot be %s (errno %d)", path, what, code);
}

/* At its whole size from the start, so that no later write has to make the file longer. */
kh_status mark_create(const char *path, const struct mark *mark, kh_error *error) {
    unsigned char bytes[FILE_BYTES] = {0};
    char directory[PATH_BYTES];
    mark_encode(mark, bytes);
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? sizeof directory : (size_t)(slash - path);
    if (length >= sizeof directory) return fail(ENAMETOOLONG, path, "made", error);
    memcpy(directory, path, length);
    directory[length] = '\0';
    int code = env_replace(directory, slash + 1, (kh_bytes){bytes, sizeof bytes});
    return code == 0 ? KH_OK : fail(code, path, "made", error);
}

static kh_status read_opened(int descriptor, const char *path, struct mark *mark, kh_error *error) {
    unsigned char bytes[MARK_BYTES];
    if (descriptor < 0) return fail(-descriptor, path, "opened", error);
    int code = env_read_at(descriptor, bytes, sizeof bytes, 0);
    return code == 0 ? mark_decode(bytes, path, mark, error) : fail(code, path, "read", error);
}

kh_status mark_open(const char *path, int *descriptor, struct mark *mark, kh_error *error) {
    int opened = env_path_exists(path) ? env_open(path, ENV_WRITE) : -2;
    kh_status status = read_opened(opened, path, mark, error);
    if (status == KH_OK) {
        *descriptor = opened;
    } else {
        env_close(opened);
    }
    return status;
}

kh_status mark_read(const char *path, struct mark *mark, kh_error *error) {
    int opened = env_open(path, ENV_READ);
    kh_status status = read_opened(opened, path, mark, error);
    env_close(opened);
    return status;
}

kh_status mark_write(int descriptor, const struct mark *mark, bool is_synced, kh_error *error) {
    unsigned char bytes[MARK_BYTES];
    mark_encode(mark, bytes);
    int code = env_write_at(descriptor, bytes, sizeof bytes, 0);
    if (code == 0 && is_synced) code = env_sync(descriptor);
    return code == 0 ? KH_OK : fail(code, "MARK", "written", error);
}
