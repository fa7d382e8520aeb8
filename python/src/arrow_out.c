/* arrow_out.c - batches in capsules of the Arrow PyCapsule interface: arrays, schemas, streams. */
#include "core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void free_schema(PyObject *capsule) {
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (schema == NULL) return;
    if (schema->release != NULL) schema->release(schema);
    free(schema);
}

static void free_array(PyObject *capsule) {
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");
    if (array == NULL) return;
    if (array->release != NULL) array->release(array);
    free(array);
}

static void free_stream(PyObject *capsule) {
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, "arrow_array_stream");
    if (stream == NULL) return;
    if (stream->release != NULL) stream->release(stream);
    free(stream);
}

PyObject *schema_capsule(const kh_schema *schema) {
    struct ArrowSchema *out = calloc(1, sizeof *out);
    if (out == NULL) return PyErr_NoMemory();
    kh_error error = {""};
    kh_status status = kh_schema_export(schema, out, &error);
    PyObject *capsule = status == KH_OK ? PyCapsule_New(out, "arrow_schema", free_schema)
                                        : raise_status(status, &error);
    if (capsule != NULL) return capsule;
    if (out->release != NULL) out->release(out);
    free(out);
    return NULL;
}

static PyObject *array_capsule(const kh_batch *batch) {
    struct ArrowArray *out = calloc(1, sizeof *out);
    if (out == NULL) return PyErr_NoMemory();
    kh_error error = {""};
    kh_status status = kh_batch_export(batch, out, NULL, &error);
    PyObject *capsule = status == KH_OK ? PyCapsule_New(out, "arrow_array", free_array)
                                        : raise_status(status, &error);
    if (capsule != NULL) return capsule;
    if (out->release != NULL) out->release(out);
    free(out);
    return NULL;
}

PyObject *array_capsules(const kh_batch *batch) {
    PyObject *schema = schema_capsule(kh_batch_schema(batch));
    if (schema == NULL) return NULL;
    PyObject *array = array_capsule(batch);
    PyObject *both = array == NULL ? NULL : PyTuple_Pack(2, schema, array);
    Py_DECREF(schema);
    Py_XDECREF(array);
    return both;
}

/* ---- streams: any thread, no Python ---------------------------------------------------------- */

struct stream {
    kh_schema *schema;
    size_t count;
    size_t next;
    kh_error error;
    kh_batch *batches[];
};

static int stream_answer(struct stream *stream, kh_status status) {
    if (status == KH_OK) return 0;
    if (stream->error.message[0] == '\0')
        strncpy(stream->error.message, kh_status_meaning(status), sizeof stream->error.message - 1);
    return status == KH_NO_MEMORY ? ENOMEM : EIO;
}

static int stream_schema(struct ArrowArrayStream *face, struct ArrowSchema *out) {
    struct stream *stream = face->private_data;
    return stream_answer(stream, kh_schema_export(stream->schema, out, &stream->error));
}

static int stream_next(struct ArrowArrayStream *face, struct ArrowArray *out) {
    struct stream *stream = face->private_data;
    if (stream->next == stream->count) {
        memset(out, 0, sizeof *out);
        return 0;
    }
    kh_batch *batch = stream->batches[stream->next];
    int code = stream_answer(stream, kh_batch_export(batch, out, NULL, &stream->error));
    if (code == 0) stream->next++;
    return code;
}

static const char *stream_error(struct ArrowArrayStream *face) {
    struct stream *stream = face->private_data;
    return stream->error.message[0] == '\0' ? NULL : stream->error.message;
}

static void stream_release(struct ArrowArrayStream *face) {
    struct stream *stream = face->private_data;
    for (size_t i = 0; i < stream->count; i++) kh_batch_release(stream->batches[i]);
    kh_schema_release(stream->schema);
    free(stream);
    face->release = NULL;
}

PyObject *stream_capsule(const kh_schema *schema, kh_batch *const *batches, size_t count) {
    struct ArrowArrayStream *face = calloc(1, sizeof *face);
    struct stream *stream = calloc(1, sizeof *stream + count * sizeof(kh_batch *));
    if (face == NULL || stream == NULL) {
        free(face);
        free(stream);
        return PyErr_NoMemory();
    }
    stream->schema = kh_schema_retain(schema);
    stream->count = count;
    for (size_t i = 0; i < count; i++) stream->batches[i] = kh_batch_retain(batches[i]);
    *face = (struct ArrowArrayStream){.get_schema = stream_schema,
                                      .get_next = stream_next,
                                      .get_last_error = stream_error,
                                      .release = stream_release,
                                      .private_data = stream};
    PyObject *capsule = PyCapsule_New(face, "arrow_array_stream", free_stream);
    if (capsule == NULL) {
        stream_release(face);
        free(face);
    }
    return capsule;
}
