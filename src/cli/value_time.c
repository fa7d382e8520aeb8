/* value_time.c - dates, times, timestamps, durations and intervals as ISO 8601.
 *
 * Civil dates by the proleptic Gregorian calendar for any 64-bit count of days (after Howard
 * Hinnant's "chrono-compatible low-level date algorithms"). */
#include "value.h"

#include <inttypes.h>
#include <string.h>

enum { DAY_SECONDS = 86400 };

static int64_t floor_divide(int64_t a, int64_t b) {
    return a / b - (a % b < 0 ? 1 : 0);
}

void value_append_day(struct text *out, int64_t days) {
    /* Eras of 400 years, counted from 0000-03-01, which is 719,468 days before 1970. Divided first:
     * the sum itself could overflow. */
    int64_t era = floor_divide(days, 146097);
    int64_t day_of_era = days - era * 146097 + 719468;
    era += day_of_era / 146097;
    day_of_era %= 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
    const char *sign = year < 0 ? "-" : year > 9999 ? "+" : "";
    text_printf(out, "%s%04" PRIu64 "-%02d-%02d", sign,
                year < 0 ? (uint64_t)0 - (uint64_t)year : (uint64_t)year, (int)month, (int)day);
}

static void append_clock(struct text *out, int64_t second_of_day, int64_t fraction, int digits) {
    text_printf(out, "%02d:%02d:%02d", (int)(second_of_day / 3600), (int)(second_of_day / 60 % 60),
                (int)(second_of_day % 60));
    if (digits > 0) {
        text_printf(out, ".%0*" PRId64, digits, fraction);
    }
}

static int unit_digits(char unit) {
    return unit == 's' ? 0 : unit == 'm' ? 3 : unit == 'u' ? 6 : 9;
}

static int64_t unit_per_second(char unit) {
    return unit == 's' ? 1 : unit == 'm' ? 1000 : unit == 'u' ? 1000000 : 1000000000;
}

static void append_timestamp(struct text *out, int64_t count, char unit, bool is_utc) {
    int64_t seconds = floor_divide(count, unit_per_second(unit));
    int64_t fraction = count - seconds * unit_per_second(unit);
    int64_t days = floor_divide(seconds, DAY_SECONDS);
    value_append_day(out, days);
    text_add_char(out, 'T');
    append_clock(out, seconds - days * DAY_SECONDS, fraction, unit_digits(unit));
    text_add(out, is_utc ? "Z" : "");
}

void value_append_ms(struct text *out, int64_t ms) {
    append_timestamp(out, ms, 'm', true);
}

static void append_seconds(struct text *out, int64_t count, char unit) {
    uint64_t magnitude = count < 0 ? (uint64_t)0 - (uint64_t)count : (uint64_t)count;
    uint64_t per_second = (uint64_t)unit_per_second(unit);
    text_printf(out, "T%s%" PRIu64, count < 0 ? "-" : "", magnitude / per_second);
    if (unit != 's') {
        text_printf(out, ".%0*" PRIu64, unit_digits(unit), magnitude % per_second);
    }
    text_add_char(out, 'S');
}

static void append_interval(struct text *out, char unit, const void *values, int64_t index) {
    text_add_char(out, 'P');
    if (unit == 'M') {
        text_printf(out, "%" PRId32 "M", ((const int32_t *)values)[index]);
    } else if (unit == 'D') {
        const int32_t *parts = (const int32_t *)values + index * 2;
        text_printf(out, "%" PRId32 "D", parts[0]);
        append_seconds(out, parts[1], 'm');
    } else {
        struct {
            int32_t months, days;
            int64_t ns;
        } parts;
        memcpy(&parts, (const char *)values + index * 16, sizeof parts);
        text_printf(out, "%" PRId32 "M%" PRId32 "D", parts.months, parts.days);
        append_seconds(out, parts.ns, 'n');
    }
}

static int64_t count_at(bool is_wide, const void *values, int64_t index) {
    return is_wide ? ((const int64_t *)values)[index] : ((const int32_t *)values)[index];
}

void value_append_time(struct text *out, const char *format, const void *values, int64_t index) {
    char kind = format[1];
    char unit = format[2];
    if (kind == 'd') {
        int64_t count = count_at(unit == 'm', values, index);
        value_append_day(out, unit == 'm' ? floor_divide(count, DAY_SECONDS * 1000LL) : count);
    } else if (kind == 't') {
        int64_t count = count_at(unit == 'u' || unit == 'n', values, index);
        int64_t seconds = floor_divide(count, unit_per_second(unit));
        append_clock(out, seconds, count - seconds * unit_per_second(unit), unit_digits(unit));
    } else if (kind == 's') {
        bool is_utc = strlen(format) > 4;
        append_timestamp(out, ((const int64_t *)values)[index], unit, is_utc);
    } else if (kind == 'D') {
        text_add_char(out, 'P');
        append_seconds(out, ((const int64_t *)values)[index], unit);
    } else {
        append_interval(out, unit, values, index);
    }
}
