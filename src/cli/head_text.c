/* head_text.c - see head_text.h. */
#include "head_text.h"

#include "options.h"
#include "value.h"

#include <inttypes.h>
#include <string.h>

void head_text_add(struct text *out, const kh_head *head) {
    text_printf(out, "%" PRIu64 ":", head->number);
    text_add_hex(out, (kh_bytes){head->digest, KH_DIGEST_BYTES});
}

static int hex_digit(char letter) {
    static const char digits[] = "0123456789abcdef";
    const char *found = letter == '\0' ? NULL : strchr(digits, letter);
    return found == NULL ? -1 : (int)(found - digits);
}

bool head_text_parse(const char *text, uint64_t *number, uint8_t digest[KH_DIGEST_BYTES]) {
    const char *colon = strchr(text, ':');
    const char *hex = colon == NULL ? text : colon + 1;
    *number = 0;
    if (colon != NULL) {
        char digits[24];
        size_t length = (size_t)(colon - text);
        if (length == 0 || length >= sizeof digits || strspn(text, "0123456789") != length) {
            return false;
        }
        memcpy(digits, text, length);
        digits[length] = '\0';
        if (!options_count(digits, number)) {
            return false;
        }
    }
    if (strlen(hex) != (size_t)2 * KH_DIGEST_BYTES) {
        return false;
    }
    for (int i = 0; i < KH_DIGEST_BYTES; ++i) {
        int high = hex_digit(hex[2 * i]);
        int low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void head_text_add_time(struct text *out, uint64_t unix_ms) {
    uint64_t second = unix_ms / 1000 % 86400;
    value_append_day(out, (int64_t)(unix_ms / 86400000));
    text_printf(out, "T%02d:%02d:%02d.%03dZ", (int)(second / 3600), (int)(second / 60 % 60),
                (int)(second % 60), (int)(unix_ms % 1000));
}
