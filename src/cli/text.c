/* text.c - growing text, escapes, and how wide characters are on a terminal.
 *
 * Widths come from a short table (zero for combining marks, two for East Asian and emoji blocks)
 * rather than wcwidth(), which answers by locale and knows only ASCII in the C locale. */
#include "text.h"

#include "heap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_free(struct text *text) {
    free(text->bytes);
    *text = (struct text){NULL, 0, 0};
}

void text_clear(struct text *text) {
    text->size = 0;
    if (text->bytes != NULL) {
        text->bytes[0] = '\0';
    }
}

static void reserve(struct text *text, size_t more) {
    size_t needed = text->size + more + 1;
    if (needed <= text->capacity) {
        return;
    }
    size_t capacity = text->capacity == 0 ? 64 : text->capacity;
    while (capacity < needed) {
        capacity *= 2;
    }
    text->bytes = heap_resize(text->bytes, capacity, 1);
    text->capacity = capacity;
}

void text_append(struct text *text, const void *bytes, size_t size_bytes) {
    reserve(text, size_bytes);
    if (size_bytes > 0) {
        memcpy(text->bytes + text->size, bytes, size_bytes);
    }
    text->size += size_bytes;
    text->bytes[text->size] = '\0';
}

void text_add(struct text *text, const char *string) {
    text_append(text, string, strlen(string));
}

void text_add_char(struct text *text, char character) {
    text_append(text, &character, 1);
}

void text_printf(struct text *text, const char *format, ...) {
    enum { ROOM = 128 };
    va_list arguments;
    reserve(text, ROOM);
    va_start(arguments, format);
    int size = vsnprintf(text->bytes + text->size, ROOM, format, arguments);
    va_end(arguments);
    if (size >= ROOM) {
        reserve(text, (size_t)size);
        va_start(arguments, format);
        (void)vsnprintf(text->bytes + text->size, (size_t)size + 1, format, arguments);
        va_end(arguments);
    }
    text->size += size > 0 ? (size_t)size : 0;
}

size_t text_decode(kh_bytes bytes, uint32_t *character) {
    const unsigned char *at = bytes.data;
    if (bytes.size_bytes == 0) {
        return 0;
    }
    if (at[0] < 0x80) {
        *character = at[0];
        return 1;
    }
    size_t size = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    if (at[0] < 0xC2 || at[0] > 0xF4 || bytes.size_bytes < size) {
        return 0;
    }
    uint32_t value = at[0] & (0x7Fu >> size);
    for (size_t i = 1; i < size; ++i) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
        value = value << 6 | (at[i] & 0x3F);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < least[size] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
        return 0;
    }
    *character = value;
    return size;
}

static kh_bytes after(kh_bytes bytes, size_t size) {
    return (kh_bytes){(const char *)bytes.data + size, bytes.size_bytes - size};
}

static void add_json_character(struct text *text, uint32_t character, kh_bytes sequence) {
    if (character == '"' || character == '\\') {
        text_add_char(text, '\\');
        text_append(text, sequence.data, sequence.size_bytes);
    } else if (character == '\n') {
        text_add(text, "\\n");
    } else if (character == '\t') {
        text_add(text, "\\t");
    } else if (character < 0x20 || character == 0x7F) {
        text_printf(text, "\\u%04x", (unsigned)character);
    } else {
        text_append(text, sequence.data, sequence.size_bytes);
    }
}

void text_add_json(struct text *text, kh_bytes bytes) {
    text_add_char(text, '"');
    while (bytes.size_bytes > 0) {
        uint32_t character = 0;
        size_t size = text_decode(bytes, &character);
        if (size == 0) {
            text_add(text, "\xEF\xBF\xBD");
            size = 1;
        } else {
            add_json_character(text, character, (kh_bytes){bytes.data, size});
        }
        bytes = after(bytes, size);
    }
    text_add_char(text, '"');
}

static bool is_control(uint32_t character) {
    bool is_c0_or_c1 = character < 0x20 || (character >= 0x7F && character < 0xA0);
    /* Marks that turn the direction of text around: they could make a line read as another. */
    bool is_direction = (character >= 0x202A && character <= 0x202E) ||
                        (character >= 0x2066 && character <= 0x2069);
    return is_c0_or_c1 || is_direction;
}

static void add_escaped(struct text *text, kh_bytes bytes) {
    const unsigned char *at = bytes.data;
    if (bytes.size_bytes == 1 && (at[0] == '\n' || at[0] == '\t')) {
        text_add(text, at[0] == '\n' ? "\\n" : "\\t");
        return;
    }
    for (size_t i = 0; i < bytes.size_bytes; ++i) {
        text_printf(text, "\\x%02x", at[i]);
    }
}

void text_add_visible(struct text *text, kh_bytes bytes) {
    while (bytes.size_bytes > 0) {
        uint32_t character = 0;
        size_t size = text_decode(bytes, &character);
        kh_bytes sequence = {bytes.data, size == 0 ? 1 : size};
        if (size == 0 || is_control(character)) {
            add_escaped(text, sequence);
        } else {
            text_append(text, sequence.data, sequence.size_bytes);
        }
        bytes = after(bytes, sequence.size_bytes);
    }
}

void text_add_hex(struct text *text, kh_bytes bytes) {
    const unsigned char *at = bytes.data;
    for (size_t i = 0; i < bytes.size_bytes; ++i) {
        text_printf(text, "%02x", at[i]);
    }
}

void text_add_count(struct text *text, int64_t count) {
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%lld", (long long)(count < 0 ? -count : count));
    text_add(text, count < 0 ? "-" : "");
    for (int i = 0; i < size; ++i) {
        text_add_char(text, digits[i]);
        int left = size - 1 - i;
        text_add(text, left > 0 && left % 3 == 0 ? "," : "");
    }
}

static size_t character_width(uint32_t character) {
    static const struct {
        uint32_t first, last;
        size_t width;
    } blocks[] = {
        {0x0300, 0x036F, 0},   {0x0483, 0x0489, 0},   {0x0591, 0x05BD, 0},   {0x064B, 0x065F, 0},
        {0x1AB0, 0x1AFF, 0},   {0x1DC0, 0x1DFF, 0},   {0x20D0, 0x20FF, 0},   {0xFE00, 0xFE0F, 0},
        {0xFE20, 0xFE2F, 0},   {0x200B, 0x200F, 0},   {0x1100, 0x115F, 2},   {0x2E80, 0x303E, 2},
        {0x3041, 0x33FF, 2},   {0x3400, 0x4DBF, 2},   {0x4E00, 0x9FFF, 2},   {0xA000, 0xA4CF, 2},
        {0xAC00, 0xD7A3, 2},   {0xF900, 0xFAFF, 2},   {0xFE30, 0xFE4F, 2},   {0xFF00, 0xFF60, 2},
        {0xFFE0, 0xFFE6, 2},   {0x1F300, 0x1F64F, 2}, {0x1F680, 0x1F6FF, 2}, {0x1F900, 0x1F9FF, 2},
        {0x20000, 0x3FFFD, 2},
    };
    for (size_t i = 0; character >= 0x0300 && i < sizeof blocks / sizeof blocks[0]; ++i) {
        if (character >= blocks[i].first && character <= blocks[i].last) {
            return blocks[i].width;
        }
    }
    return 1;
}

static size_t step(kh_bytes bytes, size_t *width) {
    uint32_t character = 0;
    size_t size = text_decode(bytes, &character);
    *width = size == 0 ? 1 : character_width(character);
    return size == 0 ? 1 : size;
}

size_t text_width(const char *bytes, size_t size_bytes) {
    size_t total = 0;
    for (size_t at = 0; at < size_bytes;) {
        size_t width = 0;
        at += step((kh_bytes){bytes + at, size_bytes - at}, &width);
        total += width;
    }
    return total;
}

size_t text_fit(const char *bytes, size_t size_bytes, size_t width) {
    size_t total = 0;
    size_t at = 0;
    while (at < size_bytes) {
        size_t own = 0;
        size_t size = step((kh_bytes){bytes + at, size_bytes - at}, &own);
        if (total + own > width) {
            break;
        }
        total += own;
        at += size;
    }
    return at;
}
