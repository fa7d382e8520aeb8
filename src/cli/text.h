/* text.h - a growing run of bytes, always NUL-terminated once something was added. */
#ifndef KHONSU_CLI_TEXT_H
#define KHONSU_CLI_TEXT_H

#include <khonsu.h>
#include <stdbool.h>

struct text { /* {NULL, 0, 0}: empty */
    char *bytes;
    size_t size;
    size_t capacity;
};

void text_free(struct text *text);
/* Forget the content, keep the memory. */
void text_clear(struct text *text);
static inline kh_bytes text_bytes(const struct text *text) {
    return (kh_bytes){text->bytes, text->size};
}
void text_append(struct text *text, const void *bytes, size_t size_bytes);
void text_add(struct text *text, const char *string);
void text_add_char(struct text *text, char character);
__attribute__((format(printf, 2, 3), nonnull(2))) void text_printf(struct text *text,
                                                                   const char *format, ...);
/* As a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD. */
void text_add_json(struct text *text, kh_bytes bytes);
/* Fit for one line of a terminal: control characters and malformed UTF-8 as escapes. */
void text_add_visible(struct text *text, kh_bytes bytes);
void text_add_hex(struct text *text, kh_bytes bytes);
/* 1234567 as 1,234,567. */
void text_add_count(struct text *text, int64_t count);

/* The length of the UTF-8 sequence at the start of bytes (0: malformed or none) and its character.
 */
size_t text_decode(kh_bytes bytes, uint32_t *character);
/* Columns that the text takes on a terminal. */
size_t text_width(const char *bytes, size_t size_bytes);
/* Bytes of the longest start of the text that takes at most width columns. */
size_t text_fit(const char *bytes, size_t size_bytes, size_t width);

#endif
