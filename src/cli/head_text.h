/* head_text.h - heads of histories as text: NUMBER:DIGEST, digits and 64 hexadecimal digits. */
#ifndef KHONSU_CLI_HEAD_TEXT_H
#define KHONSU_CLI_HEAD_TEXT_H

#include "text.h"

/* Append it. */
void head_text_add(struct text *out, const kh_head *head);
/* NUMBER:DIGEST or DIGEST alone (the number is 0 then). False: it is neither. */
bool head_text_parse(const char *text, uint64_t *number, uint8_t digest[KH_DIGEST_BYTES]);
/* Milliseconds of Unix time in UTC: 2026-01-31T12:00:00.000Z. */
void head_text_add_time(struct text *out, uint64_t unix_ms);

#endif
