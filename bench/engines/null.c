/* null.c - an engine that does nothing: what it costs is what the driver costs. Its scan finds
 * nothing and its balances never change, so it is not held to any sum. */
#include "engines.h"

static const char nothing[VALUE_BYTES];

static const char *version(void) {
    return "-";
}

static const char *terms(enum level level) {
    (void)level;
    return "empty functions: the driver alone";
}

static void *open_store(const struct engine_settings *settings) {
    (void)settings;
    return (void *)nothing;
}

static void close_store(void *store) {
    (void)store;
}

static void *session_open(void *store) {
    return store;
}

static enum outcome begin(void *session, enum purpose purpose) {
    (void)session;
    (void)purpose;
    return DONE;
}

static enum outcome read_value(void *session, const char *key, const void **value) {
    (void)session;
    (void)key;
    *value = nothing;
    return DONE;
}

static enum outcome write_value(void *session, const char *key, int64_t number) {
    (void)session;
    (void)key;
    (void)number;
    return DONE;
}

static enum outcome commit(void *session) {
    (void)session;
    return DONE;
}

static void scan(void *session, struct scan_result *result) {
    (void)session;
    *result = (struct scan_result){0, 0};
}

const struct engine engine_null = {.name = "null",
                                   .version = version,
                                   .terms = terms,
                                   .open = open_store,
                                   .close = close_store,
                                   .session_open = session_open,
                                   .session_close = close_store,
                                   .begin = begin,
                                   .read = read_value,
                                   .read_for_update = read_value,
                                   .write = write_value,
                                   .commit = commit,
                                   .abort = close_store,
                                   .number = value_number,
                                   .scan = scan};
