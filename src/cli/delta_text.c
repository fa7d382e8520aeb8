/* delta_text.c - see delta_text.h. */
#include "delta_text.h"

#include "key_text.h"

#include <inttypes.h>
#include <string.h>

const char *delta_text_mode(kh_semantic_mode mode) {
    switch (mode) {
    case KH_SEMANTIC_KEYS:
        return "keys";
    case KH_SEMANTIC_GUARD:
        return "guard";
    case KH_SEMANTIC_MERGE:
        return "merge";
    case KH_SEMANTIC_DEFAULT:
        break;
    }
    return "?";
}

void delta_text_add_id(struct text *out, kh_txn_id id) {
    text_printf(out, "%" PRIu64 ":%" PRIu64, id.high, id.low);
}

void delta_text_add_json(struct text *out, kh_semantic_mode mode, const kh_delta *delta) {
    text_printf(out, "\"mode\":\"%s\",\"dimension\":%zu,\"filled\":%zu,\"magnitude\":%.9g",
                delta_text_mode(mode), kh_delta_dimension(delta), kh_delta_filled(delta),
                (double)kh_delta_magnitude(delta));
}

static int compare(kh_bytes a, kh_bytes b) {
    size_t shorter = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = memcmp(a.data, b.data, shorter);
    return order != 0 ? order : (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
}

/* Keys rise in both, so that *at only goes on. */
static bool has_key(const kh_delta *delta, size_t *at, kh_bytes key) {
    for (; *at < kh_delta_key_count(delta); ++*at) {
        int order = compare(kh_delta_key(delta, *at), key);
        if (order >= 0) {
            return order == 0;
        }
    }
    return false;
}

static void add_key(struct text *out, kh_bytes key, enum delta_text_form form, bool is_first) {
    struct text plain = {NULL, 0, 0};
    key_text_add(&plain, key);
    if (!is_first) {
        text_add_char(out, form == DELTA_TEXT_JSON ? ',' : ' ');
    }
    if (form == DELTA_TEXT_JSON) {
        text_add_json(out, text_bytes(&plain));
    } else {
        text_append(out, plain.bytes, plain.size);
    }
    text_free(&plain);
}

void delta_text_add_keys(struct text *out, const kh_delta *delta, const kh_delta *other,
                         enum delta_text_form form, size_t count_max) {
    size_t at = 0;
    size_t count = 0;
    text_add(out, form == DELTA_TEXT_JSON ? "[" : "");
    for (size_t i = 0; i < kh_delta_key_count(delta); ++i) {
        kh_bytes key = kh_delta_key(delta, i);
        if (other != NULL && !has_key(other, &at, key)) {
            continue;
        }
        if (form == DELTA_TEXT_JSON || count < count_max) {
            add_key(out, key, form, count == 0);
        }
        ++count;
    }
    if (form == DELTA_TEXT_JSON) {
        text_add_char(out, ']');
    } else if (count > count_max) {
        text_printf(out, " and %zu more", count - count_max);
    }
}
