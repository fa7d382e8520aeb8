/* door.c - what a batch costs at the door: instructions to import and free one row of (int64,
 * float64, utf8 of 84 bytes), to export it and to build it.
 *
 * Under callgrind (--toggle-collect=measured_import, say) the count of one call is the collected
 * instructions divided by the rounds; run alone it prints nanoseconds.
 * The producer's array is made once: its release callback does nothing but mark it released. */
#define _POSIX_C_SOURCE 200809L
#include "batch/batch.h"
#include "batch/home.h"
#include "batch/schema.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEXT_BYTES = 84 };

static int64_t integers[1] = {42};
static double reals[1] = {0.5};
static int32_t offsets[2] = {0, TEXT_BYTES};
static char text[TEXT_BYTES + 1];
static const void *buffers[4][3] = {{NULL}, {NULL, integers}, {NULL, reals}, {NULL, offsets, text}};
static struct ArrowArray columns[3];
static struct ArrowArray *children[3] = {&columns[0], &columns[1], &columns[2]};

static void release(struct ArrowArray *array) {
    array->release = NULL;
}

static void make_array(struct ArrowArray *root) {
    memset(text, 'x', TEXT_BYTES);
    for (int i = 0; i < 3; i++)
        columns[i] = (struct ArrowArray){
            .length = 1, .n_buffers = i < 2 ? 2 : 3, .buffers = buffers[i + 1], .release = release};
    *root = (struct ArrowArray){.length = 1,
                                .n_buffers = 1,
                                .n_children = 3,
                                .buffers = buffers[0],
                                .children = children,
                                .release = release};
}

/* One object of measured work, apart from the compiler's reach. */
struct work {
    struct mem *mem;
    struct mem_cache *cache;
    const kh_schema *schema;
    struct ArrowArray array;
    kh_batch *batch;
};

__attribute__((noinline)) static void measured_import(struct work *work) {
    kh_status status = batch_import_within(work->mem, work->cache, work->schema, &work->array,
                                           KH_VALIDATE_FULL, UINT64_MAX, &work->batch, NULL);
    if (status != KH_OK) abort();
}

__attribute__((noinline)) static void measured_free(struct work *work) {
    batch_release(work->batch, work->cache);
}

__attribute__((noinline)) static void measured_export(struct work *work) {
    struct ArrowArray out;
    if (kh_batch_export(work->batch, &out, NULL, NULL) != KH_OK) abort();
    out.release(&out);
}

__attribute__((noinline)) static void measured_read(struct work *work) {
    int64_t integer;
    double real;
    kh_bytes bytes;
    if (kh_batch_int64(work->batch, 0, 0, &integer) != KH_OK ||
        kh_batch_double(work->batch, 1, 0, &real) != KH_OK ||
        kh_batch_bytes(work->batch, 2, 0, &bytes) != KH_OK)
        abort();
}

static double now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argument_count, char **arguments) {
    long rounds = argument_count > 1 ? strtol(arguments[1], NULL, 10) : 1000000;
    const char *names[] = {"a", "b", "c"};
    const char *formats[] = {"l", "g", "u"};
    struct batch_home home = {.mem = mem_create(NULL), .batch_bytes_max = 1u << 30};
    if (home.mem == NULL) return 1;
    home.schemas = schema_table_create(home.mem);
    struct work work = {.mem = home.mem, .cache = mem_cache_create(home.mem)};
    kh_schema *schema = NULL;
    if (home.schemas == NULL || work.cache == NULL ||
        kh_schema_build((kh_db *)&home, names, formats, 3, &schema, NULL) != KH_OK)
        return 1;
    work.schema = schema;
    make_array(&work.array);
    double start = now_ns();
    for (long i = 0; i < rounds; i++) {
        work.array.release = release;
        measured_import(&work);
        if (i + 1 < rounds) measured_free(&work);
    }
    double mid = now_ns();
    for (long i = 0; i < rounds; i++) {
        measured_export(&work);
        measured_read(&work);
    }
    double end = now_ns();
    (void)printf("block %u bytes; import+free %.1f ns; export+release and three reads %.1f ns\n",
                 work.batch->block_bytes, (mid - start) / (double)rounds,
                 (end - mid) / (double)rounds);
    measured_free(&work);
    kh_schema_release(schema);
    mem_cache_destroy(work.cache);
    mem_close(home.mem);
    return 0;
}
