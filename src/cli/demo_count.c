/* demo_count.c - counting flights, names and keys, and summary rows. */
#include "demo_flights.h"

#include <string.h>

enum { SUMMARY_ID, SUMMARY_FLIGHTS, SUMMARY_CANCELLED, SUMMARY_DELAYED, SUMMARY_MINUTES };

static kh_bytes bytes_of(const char *string) {
    return (kh_bytes){string, strlen(string)};
}

static bool is_name(const char *name, kh_bytes bytes) {
    return strlen(name) == bytes.size_bytes && memcmp(name, bytes.data, bytes.size_bytes) == 0;
}

void flights_key(const struct flights *flights, size_t day, size_t carrier, struct text *key) {
    text_clear(key);
    text_add(key, "flights/");
    text_add(key, flights->days[day].name);
    text_add_char(key, '/');
    text_add(key, flights->carriers[carrier]);
}

void flights_carrier_key(const struct flights *flights, size_t carrier, struct text *key) {
    text_clear(key);
    text_add(key, "summary/carrier/");
    text_add(key, flights->carriers[carrier]);
}

void flights_airport_key(const struct flights *flights, size_t airport, struct text *key) {
    text_clear(key);
    text_add(key, "summary/airport/");
    text_add(key, flights->airports[airport]);
}

/* Days are sorted by name once they are loaded. */
size_t flights_find_day(const struct flights *flights, kh_bytes name) {
    size_t low = 0;
    size_t high = flights->day_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        kh_bytes own = bytes_of(flights->days[middle].name);
        size_t shorter = own.size_bytes < name.size_bytes ? own.size_bytes : name.size_bytes;
        int order = memcmp(own.data, name.data, shorter);
        if (order == 0 && own.size_bytes == name.size_bytes) {
            return middle;
        }
        if (order < 0 || (order == 0 && own.size_bytes < name.size_bytes)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return flights->day_count;
}

static size_t find_name(char *const *names, size_t count, kh_bytes name) {
    size_t i = 0;
    while (i < count && !is_name(names[i], name)) {
        ++i;
    }
    return i;
}

size_t flights_find_airport(const struct flights *flights, kh_bytes name) {
    return find_name(flights->airports, flights->airport_count, name);
}

bool flights_parse_key(const struct flights *flights, kh_bytes key, size_t *day, size_t *carrier) {
    static const char prefix[] = "flights/";
    const size_t prefix_size = sizeof prefix - 1;
    const char *bytes = key.data;
    if (key.size_bytes < prefix_size || memcmp(bytes, prefix, prefix_size) != 0) {
        return false;
    }
    size_t slash = key.size_bytes;
    while (slash > prefix_size && bytes[slash - 1] != '/') {
        --slash;
    }
    if (slash <= prefix_size) {
        return false;
    }
    *day = flights_find_day(flights, (kh_bytes){bytes + prefix_size, slash - 1 - prefix_size});
    *carrier = find_name(flights->carriers, flights->carrier_count,
                         (kh_bytes){bytes + slash, key.size_bytes - slash});
    return *day < flights->day_count && *carrier < flights->carrier_count;
}

uint32_t flights_place_of(const struct flights *flights, uint64_t number) {
    size_t low = 0;
    size_t high = flights->place_count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (flights->place_ends[middle] > number) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return flights->places[low];
}

bool flights_delay(const struct flights *flights, const kh_batch *batch, int64_t row,
                   int64_t *delay) {
    return kh_batch_int64(batch, flights->dep_delay, row, delay) == KH_OK;
}

static void count_row(struct tally *tally, bool is_departed, int64_t delay) {
    tally->flights += 1;
    tally->cancelled += is_departed ? 0 : 1;
    tally->delayed += is_departed && delay > 0 ? 1 : 0;
    tally->delay_minutes += is_departed && delay > 0 ? delay : 0;
}

void flights_count(const struct flights *flights, const kh_batch *batch, struct tally *total,
                   struct tally *airports) {
    int64_t rows = kh_batch_row_count(batch);
    for (int64_t row = 0; row < rows; ++row) {
        int64_t delay = 0;
        bool is_departed = flights_delay(flights, batch, row, &delay);
        if (total != NULL) {
            count_row(total, is_departed, delay);
        }
        kh_bytes name = {NULL, 0};
        if (airports == NULL || kh_batch_bytes(batch, flights->origin, row, &name) != KH_OK) {
            continue;
        }
        size_t airport = flights_find_airport(flights, name);
        if (airport < flights->airport_count) {
            count_row(&airports[airport], is_departed, delay);
        }
    }
}

void flights_add(struct tally *tally, const struct tally *more, int sign) {
    tally->flights += sign * more->flights;
    tally->cancelled += sign * more->cancelled;
    tally->delayed += sign * more->delayed;
    tally->delay_minutes += sign * more->delay_minutes;
}

bool flights_is_same(const struct tally *a, const struct tally *b) {
    return a->flights == b->flights && a->cancelled == b->cancelled && a->delayed == b->delayed &&
           a->delay_minutes == b->delay_minutes;
}

void flights_summary_row(kh_scalar *row, const char *id, const struct tally *tally) {
    row[SUMMARY_ID] = (kh_scalar){KH_SCALAR_BYTES, {.bytes = bytes_of(id)}};
    row[SUMMARY_FLIGHTS] = (kh_scalar){KH_SCALAR_INT64, {.int64 = tally->flights}};
    row[SUMMARY_CANCELLED] = (kh_scalar){KH_SCALAR_INT64, {.int64 = tally->cancelled}};
    row[SUMMARY_DELAYED] = (kh_scalar){KH_SCALAR_INT64, {.int64 = tally->delayed}};
    row[SUMMARY_MINUTES] = (kh_scalar){KH_SCALAR_INT64, {.int64 = tally->delay_minutes}};
}

bool flights_read_summary(const kh_batch *summary, int64_t row, kh_bytes *id, struct tally *tally) {
    return kh_batch_bytes(summary, SUMMARY_ID, row, id) == KH_OK &&
           kh_batch_int64(summary, SUMMARY_FLIGHTS, row, &tally->flights) == KH_OK &&
           kh_batch_int64(summary, SUMMARY_CANCELLED, row, &tally->cancelled) == KH_OK &&
           kh_batch_int64(summary, SUMMARY_DELAYED, row, &tally->delayed) == KH_OK &&
           kh_batch_int64(summary, SUMMARY_MINUTES, row, &tally->delay_minutes) == KH_OK;
}

bool flights_scalar(const kh_batch *batch, int64_t column, int64_t row, kh_scalar *out) {
    int64_t number = 0;
    kh_bytes bytes = {NULL, 0};
    if (kh_batch_int64(batch, column, row, &number) == KH_OK) {
        *out = (kh_scalar){KH_SCALAR_INT64, {.int64 = number}};
        return true;
    }
    if (kh_batch_bytes(batch, column, row, &bytes) == KH_OK) {
        *out = (kh_scalar){KH_SCALAR_BYTES, {.bytes = bytes}};
        return true;
    }
    return false;
}
