/* output.c - batches as tables, JSON or Arrow IPC. */
#include "output.h"

#include "complain.h"
#include "key_text.h"
#include "value.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

size_t output_terminal_width(void) {
    enum { WIDTH_UNKNOWN = 80 };
    struct winsize size;
    if (!isatty(STDOUT_FILENO)) {
        return 0;
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    return WIDTH_UNKNOWN;
}

int output_open(struct output *output) {
    bool is_terminal = output->to == NULL && isatty(STDOUT_FILENO);
    if (output->is_json) {
        output->format = OUTPUT_JSON;
    }
    if (output->format == OUTPUT_AUTO) {
        output->format = is_terminal          ? OUTPUT_TABLE
                         : output->to != NULL ? OUTPUT_IPC_FILE
                                              : OUTPUT_IPC;
    }
    if (is_terminal && (output->format == OUTPUT_IPC || output->format == OUTPUT_IPC_FILE)) {
        return complain(CLI_USAGE, "a terminal cannot show Arrow IPC: pipe it, or name a file "
                                   "with --to");
    }
    output->width = output->to == NULL ? output_terminal_width() : 0;
    return file_create(&output->file, output->to == NULL ? "-" : output->to);
}

static void flush_table(struct output *output) {
    if (output->table_schema == NULL) {
        return;
    }
    table_print(&output->table, output->file.stream, output->width);
    table_free(&output->table);
    kh_schema_release(output->table_schema);
    output->table_schema = NULL;
}

static void begin_table(struct output *output, bool has_key, const kh_batch *batch,
                        const struct ArrowSchema *schema) {
    if (output->table_schema != NULL) {
        flush_table(output);
        (void)fputc('\n', output->file.stream);
    }
    output->table_schema = kh_schema_retain(kh_batch_schema(batch));
    if (has_key) {
        table_add_column(&output->table, "key", false);
    }
    for (int64_t i = 0; i < schema->n_children; ++i) {
        const struct ArrowSchema *column = schema->children[i];
        table_add_column(&output->table, column->name == NULL ? "" : column->name,
                         value_is_number(column));
    }
}

static void add_to_table(struct output *output, kh_bytes key, const kh_batch *batch,
                         const struct ArrowSchema *schema, const struct ArrowArray *array) {
    if (output->table_schema == NULL ||
        !kh_schema_equal(output->table_schema, kh_batch_schema(batch))) {
        begin_table(output, key.data != NULL, batch, schema);
    }
    int64_t shown = array->length;
    if (output->rows > 0 && (uint64_t)shown > output->rows) {
        shown = (int64_t)output->rows;
    }
    struct text cell = {NULL, 0, 0};
    for (int64_t row = 0; row < shown; ++row) {
        if (key.data != NULL) {
            text_clear(&cell);
            key_text_add(&cell, key);
            table_add(&output->table, cell.bytes);
        }
        for (int64_t i = 0; i < schema->n_children; ++i) {
            text_clear(&cell);
            text_add(&cell, "");
            value_append(&cell, schema->children[i], array->children[i], row + array->offset,
                         VALUE_PLAIN);
            table_add_bytes(&output->table, (kh_bytes){cell.bytes, cell.size});
        }
    }
    text_free(&cell);
    output->shown_count += (uint64_t)shown;
}

static void add_json_row(struct text *line, const struct ArrowSchema *schema,
                         const struct ArrowArray *array, int64_t row) {
    text_add_char(line, '{');
    for (int64_t i = 0; i < schema->n_children; ++i) {
        const char *name = schema->children[i]->name == NULL ? "" : schema->children[i]->name;
        text_add(line, i > 0 ? "," : "");
        text_add_json(line, (kh_bytes){name, strlen(name)});
        text_add_char(line, ':');
        value_append(line, schema->children[i], array->children[i], row + array->offset,
                     VALUE_JSON);
    }
    text_add_char(line, '}');
}

static void write_json(struct output *output, kh_bytes key, const struct ArrowSchema *schema,
                       const struct ArrowArray *array) {
    struct text line = {NULL, 0, 0};
    struct text name = {NULL, 0, 0};
    if (key.data != NULL) {
        key_text_add(&name, key);
    }
    for (int64_t row = 0; row < array->length && !ferror(output->file.stream); ++row) {
        text_clear(&line);
        if (key.data != NULL) {
            text_add(&line, "{\"key\":");
            text_add_json(&line, text_bytes(&name));
            text_add(&line, ",\"row\":");
        }
        add_json_row(&line, schema, array, row);
        text_add(&line, key.data != NULL ? "}\n" : "\n");
        (void)file_write(&output->file, line.bytes, line.size);
    }
    text_free(&name);
    text_free(&line);
}

static kh_status write_ipc(struct output *output, const kh_batch *batch, kh_error *error) {
    kh_status status = KH_OK;
    if (output->writer == NULL) {
        kh_sink sink = file_sink(&output->file);
        status = kh_ipc_writer_open(
            &sink, output->format == OUTPUT_IPC_FILE ? KH_IPC_FILE : KH_IPC_STREAM,
            KH_COMPRESS_NONE, kh_batch_schema(batch), &output->writer, error);
    }
    if (status == KH_OK) {
        status = kh_ipc_writer_write(output->writer, batch, error);
    }
    return status;
}

static bool is_unread(const struct output *output) {
    return output->file.stream == stdout && file_is_reader_gone();
}

int output_batch(struct output *output, kh_bytes key, const kh_batch *batch) {
    kh_error error = {""};
    kh_status status = KH_OK;
    output->row_count += (uint64_t)kh_batch_row_count(batch);
    if (is_unread(output)) {
        return CLI_OK;
    }
    if (output->format == OUTPUT_IPC || output->format == OUTPUT_IPC_FILE) {
        status = write_ipc(output, batch, &error);
        if (status == KH_SCHEMA_MISMATCH) {
            return complain(CLI_FAILED, "the values have different schemas, and an Arrow stream "
                                        "has one: narrow the keys down, or use --json");
        }
        status = is_unread(output) ? KH_OK : status;
        return status == KH_OK ? CLI_OK : file_complain(&output->file, status, &error);
    }
    struct ArrowSchema schema;
    struct ArrowArray array;
    status = kh_batch_export(batch, &array, &schema, &error);
    if (status != KH_OK) {
        return complain_status("show", status, &error);
    }
    if (output->format == OUTPUT_JSON) {
        write_json(output, key, &schema, &array);
    } else {
        add_to_table(output, key, batch, &schema, &array);
    }
    array.release(&array);
    schema.release(&schema);
    return CLI_OK;
}

static int finish(struct output *output) {
    kh_error error = {""};
    kh_status status = KH_OK;
    if (output->format == OUTPUT_TABLE) {
        flush_table(output);
        if (output->shown_count < output->row_count) {
            (void)fprintf(output->file.stream,
                          "(%" PRIu64 " of %" PRIu64 " rows; --rows 0 shows all)\n",
                          output->shown_count, output->row_count);
        } else {
            (void)fprintf(output->file.stream, "(%" PRIu64 " row%s)\n", output->row_count,
                          output->row_count == 1 ? "" : "s");
        }
    } else if (output->writer != NULL && !is_unread(output)) {
        status = kh_ipc_writer_finish(output->writer, &error);
        status = is_unread(output) ? KH_OK : status;
    }
    return status == KH_OK ? CLI_OK : file_complain(&output->file, status, &error);
}

int output_close(struct output *output, int code) {
    if (code == CLI_OK && output->file.stream != NULL) {
        code = finish(output);
    }
    kh_ipc_writer_close(output->writer);
    output->writer = NULL;
    table_free(&output->table);
    kh_schema_release(output->table_schema);
    output->table_schema = NULL;
    if (output->file.stream == NULL) {
        return code;
    }
    if (code != CLI_OK) {
        file_abandon(&output->file);
        return code;
    }
    return file_finish(&output->file);
}
