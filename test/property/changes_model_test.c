/* changes_model_test.c - change feeds over random histories, against a list of what was committed.
 *
 * The model is an array: each change of each commit, in the order of commits, noted when the commit
 * answers. Histories have commits of each sync policy, prepared transactions that are decided much
 * later or never, steps of the library's upkeep and reopenings; then a feed is opened after each
 * commit of the history and must show the model's rest, with and without a prefix, one by one and
 * as a stream. Threads: whatever order they commit in, a feed that follows shows it. Failing
 * allocations: what the feed shows in the end is the same. */
#include "support/directory.h"
#include "support/kit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { CHANGES_MAX = 4096, PREPARED_MAX = 8, WRITES_MAX = 5, STEPS = 250, THREADS = 4 };

struct noted {
    kh_timestamp timestamp;
    uint64_t id;
    int64_t number;
    bool is_last;
    char key[16];
    char tag[8];
};

struct planned { /* a transaction's writes */
    struct noted writes[WRITES_MAX];
    int count;
    kh_txn_id id;
};

struct world {
    struct directory directory;
    kh_options options;
    kh_db *db;
    uint64_t random;
    struct noted changes[CHANGES_MAX];
    int count;
    struct planned prepared[PREPARED_MAX];
    int prepared_count;
    int next_key; /* of prepared ones, which hold theirs */
};

static uint64_t draw(struct world *world, uint64_t below) {
    world->random = world->random * 6364136223846793005u + 1442695040888963407u;
    return (world->random >> 33) % below;
}

/* ---- histories ------------------------------------------------------------------------------- */

static void note(struct world *world, const struct planned *plan, kh_timestamp timestamp) {
    for (int i = 0; i < plan->count; i++) {
        struct noted *change = &world->changes[world->count++];
        assert_true(world->count < CHANGES_MAX);
        *change = plan->writes[i];
        change->timestamp = timestamp;
        change->id = plan->id.low;
        change->is_last = i + 1 == plan->count;
    }
}

static void plan_writes(struct world *world, struct planned *plan, bool is_held) {
    *plan = (struct planned){.count = 1 + (int)draw(world, WRITES_MAX)};
    uint64_t first = draw(world, 20);
    bool has_tag = draw(world, 2) == 0;
    for (int i = 0; i < plan->count; i++) {
        struct noted *write = &plan->writes[i];
        const char *kind = draw(world, 3) == 0 ? "a/" : "b/";
        if (is_held) {
            (void)snprintf(write->key, sizeof write->key, "%sp%d", kind, world->next_key++);
        } else {
            (void)snprintf(write->key, sizeof write->key, "%s%d", kind, (int)first + i);
        }
        write->number = draw(world, 4) == 0 ? KIT_ABSENT : (int64_t)draw(world, 1000);
        if (has_tag) (void)snprintf(write->tag, sizeof write->tag, "t%d", (int)draw(world, 9));
        if (i > 0) memcpy(write->tag, plan->writes[0].tag, sizeof write->tag);
    }
}

static kh_txn *write_all(struct world *world, struct planned *plan) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.sync = (kh_sync)(1 + draw(world, 3));
    options.tag = plan->writes[0].tag[0] == '\0' ? NULL : plan->writes[0].tag;
    kit_is(kh_txn_begin(world->db, &options, &txn, NULL), KH_OK);
    for (int i = 0; i < plan->count; i++) {
        if (plan->writes[i].number == KIT_ABSENT) {
            kit_delete(txn, plan->writes[i].key);
        } else {
            kit_put(txn, plan->writes[i].key, plan->writes[i].number);
        }
    }
    plan->id = kh_txn_get_id(txn);
    return txn;
}

static void commit_one(struct world *world) {
    struct planned plan;
    kh_timestamp timestamp;
    plan_writes(world, &plan, false);
    kh_txn *txn = write_all(world, &plan);
    if (draw(world, 8) == 0) {
        kit_rollback(txn);
        return;
    }
    kit_is(kh_txn_commit(txn, &timestamp, NULL), KH_OK);
    kh_txn_close(txn);
    note(world, &plan, timestamp);
}

static void prepare_one(struct world *world) {
    if (world->prepared_count == PREPARED_MAX) return;
    struct planned *plan = &world->prepared[world->prepared_count++];
    plan_writes(world, plan, true);
    kh_txn *txn = write_all(world, plan);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    kh_txn_close(txn);
}

static void decide_one(struct world *world) {
    if (world->prepared_count == 0) return;
    struct planned *plan = &world->prepared[draw(world, (uint64_t)world->prepared_count)];
    bool is_commit = draw(world, 3) != 0;
    kh_timestamp timestamp = 0;
    kit_is(kh_db_decide(world->db, plan->id, is_commit, &timestamp, NULL), KH_OK);
    if (is_commit) note(world, plan, timestamp);
    *plan = world->prepared[--world->prepared_count];
}

static void reopen(struct world *world) {
    kit_close(world->db);
    world->db = kit_open_with(&world->options);
}

static void make_history(struct world *world) {
    for (int i = 0; i < STEPS; i++) {
        uint64_t action = draw(world, 100);
        if (action < 60) {
            commit_one(world);
        } else if (action < 75) {
            prepare_one(world);
        } else if (action < 88) {
            decide_one(world);
        } else if (action < 98) {
            kh_db_step(world->db);
        } else {
            reopen(world);
        }
    }
    if (world->options.flags & KH_OPEN_NO_THREADS) kh_db_step(world->db);
    kit_store(world->db, "end", 1); /* makes all before it durable */
    struct planned end = {.count = 1};
    (void)snprintf(end.writes[0].key, sizeof end.writes[0].key, "end");
    end.writes[0].number = 1;
    note(world, &end, kh_db_now(world->db));
}

static void open_world(struct world *world, uint64_t seed, uint32_t flags) {
    memset(world, 0, sizeof *world);
    world->random = seed;
    directory_make(&world->directory);
    world->options = kit_options();
    world->options.path = world->directory.path;
    world->options.flags = flags;
    world->options.retention_ms = (uint64_t)3600 * 1000;
    world->db = kit_open_with(&world->options);
}

static void close_world(struct world *world) {
    kit_close(world->db);
    directory_remove(&world->directory);
}

/* ---- feeds ----------------------------------------------------------------------------------- */

static bool has_prefix(const struct noted *change, const char *prefix) {
    return strncmp(change->key, prefix, strlen(prefix)) == 0;
}

/* The next change of the model with the prefix, from index on; count: none. */
static int next_noted(const struct world *world, int index, const char *prefix) {
    while (index < world->count && !has_prefix(&world->changes[index], prefix)) index++;
    return index;
}

static bool is_last_noted(const struct world *world, int index, const char *prefix) {
    int next = next_noted(world, index + 1, prefix);
    return next == world->count ||
           world->changes[next].timestamp != world->changes[index].timestamp;
}

static void is_noted(const struct world *world, int index, const char *prefix,
                     const kh_change *change) {
    const struct noted *noted = &world->changes[index];
    if (!kit_bytes_equal(change->key, kit_key(noted->key)) || change->timestamp != noted->timestamp)
        fail_msg("change %d is %.*s, not %s", index, (int)change->key.size_bytes,
                 (const char *)change->key.data, noted->key);
    assert_int_equal(kit_number_of(change->value), noted->number);
    assert_int_equal(change->is_last_of_commit, is_last_noted(world, index, prefix));
    assert_true(noted->id == 0 || change->id.low == noted->id);
    assert_true(noted->id == 0 || kit_bytes_equal(change->tag, kit_key(noted->tag)));
    bool is_put = noted->number != KIT_ABSENT;
    assert_int_equal(change->operation, is_put ? KH_OPERATION_PUT : KH_OPERATION_DELETE);
}

static kh_changes *open_feed(struct world *world, kh_timestamp after, const char *prefix) {
    kh_changes_options options = KH_CHANGES_OPTIONS_INIT;
    kh_changes *feed = NULL;
    kh_error error = {""};
    options.prefix = kit_key(prefix);
    if (kh_changes_open(world->db, after, &options, &feed, &error) != KH_OK)
        fail_msg("%s", error.message);
    return feed;
}

/* The feed shows the model from index on, and no more. */
static void shows(struct world *world, kh_changes *feed, int index, const char *prefix) {
    kh_change change;
    for (index = next_noted(world, index, prefix); index < world->count;
         index = next_noted(world, index + 1, prefix)) {
        kh_error error = {""};
        if (kh_changes_next(feed, 0, &change, &error) != KH_OK)
            fail_msg("change %d: %s", index, error.message);
        is_noted(world, index, prefix, &change);
    }
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_PENDING);
    assert_int_equal(kh_changes_position(feed), world->changes[world->count - 1].timestamp);
}

static int64_t value_of(const struct ArrowArray *array, int64_t row) {
    const struct ArrowArray *values = array->children[3];
    const uint8_t *validity = values->buffers[0];
    if (validity != NULL && !(validity[row / 8] >> (row % 8) & 1)) return KIT_ABSENT;
    const int32_t *offsets = values->buffers[1];
    kh_bytes bytes = {(const char *)values->buffers[2] + offsets[row],
                      (size_t)(offsets[row + 1] - offsets[row])};
    kh_batch **batches = NULL;
    size_t count = 0;
    kit_is(kh_ipc_decode(NULL, bytes, &batches, &count, NULL), KH_OK);
    assert_int_equal(count, 1);
    int64_t number = kit_number_of(batches[0]);
    kh_batches_free(batches, count);
    return number;
}

static int batch_is_noted(const struct world *world, const struct ArrowArray *array, int index) {
    const int32_t *key_ends = array->children[0]->buffers[1];
    const char *keys = array->children[0]->buffers[2];
    const uint64_t *timestamps = array->children[1]->buffers[1];
    const int32_t *operation_ends = array->children[2]->buffers[1];
    for (int64_t row = 0; row < array->length; row++, index++) {
        const struct noted *noted = &world->changes[index];
        kh_bytes key = {keys + key_ends[row], (size_t)(key_ends[row + 1] - key_ends[row])};
        assert_true(kit_bytes_equal(key, kit_key(noted->key)));
        assert_int_equal(timestamps[row], noted->timestamp);
        assert_int_equal(operation_ends[row + 1] - operation_ends[row],
                         noted->number == KIT_ABSENT ? 6 : 3);
        assert_int_equal(value_of(array, row), noted->number);
    }
    assert_true(world->changes[index - 1].is_last); /* no batch splits a commit */
    return index;
}

static void streams(struct world *world, kh_timestamp after, int index) {
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    kh_changes *feed = open_feed(world, after, "");
    kit_is(kh_changes_stream(feed, 0, &stream, NULL), KH_OK);
    kit_store(world->db, "later", 1); /* not in it */
    for (;;) {
        if (stream.get_next(&stream, &array) != 0) fail_msg("%s", stream.get_last_error(&stream));
        if (array.release == NULL) break;
        index = batch_is_noted(world, &array, index);
        array.release(&array);
    }
    assert_int_equal(index, world->count);
    stream.release(&stream);
    kh_changes_close(feed);
}

static void resume_everywhere(struct world *world) {
    static const char *const prefixes[] = {"", "a/", "b/1", "nobody"};
    kh_timestamp after = 0;
    for (int i = 0; i <= world->count; i++) {
        bool is_start = i == 0 || world->changes[i - 1].is_last;
        if (!is_start) continue;
        if (i > 0) after = world->changes[i - 1].timestamp;
        const char *prefix = prefixes[i % 4];
        kh_changes *feed = open_feed(world, after, prefix);
        shows(world, feed, i, prefix);
        kh_changes_close(feed);
    }
}

static void one_history(uint64_t seed, uint32_t flags) {
    struct world *world = test_malloc(sizeof *world);
    open_world(world, seed, flags);
    kh_changes *feed = open_feed(world, 0, "");
    commit_one(world);
    while (world->count == 0) commit_one(world);
    kit_store(world->db, "end", 1);
    struct planned end = {.count = 1, .writes = {{.key = "end", .number = 1}}};
    note(world, &end, kh_db_now(world->db));
    shows(world, feed, 0, "");
    kh_changes_close(feed);
    make_history(world);
    resume_everywhere(world);
    reopen(world);
    resume_everywhere(world);
    streams(world, 0, 0);
    close_world(world);
    test_free(world);
}

static void test_histories(void **state) {
    (void)state;
    uint64_t seed = kit_env("KH_TEST_SEED", 1);
    uint64_t worlds = kit_env("KH_TEST_WORLDS", 6);
    for (uint64_t i = 0; i < worlds; i++) {
        print_message("seed %llu\n", (unsigned long long)(seed + i));
        one_history(seed + i, i % 2 == 0 ? KH_OPEN_NO_THREADS : 0);
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { COMMITS = 150 };

struct committer {
    kh_db *db;
    pthread_t thread;
    int number;
    kh_timestamp timestamps[COMMITS];
};

static void *commit_many(void *argument) {
    struct committer *committer = argument;
    for (int i = 0; i < COMMITS; i++) {
        kh_txn_options options = KH_TXN_OPTIONS_INIT;
        kh_txn *txn = NULL;
        char key[16];
        options.sync = (kh_sync)(1 + (i + committer->number) % 3);
        (void)snprintf(key, sizeof key, "%d/%d", committer->number, i);
        kh_status status = kh_txn_begin(committer->db, &options, &txn, NULL);
        kh_batch *batch = kit_number(NULL, i);
        if (status == KH_OK) status = kh_txn_put(txn, kit_key(key), batch, NULL);
        if (status == KH_OK && i % 10 == 9) status = kh_txn_prepare(txn, NULL);
        if (status == KH_OK) status = kh_txn_commit(txn, &committer->timestamps[i], NULL);
        if (status != KH_OK) abort();
        kh_batch_release(batch);
        kh_txn_close(txn);
    }
    return NULL;
}

/* The commit whose turn it is; each thread's are in order. */
static int follow_one(int *next, const kh_change *change) {
    int thread = 0;
    int number = 0;
    char text[32] = {0};
    memcpy(text, change->key.data, change->key.size_bytes);
    assert_int_equal(sscanf(text, "%d/%d", &thread, &number), 2);
    assert_int_equal(next[thread], number);
    next[thread]++;
    return thread;
}

static void test_following(void **state) {
    (void)state;
    struct world *world = test_malloc(sizeof *world);
    struct committer *committers = test_calloc(THREADS, sizeof *committers);
    int next[THREADS] = {0};
    kh_timestamp *seen = test_calloc((size_t)THREADS * COMMITS, sizeof *seen);
    open_world(world, 1, 0);
    kh_changes *feed = open_feed(world, 0, "");
    for (int i = 0; i < THREADS; i++) {
        committers[i].db = world->db;
        committers[i].number = i;
        assert_int_equal(pthread_create(&committers[i].thread, NULL, commit_many, &committers[i]),
                         0);
    }
    kh_timestamp last = 0;
    for (int i = 0; i < THREADS * COMMITS; i++) {
        kh_change change;
        kit_is(kh_changes_next(feed, UINT32_MAX, &change, NULL), KH_OK);
        assert_true(change.timestamp > last);
        assert_true(change.timestamp <= kh_db_now(world->db)); /* what it shows readers see */
        last = change.timestamp;
        int thread = follow_one(next, &change);
        seen[thread * COMMITS + next[thread] - 1] = change.timestamp;
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(committers[i].thread, NULL), 0);
        for (int j = 0; j < COMMITS; j++)
            assert_true(seen[i * COMMITS + j] == committers[i].timestamps[j]);
    }
    kh_changes_close(feed);
    close_world(world);
    test_free(seen);
    test_free(committers);
    test_free(world);
}

/* ---- without memory -------------------------------------------------------------------------- */

static void feed_without_memory(struct world *world, struct kit_memory *memory, uint64_t nth) {
    kh_changes *feed = NULL;
    kh_change change;
    int index = 0;
    memory->fail_at = memory->calls + nth;
    kh_status status = kh_changes_open(world->db, 0, NULL, &feed, NULL);
    if (status == KH_NO_MEMORY) status = kh_changes_open(world->db, 0, NULL, &feed, NULL);
    kit_is(status, KH_OK);
    while (index < world->count) {
        status = kh_changes_next(feed, 0, &change, NULL);
        if (status == KH_NO_MEMORY && memory->calls >= memory->fail_at) continue;
        kit_is(status, KH_OK);
        is_noted(world, index++, "", &change);
    }
    memory->fail_at = 0;
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_PENDING);
    kh_changes_close(feed);
}

static void stream_without_memory(struct world *world, struct kit_memory *memory, uint64_t nth) {
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    kh_changes *feed = open_feed(world, 0, "");
    int index = 0;
    memory->fail_at = memory->calls + nth;
    kh_status status = kh_changes_stream(feed, 0, &stream, NULL);
    if (status == KH_NO_MEMORY) status = kh_changes_stream(feed, 0, &stream, NULL);
    kit_is(status, KH_OK);
    for (;;) {
        int code = stream.get_next(&stream, &array);
        if (code != 0) {
            assert_int_equal(code, ENOMEM);
            continue;
        }
        if (array.release == NULL) break;
        index = batch_is_noted(world, &array, index);
        array.release(&array);
    }
    memory->fail_at = 0;
    assert_int_equal(index, world->count);
    stream.release(&stream);
    kh_changes_close(feed);
}

static void test_without_memory(void **state) {
    (void)state;
    struct kit_memory memory = {0};
    struct world *world = test_malloc(sizeof *world);
    open_world(world, 3, KH_OPEN_NO_THREADS);
    kit_close(world->db);
    world->options.allocator = kit_memory_hook(&memory);
    world->db = kit_open_with(&world->options);
    for (int i = 0; i < 3; i++) prepare_one(world);
    for (int i = 0; i < 6; i++) commit_one(world);
    prepare_one(world);
    decide_one(world);
    decide_one(world);
    make_history(world);
    uint64_t failures = memory.failures;
    for (uint64_t nth = 1; nth < 60; nth++) feed_without_memory(world, &memory, nth);
    for (uint64_t nth = 1; nth < 40; nth++) stream_without_memory(world, &memory, nth);
    assert_true(memory.failures > failures + 50);
    close_world(world);
    assert_int_equal(memory.live_blocks, 0);
    test_free(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
        cmocka_unit_test(test_following),
        cmocka_unit_test(test_without_memory),
    };
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
