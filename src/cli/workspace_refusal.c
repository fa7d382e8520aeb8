/* workspace_refusal.c - why a workspace was not committed, said to people and to programs. */
#include "complain.h"
#include "delta_text.h"
#include "head_text.h"
#include "key_text.h"
#include "workspace_commit.h"

#include <inttypes.h>
#include <stdio.h>

enum { KEYS_SHOWN = 8 };

void refusal_free(struct refusal *refusal) {
    kh_delta_release(refusal->rival_delta);
    text_free(&refusal->key);
    *refusal = (struct refusal){.status = KH_OK};
}

static bool has_rival(const struct refusal *refusal) {
    return refusal->rival.low != 0;
}

static void add_json(const struct refusal *refusal, struct text *line) {
    text_printf(line, "{\"status\":\"%s\"", kh_status_name(refusal->status));
    if (has_rival(refusal)) {
        text_add(line, ",\"rival\":\"");
        delta_text_add_id(line, refusal->rival);
        text_add_char(line, '"');
    }
    if (refusal->rival_commit != 0) {
        text_printf(line, ",\"rival_timestamp\":%" PRIu64, refusal->rival_commit);
    }
    if (refusal->rival_delta != NULL) {
        text_printf(line, ",\"class\":\"%s\",\"cosine\":%.9g,\"rival_keys\":",
                    kh_delta_class_name(refusal->kind), (double)refusal->cosine);
        delta_text_add_keys(line, refusal->rival_delta, NULL, DELTA_TEXT_JSON, 0);
    }
    if (refusal->key.size > 0) {
        struct text key = {NULL, 0, 0};
        key_text_add(&key, text_bytes(&refusal->key));
        text_add(line, ",\"key\":");
        text_add_json(line, text_bytes(&key));
        text_free(&key);
    }
    text_add(line, "}\n");
}

static void add_what(const struct refusal *refusal, struct text *line) {
    if (refusal->rival_delta != NULL) {
        text_printf(line, "%s %s", kh_delta_class_name(refusal->kind),
                    refusal->kind == KH_DELTA_OPPOSITE ? "to" : "with");
    } else if (refusal->key.size > 0) {
        text_add(line, "the key '");
        key_text_add(line, text_bytes(&refusal->key));
        text_add(line, refusal->status == KH_HELD ? "' is held by" : "' was changed by");
    } else {
        text_add(line, refusal->message[0] == '\0' ? kh_status_meaning(refusal->status)
                                                   : refusal->message);
        text_add(line, has_rival(refusal) || refusal->rival_commit != 0 ? ": by" : "");
    }
    if (has_rival(refusal)) {
        text_add(line, " transaction ");
        delta_text_add_id(line, refusal->rival);
    } else if (refusal->rival_commit != 0) {
        text_add(line, " a transaction");
    }
    if (refusal->rival_commit != 0) {
        text_add(line, " of ");
        head_text_add_time(line, KH_MS_OF_TIMESTAMP(refusal->rival_commit));
        text_printf(line, " (timestamp %" PRIu64 ")", refusal->rival_commit);
    }
    if (refusal->rival_delta != NULL) {
        text_printf(line, ", cosine %.4f, which changed ", (double)refusal->cosine);
        delta_text_add_keys(line, refusal->rival_delta, NULL, DELTA_TEXT_PLAIN, KEYS_SHOWN);
    }
}

static const char *advice_of(kh_status status) {
    switch (status) {
    case KH_HELD:
        return "; wait for its decision";
    case KH_CONFLICT:
    case KH_SEMANTIC_CONFLICT:
    case KH_NOT_SERIALIZABLE:
        return "; read what it changed, and run it again with a later --seen";
    case KH_TOO_OLD:
        return "; read what is there now, and run it again with a later --seen";
    default:
        return "";
    }
}

int refusal_show(const struct refusal *refusal, bool is_json) {
    struct text line = {NULL, 0, 0};
    if (is_json) {
        add_json(refusal, &line);
        (void)fwrite(line.bytes, 1, line.size, stdout);
        text_clear(&line);
    }
    add_what(refusal, &line);
    int code = complain(CLI_FAILED, "commit: %s (%s)%s", line.bytes,
                        kh_status_name(refusal->status), advice_of(refusal->status));
    text_free(&line);
    return code;
}
