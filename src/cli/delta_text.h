/* delta_text.h - deltas of embeddings, as people and programs read them. */
#ifndef KHONSU_CLI_DELTA_TEXT_H
#define KHONSU_CLI_DELTA_TEXT_H

#include "text.h"

/* "keys", "guard", "merge"; "?" for a number that is none. */
const char *delta_text_mode(kh_semantic_mode mode);
/* "HIGH:LOW". */
void delta_text_add_id(struct text *out, kh_txn_id id);
/* "mode":...,"dimension":...,"filled":...,"magnitude":... */
void delta_text_add_json(struct text *out, kh_semantic_mode mode, const kh_delta *delta);

enum delta_text_form { DELTA_TEXT_PLAIN, DELTA_TEXT_JSON };
/* Its keys in order, or those of them that other has, too (unless it is NULL). Plain: with a space
 * between, at most count_max, and how many more there are. JSON: an array of all. */
void delta_text_add_keys(struct text *out, const kh_delta *delta, const kh_delta *other,
                         enum delta_text_form form, size_t count_max);

#endif
