/* command_log.c - khonsu log: the records of a database's log, a line each. */
#include "command.h"
#include "complain.h"
#include "delta_text.h"
#include "file.h"
#include "head_text.h"
#include "key_text.h"

#include <inttypes.h>

static const char details[] =
    "Lists the records that the log of the database in the directory DIR still has: position,\n"
    "group, kind, commit timestamp (as a number and in UTC), transaction, what a workspace's\n"
    "change means (mode, dimension, values that are not zero, magnitude), and the keys that it\n"
    "writes with the bytes of their values (- for a deletion). No process may have it open;\n"
    "nothing in it is changed. Checksums are checked; khonsu verify checks more. khonsu workspace\n"
    "lists and compares what changes mean.";

static const char examples[] = "  khonsu log orders.db --limit 20\n"
                               "  khonsu log orders.db --from 1000 --json";

static const char *const kinds[] = {"?",      "commit", "prepare", "decide-commit", "decide-abort",
                                    "schema", "horizon"};

struct listing {
    uint64_t limit; /* 0: none */
    uint64_t count;
    bool is_json;
    struct text line;
    struct text key;
};

static const char *kind_of(const kh_record_entry *record) {
    size_t kind = (size_t)record->kind;
    return kinds[kind < sizeof kinds / sizeof kinds[0] ? kind : 0];
}

static void add_plain(struct listing *listing, const kh_record_entry *record) {
    struct text *line = &listing->line;
    text_printf(line, "%" PRIu64 " %" PRIu64 " %s ", record->position, record->group,
                kind_of(record));
    if (record->timestamp != 0) {
        text_printf(line, "%" PRIu64 " ", record->timestamp);
        head_text_add_time(line, KH_MS_OF_TIMESTAMP(record->timestamp));
    } else {
        text_add(line, "- -");
    }
    if (record->kind == KH_RECORD_SCHEMA) {
        text_printf(line, " number=%" PRIu32, record->schema_number);
    } else {
        text_printf(line, " %" PRIu64 ":%" PRIu64, record->id.high, record->id.low);
    }
    if (record->delta != NULL) {
        text_printf(line, " mode=%s dimension=%zu filled=%zu magnitude=%.6g",
                    delta_text_mode(record->mode), kh_delta_dimension(record->delta),
                    kh_delta_filled(record->delta), (double)kh_delta_magnitude(record->delta));
    }
    if (record->member_count > 0) {
        text_printf(line, " members=%zu", record->member_count);
    }
    for (size_t i = 0; i < record->write_count; ++i) {
        const kh_record_write *write = &record->writes[i];
        text_add_char(line, ' ');
        key_text_add(line, write->key);
        if (write->is_deleted) {
            text_add(line, "=-");
        } else {
            text_printf(line, "=%" PRIu64, write->value_bytes);
        }
    }
}

static void add_members_json(struct text *line, const kh_record_entry *record) {
    for (size_t i = 0; i < record->member_count; ++i) {
        const kh_record_member *member = &record->members[i];
        text_add(line, i == 0 ? ",\"members\":[" : ",");
        text_printf(line, "{\"id\":\"%" PRIu64 ":%" PRIu64 "\"", member->id.high, member->id.low);
        if (member->delta != NULL) {
            text_add(line, ",\"semantic\":{");
            delta_text_add_json(line, member->mode, member->delta);
            text_add_char(line, '}');
        }
        text_add_char(line, '}');
    }
    if (record->member_count > 0) {
        text_add_char(line, ']');
    }
}

static void add_json(struct listing *listing, const kh_record_entry *record) {
    struct text *line = &listing->line;
    text_printf(line, "{\"position\":%" PRIu64 ",\"group\":%" PRIu64, record->position,
                record->group);
    text_printf(line, ",\"sealed_ms\":%" PRIu64 ",\"kind\":\"%s\"", record->sealed_ms,
                kind_of(record));
    text_printf(line, ",\"bytes\":%" PRIu64, record->size_bytes);
    if (record->timestamp != 0) {
        text_printf(line, ",\"timestamp\":%" PRIu64 ",\"time\":\"", record->timestamp);
        head_text_add_time(line, KH_MS_OF_TIMESTAMP(record->timestamp));
        text_add_char(line, '"');
    }
    if (record->kind == KH_RECORD_SCHEMA) {
        text_printf(line, ",\"schema\":%" PRIu32, record->schema_number);
    } else {
        text_printf(line, ",\"id\":\"%" PRIu64 ":%" PRIu64 "\"", record->id.high, record->id.low);
    }
    if (record->delta != NULL) {
        text_add(line, ",\"semantic\":{");
        delta_text_add_json(line, record->mode, record->delta);
        text_add_char(line, '}');
    }
    add_members_json(line, record);
    text_add(line, ",\"writes\":[");
    for (size_t i = 0; i < record->write_count; ++i) {
        const kh_record_write *write = &record->writes[i];
        text_clear(&listing->key);
        key_text_add(&listing->key, write->key);
        text_add(line, i == 0 ? "{\"key\":" : ",{\"key\":");
        text_add_json(line, text_bytes(&listing->key));
        if (write->is_deleted) {
            text_add(line, ",\"deleted\":true}");
        } else {
            text_printf(line, ",\"bytes\":%" PRIu64 "}", write->value_bytes);
        }
    }
    text_add(line, "]}");
}

static bool visit(void *context, const kh_record_entry *record) {
    struct listing *listing = context;
    text_clear(&listing->line);
    if (listing->is_json) {
        add_json(listing, record);
    } else {
        add_plain(listing, record);
    }
    text_add_char(&listing->line, '\n');
    (void)fwrite(listing->line.bytes, 1, listing->line.size, stdout);
    listing->count += 1;
    return !ferror(stdout) && (listing->limit == 0 || listing->count < listing->limit);
}

static int run(const struct command *command, int argc, char *const *argv) {
    uint64_t from = 0;
    struct listing listing = {.limit = 0};
    const struct option options[] = {
        {"from", 0, OPTION_COUNT, "POSITION", "begin at this record; default: the oldest", &from},
        {"limit", 'n', OPTION_COUNT, "N", "show so many records; default: all", &listing.limit},
        {"json", 'j', OPTION_FLAG, NULL, "an object a line", &listing.is_json},
    };
    struct operands operands;
    int code = CLI_OK;
    kh_error error = {""};
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    kh_status status = kh_path_log(operands.values[0], from, visit, &listing, &error);
    text_free(&listing.line);
    text_free(&listing.key);
    return status == KH_OK ? CLI_OK : complain_status("log", status, &error);
}

const struct command command_log = {
    .name = "log",
    .summary = "show the records of a database's log",
    .operands = "DIR [--from POSITION] [--limit N] [--json]",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 1,
    .run = run,
};
