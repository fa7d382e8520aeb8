/* command_verify.c - khonsu verify: is a database what its history says? */
#include "command.h"
#include "complain.h"
#include "head_text.h"
#include "output.h"

#include <inttypes.h>
#include <string.h>

static const char details[] =
    "Checks every checksum of the database in the directory DIR, the chain of its log, and that\n"
    "replaying the log gives what the storage holds. Changes nothing; no process may have it\n"
    "open. With --expect, the history must have a head that was kept elsewhere (khonsu head): as\n"
    "its newest, or as an earlier one that it has grown from. What was written before the oldest\n"
    "record of the log is counted as unchecked: its own checksums hold, no record tells of it.\n"
    "Exit code 1: something is wrong, and the message says what and where, or the history has no\n"
    "such head.";

static const char examples[] = "  khonsu verify orders.db\n"
                               "  khonsu verify orders.db --expect \"$(tail -1 heads.txt)\"";

static const char *const expectations[] = {"nothing", "head", "earlier", "too old", "missing"};

static void add_time(struct text *out, kh_timestamp timestamp) {
    if (timestamp == 0) {
        text_add(out, "none");
        return;
    }
    text_printf(out, "%" PRIu64 " ", timestamp);
    head_text_add_time(out, KH_MS_OF_TIMESTAMP(timestamp));
}

static void print_text(const kh_verify_report *report) {
    struct text out = {NULL, 0, 0};
    text_add(&out, "head      ");
    head_text_add(&out, &report->head);
    text_printf(&out, "\nrecords   %" PRIu64 " in %" PRIu64 " groups, %" PRIu64 " bytes",
                report->records, report->groups, report->log_bytes);
    text_add(&out, "\n  from    ");
    add_time(&out, report->first_timestamp);
    text_add(&out, "\n  to      ");
    add_time(&out, report->last_timestamp);
    text_printf(&out,
                "\nstorage   %" PRIu64 " keys, %" PRIu64 " versions, %" PRIu64 " schemas, %" PRIu64
                " prepared, %" PRIu64 " bytes",
                report->keys, report->versions, report->schemas, report->prepared,
                report->storage_bytes);
    text_printf(&out,
                "\nunchecked %" PRIu64 " records before the log, %" PRIu64 " versions, %" PRIu64
                " schemas, %" PRIu64 " prepared",
                report->unchecked_records, report->unchecked_versions, report->unchecked_schemas,
                report->unchecked_prepared);
    if (report->has_torn_end) {
        text_add(&out, "\ntorn end  never acknowledged; the next opening cuts it off");
    }
    if (report->expectation != KH_EXPECT_NOTHING) {
        text_printf(&out, "\nexpected  %s", expectations[report->expectation]);
    }
    if (report->expectation == KH_EXPECT_EARLIER) {
        text_printf(&out, ": group %" PRIu64, report->expected.number);
    }
    (void)printf("%s\n", out.bytes);
    text_free(&out);
}

static void add_head(struct text *out, const char *name, const kh_head *head) {
    text_printf(out, "\"%s\":\"", name);
    head_text_add(out, head);
    text_printf(out, "\",\"%s_position\":%" PRIu64 ",", name, head->position);
}

static void add_number(struct text *out, const char *name, uint64_t number) {
    text_printf(out, "\"%s\":%" PRIu64 ",", name, number);
}

static void print_json(const kh_verify_report *report, kh_status status) {
    struct text out = {NULL, 0, 0};
    text_printf(&out, "{\"status\":\"%s\",\"database\":\"", kh_status_name(status));
    text_add_hex(&out, (kh_bytes){report->identity.database, sizeof report->identity.database});
    text_add(&out, "\",\"timeline\":\"");
    text_add_hex(&out, (kh_bytes){report->identity.timeline, sizeof report->identity.timeline});
    text_add(&out, "\",");
    add_head(&out, "head", &report->head);
    add_head(&out, "anchor", &report->anchor);
    add_number(&out, "groups", report->groups);
    add_number(&out, "records", report->records);
    add_number(&out, "log_bytes", report->log_bytes);
    add_number(&out, "first_timestamp", report->first_timestamp);
    add_number(&out, "last_timestamp", report->last_timestamp);
    add_number(&out, "applied", report->applied);
    add_number(&out, "keys", report->keys);
    add_number(&out, "versions", report->versions);
    add_number(&out, "storage_bytes", report->storage_bytes);
    add_number(&out, "schemas", report->schemas);
    add_number(&out, "prepared", report->prepared);
    add_number(&out, "outcomes", report->outcomes);
    add_number(&out, "unchecked_records", report->unchecked_records);
    add_number(&out, "unchecked_versions", report->unchecked_versions);
    add_number(&out, "unchecked_schemas", report->unchecked_schemas);
    add_number(&out, "unchecked_prepared", report->unchecked_prepared);
    add_number(&out, "unchecked_outcomes", report->unchecked_outcomes);
    text_printf(&out, "\"torn_end\":%s,\"expected\":\"%s\",\"finding\":",
                report->has_torn_end ? "true" : "false", expectations[report->expectation]);
    text_add_json(&out, (kh_bytes){report->finding, strlen(report->finding)});
    (void)printf("%s}\n", out.bytes);
    text_free(&out);
}

static bool show_progress(void *context, const char *what, uint64_t count) {
    (void)context;
    (void)fprintf(stderr, "\rkhonsu: %s: %" PRIu64 " entries", what, count);
    (void)fflush(stderr);
    return true;
}

/* For the library the number 0 is one that is not known; who writes "0:" knows it. */
static kh_status check_number(kh_verify_report *report, kh_error *error) {
    if (report->expected.number == 0) {
        return KH_OK;
    }
    report->expectation = KH_EXPECT_MISSING;
    (void)snprintf(error->message, sizeof error->message,
                   "the expected head is that of group %" PRIu64 ", not of an empty history",
                   report->expected.number);
    return KH_MISMATCH;
}

static int verify(const char *path, const kh_verify_options *options, bool is_of_none,
                  bool is_json) {
    kh_verify_report report = {.size = sizeof report};
    kh_error error = {""};
    kh_status status = kh_verify(path, options, &report, &error);
    if (status == KH_OK && is_of_none) {
        status = check_number(&report, &error);
    }
    if (options->progress != NULL) {
        (void)fprintf(stderr, "\r\033[K");
    }
    bool is_checked = status == KH_OK || status == KH_MISMATCH || status == KH_TOO_OLD;
    if (is_json && (is_checked || report.finding[0] != '\0')) {
        print_json(&report, status);
    } else if (is_checked) {
        print_text(&report);
    }
    return status == KH_OK ? CLI_OK : complain_status(path, status, &error);
}

static int run(const struct command *command, int argc, char *const *argv) {
    const char *expect = NULL;
    bool is_json = false;
    bool has_progress = false;
    const struct option options[] = {
        {"expect", 'e', OPTION_TEXT, "HEAD", "a head that was kept: NUMBER:DIGEST, or DIGEST",
         &expect},
        {"json", 'j', OPTION_FLAG, NULL, "the report as one JSON object", &is_json},
        {"progress", 0, OPTION_FLAG, NULL, "say on the standard error how far it is",
         &has_progress},
    };
    struct operands operands;
    uint8_t digest[KH_DIGEST_BYTES];
    kh_verify_options verify_options = KH_VERIFY_OPTIONS_INIT;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    if (expect != NULL) {
        if (!head_text_parse(expect, &verify_options.expect_number, digest)) {
            return complain(CLI_USAGE,
                            "verify: '%s' is no head: khonsu head prints NUMBER:DIGEST, and the "
                            "64 hexadecimal digits alone are enough",
                            expect);
        }
        verify_options.expect = digest;
    }
    if (has_progress) {
        verify_options.progress = show_progress;
    }
    bool is_of_none =
        expect != NULL && strchr(expect, ':') != NULL && verify_options.expect_number == 0;
    return verify(operands.values[0], &verify_options, is_of_none, is_json);
}

const struct command command_verify = {
    .name = "verify",
    .summary = "check a database's files, its history, and one against the other",
    .operands = "DIR [--expect HEAD]",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 1,
    .run = run,
};
