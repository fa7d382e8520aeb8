/* identity.c - see identity.h. The file, of a fixed length:
 *
 *     khonsu database
 *     format 1
 *     database 0123456789abcdef0123456789abcdef
 *     timeline 0123456789abcdef0123456789abcdef
 *     checksum 0123456789abcdef
 *
 * The checksum is XXH3 of everything before its line. The first two lines keep their place and
 * meaning in every format: a newer one is told from damage. */
#include "db/identity.h"

#include "base/env_file.h"
#include "base/hash.h"
#include "base/status.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT = 1, HEX_BYTES = 33, TEXT_BYTES_MAX = 512 };

static const char title[] = "khonsu database\nformat ";

static void to_hex(const uint8_t bytes[16], char out[HEX_BYTES]) {
    for (int i = 0; i < 16; i++) (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static size_t write_text(const kh_identity *identity, char out[TEXT_BYTES_MAX]) {
    char database[HEX_BYTES];
    char timeline[HEX_BYTES];
    to_hex(identity->database, database);
    to_hex(identity->timeline, timeline);
    int length = snprintf(out, TEXT_BYTES_MAX, "%s%d\ndatabase %s\ntimeline %s\n", title, FORMAT,
                          database, timeline);
    uint64_t checksum = hash_bytes(out, (size_t)length, 0);
    int rest = snprintf(out + length, TEXT_BYTES_MAX - (size_t)length, "checksum %016llx\n",
                        (unsigned long long)checksum);
    return (size_t)length + (size_t)rest;
}

static int hex_digit(char letter) {
    if (letter >= '0' && letter <= '9') return letter - '0';
    if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
    return -1;
}

static bool from_hex(const char *text, uint8_t out[16]) {
    for (int i = 0; i < 16; i++) {
        int high = hex_digit(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0) return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* The text that the identity found in it gives must be this text again: nothing else is left to be
 * checked. */
static kh_status parse(const char *text, size_t size_bytes, const char *path, kh_identity *out,
                       kh_error *error) {
    static const char second[] = "1\ndatabase ";
    const size_t at = sizeof title - 1;
    if (size_bytes <= at || memcmp(text, title, at) != 0)
        return status_fail(error, KH_CORRUPT, "%.180s is damaged", path);
    const size_t database = at + sizeof second - 1;
    const size_t timeline = database + 32 + sizeof "\ntimeline " - 1;
    char again[TEXT_BYTES_MAX];
    kh_identity identity;
    if (size_bytes >= timeline + 32 && from_hex(text + database, identity.database) &&
        from_hex(text + timeline, identity.timeline) &&
        write_text(&identity, again) == size_bytes && memcmp(again, text, size_bytes) == 0) {
        *out = identity;
        return KH_OK;
    }
    /* One damaged digit is not a newer format: formats are numbers followed by a line's end. */
    if (text[at] >= '2' && text[at] <= '9' && text[at + 1] == '\n')
        return status_fail(
            error, KH_UNSUPPORTED,
            "%.160s: format %c is newer than this library's (or the file is damaged)", path,
            text[at]);
    return status_fail(error, KH_CORRUPT, "%.180s is damaged", path);
}

kh_status identity_make(const char *directory, const kh_identity *identity, kh_error *error) {
    char text[TEXT_BYTES_MAX];
    kh_bytes contents = {text, write_text(identity, text)};
    int code = env_replace(directory, "KHONSU", contents);
    if (code == 0) return KH_OK;
    return status_fail(error, KH_IO, "%.160s/KHONSU cannot be written (errno %d)", directory, code);
}

kh_status identity_read(const char *directory, kh_identity *identity, kh_error *error) {
    char path[4096];
    char text[TEXT_BYTES_MAX] = {0};
    uint64_t size_bytes = 0;
    (void)snprintf(path, sizeof path, "%s/KHONSU", directory);
    int descriptor = env_open(path, ENV_READ);
    int code = descriptor < 0 ? -descriptor : env_size(descriptor, &size_bytes);
    if (code == 0 && size_bytes >= sizeof text) size_bytes = sizeof text - 1;
    if (code == 0) code = env_read_at(descriptor, text, (size_t)size_bytes, 0);
    env_close(descriptor);
    if (code != 0) return status_fail(error, KH_IO, "%.160s cannot be read (errno %d)", path, code);
    return parse(text, (size_t)size_bytes, path, identity, error);
}

kh_status identity_open(const char *directory, kh_identity *identity, kh_error *error) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/KHONSU", directory);
    if (!env_path_exists(path)) return identity_make(directory, identity, error);
    return identity_read(directory, identity, error);
}
