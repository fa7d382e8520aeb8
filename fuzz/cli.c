/* cli.c - any bytes as what the program is told and what it shows.
 *
 * The first byte says as what the rest is taken. A command line (c): arguments up to an empty one,
 * then the file that they may name, run by the program's own main in a world of its own
 * (kit/cli_world.h): it ends with an exit code of its list, and what it wrote as a store or a file
 * can be read. Arguments of a table of options (o). A key (k): to text and back again, where it
 * must be the same key; and from any text to a key and back. A point in time (t). A key pattern and
 * rows to cut by it (p). Else an Arrow IPC file: all of its values are written as tables and as
 * JSON. Properties of all: it ends, stays inside of the bytes, leaves nothing behind. */
#include "cli/command_workspace.h"
#include "cli/complain.h"
#include "cli/demo.h"
#include "cli/heap.h"
#include "cli/key_text.h"
#include "cli/demo_crash.h"
#include "cli/options.h"
#include "cli/split.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/value.h"
#include "kit/cli_world.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* ---- the demo, which takes seconds and threads: its options only ---- */

int demo_load(struct demo *demo) {
    if (demo->options->isolation > KH_SERIALIZABLE) abort();
    return CLI_FAILED;
}
void flights_free(struct flights *flights) {
    (void)flights;
    abort();
}
int crash_run(const struct demo_options *options, struct crash *crash) {
    (void)options;
    (void)crash;
    return CLI_FAILED;
}
int crash_check(struct demo *demo, struct crash *crash) {
    (void)demo;
    (void)crash;
    abort();
}
void crash_free(struct crash *crash) {
    (void)crash;
}
int demo_run(struct demo *demo) {
    (void)demo;
    abort();
}
int demo_script(struct flights *flights, bool is_quiet) {
    (void)flights;
    (void)is_quiet;
    abort();
}

/* ---- the commands that work on directories: none here ---- */

static int refuse(const struct command *command, int argc, char *const *argv) {
    (void)command;
    (void)argc;
    (void)argv;
    return CLI_FAILED;
}
#define REFUSED(text)                                                                              \
    {                                                                                              \
        .name = text, .summary = "", .operands = "", .details = "", .examples = "",                \
        .operand_max = 8, .run = refuse                                                            \
    }
const struct command command_backup = REFUSED("backup");
const struct command command_changes = REFUSED("changes");
const struct command command_compact = REFUSED("compact");
const struct command command_head = REFUSED("head");
const struct command command_log = REFUSED("log");
const struct command command_restore = REFUSED("restore");
const struct command command_verify = REFUSED("verify");
const struct command workspace_list = REFUSED("list");
const struct command workspace_compare = REFUSED("compare");
const struct command workspace_commit = REFUSED("commit");

/* ---- the world ---- */

FILE *world_in;
FILE *world_out;
bool world_is_terminal;

struct content {
    char *bytes;
    size_t size;
};
static struct content store;   /* "s" */
static struct content values;  /* "v" */
static struct content brought; /* by any other name; borrowed */
static struct content written; /* last, and closed */
static FILE *writing;

static FILE *open_content(const struct content *content) {
    return content->size == 0 ? NULL : fmemopen(content->bytes, content->size, "rb");
}

static void drop_written(void) {
    if (writing != NULL) (void)fclose(writing);
    writing = NULL;
    free(written.bytes);
    written = (struct content){NULL, 0};
}

FILE *world_open(const char *path, const char *mode) {
    if (mode[0] == 'r') {
        if (strcmp(path, "s") == 0) return open_content(&store);
        if (strcmp(path, "v") == 0) return open_content(&values);
        return open_content(&brought);
    }
    drop_written();
    writing = open_memstream(&written.bytes, &written.size);
    return writing;
}

int world_close(FILE *file) {
    if (file == writing) writing = NULL;
    return fclose(file);
}

int world_rename(const char *from, const char *to) {
    if (strlen(from) <= strlen(to)) abort(); /* the part's name is longer */
    return 0;
}

int world_remove(const char *path) {
    (void)path;
    drop_written();
    return 0;
}

/* What begins at the root is a device, the rest is not there. */
int world_stat(const char *path, struct stat *out) {
    *out = (struct stat){.st_mode = 0};
    return path[0] == '/' ? 0 : -1;
}

int world_isatty(int descriptor) {
    (void)descriptor;
    return world_is_terminal ? 1 : 0;
}

/* ---- a command line ---- */

enum { ARGUMENTS_MAX = 24 };

static void run(int count, char **arguments) {
    int code = khonsu_main(count, arguments);
    if (code < CLI_OK || code > CLI_ABSENT) abort();
    if (code != CLI_OK || written.size == 0) return;
    kh_batch **batches = NULL;
    size_t batch_count = 0;
    kh_bytes bytes = {written.bytes, written.size};
    if (kh_ipc_decode(NULL, bytes, &batches, &batch_count, NULL) == KH_OK)
        kh_batches_free(batches, batch_count);
    else if (bytes.size_bytes >= 6 && memcmp(bytes.data, "ARROW1", 6) == 0)
        abort(); /* tables and JSON may be written, too; half a file may not */
}

static void take_command(kh_bytes bytes) {
    char *arguments[ARGUMENTS_MAX + 1] = {heap_copy("khonsu", 6)};
    char *all = heap_copy(bytes.data, bytes.size_bytes);
    int count = 1;
    size_t at = 0;
    while (at < bytes.size_bytes && all[at] != '\0' && count < ARGUMENTS_MAX) {
        /* Each a block of its own: a step beyond it is seen. */
        arguments[count++] = heap_copy(all + at, strlen(all + at));
        at += strlen(all + at) + 1;
    }
    arguments[count] = NULL;
    if (at < bytes.size_bytes) brought = (struct content){all + at + 1, bytes.size_bytes - at - 1};
    world_in = open_content(&brought);
    if (world_in == NULL) world_in = fopen("/dev/null", "rb");
    world_is_terminal = count > 2 && (strlen(arguments[count - 1]) & 1) != 0;
    run(count, arguments);
    if (world_in != NULL) (void)fclose(world_in);
    drop_written();
    brought = (struct content){NULL, 0};
    for (int i = 0; i < count; i++) free(arguments[i]);
    free(all);
}

/* ---- its parts ---- */

static void take_time(kh_bytes bytes) {
    char *text = heap_copy(bytes.data, bytes.size_bytes);
    kh_timestamp first = 0;
    kh_timestamp again = 0;
    if (command_time(text, &first)) {
        struct text back = {NULL, 0, 0};
        text_printf(&back, "%llu", (unsigned long long)first);
        if (!command_time(back.bytes, &again) || again != first) abort();
        text_free(&back);
    }
    free(text);
}

/* A pattern up to its NUL, then the rows. */
static void take_pattern(kh_bytes bytes) {
    char *all = heap_copy(bytes.data, bytes.size_bytes);
    size_t used = strlen(all) + 1;
    kh_batch **batches = NULL;
    size_t count = 0;
    struct split *split = NULL;
    kh_bytes rest = {all + used, used > bytes.size_bytes ? 0 : bytes.size_bytes - used};
    kh_bytes own = {values.bytes, values.size};
    if (kh_ipc_decode(NULL, rest, &batches, &count, NULL) != KH_OK &&
        kh_ipc_decode(NULL, own, &batches, &count, NULL) != KH_OK)
        abort();
    if (split_create(all, &split) == CLI_OK) {
        int64_t kept = 0;
        int64_t given = 0;
        int code = CLI_OK;
        for (size_t i = 0; i < 2 * count && code == CLI_OK; i++) { /* each is met again later */
            code = split_batch(split, batches[i % count]);
            given += kh_batch_row_count(batches[i % count]);
        }
        for (size_t i = 0; i < split_key_count(split) && code == CLI_OK; i++) {
            const kh_batch *value = NULL;
            code = split_value(split, i, &value);
            if (code == CLI_OK) kept += kh_batch_row_count(value);
        }
        if (code == CLI_OK && kept != given) abort();
        split_free(split);
    }
    kh_batches_free(batches, count);
    free(all);
}

enum { CELLS_MAX = 4096, CELL_BYTES_MAX = 1 << 20 };

static void show_column(struct text *out, const struct ArrowSchema *schema,
                        const struct ArrowArray *column, int64_t rows) {
    for (int64_t row = 0; row < rows && row < CELLS_MAX && out->size < CELL_BYTES_MAX; ++row) {
        value_append(out, schema, column, row, VALUE_JSON);
        value_append(out, schema, column, row, VALUE_PLAIN);
    }
    (void)value_is_number(schema);
}

static void show(const kh_batch *batch) {
    struct ArrowSchema schema;
    struct ArrowArray array;
    if (kh_batch_export(batch, &array, &schema, NULL) != KH_OK) return;
    struct text out = {NULL, 0, 0};
    for (int64_t i = 0; i < schema.n_children; ++i) {
        text_clear(&out);
        show_column(&out, schema.children[i], array.children[i], array.length);
    }
    text_free(&out);
    array.release(&array);
    schema.release(&schema);
}

static void take_ipc(kh_bytes bytes) {
    kh_batch **batches = NULL;
    size_t count = 0;
    if (kh_ipc_decode(NULL, bytes, &batches, &count, NULL) != KH_OK) return;
    for (size_t i = 0; i < count; ++i) show(batches[i]);
    kh_batches_free(batches, count);
}

static void take_arguments(kh_bytes bytes) {
    bool is_loud = false;
    const char *name = NULL;
    uint64_t number = 0;
    double seconds = 0;
    int choice = 0;
    const struct option options[] = {
        {"loud", 'l', OPTION_FLAG, NULL, "", &is_loud},
        {"name", 'n', OPTION_TEXT, "NAME", "", &name},
        {"count", 'c', OPTION_COUNT, "N", "", &number},
        {"seconds", 0, OPTION_NUMBER, "S", "", &seconds},
        {"colour", 0, OPTION_CHOICE, "red|green", "", &choice},
    };
    char *all = heap_copy(bytes.data, bytes.size_bytes);
    char *arguments[ARGUMENTS_MAX];
    int count = 0;
    for (size_t at = 0; at < bytes.size_bytes && count < ARGUMENTS_MAX; at += strlen(all + at) + 1)
        arguments[count++] = all + at;
    struct operands operands;
    struct text problem = {NULL, 0, 0};
    enum options_answer answer = options_parse(options, 5, count, arguments, &operands, &problem);
    if (answer == OPTIONS_WRONG && problem.size == 0) abort();
    text_free(&problem);
    free(all);
}

/* The bytes as the text of a key: the key that it stands for has a text that stands for it. */
static void take_key_text(kh_bytes bytes) {
    struct text key = {NULL, 0, 0};
    struct text again = {NULL, 0, 0};
    struct text text = {NULL, 0, 0};
    char *given = heap_copy(bytes.data, bytes.size_bytes);
    text_add(&text, "");
    if (key_text_parse(given, &key)) {
        key_text_add(&text, text_bytes(&key));
        if (!key_text_parse(text.bytes, &again) || again.size != key.size) abort();
        if (key.size > 0 && memcmp(key.bytes, again.bytes, key.size) != 0) abort();
    }
    text_free(&key);
    text_free(&again);
    text_free(&text);
    free(given);
}

static void take_key(kh_bytes key) {
    struct text text = {NULL, 0, 0};
    struct text back = {NULL, 0, 0};
    struct table table = {.columns = NULL};
    text_add(&text, "");
    key_text_add(&text, key);
    if (!key_text_parse(text.bytes, &back)) abort();
    if (back.size != key.size_bytes) abort();
    if (back.size > 0 && memcmp(back.bytes, key.data, back.size) != 0) abort();
    text_clear(&text);
    text_add_json(&text, key);
    table_add_column(&table, "key", false);
    table_add_bytes(&table, key);
    table_print(&table, world_out, 7);
    table_free(&table);
    text_free(&text);
    text_free(&back);
}

/* ---- what "s" and "v" hold ---- */

static void must(bool holds) {
    if (!holds) abort();
}

static void make_rows(void) {
    static const char *const names[] = {"id", "name", "price"};
    static const char *const formats[] = {"!l", "u", "g"};
    static const char *const texts[] = {"ann", "bob", "ann", "\xC3\xA9/\\"};
    kh_scalar scalars[12];
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    kh_bytes bytes = {NULL, 0};
    for (int i = 0; i < 4; i++) {
        scalars[3 * i] = (kh_scalar){KH_SCALAR_INT64, {.int64 = i}};
        scalars[3 * i + 1] = (kh_scalar){KH_SCALAR_BYTES, {.bytes = {texts[i], strlen(texts[i])}}};
        scalars[3 * i + 2] =
            (kh_scalar){i == 1 ? KH_SCALAR_NULL : KH_SCALAR_DOUBLE, {.float64 = i * 1.5}};
    }
    must(kh_schema_build(NULL, names, formats, 3, &schema, NULL) == KH_OK);
    must(kh_batch_build(NULL, schema, scalars, 4, &batch, NULL) == KH_OK);
    const kh_batch *batches[] = {batch};
    must(kh_ipc_encode(batches, 1, KH_IPC_FILE, KH_COMPRESS_NONE, &bytes, NULL) == KH_OK);
    values = (struct content){heap_copy(bytes.data, bytes.size_bytes), bytes.size_bytes};
    kh_bytes_free(bytes);
    kh_batch_release(batch);
    kh_schema_release(schema);
}

static void make_store(void) {
    static char words[][19] = {
        "khonsu", "import", "--from", "v", "--key", "{name}", "--to", "s", "--compression=none"};
    enum { WORDS = sizeof words / sizeof words[0] };
    char *arguments[WORDS + 1] = {NULL};
    for (int i = 0; i < WORDS; i++) arguments[i] = words[i];
    must(khonsu_main(WORDS, arguments) == CLI_OK && written.size > 0);
    store = (struct content){heap_copy(written.bytes, written.size), written.size};
    drop_written();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    world_out = fopen("/dev/null", "wb");
    must(world_out != NULL);
    make_rows();
    make_store();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    if (size_bytes == 0) return 0;
    kh_bytes rest = {bytes + 1, size_bytes - 1};
    switch (bytes[0]) {
    case 'c':
        take_command(rest);
        break;
    case 'o':
        take_arguments(rest);
        break;
    case 'k':
        take_key(rest);
        take_key_text(rest);
        break;
    case 't':
        take_time(rest);
        break;
    case 'p':
        take_pattern(rest);
        break;
    default:
        take_ipc(rest);
        break;
    }
    return 0;
}
