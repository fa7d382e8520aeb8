/* key_text.h - keys are bytes, arguments and terminals are text: \\ stands for a backslash and \xHH
 * for a byte that cannot be written as itself. */
#ifndef KHONSU_CLI_KEY_TEXT_H
#define KHONSU_CLI_KEY_TEXT_H

#include "text.h"

/* Append the key that text stands for. False: a backslash that is neither \\ nor \xHH. */
bool key_text_parse(const char *text, struct text *key);
/* Append the text of a key; key_text_parse gives the same key back. */
void key_text_add(struct text *out, kh_bytes key);

#endif
