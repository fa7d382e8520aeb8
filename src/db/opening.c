/* opening.c - see opening.h. */
#include "db/opening.h"

#include "db/section.h"
#include "log/rocks_log.h"
#include <inttypes.h>
#include <stdio.h>

enum {
    LOOK_ITEMS = 256,     /* between two looks at the clock: a fraction of a millisecond */
    LOOK_BYTES = 4 << 20, /* and where values are large, some */
    TELL_NS = 1000 * 1000 * 1000
};

static double megabytes(uint64_t bytes) {
    return (double)bytes / 1e6;
}

static double seconds_between(uint64_t from_ns, uint64_t now_ns) {
    return (double)(now_ns - from_ns) / 1e9;
}

static uint64_t rate(uint64_t items, double seconds) {
    return seconds > 0 ? (uint64_t)((double)items / seconds) : items;
}

static void set_looks(struct opening *opening) {
    const struct opening_count *count = &opening->counts[opening->part];
    opening->look_items = count->items + LOOK_ITEMS;
    opening->look_bytes = count->bytes + LOOK_BYTES;
    if (opening->is_quiet) opening->look_items = opening->look_bytes = UINT64_MAX;
}

void opening_begin(struct opening *opening, struct kh_db *db, const kh_options *options) {
    bool is_read = options->path != NULL || options->log != NULL || options->storage != NULL;
    *opening = (struct opening){.db = db, .is_quiet = !is_read || db->message == NULL};
    db->opening = opening;
    set_looks(opening);
    if (opening->is_quiet) return;
    opening->began_ns = opening->part_began_ns = opening->told_ns = env_monotonic_ns(&db->clock);
    section_say(db, KH_LOG_NOTICE, "opening %.200s",
                options->path != NULL ? options->path : "a log of the program's own");
}

void opening_enter(struct opening *opening, enum opening_part part, uint64_t items_total,
                   uint64_t bytes_total) {
    opening->part = part;
    opening->counts[part].items_total = items_total;
    opening->counts[part].bytes_total = bytes_total;
    if (!opening->is_quiet) opening->part_began_ns = env_monotonic_ns(&opening->db->clock);
    set_looks(opening);
}

static void note_checked(void *opening, uint64_t records, uint64_t bytes) {
    opening_step(opening, records, bytes);
}

void opening_check(struct opening *opening, struct rocks_log_options *options) {
    uint64_t next = options->mark.next;
    opening_enter(opening, OPENING_CHECK, next > options->at ? next - options->at : 0, 0);
    options->checked = note_checked;
    options->checked_context = opening;
}

static void tell(const struct opening *opening, uint64_t now_ns) {
    static const char *const names[OPENING_PARTS] = {"records of the log checked", "values",
                                                     "records of the log"};
    const struct opening_count *count = &opening->counts[opening->part];
    char items[32] = "";
    char bytes[48] = "";
    if (count->items_total != 0)
        (void)snprintf(items, sizeof items, " of %" PRIu64, count->items_total);
    if (count->bytes_total != 0)
        (void)snprintf(bytes, sizeof bytes, " of about %.1f", megabytes(count->bytes_total));
    double seconds = seconds_between(opening->began_ns, now_ns);
    section_say(opening->db, KH_LOG_NOTICE,
                "opening: %" PRIu64 "%s %s, %.1f%s MB, %.1f s, %" PRIu64 " a second", count->items,
                items, names[opening->part], megabytes(count->bytes), bytes, seconds,
                rate(count->items, seconds_between(opening->part_began_ns, now_ns)));
}

void opening_look(struct opening *opening) {
    uint64_t now_ns = env_monotonic_ns(&opening->db->clock);
    set_looks(opening);
    if (now_ns - opening->told_ns < TELL_NS) return;
    opening->told_ns = now_ns;
    tell(opening, now_ns);
}

void opening_end(struct opening *opening, kh_status status) {
    struct kh_db *db = opening->db;
    if (status != KH_OK || opening->is_quiet) return;
    const struct opening_count *values = &opening->counts[OPENING_VALUES];
    const struct opening_count *records = &opening->counts[OPENING_RECORDS];
    double seconds = seconds_between(opening->began_ns, env_monotonic_ns(&db->clock));
    section_say(db, KH_LOG_NOTICE,
                "opened: %" PRIu64 " values, %.1f MB, and %" PRIu64
                " records of the log, %.1f MB, in %.1f s, %" PRIu64 " a second",
                values->items, megabytes(values->bytes), records->items, megabytes(records->bytes),
                seconds, rate(values->items + records->items, seconds));
}
