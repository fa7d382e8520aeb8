/* lock_model.h - what a table of locks on two keys for three owners must do, as plainly as it can
 * be said: arrays, and a queue for each key. Knows nothing of the library.
 *
 * Who is doomed is not the model's to say: it is told, and judges whether somebody had to be.
 * "Hopeless" are those who would still wait if everybody who can go on went on and ended. */
#ifndef TEST_MODEL_LOCK_MODEL_H
#define TEST_MODEL_LOCK_MODEL_H

#include <stdbool.h>

enum { LOCK_MODEL_OWNERS = 3, LOCK_MODEL_KEYS = 2 };
enum lock_model_mode { MODEL_NONE = 0, MODEL_SHARED = 1, MODEL_EXCLUSIVE = 2 };
enum lock_model_answer { MODEL_GRANTED, MODEL_REFUSED, MODEL_WAITS };

struct lock_model {
    enum lock_model_mode held[LOCK_MODEL_KEYS][LOCK_MODEL_OWNERS];
    int queue[LOCK_MODEL_KEYS][LOCK_MODEL_OWNERS]; /* owners, the first in turn first */
    int queued[LOCK_MODEL_KEYS];
    enum lock_model_mode wanted[LOCK_MODEL_OWNERS][LOCK_MODEL_KEYS]; /* of the call, not yet got */
    int waits_for[LOCK_MODEL_OWNERS];                                /* a key, or -1 */
    bool is_woken[LOCK_MODEL_OWNERS]; /* it waited, and need not any more */
};

void lock_model_init(struct lock_model *model);
/* All or nothing. */
enum lock_model_answer lock_model_try(struct lock_model *model, int owner,
                                      const enum lock_model_mode wanted[LOCK_MODEL_KEYS]);
/* All at once, or one key after the other. */
enum lock_model_answer lock_model_ask(struct lock_model *model, int owner,
                                      const enum lock_model_mode wanted[LOCK_MODEL_KEYS]);
/* A woken one goes on. */
enum lock_model_answer lock_model_go_on(struct lock_model *model, int owner);
/* It ends, or is doomed. */
void lock_model_end(struct lock_model *model, int owner);
/* A set of bits. */
unsigned lock_model_hopeless(const struct lock_model *model);

#endif
