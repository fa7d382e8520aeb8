/* key_text.c - keys to and from text. */
#include "key_text.h"

static int hex_digit(char character) {
    if (character >= '0' && character <= '9') {
        return character - '0';
    }
    if (character >= 'a' && character <= 'f') {
        return character - 'a' + 10;
    }
    if (character >= 'A' && character <= 'F') {
        return character - 'A' + 10;
    }
    return -1;
}

bool key_text_parse(const char *text, struct text *key) {
    for (const char *at = text; *at != '\0'; ++at) {
        if (*at != '\\') {
            text_add_char(key, *at);
        } else if (at[1] == '\\') {
            text_add_char(key, '\\');
            ++at;
        } else if (at[1] == 'x' && hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0) {
            text_add_char(key, (char)(hex_digit(at[2]) * 16 + hex_digit(at[3])));
            at += 3;
        } else {
            return false;
        }
    }
    return true;
}

void key_text_add(struct text *out, kh_bytes key) {
    const char *bytes = key.data;
    for (size_t at = 0; at < key.size_bytes;) {
        uint32_t character = 0;
        size_t size = text_decode((kh_bytes){bytes + at, key.size_bytes - at}, &character);
        bool is_control = character < 0x20 || (character >= 0x7F && character < 0xA0);
        if (size == 0 || is_control) {
            size = size == 0 ? 1 : size;
            for (size_t i = 0; i < size; ++i) {
                text_printf(out, "\\x%02x", (unsigned char)bytes[at + i]);
            }
        } else if (character == '\\') {
            text_add(out, "\\\\");
        } else {
            text_append(out, bytes + at, size);
        }
        at += size;
    }
}
