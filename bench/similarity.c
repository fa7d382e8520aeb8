/* similarity.c - what comparing deltas costs, beside a matrix-vector product of OpenBLAS.
 *
 *     similarity [--blas LIBRARY] [--rounds N]
 *     similarity --calls KIND [--kernel portable|avx2|avx512]
 *
 * The first measures, on one thread and in turns, so that all see the same machine: the cosine of a
 * vector of 384 floats with 10,000 others as sgemv's part of it, by the kernel's dots, and who of
 * them is against it by kh_delta_classify and with delta_set_suspects before it, with every kernel
 * that the machine has; then pairs of deltas and all pairs of
 * 50. It prints the least and the median of N rounds (201). LIBRARY: libopenblas.so.0 if not given;
 * the one that a wheel of numpy carries (numpy.libs/libscipy_openblas64_*.so) will do.
 *
 * The second classifies pairs of a KIND (dense, "dense related", sparse, "sparse related", "sparse
 * equal", or sparse/P/K, alike/P/K and deep/P/K: of pairs that share P of their 7 positions and K
 * of their 2 keys) and prints how many, for instruction counts:
 *
 *     valgrind --tool=callgrind --toggle-collect=kh_delta_classify similarity --calls dense
 *
 * (valgrind has no AVX-512: the kernel is the one that it offers, AVX2.) For a call of each of the
 * sparse kinds:
 *
 *     for kind in {sparse,alike,deep}/{0..7}/{0..2}; do echo "$kind $(($(valgrind --tool=callgrind
 * \
 *         --toggle-collect=kh_delta_classify --callgrind-out-file=/dev/null \
 *         build/release/similarity --calls $kind 2>&1 | sed -n 's/.*Collected : //p') / 4096))"
 *     done */
#include <khonsu.h>

#include "txn/delta_set.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    DIMENSION = 384,
    ROWS = 10000,
    PAIR_DIMENSION = 128,
    PAIR_FILLED = 7,
    POOL = 64,           /* deltas that pairs are drawn from */
    PAIRED = 4 * POOL,   /* deltas that come as pairs */
    CALLS = POOL * POOL, /* in one round */
    BATCH = 50,
    ROUNDS_MOST = 10000,
    KERNELS_MOST = 4
};

struct settings {
    const char *blas;
    const char *calls;
    const char *kernel;
    size_t rounds;
};

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "similarity: %s: see the head of bench/similarity.c\n", what);
    exit(2);
}

static double now(void) {
    struct timespec time = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint64_t draw(void) {
    static uint64_t state = 7;
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = (state ^ state >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static float draw_float(void) {
    return (float)(draw() >> 40) * 0x1p-23f - 1;
}

/* ---- times ----------------------------------------------------------------------------------- */

struct times {
    double seconds[ROUNDS_MOST];
    size_t count;
};

static void take(struct times *times, double began) {
    times->seconds[times->count++] = now() - began;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print(const char *name, const char *kernel, struct times *times, double unit,
                  const char *unit_name) {
    qsort(times->seconds, times->count, sizeof *times->seconds, compare);
    printf("%-44s %-9s %9.4f %9.4f %s\n", name, kernel, times->seconds[0] / unit,
           times->seconds[times->count / 2] / unit, unit_name);
}

/* ---- deltas ---------------------------------------------------------------------------------- */

struct shape {
    size_t dimension;
    size_t filled;
    size_t among;      /* positions that are drawn from; 0: all */
    size_t key_kinds;  /* two keys, drawn from so many; 0: no keys */
    const float *near; /* what the values are close to; NULL: nothing */
};

static void draw_values(const struct shape *shape, float *values) {
    size_t among = shape->among == 0 ? shape->dimension : shape->among;
    for (size_t i = 0; i < shape->filled;) {
        size_t at = shape->filled == among ? i : (size_t)(draw() % among);
        if (values[at] != 0) continue;
        values[at] = draw_float() + (shape->near == NULL ? 0 : shape->near[at]);
        i += values[at] != 0;
    }
}

static kh_delta *make(const struct shape *shape) {
    float *values = calloc(shape->dimension, sizeof *values);
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    char names[2][32];
    kh_bytes keys[2];
    kh_delta *delta = NULL;
    if (values == NULL) fail("no memory");
    draw_values(shape, values);
    for (int i = 0; i < 2 && shape->key_kinds > 0; i++) {
        (void)snprintf(names[i], sizeof names[i], "notes/%012llu",
                       (unsigned long long)(draw() % shape->key_kinds));
        keys[i] = (kh_bytes){names[i], strlen(names[i])};
        options.key_count++;
    }
    options.keys = keys;
    kh_floats floats = {values, shape->dimension};
    if (kh_delta_build(NULL, floats, &options, &delta, NULL) != KH_OK) fail("build");
    free(values);
    return delta;
}

/* ---- one with many --------------------------------------------------------------------------- */

/* On 64 bits an int takes the place of a long: it is the one signature of both kinds of builds. */
typedef void sgemv_fn(int order, int transposed, long rows, long columns, float alpha,
                      const float *matrix, long stride, const float *x, long x_step, float beta,
                      float *y, long y_step);
enum { ROW_MAJOR = 101, NOT_TRANSPOSED = 111 };

static sgemv_fn *load_blas(const char *path) {
    static const char *const names[] = {"cblas_sgemv", "scipy_cblas_sgemv64_", "cblas_sgemv64_"};
    sgemv_fn *sgemv = NULL;
    (void)setenv("OPENBLAS_NUM_THREADS", "1", 1);
    void *library = dlopen(path == NULL ? "libopenblas.so.0" : path, RTLD_NOW);
    for (size_t i = 0; library != NULL && sgemv == NULL && i < sizeof names / sizeof *names; i++) {
        void *symbol = dlsym(library, names[i]);
        memcpy(&sgemv, &symbol, sizeof symbol);
    }
    if (sgemv == NULL) printf("OpenBLAS: not found\n");
    return sgemv;
}

struct many {
    kh_delta *deltas[ROWS];
    struct delta_set *sets[(ROWS + DELTA_SET_ROWS - 1) / DELTA_SET_ROWS];
    float *matrix; /* the same rows, one behind the other */
    float magnitudes[ROWS];
    struct delta_query query;
    kh_delta *asked;
    float asked_values[DIMENSION];
    sgemv_fn *sgemv; /* NULL: not found */
    float out[ROWS];
    size_t found;
};

/* One row in a hundred lies near the query, as an edit of the same note does. */
static void fill_many(struct many *many) {
    struct shape shape = {.dimension = DIMENSION, .filled = DIMENSION};
    for (size_t i = 0; i < ROWS; i++) {
        shape.near = i % 100 == 0 ? many->asked_values : NULL;
        many->deltas[i] = make(&shape);
        many->magnitudes[i] = kh_delta_magnitude(many->deltas[i]);
        kh_delta_values(many->deltas[i], many->matrix + i * DIMENSION);
    }
}

static struct many *make_many(void) {
    struct many *many = calloc(1, sizeof *many);
    struct mem *mem = mem_process();
    if (many == NULL || mem == NULL) fail("no memory");
    struct shape shape = {.dimension = DIMENSION, .filled = DIMENSION};
    many->matrix = aligned_alloc(DELTA_ALIGNMENT, sizeof(float) * ROWS * DIMENSION);
    many->asked = make(&shape);
    kh_delta_values(many->asked, many->asked_values);
    if (many->matrix == NULL || delta_query_init(&many->query, many->asked, NULL) != KH_OK)
        fail("no memory");
    fill_many(many);
    double began = now();
    for (size_t i = 0; i < ROWS; i += DELTA_SET_ROWS) {
        size_t count = ROWS - i < DELTA_SET_ROWS ? ROWS - i : DELTA_SET_ROWS;
        const kh_delta *const *deltas = (const kh_delta *const *)many->deltas + i;
        if (delta_set_create(mem, DIMENSION, deltas, count, &many->sets[i / DELTA_SET_ROWS],
                             NULL) != KH_OK)
            fail("no memory");
    }
    printf("codes of a row of %d floats: %.0f ns\n", DIMENSION, (now() - began) / ROWS * 1e9);
    return many;
}

typedef void many_fn(struct many *many);

static void run_blas(struct many *many) {
    many->sgemv(ROW_MAJOR, NOT_TRANSPOSED, ROWS, DIMENSION, 1, many->matrix, DIMENSION,
                many->asked_values, 1, 0, many->out, 1);
}

static void run_cosines(struct many *many) {
    const struct delta_kernel *kernel = delta_kernel();
    kernel->dots(many->matrix, ROWS, delta_blocks(DIMENSION), many->asked->values, many->out);
    kernel->cosines(many->magnitudes, ROWS, kh_delta_magnitude(many->asked), many->out);
}

static void look_at(struct many *many, size_t index) {
    kh_delta_class kind = kh_delta_classify(many->asked, many->deltas[index], NULL, NULL);
    many->found += kind == KH_DELTA_CONFLICTING || kind == KH_DELTA_OPPOSITE;
}

static void run_pairs(struct many *many) {
    many->found = 0;
    for (size_t i = 0; i < ROWS; i++) look_at(many, i);
}

static void run_codes(struct many *many) {
    many->found = 0;
    for (size_t i = 0; i < ROWS; i += DELTA_SET_ROWS) {
        struct delta_suspects suspects;
        size_t count = ROWS - i < DELTA_SET_ROWS ? ROWS - i : DELTA_SET_ROWS;
        delta_set_suspects(many->sets[i / DELTA_SET_ROWS], &many->query, 0, count, -0.95f, 0.7f,
                           &suspects);
        for (size_t word = 0; word < DELTA_SET_ROWS / 64; word++)
            for (uint64_t bits = suspects.bits[word]; bits != 0; bits &= bits - 1)
                look_at(many, i + word * 64 + (size_t)__builtin_ctzll(bits));
    }
}

/* Once for the caches, which whoever came before has filled with something else, and once for the
 * clock. */
static void time_one(many_fn *run, struct many *many, struct times *times) {
    run(many);
    double began = now();
    run(many);
    take(times, began);
}

static void measure_many(const struct settings *settings) {
    static struct times blas;
    static struct times whole[KERNELS_MOST];
    static struct times pairs[KERNELS_MOST];
    static struct times two_steps[KERNELS_MOST];
    const struct delta_kernel *const *kernels = delta_kernel_all();
    struct many *many = make_many();
    many->sgemv = load_blas(settings->blas);
    for (size_t round = 0; round < settings->rounds; round++) {
        if (many->sgemv != NULL) time_one(run_blas, many, &blas);
        for (size_t i = 0; kernels[i] != NULL; i++) {
            atomic_store(&delta_kernel_chosen, kernels[i]);
            time_one(run_cosines, many, &whole[i]);
            time_one(run_pairs, many, &pairs[i]);
            time_one(run_codes, many, &two_steps[i]);
        }
    }
    (void)delta_kernel_choose();
    printf("%d rows of %d floats; %zu of them beyond the thresholds\n", ROWS, DIMENSION,
           many->found);
    if (many->sgemv != NULL) print("OpenBLAS sgemv (products only)", "", &blas, 1e-3, "ms");
    for (size_t i = 0; kernels[i] != NULL; i++)
        print("all cosines, rows in one block", kernels[i]->name, &whole[i], 1e-3, "ms");
    for (size_t i = 0; kernels[i] != NULL; i++)
        print("kh_delta_classify, pair by pair", kernels[i]->name, &pairs[i], 1e-3, "ms");
    for (size_t i = 0; kernels[i] != NULL; i++)
        print("delta_set_suspects, the same answers", kernels[i]->name, &two_steps[i], 1e-3, "ms");
}

/* ---- pairs ----------------------------------------------------------------------------------- */

/* Each delta with each, or, when is_paired, the first with the second, the third with the fourth
 * and so on. */
struct pool {
    kh_delta *deltas[PAIRED];
    size_t count;
    bool is_paired;
};

/* Of PAIR_FILLED values where sparse. */
static const char *const kinds[] = {"dense", "dense related", "sparse", "sparse related",
                                    "sparse equal"};

/* Kinds of pairs. Related: the cosine of most is between 0.1 and 0.7, where every line of the table
 * is looked at, and some keys are shared. */
static struct shape shape_of(const char *kind) {
    static float near[PAIR_DIMENSION];
    struct shape shape = {.dimension = PAIR_DIMENSION, .key_kinds = 1000000};
    for (size_t i = 0; i < PAIR_DIMENSION; i++) near[i] = i % 2 == 0 ? 0.5f : -0.5f;
    shape.filled = strncmp(kind, "dense", 5) == 0 ? PAIR_DIMENSION : PAIR_FILLED;
    if (strstr(kind, "related") == NULL) return shape;
    shape.near = near;
    shape.key_kinds = 20;
    if (shape.filled < PAIR_DIMENSION) shape.among = 3 * PAIR_FILLED;
    return shape;
}

/* What two sparse deltas share. Sparse: the positions that they do not share have values as large
 * as the others, so their cosine is about the part that they share. Deep: the same, and all
 * positions are of two of the 16 lanes. Alike: positions that are not shared have small values, so
 * the cosine is about 1 once one is shared. */
struct sharing {
    unsigned positions;
    unsigned keys;
    bool is_alike;
    bool is_deep;
};

static bool read_sharing(const char *kind, struct sharing *out) {
    char form[8];
    int end = 0;
    if (sscanf(kind, "%6[a-z]/%1u/%1u%n", form, &out->positions, &out->keys, &end) != 3)
        return false;
    out->is_alike = strcmp(form, "alike") == 0;
    out->is_deep = strcmp(form, "deep") == 0;
    return kind[end] == 0 && out->positions <= PAIR_FILLED && out->keys <= 2 &&
           (out->is_alike || out->is_deep || strcmp(form, "sparse") == 0);
}

static kh_delta *make_sharing(const size_t *positions, size_t shared, char (*names)[32],
                              size_t second, float others) {
    float values[PAIR_DIMENSION] = {0};
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    kh_bytes keys[] = {{names[0], strlen(names[0])}, {names[second], strlen(names[second])}};
    kh_delta *delta = NULL;
    for (size_t i = 0; i < PAIR_FILLED; i++)
        values[positions[i]] = (1 + draw_float() / 30) * (i < shared ? 1 : others);
    options.keys = keys;
    options.key_count = 2;
    kh_floats floats = {values, PAIR_DIMENSION};
    if (kh_delta_build(NULL, floats, &options, &delta, NULL) != KH_OK) fail("build");
    return delta;
}

static void make_pair(const struct sharing *sharing, kh_delta *pair[2]) {
    size_t positions[2 * PAIR_FILLED]; /* the first one's; those that are not shared; the rest */
    char names[4][32];
    float others = sharing->is_alike ? 0.01f : 1;
    for (size_t i = 0; i < 2 * PAIR_FILLED;) {
        bool is_new = true;
        positions[i] = (size_t)(draw() % PAIR_DIMENSION);
        if (sharing->is_deep) positions[i] &= ~(size_t)7;
        for (size_t j = 0; j < i; j++) is_new &= positions[j] != positions[i];
        i += is_new;
    }
    for (int i = 0; i < 4; i++)
        (void)snprintf(names[i], sizeof names[i], "notes/%06llu%06d",
                       (unsigned long long)(draw() % 1000000), i);
    pair[0] = make_sharing(positions, sharing->positions, names, 1, others);
    memmove(positions + sharing->positions, positions + PAIR_FILLED,
            (PAIR_FILLED - sharing->positions) * sizeof *positions);
    if (sharing->keys < 1) memcpy(names[0], names[2], sizeof names[0]);
    pair[1] = make_sharing(positions, sharing->positions, names, sharing->keys < 2 ? 3 : 1, others);
}

static struct pool make_pool(const char *kind) {
    struct pool pool = {.count = POOL};
    struct sharing sharing;
    if (read_sharing(kind, &sharing)) {
        pool.is_paired = true;
        for (pool.count = 0; pool.count < PAIRED; pool.count += 2)
            make_pair(&sharing, pool.deltas + pool.count);
        return pool;
    }
    struct shape shape = shape_of(kind);
    bool is_equal = strstr(kind, "equal") != NULL;
    for (size_t i = 0; i < POOL; i++)
        pool.deltas[i] = is_equal && i > 0 ? kh_delta_retain(pool.deltas[0]) : make(&shape);
    return pool;
}

static void free_pool(struct pool *pool) {
    for (size_t i = 0; i < pool->count; i++) kh_delta_release(pool->deltas[i]);
}

/* Every pair of the pool, both ways round, CALLS in all. */
static unsigned classify_pool(const struct pool *pool) {
    unsigned sum = 0;
    for (size_t i = 0; pool->is_paired && i < CALLS; i++) {
        size_t at = i % PAIRED;
        sum += kh_delta_classify(pool->deltas[at], pool->deltas[at ^ 1], NULL, NULL);
    }
    if (pool->is_paired) return sum;
    for (size_t i = 0; i < POOL; i++)
        for (size_t j = 0; j < POOL; j++)
            sum += kh_delta_classify(pool->deltas[i], pool->deltas[j], NULL, NULL);
    return sum;
}

static void measure_pairs(const struct settings *settings, const char *kind) {
    const struct delta_kernel *const *kernels = delta_kernel_all();
    struct pool pool = make_pool(kind);
    char name[64];
    (void)snprintf(name, sizeof name, "a pair, 128 floats, 2 keys each: %s", kind);
    for (size_t i = 0; kernels[i] != NULL; i++) {
        static struct times times;
        times.count = 0;
        atomic_store(&delta_kernel_chosen, kernels[i]);
        (void)classify_pool(&pool);
        for (size_t round = 0; round < settings->rounds; round++) {
            double began = now();
            volatile unsigned sum = classify_pool(&pool);
            (void)sum;
            take(&times, began);
        }
        print(name, kernels[i]->name, &times, 1e-9 * CALLS, "ns");
    }
    (void)delta_kernel_choose();
    free_pool(&pool);
}

/* Of each number of shared positions the dearest: one key that has to be found, and two that have
 * to be the same. */
static void measure_sharing(const struct settings *settings) {
    for (unsigned positions = 0; positions <= PAIR_FILLED; positions++) {
        char kind[32];
        (void)snprintf(kind, sizeof kind, "sparse/%u/1", positions);
        measure_pairs(settings, kind);
        (void)snprintf(kind, sizeof kind, "alike/%u/2", positions);
        measure_pairs(settings, kind);
    }
}

static bool count_pair(void *context, size_t i, size_t j, kh_delta_class kind, float cosine) {
    unsigned *counts = context;
    (void)i;
    (void)j;
    (void)cosine;
    counts[kind]++;
    return true;
}

static void measure_batch(const struct settings *settings, size_t dimension, size_t filled) {
    static struct times times;
    kh_delta *deltas[BATCH];
    unsigned counts[8] = {0};
    char name[64];
    times.count = 0;
    struct shape shape = {.dimension = dimension, .filled = filled, .key_kinds = 1000000};
    for (size_t i = 0; i < BATCH; i++) deltas[i] = make(&shape);
    for (size_t round = 0; round < settings->rounds; round++) {
        double began = now();
        (void)kh_delta_classify_all((const kh_delta *const *)deltas, BATCH, NULL, count_pair,
                                    counts);
        take(&times, began);
    }
    (void)snprintf(name, sizeof name, "%d pairs, %zu of %zu filled", BATCH * (BATCH - 1) / 2,
                   filled, dimension);
    print(name, "", &times, 1e-6, "us");
    for (size_t i = 0; i < BATCH; i++) kh_delta_release(deltas[i]);
}

static void measure(const struct settings *settings) {
    printf("%-44s %-9s %9s %9s\n", "what", "kernel", "least", "median");
    measure_many(settings);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) measure_pairs(settings, kinds[i]);
    measure_sharing(settings);
    measure_batch(settings, 100, 1);
    measure_batch(settings, 128, 1);
    measure_batch(settings, 384, 4);
    measure_batch(settings, 1000, 10);
    measure_batch(settings, 1536, 15);
}

/* ---- for instruction counts ------------------------------------------------------------------ */

static void call(const struct settings *settings) {
    struct sharing sharing;
    bool is_known = read_sharing(settings->calls, &sharing);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        is_known |= strcmp(settings->calls, kinds[i]) == 0;
    if (!is_known) fail("--calls");
    struct pool pool = make_pool(settings->calls);
    for (const struct delta_kernel *const *kernel = delta_kernel_all(); *kernel != NULL; kernel++)
        if (settings->kernel == NULL || strcmp((*kernel)->name, settings->kernel) == 0)
            atomic_store(&delta_kernel_chosen, *kernel);
    (void)classify_pool(&pool);
    printf("%d calls, kernel %s\n", CALLS, delta_kernel()->name);
    free_pool(&pool);
}

int main(int count, char **arguments) {
    struct settings settings = {.rounds = 201};
    for (int i = 1; i < count; i += 2) {
        const char *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (value == NULL) fail(arguments[i]);
        if (strcmp(arguments[i], "--blas") == 0)
            settings.blas = value;
        else if (strcmp(arguments[i], "--calls") == 0)
            settings.calls = value;
        else if (strcmp(arguments[i], "--kernel") == 0)
            settings.kernel = value;
        else if (strcmp(arguments[i], "--rounds") == 0)
            settings.rounds = strtoull(value, NULL, 10);
        else
            fail(arguments[i]);
    }
    if (settings.rounds == 0 || settings.rounds > ROUNDS_MOST) fail("--rounds");
    if (settings.calls != NULL)
        call(&settings);
    else
        measure(&settings);
    return 0;
}
