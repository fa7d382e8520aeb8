/* cli.c - any bytes as what the program shows and what it is told.
 *
 * The first byte says as what the rest is taken. An Arrow IPC file: all of its values are written
 * as tables and as JSON. Arguments: parsed as those of a command. A key: to text and back again,
 * where it must be the same key. Properties: it ends, stays inside of the bytes, leaves nothing
 * behind. */
#include "cli/heap.c"
#include "cli/key_text.c"
#include "cli/options.c"
#include "cli/table.c"
#include "cli/text.c"
#include "cli/value.c"
#include "cli/value_decimal.c"
#include "cli/value_nested.c"
#include "cli/value_time.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

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
    enum { ARGUMENTS_MAX = 16 };
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
    FILE *nowhere = fopen("/dev/null", "w");
    if (nowhere != NULL) {
        table_print(&table, nowhere, 7);
        (void)fclose(nowhere);
    }
    table_free(&table);
    text_free(&text);
    text_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    if (size_bytes == 0) return 0;
    kh_bytes rest = {bytes + 1, size_bytes - 1};
    if (bytes[0] == 'k') {
        take_key(rest);
    } else if (bytes[0] == 'o') {
        take_arguments(rest);
    } else {
        take_ipc(rest);
    }
    return 0;
}
