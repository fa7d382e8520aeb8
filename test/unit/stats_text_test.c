/* Statistics as text, read back by small parsers of both formats that know nothing of the writer.
 */
#include "db/stats_text.h"

#include "base/mem.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every number differs, so that none can stand in another's place. */
static void fill(kh_stats *stats) {
    memset(stats, 0, sizeof *stats);
    stats->size = sizeof *stats;
    uint64_t *numbers = &stats->begins;
    size_t count = (offsetof(kh_stats, commit_ns) - offsetof(kh_stats, begins)) / sizeof *numbers;
    for (size_t i = 0; i < count; i++) numbers[i] = 1000 + i;
    uint64_t *later = &stats->aborts_locked; /* fields that came later */
    size_t later_count = (sizeof *stats - offsetof(kh_stats, aborts_locked)) / sizeof *later;
    for (size_t i = 0; i < later_count; i++) later[i] = 5000 + i;
    stats->begins = UINT64_MAX;
    stats->oldest_snapshot_age_ms = 61005;
    stats->oldest_snapshot_txn = (kh_txn_id){0x1234, 0xabcd};
    stats->commit_ns.buckets[0] = 1;
    stats->commit_ns.buckets[10] = 5;
    stats->commit_ns.buckets[39] = 2;
    stats->commit_ns.count = 8;
    stats->commit_ns.sum_ns = 2500000001;
    stats->section_ns.buckets[3] = 1;
    stats->section_ns.count = 1;
    stats->section_ns.sum_ns = 2000000000;
}

static void add_hot(kh_stats *stats, const char *key, uint32_t key_bytes, uint64_t conflicts) {
    kh_hot_key *hot = &stats->hot_keys[stats->hot_key_count++];
    memcpy(hot->key, key, key_bytes < sizeof hot->key ? key_bytes : sizeof hot->key);
    hot->key_bytes = key_bytes;
    hot->conflicts = conflicts;
}

static char *render(const kh_stats *stats, kh_stats_format format, kh_bytes *bytes) {
    assert_int_equal(stats_render(stats, format, bytes, NULL), KH_OK);
    assert_int_equal(strlen(bytes->data), bytes->size_bytes);
    return (char *)(uintptr_t)bytes->data;
}

/* ---- a parser of JSON ------------------------------------------------------------------------ */

struct json {
    const char *next;
    const char *want; /* path looked for, "/hot_keys/0/key" */
    char path[128];
    char found[256]; /* the value there as text; strings unescaped */
    int found_count;
};

static void skip_space(struct json *json) {
    while (isspace((unsigned char)*json->next)) json->next++;
}

static void expect(struct json *json, char character) {
    skip_space(json);
    if (*json->next != character) fail_msg("expected %c at %.30s", character, json->next);
    json->next++;
}

static void parse_string(struct json *json, char *out, size_t out_bytes) {
    expect(json, '"');
    size_t used = 0;
    while (*json->next != '"') {
        assert_true((unsigned char)*json->next >= 0x20);
        if (*json->next == '\\') {
            json->next++;
            assert_true(*json->next == '\\' || *json->next == '"');
        }
        assert_true(used + 1 < out_bytes);
        out[used++] = *json->next++;
    }
    out[used] = '\0';
    json->next++;
}

static void note(struct json *json, const char *value) {
    if (strcmp(json->path, json->want) != 0) return;
    json->found_count++;
    (void)snprintf(json->found, sizeof json->found, "%s", value);
}

static void parse_value(struct json *json);

static void parse_members(struct json *json, bool is_object) {
    size_t length = strlen(json->path);
    int index = 0;
    char end = is_object ? '}' : ']';
    json->next++;
    skip_space(json);
    if (*json->next == end) {
        json->next++;
        return;
    }
    for (;;) {
        char name[64];
        if (is_object) {
            parse_string(json, name, sizeof name);
            expect(json, ':');
        } else {
            (void)snprintf(name, sizeof name, "%d", index++);
        }
        (void)snprintf(json->path + length, sizeof json->path - length, "/%s", name);
        parse_value(json);
        json->path[length] = '\0';
        skip_space(json);
        if (*json->next == end) break;
        expect(json, ',');
    }
    json->next++;
}

static void parse_value(struct json *json) {
    char text[256];
    skip_space(json);
    if (*json->next == '{' || *json->next == '[') {
        parse_members(json, *json->next == '{');
    } else if (*json->next == '"') {
        parse_string(json, text, sizeof text);
        note(json, text);
    } else {
        size_t digits = strspn(json->next, "0123456789");
        assert_in_range(digits, 1, 20);
        memcpy(text, json->next, digits);
        text[digits] = '\0';
        json->next += digits;
        note(json, text);
    }
}

static void check_json(const char *text, const char *path, const char *expected) {
    struct json json = {.next = text, .want = path};
    parse_value(&json);
    skip_space(&json);
    assert_int_equal(*json.next, '\0');
    if (json.found_count != 1 || strcmp(json.found, expected) != 0)
        fail_msg("%s: %d times, %s in place of %s", path, json.found_count, json.found, expected);
}

/* ---- a checker of Prometheus' lines ---------------------------------------------------------- */

static bool is_name(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!isalpha((unsigned char)text[i]) && text[i] != '_' &&
            (i == 0 || !isdigit((unsigned char)text[i])))
            return false;
    return length > 0;
}

struct exposition {
    char family[128]; /* of the last TYPE */
    char type[16];
    char families[64][64]; /* seen */
    int family_count;
    char series[256][256]; /* names with labels, seen */
    int series_count;
};

/* HELP then TYPE, once for each family. */
static void check_comment(struct exposition *e, const char *line) {
    char word[8];
    char name[128];
    char rest[200];
    assert_int_equal(sscanf(line, "# %7s %127s %199[^\n]", word, name, rest), 3);
    assert_true(is_name(name, strlen(name)));
    assert_int_equal(strncmp(name, "khonsu_", 7), 0);
    if (strcmp(word, "HELP") == 0) {
        for (int i = 0; i < e->family_count; i++) assert_string_not_equal(e->families[i], name);
        assert_true(e->family_count < 64);
        (void)snprintf(e->families[e->family_count++], 64, "%.63s", name);
        return;
    }
    assert_string_equal(word, "TYPE");
    assert_string_equal(e->families[e->family_count - 1], name);
    (void)snprintf(e->family, sizeof e->family, "%s", name);
    (void)snprintf(e->type, sizeof e->type, "%.15s", rest);
    size_t length = strlen(name);
    bool is_total = length > 6 && strcmp(name + length - 6, "_total") == 0;
    assert_int_equal(is_total, strcmp(rest, "counter") == 0);
}

/* The position behind the labels; their values may hold anything escaped. */
static const char *check_labels(const char *at) {
    if (*at != '{') return at;
    do {
        at++;
        const char *equals = strchr(at, '=');
        assert_non_null(equals);
        assert_true(is_name(at, (size_t)(equals - at)));
        at = equals + 1;
        assert_int_equal(*at++, '"');
        while (*at != '"') {
            assert_true(*at != '\n' && *at != '\0');
            if (*at == '\\') {
                at++;
                assert_true(*at == '\\' || *at == '"' || *at == 'n');
            }
            at++;
        }
        at++;
    } while (*at == ',');
    assert_int_equal(*at, '}');
    return at + 1;
}

static void check_sample(struct exposition *e, const char *line) {
    size_t length = strcspn(line, "{ \n");
    assert_true(is_name(line, length));
    size_t family_length = strlen(e->family);
    assert_int_equal(strncmp(line, e->family, family_length), 0);
    const char *suffix = line + family_length;
    size_t suffix_length = length - family_length;
    if (strcmp(e->type, "histogram") == 0)
        assert_true((suffix_length == 7 && strncmp(suffix, "_bucket", 7) == 0) ||
                    (suffix_length == 4 && strncmp(suffix, "_sum", 4) == 0) ||
                    (suffix_length == 6 && strncmp(suffix, "_count", 6) == 0));
    else
        assert_int_equal(suffix_length, 0);
    const char *at = check_labels(line + length);
    assert_int_equal(*at, ' ');
    char series[256];
    assert_true((size_t)(at - line) < sizeof series);
    memcpy(series, line, (size_t)(at - line));
    series[at - line] = '\0';
    for (int i = 0; i < e->series_count; i++) assert_string_not_equal(e->series[i], series);
    assert_true(e->series_count < 256);
    memcpy(e->series[e->series_count++], series, sizeof series);
    char *end = NULL;
    (void)strtod(at + 1, &end);
    assert_true(end > at + 1);
    assert_int_equal(*end, '\n');
}

static void check_exposition(const char *text) {
    static struct exposition e;
    memset(&e, 0, sizeof e);
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        assert_non_null(strchr(line, '\n'));
        if (*line == '#')
            check_comment(&e, line);
        else
            check_sample(&e, line);
    }
}

static void check_line(const char *text, const char *expected) {
    char line[512];
    (void)snprintf(line, sizeof line, "\n%s\n", expected);
    if (strstr(text, line) == NULL) fail_msg("no line %s", expected);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void json_has_every_number(void **state) {
    (void)state;
    static kh_stats stats;
    kh_bytes bytes;
    fill(&stats);
    char *text = render(&stats, KH_STATS_JSON, &bytes);
    char expected[32];
#define CHECK(field)                                                                               \
    (void)snprintf(expected, sizeof expected, "%llu", (unsigned long long)stats.field);            \
    check_json(text, "/" #field, expected)
    CHECK(begins);
    CHECK(commits);
    CHECK(commits_read_only);
    CHECK(rollbacks);
    CHECK(aborts_conflict);
    CHECK(aborts_not_serializable);
    CHECK(aborts_expired);
    CHECK(aborts_cancelled);
    CHECK(aborts_busy);
    CHECK(aborts_held);
    CHECK(aborts_locked);
    CHECK(aborts_deadlock);
    CHECK(aborts_semantic);
    CHECK(aborts_rows);
    CHECK(aborts_other);
    CHECK(resolved_ignore);
    CHECK(resolved_replace);
    CHECK(resolved_append);
    CHECK(resolved_merge);
    CHECK(resolved_callback);
    CHECK(resolved_rows);
    CHECK(retries);
    CHECK(restages);
    CHECK(claims);
    CHECK(reads);
    CHECK(scanned);
    CHECK(writes);
    CHECK(keys);
    CHECK(versions_live);
    CHECK(versions_reclaimed);
    CHECK(memory_bytes);
    CHECK(index_bytes);
    CHECK(snapshots);
    CHECK(oldest_snapshot_age_ms);
    CHECK(ranges);
    CHECK(range_evictions);
    CHECK(prepared);
    CHECK(in_flight);
    CHECK(watches);
    CHECK(sample_every);
    check_json(text, "/oldest_snapshot_txn", "0000000000001234000000000000abcd");
    check_json(text, "/commit_ns/count", "8");
    check_json(text, "/commit_ns/sum_ns", "2500000001");
    check_json(text, "/commit_ns/buckets/0", "1");
    check_json(text, "/commit_ns/buckets/10", "5");
    check_json(text, "/commit_ns/buckets/39", "2");
    check_json(text, "/section_ns/buckets/3", "1");
    kh_bytes_free(bytes);
}

static void json_has_every_number_of_locks(void **state) {
    (void)state;
    static kh_stats stats;
    kh_bytes bytes;
    fill(&stats);
    char *text = render(&stats, KH_STATS_JSON, &bytes);
    char expected[32];
    CHECK(lock_grants);
    CHECK(lock_upgrades);
    CHECK(lock_waits);
    CHECK(lock_wait_ns);
    CHECK(lock_timeouts);
    CHECK(lock_expirations);
    CHECK(lock_deadlocks);
    CHECK(lock_victims);
    CHECK(lock_queue_longest);
    CHECK(locks_held);
    CHECK(locks_waiting);
#undef CHECK
    kh_bytes_free(bytes);
}

/* No field of the struct is forgotten: the table covers all but those that are checked by name. */
static void every_number_is_in_both(void **state) {
    (void)state;
    static kh_stats stats;
    fill(&stats);
    const uint64_t *numbers = &stats.begins;
    size_t count = (offsetof(kh_stats, commit_ns) - offsetof(kh_stats, begins)) / sizeof *numbers;
    kh_bytes json;
    kh_bytes prometheus;
    char *json_text = render(&stats, KH_STATS_JSON, &json);
    char *prometheus_text = render(&stats, KH_STATS_PROMETHEUS, &prometheus);
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] < 1000 || numbers[i] >= 1000 + count) continue;
        char wanted[32];
        (void)snprintf(wanted, sizeof wanted, ": %d,\n", (int)numbers[i]);
        assert_non_null(strstr(json_text, wanted));
        (void)snprintf(wanted, sizeof wanted, " %d\n", (int)numbers[i]);
        assert_non_null(strstr(prometheus_text, wanted));
    }
    size_t later = (sizeof stats - offsetof(kh_stats, aborts_locked)) / sizeof *numbers;
    for (size_t i = 0; i < later; i++) {
        char wanted[32];
        bool is_time = &(&stats.aborts_locked)[i] == &stats.lock_wait_ns;
        (void)snprintf(wanted, sizeof wanted, ": %d,\n", (int)(5000 + i));
        assert_non_null(strstr(json_text, wanted));
        (void)snprintf(wanted, sizeof wanted, is_time ? " 0.00000%d\n" : " %d\n",
                       (int)(5000 + i));
        assert_non_null(strstr(prometheus_text, wanted));
    }
    kh_bytes_free(json);
    kh_bytes_free(prometheus);
}

static void prometheus_is_well_formed(void **state) {
    (void)state;
    static kh_stats stats;
    kh_bytes bytes;
    fill(&stats);
    add_hot(&stats, "key", 3, 7);
    char *text = render(&stats, KH_STATS_PROMETHEUS, &bytes);
    check_exposition(text);
    check_line(text,
               "# TYPE khonsu_begins_total counter\nkhonsu_begins_total 18446744073709551615");
    check_line(text, "khonsu_aborts_total{reason=\"busy\"} 1008");
    check_line(text, "# TYPE khonsu_keys gauge\nkhonsu_keys 1024");
    check_line(text, "khonsu_oldest_snapshot_age_seconds 61.005");
    check_line(text, "# TYPE khonsu_commit_seconds histogram");
    kh_bytes_free(bytes);
}

static void histograms_are_cumulative(void **state) {
    (void)state;
    static kh_stats stats;
    kh_bytes bytes;
    fill(&stats);
    char *text = render(&stats, KH_STATS_PROMETHEUS, &bytes);
    check_line(text, "khonsu_commit_seconds_bucket{le=\"0.000000001\"} 1");
    check_line(text, "khonsu_commit_seconds_bucket{le=\"0.000001023\"} 1");
    check_line(text, "khonsu_commit_seconds_bucket{le=\"0.000002047\"} 6");
    check_line(text, "khonsu_commit_seconds_bucket{le=\"549.755813887\"} 6");
    check_line(text, "khonsu_commit_seconds_bucket{le=\"+Inf\"} 8");
    check_line(text, "khonsu_commit_seconds_sum 2.500000001");
    check_line(text, "khonsu_commit_seconds_count 8");
    check_line(text, "khonsu_commit_section_seconds_sum 2");
    const char *at = text;
    double last_bound = 0;
    uint64_t last_count = 0;
    int buckets = 0;
    while ((at = strstr(at, "khonsu_commit_seconds_bucket{le=\"")) != NULL) {
        at += strlen("khonsu_commit_seconds_bucket{le=\"");
        double bound = strtod(at, NULL); /* +Inf included */
        uint64_t count = strtoull(strchr(at, ' '), NULL, 10);
        assert_true(bound > last_bound);
        assert_true(count >= last_count);
        last_bound = bound;
        last_count = count;
        buckets++;
    }
    assert_int_equal(buckets, KH_HISTOGRAM_BUCKETS);
    kh_bytes_free(bytes);
}

static const struct {
    const char *key;
    uint32_t key_bytes;
    const char *text; /* before the escapes of either format */
} keys[] = {
    {"flights/UA", 10, "flights/UA"},
    {"say \"hi\"", 8, "say \"hi\""},
    {"back\\slash", 10, "back\\\\slash"},
    {"\\x00", 4, "\\\\x00"}, /* told apart from the next */
    {"\0", 1, "\\x00"},
    {"line\nfeed\ttab\x7f", 14, "line\\x0afeed\\x09tab\\x7f"},
    {"gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f"},
    {"\xe2\x82\xac\xf0\x9f\x98\x80", 7, "\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"\xff\xfe", 2, "\\xff\\xfe"},
    {"\xc3", 1, "\\xc3"},
    {"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"}, /* a surrogate */
    {"\xc0\x80", 2, "\\xc0\\x80"},          /* overlong */
    {"0123456789012345678901234567890123456789012345678901234567890123tail", 68,
     "0123456789012345678901234567890123456789012345678901234567890123"},
    {"012345678901234567890123456789012345678901234567890123456789012\xc3\xbc", 65,
     "012345678901234567890123456789012345678901234567890123456789012\\xc3"},
};
enum { KEYS = sizeof keys / sizeof keys[0] };

static void keys_are_escaped(void **state) {
    (void)state;
    static kh_stats stats;
    kh_bytes json;
    kh_bytes prometheus;
    fill(&stats);
    for (uint32_t i = 0; i < KEYS; i++) add_hot(&stats, keys[i].key, keys[i].key_bytes, 100 + i);
    char *json_text = render(&stats, KH_STATS_JSON, &json);
    char *prometheus_text = render(&stats, KH_STATS_PROMETHEUS, &prometheus);
    check_exposition(prometheus_text);
    for (uint32_t i = 0; i < KEYS; i++) {
        char path[64];
        char number[16];
        (void)snprintf(path, sizeof path, "/hot_keys/%u/key", i);
        check_json(json_text, path, keys[i].text);
        (void)snprintf(path, sizeof path, "/hot_keys/%u/key_bytes", i);
        (void)snprintf(number, sizeof number, "%u", keys[i].key_bytes);
        check_json(json_text, path, number);
        /* The same text with the label's escapes. */
        char line[512] = "khonsu_hot_key_conflicts{key=\"";
        size_t used = strlen(line);
        for (const char *at = keys[i].text; *at != '\0'; at++) {
            if (*at == '\\' || *at == '"') line[used++] = '\\';
            line[used++] = *at;
        }
        (void)snprintf(line + used, sizeof line - used, "\",key_bytes=\"%u\"} %u",
                       keys[i].key_bytes, 100 + i);
        check_line(prometheus_text, line);
    }
    kh_bytes_free(json);
    kh_bytes_free(prometheus);
}

static void keys_alike_up_to_the_cut_are_one_series(void **state) {
    (void)state;
    static kh_stats stats;
    static char key[70];
    kh_bytes bytes;
    fill(&stats);
    memset(key, 'k', sizeof key);
    add_hot(&stats, key, 70, 5);
    add_hot(&stats, key, 69, 4);
    add_hot(&stats, key, 70, 3); /* differs behind the cut */
    char *text = render(&stats, KH_STATS_PROMETHEUS, &bytes);
    check_exposition(text);
    assert_non_null(strstr(text, "\",key_bytes=\"70\"} 8\n"));
    assert_non_null(strstr(text, "\",key_bytes=\"69\"} 4\n"));
    kh_bytes_free(bytes);
}

static void nothing_is_left_behind(void **state) {
    (void)state;
    static kh_stats stats;
    fill(&stats);
    void *other = mem_alloc(mem_process(), NULL, 1000); /* a sum below zero would read as zero */
    uint64_t live_bytes = mem_live_bytes(mem_process());
    for (int format = 0; format < 2; format++) {
        kh_bytes bytes;
        (void)render(&stats, (kh_stats_format)format, &bytes);
        assert_true(mem_live_bytes(mem_process()) > live_bytes);
        kh_bytes_free(bytes);
        assert_int_equal(mem_live_bytes(mem_process()), live_bytes);
    }
    mem_free(mem_process(), NULL, other, 1000);
    kh_bytes untouched = {"untouched", 9};
    kh_error error;
    assert_int_equal(stats_render(&stats, (kh_stats_format)2, &untouched, &error), KH_INVALID);
    assert_string_equal(untouched.data, "untouched");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_every_number),
        cmocka_unit_test(json_has_every_number_of_locks),
        cmocka_unit_test(every_number_is_in_both),
        cmocka_unit_test(prometheus_is_well_formed),
        cmocka_unit_test(histograms_are_cumulative),
        cmocka_unit_test(keys_are_escaped),
        cmocka_unit_test(keys_alike_up_to_the_cut_are_one_series),
        cmocka_unit_test(nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
