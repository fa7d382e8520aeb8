/* lock_model.c - see lock_model.h. */
#include "model/lock_model.h"

#include <string.h>

void lock_model_init(struct lock_model *model) {
    memset(model, 0, sizeof *model);
    for (int i = 0; i < LOCK_MODEL_OWNERS; i++) model->waits_for[i] = -1;
}

/* Do the locks of others leave room? */
static bool fits(const struct lock_model *model, int owner, int key, enum lock_model_mode mode) {
    for (int other = 0; other < LOCK_MODEL_OWNERS; other++) {
        enum lock_model_mode theirs = model->held[key][other];
        if (other == owner || theirs == MODEL_NONE) continue;
        if (mode == MODEL_EXCLUSIVE || theirs == MODEL_EXCLUSIVE) return false;
    }
    return true;
}

/* May it have the lock now, without getting in line? */
static bool is_open(const struct lock_model *model, int owner, int key, enum lock_model_mode mode) {
    enum lock_model_mode own = model->held[key][owner];
    if (own >= mode) return true;
    if (own == MODEL_NONE && model->queued[key] > 0) return false;
    return fits(model, owner, key, mode);
}

static void give(struct lock_model *model, int owner, int key, enum lock_model_mode mode) {
    if (model->held[key][owner] < mode) model->held[key][owner] = mode;
    model->wanted[owner][key] = MODEL_NONE;
}

static void leave_queue(struct lock_model *model, int owner) {
    int key = model->waits_for[owner];
    int at = 0;
    if (key < 0) return;
    while (model->queue[key][at] != owner) at++;
    for (int i = at + 1; i < model->queued[key]; i++)
        model->queue[key][i - 1] = model->queue[key][i];
    model->queued[key]--;
    model->waits_for[owner] = -1;
}

static void serve(struct lock_model *model) {
    for (int key = 0; key < LOCK_MODEL_KEYS; key++) {
        while (model->queued[key] > 0) {
            int first = model->queue[key][0];
            enum lock_model_mode mode = model->wanted[first][key];
            if (!fits(model, first, key, mode)) break;
            leave_queue(model, first);
            give(model, first, key, mode);
            model->is_woken[first] = true;
        }
    }
}

enum lock_model_answer lock_model_try(struct lock_model *model, int owner,
                                      const enum lock_model_mode wanted[LOCK_MODEL_KEYS]) {
    for (int key = 0; key < LOCK_MODEL_KEYS; key++)
        if (wanted[key] != MODEL_NONE && !is_open(model, owner, key, wanted[key]))
            return MODEL_REFUSED;
    for (int key = 0; key < LOCK_MODEL_KEYS; key++)
        if (wanted[key] != MODEL_NONE) give(model, owner, key, wanted[key]);
    return MODEL_GRANTED;
}

/* Holders of a shared lock before those who have nothing. */
static void enter_queue(struct lock_model *model, int owner, int key) {
    int at = model->queued[key];
    if (model->held[key][owner] != MODEL_NONE)
        while (at > 0 && model->held[key][model->queue[key][at - 1]] == MODEL_NONE) at--;
    for (int i = model->queued[key]; i > at; i--) model->queue[key][i] = model->queue[key][i - 1];
    model->queue[key][at] = owner;
    model->queued[key]++;
    model->waits_for[owner] = key;
}

enum lock_model_answer lock_model_go_on(struct lock_model *model, int owner) {
    model->is_woken[owner] = false;
    for (int key = 0; key < LOCK_MODEL_KEYS; key++) {
        enum lock_model_mode mode = model->wanted[owner][key];
        if (mode == MODEL_NONE) continue;
        if (!is_open(model, owner, key, mode)) {
            enter_queue(model, owner, key);
            return MODEL_WAITS;
        }
        give(model, owner, key, mode);
    }
    return MODEL_GRANTED;
}

enum lock_model_answer lock_model_ask(struct lock_model *model, int owner,
                                      const enum lock_model_mode wanted[LOCK_MODEL_KEYS]) {
    memcpy(model->wanted[owner], wanted, LOCK_MODEL_KEYS * sizeof *wanted);
    return lock_model_go_on(model, owner);
}

void lock_model_end(struct lock_model *model, int owner) {
    leave_queue(model, owner);
    for (int key = 0; key < LOCK_MODEL_KEYS; key++) {
        model->held[key][owner] = MODEL_NONE;
        model->wanted[owner][key] = MODEL_NONE;
    }
    model->is_woken[owner] = false;
    serve(model);
}

unsigned lock_model_hopeless(const struct lock_model *model) {
    struct lock_model future = *model;
    bool has_changed = true;
    while (has_changed) {
        has_changed = false;
        for (int owner = 0; owner < LOCK_MODEL_OWNERS; owner++) {
            if (future.waits_for[owner] >= 0) continue;
            for (int key = 0; key < LOCK_MODEL_KEYS; key++)
                has_changed |= future.held[key][owner] != MODEL_NONE;
            lock_model_end(&future, owner); /* whatever else it wants, it can do so some day */
        }
    }
    unsigned set = 0;
    for (int owner = 0; owner < LOCK_MODEL_OWNERS; owner++)
        if (future.waits_for[owner] >= 0) set |= 1u << owner;
    return set;
}
